"""Member: a person or a service account that can hold a wallet."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from tokenroll.model.checks import id_checked, name_checked
from tokenroll.model.instant import Instant

FULL_TIME_MILLIONTHS: Final = 1_000_000
"""The working time of somebody who works all of it."""


class MemberKind(StrEnum):
    """A person is paid; a service account works for a department."""

    PERSON = "person"
    SERVICE = "service"


class EmploymentType(StrEnum):
    """In which relation a person works; plans may be for some of them only, and tax asks for it."""

    EMPLOYEE = "employee"
    FIXED_TERM = "fixed_term"
    APPRENTICE = "apprentice"
    INTERN = "intern"
    CONTRACTOR = "contractor"
    AGENCY = "agency"


class MemberField(StrEnum):
    """What of a member may change, each change with its date. Departments and managers are told by their ids."""

    NAME = "name"
    EMPLOYEE_ID = "employee_id"
    KIND = "kind"
    DEPARTMENT = "department"
    LEVEL = "level"
    LOCATION = "location"
    EMPLOYMENT_TYPE = "employment_type"
    ZONE = "zone"
    HIRED_ON = "hired_on"
    LEFT_ON = "left_on"
    MANAGER = "manager"
    WORKING_TIME = "working_time_millionths"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Whoever may hold a wallet. `zone` is the IANA time zone in which their days and cycles begin.

    `employee_id` is the number by which another system knows them, and stays when their name changes. `suspended_at`: their keys
    were stopped then, and they get no new ones until it is taken back.
    """

    id: int
    public_id: str
    name: str
    kind: MemberKind
    department_id: int
    zone: str
    hired_on: date | None = None
    left_on: date | None = None
    employee_id: str | None = None
    level: str | None = None
    location: str | None = None
    employment_type: EmploymentType | None = None
    manager_id: int | None = None
    working_time_millionths: int = FULL_TIME_MILLIONTHS
    suspended_at: Instant | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "member id")
        id_checked(self.department_id, "department id")
        name_checked(self.name, "member name")
        name_checked(self.zone, "time zone")
        for text, what in ((self.employee_id, "employee id"), (self.level, "level"), (self.location, "location")):
            if text is not None:
                name_checked(text, what)
        if self.manager_id is not None and id_checked(self.manager_id, "manager id") == self.id:
            message = f"{self.name} cannot be their own manager"
            raise ValueError(message)
        if not 0 < self.working_time_millionths <= FULL_TIME_MILLIONTHS:
            message = f"working time lies above 0 and at most at 1, which is full time, not at {self.working_time_millionths} millionths"
            raise ValueError(message)
        if self.hired_on is not None and self.left_on is not None and self.left_on < self.hired_on:
            message = f"{self.name} cannot leave on {self.left_on} before being hired on {self.hired_on}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChange:
    """A field of a member that has another value from a day on. None: it said nothing, or says nothing any more."""

    field: MemberField
    was: str | None
    becomes: str | None
    effective_on: date
    recorded_at: Instant

    def __post_init__(self) -> None:
        if self.was == self.becomes:
            message = f"{self.field} is {self.was!r} already, so nothing changes"
            raise ValueError(message)
