"""A provider's bill settles what is being checked; age and evidence settle what no bill explains; a settled row is never edited."""

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    DAY,
    START,
    Command,
    Kit,
    Report,
    call_number,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    release_record,
    settle_record,
)
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services.protocol import ProtocolError, encode
from tokenroll.services.reconciling import settled_count
from tokenroll.store import tape
from tokenroll.store.tape import TapeRelease
from tokenroll.store.verify import verify

HELD = 10_000_000


@pytest.fixture
def one():
    """Ada's calls: 1 settled for 4,500,000; 2 in suspense with evidence; 3 in suspense without; 4 released; 5 in flight."""
    kit = Kit()
    records = [
        *(hold_record(sequence, (ADA_LOT, HELD)) for sequence in (1, 2, 3, 4, 5)),
        dispatched_record(1, 2, 3, 4, 5),
        settle_record(1, 1_000, 100),
        evidence_record(2, 1_000, 20),
        lapse_record(2),
        lapse_record(3),
        release_record(4, TapeRelease.PROVIDER_ERROR),
    ]
    kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, records)))
    kit.ledger.take_deltas()
    return kit


def line(sequence, tokens_in, tokens_out, *, cost=None, status="complete", **changes):
    known = {
        "call_id": f"call_{call_number(START, 1, sequence):032x}", "attempt": 1, "request_id": f"req-{sequence}",
        "provider": "anthropic", "model": "sonnet", "service_tier": "standard", "at": START,
        "usage": {"input": tokens_in, "output": tokens_out}, "status": status,
        "cost_nanos": tokens_in * 3_000 + tokens_out * 15_000 if cost is None else cost,
    }  # fmt: skip
    return known | changes


def sound(one):
    one.connection.rollback()
    verified = verify(one.connection, one.now)
    one.connection.rollback()
    return verified.differences


def test_it_settles_suspense_from_the_bill_and_returns_the_rest(one):
    answer = one.do("reconcile", rows=[line(1, 1_000, 100), line(2, 2_000, 100)])
    assert answer["matched_count"] == answer["agreed_count"] == 2
    assert (answer["resolved_count"], answer["resolved_nanos"], answer["returned_nanos"]) == (1, 7_500_000, 2_500_000)
    assert answer["bill_cost_nanos"] == answer["ledger_cost_nanos"] == 4_500_000 + 7_500_000
    assert (answer["differences"], answer["suspense_count"]) == ([], 1)
    assert one.lot(ADA_LOT) == (HELD, HELD, 12_000_000)
    (delta,) = one.ledger.take_deltas()
    assert [(change.lot_id, change.change_nanos) for change in delta.lots] == [(ADA_LOT, 2_500_000)]
    assert sound(one) == []


def test_it_gives_the_company_what_the_bill_proves_above_the_hold(one):
    one.do("reconcile", rows=[line(2, 4_000, 0)])
    assert one.lot(ADA_LOT) == (HELD, HELD, 4_500_000 + 10_000_000)
    assert one.lot(0) == (0, 0, 2_000_000)
    assert sound(one) == []


def test_a_line_that_stands_twice_settles_once_and_is_named(one):
    answer = one.do("reconcile", rows=[line(2, 2_000, 100), line(1, 1_000, 100), line(2, 2_000, 100)])
    assert (answer["row_count"], answer["matched_count"], answer["agreed_count"]) == (3, 3, 2)
    assert (answer["resolved_count"], answer["resolved_nanos"]) == (1, 7_500_000)
    (twice,) = answer["differences"]
    assert (twice["kind"], twice["call"][-1:], twice["bill_cost_nanos"], twice["ledger_cost_nanos"]) == (
        "billed_twice", "2", 7_500_000, 0,
    )  # fmt: skip
    assert answer["bill_cost_nanos"] - answer["ledger_cost_nanos"] == 7_500_000
    assert one.lot(ADA_LOT) == (HELD, HELD, 12_000_000)
    assert sound(one) == []


def test_lines_that_contradict_each_other_settle_nothing(one):
    rows = [line(2, 2_000, 100), line(2, 1_000, 0, request_id="req-2-again")]
    answer = one.do("reconcile", rows=rows, book=True)
    assert (answer["matched_count"], answer["resolved_count"], answer["suspense_count"]) == (2, 0, 2)
    (undecided,) = answer["differences"]
    assert (undecided["kind"], undecided["bill_cost_nanos"]) == ("undecided", 10_500_000)
    assert undecided["rows"] == [
        {"request_id": "req-2", "bill_cost_nanos": 7_500_000},
        {"request_id": "req-2-again", "bill_cost_nanos": 3_000_000},
    ]
    assert answer["booked_cost_nanos"] == 0
    assert one.do("reconcile", rows=rows[:1])["resolved_count"] == 1  # the provider has put its bill right
    assert sound(one) == []


def test_a_settled_attempt_that_is_billed_twice_differs_by_the_sum(one):
    answer = one.do("reconcile", rows=[line(1, 1_000, 100), line(1, 1_000, 0, request_id="req-1-again")], book=True)
    (twice,) = answer["differences"]
    assert (twice["kind"], twice["bill_cost_nanos"], twice["ledger_cost_nanos"]) == (
        "billed_twice", 4_500_000 + 3_000_000, 4_500_000,
    )  # fmt: skip
    assert answer["ledger_cost_nanos"] == 4_500_000
    assert answer["booked_cost_nanos"] == 3_000_000
    assert sound(one) == []


def test_it_reads_the_same_bill_twice_and_changes_nothing(one):
    rows = [line(1, 1_000, 100), line(2, 2_000, 100), line(3, 0, 0)]
    one.do("reconcile", rows=rows)
    seq = one.ledger.status().values["ledger_seq"]
    again = one.do("reconcile", rows=rows)
    assert (again["agreed_count"], again["resolved_count"]) == (3, 0)
    assert one.ledger.status().values["ledger_seq"] == seq + 1  # the command itself


def test_it_lists_what_differs_and_edits_no_settled_row(one):
    before = one.rows("SELECT * FROM settlements")
    rows = [
        line(1, 1_000, 101),
        line(4, 5, 0),
        line(5, 5, 0),
        line(77, 5, 0),
        line(2, 5, 0, call_id="somebody-elses"),
        line(3, 1, 1, status="open"),
    ]
    answer = one.do("reconcile", rows=rows)
    assert [(each["kind"], each["bill_cost_nanos"], each["ledger_cost_nanos"]) for each in answer["differences"]] == [
        ("usage", 4_515_000, 4_500_000),
        ("released", 15_000, 0),
        ("unknown", 15_000, 0),
        ("unknown", 15_000, 0),
    ]
    assert answer["differences"][0]["usage"] == {"output": [101, 100]}
    assert (answer["open_count"], answer["in_flight_count"], answer["suspense_count"]) == (1, 1, 2)
    (dearer,) = one.do("reconcile", rows=[line(1, 1_000, 100, cost=4_500_001)])["differences"]
    assert (dearer["kind"], dearer["bill_cost_nanos"], dearer["ledger_cost_nanos"]) == ("cost", 4_500_001, 4_500_000)
    assert one.rows("SELECT * FROM settlements") == before
    assert sound(one) == []


def test_a_line_that_names_the_cost_alone_agrees_by_it(one):
    answer = one.do("reconcile", rows=[line(1, 1_000, 100, usage={})])
    assert answer["differences"] == []
    (dearer,) = one.do("reconcile", rows=[line(1, 1_000, 100, usage={}, cost=4_500_001)])["differences"]
    assert dearer["kind"] == "cost"


def test_it_books_a_difference_once_as_the_companys(one):
    rows = [line(1, 1_000, 101), line(77, 5, 0)]
    assert one.do("reconcile", rows=rows, book=True)["booked_cost_nanos"] == 15_000 + 15_000
    assert one.do("reconcile", rows=rows, book=True)["booked_cost_nanos"] == 0
    legs = one.rows(
        "SELECT account, wallet_id, lot_id, nanos FROM postings WHERE account LIKE 'provider%' OR account = 'company_overage'"
    )
    assert sorted(legs) == [
        ("company_overage", 0, 0, -15_000), ("company_overage", 0, 0, -15_000),
        ("provider_variance", 0, 0, 15_000), ("provider_variance", 0, 0, 15_000),
    ]  # fmt: skip
    assert one.lot(ADA_LOT)[2] == 4_500_000
    assert sound(one) == []


def test_it_does_not_settle_by_a_tier_that_the_card_does_not_sell(one):
    answer = one.do("reconcile", rows=[line(2, 10, 0, service_tier="priority")])
    assert [each["kind"] for each in answer["differences"]] == ["unpriced"]
    assert answer["suspense_count"] == 2


@pytest.mark.parametrize("broken", [{"usage": {"tokens": 5}}, {"attempt": "two"}, {"usage": 5}, {"cost_nanos": None}])
def test_it_refuses_a_row_that_it_cannot_read(one, broken):
    reply = one.ledger.execute(
        Command(id="b", name="reconcile", arguments={"rows": [line(2, 1, 1), line(1, 1, 1) | broken]})
    )
    assert reply.problem_kind == "bill_row"
    assert one.ledger.status().values["suspense_holds"] == 2


def test_it_refuses_a_bill_too_long_for_one_command(one):
    rows = [line(1, 1, 1)] * 20_001
    assert (
        one.ledger.execute(Command(id="b", name="reconcile", arguments={"rows": rows})).problem_kind == "too_many_rows"
    )


def test_it_decides_by_evidence_after_three_days_and_not_a_moment_before(one):
    one.now = START + 3 * DAY - 1
    assert one.ledger.housekeep() is None
    one.now = START + 3 * DAY
    decided = one.ledger.housekeep().result
    # call 2 showed 1,000 model tokens in and 20 out; of call 3 nothing was seen
    assert (decided["decided_count"], decided["charged_nanos"], decided["returned_nanos"]) == (2, 3_300_000, 16_700_000)
    assert one.ledger.housekeep() is None
    assert one.lot(ADA_LOT) == (HELD, 0, 4_500_000 + 3_300_000)
    assert sound(one) == []


def test_a_bill_of_the_cost_alone_differs_from_an_estimate_as_from_one(one):
    one.now = START + 3 * DAY
    one.ledger.housekeep()
    named = line(2, 0, 0, cost=7_500_000)
    answer = one.do("reconcile", rows=[named | {"usage": {}}])
    (estimate,) = answer["differences"]
    assert (estimate["kind"], estimate["bill_cost_nanos"], estimate["ledger_cost_nanos"]) == (
        "estimate",
        7_500_000,
        3_300_000,
    )
    assert "usage" not in estimate
    agreed = one.do("reconcile", rows=[named | {"usage": {}, "cost_nanos": 3_300_000}])
    assert (agreed["agreed_count"], agreed["differences"]) == (1, [])


def test_it_makes_what_the_bill_proves_later_the_companys_variance(one):
    one.now = START + 3 * DAY
    one.ledger.housekeep()
    answer = one.do("reconcile", rows=[line(2, 2_000, 100)], book=True)
    (estimate,) = answer["differences"]
    assert (estimate["kind"], estimate["usage"]) == ("estimate", {"input": [2_000, 1_000], "output": [100, 20]})
    assert answer["booked_cost_nanos"] == 7_500_000 - 3_300_000
    assert one.lot(ADA_LOT)[2] == 4_500_000 + 3_300_000
    assert sound(one) == []


def test_it_decides_everything_admitted_in_a_cycle_that_is_to_close(one):
    assert one.do("suspense.decide", through="2025-12")["decided_count"] == 0
    assert one.do("suspense.decide", through="2026-01")["decided_count"] == 2
    assert sound(one) == []


def test_it_never_estimates_more_than_was_held(one):
    records = [
        hold_record(12, (ADA_LOT, 1_000)),
        dispatched_record(12),
        evidence_record(12, 1_000_000, 0),
        lapse_record(12),
    ]
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(12, records)))
    answer = one.do("suspense.decide", through="2026-01")
    assert answer["charged_nanos"] == 3_300_000 + 1_000
    assert one.lot(0) == (0, 0, 0)
    assert sound(one) == []


def test_it_decides_everybodys_suspense_though_one_count_has_no_price(one):
    evidence = evidence_record(12, 100, 0)
    fetches: list[int | None] = [None] * len(METERS)
    fetches[METER_INDEX[Meter.INPUT]], fetches[METER_INDEX[Meter.WEB_FETCH]] = 100, 2
    counts = tape.pack_counts(fetches)
    head = tape.EVIDENCE.unpack_from(evidence)
    evidence = tape.EVIDENCE.pack(*head[:2], tape.EVIDENCE.size + len(counts), *head[3:]) + counts
    records = [hold_record(12, (ADA_LOT, HELD)), dispatched_record(12), evidence, lapse_record(12)]
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(12, records)))
    one.now = START + 3 * DAY
    decided = one.ledger.housekeep().result
    # two fetches at the dearest rate of the card, 15,000
    assert (decided["decided_count"], decided["charged_nanos"]) == (3, 3_300_000 + 300_000 + 30_000)
    assert sound(one) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cost_nanos": 1e30}, "cost_nanos is 1e+30; it must be a whole number from 0 to 1000000000000000000"),
        ({"cost_nanos": 9007199254740993.0}, "cost_nanos is 9007199254740992.0; it must be a whole number from 0 to 1000000000000000000"),
        ({"usage": {"input": 10**12 + 1}}, "usage.input is 1000000000001; it must be a whole number from 0 to 1000000000000"),
    ],
)  # fmt: skip
def test_it_refuses_a_number_that_no_row_can_hold(one, changes, says):
    reply = one.ledger.execute(Command(id="huge", name="reconcile", arguments={"rows": [line(2, 1, 1, **changes)]}))
    assert (reply.problem_kind, reply.problem) == ("bill_row", f"a bill row is none: {says}")
    assert sound(one) == []


def test_it_refuses_rows_whose_sum_no_row_can_hold(one):
    rows = [line(sequence, 1, 1, cost=6 * 10**17) for sequence in (1, 2)]
    reply = one.ledger.execute(Command(id="sum", name="reconcile", arguments={"rows": rows}))
    assert reply.problem == "the rows cost more than 1000000000000000000 nanos together, which no row can hold"


def test_it_counts_the_settled_attempts_that_the_bill_names(one):
    rows = [line(1, 1_000, 100), line(2, 1_000, 20), line(4, 0, 0), line(5, 1, 1)]
    assert settled_count(one.connection) == 1
    assert one.do("reconcile", rows=rows)["settled_on_bill_count"] == 2  # 4 was released, 5 is in flight
    assert settled_count(one.connection) == 2


def test_no_message_carries_a_number_of_more_than_64_bits():
    with pytest.raises(ProtocolError, match="a message holds a number of more than 64 bits"):
        encode(Command(id="huge", name="reconcile", arguments={"rows": [10**23]}))
