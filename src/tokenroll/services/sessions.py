"""Sessions of people in a browser: a signed text that names the key they came with. Nothing is stored for it.

The signature's key is derived from the home's secret; the session dies with the api key it names, which is looked up each time.
"""

import base64
import hashlib
import hmac
import re
from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant

SESSION_SECONDS: Final = 12 * 3_600
"""A working day: after it the key is asked for again."""
_TEXT: Final = re.compile(r"(key_[0-9a-f]{32})\.(\d{1,19})\.([A-Za-z0-9_-]{43})")


def session_for(pepper: bytes, key_id: str, now: Instant) -> str:
    """The session of someone who has just shown the key with this id."""
    body = f"{key_id}.{now + SESSION_SECONDS * MICROS_PER_SECOND}"
    return f"{body}.{_signature(pepper, body)}"


def key_of_session(pepper: bytes, text: str, now: Instant) -> str | None:
    """The id of the key that a session names; None for a session that is forged, cut or over."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    key_id, until, signature = match.groups()
    if not hmac.compare_digest(signature, _signature(pepper, f"{key_id}.{until}")):
        return None
    return key_id if now < int(until) else None


def _signature(pepper: bytes, body: str) -> str:
    derived = hashlib.blake2b(b"web session", key=pepper, digest_size=32).digest()
    digest = hmac.digest(derived, body.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
