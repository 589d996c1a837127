"""Settlements may wait a moment for the next hold's write; they are never left unwritten."""

import asyncio
from pathlib import Path

from tokenroll.services.group_commit import GroupCommit
from tokenroll.store.tape import Durability, TapeWriter, pack_name, read_blocks, segment_paths


def records(folder: Path) -> list[int]:
    """How many records each written block holds."""
    return [block.record_count for path in segment_paths(folder) for block in read_blocks(path.read_bytes())]


class Call:
    hold = None

    def __init__(self) -> None:
        self.durable = False

    def find_connection(self) -> None:
        self.durable = True


def made(folder: Path, idle_seconds: float) -> tuple[TapeWriter, GroupCommit]:
    tape = TapeWriter(folder, worker=0, epoch=1, boot_id=bytes(16), created_at=0)
    commit = GroupCommit(
        tape, Durability.WRITTEN, asyncio.get_running_loop(), clock=lambda: 0, append_dispatched=lambda holds: None,
        after_dispatch=lambda: None, on_block=lambda block: None, on_failure=lambda error: None, idle_seconds=idle_seconds,
    )  # fmt: skip
    return tape, commit


def test_a_settlement_is_written_by_itself_when_no_call_comes(tmp_path):
    async def story() -> None:
        tape, commit = made(tmp_path, 0.02)
        tape.append(pack_name(1, "settled"))
        commit.soon()
        commit.soon()
        await asyncio.sleep(0)
        assert records(tmp_path) == []
        while not records(tmp_path):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.005)
        assert records(tmp_path) == [1]
        commit.close()
        tape.close()

    asyncio.run(story())


def test_a_settlement_goes_with_the_next_calls_hold(tmp_path):
    async def story() -> None:
        tape, commit = made(tmp_path, 30)
        tape.append(pack_name(1, "settled"))
        commit.soon()
        tape.append(pack_name(2, "a hold"))
        call = Call()
        commit.hold_ready(call)  # type: ignore[arg-type]  # as much of a waiter as is asked of it
        while not call.durable:  # noqa: ASYNC110 - turns of the loop are the point
            await asyncio.sleep(0)
        assert records(tmp_path) == [2]
        tape.append(pack_name(3, "settled later"))
        commit.soon()
        commit.close()
        assert records(tmp_path) == [2, 1]
        tape.close()

    asyncio.run(story())
