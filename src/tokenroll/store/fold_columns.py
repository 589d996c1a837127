"""Columns: the plain attempts of a long report, found and summed all at once where the fold's loop takes one record after another.

A ledger that catches up folds a hundred thousand attempts in one transaction. Nearly all of them are short records of a call that was
held from one lot of its own wallet, sent, and settled, all in that report. They need no order among themselves but that of their rows:
here they become columns of numbers, and everything else (`rest`) is left to the loop's own methods, which get it in the order of the
tape with the number of its row and its wallet's row before. What is written is the same to the byte, and so is the chain.

Nothing is changed before all of it is decided. Whatever does not fit, or cannot be, is not judged here: `found` says None, and the loop
folds the report or halts at it. A lot from which a report takes more in all than it has could be overdrawn on the way: its attempts are
left to the loop's methods, too.
"""

from array import array
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tokenroll.store import tape
from tokenroll.store.fold_rows import PaidRows, PlainRows
from tokenroll.store.limit_sums import LimitSums, raises_end
from tokenroll.store.tape import Block, RecordType

Numbers: TypeAlias = NDArray[np.int64]

_HOLD: Final[int] = int(RecordType.HOLD)
_SHORT_HOLD: Final[int] = int(RecordType.SHORT_HOLD)
_SETTLE: Final[int] = int(RecordType.SETTLE)
_SHORT_SETTLE: Final[int] = int(RecordType.SHORT_SETTLE)
_DISPATCHED: Final[int] = int(RecordType.DISPATCHED)
_NAME: Final[int] = int(RecordType.NAME)
_LAPSE: Final[int] = int(RecordType.LAPSE)
_ENDING: Final = (_SETTLE, int(RecordType.RELEASE), _LAPSE)
_NAMING: Final = (*_ENDING, int(RecordType.EVIDENCE))
"""Long records that name a hold behind their heads."""
_KNOWN: Final = (_HOLD, _SHORT_HOLD, _SHORT_SETTLE, _DISPATCHED, _NAME, *_NAMING)
"""What a report of columns may have in it: the others move lots."""


def _table(*kinds: int) -> "NDArray[np.bool_]":
    """Whether a kind is one of these, by its number."""
    return np.isin(np.arange(256), kinds)


_IS_KNOWN: Final = _table(*_KNOWN)
_IS_NAMING: Final = _table(*_NAMING)
_IS_ENDING: Final = _table(_SHORT_SETTLE, *_ENDING)
_HOLD_BYTES: Final = tape.SHORT_HOLD.size
_HEAD_BYTES: Final = tape.RECORD_HEAD.size
_DISPATCHED_BYTES: Final = tape.DISPATCHED_HEAD.size
_HOLD_PARTS: Final = np.dtype({
    "names": ["flags", "length", "wallet", "key", "admitted", "client", "lot", "bound"],
    "formats": ["u1", "<u2", "<u4", "<u4", "<i8", "<u4", "<u4", "<i8"],
    "offsets": [1, 2, 4, 8, 16, 32, 48, 52],
    "itemsize": _HOLD_BYTES,
})  # fmt: skip
_SETTLE_PARTS: Final = np.dtype({
    "names": ["length", "opened", "charge"], "formats": ["<u2", "<u4", "<u4"], "offsets": [2, 4, 16],
    "itemsize": tape.SHORT_SETTLE.size,
})  # fmt: skip
_LONG_WALLET_OFFSET: Final = 24
_LONG_SLICES_OFFSET: Final = 5
_PADDING: Final = bytes(tape.HOLD.size)
_LEAF: Final = [
    ("mark", "V2"), ("seq", "<i8"), ("hold_key", "<i8"), ("previous", "<i8"), ("cycle", "<i4"), ("outcome", "<i4"),
]  # fmt: skip
"""As fold's `_LEAF_HOT`; the attempt's two records follow."""
_LEAF_HEAD_BYTES: Final = np.dtype(_LEAF).itemsize
_MARK: Final = np.array(b"\0S", "V2")
_LENGTHS_MAX: Final = 64
SLICE: Final = 4_096
"""So many rows are made and written together, while they are in the processor's cache."""


class Rest(NamedTuple):
    """A record that is left to the loop's methods, or of a DISPATCHED the holds that are (`opened`)."""

    sequence: int
    kind: int
    offset: int
    length: int
    seq: int
    wallet: int
    """Of an end: whose row it becomes; else 0."""
    previous: int
    opened: list[int] | None


class Columns(NamedTuple):
    """A report taken apart. `seqs` to `settles_at` have an item for each plain attempt, in the order of their rows."""

    payload: bytes
    rest: list[Rest]
    row_count: int
    """How many numbers the journal gives out, for plain and others."""
    seqs: Numbers
    opened: Numbers
    wallets: Numbers
    keys: Numbers
    admitted: Numbers
    charges: Numbers
    previous: Numbers
    holds_at: Numbers
    settles_at: Numbers
    sizes: Numbers
    """How long the hold is, times 2**16, and its settlement."""
    limited: list[int]
    """Which of them raised limits."""
    lots: Numbers
    last_wallets: Numbers
    """Wallets that have rows, each once, and the newest row of each; also of those that are no plain ones."""
    last_seqs: Numbers


class _Heads(NamedTuple):
    """What lies where in a report: of every record where it begins, its kind and its length; of the short ones what they say."""

    first: int
    """The sequence of its first record."""
    payload: bytes
    at: Numbers
    kinds: "NDArray[np.uint8]"
    lengths: Numbers
    hold_indexes: Numbers
    holds: NDArray[Any]
    settle_indexes: Numbers
    settles: NDArray[Any]


class _Plain(NamedTuple):
    """Which attempts are plain: the places of their ends among the short ones, in their order, and of their holds; and what is sent."""

    settles: Numbers
    holds: Numbers
    hold_indexes: Numbers
    """Of their holds among all records."""
    told: Numbers
    """The record that each word of a DISPATCHED names, counted from the first, and in `told_by` the one that says so."""
    told_by: Numbers


def found(
    blocks: Sequence[Block], lots: "array[int]", last_seq: "array[int]", wallet_of: Callable[[int], int], next_seq: int, rest_max: float
) -> Columns | None:  # fmt: skip
    """The report as columns; None where the loop is faster, or where something is not as it should be.

    `rest_max` is how much of it may be left to the loop's methods; `wallet_of` knows the wallets of holds that were open before, 0 for
    one that was not.
    """
    heads = _heads(blocks)
    if heads is None or not len(lots) or not len(last_seq):
        return None
    plain = _plain(heads, np.frombuffer(lots, np.int64))
    kinds, count, settles = heads.kinds, len(heads.at), heads.settles[plain.settles]
    own, ends = heads.holds[plain.holds], heads.settle_indexes[plain.settles]
    is_plain_hold = np.zeros(count, np.bool_)
    is_plain_hold[plain.hold_indexes] = True
    handled = (kinds == _DISPATCHED) | is_plain_hold
    handled[ends] = True
    left = np.flatnonzero(~handled)
    if not len(ends) or int((kinds[left] != _NAME).sum()) > rest_max * count:
        return None
    sizes = own["length"].astype(np.int64) << 16 | settles["length"]
    if len(np.unique(sizes)) > _LENGTHS_MAX:
        return None
    is_end = _IS_ENDING[kinds]
    wallets = np.zeros(count, np.int64)
    wallets[ends] = own["wallet"]
    for index in np.flatnonzero(is_end & ~handled & (kinds != _LAPSE)).tolist():
        wallet = _wallet_of(heads, index, wallet_of)
        if not 0 < wallet < len(last_seq):
            return None
        wallets[index] = wallet
    seqs = next_seq + np.cumsum(is_end) - 1
    rows = np.flatnonzero(is_end & (kinds != _LAPSE))
    previous = np.zeros(count, np.int64)
    previous[rows], last_wallets, last_seqs = _chained(wallets[rows], seqs[rows], np.frombuffer(last_seq, np.int64))
    return Columns(
        payload=heads.payload, rest=_rest(heads, left, _opened(plain, is_plain_hold, heads.first), seqs, wallets, previous),
        row_count=int(is_end.sum()), seqs=seqs[ends], opened=plain.hold_indexes + heads.first, wallets=wallets[ends],
        keys=own["key"].astype(np.int64), admitted=own["admitted"], charges=settles["charge"].astype(np.int64),
        previous=previous[ends], holds_at=heads.at[plain.hold_indexes], settles_at=heads.at[ends], sizes=sizes,
        limited=np.flatnonzero(own["flags"] & tape.HOLD_LIMITED).tolist(), lots=own["lot"].astype(np.int64),
        last_wallets=last_wallets, last_seqs=last_seqs,
    )  # fmt: skip


def _heads(blocks: Sequence[Block]) -> _Heads | None:
    """What a report of known kinds has in it; None for any other."""
    joined = b"".join([block.payload for block in blocks])
    payload, at = joined + _PADDING, np.array(_offsets(joined, blocks), np.int64)
    if not len(at):
        return None
    kinds, lengths = np.frombuffer(payload, np.uint8)[at], _sliding(payload, np.dtype("<u2"))[at + 2].astype(np.int64)
    hold_indexes, settle_indexes = np.flatnonzero(kinds == _SHORT_HOLD), np.flatnonzero(kinds == _SHORT_SETTLE)
    if not _IS_KNOWN[kinds].all() or lengths.min() < _HEAD_BYTES or not len(hold_indexes) or not len(settle_indexes):
        return None
    holds = _sliding(payload, _HOLD_PARTS)[at[hold_indexes]]
    if int(holds["bound"].max()) > (1 << 62) // len(at):  # their sum might be more than 63 bits
        return None
    settles = _sliding(payload, _SETTLE_PARTS)[at[settle_indexes]]
    return _Heads(blocks[0].first_sequence, payload, at, kinds, lengths, hold_indexes, holds, settle_indexes, settles)


def _plain(heads: _Heads, lot_values: Numbers) -> _Plain:
    """The attempts that are plain: nobody else names their holds, and they are held, sent and settled in this order."""
    payload, at, count, settles = heads.payload, heads.at, len(heads.at), heads.settles
    fit = _fit(heads.holds, lot_values, _long_slices(payload, at[heads.kinds == _HOLD]))
    fit &= _is_whole(payload, at[heads.hold_indexes], heads.holds)
    hold_at = np.full(count, -1, np.int64)
    hold_at[heads.hold_indexes[fit]] = np.flatnonzero(fit)
    settled = settles["opened"].astype(np.int64) - heads.first
    named = _sliding(payload, np.dtype("<i8"))[at[_IS_NAMING[heads.kinds]] + _HEAD_BYTES] - heads.first
    references = _counted(count, settled, named)
    told, told_by = _dispatches(heads)
    told_count = _counted(count, told)
    sent = np.full(count, -1, np.int64)
    inside = (told >= 0) & (told < count)
    sent[told[inside]] = told_by[inside]
    target = np.where((settled >= 0) & (settled < count), settled, 0)
    hold = hold_at[target]
    is_plain = (
        (settled == target) & (hold >= 0) & (references[target] == 1) & (told_count[target] == 1) & (sent[target] > target)
        & (sent[target] < heads.settle_indexes) & (settles["charge"] <= heads.holds["bound"][hold])
        & (settles["length"] >= _SETTLE_PARTS.itemsize)
    )  # fmt: skip
    plain = np.flatnonzero(is_plain)
    return _Plain(plain, hold[plain], target[plain], told, told_by)


def _opened(plain: _Plain, is_plain_hold: "NDArray[np.bool_]", first: int) -> dict[int, list[int]]:
    """By record that sends: the holds that it sends and that are not plain."""
    inside = (plain.told >= 0) & (plain.told < len(is_plain_hold))
    others = ~inside | ~is_plain_hold[np.where(inside, plain.told, 0)]
    opened: dict[int, list[int]] = {}
    for index, one in zip(plain.told_by[others].tolist(), (plain.told[others] + first).tolist(), strict=True):
        opened.setdefault(index, []).append(one)
    return opened


def _rest(
    heads: _Heads, left: Numbers, opened: dict[int, list[int]], seqs: Numbers, wallets: Numbers, previous: Numbers
) -> list[Rest]:
    """All that is not plain, in the order of the tape."""
    columns = (
        left + heads.first,
        heads.kinds[left],
        heads.at[left],
        heads.lengths[left],
        seqs[left],
        wallets[left],
        previous[left],
    )
    rest = [
        Rest(sequence, kind, offset, length, seq, wallet, before, None)
        for sequence, kind, offset, length, seq, wallet, before in zip(*[one.tolist() for one in columns], strict=True)
    ]
    rest += [
        Rest(heads.first + index, _DISPATCHED, int(heads.at[index]), 0, 0, 0, 0, those)
        for index, those in opened.items()
    ]
    rest.sort()
    return rest


def _offsets(joined: bytes, blocks: Sequence[Block]) -> list[int]:
    """Where each record begins; empty where the lengths of a block's records do not add up."""
    offsets: list[int] = []
    add, offset, end = offsets.append, 0, 0
    for block in blocks:
        end += len(block.payload)
        for _ in range(block.record_count):
            if offset + _HEAD_BYTES > end:
                return []
            add(offset)
            offset += joined[offset + 2] | joined[offset + 3] << 8
        if offset != end:
            return []
    return offsets


def _sliding(payload: bytes, kind: "np.dtype[Any]") -> NDArray[Any]:
    """What lies at each offset of the payload, seen as `kind`."""
    return np.ndarray((len(payload) - kind.itemsize + 1,), kind, payload, 0, (1,))


def _counted(count: int, *places: Numbers) -> Numbers:
    """How often each record is named."""
    named = np.concatenate(places)
    return np.bincount(named[(named >= 0) & (named < count)], minlength=count)


def _long_slices(payload: bytes, at: Numbers) -> list[tuple[int, int]]:
    """What long holds take: lot and nanos."""
    found: list[tuple[int, int]] = []
    for offset in at.tolist():
        start = offset + tape.HOLD.size
        slices = payload[start : start + tape.SLICE.size * payload[offset + _LONG_SLICES_OFFSET]]
        found += tape.SLICE.iter_unpack(slices[: len(slices) - len(slices) % tape.SLICE.size])
    return found


def _fit(holds: NDArray[Any], lot_values: Numbers, slices: list[tuple[int, int]]) -> "NDArray[np.bool_]":
    """Which short holds are plain ones: from one lot of their own wallet, from which the report takes no more than it has."""
    lots, wallets, bounds = holds["lot"].astype(np.int64), holds["wallet"].astype(np.int64), holds["bound"]
    known = (lots > 0) & (lots + lots + 1 < len(lot_values))
    order, in_order, starts = _by_number(lots)
    each = np.where(known[order[starts]], in_order[starts], 0)
    taken = np.add.reduceat(np.maximum(bounds[order], 0), starts)
    if slices:
        more: dict[int, int] = {}
        for lot, nanos in slices:
            more[lot] = more.get(lot, 0) + max(nanos, 0)
        enough = np.array([not more.get(lot) for lot in each.tolist()], np.bool_)
    else:
        enough = np.ones(len(each), np.bool_)
    enough &= taken <= lot_values[each + each]
    sizes = np.diff(np.concatenate((starts, [len(lots)])))
    is_enough, owners = np.empty(len(lots), np.bool_), np.empty(len(lots), np.int64)
    is_enough[order] = np.repeat(enough, sizes)
    owners[order] = np.repeat(lot_values[each + each + 1], sizes)
    plain: NDArray[np.bool_] = (
        known & is_enough & (owners == wallets) & (wallets > 0) & (bounds > 0) & (holds["client"] == 0)
    )  # fmt: skip
    return plain


def _is_whole(payload: bytes, at: Numbers, holds: NDArray[Any]) -> "NDArray[np.bool_]":
    """Which short holds are as long as they say, with the limits that they raise."""
    lengths = np.full(len(holds), _HOLD_BYTES, np.int64)
    for place in np.flatnonzero(holds["flags"] & tape.HOLD_LIMITED).tolist():
        begun = int(at[place])
        try:
            lengths[place] = raises_end(payload, begun + _HOLD_BYTES) - begun
        except (IndexError, tape.TapeError):
            lengths[place] = 0
    whole: NDArray[np.bool_] = holds["length"] == lengths
    return whole


def _dispatches(heads: _Heads) -> tuple[Numbers, Numbers]:
    """Of each word of a DISPATCHED: which record of the report it names, and the record that says so."""
    records = np.flatnonzero(heads.kinds == _DISPATCHED)
    counts = np.maximum(heads.lengths[records] - _DISPATCHED_BYTES, 0) // 8
    by = np.repeat(records, counts)
    within = np.arange(len(by)) - np.repeat(np.cumsum(counts) - counts, counts)
    return _sliding(heads.payload, np.dtype("<i8"))[heads.at[by] + _DISPATCHED_BYTES + 8 * within] - heads.first, by


def _wallet_of(heads: _Heads, index: int, wallet_of: Callable[[int], int]) -> int:
    """Whose row an end becomes that is not plain; 0 where nobody knows."""
    payload = heads.payload
    opened = tape.ended_sequence(payload, int(heads.at[index]))
    place = opened - heads.first
    if not 0 <= place < len(heads.at):
        return wallet_of(opened)
    begun = int(heads.at[place])
    if heads.kinds[place] == _SHORT_HOLD:
        return int.from_bytes(payload[begun + 4 : begun + 8], "little")
    if heads.kinds[place] == _HOLD:
        return int.from_bytes(payload[begun + _LONG_WALLET_OFFSET : begun + _LONG_WALLET_OFFSET + 8], "little")
    return 0


def _chained(wallets: Numbers, seqs: Numbers, last_seq: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Of each row its wallet's row before; and of each wallet its newest."""
    order, whose, starts = _by_number(wallets)
    numbers = seqs[order]
    before = np.empty(len(order), np.int64)
    before[1:] = numbers[:-1]
    each = whose[starts]
    before[starts] = last_seq[each]
    previous = np.empty(len(order), np.int64)
    previous[order] = before
    return previous, each, numbers[np.concatenate((starts[1:], [len(order)])) - 1]


def _by_number(numbers: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """The places of numbers below 2**32 in their order, equal ones as they come; the numbers so; where each other one begins.

    Number and place are sorted as one, which is ten times as fast as to sort places by their numbers and keep equal ones in order.
    """
    both = np.sort(numbers << 32 | np.arange(len(numbers)))
    in_order = both >> 32
    starts = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
    return both & 0xFFFFFFFF, in_order, starts


def rows(columns: Columns, start: int, cycle: int, base: int, begun: int, hashes: list[bytes]) -> PlainRows:
    """The next rows of plain attempts from `start` on. Their leaves' hashes are put in their places; `begun` is the first's number."""
    chosen = slice(start, min(start + SLICE, len(columns.seqs)))
    found = PlainRows(
        seqs=columns.seqs[chosen], hold_keys=columns.opened[chosen] | base, wallets=columns.wallets[chosen],
        api_keys=columns.keys[chosen], admitted=columns.admitted[chosen], cycle=cycle, charges=columns.charges[chosen],
        previous=columns.previous[chosen], records=[bytearray()] * (chosen.stop - start),
    )  # fmt: skip
    sizes, places = columns.sizes[chosen], (found.seqs - begun).tolist()
    for size in np.unique(sizes).tolist():
        hold, settled = np.dtype(f"V{size >> 16}"), np.dtype(f"V{size & 0xFFFF}")
        these = np.flatnonzero(sizes == size)
        leaves = np.empty(len(these), np.dtype([*_LEAF, ("hold", hold), ("settle", settled)]))
        leaves["mark"], leaves["cycle"], leaves["outcome"] = _MARK, cycle, 1
        for name, values in (("seq", found.seqs), ("hold_key", found.hold_keys), ("previous", found.previous)):
            leaves[name] = values[these]
        leaves["hold"] = _sliding(columns.payload, hold)[columns.holds_at[chosen][these]]
        leaves["settle"] = _sliding(columns.payload, settled)[columns.settles_at[chosen][these]]
        _put(these.tolist(), leaves.tobytes(), leaves.itemsize, found.records, places, hashes)
    return found


def _put(
    these: list[int], leaves: bytes, size: int, records: list[bytearray], places: list[int], hashes: list[bytes]
) -> None:
    """Each leaf's hash and its records: as a bytearray, for sqlite3 looks up an adapter for bytes."""
    hashed, head, offset = sha256, _LEAF_HEAD_BYTES, 0
    for one in these:
        leaf = leaves[offset : offset + size]
        hashes[places[one]] = hashed(leaf).digest()
        records[one] = bytearray(leaf[head:])
        offset += size


def count_limits(columns: Columns, limits: LimitSums) -> None:
    """What plain attempts count against the limits that they raised."""
    payload = columns.payload
    for one in columns.limited:
        begun, ended = int(columns.holds_at[one]), int(columns.settles_at[one])
        hold = payload[begun : begun + (int(columns.sizes[one]) >> 16)]
        limits.passed(hold, _HOLD_BYTES, int(columns.charges[one]), payload, ended)


def settle(columns: Columns, lots: "array[int]", last_seq: "array[int]") -> PaidRows:
    """What the plain attempts took leaves its lots, and every wallet has its newest row; what each lot paid."""
    newest = np.frombuffer(last_seq, np.int64)
    newest[columns.last_wallets] = columns.last_seqs
    order, in_order, starts = _by_number(columns.lots)
    paying, nanos = in_order[starts], np.add.reduceat(columns.charges[order], starts)
    np.frombuffer(lots, np.int64)[paying + paying] -= nanos
    wallets, counts = columns.wallets[order][starts], np.diff(np.concatenate((starts, [len(in_order)])))
    return PaidRows(paying, wallets, newest[wallets], counts, nanos)
