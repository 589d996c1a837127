"""An empty ledger in memory, at once: the revisions are run for the first one, and the others are copies of it.

All are of one engine, which compiles each statement once for all of them; each connection is a database of its own.
"""

import functools
import sqlite3

from sqlalchemy import Connection, Engine
from sqlalchemy.pool import NullPool

from tests.postgresql_kit import Choice, empty_writer
from tokenroll.store.database import open_writer, writer_engine


@functools.cache
def _image() -> bytes:
    connection = open_writer(None)
    image: bytes = sqlite_connection(connection).serialize()
    connection.close()
    return image


@functools.cache
def _engine() -> Engine:
    return writer_engine(None, poolclass=NullPool)


def empty_ledger() -> Connection:
    """A writing connection, as `open_writer(None)` gives one; with `--ledger postgresql` to a database of its own."""
    if Choice.postgresql:
        return empty_writer()
    connection = _engine().connect()
    sqlite_connection(connection).deserialize(_image())
    connection.rollback()
    return connection


def sqlite_connection(connection: Connection) -> sqlite3.Connection:
    """The connection underneath, for what only SQLite can do."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
