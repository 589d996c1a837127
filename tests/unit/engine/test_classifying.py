import pytest

from tests.cast import make_plan
from tokenroll.engine.classifying import objections
from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind


@pytest.mark.parametrize("kind", [GrantKind.SIGNING_BONUS, GrantKind.PERFORMANCE_BONUS, GrantKind.SPOT_BONUS])
def test_a_tool_plan_that_rewards_is_pay(kind):
    (told,) = objections(make_plan(kind=kind, classification=Classification.TOOL))
    assert told.startswith(f"a {kind} rewards the person, so it is pay and no working tool (rule: bonus kinds")
    assert "classify the plan as compensation" in told


@pytest.mark.parametrize("kind", list(GrantKind))
def test_pay_may_be_of_any_kind(kind):
    assert objections(make_plan(kind=kind, classification=Classification.COMPENSATION)) == ()


@pytest.mark.parametrize("kind", [GrantKind.STIPEND, GrantKind.TOP_UP, GrantKind.ADJUSTMENT])
def test_a_tool_plan_may_serve_the_work(kind):
    assert objections(make_plan(kind=kind, classification=Classification.TOOL)) == ()
