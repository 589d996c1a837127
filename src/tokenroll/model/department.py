"""Department: a cost centre in a tree."""

from dataclasses import dataclass

from tokenroll.model.checks import id_checked, name_checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Department:
    """A cost centre; its members' spending is its cost as of each call. `parent_id` is None at the root."""

    id: int
    public_id: str
    name: str
    cost_centre: str
    parent_id: int | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "department id")
        name_checked(self.name, "department name")
        name_checked(self.cost_centre, "cost centre")
        if self.parent_id == self.id:
            message = f"department {self.name} cannot be its own parent"
            raise ValueError(message)
