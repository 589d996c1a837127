from typing import Any

import pytest

from tests.cast import T0
from tokenroll.model.alert import THRESHOLDS_DEFAULT, Alert, AlertKind, AlertSubject, threshold_checked
from tokenroll.model.limit import LimitMeasure
from tokenroll.model.limits import ALERT_DESTINATIONS_MAX, ALERT_THRESHOLDS_MAX
from tokenroll.settings import DESTINATIONS_MAX, THRESHOLDS_MAX, AlertSettings


def make(**changes: Any) -> Alert:
    facts: dict[str, Any] = {
        "id": 1, "public_id": "alert_00000000000000000000000000000001", "kind": AlertKind.CROSSED, "subject": AlertSubject.LIMIT,
        "subject_id": 7, "threshold_percent": 80, "used": 85, "allowance": 100, "measure": LimitMeasure.CALLS,
        "window_start_at": T0, "recorded_at": T0,
    }  # fmt: skip
    return Alert(**facts | changes)


def test_an_alert_says_what_passed_which_threshold():
    assert make().threshold_percent == 80
    make(kind=AlertKind.TEST, subject=AlertSubject.TEST, subject_id=0, threshold_percent=0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"subject_id": 0}, "the limit of an alert"),
        ({"threshold_percent": 0}, "1 to 100 percent, not 0"),
        ({"used": -1}, "nothing below zero"),
        ({"kind": AlertKind.TEST}, "an alert of a test is a test"),
    ],
)
def test_what_no_alert_may_be_is_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        make(**changes)


def test_thresholds_are_percentages():
    assert [threshold_checked(one) for one in THRESHOLDS_DEFAULT] == [50, 80, 95]
    with pytest.raises(ValueError, match="1 to 100 percent, not 101"):
        threshold_checked(101)


def test_the_lowest_layer_repeats_what_the_model_says():
    assert AlertSettings().thresholds == THRESHOLDS_DEFAULT
    assert (THRESHOLDS_MAX, DESTINATIONS_MAX) == (ALERT_THRESHOLDS_MAX, ALERT_DESTINATIONS_MAX)
