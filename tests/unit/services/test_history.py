import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tokenroll.services.history import DaySums


@pytest.fixture
def firm():
    one = Firm()
    one.hire("Ada", zone="America/New_York")
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.do("grant.create", to="Ada", plan="tools")
    one.now = JANUARY + 10 * DAY
    return one


def test_it_says_nothing_of_days_before_there_are_calls(firm):
    assert firm.reports.wallet("Ada")["usual_work"]["days"] is None


def test_it_counts_the_days_that_are_left_at_the_usual_pace(firm):
    (lot,) = firm.lot_ids("Ada")
    # 03:00 UTC is still the evening before in New York: two days with calls, 2 and 4 credits
    firm.call("Ada", lot, 2 * CREDIT, at=JANUARY + 8 * DAY + 3 * HOUR)
    firm.call("Ada", lot, 3 * CREDIT, at=JANUARY + 8 * DAY + 12 * HOUR)
    firm.call("Ada", lot, 1 * CREDIT, at=JANUARY + 9 * DAY + 4 * HOUR)
    wallet = firm.reports.wallet("Ada")
    assert wallet["left_nanos"] == 94 * CREDIT
    assert wallet["usual_work"]["mean_nanos"] == 3 * CREDIT
    assert wallet["usual_work"]["active_day_count"] == 2
    assert wallet["usual_work"]["days"] == 31
    assert wallet["spent_this_cycle_nanos"] == 6 * CREDIT


def test_it_looks_back_four_weeks(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 2 * CREDIT)
    firm.now += 27 * DAY
    assert firm.reports.wallet("Ada")["usual_work"]["active_day_count"] == 1
    firm.now += DAY
    assert firm.reports.wallet("Ada")["usual_work"]["active_day_count"] == 0


def test_it_reads_only_new_calls_the_second_time(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.call("Ada", lot, CREDIT)
    known: dict[int, DaySums] = {}
    from tokenroll.services.reporting import Reports

    firm.connection.rollback()
    assert Reports(firm.connection, firm.now, known).wallet("Ada")["spent_this_cycle_nanos"] == CREDIT
    firm.call("Ada", lot, 2 * CREDIT)
    firm.connection.rollback()
    assert Reports(firm.connection, firm.now, known).wallet("Ada")["spent_this_cycle_nanos"] == 3 * CREDIT
    assert Reports(firm.connection, firm.now, known).wallet("Ada")["spent_this_cycle_nanos"] == 3 * CREDIT


def test_it_lists_calls_under_way_first_and_ended_ones_page_by_page(firm):
    (lot,) = firm.lot_ids("Ada")
    for nanos in (1, 2, 3):
        firm.call("Ada", lot, nanos)
    firm.hold("Ada", (lot, 7))
    page = firm.reports.calls("Ada", limit=3)
    assert [(one["outcome"], one["charge_nanos"]) for one in page] == [
        ("in use now", None),
        ("settled", 3),
        ("settled", 2),
    ]
    rest = firm.reports.calls("Ada", limit=3, head=page[-1]["previous_seq"])
    assert [one["charge_nanos"] for one in rest] == [1]
    assert rest[0]["previous_seq"] == 0
    assert (rest[0]["model"], rest[0]["input_tokens"], rest[0]["output_tokens"]) == ("gpt-5-mini", 1_000, 50)
    assert firm.reports.wallet("Ada")["in_use_nanos"] == 7


def test_it_lists_as_many_calls_as_were_asked_for_however_many_are_under_way(firm):
    (lot,) = firm.lot_ids("Ada")
    for _ in range(3):
        firm.hold("Ada", (lot, 7))
    assert [one["charge_nanos"] for one in firm.reports.calls("Ada", limit=2)] == [None, None]
    firm.call("Ada", lot, 1)
    firm.call("Ada", lot, 2)
    assert [one["charge_nanos"] for one in firm.reports.calls("Ada", limit=2)] == [None, 2]
    assert [one["charge_nanos"] for one in firm.reports.calls("Ada", limit=1)] == [2]
    assert [one["charge_nanos"] for one in firm.reports.calls("Ada", limit=9)] == [None, None, None, 2, 1]
