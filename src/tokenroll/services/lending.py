"""Lending: what the ledger gives one of several workers to spend, and what it asks others to return for it (DESIGN §5).

Money leaves the ledger's own part of a lot when it is lent, in draw order, so that nobody else can hold it. Loans shrink with what there
is; below a low-water mark a worker is lent just what its call needs. Before a worker hears that money is lacking, the others return
what they do not hold: a call is denied only when the money is nowhere.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.limits import SHARE_SLACK, SHARE_WHOLE
from tokenroll.services import recalling
from tokenroll.services.hot import NEVER
from tokenroll.services.limit_terms import counted_from, least_cap, limit_from_row
from tokenroll.services.protocol import Elsewhere, Lent, Want
from tokenroll.store import schema
from tokenroll.store.attempt_record import hold_key
from tokenroll.store.lease_book import LeaseBook, LeasePart
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import LIMIT, LOT

_BOTH: Final = 2
"""A loan leaves the others as much as it takes."""


class _Lot(NamedTuple):
    """In draw order."""

    priority: int
    expires_at: Instant
    effective_at: Instant
    id: int


class Plan(NamedTuple):
    """What could be lent for a want, all of it or not; and who could return what of it is missing."""

    parts: list[LeasePart]
    suffices: bool
    holders: set[int]


class Lending:
    """Decides about wants from the mirror, the book of leases and the rows of limits."""

    def __init__(self, connection: Connection, mirror: Mirror, book: LeaseBook) -> None:
        self._connection = connection
        self._mirror = mirror
        self._book = book
        self._lots: dict[int, list[_Lot]] = {}
        self._owed: dict[int, int] | None = None

    def forget(self) -> None:
        """Lots or recalls changed: what was read of them is read again."""
        self._lots.clear()
        self._owed = None

    def plan(self, want: Want, now: Instant, *, sparing: bool) -> Plan:
        """In draw order what there is for it; `sparing`: no more than it needs."""
        parts: list[LeasePart] = []
        holders: set[int] = set()
        missing = self._plan_money(want, now, parts, holders, like_nanos=0 if sparing else want.like_nanos)
        for limit_id, need in want.limits:
            share = self._share(limit_id, need, now, sparing=sparing)
            if share > 0:
                parts.append(LeasePart(LIMIT, limit_id, share))
            else:
                missing = True
                holders |= {one for one, shares in self._book.shares.items() if shares.get(limit_id)}
        if missing:
            holders.update(*(self._held(wallet_id, want) for wallet_id in want.wallets))
        return Plan(parts, not missing, holders - {want.worker})

    def _plan_money(
        self, want: Want, now: Instant, parts: list[LeasePart], holders: set[int], *, like_nanos: int
    ) -> bool:
        """Whether something is missing. No wallet is drawn while another worker may return of one that comes before it."""
        groups = [self._eligible(wallet_id, now) for wallet_id in want.wallets]
        lent = [self._lent_to_others(group, want.worker) for group in groups]
        frees = [sum(self._free(lot.id) for lot in group) for group in groups]
        everything = sum(frees) + sum(sum(one.values()) for one in lent)
        most = everything // (_BOTH * max(1, len(self._mirror.leased)))
        need, more = want.need_nanos, max(0, min(like_nanos, most) - want.need_nanos)
        for group, free, others in zip(groups, frees, lent, strict=True):
            if need and free < need:
                holders.update(others)
            takes = min(free, need + more) if free >= need else free
            need, more = max(0, need - takes), max(0, more - max(0, takes - need))
            for lot in group:
                nanos = min(self._free(lot.id), takes)
                if nanos:
                    parts.append(LeasePart(LOT, lot.id, nanos))
                    takes -= nanos
            if not need:
                break
        return need > 0 or (not want.need_nanos and not want.limits and not parts)

    def elsewhere(self, want: Want, now: Instant, *, here_alone: bool = False) -> list[Elsewhere]:
        """What the wallets of a want have that its worker does not; `here_alone`: without what others did not return."""
        found = []
        for wallet_id in want.wallets:
            lots = self._eligible(wallet_id, now)
            left = sum(self._free(lot.id) for lot in lots)
            left += 0 if here_alone else sum(self._lent_to_others(lots, want.worker).values())
            found.append(Elsewhere(wallet_id, left, sum(self._held(wallet_id, want).values())))
        return found

    def lent(self, want: Want, parts: Iterable[LeasePart], now: Instant) -> Lent:
        """The answer to a want that was met."""
        parts = list(parts)
        lots = [(self._mirror.owner(one.id), one.id, one.amount) for one in parts if one.kind == LOT]
        shares = [(one.id, one.amount) for one in parts if one.kind == LIMIT]
        return Lent(want.number, lots, shares, self.elsewhere(want, now))

    def _held(self, wallet_id: int, want: Want) -> dict[int, int]:
        """By other worker, what its calls hold of a wallet as far as it has told: it comes back when they end."""
        found: dict[int, int] = {}
        mirror = self._mirror
        for hold in mirror.holds.values():
            worker = hold_key(hold.key).worker
            if hold.lapsed_at is None and worker != want.worker:
                for lot, nanos in hold.slices:
                    if lot != COMPANY_LOT_ID and mirror.owner(lot) == wallet_id:
                        found[worker] = found.get(worker, 0) + nanos
        return found

    def _free(self, lot: int) -> int:
        """What the ledger may lend of a lot: nothing that is owed to a recall."""
        if self._owed is None:
            self._owed = recalling.owed(self._connection)
        return max(0, self._mirror.left(lot) - self._owed.get(lot, 0))

    def _lent_to_others(self, lots: Iterable[_Lot], worker: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for lot in lots:
            for other, nanos in self._mirror.lent_to(lot.id).items():
                if other != worker:
                    found[other] = found.get(other, 0) + nanos
        return found

    def _eligible(self, wallet_id: int, now: Instant) -> list[_Lot]:
        """The lots of a wallet that may be drawn now and have something, here or at a worker; in draw order."""
        known = self._lots.get(wallet_id)
        if known is None:
            lots = schema.lots
            rows = self._connection.execute(select(lots).where(lots.c.wallet_id == wallet_id))
            known = sorted(_Lot(row.priority, row.expires_at or NEVER, row.effective_at, row.id) for row in rows)
            self._lots[wallet_id] = known
        mirror = self._mirror
        return [
            lot
            for lot in known
            if lot.effective_at <= now < lot.expires_at and (mirror.left(lot.id) or mirror.lent_to(lot.id))
        ]

    # ---- shares of limits ----------------------------------------------------------------------------------------

    def _share(self, limit_id: int, need: int, now: Instant, *, sparing: bool) -> int:
        """How much of a limit a worker that needs so much is given; 0: so much nobody has not."""
        free = self._book.unshared(limit_id) - self._used_by_nobody(limit_id, now)
        if need > free + SHARE_SLACK:
            return 0
        need = min(need, free)
        return need if sparing else max(need, free // (_BOTH * max(1, len(self._mirror.leased))))

    def _used_by_nobody(self, limit_id: int, now: Instant) -> int:
        """The part of a limit that is used by calls of lives that are over: no share counts them."""
        row = self._connection.execute(select(schema.limits).where(schema.limits.c.id == limit_id)).one_or_none()
        if row is None:
            return SHARE_WHOLE
        limit = limit_from_row(row)
        cap = least_cap(self._connection, limit, now)
        since = counted_from(self._connection, limit, now)
        total = _sum(self._connection, schema.limit_counters.c, limit_id, since)
        unshared = max(0, total - _sum(self._connection, schema.limit_uses.c, limit_id, since))
        return SHARE_WHOLE if cap <= 0 else min(SHARE_WHOLE, -(-unshared * SHARE_WHOLE // cap))


def _sum(connection: Connection, columns: Any, limit_id: int, since: Instant) -> int:
    query = select(func.sum(columns["used"])).where(columns["limit_id"] == limit_id, columns["start_at"] >= since)
    return int(connection.scalar(query) or 0)
