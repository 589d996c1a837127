"""Vesting: when a grant becomes spendable. Pay vests, tools unlock; the dates are the same."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.limits import LOTS_PER_GRANT_MAX


class VestingKind(StrEnum):
    """`immediate`: all at once; `monthly`: one tranche a month after an optional cliff."""

    IMMEDIATE = "immediate"
    MONTHLY = "monthly"


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
class Vesting:
    """The schedule of one grant.

    Monthly over `months` with `cliff_months` (0: none): nothing vests before the cliff, then what has accrued, then one
    tranche a month (48 months with a 12-month cliff: 12/48, then 36 x 1/48; OCF words, reference: credits, §6).
    Rounding is cumulative round-down, so the tranches always sum to the grant.
    """

    kind: VestingKind = VestingKind.IMMEDIATE
    months: int = 0
    cliff_months: int = 0

    def __post_init__(self) -> None:
        if self.kind is VestingKind.IMMEDIATE:
            if self.months or self.cliff_months:
                message = "immediate vesting has neither months nor a cliff"
                raise ValueError(message)
            return
        if not 1 <= self.months <= LOTS_PER_GRANT_MAX:
            message = f"monthly vesting takes 1 to {LOTS_PER_GRANT_MAX} months, not {self.months}"
            raise ValueError(message)
        if not 0 <= self.cliff_months <= self.months:
            message = f"a cliff of {self.cliff_months} months does not fit {self.months} months of vesting"
            raise ValueError(message)
