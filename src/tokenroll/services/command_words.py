"""The words of a command that no ledger takes, whatever it says."""

import re
from typing import Final

from tokenroll.model.limits import IDEMPOTENCY_KEY_CHARACTERS_MAX

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""In JSON. PostgreSQL has no text with that character, and both databases hold the same."""


def words_problem(command_id: str, body: bytes) -> str:
    """What is wrong with an id, or with a text in a body; empty for nothing."""
    if not command_id or len(command_id) > IDEMPOTENCY_KEY_CHARACTERS_MAX:
        return f"a command id has 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters"
    if "\0" in command_id or _NUL.search(body):
        return "a text holds the character NUL, which no database of ours keeps: leave it out"
    return ""
