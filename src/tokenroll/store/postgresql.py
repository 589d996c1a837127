"""The ledger in PostgreSQL: one writer that holds the database's advisory lock, and readers of one instant each.

The lock belongs to the session that writes, so whoever lost the connection has lost the lock and its open transaction with it: there
is no moment in which two ledgers write. A lost connection is therefore never made again in a writer's life; its process ends, and the
next one reads what was committed. This module is loaded only where a PostgreSQL is named.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import StatementError
from sqlalchemy.pool import QueuePool, StaticPool

from tokenroll.ledger_place import LedgerUrl
from tokenroll.store.database import LedgerLostError, LedgerTakenError, UnfitDatabaseError
from tokenroll.store.raw import RawCursor

WRITER_LOCK: Final = 0x746F6B656E726F6C
"""`tokenrol` as an integer: the advisory lock of whoever writes this database's ledger."""
VERSION_MIN: Final = 140_000
CONNECT_SECONDS: Final = 10
KEEPALIVE_SECONDS: Final = 10
"""After so long without a word the other side is asked whether it lives, so that a dead ledger's lock is soon free."""
READERS_MAX: Final = 16
_LISTED: Final = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()"
_INT8_ARRAY_OID: Final = 1016
_LOST_STATES: Final = ("08", "57P")
"""SQLSTATE classes of a server that went away or sends everybody away."""
_STORAGE_STATES: Final = {
    "53100": "the disk under the ledger's database is full: free some space, then ask again",
    "53200": "the ledger's database is out of memory: give it more, then ask again",
    "53300": "the ledger's database has no connection left: raise max_connections, then ask again",
    "58030": "the disk under the ledger's database does not work: see to it, then ask again",
    "25006": "the ledger's database takes no writes now (a replica, or set to read only): name the one that does",
    "42501": "this role may not do that in the ledger's database: see docs/postgresql.md for what each role needs",
}
_DAMAGE_STATES: Final = frozenset({"XX001", "XX002"})


class RawStatements:
    """psycopg's connection as `raw.RawConnection`: its marks for values are written into the statement, once for each."""

    __slots__ = ("psycopg",)

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.psycopg = connection

    def execute(self, statement: str, values: Any = (), /) -> RawCursor:
        """One statement."""
        return self.psycopg.execute(_marked(statement), values or None)

    def executemany(self, statement: str, rows: Iterable[Any], /) -> None:
        """The same statement for each row, sent together. Raises OverflowError for a number that no row takes, as sqlite3 does."""
        try:
            with self.psycopg.cursor() as cursor:
                cursor.executemany(_marked(statement), rows)
        except psycopg.errors.NumericValueOutOfRange as error:
            raise OverflowError(_first_line(error)) from error


@lru_cache(maxsize=512)
def _marked(statement: str) -> bytes:
    named = re.sub(r"(?<![:\w]):([a-z_]+)", r"%(\1)s", statement.replace("%", "%%"))
    return named.replace("?", "%s").encode()


class Int8s:
    """A whole `bigint[]` in PostgreSQL's binary form."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _Int8sDumper(Dumper):
    format = Format.BINARY
    oid = _INT8_ARRAY_OID

    def dump(self, obj: Int8s) -> bytes:
        return obj.data


class _WholeNumberLoader(Loader):
    """What sums of bigint are: numeric, and whole. Anything else would be a float in the books, and is refused."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


class _TruthDumper(Dumper):
    """`1` or `0` without a type: the schema keeps truths in columns of integers, and the server takes these for a boolean, too."""

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


def writer_engine(place: LedgerUrl) -> Engine:
    """An engine of one connection for as long as it lives: that one holds the lock, and no other ever takes its place."""
    engine = create_engine(_url(place), poolclass=StaticPool, connect_args=_CONNECT)
    connected = False

    def connect(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
        nonlocal connected
        if connected:
            raise LedgerLostError(
                f"the connection to {place} was lost, and the last change was made or was not: repeat it with the same id"
            )
        raw = _connected(place, arguments, options)
        try:
            _prepare_writer(raw, place)
        except BaseException:
            raw.close()
            raise
        connected = True
        return raw

    event.listen(engine, "do_connect", connect)
    return engine


def reader_engine(place: LedgerUrl) -> Engine:
    """An engine of read-only connections. Each transaction is one snapshot (REPEATABLE READ READ ONLY)."""
    engine = create_engine(
        _url(place),
        poolclass=QueuePool,
        pool_size=2,
        max_overflow=READERS_MAX - 2,
        pool_pre_ping=True,
        connect_args=_CONNECT,
    )

    def connect(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
        raw = _connected(place, arguments, options)
        raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        raw.read_only = True
        return raw

    event.listen(engine, "do_connect", connect)
    return engine


def raw_statements(driver_connection: Any) -> RawStatements:
    """The connection underneath for statements of the common kind."""
    assert isinstance(driver_connection, psycopg.Connection)
    return RawStatements(driver_connection)


def place_of(url: URL) -> LedgerUrl:
    """The place that an engine was made for."""
    return LedgerUrl(url.set(drivername="postgresql").render_as_string(hide_password=False))


def has_table(connection: Connection, name: str) -> bool:
    """Whether the ledger's schema has such a table."""
    return connection.exec_driver_sql("SELECT to_regclass(%s)", (name,)).scalar() is not None


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the connection is gone: then nobody knows whether a commit under way was done."""
    cause = error.orig if isinstance(error, StatementError) else error
    if isinstance(cause, LedgerLostError):
        return True
    if not isinstance(cause, psycopg.Error):
        return False
    state = cause.sqlstate or ""
    # without a state the server said nothing at all: the words are libpq's own, about the connection
    return state.startswith(_LOST_STATES) or (not state and isinstance(cause, psycopg.OperationalError))


def problem_of(error: BaseException) -> str:
    """What is wrong with the database, in one sentence with what to do; empty for any other error."""
    cause = error.orig if isinstance(error, StatementError) else error
    if isinstance(cause, LedgerLostError | LedgerTakenError | UnfitDatabaseError):
        return str(cause)
    if not isinstance(cause, psycopg.Error):
        return ""
    state = cause.sqlstate or ""
    if state in _DAMAGE_STATES:
        return f"the ledger's database is damaged ({_first_line(cause)}): restore your backup, then `tokenroll journal verify`"
    if is_lost(error):
        return f"the ledger's database does not answer ({_first_line(cause)}): see that it runs, then ask again"
    return _STORAGE_STATES.get(state, "")


_CONNECT: Final = {
    "connect_timeout": CONNECT_SECONDS, "application_name": "tokenroll", "keepalives": 1,
    "keepalives_idle": KEEPALIVE_SECONDS, "keepalives_interval": KEEPALIVE_SECONDS, "keepalives_count": 3,
}  # fmt: skip


def _url(place: LedgerUrl) -> URL:
    return make_url(place.text).set(drivername="postgresql+psycopg")


def _connected(place: LedgerUrl, arguments: Any, options: dict[str, Any]) -> "psycopg.Connection[Any]":
    """A new connection that speaks the schema's types. Raises LedgerLostError, or UnfitDatabaseError for what waiting does not mend."""
    try:
        raw = psycopg.connect(*arguments, **options)
    except psycopg.OperationalError as error:
        said = _first_line(error)
        if re.search(r"authentication failed|no pg_hba|does not exist|no password supplied|permission denied", said):
            raise UnfitDatabaseError(
                f"{place} does not let us in ({said}): see to user, password and database in config.toml"
            ) from error
        if re.search(r"invalid \S+ value|does not support SSL|certificate", said):
            raise UnfitDatabaseError(
                f"{place} cannot be reached so ({said}): see to the parameters of its URL"
            ) from error
        raise LedgerLostError(f"{place} does not answer ({said}): see that it runs") from error
    except psycopg.ProgrammingError as error:  # before anything was sent
        raise UnfitDatabaseError(
            f"{place} cannot be reached so ({_first_line(error)}): see to the parameters of its URL"
        ) from error
    raw.adapters.register_loader("numeric", _WholeNumberLoader)
    raw.adapters.register_dumper(bool, _TruthDumper)
    raw.adapters.register_dumper(Int8s, _Int8sDumper)
    return raw


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _prepare_writer(raw: "psycopg.Connection[Any]", place: LedgerUrl) -> None:
    """The session promises what an Ack does, and is the only one that writes."""
    raw.autocommit = True
    if raw.info.server_version < VERSION_MIN:
        raise UnfitDatabaseError(
            f"{place} is PostgreSQL {raw.info.server_version // 10_000}: tokenroll needs 14 or newer"
        )
    (backend, following) = raw.execute("SELECT pg_backend_pid(), pg_is_in_recovery()").fetchone() or (0, True)
    if following:
        raise UnfitDatabaseError(f"{place} follows another server and takes no writes: name the primary")
    if backend != raw.info.backend_pid:
        raise UnfitDatabaseError(
            f"a pooler stands between the ledger and {place}, and may give its session to others: connect the ledger directly"
        )
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        raw.execute(f"SET {name} = 0")  # a fold takes as long as it takes
    for name, value in (("tcp_keepalives_idle", KEEPALIVE_SECONDS), ("tcp_keepalives_interval", KEEPALIVE_SECONDS)):
        raw.execute(f"SET {name} = {value}")
    _refuse_weak(raw, place)
    (held,) = raw.execute("SELECT pg_try_advisory_lock(%s)", (WRITER_LOCK,)).fetchone() or (False,)
    if not held:
        raise LedgerTakenError(
            f"another ledger writes {place}: one at a time may; stop it, or wait until the server has noticed that it died"
        )
    (listed,) = raw.execute(_LISTED).fetchone() or (0,)
    if not listed:
        raise UnfitDatabaseError(
            f"{place} grants advisory locks and keeps none, so two ledgers could write: use PostgreSQL itself"
        )
    # a report's arrays look dear to the planner, and making machine code for each costs more than it saves
    raw.execute("SET jit = off")
    raw.autocommit = False


def _refuse_weak(raw: "psycopg.Connection[Any]", place: LedgerUrl) -> None:
    """What is answered must be on stable storage, and read back as it was written. Raises UnfitDatabaseError."""
    if raw.info.parameter_status("server_encoding") != "UTF8":
        raise UnfitDatabaseError(
            f"{place} is not encoded in UTF8: make it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if _shown(raw, "synchronous_commit") != "remote_apply":  # which promises more, and may be wanted for readers
        raw.execute("SET synchronous_commit = on")
    wanted = {"synchronous_commit": ("on", "remote_apply"), "fsync": ("on",), "full_page_writes": ("on",)}
    for name, values in wanted.items():
        found = _shown(raw, name)
        if found not in values:
            raise UnfitDatabaseError(
                f"{place} has {name} = {found}: a commit would be answered before it is safe, so set it to on"
            )


def _shown(raw: "psycopg.Connection[Any]", name: str) -> str:
    (value,) = raw.execute(f"SHOW {name}").fetchone() or ("",)
    return str(value)
