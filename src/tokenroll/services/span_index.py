"""Which spans were taken as calls and which stand around calls: on disk, so that no restart and no number of them makes two of one.

A span is known by trace and span id. A framework's span ends after the client's own in it, and may come a request, an hour or a
process later; or it comes first and was taken for a call. Either way the index knows both by the time the second is there.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from tokenroll.model.instant import HOUR_MICROS, Instant
from tokenroll.model.limits import SPANS_INDEXED_MAX

NAME: Final = "spans.sqlite3"
TAKEN: Final = 1
"""It was taken as a call."""
AROUND: Final = 2
"""A call says that it stands in this span."""
_DAY_MICROS: Final = 24 * HOUR_MICROS
_PARAMETERS_MAX: Final = 500
_KEY_BYTES: Final = 24
_TABLE: Final = "CREATE TABLE IF NOT EXISTS spans (id BLOB PRIMARY KEY, flags INTEGER NOT NULL, day INTEGER NOT NULL)"
_ADD: Final = """INSERT INTO spans (id, flags, day) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET flags = flags | excluded.flags,
    day = max(day, excluded.day)"""
_BOTH: Final = "CREATE INDEX IF NOT EXISTS spans_both ON spans (id) WHERE flags = 3"


class SpanIndex:
    """The index of one spool; its caller lets one thread in at a time. Raises sqlite3.Error."""

    def __init__(self, spool: Path) -> None:
        os.close(os.open(spool / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's own are open to all
        self._connection = sqlite3.connect(spool / NAME, check_same_thread=False, isolation_level=None)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", _TABLE, _BOTH):
            self._connection.execute(statement)

    def flags(self, idents: Collection[str]) -> dict[str, int]:
        """What is known of each of these spans, named `trace:span`."""
        found: dict[str, int] = {}
        for part in _parts(list(idents)):
            marks = ",".join("?" * len(part))
            query = f"SELECT id, flags FROM spans WHERE id IN ({marks})"  # noqa: S608  question marks alone
            found |= {_name(key): flags for key, flags in self._connection.execute(query, [_key(one) for one in part])}
        return found

    def add(self, taken: Iterable[tuple[str, Instant]], around: Iterable[str]) -> None:
        """Calls with their time, and spans that stand around calls; both or nothing."""
        rows = [(_key(ident), TAKEN, at // _DAY_MICROS) for ident, at in taken]
        rows += [(_key(ident), AROUND, 0) for ident in around]
        with self._transaction():
            self._connection.executemany(_ADD, rows)
            self._connection.execute(
                "DELETE FROM spans WHERE rowid <= (SELECT max(rowid) FROM spans) - ?", (SPANS_INDEXED_MAX,)
            )

    def mistaken(self) -> dict[str, int]:
        """Spans that were taken as calls and stand around some, with the day of each, counted from 1970-01-01."""
        rows = self._connection.execute("SELECT id, day FROM spans WHERE flags = 3")
        return {_name(key): day for key, day in rows}

    def put_right(self, idents: Iterable[str]) -> None:
        """These count as calls nowhere any more."""
        with self._transaction():
            self._connection.executemany("UPDATE spans SET flags = 2 WHERE id = ?", [(_key(one),) for one in idents])

    def sync(self) -> None:
        """What is known is on stable storage: the spool's files, from which it could be told again, may go."""
        self._connection.execute("PRAGMA wal_checkpoint(FULL)")

    def close(self) -> None:
        """The file is closed."""
        self._connection.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)


class _Transaction:
    """Begun at once and committed, or rolled back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_rest: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _parts(idents: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(idents), _PARAMETERS_MAX):
        yield idents[start : start + _PARAMETERS_MAX]


def _key(ident: str) -> bytes:
    try:
        return bytes.fromhex(ident.replace(":", ""))
    except ValueError:
        return ident.encode()


def _name(key: bytes) -> str:
    told = key.hex()
    return f"{told[:32]}:{told[32:]}" if len(key) == _KEY_BYTES else key.decode()
