"""The watch: what share of their cycle wallets have used, and of their window limits, and which thresholds that passes.

It reads and remembers sums between two looks; what is known to be crossed is in the ledger, so a new watch repeats nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from tokenroll.engine.alerting import passings
from tokenroll.engine.limiting import cap_at, holds_at, is_pace
from tokenroll.model.alert import AlertSubject
from tokenroll.model.instant import Instant
from tokenroll.model.limit import Limit, LimitMeasure, WindowKind
from tokenroll.services.holdings import lefts_of
from tokenroll.services.limit_terms import limit_from_row, overrides_of
from tokenroll.services.windows import HotWindow, windows_of
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook, read_calendars

_T = TypeVar("_T")
NANOS: Final = 10**9
_PART: Final = 500
"""So many wallets or limits at a time: some milliseconds."""
_ROWS: Final = 4_000
"""So many rows of the journal at a time: as long."""
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

    def changes(
        self, connection: Connection, open_raises: Callable[[], Mapping[tuple[int, Instant], int]], now: Instant
    ) -> Iterator[list[dict[str, Any]]]:
        """What is news since the last look, as the command `alert.note` takes it, in parts of a few milliseconds each.

        Whoever asks may do other things between two parts. What is read of a wallet later than its calls were summed shows it no
        further than it is by then, so nothing is told that is not so.
        """
        known = self._known(connection)
        touched = {number for subject, number in known if subject == AlertSubject.WALLET}
        for _ in self._read(connection, now, touched):
            connection.rollback()
            yield []
        yield from self._of_wallets(connection, sorted(touched), known, now)
        yield from self._of_limits(connection, open_raises, known, now)

    @staticmethod
    def _known(connection: Connection) -> dict[tuple[str, int], dict[int, Instant]]:
        found: dict[tuple[str, int], dict[int, Instant]] = {}
        for row in connection.execute(select(schema.alert_states)):
            found.setdefault((row.subject, row.subject_id), {})[row.threshold_percent] = row.window_start_at
        return found

    # ---- wallets ----------------------------------------------------------------------------------------------------

    def _read(self, connection: Connection, now: Instant, touched: set[int]) -> Iterator[None]:
        """The sums brought up to date, some rows of the journal at a time; `touched`: wallets whose share may have changed."""
        last = connection.scalar(select(func.max(schema.batches.c.last_seq))) or 0
        seq = self._first_seq(connection, now) if self._seq is None else self._seq
        while seq < last:
            through = min(last, seq + _ROWS)
            touched |= self._read_rows(connection, seq, through)
            seq = self._seq = through
            yield
        self._seq = seq
        touched.discard(0)

    def _read_rows(self, connection: Connection, after: int, through: int) -> set[int]:
        settlements, draws = schema.settlements.c, schema.pool_draws.c
        new = (settlements.ledger_seq > after) & (settlements.ledger_seq <= through)
        sums = (func.sum(settlements.charge_nanos // NANOS), func.sum(settlements.charge_nanos % NANOS))
        touched = set()
        for wallet_id, cycle, whole, rest in connection.execute(
            select(settlements.wallet_id, settlements.cycle, *sums)
            .where(new)
            .group_by(settlements.wallet_id, settlements.cycle)
        ):
            self._add(wallet_id, cycle, int(whole) * NANOS + int(rest))
            touched.add(wallet_id)
        pools = connection.scalars(select(schema.pools.c.wallet_id)).all()
        paid = (
            select(draws.wallet_id.label("pool_id"), settlements.wallet_id, settlements.cycle, draws.nanos)
            .join(schema.settlements, settlements.ledger_seq == draws.ledger_seq)
            .where(draws.wallet_id.in_(pools), draws.ledger_seq > after, draws.ledger_seq <= through)
        )
        for pool_id, wallet_id, cycle, nanos in connection.execute(paid):
            self._add(wallet_id, cycle, -nanos)
            self._add(pool_id, cycle, nanos)
            touched.add(pool_id)
        self._read_charges(connection, after, through)
        postings = schema.postings.c
        granted = select(postings.wallet_id).where(postings.ledger_seq > after, postings.ledger_seq <= through)
        touched.update(connection.scalars(granted.distinct()))
        return touched

    def _read_charges(self, connection: Connection, after: int, through: int) -> None:
        """What wallets and pools paid of usage around the gateway, or the company for them; their postings say whom it touched."""
        parts, entries, wallets = schema.usage_charge_parts.c, schema.entries.c, schema.wallets.c
        query = (
            select(parts.wallet_id, parts.nanos, entries.effective_at, wallets.zone)
            .join(schema.entries, entries.ledger_seq == parts.ledger_seq)
            .join(schema.wallets, wallets.id == parts.wallet_id)
            .where(parts.ledger_seq > after, parts.ledger_seq <= through)
        )
        book = CycleBook(connection)
        for wallet_id, nanos, at, zone in connection.execute(query):
            self._add(wallet_id, book.of_admission(zone, at), nanos)

    @staticmethod
    def _first_seq(connection: Connection, now: Instant) -> int:
        """No call of a cycle that is open anywhere was recorded before this row: two cycles hold every zone's."""
        batches, book = schema.batches.c, CycleBook(connection)
        first = book.span_at("UTC", book.span_at("UTC", now).start_at - 1)
        return connection.scalar(select(func.max(batches.last_seq)).where(batches.closed_at < first.start_at)) or 0

    def _add(self, wallet_id: int, cycle: int, nanos: int) -> None:
        key = (wallet_id, cycle)
        self._spent[key] = self._spent.get(key, 0) + nanos

    def _of_wallets(
        self,
        connection: Connection,
        wallet_ids: list[int],
        known: _Known,
        now: Instant,
    ) -> Iterator[list[dict[str, Any]]]:
        wallets, book = schema.wallets.c, CycleBook(connection)
        for part in _parts(wallet_ids):
            found: list[dict[str, Any]] = []
            zones = select(wallets.id, wallets.zone).where(wallets.id.in_(part)).order_by(wallets.id)
            lefts = lefts_of(connection, part, now)
            for wallet_id, zone in connection.execute(zones):
                used = max(0, self._spent.get((wallet_id, book.of_admission(zone, now)), 0))
                allowance, began_at = used + lefts.get(wallet_id, 0), book.began_at(zone, now)
                found += self._changes(
                    AlertSubject.WALLET, wallet_id, known, used, allowance, began_at, LimitMeasure.CREDITS
                )
            connection.rollback()
            yield found

    # ---- limits -----------------------------------------------------------------------------------------------------

    def _of_limits(
        self, connection: Connection, open_raises: Callable[[], Mapping[tuple[int, Instant], int]], known: _Known, now: Instant
    ) -> Iterator[list[dict[str, Any]]]:  # fmt: skip
        """Of ended calls only: what an open one may still give back crosses nothing."""
        limits, calendars = schema.limits, read_calendars(connection)
        ids = connection.scalars(select(limits.c.id).where(limits.c.removed_at.is_(None)).order_by(limits.c.id)).all()
        looked_at: list[_Watched] = []
        for part in _parts(ids):
            rows = connection.execute(select(limits).where(limits.c.id.in_(part)).order_by(limits.c.id)).all()
            overrides = overrides_of(connection, part)
            for row in rows:
                limit = limit_from_row(row)
                if not is_pace(
                    limit.window, limit.window_seconds
                ):  # those are full every other minute, and meant to be
                    cap = cap_at(limit, overrides.get(limit.id, ()), now)
                    windows = windows_of(limit.window, limit.window_seconds, limit.zone)
                    looked_at.append(_Watched(limit, windows.at(now, calendars), cap))
            connection.rollback()
            yield []
        counted = _counters_since(connection, min((one.window.counted_from for one in looked_at), default=now))
        raised = open_raises()
        connection.rollback()
        for watched in _parts(looked_at):
            found: list[dict[str, Any]] = []
            for limit, window, cap in watched:
                used = 0
                if holds_at(limit, now):
                    for start_at, count in counted.get(limit.id, ()):
                        if start_at >= window.counted_from:
                            used += count - raised.get((limit.id, start_at), 0)
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


def _counters_since(connection: Connection, first_at: Instant) -> dict[int, list[tuple[Instant, int]]]:
    """What windows and their parts from then on have counted, by limit: one question for all, since a company may have thousands."""
    counters = schema.limit_counters.c
    found: dict[int, list[tuple[Instant, int]]] = {}
    for limit_id, start_at, used in connection.execute(
        select(counters.limit_id, counters.start_at, counters.used).where(counters.start_at >= first_at)
    ):
        found.setdefault(limit_id, []).append((start_at, used))
    return found
