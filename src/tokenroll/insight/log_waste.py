"""What looks wasted in logs that say counts and times alone (`analytics` §2: W5, W6, W7, W9), and what it would have cost without.

Two classes that are never summed: *hard* is money that bought nothing, provable from the log; *soft* would have been saved if
something else had been done. Rules are asked in order, and what is avoidable of one call never exceeds its cost. Retries, loops
and repeated prompts need hashes, which logs of agents do not have: of them nothing is said here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tokenroll.engine.rating import rate_attos, round_half_even
from tokenroll.insight.usage_shares import PricedEvent, by_session
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import Meter, Usage
from tokenroll.model.usage_event import UsageEvent

CACHE_LIFE_SHORT_MICROS: Final = 5 * 60 * MICROS_PER_SECOND
CACHE_LIFE_LONG_MICROS: Final = 3_600 * MICROS_PER_SECOND
CACHE_TOKENS_MIN: Final = 4_096
"""What all models cache; a smaller prefix may have been below a model's minimum."""
CONTEXT_POLICY_TOKENS: Final = 120_000
"""The stated policy of W6: above so many model tokens of context a session is compacted or started anew."""
SMALL_INPUT_TOKENS: Final = 4_000
SMALL_OUTPUT_TOKENS: Final = 300
"""A short question with a short answer, the candidates of W7."""
PREMIUM_RATIO: Final = 3
"""A premium model's output costs so many times the small one's."""
_SHRUNK_PERCENT: Final = 90
_TOOL_FINISHES: Final = frozenset({"tool_use", "tool_calls", "function_call", "pause_turn"})


class Rule(NamedTuple):
    """A rule's name, what it finds in one sentence, and what to do about it in another."""

    id: str
    title: str
    is_hard: bool
    advice: str


NOTHING: Final = Rule(
    "W9",
    "paid for, and nothing came out",
    True,
    "Find out what ends these calls: a limit of the client, an abort, a schema that no answer meets.",
)
CACHE_LOSS: Final = Rule(
    "W5",
    "caching that cost more than it saved",
    True,
    "Switch caching off for sessions of one or two calls, or begin fewer of them.",
)
CACHE_COLD: Final = Rule(
    "W5",
    "context written into the cache again after a pause",
    False,
    "Go on before the cache is cold (five minutes), or start anew with a summary.",
)
CACHE_BROKEN: Final = Rule(
    "W5",
    "context written into the cache again although it was warm",
    False,
    "Something at the beginning of the context changes from call to call: a time, an order of tools, another model.",
)
CONTEXT: Final = Rule(
    "W6",
    f"context above {CONTEXT_POLICY_TOKENS:,} model tokens sent again".replace(",", " "),
    False,
    "Compact the session, or start a new one for a new task.",
)
SMALL: Final = Rule(
    "W7",
    "short questions to a premium model",
    False,
    "Try a smaller model on a sample of these; this is no proof that it does as well.",
)
RULES: Final = (NOTHING, CACHE_LOSS, CACHE_COLD, CACHE_BROKEN, CONTEXT, SMALL)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found: calls, what of their list cost could have been avoided, and how many sessions they lie in."""

    rule: Rule
    call_count: int
    session_count: int
    avoidable_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheValue:
    """What prompt caching saved on reads, what writing cost beyond plain input, both in nanos of list cost."""

    saved_nanos: int
    premium_nanos: int

    @property
    def net_nanos(self) -> int:
        """Below zero, caching cost more than it saved."""
        return self.saved_nanos - self.premium_nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """All findings in the order of the rules, hard and soft apart, and the value of caching."""

    findings: tuple[Finding, ...]
    cache: CacheValue
    hard_nanos: int
    soft_nanos: int


class _Tally:
    """Sums per rule; knows what of the call at hand is still to be avoided."""

    def __init__(self) -> None:
        self.attos: dict[Rule, int] = {}
        self.calls: dict[Rule, int] = {}
        self.sessions: dict[Rule, set[str]] = {}
        self.left_attos = 0

    def begin(self, event: UsageEvent) -> None:
        self.left_attos = (event.list_cost_nanos or 0) * ATTOS_PER_NANO

    def found(self, rule: Rule, session: str, attos: int) -> None:
        taken = min(attos, self.left_attos)
        if taken <= 0:
            return
        self.left_attos -= taken
        self.attos[rule] = self.attos.get(rule, 0) + taken
        self.calls[rule] = self.calls.get(rule, 0) + 1
        self.sessions.setdefault(rule, set()).add(session)

    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(
                rule=rule,
                call_count=self.calls[rule],
                session_count=len(self.sessions[rule]),
                avoidable_nanos=round_half_even(self.attos[rule], ATTOS_PER_NANO),
            )
            for rule in RULES
            if rule in self.attos
        )


def log_waste(priced: Iterable[PricedEvent], small_models: Mapping[str, Rates]) -> Waste:
    """What looks wasted; `small_models` are the rates of a small model of each provider. What has no price is passed over."""
    tally = _Tally()
    saved = premium = 0
    for session, calls in by_session(one for one in priced if one.rates).items():
        session_saved, session_premium = _cache_value(calls)
        saved += session_saved
        premium += session_premium
        _session_waste(session, calls, session_premium - session_saved, small_models, tally)
    findings = tally.findings()
    return Waste(
        findings=findings,
        cache=CacheValue(
            saved_nanos=round_half_even(saved, ATTOS_PER_NANO), premium_nanos=round_half_even(premium, ATTOS_PER_NANO)
        ),
        hard_nanos=sum(one.avoidable_nanos for one in findings if one.rule.is_hard),
        soft_nanos=sum(one.avoidable_nanos for one in findings if not one.rule.is_hard),
    )


def _session_waste(
    session: str, calls: Sequence[PricedEvent], loss_attos: int, small_models: Mapping[str, Rates], tally: _Tally
) -> None:
    before: PricedEvent | None = None
    for one in calls:
        event, rates = one
        usage = event.usage
        tally.begin(event)
        if _is_empty(event):
            tally.found(NOTHING, session, tally.left_attos)
        written = _written_attos(usage, rates)
        if loss_attos > 0 and written:
            share = min(loss_attos, written)
            tally.found(CACHE_LOSS, session, share)
            loss_attos -= share
        elif before is not None and before.event.model == event.model:
            _rewritten(session, before.event, event, rates, tally)
        above = _context_tokens(usage) - CONTEXT_POLICY_TOKENS
        if above > 0:
            tally.found(CONTEXT, session, above * _rate(rates, Meter.CACHE_READ))
        _small(session, event, rates, small_models.get(event.provider), tally)
        before = one


def _rewritten(session: str, before: UsageEvent, event: UsageEvent, rates: Rates, tally: _Tally) -> None:
    """What was in the cache after the call before and is written again by this one."""
    usage = event.usage
    cached = (before.usage.cache_read_tokens or 0) + _writes(before.usage)
    lost = min(cached - (usage.cache_read_tokens or 0), _writes(usage))
    if lost < CACHE_TOKENS_MIN or _context_tokens(usage) * 100 < _context_tokens(before.usage) * _SHRUNK_PERCENT:
        return
    life = CACHE_LIFE_LONG_MICROS if before.usage.cache_write_1h_tokens else CACHE_LIFE_SHORT_MICROS
    rule = CACHE_COLD if event.admitted_at - before.admitted_at > life else CACHE_BROKEN
    meter = Meter.CACHE_WRITE_1H if usage.cache_write_1h_tokens else Meter.CACHE_WRITE_5M
    tally.found(rule, session, lost * (_rate(rates, meter) - _rate(rates, Meter.CACHE_READ)))


def _small(session: str, event: UsageEvent, rates: Rates, small: Rates | None, tally: _Tally) -> None:
    usage = event.usage
    if (
        small is None
        or event.finish in _TOOL_FINISHES
        or not event.finish
        or usage.reasoning_tokens
        or _context_tokens(usage) > SMALL_INPUT_TOKENS
        or not 0 < (usage.output_tokens or 0) <= SMALL_OUTPUT_TOKENS
        or _rate(rates, Meter.OUTPUT) < PREMIUM_RATIO * _rate(small, Meter.OUTPUT)
    ):
        return
    cheaper = sum(
        (_rate(rates, meter) - _rate(small, meter)) * count
        for meter, count in (
            (Meter.INPUT, usage.input_tokens or 0),
            (Meter.CACHE_READ, usage.cache_read_tokens or 0),
            (Meter.CACHE_WRITE_5M, usage.cache_write_5m_tokens or 0),
            (Meter.OUTPUT, usage.output_tokens or 0),
        )
    )
    tally.found(SMALL, session, cheaper)


def _cache_value(calls: Iterable[PricedEvent]) -> tuple[int, int]:
    """Attos that reads saved against plain input, and attos that writes cost beyond it."""
    saved = premium = 0
    for event, rates in calls:
        plain = _rate(rates, Meter.INPUT)
        saved += (event.usage.cache_read_tokens or 0) * (plain - _rate(rates, Meter.CACHE_READ))
        premium += _written_attos(event.usage, rates)
    return saved, premium


def _written_attos(usage: Usage, rates: Rates) -> int:
    plain = _rate(rates, Meter.INPUT)
    return (usage.cache_write_5m_tokens or 0) * (_rate(rates, Meter.CACHE_WRITE_5M) - plain) + (
        usage.cache_write_1h_tokens or 0
    ) * (_rate(rates, Meter.CACHE_WRITE_1H) - plain)


def _is_empty(event: UsageEvent) -> bool:
    usage = event.usage
    came_out = (usage.output_tokens or 0) + (usage.reasoning_tokens or 0) + (usage.output_image_tokens or 0)
    return usage.output_tokens == 0 and not came_out and event.finish not in _TOOL_FINISHES


def _writes(usage: Usage) -> int:
    return (usage.cache_write_5m_tokens or 0) + (usage.cache_write_1h_tokens or 0)


def _context_tokens(usage: Usage) -> int:
    return (usage.input_tokens or 0) + (usage.cache_read_tokens or 0) + _writes(usage)


def _rate(rates: Rates, meter: Meter) -> int:
    return rate_attos(rates, meter) or 0
