"""Keys: their text, their checksum and the hash by which they are found. The secret itself is kept nowhere."""

import base64
import hashlib
import zlib
from typing import Final

KEY_PREFIX: Final = "tr-"
_RANDOM_BYTES: Final = 26
_CHECKSUM_BYTES: Final = 4
PEPPER_BYTES: Final = 32


def key_hash(pepper: bytes, key: bytes) -> bytes:
    """Keyed BLAKE2b of a key, 32 bytes: without the home's `secret` file a stolen ledger proves nothing about keys.

    A plain fast hash suffices because keys are random; a person's password would need a slow one.
    """
    return hashlib.blake2b(key, key=pepper, digest_size=32).digest()


def new_key(random_bytes: bytes) -> str:
    """The text of a new key from 26 random bytes given by the caller: `tr-` and 40 url-safe characters.

    The last four of the thirty bytes behind it are a checksum, so that a typing error is told from a wrong key and secret
    scanners can be sure. Raises ValueError for another number of bytes.
    """
    if len(random_bytes) != _RANDOM_BYTES:
        message = f"a key is made of {_RANDOM_BYTES} random bytes, not {len(random_bytes)}"
        raise ValueError(message)
    return KEY_PREFIX + base64.urlsafe_b64encode(random_bytes + _checksum(random_bytes)).decode("ascii")


def key_is_whole(key: str) -> bool:
    """Whether `key` has our form and its checksum holds. Keys registered from a file need not have it."""
    if not key.startswith(KEY_PREFIX) or len(key) != len(KEY_PREFIX) + 40:
        return False
    try:
        raw = base64.b64decode(key[len(KEY_PREFIX) :], altchars=b"-_", validate=True)
    except ValueError:
        return False
    return raw[_RANDOM_BYTES:] == _checksum(raw[:_RANDOM_BYTES])


def _checksum(random_bytes: bytes) -> bytes:
    return zlib.crc32(KEY_PREFIX.encode() + random_bytes).to_bytes(_CHECKSUM_BYTES, "big")
