"""A usage event is the same noun whoever tells it."""

from typing import Any

import pytest

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import Billing, UsageEvent


def event(**changes: Any) -> UsageEvent:
    facts: dict[str, Any] = {
        "source": "claude-code",
        "event_id": "msg-alpha-1:req-alpha-1",
        "admitted_at": 1_767_952_800_000_000,
        "provider": "anthropic",
        "requested_model": "claude-sonnet-4-20250514",
        "usage": Usage(input_tokens=100, output_tokens=50),
    }
    return UsageEvent(**{**facts, **changes})


def test_what_nobody_told_is_not_zero():
    told = event()
    assert told.list_cost_nanos is None
    assert told.charge_nanos is None
    assert told.billing is Billing.METERED
    assert told.usage.cache_read_tokens is None


def test_the_model_that_answered_is_the_one_that_costs():
    assert event().model == "claude-sonnet-4-20250514"
    assert event(resolved_model="claude-sonnet-4-5").model == "claude-sonnet-4-5"
    assert event(resolved_model="claude-sonnet-4-5", answered_model="claude-haiku-4-5").model == "claude-haiku-4-5"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": ""}, "source of usage"),
        ({"event_id": "x\ny"}, "event id"),
        ({"admitted_at": -1}, "admitted_at"),
        ({"billed_cost_nanos": 2 * 10**18}, "billed cost"),
        ({"charge_nanos": -(2 * 10**18)}, "charge"),
        ({"tags": ("a,b",)}, "without a comma"),
        ({"ended_at": 2**63}, "ended_at"),
        ({"first_byte_at": -1}, "first_byte_at"),
        ({"requested_model": "claude-\x1b[31mred"}, "printable"),
        ({"tags": tuple(f"tag{n}" for n in range(17))}, "at most 16 tags"),
    ],
)
def test_what_cannot_be_is_refused_at_birth(changes: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        event(**changes)


def test_a_credit_note_may_lower_what_was_billed():
    assert event(billed_cost_nanos=-5).billed_cost_nanos == -5
