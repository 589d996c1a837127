"""Calls that programs report as spans: on disk before they are acknowledged, in the usage lake soon after, each once.

A request's calls are lines of a file under `spool/`, synced before its sender is told that they are taken. Now and then those files are
brought into the lake, which has one writer at a time: while another process writes it, they wait. How far a file is in stands in the
lake's own marks, so whoever dies in between and starts again brings nothing twice. Beside the calls stand the names of the spans that
they stand in, so the index of both can be made again of the files. What is said in a call never gets this far: an event has no place
for it.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Sequence
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tokenroll.model.limits import (
    SPANS_COMPACT_FILES,
    SPANS_DRAIN_EVENTS,
    SPANS_DRAIN_SECONDS,
    SPANS_FILE_BYTES,
    SPANS_SPOOL_BYTES_MAX,
)
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.attribution import Attribution
from tokenroll.services.importers.clocks import clock_problem
from tokenroll.services.importers.intake import Intake
from tokenroll.services.importers.otel_spans import SOURCE, decoded_request, request_events
from tokenroll.services.list_prices import ListPrices, published_list_prices
from tokenroll.services.span_index import AROUND, NAME, SpanIndex
from tokenroll.store.lake import Lake, LakeBusyError, open_lake
from tokenroll.store.lake_libraries import LakeLibraryError, arrow
from tokenroll.store.lake_manifest import LakeError
from tokenroll.store.lake_rollups import Chosen
from tokenroll.store.lake_schema import LakeRowsError, rows_of_events

MARK: Final = "otel-spool"
"""The lake's mark: a file of the spool and how many of its lines are in."""
_LOCK: Final = "lock"
_STARTS, _ENDS, _BAD = "calls-", ".jsonl", ".bad"
_EVENT: Final = msgspec.json.Decoder(UsageEvent)
_AROUND: Final = msgspec.json.Decoder(list[str])
_FIRST_DAY: Final = date(1970, 1, 1)
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
        self._index: SpanIndex | None = None
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
            around: set[str] = set()
            events = [
                self._attribution.applied(one) for one in request_events(request, "", prices, intake, around=around)
            ]
            now = time.time_ns() // 1000
            wrong = [problem for one in events if (problem := clock_problem(one.admitted_at, now))]
            for problem in wrong:
                intake.is_bad("request", 0, problem)
            events = [one for one in events if not clock_problem(one.admitted_at, now)] if wrong else events
            known = self._flags({*around, *(one.event_id for one in events)})
            events = [one for one in events if not known.get(one.event_id, 0) & AROUND]
            fresh = [one for one in events if one.event_id not in known]
            new = sorted(name for name in around if not known.get(name, 0) & AROUND)
            if fresh or new:
                self._write(fresh, new)
        repeats = len(events) - len(fresh) + intake.repeat_count
        reason = intake.bad_rows[0].reason if intake.bad_rows else ""
        return Taken(len(events), repeats, intake.bad_count, reason)

    def round(self) -> float:
        """What the timer does: everything that waits goes into the lake. Answers in how many seconds the next round is due."""
        try:
            self.drain()
        except LakeBusyError:
            pass
        except (LakeError, LakeLibraryError, SpoolError, OSError, sqlite3.Error) as error:
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
                self._put_right(lake)
                lake.compact(SPANS_COMPACT_FILES)
            return count

    def close(self) -> None:
        """The files closed and the spool free for the next process."""
        with self._lock:
            self._close_file()
            if self._held is not None:
                os.close(self._held)
                self._held = None
            if self._index is not None:
                self._index.close()
                self._index = None

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
        try:
            index = SpanIndex(self._spool)
            for path in self._files():
                told = _told_in(path)
                index.add(
                    [(one.event_id, one.admitted_at) for one in told if isinstance(one, UsageEvent)],
                    [name for one in told if isinstance(one, list) for name in one],
                )
        except sqlite3.Error as error:
            os.close(held)
            raise self._unindexed(error) from error
        self._held, self._index = held, index
        self._spool_bytes = sum(path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        return sorted(path for path in self._spool.glob(f"{_STARTS}*{_ENDS}"))

    def _unindexed(self, error: sqlite3.Error) -> SpoolError:
        return SpoolError(
            f"{self._spool / NAME} cannot be used: {error}; where it is damaged, remove it: it is made again of what waits"
        )

    def _flags(self, names: Collection[str]) -> dict[str, int]:
        """What the index knows of these spans."""
        if self._index is None:
            return {}
        try:
            return self._index.flags(names)
        except sqlite3.Error as error:
            raise self._unindexed(error) from error

    def _write(self, events: Sequence[UsageEvent], around: Sequence[str]) -> None:
        """Calls and the names of spans around them: on disk and in the index, or nothing of them."""
        told: list[UsageEvent | list[str]] = [list(around)] if around else []
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in (*told, *events))
        if self._spool_bytes + len(lines) > SPANS_SPOOL_BYTES_MAX:
            raise SpoolError(f"{self._spool_bytes} bytes of calls wait for the usage lake, and no more are taken")
        try:
            file = self._open_file()
            before = os.fstat(file).st_size
            try:
                _write_all(file, lines)
                os.fsync(file)
                if self._index is not None:
                    self._index.add([(one.event_id, one.admitted_at) for one in events], around)
            except (OSError, sqlite3.Error):
                os.ftruncate(file, before)
                raise
        except sqlite3.Error as error:
            self._close_file()
            raise self._unindexed(error) from error
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
            _sync(self._spool)
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # ---- into the lake ---------------------------------------------------------------------------------------------

    def _bring(self, lake: Lake, path: Path) -> int:
        """A closed file's calls appended under the mark, and the file gone. A call that the lake refuses is kept aside."""
        size = path.stat().st_size
        name, _, done = str(lake.marks.get(MARK, "")).partition(":")
        place = int(done) if name == path.name else 0
        lines = _told_in(path)
        count = 0
        try:
            while place < len(lines):
                part = lines[place : place + SPANS_DRAIN_EVENTS]
                good = self._alone(self._sound(path, place, part))
                place += len(part)
                count += lake.append(good, {MARK: f"{path.name}:{place}"})
        except LakeRowsError as error:
            path.rename(path.with_suffix(_BAD))
            _log.warning("%s is kept aside, because the usage lake does not take it: %s", path.with_suffix(_BAD), error)
        else:
            with self._lock:
                if self._index is not None:
                    self._index.sync()
            path.unlink()
        _sync(self._spool)
        with self._lock:
            self._spool_bytes -= size
        return count

    def _alone(self, events: Sequence[UsageEvent]) -> list[UsageEvent]:
        """Without those of which it has become known since that they stand around a call."""
        with self._lock:
            known = self._flags([one.event_id for one in events])
        return [one for one in events if not known.get(one.event_id, 0) & AROUND]

    def _sound(self, path: Path, place: int, lines: "Sequence[_Told]") -> list[UsageEvent]:
        """The calls that are rows of the lake; every other line but names is kept aside with its number and the reason."""
        events = [one for one in lines if isinstance(one, UsageEvent)]
        is_sound = not _refusal(events)
        bad = []
        good = []
        for number, one in enumerate(lines, place + 1):
            if isinstance(one, list):
                continue
            reason = one.reason if isinstance(one, _Unread) else "" if is_sound else _refusal([one])
            if reason:
                bad.append({"line": number, "reason": reason, "call": one.text if isinstance(one, _Unread) else one})
                _log.warning("line %d of %s is kept aside: it is no call: %s", number, path, reason)
            elif isinstance(one, UsageEvent):
                good.append(one)
        if bad:
            aside = path.with_name(f"{path.stem}-{place + 1}{_BAD}")
            aside.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in bad))
            _sync(aside)
            _sync(self._spool)
        return good

    def _put_right(self, lake: Lake) -> None:
        """Spans that were taken as calls before a call in them came are no calls in the lake any more."""
        with self._lock:
            mistaken = self._index.mistaken() if self._index is not None else {}
        if not mistaken:
            return
        days = {(_FIRST_DAY + timedelta(days=day)).isoformat() for day in mistaken.values()}
        lake.withdraw(Chosen(SOURCE, by_table=True), list(mistaken), days=days)
        with self._lock:
            if self._index is not None:
                self._index.put_right(mistaken)


class _Unread(NamedTuple):
    """A line that is no call, and why."""

    text: str
    reason: str


_Told: TypeAlias = "UsageEvent | list[str] | _Unread"


def _told_in(path: Path) -> list[_Told]:
    """The lines of a file: calls, and names of spans around calls. A line without its end was never acknowledged."""
    found: list[_Told] = []
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            try:
                found.append(_AROUND.decode(line) if line.startswith(b"[") else _EVENT.decode(line))
            except ValueError as error:
                found.append(_Unread(line.decode("utf-8", "replace").rstrip("\n"), str(error)))
    return found


def _refusal(events: Sequence[UsageEvent]) -> str:
    """Why the lake does not take these; empty where it does."""
    try:
        rows_of_events(events)
    except LakeRowsError as error:
        return str(error)
    return ""


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        os.fsync(descriptor)
