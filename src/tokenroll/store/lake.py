"""The usage lake: everybody's usage events in sealed Parquet files, one writer, any number of readers, any engine.

A file is written under its own name, made durable, and exists only once the manifest names it. So an append is whole or not at all,
and the marks of its sources, which stand in the same manifest, say exactly what is in. Whoever died is finished by whoever comes next:
it reads the marks and goes on, and what a half-done step left behind is removed.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace as replaced

from tokenroll.model.limits import (
    LAKE_APPEND_ROWS_MAX,
    LAKE_ROW_GROUP_ROWS,
    METER_DECIDED_CALLS_MAX,
    RETENTION_DAYS_MAX,
    USAGE_MARK_CHARACTERS_MAX,
)
from tokenroll.store.lake_decisions import MeterDecision, decisions_and_digest, read_decisions, write_decisions
from tokenroll.store.lake_files import (
    Half,
    Tell,
    count_of,
    int64_holds,
    lake_engine,
    seal,
    seal_half,
    show_rows,
    tables_of,
    write_half,
)
from tokenroll.store.lake_libraries import arrow, arrow_compute
from tokenroll.store.lake_manifest import (
    NAME,
    Disk,
    LakeError,
    LakeFile,
    Manifest,
    Withdrawn,
    manifest_and_digest,
    read_manifest,
    write_manifest,
)
from tokenroll.store.lake_marks import FOLDER, FoldedMarks, folded, folding_is_due
from tokenroll.store.lake_rollups import (
    CHOSEN,
    Chosen,
    kept_statement,
    merge_statement,
    over_count_statement,
    rollup_statement,
    told_twice_statement,
)
from tokenroll.store.lake_schema import KINDS, ORDER, SUM_KEYS, USAGE, LakeRowsError, checked_rows, rows_of_events

_LOCK: Final = "lock"
_READERS: Final = "readers"
_WRITERS: Final = 2
_RETAINED: Final = "retained:"
"""Marks of a purpose's first day that is still kept."""


class LakeBusyError(LakeError):
    """Another process writes this lake."""


class Lake:
    """The lake for writing: by `open_lake` alone, which holds its lock."""

    def __init__(self, directory: Path, disk: Disk, resources: contextlib.ExitStack) -> None:
        self.directory = directory
        self.manifest = read_manifest(directory)
        self._folded = FoldedMarks(directory, self.manifest.folded)
        self._disk = disk
        self._resources = resources
        self._remove_leftovers()

    @cached_property
    def _engine(self) -> Any:
        """What reads and sums rows: started when the first is asked for, since an append needs none."""
        return self._resources.enter_context(lake_engine(self.directory))

    @property
    def marks(self) -> Mapping[str, int | str]:
        """How far each source is taken in, in its own words: what an importer goes on from."""
        return dict(self.manifest.marks)

    def mark(self, name: str) -> int | str | None:
        """How far this one source is taken in, also where its mark is folded."""
        found = self.manifest.marks.get(name)
        return self._folded.get(name) if found is None else found

    def marks_that_begin(self, prefix: str) -> dict[str, int | str]:
        """The marks whose names begin so, folded ones, too."""
        own = {name: mark for name, mark in self.manifest.marks.items() if name.startswith(prefix)}
        return {**self._folded.that_begin(prefix), **own}

    def fold_marks(self, prefixes: tuple[str, ...]) -> None:
        """Texts that mark what begins so are in a file of their own if the manifest has too many; to `mark` nothing changes."""
        due = folding_is_due(self.manifest.marks, self.manifest.folded, prefixes)
        if due:
            sealed = folded(self.directory, self._disk, self._folded, due)
            self._commit(replaced(self.manifest.changed(unmarked=set(due)), folded=sealed))

    def append(self, rows: Any, marks: Mapping[str, int | str]) -> int:
        """A sequence of UsageEvents, or an Arrow RecordBatch or Table of their columns, with the marks that say they are in: all or nothing.

        `(source, event_id)` is an event's identity. Whoever appends keeps to its mark and so appends nothing twice; what is appended
        twice all the same counts twice until its day is compacted. Answers how many rows came in. Raises LakeRowsError.
        """
        for source, mark in marks.items():
            if not isinstance(mark, int) and len(mark) > USAGE_MARK_CHARACTERS_MAX:
                raise LakeRowsError(f"the mark of {source} has more than {USAGE_MARK_CHARACTERS_MAX} characters")
        is_arrow = not isinstance(rows, Sequence)
        count: int = rows.num_rows if is_arrow else len(rows)
        if count > LAKE_APPEND_ROWS_MAX:
            raise LakeRowsError(f"at most {LAKE_APPEND_ROWS_MAX} events at a time, not {count}: append them in slices")
        table = self._not_over(checked_rows(rows) if is_arrow else rows_of_events(rows))
        known = {one.path for one in self.manifest.files}
        made = [seal_half(self.directory, self._disk, half) for half in self._halves(table)]
        more = tuple(one for one in made if one is not None and one.path not in known)
        self._commit(self.manifest.changed(more=more, marks=marks))
        return int(table.num_rows)

    def _halves(self, table: Any) -> list[Half]:
        """The rows of each day, written; several days side by side, since packing them is most of the work of an append."""
        days = list(_by_day(table))
        if len(days) < 2:
            return [write_half(self.directory, USAGE, day, [part]) for day, part in days]
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="lake-writer") as pool:
            return list(pool.map(lambda one: write_half(self.directory, USAGE, one[0], [one[1]]), days))

    def decide(self, decision: MeterDecision) -> MeterDecision:
        """A decision added to those there are; under an id that is taken, the one that has it. Raises LakeError if that says something else."""
        before = read_decisions(self.directory)
        for one in before:
            if one.id == decision.id:
                same = replaced(decision, decided_at=one.decided_at, list_cost_nanos=one.list_cost_nanos)
                if one != same:
                    raise LakeError(f"{decision.id} is the id of another decision: give this one an id of its own")
                return one
        if sum(len(one.event_ids) for one in before) + len(decision.event_ids) > METER_DECIDED_CALLS_MAX:
            raise LakeError(
                f"decisions name at most {METER_DECIDED_CALLS_MAX} calls: mend the price or the counter and import these calls anew"
            )
        write_decisions(self.directory, (*before, decision), self._disk)
        return decision

    def roll_up(self, tell: Tell | None = None) -> int:
        """Every usage file that is not in the roll-ups yet, summed into them; each exactly once. Answers how many there were."""
        waiting = _days([one for one in self.manifest.of_kind(USAGE) if not one.rolled])
        number = 0
        for together in _together(waiting):
            number += len(together)
            _told(tell, f"summing up to {max(together)}, {number} of {len(waiting)} days")
            made = self._rollups(together)
            rolled = tuple(_rolled(one) for files in together.values() for one in files)
            self._commit(self.manifest.changed(more=(*rolled, *made)))
        return sum(len(files) for files in waiting.values())

    def compact(self, files_min: int = 2, tell: Tell | None = None) -> int:
        """Days of at least so many files, each merged into one and summed anew. Answers how many days there were.

        The result is a function of the rows alone, whatever files they came in. Of events told twice with one identity in one day, the
        telling with the most model tokens stays.
        """
        days = {day: files for day, files in _days(self.manifest.of_kind(USAGE)).items() if len(files) >= files_min}
        for number, (day, files) in enumerate(days.items(), 1):
            _told(tell, f"merging {day}, {number} of {len(days)} days")
            self._show(files)
            self._rewrite(day, merge_statement(once=self._is_told_twice()))
        return len(days)

    def retain(self, days_kept: Mapping[str, int], today: date, *, dry_run: bool = False) -> int:
        """Events older than their purpose is kept for are gone, from the roll-ups, too. Answers how many.

        An event of a day is kept for so many days after it; a purpose without a number is kept. The empty purpose is that of events
        which tell none.
        """
        for purpose, count in days_kept.items():
            if not 0 <= count <= RETENTION_DAYS_MAX:
                raise LakeError(f"{purpose or 'no purpose'} is kept for 0 to {RETENTION_DAYS_MAX} days, not {count}")
        dropped = 0
        for day, files in _days(self.manifest.of_kind(USAGE)).items():
            age = today - date.fromisoformat(day)
            over = sorted(purpose for purpose, count in days_kept.items() if age > timedelta(days=count))
            if not over:
                continue
            self._show(files)
            count = count_of(self._engine, over_count_statement(over, once=False))
            if not count:
                continue
            once = self._is_told_twice()
            dropped += count_of(self._engine, over_count_statement(over, once=True)) if once else count
            if not dry_run:
                self._rewrite(day, kept_statement(over, once=once))
        if not dry_run:
            self._commit(self.manifest.changed(marks=self._horizons(days_kept, today)))
        return dropped

    def withdraw(
        self,
        chosen: Chosen,
        idents: Sequence[str] = (),
        *,
        days: Collection[str] | None = None,
        unmarked: Callable[[str, int | str], bool] | None = None,
        told: Withdrawn | None = None,
        dry_run: bool = False,
    ) -> dict[str, int]:
        """Chosen events are gone from files and sums, and marks with them, at one instant. Answers how many of which days.

        `unmarked` says of each mark whether it goes, too; `idents` are the chosen ids where it is by them. Horizons of retention stay, so nothing comes back that is over.
        """
        if chosen.by_table:
            self._engine.register(CHOSEN, arrow().table({"event_id": arrow().array(idents, arrow().string())}))
        counts: dict[str, int] = {}
        less: set[str] = set()
        more: list[LakeFile] = []
        for day, files in _days(self.manifest.of_kind(USAGE)).items():
            is_asked = days is None or day in days
            if not is_asked or not any(chosen.source in one.sources for one in files):
                continue
            self._show(files)
            count = count_of(self._engine, chosen.count_statement())
            if not count:
                continue
            counts[day] = count
            if not dry_run:
                others = chosen.others_statement(once=self._is_told_twice())
                merged = seal(self.directory, self._disk, USAGE, day, tables_of(self._engine, others))
                more += (_rolled(merged), *self._rollup(day, [merged])) if merged else ()
                less |= {one.path for one in self.manifest.files if one.day == day}
        if not dry_run and (counts or unmarked):
            news = () if told is None else (replaced(told, event_count=sum(counts.values()), days=tuple(counts)),)
            gone = {name for name, mark in self.manifest.marks.items() if unmarked is not None and unmarked(name, mark)}
            sealed = self.manifest.folded
            if sealed is not None and unmarked is not None:
                sealed = folded(self.directory, self._disk, self._folded, {}, unmarked)
            changed = self.manifest.changed(less=less, more=tuple(more), unmarked=gone, told=news)
            self._commit(replaced(changed, folded=sealed))
        return counts

    def _horizons(self, days_kept: Mapping[str, int], today: date) -> dict[str, int | str]:
        """From which day on events of each purpose are kept, so that a log which grew brings none of them back."""
        found: dict[str, int | str] = {}
        for purpose, count in days_kept.items():
            mark = f"{_RETAINED}{purpose}"
            found[mark] = max((today - timedelta(days=count)).isoformat(), str(self.manifest.marks.get(mark, "")))
        return found

    def _not_over(self, table: Any) -> Any:
        """The rows without those whose purpose is not kept for so long."""
        pc = arrow_compute()
        for mark, first in self.manifest.marks.items():
            if mark.startswith(_RETAINED):
                is_over = pc.and_(
                    pc.equal(table.column("purpose"), mark.removeprefix(_RETAINED)),
                    pc.less(table.column("day"), date.fromisoformat(str(first))),
                )
                table = table.filter(pc.invert(is_over))
        return table

    def _show(self, files: Iterable[LakeFile]) -> None:
        show_rows(self._engine, self.directory, files)

    def _is_told_twice(self) -> bool:
        """Whether an event stands in more than one of the rows that are shown: a log that grew tells its earlier ones again."""
        return count_of(self._engine, told_twice_statement()) > 0

    def _rewrite(self, day: str, statement: str) -> None:
        """A day's files and roll-ups replaced by one of each, at one instant; the statement is of the rows that are shown."""
        less = {one.path for one in self.manifest.files if one.day == day}
        merged = seal(self.directory, self._disk, USAGE, day, tables_of(self._engine, statement))
        more = (_rolled(merged), *self._rollup(day, [merged])) if merged else ()
        self._commit(self.manifest.changed(less=less, more=more))

    def _rollup(self, day: str, files: Sequence[LakeFile]) -> tuple[LakeFile, ...]:
        return self._rollups({day: files})

    def _rollups(self, days: Mapping[str, Sequence[LakeFile]]) -> tuple[LakeFile, ...]:
        """The sums of each of these days, by one statement for all of them."""
        every = [one for files in days.values() for one in files]
        self._show(every)
        made = []
        for kind in SUM_KEYS:
            sums = tables_of(self._engine, rollup_statement(kind, fits=int64_holds(every)))
            parts = _sums_by_day(sums) if len(days) > 1 else ((day, sums) for day in days)
            for day, tables in parts:
                made.append(seal(self.directory, self._disk, kind, day, tables, of=[one.digest for one in days[day]]))
        return tuple(one for one in made if one is not None)

    def _commit(self, manifest: Manifest) -> None:
        before = self.manifest
        write_manifest(self.directory, manifest, self._disk)
        self.manifest = manifest
        if manifest.folded != before.folded:
            self._folded = FoldedMarks(self.directory, manifest.folded)
        self._remove(self.directory / path for path in _paths(before) - _paths(manifest))

    def _remove_leftovers(self) -> None:
        known = {self.directory / path for path in _paths(self.manifest)}
        found = [path for kind in (*KINDS, FOLDER) for path in (self.directory / kind).rglob("*") if path.is_file()]
        self._remove(path for path in [*found, self.directory / f"{NAME}.new"] if path not in known)

    def _remove(self, paths: Iterable[Path]) -> None:
        """Gone now, or when the lake is opened for writing next where somebody is reading."""
        gone = list(paths)
        if not gone:
            return
        with _flocked(self.directory / _READERS, fcntl.LOCK_EX) as is_alone:
            for path in gone if is_alone else ():
                self._disk.remove(path)


class LakeView:
    """The lake for questions, as it was when it was opened: no file of it goes away before the view is closed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manifest, manifest_digest = manifest_and_digest(directory)
        self.decisions, decisions_digest = decisions_and_digest(directory)
        self.digest = f"{manifest_digest} {decisions_digest}"
        """What tells it from the same lake at another time: forecasts and scores depend on what was decided, too."""


@contextlib.contextmanager
def open_lake(directory: Path, disk: Disk | None = None) -> Iterator[Lake]:
    """The lake of a home for writing, made if there is none. Raises LakeBusyError, LakeError and LakeLibraryError."""
    arrow()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _flocked(directory / _LOCK, fcntl.LOCK_EX) as is_ours:
        if not is_ours:
            raise LakeBusyError(f"another process is writing the usage lake in {directory}: try again when it is done")
        with contextlib.ExitStack() as resources:
            yield Lake(directory, disk or Disk(), resources)


@contextlib.contextmanager
def read_lake(directory: Path) -> Iterator[LakeView]:
    """The lake of a home for questions; one that holds nothing if there is none. Raises LakeError and LakeLibraryError."""
    arrow()
    if not directory.is_dir():
        yield LakeView(directory)
        return
    with _flocked(directory / _READERS, fcntl.LOCK_SH, waits=True):
        yield LakeView(directory)


@contextlib.contextmanager
def _flocked(path: Path, kind: int, *, waits: bool = False) -> Iterator[bool]:
    """Whether the lock is ours within the block. The kernel lets go of it when its holder dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, kind if waits else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _by_day(table: Any) -> Iterator[tuple[str, Any]]:
    """The rows of each day in the order in which they lie in a file."""
    pc = arrow_compute()
    places = pc.sort_indices(table, [(name, "ascending") for name in ORDER])
    is_ordered = not pc.any(pc.less(pc.pairwise_diff(places.cast("int64")), 0)).as_py()
    ordered = table if is_ordered else table.take(places)
    start = 0
    for counted in pc.value_counts(ordered.column("day")).to_pylist():
        yield counted["values"].isoformat(), ordered.slice(start, counted["counts"])
        start += counted["counts"]


def _days(files: Iterable[LakeFile]) -> dict[str, list[LakeFile]]:
    found: dict[str, list[LakeFile]] = {}
    for one in sorted(files, key=lambda file: (file.day, file.path)):
        found.setdefault(one.day, []).append(one)
    return found


def _together(waiting: Mapping[str, Sequence[LakeFile]]) -> Iterator[dict[str, Sequence[LakeFile]]]:
    """Days that are summed by one statement: a person's year has few calls a day, and a statement for each takes longer than they do.

    Sums of small days are whole in one table each, so they are the same files as if each day were summed alone.
    """
    found: dict[str, Sequence[LakeFile]] = {}
    for day, files in waiting.items():
        every = [one for some in (*found.values(), files) for one in some]
        if found and (sum(one.row_count for one in every) > LAKE_ROW_GROUP_ROWS or not int64_holds(every)):
            yield found
            found = {}
        found[day] = files
    if found:
        yield found


def _sums_by_day(tables: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Sums of several days, which lie in the order of their days, parted by them."""
    whole = arrow().concat_tables(list(tables))
    start = 0
    for counted in arrow_compute().value_counts(whole.column("day")).to_pylist():
        yield counted["values"].isoformat(), [whole.slice(start, counted["counts"])]
        start += counted["counts"]


def _paths(manifest: Manifest) -> set[str]:
    """Every file that a manifest names."""
    return {one.path for one in manifest.files} | ({manifest.folded.path} if manifest.folded else set())


def _rolled(file: LakeFile) -> LakeFile:
    return replaced(file, rolled=True)


def _told(tell: Tell | None, what: str) -> None:
    if tell is not None:
        tell(what)
