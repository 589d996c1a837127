"""Records as tapes of version 3 have them, made of those of version 2, so that what holds of one form can be asked of both.

The layouts are spelled out here once more; nothing of the present writer makes these bytes.
"""

import struct

from tokenroll.store.attempt_record import HoldRecord, SettleRecord, hold_key, pack_raises, parse_record
from tokenroll.store.tape import SERVICE_TIERS, RecordType, TapeError


def short_hold(hold: HoldRecord) -> bytes:
    """A SHORT_HOLD that says the same. Raises struct.error for what it cannot say."""
    ((lot_id, nanos),) = hold.slices
    limits = pack_raises(hold.raises) if hold.raises else b""
    return struct.pack(
        "<BBHIIIqHHIIIIHHIq", 10, hold.flags, 60 + len(limits), hold.wallet_id, hold.api_key_id, hold.rate_card_id, hold.admitted_at,
        hold.model_name, hold.deployment_name, hold.tags_name, hold.client_call_name, hold.output_cap_tokens, hold.input_bytes,
        hold.message_count, hold.tool_count, lot_id, nanos,
    ) + limits  # fmt: skip


def short_settle(sequence: int, settle: SettleRecord, admitted_at: int) -> bytes:
    """A SHORT_SETTLE that says the same. Raises struct.error for what it cannot say."""
    told = [(place, count) for place, count in enumerate(settle.counts) if count is not None]
    few = all(count < 65_536 for _, count in told)
    head = struct.pack(
        "<BBHIIIIIIIBBBHHIH", 11, 4 if few else 0, 45 + len(told) * (2 if few else 4), sequence, settle.at - admitted_at,
        settle.first_byte_at - admitted_at + 1 if settle.first_byte_at else 0, settle.charge_nanos, settle.list_cost_nanos,
        settle.net_cost_nanos, settle.answer_bytes, settle.source + 4 * settle.finish, SERVICE_TIERS.index(settle.service_tier),
        settle.dialect, settle.status, settle.answered_model_name, settle.request_id_name, sum(1 << place for place, _ in told),
    )  # fmt: skip
    return head + struct.pack(f"<{len(told)}{'H' if few else 'I'}", *[count for _, count in told])


def shortened(records: list[bytes], first: int = 1, admitted_at: int = 0) -> list[bytes]:
    """The same records, those of version 2 that a worker would write short as short ones; `first` is the sequence of the first.

    `admitted_at` is when those holds were admitted that are not among the records.
    """
    found, admitted = [], {}
    for sequence, record in enumerate(records, first):
        found.append(record)
        whole = int.from_bytes(record[2:4], "little") == len(record)
        try:
            if record[0] == RecordType.HOLD and whole:
                hold = parse_record(record).hold
                admitted[sequence] = hold.admitted_at
                plain = hold.attempt == 1 and hold_key(hold.written_call).sequence == sequence
                if plain and hold.needed_nanos == 0 and hold.bound_nanos == sum(one.nanos for one in hold.slices):
                    found[-1] = short_hold(hold)
            elif record[0] == RecordType.SETTLE and whole:
                (opened,) = struct.unpack_from("<Q", record, 4)
                settle = parse_record(_ANY_HOLD + record).settle
                if settle is not None and not settle.passes:
                    found[-1] = short_settle(opened, settle, admitted.get(opened, admitted_at))
        except (struct.error, ValueError, TapeError):
            continue
    return found


_ANY_HOLD = struct.pack("<BBHBB2x16sqqqqqqIIIIIIII", 2, 0, 104, 1, 0, bytes(16), *[0] * 14)
