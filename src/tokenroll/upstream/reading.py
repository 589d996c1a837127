"""What must be read at a provider before a call can be bounded: a file that the request only names.

Nothing here does I/O, and nothing of a file is kept: it is fed in the pieces in which it comes, and what stays are facts.
"""

import re
from abc import ABC, abstractmethod
from typing import Final

from tokenroll.upstream.facts import Facts
from tokenroll.upstream.heads import refuse
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint

FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""What may stand as a file's id in a path."""


class FileReading(ABC):
    """One request's reading of the file at `path`. Whatever makes the request one that must not be sent raises RequestRefused."""

    path: str

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """The next bytes of the file."""

    @abstractmethod
    def end(self) -> Facts:
        """The file is whole: what the request asks for."""


class FileBoundEndpoint(OpenAIEndpoint):
    """A dialect whose requests name a file that bounds them. `reading` reads it, and `knowing` is who then reads the request."""

    is_kept = True
    reads_file = True
    has_tiers = False

    def __init__(self, known: Facts | None = None) -> None:
        self._known = known

    @abstractmethod
    def reading(self, body: bytes) -> FileReading:
        """What must be read before this request can be bounded. Raises RequestRefused."""

    def knowing(self, facts: Facts) -> "FileBoundEndpoint":
        """The same for the one request whose file says this."""
        return type(self)(facts)

    def facts(self, body: bytes) -> Facts:  # noqa: ARG002 - its file has said what it asks for
        """See Dialect. What was read before; without that nothing is known of a request, and it is not sent."""
        if self._known is None:
            refuse("call_not_bounded", "The file that bounds this request was not read.")
        return self._known
