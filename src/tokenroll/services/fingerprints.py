"""Fingerprints: by them equal requests and equal beginnings of prompts are known again, and by nobody else (DESIGN §4 law 10).

They are keyed hashes of whole requests or of whole parts of prompts, never of short texts alone, and live in the memory of one worker. Their key comes
from the home's secret and from the pay cycle: with the next cycle all of them are new, so nothing ties two cycles together.
"""

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

from tokenroll.model.instant import Instant

FINGERPRINT_BYTES: Final = 16
"""So long that no two requests of a cycle meet by chance, and a table of many thousands stays small."""
_PURPOSE: Final = b"tokenroll fingerprints of one pay cycle\0"
_LENGTH: Final = struct.Struct(">Q")
"""Before each part: two different ways to cut the same bytes into parts have different fingerprints."""
_SECRETS_MAX: Final = 64
"""Cycles whose keys are remembered: zones and calendars make a few at a time."""


class Chain:
    """Fingerprints of longer and longer beginnings: each stands for its part and for all parts before it."""

    __slots__ = ("_hash",)

    def __init__(self, secret: bytes, scope: Iterable[bytes]) -> None:
        # where the processor has instructions for it, half the price of BLAKE2; cut to half, nobody can go on from what is told of it
        self._hash = hashlib.sha256(secret)
        for part in scope:
            self.add(part)

    def add(self, part: "bytes | memoryview") -> None:
        """One part more."""
        self._hash.update(_LENGTH.pack(len(part)))
        self._hash.update(part)

    def fingerprint(self) -> bytes:
        """Of all parts up to here."""
        return self._hash.digest()[:FINGERPRINT_BYTES]


class Fingerprints:
    """Whoever makes fingerprints, with the keys of the cycles that they belong to."""

    __slots__ = ("_pepper", "_secrets")

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper
        self._secrets: dict[Instant, bytes] = {}

    def chain(self, cycle_ends_at: Instant, scope: Iterable[bytes]) -> Chain:
        """An empty chain within a scope, such as a key and a model: equal parts in two scopes are never known to be equal.

        `cycle_ends_at` is the end of the wallet's pay cycle, which names it.
        """
        secret = self._secrets.get(cycle_ends_at)
        if secret is None:
            if len(self._secrets) >= _SECRETS_MAX:
                self._secrets.clear()
            named = _PURPOSE + str(cycle_ends_at).encode()
            secret = self._secrets[cycle_ends_at] = hashlib.blake2b(named, key=self._pepper, digest_size=32).digest()
        return Chain(secret, scope)

    def of(self, cycle_ends_at: Instant, scope: Iterable[bytes], whole: bytes) -> bytes:
        """The fingerprint of something whole, such as a request's body."""
        chain = self.chain(cycle_ends_at, scope)
        chain.add(whole)
        return chain.fingerprint()
