"""Eligibility: for whom a plan is. What is not said excludes nobody."""

from dataclasses import dataclass
from datetime import date

from tokenroll.model.checks import names_checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Eligibility:
    """Somebody is eligible who fits every line that is said: one of its names, and hired from a day on and until another.

    A department stands for all below it. `hired_until` is exclusive.
    """

    departments: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    employment_types: tuple[str, ...] = ()
    hired_from: date | None = None
    hired_until: date | None = None

    def __post_init__(self) -> None:
        for what in ("departments", "levels", "locations", "employment_types"):
            names_checked(getattr(self, what), f"{what} of eligibility")
        if self.hired_from is not None and self.hired_until is not None and self.hired_until <= self.hired_from:
            message = f"nobody is hired from {self.hired_from} and before {self.hired_until}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """What eligibility is asked of: a member as of one day. `departments` is their own and those above it, own first."""

    departments: tuple[str, ...]
    level: str | None = None
    location: str | None = None
    employment_type: str | None = None
    hired_on: date | None = None
