"""Files of usage taken into the lake: each event once, resumed where it was stopped, none that went through the gateway.

A file is known by the digest of its content. Its mark says how many of its events are in, or that all are; marks become true with
their rows, so whoever is stopped anywhere and runs again makes the same lake. A log that grew is another file, whose earlier events
are told again: compaction keeps each once.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from tokenroll.model.instant import INSTANT_MAX, Instant
from tokenroll.model.limits import ENTERED_AT_MIN, IMPORT_SLICE_EVENTS
from tokenroll.model.usage import model_tokens
from tokenroll.model.usage_event import GATEWAY, UsageEvent
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.bulk_attribution import attributed
from tokenroll.services.importers.bulk_tables import BulkSlice, bulk_tables, slices_ahead
from tokenroll.services.importers.clocks import AHEAD_MICROS, clock_problem
from tokenroll.services.importers.columns import ColumnMap
from tokenroll.services.importers.detecting import COLUMNS, UsageFile, events_of, head_of, source_of
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.origins import MARK as TABLE_MARK
from tokenroll.services.importers.origins import Origins
from tokenroll.services.list_prices import ListPrices
from tokenroll.store.lake import Lake
from tokenroll.store.lake_libraries import arrow_compute
from tokenroll.store.lake_manifest import file_digest
from tokenroll.store.lake_overlaps import Overlaps
from tokenroll.store.lake_rollups import Chosen
from tokenroll.store.lake_schema import DAY_MICROS

FILE_MARK: Final = "file:"
"""Begins the lake's mark of a file: the digest of its content, and how many of its rows are in, or that all are and of which source."""
WHOLE: Final = "whole"
KNOWN_FILES: Final = "files that are in already"
OVERLAPS: Final = "calls that went through the gateway"
_FIRST_DAY: Final = date(1970, 1, 1)


class Reading(NamedTuple):
    """How usage is read: by which prices, whose it is, and what tables and traces do not say themselves."""

    prices: ListPrices
    attribution: Attribution
    column_map: ColumnMap | None = None
    model: str = ""
    starts_at: Instant = 0
    now: Instant = INSTANT_MAX
    """Events further ahead than this are refused."""


def import_files(
    lake: Lake,
    files: Iterable[UsageFile],
    reading: Reading,
    intake: Intake,
    on_file: Callable[[int, UsageFile], None] | None = None,
) -> int:
    """Take files into the lake; answers how many events came in. What became of every row is counted in `intake`."""
    taken = _Taking(lake, reading, intake)
    with contextlib.closing(taken.overlaps):
        for number, file in enumerate(files):
            if on_file is not None:
                on_file(number, file)
            taken.file(file)
        taken.flush()
    lake.fold_marks((FILE_MARK, TABLE_MARK))
    return taken.count


class _Taking:
    def __init__(self, lake: Lake, reading: Reading, intake: Intake) -> None:
        self.count = 0
        self._lake = lake
        self._reading = reading
        self._intake = intake
        self.overlaps = Overlaps(lake)
        intake.origins = Origins(lake.marks_that_begin)
        self._events: dict[tuple[str, str], UsageEvent] = {}
        self._marks: dict[str, int | str] = {}
        self._sources: set[str] = set()
        self._through_gateway: set[tuple[str, str]] = set()
        self._told_before: dict[tuple[str, str], Instant] = {}
        """The gateway's calls of which the lake may have an earlier telling."""

    def file(self, file: UsageFile) -> None:
        try:
            mark = f"{FILE_MARK}{file_digest(file.path)}"
        except OSError as error:
            self._intake.is_bad(str(file.path), 0, f"it cannot be read: {error.strerror}")
            return
        done = self._marks.get(mark) or self._lake.mark(mark) or 0
        if is_whole(done):
            self._intake.is_other(KNOWN_FILES)
            self._intake.sources |= sources_of_mark(done)
            return
        through = done if isinstance(done, int) else 0
        try:
            read = self._read_table if self._is_large_table(file.path) else self._read
            self._sources.clear()
            is_usage = read(file, mark, through) > 0
        except SourceError as error:
            self._intake.row_count += 1
            self._intake.is_bad(str(file.path), 0, str(error))
            return
        if is_usage:  # a file that gave nothing may give something when it is read with a mapping
            self._marks[mark] = f"{WHOLE}:" + "\n".join(sorted(self._sources))
        self._intake.sources |= self._sources

    def _is_large_table(self, path: Path) -> bool:
        """Tables are read column by column; what is no table by its first bytes is not one by a mapping either."""
        head = head_of(path)
        is_mapped = self._reading.column_map is not None and head.lstrip()[:1] not in {b"{", b"["}
        return is_mapped or source_of(path, head) == COLUMNS

    def _read_table(self, file: UsageFile, mark: str, done: int) -> int:
        self.flush()
        reading, intake = self._reading, self._intake
        intake.file_count += 1
        if done and self._lake.mark(GATEWAY):
            self._take_again(file, done)
        found = done
        for one in slices_ahead(self._slices(file, intake, skip_rows=done)):
            self._sources.update(one.rows.column("source").unique().to_pylist())
            rows = self._without_gateways(one.rows)
            if rows.num_rows < one.rows.num_rows:
                intake.other[OVERLAPS] = intake.other.get(OVERLAPS, 0) + one.rows.num_rows - rows.num_rows
                found += one.rows.num_rows - rows.num_rows
            rows = self._timely(rows, file)
            found += rows.num_rows
            if found:
                marks = {mark: one.row_count_through, **intake.origins.taken()}
                self.count += self._lake.append(attributed(rows, reading.attribution), marks)
        return found

    def _slices(self, file: UsageFile, intake: Intake, *, skip_rows: int) -> Generator[BulkSlice, None, None]:
        reading = self._reading
        return bulk_tables(
            file.path,
            file.member,
            reading.prices,
            intake,
            column_map=reading.column_map,
            model=reading.model,
            starts_at=reading.starts_at or None,
            skip_rows=skip_rows,
        )

    def _take_again(self, file: UsageFile, done: int) -> None:
        """The gateway's calls that rows before the mark were: they are no later row's."""
        slices = self._slices(file, Intake(origins=self._intake.origins), skip_rows=0)
        through = 0
        for one in slices:
            rows = one.rows.slice(0, max(0, done - through)) if one.row_count_through > done else one.rows
            self._without_gateways(rows)
            through = one.row_count_through
            if through >= done:
                break
        slices.close()

    def _without_gateways(self, rows: Any) -> Any:
        """The rows that the gateway does not tell."""
        kept = self.overlaps.kept(rows)
        if kept.num_rows < rows.num_rows:
            pc = arrow_compute()
            is_kept = pc.is_in(rows.column("event_id"), value_set=kept.column("event_id").unique())
            for row in rows.select(["source", "event_id", "admitted_at"]).filter(pc.invert(is_kept)).to_pylist():
                self._told_before[row["source"], row["event_id"]] = row["admitted_at"]
            if len(self._told_before) >= IMPORT_SLICE_EVENTS:
                self._take_back()
        return kept

    def _timely(self, rows: Any, file: UsageFile) -> Any:
        """The rows that can have been when they say."""
        pc, at = arrow_compute(), rows.column("admitted_at")
        is_good = pc.and_(
            pc.greater_equal(at, ENTERED_AT_MIN), pc.less_equal(at, min(INSTANT_MAX, self._reading.now + AHEAD_MICROS))
        )
        wrong = at.filter(pc.invert(is_good)).to_pylist()
        for one in wrong:
            self._intake.is_bad(str(file.path), 0, clock_problem(one, self._reading.now))
        return rows.filter(is_good) if wrong else rows

    def _read(self, file: UsageFile, mark: str, done: int) -> int:
        reading = self._reading
        told = events_of(
            [file],
            reading.prices,
            self._intake,
            column_map=reading.column_map,
            model=reading.model,
            starts_at=reading.starts_at,
        )
        found = done
        for number, event in enumerate(told, 1):
            self._sources.add(event.source)
            is_overlap = self._is_overlap(event)
            if number <= done:
                continue
            if is_overlap:
                self._intake.is_other(OVERLAPS)
            elif problem := clock_problem(event.admitted_at, reading.now):
                self._intake.is_bad(str(file.path), 0, f"{event.event_id}: {problem}")
                continue
            else:
                self._keep(reading.attribution.applied(event))
            found += 1
            self._marks[mark] = number
            if len(self._events) >= IMPORT_SLICE_EVENTS:
                self.flush()
        return found

    def _is_overlap(self, event: UsageEvent) -> bool:
        """Whether the gateway told this call: a second telling of one that it did is one of them, too."""
        key = (event.source, event.event_id)
        if key in self._through_gateway:
            return True
        if not self.overlaps.take(event):
            return False
        self._through_gateway.add(key)
        self._events.pop(key, None)
        self._told_before[key] = event.admitted_at
        return True

    def _keep(self, event: UsageEvent) -> None:
        """Of two tellings of one call the fuller one: sessions are resumed and forked, and logs are copied."""
        key = (event.source, event.event_id)
        before = self._events.get(key)
        if before is not None:
            self._intake.repeat_count += 1
        if before is None or fullness(event) > fullness(before):
            self._events[key] = event

    def flush(self) -> None:
        """What was read so far is in the lake, with its marks."""
        self._take_back()
        if self._events or self._marks:
            marks = {**self._marks, **self._intake.origins.taken()}
            self.count += self._lake.append(list(self._events.values()), marks)
        self._events, self._marks = {}, {}

    def _take_back(self) -> None:
        """Of the gateway's calls no telling is left in the lake: a log that ended while a call was under way told less of it.

        That is before the marks which say that their files are in, so whoever is stopped in between finds these calls again.
        """
        calls, self._told_before = self._told_before, {}
        for source in sorted({source for source, _ in calls}):
            instants = {ident: at for (name, ident), at in calls.items() if name == source}
            numbers = {at // DAY_MICROS + aside for at in instants.values() for aside in (-1, 0, 1)}
            days = {(_FIRST_DAY + timedelta(days=number)).isoformat() for number in numbers}
            self._lake.withdraw(Chosen(source, by_table=True), list(instants), days=days)


def is_whole(mark: int | str) -> bool:
    """Whether a file's mark says that all of it is in."""
    return isinstance(mark, str) and mark.partition(":")[0] == WHOLE


def sources_of_mark(mark: int | str) -> set[str]:
    """Of which sources a file's events are whose mark this is; none where the mark does not say."""
    return set(filter(None, mark.partition(":")[2].split("\n"))) if isinstance(mark, str) else set()


def fullness(event: UsageEvent) -> tuple[int, int, int, int]:
    """By which of two tellings of one event is the whole of it, as the lake's compaction has it: model tokens, then costs."""
    costs = (event.billed_cost_nanos, event.net_cost_nanos, event.list_cost_nanos)
    billed, net, listed = (-1 if cost is None else abs(cost) for cost in costs)
    return model_tokens(event.usage.counts), billed, net, listed
