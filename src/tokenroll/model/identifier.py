"""Identifiers: outside a prefix and 128 time-ordered bits in hex, inside an int64.

Time-ordered ids keep indexes compact and let a person sort a list by age; the prefix says what the thing is
(DESIGN §7.2).
"""

import re
from typing import Final, NamedTuple

PREFIXES: Final = frozenset(
    {
        "member", "department", "plan", "grant", "lot", "wallet", "key", "ratecard", "call", "entry",
        "payrun", "payslip", "command", "batch", "adjustment", "absence", "request", "offer", "proposal", "calendar", "reversal",
        "limit", "override", "refill", "alert", "message", "refusal", "charge",
    }
)  # fmt: skip
_TEXT = re.compile(r"([a-z]+)_([0-9a-f]{32})")
_WORKER_BITS, _EPOCH_BITS, _SEQUENCE_BITS = 8, 24, 48
_MILLISECOND_BITS = 48


class IdentifierError(ValueError):
    """A text that is not one of our identifiers."""


class HoldKey(NamedTuple):
    """The inside name of a hold, and so of its attempt: which worker, in which life, which record (DESIGN §7.2)."""

    worker: int
    epoch: int
    sequence: int


def identifier(prefix: str, at_ms: int, random_bits: int) -> str:
    """`prefix_` and 32 hex digits: 48 bits of Unix milliseconds, then 80 bits of `random_bits` given by the caller.

    The caller owns clock and randomness, so this stays pure.
    """
    if prefix not in PREFIXES:
        message = f"{prefix!r} is not an identifier prefix; known: {', '.join(sorted(PREFIXES))}"
        raise IdentifierError(message)
    return f"{prefix}_{(at_ms & (1 << 48) - 1) << 80 | random_bits & (1 << 80) - 1:032x}"


def identifier_checked(text: str, prefix: str) -> str:
    """The same text, proven to be an identifier with that prefix. Raises IdentifierError."""
    match = _TEXT.fullmatch(text)
    if match is None or match.group(1) != prefix:
        message = f"{text!r} is not a {prefix} id; one looks like {prefix}_ and 32 hex digits"
        raise IdentifierError(message)
    return text


def call_number(at_ms: int, key: HoldKey) -> int:
    """The 128 bits of a minted call id: 48 of milliseconds, 8 worker, 24 epoch, 48 sequence.

    The id carries its own primary key, so finding a call by id needs no index on random bytes. Raises IdentifierError for a key
    that does not fit: cut short, it would be another call's.
    """
    fits = (key.worker >> _WORKER_BITS, key.epoch >> _EPOCH_BITS, key.sequence >> _SEQUENCE_BITS) == (0, 0, 0)
    if not fits:
        message = f"worker {key.worker}, epoch {key.epoch}, sequence {key.sequence} do not fit a call id"
        raise IdentifierError(message)
    return (at_ms & (1 << _MILLISECOND_BITS) - 1) << 80 | key.worker << 72 | key.epoch << 48 | key.sequence


def call_identifier(number: int) -> str:
    """The outside text of a call number."""
    return f"call_{number:032x}"


def hold_key_from_call(text: str) -> HoldKey:
    """The hold key inside a minted call id. Raises IdentifierError for a text that is not one."""
    number = int(identifier_checked(text, "call")[5:], 16)
    return HoldKey(number >> 72 & 0xFF, number >> 48 & 0xFFFFFF, number & (1 << _SEQUENCE_BITS) - 1)
