"""Laws 2 and 7 for a mid-year start: however a spreadsheet of opening values is cut, repeated and reordered, each row is opened once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT, JANUARY, Firm
from tokenroll.store.verify import verify

PEOPLE = ("Ada", "Bo", "Cleo")
AMOUNTS = st.integers(0, 10**15)


@st.composite
def parts_of_files(draw):
    """Rows, and how often and in which order they come: every row at least once."""
    amounts = draw(st.lists(AMOUNTS, min_size=1, max_size=6))
    rows = [
        {"line": number + 2, "id": f"row {number}", "to": PEOPLE[number % 3], "plan": "tools", "left_nanos": nanos,
         "expires_on": draw(st.sampled_from(["2026-12-31", "never"]))}
        for number, nanos in enumerate(amounts)
    ]  # fmt: skip
    again = draw(st.lists(st.sampled_from(rows), max_size=6))
    order = draw(st.permutations([*rows, *again]))
    cut = draw(st.integers(1, len(order)))
    return rows, [part for part in (order[:cut], order[cut:]) if part]


def once(rows):
    """A file has each id once; what is in it twice is the same row."""
    return list({row["id"]: row for row in rows}.values())


@settings(max_examples=settings().max_examples // 3)  # each makes a ledger
@given(parts_of_files())
def test_each_row_is_opened_once_and_equity_carries_it(case):
    rows, files = case
    firm = Firm(JANUARY)
    for name in PEOPLE:
        firm.hire(name)
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=CREDIT, lifetime="3m")
    for number, file in enumerate(files):
        firm.now += 1_000_000
        firm.do("wallet.open", rows=once(file), total_nanos=sum(row["left_nanos"] for row in once(file)))
        assert firm.ask("wallet.open", command_id=f"again {number}", rows=once(file)).result["new_count"] == 0
    expected = {name: sum(row["left_nanos"] for row in rows if row["to"] == name) for name in PEOPLE}
    assert {one["name"]: one["left_nanos"] for one in firm.reports.wallets()} == expected
    query = "SELECT account, CAST(sum(nanos) AS TEXT) FROM postings GROUP BY account"
    sums = {account: int(nanos) for account, nanos in firm.connection.exec_driver_sql(query)}
    whole = sum(expected.values())
    assert {name: nanos for name, nanos in sums.items() if nanos} == (
        {"opening_equity": -whole, "available": whole} if whole else {}
    )
    firm.connection.rollback()
    assert verify(firm.connection, firm.now).differences == []
