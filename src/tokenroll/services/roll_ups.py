"""Roll-ups as the ledger keeps them up: which settlements are summed, and the next ones."""

from sqlalchemy import Connection

from tokenroll.store.cycles import CycleBook
from tokenroll.store.mirror import Mirror
from tokenroll.store.rollups import SpendSums, names_of, roll_up, rolled_through
from tokenroll.store.usage_rollups import roll_up_usage, usage_rolled_through, usage_sums_of


class Following:
    """One kind of sums, and how far the journal is in it. `next` is called inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._through = 0
        """A row of the journal up to which nothing is left to sum; 0: not known."""

    def lacks(self, last_seq: int) -> bool:
        """Whether something may be left of a journal that ends there."""
        return self._through < last_seq

    def next(self, limit: int) -> int:
        """The next settlements summed, so many at most; how many there were."""
        raise NotImplementedError

    def came_through(self, last_seq: int, *, is_all: bool) -> None:
        """After the transaction: what is not a settlement is passed over at once the next time."""
        self._through = last_seq if is_all else self._summed_through()

    def reload(self) -> None:
        """Everything as the rows have it."""
        self._through = 0

    def _summed_through(self) -> int:
        raise NotImplementedError


class _Spend(Following):
    """For pay runs (store/rollups.py)."""

    def __init__(self, connection: Connection, cycles: CycleBook, mirror: Mirror) -> None:
        super().__init__(connection)
        self._cycles = cycles
        self._mirror = mirror
        self._name_of = names_of(connection)

    def next(self, limit: int) -> int:
        mirror = self._mirror
        sums = SpendSums(self._cycles, owner_of=mirror.owner, zone_of=mirror.zone, name_of=self._name_of)
        return roll_up(self._connection, sums, limit)

    def reload(self) -> None:
        super().reload()
        self._name_of = names_of(self._connection)

    def _summed_through(self) -> int:
        return rolled_through(self._connection)


class _Usage(Following):
    """For usage reports (store/usage_rollups.py)."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._sums = usage_sums_of(connection)

    def next(self, limit: int) -> int:
        return roll_up_usage(self._connection, self._sums, limit)

    def reload(self) -> None:
        super().reload()
        self._sums = usage_sums_of(self._connection)

    def _summed_through(self) -> int:
        return usage_rolled_through(self._connection)


class RollUps:
    """Both kinds of a ledger."""

    def __init__(self, connection: Connection, cycles: CycleBook, mirror: Mirror) -> None:
        self.spend: Following = _Spend(connection, cycles, mirror)
        self.usage: Following = _Usage(connection)

    def reload(self) -> None:
        """After a transaction that failed."""
        self.spend.reload()
        self.usage.reload()
