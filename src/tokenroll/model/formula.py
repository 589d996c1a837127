"""Formula: how the amount of a grant comes from a plan's amount and what is known of who gets it."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import name_checked, names_checked
from tokenroll.model.limits import FORMULA_PERCENT_NANOS_MAX


class FormulaKind(StrEnum):
    """`flat`: the plan's amount; `percent_of_base`: of the base pay given; `per_level`: from a table; `per_outcome`: amount × score."""

    FLAT = "flat"
    PERCENT_OF_BASE = "percent_of_base"
    PER_LEVEL = "per_level"
    PER_OUTCOME = "per_outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAmount:
    """What a grant is at one level."""

    level: str
    amount_nanos: int

    def __post_init__(self) -> None:
        name_checked(self.level, "level")
        amount_nanos_checked(self.amount_nanos, f"amount of level {self.level}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """One rule. `percent_nanos` is billionths of a percent (12.5 % is 12 500 000 000), so that a share needs no float."""

    kind: FormulaKind = FormulaKind.FLAT
    percent_nanos: int = 0
    levels: tuple[LevelAmount, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind is FormulaKind.PERCENT_OF_BASE) != (self.percent_nanos != 0):
            message = "a percent belongs to the formula percent_of_base, and to no other"
            raise ValueError(message)
        if not 0 <= self.percent_nanos <= FORMULA_PERCENT_NANOS_MAX:
            message = f"a percent of base pay is above 0 and at most {FORMULA_PERCENT_NANOS_MAX // 10**9}"
            raise ValueError(message)
        if (self.kind is FormulaKind.PER_LEVEL) != bool(self.levels):
            message = "a table of levels belongs to the formula per_level, and to no other"
            raise ValueError(message)
        names_checked(tuple(one.level for one in self.levels), "levels of the formula")
