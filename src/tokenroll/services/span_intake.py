"""Calls that programs report as spans: on disk before they are acknowledged, in the usage lake soon after, each once.

A request's calls are lines of a file under `spool/`, synced before its sender is told that they are taken. Now and then those files are
brought into the lake, which has one writer at a time: while another process writes it, they wait. How far a file is in stands in the
lake's own marks, so whoever dies in between and starts again brings nothing twice. What is said in a call never gets this far: an event
has no place for it.
"""

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tokenroll.model.limits import (
    SPANS_COMPACT_FILES,
    SPANS_DRAIN_EVENTS,
    SPANS_DRAIN_SECONDS,
    SPANS_FILE_BYTES,
    SPANS_IDS_REMEMBERED_MAX,
    SPANS_SPOOL_BYTES_MAX,
)
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.clocks import clock_problem
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.otel_spans import decoded_request, request_events
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.store.lake import Lake, LakeBusyError, open_lake
from tokenroll.store.lake_libraries import LakeLibraryError, arrow
from tokenroll.store.lake_manifest import LakeError
from tokenroll.store.lake_schema import LakeRowsError

MARK: Final = "otel-spool"
"""The lake's mark: a file of the spool and how many of its lines are in."""
_LOCK: Final = "lock"
_STARTS, _ENDS, _BAD = "calls-", ".jsonl", ".bad"
_EVENT: Final = msgspec.json.Decoder(UsageEvent)
_log = logging.getLogger(__name__)


class SpoolError(Exception):
    """Spans that cannot be taken now; the sender is to try again. The message says why."""


class Taken(NamedTuple):
    """What became of one request's spans: calls that are safe now, repeats among them, and those that could not be read."""

    call_count: int
    repeat_count: int
    rejected_count: int
    reason: str


class SpanIntake:
    """The spool of one home, for any number of threads of one process."""

    def __init__(self, spool: Path, lake: Path, attribution: Attribution | None = None) -> None:
        self._spool = spool
        self._lake = lake
        self._attribution = attribution or Attribution()
        self._lock = threading.Lock()
        self._draining = threading.Lock()
        self._held: int | None = None
        self._file: int | None = None
        self._path: Path | None = None
        self._known: dict[str, None] = {}
        self._around: set[tuple[str, str]] = set()
        self._spool_bytes = 0
        self._told = ""

    @cached_property
    def _prices(self) -> ListPrices:
        return published_list_prices()

    def take(self, body: bytes) -> Taken:
        """A request's calls, on disk when this returns. Raises ValueError for no OTLP, SpoolError and LakeLibraryError."""
        arrow()
        request = decoded_request(body)
        prices = self._prices
        intake = Intake()
        with self._lock:
            self._begin()
            if len(self._around) > SPANS_IDS_REMEMBERED_MAX:
                self._around.clear()
            events = [
                self._attribution.applied(one)
                for one in request_events(request, "", prices, intake, around=self._around)
            ]
            now = time.time_ns() // 1000
            wrong = [problem for one in events if (problem := clock_problem(one.admitted_at, now))]
            for problem in wrong:
                intake.is_bad("request", 0, problem)
            events = [one for one in events if not clock_problem(one.admitted_at, now)] if wrong else events
            fresh = [one for one in events if one.event_id not in self._known]
            if fresh:
                self._write(b"".join(msgspec.json.encode(one) + b"\n" for one in fresh))
            for one in fresh:
                self._remember(one.event_id)
        repeats = len(events) - len(fresh) + intake.repeat_count
        reason = intake.bad_rows[0].reason if intake.bad_rows else ""
        return Taken(len(events), repeats, intake.bad_count, reason)

    def round(self) -> float:
        """What the timer does: everything that waits goes into the lake. Answers in how many seconds the next round is due."""
        try:
            self.drain()
        except LakeBusyError:
            pass
        except (LakeError, LakeLibraryError, SpoolError, OSError) as error:
            if str(error) != self._told:
                _log.warning("reported calls wait outside the usage lake: %s", error)
            self._told = str(error)
        else:
            self._told = ""
        return SPANS_DRAIN_SECONDS

    def drain(self) -> int:
        """Everything that waits, brought into the lake. Answers how many calls. Raises LakeBusyError while another one writes it."""
        with self._draining:
            with self._lock:
                if self._held is None and not self._spool.is_dir():
                    return 0
                self._begin()
                files = self._files()
                if not files:
                    return 0
            with open_lake(self._lake) as lake:
                with self._lock:
                    self._close_file()
                    files = self._files()
                count = sum(self._bring(lake, path) for path in files)
                lake.compact(SPANS_COMPACT_FILES)
            return count

    def close(self) -> None:
        """The files closed and the spool free for the next process."""
        with self._lock:
            self._close_file()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    # ---- the spool -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The spool is ours; what the last process left in it is known. Raises SpoolError while it is another's."""
        if self._held is not None:
            return
        self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(self._spool / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            raise SpoolError("another process takes this home's spans: try again when it has ended") from None
        self._held = held
        for path in self._files():
            self._spool_bytes += path.stat().st_size
            for event in _events_of(path):
                self._remember(event.event_id)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._spool.glob(f"{_STARTS}*{_ENDS}"))

    def _remember(self, event_id: str) -> None:
        self._known[event_id] = None
        if len(self._known) > SPANS_IDS_REMEMBERED_MAX:
            del self._known[next(iter(self._known))]

    def _write(self, lines: bytes) -> None:
        if self._spool_bytes + len(lines) > SPANS_SPOOL_BYTES_MAX:
            raise SpoolError(f"{self._spool_bytes} bytes of calls wait for the usage lake, and no more are taken")
        try:
            file = self._open_file()
            before = os.fstat(file).st_size
            try:
                _write_all(file, lines)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, before)
                raise
        except OSError as error:
            self._close_file()
            raise SpoolError(f"{self._spool} cannot be written: {error.strerror}") from error
        self._spool_bytes += len(lines)
        if before + len(lines) >= SPANS_FILE_BYTES:
            self._close_file()

    def _open_file(self) -> int:
        if self._file is None:
            self._path = self._spool / f"{_STARTS}{time.time_ns():020d}-{os.urandom(4).hex()}{_ENDS}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            _sync_directory(self._spool)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # ---- into the lake ---------------------------------------------------------------------------------------------

    def _bring(self, lake: Lake, path: Path) -> int:
        """A closed file's calls appended under the mark, and the file gone. One that the lake refuses is kept aside."""
        size = path.stat().st_size
        name, _, done = str(lake.marks.get(MARK, "")).partition(":")
        place = int(done) if name == path.name else 0
        events = list(_events_of(path))
        count = len(events) - place
        try:
            while place < len(events):
                part: Sequence[UsageEvent] = events[place : place + SPANS_DRAIN_EVENTS]
                place += len(part)
                lake.append(part, {MARK: f"{path.name}:{place}"})
        except LakeRowsError as error:
            path.rename(path.with_suffix(_BAD))
            _log.warning("%s is kept aside, because the usage lake does not take it: %s", path.with_suffix(_BAD), error)
            count = 0
        else:
            path.unlink()
        _sync_directory(self._spool)
        with self._lock:
            self._spool_bytes -= size
        return count


def _events_of(path: Path) -> Iterator[UsageEvent]:
    """The calls of a file. A line without its end was never acknowledged."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            try:
                yield _EVENT.decode(line)
            except ValueError as error:
                _log.warning("a line of %s is no call: %s", path, error)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        os.fsync(descriptor)
