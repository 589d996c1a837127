"""The simulated provider's prompt cache: which prefix of a prompt was seen lately, with each dialect's own rules."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

MICROS_PER_SECOND: Final = 1_000_000
LIFETIMES_MICROS: Final = {"5m": 300 * MICROS_PER_SECOND, "1h": 3_600 * MICROS_PER_SECOND}
TOKENS_MIN: Final = 1_024
"""Shorter prefixes are never cached; both providers say so."""
BLOCK_TOKENS: Final = 128
BLOCK_BYTES: Final = 4 * BLOCK_TOKENS
ENTRIES_MAX: Final = 2_000_000
"""Above it the entry used longest ago is forgotten, so that a long replay does not eat the machine."""


class Segment(NamedTuple):
    """A part of a prompt: what it says, how many tokens it counts, and whether the client marks it as the end of a prefix."""

    text: bytes
    tokens: int
    lifetime: str
    """`5m` or `1h` on a marked segment, else empty."""


class CacheSplit(NamedTuple):
    """How the input of one attempt divides; the four parts sum to the whole input."""

    fresh: int
    read: int
    write_5m: int
    write_1h: int


class PromptCache:
    """Prefixes by digest with the instant of their expiry. Reading one renews it, as providers do."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._expiries: dict[bytes, tuple[int, int]] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._expiries.clear()

    def _seen(self, key: bytes, now: int) -> bool:
        entry = self._expiries.get(key)
        if entry is None or entry[0] <= now:
            return False
        self._keep(key, now, entry[1])
        return True

    def _keep(self, key: bytes, now: int, lifetime: int) -> None:
        entries = self._expiries
        entries.pop(key, None)
        entries[key] = (now + lifetime, lifetime)
        if len(entries) > ENTRIES_MAX:
            del entries[next(iter(entries))]

    def automatic(self, model: str, segments: Sequence[Segment], total: int, *, writes: bool) -> CacheSplit:
        """OpenAI's rule: every whole block of 128 tokens from the start is cached by itself, from 1,024 tokens on.

        `total` is the input as it will be reported; what was read or written never exceeds its whole blocks.
        """
        if total < TOKENS_MIN:
            return CacheSplit(total, 0, 0, 0)
        text = b"".join([segment.text for segment in segments])
        now, lifetime = self._clock(), LIFETIMES_MICROS["5m"]
        blocks = min(total // BLOCK_TOKENS, len(text) // BLOCK_BYTES)
        chain = hashlib.blake2b(model.encode(), digest_size=16)
        found, reading = 0, True
        for index in range(blocks):
            chain.update(text[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES])
            key = chain.digest()
            reading = reading and self._seen(key, now)
            if reading:
                found += 1
            else:
                self._keep(key, now, lifetime)
        read = found * BLOCK_TOKENS
        if read < TOKENS_MIN:
            read = 0
        written = blocks * BLOCK_TOKENS - read if writes else 0
        return CacheSplit(total - read - written, read, written, 0)

    def marked(self, model: str, segments: Sequence[Segment], total: int, *, scaled: bool) -> CacheSplit:
        """Anthropic's rule: prefixes that end at a marked segment are written with its lifetime; the longest one seen is read.

        `scaled`: the client set the total itself, so the parts are the same shares of it as of what was counted.
        """
        counted = sum(segment.tokens for segment in segments)
        if not any(segment.lifetime for segment in segments) or total < TOKENS_MIN or not counted:
            return CacheSplit(total, 0, 0, 0)
        now = self._clock()
        chain = hashlib.blake2b(model.encode(), digest_size=16)
        at = read = 0
        written = {"5m": 0, "1h": 0}
        marks: list[tuple[int, str, bytes]] = []
        for segment in segments:
            chain.update(segment.text)
            at += segment.tokens
            key = chain.digest()
            if segment.lifetime:
                marks.append((at, segment.lifetime, key))
            if at >= TOKENS_MIN and self._seen(key, now):
                read = at
        covered = read
        for end, lifetime, key in marks:
            if end >= TOKENS_MIN:
                if end > covered:
                    written[lifetime] += end - covered
                    covered = end
                if end > read:
                    self._keep(key, now, LIFETIMES_MICROS[lifetime])
        if scaled:
            read, written["5m"], written["1h"] = (
                part * total // counted for part in (read, written["5m"], written["1h"])
            )
        fresh = total - read - written["5m"] - written["1h"]
        return CacheSplit(fresh, read, written["5m"], written["1h"])
