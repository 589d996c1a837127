from typing import Any

import pytest

from tests.cast import CREDIT, make_plan
from tokenroll.model.plan_terms import (
    Access,
    Clawback,
    ClawbackBasis,
    Floor,
    ForfeitedBudget,
    LeavingTerms,
    LeavingWindow,
    PlanTerms,
    Proration,
    Rollover,
    TerminationReason,
    Thrift,
    Wording,
)
from tokenroll.model.tag import Purpose
from tokenroll.model.tax_facts import TaxFacts, UseScope


def test_what_is_for_business_alone_is_not_personal_unless_said_otherwise():
    with pytest.raises(ValueError, match=r"business alone cannot have calls that are personal .* tax\.use_scope"):
        PlanTerms(purpose=Purpose.PERSONAL, tax=TaxFacts(use_scope=UseScope.BUSINESS_ONLY))
    for terms in (
        {"purpose": Purpose.WORK, "tax": TaxFacts(use_scope=UseScope.BUSINESS_ONLY)},
        {"purpose": Purpose.PERSONAL, "tax": TaxFacts(use_scope=UseScope.PERSONAL_ALLOWED)},
        {"purpose": Purpose.PERSONAL},
    ):
        assert PlanTerms(**terms).purpose is terms["purpose"]


@pytest.mark.parametrize("what", ["calls", "tokens", "input_tokens", "output_tokens"])
@pytest.mark.parametrize(("window", "most"), [("minute", 10**9), ("day", 1_440 * 10**9)])
def test_rates_of_access_are_at_least_one(what, window, most):
    name = f"{what}_per_{window}_max"

    def access(value: int) -> Access:
        terms: dict[str, Any] = {name: value}
        return Access(**terms)

    for value in (0, -1, most + 1):
        with pytest.raises(ValueError, match=f"{what.replace('_', ' ')} per {window} of access are 1 to {most}"):
            access(value)
    assert getattr(access(most), name) == most


def test_a_plan_that_says_nothing_gives_nothing_away():
    terms = make_plan().terms
    assert terms.purpose is None
    assert terms == PlanTerms()
    assert (terms.transferable, terms.floor, terms.proration) == (False, None, Proration.NONE)
    assert terms.thrift == Thrift()
    assert (terms.thrift.cache_marking, terms.thrift.cache_key, terms.thrift.coalesce) == (False, False, False)
    assert (terms.thrift.break_loops, terms.thrift.cap_hints) == (None, False)
    assert (terms.leaving.clawback, terms.leaving.forfeited) == (None, ForfeitedBudget.RETIRE)
    assert terms.leaving.window_days(TerminationReason.INVOLUNTARY_DEATH) == 0
    assert terms.rollover.rolled_nanos(90 * CREDIT) == 0
    assert (terms.leave_of_absence.pauses_vesting, terms.leave_of_absence.pauses_stipend) == (True, False)


@pytest.mark.parametrize(("left", "rolled"), [(0, 10), (5, 10), (10, 10), (17, 17), (40, 40), (41, 40)])
def test_what_rolls_over_lies_between_the_least_and_the_most(left, rolled):
    rollover = Rollover(min_nanos=10 * CREDIT, max_nanos=40 * CREDIT)
    assert rollover.rolled_nanos(left * CREDIT) == rolled * CREDIT


def test_a_reason_has_its_window():
    terms = LeavingTerms(windows=(LeavingWindow(reason=TerminationReason.INVOLUNTARY_DEATH, days=365),))
    assert terms.window_days(TerminationReason.INVOLUNTARY_DEATH) == 365
    assert terms.window_days(TerminationReason.VOLUNTARY_OTHER) == 0


def test_the_reasons_are_those_of_the_open_cap_table():
    assert [one.value for one in TerminationReason] == [
        "voluntary_other", "voluntary_good_cause", "voluntary_retirement", "involuntary_other", "involuntary_death",
        "involuntary_disability", "involuntary_with_cause",
    ]  # fmt: skip


DEATH = LeavingWindow(reason=TerminationReason.INVOLUNTARY_DEATH, days=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Clawback(basis=ClawbackBasis.FULL, months=0), "1 to 60 months after the grant, not 0"),
        (lambda: Clawback(basis=ClawbackBasis.FULL, months=61), "1 to 60 months after the grant, not 61"),
        (lambda: LeavingWindow(reason=TerminationReason.VOLUNTARY_OTHER, days=-1), "0 to 3660 days, not -1"),
        (lambda: LeavingTerms(windows=(DEATH, DEATH)), "one window, not two"),
        (lambda: Rollover(min_nanos=2, max_nanos=1), "is not above the most"),
        (lambda: Rollover(min_nanos=-1), "the least that rolls over"),
        (lambda: Access(models=("a", "a")), "model of access: a name stands twice in a, a"),
        (lambda: Access(models=("",)), "model of access must be"),
        (lambda: Access(service_tiers=tuple(str(n) for n in range(201))), "at most 200 names, not 201"),
        (lambda: Access(calls_per_minute_max=0), "calls per minute of access are 1 to"),
        (lambda: Access(tokens_per_minute_max=10**9 + 1), "tokens per minute of access are 1 to"),
        (lambda: Floor(model="", pool="everybody"), "model of the floor"),
        (lambda: Floor(model="small", pool=""), "pool of the floor"),
        (lambda: Thrift(break_loops=2), "a loop is broken after 3 to 100 equal requests, not 2"),
        (lambda: Thrift(break_loops=101), "not 101"),
        (lambda: Wording(title=""), "title of the wording has 1 to 300"),
        (lambda: Wording(why="two\nlines"), "why of the wording has 1 to 300"),
    ],
)
def test_it_is_valid_at_birth(make, words):
    with pytest.raises(ValueError, match=words):
        make()
