"""Calendars, off-cycle slips and cycles that are opened again, on a real ledger."""

import sys

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, MARCH, Firm
from tests.tampering import permit_changes
from tokenroll.services.pay_calendars import WEEKDAYS
from tokenroll.store.verify import verify

MOVEMENTS = ("opening", "vested", "spent", "adjustments", "breakage", "closing")


@pytest.fixture
def firm():
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    for name in ("Ada", "Bo"):
        one.hire(name)
        one.do("grant.create", to=name, plan="tools")
    return one


def amounts(slip, *names):
    return tuple(slip[f"{name}_nanos"] // CREDIT for name in names or MOVEMENTS)


def differences(firm):
    """What verification finds, without the charges, which the firm's calls make up."""
    firm.connection.rollback()
    found = verify(firm.connection, firm.now)
    firm.connection.rollback()
    return [one for one in found.differences if one.kind != "charge"]


def booked(firm):
    firm.connection.rollback()
    return [row[0] for row in firm.connection.exec_driver_sql("SELECT cycle FROM settlements ORDER BY ledger_seq")]


# ---- calendars ------------------------------------------------------------------------------------------------------------


def test_a_calendar_changes_the_cycles_to_come_and_no_call_of_before(firm):
    lot = firm.lot_ids("Ada")[0]
    firm.now = JANUARY + DAY
    firm.call("Ada", lot, CREDIT)
    told = firm.do("payrun.calendar", kind="weekly", effective_on="2026-01-12")
    assert told["first_cycles"] == "2026-W03, 2026-W04, 2026-W05"
    assert told["cut_short"] == "2026-01 ends before 2026-01-12, not 2026-02-01"
    firm.now = JANUARY + 12 * DAY
    firm.call("Ada", lot, 2 * CREDIT)
    assert booked(firm) == [202601, 20260112]
    firm.do("payrun.close", cycle="2026-01")
    firm.now = JANUARY + 20 * DAY
    firm.do("payrun.close", cycle="2026-W03")
    assert amounts(firm.reports.payslip("Ada", "2026-01")) == (0, 100, 1, 0, 0, 99)
    assert amounts(firm.reports.payslip("Ada", "2026-W03")) == (99, 0, 2, 0, 0, 97)
    assert firm.reports.payslip("Ada", "2026-01-14")["cycle"] == "2026-W03"
    assert [run["cycle"] for run in firm.reports.pay_runs()] == ["2026-W03", "2026-01"]
    assert differences(firm) == []


def test_a_late_call_goes_to_the_first_open_week(firm):
    lot = firm.lot_ids("Ada")[0]
    firm.do("payrun.calendar", kind="weekly", effective_on="2026-01-12")
    firm.now = JANUARY + 18 * DAY - HOUR
    late = firm.hold("Ada", (lot, CREDIT))
    firm.now = JANUARY + 18 * DAY + HOUR
    for cycle in ("2026-01", "2026-W03"):
        firm.do("payrun.close", cycle=cycle)
    firm.settle(late, CREDIT)
    assert booked(firm) == [20260119]
    assert amounts(firm.reports.payslip("Ada", "2026-W04")) == (100, 0, 0, 1, 0, 99)
    assert differences(firm) == []


def test_workers_are_told_of_a_calendar(firm):
    firm.ledger.take_deltas()
    firm.do("payrun.calendar", kind="semi-monthly", effective_on="2026-01-16")
    (delta,) = firm.ledger.take_deltas()
    assert list(delta.settings) == ["pay_calendars"]
    assert '"semi-monthly"' in delta.settings["pay_calendars"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"kind": "hourly", "effective_on": "2026-02-01"}, "a pay calendar is monthly, semi-monthly, bi-weekly, weekly, 4-4-5, custom"),
        ({"kind": "weekly", "effective_on": "2026-01-01"}, "2026-01-02 or later, not 2026-01-01"),
        ({"kind": "weekly", "effective_on": "soon"}, "a day is a date such as 2026-02-09, not 'soon'"),
        ({"kind": "monthly", "effective_on": "2026-02-09"}, "in the middle of a monthly cycle, which begins on 2026-02-01"),
        ({"kind": "semi-monthly", "effective_on": "2026-02-15"}, "in the middle of a semi-monthly cycle, which begins on 2026-02-01"),
        ({"kind": "4-4-5", "effective_on": "2026-02-01", "weeks": "3-5-5"}, "4-4-5, 4-5-4 or 5-4-4, not '3-5-5'"),
        ({"kind": "4-4-5", "effective_on": "2026-02-01", "year_end_weekday": "someday"}, f"ends on a {', '.join(WEEKDAYS)}"),
        ({"kind": "4-4-5", "effective_on": "2026-02-01", "year_end": "first"}, "last or nearest, not 'first'"),
        ({"kind": "custom", "effective_on": "2026-02-01"}, "has a list of cycles"),
        (
            {"kind": "custom", "effective_on": "2026-02-10", "custom": [["2026-01", "2026-02-10"]], "custom_until": "2026-03-01"},
            "two cycles called 2026-01",
        ),
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_is_refused_with_what_can(firm, arguments, problem):
    assert problem in firm.ask("payrun.calendar", **arguments).problem
    assert firm.reports.pay_calendars() == []


def test_it_lists_the_cycles_to_come(firm):
    firm.do("payrun.calendar", kind="bi-weekly", effective_on="2026-01-19")
    rows = firm.reports.cycle_dates("2026-01-01", 3)
    assert [(row["cycle"], row["starts_on"], row["ends_on"], row["days_count"]) for row in rows] == [
        ("2026-01", "2026-01-01", "2026-01-18", 18),
        ("2026-BW03", "2026-01-19", "2026-02-01", 14),
        ("2026-BW04", "2026-02-02", "2026-02-15", 14),
    ]


# ---- in turn ----------------------------------------------------------------------------------------------------------------


def test_cycles_close_in_turn(firm):
    firm.now = MARCH + 40 * DAY
    firm.do("payrun.close", cycle="2026-01")
    assert (
        firm.ask("payrun.close", cycle="2026-03").problem == "2026-02 comes first: cycles are closed one after another"
    )


def test_a_slip_adds_up_while_the_cycle_before_is_still_open(firm):
    lot = firm.lot_ids("Ada")[0]
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    firm.now = FEBRUARY + DAY
    firm.call("Ada", lot, 3 * CREDIT)
    firm.now = MARCH + DAY
    firm.call("Ada", lot, 4 * CREDIT)
    assert amounts(firm.reports.payslip("Ada", "2026-03")) == (97, 0, 4, 0, 0, 93)
    assert amounts(firm.reports.payslip("Ada", "2026-02")) == (100, 0, 3, 0, 0, 97)


def test_what_has_not_begun_has_nothing_to_show(firm):
    refusal = firm.reports
    with pytest.raises(
        Exception, match="2026-02 begins on 2026-02-01, so there is nothing to show of it yet: this cycle is 2026-01"
    ):
        refusal.pay_run("2026-02")
    with pytest.raises(Exception, match="2026-02 has not begun, so there is no slip of it: this cycle is 2026-01"):
        refusal.payslip("Ada", "2026-02")


def test_nobody_gets_a_slip_of_a_month_before_their_wallet(firm):
    firm.now = FEBRUARY + HOUR
    firm.hire("Dev")
    assert firm.do("payrun.close", cycle="2026-01")["slip_count"] == 2
    assert [slip["name"] for slip in firm.reports.pay_run("2026-02")["slips"]] == ["Ada", "Bo", "Dev"]


def test_a_listing_says_the_sums_of_all(firm):
    firm.now = FEBRUARY + HOUR
    for closed in (False, True):
        if closed:
            firm.do("payrun.close", cycle="2026-01")
        found = firm.reports.pay_run("2026-01", 1)
        assert ([one["name"] for one in found["slips"]], found["slip_count"]) == (["Ada"], 2)
        assert found["sums"]["closing_nanos"] == 200 * CREDIT
        assert firm.reports.pay_run("2026-01", 0)["slip_count"] == 2


# ---- opened again -----------------------------------------------------------------------------------------------------------


def test_a_reversal_opens_the_newest_cycle_again_and_keeps_its_slips(firm):
    lot = firm.lot_ids("Ada")[0]
    firm.now = FEBRUARY - HOUR
    early, late = firm.hold("Ada", (lot, CREDIT)), firm.hold("Ada", (lot, 2 * CREDIT))
    firm.now = FEBRUARY + HOUR
    first = firm.do("payrun.close", cycle="2026-01")["payrun"]
    firm.settle(early, CREDIT)
    reversal = firm.do("payrun.reopen", cycle="2026-01", reason="a grant was missing")
    assert (reversal["payrun"], reversal["superseded_slip_count"]) == (first, 2)
    firm.settle(late, 2 * CREDIT)
    # what was booked meanwhile stays an adjustment of February; what ends now is January's own again
    assert booked(firm) == [202602, 202601]
    second = firm.do("payrun.close", cycle="2026-01")["payrun"]
    assert amounts(firm.reports.payslip("Ada", "2026-01")) == (0, 100, 2, 0, 0, 98)
    assert amounts(firm.reports.payslip("Ada", "2026-02")) == (98, 0, 0, 1, 0, 97)
    old, new = (firm.reports.payslip_of_run("Ada", run) for run in (first, second))
    assert (amounts(old), amounts(new)) == ((0, 100, 0, 0, 0, 100), (0, 100, 2, 0, 0, 98))
    runs = firm.reports.pay_runs()
    assert [(run["payrun"], run["state"], run["reason"]) for run in runs] == [
        (second, "closed", None),
        (first, "reversed", "a grant was missing"),
    ]
    assert differences(firm) == []
    assert [len(firm.reports.calls_of_cycle("Ada", cycle, limit=9)) for cycle in ("2026-01", "2026-02")] == [1, 1]


def test_only_the_newest_closed_cycle_opens_again(firm):
    firm.now = MARCH + HOUR
    for cycle in ("2026-01", "2026-02"):
        firm.do("payrun.close", cycle=cycle)
    assert firm.ask("payrun.reopen", cycle="2026-01", reason="r").problem == (
        "only the newest closed cycle can be opened again, and that is 2026-02: the slips of 2026-02 open with those of 2026-01"
    )
    firm.do("payrun.reopen", cycle="2026-02", reason="r")
    firm.do("payrun.reopen", cycle="2026-01", reason="r")
    assert (
        firm.ask("payrun.reopen", cycle="2026-01", reason="r").problem == "2026-01 is open: there is nothing to reverse"
    )
    for cycle in ("2026-01", "2026-02"):
        firm.do("payrun.close", cycle=cycle)
    assert differences(firm) == []


def test_a_reversal_needs_a_reason_and_a_dry_run_reverses_nothing(firm):
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    assert firm.ask("payrun.reopen", cycle="2026-01", reason=" ").problem == (
        "payrun.reopen: the reason is missing: it must be given and not be empty"
    )
    assert "a reason has 1 to 200 characters" in firm.ask("payrun.reopen", cycle="2026-01", reason="r" * 201).problem
    assert firm.ask("payrun.reopen", cycle="2026-01", reason="r", dry_run=True).result["superseded_slip_count"] == 2
    assert [run["state"] for run in firm.reports.pay_runs()] == ["closed"]


def test_a_reversal_that_is_changed_is_found(firm):
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    firm.do("payrun.reopen", cycle="2026-01", reason="a grant was missing")
    permit_changes(firm.connection)
    firm.connection.exec_driver_sql("UPDATE pay_run_reversals SET reason = 'none'")
    firm.connection.commit()
    assert [one.message for one in differences(firm)] == ["pay_run_reversals 1 is not the row that the chain holds"]


# ---- off-cycle --------------------------------------------------------------------------------------------------------------


def test_an_off_cycle_slip_tells_some_until_now_and_closes_nothing(firm):
    lot = firm.lot_ids("Bo")[0]
    firm.now = JANUARY + 9 * DAY
    firm.call("Bo", lot, 5 * CREDIT)
    run = firm.do("payrun.off_cycle", to=["Bo"])
    assert (run["cycle"], run["kind"], run["slip_count"], run["spent_nanos"]) == ("2026-01", "off-cycle", 1, 5 * CREDIT)
    firm.call("Bo", lot, 2 * CREDIT)
    assert booked(firm) == [202601, 202601]
    assert amounts(firm.reports.payslip_of_run("Bo", run["payrun"])) == (0, 100, 5, 0, 0, 95)
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    assert amounts(firm.reports.payslip("Bo", "2026-01")) == (0, 100, 7, 0, 0, 93)
    assert [(one["kind"], one["state"]) for one in firm.reports.pay_runs()] == [
        ("regular", "closed"),
        ("off-cycle", "told"),
    ]
    assert differences(firm) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"to": []}, "an off-cycle run is for 1 to 1000 wallets, not 0"),
        ({"to": ["Nobody"]}, "Nobody"),
        ({"to": ["Ada"], "cycle": "2025-12"}, "the wallet of Ada was opened in 2026-01: there is no slip of 2025-12"),
        ({"to": ["Ada"], "cycle": "2026-02"}, "2026-02 has not begun"),
    ],
)
def test_an_off_cycle_run_for_nobody_or_at_no_time_is_refused(firm, arguments, problem):
    assert problem in firm.ask("payrun.off_cycle", **arguments).problem
    assert firm.reports.pay_runs() == []


# ---- pay days ---------------------------------------------------------------------------------------------------------------


def test_a_cycle_is_paid_on_a_working_day_of_its_country(firm):
    """In Berlin 1 May 2026 is a holiday and a Friday, 30 April a Thursday; 31 May is a Sunday; 25 December a Friday."""
    assert firm.reports.cycle_dates("2026-04-01", 1)[0]["paid_on"] is None
    firm.do("payrun.pay_days", move="next", days_after=1, country="de", subdivision="BE")
    assert [row["paid_on"] for row in firm.reports.cycle_dates("2026-04-01", 2)] == ["2026-05-04", "2026-06-01"]
    firm.do("payrun.pay_days", move="previous", days_after=1, country="DE", subdivision="BE")
    assert [row["paid_on"] for row in firm.reports.cycle_dates("2026-04-01", 2)] == ["2026-04-30", "2026-06-01"]
    firm.do("payrun.pay_days", move="previous")
    assert [row["paid_on"] for row in firm.reports.cycle_dates("2026-05-01", 1)] == ["2026-05-29"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"move": "sideways"}, "previous, next, stay, not 'sideways'"),
        ({"move": "next", "country": "XX"}, "no public holidays of XX: a country is two letters such as DE"),
        ({"move": "next", "country": "DE", "subdivision": "ZZ"}, "no public holidays of DE ZZ"),
        ({"move": "next", "days_after": 100}, "0 to 62 days after its last one, not 100"),
    ],
)
def test_a_pay_day_that_cannot_be_is_refused(firm, arguments, problem):
    assert problem in firm.ask("payrun.pay_days", **arguments).problem


def test_it_says_what_to_install_for_holidays(firm, monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    refusal = firm.ask("payrun.pay_days", move="next", country="DE")
    assert refusal.problem_kind == "not_installed"
    assert "install `tokenroll[calendar]`" in refusal.problem
    firm.do("payrun.pay_days", move="next")
