"""The short forms of a hold and a settlement: their bytes by hand, what a worker writes when something does not fit, and round trips."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import CREDIT, T0
from tests.desk import Desk, holds_on, last_settlement, lot, make_facts, wallet
from tests.short_records import short_hold, short_settle
from tokenroll.model.hold import Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.services.hot import HotHold
from tokenroll.store import tape
from tokenroll.store.attempt_record import (
    METER_COUNT,
    HoldRecord,
    LimitRaise,
    SettleRecord,
    hold_number,
    pack_settle,
    parse_record,
)
from tokenroll.store.plain_settlement import hold_label, settle_label, settle_offset
from tokenroll.store.tape import Finish, RecordType, TapeError, TapeSource

HOLD_BYTES = bytes.fromhex(
    "0a" "05" "3c00"  # type 10; streamed, its cap injected; 60 bytes
    "07000000" "08000000" "09000000"  # wallet 7, key 8, rate card 9
    "00e01a729f470600"  # admitted 2026-01-05T08:00:00Z
    "0100" "0200" "03000000" "01000080"  # model 1, deployment 2, tags 3, the client's own id 2,147,483,649
    "00020000" "84030000" "0300" "0100"  # 512 tokens of output at most, 900 bytes, 3 messages, 1 tool
    "0b000000" "005a620200000000"  # lot 11, 40 million nanos
)  # fmt: skip
SETTLE_BYTES = bytes.fromhex(
    "0b" "04" "3500"  # type 11; counts of 16 bits; 53 bytes
    "0d000000" "a0bb0d00" "e1930400"  # hold 13; ended 900,000 micros after it was admitted, its first byte after 300,000
    "4e61bc00" "4f61bc00" "5061bc00" "43030000"  # charge 12,345,678, list 12,345,679, net 12,345,680; 835 bytes
    "05" "02" "06"  # reported, complete; tier 2 (flex); dialect 6
    "c800" "0400" "05000080"  # HTTP 200; answered by name 4; request id 2,147,483,653
    "4304"  # meters 0, 1, 6 and 10
    "d500" "3a00" "8000" "0100"  # 213, 58, 128, 1
)  # fmt: skip
ADMITTED = 1_767_600_000_000_000


def test_the_bytes_of_a_short_hold_say_what_they_say():
    held = parse_record(HOLD_BYTES).hold
    assert held == HoldRecord(
        flags=tape.HOLD_STREAM | tape.HOLD_CAP_INJECTED, attempt=1, written_call=0, wallet_id=7, api_key_id=8, rate_card_id=9,
        admitted_at=ADMITTED, bound_nanos=40_000_000, needed_nanos=0, model_name=1, deployment_name=2, tags_name=3,
        client_call_name=2_147_483_649, output_cap_tokens=512, input_bytes=900, message_count=3, tool_count=1,
        slices=(Slice(11, 40_000_000),), raises=(),
    )  # fmt: skip
    # 1,767,600,000,000 milliseconds are 0x19b8d2b8c00 in hex; worker 3, epoch 2, sequence 13
    assert f"{held.call_number(hold_number(HoldKey(3, 2, 13))):032x}" == "019b8d2b8c000300000200000000000d"


def test_the_bytes_of_a_short_settlement_say_what_they_say():
    settle = parse_record(HOLD_BYTES + SETTLE_BYTES).settle
    assert settle == SettleRecord(
        at=ADMITTED + 900_000, first_byte_at=ADMITTED + 300_000, charge_nanos=12_345_678, list_cost_nanos=12_345_679,
        net_cost_nanos=12_345_680, answer_bytes=835, source=TapeSource.REPORTED, finish=Finish.COMPLETE, service_tier="flex",
        dialect=6, status=200, answered_model_name=4, request_id_name=2_147_483_653,
        counts=(213, 58, *[None] * 4, 128, *[None] * 3, 1, *[None] * 9),
    )  # fmt: skip
    assert tape.ended_sequence(HOLD_BYTES + SETTLE_BYTES, 60) == 13
    assert (
        len(HOLD_BYTES + SETTLE_BYTES) == 113
    )  # DESIGN: 160 bytes of tape for a settled call, with its share of what goes around


def test_both_are_read_without_making_records_of_them():
    row = HOLD_BYTES + SETTLE_BYTES
    assert settle_offset(row) == 60
    assert hold_label(row) == (5, 8, 9, ADMITTED, 1, 3, 11, 40_000_000)
    assert settle_label(row, 60) == (4, 12_345_678, 2, 6, 4)


@pytest.mark.parametrize("cut", [1, 8, 9, 30, 53, 54, 60, 110])
def test_a_torn_record_is_none(cut):
    with pytest.raises(TapeError):
        parse_record((HOLD_BYTES + SETTLE_BYTES)[:-cut] if cut != 53 else HOLD_BYTES[:-1])


@pytest.mark.parametrize(("hold_bytes", "settle_bytes"), [(59, 53), (61, 53), (60, 52), (60, 54), (60, 45)])
def test_a_length_that_is_not_its_fields_is_no_record(hold_bytes, settle_bytes):
    hold = HOLD_BYTES[:2] + bytes([hold_bytes, 0]) + HOLD_BYTES[4:]
    settle = SETTLE_BYTES[:2] + bytes([settle_bytes, 0]) + SETTLE_BYTES[4:]
    with pytest.raises(TapeError):
        parse_record(hold + settle + bytes(8))


COUNTS = st.tuples(*[st.none() | st.integers(0, 70_000)] * 16, *[st.none()] * (METER_COUNT - 16))
WORDS = st.integers(0, 2**32 - 1)


@given(
    counts=COUNTS,
    money=st.tuples(WORDS, WORDS, WORDS),
    after=WORDS,
    first=st.none() | st.integers(0, 2**32 - 2),
    flags=st.integers(0, 15),
)
def test_what_is_written_short_is_read_as_it_was_written_long(counts, money, after, first, flags):
    """The same facts in both forms; flags without HOLD_LIMITED and HOLD_WOULD_DENY, which are asked below."""
    hold = HoldRecord(
        flags & ~tape.HOLD_WOULD_DENY, 1, 0, 1, 2, 3, ADMITTED, 7, 0, 4, 5, 6, 7, 8, 9, 10, 11, (Slice(12, 7),), ()
    )
    settle = SettleRecord(
        ADMITTED + after,
        0 if first is None else ADMITTED + first,
        money[0],
        money[1],
        money[2],
        9,
        2,
        7,
        "batch",
        3,
        404,
        5,
        6,
        counts,
    )
    short = parse_record(short_hold(hold) + short_settle(3, settle, ADMITTED))
    assert (short.hold, short.settle) == (hold, settle)
    assert parse_record(short_hold(hold) + pack_settle(3, settle)).settle == settle


def test_limits_and_a_would_be_denial_are_said_short_too():
    raises = (LimitRaise(3, 0, tape.RAISE_OVERAGE, ADMITTED, 7), LimitRaise(4, 1, 0, ADMITTED, 1))
    hold = HoldRecord(
        tape.HOLD_LIMITED | tape.HOLD_WOULD_DENY, 1, 0, 1, 2, 3, ADMITTED, 7, 7, 4, 5, 6, 7, 8, 9, 10, 11, (Slice(12, 7),), raises
    )  # fmt: skip
    assert parse_record(short_hold(hold)).hold == hold


# ---- what a worker writes -----------------------------------------------------------------------------------------


def called(tmp_path, facts: Any = None, finish: Any = Finish.COMPLETE, after: int = 5, **counts: int):
    """A call of Ada's from its hold to its settlement: the kinds of both records, and what they say."""
    desk = Desk(tmp_path, wallet(lot(1, 10_000 * CREDIT)))
    hold = desk.admit(facts)
    assert isinstance(hold, HotHold)
    desk.dispatch(hold)
    desk.now += after
    desk.settle(hold, finish, **counts)
    records = desk.records()
    kinds = [kind for kind, _ in records if kind not in {RecordType.NAME, RecordType.DISPATCHED}]
    (held,) = holds_on(records)
    return kinds, held, last_settlement(records)


def test_a_plain_call_is_written_short(tmp_path):
    kinds, held, settled = called(tmp_path, input=100, output=10)
    assert kinds == [RecordType.SHORT_HOLD, RecordType.SHORT_SETTLE]
    assert (held.admitted_at, settled.at, settled.first_byte_at) == (T0, T0 + 5, 0)


@pytest.mark.parametrize(
    ("facts", "after", "counts", "kinds"),
    [
        ({}, 5, {"input": 65_536}, "short short"),  # its counts have 32 bits
        ({"message_count": 65_536}, 5, {"input": 1}, "long short"),
        ({}, 4_294_967_296, {"input": 1}, "short long"),  # over an hour and eleven minutes
        ({}, 5, {"output": 300_000_000}, "short long"),  # 4,500 credits are more nanos than 32 bits
    ],
    ids=["many tokens", "many messages", "a long call", "a dear call"],
)
def test_what_does_not_fit_is_written_long_and_says_the_same(tmp_path, facts, after, counts, kinds):
    wrote, held, settled = called(tmp_path, make_facts(**facts), after=after, **counts)
    forms = {"short": (RecordType.SHORT_HOLD, RecordType.SHORT_SETTLE), "long": (RecordType.HOLD, RecordType.SETTLE)}
    assert wrote == [forms[form][place] for place, form in enumerate(kinds.split())]
    assert held.message_count == facts.get("message_count", 1)
    assert settled.at == T0 + after
    ((_, count),) = counts.items()
    assert [one for one in settled.counts if one] == [count]
