"""Opening the ledger's database: one writer that syncs every commit, and any number of readers. A file is SQLite's, a URL PostgreSQL's.

SQLite with `synchronous=FULL` answers a commit when it is on stable storage, which is what an Ack promises. Only the holder of
the home's lock may open it for writing. What PostgreSQL does differently is in `postgresql.py`, which is loaded where one is named.
"""

import os
import shutil
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool, StaticPool

from tokenroll.ledger_place import LedgerPlace, LedgerUrl
from tokenroll.store import schema
from tokenroll.store.raw import RawConnection

PAGE_BYTES: Final = 8192
"""Of new databases. Larger pages halve what a fold over many wallets writes page by page; a database keeps what it was made with."""
CACHE_KIBIBYTES: Final = 256 * 1024
"""A million wallets' values fit, so a fold reads from memory; pages are taken only as they are used."""
WAL_BYTES: Final = 256 * 1024 * 1024
"""The write-ahead log's length before it is moved into the database: longer logs write a hot page once, not at every fold."""
FULL_BYTES: Final = 1024 * 1024
"""A disk with less free than this is called full: SQLite itself often says no more than `disk I/O error`."""
_STORAGE_CODES: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
_UNSYNCED_CODES: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
"""Extended: what was to be committed is written and not known to be on the disk. A reader after a crash may find it, or not."""
_DAMAGE_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
SCHEMA_HEAD: Final = "0016"
"""The newest migration; a database at it needs no look at Alembic."""


_RESTORE: Final = "stop `tokenroll serve`, keep ledger.db and its -wal and -shm aside, put your backup in their place, then `tokenroll journal verify`"


class SchemaError(Exception):
    """A database that this release cannot use; the message says what to do."""


class UnfitDatabaseError(SchemaError):
    """A server that must not hold a ledger: what it does not promise, and what to change."""


class LedgerTakenError(Exception):
    """Another ledger writes this database; the message says so and what to do."""


class LedgerLostError(Exception):
    """The database cannot be reached, or was and no longer is. Nothing that was not answered may be taken for done."""


def open_writer(path: LedgerPlace | None, *, factory: type[sqlite3.Connection] = sqlite3.Connection) -> Connection:
    """The writing connection, its schema brought up to date; `None` opens an empty ledger in memory.

    A file that is not there is made. Raises SchemaError for a file without a ledger in it. Transactions begin with BEGIN IMMEDIATE,
    so that a lock is refused at once and not in the middle. `factory` lets tests fail at any statement. Of a PostgreSQL it raises
    what `postgresql.writer_engine` does.
    """
    if isinstance(path, LedgerUrl):
        return _open_server(path)
    if path is not None and not path.exists():
        _make(path, factory)
    elif path is not None and path.stat().st_size == 0:  # before SQLite sees it, which would delete its log, too
        raise SchemaError(_emptied(path))
    connection = connect_writer(path, factory=factory)
    if path is not None and not schema_version(connection):
        connection.close()
        raise SchemaError(_emptied(path))
    _bring_up_to_date(connection)
    return connection


def _open_server(place: LedgerUrl) -> Connection:
    connection: Connection = _postgresql().writer_engine(place).connect()
    try:
        _refuse_newer(schema_version(connection), place)
        _bring_up_to_date(connection)
    except BaseException:
        close(connection)
        raise
    return connection


def _refuse_newer(found: str, place: LedgerUrl) -> None:
    """Two nodes may be of two releases: the older one must not write what it does not know. Raises SchemaError."""
    if found > SCHEMA_HEAD:
        message = f"the ledger at {place} has schema {found}, newer than this release, which writes {SCHEMA_HEAD}: use the newer one"
        raise SchemaError(message)


def is_empty(place: LedgerUrl) -> bool:
    """Whether a server has no ledger at that place. Raises as `open_reader` where it does not answer."""
    engine: Engine = _postgresql().reader_engine(place)
    try:
        with engine.connect() as connection:
            return not schema_version(connection)
    finally:
        engine.dispose()


def close(connection: Connection) -> None:
    """A writing connection given back for good, and what it held with it, also when the database is gone."""
    connection.close()
    connection.engine.dispose()


def _postgresql() -> ModuleType:
    """The module of PostgreSQL. Raises SchemaError where its driver is not installed."""
    try:
        from tokenroll.store import postgresql  # noqa: PLC0415 - an extra: only where a PostgreSQL is named
    except ImportError as error:
        message = "config.toml names a PostgreSQL, and its driver is not installed: pip install 'tokenroll[postgresql]'"
        raise SchemaError(message) from error
    return postgresql


def _make(path: Path, factory: type[sqlite3.Connection]) -> None:
    """A new ledger, there whole or not at all, whenever the process or its machine dies.

    It is filled under another name and gets its own when it is whole, so a file of that name without tables is always damage. What
    somebody who died has left of a half-made one is removed.
    """
    if log_of(path).exists() and log_of(path).stat().st_size:
        raise SchemaError(f"the ledger at {path} is gone, and its log is still there: {_RESTORE}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_name(f"{path.name}.new")
    remove(half)
    try:
        os.close(os.open(half, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect_writer(half, factory=factory)
        try:
            _bring_up_to_date(connection)
            connection.rollback()
            checkpoint(connection)
        finally:
            connection.close()
            connection.engine.dispose()
        half.replace(path)
    except BaseException:
        remove(half)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def log_of(path: Path) -> Path:
    """Where SQLite keeps what is committed and not yet in the database file."""
    return path.with_name(f"{path.name}-wal")


def remove(path: Path) -> None:
    """A database deleted with the files that SQLite keeps beside it, its log first: alone, a log would be taken for another's."""
    for one in (log_of(path), *(path.with_name(f"{path.name}{end}") for end in ("-shm", "-journal")), path):
        one.unlink(missing_ok=True)


def connect_writer(path: Path | None, *, factory: type[sqlite3.Connection] = sqlite3.Connection) -> Connection:
    """The same without a look at the schema: for a database that is known to be up to date, or about to be filled."""
    return writer_engine(path, factory=factory).connect()


def writer_engine(
    path: Path | None, *, factory: type[sqlite3.Connection] = sqlite3.Connection, poolclass: type[Pool] = StaticPool
) -> Engine:
    """What makes writing connections. With another pool, tests have many ledgers in memory that compile each statement once."""
    engine = create_engine(
        URL.create("sqlite", database=None if path is None else str(path)),
        poolclass=poolclass,
        connect_args={"factory": factory, "cached_statements": 256, "check_same_thread": False, "timeout": 5},
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def open_reader(path: LedgerPlace) -> Engine:
    """An engine of read-only connections, each transaction a snapshot of one instant. Raises SchemaError if there is no ledger.

    A reader never creates, locks or migrates anything; it sees what was committed when its transaction began.
    """
    engine: Engine = _postgresql().reader_engine(path) if isinstance(path, LedgerUrl) else _file_reader(path)
    try:
        with engine.connect() as connection:
            _refuse_unreadable(schema_version(connection), path)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _refuse_unreadable(found: str, place: LedgerPlace) -> None:
    """Raises SchemaError for a schema that is not this release's."""
    if not found:
        raise SchemaError(_missing(place))
    if found != SCHEMA_HEAD:
        raise SchemaError(
            f"the ledger at {place} has schema {found}, this release reads {SCHEMA_HEAD}: start the ledger once"
        )


def _file_reader(path: Path) -> Engine:
    if not path.is_file():
        raise SchemaError(f"there is no ledger at {path}: run `tokenroll init` first")
    url = URL.create("sqlite", database=f"file:{quote(str(path))}", query={"mode": "ro", "uri": "true"})
    engine = create_engine(url, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _on_read_connect)
    event.listen(engine, "begin", _on_read_begin)
    return engine


def storage_problem(error: BaseException, home: Path | None = None) -> str:
    """What is wrong with the disk or the server under the ledger, in one sentence with what to do; empty for any other error."""
    # looked up and not imported: who did not load it cannot have raised its errors
    server = sys.modules.get("tokenroll.store.postgresql")
    if server is not None and (problem := str(server.problem_of(error))):
        return problem
    cause, extended = _sqlite_code(error)
    code = extended & 0xFF  # the primary code; the other bytes say which system call it was
    if code in _DAMAGE_CODES:
        where = "the ledger" if home is None else f"the ledger of {home}"
        return f"{where} is damaged ({cause}): {_RESTORE}"
    if code not in _STORAGE_CODES:
        return ""
    place = "the ledger's disk" if home is None else f"the disk of {home}"
    if code == sqlite3.SQLITE_FULL or (
        home is not None and home.exists() and shutil.disk_usage(home).free < FULL_BYTES
    ):
        return f"{place} is full: free some space, then ask again"
    if extended in _UNSYNCED_CODES:
        return f"{place} does not keep what is written to it (fsync: {cause}): see to it before anything else"
    return f"{place} does not work ({cause}): see to its space and permissions, then ask again"


def _missing(place: LedgerPlace) -> str:
    """What is said of a place that can be read and has no tables: a server's may be new, a file is only there once it is whole."""
    if isinstance(place, LedgerUrl):
        return f"there is no ledger at {place}: run `tokenroll init` first"
    return _emptied(place)


def _emptied(path: Path) -> str:
    """What is said of a database without any table. It is never filled anew: that would hide what was in it."""
    return f"the ledger at {path} holds nothing, not even its tables: {_RESTORE}"


def is_lost(error: BaseException) -> bool:
    """Whether nobody can say any more what of the last commit is kept, so that the ledger must be closed and read anew.

    A server that went away may have kept it. A file that could not be synced holds it whole: SQLite takes it back for whoever has the
    file open, and whoever opens it first after a crash finds it done.
    """
    server = sys.modules.get("tokenroll.store.postgresql")
    if server is not None and server.is_lost(error):
        return True
    return _sqlite_code(error)[1] in _UNSYNCED_CODES


def _sqlite_code(error: BaseException) -> tuple[BaseException | None, int]:
    """What SQLite's driver raised, and its extended code; 0 for anybody else's error."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause, int(getattr(cause, "sqlite_errorcode", 0) or 0) if isinstance(cause, sqlite3.Error) else 0


def is_gone(connection: Connection) -> bool:
    """Whether a writing connection is lost: whatever is asked of it from now on is refused."""
    if connection.dialect.name == "sqlite":
        return False
    return connection.invalidated or bool(getattr(connection.connection.driver_connection, "closed", True))


def place_of(connection: Connection) -> LedgerPlace | None:
    """Where the ledger of a connection is, for another process to open; None for one in memory."""
    url = connection.engine.url
    if connection.dialect.name == "postgresql":
        place: LedgerUrl = _postgresql().place_of(url)
        return place
    found = raw_connection(connection).execute("PRAGMA database_list").fetchone()[2]
    return Path(found) if found else None


def schema_version(connection: Connection) -> str:
    """The newest migration applied; empty for a database without any."""
    if connection.dialect.name == "postgresql":
        is_there = _postgresql().has_table(connection, "alembic_version")
    else:
        query = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        is_there = connection.exec_driver_sql(query).scalar() is not None
    if not is_there:
        return ""
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() or "")


def raw_connection(connection: Connection) -> RawConnection:
    """The driver's connection underneath, for the few statements that run a hundred thousand times a second."""
    raw = connection.connection.driver_connection
    if isinstance(raw, sqlite3.Connection):
        return raw
    statements: RawConnection = _postgresql().raw_statements(raw)
    return statements


def checkpoint(connection: Connection) -> None:
    """Everything committed is in the database itself. SQLite moves it out of its log, outside a transaction only."""
    if connection.dialect.name == "sqlite":
        raw_connection(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _bring_up_to_date(connection: Connection) -> None:
    found = schema_version(connection)
    connection.rollback()
    if found == SCHEMA_HEAD:
        return
    from tokenroll.store.migrations.apply import migrate  # noqa: PLC0415 - Alembic costs 0.2 s, once per schema change

    migrate(connection)
    if connection.scalar(select(schema.lot_values.c.lot_id).where(schema.lot_values.c.lot_id == 0)) is None:
        connection.execute(schema.lot_values.insert().values(lot_id=0, spent_nanos=0))
    connection.commit()


def _on_connect(raw: sqlite3.Connection, _record: Any) -> None:
    raw.isolation_level = None  # transactions are ours: BEGIN IMMEDIATE in _on_begin
    for pragma in (
        f"page_size={PAGE_BYTES}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY",
        f"cache_size=-{CACHE_KIBIBYTES}", "trusted_schema=OFF",
    ):  # fmt: skip
        raw.execute(f"PRAGMA {pragma}").fetchall()
    (page_bytes,) = raw.execute("PRAGMA page_size").fetchone()
    raw.execute(f"PRAGMA wal_autocheckpoint={WAL_BYTES // page_bytes}").fetchall()


def _on_read_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _on_read_connect(raw: sqlite3.Connection, _record: Any) -> None:
    raw.isolation_level = None  # else each statement would be a snapshot of its own
    raw.execute("PRAGMA query_only=ON")


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
