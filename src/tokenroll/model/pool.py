"""Pool: a wallet that belongs to a department or to the company, drawn by its members after their own lots, or before them."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.checks import id_checked


class DrawRule(StrEnum):
    """What a call takes from first: `own_first` keeps the pool for when a member's lots are used up, `pool_first` the lots for then."""

    OWN_FIRST = "own_first"
    POOL_FIRST = "pool_first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Which wallet serves which department as its pool; `department_id` None means everybody."""

    wallet_id: int
    department_id: int | None
    draw_rule: DrawRule = DrawRule.OWN_FIRST

    def __post_init__(self) -> None:
        id_checked(self.wallet_id, "wallet id")
        if self.department_id is not None:
            id_checked(self.department_id, "department id")
