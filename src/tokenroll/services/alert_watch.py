"""The watch: what share of their cycle wallets have used, and of their window limits, and which thresholds that passes.

It reads and remembers sums between two looks; what is known to be crossed is in the ledger, so a new watch repeats nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from tokenroll.engine.alerting import passings
from tokenroll.engine.limiting import cap_at, holds_at, is_pace, window_at
from tokenroll.model.alert import AlertSubject
from tokenroll.model.instant import Instant
from tokenroll.model.limit import LimitMeasure, WindowKind
from tokenroll.model.limits import ALERT_CHANGES_MAX
from tokenroll.services.holdings import amounts_for_people, states_by_wallet
from tokenroll.services.limit_terms import limit_from_row, overrides_of
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook, read_calendars

NANOS: Final = 10**9
_WALLETS_PER_QUERY: Final = 500


class AlertWatch:
    """One ledger's watch. `thresholds` in percent."""

    def __init__(self, thresholds: Sequence[int]) -> None:
        self._thresholds = tuple(thresholds)
        self._seq: int | None = None
        self._spent: dict[tuple[int, int], int] = {}
        """By wallet and cycle: what its calls and charged usage cost, less what pools paid of it; for a pool what it paid."""

    def changes(
        self, connection: Connection, open_raises: Mapping[tuple[int, Instant], int], now: Instant
    ) -> list[dict[str, Any]]:
        """What is news since the last look, as the command `alert.note` takes it."""
        try:
            known = self._known(connection)
            touched = self._read(connection, now)
            touched |= {number for subject, number in known if subject == AlertSubject.WALLET}
            found = self._of_wallets(connection, sorted(touched), known, now)
            return (found + self._of_limits(connection, open_raises, known, now))[:ALERT_CHANGES_MAX]
        finally:
            connection.rollback()

    @staticmethod
    def _known(connection: Connection) -> dict[tuple[str, int], dict[int, Instant]]:
        found: dict[tuple[str, int], dict[int, Instant]] = {}
        for row in connection.execute(select(schema.alert_states)):
            found.setdefault((row.subject, row.subject_id), {})[row.threshold_percent] = row.window_start_at
        return found

    # ---- wallets ----------------------------------------------------------------------------------------------------

    def _read(self, connection: Connection, now: Instant) -> set[int]:
        """The sums brought up to date; wallets whose share may have changed."""
        batches, settlements, draws = schema.batches.c, schema.settlements.c, schema.pool_draws.c
        last = connection.scalar(select(func.max(batches.last_seq))) or 0
        if self._seq is None:
            self._seq = self._first_seq(connection, now)
        if last == self._seq:
            return set()
        new = (settlements.ledger_seq > self._seq) & (settlements.ledger_seq <= last)
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
            .where(draws.wallet_id.in_(pools), draws.ledger_seq > self._seq, draws.ledger_seq <= last)
        )
        for pool_id, wallet_id, cycle, nanos in connection.execute(paid):
            self._add(wallet_id, cycle, -nanos)
            self._add(pool_id, cycle, nanos)
            touched.add(pool_id)
        self._read_charges(connection, last)
        postings = schema.postings.c
        granted = select(postings.wallet_id).where(postings.ledger_seq > self._seq, postings.ledger_seq <= last)
        touched.update(connection.scalars(granted.distinct()))
        self._seq = last
        return touched - {0}

    def _read_charges(self, connection: Connection, last: int) -> None:
        """What wallets and pools paid of usage around the gateway, or the company for them; their postings say whom it touched."""
        parts, entries, wallets = schema.usage_charge_parts.c, schema.entries.c, schema.wallets.c
        query = (
            select(parts.wallet_id, parts.nanos, entries.effective_at, wallets.zone)
            .join(schema.entries, entries.ledger_seq == parts.ledger_seq)
            .join(schema.wallets, wallets.id == parts.wallet_id)
            .where(parts.ledger_seq > self._seq, parts.ledger_seq <= last)
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
        known: Mapping[tuple[str, int], Mapping[int, Instant]],
        now: Instant,
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        wallets, book = schema.wallets.c, CycleBook(connection)
        for start in range(0, len(wallet_ids), _WALLETS_PER_QUERY):
            part = wallet_ids[start : start + _WALLETS_PER_QUERY]
            states = states_by_wallet(connection, part)
            for row in connection.execute(
                select(wallets.id, wallets.zone).where(wallets.id.in_(part)).order_by(wallets.id)
            ):
                used = max(0, self._spent.get((row.id, book.of_admission(row.zone, now)), 0))
                amounts = amounts_for_people(states.get(row.id, []), now)
                left = amounts["left_nanos"] + amounts["in_use_nanos"] + amounts["being_checked_nanos"]
                found += self._changes(
                    AlertSubject.WALLET,
                    row.id,
                    known,
                    used,
                    used + left,
                    book.span_at(row.zone, now).start_at,
                    LimitMeasure.CREDITS,
                )
        return found

    # ---- limits -----------------------------------------------------------------------------------------------------

    def _of_limits(
        self, connection: Connection, open_raises: Mapping[tuple[int, Instant], int],
        known: Mapping[tuple[str, int], Mapping[int, Instant]], now: Instant,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Of ended calls only: what an open one may still give back crosses nothing."""
        limits = schema.limits
        rows = connection.execute(select(limits).where(limits.c.removed_at.is_(None)).order_by(limits.c.id)).all()
        overrides = overrides_of(connection, [row.id for row in rows])
        calendars = read_calendars(connection)
        found: list[dict[str, Any]] = []
        looked_at = []
        for row in rows:
            limit = limit_from_row(row)
            if not is_pace(limit.window, limit.window_seconds):  # those are full every other minute, and meant to be
                window = window_at(limit.window, limit.window_seconds, now, ZoneInfo(limit.zone), calendars)
                looked_at.append((limit, window))
        counted = _counters_since(connection, min((window.counted_from for _, window in looked_at), default=now))
        for limit, window in looked_at:
            used = 0
            if holds_at(limit, now):
                for start_at, count in counted.get(limit.id, ()):
                    if start_at >= window.counted_from:
                        used += count - open_raises.get((limit.id, start_at), 0)
            begins_at = 0 if limit.window is WindowKind.ROLLING else window.start_at
            cap = cap_at(limit, overrides.get(limit.id, ()), now)
            found += self._changes(AlertSubject.LIMIT, limit.id, known, used, cap, begins_at, limit.measure)
        return found

    def _changes(
        self, subject: AlertSubject, subject_id: int, known: Mapping[tuple[str, int], Mapping[int, Instant]], used: int,
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
