"""Usage around the gateway is charged once, out of the lots that could have paid it then, and the rest is the company's."""

from itertools import chain

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, JANUARY, Firm
from tests.tampering import permit_changes
from tokenroll.books.payslip import slip_lines, slip_notes
from tokenroll.services import charging
from tokenroll.services.alert_watch import AlertWatch
from tokenroll.services.charge_booking import lot_dates
from tokenroll.services.charge_reports import seq_before
from tokenroll.store.verify import verify


@pytest.fixture
def firm() -> Firm:
    """Ada and Bo have 10 credits each that last through January."""
    firm = Firm()
    for name in ("Ada", "Bo"):
        firm.hire(name)
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=10 * CREDIT, lifetime="1m")
    for name in ("Ada", "Bo"):
        firm.do("grant.create", to=name, plan="tools")
    firm.now = JANUARY + 10 * DAY
    return firm


def row(total, *, name="Ada", model="sonnet", at=JANUARY + 5 * DAY, source="claude-code"):
    return {"source": source, "member": name, "model": model, "total_nanos": total, "used_at": at}


def charge(firm, *rows):
    return firm.do("usage.charge", rows=list(rows))


def told(firm, name="Ada"):
    """Left, spent and carried by the company, in whole credits and what is beyond them."""
    seen = firm.reports.wallet(name)
    return seen["left_nanos"], seen["spent_nanos"], seen["company_carried_nanos"]


def test_a_total_is_charged_once_and_later_only_its_growth(firm):
    first = charge(firm, row(3 * CREDIT))
    assert (first["charged_nanos"], first["charges"][0]["state"], first["charges"][0]["day"]) == (
        3 * CREDIT, "charged", "2026-01-06",
    )  # fmt: skip
    again = charge(firm, row(3 * CREDIT))
    assert (again["charged_nanos"], again["charges"][0]["state"], again["charges"][0]["charge"]) == (
        0,
        "unchanged",
        None,
    )
    assert charge(firm, row(4 * CREDIT))["charged_nanos"] == CREDIT
    assert told(firm) == (6 * CREDIT, 4 * CREDIT, 0)
    firm.verified()


def test_a_total_that_shrank_moves_nothing_and_grows_from_the_highest(firm):
    charge(firm, row(4 * CREDIT))
    shrunk = charge(firm, row(CREDIT))
    assert (shrunk["charged_nanos"], shrunk["charges"][0]["state"], shrunk["charges"][0]["before_nanos"]) == (
        0, "shrunk", 4 * CREDIT,
    )  # fmt: skip
    assert charge(firm, row(4 * CREDIT + 5))["charged_nanos"] == 5
    assert told(firm) == (6 * CREDIT - 5, 4 * CREDIT + 5, 0)
    firm.verified()


def test_days_models_members_and_sources_are_charged_apart(firm):
    answer = charge(
        firm, row(CREDIT), row(CREDIT, model="opus"), row(CREDIT, at=JANUARY + 6 * DAY), row(CREDIT, source="codex"),
        row(CREDIT, name="Bo"),
    )  # fmt: skip
    assert answer["charged_nanos"] == 5 * CREDIT
    assert told(firm) == (6 * CREDIT, 4 * CREDIT, 0)
    assert told(firm, "Bo") == (9 * CREDIT, CREDIT, 0)
    firm.verified()


def test_what_no_lot_can_pay_is_the_companys_and_said(firm):
    answer = charge(firm, row(8 * CREDIT), row(5 * CREDIT, model="opus"))
    assert [one["carried_nanos"] for one in answer["charges"]] == [0, 3 * CREDIT]
    assert told(firm) == (0, 10 * CREDIT, 3 * CREDIT)
    (opus, sonnet) = firm.reports.usage_charges("Ada", limit=10)
    assert (opus["model"], opus["paid_nanos"], opus["carried_nanos"], opus["asked_nanos"]) == (
        "opus", 2 * CREDIT, 3 * CREDIT, 0,
    )  # fmt: skip
    assert (sonnet["paid_nanos"], sonnet["carried_nanos"]) == (8 * CREDIT, 0)
    firm.verified()


def test_what_a_call_holds_is_not_taken(firm):
    (lot,) = firm.lot_ids("Ada")
    hold = firm.hold("Ada", (lot, 7 * CREDIT))
    answer = charge(firm, row(5 * CREDIT))
    assert answer["carried_nanos"] == 2 * CREDIT
    firm.settle(hold, 6 * CREDIT)
    assert told(firm) == (CREDIT, 9 * CREDIT, 2 * CREDIT)
    firm.verified()


def test_a_lot_that_came_into_use_meanwhile_gives_less_and_another_is_asked(firm):
    firm.now = JANUARY + DAY
    firm.do("plan.create", name="more", kind="stipend", classification="tool", amount_nanos=CREDIT, priority=200)
    firm.do("grant.create", to="Ada", plan="more", amount_nanos=4 * CREDIT)
    firm.now = JANUARY + 10 * DAY
    first, _second = firm.lot_ids("Ada")
    firm.gives = False
    firm.ledger.take_deltas()
    answer = charge(firm, row(6 * CREDIT))
    assert (answer["delivery"], answer["carried_nanos"]) == ("pending", 0)
    firm.verified()  # what is still asked for is no difference
    hold = firm.hold("Ada", (first, 7 * CREDIT))  # its worker had not heard of it
    firm.answer_recalls()
    firm.answer_recalls()
    assert told(firm) == (CREDIT, 6 * CREDIT, 0)  # 3 of the first lot, 3 of the second
    firm.settle(hold, 7 * CREDIT)
    assert told(firm) == (CREDIT, 13 * CREDIT, 0)
    firm.verified()


def test_a_slow_worker_leads_to_the_company_in_the_end(firm):
    (lot,) = firm.lot_ids("Ada")
    firm.gives = False
    firm.ledger.take_deltas()
    charge(firm, row(6 * CREDIT))
    firm.settle(firm.hold("Ada", (lot, 8 * CREDIT)), 8 * CREDIT)
    firm.answer_recalls()
    assert told(firm) == (0, 10 * CREDIT, 4 * CREDIT)
    firm.verified()


def test_a_lot_pays_only_usage_since_it_was_spendable(firm):
    firm.do("grant.create", to="Ada", plan="tools")  # on the 11th
    charge(firm, row(15 * CREDIT))
    assert told(firm) == (10 * CREDIT, 10 * CREDIT, 5 * CREDIT)
    charge(firm, row(4 * CREDIT, at=JANUARY + 10 * DAY))
    assert told(firm) == (6 * CREDIT, 14 * CREDIT, 5 * CREDIT)
    firm.verified()


def moved(firm, lot_id, *, to, day):
    """A lot of Bo's grant, moved out of this one on a day of January; its id."""
    made = max(firm.lot_ids("Ada") + firm.lot_ids("Bo")) + 1
    columns = "priority, classification, amount_nanos, effective_at, expires_at"
    query = f"""
        INSERT INTO lots (id, grant_id, wallet_id, {columns}, origin_lot_id, moved_at)
        SELECT ?, grant_id, ?, {columns}, id, ? FROM lots WHERE id = ?"""
    firm.connection.exec_driver_sql(query, (made, firm.wallet_id(to), JANUARY + (day - 1) * DAY, lot_id))
    firm.connection.commit()
    return made


def test_a_lot_is_hers_since_it_came_to_her_however_often_its_dates_were_changed_since(firm):
    (own,), (bos,) = firm.lot_ids("Ada"), firm.lot_ids("Bo")
    came = moved(firm, bos, to="Ada", day=12)
    once = moved(firm, came, to="Ada", day=15)
    twice = moved(firm, once, to="Ada", day=20)
    her_own = moved(firm, own, to="Ada", day=21)
    back = moved(firm, moved(firm, her_own, to="Bo", day=22), to="Ada", day=23)
    dates = lot_dates(firm.connection, [firm.wallet_id("Ada")])
    assert {lot_id: (one.known_at - JANUARY) // DAY for lot_id, one in dates.items()} == {
        own: 0, came: 11, once: 14, twice: 19, her_own: 20, back: 22,
    }  # fmt: skip
    assert {lot_id: one.received_at for lot_id, one in dates.items()} == {
        own: None, came: JANUARY + 11 * DAY, once: JANUARY + 11 * DAY, twice: JANUARY + 11 * DAY, her_own: None,
        back: JANUARY + 22 * DAY,
    }  # fmt: skip


def test_an_expired_lot_pays_what_was_used_before_while_its_cycle_is_open(firm):
    firm.now = FEBRUARY + HOUR
    charge(firm, row(3 * CREDIT, at=FEBRUARY - HOUR))
    seen = firm.reports.wallet("Ada")
    assert (seen["left_nanos"], seen["spent_nanos"], seen["expired_nanos"]) == (0, 3 * CREDIT, 7 * CREDIT)
    firm.do("payrun.close", cycle="2026-01")
    slip = firm.reports.payslip("Ada", "2026-01")
    assert [(line.text, line.nanos) for line in slip_lines(slip)] == [
        ("opening", 0), ("unlocked", 10 * CREDIT), ("spent", -3 * CREDIT), ("expired unused", -7 * CREDIT), ("closing", 0),
    ]  # fmt: skip
    assert ("of spent, used around the gateway", 3 * CREDIT) in [tuple(one) for one in slip_notes(slip)]
    assert slip["spent_by_model"] == [{"model": "sonnet", "spent_nanos": 3 * CREDIT}]
    firm.verified()


def test_what_a_closed_cycle_lost_stays_lost_and_the_company_carries_late_usage(firm):
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    charge(firm, row(3 * CREDIT, at=FEBRUARY - HOUR))
    assert told(firm) == (0, 0, 3 * CREDIT)
    assert firm.reports.payslip("Ada", "2026-01")["company_carried_nanos"] == 0
    assert firm.reports.payslip("Ada", "2026-02")["company_carried_nanos"] == 3 * CREDIT
    firm.verified()


def closed_between_asking_and_giving(firm, name):
    """The gateway is slow: January is closed after its usage was charged and before a lot gave anything."""
    firm.now = FEBRUARY + HOUR
    firm.gives = False
    firm.ledger.take_deltas()
    assert charge(firm, row(3 * CREDIT, name=name, at=FEBRUARY - HOUR))["delivery"] == "pending"
    firm.do("payrun.close", cycle="2026-01")
    firm.answer_recalls()


def test_a_lot_told_as_expired_between_asking_and_giving_gets_back_what_it_gave(firm):
    (lot,) = firm.lot_ids("Ada")
    closed_between_asking_and_giving(firm, "Ada")
    january, february = (firm.reports.payslip("Ada", cycle) for cycle in ("2026-01", "2026-02"))
    assert (january["breakage_nanos"], january["spent_nanos"]) == (10 * CREDIT, 0)
    assert (february["breakage_nanos"], february["adjustments_nanos"], february["spent_nanos"]) == (0, 0, 0)
    assert february["company_carried_nanos"] == 3 * CREDIT
    assert told(firm) == (0, 0, 3 * CREDIT)
    assert (firm.left(lot), firm.parts(lot)) == (10 * CREDIT, {})
    back = [one for delta in firm.ledger.take_deltas() for one in delta.lots]
    assert [(one.lot_id, one.change_nanos, one.spent_nanos) for one in back] == [(lot, 3 * CREDIT, -3 * CREDIT)]
    firm.verified()


def test_what_an_expired_lot_cannot_pay_any_more_is_asked_of_a_living_one(firm):
    firm.now = JANUARY + 10 * DAY
    firm.do("plan.create", name="years", kind="stipend", classification="tool", amount_nanos=20 * CREDIT, priority=200)
    firm.do("grant.create", to="Bo", plan="years")
    month, years = firm.lot_ids("Bo")
    closed_between_asking_and_giving(firm, "Bo")
    firm.answer_recalls()
    assert (firm.parts(month), firm.parts(years)) == ({}, {"spent": 3 * CREDIT})
    slip = firm.reports.payslip("Bo", "2026-02")
    assert (slip["adjustments_nanos"], slip["breakage_nanos"], slip["company_carried_nanos"]) == (3 * CREDIT, 0, 0)
    firm.verified()


def test_where_the_ledger_gives_by_itself_a_lot_told_as_expired_pays_nothing_either(firm):
    """The gateway ended while it was asked: the ledger gives in its stead."""
    (lot,) = firm.lot_ids("Ada")
    firm.now = FEBRUARY + HOUR
    firm.gives = False
    firm.ledger.take_deltas()
    charge(firm, row(3 * CREDIT, at=FEBRUARY - HOUR))
    firm.do("payrun.close", cycle="2026-01")
    firm.resign()
    assert told(firm) == (0, 0, 3 * CREDIT)
    assert firm.left(lot) == 10 * CREDIT
    firm.do("payrun.reopen", cycle="2026-01", reason="January's usage came late")
    charge(firm, row(12 * CREDIT, at=FEBRUARY - HOUR))  # the cycle is open again, and so the lot pays all of it
    assert firm.parts(lot) == {"spent": 9 * CREDIT}
    firm.verified()


def test_late_usage_that_a_living_lot_pays_is_an_adjustment(firm):
    firm.do("plan.create", name="years", kind="stipend", classification="tool", amount_nanos=20 * CREDIT)
    firm.do("grant.create", to="Bo", plan="years")
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    charge(firm, row(3 * CREDIT, name="Bo", at=FEBRUARY - HOUR))
    firm.now = FEBRUARY + 2 * DAY
    slip = firm.reports.payslip("Bo", "2026-02")
    assert (slip["adjustments_nanos"], slip["spent_nanos"], slip["closing_nanos"]) == (3 * CREDIT, 0, 17 * CREDIT)
    assert slip["around_nanos"] == 0  # of what was spent; it is none of it
    firm.verified()


def test_a_worker_that_began_after_the_lot_expired_is_told_of_it(firm):
    firm.now = FEBRUARY + HOUR
    firm.gives = False
    firm.ledger.take_deltas()
    (lot,) = firm.lot_ids("Ada")
    charge(firm, row(3 * CREDIT, at=FEBRUARY - HOUR))
    (asked,) = firm.ledger.take_deltas()
    assert [(one.lot_id, one.terms.available_nanos) for one in asked.lots] == [(lot, 10 * CREDIT)]
    firm.begin_again()
    (again,) = firm.ledger.take_deltas()
    assert [(one.lot_id, one.terms.available_nanos) for one in again.lots] == [(lot, 10 * CREDIT)]
    assert [(one.lot_id, one.wanted_nanos, one.mode) for one in again.recalls] == [(lot, 3 * CREDIT, "left")]


def test_while_a_gateway_does_not_answer_only_so_many_lots_are_asked(firm, monkeypatch):
    monkeypatch.setattr(charging, "CHARGE_RECALLS_OPEN_MAX", 3)
    firm.gives = False
    firm.ledger.take_deltas()
    for model in ("a", "b", "c"):
        charge(firm, row(CREDIT, model=model))
    reply = firm.ask("usage.charge", rows=[row(CREDIT, model="d")])
    assert reply.problem.startswith("3 lots were asked to pay charges and have not answered")
    assert len(firm.reports.usage_charges(limit=10)) == 3
    firm.answer_recalls()
    assert charge(firm, row(CREDIT, model="d"))["charged_nanos"] == CREDIT
    firm.answer_recalls()
    assert told(firm) == (6 * CREDIT, 4 * CREDIT, 0)
    firm.verified()


def test_where_no_gateway_runs_the_ledger_gives_by_itself():
    firm = Firm(worker=False)
    firm.hire("Ada")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=10 * CREDIT)
    firm.do("grant.create", to="Ada", plan="tools")
    firm.now = JANUARY + 10 * DAY
    assert charge(firm, row(12 * CREDIT))["recalled"] == {
        "state": "done", "asked_nanos": 10 * CREDIT, "given_nanos": 10 * CREDIT,
    }  # fmt: skip
    assert told(firm) == (0, 10 * CREDIT, 2 * CREDIT)
    firm.verified()


def test_the_pool_pays_in_the_order_in_which_calls_draw_it(firm):
    firm.now = JANUARY + 2 * DAY
    firm.do("pool.create", name="Engineering pool", department="Engineering", draw_rule="pool_first")
    firm.do("grant.create", to="Engineering pool", plan="tools", amount_nanos=4 * CREDIT)
    firm.now = JANUARY + 10 * DAY
    charge(firm, row(5 * CREDIT))
    assert told(firm, "Engineering pool")[:2] == (0, 4 * CREDIT)
    assert told(firm) == (9 * CREDIT, CREDIT, 0)
    firm.verified()


def test_the_pool_of_the_department_in_which_it_was_used_pays(firm):
    firm.now = JANUARY + 2 * DAY
    firm.do("department.create", name="Ops")
    for pool, department in (("Engineering pool", "Engineering"), ("Ops pool", "Ops")):
        firm.do("pool.create", name=pool, department=department, draw_rule="pool_first")
        firm.do("grant.create", to=pool, plan="tools", amount_nanos=4 * CREDIT)
    firm.now = JANUARY + 10 * DAY
    firm.do("member.change", member="Ada", department="Ops")
    charge(firm, row(3 * CREDIT), row(CREDIT, at=JANUARY + 10 * DAY), row(2 * CREDIT, name="Bo"))
    assert told(firm, "Engineering pool")[:2] == (0, 4 * CREDIT)  # 3 of Ada's 6 January, 1 of Bo's
    assert told(firm, "Ops pool")[:2] == (3 * CREDIT, CREDIT)  # of Ada's 11 January
    assert (told(firm), told(firm, "Bo")) == ((10 * CREDIT, 0, 0), (9 * CREDIT, CREDIT, 0))
    firm.verified()


def test_the_companys_pool_serves_a_department_without_one_of_its_own(firm):
    firm.now = JANUARY + 2 * DAY
    firm.do("pool.create", name="Everybody's pool", draw_rule="pool_first")
    firm.do("grant.create", to="Everybody's pool", plan="tools", amount_nanos=4 * CREDIT)
    firm.now = JANUARY + 10 * DAY
    charge(firm, row(3 * CREDIT))
    assert told(firm, "Everybody's pool")[:2] == (CREDIT, 3 * CREDIT)
    firm.verified()


def test_a_dry_run_says_it_and_moves_nothing(firm):
    reply = firm.ask("usage.charge", dry_run=True, rows=[row(12 * CREDIT)])
    assert (reply.result["charged_nanos"], reply.result["carried_nanos"]) == (12 * CREDIT, 2 * CREDIT)
    assert told(firm) == (10 * CREDIT, 0, 0)
    assert firm.reports.usage_charges(limit=10) == []
    firm.verified()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row(1, name="Zoe")], "Zoe"),
        ([row(1, source="gateway")], "by the gateway"),
        ([row(1), row(2)], "stands twice"),
        ([row(1, at=JANUARY + 11 * DAY)], "lies ahead"),
        ([row(-1)], "total"),
        (
            [row(number, at=JANUARY + 60_000_000 * number, model=f"m{number}") for number in range(1, 52)],
            "at most 50",
        ),
    ],
)
def test_what_cannot_be_charged_is_refused_whole(firm, rows, says):
    reply = firm.ask("usage.charge", rows=[row(1, model="first"), *rows])
    assert says in reply.problem
    assert told(firm) == (10 * CREDIT, 0, 0)


def test_the_overage_limit_of_the_plan_counts_what_was_carried(firm):
    firm.do(
        "plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=10 * CREDIT, lifetime="1m",
        overage_nanos_max=5 * CREDIT,
    )  # fmt: skip
    firm.gives = False
    firm.ledger.take_deltas()
    charge(firm, row(12 * CREDIT))
    terms = [terms for delta in firm.ledger.take_deltas() for terms in delta.wallets if terms.name == "Ada"]
    assert [one.overage_nanos_max for one in terms] == [3 * CREDIT]


def test_a_charge_crosses_the_thresholds_that_calls_cross(firm):
    watch = AlertWatch((50, 80))
    assert not any(watch.changes(firm.connection, dict, lambda: firm.now))
    charge(firm, row(6 * CREDIT))
    (found,) = chain.from_iterable(watch.changes(firm.connection, dict, lambda: firm.now))
    assert (found["subject_id"], found["used"], found["threshold"]) == (firm.wallet_id("Ada"), 6 * CREDIT, 50)


def test_usual_work_and_what_was_on_record_before_know_it(firm):
    before = firm.now
    firm.now += HOUR
    charge(firm, row(3 * CREDIT), row(5 * CREDIT, at=JANUARY + 6 * DAY))
    seen = firm.reports.wallet("Ada")
    assert (seen["usual_work"]["mean_nanos"], seen["charged_around_nanos"]) == (4 * CREDIT, 8 * CREDIT)
    assert (seen["spent_this_cycle_nanos"], firm.reports.spent_this_cycle(firm.wallet_id("Ada"))) == (
        8 * CREDIT, 8 * CREDIT,
    )  # fmt: skip
    then = firm.reports.wallet_as_of("Ada", before)
    assert (then["left_nanos"], then["spent_nanos"]) == (10 * CREDIT, 0)


def spent_this_cycle(firm, name="Ada"):
    """As her page has it, and as listings have it."""
    reports = firm.reports
    return reports.wallet(name)["spent_this_cycle_nanos"], reports.spent_this_cycle(firm.wallet_id(name))


def test_a_cycle_spent_what_was_booked_to_it_as_its_slip_says(firm):
    firm.now = FEBRUARY + HOUR
    charge(firm, row(2 * CREDIT, at=FEBRUARY - HOUR))  # January is open, so it is January's
    assert spent_this_cycle(firm) == (0, 0)
    firm.do("payrun.close", cycle="2026-01")
    charge(firm, row(5 * CREDIT, at=FEBRUARY - HOUR))
    assert spent_this_cycle(firm) == (3 * CREDIT, 3 * CREDIT)
    assert firm.reports.payslip("Ada", "2026-02")["company_carried_nanos"] == 3 * CREDIT
    firm.now = FEBRUARY + 28 * DAY
    assert spent_this_cycle(firm) == (0, 0)


def test_what_is_still_asked_for_is_not_spent_yet(firm):
    firm.gives = False
    firm.ledger.take_deltas()
    charge(firm, row(3 * CREDIT))
    assert spent_this_cycle(firm) == (0, 0)
    firm.answer_recalls()
    assert spent_this_cycle(firm) == (3 * CREDIT, 3 * CREDIT)


def test_her_page_adds_new_charges_to_those_it_has_read(firm):
    reports = firm.reports
    for total, spent in ((3 * CREDIT, 3 * CREDIT), (12 * CREDIT, 12 * CREDIT), (12 * CREDIT, 12 * CREDIT)):
        charge(firm, row(total))
        firm.connection.rollback()
        assert reports.wallet("Ada")["spent_this_cycle_nanos"] == spent


def test_charges_are_looked_for_only_since_the_cycle_began():
    """Every command is a batch of its own: one was written before the 5th, one on it, one later."""
    firm = Firm()
    seqs = []
    for day in (3, 5, 7):
        firm.now = JANUARY + (day - 1) * DAY
        firm.hire(f"Ada {day}")
        seqs.append(firm.ledger.last_seq)
    firm.connection.rollback()
    fourth, fifth, eighth = (seq_before(firm.connection, JANUARY + (day - 1) * DAY) for day in (4, 5, 8))
    assert (fourth, fifth, eighth) == (seqs[0], seqs[0], seqs[2])
    assert seq_before(firm.connection, JANUARY + 5 * DAY) == seqs[1]
    assert seq_before(firm.connection, JANUARY) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE usage_charge_parts SET nanos = nanos + 1", "its part says"),
        ("DELETE FROM usage_charge_parts", "its part says None"),
        ("UPDATE usage_charges SET charged_nanos = 5", "had grown"),
        ("UPDATE usage_charges SET model = 'opus'", "not the row that the chain holds"),
    ],
)
def test_who_changes_a_charge_behind_the_ledger_is_found(firm, change, says):
    charge(firm, row(3 * CREDIT))
    firm.connection.rollback()
    permit_changes(firm.connection)
    firm.connection.exec_driver_sql(change)
    found = [one.message for one in verify(firm.connection, firm.now).differences]
    assert any(says in one for one in found), found


BO = "(SELECT id FROM wallets WHERE name = 'Bo')"
BOS_LOT = f"(SELECT id FROM lots WHERE wallet_id = {BO})"
OF_ADAS_LOT = f"account = 'spent' AND wallet_id != {BO}"


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (
            [f"UPDATE postings SET wallet_id = {BO} WHERE account = 'company_spent'", f"UPDATE usage_charge_parts SET wallet_id = {BO} WHERE lot_id = 0"],
            "payer", "has the company carry for wallet",
        ),
        (
            [f"UPDATE postings SET wallet_id = {BO}, lot_id = {BOS_LOT} WHERE {OF_ADAS_LOT}",
             f"UPDATE usage_charge_parts SET wallet_id = {BO}, lot_id = {BOS_LOT} WHERE lot_id != 0"],
            "payer", "which is no pool, pay what wallet",
        ),
        ([f"UPDATE postings SET lot_id = {BOS_LOT} WHERE {OF_ADAS_LOT}"], "payer", "from wallet 1, which is of wallet 2"),
        (["UPDATE postings SET lot_id = 77 WHERE account = 'spent'"], "payer", "from wallet 1, which is gone"),
        ([f"UPDATE lots SET expires_at = {JANUARY + 5 * DAY}"], "eligible", f"was not spendable at {JANUARY + 5 * DAY}"),
        ([f"UPDATE entries SET effective_at = {FEBRUARY} WHERE kind = 'charge'"], "eligible", f"was not spendable at {FEBRUARY}"),
    ],
)  # fmt: skip
def test_who_lets_another_pay_a_charge_behind_the_ledger_is_found(firm, change, kind, says):
    charge(firm, row(12 * CREDIT))
    firm.verified()
    for (name,) in firm.connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all():
        firm.connection.exec_driver_sql(f"DROP TRIGGER {name}")
    for statement in change:
        assert firm.connection.exec_driver_sql(statement).rowcount > 0, "the tampering itself did nothing"
    found = verify(firm.connection, firm.now).differences
    assert any(one.kind == kind and says in one.message for one in found), found
