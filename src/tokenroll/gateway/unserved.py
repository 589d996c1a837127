"""What clients know from a provider and is not served here: refused by its name, with what to use instead, before anybody is asked."""

import re
from typing import Final

from tokenroll.gateway.answers import ANTHROPIC, error_answer
from tokenroll.gateway.heads import RequestHead
from tokenroll.upstream.dialect import Dialect, ErrorAnswer

_FILES: Final = re.compile(rb"/v1/files(?:/.*)?")
"""The one place where both providers store something, each in its own way."""
_ANTHROPICS_FILES: Final = (
    "Anthropic's Files API is not served here ({line}): what is stored at /v1/files is stored at OpenAI. Put the document or the picture "
    'into the message itself, as a source of type "base64"; who means OpenAI\'s files leaves `anthropic-version` and `anthropic-beta` out.'
)


def refusal(head: RequestHead, dialect: Dialect | None) -> ErrorAnswer | None:
    """The refusal of something that is known by name, in the words of `dialect`; None for what may be served, or is known to nobody."""
    if dialect is ANTHROPIC and _FILES.fullmatch(head.path):
        return error_answer(dialect, 404, "not_served", _ANTHROPICS_FILES.format(line=_line(head)))
    return None


def _line(head: RequestHead) -> str:
    """What was asked for, as its first line said."""
    return f"{head.method.decode('ascii')} {head.path.decode('ascii')}"
