"""Golden papers: a working tool's allowance statement and a pay slip, word by word, as the terminal prints them."""

import pytest

from tests.cast import utc
from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm
from tokenroll.cli.payslip import print_slip

ALLOWANCE = """\
Allowance statement - Ada - 2026-01
2026-01-01 to before 2026-02-01, UTC; 2 calls; closed 2026-02-01 01:00:00 UTC

  opening           0.000000000 credits
  unlocked        100.000000000
  spent           -12.000000003
  expired unused  -87.999999997
  -----------------------------
  closing           0.000000000 credits

  granted in this cycle: 100.00

  spent by model:
    gpt-5-mini  12.000000003

  Working tool: it serves the company's work and stays the company's: it unlocks, and nobody is taxed.
"""
PAY_SLIP = """\
Pay slip - Bo - 2026-02
2026-02-01 to before 2026-03-01, UTC; 1 call; preview, not closed

  opening   0.00 credits
  vested   40.00
  spent    -5.50
  --------------
  closing  34.50 credits

  of closing, being checked: 1.00
  carried by the company: 2.00

  spent by model:
    gpt-5-mini  5.50

  next to vest: 40.00 on 2026-03-01

  Pay: it rewards the person: it vests over time, and payroll and tax see it.
"""


@pytest.fixture(scope="module")
def firm() -> Firm:
    one = Firm()
    for name in ("Ada", "Bo"):
        one.hire(name)
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="1m")
    one.do("plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=480 * CREDIT,
           vesting={"kind": "periodic", "occurrences": 12})  # fmt: skip
    one.do("grant.create", to="Ada", plan="tools")
    one.do("grant.create", to="Bo", plan="sign-on")
    ada, bo = one.lot_ids("Ada")[0], one.lot_ids("Bo")[0]
    for nanos in (7 * CREDIT + 1, 5 * CREDIT + 2):
        one.now = JANUARY + 3 * DAY
        one.call("Ada", ada, nanos)
    one.now = FEBRUARY + HOUR
    one.do("payrun.close", cycle="2026-01")
    one.now = FEBRUARY + DAY
    one.settle(one.hold("Bo", (bo, 5 * CREDIT + CREDIT // 2), (0, 2 * CREDIT)), 7 * CREDIT + CREDIT // 2)
    one.lapse(one.hold("Bo", (bo, CREDIT)))
    return one


@pytest.mark.parametrize(("who", "cycle", "paper"), [("Ada", "2026-01", ALLOWANCE), ("Bo", "2026-02", PAY_SLIP)])
def test_it_prints_the_paper(firm, capsys, who, cycle, paper):
    print_slip(firm.reports.payslip(who, cycle), [])
    assert capsys.readouterr().out == paper


EVERY_LINE = """\
Pay slip and allowance statement - Dev - 2026-W07
2026-02-09 to before 2026-02-16, Europe/Berlin; 3 calls; told off-cycle 2026-02-12 00:00:00 UTC

  opening                        100.00 credits
  became spendable                20.00
  transferred in                   7.00
  spent                          -30.50
  adjustments of earlier cycles   -1.00
  expired unused                  -2.00
  forfeited                       -3.00
  clawed back                     -4.00
  voided                          -5.00
  transferred out                 -6.00
  -------------------------------------
  closing                         75.50 credits

  of spent, personal: 4.50
  of spent, used around the gateway: 2.50
  of closing, rolled over: 5.25

  spent by model:
    claude-opus-5-5             20.50
    gpt-5-mini                   9.00
    a model that was not named   1.00

  spent by project:
    checkout    25.50
    no project   5.00

  next to become spendable: 12.00 on 2026-03-01
  next to expire: 8.00 on 2026-02-28

  Working tool: it serves the company's work and stays the company's: it unlocks, and nobody is taxed.
  Pay: it rewards the person: it vests over time, and payroll and tax see it.
"""


def test_it_prints_every_line_there_is(capsys):
    credits_of = {
        "opening": 100, "vested": 20, "rolled_over": 5.25, "transferred_in": 7, "spent": 30.5, "personal": 4.5, "around": 2.5, "adjustments": 1,
        "breakage": 2, "forfeited": 3, "clawed_back": 4, "voided": 5, "transferred_out": 6, "closing": 75.5,
        "granted": 0, "suspense": 0, "company_carried": 0, "next_vest": 12, "next_expiry": 8,
    }  # fmt: skip
    slip = {
        **{f"{name}_nanos": int(amount * CREDIT) for name, amount in credits_of.items()},
        "paper": "Pay slip and allowance statement", "name": "Dev", "cycle": "2026-W07", "zone": "Europe/Berlin",
        "start_at": utc("2026-02-08T23:00"), "end_until": utc("2026-02-15T23:00"), "call_count": 3, "run_kind": "off-cycle",
        "closed_at": utc("2026-02-12"), "classifications": ["tool", "compensation"],
        "next_vest_at": utc("2026-03-01"), "next_expiry_at": utc("2026-02-28"),
        "spent_by_model": [
            {"model": "claude-opus-5-5", "spent_nanos": 20 * CREDIT + CREDIT // 2},
            {"model": "gpt-5-mini", "spent_nanos": 9 * CREDIT}, {"model": "", "spent_nanos": CREDIT},
        ],
        "spent_by_project": [
            {"project": "checkout", "spent_nanos": 25 * CREDIT + CREDIT // 2}, {"project": "", "spent_nanos": 5 * CREDIT},
        ],
    }  # fmt: skip
    print_slip(slip, [])
    assert capsys.readouterr().out == EVERY_LINE


def test_it_prints_no_paper_whose_parts_are_not_the_whole(firm, capsys):
    slip = firm.reports.payslip("Ada", "2026-01")
    slip["spent_by_model"][0]["spent_nanos"] += 1
    with pytest.raises(AssertionError, match="spent by model sums to"):
        print_slip(slip, [])
    slip["spent_nanos"] += 1
    with pytest.raises(AssertionError, match="lines sum to"):
        print_slip(slip, [])
    capsys.readouterr()
