"""Golden papers: a working tool's allowance statement and a pay slip, word by word, as the terminal prints them."""

import pytest

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
