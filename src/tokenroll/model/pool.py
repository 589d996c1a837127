"""Pool: a wallet that belongs to a department or to the company, drawn by its members after their own lots."""

from dataclasses import dataclass

from tokenroll.model.checks import id_checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Which wallet serves which department as its pool; `department_id` None means everybody.

    Own lots are drawn first, then the pool. Draw rules that turn this round come with plans.
    """

    wallet_id: int
    department_id: int | None

    def __post_init__(self) -> None:
        id_checked(self.wallet_id, "wallet id")
        if self.department_id is not None:
            id_checked(self.department_id, "department id")
