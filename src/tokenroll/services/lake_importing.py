"""Files of usage taken into the lake: each event once, resumed where it was stopped, none that went through the gateway.

A file is known by the digest of its content. Its mark says how many of its events are in, or that all are; marks become true with
their rows, so whoever is stopped anywhere and runs again makes the same lake. A log that grew is another file, whose earlier events
are told again: compaction keeps each once.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.model.limits import IMPORT_SLICE_EVENTS
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.bulk_attribution import attributed
from tokenroll.services.importers.bulk_tables import bulk_tables, is_parquet, slices_ahead
from tokenroll.services.importers.columns import ColumnMap
from tokenroll.services.importers.detecting import COLUMNS, UsageFile, events_of, head_of, source_of
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.list_prices import ListPrices
from tokenroll.store.lake import Lake
from tokenroll.store.lake_overlaps import Overlaps

WHOLE: Final = "whole"
KNOWN_FILES: Final = "files that are in already"
OVERLAPS: Final = "calls that went through the gateway"
_READ_BYTES: Final = 1024 * 1024


class Reading(NamedTuple):
    """How usage is read: by which prices, whose it is, and what tables and traces do not say themselves."""

    prices: ListPrices
    attribution: Attribution
    column_map: ColumnMap | None = None
    model: str = ""
    starts_at: Instant = 0


def import_files(
    lake: Lake,
    files: Iterable[UsageFile],
    reading: Reading,
    intake: Intake,
    on_file: Callable[[int, UsageFile], None] | None = None,
) -> int:
    """Take files into the lake; answers how many events came in. What became of every row is counted in `intake`."""
    taken = _Taking(lake, reading, intake)
    for number, file in enumerate(files):
        if on_file is not None:
            on_file(number, file)
        taken.file(file)
    taken.flush()
    return taken.count


class _Taking:
    def __init__(self, lake: Lake, reading: Reading, intake: Intake) -> None:
        self.count = 0
        self._lake = lake
        self._reading = reading
        self._intake = intake
        self._overlaps = Overlaps(lake)
        self._events: list[UsageEvent] = []
        self._marks: dict[str, int | str] = {}

    def file(self, file: UsageFile) -> None:
        try:
            mark = f"file:{digest_of_file(file.path)}"
        except OSError as error:
            self._intake.is_bad(str(file.path), 0, f"it cannot be read: {error.strerror}")
            return
        done = self._marks.get(mark, self._lake.marks.get(mark, 0))
        if done == WHOLE:
            self._intake.is_other(KNOWN_FILES)
            return
        through = done if isinstance(done, int) else 0
        try:
            if self._is_large_table(file.path):
                self._read_table(file, mark, through)
            else:
                self._read(file, mark, through)
        except SourceError as error:
            self._intake.row_count += 1
            self._intake.is_bad(str(file.path), 0, str(error))
            return
        self._marks[mark] = WHOLE

    def _is_large_table(self, path: Path) -> bool:
        """Tables are read column by column; what is no table by its first bytes is not one by a mapping either."""
        if is_parquet(path):
            return True
        head = head_of(path)
        is_mapped = self._reading.column_map is not None and head.lstrip()[:1] not in {b"{", b"["}
        return is_mapped or source_of(path, head) == COLUMNS

    def _read_table(self, file: UsageFile, mark: str, done: int) -> None:
        self.flush()
        reading, intake = self._reading, self._intake
        intake.file_count += 1
        slices = bulk_tables(
            file.path,
            file.member,
            reading.prices,
            intake,
            column_map=reading.column_map,
            model=reading.model,
            starts_at=reading.starts_at or None,
            skip_rows=done,
        )
        for one in slices_ahead(slices):
            rows = self._overlaps.kept(one.rows)
            if rows.num_rows < one.rows.num_rows:
                intake.other[OVERLAPS] = intake.other.get(OVERLAPS, 0) + one.rows.num_rows - rows.num_rows
            self.count += self._lake.append(attributed(rows, reading.attribution), {mark: one.row_count_through})

    def _read(self, file: UsageFile, mark: str, done: int) -> None:
        reading = self._reading
        told = events_of(
            [file],
            reading.prices,
            self._intake,
            column_map=reading.column_map,
            model=reading.model,
            starts_at=reading.starts_at,
        )
        for number, event in enumerate(told, 1):
            is_overlap = self._overlaps.take(event)
            if number <= done:
                continue
            if is_overlap:
                self._intake.is_other(OVERLAPS)
            else:
                self._events.append(reading.attribution.applied(event))
            self._marks[mark] = number
            if len(self._events) >= IMPORT_SLICE_EVENTS:
                self.flush()

    def flush(self) -> None:
        """What was read so far is in the lake, with its marks."""
        if self._events or self._marks:
            self.count += self._lake.append(self._events, self._marks)
        self._events, self._marks = [], {}


def digest_of_file(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
