"""Member: a person or a service account that can hold a wallet."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tokenroll.model.checks import id_checked, name_checked


class MemberKind(StrEnum):
    """A person is paid; a service account works for a department."""

    PERSON = "person"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Whoever may hold a wallet. `zone` is the IANA time zone in which their days and cycles begin."""

    id: int
    public_id: str
    name: str
    kind: MemberKind
    department_id: int
    zone: str
    hired_on: date | None = None
    left_on: date | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "member id")
        id_checked(self.department_id, "department id")
        name_checked(self.name, "member name")
        name_checked(self.zone, "time zone")
        if self.hired_on is not None and self.left_on is not None and self.left_on < self.hired_on:
            message = f"{self.name} cannot leave on {self.left_on} before being hired on {self.hired_on}"
            raise ValueError(message)
