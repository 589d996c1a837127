"""JSON files as values: one document, an array of them, or one a line, packed or not, with no more than one value in memory.

A value that is not whole is a bad row, and reading goes on at the next line.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from tokenroll.model.limits import IMPORT_LINE_BYTES_MAX
from tokenroll.services.importers.intake import TORN, Intake, opened

_READ_BYTES: Final = 256 * 1024
_WHOLE: Final = msgspec.json.Decoder(msgspec.Raw)
_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")
_TRUNCATED: Final = "truncated"
_BETWEEN: Final = re.compile(rb"[\s,\[\]\x1e]*")
"""What stands around the values of a file: line ends, an array's own marks, record separators."""
_BOM: Final = b"\xef\xbb\xbf"


class _Text:
    """The file from where it is read on, as far as it was needed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.data = b""
        self.at = 0
        self.line = 1
        self.is_all = False

    def more(self) -> bool:
        """Read on; False at the end."""
        if self.is_all:
            return False
        new = self.stream.read(_READ_BYTES + len(self.data) - self.at)
        self.is_all = not new
        self.data = self.data[self.at :] + new
        self.at = 0
        return bool(new)

    def go(self, until: int) -> None:
        """Be at a later place."""
        self.line += self.data.count(b"\n", self.at, until)
        self.at = until

    def pass_by(self) -> bool:
        """Be at the next value; False where there is none."""
        if self.line == 1 and self.at == 0 and (self.data or self.more()) and self.data.startswith(_BOM):
            self.at = len(_BOM)
        while True:
            found = _BETWEEN.match(self.data, self.at)
            self.go(found.end() if found else self.at)
            if self.at < len(self.data):
                return True
            if not self.more():
                return False

    def next_line(self) -> None:
        """Be at the next line's beginning, or at the end."""
        while (end := self.data.find(b"\n", self.at)) < 0:
            self.at = len(self.data)
            if not self.more():
                return
        self.go(end + 1)


def values_of(path: Path, intake: Intake) -> Iterator[tuple[int, bytes]]:
    """Each JSON object of a file with the line it begins in; the caller counts its rows, what is no object is counted here."""
    with opened(path) as stream:
        text = _Text(stream)
        try:
            while text.pass_by():
                end, reason = _end_of(text)
                line = text.line
                if reason:
                    intake.row_count += 1
                    intake.is_bad(str(path), line, reason)
                    text.next_line()
                    continue
                value = text.data[text.at : end]
                text.go(end)
                yield line, value
        except TORN as error:
            intake.row_count += 1
            intake.is_bad(str(path), text.line, f"the file is not whole: {error}")


def _end_of(text: _Text) -> tuple[int, str]:
    """Where the value ends, and why there is none."""
    if text.data[text.at] != 0x7B:
        return text.at, "no JSON object"
    line_end = text.data.find(b"\n", text.at)
    if line_end > 0:
        count, _ = _length(memoryview(text.data)[text.at : line_end])
        if count:
            return text.at + count, ""
    while True:
        count, reason = _length(memoryview(text.data)[text.at :])
        if count:
            return text.at + count, ""
        if reason != _TRUNCATED:
            return text.at, reason
        if len(text.data) - text.at > IMPORT_LINE_BYTES_MAX:
            return text.at, f"the value is longer than {IMPORT_LINE_BYTES_MAX} bytes"
        if not text.more():
            return text.at, "the value is not whole"


def _length(data: memoryview) -> tuple[int, str]:
    """How many bytes the value at the beginning has, or 0 and why it is none."""
    try:
        _WHOLE.decode(data)
    except RecursionError:
        return 0, "the value is nested too deep"
    except msgspec.DecodeError as error:
        reason = str(error)
        found = _TRAILING.search(reason)
        if found:
            return int(found[1]) - 1, ""  # the byte it names is the one after the first that is too many
        return 0, _TRUNCATED if _TRUNCATED in reason else reason
    return len(data), ""
