"""An empty ledger in memory, at once: the revisions are run for the first one, and the others are copies of it.

All are of one engine, which compiles each statement once for all of them; each connection is a database of its own.
"""

import functools

from sqlalchemy import Connection, Engine
from sqlalchemy.pool import NullPool

from tokenroll.store.database import open_writer, raw_connection, writer_engine


@functools.cache
def _image() -> bytes:
    connection = open_writer(None)
    image: bytes = raw_connection(connection).serialize()
    connection.close()
    return image


@functools.cache
def _engine() -> Engine:
    return writer_engine(None, poolclass=NullPool)


def empty_ledger() -> Connection:
    """A writing connection, as `open_writer(None)` gives one."""
    connection = _engine().connect()
    raw_connection(connection).deserialize(_image())
    connection.rollback()
    return connection
