"""Leave of absence: pay vests later by the days away, a stipend waits only by plan, and what has vested stays."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, MARCH, Firm

APRIL = MARCH + 31 * DAY
MONTHLY = {"kind": "periodic", "period": "1m", "occurrences": 6}


@pytest.fixture
def firm() -> Firm:
    """Ada has a bonus of 6 credits over six months from 1 January on, whose parts live for 30 days."""
    firm = Firm()
    firm.hire("Ada")
    firm.do(
        "plan.create", name="bonus", kind="signing_bonus", classification="compensation", amount_nanos=6 * CREDIT,
        vesting=MONTHLY, lifetime="30d",
    )  # fmt: skip
    firm.do("grant.create", to="Ada", plan="bonus")
    return firm


def away(firm: Firm, from_on: str, back_on: str):
    return firm.ask("member.absence", member="Ada", from_on=from_on, back_on=back_on)


def test_what_would_vest_while_away_or_after_vests_by_so_many_days_later(firm):
    """Away for the 31 days of March, known on 15 February: March's part comes on 1 April and lives 30 days from then."""
    firm.now = FEBRUARY + 14 * DAY
    told = away(firm, "2026-03-01", "2026-04-01").result
    assert (told["day_count"], told["later_nanos"], told["unpaid_nanos"]) == (31, 5 * CREDIT, 0)
    firm.now = APRIL - 1
    wallet = firm.reports.wallet("Ada")
    # February's part came before and expired on 3 March, away or not
    assert (wallet["left_nanos"], wallet["expired_nanos"], wallet["unvested_nanos"]) == (0, CREDIT, 5 * CREDIT)
    firm.verified()


def test_the_parts_come_after_the_day_back(firm):
    firm.now = FEBRUARY + 14 * DAY
    away(firm, "2026-03-01", "2026-04-01")
    firm.now = APRIL
    wallet = firm.reports.wallet("Ada")
    assert (wallet["left_nanos"], wallet["next_vest_at"]) == (CREDIT, APRIL + 31 * DAY)
    firm.verified()


def test_what_has_vested_stays_when_an_absence_is_recorded_late(firm):
    firm.now = MARCH + DAY
    told = away(firm, "2026-02-01", "2026-04-01").result
    assert told["later_nanos"] == 4 * CREDIT
    assert firm.reports.wallet("Ada")["left_nanos"] == 2 * CREDIT


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_in_which_order_absences_are_recorded_changes_no_date(firm, order):
    """February's part, due on 1 February + 9 days away = 10 February, falls into the second absence: 28 days more."""
    firm.now = JANUARY + DAY
    absences = (("2026-01-20", "2026-01-29"), ("2026-02-05", "2026-03-05"))
    for one in order:
        assert away(firm, *absences[one]).result
    assert firm.reports.wallet("Ada")["next_vest_at"] == FEBRUARY + (9 + 28) * DAY
    firm.verified()


@pytest.mark.parametrize(("pauses", "unpaid"), [(True, 1), (False, 0)])
def test_a_stipend_is_not_paid_for_the_time_away_where_its_plan_says_so(pauses, unpaid):
    firm = Firm()
    firm.hire("Ada")
    firm.do(
        "plan.create", name="stipend", kind="stipend", classification="tool", amount_nanos=6 * CREDIT, vesting=MONTHLY,
        terms={"leave_of_absence": {"pauses_stipend": pauses}},
    )  # fmt: skip
    firm.do("grant.create", to="Ada", plan="stipend")
    told = away(firm, "2026-03-01", "2026-04-01").result
    assert (told["unpaid_nanos"], told["later_nanos"]) == (unpaid * CREDIT, 0)
    firm.now = APRIL
    assert firm.reports.wallet("Ada")["left_nanos"] == (3 - unpaid) * CREDIT
    firm.verified()


def test_two_absences_do_not_overlap_and_touching_ones_add_up(firm):
    firm.now = JANUARY + DAY
    away(firm, "2026-03-01", "2026-03-11")
    assert "is away from 2026-03-01 until 2026-03-11 already" in away(firm, "2026-03-10", "2026-04-01").problem
    assert away(firm, "2026-03-11", "2026-03-21").result["later_nanos"] == 5 * CREDIT
    firm.now = MARCH + 20 * DAY
    assert firm.reports.wallet("Ada")["next_vest_at"] == APRIL + 20 * DAY


@pytest.mark.parametrize(
    ("from_on", "back_on", "says"),
    [
        ("2026-03-01", "2026-03-01", "an absence lasts 1 to 1830 days; from 2026-03-01 until back on 2026-03-01 are 0"),
        ("2026-03-01", "2031-12-01", "are 2101"),
        ("soon", "2026-03-01", "'soon' is not a date"),
    ],
)
def test_what_is_no_absence_is_refused(firm, from_on, back_on, says):
    assert says in away(firm, from_on, back_on).problem


def test_who_has_left_is_not_away(firm):
    firm.do("member.leave", member="Ada", left_on="2026-01-31")
    assert "nobody is away from where they have left" in away(firm, "2026-03-01", "2026-04-01").problem
