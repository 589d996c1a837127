"""By what a table without ids is known again: its beginning, and digests of its first so many lines.

Rows that have no name are named by their table's origin and their line. A table that is in and has grown since has the same first
lines, so it has the same origin and its rows the same names. A table that only begins alike is another one, however many lines are the
same: its rows get names of their own, and nothing of the one is taken for the other. Lines are those that are ended. The last one of a
log may be half written: of one without its end it is known how it begins, so a table in which that line begins otherwise is another one.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

MARK: Final = "table:"
"""Begins the lake's mark of a table: its origin, and as text the digests of its first lines."""
_EACH_LINE: Final = 32
_STEPS: Final = 8
"""So many digests each time the lines double: a copy that ends earlier is compared up to eight ninths of it at least."""
_DIGITS: Final = 12
_LINE_END: Final = 0x0A
_BLOCK_BYTES: Final = 512 * 1024
"""So much fits into a core's own cache, which it goes through twice."""
_BETWEEN_CELLS: Final = b",;\t|"
_REST: Final = "+"
"""Begins what a mark tells of a last line without its end."""


class Lines(Protocol):
    """A table as lines of bytes."""

    def digests(self, stops: Iterable[int]) -> Iterator[tuple[int, str]]:
        """The digest of the first so many lines for each of these numbers, which rise, and in the end that of all."""

    @property
    def rest(self) -> bytes:
        """What follows the last line's end, once `digests` has been through."""

    def line(self, number: int, /) -> tuple[bytes, bool]:
        """What follows the first so many lines up to the next end, and whether that is there."""


class Rest(NamedTuple):
    """A last line without its end: its bytes, its cells that are ended, and digests of it all and of these cells."""

    size: int
    cell_count: int
    whole: str
    cells: str

    def begins(self, line: bytes, above: str, *, is_ended: bool) -> bool | None:
        """Whether a line under the same ones begins so; None if it is as much shorter as half of it would be."""
        if len(line) >= self.size:
            return _rest_of(line[: self.size], above).whole == self.whole
        own = _rest_of(line, above)
        if is_ended or own.cell_count > self.cell_count:
            return False
        is_cut_in_last = own.cell_count == self.cell_count
        return False if is_cut_in_last and own.cells != self.cells else None


def _rest_of(line: bytes, above: str) -> Rest:
    """`above` is the digest of the lines before it."""
    last = max(line.rfind(one) for one in _BETWEEN_CELLS) + 1
    return Rest(
        len(line),
        sum(line.count(one) for one in _BETWEEN_CELLS),
        _text_of(above.encode(), line),
        _text_of(above.encode(), line[:last]),
    )


@dataclass(frozen=True, slots=True)
class Prefixes:
    """How many lines a table has, the digest of all of them, and those of its first 1, 2, 3 and ever more."""

    line_count: int
    whole: str
    digests: tuple[str, ...]
    rest: Rest | None = None

    def text(self) -> str:
        """As a mark of the lake has it."""
        rest = () if self.rest is None else (_REST + ":".join(map(str, self.rest)),)
        return " ".join((str(self.line_count), self.whole, *self.digests, *rest))

    def by_line(self) -> dict[int, str]:
        """All that is known, by the number of first lines."""
        return {**dict(zip(_places(), self.digests, strict=False)), self.line_count: self.whole}


def _prefixes_of(text: str) -> Prefixes:
    known, _, told = text.partition(f" {_REST}")
    number, whole, *digests = known.split(" ")
    rest = None
    if told:
        size, cell_count, all_of_it, cells = told.split(":")
        rest = Rest(int(size), int(cell_count), all_of_it, cells)
    return Prefixes(int(number), whole, tuple(digests), rest)


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
            _rest_of(lines.rest, own[line_count]) if lines.rest else None,
        )
        differs_from = 0
        for name, one in alike.items():
            both = {line: digest for line, digest in one.by_line().items() if line <= line_count}
            same = max((line for line, digest in both.items() if own.get(line) == digest), default=0)
            if same < max(both, default=0):
                differs_from = max(differs_from, same + 1)
                continue
            begins = _goes_on(one, line_count, lines)
            if begins is False:
                differs_from = max(differs_from, one.line_count + 1)
                continue
            if one.line_count < line_count or (one.line_count == line_count and begins):
                self._learn(name, told)
            elif same < line_count or lines.rest:
                notes.append(
                    f"{path} begins as a table that is in and ends before it: its lines from {same + 1} on are taken for the same ones"
                )
            return name
        if alike:
            notes.append(
                f"{path} begins as a table that is in and differs from line {differs_from} on or soon after: it is taken for another one; "
                "if it is a corrected copy, `tokenroll usage forget` the first one"
            )
        name = f"{begin}-{told.rest.whole if told.rest else told.whole}" if alike else begin
        self._learn(name, told)
        return name

    def _alike(self, begin: str) -> dict[str, Prefixes]:
        marks = self._marks_that_begin(f"{MARK}{begin}") if self._marks_that_begin is not None else {}
        known = {name.removeprefix(MARK): _prefixes_of(str(mark)) for name, mark in marks.items()} | self._known
        return {name: one for name, one in sorted(known.items()) if name == begin or name.startswith(f"{begin}-")}

    def _learn(self, name: str, told: Prefixes) -> None:
        self._known[name] = told
        self._new[f"{MARK}{name}"] = told.text()


def _goes_on(one: Prefixes, line_count: int, lines: Lines) -> bool | None:
    """Whether a table of so many lines, whose first are those of a known one, has that one's half line, too; None if it ends before."""
    if line_count < one.line_count:
        return None
    if one.rest is None:
        return True
    line, is_ended = (lines.rest, False) if line_count == one.line_count else lines.line(one.line_count)
    return one.rest.begins(line, one.whole, is_ended=is_ended)


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


def _text_of(*parts: bytes) -> str:
    digest = Digest()
    for part in parts:
        digest.add(part)
    return digest.text()


class TextPrefixes:
    """A file of text as lines, unpacked; `blocks` reads it from its beginning."""

    def __init__(self, blocks: Callable[[], Iterable[bytes]]) -> None:
        self._blocks = blocks
        self.rest = b""

    def digests(self, stops: Iterable[int]) -> Iterator[tuple[int, str]]:
        """As `Lines` has them."""
        digest, through = Digest(), 0
        waiting = iter(stops)
        stop = next(waiting, None)
        rest: list[bytes] = []
        """What follows the last end of a line that was seen."""
        for block in self._blocks():
            number = block.count(b"\n")
            if not number:
                rest.append(block)
                continue
            for part in rest:
                digest.add(part)
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
            last = block.rfind(b"\n") + 1
            digest.add(data[start:last])
            rest = [block[last:]]
            through += number
        self.rest = b"".join(rest)
        yield through, digest.text()

    def line(self, number: int, /) -> tuple[bytes, bool]:
        """As `Lines` has it."""
        found: list[bytes] = []
        for block in self._blocks():
            start, ends = 0, block.count(b"\n") if number else 0
            if ends < number:
                number -= ends
                continue
            for _ in range(number):
                start = block.index(b"\n", start) + 1
            number, end = 0, block.find(b"\n", start)
            if end >= 0:
                return b"".join((*found, block[start:end])), True
            found.append(block[start:])
        return b"".join(found), False


def blocks_of(stream: Any, torn: tuple[type[BaseException], ...]) -> Iterator[bytes]:
    """A stream's bytes as far as they can be read."""
    while True:
        try:
            block = stream.read1(_BLOCK_BYTES)
        except torn:
            return
        if not block:
            return
        yield block
