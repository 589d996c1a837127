"""Alert: a threshold of a wallet's cycle or of a limit's window that was crossed, or recovered."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.checks import id_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limit import LimitMeasure

THRESHOLDS_DEFAULT = (50, 80, 95)
"""Percent: half is a hint, four fifths is time to ask for more, 95 is the last word before denials."""


class AlertSubject(StrEnum):
    """What is watched. `test` is nothing: a person asked for a message."""

    WALLET = "wallet"
    LIMIT = "limit"
    TEST = "test"


class AlertKind(StrEnum):
    """Which way the threshold was passed."""

    CROSSED = "crossed"
    RECOVERED = "recovered"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One passing of one threshold. `used` of `allowance`, in the unit of the measure, were used when it was seen."""

    id: int
    public_id: str
    kind: AlertKind
    subject: AlertSubject
    subject_id: int
    threshold_percent: int
    used: int
    allowance: int
    measure: LimitMeasure
    window_start_at: Instant
    recorded_at: Instant

    def __post_init__(self) -> None:
        id_checked(self.id, "alert id")
        if (self.subject is AlertSubject.TEST) != (self.kind is AlertKind.TEST):
            message = "an alert of a test is a test, and no other one is"
            raise ValueError(message)
        if self.subject is not AlertSubject.TEST:
            id_checked(self.subject_id, f"the {self.subject.value} of an alert")
            threshold_checked(self.threshold_percent)
        if self.used < 0 or self.allowance < 0:
            message = f"an alert tells of nothing below zero, not of {self.used} of {self.allowance}"
            raise ValueError(message)


def threshold_checked(percent: int) -> int:
    """The same percentage, proven to be 1 to 100. Raises ValueError."""
    if type(percent) is not int or not 1 <= percent <= 100:
        message = f"a threshold is 1 to 100 percent, not {percent!r}"
        raise ValueError(message)
    return percent
