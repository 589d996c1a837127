"""The fold: what workers wrote on their tapes becomes rows (DESIGN §5). It applies, it never chooses.

One call folds a report's blocks inside the caller's transaction: checksums and gapless sequence, the table of allowed
transitions, slices exactly as the worker drew them. A damaged or impossible record raises FoldHalt with a reason by name and the
caller rolls back everything (halt over wrong). The main loop is written for speed: most attempts begin and end within one
batch and never become an object; everything rarer is handled by named methods on OpenHold.

| record | allowed when the hold is | becomes |
|---|---|---|
| HOLD | new | held |
| DISPATCHED | held | dispatched |
| EVIDENCE | dispatched | dispatched |
| SETTLE | dispatched | ended: a settlements row |
| RELEASE not_sent, never_dispatched, coalesced, loop_broken | held | ended: a row without charge |
| RELEASE provider_error | dispatched | ended: a row without charge |
| LAPSE | held, dispatched | suspense: an entry |

A LEASE says what the worker gave back of its lots; it leaves them here, and `gives` says so to whoever books it. What comes from a sized
lease, by LEASE or by RETURN, goes back to the ledger's own part of the lot, and `returns` says so.
"""

import struct
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, select

from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.identifier import call_identifier, hold_key_from_call
from tokenroll.model.instant import Instant
from tokenroll.store import schema, tape
from tokenroll.store.attempt_record import EPOCH_MAX, WORKER_MAX, Outcome, hold_number, parse_record
from tokenroll.store.collector import no_cycle_search
from tokenroll.store.cycles import NEVER
from tokenroll.store.database import raw_connection
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.halt import FoldHalt
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.lease_book import LeasePart
from tokenroll.store.limit_sums import raises_end
from tokenroll.store.mirror import OpenHold
from tokenroll.store.tape import LIMIT, LOT, Block, RecordType, TapeError, TapeRelease

if TYPE_CHECKING:
    from tokenroll.store.fold_columns import Rest

COLUMNS_BYTES_MIN: Final = 512 * 1024
"""From a report of so many bytes on, some 4,000 attempts, columns are faster than the loop."""
COLUMNS_REST_MAX: Final = 0.125
"""With a larger part of a report's records left to the loop's methods, the loop itself is faster."""
_HOLD: Final[int] = int(RecordType.HOLD)
_SETTLE: Final[int] = int(RecordType.SETTLE)
_SHORT_HOLD: Final[int] = int(RecordType.SHORT_HOLD)
_SHORT_SETTLE: Final[int] = int(RecordType.SHORT_SETTLE)
_DISPATCHED: Final[int] = int(RecordType.DISPATCHED)
# The parts of records that the loop needs, as unsigned where a negative could pass for an index from the end.
_HOLD_HOT: Final = struct.Struct("<xBHBB2x16xQQ8xqQ20xI16xQQ")
"""flags, length, attempt, slice count, wallet, key, admitted at, bound, client call name; lot and nanos of the first slice."""
_SETTLE_HOT: Final = struct.Struct("<2xHQ16xQ")
_SHORT_HOLD_HOT: Final = struct.Struct("<xBHII4xQ8xI12xIQ")
"""flags, length, wallet, key, admitted at, client call name; lot and bound."""
_SHORT_SETTLE_HOT: Final = struct.Struct("<2xHI8xI")
_END_HOT: Final = struct.Struct("<2xHQq")
_SEQUENCED: Final = (_SHORT_SETTLE, _SETTLE, int(RecordType.RELEASE), int(RecordType.LAPSE))
"""Records that each take a number of the journal."""
_RELEASE_REASON: Final = 20
_AT: Final = struct.Struct("<q")
_LEAF_HOT: Final = struct.Struct("<2sqqqii")
"""engine.chaining's leaf mark and journal.SETTLEMENT_LEAF in one; a test compares them."""
_SHA256: Final = sha256()
"""An empty hash: a copy of it is a third cheaper than a new one."""
_HOLD_ONE_SLICE: Final = tape.HOLD.size + tape.SLICE.size
_SHORT_HOLD_SIZE: Final = tape.SHORT_HOLD.size
_LIMITED: Final = tape.HOLD_LIMITED
_RARER_MIN: Final = {
    _DISPATCHED: tape.DISPATCHED_HEAD.size,
    int(RecordType.NAME): tape.RECORD_HEAD.size + tape.NAME_HEAD.size,
    int(RecordType.EVIDENCE): tape.EVIDENCE.size + tape.COUNTS_MASK_NARROW.size,
    int(RecordType.RELEASE): tape.RELEASE.size,
    int(RecordType.LAPSE): tape.LAPSE.size,
    int(RecordType.LEASE): tape.LEASE.size,
    int(RecordType.RETURN): tape.RETURN.size,
}
_SETTLE_MIN: Final = tape.SETTLE.size + tape.COUNTS_MASK_NARROW.size
_SHORT_SETTLE_MIN: Final = tape.SHORT_SETTLE.size


_Begun: TypeAlias = tuple[Any, ...]
"""A hold of this batch: record, wallet, key, admitted at, and of a plain one the place of its lot and its nanos, else -1 and -1. Its
items stay objects from the record to the row: compiled, a tuple of integers would be taken apart and made again at every step."""


class Give(NamedTuple):
    """What a worker, or the ledger where none spends, gave of a lot to a recall at an instant; 0 is an answer too."""

    recall_id: int
    lot_id: int
    nanos: int
    at: Instant


def _overdraw(sequence: int, lot: int, nanos: int, rest: int) -> FoldHalt:
    return FoldHalt("overdraw", f"record {sequence} takes {nanos} of lot {lot}, {-rest} more than it has")


class Fold:
    """Folds one report after another; the caller owns the transaction, and reloads mirror and journal when it rolls back."""

    def __init__(self, connection: Connection, changes: HoldChanges) -> None:
        self._connection = connection
        self._journal = changes.journal
        self._mirror = changes.mirror
        self._cycles = changes.cycles
        self._changes = changes
        self._hold_hot = _HOLD_HOT.unpack_from
        self._short_hold_hot = _SHORT_HOLD_HOT.unpack_from
        self._now = 0
        self._base = 0
        self._worker = 0
        self._epoch = 0
        self._fresh: dict[int, _Begun] = {}
        self._dispatched: dict[int, Instant] = {}
        self._evidence: dict[int, bytes] = {}
        self._names: dict[int, str] = {}
        self.gives: list[Give] = []
        """What the last report gave back of leased lots, in its order. It has left the mirror's lots and is booked nowhere yet."""
        self.returns: list[LeasePart] = []
        """What came back from a sized lease, below zero: the nanos are in the mirror's lots, the shares nowhere yet."""
        self.answered: set[int] = set()
        """Which recalls a worker with a sized lease has answered by it."""
        self.returned: set[int] = set()
        """The numbers of what asked for the returns."""
        self.named: list[tuple[int, str, int]] = []
        """Calls that their clients named: key, name and hold."""
        self._lots = self._mirror.lots
        self.columns_bytes_min = COLUMNS_BYTES_MIN
        self.columns_rest_max = COLUMNS_REST_MAX

    def apply(self, worker: int, epoch: int, blocks: bytes, folded_sequence: int, now: Instant) -> int:
        """The last sequence folded of that worker's epoch. Blocks that were folded before are passed over.

        Raises FoldHalt.
        """
        if not (0 <= worker <= WORKER_MAX and 0 < epoch <= EPOCH_MAX):
            raise FoldHalt("worker", f"worker {worker} epoch {epoch} is outside what a hold key can name")
        self._changes.batch = FoldBatch()
        self._now = now
        self._worker, self._epoch = worker, epoch
        self._base = worker << 56 | epoch << 40
        self._fresh, self._dispatched, self._evidence, self._names = {}, {}, {}, {}
        self.gives, self.returns, self.named = [], [], []
        self.answered, self.returned = set(), set()
        self._lots = self._mirror.lots_of(worker)
        with no_cycle_search():
            try:
                return self._fold(blocks, folded_sequence, now)
            except (ValueError, OverflowError) as error:
                raise FoldHalt("damaged", f"a record names an instant or a number that cannot be: {error}") from error
            finally:  # what is written is freed here, before anybody searches it
                self._changes.batch = FoldBatch()
                self._fresh, self._dispatched, self._evidence, self._names = {}, {}, {}, {}

    def _fold(self, blocks: bytes, sequence: int, now: Instant) -> int:
        found = self._blocks(blocks, sequence)
        if len(blocks) >= self.columns_bytes_min:
            whole = list(found)
            if whole and self._fold_columns(whole):
                sequence = whole.pop().last_sequence
                whole.clear()
            found = iter(whole)
        for block in found:
            self._fold_block(block)
            self._changes.batch.write_settlements(self._connection)
            sequence = block.last_sequence
        for opened in tuple(self._fresh):
            self._lift(opened)
        batch, lots = self._changes.batch, self._lots
        batch.write(self._connection, self._mirror, now)
        if lots is not self._mirror.lots:
            touched = batch.paying_lots() | batch.changes.keys() - {COMPANY_LOT_ID}
            touched |= {one.id for one in self.returns if one.kind == LOT}
            self._mirror.write_leases(self._connection, self._worker, touched)
            batch.limits.write_uses(raw_connection(self._connection), self._worker, self._epoch)
            self.named = batch.client_calls
        return sequence

    @staticmethod
    def _blocks(blocks: bytes, sequence: int) -> "Iterator[Block]":
        """Those behind `sequence`, without a gap."""
        try:
            for block in tape.split_blocks(blocks):
                if block.last_sequence <= sequence:
                    continue
                if block.first_sequence != sequence + 1:
                    raise FoldHalt(
                        "gap", f"expected record {sequence + 1}, the next block starts with {block.first_sequence}"
                    )
                yield block
                sequence = block.last_sequence
        except TapeError as error:
            raise FoldHalt("damaged", str(error)) from error

    # ---- many together ----------------------------------------------------------------------------

    def _fold_columns(self, blocks: list[Block]) -> bool:
        """A long report's plain attempts all at once; False, and nothing done, where the loop is to fold it."""
        from tokenroll.store import fold_columns  # noqa: PLC0415 - numpy costs 0.1 s and 20 MB: only who catches up pays

        mirror, journal, base = self._mirror, self._journal, self._base
        holds, begun, known = mirror.holds, journal.next_seq, len(journal.hashes)

        def wallet_of(opened: int) -> int:
            hold = holds.get(base | opened)
            return 0 if hold is None else hold.wallet_id

        columns = fold_columns.found(blocks, self._lots, mirror.last_seq, wallet_of, begun, self.columns_rest_max)
        if columns is None:
            return False
        cycle = self._common_cycle(int(columns.admitted.min()), int(columns.admitted.max()))
        if not cycle:
            return False
        batch = self._changes.batch
        try:
            self._fold_rest(columns.payload, columns.rest)
            fold_columns.count_limits(columns, batch.limits)
        except (struct.error, IndexError, TapeError) as error:
            raise FoldHalt("damaged", f"a record is cut or names what is not: {error}") from error
        batch.write_settlements(self._connection)
        hashes: list[bytes] = [b""] * columns.row_count
        others = [one.seq - begun for one in columns.rest if one.kind in _SEQUENCED]
        for place, other in zip(others, journal.hashes[known:], strict=True):
            hashes[place] = other
        del journal.hashes[known:]
        for start in range(0, len(columns.seqs), fold_columns.SLICE):
            batch.write_plain(self._connection, fold_columns.rows(columns, start, cycle, base, begun, hashes))
        journal.hashes += hashes
        journal.next_seq = begun + columns.row_count
        batch.paid = fold_columns.settle(columns, self._lots, mirror.last_seq)
        return True

    def _common_cycle(self, earliest: Instant, latest: Instant) -> int:
        """The cycle of calls admitted between these; 0 where it is not the same for all."""
        since, until, cycle = self._cycles.common_window(self._mirror.zones, earliest)
        return cycle if since <= earliest and latest < until else 0

    def _fold_rest(self, payload: bytes, rest: "list[Rest]") -> None:
        """What is no plain attempt, in its order, with the numbers that it has among all."""
        journal, last_seq = self._journal, self._mirror.last_seq
        for one in rest:
            kind, offset = one.kind, one.offset
            if one.opened is not None:
                self._dispatch_each(_AT.unpack_from(payload, offset + 4)[0], one.opened)
            elif kind in (_SHORT_HOLD, _HOLD):
                self._begin(one.sequence, payload, offset, offset + one.length, is_short=kind == _SHORT_HOLD)
            else:
                journal.next_seq = one.seq
                if one.wallet:
                    last_seq[one.wallet] = one.previous
                record = payload[offset : offset + one.length]
                if kind in (_SHORT_SETTLE, _SETTLE):
                    layout = _SHORT_SETTLE_HOT if kind == _SHORT_SETTLE else _SETTLE_HOT
                    _, opened, charge = layout.unpack_from(payload, offset)
                    self._settle(opened, charge, record)
                else:
                    self._rarer(kind, one.sequence, record)

    def _fold_block(self, block: Block) -> None:
        try:
            sequence = self._fold_records(block.payload, block.first_sequence)
        except (struct.error, IndexError, TapeError) as error:
            raise FoldHalt(
                "damaged", f"a record of the block at {block.first_sequence} is cut or names what is not: {error}"
            ) from error
        if sequence != block.last_sequence:
            raise FoldHalt(
                "count",
                f"the block at {block.first_sequence} holds {sequence - block.first_sequence + 1} records, not {block.record_count}",
            )

    def _fold_records(self, payload: bytes, first_sequence: int) -> int:
        """The sequence of the last record. One loop without calls for the records of a plain attempt."""
        mirror, journal, batch = self._mirror, self._journal, self._changes.batch
        lots, last_seq, evidence = self._lots, mirror.last_seq, self._evidence
        fresh, dispatched, values = self._fresh, self._dispatched, batch.values
        spent, limits, again = batch.spent, batch.limits, batch.again.append
        add_hash, new_hash = journal.hashes.append, _SHA256.copy
        settle_hot, short_settle_hot, leaf_hot = _SETTLE_HOT.unpack_from, _SHORT_SETTLE_HOT.unpack_from, _LEAF_HOT.pack
        settle_kind, short_settle_kind, hold_kind, short_hold_kind = _SETTLE, _SHORT_SETTLE, _HOLD, _SHORT_HOLD
        limited, settle_min, short_settle_min = _LIMITED, _SETTLE_MIN, _SHORT_SETTLE_MIN
        base, end, padded = self._base, len(payload), payload + bytes(tape.SLICE.size)
        seq, sequence, offset, length = journal.next_seq, first_sequence - 1, 0, 0
        window: tuple[Any, ...] = NEVER
        since, until, month = window
        while offset < end:
            sequence += 1
            kind = padded[offset]
            is_short = kind == short_settle_kind
            if is_short or kind == settle_kind:
                hot: tuple[Any, ...] = short_settle_hot(padded, offset) if is_short else settle_hot(padded, offset)
                length = hot[0]
                opened, charge = hot[1], hot[2]
                held = fresh.pop(opened, None)
                least = short_settle_min if is_short else settle_min
                if held is None or charge > held[5] or length < least or dispatched.pop(opened, None) is None:
                    if held is not None:
                        fresh[opened] = held
                    journal.next_seq = seq
                    self._settle(opened, charge, padded[offset : offset + length])
                    seq = journal.next_seq
                else:
                    record: bytes = held[0]
                    wallet, admitted, place = held[1], held[3], held[4]
                    lots[place] += held[5] - charge
                    if record[1] & limited:
                        raises_at = _SHORT_HOLD_SIZE if record[0] == short_hold_kind else _HOLD_ONE_SLICE
                        limits.passed(record, raises_at, charge, padded, offset)
                    if evidence:
                        record += evidence.pop(opened, b"")
                    record += padded[offset : offset + length]
                    if not since <= admitted < until:
                        window = self._cycles.common_window(mirror.zones, admitted)
                        since, until, month = window
                    cycle = month or self._cycle(wallet, admitted)
                    previous, last_seq[wallet] = last_seq[wallet], seq
                    opened |= base
                    leaf = new_hash()
                    leaf.update(leaf_hot(b"\x00S", seq, opened, previous, cycle, 1) + record)
                    add_hash(leaf.digest())
                    values += (seq, opened, wallet, held[2], admitted, cycle, charge, 1, previous, bytearray(record))
                    before = spent.get(place)
                    spent[place] = charge if before is None else before + charge
                    if before is not None:
                        again(place)
                    seq += 1
            elif kind == short_hold_kind or kind == hold_kind:  # noqa: PLR1714, SIM109 - a set is looked at by its hash
                length = self._begin(sequence, padded, offset, end, is_short=kind == short_hold_kind)
            else:
                length = int.from_bytes(padded[offset + 2 : offset + 4], "little")
                journal.next_seq = seq
                self._rarer(kind, sequence, padded[offset : offset + length])
                seq = journal.next_seq
            offset += length
        journal.next_seq = seq
        if offset != end:
            raise FoldHalt("damaged", f"record {sequence} reaches {offset - end} bytes beyond its block")
        return sequence

    def _rarer(self, kind: int, sequence: int, record: bytes) -> None:
        if len(record) < _RARER_MIN.get(kind, 0xFFFF):
            raise FoldHalt("damaged", f"record {sequence} of type {kind} has {len(record)} bytes")
        if kind == _DISPATCHED:
            self._dispatch(record)
        elif kind == RecordType.EVIDENCE:
            self._note_evidence(record)
        elif kind == RecordType.RELEASE:
            self._release(record)
        elif kind == RecordType.LAPSE:
            self._lapse(record)
        elif kind == RecordType.NAME:
            self._name(record)
        elif kind == RecordType.LEASE:
            self._give(sequence, record)
        elif kind == RecordType.RETURN:
            self._return(sequence, record)

    # ---- beginnings -------------------------------------------------------------------------------

    def _begin(self, sequence: int, padded: bytes, offset: int, end: int, *, is_short: bool) -> int:
        """A hold takes what it holds from its lots. How long its record is."""
        attempt = slices = 1
        if is_short:
            hot: tuple[Any, ...] = self._short_hold_hot(padded, offset)
            wallet, key, admitted, client, lot, nanos = hot[2], hot[3], hot[4], hot[5], hot[6], hot[7]
            bound, size = nanos, _SHORT_HOLD_SIZE
        else:
            hot = self._hold_hot(padded, offset)
            attempt, slices = hot[2], hot[3]
            wallet, key, admitted, bound, client, lot, nanos = hot[4], hot[5], hot[6], hot[7], hot[8], hot[9], hot[10]
            size = _HOLD_ONE_SLICE
        flags: int = hot[0]
        length: int = hot[1]
        lots = self._lots
        place = lot + lot
        if flags & _LIMITED and slices == 1:
            size = raises_end(padded, offset + size) - offset
        if length == size and slices == 1 and nanos == bound and lot and nanos and lots[place + 1] == wallet:
            rest = lots[place] - nanos
            if rest < 0:
                raise _overdraw(sequence, lot, nanos, rest)
            lots[place] = rest
        else:
            place = nanos = -1
            self._draw(sequence, padded[offset : offset + length], end - offset)
        record = padded[offset : offset + length]
        if client or attempt != 1:
            self._identify(sequence, record, attempt, key, client)
        self._fresh[sequence] = (record, wallet, key, admitted, place, nanos)
        return length

    def _draw(self, sequence: int, record: bytes, room: int) -> None:
        """A hold of several lots, of none, of a pool's or of the company's."""
        if len(record) < _SHORT_HOLD_SIZE or len(record) > room:
            raise FoldHalt("damaged", f"hold {sequence} has {len(record)} bytes")
        hold = parse_record(record).hold
        if hold.wallet_id < 1 or hold.wallet_id >= len(self._mirror.last_seq):
            raise FoldHalt("wallet", f"hold {sequence} spends wallet {hold.wallet_id}, which is not in the ledger")
        if any(one.nanos <= 0 for one in hold.slices) or sum(one.nanos for one in hold.slices) != hold.bound_nanos:
            raise FoldHalt("slices", f"the slices of hold {sequence} are not positive parts of its bound")
        for lot, nanos in hold.slices:
            if lot == COMPANY_LOT_ID:
                continue
            owner = self._mirror.owner(lot)
            if owner == 0 or (owner != hold.wallet_id and owner not in self._mirror.pools):
                raise FoldHalt(
                    "lot",
                    f"hold {sequence} takes from lot {lot}, which is neither wallet {hold.wallet_id}'s nor a pool's",
                )
            self._take(sequence, lot, nanos)

    def _take(self, sequence: int, lot: int, nanos: int) -> None:
        self._lots[2 * lot] -= nanos
        rest = self._lots[2 * lot]
        if rest < 0:
            raise _overdraw(sequence, lot, nanos, rest)

    def _identify(self, sequence: int, record: bytes, attempt: int, key: int, client_name: int) -> None:
        """The other names of an attempt: the call it belongs to, and the client's own id of it."""
        number = self._base | sequence
        if attempt != 1:
            call = parse_record(record).hold.call_number(number)
            self._changes.batch.attempts.append(
                (hold_number(hold_key_from_call(call_identifier(call))), attempt, number)
            )
        elif client_name:
            self._changes.batch.client_calls.append((key, self._name_text(client_name), number))

    def _dispatch(self, record: bytes) -> None:
        (at,) = _AT.unpack_from(record, 4)
        opened = struct.unpack_from(
            f"<{(len(record) - tape.DISPATCHED_HEAD.size) // 8}Q", record, tape.DISPATCHED_HEAD.size
        )
        distinct = set(opened)
        if (
            len(distinct) == len(opened)
            and self._fresh.keys() >= distinct
            and self._dispatched.keys().isdisjoint(distinct)
        ):
            self._dispatched.update(dict.fromkeys(opened, at))
            return
        self._dispatch_each(at, opened)

    def _dispatch_each(self, at: Instant, opened: Sequence[int]) -> None:
        for one in opened:
            if one in self._fresh and one not in self._dispatched:
                self._dispatched[one] = at
                continue
            hold = self._opened(one)
            if hold.state != "held":
                raise FoldHalt("transition", f"hold {one} is {hold.state}: it cannot be dispatched")
            hold.dispatched_at = at
            self._changes.batch.touched.add(hold.key)

    def _name(self, record: bytes) -> None:
        (name_id,) = tape.NAME_HEAD.unpack_from(record, tape.RECORD_HEAD.size)
        text = record[tape.RECORD_HEAD.size + tape.NAME_HEAD.size :].decode(errors="replace").replace("\0", "\ufffd")
        self._names[name_id] = text
        self._changes.batch.names.append((self._worker, self._epoch, name_id, text))

    def _give(self, sequence: int, record: bytes) -> None:
        """Nanos that leave leased lots, on the worker's word: it alone knows what it does not hold."""
        (at,) = _AT.unpack_from(record, tape.LEASE.size - _AT.size)
        for recall, lot, nanos in tape.GIVE.iter_unpack(record[tape.LEASE.size :]):
            if nanos < 0 or self._mirror.owner(lot) == 0:
                raise FoldHalt("lot", f"record {sequence} gives {nanos} of lot {lot}, which cannot be")
            self._take(sequence, lot, nanos)
            if self._lots is self._mirror.lots:
                self.gives.append(Give(recall, lot, nanos, at))
            else:
                self._mirror.take(lot, -nanos)
                self.returns.append(LeasePart(LOT, lot, -nanos))
                self.answered.add(recall)

    def _return(self, sequence: int, record: bytes) -> None:
        """Parts of a sized lease that its worker does not need go back to the ledger."""
        sized = self._lots is not self._mirror.lots
        for kind, row_id, amount in tape.RETURNED.iter_unpack(record[tape.RETURN.size :]):
            is_lot = kind == LOT and self._mirror.owner(row_id) > 0
            if amount < 0 or not sized or not (is_lot or kind == LIMIT):
                raise FoldHalt("lease", f"record {sequence} returns {amount} of {row_id} ({kind}), which cannot be")
            if is_lot:
                self._take(sequence, row_id, amount)
                self._mirror.take(row_id, -amount)
            self.returns.append(LeasePart(kind, row_id, -amount))
        number = tape.RETURN.unpack_from(record)[3]
        if number:
            self.returned.add(number)

    def _name_text(self, name_id: int) -> str:
        known = self._names.get(name_id)
        if known is None:
            names = schema.names.c
            query = select(names.text).where(
                names.worker == self._worker, names.epoch == self._epoch, names.name_id == name_id
            )
            known = self._connection.scalar(query)
        if known is None:
            raise FoldHalt("name", f"a hold uses name {name_id}, which its tape does not define")
        return known

    # ---- ends -------------------------------------------------------------------------------------

    def _lift(self, opened: int) -> OpenHold:
        """A hold of this batch as an object: it outlives the batch, or its end is not a plain one."""
        record, wallet, key, admitted, place, nanos = self._fresh.pop(opened)
        said = None if place > 0 and not record[1] & _LIMITED else parse_record(record).hold
        hold = OpenHold(
            key=self._base | opened,
            wallet_id=wallet,
            api_key_id=key,
            admitted_at=admitted,
            slices=(Slice(place >> 1, nanos),) if said is None else said.slices,
            raises=() if said is None else said.raises,
            record=record + self._evidence.pop(opened, b""),
            dispatched_at=self._dispatched.get(opened),
        )
        self._changes.open(hold)
        return hold

    def _opened(self, opened: int) -> OpenHold:
        if opened in self._fresh:
            return self._lift(opened)
        hold = self._mirror.holds.get(self._base | opened)
        if hold is None:
            raise FoldHalt("transition", f"hold {opened} is not open: it ended before, or never began")
        return hold

    def _settle(self, opened: int, charge_nanos: int, record: bytes) -> None:
        hold = self._opened(opened)
        if hold.state != "dispatched":
            raise FoldHalt("transition", f"hold {opened} is {hold.state}: only a dispatched hold can settle")
        if len(record) < (_SHORT_SETTLE_MIN if record[0] == _SHORT_SETTLE else _SETTLE_MIN):
            raise FoldHalt("damaged", f"the settlement of hold {opened} has {len(record)} bytes")
        self._changes.end(hold, Outcome.SETTLED, record, charge_nanos)

    def _release(self, record: bytes) -> None:
        _, opened, _ = _END_HOT.unpack_from(record)
        reason = record[_RELEASE_REASON]
        hold = self._opened(opened)
        needed = "dispatched" if reason == TapeRelease.PROVIDER_ERROR else "held"
        if hold.state != needed:
            raise FoldHalt(
                "transition", f"hold {opened} is {hold.state}: release {reason} is only for one that is {needed}"
            )
        self._changes.end(hold, Outcome.RELEASED, record, 0)

    def _lapse(self, record: bytes) -> None:
        _, opened, at = _END_HOT.unpack_from(record)
        self._changes.suspend(self._opened(opened), record, at, self._now)

    def _note_evidence(self, record: bytes) -> None:
        """The newest evidence replaces the one before."""
        _, opened, _ = _END_HOT.unpack_from(record)
        if opened in self._fresh and opened in self._dispatched:
            self._evidence[opened] = record
            return
        hold = self._opened(opened)
        if hold.state != "dispatched":
            raise FoldHalt("transition", f"hold {opened} is {hold.state}: there is no answer to have evidence of")
        length = int.from_bytes(hold.record[2:4], "little")
        hold.record = hold.record[:length] + record
        self._changes.batch.touched.add(hold.key)

    def _cycle(self, wallet: int, admitted: Instant) -> int:
        return self._cycles.booked(self._mirror.zone(wallet), admitted)
