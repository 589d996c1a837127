"""The slips of a pay run out of what `slip_rows` reads: pure arithmetic over rows, which can be compiled (scripts/compile.sh)."""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from tokenroll.engine.calendar import period_step
from tokenroll.engine.paying import NO_STATE, LotRow, StateRow, slip_amounts
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.vesting import Period, PeriodUnit

STATE_FIELDS: Final = (
    "held_nanos", "suspense_nanos", "spent_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos",
    "transferred_out_nanos",
)  # fmt: skip
"""The numbers of a lot's state, in the order of `engine.paying.StateRow`."""

_NOTHING_TAKEN: Final = [0, 0, 0, 0]
_LIFETIMES_REMEMBERED_MAX: Final = 4_096


class WalletSlip(NamedTuple):
    """One wallet's slip as numbers. `amounts` holds what is not nothing; `lots` the closed states, for the next opening."""

    wallet_id: int
    zone: str
    classifications: tuple[str, ...]
    amounts: dict[str, int]
    models: dict[str, int]
    projects: dict[str, int]
    lots: dict[str, dict[str, int]]


class SlipPart(NamedTuple):
    """Some wallets' slips as a run stores them: wallet and text of each, and the sums of all their amounts."""

    sums: dict[str, int]
    slips: list[tuple[int, str]]


def part_of(slips: Iterable[WalletSlip]) -> SlipPart:
    """Slips made ready to be stored."""
    sums: dict[str, int] = {}
    texts = []
    for slip in slips:
        for name, value in slip.amounts.items():
            sums[name] = sums.get(name, 0) + value
        texts.append((slip.wallet_id, stored_text(slip)))
    return SlipPart(sums, texts)


def stored_text(slip: WalletSlip) -> str:
    """A slip as its row keeps it: what is not nothing, no name of anybody, and the states of its lots for the next opening."""
    said = {
        "zone": slip.zone,
        "classifications": slip.classifications,
        **slip.amounts,
        "models": slip.models,
        "projects": slip.projects,
        "lots": slip.lots,
    }
    return msgspec.json.encode(said).decode()


_Taken: TypeAlias = list[int]
"""What was forfeited, clawed back, voided and transferred out of a lot."""
Rolling: TypeAlias = tuple[int, str, tuple[Instant, Instant, str]]
"""Of a lot whose grant lets some roll over: the lifetime's count and unit; effective at, expires at and zone as it was granted."""
KnownLot: TypeAlias = tuple[int, int, Instant, Instant | None, str, int, Instant, int, _Taken | None, Rolling | None]
"""Id, amount, effective at, expires at, classification, origin, recorded at, spent, taken (None: nothing), rolling: as `slip_rows`
reads them."""
Spent: TypeAlias = list[tuple[int, int, int, int]]
"""Lot, label, nanos, calls."""
WalletRow: TypeAlias = tuple[
    int, str, list[KnownLot], list[tuple[Instant, int]], Spent, list[tuple[int, int, int]], list[tuple[int, int]],
    dict[str, dict[str, int]] | None,
]  # fmt: skip
"""Wallet, zone, lots, granted, spent, late, later, opened: as `slip_rows` reads them."""


class SlipMaker:
    """Makes slips of one cycle. What is known of few lots is set once, by lot or wallet, before the first.

    `span_of` is the cycle in a zone.
    """

    def __init__(self, cycle_name: str, span_of: Callable[[str], tuple[Instant, Instant]]) -> None:
        self._cycle_name = cycle_name
        self._span_of = span_of
        self._spans: dict[str, tuple[Instant, Instant]] = {}
        self.labels: dict[int, tuple[str, str, bool]] = {}
        """What calls were spent on by number: model, project, and whether they were personal."""
        self.held: dict[int, int] = {}
        self.suspense: dict[int, int] = {}
        """By lot: what calls hold that were admitted before the cycle's end, and what is being checked."""
        self.unrolled: dict[int, list[Any]] = {}
        """By wallet: what no roll-up holds yet, as (lot, label, nanos, calls, late)."""
        self.unrolled_later: dict[int, dict[int, int]] = {}
        """By wallet and lot: what later cycles took, likewise."""
        self.taken_within: dict[int, list[int]] = {}
        self.taken_later: dict[int, list[int]] = {}
        """By lot: what recalls took within the cycle, and later."""
        self.rescheduled: dict[int, list[int]] = {}
        """By wallet: what only changed its dates, unvested and vested."""
        self.around: dict[int, int] = {}
        """By wallet: what its lots paid in the cycle of usage around the gateway."""
        self._touched: set[int] = set()
        self._lifetimes: dict[Rolling, tuple[Instant, Instant]] = {}
        """The ends of the first and the second one, found before."""

    def begin(self) -> None:
        """Everything is set: which lots' rows are not their states at the cycle's end."""
        self._touched = self.held.keys() | self.suspense.keys() | self.taken_later.keys()

    def slip(self, row: WalletRow) -> WalletSlip:
        """One wallet's slip. Raises AssertionError for one whose opening and movements are not its closing (`slip_amounts`)."""
        wallet_id, zone, lots, granted, every_spent, late, later, opened = row
        span = self._spans.get(zone) or self._span(zone)
        labels = self.labels
        models: dict[str, int] = {}
        projects: dict[str, int] = {}
        spent: dict[int, int] = {}
        by_label: dict[int, int] = {}
        adjusted: dict[int, int] = {}
        calls = carried = personal = 0
        if late or self.unrolled:
            every_spent, adjusted = self._with_late(wallet_id, every_spent, late)
        for lot_id, label_id, nanos, count in every_spent:
            calls += count
            if lot_id == COMPANY_LOT_ID:
                carried += nanos
            elif nanos:
                spent[lot_id] = spent.get(lot_id, 0) + nanos
                by_label[label_id] = by_label.get(label_id, 0) + nanos
        for label_id, nanos in by_label.items():
            model, project, is_personal = labels[label_id]
            models[model] = models.get(model, 0) + nanos
            projects[project] = projects.get(project, 0) + nanos
            if is_personal:
                personal += nanos
        rows, kinds, states = self._lot_rows(
            wallet_id, span, lots, (dict(later) if later else {}, opened), (spent, adjusted)
        )
        try:
            amounts = slip_amounts(*span, rows)
        except AssertionError as error:
            raise AssertionError(f"pay slip of wallet {wallet_id} for {self._cycle_name}: {error}") from error
        if wallet_id in self.rescheduled:
            self._net_rescheduled(wallet_id, amounts)
        if granted:
            granted_nanos = sum([nanos for at, nanos in granted if span[0] <= at < span[1]])
            if granted_nanos:
                amounts["granted_nanos"] = granted_nanos
        if carried:
            amounts["company_carried_nanos"] = carried
        if calls:
            amounts["call_count"] = calls
        if personal:
            amounts["personal_nanos"] = personal
        if wallet_id in self.around:
            amounts["around_nanos"] = self.around[wallet_id]
        return WalletSlip(wallet_id, zone, kinds, amounts, models, projects, states)

    def _net_rescheduled(self, wallet_id: int, amounts: dict[str, int]) -> None:
        vesting, vested = self.rescheduled[wallet_id]
        for name, nanos in (
            ("vested_nanos", vesting), ("transferred_in_nanos", vested), ("transferred_out_nanos", vesting + vested),
        ):  # fmt: skip
            left = amounts.pop(name, 0) - nanos
            if left:
                amounts[name] = left

    def _with_late(
        self, wallet_id: int, spent: Spent, late: list[tuple[int, int, int]]
    ) -> tuple[Spent, dict[int, int]]:
        """What was spent in time, label by label, and what late calls took from each lot: adjustments."""
        found = {(lot_id, label_id): [nanos, calls] for lot_id, label_id, nanos, calls in spent}
        adjusted: dict[int, int] = {}
        taken = [(lot_id, label_id, nanos, 0, True) for lot_id, label_id, nanos in late if lot_id != COMPANY_LOT_ID]
        for lot_id, label_id, nanos, _, _ in taken:
            found[lot_id, label_id][0] -= nanos
        for lot_id, label_id, nanos, calls, is_late in (*taken, *self.unrolled.get(wallet_id, ())):
            known = found.setdefault((lot_id, label_id), [0, 0])
            known[1] += calls
            if is_late and lot_id != COMPANY_LOT_ID:
                adjusted[lot_id] = adjusted.get(lot_id, 0) + nanos
            else:
                known[0] += nanos
        return [(*key, nanos, calls) for key, (nanos, calls) in found.items()], adjusted

    def _lot_rows(
        self, wallet_id: int, span: tuple[Instant, Instant], lots: list[KnownLot],
        around: tuple[dict[int, int], dict[str, dict[str, int]] | None], moved: tuple[dict[int, int], dict[int, int]],
    ) -> tuple[list[LotRow], tuple[str, ...], dict[str, dict[str, int]]]:  # fmt: skip
        """Every lot that was known before the cycle's end, as the engine wants it; their classifications; their closed states."""
        start_at, end_until = span
        later, before = around
        spent, adjusted = moved
        touched = self._touched
        rows: list[LotRow] = []
        states: dict[str, dict[str, int]] = {}
        kinds = set()
        if self.unrolled_later:
            for lot_id, nanos in self.unrolled_later.get(wallet_id, {}).items():
                later[lot_id] = later.get(lot_id, 0) + nanos
        for lot_id, amount, effective_at, expires_at, kind, origin, recorded_at, used_by_now, taken, rolling in lots:
            if recorded_at >= end_until:
                continue
            used = used_by_now - later.get(lot_id, 0) if later else used_by_now
            lot_spent = spent.get(lot_id, 0)
            lot_adjusted = adjusted.get(lot_id, 0) if adjusted else 0
            name = str(lot_id)
            closed: StateRow = (0, 0, used, 0, 0, 0, 0)
            opened: StateRow | None = None
            if taken is not None or lot_id in touched:
                closed = self._closed(lot_id, used, taken)
                states[name] = {field: value for field, value in zip(STATE_FIELDS, closed, strict=True) if value}
            else:
                states[name] = {"spent_nanos": used} if used else {}
            if before is not None:
                stored = before.get(name)
                if stored is not None:
                    opened = [stored.get(field, 0) for field in STATE_FIELDS] if stored else NO_STATE
            elif recorded_at < start_at:
                # no paper yet: what was held at the boundary counts as not yet taken, and every call is booked to its own cycle
                used_before = used - lot_spent - lot_adjusted
                opened = (0, 0, used_before, 0, 0, 0, 0) if taken is None else self._opened(lot_id, used_before, closed)
            kinds.add(kind)
            rolls_at = None if rolling is None else self._rolls_over_at(rolling, effective_at, expires_at)
            rows.append((amount, effective_at, expires_at, origin, opened, closed, lot_spent, lot_adjusted, rolls_at))
        return rows, tuple(sorted(kinds)), states

    def _closed(self, lot_id: int, used: int, taken: _Taken | None) -> StateRow:
        """The state of a lot at the cycle's end: with what was held then, and without what was taken later."""
        given = taken or _NOTHING_TAKEN
        if lot_id in self.taken_later:
            given = [now - after for now, after in zip(given, self.taken_later[lot_id], strict=True)]
        return (self.held.get(lot_id, 0), self.suspense.get(lot_id, 0), used, *given)

    def _rolls_over_at(self, rolling: Rolling, effective_at: Instant, expires_at: Instant | None) -> Instant | None:
        """The end of the first lifetime of a lot that was granted for two (decision 0027); None for one that was granted for one.

        A lot that was moved to other dates keeps the length of its second.
        """
        ends = self._lifetimes.get(rolling)
        if ends is None:
            count, unit, (granted_at, _, zone) = rolling
            lifetime, tz = Period(count=count, unit=PeriodUnit(unit)), ZoneInfo(zone)
            ends = period_step(granted_at, 1, lifetime, tz), period_step(granted_at, 2, lifetime, tz)
            if len(self._lifetimes) >= _LIFETIMES_REMEMBERED_MAX:
                self._lifetimes.clear()
            self._lifetimes[rolling] = ends
        first, second = ends
        _, _, (granted_at, ended_at, _) = rolling
        if expires_at is None or ended_at != second:
            return None
        return first if effective_at == granted_at else expires_at - (second - first)

    def _opened(self, lot_id: int, used_nanos: int, closed: StateRow) -> StateRow:
        """The state of a lot when the cycle began: of what was taken by its end, without what was taken within."""
        within = self.taken_within.get(lot_id, _NOTHING_TAKEN)
        return (0, 0, used_nanos, *[now - one for now, one in zip(closed[3:], within, strict=True)])

    def _span(self, zone: str) -> tuple[Instant, Instant]:
        found = self._spans[zone] = self._span_of(zone)
        return found
