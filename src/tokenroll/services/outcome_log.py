"""The log of outcomes that a home keeps: what webhooks told, a line an event, synced before its sender hears that it is taken.

Telling an event again changes nothing that is asked of it, so whoever is not sure that it arrived sends it once more. Only the newest
event of an outcome decides, so the log is shortened to those when it has grown long.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tokenroll.model.instant import text_from_instant
from tokenroll.model.limits import OUTCOME_LOG_BYTES_MAX
from tokenroll.services.outcomes import OutcomeEvent, outcome_event

_KEPT_EIGHTHS_MAX: Final = 6
"""A log is written anew only where that makes room for a quarter of its limit: else every delivery would do it."""


class OutcomeLogError(Exception):
    """Events that cannot be kept, or a log that cannot be read; the message says why."""


class OutcomeLog:
    """One home's log, for any number of processes and threads: each write holds the lock beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._full_bytes = -1
        """How long the log was when nothing of it could be left out: it is not read again to find the same."""

    def append(self, events: Sequence[OutcomeEvent]) -> None:
        """Events, on disk all of them or none when this returns. Raises OutcomeLogError."""
        lines = b"".join(map(_line, events))
        if not lines:
            return
        try:
            with self._locked():
                self._shorten(len(lines))
                self._add(lines)
        except OSError as error:
            raise OutcomeLogError(f"{self._path} cannot be written: {error.strerror}") from error

    def events(self) -> Iterator[OutcomeEvent]:
        """Everything that is kept; nothing where nobody told anything yet. Raises OutcomeLogError for a line that is none."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutcomeLogError(f"{self._path} cannot be read: {error.strerror}") from error
        with stream:
            for number, line in enumerate(stream, 1):
                if line.endswith(b"\n"):  # a line without its end was never acknowledged
                    yield self._event(line, number)

    def _event(self, line: bytes, number: int) -> OutcomeEvent:
        try:
            return outcome_event(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise OutcomeLogError(f"{self._path}:{number} is damaged ({error}): remove the line") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _add(self, lines: bytes) -> None:
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            kept = _whole_bytes(file)
            os.ftruncate(file, kept)  # what a process that died has left of a line
            try:
                _write_all(file, lines)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, kept)
                raise
        finally:
            os.close(file)
        if is_new:
            _sync_directory(self._path.parent)

    def _shorten(self, more: int) -> None:
        """A log that would grow above its limit, written anew with what still decides. Raises OutcomeLogError where that is too much."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if size + more <= OUTCOME_LOG_BYTES_MAX:
            return
        lines = b"" if size == self._full_bytes else b"".join(map(_line, _deciding(self.events())))
        if size == self._full_bytes or len(lines) + more > OUTCOME_LOG_BYTES_MAX * _KEPT_EIGHTHS_MAX // 8:
            self._full_bytes = size
            message = f"{self._path} holds {size} bytes of outcomes that nearly all decide, and no more are taken: keep it aside"
            raise OutcomeLogError(message)
        half = self._path.with_suffix(".new")
        file = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, lines)
            os.fsync(file)
        finally:
            os.close(file)
        half.replace(self._path)
        _sync_directory(self._path.parent)


def _deciding(events: Iterable[OutcomeEvent]) -> list[OutcomeEvent]:
    """Of each outcome, and of each session of it, the event that decides (`outcomes.standing`)."""
    newest: dict[tuple[str, str], OutcomeEvent] = {}
    for event in events:
        for place in {(event.outcome, ""), (event.outcome, event.session)}:
            before = newest.get(place)
            if before is None or (event.at, not event.is_accepted) > (before.at, not before.is_accepted):
                newest[place] = event
    return sorted(set(newest.values()))


def _line(event: OutcomeEvent) -> bytes:
    told = {"outcome": event.outcome, "at": text_from_instant(event.at), "event": event.event, "session": event.session}
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _whole_bytes(file: int) -> int:
    """How much of the file is whole lines: its last one may lack its end, where a process died."""
    size = os.fstat(file).st_size
    end = size
    while end > 0:
        start = max(0, end - 4096)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
