"""How far limits are used, in the header lines that each dialect's clients know (docs/headers.md).

Clients slow down by these lines before they are refused, so ours stand in the place of the provider's wherever a limit of ours counts
the call: the provider's own are of the company's whole account, and say nothing of what this caller may do.
"""

from functools import lru_cache
from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant, text_from_instant

REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS = range(4)
"""What a pace counts, in the providers' words: places in KINDS."""
KINDS: Final[tuple[bytes, ...]] = (b"requests", b"tokens", b"input-tokens", b"output-tokens")
OPENAI_KIND_COUNT: Final = 2
"""The first so many of KINDS have header lines there."""
_FRACTIONS: Final[tuple[bytes, ...]] = (b"s", *((b".%03d" % millis).rstrip(b"0") + b"s" for millis in range(1, 1000)))
"""By the milliseconds beyond whole seconds: how such a time ends."""
_PARTS: Final = (b"limit", b"remaining", b"reset")
_REPLACED: Final = {
    name: 1 << place
    for place, kind in enumerate(KINDS)
    for part in _PARTS
    for name in (b"x-ratelimit-%b-%b" % (part, kind), b"anthropic-ratelimit-%b-%b" % (kind, part))
}
"""The provider's lines that say what ours of a kind say, by name: the bit of that kind."""


class _Names(dict[bytes, int]):
    """A header's name as received -> the bit of its kind, 0 for any other; fills itself, because providers send the same few dozen."""

    def __missing__(self, name: bytes) -> int:
        bit = _REPLACED.get(name.lower(), 0)
        if len(self) < _NAMES_MAX:
            self[name] = bit
        return bit


_NAMES_MAX: Final = 4096
_KNOWN_NAMES: Final = _Names()


class Pace:
    """The tightest limit of a kind that counts a call: how much it allows, what is left, and when nothing of it will be used."""

    __slots__ = ("cap", "kind", "left", "restored_at")

    def __init__(self, kind: int, cap: int, left: int, restored_at: Instant) -> None:
        self.kind = kind
        self.cap = cap
        self.left = left
        self.restored_at = restored_at


def openai_lines(paces: list[Pace], now: Instant) -> bytes:
    """`x-ratelimit-…` lines: the reset is how long it takes, as Go writes durations."""
    lines = b""
    told_at, told = -1, b""
    for pace in paces:
        if pace.kind < OPENAI_KIND_COUNT:
            kind, restored_at = KINDS[pace.kind], pace.restored_at
            if restored_at != told_at:  # paces of one plan have the same windows
                told_at, told = restored_at, duration(restored_at - now)
            lines += b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %d\r\nx-ratelimit-reset-%b: %b\r\n" % (
                kind, pace.cap, kind, pace.left, kind, told,
            )  # fmt: skip
    return lines


def anthropic_lines(paces: list[Pace]) -> bytes:
    """`anthropic-ratelimit-…` lines: the reset is an instant of RFC 3339 in whole seconds."""
    lines = b""
    for pace in paces:
        kind, told = KINDS[pace.kind], _second_text(-(-pace.restored_at // MICROS_PER_SECOND))
        lines += (
            b"anthropic-ratelimit-%b-limit: %d\r\nanthropic-ratelimit-%b-remaining: %d\r\nanthropic-ratelimit-%b-reset: %b\r\n"
            % (kind, pace.cap, kind, pace.left, kind, told)
        )
    return lines


def not_replaced(lines: list[bytes], kinds: int) -> list[bytes]:
    """The provider's header lines without those that ours of these kinds (bits) stand for."""
    known = _KNOWN_NAMES
    kept = []
    for line in lines:
        told = line.find(b"imit-") >= 0 or line.find(b"IMIT-") >= 0  # most lines are of something else
        if not (told and kinds & known[line.partition(b":")[0]]):
            kept.append(line)
    return kept


def duration(micros: int) -> bytes:
    """A time as Go writes it, in milliseconds rounded up: `20ms`, `1.5s`, `6m0s`, `1h30m0s`."""
    millis = max(0, -(-micros // 1000))
    if 0 < millis < 1000:
        return b"%dms" % millis
    return _whole_seconds(millis // 1000) + _FRACTIONS[millis % 1000]


@lru_cache(maxsize=1024)
def _whole_seconds(seconds: int) -> bytes:
    """So many seconds as Go writes them, without their unit: one text serves all calls of a second."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (
        b"%dh%dm%d" % (hours, minutes, seconds)
        if hours
        else b"%dm%d" % (minutes, seconds)
        if minutes
        else b"%d" % seconds
    )


@lru_cache(maxsize=1024)
def _second_text(second: int) -> bytes:
    """A second since 1970 as Anthropic's headers name it: one text serves all calls of a window."""
    return text_from_instant(second * MICROS_PER_SECOND).encode()
