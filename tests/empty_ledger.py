"""An empty ledger in memory, at once: the revisions are run for the first one, and the others are copies of it."""

import functools

from sqlalchemy import Connection

from tokenroll.store.database import connect_writer, open_writer, raw_connection


@functools.cache
def _image() -> bytes:
    connection = open_writer(None)
    image: bytes = raw_connection(connection).serialize()
    connection.close()
    return image


def empty_ledger() -> Connection:
    """A writing connection, as `open_writer(None)` gives one."""
    connection = connect_writer(None)
    raw_connection(connection).deserialize(_image())
    connection.rollback()
    return connection
