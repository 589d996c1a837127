"""How often somebody may try: a few tries at once, then one each so many seconds, per address and in all."""

import threading
from collections import OrderedDict
from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant

TRIES_AT_ONCE: Final = 10
"""Enough for a person who mistypes; a program that guesses 204 random bits needs other odds anyway."""
SECONDS_PER_TRY: Final = 6
ADDRESSES_MAX: Final = 10_000
"""Addresses remembered; the oldest is forgotten first, which a guesser with that many addresses gains little by."""


class Visits:
    """Tries by address, refilled by time. Threads may share one."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[int, Instant]] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, address: str, now: Instant) -> bool:
        """Whether one more try from this address is allowed now; it is counted."""
        with self._lock:
            used, at = self._seen.pop(address, (0, now))
            refilled = max(0, now - at) // (SECONDS_PER_TRY * MICROS_PER_SECOND)
            left = max(0, used - refilled)
            since = at + refilled * SECONDS_PER_TRY * MICROS_PER_SECOND if left else now
            allowed = left < TRIES_AT_ONCE
            self._seen[address] = (left + 1 if allowed else left, since)
            while len(self._seen) > ADDRESSES_MAX:
                self._seen.popitem(last=False)
            return allowed

    def forgive(self, address: str) -> None:
        """The last try was a good one and does not count."""
        with self._lock:
            used, at = self._seen.get(address, (0, 0))
            if used:
                self._seen[address] = (used - 1, at)
