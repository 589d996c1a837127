"""When keys were used last, for whoever asks which are unused."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from tokenroll.model.instant import Instant
from tokenroll.store.database import raw_connection

_NOTE_USE: Final = """
    INSERT INTO key_uses VALUES (?,?) ON CONFLICT(api_key_id) DO UPDATE SET used_at = excluded.used_at
    WHERE excluded.used_at > key_uses.used_at"""


def note_keys_used(connection: Connection, key_ids: Iterable[int], used_at: Instant) -> None:
    """In a transaction of its own; an older use than the one that is known changes nothing."""
    connection.rollback()
    with connection.begin():
        raw_connection(connection).executemany(_NOTE_USE, [(key_id, used_at) for key_id in key_ids])
