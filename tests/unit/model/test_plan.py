import pytest

from tests.cast import make_plan
from tokenroll.model.enforcement import CapPolicy, Enforcement


def test_it_enforces_and_carries_nothing_unless_said():
    plan = make_plan()
    assert plan.enforcement is Enforcement.ENFORCE
    assert plan.cap_policy is CapPolicy.DENY
    assert plan.overage_nanos_max == 0
    assert plan.output_cap_tokens == 16_384


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": 0}, "plan id"),
        ({"name": ""}, "plan name"),
        ({"version": 0}, "versions count from 1"),
        ({"amount_nanos": -1}, "amount of plan engineer-stipend"),
        ({"overage_nanos_max": -1}, "overage of plan engineer-stipend"),
        ({"priority": 256}, "priority"),
        ({"output_cap_tokens": 0}, "at least 1 token"),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        make_plan(**changes)
