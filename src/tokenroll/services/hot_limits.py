"""Limits as their worker counts them: raised when a wallet is drawn, trued up when the call ends, in memory and without messages.

They mean what `engine/limiting` means; a property test proves it. A call that no limit counts pays for one look at an empty list.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from tokenroll.engine.limiting import frees_at, is_pace
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limit import LIMIT_MEASURES, Degrade, LimitMeasure, LimitScope, WindowKind
from tokenroll.model.limits import LIMIT_RETRY_SECONDS_MAX, OUTPUT_CAP_FLOOR_TOKENS, WAITING_CALLS_MAX
from tokenroll.model.pay_cycle import PayCalendar
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, TOKEN_METER_COUNT, Meter
from tokenroll.services.access_paces import access_terms
from tokenroll.services.hot import NEVER, Deployment, Wait
from tokenroll.services.protocol import CounterChange, KeyTerms, LimitTerms
from tokenroll.services.windows import window_of
from tokenroll.store import tape as tapes
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.pace import INPUT_TOKENS as PACE_INPUT
from tokenroll.upstream.pace import KINDS, REQUESTS, TOKENS, Pace
from tokenroll.upstream.pace import OUTPUT_TOKENS as PACE_OUTPUT

if TYPE_CHECKING:
    from tokenroll.services.hot import HotHold, HotKey, HotWallet

CREDITS: Final = LIMIT_MEASURES.index(LimitMeasure.CREDITS)
CALLS: Final = LIMIT_MEASURES.index(LimitMeasure.CALLS)
INPUT_TOKENS: Final = LIMIT_MEASURES.index(LimitMeasure.INPUT_TOKENS)
OUTPUT_TOKENS: Final = LIMIT_MEASURES.index(LimitMeasure.OUTPUT_TOKENS)
_UNITS: Final = ("credits", "calls", "model tokens", "input tokens", "output tokens")
"""By the number of the measure."""
_INPUT_METERS: Final = (1 << len(INPUT_METERS)) - 1
_TOKEN_METERS: Final = (1 << TOKEN_METER_COUNT) - 1
"""The bits of a counts mask that count model tokens, and those of them that went in."""
_PACE_KINDS: Final[tuple[tuple[int, ...], ...]] = (
    (),
    (REQUESTS,),
    (TOKENS,),
    (TOKENS, PACE_INPUT),
    (TOKENS, PACE_OUTPUT),
)
"""As which kinds of pace a limit is told, by the number of its measure: the providers' `tokens` are those of the tightest of all."""
_PACE_WORDS: Final = (("", ""), ("requests", "R"), ("tokens", "T"), ("input tokens", "IT"), ("output tokens", "OT"))
_PACE_UNITS: Final = {
    (WindowKind.MINUTE, 0): ("min", "PM"), (WindowKind.ROLLING, 60): ("min", "PM"),
    (WindowKind.DAY, 0): ("day", "PD"), (WindowKind.ROLLING, 86_400): ("day", "PD"),
}  # fmt: skip
"""The providers' words for windows, and their short ones."""
_CACHE_READ: Final = 1 << METER_INDEX[Meter.CACHE_READ]
_RAISE: Final = tapes.LIMIT_RAISE.pack
_SPLITS: Final[dict[int, tuple[int, int, int]]] = {}
"""Of the few masks of counts that are met, by mask (see `_split`)."""
UNLIMITED_GRAINS: Final = 10**18
"""What a cap is where output costs nothing: more than any model answers."""


class HotCounter:
    """What one window (or part of a rolling one) has counted, open calls at their bounds."""

    __slots__ = ("is_live", "limit", "start_at", "used")

    def __init__(self, limit: "HotLimit", start_at: Instant, used: int) -> None:
        self.limit = limit
        self.start_at = start_at
        self.used = used
        self.is_live = True
        """Whether it still counts; a call that ends later changes it all the same, and the limit no more."""

    def change(self, amount: int) -> None:
        """So much more, or less."""
        self.used += amount
        if self.is_live:
            self.limit.used += amount


class HotLimit:
    """A limit, and how far it is used now. Windows, overrides and its own dates are looked at when the clock passes `turns_at`."""

    __slots__ = (
        "calendars", "cap", "cheaper_model", "clamps", "counters", "counts_output", "current", "current_frees_at", "enforces", "held", "holds", "id", "is_pace", "kind", "measure", "model",
        "name", "overage", "pace_bits", "pace_kinds", "scope_text", "tag", "terms", "turns_at", "used", "waiting", "warns", "window_turns_at", "zone",
    )  # fmt: skip

    def __init__(self, terms: LimitTerms, calendars: tuple[PayCalendar, ...] = ()) -> None:
        self.id = terms.id
        self.calendars = calendars
        self.used = 0
        self.held = 0
        """The part of `used` that open calls may still give back."""
        self.waiting: deque[Wait] = deque()
        """Calls that are held back until it has room for them."""
        self.counters: list[HotCounter] = []
        self.current: HotCounter | None = None
        self.current_frees_at: Instant = 0
        """When the current counter is counted no more."""
        for start_at, used in terms.counters:
            self.counters.append(HotCounter(self, start_at, used))
            self.used += used
        self.set_terms(terms)

    def set_terms(self, terms: LimitTerms) -> None:
        """What the ledger says of it. What was counted here is known better than there."""
        self.terms = terms
        self.name = terms.name
        self.scope_text = terms.scope_text
        self.model = terms.model
        self.tag = terms.tag
        self.kind = WindowKind(terms.window)
        self.is_pace = is_pace(self.kind, terms.window_seconds)
        self.zone = ZoneInfo(terms.zone)
        self.measure = LIMIT_MEASURES.index(LimitMeasure(terms.measure))
        self.counts_output = self.measure not in {CALLS, INPUT_TOKENS}
        """Whether a shorter answer raises it by less."""
        self.enforces = terms.enforcement == Enforcement.ENFORCE
        self.pace_kinds = _PACE_KINDS[self.measure] if self.enforces else ()
        """As which of pace.KINDS clients hear of it: one that refuses nobody slows nobody down."""
        self.pace_bits = sum(1 << kind for kind in self.pace_kinds)
        self.warns = terms.enforcement == Enforcement.WARN
        self.clamps = terms.degrade == Degrade.CLAMP
        self.cheaper_model = terms.cheaper_model
        self.overage = terms.overage
        self.cap = terms.cap
        self.holds = False
        self.turns_at: Instant = 0
        self.window_turns_at: Instant = 0

    def look(self, now: Instant) -> None:
        """Window, cap and whether it holds, as of `now`; they stay so until `turns_at`."""
        terms = self.terms
        if now >= self.window_turns_at:
            self._turn(now)
        boundaries = [self.window_turns_at]
        ends_at = terms.expires_at or NEVER
        self.holds = terms.effective_at <= now < ends_at
        self.cap = terms.cap
        boundaries += [at for at in (terms.effective_at, ends_at) if at > now]
        for cap, effective_at, expires_at in terms.overrides:  # oldest first: the newest that holds decides
            if effective_at <= now < expires_at:
                self.cap = cap
            boundaries += [at for at in (effective_at, expires_at) if at > now]
        self.turns_at = min(boundaries)

    def _turn(self, now: Instant) -> None:
        window = window_of(self.kind, self.terms.window_seconds, now, self.zone, self.calendars)
        self.window_turns_at = window.turns_at
        live: list[HotCounter] = []
        self.current = None
        for counter in self.counters:
            if counter.start_at < window.counted_from:
                counter.is_live = False
                self.used -= counter.used
                continue
            live.append(counter)
            if counter.start_at == window.start_at:
                self.current = counter
        if self.current is None:
            self.current = HotCounter(self, window.start_at, 0)
            live.append(self.current)
        self.current_frees_at = frees_at(self.kind, self.terms.window_seconds, window.start_at, window.turns_at)
        self.counters = live

    def change(self, start_at: Instant, amount: int) -> None:
        """The ledger resolved a call of that counter; one that counts no more is nobody's business here."""
        for counter in self.counters:
            if counter.start_at == start_at:
                counter.change(amount)

    def amount_of(self, hold: "HotHold") -> int:
        """What the hold raises it by (engine/limiting.raised_by)."""
        measure = self.measure
        if measure == CREDITS:
            return hold.bound_nanos
        if measure == CALLS:
            return 1
        output_tokens = hold.choice_count * hold.output_tokens_max
        if measure == OUTPUT_TOKENS:
            return output_tokens
        return hold.input_tokens_max if measure == INPUT_TOKENS else hold.input_tokens_max + output_tokens

    def fitting_cap(self, hold: "HotHold", room: int, fixed_grains: int) -> int:
        """The largest output cap with which the hold raises it by `room` at most; 0 when none does."""
        if self.measure == CREDITS:
            rates = hold.rates
            return fitting_cap(room * rates.grains_per_nano, fixed_grains, hold.choice_count * rates.output_grains)
        if self.measure != OUTPUT_TOKENS:
            room -= hold.input_tokens_max
        return max(0, room) // hold.choice_count

    def fits_at(self, amount: int) -> Instant:
        """When a call that raises it by `amount` fits, if no other comes before it; 0 when it is above the whole cap."""
        if amount > self.cap:
            return 0
        excess = self.used + amount - self.cap
        at = self.window_turns_at
        for counter in sorted(self.counters, key=lambda one: one.start_at):
            at = frees_at(self.kind, self.terms.window_seconds, counter.start_at, self.window_turns_at)
            excess -= counter.used
            if excess <= 0:
                break
        return at

    def wait_for(self, hold: "HotHold", amount: int, patience_micros: int) -> Wait | None:
        """How a call that does not fit may wait for a pace: until its window has turned, or open calls have given back what they do not use.

        None where that would take longer than the patience: no more wait than there will be room for.
        """
        waiting = self.waiting
        if not self.is_pace or len(waiting) >= WAITING_CALLS_MAX:
            return None
        wanted = amount + sum(one.needed for one in waiting)
        latest_at = hold.admitted_at + patience_micros
        fits_at = self.fits_at(wanted)
        if 0 < fits_at <= latest_at:
            return Wait(limit=self, needed=amount, until=fits_at)
        if self.measure != CALLS and self.used + wanted - self.cap <= self.held:  # a call is one call when it ends
            return Wait(limit=self, needed=amount, until=latest_at)
        return None

    def wake(self) -> None:
        """Wakes those in front for whom there is room now."""
        promised = 0
        while self.waiting:
            wait = self.waiting[0]
            promised += wait.needed
            if self.used + promised > self.cap:
                return
            self.waiting.popleft()
            if wait.wake is not None:
                wait.wake()

    def restored_at(self, now: Instant) -> Instant:
        """When nothing of it will be used, if no call comes before."""
        current = self.current
        if current is not None and current.used:  # it is the newest
            return self.current_frees_at
        for counter in reversed(self.counters):
            if counter.used:
                return frees_at(self.kind, self.terms.window_seconds, counter.start_at, self.window_turns_at)
        return now

    def pace_text(self, amount: int) -> str:
        """How far it is used, as the providers word their own rate limits; nothing for one of credits."""
        what, letters = _PACE_WORDS[self.measure]
        if not what:
            return ""
        seconds = self.terms.window_seconds
        unit, letter = _PACE_UNITS.get((self.kind, seconds), (f"{seconds} s" if seconds else self.kind.value, ""))
        short = f" ({letters}{letter})" if letter else ""
        return f"{self.scope_text} on {what} per {unit}{short}: Limit {self.cap}, Used {self.used}, Requested {amount}"

    def text(self, amount: int) -> str:
        """An amount of its measure, with its unit."""
        if self.measure == CREDITS:
            return f"{text_from_nanos(amount, 2)} credits"
        return f"{amount} {_UNITS[self.measure]}"

    @property
    def window_text(self) -> str:
        """`this day`, or how long a rolling window is."""
        return (
            f"the last {self.terms.window_seconds} seconds"
            if self.kind is WindowKind.ROLLING
            else f"this {self.kind.value}"
        )


class Counting:
    """Which of a key's limits count calls to one model under the same tags: so until `turns_at`, and until a limit is another one.

    Found once for many calls, because nearly every call of a key is like its last one.
    """

    __slots__ = ("clamps", "counters", "ledger_places", "limits", "model", "pace_bits", "revision", "tags", "turns_at")

    def __init__(self, limits: list[HotLimit], model: str, tags: str, now: Instant, revision: int) -> None:
        self.model = model
        self.tags = tags
        self.revision = revision
        self.turns_at: Instant = NEVER
        self.limits: list[HotLimit] = []
        self.counters: list[HotCounter] = []
        """What each of them counts now."""
        self.clamps = False
        self.pace_bits = 0
        """Which of pace.KINDS they are told as."""
        self.ledger_places: list[int] = []
        """Which of them the ledger counts, too."""
        for limit in limits:
            if now >= limit.turns_at:
                limit.look(now)
            self.turns_at = min(self.turns_at, limit.turns_at)
            if (
                limit.holds
                and (not limit.model or limit.model == model)
                and (not limit.tag or limit.tag in tags.split(","))
            ):
                counter = limit.current
                assert counter is not None  # since it has looked at the clock
                if limit.id:
                    self.ledger_places.append(len(self.limits))
                self.limits.append(limit)
                self.counters.append(counter)
                self.pace_bits |= limit.pace_bits
                self.clamps = self.clamps or limit.clamps


_NOTHING: Final = Counting([], "", "", 0, 0)


def _split(mask: int) -> tuple[int, int, int]:
    """Of the counts under a mask: how many are input, how many are tokens, and the place of cache reads (-1: there is none)."""
    known = _SPLITS.get(mask)
    if known is None:
        cached_place = (mask & (_CACHE_READ - 1)).bit_count() if mask & _CACHE_READ else -1
        known = (mask & _INPUT_METERS).bit_count(), (mask & _TOKEN_METERS).bit_count(), cached_place
        _SPLITS[mask] = known
    return known


class Limited:
    """The limits that count one hold, and by how much it raised them."""

    __slots__ = (
        "amounts",
        "clamps",
        "counters",
        "flags",
        "ledger_places",
        "limits",
        "may_reroute",
        "notes",
        "pace_bits",
        "too_fast",
        "would_deny",
    )

    def __init__(self, counting: Counting) -> None:
        self.limits = counting.limits
        self.counters = counting.counters
        self.ledger_places = counting.ledger_places
        self.pace_bits = counting.pace_bits
        self.clamps = counting.clamps
        self.amounts: list[int] = []
        self.flags: dict[int, int] = {}
        """Of those that it would not have fitted, by their place: what the HOLD says of it."""
        self.may_reroute = True
        self.would_deny = False
        self.too_fast = False
        """Whether its plan's pace would have refused it."""
        self.notes = b""
        """Header lines: what the client is told of them."""

    def lift(self) -> None:
        """All of them raised by what `fit` found: the hold is drawn."""
        amounts = self.amounts
        for place, counter in enumerate(self.counters):
            amount = amounts[place]
            limit = counter.limit
            counter.used += amount
            if counter.is_live:
                limit.used += amount
            limit.held += amount

    def record(self) -> bytes:
        """What the HOLD says of those that the ledger counts; nothing for none."""
        places = self.ledger_places
        if not places:
            return b""
        counters, amounts, flags = self.counters, self.amounts, self.flags
        record = tapes.LIMITS_HEAD.pack(len(places))
        for place in places:
            counter = counters[place]
            limit = counter.limit
            record += _RAISE(limit.id, limit.measure, flags.get(place, 0), 0, counter.start_at, amounts[place])
        return record

    def true_up(self, charge_nanos: int, mask: int, values: list[int]) -> None:
        """The call was settled, with these counts under a mask: each counts what it came to (engine/limiting.counted_for)."""
        input_count, token_count, cached_place = _split(mask)
        input_tokens = sum(values[:input_count])
        output_tokens = sum(values[input_count:token_count])
        cached_tokens = values[cached_place] if cached_place >= 0 else 0
        # in the order of LIMIT_MEASURES; a list, because compiled code makes a tuple anew for each look at it
        self._come_to([charge_nanos, 1, input_tokens + output_tokens, input_tokens - cached_tokens, output_tokens])

    def give_back(self) -> None:
        """The call was released: it counts nothing."""
        self._come_to([0, 0, 0, 0, 0])

    def _come_to(self, came_to: list[int]) -> None:
        amounts = self.amounts
        for place, counter in enumerate(self.counters):
            amount = amounts[place]
            limit = counter.limit
            change = came_to[limit.measure] - amount
            counter.used += change
            if counter.is_live:
                limit.used += change
            limit.held -= amount
            if limit.waiting:
                limit.wake()

    def suspend(self) -> None:
        """Its fate is to be found out: it stays raised, and nobody here gives it back."""
        for counter, amount in zip(self.counters, self.amounts, strict=True):
            counter.limit.held -= amount


class Reroute:
    """Not with this model: a limit or the floor sends the call to a cheaper one. Given back to admission once it is known where that is served.

    Or nobody could answer with it, and a deployment names another one: `is_fallback`.
    """

    __slots__ = ("deployment", "floor", "is_fallback", "limit", "model")

    def __init__(self, model: str, limit: str, floor: "HotKey | None" = None, *, is_fallback: bool = False) -> None:
        self.is_fallback = is_fallback
        self.model = model
        self.limit = limit
        self.floor = floor
        """Not a limit but an empty wallet sends it: with whose pool the floor's model is paid."""
        self.deployment: Deployment | None = None
        """None: nowhere here, so the limit's own denial is the answer."""


class HotLimits:
    """All limits of a worker, and which of them count a key's calls."""

    __slots__ = ("_access", "_by_scope", "_calendars", "_revision", "known")

    def __init__(self) -> None:
        self._access: dict[tuple[int, str], HotLimit] = {}
        self._calendars: tuple[PayCalendar, ...] = ()
        self._revision = 0
        """How often a limit was made or changed."""
        self.known: dict[int, HotLimit] = {}
        self._by_scope: dict[tuple[str, int], list[HotLimit]] = {}

    def apply(self, limits: Iterable[LimitTerms]) -> None:
        """New limits, and new terms of known ones."""
        self._revision += 1
        for terms in limits:
            limit = self.known.get(terms.id)
            if limit is not None:
                limit.set_terms(terms)
                continue
            limit = self.known[terms.id] = HotLimit(terms, self._calendars)
            subject = terms.subject_id if terms.scope in _WITH_SUBJECT else 0
            self._by_scope.setdefault((terms.scope, subject), []).append(limit)

    def set_calendars(self, calendars: tuple[PayCalendar, ...]) -> None:
        """Which pay cycles there are: windows of a cycle are found again."""
        self._calendars = calendars
        self._revision += 1
        for limit in self.known.values():
            limit.calendars = calendars
            limit.turns_at = limit.window_turns_at = 0

    def restart(self, limits: Iterable[LimitTerms]) -> None:
        """Everything as the ledger says it: before the first call it knows best."""
        limits = list(limits)
        for terms in limits:
            known = self.known.pop(terms.id, None)
            if known is not None:
                for one in self._by_scope.values():
                    if known in one:
                        one.remove(known)
        self.apply(limits)

    def change(self, changes: Iterable[CounterChange]) -> None:
        """Calls in suspense that the ledger resolved."""
        for one in changes:
            limit = self.known.get(one.limit_id)
            if limit is not None:
                limit.change(one.start_at, one.change)

    def of_key(self, terms: KeyTerms) -> list[HotLimit]:
        """Those that may count a key's calls, whatever its model and tags."""
        by_scope = self._by_scope
        found = list(by_scope.get(("company", 0), ()))
        for department_id in terms.department_ids:
            found += by_scope.get(("department", department_id), ())
        found += by_scope.get(("member", terms.member_id), ())
        found += by_scope.get(("key", terms.id), ())
        found += by_scope.get(("model", 0), ())
        return found + by_scope.get(("tag", 0), [])

    def counting(self, key: "HotKey", model: str, tags: str, now: Instant) -> Limited | None:
        """Those of a key's limits that count a call to this model under these tags at `now`; None: none does."""
        known = key.counting
        if (
            known is None
            or now >= known.turns_at
            or known.model != model
            or known.tags != tags
            or known.revision != self._revision
        ):
            known = key.counting = Counting(key.limits, model, tags, now, self._revision)
        return Limited(known) if known.limits else None

    def of_access(self, wallet: "HotWallet") -> list[HotLimit]:
        """How fast a wallet's plan gives access: over the last minute and over the day, counted here alone, since it is no money.

        A minute is soon forgotten; a day begins with what the ledger knows of it, so that another life of this worker goes on with it.
        """
        self._revision += 1
        found = []
        for terms in access_terms(wallet):
            limit = self._access.get((wallet.id, terms.name))
            if limit is None:
                limit = self._access[wallet.id, terms.name] = HotLimit(terms)
            else:
                limit.set_terms(terms)
            found.append(limit)
        return found


_WITH_SUBJECT: Final = frozenset({LimitScope.DEPARTMENT.value, LimitScope.MEMBER.value, LimitScope.KEY.value})


def paces_of(limits: list[HotLimit], now: Instant, kind_count: int = len(KINDS)) -> list[Pace]:
    """Of each of the first so many kinds the limit with the least left at `now`: the one that refuses first."""
    tightest: list[HotLimit | None] = [None] * kind_count
    for limit in limits:
        if now >= limit.turns_at:
            limit.look(now)
        if limit.holds:
            for kind in limit.pace_kinds:
                if kind < kind_count:
                    known = tightest[kind]
                    if known is None or limit.cap - limit.used < known.cap - known.used:
                        tightest[kind] = limit
    return [
        Pace(kind, limit.cap, max(0, limit.cap - limit.used), limit.restored_at(now))
        for kind, limit in enumerate(tightest)
        if limit is not None
    ]


def rerouted(limited: Limited | None, reroute: Reroute) -> Limited:
    """The same for a call that goes to another model: once is enough, and the client is told."""
    limited = Limited(_NOTHING) if limited is None else limited
    limited.may_reroute = False
    if reroute.deployment is not None:
        why = (
            "x-tokenroll-fallback: true"
            if reroute.is_fallback
            else "x-tokenroll-floor: true"
            if reroute.floor is not None
            else f"x-tokenroll-limit: {reroute.limit}; cheaper_model"
        )
        limited.notes = f"{why}\r\nx-tokenroll-model: {reroute.model}\r\n".encode()
    return limited


def fit(
    hold: "HotHold", limited: Limited, facts: Facts, available: int, fixed_grains: int, patience_micros: int
) -> Denial | Wait | Reroute | None:
    """The hold made to fit its limits where policy says so, and what each says of it; None: it may be drawn.

    `patience_micros` is how long the call may wait for a pace; 0: not at all. A limit that refuses it for good comes before that.
    """
    wait: Wait | None = None
    may_lower = facts.has_output and facts.is_text and facts.batched is None
    if (limited.clamps or facts.output_cap_tokens == 0) and may_lower:
        _lower(hold, limited, facts, available, fixed_grains)
    output_tokens = hold.choice_count * hold.output_tokens_max
    input_tokens = hold.input_tokens_max
    # in the order of LIMIT_MEASURES
    raises = [hold.bound_nanos, 1, input_tokens + output_tokens, input_tokens, output_tokens]
    for limit in limited.limits:
        amount = raises[limit.measure]
        missing = limit.used + amount - limit.cap
        flags = 0
        if missing > 0:
            if not limit.enforces:
                flags = tapes.RAISE_WOULD_DENY
                limited.would_deny = True
                if not limit.id:
                    limited.too_fast = hold.would_deny = True  # no counter of the ledger's can say so
                if limit.warns:
                    limited.notes += _warning(limit, amount)
            elif missing <= limit.overage:
                flags = tapes.RAISE_OVERAGE
                limited.notes += _above(limit, missing)
            elif (
                limit.cheaper_model
                and may_lower  # a model that talks embeds and draws nothing, and batches are sent as they are
                and limited.may_reroute
                and limit.cheaper_model != hold.card.card.model
            ):
                return Reroute(limit.cheaper_model, limit.name)
            elif patience_micros and (waits := limit.wait_for(hold, amount, patience_micros)) is not None:
                wait = waits
            else:
                denial = _denial(hold, limit, amount, facts, fixed_grains)
                denial.at = hold.admitted_at
                denial.paces = paces_of(limited.limits, hold.admitted_at)
                return denial
        if flags:
            limited.flags[len(limited.amounts)] = flags
        limited.amounts.append(amount)
    return wait


def _lower(hold: "HotHold", limited: Limited, facts: Facts, available: int, fixed_grains: int) -> None:
    """The output cap lowered for its limits, never below the floor, nor at or below a thinking budget.

    One of ours takes a quarter of what is left at most, so that one call does not starve its parallel ones; a client's own becomes
    what fits where a limit clamps.
    """
    cap = hold.output_tokens_max
    ours = facts.output_cap_tokens == 0
    least = max(
        min(OUTPUT_CAP_FLOOR_TOKENS, cap) if ours else OUTPUT_CAP_FLOOR_TOKENS, facts.thinking_budget_tokens + 1
    )
    for limit in limited.limits:
        if not (limit.enforces and limit.counts_output and limit.id):
            continue  # a plan's pace guards the provider: it refuses, and shortens nobody's answer
        room = limit.cap - limit.used
        if ours:
            cap = min(cap, max(limit.fitting_cap(hold, room // 4, fixed_grains), least))
        elif limit.clamps and limit.amount_of(hold) > room:
            fitting = limit.fitting_cap(hold, room, fixed_grains)
            if least <= fitting < cap:
                cap = fitting
                limited.notes += b"x-tokenroll-limit: %b; clamp\r\n" % limit.name.encode()
    if cap == hold.output_tokens_max:
        return
    rates = hold.rates
    hold.output_tokens_max = cap
    hold.cap_changed = True
    hold.bound_nanos = -(-(fixed_grains + hold.choice_count * cap * rates.output_grains) // rates.grains_per_nano)
    if hold.company_nanos:
        hold.company_nanos = max(0, hold.bound_nanos - available)
        if not hold.company_nanos:
            hold.on_overage = hold.would_deny = False


def _denial(hold: "HotHold", limit: HotLimit, amount: int, facts: Facts, fixed_grains: int) -> Denial:
    """With all that law 4 says a person must be told."""
    next_at = limit.fits_at(amount)
    wait = next_at - hold.admitted_at
    room = limit.cap - limit.used
    left = limit.text(max(0, room))
    fitting = limit.fitting_cap(hold, room, fixed_grains) if limit.counts_output else 0
    if fitting < max(OUTPUT_CAP_FLOOR_TOKENS, facts.thinking_budget_tokens + 1):
        fitting = 0
    return Denial(
        "limit_reached",
        scope=f"The limit {limit.name} ({limit.scope_text}) has {left} left in {limit.window_text}",
        needed_nanos=amount if limit.measure == CREDITS else 0,
        left_nanos=max(0, room) if limit.measure == CREDITS else 0,
        next_at=next_at,
        model=hold.model,
        fitting_cap_tokens=fitting,
        limit=limit.name,
        limit_needed=limit.text(amount),
        limit_left=left,
        limit_held=limit.text(limit.held) if limit.held else "",
        state="" if limit.id else "plan",
        retry_after_millis=-(-wait // 1000) if 0 < wait <= LIMIT_RETRY_SECONDS_MAX * MICROS_PER_SECOND else 0,
        pace_kind=_PACE_KINDS[limit.measure][0] if limit.pace_kinds else -1,
        pace_text=limit.pace_text(amount),
    )


def _warning(limit: HotLimit, amount: int) -> bytes:
    left = limit.text(max(0, limit.cap - limit.used))
    text = (
        f"x-tokenroll-limit: {limit.name}; would-deny\r\nx-tokenroll-warning: the limit {limit.name} has {left} left in "
        f"{limit.window_text} and this call may take up to {limit.text(amount)}; under enforce it would be refused\r\n"
    )
    return text.encode()


def _above(limit: HotLimit, missing: int) -> bytes:
    text = (
        f"x-tokenroll-limit: {limit.name}; overage\r\nx-tokenroll-warning: the limit {limit.name} may run up to "
        f"{limit.text(missing)} above its cap with this call; its overage is {limit.text(limit.overage)}\r\n"
    )
    return text.encode()


def fitting_cap(budget_grains: int, fixed_grains: int, per_token_grains: int) -> int:
    """The largest cap whose bound fits the budget; 0 when not even the input does (engine/bounding.affordable_output_tokens)."""
    left_grains = budget_grains - fixed_grains
    if left_grains < 0:
        return 0
    return left_grains // per_token_grains if per_token_grains else UNLIMITED_GRAINS
