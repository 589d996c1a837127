"""Roll-ups as the ledger keeps them up: which settlements are summed, and the next ones."""

from collections.abc import Callable

from sqlalchemy import Connection

from tokenroll.store.cycles import CycleBook
from tokenroll.store.mirror import Mirror
from tokenroll.store.rollups import SpendSums, names_of, roll_up, rolled_through
from tokenroll.store.usage_rollups import roll_up_usage, usage_rolled_through, usage_sums_of


class Following:
    """One kind of sums, and how far the journal is in it.

    `next`: called inside a transaction, it sums the next settlements, so many at most, and says how many there were.
    """

    def __init__(
        self, connection: Connection, following: Callable[[int], int], through: Callable[[Connection], int]
    ) -> None:
        self.next = following
        self._connection = connection
        self._summed_through = through
        self._through = 0
        """A row of the journal up to which nothing is left to sum; 0: not known."""

    def lacks(self, last_seq: int) -> bool:
        """Whether something may be left of a journal that ends there."""
        return self._through < last_seq

    def came_through(self, last_seq: int, *, is_all: bool) -> None:
        """After the transaction: what is not a settlement is passed over at once the next time."""
        self._through = last_seq if is_all else self._summed_through(self._connection)

    def forget(self) -> None:
        """A transaction failed: the rows say how far it is."""
        self._through = 0


class RollUps:
    """Sums for pay runs (store/rollups.py) and for usage reports (store/usage_rollups.py)."""

    def __init__(self, connection: Connection, cycles: CycleBook, mirror: Mirror) -> None:
        self._connection = connection
        self._cycles = cycles
        self._mirror = mirror
        self.spend = Following(connection, self._next_spend, rolled_through)
        self.usage = Following(connection, self._next_usage, usage_rolled_through)
        self.reload()

    def reload(self) -> None:
        """Everything as the rows have it."""
        self._name_of = names_of(self._connection)
        self._usage_sums = usage_sums_of(self._connection)
        self.spend.forget()
        self.usage.forget()

    def _next_spend(self, limit: int) -> int:
        mirror = self._mirror
        sums = SpendSums(self._cycles, owner_of=mirror.owner, zone_of=mirror.zone, name_of=self._name_of)
        return roll_up(self._connection, sums, limit)

    def _next_usage(self, limit: int) -> int:
        return roll_up_usage(self._connection, self._usage_sums, limit)
