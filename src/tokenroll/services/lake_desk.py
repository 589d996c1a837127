"""Questions to the usage lake and pictures, answered aside: by a process of its own, in bounded time and memory, for doors that never freeze.

An answer is kept with the digest of the lake's manifest that it was made from, so the same question of the same lake is not computed
twice. Who asks while too many wait is told to come again, and an answer that takes too long ends with the process that makes it.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from tokenroll.insight.pictures import Picture
from tokenroll.ledger_place import LedgerPlace, line_of_place
from tokenroll.model.limits import (
    LAKE_ANSWER_BYTES_MAX,
    LAKE_ANSWER_SECONDS_MAX,
    LAKE_ANSWERS_BYTES_MAX,
    LAKE_FRESH_SECONDS,
    LAKE_WAITING_MAX,
    PICTURE_SECONDS_MAX,
)
from tokenroll.store.lake_meters import MeterCall

_END_SECONDS: Final = 5.0
_READ_BYTES: Final = 1 << 20

DRAW: Final = "draw"
"""The kind of question that asks for a picture and no lake."""
LIBRARY: Final = "library"
"""A library of an extra is not installed."""
QUESTION: Final = "question"
"""What was asked cannot be."""
BUSY: Final = "busy"
"""Not now: too many wait, or it took too long."""
FAILED: Final = "failed"
"""The lake is damaged, or something went wrong."""


class LakeDeskError(Exception):
    """No answer; `kind` is one of the words above, and the message says why and what to do."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class _Kept(NamedTuple):
    digest: str
    seen: float
    text: bytes


class LakeDesk:
    """The questions of one home; safe for any number of threads. Nothing runs before the first of them.

    Pictures of a page that asks no lake are drawn by another process, so that nobody's wallet waits for somebody's forecast.
    """

    def __init__(
        self, lake_directory: Path, ledger: LedgerPlace, *, seconds_max: float = LAKE_ANSWER_SECONDS_MAX,
        fresh_seconds: float = LAKE_FRESH_SECONDS,
    ) -> None:  # fmt: skip
        command = [
            sys.executable, "-P", "-m", "tokenroll.services.lake_answers", str(lake_directory), str(fresh_seconds),
        ]  # fmt: skip
        where = line_of_place(ledger)
        self._lake = _Aside(command, where, seconds_max)
        self._drawing = _Aside(command, where, min(seconds_max, PICTURE_SECONDS_MAX))
        self._fresh_seconds = fresh_seconds
        self._keeping = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._kept_bytes = 0

    def ask(self, kind: str, facts: Mapping[str, Any]) -> Any:
        """The answer, as plain structures. Raises LakeDeskError."""
        return self._ask(self._lake, kind, facts)

    def quarantined(self) -> list[MeterCall]:
        """The gateway's calls that no pace of a wallet is taken from; none where nobody can judge them for want of the lake's libraries.

        Raises LakeDeskError.
        """
        try:
            found: list[list[Any]] = self.ask("quarantined", {})
        except LakeDeskError as error:
            if error.kind == LIBRARY:
                return []
            raise
        return [MeterCall._make([*fields, tuple(counts)]) for *fields, counts in found]

    def draw(self, picture: Picture, name: str, title: str) -> str:
        """The picture as elements for a page, see `drawing.svgs_for_page`. Raises LakeDeskError."""
        found: str = self._ask(self._drawing, DRAW, {"picture": picture, "name": name, "title": title})
        return found

    def prepare(self) -> None:
        """Whoever answers is started, if nobody is there: a page that asks both waits for the slower one, not for both in turn."""
        for aside in (self._lake, self._drawing):
            aside.prepare()

    def close(self) -> None:
        """Whoever answers ends."""
        self._lake.close()
        self._drawing.close()

    def _ask(self, aside: "_Aside", kind: str, facts: Mapping[str, Any]) -> Any:
        key = json.dumps([kind, facts], sort_keys=True, default=str)
        kept = self._find(key)
        if kept is not None and time.monotonic() - kept.seen < self._fresh_seconds:
            return json.loads(kept.text)
        question = {"kind": kind, "facts": facts, "known": None if kept is None else kept.digest}
        said = json.loads(aside.exchange(json.dumps(question, default=str).encode() + b"\n"))
        if "problem" in said:
            raise LakeDeskError(said["problem"], said["message"])
        text = kept.text if kept is not None and said.get("same") else json.dumps(said["answer"]).encode()
        self._keep(key, _Kept(said["digest"], time.monotonic(), text))
        return json.loads(text)

    def _find(self, key: str) -> _Kept | None:
        with self._keeping:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            return kept

    def _keep(self, key: str, kept: _Kept) -> None:
        """The newest answers, as many as fit."""
        with self._keeping:
            before = self._kept.pop(key, None)
            self._kept_bytes += len(kept.text) - (0 if before is None else len(before.text))
            self._kept[key] = kept
            while self._kept_bytes > LAKE_ANSWERS_BYTES_MAX and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1].text)


class _Aside:
    """A process that is told where the ledger is, and then answers one line with one line. One that is late or died is ended, and the next question starts another."""

    def __init__(self, command: list[str], where: bytes, seconds_max: float) -> None:
        self._command = command
        self._where = where
        self._seconds_max = seconds_max
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()
        self._waiting = threading.BoundedSemaphore(LAKE_WAITING_MAX)

    def exchange(self, question: bytes) -> bytes:
        """The answer to one question, which waits its turn. Raises LakeDeskError."""
        if not self._waiting.acquire(blocking=False):
            raise LakeDeskError(BUSY, "too many questions wait for the usage lake: ask again in a few seconds")
        try:
            until = time.monotonic() + self._seconds_max
            if not self._asking.acquire(timeout=self._seconds_max):
                raise LakeDeskError(BUSY, "the usage lake is being asked by others: ask again in a few seconds")
            try:
                return self._exchange(question, until)
            finally:
                self._asking.release()
        finally:
            self._waiting.release()

    def prepare(self) -> None:
        """It is started, unless it is being asked. Raises LakeDeskError."""
        if self._asking.acquire(blocking=False):
            try:
                self._started()
            finally:
                self._asking.release()

    def close(self) -> None:
        """It ends."""
        with self._asking:
            self._end()

    def _exchange(self, question: bytes, until: float) -> bytes:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(question)
            process.stdin.flush()
            return _line(process.stdout, until)
        except TimeoutError as error:
            self._end()
            message = f"the answer took more than {self._seconds_max:.0f} seconds: ask again, for a shorter period or for less at a time"
            raise LakeDeskError(BUSY, message) from error
        except OSError as error:
            self._end()
            message = (
                "whoever answers from the usage lake ended, most likely for lack of memory: ask for less at a time"
            )
            raise LakeDeskError(FAILED, message) from error

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            try:
                self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  our own program
            except OSError as error:
                raise LakeDeskError(
                    FAILED, f"whoever answers from the usage lake could not be started: {error}"
                ) from error
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):  # one that died by now is told of when it is asked
                self._process.stdin.write(self._where)
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it only reads, but for a lake that survives this at any instruction
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)


def _line(told: IO[bytes], until: float) -> bytes:
    """The bytes up to a line's end. Raises TimeoutError when it is late, and another OSError when it does not come or is too long."""
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(told, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            part = os.read(told.fileno(), _READ_BYTES)
            found += part
            if not part or len(found) > LAKE_ANSWER_BYTES_MAX:
                raise BrokenPipeError
    return bytes(found)
