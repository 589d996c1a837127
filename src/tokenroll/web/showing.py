"""How pages write figures and times: exact decimals, thousands apart, the reader's own zone."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from tokenroll.model.amount import NANOS_PER_CREDIT, text_from_nanos
from tokenroll.model.instant import Instant, datetime_from_instant

THIN_SPACE: Final = "\u202f"
LEFT_DECIMALS: Final = 4
"""Decimals of the one large number; rounded down, so that a page never promises what is not there."""


def grouped(whole: int) -> str:
    """An integer with a thin space between thousands."""
    return f"{whole:,}".replace(",", THIN_SPACE)


def exact(nanos: int | None, decimals: int = 2) -> str:
    """Every decimal there is, at least `decimals` of them."""
    if nanos is None:
        return "–"
    sign = "−" if nanos < 0 else ""
    whole, _, shown = text_from_nanos(abs(nanos), decimals).partition(".")
    return f"{sign}{grouped(int(whole))}.{shown}"


def decimals_of(column: Iterable[int | None]) -> int:
    """How many decimals a column needs so that all its points stand under each other."""
    texts = (text_from_nanos(nanos, 2) for nanos in column if nanos is not None)
    return max((len(text.partition(".")[2]) for text in texts), default=2)


def rounded_down(nanos: int) -> tuple[str, str]:
    """The large number: whole credits, and LEFT_DECIMALS decimals of the rest, cut off."""
    whole, rest = divmod(nanos, NANOS_PER_CREDIT)
    return grouped(whole), f"{rest:09d}"[:LEFT_DECIMALS]


def moment(at: Instant | None, zone: str) -> str:
    """Date and time to the second in a zone."""
    return "–" if at is None else _local(at, zone).strftime("%Y-%m-%d %H:%M:%S")


def day(at: Instant | None, zone: str) -> str:
    """The date in a zone, written out."""
    return "–" if at is None else f"{_local(at, zone):%-d %B %Y}"


def hour(at: Instant | None, zone: str) -> str:
    """The hour that begins at an instant, in a zone; empty for none."""
    return "" if at is None else f"{_local(at, zone):%Y-%m-%d, %H}–{(_local(at, zone).hour + 1) % 24:02} h"


def number(text: str | None) -> int | None:
    """What an address says is a number; None for anything else."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def machine_time(at: Instant) -> str:
    """For the datetime attribute of a `time` element."""
    return datetime_from_instant(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def _local(at: Instant, zone: str) -> datetime:
    return datetime_from_instant(at).astimezone(ZoneInfo(zone))
