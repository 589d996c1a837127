"""What settlements took is the same whether they are rolled up one by one, at once, or not yet; and so is every slip."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm
from tokenroll.store.cycles import CycleBook
from tokenroll.store.verify import verify

EXAMPLES = settings().max_examples // 5
"""Each has a ledger of its own."""
PEOPLE = ("Ada", "Bo", "Dev")
ZONES = {"Ada": "Pacific/Auckland", "Bo": "UTC", "Dev": "America/Los_Angeles"}
CALLS = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.integers(1, 40 * 24),  # the hour of January or February in which the next call begins
        st.integers(0, 3),  # nanos from the own lot
        st.integers(0, 3),  # from the pool's
        st.integers(0, 2),  # from the company
        st.booleans(),  # settled at once, or after January was closed
    ),
    max_size=7,
)


def staffed() -> Firm:
    firm = Firm()
    for name in PEOPLE:
        firm.hire(name, zone=ZONES[name])
    firm.do("pool.create", name="Pool", department="Engineering")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    for name in (*PEOPLE, "Pool"):
        firm.do("grant.create", to=name, plan="tools")
    return firm


def rolled(firm: Firm) -> list[tuple[int, ...]]:
    firm.connection.rollback()
    return sorted(tuple(row) for row in firm.connection.exec_driver_sql("SELECT * FROM spend_rollups"))


def slips(firm: Firm, cycle: str) -> list[dict]:
    return firm.reports.pay_run(cycle)["slips"]


@settings(max_examples=EXAMPLES)
@given(calls=CALLS, steps=st.integers(1, 3))
def test_rolling_up_changes_no_slip_and_no_sum(calls, steps):
    firm = staffed()
    pool = firm.lot_ids("Pool")[0]
    late = []
    for name, hour, own, drawn, carried, at_once in sorted(calls, key=lambda one: one[1]):
        firm.now = max(firm.now, JANUARY + hour * HOUR)
        lots = ((firm.lot_ids(name)[0], own), (pool, drawn), (0, carried))
        held = [(lot, nanos) for lot, nanos in lots if nanos]
        if not held:
            continue
        sequence = firm.hold(name, *held)
        if at_once:
            firm.settle(sequence, sum(nanos for _, nanos in held))
        else:
            late.append((sequence, sum(nanos for _, nanos in held)))
    firm.now = max(firm.now, FEBRUARY + 2 * DAY)
    before = [slips(firm, cycle) for cycle in ("2026-01", "2026-02")]
    while firm.ledger.roll_up(steps):
        pass
    assert [slips(firm, cycle) for cycle in ("2026-01", "2026-02")] == before
    firm.do("payrun.close", cycle="2026-01")
    for sequence, nanos in late:
        firm.settle(sequence, nanos)
    february = slips(firm, "2026-02")
    firm.ledger.roll_up()
    assert slips(firm, "2026-02") == february
    once = rolled(firm)
    firm.connection.exec_driver_sql("DELETE FROM spend_rollups")
    firm.connection.exec_driver_sql("DELETE FROM rollup_marks")
    firm.connection.commit()
    firm.ledger._reload()
    while firm.ledger.roll_up(1):
        pass
    assert rolled(firm) == once
    assert sum(row[5] for row in once) == sum(own + drawn + carried for _, _, own, drawn, carried, _ in calls)
    found = verify(firm.connection, firm.now)
    assert {one.kind for one in found.differences} <= {"charge"}, (
        found.differences
    )  # the firm's calls name no rate card
    firm.connection.rollback()
    assert CycleBook(firm.connection).closed_through == 202601
