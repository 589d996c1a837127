from typing import Any

import pytest

from tokenroll.model.classification import Classification
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.grant import GrantKind
from tokenroll.model.plan import Plan


def stipend(**changes: Any) -> Plan:
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "plan_00000000000000000000000000000001",
        "name": "engineer-stipend",
        "version": 1,
        "kind": GrantKind.STIPEND,
        "classification": Classification.TOOL,
        "amount_nanos": 150_000_000_000,
        "effective_at": 0,
    }
    return Plan(**facts | changes)


def test_it_enforces_and_carries_nothing_unless_said():
    plan = stipend()
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
        stipend(**changes)
