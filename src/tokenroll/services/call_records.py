"""The two records that nearly every call writes on the tape: its hold and its settlement, as short ones where they fit (store/tape.py)."""

import struct
from typing import Final

from tokenroll.model.instant import Instant
from tokenroll.model.usage import METERS
from tokenroll.services.hot import HotHold
from tokenroll.store import tape as tapes
from tokenroll.store.tape import RecordType, TapeSource
from tokenroll.upstream.facts import Facts

_HOLD_TYPE: Final = int(RecordType.HOLD)
_SHORT_HOLD_TYPE: Final = int(RecordType.SHORT_HOLD)
_SHORT_HOLD: Final = tapes.SHORT_HOLD
_SHORT_HOLD_BYTES: Final = _SHORT_HOLD.size
_SETTLE_TYPE: Final = int(RecordType.SETTLE)
_SHORT_SETTLE_TYPE: Final = int(RecordType.SHORT_SETTLE)
_SHORT_SETTLE_BYTES: Final = tapes.SHORT_SETTLE.size
_SHORT_COUNTS: Final = tapes.SHORT_COUNTS
_SHORT_COUNT_MAX: Final = tapes.SHORT_COUNT_MAX
_SHORT_SETTLE: Final = tapes.SHORT_SETTLE
_COUNTS_OF_16: Final = tuple(struct.Struct(f"<{count}H") for count in range(len(METERS) + 1))
_COUNTS_OF_32: Final = tuple(struct.Struct(f"<{count}I") for count in range(len(METERS) + 1))
_SETTLE: Final = struct.Struct(tapes.SETTLE.format + "I")
"""A SETTLE and the mask of its counts, which follow."""
_COUNTS: Final = tuple(struct.Struct(f"<{count}q") for count in range(len(METERS) + 1))
_WIDE: Final = tapes.WIDE_COUNTS
_REPORTED: Final = int(TapeSource.REPORTED)
_ESTIMATED: Final = int(TapeSource.ESTIMATED)


def hold_record(
    hold: HotHold, facts: Facts, flags: int, raised: bytes, model: int, deployment: int, tags: int, client: int
) -> bytes:
    """What the tape says of a hold; `raised` are the limits that it raised, and the last four are numbers of names."""
    key, bound, lots = hold.key, hold.bound_nanos, hold.lots
    if len(lots) == 1 and not hold.company_nanos and hold.attempt == 1:
        try:
            record = _SHORT_HOLD.pack(
                _SHORT_HOLD_TYPE, flags, _SHORT_HOLD_BYTES + len(raised), key.wallet.id, key.id, hold.card.id, hold.admitted_at,
                model, deployment, tags, client, hold.output_tokens_max, hold.input_bytes, facts.message_count, facts.tool_count,
                lots[0].id, bound,
            )  # fmt: skip
        except struct.error:  # something is too large for its narrower field
            pass
        else:
            return record + raised if raised else record
    slices = [tapes.SLICE.pack(lot_id, nanos) for lot_id, nanos in hold.slices]
    length = tapes.HOLD.size + len(slices) * tapes.SLICE.size + len(raised)
    record = tapes.HOLD.pack(
        _HOLD_TYPE, flags, length, hold.attempt, len(slices),
        hold.call_number_bytes, key.wallet.id, key.id, hold.card.id, hold.admitted_at, bound,
        bound if hold.would_deny else 0, model, deployment, tags, client,
        hold.output_tokens_max, hold.input_bytes, facts.message_count, facts.tool_count,
    )  # fmt: skip
    return record + b"".join(slices) + raised


def settle_record(
    hold: HotHold, at: Instant, finish: int, status: int, mask: int, values: list[int], is_reported: bool, tier_index: int,
    nanos: int, list_nanos: int, net_nanos: int, answer_bytes: int, answered: int, request: int,
) -> bytes:  # fmt: skip
    """What the tape says of a settlement of one pass; the last two are numbers of names."""
    source = _REPORTED if is_reported else _ESTIMATED
    first_byte_at, admitted_at, count = hold.first_byte_at, hold.admitted_at, len(values)
    widest = 0
    for one in values:
        widest |= one
    flags = _SHORT_COUNTS if widest <= _SHORT_COUNT_MAX else 0
    try:
        return _SHORT_SETTLE.pack(
            _SHORT_SETTLE_TYPE, flags, _SHORT_SETTLE_BYTES + (count << 1 if flags else count << 2), hold.sequence, at - admitted_at,
            first_byte_at - admitted_at + 1 if first_byte_at else 0, nanos, list_nanos, net_nanos, answer_bytes,
            source | finish << 2, tier_index, hold.dialect_index, status, answered, request, mask,
        ) + (_COUNTS_OF_16 if flags else _COUNTS_OF_32)[count].pack(*values)  # fmt: skip
    except struct.error:  # something is too large for its narrower field
        counts = _COUNTS[count]
        return _SETTLE.pack(
            _SETTLE_TYPE, _WIDE, _SETTLE.size + counts.size, hold.sequence, at, first_byte_at, nanos, list_nanos, net_nanos,
            answer_bytes, source, finish, tier_index, hold.dialect_index, status, 0, answered, request, mask,
        ) + counts.pack(*values)  # fmt: skip
