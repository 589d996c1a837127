"""A refill has an amount below which it comes, bounds and an end."""

from datetime import time
from typing import Any

import pytest

from tokenroll.model.refill import Refill

FACTS: dict[str, Any] = {
    "id": 1, "public_id": "refill_1", "wallet_id": 2, "below_nanos": 5, "amount_nanos": 20, "cycle_nanos_max": 60,
    "cool_off_seconds": 3_600, "effective_at": 100, "expires_at": 200,
}  # fmt: skip


def test_a_refill_may_have_hours_over_midnight():
    assert Refill(**FACTS, from_time=time(20), until_time=time(6)).until_time == time(6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"below_nanos": 0}, "neither is 0"),
        ({"amount_nanos": 0}, "neither is 0"),
        ({"cycle_nanos_max": 19}, "none would ever come"),
        ({"cool_off_seconds": 31 * 86_400 + 1}, "a cool-off lasts 0 to 2678400 seconds"),
        ({"expires_at": 100}, "would end before it begins"),
        ({"from_time": time(20)}, "from one time until another"),
        ({"from_time": time(20), "until_time": time(20)}, "from one time until another"),
    ],
)
def test_what_is_no_refill_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Refill(**FACTS | change)
