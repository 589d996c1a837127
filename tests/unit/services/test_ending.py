"""Voids, forfeitures, clawbacks and leavers: what is left comes at once, what is in use as it returns, what was used never."""

from typing import Any

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, MARCH, Firm


class AdasFirm(Firm):
    """Ada has a stipend of 12 credits that vests by month from 1 January on, one credit a month, and 30 vested at once.

    `leaving` is what both plans say of leaving; only the second, which is pay, may have windows.
    """

    def __init__(self, **leaving: Any) -> None:
        super().__init__()
        self.hire("Ada")
        yearly = {"kind": "periodic", "period": "1m", "occurrences": 12}
        of_tools = {name: value for name, value in leaving.items() if name != "windows"}
        self.do(
            "plan.create", name="year", kind="stipend", classification="tool", amount_nanos=12 * CREDIT, vesting=yearly,
            terms={"leaving": of_tools},
        )  # fmt: skip
        self.do(
            "plan.create", name="once", kind="signing_bonus", classification="compensation", amount_nanos=30 * CREDIT,
            terms={"leaving": leaving},
        )  # fmt: skip
        self.year = self.do("grant.create", to="Ada", plan="year")["grant"]
        self.once = self.do("grant.create", to="Ada", plan="once")["grant"]
        self.year_lots, self.once_lot = self.lot_ids("Ada")[:12], self.lot_ids("Ada")[12]


@pytest.fixture
def firm() -> AdasFirm:
    """Plans that say nothing of leaving."""
    return AdasFirm()


# ---- voids -----------------------------------------------------------------------------------------------------------


def test_a_void_takes_what_was_not_used_and_keeps_what_was(firm):
    firm.call("Ada", firm.once_lot, 8 * CREDIT)
    told = firm.do("grant.void", grant=firm.once, reason="granted to the wrong Ada")
    assert (told["voided_nanos"], told["used_nanos"]) == (22 * CREDIT, 8 * CREDIT)
    assert told["recalled"] == {"state": "done", "asked_nanos": 22 * CREDIT, "given_nanos": 22 * CREDIT}
    assert firm.parts(firm.once_lot) == {"spent": 8 * CREDIT, "voided": 22 * CREDIT}
    firm.verified()


def test_a_void_of_a_grant_in_use_is_owed_what_comes_back_and_not_what_was_used(firm):
    call = firm.hold("Ada", (firm.once_lot, 10 * CREDIT))
    told = firm.do("grant.void", grant=firm.once, reason="an error")
    assert told["recalled"] == {"state": "owed", "asked_nanos": 30 * CREDIT, "given_nanos": 20 * CREDIT}
    firm.settle(call, 4 * CREDIT)
    assert firm.parts(firm.once_lot) == {"spent": 4 * CREDIT, "voided": 26 * CREDIT}
    firm.verified()


def test_voiding_again_asks_for_nothing_more(firm):
    firm.do("grant.void", grant=firm.once, reason="an error")
    again = firm.do("grant.void", grant=firm.once, reason="once more, to be sure")
    assert again["voided_nanos"] == 0
    assert "recalled" not in again
    firm.verified()


def test_a_void_takes_what_has_not_vested_yet_too(firm):
    firm.now = FEBRUARY + DAY
    firm.call("Ada", firm.year_lots[0], CREDIT // 2)
    firm.do("grant.void", grant=firm.year, reason="an error")
    wallet = firm.reports.wallet("Ada")
    assert (wallet["unvested_nanos"], wallet["left_nanos"], wallet["spent_nanos"]) == (0, 30 * CREDIT, CREDIT // 2)
    firm.now = MARCH + 300 * DAY
    assert firm.reports.wallet("Ada")["left_nanos"] == 30 * CREDIT
    firm.verified()


def test_a_dry_run_says_what_a_void_would_ask_for_and_asks_for_nothing(firm):
    told = firm.ask("grant.void", dry_run=True, grant=firm.once, reason="an error").result
    assert (told["dry_run"], told["voided_nanos"]) == (True, 30 * CREDIT)
    assert firm.left(firm.once_lot) == 30 * CREDIT


# ---- the worker's consent -----------------------------------------------------------------------------------------------


def test_until_its_worker_answers_a_recall_is_pending_and_nothing_has_moved(firm):
    firm.gives = False
    reply = firm.ask("grant.void", command_id="void-1", grant=firm.once, reason="an error")
    assert reply.result["delivery"] == "pending"
    assert reply.result["recalled"]["state"] == "asked"
    assert firm.left(firm.once_lot) == 30 * CREDIT
    firm.answer_recalls()
    again = firm.ask("grant.void", command_id="void-1", grant=firm.once, reason="an error")
    assert again.result["recalled"]["state"] == "done"
    assert firm.left(firm.once_lot) == 0


def test_a_call_that_the_ledger_has_not_heard_of_yet_keeps_its_money(firm):
    """The worker held 25 of the 30 before it heard of the void: 5 come, and of the call's tail what it does not use."""
    firm.gives = False
    firm.do("grant.void", grant=firm.once, reason="an error")
    call = firm.hold("Ada", (firm.once_lot, 25 * CREDIT))
    firm.answer_recalls()
    assert firm.parts(firm.once_lot) == {"held": 25 * CREDIT, "voided": 5 * CREDIT}
    firm.settle(call, 24 * CREDIT)
    assert firm.parts(firm.once_lot) == {"spent": 24 * CREDIT, "voided": 6 * CREDIT}
    firm.verified()


# ---- forfeitures ----------------------------------------------------------------------------------------------------------


def test_a_forfeiture_ends_what_has_not_vested_and_only_that(firm):
    firm.now = MARCH + DAY
    told = firm.do("grant.forfeit", grant=firm.year, reason="the project ended")
    assert told["forfeited_nanos"] == 10 * CREDIT
    assert firm.parts(firm.year_lots[1]) == {}
    assert firm.parts(firm.year_lots[2]) == {"forfeited": CREDIT}
    firm.verified()


def test_forfeited_budget_returns_to_the_pool_where_the_plan_says_so():
    firm = AdasFirm(forfeited="return_to_pool")
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    firm.do("grant.forfeit", grant=firm.year, reason="the project ended")
    assert firm.reports.wallet("Engineering pool")["left_nanos"] == 12 * CREDIT
    assert firm.reports.wallet("Ada")["unvested_nanos"] == 0
    firm.verified()


# ---- clawbacks ------------------------------------------------------------------------------------------------------------


def test_what_no_plan_says_is_not_clawed_back(firm):
    problem = firm.ask("grant.clawback", grant=firm.once, reason="left").problem
    assert "plan once version 1 has no clawback" in problem


def test_a_pro_rata_clawback_takes_the_months_not_stayed():
    """A year to stay, gone on 2 March: two months stayed, 10 of 12 parts of 30 are 25."""
    firm = AdasFirm(clawback={"basis": "pro_rata", "months": 12})
    firm.now = MARCH + DAY
    told = firm.do("grant.clawback", grant=firm.once, reason="left")
    assert told["clawed_back_nanos"] == 25 * CREDIT
    assert firm.parts(firm.once_lot) == {"clawed_back": 25 * CREDIT}
    firm.verified()


def test_a_clawback_never_touches_used_credits_and_waits_for_those_in_use():
    """Of 30, 12 are used and 10 held; a full clawback takes the 8 left and the 7 that the call does not use."""
    firm = AdasFirm(clawback={"basis": "full", "months": 12})
    firm.call("Ada", firm.once_lot, 12 * CREDIT)
    call = firm.hold("Ada", (firm.once_lot, 10 * CREDIT))
    told = firm.do("grant.clawback", grant=firm.once, reason="left")
    assert told["recalled"] == {"state": "owed", "asked_nanos": 18 * CREDIT, "given_nanos": 8 * CREDIT}
    firm.settle(call, 3 * CREDIT)
    assert firm.parts(firm.once_lot) == {"spent": 15 * CREDIT, "clawed_back": 15 * CREDIT}
    firm.verified()


def test_clawing_back_twice_takes_no_more_than_once_also_when_the_member_leaves_later():
    """Two months of twelve stayed: 25 of 30, of which a second command and the leaving take nothing more."""
    firm = AdasFirm(clawback={"basis": "pro_rata", "months": 12}, windows=[{"reason": "voluntary_other", "days": 90}])
    firm.now = MARCH + DAY
    call = firm.hold("Ada", (firm.once_lot, 10 * CREDIT))
    assert firm.do("grant.clawback", grant=firm.once, reason="left")["clawed_back_nanos"] == 25 * CREDIT
    assert firm.do("grant.clawback", grant=firm.once, reason="left")["clawed_back_nanos"] == 0
    firm.settle(call, CREDIT)
    assert firm.do("grant.clawback", grant=firm.once, reason="left")["clawed_back_nanos"] == 0
    told = firm.do("member.leave", member="Ada", left_on="2026-03-02", reason="voluntary_other")
    (once,) = [one for one in told["grants"] if one["grant"] == firm.once]
    assert (once["clawed_back_nanos"], once["kept_nanos"]) == (0, 4 * CREDIT)
    assert firm.parts(firm.once_lot)["clawed_back"] == 25 * CREDIT
    firm.verified()


def test_the_last_day_counts_as_stayed():
    """Granted on 1 January with two months to stay: who leaves at the end of 28 February stayed them; a day earlier not: 30, and the 1 vested."""
    for left_on, clawed_back in (("2026-02-28", 0), ("2026-02-27", 31)):
        firm = AdasFirm(clawback={"basis": "full", "months": 2})
        firm.now = MARCH
        told = firm.do("member.leave", member="Ada", left_on=left_on)
        assert told["clawed_back_nanos"] == clawed_back * CREDIT


@pytest.mark.parametrize("recorded_at", [JANUARY + 9 * DAY, MARCH + 20 * DAY])
def test_what_vests_up_to_the_last_day_is_clawed_back_however_early_that_day_is_recorded(recorded_at):
    """Last day 15 March: the 30, and the credits of 1 February and 1 March, of which one or both have not vested when it is recorded."""
    firm = AdasFirm(clawback={"basis": "full", "months": 12})
    firm.now = recorded_at
    told = firm.do("member.leave", member="Ada", left_on="2026-03-15")
    assert (told["clawed_back_nanos"], told["forfeited_nanos"]) == (32 * CREDIT, 10 * CREDIT)
    assert firm.parts(firm.year_lots[0]) == firm.parts(firm.year_lots[1]) == {"clawed_back": CREDIT}
    firm.now = MARCH + 30 * DAY
    wallet = firm.reports.wallet("Ada")
    assert (wallet["left_nanos"], wallet["unvested_nanos"]) == (0, 0)
    firm.verified()


def test_what_vested_after_a_last_day_that_is_recorded_late_follows_from_calls_too(firm):
    """February's credit vested on 1 February, a call holds half of it, and then it turns out that 31 January was the last day."""
    firm.now = FEBRUARY + 10 * DAY
    call = firm.hold("Ada", (firm.year_lots[0], CREDIT // 2))
    firm.do("member.leave", member="Ada", left_on="2026-01-31")
    firm.settle(call, 0)
    assert firm.parts(firm.year_lots[0]) == {"forfeited": CREDIT}
    firm.verified()


def test_after_its_last_month_nothing_is_clawed_back():
    firm = AdasFirm(clawback={"basis": "full", "months": 2})
    firm.now = MARCH
    assert firm.do("grant.clawback", grant=firm.once, reason="left")["clawed_back_nanos"] == 0


# ---- leavers --------------------------------------------------------------------------------------------------------------


def test_a_leaver_without_a_window_loses_all_that_is_left_and_the_keys(firm):
    firm.do("key.create", member="Ada", name="laptop", secret_hash="11" * 32, shown_prefix="tr-ada")
    firm.now = MARCH + DAY
    told = firm.do("member.leave", member="Ada", left_on="2026-02-28", reason="involuntary_other")
    # one month had vested, eleven had not; the bonus of 30 was not used
    assert (told["forfeited_nanos"], told["kept_nanos"], told["revoked_key_count"]) == (42 * CREDIT, 0, 1)
    wallet = firm.reports.wallet("Ada")
    assert (wallet["left_nanos"], wallet["unvested_nanos"]) == (0, 0)
    firm.verified()


def test_within_the_window_of_their_reason_vested_credits_stay_and_then_expire():
    firm = AdasFirm(windows=[{"reason": "involuntary_other", "days": 30}])
    firm.do("key.create", member="Ada", name="laptop", secret_hash="11" * 32, shown_prefix="tr-ada")
    firm.now = MARCH + DAY
    told = firm.do("member.leave", member="Ada", left_on="2026-02-28", reason="involuntary_other")
    # the stipend is a working tool: it ends with the last day, the one credit that had unlocked too
    assert (told["forfeited_nanos"], told["kept_nanos"]) == (12 * CREDIT, 30 * CREDIT)
    assert told["keys_until"] == MARCH + 30 * DAY
    assert firm.reports.wallet("Ada")["left_nanos"] == 30 * CREDIT
    firm.now = MARCH + 30 * DAY
    wallet = firm.reports.wallet("Ada")
    assert (wallet["left_nanos"], wallet["expired_nanos"]) == (0, 30 * CREDIT)
    firm.verified()


def test_keys_may_be_stopped_at_once_whatever_the_window():
    firm = AdasFirm(windows=[{"reason": "involuntary_other", "days": 30}])
    firm.do("key.create", member="Ada", name="laptop", secret_hash="11" * 32, shown_prefix="tr-ada")
    told = firm.do("member.leave", member="Ada", left_on="2026-02-28", reason="involuntary_other", revoke_keys=True)
    assert (told["keys_until"], told["revoked_key_count"]) == (None, 1)
    assert [key["state"] for key in firm.reports.keys("Ada")] == ["revoked"]


def test_another_reason_has_no_window():
    firm = AdasFirm(windows=[{"reason": "voluntary_retirement", "days": 365}])
    firm.now = MARCH + DAY
    told = firm.do("member.leave", member="Ada", left_on="2026-02-28", reason="involuntary_with_cause")
    assert told["forfeited_nanos"] == 42 * CREDIT


def test_a_last_day_to_come_ends_only_what_vests_after_it(firm):
    """Known on 2 January for 31 March: what vests on 1 February and 1 March still does, until midnight after the last day."""
    firm.now = JANUARY + DAY
    told = firm.do("member.leave", member="Ada", left_on="2026-03-31")
    assert (told["forfeited_nanos"], told["keys_until"]) == (10 * CREDIT, MARCH + 31 * DAY)
    firm.now = MARCH + 20 * DAY
    assert firm.reports.wallet("Ada")["left_nanos"] == 32 * CREDIT
    firm.now = MARCH + 31 * DAY
    assert firm.reports.wallet("Ada")["left_nanos"] == 0
    firm.verified()


def test_a_reason_that_nobody_knows_is_refused_with_those_there_are(firm):
    problem = firm.ask("member.leave", member="Ada", left_on="2026-02-28", reason="bored").problem
    assert "'bored' is not a reason for leaving" in problem
    assert "voluntary_retirement" in problem


def test_nothing_is_granted_after_the_last_day(firm):
    firm.do("member.leave", member="Ada", left_on="2026-01-31")
    firm.now = FEBRUARY - 1
    assert firm.ask("grant.top_up", to="Ada", amount_nanos=CREDIT).result
    firm.now = FEBRUARY
    assert (
        firm.ask("grant.top_up", to="Ada", amount_nanos=CREDIT).problem
        == "Ada left on 2026-01-31: nothing is granted from then on"
    )
    assert "Ada left on" in firm.ask("grant.create", to="Ada", plan="once").problem


def test_an_end_that_never_comes_is_left_out(firm):
    said = firm.ask("member.leave", member="Ada", left_on="9999-12-31").problem
    assert said == "9999-12-31 is too late: dates end with 2999-12-31; leave out an end that never comes"
