"""Whether a denial was right: neither the ledger nor a worker that answered had what the call needed (law 4).

What the ledger says of what is lacking is overheard at the moment in which it says it, and compared with the rows as they are then, and
with who was asked and has answered since the want was first said.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulator.company import Statements, rows_of
from tests.simulator.ports import SECOND
from tests.simulator.reference import SHARE_SLACK, SHARE_WHOLE, Asked, must
from tokenroll.services.protocol import AskBack, FrameReader, Lacking, Want

if TYPE_CHECKING:
    from tests.simulator.gateway import Worker
    from tests.simulator.universe import Universe

ANSWER_MICROS_MAX = SECOND
"""Whoever was asked and has not answered for so long is away."""
_LOTS = """SELECT l.id, l.wallet_id, l.amount_nanos - v.held_nanos - v.suspense_nanos - v.spent_nanos - v.forfeited_nanos
    - v.clawed_back_nanos - v.voided_nanos - v.transferred_out_nanos
    FROM lots l JOIN lot_values v ON v.lot_id = l.id WHERE l.effective_at <= {now} AND coalesce(l.expires_at, {over} + 1) > {over}"""
_OWED = "SELECT lot_id, sum(wanted_nanos - given_nanos) FROM recalls WHERE ended_at IS NULL GROUP BY lot_id"

Thing = tuple[str, int]
"""A wallet or a limit."""


class Said(NamedTuple):
    """What there was when the ledger said that there is not so much: by wallet what it had, by limit what all others had counted."""

    free: dict[int, int]
    used: dict[int, int]
    told: int
    """What the worker was told that the wallets have, beside what it has itself: by that it judges a call that lacks more by now."""


class Denials:
    """Wants, who was asked for them, and what there was when they were not met."""

    def __init__(self, world: "Universe") -> None:
        self.world = world
        self._wants: dict[tuple[int, int, int], tuple[Want, int]] = {}
        self.said: dict[tuple[int, int, int], Said] = {}

    def wanted(self, worker: "Worker", want: Want) -> None:
        """Said to the ledger, the first time or once more."""
        name = (worker.number, worker.epoch, want.number)
        known = self._wants.get(name)
        self._wants[name] = want, self.world.agenda.now if known is None else known[1]

    def want_of(self, name: tuple[int, int, int]) -> Want | None:
        """What was said last under that number."""
        known = self._wants.get(name)
        return None if known is None else known[0]

    def owed(self) -> dict[int, int]:
        """By lot: what recalls still want of it, which is nobody's to lend."""
        return dict(rows_of(self.world.connection, _OWED))

    def overhear(self, peer: Any, frame: bytes) -> None:
        """The ledger asks a worker back, or says that something is lacking."""
        for message in FrameReader().feed(frame):
            if isinstance(message, AskBack):
                now = self.world.agenda.now
                peer.asked_at.update({("wallet", one): now for one in message.wallets})
                peer.asked_at.update({("limit", one): now for one in message.limits})
            elif isinstance(message, Lacking):
                name = (peer.number, peer.epoch, message.number)
                if name in self._wants:
                    left, Statements.left = Statements.left, -1
                    self._lacks(peer, name, *self._wants[name])
                    Statements.left = left

    def _lacks(self, worker: "Worker", name: tuple[int, int, int], want: Want, since: int) -> None:
        if not want.need_nanos and not want.limits:
            return  # asked for ahead: nobody waits for it
        connection = self.world.connection
        connection.rollback()
        owed = dict(rows_of(connection, _OWED))
        lent = rows_of(connection, "SELECT worker, lot_id, left_nanos FROM lot_leases")
        free = dict.fromkeys(want.wallets, 0)
        wallet_of: dict[int, int] = {}
        for lot, wallet, left in rows_of(connection, _LOTS.format(now=want.at, over=self._over_by(worker, want.at))):
            if wallet in free:
                wallet_of[lot] = wallet
                there = left - sum(nanos for _, one, nanos in lent if one == lot) - owed.get(lot, 0)
                free[wallet] += max(0, there)
        told = sum(free.values())
        if want.need_nanos <= told:  # it is a limit that is lacking, and nobody was asked for money
            free = dict.fromkeys(free, 1 << 62)
        else:
            for number, lot, nanos in lent:
                if nanos and number != worker.number and lot in wallet_of:
                    self._must_have_answered(number, ("wallet", wallet_of[lot]), since)
        used: dict[int, int] = {}
        for limit, share in want.limits:
            counted = self._used(worker, limit, share, since, want.at)
            if counted is not None:
                used[limit] = counted
        connection.rollback()
        self.said[name] = Said(free, used, told)

    def _over_by(self, worker: "Worker", at: int) -> int:
        """What ended by then a life is lent nothing of: it was not told of what was over when it began, by the ledger's clock."""
        return max(at, self.world.ready_at(worker.number))

    def _must_have_answered(self, number: int, thing: Thing, since: int) -> bool:
        """Or be away, or not have said a word for a second. Whether it has."""
        world, worker = self.world, self.world.workers[number]
        if worker is None or worker.loop.is_dead or worker.is_over or worker.purse is None:
            return False
        if worker.cleared.get(thing, -1) >= since:
            return True
        process = world.process
        assert process is not None
        is_there = any(one.worker == number and one.spends for one in process.server.connections)
        # a line may be gone for as long without either end knowing
        if worker.wire is None or not worker.wire.is_down or worker.connected_at >= since or not is_there:
            return False
        asked_at = worker.asked_at.get(thing, -1)
        must(asked_at >= since, "worker %d has something of %s, and was not asked for it", number, thing)
        must(
            world.agenda.now - asked_at >= ANSWER_MICROS_MAX,
            "%s is said to be lacking before worker %d returned what it has idle",
            thing,
            number,
        )
        return False

    def is_nowhere(self, worker: "Worker", asked: Asked, missing: int, at: int) -> bool:
        """Whether neither the ledger nor another worker has what a call lacks, at this very moment."""
        world, connection = self.world, self.world.connection
        left, Statements.left = Statements.left, -1
        connection.rollback()
        owed = dict(rows_of(connection, _OWED))
        lent = rows_of(connection, "SELECT worker, lot_id, left_nanos FROM lot_leases")
        there, over = 0, self._over_by(worker, at)
        for lot, wallet, nanos in rows_of(connection, _LOTS.format(now=at, over=over)):
            if wallet in {asked.wallet, asked.pool}:
                there += max(0, nanos - sum(part for _, one, part in lent if one == lot) - owed.get(lot, 0))
        connection.rollback()
        Statements.left = left
        for other in world.workers:
            if other is not None and other is not worker and other.purse is not None:
                owned = (one for own in (asked.wallet, asked.pool) for one in other.purse.drawable(own, at))
                there += sum(one.left for one in owned if one.expires > over)
        return missing > there

    def _used(self, worker: "Worker", limit: int, need: int, since: int, at: int) -> int | None:
        """What all others than this worker may have counted: whoever answered kept the share that it had used, who is away has all of it.

        None: of that limit there was enough.
        """
        connection = self.world.connection
        assert worker.purse is not None
        terms = worker.purse.limits[limit]
        start = terms.start(at)
        where = f"WHERE limit_id = {limit} AND start_at >= {start}"
        ((counted,),) = rows_of(connection, f"SELECT coalesce(sum(used), 0) FROM limit_counters {where}")
        ((lived,),) = rows_of(connection, f"SELECT coalesce(sum(used), 0) FROM limit_uses {where}")
        shares = rows_of(connection, f"SELECT worker, share FROM limit_shares WHERE limit_id = {limit}")
        gone = sum(share for _, share in shares) - (int(lived) - int(counted)) * SHARE_WHOLE // terms.cap
        free = SHARE_WHOLE - gone
        if free > 0 and need <= free + SHARE_SLACK:  # as the ledger decides
            return None
        used = int(counted) - int(lived)
        for number, share in shares:
            if number != worker.number and share:
                has_answered = self._must_have_answered(number, ("limit", limit), since)
                whole, rest = divmod(terms.cap * (share + SHARE_SLACK), SHARE_WHOLE)
                # of who is away nobody gets back what is less than the next call's share either
                used += whole if has_answered else whole + (rest > terms.cap * SHARE_SLACK)
        return used
