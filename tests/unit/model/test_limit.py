from typing import Any

import pytest

from tests.cast import CREDIT, T0
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.limit import Degrade, Limit, LimitMeasure, LimitOverride, LimitScope, WindowKind


def ada_daily(**changes: Any) -> Limit:
    """Ada may use 20 credits a day."""
    facts: dict[str, Any] = {
        "id": 1, "public_id": "limit_00000000000000000000000000000001", "name": "ada-daily", "scope": LimitScope.MEMBER,
        "subject_id": 7, "window": WindowKind.DAY, "cap": 20 * CREDIT, "effective_at": T0,
    }  # fmt: skip
    return Limit(**facts | changes)


def test_a_limit_refuses_what_does_not_fit_unless_told_otherwise():
    limit = ada_daily()
    assert (limit.enforcement, limit.degrade, limit.measure) == (
        Enforcement.ENFORCE,
        Degrade.DENY,
        LimitMeasure.CREDITS,
    )
    assert limit.expires_at is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "ada täglich"}, "travels in headers, so it must be ASCII"),
        ({"name": ""}, "must be 1 to 200 printable characters"),
        ({"subject_id": 0}, "the member of limit ada-daily must be a positive"),
        ({"scope": LimitScope.COMPANY}, "names no company by id"),
        ({"scope": LimitScope.MODEL, "subject_id": 0}, "scope model must name its model"),
        ({"scope": LimitScope.TAG, "subject_id": 0}, "scope tag must name its tag"),
        ({"window": WindowKind.ROLLING, "window_seconds": 59}, "must last 60 to 31622400 seconds, not 59"),
        ({"window_seconds": 60}, "a window of one day has the length that the calendar gives it"),
        ({"cap": -1}, "cap must be between 0 and 1000000000000000000 of its unit, not -1"),
        ({"cap": 1.5}, "not 1.5"),
        ({"degrade": Degrade.CLAMP, "measure": LimitMeasure.CALLS}, "a limit of calls cannot clamp"),
        ({"degrade": Degrade.CHEAPER_MODEL}, "a cheaper model is named exactly when"),
        ({"cheaper_model": "haiku"}, "a cheaper model is named exactly when"),
        ({"degrade": Degrade.CHEAPER_MODEL, "cheaper_model": "opus", "model": "opus"}, "another one than opus"),
        ({"degrade": Degrade.OVERAGE}, "an overage above zero is named exactly when"),
        ({"overage": 5}, "an overage above zero is named exactly when"),
        ({"expires_at": T0}, "ends before it starts"),
    ],
)
def test_what_no_limit_may_be_is_refused_at_birth(changes, says):
    with pytest.raises(ValueError, match=r"limit|window|cap|model|overage|member") as refused:
        ada_daily(**changes)
    assert says in str(refused.value)


def test_an_override_ends_after_it_starts():
    LimitOverride(id=1, limit_id=1, cap=0, effective_at=T0, expires_at=T0 + 1)
    with pytest.raises(ValueError, match="must end after it starts"):
        LimitOverride(id=1, limit_id=1, cap=0, effective_at=T0, expires_at=T0)
