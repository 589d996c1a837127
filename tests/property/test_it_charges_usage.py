"""Usage around the gateway, told in any parts, order and repetition: its wallet is charged the whole of it once, and not a nano more."""

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tests.lake_kit import event
from tokenroll.services.lake_charging import ChargeRates, costs_of, members_by_name
from tokenroll.store.lake import open_lake, read_lake

EXAMPLES = settings().max_examples
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("state"), st.sampled_from(["Ada", "Bo"]), st.integers(0, 2), st.integers(0, 12 * CREDIT)),
        st.tuples(st.just("call"), st.sampled_from(["Ada", "Bo"]), st.integers(0, 1), st.integers(1, 3 * CREDIT)),
        st.tuples(st.just("close"), st.just("Ada"), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.just("Ada"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("restart"), st.just("Ada"), st.just(0), st.just(0)),
        st.tuples(st.sampled_from(["slow", "answers"]), st.just("Ada"), st.just(0), st.just(0)),
    ),
    max_size=12,
)  # fmt: skip
"""A day's total is stated, a call is made, a cycle is closed, days go by, the gateway starts anew, is slow to give, and gives."""
TELLINGS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=4)
"""Imports, each of some of ten events, in any order and again."""


def make_firm() -> Firm:
    firm = Firm()
    for name in ("Ada", "Bo"):
        firm.hire(name)
    firm.do("plan.create", name="month", kind="stipend", classification="tool", amount_nanos=10 * CREDIT, lifetime="1m")
    firm.do("plan.create", name="ever", kind="stipend", classification="tool", amount_nanos=5 * CREDIT)
    for name in ("Ada", "Bo"):
        for plan in ("month", "ever"):
            firm.do("grant.create", to=name, plan=plan)
    firm.now = JANUARY + 3 * DAY
    return firm


def paid(firm: Firm) -> int:
    """What lots and the company paid of charges, by the journal alone."""
    firm.connection.rollback()
    query = """
        SELECT coalesce(sum(nanos), 0) FROM postings JOIN entries USING (ledger_seq)
        WHERE kind = 'charge' AND account IN ('spent', 'company_spent')"""
    return int(firm.connection.exec_driver_sql(query).scalar_one())


def asked(firm: Firm) -> int:
    """How many lots have not answered yet what they were asked for."""
    firm.connection.rollback()
    return int(firm.connection.exec_driver_sql("SELECT count(*) FROM recalls WHERE ended_at IS NULL").scalar_one())


def answer(firm: Firm) -> None:
    """The gateway gives what it was asked for, and then what others are asked for in its place."""
    firm.gives = True
    for _ in range(3):
        firm.answer_recalls()
    assert asked(firm) == 0


@settings(max_examples=EXAMPLES // 3)
@given(STEPS)
@example([
    ("wait", "Ada", 20, 0), ("wait", "Ada", 12, 0), ("slow", "Ada", 0, 0), ("state", "Ada", 2, 3 * CREDIT),
    ("close", "Ada", 0, 0), ("answers", "Ada", 0, 0),
])  # fmt: skip
def test_the_highest_total_of_each_day_is_charged_whatever_happens_between(steps):
    firm = make_firm()
    highest: dict[tuple[str, int], int] = {}
    for step, name, number, nanos in steps:
        if step == "state":
            used_at = JANUARY + number * DAY + HOUR
            row = {"source": "codex", "member": name, "model": "m", "total_nanos": nanos, "used_at": used_at}
            firm.do("usage.charge", rows=[row])
            firm.do("usage.charge", rows=[row])
            highest[name, number] = max(highest.get((name, number), 0), nanos)
        elif step == "call":
            lot = firm.lot_ids(name)[number]
            if firm.left(lot) >= nanos and (number == 1 or firm.now < JANUARY + 31 * DAY):
                firm.call(name, lot, nanos, bound=nanos)
        elif step == "close":
            if firm.now >= JANUARY + 32 * DAY:
                firm.ask("payrun.close", cycle="2026-01")
        elif step == "restart":
            firm.ledger.take_deltas()  # what its former life was told and did not heed
            firm.begin_again()
        elif step == "slow":
            if firm.gives:
                firm.ledger.take_deltas()
            firm.gives = False
        elif step == "answers":
            answer(firm)
        else:
            firm.now += number * DAY
        if asked(firm):
            assert paid(firm) <= sum(highest.values())
        else:
            assert paid(firm) == sum(highest.values())
        firm.verified()
    answer(firm)
    assert paid(firm) == sum(highest.values())
    firm.verified()
    for name in ("Ada", "Bo"):
        for lot_id, amount in zip(firm.lot_ids(name), (10 * CREDIT, 5 * CREDIT), strict=True):
            assert 0 <= firm.parts(lot_id).get("spent", 0) <= amount


@settings(max_examples=max(5, EXAMPLES // 10))
@given(TELLINGS)
def test_any_parts_order_and_repetition_of_imports_charge_the_sum_of_the_events_once(tellings):
    firm = make_firm()
    events = [
        event(number, JANUARY + (number % 3) * DAY + number * HOUR, list_cost_nanos=(number + 1) * CREDIT, member="Ada")
        for number in range(10)
    ]
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "lake"
        for telling in tellings:
            with open_lake(directory) as lake:
                lake.append([events[number] for number in dict.fromkeys(telling)], {})
            with read_lake(directory) as view:
                rates, members = ChargeRates(firm.connection), members_by_name(firm.connection)
                costs = costs_of(view, ["claude-code"], rates, members, now=firm.now)
            rows = [
                {"source": key.source, "member": key.member, "model": key.model, "total_nanos": one.nanos, "used_at": one.used_at}
                for key, one in costs.rows()
            ]  # fmt: skip
            firm.do("usage.charge", rows=rows)
    told = {number for telling in tellings for number in telling}
    assert paid(firm) == sum(number + 1 for number in told) * CREDIT
    firm.verified()
