"""What the few statements that run a hundred thousand times a second need of a database's own connection, whichever it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]


class RawCursor(Protocol):
    """The rows of a statement."""

    def fetchone(self) -> Any:
        """The next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """Every row that is left."""

    def __iter__(self) -> Iterator[Any]: ...


class RawConnection(Protocol):
    """Statements with `?` for values in order, or `:name` for named ones, in words that both databases know.

    sqlite3's own connection is one; `postgresql.py` makes psycopg's another.
    """

    def execute(self, statement: str, values: Any = ..., /) -> RawCursor:
        """One statement."""

    def executemany(self, statement: str, rows: Iterable[Any], /) -> Any:
        """The same statement for each row."""
