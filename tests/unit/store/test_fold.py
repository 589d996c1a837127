"""The fold applies what it was told, halts at what cannot be, and leaves nothing half-applied."""

import pytest

from tests.columns_kit import in_columns
from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    ADA_SECOND_LOT,
    BO,
    BO_LOT,
    CREDIT,
    DAY,
    NIGHTLY,
    POOL,
    POOL_LOT,
    START,
    Ack,
    Kit,
    Refusal,
    Report,
    call_number,
    cost_of,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    pack_name,
    release_record,
    settle_record,
)
from tests.short_records import short_hold, short_settle, shortened
from tokenroll.model.limit import LIMIT_MEASURES, LimitMeasure
from tokenroll.store import limit_sums, tape
from tokenroll.store.attempt_record import LimitRaise, parse_record
from tokenroll.store.journal import SETTLEMENT_LEAF, settlement_leaf
from tokenroll.store.tape import RAISE_OVERAGE, RAISE_WOULD_DENY, TapeRelease
from tokenroll.store.verify import verify

HELD = 10_000_000
COST = 4_500_000  # 1,000 model tokens in at 3,000 nanos, 100 out at 15,000


class ToldKit(Kit):
    """A ledger that is told what records say in the form of one version of the tape or of another."""

    is_told_short = False


@pytest.fixture(params=["version 2", "version 3", "in columns"])
def one(request):
    kit = ToldKit()
    kit.is_told_short = request.param != "version 2"
    if request.param == "in columns":
        in_columns(kit)
    return kit


def told(one, *records, first=1):
    if one.is_told_short:
        records = tuple(shortened(list(records), first, START))
    return one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(first, list(records))))


def unsound(one):
    one.connection.rollback()
    verified = verify(one.connection, one.now)
    one.connection.rollback()
    return verified.differences


@pytest.mark.parametrize("reports", [1, 3])
def test_limits_count_a_call_the_same_whether_it_ends_in_its_report_or_later(one, reports):
    """Credits, calls, and model tokens above their cap: 1,100 of them, 4,500,000 nanos."""
    places = {measure: LIMIT_MEASURES.index(measure) for measure in LimitMeasure}
    raises = (
        LimitRaise(1, places[LimitMeasure.CREDITS], 0, START, HELD),
        LimitRaise(2, places[LimitMeasure.CALLS], RAISE_OVERAGE, START, 1),
        LimitRaise(3, places[LimitMeasure.MODEL_TOKENS], RAISE_WOULD_DENY, START, 5_000),
    )
    records = [hold_record(1, (ADA_LOT, HELD), raises=raises), dispatched_record(1), settle_record(1, 1_000, 100)]
    size = len(records) // reports
    for first in range(0, len(records), size):
        told(one, *records[first : first + size], first=first + 1)
    assert one.rows("SELECT limit_id, start_at, used, call_count, would_deny_count, overage_count FROM limit_counters") == [
        (1, START, COST, 1, 0, 0), (2, START, 1, 1, 0, 1), (3, START, 1_100, 1, 1, 0),
    ]  # fmt: skip
    assert one.lot(ADA_LOT) == (0, 0, COST)
    assert one.rows("SELECT count(*) FROM holds") == [(0,)]
    assert unsound(one) == []


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (LimitRaise(1, 9, 0, START, 5), "limit 1 is raised by 5 of measure 9, which is nothing that counts"),
        (LimitRaise(1, 0, 0, START, -5), "limit 1 is raised by -5 of measure 0, which is nothing that counts"),
    ],
)
def test_it_halts_at_a_limit_that_nobody_can_have_raised(one, raised, said):
    answer = told(one, hold_record(1, (ADA_LOT, HELD), raises=(raised,)), dispatched_record(1), settle_record(1, 1, 1))
    assert isinstance(answer, Refusal)
    assert said in answer.text
    assert one.rows("SELECT count(*) FROM settlements") == [(0,)]


def test_it_moves_what_a_call_cost_from_adas_lot(one):
    answer = told(one, hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), settle_record(1, 1_000, 100))
    assert answer == Ack(epoch=1, sequence=3)
    assert cost_of(1_000, 100) == COST
    assert one.lot(ADA_LOT) == (0, 0, 4_500_000)
    assert one.rows(
        "SELECT last_seq > 0, call_count, charged_nanos, company_nanos FROM wallet_values WHERE wallet_id = 1"
    ) == [(1, 1, 4_500_000, 0)]
    assert not unsound(one)


def test_it_keeps_what_is_held_until_the_call_ends(one):
    told(one, hold_record(1, (ADA_LOT, HELD)), dispatched_record(1))
    assert one.lot(ADA_LOT) == (10_000_000, 0, 0)
    assert one.rows("SELECT state FROM holds") == [("dispatched",)]
    assert not unsound(one)
    told(one, settle_record(1, 1_000, 100), first=3)
    assert one.lot(ADA_LOT) == (0, 0, 4_500_000)
    assert one.rows("SELECT * FROM holds") == []
    assert not unsound(one)


def test_it_consumes_slices_in_their_order_and_returns_the_tail_to_the_same_lots(one):
    slices = ((ADA_LOT, 4_000_000), (ADA_SECOND_LOT, 4_000_000), (POOL_LOT, 2_000_000))
    told(one, hold_record(1, *slices), dispatched_record(1), settle_record(1, 3_000, 0))
    assert one.lot(ADA_LOT) == (0, 0, 4_000_000)
    assert one.lot(ADA_SECOND_LOT) == (0, 0, 4_000_000)
    assert one.lot(POOL_LOT) == (0, 0, 1_000_000)
    assert one.rows("SELECT wallet_id, nanos FROM pool_draws") == [(POOL, 1_000_000)]
    assert not unsound(one)


def test_it_gives_the_company_what_a_call_cost_above_its_hold(one):
    told(one, hold_record(1, (ADA_LOT, 1_000_000)), dispatched_record(1), settle_record(1, 1_000, 0))
    assert one.lot(ADA_LOT) == (0, 0, 1_000_000)
    assert one.lot(0) == (0, 0, 2_000_000)
    assert one.rows("SELECT charged_nanos, company_nanos FROM wallet_values WHERE wallet_id = 1") == [
        (3_000_000, 2_000_000)
    ]
    assert one.rows("SELECT * FROM overage_uses") == [(1, 0, 2_000_000)]
    assert not unsound(one)


def test_it_lets_the_company_carry_a_hold_that_observe_would_have_denied(one):
    told(one, hold_record(1, (BO_LOT, 5 * CREDIT), (0, CREDIT), wallet=BO), dispatched_record(1))
    assert one.lot(0) == (CREDIT, 0, 0)
    told(one, lapse_record(1), first=3)
    assert one.lot(0) == (0, CREDIT, 0)
    assert one.rows("SELECT * FROM overage_uses") == [(BO, 0, CREDIT)]
    assert not unsound(one)


def test_it_ends_a_free_call_without_slices(one):
    told(one, hold_record(1), dispatched_record(1), settle_record(1, 0, 0))
    assert one.rows("SELECT charge_nanos, outcome FROM settlements") == [(0, 1)]
    assert not unsound(one)


def test_it_releases_what_was_not_sent_and_what_the_provider_answered_with_an_error(one):
    told(
        one,
        hold_record(1, (ADA_LOT, HELD)),
        hold_record(2, (ADA_LOT, HELD)),
        dispatched_record(2),
        release_record(1, TapeRelease.NOT_SENT),
        release_record(2, TapeRelease.PROVIDER_ERROR),
    )
    assert one.lot(ADA_LOT) == (0, 0, 0)
    assert one.rows("SELECT charge_nanos, outcome FROM settlements") == [(0, 2), (0, 2)]
    assert not unsound(one)


def test_it_moves_a_lapsed_hold_to_suspense_with_its_evidence(one):
    told(
        one, hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), evidence_record(1, 100, 5), evidence_record(1, 200, 9),
        lapse_record(1),
    )  # fmt: skip
    assert one.lot(ADA_LOT) == (0, 10_000_000, 0)
    ((record,),) = one.rows("SELECT record FROM holds")
    attempt = parse_record(record)
    assert attempt.evidence is not None
    assert attempt.evidence.counts[0] == 200
    assert attempt.lapse is not None
    assert one.rows("SELECT kind FROM entries ORDER BY ledger_seq DESC LIMIT 1") == [("suspend",)]
    assert not unsound(one)


def test_it_links_the_calls_of_a_wallet_from_newest_to_oldest(one):
    for sequence in (1, 4, 7):
        told(
            one, hold_record(sequence, (ADA_LOT, HELD)), dispatched_record(sequence), settle_record(sequence, 1_000, 100),
            first=sequence,
        )  # fmt: skip
    rows = dict(one.rows("SELECT ledger_seq, previous_seq FROM settlements"))
    (head,) = one.rows("SELECT last_seq FROM wallet_values WHERE wallet_id = 1")[0]
    walked = []
    while head:
        walked.append(head)
        head = rows[head]
    assert walked == sorted(rows, reverse=True)
    assert len(walked) == 3


def test_it_remembers_a_clients_own_id_and_later_attempts(one):
    call = call_number(START, 1, 2)
    told(
        one,
        pack_name(1, "nightly-42"),
        hold_record(2, (ADA_LOT, HELD), client_name=1),
        dispatched_record(2),
        release_record(2, TapeRelease.PROVIDER_ERROR),
        hold_record(5, (ADA_LOT, HELD), attempt=2, call=call),
        dispatched_record(5),
        settle_record(5, 1_000, 100),
    )
    first, second = 1 << 40 | 2, 1 << 40 | 5
    assert one.rows("SELECT * FROM client_calls") == [(7, "nightly-42", first)]
    assert one.rows("SELECT * FROM attempts") == [(first, 2, second)]
    assert not unsound(one)


def test_it_folds_a_repeated_report_once(one):
    block = pack_block(1, [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), settle_record(1, 1_000, 100)])
    for _ in range(3):
        assert one.ledger.report(Report(worker=0, epoch=1, blocks=block)) == Ack(epoch=1, sequence=3)
    assert one.lot(ADA_LOT) == (0, 0, 4_500_000)
    assert not unsound(one)


def test_it_books_a_call_of_a_closed_cycle_to_the_first_open_one(one):
    told(one, hold_record(1, (ADA_LOT, HELD)), dispatched_record(1))
    one.now = START + 40 * DAY
    one.do("payrun.close", cycle="2026-01")
    told(one, settle_record(1, 1_000, 100), first=3)
    assert one.rows("SELECT cycle FROM settlements") == [(202602,)]
    assert not unsound(one)


TOKENS = LIMIT_MEASURES.index(LimitMeasure.MODEL_TOKENS)


def cut_counts(record):
    """The settlement up to its counts' mask, which says that there are some."""
    size = tape.SETTLE.size + tape.counts_mask(record[1]).size
    return record[:2] + size.to_bytes(2, "little") + record[4:size]


def short(hold, settle):
    """Both as tapes of version 3 have them."""
    whole = parse_record(hold + settle)
    assert whole.settle is not None
    return short_hold(whole.hold), short_settle(1, whole.settle, whole.hold.admitted_at)


SHORT_HOLD, SHORT_SETTLE = short(hold_record(1, (ADA_LOT, HELD)), settle_record(1, 1, 1))
SHORT_LIMITED, _ = short(
    hold_record(1, (ADA_LOT, HELD), raises=(LimitRaise(1, TOKENS, 0, START, 5),)), settle_record(1, 1, 1)
)


HALTS = {
    "a short settlement that is cut": ("damaged", [SHORT_HOLD, dispatched_record(1), SHORT_SETTLE[:40]]),
    "a short settlement that says it is shorter": (
        "damaged", [SHORT_HOLD, dispatched_record(1), SHORT_SETTLE[:2] + b"\x28\x00" + SHORT_SETTLE[4:40]],
    ),
    "a short settlement whose counts are cut, before another record": (
        "damaged",
        [SHORT_LIMITED, dispatched_record(1), SHORT_SETTLE[:2] + b"\x2d\x00" + SHORT_SETTLE[4:45], hold_record(4, (ADA_LOT, HELD))],
    ),
    "a short hold that is cut": ("damaged", [SHORT_HOLD[:-4]]),
    "a short hold that says it is longer": ("damaged", [SHORT_HOLD[:2] + b"\x40\x00" + SHORT_HOLD[4:] + bytes(4)]),
    "a short hold of nothing": ("slices", [SHORT_HOLD[:-8] + bytes(8)]),
    "a short hold of less": ("overdraw", [SHORT_HOLD[:-8] + b"\xff" * 8]),
    "a short hold of another member's lot": ("lot", [SHORT_HOLD[:4] + b"\x02\x00\x00\x00" + SHORT_HOLD[8:]]),
    "a settlement without a hold": ("transition", [settle_record(9, 1, 1)]),
    "a settlement of what was never sent": ("transition", [hold_record(1, (ADA_LOT, HELD)), settle_record(1, 1, 1)]),
    "a second settlement": (
        "transition",
        [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), settle_record(1, 1, 1), settle_record(1, 1, 1)],
    ),
    "a release after dispatch": (
        "transition",
        [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), release_record(1, TapeRelease.NOT_SENT)],
    ),
    "a recovery's release after dispatch": (
        "transition",
        [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), release_record(1, TapeRelease.NEVER_DISPATCHED)],
    ),
    "a provider's error before dispatch": (
        "transition",
        [hold_record(1, (ADA_LOT, HELD)), release_record(1, TapeRelease.PROVIDER_ERROR)],
    ),
    "a second dispatch": ("transition", [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), dispatched_record(1)]),
    "two dispatches in one record": ("transition", [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1, 1)]),
    "evidence of what was not sent": ("transition", [hold_record(1, (ADA_LOT, HELD)), evidence_record(1, 1, 1)]),
    "a second lapse": ("transition", [hold_record(1, (ADA_LOT, HELD)), lapse_record(1), lapse_record(1)]),
    "a settlement from suspense": (
        "transition",
        [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), lapse_record(1), settle_record(1, 1, 1)],
    ),
    "more than the lot has": ("overdraw", [hold_record(1, (BO_LOT, 6 * CREDIT), wallet=BO)]),
    "more than two lots have": ("overdraw", [hold_record(1, (ADA_LOT, CREDIT), (ADA_SECOND_LOT, 41 * CREDIT))]),
    "another member's lot": ("lot", [hold_record(1, (BO_LOT, HELD), wallet=ADA)]),
    "a lot that is not there": ("damaged", [hold_record(1, (99, HELD))]),
    "one lot of many that is not there": ("lot", [hold_record(1, (ADA_LOT, 1), (99, HELD))]),
    "a wallet that is not there": ("wallet", [hold_record(1, wallet=77)]),
    "a slice of nothing": ("slices", [hold_record(1, (ADA_LOT, 0))]),
    "a negative slice": ("slices", [hold_record(1, (ADA_LOT, -5), (ADA_SECOND_LOT, 5))]),
    "a name that its tape does not define": ("name", [hold_record(1, (ADA_LOT, 1), client_name=3)]),
    "a record that is cut": ("damaged", [hold_record(1, (ADA_LOT, HELD))[:-4]]),
    "a settlement that is cut": ("damaged", [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), settle_record(1, 1, 1)[:70]]),
    "a record of no known type": ("damaged", [b"\x63\x00\x08\x00abcd"]),
    "a record of no length": ("damaged", [b"\x05\x00\x00\x00"]),
    "an instant that no calendar has": (
        "damaged",
        [hold_record(1, (ADA_LOT, HELD), at=2**62, call=5), dispatched_record(1), settle_record(1, 1, 1)],
    ),
    "a key that no row takes": (
        "damaged",
        [hold_record(1, (ADA_LOT, HELD), key=-1), dispatched_record(1), settle_record(1, 1, 1)],
    ),
    "a settlement whose counts are cut, before another record": (
        "damaged",
        [
            hold_record(1, (ADA_LOT, HELD), raises=(LimitRaise(1, TOKENS, 0, START, 5),)), dispatched_record(1),
            cut_counts(settle_record(1, 1, 1)), hold_record(4, (ADA_LOT, HELD)),
        ],
    ),
    "a charge beyond any row": ("charge", [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), settle_record(1, 10**15, 0)]),
}  # fmt: skip


@pytest.mark.parametrize("story", HALTS)
def test_it_halts_and_applies_nothing_at(one, story):
    reason, records = HALTS[story]
    first = hold_record(1, (ADA_SECOND_LOT, HELD))
    answer = told(one, *records)
    assert isinstance(answer, Refusal)
    assert answer.kind == reason
    assert one.rows("SELECT halt_reason FROM workers") == [(reason,)]
    assert one.lot(ADA_LOT) == one.lot(BO_LOT) == (0, 0, 0)
    assert one.rows("SELECT * FROM holds") == one.rows("SELECT * FROM settlements") == []
    assert not unsound(one)
    assert told(one, first) == Ack(epoch=1, sequence=1)
    assert one.rows("SELECT halt_reason FROM workers") == [("",)]


def test_it_halts_at_a_gap_a_torn_block_and_a_foreign_epoch(one):
    block = pack_block(1, [hold_record(1, (ADA_LOT, HELD))])
    later = pack_block(3, [hold_record(3, (ADA_LOT, HELD))])
    for blocks, reason in ((block + later, "gap"), (block[:-1], "damaged"), (block + b"x", "damaged")):
        answer = one.ledger.report(Report(worker=0, epoch=1, blocks=blocks))
        assert isinstance(answer, Refusal)
        assert answer.kind == reason
    flipped = bytearray(block)
    flipped[40] ^= 1
    assert one.ledger.report(Report(worker=0, epoch=1, blocks=bytes(flipped))).kind == "damaged"
    assert one.ledger.report(Report(worker=0, epoch=2, blocks=block)).kind == "closed_epoch"
    assert one.ledger.report(Report(worker=5, epoch=1, blocks=block)).kind == "closed_epoch"
    assert one.lot(ADA_LOT) == (0, 0, 0)


def test_it_says_when_two_holds_are_more_than_a_lot_has(one):
    told(one, hold_record(1, (BO_LOT, 3 * CREDIT), wallet=BO))
    assert told(one, hold_record(2, (BO_LOT, 3 * CREDIT), wallet=BO), first=2).kind == "overdraw"
    assert told(one, hold_record(2, (BO_LOT, 2 * CREDIT), wallet=BO), first=2) == Ack(epoch=1, sequence=2)


def test_it_counts_the_records_of_a_block(one):
    block = pack_block(1, [hold_record(1, (ADA_LOT, HELD)) + hold_record(2, (ADA_LOT, HELD))])
    assert one.ledger.report(Report(worker=0, epoch=1, blocks=block)).kind == "count"


def test_it_hashes_the_leaf_that_the_journal_names():
    leaf = settlement_leaf(5, 6, 4, 202601, 1, b"record")
    assert leaf == SETTLEMENT_LEAF.pack(b"S", 5, 6, 4, 202601, 1) + b"record"
    assert len(SETTLEMENT_LEAF.pack(b"S", 5, 6, 4, 202601, 1)) == 33


def test_it_reads_a_raise_where_the_tape_has_it():
    raised = tape.LIMIT_RAISE.pack(7, 2, RAISE_OVERAGE, 0, START, -1)
    assert limit_sums._KIND.unpack(raised[: limit_sums._KIND_BYTES]) == (7, 2, RAISE_OVERAGE, 0, START)
    assert (len(raised), tape.LIMITS_HEAD.size) == (limit_sums._RAISE_BYTES, limit_sums._HEAD_BYTES)
    assert raised[limit_sums._MEASURE_PLACE] == 2
    assert raised[limit_sums._SIGN_PLACE] & limit_sums._SIGN


def test_a_wallet_that_pays_from_two_lots_in_one_report_is_counted_once_for_each_call(one):
    records = [hold_record(number, (lot, HELD)) for number, lot in enumerate((ADA_LOT, ADA_SECOND_LOT, ADA_LOT), 1)]
    told(one, *records, dispatched_record(1, 2, 3), *(settle_record(number, 1_000, 100) for number in (1, 2, 3)))
    assert (one.lot(ADA_LOT), one.lot(ADA_SECOND_LOT)) == ((0, 0, 2 * COST), (0, 0, COST))
    counted = one.rows(f"SELECT last_seq, call_count, charged_nanos FROM wallet_values WHERE wallet_id = {ADA}")
    assert counted == one.rows(f"SELECT max(ledger_seq), 3, {3 * COST} FROM settlements")
    assert not unsound(one)


def test_it_spends_the_pool_for_an_agent_without_lots(one):
    told(one, hold_record(1, (POOL_LOT, HELD), wallet=NIGHTLY), dispatched_record(1), settle_record(1, 1_000, 100))
    assert one.lot(POOL_LOT) == (0, 0, 4_500_000)
    assert one.rows("SELECT call_count FROM wallet_values WHERE wallet_id = 3") == [(1,)]
    assert not unsound(one)
