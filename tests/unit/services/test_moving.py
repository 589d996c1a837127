"""Transfers, acceleration, events and rollover: credits change wallet or date, and stay the credits they were."""

from typing import Any

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, MARCH, Firm
from tokenroll.store.database import raw_connection

PAY = {"kind": "signing_bonus", "classification": "compensation", "terms": {"transferable": True}}


@pytest.fixture
def firm() -> Firm:
    """Ada has 30 transferable credits that live 90 days; Bo and Cleo have nothing yet."""
    firm = Firm()
    for name in ("Ada", "Bo", "Cleo"):
        firm.hire(name)
    firm.do("plan.create", name="gift", amount_nanos=30 * CREDIT, lifetime="90d", **PAY)
    firm.do("grant.create", to="Ada", plan="gift")
    return firm


def pass_on(firm: Firm, nanos: int, giver: str = "Ada", taker: str = "Bo", **more):
    arguments: dict[str, Any] = {"from": giver, "to": taker, "amount_nanos": nanos}
    return firm.ask("wallet.transfer", **arguments | more)


# ---- transfers --------------------------------------------------------------------------------------------------------


def test_credits_that_are_passed_on_keep_grant_classification_and_expiry(firm):
    firm.now = JANUARY + 3 * DAY
    reply = pass_on(firm, 12 * CREDIT, note="for the night shift")
    assert reply.result["recalled"] == {"state": "done", "asked_nanos": 12 * CREDIT, "given_nanos": 12 * CREDIT}
    (lot,) = firm.lot_ids("Bo")
    query = "SELECT grant_id, classification, priority, amount_nanos, effective_at, expires_at, origin_lot_id FROM lots WHERE id = ?"
    row = raw_connection(firm.connection).execute(query, (lot,)).fetchone()
    assert tuple(row) == (1, "compensation", 100, 12 * CREDIT, JANUARY, JANUARY + 90 * DAY, 1)
    ada, bo = firm.reports.wallet("Ada"), firm.reports.wallet("Bo")
    assert (ada["left_nanos"], ada["passed_on_nanos"], ada["granted_nanos"]) == (18 * CREDIT, 12 * CREDIT, 30 * CREDIT)
    assert (bo["left_nanos"], bo["received_nanos"], bo["granted_nanos"]) == (12 * CREDIT, 12 * CREDIT, 0)
    firm.call("Bo", lot, 2 * CREDIT)
    firm.now = JANUARY + 90 * DAY
    assert firm.reports.wallet("Bo")["expired_nanos"] == 10 * CREDIT
    firm.verified()


def test_what_was_passed_on_can_be_passed_on_again_and_voided_wherever_it_is(firm):
    pass_on(firm, 12 * CREDIT)
    pass_on(firm, 5 * CREDIT, "Bo", "Cleo")
    grant = firm.reports.grants()[0]["grant"]
    told = firm.do("grant.void", grant=grant, reason="an error")
    assert told["voided_nanos"] == 30 * CREDIT
    assert [firm.reports.wallet(name)["left_nanos"] for name in ("Ada", "Bo", "Cleo")] == [0, 0, 0]
    firm.verified()


def test_a_transfer_is_whole_or_not_at_all(firm):
    """A call holds 25 of the 30 before the gateway hears of the transfer of 10: it gives nothing, and says so."""
    firm.gives = False
    assert pass_on(firm, 10 * CREDIT, command_id="t").result["recalled"]["state"] == "asked"
    firm.hold("Ada", (1, 25 * CREDIT))
    firm.answer_recalls()
    told = pass_on(firm, 10 * CREDIT, command_id="t").result["recalled"]
    assert told == {"state": "done", "asked_nanos": 10 * CREDIT, "given_nanos": 0}
    assert firm.lot_ids("Bo") == []
    firm.verified()


@pytest.mark.parametrize(
    ("nanos", "giver", "taker", "says"),
    [
        (31 * CREDIT, "Ada", "Bo", "Ada can pass on 30.00 credits, not 31.00"),
        (CREDIT, "Ada", "Ada", "Ada has it already"),
        (CREDIT, "Bo", "Ada", "Bo can pass on 0.00 credits"),
        (CREDIT, "Ada", "Nobody", "there is no wallet 'Nobody'"),
        (0, "Ada", "Bo", "a transfer of nothing"),
    ],
)
def test_what_cannot_be_passed_on_is_refused_and_moves_nothing(firm, nanos, giver, taker, says):
    reply = pass_on(firm, nanos, giver, taker)
    assert says in reply.problem
    assert firm.left(1) == 30 * CREDIT


def test_a_working_tool_and_a_plan_that_does_not_say_so_pass_nothing_on(firm):
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=9 * CREDIT)
    firm.do("plan.create", name="own", kind="signing_bonus", classification="compensation", amount_nanos=9 * CREDIT)
    firm.do("grant.create", to="Bo", plan="tools")
    firm.do("grant.create", to="Bo", plan="own")
    assert "Bo can pass on 0.00 credits, not 1.00" in pass_on(firm, CREDIT, "Bo", "Ada").problem
    refused = firm.ask("plan.create", name="t", amount_nanos=1, **(PAY | {"kind": "stipend", "classification": "tool"}))
    assert refused.problem_kind == "classification"


def test_nothing_goes_to_or_from_who_has_left_nor_from_a_pool(firm):
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    assert "is a pool" in pass_on(firm, CREDIT, "Ada", "Engineering pool").problem
    firm.do("member.leave", member="Bo", left_on="2026-01-01")
    assert "Bo leaves or left on 2026-01-01" in pass_on(firm, CREDIT).problem


# ---- acceleration and events ------------------------------------------------------------------------------------------------


@pytest.fixture
def year(firm) -> str:
    """A stipend of Bo: a credit a month for twelve months, each of which lives for two."""
    vesting = {"kind": "periodic", "period": "1m", "occurrences": 12}
    firm.do(
        "plan.create", name="year", kind="stipend", classification="tool", amount_nanos=12 * CREDIT, vesting=vesting,
        lifetime="2m",
    )  # fmt: skip
    return firm.do("grant.create", to="Bo", plan="year")["grant"]


def test_accelerated_credits_vest_now_and_live_as_long_as_they_would_have(firm, year):
    firm.now = JANUARY + 10 * DAY
    told = firm.do("grant.accelerate", grant=year, amount_nanos=2 * CREDIT + 500, reason="a milestone")
    assert told["accelerated_nanos"] == 2 * CREDIT + 500
    wallet = firm.reports.wallet("Bo")
    assert (wallet["left_nanos"], wallet["unvested_nanos"]) == (2 * CREDIT + 500, 10 * CREDIT - 500)
    assert (wallet["received_nanos"], wallet["passed_on_nanos"]) == (0, 0)
    assert wallet["next_expiry_at"] == JANUARY + (31 + 28 + 10) * DAY
    # February's and March's have come; what is left of April's comes when it would have
    assert (wallet["next_vest_at"], wallet["next_vest_nanos"]) == (MARCH + 31 * DAY, CREDIT - 500)
    firm.verified()


def test_what_an_absence_moved_lives_as_long_as_it_would_have_when_it_is_brought_forward(firm, year):
    """Two months of life from 11 January on: until 11 March, whatever the absence did to the tranche's dates."""
    firm.now = JANUARY + DAY
    firm.do("member.absence", member="Bo", from_on="2026-01-20", back_on="2026-02-14")
    firm.now = JANUARY + 10 * DAY
    firm.do("grant.accelerate", grant=year, amount_nanos=CREDIT, reason="a milestone")
    assert firm.reports.wallet("Bo")["next_expiry_at"] == JANUARY + (31 + 28 + 10) * DAY


def test_more_than_is_unvested_cannot_be_brought_forward(firm, year):
    problem = firm.ask("grant.accelerate", grant=year, amount_nanos=13 * CREDIT, reason="x").problem
    assert "12.00 credits have not vested: more cannot vest earlier" in problem
    firm.do("grant.accelerate", grant=year, reason="all of it")
    assert firm.reports.wallet("Bo")["left_nanos"] == 12 * CREDIT
    assert "0.00 credits have not vested" in firm.ask("grant.accelerate", grant=year, reason="again").problem


@pytest.fixture
def milestones(firm) -> str:
    """18 credits of Bo: a third when version 2 is out, two thirds when the tenth customer has signed."""
    events = [{"event": "version 2", "weight": 1}, {"event": "tenth customer", "weight": 2}]
    firm.do(
        "plan.create", name="milestones", kind="performance_bonus", classification="compensation", amount_nanos=18 * CREDIT,
        vesting={"kind": "event", "events": events}, lifetime="90d",
    )  # fmt: skip
    return firm.do("grant.create", to="Bo", plan="milestones")["grant"]


def test_what_waits_for_an_event_has_no_date_and_vests_when_it_has_happened(firm, milestones):
    wallet = firm.reports.wallet("Bo")
    assert (wallet["unvested_nanos"], wallet["next_vest_at"]) == (18 * CREDIT, None)
    firm.now = FEBRUARY
    told = firm.do("grant.vest", grant=milestones, event="tenth customer")
    assert (told["vested_nanos"], told["expires_at"]) == (12 * CREDIT, FEBRUARY + 90 * DAY)
    wallet = firm.reports.wallet("Bo")
    assert (wallet["left_nanos"], wallet["unvested_nanos"]) == (12 * CREDIT, 6 * CREDIT)
    firm.verified()


def test_an_event_vests_once_and_only_what_waits_for_it(firm, milestones):
    firm.do("grant.vest", grant=milestones, event="version 2")
    again = firm.ask("grant.vest", grant=milestones, event="version 2")
    assert (again.problem_kind, firm.reports.wallet("Bo")["left_nanos"]) == ("vested", 6 * CREDIT)
    other = firm.ask("grant.vest", grant=milestones, event="version 3").problem
    assert "does not wait for 'version 3'; it waits for 'version 2', 'tenth customer'" in other


def test_a_leaver_forfeits_what_still_waits(firm, milestones):
    firm.do("grant.vest", grant=milestones, event="version 2")
    told = firm.do("member.leave", member="Bo", left_on="2026-01-31")
    assert told["forfeited_nanos"] == 12 * CREDIT
    firm.verified()


# ---- rollover ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rolling(firm) -> list[int]:
    """Cleo gets 100 on 1 January for a month, of which up to 30 roll over into February."""
    firm.do(
        "plan.create", name="rolling", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="1m",
        terms={"rollover": {"max_nanos": 30 * CREDIT}},
    )  # fmt: skip
    firm.do("grant.create", to="Cleo", plan="rolling")
    return firm.lot_ids("Cleo")


@pytest.mark.parametrize(("used", "rolled"), [(0, 30), (50, 30), (70, 30), (85, 15), (100, 0)])
def test_up_to_the_most_of_what_is_left_rolls_over_without_anybody_doing_anything(firm, rolling, used, rolled):
    """min(30, what is left of 100), because what expires sooner is drawn first."""
    first, second = rolling
    firm.now = JANUARY + DAY
    parts = [(first, min(used, 70) * CREDIT), (second, max(0, used - 70) * CREDIT)]
    slices = [part for part in parts if part[1]]
    if slices:
        firm.settle(firm.hold("Cleo", *slices), used * CREDIT)
    firm.now = FEBRUARY
    wallet = firm.reports.wallet("Cleo")
    assert (wallet["left_nanos"], wallet["expired_nanos"]) == (rolled * CREDIT, (100 - used - rolled) * CREDIT)
    slip = firm.reports.payslip("Cleo", "2026-01")
    assert (slip["closing_nanos"], slip["rolled_over_nanos"]) == (rolled * CREDIT, rolled * CREDIT)
    firm.now = MARCH
    assert firm.reports.wallet("Cleo")["left_nanos"] == 0
    slip = firm.reports.payslip("Cleo", "2026-02")
    assert (slip["breakage_nanos"], slip["rolled_over_nanos"]) == (rolled * CREDIT, 0)
    firm.verified()


def test_what_a_call_over_the_cycles_end_returns_rolls_over_with_the_rest(firm, rolling):
    """All of 100 is held over midnight; 90 are used, the 10 that return roll over (DESIGN §5)."""
    firm.now = FEBRUARY - DAY
    call = firm.hold("Cleo", (rolling[0], 70 * CREDIT), (rolling[1], 30 * CREDIT))
    firm.now = FEBRUARY + DAY
    firm.settle(call, 90 * CREDIT)
    assert firm.reports.wallet("Cleo")["left_nanos"] == 10 * CREDIT


@pytest.mark.parametrize(("amount", "most"), [(100, 100), (20, 30)])
def test_where_all_of_a_tranche_may_roll_over_all_that_is_left_does(firm, amount, most):
    firm.do(
        "plan.create", name="all", kind="stipend", classification="tool", amount_nanos=amount * CREDIT, lifetime="1m",
        terms={"rollover": {"max_nanos": most * CREDIT}},
    )  # fmt: skip
    firm.do("grant.create", to="Cleo", plan="all")
    firm.now = FEBRUARY
    slip = firm.reports.payslip("Cleo", "2026-01")
    assert (slip["closing_nanos"], slip["rolled_over_nanos"]) == (amount * CREDIT, amount * CREDIT)


def test_what_an_absence_put_on_later_dates_rolls_over_later(firm):
    """Two tranches of 10, on 1 January and 1 February, living a month; Cleo is away for the last 10 days of January."""
    firm.do(
        "plan.create", name="two", kind="signing_bonus", classification="compensation", amount_nanos=20 * CREDIT, lifetime="1m",
        vesting={"kind": "periodic", "period": "1m", "occurrences": 2}, terms={"rollover": {"max_nanos": 4 * CREDIT}},
    )  # fmt: skip
    firm.do("grant.create", to="Cleo", plan="two")
    firm.do("member.absence", member="Cleo", from_on="2026-01-22", back_on="2026-02-01")
    # the first tranche vests on 11 February in place of 1 February, and its 6 end on 11 March
    firm.now = MARCH
    assert firm.reports.payslip("Cleo", "2026-02")["rolled_over_nanos"] == 0
    firm.now = MARCH + 11 * DAY
    slip = firm.reports.payslip("Cleo", "2026-03")
    assert (slip["breakage_nanos"], slip["rolled_over_nanos"]) == (6 * CREDIT, 4 * CREDIT)
    firm.verified()


def test_a_rollover_needs_an_end_and_gives_nothing_back(firm):
    plan = {"name": "x", "kind": "stipend", "classification": "tool", "amount_nanos": CREDIT}
    problem = firm.ask("plan.create", **plan, terms={"rollover": {"max_nanos": 1}}).problem
    assert "rollover.max needs a lifetime" in problem
    problem = firm.ask(
        "plan.create", **plan, lifetime="1m", terms={"rollover": {"min_nanos": 1, "max_nanos": 1}}
    ).problem
    assert "rollover.min" in problem


def test_nothing_cannot_be_brought_forward(firm, year):
    said = firm.ask("grant.accelerate", grant=year, amount_nanos=0, reason="a milestone").problem
    assert said == "0 credits cannot vest earlier: leave out the amount for all of them"


@pytest.mark.parametrize("name", ["v1=2", "v1; v2"])
def test_an_events_name_has_nothing_that_parts_names_from_weights_in_a_cell(firm, name):
    said = firm.ask(
        "plan.create", name="steps", kind="signing_bonus", classification="compensation", amount_nanos=CREDIT,
        vesting={"kind": "event", "events": [{"event": name, "weight": 1}]},
    )  # fmt: skip
    assert f"an event's name has no '=' and no ';', as {name!r} has" in said.problem


def test_a_grant_that_waits_names_its_events_and_no_dates(firm):
    events = [{"event": "v1", "weight": 1}, {"event": "v2", "weight": 3}]
    firm.do(
        "plan.create", name="steps", kind="signing_bonus", classification="compensation", amount_nanos=4 * CREDIT,
        vesting={"kind": "event", "events": events},
    )  # fmt: skip
    assert firm.do("grant.create", to="Bo", plan="steps")["lots"] == [
        {"amount_nanos": CREDIT, "effective_at": None, "expires_at": None, "waits_for": "v1"},
        {"amount_nanos": 3 * CREDIT, "effective_at": None, "expires_at": None, "waits_for": "v2"},
    ]
