"""By what a table without ids is known again: its beginning, and digests of its first so many lines.

Rows that have no name are named by their table's origin and their line. A table that is in and has grown since has the same first
lines, so it has the same origin and its rows the same names. A table that only begins alike is another one, however many lines are the
same: its rows get names of their own, and nothing of the one is taken for the other. Lines are those that are ended: the last one of a
log may be half written.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from tokenroll.model.limits import IMPORT_BLOCK_BYTES

MARK: Final = "table:"
"""Begins the lake's mark of a table: its origin, and as text the digests of its first lines."""
_EACH_LINE: Final = 32
_STEPS: Final = 8
"""So many digests each time the lines double: a copy that ends earlier is compared up to eight ninths of it at least."""
_DIGITS: Final = 12
_LINE_END: Final = 0x0A


class Lines(Protocol):
    """A table as lines of bytes."""

    def digests(self, stops: Iterable[int]) -> Iterator[tuple[int, str]]:
        """The digest of the first so many lines for each of these numbers, which rise, and in the end that of all."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """How many lines a table has, the digest of all of them, and those of its first 1, 2, 3 and ever more."""

    line_count: int
    whole: str
    digests: tuple[str, ...]

    def text(self) -> str:
        """As a mark of the lake has it."""
        return " ".join((str(self.line_count), self.whole, *self.digests))

    def by_line(self) -> dict[int, str]:
        """All that is known, by the number of first lines."""
        return {**dict(zip(_places(), self.digests, strict=False)), self.line_count: self.whole}


def _prefixes_of(text: str) -> Prefixes:
    number, whole, *digests = text.split(" ")
    return Prefixes(int(number), whole, tuple(digests))


def _places() -> Iterator[int]:
    """Of which first lines digests are kept."""
    yield from range(1, _EACH_LINE + 1)
    for doubling in count(_EACH_LINE.bit_length() - 1):
        yield from ((1 << doubling) * (_STEPS + step) // _STEPS for step in range(1, _STEPS + 1))


class Origins:
    """The tables that are known: those of the lake's marks, found by how their names begin, and all that were asked about since."""

    def __init__(self, marks_that_begin: Callable[[str], Mapping[str, int | str]] | None = None) -> None:
        self._marks_that_begin = marks_that_begin
        self._known: dict[str, Prefixes] = {}
        self._new: dict[str, int | str] = {}

    def taken(self) -> dict[str, int | str]:
        """Marks of what was learnt since the last time."""
        new, self._new = self._new, {}
        return new

    def of(self, path: Path, begin: str, lines: Lines, notes: list[str]) -> str:
        """The origin of a table that begins so: that of the known one that it is, or a new one. What is not sure is noted."""
        alike = self._alike(begin)
        ends = sorted({one.line_count for one in alike.values()})
        own = dict(lines.digests(heapq.merge(_places(), ends)))
        line_count = max(own)
        told = Prefixes(
            line_count,
            own[line_count],
            tuple(own[line] for line in takewhile(lambda line: line <= line_count, _places())),
        )
        differs_from = 0
        for name, one in alike.items():
            both = {line: digest for line, digest in one.by_line().items() if line <= line_count}
            same = max((line for line, digest in both.items() if own.get(line) == digest), default=0)
            if same < max(both, default=0):
                differs_from = max(differs_from, same + 1)
                continue
            if one.line_count <= line_count:
                self._learn(name, told)
            elif same < line_count:
                notes.append(
                    f"{path} begins as a table that is in and ends before it: its lines from {same + 1} on are taken for the same ones"
                )
            return name
        if alike:
            notes.append(
                f"{path} begins as a table that is in and differs from line {differs_from} on or soon after: it is taken for another one; "
                "if it is a corrected copy, `tokenroll usage forget` the first one"
            )
        name = f"{begin}-{told.whole}" if alike else begin
        self._learn(name, told)
        return name

    def _alike(self, begin: str) -> dict[str, Prefixes]:
        marks = self._marks_that_begin(f"{MARK}{begin}") if self._marks_that_begin is not None else {}
        known = {name.removeprefix(MARK): _prefixes_of(str(mark)) for name, mark in marks.items()} | self._known
        return {name: one for name, one in sorted(known.items()) if name == begin or name.startswith(f"{begin}-")}

    def _learn(self, name: str, told: Prefixes) -> None:
        self._known[name] = told
        self._new[f"{MARK}{name}"] = told.text()


class Digest:
    """A digest that goes on, as the short text that is kept."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, data: Any) -> None:
        """Go on with these bytes."""
        self._hash.update(data)

    def text(self) -> str:
        """What it is by now."""
        return self._hash.hexdigest()[:_DIGITS]


class TextPrefixes:
    """A file of text as lines, unpacked."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks

    def digests(self, stops: Iterable[int]) -> Iterator[tuple[int, str]]:
        """As `Lines` has them."""
        digest, through = Digest(), 0
        waiting = iter(stops)
        stop = next(waiting, None)
        for block in _whole_lines(self._blocks):
            number = block.count(b"\n")
            data, start = memoryview(block), 0
            if stop is not None and stop <= through + number:
                ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_END) + 1
                while stop is not None and stop <= through + number:
                    if stop > through:
                        end = int(ends[stop - through - 1])
                        digest.add(data[start:end])
                        start = end
                        yield stop, digest.text()
                    stop = next(waiting, None)
            digest.add(data[start:])
            through += number
        yield through, digest.text()


def _whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks that end where a line does; what follows the last end is left out."""
    rest: list[bytes] = []
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((*rest, block[:end]))
            rest = []
        rest.append(block[end:])


def blocks_of(stream: Any, torn: tuple[type[BaseException], ...]) -> Iterator[bytes]:
    """A stream's bytes as far as they can be read."""
    while True:
        try:
            block = stream.read1(IMPORT_BLOCK_BYTES)
        except torn:
            return
        if not block:
            return
        yield block
