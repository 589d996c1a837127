"""PayCycle: the calendar rule of pay; PayRun: one run of it; PaySlip: one member's paper."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.model.limits import PAY_DAYS_AFTER_MAX


class PayCycleKind(StrEnum):
    """How long a cycle is. `quarters` is the calendar of 4-4-5 weeks and its siblings; `custom` follows a list of dates."""

    MONTHLY = "monthly"
    SEMI_MONTHLY = "semi-monthly"
    BI_WEEKLY = "bi-weekly"
    WEEKLY = "weekly"
    QUARTERS = "4-4-5"
    CUSTOM = "custom"


class YearEnd(StrEnum):
    """Where a year of 52 or 53 weeks ends: on a month's last such weekday, or on the one nearest to the month's end."""

    LAST = "last"
    NEAREST = "nearest"


class PayDayMove(StrEnum):
    """Where a pay day goes that is no working day."""

    PREVIOUS = "previous"
    NEXT = "next"
    STAY = "stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayDayRule:
    """A cycle is paid `days_after` its last day, moved as `move` says. `country` (two letters) and `subdivision` name the holidays.

    Without a country every Monday to Friday is a working day.
    """

    move: PayDayMove
    days_after: int = 0
    country: str = ""
    subdivision: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.days_after <= PAY_DAYS_AFTER_MAX:
            raise ValueError(
                f"a cycle is paid 0 to {PAY_DAYS_AFTER_MAX} days after its last one, not {self.days_after}"
            )
        if self.subdivision and not self.country:
            raise ValueError("a subdivision is of a country: name both")


PATTERNS: Final = ((4, 4, 5), (4, 5, 4), (5, 4, 4))
"""Weeks of the three periods of a quarter."""


class CustomCycle(NamedTuple):
    """One cycle of a list: what it is called and its first day. It ends before the next one begins."""

    name: str
    starts_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PayCalendar:
    """Which cycles there are from `effective_on` on. Which fields count follows from `kind`; the others keep their defaults.

    `effective_on` is the first day of one of its cycles, so that a calendar never begins in the middle of one. Weekly and bi-weekly
    cycles count from it. `year_end_*` and `weeks` are the terms of a year of weeks. A custom calendar is followed by calendar months
    from `custom_until` on, because every day must be in some cycle.
    """

    effective_on: date
    kind: PayCycleKind
    weeks: tuple[int, int, int] = PATTERNS[0]
    year_end_month: int = 12
    year_end_weekday: int = 5
    year_end: YearEnd = YearEnd.LAST
    custom: tuple[CustomCycle, ...] = ()
    custom_until: date | None = None

    def __post_init__(self) -> None:
        if self.weeks not in PATTERNS:
            raise ValueError(f"the weeks of a quarter are 4-4-5, 4-5-4 or 5-4-4, not {'-'.join(map(str, self.weeks))}")
        if not 1 <= self.year_end_month <= 12 or not 0 <= self.year_end_weekday <= 6:
            raise ValueError("a year of weeks ends in a month from 1 to 12 on a weekday from 0 (Monday) to 6 (Sunday)")
        if (self.kind is PayCycleKind.CUSTOM) != bool(self.custom) or bool(self.custom) == (self.custom_until is None):
            raise ValueError(
                "a custom calendar, and no other, has a list of cycles and the day on which the last one ends"
            )
        days = [one.starts_on for one in self.custom] + ([] if self.custom_until is None else [self.custom_until])
        if days and (days[0] != self.effective_on or days != sorted(set(days))):
            raise ValueError("the cycles of a custom calendar follow each other from the day on which it takes effect")
        if len({one.name for one in self.custom}) != len(self.custom):
            raise ValueError("two cycles of a custom calendar have the same name")


class CycleDays(NamedTuple):
    """One cycle as days: `number` orders cycles and stands in rows, `until_on` is the first day after it."""

    number: int
    name: str
    starts_on: date
    until_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PayCycle:
    """One span `[start_at, end_until)` in one zone; `name` is what people call it, such as `2026-01`."""

    kind: PayCycleKind
    name: str
    zone: str
    start_at: Instant
    end_until: Instant

    def __post_init__(self) -> None:
        if self.end_until <= self.start_at:
            message = f"pay cycle {self.name} ends before it starts"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaySlip:
    """One wallet's movements in one cycle. Opening + movements = closing, to the nano, else AssertionError.

    All amounts are of spendable credits (available, held or in suspense). `granted` is told beside them because a grant is not
    yet spendable: what becomes so is `vested`, or `transferred_in` from another wallet. `rolled_over` is the part of closing whose own
    lifetime is over, and that lives on because its plan lets it (decision 0027).
    """

    wallet_id: int
    cycle_name: str
    opening_nanos: int
    granted_nanos: int
    vested_nanos: int
    transferred_in_nanos: int = 0
    spent_nanos: int
    adjustments_nanos: int
    breakage_nanos: int
    forfeited_nanos: int
    clawed_back_nanos: int
    voided_nanos: int = 0
    transferred_out_nanos: int = 0
    closing_nanos: int
    rolled_over_nanos: int = 0
    suspense_nanos: int
    company_carried_nanos: int
    call_count: int
    next_vest_at: Instant | None
    next_vest_nanos: int
    next_expiry_at: Instant | None
    next_expiry_nanos: int

    def __post_init__(self) -> None:
        closing = (
            self.opening_nanos
            + self.vested_nanos
            + self.transferred_in_nanos
            - self.spent_nanos
            - self.adjustments_nanos
            - self.breakage_nanos
            - self.forfeited_nanos
            - self.clawed_back_nanos
            - self.voided_nanos
            - self.transferred_out_nanos
        )
        if closing != self.closing_nanos:
            message = (
                f"pay slip of wallet {self.wallet_id} for {self.cycle_name}: "
                f"opening + movements = {closing}, but closing is {self.closing_nanos}"
            )
            raise AssertionError(message)
