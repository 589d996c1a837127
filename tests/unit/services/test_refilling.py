"""Refills on a real ledger: approved within a limit, come when little is left, and stop."""

from typing import Any

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm


@pytest.fixture
def firm() -> Firm:
    """The Nightly agent has 10 credits; Bo may approve 60 at once."""
    firm = Firm()
    for name in ("Nightly", "Bo"):
        firm.hire(name)
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=10 * CREDIT)
    firm.do("grant.create", to="Nightly", plan="tools")
    firm.do("approver.set", member="Bo", once_nanos_max=60 * CREDIT)
    return firm


def made(firm: Firm, **change):
    facts: dict[str, Any] = {
        "to": "Nightly", "below_nanos": 5 * CREDIT, "amount_nanos": 20 * CREDIT, "cycle_nanos_max": 50 * CREDIT,
        "cool_off_seconds": 3_600, "last_on": "2026-02-28", "by": "Bo",
    }  # fmt: skip
    return firm.ask("refill.create", **facts | change)


def left(firm: Firm) -> float:
    return firm.reports.wallet("Nightly")["left_nanos"] / CREDIT


def use(firm: Firm, amount: int) -> None:
    """From whichever lots have it."""
    for lot_id in firm.lot_ids("Nightly"):
        nanos = min(firm.left(lot_id), amount * CREDIT)
        if nanos:
            firm.call("Nightly", lot_id, nanos, bound=nanos)
            amount -= nanos // CREDIT


def refill(firm: Firm) -> None:
    firm.ledger.refill()
    for delta in firm.ledger.take_deltas():
        firm.applied(delta.number)


def test_it_comes_when_little_is_left_and_stops_at_the_most_of_a_cycle(firm):
    assert made(firm).result["approved_by"] == "Bo"
    refill(firm)
    assert left(firm) == 10
    came = []
    for _ in range(5):
        use(firm, int(left(firm)))
        firm.now += 2 * HOUR
        refill(firm)
        came.append(left(firm))
    assert came == [20, 20, 10, 0, 0]
    (row,) = firm.reports.refills()
    assert row["this_cycle_nanos"] == 50 * CREDIT
    firm.now = FEBRUARY
    refill(firm)
    assert left(firm) == 20
    firm.verified()


def test_the_cool_off_and_what_is_on_its_way_hold_the_next_one_back(firm):
    made(firm)
    use(firm, 10)
    firm.ledger.refill()
    use(firm, 20)
    firm.now += 2 * HOUR
    assert firm.ledger.refill() is None  # no gateway has applied the first one yet
    firm.applied(firm.ledger.last_delta)
    assert firm.ledger.refill() is not None
    use(firm, 20)
    firm.applied(firm.ledger.last_delta)
    firm.now += HOUR - 1
    assert firm.ledger.refill() is None


def test_it_ends_on_its_last_day_when_it_is_removed_and_when_the_member_leaves(firm):
    first = made(firm).result["refill"]
    use(firm, 10)
    firm.do("refill.remove", refill=first)
    refill(firm)
    assert left(firm) == 0
    assert firm.ask("refill.remove", refill=first).problem_kind == "not_found"
    made(firm, last_on="2026-01-31")
    firm.now = FEBRUARY
    refill(firm)
    assert left(firm) == 0
    made(firm)
    firm.do("member.leave", member="Nightly", left_on="2026-01-31")
    refill(firm)
    assert (left(firm), firm.reports.refills()) == (0, [])


def test_who_approves_it_could_approve_the_most_of_a_cycle_at_once(firm):
    assert "Bo may approve 60.00 credits more for Nightly, not 61.00" in made(firm, cycle_nanos_max=61 * CREDIT).problem
    assert "Nightly cannot decide on their own request" in made(firm, by="Nightly").problem
    assert "'8 pm' is not a time of the day" in made(firm, from_time="8 pm", until_time="06:00").problem
    firm.hire("Eve")
    assert "Eve was never granted anything" in made(firm, to="Eve").problem


def test_a_refill_that_stands_counts_in_each_month_of_who_approved_it(firm):
    """70 a month, 50 of it given away for as long as it stands: 20 are left, in February too; all 70 when it is removed."""
    firm.do("approver.set", member="Bo", once_nanos_max=60 * CREDIT, monthly_nanos_max=70 * CREDIT)
    refill_id = made(firm).result["refill"]
    assert "Bo may approve 20.00 credits more for Nightly, not 21.00" in made(firm, cycle_nanos_max=21 * CREDIT).problem
    firm.now = FEBRUARY
    assert "Bo may approve 20.00 credits more for Nightly, not 21.00" in made(firm, cycle_nanos_max=21 * CREDIT).problem
    firm.do("refill.remove", refill=refill_id)
    assert made(firm, cycle_nanos_max=60 * CREDIT).result["approved_by"] == "Bo"


def test_what_refills_bring_stays_within_the_month_of_who_approved_them(firm):
    """Weekly cycles would be four times 50; Bo has 70 a month."""
    firm.do("payrun.calendar", kind="weekly", effective_on="2026-01-05")
    firm.do("approver.set", member="Bo", once_nanos_max=60 * CREDIT, monthly_nanos_max=70 * CREDIT)
    made(firm)
    brought = 0.0
    for _ in range(3 * 7):
        use(firm, int(left(firm)))
        firm.now += DAY
        refill(firm)
        brought += left(firm)
    assert brought == 70


def test_one_refill_sees_what_another_brings_at_the_same_time(firm):
    made(firm)
    made(firm, amount_nanos=10 * CREDIT, cycle_nanos_max=10 * CREDIT)
    use(firm, 10)
    refill(firm)
    assert left(firm) == 20


def test_who_has_left_approves_no_refill(firm):
    firm.do("member.leave", member="Bo", left_on="2025-12-31")
    assert "Bo leaves or left" in made(firm).problem


def test_who_stands_in_approves_nothing_that_goes_on_after_them(firm):
    firm.hire("Cleo")
    firm.do("approver.delegate", member="Bo", to="Cleo", from_on="2026-01-01", back_on="2026-01-20")
    said = made(firm, by="Cleo").problem
    assert said == "Cleo stands in for Bo for a while, and a refill goes on: Bo approves it"


def test_at_night_only(firm):
    made(firm, from_time="20:00", until_time="06:00")
    use(firm, 10)
    firm.now = JANUARY + DAY + 12 * HOUR
    refill(firm)
    assert left(firm) == 0
    firm.now += 9 * HOUR
    refill(firm)
    assert left(firm) == 20
