"""The judge: after every event what the ledger's rows say is what the tapes told it, as the reference's Books have it.

Where more than one outcome is allowed (what became of a hold whose worker died) the ledger's answer must be one of them.
"""

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulator import overage
from tests.simulator.company import rows_of
from tests.simulator.reference import LOT, SUSPENSE_MICROS_MAX, Books, Loan, Lot, Purse, cost_of, must
from tokenroll.services.protocol import Lease
from tokenroll.services.recovery import epoch_blocks
from tokenroll.store.database import raw_connection
from tokenroll.store.tape import RELEASE, RecordType, iter_records
from tokenroll.store.verify import verify

if TYPE_CHECKING:
    from tests.simulator.gateway import Worker
    from tests.simulator.universe import Universe

SETTLED, RELEASED, RESOLVED = 1, 2, 3
_LOTS = "SELECT id, wallet_id, amount_nanos, effective_at, coalesce(expires_at, 0), priority, origin_lot_id FROM lots WHERE id > ? ORDER BY id"
_VALUES = """SELECT lot_id, held_nanos, suspense_nanos, spent_nanos,
    forfeited_nanos + clawed_back_nanos + voided_nanos + transferred_out_nanos FROM lot_values WHERE lot_id > 0 ORDER BY lot_id"""
_ENDED = "SELECT ledger_seq, hold_key, outcome, charge_nanos FROM settlements WHERE ledger_seq > ? ORDER BY ledger_seq"
_SUSPENDED = "SELECT hold_key, lapsed_at FROM holds WHERE state = 'suspense'"
_LOANS = "SELECT ledger_seq, worker, epoch, number, record FROM lease_moves WHERE ledger_seq > ? ORDER BY ledger_seq"
_LENT = "SELECT worker, lot_id, left_nanos FROM lot_leases WHERE left_nanos != 0"
_SHARES = "SELECT worker, limit_id, share FROM limit_shares WHERE share != 0"
_USES = "SELECT worker, limit_id, start_at, used FROM limit_uses WHERE used != 0"
_PART = struct.Struct("<bqq")


class Life:
    """What one life of a worker wrote: by sequence, what the reference's Books are to do when the ledger folds it."""

    def __init__(self, number: int, epoch: int, boots: int) -> None:
        self.number, self.epoch, self.boots = number, epoch, boots
        self.records: list[tuple[int, str, tuple[Any, ...]]] = []
        self.folded = 0
        """How many of the records are in the books."""
        self.survived = 1 << 62
        """The last sequence that can be read back; all while it lives."""
        self.is_dead = self.is_closed = False
        self.counted: dict[tuple[int, int], int] = {}
        """By limit and start: what it counted that is not in the books."""
        self._raises: dict[int, tuple[list[tuple[int, int, int]], int]] = {}
        self.closed_at = -1
        """The last sequence folded when a later life was ready: nothing may follow it (I10)."""

    def keep(self, sequence: int) -> None:
        """What lies behind that sequence was lost, and was never promised to anybody."""
        if self.records and self.records[-1][0] > sequence:
            self.records = [one for one in self.records if one[0] <= sequence]
            self.count_again()

    def count_again(self) -> None:
        """What is not in the books, from the first record that is not."""
        self.counted.clear()
        for _, name, arguments in self.records[self.folded :]:
            self.counts(name, arguments, 1)

    def counts(self, name: str, arguments: tuple[Any, ...], sign: int) -> None:
        """A record that limits count was written, or is in the books (-1)."""
        counted = self.counted
        if name == "hold":
            key, _, _, bound, _, raises, _ = arguments
            if raises:
                self._raises[key] = raises, bound
                for limit, start, amount in raises:
                    counted[limit, start] = counted.get((limit, start), 0) + sign * amount
        elif name == "end" and arguments[0] in self._raises:
            key, how, charge = arguments
            raises, bound = self._raises[key]
            for limit, start, amount in raises:
                came_to = 0 if how == "released" else charge if amount == bound else 1
                counted[limit, start] = counted.get((limit, start), 0) + sign * (came_to - amount)


class Judge:
    """What the world must be."""

    def __init__(self, world: "Universe") -> None:
        self.world = world
        self.books = Books()
        self.lives: dict[tuple[int, int], Life] = {}
        self.ready: dict[tuple[int, int], tuple[int, Books]] = {}
        """When a life was ready to spend, and what its lease must say."""
        self.closed: dict[tuple[int, int], int] = {}
        """When it was ready whose earlier lives are all told."""
        self.seq = 0
        """The newest settlement seen."""
        self.lot = 0
        self.looks = 0
        self._has_folded = False
        self.loan = 0
        """The newest move of a lease seen."""
        self.met: set[tuple[int, int, int]] = set()
        """Wants that something was lent for: worker, epoch and number."""

    # ---- what workers do -----------------------------------------------------------------------------------

    def begins(self, worker: "Worker") -> None:
        """A life with an epoch of its own."""
        at = (worker.number, worker.epoch)
        must(at not in self.lives, "epoch %d of worker %d was given to two lives", worker.epoch, worker.number)
        self.lives[at] = Life(worker.number, worker.epoch, worker.host.boots)

    def wrote(self, worker: "Worker", sequence: int, name: str, *arguments: Any) -> None:
        """A record with that sequence is on its way to the tape."""
        life = self.lives[worker.number, worker.epoch]
        life.records.append((sequence, name, arguments))
        life.counts(name, arguments, 1)

    def counted(self, limit: int, start: int) -> int:
        """What all workers together have counted of a limit, whatever the ledger has heard of it."""
        unheard = sum(life.counted.get((limit, start), 0) for life in self.lives.values())
        return self.books.counters.get((limit, start), 0) + unheard

    def died(self, worker: "Worker") -> None:
        """What the process had written is all that is left of it."""
        life = self.lives.get((worker.number, worker.epoch))
        if life is not None:
            life.is_dead = True
            self._survives(life)

    def power_lost(self, number: int) -> None:
        """What was not synced is gone, also of lives that ended before."""
        for life in self.lives.values():
            if life.number == number and life.is_dead:
                self._survives(life)

    def _survives(self, life: Life) -> None:
        world = self.world
        life.survived = min(
            life.survived, world.disks[life.number].survived(world.directories[life.number], life.epoch)
        )
        if life.is_closed:
            life.keep(max(life.survived, life.folded and life.records[life.folded - 1][0]))

    def leased(self, worker: "Worker", lease: Lease) -> Purse:
        """The lease is what the books said when it was made: no lot is missing, none has more or less (I9, I3)."""
        if (worker.number, worker.epoch) not in self.ready:  # the ledger died in the very event in which it said so
            self.look()
        books = self.ready[worker.number, worker.epoch][1].copied()
        named = {lot.id: lot for wallet in lease.wallets for lot in wallet.lots}
        for lot in books.lots.values():
            terms = named.get(lot.id)
            if terms is None:
                is_over = lot.expires <= self.world.ledger_at
                must(not lot.left or is_over, "lot %d has %d left and was not leased", lot.id, lot.left)
            else:
                left = lot.left + sum(lot.lent.values())
                must(
                    terms.available_nanos == left,
                    "lot %d was leased with %d and has %d",
                    lot.id,
                    terms.available_nanos,
                    left,
                )
        books.lots = {number: lot for number, lot in books.lots.items() if number in named}
        must((lease.of > 1) == (len(self.world.workers) > 1), "one of several workers has a lease of everything")
        purse = Loan(books, (worker.number, worker.epoch)) if lease.of > 1 else Purse(books)
        purse.number, purse.of = worker.number, len(self.world.workers)
        overage.told(self.world, purse, lease.wallets)
        return purse

    # ---- what the ledger says ------------------------------------------------------------------------------

    def look(self) -> None:
        """After every event in which the ledger may have changed."""
        world = self.world
        connection = world.connection
        connection.rollback()
        rows = raw_connection(connection).execute
        self.looks += 1
        self._new_lots(rows)
        ended = {}
        for seq, key, outcome, charge in rows(_ENDED, (self.seq,)).fetchall():
            ended[key] = (outcome, charge)
            self.seq = seq
        self._has_folded = False
        lives = list(self.lives.values())
        for life in lives:
            self._follow(life, ended)
        if ended:
            self._resolved(ended)
        if any(life.is_closed for life in lives):
            self._lapsed(rows)
        if world.are_several:
            self._lend(rows)
        self._compare(rows)
        self._readies()
        connection.rollback()

    def _new_lots(self, rows: Any) -> None:
        for lot, wallet, amount, effective, expires, priority, origin in rows(_LOTS, (self.lot,)).fetchall():
            self.books.add(Lot(lot, wallet, amount, effective, expires or 1 << 62, priority))
            self.lot = lot
            if origin is None:
                self.world.granted += amount

    def _follow(self, life: Life, ended: dict[int, tuple[int, int]]) -> None:
        """The books do what of that life's tape is folded by now."""
        ledger = self.world.ledger
        folded = ledger.folded_sequence(life.number, life.epoch)
        if life.closed_at >= 0:
            must(
                folded == life.closed_at,
                "epoch %d of worker %d wrote to the ledger after it was over",
                life.epoch,
                life.number,
            )
            return
        books, records = self.books, life.records
        place = life.folded
        self._has_folded = self._has_folded or folded > (records[place - 1][0] if place else 0)
        while place < len(records) and records[place][0] <= folded:
            _, name, arguments = records[place]
            place += 1
            getattr(books, name)(*arguments)
            if name in {"hold", "end"}:
                life.counts(name, arguments, -1)
            if name == "end":
                key, how, charge = arguments
                said = ended.pop(key, None)
                wanted = (SETTLED if how == "settled" else RELEASED, charge)
                must(said == wanted, "hold %d ended as %s, and the ledger has %s", key, wanted, said)
        life.folded = place
        if not life.is_closed and self.world.epoch_of(life.number) > life.epoch:
            life.is_closed = True
            life.keep(max(life.survived, folded))

    def _resolved(self, ended: dict[int, tuple[int, int]]) -> None:
        """What ended without a word of its worker: by recovery, by a bill, or by age."""
        books, provider = self.books, self.world.provider
        for key, (outcome, charge) in ended.items():
            hold = books.holds.get(key)
            must(hold is not None, "hold %d ended in the ledger, and was not open", key)
            assert hold is not None
            if outcome == RELEASED:
                life = self.lives[key >> 56, key >> 40 & 0xFFFF]
                must(life.is_closed and hold.state == "held", "hold %d was released while %s", key, hold.state)
                must(
                    hold.call not in provider.bill, "%s was released, and the provider bills it: a free call", hold.call
                )
                books.end(key, "released", 0)
                continue
            must(
                outcome == RESOLVED and hold.state == "suspense",
                "hold %d ended as %d out of %s",
                key,
                outcome,
                hold.state,
            )
            allowed = {min(cost_of(*hold.evidence), hold.bound)} if self._is_old(hold.lapsed_at) else set()
            if hold.call in provider.bill:
                allowed.add(provider.bill[hold.call]["cost_nanos"])
            must(
                charge in allowed, "%s came out of suspense with %d, allowed is %s", hold.call, charge, sorted(allowed)
            )
            if hold.call in provider.bill and charge != provider.bill[hold.call]["cost_nanos"]:
                self.world.estimated.add(key)
            books.end(key, "settled", charge)

    def _is_old(self, lapsed_at: int) -> bool:
        return self.world.ledger_at - lapsed_at >= SUSPENSE_MICROS_MAX

    def _lapsed(self, rows: Any) -> None:
        """Holds of dead lives that went to suspense: allowed unless they were surely never sent."""
        books = self.books
        waiting = [
            hold
            for hold in books.holds.values()
            if hold.state != "suspense" and self.lives[hold.key >> 56, hold.key >> 40 & 0xFFFF].is_closed
        ]
        if not waiting:
            return
        lapsed = dict(rows(_SUSPENDED).fetchall())
        for hold in waiting:
            if hold.key not in lapsed:
                continue
            life = self.lives[hold.key >> 56, hold.key >> 40 & 0xFFFF]
            surely_unsent = (
                hold.state == "held"
                and life.boots == self.world.hosts[life.number].boots
                and not life.folded < len(life.records)
            )
            must(not surely_unsent, "hold %d is in suspense, and its tape says that it was never sent", hold.key)
            books.lapse(hold.key, lapsed[hold.key])

    def _lend(self, rows: Any) -> None:
        """Leases that ended, and what was lent: out of what nobody has, to lives that may spend, once for each want."""
        books = self.books
        leases = self.world.leases()
        for number in list(books.sized):
            if leases.get(number) != books.sized[number]:
                books.end_lease(number)
        books.sized.update(leases)
        for seq, worker, epoch, number, record in rows(_LOANS, (self.loan,)).fetchall():
            self.loan = seq
            if number:
                must((worker, epoch, number) not in self.met, "want %d of worker %d was met twice", number, worker)
                self.met.add((worker, epoch, number))
                parts = list(_PART.iter_unpack(record))
                books.lend(worker, epoch, parts)
                self._fits_its_want((worker, epoch, number), parts, rows)
        lent = {(worker, lot.id): nanos for lot in books.lots.values() for worker, nanos in lot.lent.items() if nanos}
        for what, found, wanted in (
            ("leases of lots", {row[:2]: row[2] for row in rows(_LENT)}, lent),
            ("shares of limits", {row[:2]: row[2] for row in rows(_SHARES)}, {one: share for one, share in books.shares.items() if share}),
            ("uses of limits", {row[:3]: row[3] for row in rows(_USES)}, {one: used for one, used in books.uses.items() if used}),
        ):  # fmt: skip
            must(found == wanted, "%s are %s in the ledger and must be %s", what, found, wanted)

    def _fits_its_want(self, name: tuple[int, int, int], parts: list[tuple[int, int, int]], rows: Any) -> None:
        """All that it needs; and nothing of a lot while one before it in the order of draw has something left (I8)."""
        want, lots = self.world.denials.want_of(name), self.books.lots
        lent = {number: nanos for kind, number, nanos in parts if kind == LOT}
        if want is None or self._has_folded:  # what came back in this very event may have come back behind the loan
            return
        must(want.again or sum(lent.values()) >= want.need_nanos, "want %s was lent %s, which is less", want, lent)
        # what was over by the ledger's clock when the life began it was not told of, though by its own it may not be over
        over = self.world.ready_at(name[0])
        order = [
            lot
            for wallet in want.wallets
            for lot in sorted(
                (
                    one
                    for one in lots.values()
                    if one.wallet == wallet and one.effective <= want.at and max(want.at, over) < one.expires
                ),
                key=Lot.rank,
            )
        ]
        must(lent.keys() <= {lot.id for lot in order}, "want %s was lent %s, which it cannot draw", want, lent)
        last = max((place for place, lot in enumerate(order) if lot.id in lent), default=0)
        taken = {number: nanos for number, *_, nanos in rows(_VALUES)}
        for lot in order[:last]:
            left = lot.left - (taken[lot.id] - lot.taken)  # what the ledger gave by itself is not in the books yet
            must(
                left <= (left and self.world.denials.owed().get(lot.id, 0)),
                "want %s was lent %s, and lot %d before it has %d left",
                want,
                lent,
                lot.id,
                left,
            )

    def _compare(self, rows: Any) -> None:
        """Every lot's parts, to the nano (I1, I3), and every counter."""
        lots = self.books.lots
        found = rows(_VALUES).fetchall()
        must(len(found) == len(lots), "%d lots have values, %d were made", len(found), len(lots))
        for number, held, suspense, spent, taken in found:
            lot = lots[number]
            gone = taken - lot.taken
            if gone and not self.world.is_leased:  # where no worker spends, the ledger gives by itself
                lot.taken += gone
                lot.left -= gone
            if (held, suspense, spent, taken) != (lot.held, lot.suspense, lot.spent, lot.taken):
                wanted = (lot.held, lot.suspense, lot.spent, lot.taken)
                must(
                    False,
                    "lot %d is %s in the ledger and must be %s (held, suspense, spent, taken)",
                    number,
                    (held, suspense, spent, taken),
                    wanted,
                )
            lot.check()
        carried = {
            row[:2]: row[2] for row in rows("SELECT wallet_id, worker, nanos FROM overage_uses WHERE nanos != 0")
        }
        wanted_carried = {one: nanos for one, nanos in self.books.carried.items() if nanos}
        must(carried == wanted_carried, "the company carried %s and must have %s", carried, wanted_carried)
        for wallet in {wallet for wallet, _ in carried}:
            both = (*self.books.carried.items(), *self.books.carries.items())
            all_carried = sum(nanos for (owner, _), nanos in both if owner == wallet)
            most = self.world.overage_nanos + self.books.overrun
            must(all_carried <= most, "of wallet %d the company carried %d, and %d at most", wallet, all_carried, most)
        for limit, start, used in rows("SELECT limit_id, start_at, used FROM limit_counters").fetchall():
            counted = self.books.counters.get((limit, start), 0)
            must(used == counted, "limit %d has used %d since %d and must have %d", limit, used, start, counted)

    def _readies(self) -> None:
        """A life that is ready to spend: all before it is told and ended, or named in suspense."""
        for number, epoch, ready_at in self.world.ready_epochs():
            is_early = self.world.is_early(number)
            if is_early and self.ready.get((number, epoch), (0, None))[0] != ready_at:
                self.ready[number, epoch] = (ready_at, self._foreseen(number, epoch))
            if is_early or self.closed.get((number, epoch)) == ready_at:
                continue
            for life in self.lives.values():
                if life.number == number and life.epoch < epoch and life.closed_at < 0:
                    must(life.folded == len(life.records), "epoch %d is ready, and %d records of epoch %d are not folded", epoch, len(life.records) - life.folded, life.epoch)  # fmt: skip
                    life.closed_at = self.world.ledger.folded_sequence(number, life.epoch)
            open_holds = [
                hold
                for hold in self.books.holds.values()
                if hold.state != "suspense" and hold.key >> 56 == number and hold.key >> 40 & 0xFFFF < epoch
            ]
            must(
                not open_holds, "epoch %d is ready, and %d holds of earlier ones are still open", epoch, len(open_holds)
            )
            self.closed[number, epoch] = ready_at
            if self.ready.get((number, epoch), (0, None))[0] != ready_at:
                self.ready[number, epoch] = (ready_at, self.books.copied())

    def _foreseen(self, number: int, epoch: int) -> Books:
        """What the books will be once all that earlier lives wrote is folded, and what they left open has the end that recovery gave it."""
        books = self.books.copied()
        for life in sorted(self.lives.values(), key=lambda one: one.epoch):
            if life.number != number or life.epoch >= epoch or life.closed_at >= 0:
                continue
            for _, name, arguments in life.records[life.folded :]:
                getattr(books, name)(*arguments)
            released = _released_on_tape(self.world.directories[number], life.epoch)
            for hold in list(books.holds.values()):
                if hold.state == "suspense" or hold.key >> 40 != number << 16 | life.epoch:
                    continue
                if hold.key & (1 << 40) - 1 in released:
                    books.end(hold.key, "released", 0)
                else:
                    books.lapse(hold.key, self.world.ledger_at)
        return books

    # ---- at the end ----------------------------------------------------------------------------------------

    def verify(self) -> None:
        """The journal replayed from empty gives every stored value, and the chain holds (I2, I9)."""
        connection = self.world.connection
        connection.rollback()
        verified = verify(connection, self.world.ledger_at)
        connection.rollback()
        must(verified.holds, "the journal does not verify: %s", verified.differences[:3])

    def no_claim_is_left(self) -> None:
        """Whatever clients named is sent, or free again: nobody waits, and all is folded."""
        connection = self.world.connection
        connection.rollback()
        left = rows_of(connection, "SELECT client_call_id, worker, epoch FROM call_claims")
        connection.rollback()
        must(not left, "claims outlive their calls: %s", left)

    def bill(self) -> None:
        """The provider's own bill is what the ledger charged and what it names in suspense: nothing free, nothing twice (I4, I11)."""
        world, books = self.world, self.books
        call_of = world.provider.hold_of
        billed = {call: line["cost_nanos"] for call, line in world.provider.bill.items()}
        charged = {key: charge for key, (how, charge) in books.ended.items() if how == "settled"}
        for call, cost in billed.items():
            key = call_of[call]
            if key in charged:
                must(
                    charged[key] == cost or key in world.estimated,
                    "%s was charged %d and is billed %d",
                    call,
                    charged[key],
                    cost,
                )
            elif key not in books.holds:
                must(world.rates_were.may_lose_records, "%s is billed, and the ledger does not know it", call)
        unbilled = set(charged) - {call_of[call] for call in billed}
        must(
            all(charged[key] == 0 for key in unbilled), "calls were charged that nobody bills: %s", sorted(unbilled)[:3]
        )

    def agree(self) -> None:
        """At rest, what a worker has is what the ledger has: every lot, every counter."""
        for worker in self.world.workers:
            if worker is None or worker.purse is None:
                continue
            for number, lot in worker.purse.lots.items():
                owed = sum(one[1] for one in lot.owed)
                known = self.books.lots[number]
                left = known.lent.get(worker.number, 0) if self.world.are_several else known.left
                must(lot.left == left, "lot %d has %d left at its worker and %d in the ledger", number, lot.left, left)
                must(
                    self.world.are_several or not owed or lot.held + lot.suspense > 0 or not lot.left,
                    "lot %d owes %d and has %d",
                    number,
                    owed,
                    lot.left,
                )

    def must_be_spendable(self) -> None:
        """What is left of each wallet can be held, to the last call that fits (I11, law 4)."""
        world = self.world
        for number, (secret, wallet) in world.keys.items():
            for worker in world.workers:
                if worker is not None:
                    world.within(worker, worker.call, (number, secret, wallet), 0, 1, "")
        world.rest()

    def all_is_somewhere(self) -> None:
        """Granted = left + spent + taken, now that nothing is held; and what was billed is no more than that (I1, I4)."""
        lots = self.books.lots.values()
        must(not self.books.holds, "holds are left")
        for lot in lots:
            lot.check()
            must(not lot.held and not lot.suspense, "lot %d still holds %d", lot.id, lot.held + lot.suspense)
            must(not any(lot.lent.values()), "of lot %d is still lent: %s", lot.id, lot.lent)
        told = self.books.ended.keys() - self.world.estimated
        billed = sum(
            line["cost_nanos"]
            for call, line in self.world.provider.bill.items()
            if self.world.provider.hold_of[call] in told
        )
        charged = sum(charge for how, charge in self.books.ended.values() if how == "settled")
        must(
            sum(lot.spent for lot in lots) + self.books.company == charged,
            "what lots spent is not what calls were charged",
        )
        must(
            billed
            <= sum(lot.spent for lot in lots) + self.books.company - self.books.overrun + self.world.provider.overrun,
            "%d were billed, more than lots spent, the company carried and the provider overran",
            billed,
        )

    # ---- an older copy -------------------------------------------------------------------------------------

    def remember(self) -> tuple[Any, ...]:
        """What the judge knows, with a copy of the database."""
        return (
            self.books.copied(),
            self.seq,
            {at: (life.folded, life.closed_at) for at, life in self.lives.items()},
            self.lot,
            self.loan,
        )

    def recall(self, known: tuple[Any, ...]) -> None:
        """The ledger is as it was then; the tapes are not."""
        books, self.seq, folded, self.lot, self.loan = known
        self.books = books.copied()
        for at, life in self.lives.items():
            life.folded, life.closed_at = folded.get(at, (0, -1))
            life.count_again()
            if life.is_closed:  # what only the ledger knew, after a lost power, is known to nobody now
                life.keep(max(life.survived, life.folded and life.records[life.folded - 1][0]))

    def must_agree_with_the_bill(self, differences: list[dict[str, Any]]) -> None:
        """The ledger's own reconciliation finds nothing that is not named: estimates, and what a lost power took."""
        call_of = self.world.provider.hold_of
        for one in differences:
            named = call_of[one["call"]] in self.world.estimated or (
                one["kind"] == "unknown" and self.world.rates_were.may_lose_records
            )
            must(named, "the bill and the ledger differ: %s", one)


def _released_on_tape(directory: Path, epoch: int) -> set[int]:
    found = set()
    for block in epoch_blocks(directory, epoch):
        for kind, offset, _ in iter_records(block.payload):
            if kind == RecordType.RELEASE:
                found.add(RELEASE.unpack_from(block.payload, offset)[3])
    return found
