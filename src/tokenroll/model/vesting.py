"""Vesting: when a grant becomes spendable. Pay vests, tools unlock; the dates are the same.

The words are those of the Open Cap Table Coalition's vesting terms (reference: credits, §6).
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Final

from tokenroll.model.checks import name_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limits import AMOUNT_NANOS_MAX, ENTERED_AT_MAX, LOTS_PER_GRANT_MAX, VESTING_WEIGHT_MAX

AWAITED_AT: Final[Instant] = ENTERED_AT_MAX
"""When a tranche becomes spendable whose event has not happened: an instant that nobody may enter a grant or a call beyond."""


class VestingKind(StrEnum):
    """`immediate`: all at once; `periodic`: a tranche a period after an optional cliff; `dated`: on named dates.

    `event`: as named events happen, such as a milestone, whenever that is.
    """

    IMMEDIATE = "immediate"
    PERIODIC = "periodic"
    DATED = "dated"
    EVENT = "event"


class AllocationType(StrEnum):
    """How whole units are shared among tranches that they do not divide evenly (18 over 4)."""

    CUMULATIVE_ROUND_DOWN = "cumulative_round_down"
    """4-5-4-5: never more than was earned."""
    CUMULATIVE_ROUNDING = "cumulative_rounding"
    """5-4-5-4: the nearest whole unit, a half upwards."""
    FRONT_LOADED = "front_loaded"
    """5-5-4-4."""
    BACK_LOADED = "back_loaded"
    """4-4-5-5."""
    FRONT_LOADED_TO_SINGLE_TRANCHE = "front_loaded_to_single_tranche"
    """6-4-4-4."""
    BACK_LOADED_TO_SINGLE_TRANCHE = "back_loaded_to_single_tranche"
    """4-4-4-6."""
    FRACTIONAL = "fractional"
    """4.5 each: units are not kept whole."""


_OF_EQUAL_TRANCHES = frozenset({
    AllocationType.FRONT_LOADED,
    AllocationType.BACK_LOADED,
    AllocationType.FRONT_LOADED_TO_SINGLE_TRANCHE,
    AllocationType.BACK_LOADED_TO_SINGLE_TRANCHE,
})  # fmt: skip


class PeriodUnit(StrEnum):
    """Calendar units; months are `anchor + n x period`, clamped to the month's last day (law 9)."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A calendar length such as 90 days or 12 months."""

    count: int
    unit: PeriodUnit

    def __post_init__(self) -> None:
        if not 0 < self.count <= 36_500:
            message = f"a period counts 1 to 36500 {self.unit}s, not {self.count}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedShare:
    """A share of the grant, `weight` parts of the sum of all weights, that arrives at the beginning of a day of the wallet's zone."""

    on: date
    weight: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.weight <= VESTING_WEIGHT_MAX:
            message = f"the share of {self.on} weighs 1 to {VESTING_WEIGHT_MAX} parts, not {self.weight}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventShare:
    """A share of the grant, `weight` parts of the sum of all weights, that vests when an event of that name has happened."""

    event: str
    weight: int = 1

    def __post_init__(self) -> None:
        name_checked(self.event, "event of vesting")
        if set("=;") & set(self.event):  # they part name and weight, and shares, wherever a plan is written in one cell
            message = f"an event's name has no '=' and no ';', as {self.event!r} has"
            raise ValueError(message)
        if not 1 <= self.weight <= VESTING_WEIGHT_MAX:
            message = f"the share of {self.event} weighs 1 to {VESTING_WEIGHT_MAX} parts, not {self.weight}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vesting:
    """The schedule of one grant.

    Periodic: `occurrences` tranches, one a `period`; nothing before the cliff of `cliff_occurrences` periods (0: none), then what
    has accrued, then a tranche a period (48 months with a cliff of 12: 12/48, then 36 x 1/48). `day_of_month` moves the dates of
    monthly periods to that day of the month, or its last; 0 keeps the day on which vesting starts, or the last.

    By events: a tranche for each, which waits until it is said to have happened (`tokenroll grant vest`).

    Amounts are whole multiples of `unit_nanos` by `allocation`, and the last tranche carries what is less than a unit, so the
    tranches always sum to the grant.
    """

    kind: VestingKind = VestingKind.IMMEDIATE
    period: Period | None = None
    occurrences: int = 0
    cliff_occurrences: int = 0
    day_of_month: int = 0
    shares: tuple[DatedShare, ...] = ()
    events: tuple[EventShare, ...] = ()
    allocation: AllocationType = AllocationType.CUMULATIVE_ROUND_DOWN
    unit_nanos: int = 1

    def __post_init__(self) -> None:
        periodic = self.period is not None or self.occurrences or self.cliff_occurrences or self.day_of_month
        if self.kind is not VestingKind.PERIODIC and periodic:
            message = f"{self.kind} vesting has neither periods nor a cliff nor a day of the month"
            raise ValueError(message)
        if self.kind is not VestingKind.DATED and self.shares:
            message = f"{self.kind} vesting has no dates of its own"
            raise ValueError(message)
        if self.kind is not VestingKind.EVENT and self.events:
            message = f"{self.kind} vesting waits for no events"
            raise ValueError(message)
        if not 1 <= self.unit_nanos <= AMOUNT_NANOS_MAX:
            message = f"the unit of vesting is 1 to {AMOUNT_NANOS_MAX} nanos, not {self.unit_nanos}"
            raise ValueError(message)
        if self.kind is VestingKind.PERIODIC:
            self._check_periods()
        elif self.kind is VestingKind.DATED:
            self._check_shares()
        elif self.kind is VestingKind.EVENT:
            self._check_events()

    def _check_periods(self) -> None:
        if self.period is None:
            message = "periodic vesting needs its period, such as 1 month"
            raise ValueError(message)
        if not 1 <= self.occurrences <= LOTS_PER_GRANT_MAX:
            message = f"periodic vesting takes 1 to {LOTS_PER_GRANT_MAX} occurrences, not {self.occurrences}"
            raise ValueError(message)
        if not 0 <= self.cliff_occurrences <= self.occurrences:
            message = f"a cliff of {self.cliff_occurrences} periods does not fit {self.occurrences} periods of vesting"
            raise ValueError(message)
        if not 0 <= self.day_of_month <= 31:
            message = (
                f"a day of the month is 1 to 31, or 0 for the day on which vesting starts, not {self.day_of_month}"
            )
            raise ValueError(message)
        if self.day_of_month and self.period.unit is not PeriodUnit.MONTH:
            message = f"a day of the month needs periods of months, not of {self.period.unit}s"
            raise ValueError(message)

    def _check_shares(self) -> None:
        if not 1 <= len(self.shares) <= LOTS_PER_GRANT_MAX:
            message = f"dated vesting takes 1 to {LOTS_PER_GRANT_MAX} dates, not {len(self.shares)}"
            raise ValueError(message)
        days = [share.on for share in self.shares]
        for earlier, later in pairwise(days):
            if later <= earlier:
                message = f"dates of vesting ascend: {later} follows {earlier}"
                raise ValueError(message)
        self._check_weights({share.weight for share in self.shares})

    def _check_events(self) -> None:
        if not 1 <= len(self.events) <= LOTS_PER_GRANT_MAX:
            message = f"vesting by events takes 1 to {LOTS_PER_GRANT_MAX} events, not {len(self.events)}"
            raise ValueError(message)
        names = [share.event for share in self.events]
        if len(set(names)) < len(names):
            message = "an event of vesting has one share, not two"
            raise ValueError(message)
        self._check_weights({share.weight for share in self.events})

    def _check_weights(self, weights: set[int]) -> None:
        if self.allocation in _OF_EQUAL_TRANCHES and len(weights) > 1:
            message = f"{self.allocation} is for tranches of equal weight; use cumulative_round_down, cumulative_rounding or fractional"
            raise ValueError(message)
