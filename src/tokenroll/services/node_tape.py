"""A node's tape where the ledger cannot see it: which segments are offered for deletion, and what happens when they may go.

The rule is the ledger's (services/retention.py); here is only what must be read from the disk. For threads: a segment has 64 MB.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenroll.model.limits import NODE_SEGMENTS_TOLD_MAX
from tokenroll.services.protocol import Deletable, Segments, SegmentTerms
from tokenroll.services.recovery import epoch_paths, epochs_on_disk
from tokenroll.services.worker_link import WorkerCore, WorkerLink
from tokenroll.store import tape

HOUSE_SECONDS: Final = 60
"""As the ledger keeps house for the workers of its own machine."""

_log = logging.getLogger(__name__)


class NodeTape:
    """Offers a worker's segments to its ledger every minute while it spends, and deletes those that may go."""

    def __init__(self, core: WorkerCore, directory: Path) -> None:
        self._core = core
        self._directory = directory
        self._known: dict[Path, SegmentTerms] = {}
        self._answer: asyncio.Queue[Deletable] = asyncio.Queue(1)
        self._task: asyncio.Task[None] | None = None

    def start(self, link: WorkerLink) -> None:
        """Begins on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(link), name="node tape")

    async def close(self) -> None:
        """No more questions; what is left stays for the next life."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def answered(self, message: Deletable) -> None:
        """What the ledger says of the last question; one that nobody waits for is dropped, for the question comes again."""
        if not self._answer.full():
            self._answer.put_nowait(message)

    async def _run(self, link: WorkerLink) -> None:
        while True:
            await asyncio.sleep(HOUSE_SECONDS)
            try:
                await self._round(link)
            except TimeoutError:
                continue
            except (OSError, tape.TapeError):
                _log.exception("the tape's segments cannot be looked at; it is tried again in %d s", HOUSE_SECONDS)

    async def _round(self, link: WorkerLink) -> None:
        core = self._core
        if not core.spending or not core.is_welcome:
            return
        offered = await asyncio.to_thread(
            offered_segments, self._directory, core.epoch, core.acked_sequence, self._known
        )
        if not offered:
            return
        while not self._answer.empty():
            self._answer.get_nowait()
        link.say(Segments(worker=core.worker, segments=offered))
        async with asyncio.timeout(HOUSE_SECONDS):
            answer = await self._answer.get()
        await asyncio.to_thread(delete_segments, answer.segments, self._known)


def offered_segments(
    directory: Path, epoch: int, acknowledged: int, known: dict[Path, SegmentTerms]
) -> list[SegmentTerms]:
    """The oldest segments that may be folded by now: all of earlier lives, of this one (`epoch`) what is acknowledged.

    The newest segment stays, for its worker writes it. `known` keeps what was read, so that no file is read twice.
    """
    offered: list[SegmentTerms] = []
    for one in (each for each in epochs_on_disk(directory) if each <= epoch):
        paths = epoch_paths(directory, one)
        for place, path in enumerate(paths[:-1] if one == epoch else paths):
            if len(offered) >= NODE_SEGMENTS_TOLD_MAX:
                return offered
            if path not in known:
                known[path] = _facts(path, paths[place + 1] if place + 1 < len(paths) else None)
            if one == epoch and known[path].last_sequence > acknowledged:
                return offered
            offered.append(known[path])
    return offered


def delete_segments(deletable: Iterable[tuple[int, int]], known: dict[Path, SegmentTerms]) -> int:
    """How many of these segments were deleted. One that nobody offered stays, whoever asks."""
    wanted = set(deletable)
    gone = [path for path, one in known.items() if (one.epoch, one.segment) in wanted]
    for path in gone:
        path.unlink(missing_ok=True)
        del known[path]
    return len(gone)


def _facts(path: Path, following: Path | None) -> SegmentTerms:
    """What the ledger is told of a segment. Where it ends, the next one's header says; only a life's last one is read block by block."""
    data = path.read_bytes()
    header = tape.read_header(data)
    if following is None:
        last = header.first_sequence - 1
        for block in tape.read_blocks(data):
            last = block.last_sequence
    else:
        with following.open("rb") as file:
            last = tape.read_header(file.read(tape.SEGMENT_HEADER_BYTES)).first_sequence - 1
    return SegmentTerms(header.epoch, header.segment, header.first_sequence, last, hashlib.sha256(data).digest())
