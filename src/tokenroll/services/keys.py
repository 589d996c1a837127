"""API keys as text and as hash. Free of SQL, because a worker hashes a key on every call.

A key is `tr-`, 34 random url-safe characters and 6 characters of checksum: the prefix lets scanners find a leaked key, the
checksum tells a mistyped one from a revoked one without asking anybody. Only the keyed hash is ever stored.
"""

import hashlib
import string
import zlib
from typing import Final

KEY_PREFIX: Final = "tr-"
RANDOM_BYTES: Final = 34
KEY_CHARACTERS: Final = len(KEY_PREFIX) + 40
SHOWN_CHARACTERS: Final = 9
"""How much of a key is kept in the clear to recognise it by: the prefix and 36 bits of 204."""
_ALPHABET: Final = string.ascii_letters + string.digits + "-_"
KEY_CHARACTERS_MAX: Final = 256
"""Longest foreign key text that may be registered."""


def key_hash(pepper: bytes, key: bytes) -> bytes:
    """The 32 bytes under which a key is known: blake2b keyed with the home's secret, so that a stolen ledger opens nothing."""
    return hashlib.blake2b(key, key=pepper, digest_size=32).digest()


def new_key(random: bytes) -> str:
    """The key made of RANDOM_BYTES random bytes, which the caller owns; six bits of each are used."""
    if len(random) != RANDOM_BYTES:
        message = f"a key is made of {RANDOM_BYTES} random bytes, not {len(random)}"
        raise ValueError(message)
    body = "".join(_ALPHABET[byte & 63] for byte in random)
    return f"{KEY_PREFIX}{body}{_checksum(body)}"


def is_well_formed(key: str) -> bool:
    """Whether a text that claims to be one of our keys has its length and checksum; says nothing about whether it is known."""
    body = key[len(KEY_PREFIX) : -6]
    return key.startswith(KEY_PREFIX) and len(key) == KEY_CHARACTERS and key.endswith(_checksum(body))


def shown_prefix(key: str) -> str:
    """The first characters, by which people recognise a key in a list."""
    return key[: min(SHOWN_CHARACTERS, len(key) // 2)]


def _checksum(body: str) -> str:
    value = zlib.crc32(body.encode())
    return "".join(_ALPHABET[value >> shift & 63] for shift in range(0, 36, 6))
