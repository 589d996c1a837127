"""What of prompts comes again, learnt from what was seen, and whether a provider's cache pays for it (docs/thrift.md).

Of each beginning of a prompt one keyed hash, a count and two instants are kept, for as long as the provider keeps what was written to its
cache, and in bounded number; of each kind of prompt three sums of bytes. From them follow what three ways of marking would have cost:
writing all at first sight, writing what was seen before, and writing nothing. The best of them is the one to go on with, and nothing
is the best until another is proven to be.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import (
    BEGINNINGS_REMEMBERED_MAX,
    PROMPT_CACHE_SECONDS,
    PROMPT_KINDS_REMEMBERED_MAX,
    REUSE_BYTES_MAX,
    REUSE_EVIDENCE_BYTES,
)

_LIFE_MICROS: Final = PROMPT_CACHE_SECONDS * MICROS_PER_SECOND


class Ratio(NamedTuple):
    """What input costs by what becomes of it, in one unit for all: plain, read from the cache, written to it."""

    plain: int
    read: int
    write: int


class Writing(IntEnum):
    """What of a prompt is worth writing to the cache."""

    NOTHING = 0
    SEEN = 1
    """What came before: a beginning is written when it comes the second time."""
    ALL = 2


class Tally:
    """Bytes of one kind of prompt by how often they had come before, the old ones weighing less and less."""

    __slots__ = ("again", "first", "second")

    def __init__(self) -> None:
        self.first = 0
        self.second = 0
        self.again = 0

    def add(self, first: int, second: int, again: int) -> None:
        """One prompt more."""
        self.first += first
        self.second += second
        self.again += again
        if self.first + self.second + self.again > REUSE_BYTES_MAX:
            self.first //= 2
            self.second //= 2
            self.again //= 2

    @property
    def is_evidence(self) -> bool:
        """Whether so much was seen that it says something."""
        return self.first + self.second + self.again >= REUSE_EVIDENCE_BYTES

    def writing(self, ratio: Ratio) -> Writing:
        """What would have saved most.

        Writing all of it pays exactly when the share of what comes again is above (write - plain) / ((write - plain) + (plain - read)).
        """
        gained, lost = ratio.plain - ratio.read, ratio.write - ratio.plain
        all_of_it = (self.second + self.again) * gained - self.first * lost
        seen = self.again * gained - self.second * lost
        if max(all_of_it, seen) <= 0:
            return Writing.NOTHING
        return Writing.ALL if all_of_it >= seen else Writing.SEEN


class _Beginning:
    """A beginning that was seen: how often, until when it may still be in a cache if it was written, and whether it was."""

    __slots__ = ("cached_until", "count", "seen_until")

    def __init__(self) -> None:
        self.count = 0
        self.seen_until: Instant = 0
        self.cached_until: Instant = 0


class Look(NamedTuple):
    """What is known of one prompt; places are those of its beginnings, -1 for none."""

    seen: int
    """The longest beginning that came before."""
    cached: int
    """The longest one that was written and is still kept, as far as is known."""
    tally: Tally
    """What is to be expected of its kind."""


class PromptReuse:
    """What one worker has seen of prompts."""

    __slots__ = ("_beginnings", "_tallies")

    def __init__(self) -> None:
        self._beginnings: dict[bytes, _Beginning] = {}
        self._tallies: dict[bytes, Tally] = {}

    def look(self, kinds: Sequence[bytes], beginnings: Sequence[bytes], sizes: Sequence[int], now: Instant) -> Look:
        """Notes a prompt, by the fingerprints of its beginnings and the bytes that each adds to the one before.

        `kinds` are fingerprints of what it is one of, the narrowest first: the first one of which enough was seen is believed.
        """
        seen = cached = -1
        first = second = again = 0
        for place, (fingerprint, size) in enumerate(zip(beginnings, sizes, strict=True)):
            one = self._beginning(fingerprint)
            if now >= one.seen_until:
                one.count = 0
            if one.count == 0:
                first += size
            else:
                seen = place
                if one.count == 1:
                    second += size
                else:
                    again += size
            if now < one.cached_until:
                cached = place
                one.cached_until = now + _LIFE_MICROS
            one.count += 1
            one.seen_until = now + _LIFE_MICROS
        believed: Tally | None = None
        tally = Tally()
        for kind in kinds:
            tally = self._tally(kind)
            tally.add(first, second, again)
            if believed is None and tally.is_evidence:
                believed = tally
        return Look(seen, cached, tally if believed is None else believed)

    def written(self, fingerprint: bytes, now: Instant) -> None:
        """Its provider keeps a beginning from now on."""
        one = self._beginnings.get(fingerprint)
        if one is not None:
            one.cached_until = now + _LIFE_MICROS

    def _beginning(self, fingerprint: bytes) -> _Beginning:
        """What is known of it, now the newest; the one seen longest ago makes room."""
        known = self._beginnings
        one = known.pop(fingerprint, None)
        if one is None:
            if len(known) >= BEGINNINGS_REMEMBERED_MAX:
                del known[next(iter(known))]
            one = _Beginning()
        known[fingerprint] = one
        return one

    def _tally(self, kind: bytes) -> Tally:
        known = self._tallies
        tally = known.pop(kind, None)
        if tally is None:
            if len(known) >= PROMPT_KINDS_REMEMBERED_MAX:
                del known[next(iter(known))]
            tally = Tally()
        known[kind] = tally
        return tally
