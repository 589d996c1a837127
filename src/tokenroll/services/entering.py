"""A one-time way in for a person who sits at this machine: a file that only the home's owner can make, gone at its first use.

A key is typed once and then kept; an address that opens a page must not be worth keeping. The file's name is a digest, so that
whoever lists the folder still cannot enter.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant

LIVES_SECONDS: Final = 600
"""Long enough to click an address that was just printed, too short to be found in a terminal's history."""
TICKET_CHARACTERS: Final = 64
_TICKET: Final = re.compile(rf"[0-9a-f]{{{TICKET_CHARACTERS}}}")


def make_way_in(run_directory: Path, key_id: str, secret: bytes, now: Instant) -> str:
    """The ticket under which the holder of a key may enter once; `secret` is 32 random bytes."""
    ticket = secret.hex()
    folder = run_directory / "ways-in"
    folder.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps({"key": key_id, "until": now + LIVES_SECONDS * MICROS_PER_SECOND})
    descriptor = os.open(folder / _name(ticket), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return ticket


def use_way_in(run_directory: Path, ticket: str, now: Instant) -> str | None:
    """The key that a ticket stands for, the first time it is shown and in time; None ever after and for any other text."""
    if not _TICKET.fullmatch(ticket):
        return None
    path = run_directory / "ways-in" / _name(ticket)
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        path.unlink()  # whoever removes it enters; two at once cannot both
    except (OSError, ValueError):
        return None
    key_id: str = found["key"]
    return key_id if now < found["until"] else None


def _name(ticket: str) -> str:
    return hashlib.blake2b(ticket.encode("ascii"), digest_size=16).hexdigest()
