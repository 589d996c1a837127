"""What providers say in headers about when to come back: `retry-after`, rate limits with nothing left, `x-should-retry`.

Lenient on purpose: what is not understood says nothing, because these are other people's clocks and spellings (reference: gateways,
6.1, 6.4, 6.5).
"""

import email.utils
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from tokenroll.model.instant import Instant

_PART: Final = re.compile(r"(\d{1,9})(?!\d)(?:\.(\d{1,9})(?!\d))?(ms|us|µs|ns|h|m|s)?")
_NOTHING_LEFT: Final = re.compile(rb"0+|-\d+")
_MILLIS: Final = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1, "": 1000}
"""Units of a duration; a bare number is seconds, as Azure sends it. What is shorter than a millisecond is nothing."""


def _named(lines: Iterable[bytes]) -> dict[str, str]:
    """Header lines as small names and their texts; of a repeated one the last."""
    found = {}
    for line in lines:
        name, _, value = line.partition(b":")
        found[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    return found


def says_retry(lines: Iterable[bytes]) -> bool | None:
    """What `x-should-retry` says; None when it says nothing."""
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"x-should-retry":
            word = value.strip().lower()
            return True if word == b"true" else False if word == b"false" else None
    return None


def retry_after_millis(lines: Iterable[bytes], now: Instant) -> int:
    """For how long the provider asks to be left alone by `retry-after-ms` or `retry-after` (seconds or a date); 0 when it does not."""
    named = _named(lines)
    exact = named.get("retry-after-ms", "")
    if exact:
        return _duration_millis(exact + "ms" if exact[-1:].isdigit() else exact)
    text = named.get("retry-after", "")
    return _duration_millis(text) or _date_millis(text, now)


def exhausted_millis(lines: Iterable[bytes], now: Instant) -> int:
    """Until when the provider's rate limits have nothing left, in milliseconds from now; 0 when something is left of all of them."""
    named: dict[str, str] | None = None
    longest = 0
    for line in lines:
        if line.find(b"emaining") < 0 and line.find(b"EMAINING") < 0:
            continue
        name, _, value = line.partition(b":")
        lower = name.lower()
        if b"ratelimit-" not in lower or b"remaining" not in lower or not _NOTHING_LEFT.fullmatch(value.strip()):
            continue
        if named is None:
            named = _named(lines)
        reset = named.get(lower.decode("latin-1").replace("remaining", "reset"), "")
        longest = max(longest, _duration_millis(reset) or _date_millis(reset, now))
    return longest


def _duration_millis(text: str) -> int:
    """`6m0s`, `547ms`, `1h30m`, `2.5s` or bare seconds, rounded up to whole milliseconds; 0 for anything else."""
    total = 0
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return 0
        at = part.end()
        unit = _MILLIS.get(part[3] or "", 0)
        fraction = part[2] or ""
        total += int(part[1]) * unit - (-int(fraction or 0) * unit // 10 ** len(fraction))
    return total


def _date_millis(text: str, now: Instant) -> int:
    """The time until an RFC 3339 or an HTTP date; 0 for one that is past, and for anything else."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    micros = int(when.timestamp()) * 1_000_000 + when.microsecond
    return max(0, -((now - micros) // 1000))
