"""What the gateway's own thrift saved and lost, by plan and mechanism, from what is in the ledger (docs/thrift.md).

Every figure is one that was charged: a mark's effect comes from the usage that the provider reported, a coalesced call's from what its
leader was charged, a key's from comparing with those that were drawn to go without. What nobody can know is not told: a refused
call has no cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, text

from tokenroll.engine.rating import round_half_even
from tokenroll.engine.saving import input_cost
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.identifier import HoldKey
from tokenroll.model.instant import Instant
from tokenroll.model.limits import THRIFT_COMPARED_CALLS_MIN
from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.store import schema
from tokenroll.store.attempt_record import (
    AttemptRecord,
    Outcome,
    SettleRecord,
    hold_key,
    hold_number,
    parse_record,
)
from tokenroll.store.cache_aids import KEYED, MARKED, cache_aid, marks_effect, priced_counts
from tokenroll.store.tape import TapeRelease
from tokenroll.store.usage_rollups import cards_of

MARKING, KEY, COALESCING, LOOPS = "cache marking", "cache key", "coalescing", "loops broken"
_HOW: Final = {
    MARKING: "reported cache reads at input price less read price, and writes at write price less input price",
    KEY: "input cost by the token against that of the calls drawn to go without a key, times the tokens of those with one",
    COALESCING: "what the call whose answer was shared was charged",
    LOOPS: "refused calls; what they would have cost nobody knows",
}
_ROWS_PER_FETCH: Final = 10_000
_FLAGS: Final = {"sqlite": "hex(substr(record, 2, 1)) >= '20'", "postgresql": "get_byte(record, 1) >= 32"}
"""The second byte of a record is its HOLD's flags; what was done to a request is in its bits from 32 on."""


@dataclass(slots=True)
class Effect:
    """What one mechanism came to under one plan."""

    call_count: int = 0
    unknown_count: int = 0
    """Calls that tell nothing, such as those without a report of usage."""
    saved_attos: int = 0
    lost_attos: int = 0
    read_tokens: int = 0
    written_tokens: int = 0
    withheld_count: int = 0


@dataclass(slots=True)
class _Group:
    """Calls of one plan at one card and tier, with a key or without."""

    call_count: int = 0
    input_attos: int = 0
    input_tokens: int = 0


class ThriftReport:
    """The effects of one pay cycle."""

    def __init__(self, connection: Connection, cycle: int) -> None:
        self._connection = connection
        self._card_of = cards_of(connection)
        self._plan_of = plans_of(connection)
        self._effects: dict[tuple[str, str], Effect] = {}
        self._groups: dict[tuple[str, int, str], tuple[_Group, _Group]] = {}
        table = schema.settlements.c
        is_marked = (table.outcome == Outcome.RELEASED.value) | text(_FLAGS[connection.dialect.name])
        query = select(table.hold_key, table.wallet_id, table.outcome, table.record).where(
            table.cycle == cycle, is_marked
        )
        rows = connection.execute(query.execution_options(yield_per=_ROWS_PER_FETCH))
        for number, wallet_id, outcome, record in rows:
            self._add(number, wallet_id, outcome, parse_record(record))
        self._compare()

    def rows(self) -> list[dict[str, Any]]:
        """A row for each plan and mechanism that did anything."""
        return [_told(plan, mechanism, self._effects[plan, mechanism]) for plan, mechanism in sorted(self._effects)]

    def _effect(self, plan: str, mechanism: str) -> Effect:
        return self._effects.setdefault((plan, mechanism), Effect())

    def _add(self, number: int, wallet_id: int, outcome: int, attempt: AttemptRecord) -> None:
        plan = self._plan_of(wallet_id, attempt.hold.admitted_at)
        if outcome == Outcome.RELEASED:
            self._add_released(number, plan, attempt)
            return
        aid = cache_aid(attempt.hold.flags)
        settle = attempt.settle
        if settle is None or not aid:
            return
        if aid == MARKED:
            self._add_marked(plan, attempt, settle)
        else:
            self._add_keyed(plan, attempt, settle, with_key=aid == KEYED)

    def _add_released(self, number: int, plan: str, attempt: AttemptRecord) -> None:
        release = attempt.release
        if release is None or release.reason not in {TapeRelease.COALESCED, TapeRelease.LOOP_BROKEN}:
            return
        if release.reason == TapeRelease.LOOP_BROKEN:
            self._effect(plan, LOOPS).call_count += 1
            return
        effect = self._effect(plan, COALESCING)
        effect.call_count += 1
        own = hold_key(number)
        leader = hold_number(HoldKey(own.worker, own.epoch, release.leader_sequence))
        settlements = schema.settlements.c
        charge = self._connection.scalar(select(settlements.charge_nanos).where(settlements.hold_key == leader))
        if charge is None:
            effect.unknown_count += 1
        else:
            effect.saved_attos += charge * ATTOS_PER_NANO

    def _add_marked(self, plan: str, attempt: AttemptRecord, settle: SettleRecord) -> None:
        effect = self._effect(plan, MARKING)
        effect.call_count += 1
        came_to = marks_effect(attempt, self._card_of)
        if came_to is None:
            effect.unknown_count += 1
            return
        effect.saved_attos += came_to[0]
        effect.lost_attos += came_to[1]
        effect.read_tokens += _counted(settle, Meter.CACHE_READ)
        effect.written_tokens += _counted(settle, Meter.CACHE_WRITE_5M) + _counted(settle, Meter.CACHE_WRITE_1H)

    def _add_keyed(self, plan: str, attempt: AttemptRecord, settle: SettleRecord, *, with_key: bool) -> None:
        effect = self._effect(plan, KEY)
        if with_key:
            effect.call_count += 1
        else:
            effect.withheld_count += 1
        priced = list(priced_counts(attempt, settle, self._card_of))
        if not priced:
            effect.unknown_count += with_key
            return
        groups = self._groups.setdefault((plan, attempt.hold.rate_card_id, settle.service_tier), (_Group(), _Group()))
        group = groups[0 if with_key else 1]
        group.call_count += 1
        for rates, counts in priced:
            attos, tokens = input_cost(rates, counts)
            group.input_attos += attos
            group.input_tokens += tokens
        if with_key:
            effect.read_tokens += _counted(settle, Meter.CACHE_READ)

    def _compare(self) -> None:
        """What keys came to, where enough calls went with and without one at the same card and tier."""
        for (plan, _, _), (keyed, withheld) in self._groups.items():
            effect = self._effect(plan, KEY)
            if min(keyed.call_count, withheld.call_count) < THRIFT_COMPARED_CALLS_MIN or not withheld.input_tokens:
                effect.unknown_count += keyed.call_count
                continue
            expected = round_half_even(withheld.input_attos * keyed.input_tokens, withheld.input_tokens)
            effect.saved_attos += max(0, expected - keyed.input_attos)
            effect.lost_attos += max(0, keyed.input_attos - expected)


def _counted(settle: SettleRecord, meter: Meter) -> int:
    return settle.counts[METER_INDEX[meter]] or 0


def _told(plan: str, mechanism: str, effect: Effect) -> dict[str, Any]:
    knows = mechanism != LOOPS and effect.unknown_count < effect.call_count
    saved = round_half_even(effect.saved_attos, ATTOS_PER_NANO)
    lost = round_half_even(effect.lost_attos, ATTOS_PER_NANO)
    row: dict[str, Any] = {
        "plan": plan, "mechanism": mechanism, "call_count": effect.call_count,
        "unknown_count": effect.unknown_count if mechanism != LOOPS else effect.call_count,
        "saved_nanos": saved if knows else None, "lost_nanos": lost if knows else None,
        "net_nanos": saved - lost if knows else None, "how": _HOW[mechanism],
    }  # fmt: skip
    if mechanism in {MARKING, KEY}:
        row["read_tokens"] = effect.read_tokens
    if mechanism == MARKING:
        row["written_tokens"] = effect.written_tokens
    if mechanism == KEY:
        row["withheld_count"] = effect.withheld_count
    return row


def plans_of(connection: Connection) -> Callable[[int, Instant], str]:
    """The name of the plan whose terms a wallet had at an instant (services/leasing.py); "" for none."""
    plans = schema.plans.c
    versions: dict[str, list[tuple[Instant, int]]] = {}
    names: dict[int, str] = {}
    for plan_id, name, effective_at in connection.execute(
        select(plans.id, plans.name, plans.effective_at).order_by(plans.name, plans.version)
    ):
        names[plan_id] = name
        versions.setdefault(name, []).append((effective_at, plan_id))
    grants = schema.grants.c
    known: dict[int, list[tuple[Instant, str]]] = {}

    def plan_of(wallet_id: int, at: Instant) -> str:
        if wallet_id not in known:
            rows = connection.execute(select(grants.recorded_at, grants.plan_id).where(grants.wallet_id == wallet_id))
            known[wallet_id] = [(recorded_at, names[plan_id]) for recorded_at, plan_id in rows]
        best: tuple[tuple[Instant, int], str] | None = None
        for name in {name for recorded_at, name in known[wallet_id] if recorded_at <= at}:
            held = [one for one in versions[name] if one[0] <= at]
            newest = held[-1] if held else versions[name][0]
            if best is None or newest > best[0]:
                best = newest, name
        return "" if best is None else best[1]

    return plan_of
