"""Approver: who may grant top-ups, to whom, and up to how much."""

from dataclasses import dataclass

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked
from tokenroll.model.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """A member who may approve requests from a department and those below it (None: from everybody), each up to `once_nanos_max`.

    `monthly_nanos_max` bounds what they approve in a calendar month of the company's zone, delegates' approvals included; None: no bound.
    """

    id: int
    member_id: int
    department_id: int | None
    once_nanos_max: int
    monthly_nanos_max: int | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "approver id")
        id_checked(self.member_id, "member id")
        if self.department_id is not None:
            id_checked(self.department_id, "department id")
        if amount_nanos_checked(self.once_nanos_max, "limit of one approval") == 0:
            message = "who may approve nothing is no approver: give a limit above 0"
            raise ValueError(message)
        if self.monthly_nanos_max is not None:
            amount_nanos_checked(self.monthly_nanos_max, "limit of a month's approvals")

    def covers(self, departments: frozenset[int]) -> bool:
        """Whether it is for a member whose department and its ancestors are these."""
        return self.department_id is None or self.department_id in departments

    def left_nanos(self, approved_nanos: int) -> int:
        """The most that one more approval may be, after so much was approved this month."""
        if self.monthly_nanos_max is None:
            return self.once_nanos_max
        return max(0, min(self.once_nanos_max, self.monthly_nanos_max - approved_nanos))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """While it lasts, `to_member_id` may approve as `from_member_id` may, within the same limits; never their own requests."""

    id: int
    from_member_id: int
    to_member_id: int
    effective_at: Instant
    expires_at: Instant

    def __post_init__(self) -> None:
        id_checked(self.id, "delegation id")
        if self.from_member_id == self.to_member_id:
            message = "nobody delegates to themselves"
            raise ValueError(message)
        if self.expires_at <= self.effective_at:
            message = "a delegation would end before it begins"
            raise ValueError(message)
