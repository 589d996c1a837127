"""Faults on demand: what can go wrong at a provider, by name, per request or by a seeded schedule."""

import hashlib
from typing import Final

KNOWN: Final = {
    "429": "rate limit with the dialect's headers; not billed",
    "500": "server error; not billed",
    "529": "overloaded; not billed",
    "503": "unavailable; not billed",
    "drop": "connection closed after the request, before any answer byte; input is billed",
    "cut": "connection closed after N events (half of them without N), or half way through a body",
    "missing-usage": "no usage in the answer; billed all the same",
    "zero-usage": "the answer says zero, and so does the bill",
    "slow-first-byte": "the answer starts after N ms",
    "stall": "the stream stops after N events (half of them without N) and never goes on",
    "malformed-json": "a body, or one event, that is not JSON",
    "gzip": "compressed although identity was asked for",
    "br": "as gzip",
    "zstd": "as gzip",
    "length-long": "content-length promises 64 bytes more than come, then the connection closes",
    "length-short": "content-length promises 16 bytes less than come, then the connection closes",
    "early-hints": "103 before the answer",
    "continue": "100 before the answer",
    "split-head": "the head leaves byte by byte",
    "split-body": "the body leaves in pieces of 7 bytes",
    "no-length": "neither length nor chunks: the body ends with the connection",
    "hold": "the answer is withheld until it is released",
    "error-event": "an error event after N events (half of them without N), then the stream ends; as the first word it is a refusal, not billed",
    "tier": "answers with another service tier than asked (default: priority) and bills it",
    "model": "answers and bills another model than asked (default: gpt-4o)",
    "exceed-cap": "more output than the request allows",
    "close-after": "the connection closes after the answer without having said so",
    "spaced": "JSON with spaces after commas and colons",
    "crlf": "events end in CR LF",
    "two-deltas": "Anthropic: usage comes in two cumulative message_delta events",
    "cache-late": "Anthropic: cache fields come in message_delta only",
    "comments": "comment lines between events",
    "odd-sum": "a batch of a file says of itself one output token more than its lines do",
    "passes": "Anthropic: models ran before the one that answers, each billed at its own prices: KIND:INPUT:OUTPUT[:MODEL], joined by +",
}  # fmt: skip
"""Every fault and what it does. Several are joined by commas; an argument follows an equals sign: `gzip,cut=3`."""


COUNTED: Final = frozenset({"cut", "stall", "error-event", "slow-first-byte", "exceed-cap"})
"""Faults whose argument is a number."""


class UnknownFault(ValueError):  # noqa: N818  a name that reads as the sentence it is
    """A fault that is not in the table."""


def parse_faults(text: str) -> dict[str, str]:
    """Faults and their arguments. Raises UnknownFault naming what is known."""
    faults: dict[str, str] = {}
    for part in text.split(","):
        name, _, argument = part.strip().partition("=")
        if name and name not in KNOWN:
            raise UnknownFault(f"no fault is called {name!r}; known: {', '.join(KNOWN)}")
        if argument and name in COUNTED and not argument.isdigit():
            raise UnknownFault(f"{name}={argument!r} must be a count")
        if name:
            faults[name] = argument
    return faults


class Schedule:
    """Which request meets which fault: each entry `fault:rate` strikes that share of requests, decided by seed and content.

    The decision depends on the request's bytes and how often they came before, never on the order of arrival between different
    requests, so that a concurrent run repeats itself.
    """

    def __init__(self, text: str, seed: int) -> None:
        self._seed = seed
        self._entries: list[tuple[str, int]] = []
        for part in text.split(";"):
            if part.strip():
                fault, _, rate = part.strip().rpartition(":")
                parse_faults(fault)
                self._entries.append((fault, round(float(rate) * 2**32)))

    def fault(self, digest: bytes) -> str:
        """The fault that strikes the request of this digest, or the empty text."""
        for index, (fault, share) in enumerate(self._entries):
            drawn = hashlib.blake2b(digest, key=f"{self._seed}/{index}".encode(), digest_size=4).digest()
            if int.from_bytes(drawn, "big") < share:
                return fault
        return ""
