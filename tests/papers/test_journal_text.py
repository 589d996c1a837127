"""The books as text, judged by the programs that own the languages: Beancount's checker and hledger, in processes of their own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, MARCH, Firm
from tokenroll.books.beancount import beancount_text
from tokenroll.books.hledger import hledger_text
from tokenroll.books.journal_text import Assertion, JournalText, Leg, Movement, OpenAccount
from tokenroll.services.exporting import journal_of

BEAN_CHECK = Path(sys.executable).parent / "bean-check"


@pytest.fixture(scope="module")
def journal() -> JournalText:
    """Two months of a small firm: both classifications, a pool, an expiry, a late call, a call being checked, a closed cycle."""
    firm = Firm()
    for name, zone in (("Ada", "Europe/Berlin"), ("Bo", "America/New_York"), ("Nightly", "UTC")):
        firm.hire(name, zone=zone)
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    firm.do(
        "plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="1m"
    )
    firm.do("plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=480 * CREDIT,
            vesting={"kind": "periodic", "occurrences": 12, "cliff_occurrences": 1})  # fmt: skip
    for name in ("Ada", "Bo", "Engineering pool"):
        firm.do("grant.create", to=name, plan="tools")
    firm.do("grant.create", to="Ada", plan="sign-on")
    lot = {name: firm.lot_ids(name)[0] for name in ("Ada", "Bo", "Engineering pool")}
    for day in (2, 2, 9):
        firm.now = JANUARY + day * DAY
        firm.call("Ada", lot["Ada"], 3 * CREDIT + day)
    firm.settle(firm.hold("Nightly", (lot["Engineering pool"], 9 * CREDIT)), 4 * CREDIT)
    firm.settle(firm.hold("Bo", (lot["Bo"], 2 * CREDIT), (0, 5 * CREDIT)), 6 * CREDIT)
    firm.now = FEBRUARY - 2 * HOUR
    late = firm.hold("Ada", (lot["Ada"], 10 * CREDIT))
    firm.now = FEBRUARY + 12 * HOUR
    firm.do("payrun.close", cycle="2026-01")
    firm.settle(late, 4 * CREDIT)
    firm.now = FEBRUARY + 3 * DAY
    firm.do("grant.top_up", to="Ada", amount_nanos=5 * CREDIT)
    firm.lapse(firm.hold("Ada", (firm.lot_ids("Ada")[-1], 2 * CREDIT)))
    firm.now = MARCH - 5 * DAY
    firm.connection.rollback()
    return journal_of(firm.connection, firm.now, "A small firm")


@pytest.fixture(scope="module")
def endings() -> JournalText:
    """Ada has 12 credits that vest by month and 60 that vested at once; Bo, six hours behind her, gets some of them.

    5 are passed on; of the stipend 3 vest early; a grant of 7 was an error. She leaves: 6 of the stipend will not have vested.
    """
    firm = Firm()
    for name, zone in (("Ada", "Europe/Berlin"), ("Bo", "America/New_York")):
        firm.hire(name, zone=zone)
    yearly = {"kind": "periodic", "period": "1m", "occurrences": 12}
    firm.do("plan.create", name="year", kind="stipend", classification="tool", amount_nanos=12 * CREDIT, vesting=yearly)
    terms = {"transferable": True, "leaving": {"clawback": {"basis": "pro_rata", "months": 12}}}
    firm.do(
        "plan.create",
        name="once",
        kind="signing_bonus",
        classification="compensation",
        amount_nanos=60 * CREDIT,
        terms=terms,
    )
    year = firm.do("grant.create", to="Ada", plan="year")["grant"]
    firm.do("grant.create", to="Ada", plan="once")
    wrong = firm.do("grant.create", to="Ada", plan="once", amount_nanos=7 * CREDIT)["grant"]
    firm.now = JANUARY + 4 * DAY + HOUR
    firm.do("wallet.transfer", **{"from": "Ada", "to": "Bo", "amount_nanos": 5 * CREDIT})
    firm.do("grant.accelerate", grant=year, amount_nanos=3 * CREDIT, reason="a fine job")
    firm.do("grant.void", grant=wrong, reason="granted twice")
    firm.call("Bo", firm.lot_ids("Bo")[0], 2 * CREDIT)
    firm.now = JANUARY + 20 * DAY
    firm.do("member.leave", member="Ada", left_on="2026-07-31")
    firm.now = MARCH + 10 * DAY
    firm.connection.rollback()
    firm.verified()
    return journal_of(firm.connection, firm.now, "Endings")


def check(program: list[str], text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "journal.txt"
    path.write_text(text)
    return subprocess.run([*program, str(path)], capture_output=True, text=True, check=False, timeout=60)


def hledger_balance(journal: JournalText, folder: Path, *accounts: str) -> list[list[str]]:
    """The balances of these accounts as hledger has them, which finds nothing wrong with the journal."""
    done = check(["hledger", "check", "--strict", "-f"], hledger_text(journal), folder)
    assert (done.returncode, done.stderr) == (0, "")
    balance = subprocess.run(
        ["hledger", "-f", folder / "journal.txt", "balance", *accounts, "-N", "--flat"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [line.split() for line in balance.splitlines()]


def test_it_satisfies_bean_check(journal, tmp_path):
    done = check([str(BEAN_CHECK)], beancount_text(journal), tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_endings_and_transfers_satisfy_bean_check(endings, tmp_path):
    done = check([str(BEAN_CHECK)], beancount_text(endings), tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_endings_and_transfers_satisfy_hledger(endings, tmp_path):
    balance = hledger_balance(endings, tmp_path, "Expenses", "Equity")
    # a year's stay is asked, and 6 whole months are stayed (the 7th ends an hour too late): 6 of 12 parts of the 55 left of 60
    assert balance == [
        ["-79.000000000", "CREDIT", "Equity:Granted:W1"],
        ["5.000000000", "CREDIT", "Equity:Transferred:W1"],
        ["-5.000000000", "CREDIT", "Equity:Transferred:W2"],
        ["7.000000000", "CREDIT", "Equity:Voided:W1"],
        ["27.500000000", "CREDIT", "Expenses:ClawedBack:W1"],
        ["6.000000000", "CREDIT", "Expenses:Forfeited:W1"],
        ["2.000000000", "CREDIT", "Expenses:Spent:W2"],
    ]


def test_it_makes_bean_check_object_to_one_nano(journal, tmp_path):
    text = beancount_text(journal)
    wrong = text.replace("4.000000000 CREDIT", "4.000000001 CREDIT", 1)
    assert wrong != text
    assert check([str(BEAN_CHECK)], wrong, tmp_path).returncode == 1


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_it_satisfies_hledger(journal, tmp_path):
    balance = hledger_balance(journal, tmp_path, "Expenses")
    assert balance == [
        ["86.999999987", "CREDIT", "Expenses:Breakage:W1"],
        ["98.000000000", "CREDIT", "Expenses:Breakage:W2"],
        ["96.000000000", "CREDIT", "Expenses:Breakage:W4"],
        ["4.000000000", "CREDIT", "Expenses:Company:Spent"],
        ["13.000000013", "CREDIT", "Expenses:Spent:W1"],
        ["2.000000000", "CREDIT", "Expenses:Spent:W2"],
        ["4.000000000", "CREDIT", "Expenses:Spent:W4"],
    ]


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_it_makes_hledger_object_to_one_nano(journal, tmp_path):
    text = hledger_text(journal)
    wrong = text.replace("4.000000000 CREDIT", "4.000000001 CREDIT", 1)
    assert wrong != text
    assert check(["hledger", "check", "-f"], wrong, tmp_path).returncode == 1


@pytest.fixture(scope="module")
def opened() -> JournalText:
    """A start in July: Ada and Bo bring what is left of awards made elsewhere, some of it still locked, some of it expiring."""
    july = JANUARY + 181 * DAY
    firm = Firm(july - DAY)
    for name, zone in (("Ada", "Europe/Berlin"), ("Bo", "America/New_York")):
        firm.hire(name, zone=zone)
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=50 * CREDIT, lifetime="1m")
    firm.do("plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=CREDIT)
    firm.now = july + 12 * HOUR
    firm.do(
        "wallet.open",
        total_nanos=300 * CREDIT + 1,
        rows=[
            {"id": "1", "to": "Ada", "plan": "tools", "left_nanos": 40 * CREDIT + 1, "expires_on": "2026-07-31"},
            {"id": "2", "to": "Ada", "plan": "sign-on", "left_nanos": 240 * CREDIT, "spendable_on": "2026-08-15"},
            {"id": "3", "to": "Bo", "plan": "tools", "left_nanos": 20 * CREDIT, "expires_on": "never"},
        ],
    )
    firm.do("grant.create", to="Bo", plan="tools")
    firm.call("Ada", firm.lot_ids("Ada")[0], 15 * CREDIT)
    firm.now = july + 32 * DAY
    firm.do("payrun.close", cycle="2026-07")
    firm.now = july + 60 * DAY
    firm.call("Bo", firm.lot_ids("Bo")[0], 3 * CREDIT)
    firm.connection.rollback()
    return journal_of(firm.connection, firm.now, "A start in July")


def test_opening_values_come_out_of_equity_and_satisfy_bean_check(opened, tmp_path):
    text = beancount_text(opened)
    done = check([str(BEAN_CHECK)], text, tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert '2026-07-01 * "opening value (working tool)"' in text
    assert '2026-07-01 * "opening value (pay)"' in text
    wrong = text.replace("-240.000000000 CREDIT", "-240.000000001 CREDIT", 1)
    assert wrong != text
    assert check([str(BEAN_CHECK)], wrong, tmp_path).returncode == 1


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_opening_values_satisfy_hledger_and_stand_apart_from_grants(opened, tmp_path):
    balance = hledger_balance(opened, tmp_path, "Equity", "Expenses", "Assets")
    assert balance == [
        ["240.000000000", "CREDIT", "Assets:Wallets:W1:Spendable:Available"],
        ["17.000000000", "CREDIT", "Assets:Wallets:W2:Spendable:Available"],
        ["-50.000000000", "CREDIT", "Equity:Granted:W2"],
        ["-280.000000001", "CREDIT", "Equity:Opening:W1"],
        ["-20.000000000", "CREDIT", "Equity:Opening:W2"],
        ["25.000000001", "CREDIT", "Expenses:Breakage:W1"],
        ["50.000000000", "CREDIT", "Expenses:Breakage:W2"],
        ["15.000000000", "CREDIT", "Expenses:Spent:W1"],
        ["3.000000000", "CREDIT", "Expenses:Spent:W2"],
    ]


def test_it_names_movements_and_balances_as_beancount_wants_them():
    from datetime import date

    on = date(2026, 1, 31)
    journal = JournalText(
        title='The "firm"',
        accounts=[OpenAccount(on=on, account="Assets:Wallets:W1:Spendable:Available", name="Ada"),
                  OpenAccount(on=on, account="Expenses:Spent:W1")],
        movements=[Movement(on=on, text="2 draws of calls", reference="grant_1",
                            legs=(Leg("Assets:Wallets:W1:Spendable:Available", -1_500_000_000), Leg("Expenses:Spent:W1", 1_500_000_000)))],
        assertions=[Assertion(on=on, account="Assets:Wallets:W1:Spendable", nanos=-1_500_000_000)],
    )  # fmt: skip
    assert (
        beancount_text(journal)
        == """\
option "title" "The \\"firm\\""
option "operating_currency" "CREDIT"

2026-01-31 commodity CREDIT

2026-01-31 open Assets:Wallets:W1:Spendable:Available CREDIT
  name: "Ada"

2026-01-31 open Expenses:Spent:W1 CREDIT

2026-01-31 * "2 draws of calls" ^grant_1
  Assets:Wallets:W1:Spendable:Available              -1.500000000 CREDIT
  Expenses:Spent:W1                                   1.500000000 CREDIT

2026-02-01 balance Assets:Wallets:W1:Spendable  -1.500000000 CREDIT

"""
    )


def test_it_cannot_be_born_out_of_balance():
    from datetime import date

    with pytest.raises(AssertionError, match="out of balance by 1 nanos"):
        Movement(on=date(2026, 1, 1), text="x", legs=(Leg("Assets:A", 2), Leg("Assets:B", -1)))


@pytest.fixture(scope="module")
def around() -> JournalText:
    """Usage around the gateway in four zones' days: in time, after its lot's end, after its cycle's close, and more than there was.

    Ada has 10 credits of January and 20 for ever, the pool 6 of January; she uses 4 and 3 in January, of which the second is told
    in February, then 2 after the close, then 30. Bo has nothing and uses 8, for which there are the pool's 6.
    """
    firm = Firm()
    for name, zone in (("Ada", "Europe/Berlin"), ("Bo", "America/New_York")):
        firm.hire(name, zone=zone)
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    firm.do("plan.create", name="month", kind="stipend", classification="tool", amount_nanos=10 * CREDIT, lifetime="1m")
    firm.do("plan.create", name="ever", kind="signing_bonus", classification="compensation", amount_nanos=20 * CREDIT)
    firm.do("grant.create", to="Ada", plan="month")
    firm.do("grant.create", to="Ada", plan="ever")
    firm.do("grant.create", to="Engineering pool", plan="month", amount_nanos=6 * CREDIT)
    charges = (
        (JANUARY + 9 * DAY, "Ada", JANUARY + 8 * DAY, 4), (FEBRUARY + 2 * HOUR, "Ada", FEBRUARY - 2 * HOUR, 3),
        (FEBRUARY + 3 * HOUR, "Bo", FEBRUARY - HOUR, 8), (FEBRUARY + 2 * DAY, "Ada", FEBRUARY - 3 * HOUR, 2 + 3),
        (FEBRUARY + 3 * DAY, "Ada", FEBRUARY + DAY, 30),
    )  # fmt: skip
    for now, name, used_at, total in charges:
        firm.now = now
        if now == FEBRUARY + 2 * DAY:
            firm.do("payrun.close", cycle="2026-01")
        row = {"source": "codex", "member": name, "model": "m", "total_nanos": total * CREDIT, "used_at": used_at}
        firm.do("usage.charge", rows=[row])
    firm.now = MARCH - 5 * DAY
    firm.connection.rollback()
    firm.verified()
    return journal_of(firm.connection, firm.now, "Around the gateway")


def test_usage_around_the_gateway_satisfies_bean_check_and_not_with_one_nano_more(around, tmp_path):
    text = beancount_text(around)
    done = check([str(BEAN_CHECK)], text, tmp_path)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert '2026-01-09 * "used around the gateway"' in text
    wrong = text.replace("4.000000000 CREDIT", "4.000000001 CREDIT", 1)
    assert wrong != text
    assert check([str(BEAN_CHECK)], wrong, tmp_path).returncode == 1


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_usage_around_the_gateway_satisfies_hledger(around, tmp_path):
    balance = hledger_balance(around, tmp_path, "Expenses")
    # of January's 10, 7 were used in time and told before the close; what was told after it comes out of the 20 that last
    assert balance == [
        ["3.000000000", "CREDIT", "Expenses:Breakage:W1"],
        ["14.000000000", "CREDIT", "Expenses:Company:Spent"],
        ["27.000000000", "CREDIT", "Expenses:Spent:W1"],
        ["6.000000000", "CREDIT", "Expenses:Spent:W3"],
    ]
