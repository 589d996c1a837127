"""What must be read at a provider before a call can be bounded: a file that the request only names.

Nothing here does I/O, and nothing of a file is kept: it is fed in the pieces in which it comes, and what stays are facts.
"""

import re
from abc import ABC, abstractmethod
from typing import Final

from tokenroll.model.limits import FILE_LINE_BYTES_MAX
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
    def end(self) -> Facts | None:
        """The file is whole: what the request asks for, or None when another file, at `path` now, is to be read, too."""


class LineReading(FileReading):
    """A reading of a file line by line, whatever the pieces in which it comes."""

    what: str = "the file"
    param: str = ""
    """What the file is called, and the field that names it."""

    def __init__(self) -> None:
        self.line_count = 0
        self._parts: list[bytes] = []
        """A line whose end has not come yet."""
        self._part_bytes = 0

    def feed(self, data: bytes) -> None:
        """See FileReading."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._end_line(line)
        self._keep(rest)

    def end_lines(self) -> None:
        """The last line may end with its file."""
        if self._parts:
            self._end_line(b"")

    def _keep(self, part: bytes) -> None:
        self._part_bytes += len(part)
        if self._part_bytes > FILE_LINE_BYTES_MAX:
            message = f"Line {self.line_count + 1} of {self.what} has more than {FILE_LINE_BYTES_MAX} bytes."
            refuse("invalid_value", message, self.param or None)
        if part:
            self._parts.append(part)

    def _end_line(self, end: bytes) -> None:
        """A line is whole with these last bytes of it; blank ones are none."""
        self._keep(end)
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self._part_bytes = 0
        self.line_count += 1
        if line.strip():
            self._on_line(line)

    @abstractmethod
    def _on_line(self, line: bytes) -> None:
        """One line, without its end."""


class FileBoundEndpoint(OpenAIEndpoint):
    """A dialect whose requests name a file that bounds them. `reading` reads it, and `knowing` is who then reads the request."""

    is_kept = True
    reads_file = True
    has_tiers = False

    names_model = True
    """Whether the request itself names its model, so that another name of it can be written there."""

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
