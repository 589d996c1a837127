"""Instants as integer microseconds since 1970-01-01T00:00Z.

One number, no time zone to forget, the same in memory, on the tape and in a row. Zones appear only where people read.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

Instant: TypeAlias = int
"""Microseconds since the Unix epoch, UTC. Names end in `_at`; exclusive ends in `_until`."""

MICROS_PER_SECOND: Final = 1_000_000
HOUR_MICROS: Final = 3_600 * MICROS_PER_SECOND
DAY_MICROS: Final = 24 * HOUR_MICROS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
INSTANT_MAX: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999, the last one that dates can name."""


def instant_from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime. Raises ValueError for a naive one: its zone would be a guess."""
    if moment.tzinfo is None:
        message = f"{moment.isoformat()} has no time zone"
        raise ValueError(message)
    return (moment - _EPOCH) // _MICROSECOND


def datetime_from_instant(at: Instant) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=at)


def text_from_instant(at: Instant) -> str:
    """RFC 3339 in UTC, seconds at least: `2026-01-31T09:00:00Z`."""
    moment = datetime_from_instant(at)
    text = moment.replace(tzinfo=None).isoformat(timespec="seconds")
    fraction = f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""
    return f"{text}{fraction}Z"


def instant_from_text(text: str) -> Instant:
    """The instant of an RFC 3339 text with a zone. Raises ValueError for anything else."""
    return instant_from_datetime(datetime.fromisoformat(text))
