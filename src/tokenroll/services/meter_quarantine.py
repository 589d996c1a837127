"""What is quarantined: calls whose meter cannot be right stay in every sum and out of every forecast and score until somebody confirms them.

The rule is that of `insight/broken_meters.py`, the calls are the lake's, the decisions lie beside its manifest. A call that was rejected
stays out for good, also when the rule finds it no longer; one that was confirmed counts like any other.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tokenroll.insight.broken_meters import SEEN_WITH, times_of
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant
from tokenroll.model.limits import METER_REASON_CHARACTERS_MAX, NAME_CHARACTERS_MAX
from tokenroll.services.wire import CREDITS
from tokenroll.store.lake import Lake, LakeView
from tokenroll.store.lake_decisions import MeterDecision, Verdict, verdicts
from tokenroll.store.lake_manifest import LakeError
from tokenroll.store.lake_meters import MeterCall, meter_calls
from tokenroll.store.lake_queries import UsageQuery

WAITING: Final = "waiting"
"""Quarantined, and nobody has decided."""
_AMOUNTS: Final = {
    "list": "list cost",
    "net": "net cost",
    "billed": "billed cost",
    "charge": "charge",
    "model_tokens": "model tokens",
}


class Judged(NamedTuple):
    """A call and what was decided about it, if anything was."""

    call: MeterCall
    decision: MeterDecision | None

    @property
    def state(self) -> str:
        """`waiting`, `confirmed` or `rejected`."""
        return WAITING if self.decision is None else self.decision.verdict.value

    @property
    def is_left_out(self) -> bool:
        """Whether forecasts and scores do without it."""
        return self.state != Verdict.CONFIRMED


class LeftOut(NamedTuple):
    """What an answer does without: how many calls and how much of the measure that it is about; `unit` is that of the amount."""

    call_count: int = 0
    amount: int = 0
    unit: str = ""
    measure: str = "list"

    def text(self) -> str:
        """One sentence with the next step."""
        called = _AMOUNTS[self.measure]
        amount = (
            f"{self.amount} {called}"
            if self.measure == "model_tokens"
            else f"{text_from_nanos(self.amount, 2)} {self.unit} of {called}"
        )
        calls, their, them = (
            ("1 call", "its", "it") if self.call_count == 1 else (f"{self.call_count} calls", "their", "them")
        )
        return f"{calls} with {amount} left out, since {their} meter cannot be right (W12), until somebody confirms {them}: `{SEEN_WITH}`"

    def json(self) -> dict[str, Any]:
        """The same for programs."""
        is_count = self.measure == "model_tokens"
        amount = str(self.amount) if is_count else text_from_nanos(self.amount, 2)
        return {"call_count": self.call_count, "amount": amount, "unit": self.unit, "seen_with": SEEN_WITH}


def judged_calls(view: LakeView, query: UsageQuery | None = None) -> list[Judged]:
    """The calls of a question's period and conditions whose meter cannot be right or was decided about, dearest first."""
    decided = verdicts(view.decisions)
    found = meter_calls(view, query or UsageQuery())
    return [Judged(one, decided.get((one.source, one.event_id))) for one in found]


def quarantined(view: LakeView, query: UsageQuery) -> list[MeterCall]:
    """The calls of a question that no forecast and no score counts."""
    return [one.call for one in judged_calls(view, query) if one.is_left_out]


def amount_of(call: MeterCall, measure: str) -> int:
    """What a sum of this measure has of a call."""
    return {
        "list": call.list_cost_nanos,
        "net": call.net_cost_nanos,
        "billed": call.billed_cost_nanos,
        "charge": call.charge_nanos,
        "model_tokens": call.model_tokens,
    }[measure] or 0


def left_out(calls: Collection[MeterCall], measure: str, currency: str) -> LeftOut:
    """What an answer in one currency says of the calls that it does without."""
    unit = {"charge": CREDITS, "model_tokens": "model tokens"}.get(measure, currency or "USD")
    return LeftOut(len(calls), sum(amount_of(one, measure) for one in calls), unit, measure)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterLine:
    """One line of the list: the calls of a source and model in one currency and one state, as they are now."""

    source: str
    model: str
    currency: str
    state: str
    since_at: Instant
    last_at: Instant
    list_cost_nanos: int
    times_least: int
    times_most: int
    calls: tuple[MeterCall, ...]
    decision: MeterDecision | None

    @property
    def call_count(self) -> int:
        """How many calls it is about."""
        return len(self.calls)


def meter_lines(judged: Iterable[Judged]) -> list[MeterLine]:
    """The list of what is quarantined and what was decided: what waits first, then the dearest."""
    groups: dict[tuple[str, str, str, str], list[Judged]] = {}
    for one in judged:
        decision = one.decision.id if one.decision else ""
        groups.setdefault((one.call.source, one.call.model, one.call.currency, decision), []).append(one)
    lines = [_line([one.call for one in group], group[0]) for group in groups.values()]
    return sorted(lines, key=lambda one: (one.state != WAITING, -one.list_cost_nanos, one.source, one.model))


def _line(calls: Sequence[MeterCall], first: Judged) -> MeterLine:
    factors = [times_of(one.cost_nanos, one.usual_nanos) for one in calls]
    return MeterLine(
        source=first.call.source,
        model=first.call.model,
        currency=first.call.currency,
        state=first.state,
        since_at=min(one.admitted_at for one in calls),
        last_at=max(one.admitted_at for one in calls),
        list_cost_nanos=sum(one.list_cost_nanos or 0 for one in calls),
        times_least=min(factors),
        times_most=max(factors),
        calls=tuple(calls),
        decision=first.decision,
    )


class DecisionError(ValueError):
    """A decision that cannot be taken; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """What somebody wants to decide: of which source and model, of all its calls on the list or of some, who and why."""

    id: str
    verdict: Verdict
    source: str
    model: str
    event_ids: tuple[str, ...]
    by: str
    reason: str


def decision_of(view: LakeView, asked: Deciding, now: Instant) -> MeterDecision:
    """The decision as it would be written; a call that has this verdict already is not decided again. Raises DecisionError."""
    for before in view.decisions:
        if before.id == asked.id:
            if _is_same(before, asked):
                return before
            raise DecisionError(f"{asked.id} is the id of another decision: give this one an id of its own")
    for name, text, most in (
        ("--by", asked.by, NAME_CHARACTERS_MAX),
        ("--reason", asked.reason, METER_REASON_CHARACTERS_MAX),
    ):
        if not text.strip() or len(text) > most:
            raise DecisionError(f"{name} has 1 to {most} characters: a decision says who took it and why")
    listed = [one for one in judged_calls(view) if (one.call.source, one.call.model) == (asked.source, asked.model)]
    known = {one.call.event_id for one in listed}
    for event_id in asked.event_ids:
        if event_id not in known:
            raise DecisionError(
                f"{event_id} is no call of {asked.source} and {asked.model} on the list: see `{SEEN_WITH} --json`"
            )
    if not listed:
        raise DecisionError(f"nothing of {asked.source} and {asked.model} is on the list: see `{SEEN_WITH}`")
    wanted = [
        one.call
        for one in listed
        if one.state != asked.verdict
        and (one.call.event_id in asked.event_ids if asked.event_ids else one.state == WAITING)
    ]
    if not wanted:
        raise DecisionError(
            f"nothing of {asked.source} and {asked.model} waits for a decision: one that was decided is named with --call"
        )
    return MeterDecision(
        id=asked.id, verdict=asked.verdict, source=asked.source, model=asked.model, by=asked.by.strip(), reason=asked.reason.strip(),
        event_ids=tuple(sorted({one.event_id for one in wanted})), decided_at=now,
        list_cost_nanos=str(sum(one.list_cost_nanos or 0 for one in wanted)),
    )  # fmt: skip


def _is_same(before: MeterDecision, asked: Deciding) -> bool:
    """Whether a write says what its id already says; calls that it does not name are those that it found then."""
    says = (asked.verdict, asked.source, asked.model, asked.by.strip(), asked.reason.strip())
    told = (before.verdict, before.source, before.model, before.by, before.reason)
    return says == told and (not asked.event_ids or set(asked.event_ids) == set(before.event_ids))


def decide(lake: Lake, asked: Deciding, now: Instant) -> MeterDecision:
    """The decision, written; under an id that has decided already, its answer again. Raises DecisionError."""
    try:
        return lake.decide(decision_of(LakeView(lake.directory), asked, now))
    except LakeError as error:
        raise DecisionError(str(error)) from error
