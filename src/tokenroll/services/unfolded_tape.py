"""The unfolded tape: what a worker's earlier lives wrote and the ledger has not folded, as changes of the lease that it sends (decision 0137).

A worker alone is the only one that changes what its lots have, so it need not wait for the ledger to fold what its own tape says: rows as
they were folded, and the rest of the tape, are what its last life knew. What an end takes of a hold is the fold's rule (engine/drawing);
a property test compares the two.
"""

import struct
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from tokenroll.engine.drawing import split
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.limits import CLIENT_CALL_IDS_REMEMBERED_MAX
from tokenroll.services.protocol import ClientCallTerms, Lease, LimitTerms, LotTerms, View, WalletTerms
from tokenroll.store import tape
from tokenroll.store.attempt_record import LimitRaise, hold_key, parse_record
from tokenroll.store.limit_sums import LimitSums, raises_end
from tokenroll.store.tape import Block, RecordType, TapeError

_EPOCH_SHIFT: Final = 40
_HOLD: Final[int] = int(RecordType.HOLD)
_SETTLE: Final[int] = int(RecordType.SETTLE)
_SHORT_HOLD: Final[int] = int(RecordType.SHORT_HOLD)
_SHORT_SETTLE: Final[int] = int(RecordType.SHORT_SETTLE)
_RELEASE: Final[int] = int(RecordType.RELEASE)
_LAPSE: Final[int] = int(RecordType.LAPSE)
_LEASE: Final[int] = int(RecordType.LEASE)
_RETURN: Final[int] = int(RecordType.RETURN)
_PLAIN_BYTES: Final[int] = tape.HOLD.size + tape.SLICE.size
_SHORT_BYTES: Final[int] = tape.SHORT_HOLD.size
"""A hold of one lot, without what limits it raised."""
_HOLD_HOT: Final = struct.Struct("<4xBB18xQ52xI16xQQ")
"""Attempt, slice count, wallet, client call name; lot and nanos of the first slice."""
_SHORT_HOLD_HOT: Final = struct.Struct("<4xI24xI12xIQ")
"""Wallet, client call name; lot and nanos."""
_SETTLE_HOT: Final = struct.Struct("<4xQ16xQ")
_SHORT_SETTLE_HOT: Final = struct.Struct("<4xI8xI")
"""Hold sequence, charge."""
_OPENED: Final = struct.Struct("<4xQ")
_STATES: Final = {_SETTLE: "settled", _SHORT_SETTLE: "settled", _RELEASE: "released", _LAPSE: "suspense"}


class _Opened(NamedTuple):
    """A hold without an end yet. `key` and `client` name it where its client did."""

    wallet_id: int
    slices: tuple[Slice, ...]
    raises: tuple[LimitRaise, ...]
    key: int
    client: int
    record: bytes


class _Change:
    """How what rows say of a lot, or of the company's part in a wallet, differs from what the tape says."""

    __slots__ = ("available", "held", "spent", "suspense")

    def __init__(self) -> None:
        self.available = self.held = self.spent = self.suspense = 0


class UnfoldedTape:
    """Blocks that no ledger has folded, followed in their order; then every part of the lease is told through it, as often as the line breaks."""

    def __init__(self, open_holds: Mapping[int, bytes]) -> None:
        """`open_holds`: holds of earlier lives that have no end in the ledger, their records by hold number."""
        self.record_count = 0
        self._lots: dict[int, _Change] = {}
        self._charged: dict[int, int] = {}
        """By lot: what plain calls were charged that began and ended here."""
        self._plain: dict[int, tuple[int, int, int, bytes]] = {}
        """Holds of one lot without an end, by epoch and sequence: wallet, lot, nanos, and the record of one that limits count."""
        self._open: dict[int, _Opened] = {}
        self._carried: dict[int, int] = {}
        """By wallet: what the company carried, what is in suspense included."""
        self._limits = LimitSums()
        self._clients: deque[tuple[int, int, int, str, int]] = deque(maxlen=CLIENT_CALL_IDS_REMEMBERED_MAX)
        """Epoch, name, key, state and charge of calls that their clients named, oldest first."""
        self._names: dict[tuple[int, int], str] = {}
        for number, record in open_holds.items():
            at = hold_key(number)
            # the ledger says itself how their clients named them, and that their fate will be found out
            self._open[at.epoch << _EPOCH_SHIFT | at.sequence] = _opened(record)._replace(client=0)

    # ---- the tape -----------------------------------------------------------------------------------------------------

    def follow(self, epoch: int, block: Block) -> None:
        """The next block of that life. Raises TapeError for what no worker with a lease of everything wrote."""
        try:
            self._follow(epoch, block.payload, block.first_sequence)
        except (struct.error, IndexError, KeyError, ValueError) as error:
            raise TapeError(f"a record of the block at {block.first_sequence} cannot be followed: {error}") from error
        self.record_count += block.record_count

    def _follow(self, epoch: int, payload: bytes, first_sequence: int) -> None:
        """One loop without calls for the records of a plain call: there may be two million of them before anybody is served."""
        plain, charged, limits = self._plain, self._charged, self._limits
        hold_hot, short_hold_hot = _HOLD_HOT.unpack_from, _SHORT_HOLD_HOT.unpack_from
        settle_hot, short_settle_hot = _SETTLE_HOT.unpack_from, _SHORT_SETTLE_HOT.unpack_from
        base, number = epoch << _EPOCH_SHIFT, (epoch << _EPOCH_SHIFT | first_sequence) - 1
        offset, end = 0, len(payload)
        payload += bytes(tape.SLICE.size)  # a hold of nothing may be the last record
        while offset < end:
            number += 1
            kind: int = payload[offset]
            length: int = payload[offset + 2] | payload[offset + 3] << 8
            if length < tape.RECORD_HEAD.size or offset + length > end:
                raise TapeError(f"record {number - base} claims {length} bytes of {end - offset}")
            if kind in {_SHORT_HOLD, _HOLD}:
                if kind == _SHORT_HOLD:
                    wallet, client, lot, nanos = short_hold_hot(payload, offset)
                    is_plain, size = not client, _SHORT_BYTES
                else:
                    attempt, slices, wallet, client, lot, nanos = hold_hot(payload, offset)
                    is_plain, size = slices == 1 and (attempt != 1 or not client), _PLAIN_BYTES
                if not is_plain or not lot:
                    self._begin(number, payload[offset : offset + length])
                elif length == size:
                    plain[number] = (wallet, lot, nanos, b"")
                elif raises_end(payload, offset + size) != offset + length:
                    raise TapeError(f"record {number - base} is no hold of one lot with limits")
                else:
                    plain[number] = (wallet, lot, nanos, payload[offset : offset + length])
            elif kind in {_SHORT_SETTLE, _SETTLE}:
                is_short = kind == _SHORT_SETTLE
                opened, charge = short_settle_hot(payload, offset) if is_short else settle_hot(payload, offset)
                held = plain.pop(base | opened, None)
                if held is not None and charge <= held[2]:
                    charged[held[1]] = charged.get(held[1], 0) + charge
                    record: bytes = held[3]
                    if record:
                        limits.passed(
                            record, _SHORT_BYTES if record[0] == _SHORT_HOLD else _PLAIN_BYTES, charge, payload, offset
                        )
                else:
                    if held is not None:
                        plain[base | opened] = held
                    self._end(base | opened, kind, charge, payload[offset : offset + length])
            elif kind in {_RELEASE, _LAPSE}:
                self._end(base | _OPENED.unpack_from(payload, offset)[0], kind, 0, b"")
            elif kind == _LEASE:
                self._give(payload[offset : offset + length])
            elif kind == _RETURN:
                raise TapeError(f"record {number - base} returns a part of a sized lease")
            offset += length

    def name_clients(self, epoch: int, block: Block) -> None:
        """Every block once more where `needs_names`: what the clients' own call ids are called."""
        for kind, offset, length in tape.iter_records(block.payload):
            if kind == RecordType.NAME:
                start = offset + tape.RECORD_HEAD.size
                (name_id,) = tape.NAME_HEAD.unpack_from(block.payload, start)
                if (epoch, name_id) in self._names:
                    text = block.payload[start + tape.NAME_HEAD.size : offset + length]
                    self._names[epoch, name_id] = text.decode(errors="replace").replace("\0", "\ufffd")

    @property
    def needs_names(self) -> bool:
        """Whether clients named calls of it; then their names are found in the same blocks."""
        if self._clients and not self._names:
            self._names = {(epoch, name_id): "" for epoch, name_id, *_ in self._clients}
        return bool(self._names)

    @property
    def lacks_names(self) -> bool:
        """Whether a call is named by a NAME that was folded before: then the ledger alone can say what it is called."""
        return "" in self._names.values()

    def end(self) -> None:
        """The tape is followed to its end. Holds that it does not know were lost with the power: their fate is to be found out."""
        if self._plain:
            raise TapeError(f"{len(self._plain)} holds have no end on a tape that was ended")
        for one in self._open.values():
            self._suspend(one)
        self._open.clear()
        for lot, nanos in self._charged.items():
            change = self._lot(lot)
            change.available -= nanos
            change.spent += nanos
        self._charged.clear()

    # ---- rarer records ------------------------------------------------------------------------------------------------

    def _begin(self, number: int, record: bytes) -> None:
        one = _opened(record)
        self._open[number] = one
        self._move(one.slices, available=-1, held=1)
        self._limits.opened(one.raises)

    def _end(self, number: int, kind: int, charge: int, settle: bytes) -> None:
        plain = self._plain.pop(number, None)
        if plain is not None and plain[3]:
            self._begin(number, plain[3])
        elif plain is not None:
            self._open[number] = _Opened(plain[0], (Slice(plain[1], plain[2]),), (), 0, 0, b"")
            self._move(self._open[number].slices, available=-1, held=1)
        one = self._open.pop(number)
        if one.client:
            self._clients.append((number >> _EPOCH_SHIFT, one.client, one.key, _STATES[kind], charge))
        if kind == _LAPSE:
            self._suspend(one)
            return
        consumed, returned = split(one.slices, charge)
        self._move(one.slices, held=-1)
        self._move(returned, available=1)
        self._move(consumed, spent=1)
        self._carry(one.wallet_id, consumed)
        if one.raises:
            self._limits.ended(one.raises, parse_record(one.record + settle).settle if settle else None)

    def _suspend(self, one: _Opened) -> None:
        self._move(one.slices, held=-1, suspense=1)
        self._carry(one.wallet_id, one.slices)

    def _carry(self, wallet_id: int, slices: Iterable[Slice]) -> None:
        carried = sum(part.nanos for part in slices if part.lot_id == COMPANY_LOT_ID)
        if carried:
            self._carried[wallet_id] = self._carried.get(wallet_id, 0) + carried

    def _give(self, record: bytes) -> None:
        """What was given to recalls has left its lots."""
        for _, lot, nanos in tape.GIVE.iter_unpack(record[tape.LEASE.size :]):
            self._lot(lot).available -= nanos

    def _move(
        self, slices: Iterable[Slice], *, available: int = 0, held: int = 0, suspense: int = 0, spent: int = 0
    ) -> None:
        for lot, nanos in slices:
            if lot != COMPANY_LOT_ID:
                change = self._lot(lot)
                change.available += available * nanos
                change.held += held * nanos
                change.suspense += suspense * nanos
                change.spent += spent * nanos

    def _lot(self, lot: int) -> _Change:
        change = self._lots.get(lot)
        if change is None:
            change = self._lots[lot] = _Change()
        return change

    # ---- the lease ----------------------------------------------------------------------------------------------------

    def view(self, view: View) -> View:
        """The same with what the tape knows of limits and, behind the ledger's, of calls that their clients named."""
        used: dict[int, dict[int, int]] = {}
        for (limit_id, start_at), values in self._limits.values() if view.limits else ():
            used.setdefault(limit_id, {})[start_at] = values.used
        limits = [_counted(terms, used.get(terms.id, {})) for terms in view.limits]
        calls = list(view.client_calls)
        if view.last:
            calls += [
                ClientCallTerms(key, self._names[epoch, name_id], state, charge)
                for epoch, name_id, key, state, charge in self._clients
            ]
        return msgspec.structs.replace(view, limits=limits, client_calls=calls)

    def lease(self, lease: Lease, worker: int) -> Lease:
        """The same with what the tape, which is that worker's, says of lots and of what the company carried."""
        return msgspec.structs.replace(lease, wallets=[self._wallet(one, worker) for one in lease.wallets])

    def _wallet(self, terms: WalletTerms, worker: int) -> WalletTerms:
        carried = self._carried.get(terms.id, 0)
        changes = [self._lots.get(lot.id) for lot in terms.lots]
        if not carried and not any(changes):
            return terms
        known = [one for one in changes if one is not None]
        return msgspec.structs.replace(
            terms,
            lots=[lot if one is None else _available(lot, one) for lot, one in zip(terms.lots, changes, strict=True)],
            spent_nanos=terms.spent_nanos + sum(one.spent for one in known),
            held_nanos=terms.held_nanos + sum(one.held for one in known),
            suspense_nanos=terms.suspense_nanos + sum(one.suspense for one in known),
            carried=[*terms.carried, (worker, carried)] if carried else terms.carried,
        )


def _opened(record: bytes) -> _Opened:
    hold = parse_record(record).hold
    client = hold.client_call_name if hold.attempt == 1 else 0
    return _Opened(hold.wallet_id, hold.slices, hold.raises, hold.api_key_id, client, record)


def _available(lot: LotTerms, change: _Change) -> LotTerms:
    # a lot of an older copy of the ledger may have less than was taken: it has nothing, and the fold will say what is wrong
    return msgspec.structs.replace(lot, available_nanos=max(0, lot.available_nanos + change.available))


def _counted(terms: LimitTerms, changes: Mapping[int, int]) -> LimitTerms:
    if not changes:
        return terms
    counters = dict(terms.counters)
    for start_at, used in changes.items():
        counters[start_at] = counters.get(start_at, 0) + used
    return msgspec.structs.replace(terms, counters=sorted(counters.items()))
