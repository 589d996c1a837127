"""Slips made in processes of their own, so that a pay run uses every core; the writer only hashes and stores what they answer.

A reader is this module as a program: it opens the ledger read-only, keeps one snapshot, and answers each range of wallets that it is
asked for with the slips of it. It ends when its input ends, so it never outlives the ledger that started it.
"""

import os
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from queue import SimpleQueue
from typing import IO, Final, TypeAlias

import msgspec

from tokenroll.ledger_place import LedgerPlace, line_of_place, place_of_line
from tokenroll.model.instant import Instant
from tokenroll.services.slip_making import SlipPart, part_of
from tokenroll.services.slip_rows import SlipRows
from tokenroll.store.collector import no_cycle_search
from tokenroll.store.cycles import CycleBook
from tokenroll.store.database import open_reader

READERS_MAX: Final = 4
"""More would wait for the writer."""
_AHEAD: Final = 2
"""Answers that may lie ready for each reader: a megabyte each."""
_END_SECONDS: Final = 5.0
_LENGTH: Final = struct.Struct("<Q")

Range: TypeAlias = tuple[int, int]
"""First and last wallet id, both included."""
_Process: TypeAlias = "subprocess.Popen[bytes]"


class _Answer(msgspec.Struct, array_like=True):
    part: SlipPart | None
    problem: str


class SlipReaderError(RuntimeError):
    """A reader died, or could not be started: how, in a few words."""


def parts_aside(place: LedgerPlace, cycle: int, now: Instant, ranges: Iterable[Range]) -> Iterator[SlipPart]:
    """The slips of each range in turn, made by as many processes as there are cores, from what is committed.

    For a writer that keeps every other from writing, and that has written nothing yet of which slips are made: then the readers
    see what it sees. Raises AssertionError as `slip_amounts` does, SlipReaderError for a reader that died.
    """
    count = min(max(len(os.sched_getaffinity(0)), 2), READERS_MAX)
    with ExitStack() as stack:
        free: SimpleQueue[_Process] = SimpleQueue()
        for _ in range(count):
            free.put(stack.enter_context(_reader(place, cycle, now)))
        pool = ThreadPoolExecutor(count, thread_name_prefix="pay-run")
        stack.callback(pool.shutdown, cancel_futures=True)
        left = iter(ranges)
        ahead: deque[Future[bytes]] = deque(
            pool.submit(_answer_of, free, *one) for one in islice(left, count * (1 + _AHEAD))
        )
        while ahead:
            said = msgspec.msgpack.decode(ahead.popleft().result(), type=_Answer)
            if said.part is None:
                raise AssertionError(said.problem)
            for one in islice(left, 1):
                ahead.append(pool.submit(_answer_of, free, *one))
            yield said.part


@contextmanager
def _reader(place: LedgerPlace, cycle: int, now: Instant) -> Iterator[_Process]:
    """A reader that has been told its ledger: where others cannot read it, for a URL may hold a password."""
    command = [sys.executable, "-P", "-m", "tokenroll.services.slip_readers", str(cycle), str(now)]
    try:
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  our own program
    except OSError as error:
        raise SlipReaderError(f"it could not be started: {error}") from error
    try:
        assert started.stdin is not None
        with suppress(OSError):  # one that died by now is told of when it is asked
            started.stdin.write(line_of_place(place))
        yield started
    finally:
        started.kill()  # it only reads
        for pipe in (started.stdin, started.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it died without reading
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            started.wait(_END_SECONDS)


def _answer_of(free: SimpleQueue[_Process], first: int, last: int) -> bytes:
    """Asks a reader that is free; waiting for its answer leaves Python to the writer."""
    reader = free.get()
    assert reader.stdin is not None
    assert reader.stdout is not None
    try:
        reader.stdin.write(b"%d %d\n" % (first, last))
        reader.stdin.flush()
        head = reader.stdout.read(_LENGTH.size)
        length = _LENGTH.unpack(head)[0]
        answer = reader.stdout.read(length)
    except (OSError, struct.error) as error:
        raise SlipReaderError(_end_of(reader)) from error
    finally:
        free.put(reader)  # a dead one, too: whoever waits for it must hear of it
    if len(answer) != length:
        raise SlipReaderError(_end_of(reader))
    return answer


def _end_of(reader: _Process) -> str:
    """How it ended; what it said of it is on the ledger's own standard error."""
    with suppress(subprocess.TimeoutExpired):
        reader.wait(_END_SECONDS)
    return f"it ended with exit status {reader.returncode}"


def serve(cycle: int, now: Instant, asked: IO[bytes], told: IO[bytes]) -> None:
    """Answers ranges, one a line, until there are no more. The first line says where the ledger is."""
    encoder = msgspec.msgpack.Encoder()
    engine = open_reader(place_of_line(asked.readline()))
    with engine.connect() as connection, no_cycle_search():
        book = CycleBook(connection)
        rows = SlipRows(connection, book, book.numbered(cycle), now)
        for line in asked:
            first, last = map(int, line.split())
            try:
                answer = _Answer(part_of(rows.within(first, last)), "")
            except AssertionError as error:
                answer = _Answer(None, str(error))
            text = encoder.encode(answer)
            told.write(_LENGTH.pack(len(text)))
            told.write(text)
            told.flush()
    engine.dispose()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
