"""HoldChanges: what ends or suspends one hold, on the mirror, in the journal and in the batch that will be written.

The fold uses it for what its main loop leaves aside, commands use it to resolve suspense, and the ledger to lapse what a dead worker
left behind: one place, so that a charge moves the same nanos whoever decided it.
"""

from tokenroll.engine.drawing import split
from tokenroll.engine.posting import suspend_postings
from tokenroll.model.entry import Entry, EntryKind
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.identifier import identifier
from tokenroll.model.instant import Instant
from tokenroll.model.limits import AMOUNT_NANOS_MAX
from tokenroll.store.attempt_record import Outcome, hold_key, parse_record
from tokenroll.store.cycles import CycleBook
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.halt import FoldHalt
from tokenroll.store.journal import Journal, settlement_leaf
from tokenroll.store.mirror import Mirror, OpenHold


class HoldChanges:
    """Changes of open holds; `batch` is replaced for each transaction."""

    __slots__ = ("batch", "cycles", "journal", "mirror")

    def __init__(self, journal: Journal, mirror: Mirror, cycles: CycleBook) -> None:
        self.journal = journal
        self.mirror = mirror
        self.cycles = cycles
        self.batch = FoldBatch()

    def open(self, hold: OpenHold) -> None:
        """A hold whose slices have left their lots (`left`) and that outlives its batch."""
        self.mirror.holds[hold.key] = hold
        self.batch.touched.add(hold.key)
        for lot, nanos in hold.slices:
            self.batch.move(lot, held=nanos)
        if hold.raises:
            self.batch.limits.opened(hold.raises)

    def suspend(self, hold: OpenHold, lapse: bytes, at: Instant, now: Instant) -> None:
        """Held money whose fate is to be found out, with an entry in the journal."""
        if hold.lapsed_at is not None:
            raise FoldHalt("transition", f"hold {hold_key(hold.key)} is in suspense already")
        for lot, nanos in hold.slices:
            self.batch.move(lot, held=-nanos, suspense=nanos)
            if lot == COMPANY_LOT_ID:
                self.batch.carry(hold.key, hold.wallet_id, nanos)
        hold.lapsed_at = at
        hold.record += lapse
        self.batch.touched.add(hold.key)
        self.journal.append_entry(
            Entry(
                public_id=identifier("entry", at // 1000, hold.key << 1 | 1),
                kind=EntryKind.SUSPEND,
                effective_at=at,
                recorded_at=now,
                postings=suspend_postings(hold.wallet_id, hold.slices, self._owners(hold)),
                reference=suspense_reference(hold.key),
            )
        )

    def end(self, hold: OpenHold, outcome: Outcome, end: bytes, charge_nanos: int) -> tuple[Slice, ...]:
        """The hold's row: its charge is consumed from its slices in order. The slices that went back to their lots."""
        if charge_nanos > AMOUNT_NANOS_MAX:
            raise FoldHalt(
                "charge", f"hold {hold_key(hold.key)} charges {charge_nanos} nanos, more than a row may hold"
            )
        mirror, batch = self.mirror, self.batch
        consumed, returned = split(hold.slices, charge_nanos)
        for lot, nanos in hold.slices:
            if hold.lapsed_at is None:
                batch.move(lot, held=-nanos)
            else:
                batch.move(lot, suspense=-nanos)
                if lot == COMPANY_LOT_ID:
                    batch.carry(hold.key, hold.wallet_id, -nanos)
        for lot, nanos in returned:
            if lot != COMPANY_LOT_ID:
                mirror.give_back(hold, lot, nanos)
        seq = self.journal.next_seq
        for lot, nanos in consumed:
            batch.move(lot, spent=nanos)
            if lot == COMPANY_LOT_ID:
                batch.company[hold.wallet_id] = batch.company.get(hold.wallet_id, 0) + nanos
                batch.carry(hold.key, hold.wallet_id, nanos)
        if hold.raises:
            batch.limits.ended(
                hold.raises, None if outcome == Outcome.RELEASED else parse_record(hold.record + end).settle
            )
        self._note_draws(hold, consumed, seq)
        self._add_row(hold, outcome, hold.record + end, charge_nanos)
        del mirror.holds[hold.key]
        batch.touched.add(hold.key)
        return returned

    def _add_row(self, hold: OpenHold, outcome: Outcome, record: bytes, charge_nanos: int) -> None:
        mirror, wallet = self.mirror, hold.wallet_id
        cycle = self.cycles.booked(mirror.zone(wallet), hold.admitted_at)
        seq, previous = self.journal.next_seq, mirror.last_seq[wallet]
        self.journal.take(settlement_leaf(seq, hold.key, previous, cycle, outcome, record))
        mirror.last_seq[wallet] = seq
        self.batch.settle(
            (
                seq,
                hold.key,
                wallet,
                hold.api_key_id,
                hold.admitted_at,
                cycle,
                charge_nanos,
                int(outcome),
                previous,
                record,
            )
        )

    def _note_draws(self, hold: OpenHold, consumed: tuple[Slice, ...], seq: int) -> None:
        """What other wallets (pools) paid of it, by wallet."""
        drawn: dict[int, int] = {}
        for lot, nanos in consumed:
            owner = self.mirror.owner(lot)
            if lot != COMPANY_LOT_ID and owner != hold.wallet_id:
                drawn[owner] = drawn.get(owner, 0) + nanos
        self.batch.draws.extend((owner, seq, nanos) for owner, nanos in drawn.items())

    def _owners(self, hold: OpenHold) -> dict[int, int]:
        return {lot: self.mirror.owner(lot) for lot, _ in hold.slices}


def suspense_reference(key: int) -> str:
    """What a SUSPEND entry refers to: its hold."""
    return f"hold {key}"
