"""Lending: what the ledger gives one of several workers to spend, and what it asks others to return for it (DESIGN §5).

Money leaves the ledger's own part of a lot when it is lent, in draw order, so that nobody else can hold it. Loans shrink with what there
is; below a low-water mark a worker is lent just what its call needs. Before a worker hears that money is lacking, the others return
what they do not hold: a call is denied only when the money is nowhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.limit import Limit, LimitOverride
from tokenroll.model.limits import SHARE_SLACK, SHARE_WHOLE
from tokenroll.model.pay_cycle import PayCalendar
from tokenroll.services import recalling
from tokenroll.services.hot import NEVER
from tokenroll.services.limit_terms import limit_from_row, overrides_of
from tokenroll.services.protocol import Elsewhere, Lacking, Lent, Want
from tokenroll.services.windows import windows_of
from tokenroll.store import schema
from tokenroll.store.attempt_record import hold_key
from tokenroll.store.cycles import read_calendars
from tokenroll.store.database import raw_connection
from tokenroll.store.lease_book import LeaseBook, LeasePart
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import LIMIT, LOT

_BOTH: Final = 2
"""A loan leaves the others as much as it takes."""
_OF_NOBODY: Final = """SELECT (SELECT coalesce(sum(used), 0) FROM limit_counters WHERE limit_id = ? AND start_at >= ?)
    - (SELECT coalesce(sum(u.used), 0) FROM workers w CROSS JOIN tapes t CROSS JOIN limit_uses u
        WHERE t.worker = w.worker AND t.epoch >= w.closed_epoch
        AND u.worker = t.worker AND u.epoch = t.epoch AND u.limit_id = ? AND u.start_at >= ?)"""
"""What is counted of a limit by lives that are over: by life, because what lives count has no other index."""

_ELSEWHERE: Final = """SELECT (SELECT coalesce(sum(used), 0) FROM limit_counters WHERE limit_id = ? AND start_at >= ?)
    - (SELECT coalesce(sum(used), 0) FROM limit_uses WHERE limit_id = ? AND start_at >= ? AND worker = ? AND epoch = ?)"""
"""What is counted of a limit by all but one life."""


_LOTS: Final = schema.lots.c
_LOTS_OF: Final = select(_LOTS.wallet_id, _LOTS.priority, _LOTS.expires_at, _LOTS.effective_at, _LOTS.id).where(
    _LOTS.wallet_id.in_(bindparam("wallets", expanding=True))
)
_LIMITS_OF: Final = select(schema.limits).where(schema.limits.c.id.in_(bindparam("limits", expanding=True)))


class _Lot(NamedTuple):
    """In draw order."""

    priority: int
    expires_at: Instant
    effective_at: Instant
    id: int


class _Limit(NamedTuple):
    """A limit as its rows say it; `limit` is None when there is none."""

    limit: Limit | None
    overrides: list[LimitOverride]


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
        self._limits: dict[int, _Limit] = {}
        self._calendars: Sequence[PayCalendar] | None = None
        self._begun: dict[int, Instant] = {}
        """By worker: when its life was READY."""

    def forget(self) -> None:
        """Lots, recalls, limits, calendars or lives of workers changed: what was read of them is read again."""
        self._lots.clear()
        self._owed = None
        self._limits.clear()
        self._calendars = None
        self._begun.clear()

    def noted(self, answered: bool) -> bool:
        """Whether a fold answered recalls: then less is owed to them."""
        if answered:
            self._owed = None
        return answered

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

    def lend(
        self, wants: Sequence[Want], now: Instant, *, sparing: bool
    ) -> list[tuple[Want, Sequence[LeasePart], Instant]]:
        """Moves what is wanted as far as nobody need be asked for it; and by when it was wanted. The caller's transaction makes it durable.

        None of a wallet or a limit of which one before it is not met: it would be answered before that.
        """
        self._read({wallet_id for want in wants for wallet_id in want.wallets})
        self._read_limits(limit_id for want in wants for limit_id, _ in want.limits)
        met: list[tuple[Want, Sequence[LeasePart], Instant]] = []
        wallets: set[int] = set()
        limits: set[int] = set()
        for want in wants:
            at = want.at or now
            plan = self.plan(want, at, sparing=sparing)
            free = wallets.isdisjoint(want.wallets) and limits.isdisjoint(one for one, _ in want.limits)
            if plan.suffices and not plan.holders and free:
                self._book.move(want.worker, want.epoch, want.number, plan.parts)
                met.append((want, plan.parts, at))
            else:
                wallets.update(want.wallets)
                limits.update(one for one, _ in want.limits)
        return met

    def _plan_money(
        self, want: Want, now: Instant, parts: list[LeasePart], holders: set[int], *, like_nanos: int
    ) -> bool:
        """Whether something is missing. No wallet is drawn while another worker may return of one that comes before it."""
        need, of = want.need_nanos, _BOTH * max(1, len(self._mirror.leased))
        for wallet_id in want.wallets:
            group = self._eligible(wallet_id, now, want.worker)
            others = self._lent_to_others(group, want.worker)
            free = sum(self._free(lot.id) for lot in group)
            if need and free < need:
                holders.update(others)
            # sized by the wallet itself: by its pool, too, one worker was lent all that is left of it, and was asked for it by the next
            most = (free + sum(others.values())) // of
            takes = min(free, max(need, min(like_nanos, most)))
            need = max(0, need - takes)
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
            lots = self._eligible(wallet_id, now, want.worker)
            left = sum(self._free(lot.id) for lot in lots)
            left += 0 if here_alone else sum(self._lent_to_others(lots, want.worker).values())
            # what calls hold is told to who may wait for it: finding it takes a look at every open call
            held = sum(self._held(wallet_id, want).values()) if here_alone else 0
            found.append(Elsewhere(wallet_id, left, held))
        return found

    def lent(self, want: Want, parts: Iterable[LeasePart], now: Instant) -> Lent:
        """The answer to a want that was met."""
        parts = list(parts)
        lots = [(self._mirror.owner(one.id), one.id, one.amount) for one in parts if one.kind == LOT]
        shares = [(one.id, one.amount) for one in parts if one.kind == LIMIT]
        return Lent(want.number, lots, shares, self.elsewhere(want, now), self._used_elsewhere(want, now))

    def lacking(self, want: Want, now: Instant) -> Lacking:
        """The answer to a want that was not met: what there is without what others did not return."""
        own = self._book.shares.get(want.worker, {})
        limits = [
            (limit_id, max(0, self._free_share(limit_id, now)) + own.get(limit_id, 0)) for limit_id, _ in want.limits
        ]
        return Lacking(want.number, self.elsewhere(want, now, here_alone=True), limits, self._used_elsewhere(want, now))

    def _used_elsewhere(self, want: Want, now: Instant) -> list[tuple[int, int]]:
        found = []
        for limit_id, _ in want.limits:
            since = (limit_id, self._counted_from(limit_id, now))
            parameters = (*since, *since, want.worker, want.epoch)
            ((used,),) = raw_connection(self._connection).execute(_ELSEWHERE, parameters).fetchall()
            found.append((limit_id, max(0, int(used))))
        return found

    def _held(self, wallet_id: int, want: Want) -> dict[int, int]:
        """By other worker, what its calls hold of a wallet as far as it has told: it comes back when they end."""
        found: dict[int, int] = {}
        mirror = self._mirror
        is_pool = wallet_id in mirror.pools
        for hold in mirror.holds.values():
            if hold.wallet_id != wallet_id and not is_pool:  # nobody draws another's wallet
                continue
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

    def _eligible(self, wallet_id: int, now: Instant, worker: int) -> list[_Lot]:
        """The lots of a wallet that a worker may draw now and that have something, here or at a worker; in draw order.

        What was over by the ledger's clock when its life began, the worker was not told of, though it may not be over by its own.
        """
        if wallet_id not in self._lots:
            self._read([wallet_id])
        known = self._lots[wallet_id]
        mirror, over_by = self._mirror, max(now, self._begun_at(worker))
        return [
            lot
            for lot in known
            if lot.effective_at <= now and over_by < lot.expires_at and (mirror.left(lot.id) or mirror.lent_to(lot.id))
        ]

    def _read(self, wallet_ids: Iterable[int]) -> None:
        """The lots of these wallets, in one question for all of them."""
        found: dict[int, list[_Lot]] = {one: [] for one in wallet_ids if one not in self._lots}
        if not found:
            return
        rows = self._connection.execute(_LOTS_OF, {"wallets": sorted(found)})
        for wallet_id, priority, expires_at, effective_at, lot_id in rows:
            found[wallet_id].append(_Lot(priority, expires_at or NEVER, effective_at, lot_id))
        self._lots.update({wallet_id: sorted(one) for wallet_id, one in found.items()})

    def _begun_at(self, worker: int) -> Instant:
        found = self._begun.get(worker)
        if found is None:
            workers = schema.workers.c
            found = self._connection.scalar(select(workers.ready_at).where(workers.worker == worker)) or 0
            self._begun[worker] = found
        return found

    # ---- shares of limits ----------------------------------------------------------------------------------------

    def _share(self, limit_id: int, need: int, now: Instant, *, sparing: bool) -> int:
        """How much of a limit a worker that needs so much is given; 0: so much nobody has not."""
        free = self._free_share(limit_id, now)
        if need > free + SHARE_SLACK:
            return 0
        need = min(need, free)
        return need if sparing else max(need, free // (_BOTH * max(1, len(self._mirror.leased))))

    def _free_share(self, limit_id: int, now: Instant) -> int:
        """The part of a limit that no worker has; below zero where lives that are over used more."""
        return self._book.unshared(limit_id) - self._used_by_nobody(limit_id, now)

    def outlived(self, want: Want, now: Instant, away: Mapping[int, Instant]) -> dict[int, list[int]]:
        """By worker that is away, and since when: the limits of a want of which it has a share, and whose window began since.

        It stopped by its own clock before it was away, so it counts nothing in that window.
        """
        found: dict[int, list[int]] = {}
        for limit_id, _ in want.limits:
            for worker, since in away.items():
                if self._book.shares.get(worker, {}).get(limit_id) and since <= self._counted_from(limit_id, now):
                    found.setdefault(worker, []).append(limit_id)
        return found

    def _counted_from(self, limit_id: int, now: Instant) -> Instant:
        limit, _ = self._limit(limit_id)
        if limit is None:
            return 0
        if self._calendars is None:
            self._calendars = read_calendars(self._connection)
        return windows_of(limit.window, limit.window_seconds, limit.zone).at(now, self._calendars).counted_from

    def _used_by_nobody(self, limit_id: int, now: Instant) -> int:
        """The part of a limit that is used by calls of lives that are over: no share counts them."""
        limit, overrides = self._limit(limit_id)
        if limit is None:
            return SHARE_WHOLE
        cap = min([limit.cap, *(one.cap for one in overrides if one.expires_at > now)])
        since = (limit_id, self._counted_from(limit_id, now))
        ((counted,),) = raw_connection(self._connection).execute(_OF_NOBODY, since + since).fetchall()
        unshared = max(0, int(counted))
        return SHARE_WHOLE if cap <= 0 else min(SHARE_WHOLE, -(-unshared * SHARE_WHOLE // cap))

    def _limit(self, limit_id: int) -> _Limit:
        if limit_id not in self._limits:
            self._read_limits([limit_id])
        return self._limits[limit_id]

    def _read_limits(self, limit_ids: Iterable[int]) -> None:
        """These limits, in two questions for all of them."""
        wanted = sorted({one for one in limit_ids if one not in self._limits})
        if not wanted:
            return
        rows = self._connection.execute(_LIMITS_OF, {"limits": wanted}).all()
        overrides = overrides_of(self._connection, wanted)
        self._limits.update({one: _Limit(None, []) for one in wanted})
        self._limits.update({row.id: _Limit(limit_from_row(row), overrides.get(row.id, [])) for row in rows})
