"""The watch: what share of their cycle wallets have used, and of their window limits, and which thresholds that passes.

It reads and remembers sums between two looks; what is known to be crossed is in the ledger, so a new watch repeats nothing.
"""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from tokenroll.engine.alerting import passings
from tokenroll.engine.limiting import cap_at, holds_at, is_pace
from tokenroll.model.alert import AlertSubject
from tokenroll.model.instant import Instant
from tokenroll.model.limit import Limit, LimitMeasure, WindowKind
from tokenroll.services.clock import Clock
from tokenroll.services.holdings import unspent_of
from tokenroll.services.limit_terms import limit_from_row, overrides_of
from tokenroll.services.windows import HotWindow, windows_of
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook, read_calendars

_T = TypeVar("_T")
NANOS: Final = 10**9
_PART: Final = 200
"""So many wallets or limits at a time: some milliseconds."""
_ROWS: Final = 2_000
"""So many rows of the journal at a time: as long."""
OpenRaises = Mapping[tuple[int, Instant], int]
"""By limit and counter, what calls that have not ended raised it by."""
_Known = Mapping[tuple[str, int], Mapping[int, Instant]]
"""By subject, the thresholds that it is known to be above and in which window that was told."""


class _Watched(NamedTuple):
    limit: Limit
    window: HotWindow
    cap: int


def _parts(whole: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(whole), _PART):
        yield whole[start : start + _PART]


class AlertWatch:
    """One ledger's watch. `thresholds` in percent."""

    def __init__(self, thresholds: Sequence[int]) -> None:
        self._thresholds = tuple(thresholds)
        self._seq: int | None = None
        self._spent: dict[tuple[int, int], int] = {}
        """By wallet and cycle: what its calls and charged usage cost, less what pools paid of it; for a pool what it paid."""
        self._touched: set[int] = set()
        """Wallets whose share may have changed since what is news of them was noted."""

    def changes(
        self, connection: Connection, open_raises: Callable[[], OpenRaises], clock: Clock
    ) -> Iterator[list[dict[str, Any]]]:
        """What is news since the last look, as the command `alert.note` takes it, in parts of a few milliseconds each.

        Whoever asks notes a part before it asks for the next one, and may do other things between the two; what was not noted is news
        the next time. A limit is read with its counters at one moment. What is read of a wallet later than its calls were summed shows
        it no further than it is by then, so nothing is told that is not so.
        """
        known = self._known(connection)
        for _ in self._read(connection, clock()):
            connection.rollback()
            yield []
        connection.rollback()
        yield from self._of_wallets(connection, known, clock)
        yield from self._of_limits(connection, open_raises, known, clock)

    @staticmethod
    def _known(connection: Connection) -> dict[tuple[str, int], dict[int, Instant]]:
        found: dict[tuple[str, int], dict[int, Instant]] = {}
        for row in connection.execute(select(schema.alert_states)):
            found.setdefault((row.subject, row.subject_id), {})[row.threshold_percent] = row.window_start_at
        return found

    # ---- wallets ----------------------------------------------------------------------------------------------------

    def _read(self, connection: Connection, now: Instant) -> Iterator[None]:
        """The sums brought up to date, some rows of the journal at a time."""
        last = connection.scalar(select(func.max(schema.batches.c.last_seq))) or 0
        if self._seq is None:
            self._seq = self._first_seq(connection, now)
        while self._seq < last:
            through = min(last, self._seq + _ROWS)
            spent, touched = self._read_rows(connection, self._seq, through)
            for key, nanos in spent.items():
                self._spent[key] = self._spent.get(key, 0) + nanos
            self._touched |= touched - {0}
            self._seq = through
            yield

    @staticmethod
    def _read_rows(connection: Connection, after: int, through: int) -> tuple[dict[tuple[int, int], int], set[int]]:
        """What these rows add, by wallet and cycle; and whose share they may have changed."""
        settlements, draws, spent = schema.settlements.c, schema.pool_draws.c, collections.Counter[tuple[int, int]]()
        new = (settlements.ledger_seq > after) & (settlements.ledger_seq <= through)
        sums = (func.sum(settlements.charge_nanos // NANOS), func.sum(settlements.charge_nanos % NANOS))
        for wallet_id, cycle, whole, rest in connection.execute(
            select(settlements.wallet_id, settlements.cycle, *sums)
            .where(new)
            .group_by(settlements.wallet_id, settlements.cycle)
        ):
            spent[wallet_id, cycle] += int(whole) * NANOS + int(rest)
        pools = connection.scalars(select(schema.pools.c.wallet_id)).all()
        paid = (
            select(draws.wallet_id.label("pool_id"), settlements.wallet_id, settlements.cycle, draws.nanos)
            .join(schema.settlements, settlements.ledger_seq == draws.ledger_seq)
            .where(draws.wallet_id.in_(pools), draws.ledger_seq > after, draws.ledger_seq <= through)
        )
        for pool_id, wallet_id, cycle, nanos in connection.execute(paid):
            spent[wallet_id, cycle] -= nanos
            spent[pool_id, cycle] += nanos
        touched = {wallet_id for wallet_id, _ in spent}
        # usage around the gateway, paid by wallets and pools, or by the company for them; postings say whom it touched
        parts, entries, wallets = schema.usage_charge_parts.c, schema.entries.c, schema.wallets.c
        charged = (
            select(parts.wallet_id, parts.nanos, entries.effective_at, wallets.zone)
            .join(schema.entries, entries.ledger_seq == parts.ledger_seq)
            .join(schema.wallets, wallets.id == parts.wallet_id)
            .where(parts.ledger_seq > after, parts.ledger_seq <= through)
        )
        book = CycleBook(connection)
        for wallet_id, nanos, at, zone in connection.execute(charged):
            spent[wallet_id, book.of_admission(zone, at)] += nanos
        postings = schema.postings.c
        granted = select(postings.wallet_id).where(postings.ledger_seq > after, postings.ledger_seq <= through)
        return dict(spent), touched | set(connection.scalars(granted.distinct()))

    @staticmethod
    def _first_seq(connection: Connection, now: Instant) -> int:
        """No call of a cycle that is open anywhere was recorded before this row: two cycles hold every zone's."""
        batches, book = schema.batches.c, CycleBook(connection)
        first = book.span_at("UTC", book.span_at("UTC", now).start_at - 1)
        return connection.scalar(select(func.max(batches.last_seq)).where(batches.closed_at < first.start_at)) or 0

    def _of_wallets(self, connection: Connection, known: _Known, clock: Clock) -> Iterator[list[dict[str, Any]]]:
        wallets, book = schema.wallets.c, CycleBook(connection)
        above = {number for subject, number in known if subject == AlertSubject.WALLET}
        for part in _parts(sorted(self._touched | above)):
            now = clock()
            found: list[dict[str, Any]] = []
            zones = select(wallets.id, wallets.zone).where(wallets.id.in_(part)).order_by(wallets.id)
            unspent = unspent_of(connection, part, now)
            for wallet_id, zone in connection.execute(zones):
                used = max(0, self._spent.get((wallet_id, book.of_admission(zone, now)), 0))
                allowance, began_at = used + unspent.get(wallet_id, 0), book.began_at(zone, now)
                found += self._changes(
                    AlertSubject.WALLET, wallet_id, known, used, allowance, began_at, LimitMeasure.CREDITS
                )
            connection.rollback()
            yield found
            self._touched.difference_update(part)

    # ---- limits -----------------------------------------------------------------------------------------------------

    def _of_limits(
        self, connection: Connection, open_raises: Callable[[], OpenRaises], known: _Known, clock: Clock
    ) -> Iterator[list[dict[str, Any]]]:
        """Of ended calls only: what an open one may still give back crosses nothing."""
        limits = schema.limits.c
        holding = select(limits.id).where(limits.removed_at.is_(None)).order_by(limits.id)
        for part in _parts(connection.scalars(holding).all()):
            now, raised = clock(), open_raises()
            found: list[dict[str, Any]] = []
            looked_at = _watched(connection, part, now)
            counted = _counters(connection, looked_at)
            connection.rollback()
            for limit, window, cap in looked_at:
                used = 0
                if holds_at(limit, now):
                    used = sum(
                        count - raised.get((limit.id, start_at), 0) for start_at, count in counted.get(limit.id, ())
                    )
                began_at = 0 if limit.window is WindowKind.ROLLING else window.start_at
                found += self._changes(AlertSubject.LIMIT, limit.id, known, used, cap, began_at, limit.measure)
            yield found

    def _changes(
        self, subject: AlertSubject, subject_id: int, known: _Known, used: int,
        allowance: int, window_start_at: Instant, measure: LimitMeasure,
    ) -> Iterable[dict[str, Any]]:  # fmt: skip
        crossed = known.get((subject.value, subject_id), {})
        return [
            {
                "kind": one.kind.value, "subject": subject.value, "subject_id": subject_id, "threshold": one.threshold_percent,
                "used": used, "allowance": allowance, "measure": measure.value, "window_start_at": window_start_at,
            }
            for one in passings(crossed, used, allowance, window_start_at, self._thresholds)
        ]  # fmt: skip


def _watched(connection: Connection, limit_ids: Sequence[int], now: Instant) -> list[_Watched]:
    """Those of these limits that are not removed. Paces are left out: they are full every other minute, and meant to be."""
    limits, calendars = schema.limits, read_calendars(connection)
    rows = connection.execute(
        select(limits).where(limits.c.id.in_(limit_ids), limits.c.removed_at.is_(None)).order_by(limits.c.id)
    ).all()
    overrides = overrides_of(connection, limit_ids)
    found = []
    for limit in map(limit_from_row, rows):
        if not is_pace(limit.window, limit.window_seconds):
            window = windows_of(limit.window, limit.window_seconds, limit.zone).at(now, calendars)
            found.append(_Watched(limit, window, cap_at(limit, overrides.get(limit.id, ()), now)))
    return found


def _counters(connection: Connection, looked_at: Iterable[_Watched]) -> dict[int, list[tuple[Instant, int]]]:
    """What the windows have counted, by limit: one question for all whose windows begin together."""
    ids: dict[Instant, list[int]] = {}
    for limit, window, _ in looked_at:
        ids.setdefault(window.counted_from, []).append(limit.id)
    counters = schema.limit_counters.c
    found: dict[int, list[tuple[Instant, int]]] = {}
    for since, limit_ids in ids.items():
        for limit_id, start_at, used in connection.execute(
            select(counters.limit_id, counters.start_at, counters.used).where(
                counters.limit_id.in_(limit_ids), counters.start_at >= since
            )
        ):
            found.setdefault(limit_id, []).append((start_at, used))
    return found
