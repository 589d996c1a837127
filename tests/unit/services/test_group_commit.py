"""Group commit: nothing is sent before its hold is as durable as promised, and a disk that fails is never papered over."""

import asyncio
import errno
import random
import threading
from pathlib import Path

import pytest

from tests.cast import CREDIT
from tests.desk import Desk, lot, make_meter, wallet
from tokenroll.services.group_commit import GroupCommit
from tokenroll.store import tape as tapes
from tokenroll.store.tape import (
    HOLDS,
    Durability,
    KernelDisk,
    TapeWriter,
    iter_records,
    read_blocks,
    segment_paths,
)


class TracedDisk(KernelDisk):
    """The real disk, with a trace, and with what would be left if power went now and took all since the last fdatasync."""

    def __init__(self):
        self.trace: list[tuple] = []
        self.written = bytearray()
        self.safe_bytes = 0
        self.fail_write_at = self.fail_sync_at = 0
        self.threads: set[str] = set()

    def write(self, descriptor, data):
        self.threads.add(threading.current_thread().name)
        self.fail_write_at -= 1
        if self.fail_write_at == 0:
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(descriptor, data)
        self.written += data
        self.trace.append(("write", len(self.written)))

    def sync(self, descriptor):
        self.fail_sync_at -= 1
        if self.fail_sync_at == 0:
            raise OSError(errno.EIO, "Input/output error")
        bytes_before = len(self.written)
        super().sync(descriptor)
        self.safe_bytes = bytes_before
        self.trace.append(("fdatasync returned", bytes_before))

    def holds_after_power_loss(self):
        """The sequences of all holds that a reader finds when everything since the last fdatasync is gone."""
        return holds_in(bytes(self.written[: self.safe_bytes]))


def holds_in(data):
    found = set()
    for block in read_blocks(data):
        for index, (kind, _, _) in enumerate(iter_records(block.payload)):
            if kind in HOLDS:
                found.add(block.first_sequence + index)
    return found


class Caller:
    """A call of Ada's that records what it is told."""

    def __init__(self, office, dial=False):
        self.office = office
        self.dial = dial
        self.hold = office.desk.admit()
        self.told = []
        self.done = asyncio.get_running_loop().create_future()

    def find_connection(self):
        self.told.append("connecting")
        self.office.disk.trace.append(("connecting", self.hold.sequence))
        if self.dial:
            asyncio.get_running_loop().call_later(0.001, self.office.commit.dispatch, self)
        else:
            self.office.commit.dispatch(self)

    def on_dispatched(self):
        self.told.append("dispatched")
        self.office.disk.trace.append(("dispatched", self.hold.sequence))
        self.office.at_dispatch(self)
        self.done.set_result(None)

    def on_fault(self, error):
        self.told.append(f"fault: {error}")
        self.done.set_result(None)

    def on_commit_failed(self, error):
        self.told.append(f"failed: {error.strerror}")
        if not self.done.done():
            self.done.set_result(None)


class Office:
    """Desk, disk and group commit on a loop."""

    def __init__(self, directory: Path, durability, calls=500, idle_seconds=0.0, disk=None):
        self.disk = disk or TracedDisk()
        self.desk = Desk(directory, wallet(lot(1, calls * CREDIT)), disk=self.disk)
        self.directory = directory
        self.blocks: list[bytes] = []
        self.failures: list[OSError] = []
        self.lost: list[int] = []
        self.commit = GroupCommit(
            self.desk.tape,
            durability,
            asyncio.get_running_loop(),
            clock=lambda: self.desk.now,
            append_dispatched=lambda holds: self.desk.dispatch(*holds),
            after_dispatch=lambda: None,
            on_block=self.blocks.append,
            on_failure=self.failures.append,
            idle_seconds=idle_seconds,
        )

    def at_dispatch(self, caller):
        """Were power to go at this instant, the hold of what is now being sent must still be on the tape."""
        if caller.hold.sequence not in self.disk.holds_after_power_loss():
            self.lost.append(caller.hold.sequence)

    def send(self, *, dial=False, alone=False, body_bytes=0):
        caller = Caller(self, dial)
        self.commit.hold_ready(caller, alone=alone, body_bytes=body_bytes)
        return caller


async def busy_hour(directory, durability, seed, calls=120):
    """Calls at random moments, some with a connection at hand and some without, some settled before the next."""
    chance = random.Random(seed)
    office = Office(directory, durability)
    callers: list[Caller] = []
    while len(callers) < calls:
        callers += [
            office.send(
                dial=chance.random() < 0.3,
                alone=chance.random() < 0.5,
                body_bytes=chance.choice((0, 0, 100_000, 300_000)),
            )
            for _ in range(chance.randrange(1, 9))
        ]
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() / 1000)
        if chance.random() < 0.3:
            await callers[0].done
            if callers[0].hold.state == "held":
                office.desk.spending.settle(
                    callers[0].hold, make_meter(input=10), office.desk.now, 200, tapes.Finish.COMPLETE
                )
                office.commit.soon()
    await asyncio.gather(*(one.done for one in callers))
    office.commit.close()
    office.desk.tape.close()
    return office, callers


@pytest.mark.parametrize("durability", list(Durability))
def test_every_call_is_told_durable_then_dispatched_once(tmp_path, durability):
    office, callers = asyncio.run(busy_hour(tmp_path, durability, seed=1))
    assert all(one.told == ["connecting", "dispatched"] for one in callers)
    (path,) = segment_paths(tmp_path)
    data = path.read_bytes()
    assert holds_in(data) >= {one.hold.sequence for one in callers}
    assert b"".join(office.blocks) == data[tapes.SEGMENT_HEADER_BYTES :]


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize("step", ["find_connection", "on_dispatched"])
def test_a_call_that_cannot_be_sent_holds_up_no_other(tmp_path, durability, step):
    """Ada's call raises in the middle of the group; those before and behind it are sent all the same, and it is told once."""

    def broken():
        raise ValueError("nested too deeply")

    async def three():
        office = Office(tmp_path, durability)
        callers = [office.send() for _ in range(3)]
        setattr(callers[1], step, broken)
        await asyncio.wait_for(asyncio.gather(*(one.done for one in callers)), 10)
        office.commit.close()
        office.desk.tape.close()
        return [one.told for one in callers]

    ada = ["fault: nested too deeply"] if step == "find_connection" else ["connecting", "fault: nested too deeply"]
    assert asyncio.run(three()) == [["connecting", "dispatched"], ada, ["connecting", "dispatched"]]


@pytest.mark.parametrize("seed", range(5))
def test_synced_power_loss_at_any_dispatch_loses_no_hold(tmp_path, seed):
    office, _ = asyncio.run(busy_hour(tmp_path, Durability.SYNCED, seed))
    assert office.lost == []


@pytest.mark.parametrize("seed", range(2))
def test_synced_fdatasync_returns_before_anything_is_sent(tmp_path, seed):
    office, callers = asyncio.run(busy_hour(tmp_path, Durability.SYNCED, seed))
    trace = office.disk.trace
    for caller in callers:
        sequence = caller.hold.sequence
        durable, dispatched = trace.index(("connecting", sequence)), trace.index(("dispatched", sequence))
        safe = max(count for what, count in trace[:durable] if what == "fdatasync returned")
        assert sequence in holds_in(bytes(office.disk.written[:safe]))
        assert durable < dispatched
        # its DISPATCHED was written in between, and no sync was waited for
        assert any(what == "write" for what, _ in trace[durable:dispatched])


def test_a_planted_missing_sync_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(TapeWriter, "sync", lambda self: None)
    office, callers = asyncio.run(busy_hour(tmp_path, Durability.SYNCED, seed=0))
    assert {one.hold.sequence for one in callers} & set(office.lost)


def test_large_bodies_do_not_wait_for_the_end_of_the_turn(tmp_path):
    async def scene():
        office = Office(tmp_path, Durability.WRITTEN)
        first, second = office.send(body_bytes=100_000), office.send(body_bytes=100_000)
        assert not first.told
        assert not second.told
        third = office.send(body_bytes=100_000)  # 300,000 bytes are more than 256 KiB
        told = [one.told for one in (first, second, third)]
        assert told == [["connecting", "dispatched"]] * 3
        small = office.send()
        assert not small.told
        await small.done
        office.commit.close()

    asyncio.run(scene())


def test_under_synced_large_bodies_wait_for_the_disk_as_all_do(tmp_path):
    async def scene():
        office = Office(tmp_path, Durability.SYNCED)
        large = office.send(body_bytes=1_000_000)
        assert not large.told
        await large.done
        assert large.told == ["connecting", "dispatched"]
        assert not office.lost
        office.commit.close()

    asyncio.run(scene())


def test_a_planted_dispatch_before_the_sync_is_caught(tmp_path, monkeypatch):
    def hasty(self, waiter, *, alone, body_bytes):
        del alone, body_bytes
        waiter.find_connection()
        self._waiters.append(waiter)
        self.soon()

    monkeypatch.setattr(GroupCommit, "hold_ready", hasty)
    monkeypatch.setattr(
        Caller,
        "find_connection",
        lambda self: self.office.at_dispatch(self) or self.done.done() or self.done.set_result(None),
    )

    async def send_one():
        office = Office(tmp_path, Durability.SYNCED)
        await office.send().done
        office.commit.close()
        office.desk.tape.close()
        return office

    assert asyncio.run(send_one()).lost


def test_written_never_syncs_a_call(tmp_path):
    office, _ = asyncio.run(busy_hour(tmp_path, Durability.WRITTEN, seed=3))
    syncs = [what for what, _ in office.disk.trace if what == "fdatasync returned"]
    assert len(syncs) == 2  # the segment's head, and its end


def test_written_a_call_that_comes_alone_is_on_the_tape_and_sent_before_the_loop_turns(tmp_path):
    async def alone():
        office = Office(tmp_path, Durability.WRITTEN)
        caller = office.send(alone=True)
        assert caller.told == ["connecting", "dispatched"]
        assert [what for what, _ in office.disk.trace[-3:]] == ["connecting", "write", "dispatched"]
        assert caller.hold.sequence in holds_in(bytes(office.disk.written))
        gathered = office.send()  # another in the same turn waits for its end, and so does whoever comes after it
        late = office.send(alone=True)
        assert gathered.told == late.told == []
        await asyncio.gather(gathered.done, late.done)
        office.commit.close()
        office.desk.tape.close()

    asyncio.run(alone())


def test_synced_nobody_is_sent_alone_before_the_sync(tmp_path):
    async def alone():
        office = Office(tmp_path, Durability.SYNCED)
        caller = office.send(alone=True)
        assert caller.told == []
        await caller.done
        assert office.lost == []
        office.commit.close()
        office.desk.tape.close()

    asyncio.run(alone())


def test_a_call_that_comes_alone_hears_of_a_full_disk_and_is_not_sent(tmp_path):
    async def alone():
        disk = TracedDisk()
        office = Office(tmp_path, Durability.WRITTEN, disk=disk)
        disk.fail_write_at = 1
        caller = office.send(alone=True)
        assert caller.told == ["connecting", "failed: No space left on device"]
        assert [error.errno for error in office.failures] == [errno.ENOSPC]
        office.desk.tape.close()

    asyncio.run(alone())


def test_calls_that_come_together_share_one_sync_and_one_dispatch(tmp_path):
    async def together():
        office = Office(tmp_path, Durability.SYNCED)
        callers = [office.send() for _ in range(50)]
        await asyncio.gather(*(one.done for one in callers))
        trace = [what for what, _ in office.disk.trace]
        assert trace.count("fdatasync returned") == 2  # the segment's head, and all fifty
        assert trace.count("write") == 3  # the head, fifty holds, one DISPATCHED
        office.commit.close()
        office.desk.tape.close()

    asyncio.run(together())


def test_settlements_are_written_without_anybody_waiting(tmp_path):
    async def settle():
        office = Office(tmp_path, Durability.SYNCED)
        caller = office.send()
        await caller.done
        blocks = len(office.blocks)
        office.desk.settle(caller.hold, input=5)
        office.commit.soon()
        office.commit.soon()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(office.blocks) == blocks + 1
        assert not office.desk.tape.has_pending
        office.commit.close()
        office.desk.tape.close()

    asyncio.run(settle())


@pytest.mark.parametrize("durability", list(Durability))
def test_a_settlement_goes_with_the_next_hold_or_alone_after_its_patience(tmp_path, durability):
    async def settle():
        office = Office(tmp_path, durability, idle_seconds=0.02)
        first, second = office.send(), office.send()
        await asyncio.gather(first.done, second.done)
        written = len(office.disk.trace)
        office.desk.settle(first.hold, input=5)
        office.commit.soon()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(office.disk.trace) == written
        third = office.send()  # a hold does not wait, and takes the settlement along
        await third.done
        assert not office.desk.tape.has_pending
        office.desk.settle(second.hold, input=5)
        office.commit.soon()
        for _ in range(200):
            await asyncio.sleep(0.005)
            if not office.desk.tape.has_pending:
                break
        assert not office.desk.tape.has_pending
        office.desk.settle(third.hold, input=5)
        office.commit.close()  # an orderly end leaves nothing behind
        assert not office.desk.tape.has_pending
        office.desk.tape.close()

    asyncio.run(settle())


@pytest.mark.parametrize("durability", list(Durability))
def test_a_full_disk_stops_admitting_and_pretends_nothing(tmp_path, durability):
    async def fill():
        office = Office(tmp_path, durability)
        first = office.send()
        await first.done
        office.disk.fail_write_at = 1
        second = office.send()
        await second.done
        third = office.send()
        await third.done
        assert first.told == ["connecting", "dispatched"]
        assert second.told[-1] == third.told[-1] == "failed: No space left on device"
        assert "dispatched" not in second.told + third.told
        assert [one.errno for one in office.failures] == [errno.ENOSPC]
        assert office.commit.failure is office.failures[0]
        office.commit.close()
        return first.hold.sequence

    sequence = asyncio.run(fill())
    (path,) = segment_paths(tmp_path)
    assert holds_in(path.read_bytes()) == {sequence}  # the torn block counts as never written


def test_a_failed_sync_stops_admitting(tmp_path):
    async def fail():
        office = Office(tmp_path, Durability.SYNCED)
        office.disk.fail_sync_at = 1
        callers = [office.send() for _ in range(3)]
        await asyncio.gather(*(one.done for one in callers))
        assert [one.told for one in callers] == [["failed: Input/output error"]] * 3
        late = office.send()
        await late.done
        assert late.told == ["failed: Input/output error"]
        assert not [what for what, _ in office.disk.trace if what == "dispatched"]
        office.commit.close()

    asyncio.run(fail())


def test_a_disk_that_fails_at_the_dispatch_sends_nothing(tmp_path):
    async def fail():
        office = Office(tmp_path, Durability.WRITTEN)
        office.disk.fail_write_at = 1
        caller = office.send()
        await caller.done
        assert caller.told == ["connecting", "failed: No space left on device"]
        (path,) = segment_paths(tmp_path)
        assert not holds_in(
            path.read_bytes()
        )  # half of the block that held HOLD and DISPATCHED: none of it is read back

    asyncio.run(fail())


def test_a_stalled_disk_gathers_more_than_one_block_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(tapes, "TAPE_BLOCK_BYTES_MAX", 8_192)
    monkeypatch.setattr(tapes, "_BLOCK_RECORDS_SAFE", 10)

    async def stall():
        office = Office(tmp_path, Durability.SYNCED)
        callers = [office.send() for _ in range(400)]
        await asyncio.gather(*(one.done for one in callers))
        office.commit.close()
        office.desk.tape.close()
        assert office.lost == []
        assert len(office.blocks) > 4

    asyncio.run(stall())


def test_only_the_tapes_thread_waits_for_the_disk(tmp_path):
    office, _ = asyncio.run(busy_hour(tmp_path, Durability.SYNCED, seed=4))
    assert office.disk.threads == {"MainThread", "tape"}
    assert not [one for one in threading.enumerate() if one.name == "tape"]


class HeldDisk(TracedDisk):
    """A disk whose sync waits, in the thread, until it is let go."""

    def __init__(self):
        super().__init__()
        self.may_sync = threading.Event()
        self.may_sync.set()

    def sync(self, descriptor):
        self.may_sync.wait(10)
        super().sync(descriptor)


def spans(blocks):
    return [tapes.block_span(block) for block in blocks]


def test_a_block_that_the_thread_has_just_written_is_told_before_later_ones_when_it_closes(tmp_path):
    disk = HeldDisk()

    async def story():
        office = Office(tmp_path, Durability.SYNCED, disk=disk)
        disk.may_sync.clear()
        caller = office.send()
        await asyncio.sleep(0)  # the thread has it now
        office.desk.tape.append(tapes.pack_name(99, "appended while the disk worked"))
        disk.may_sync.set()
        office.commit.close()
        told = spans(office.blocks)
        await asyncio.sleep(0.01)  # the callback that the thread had asked for finds nothing to do
        assert spans(office.blocks) == told
        return office, caller, told

    office, caller, told = asyncio.run(story())
    assert [first for first, _ in told] == [1, *(last + 1 for _, last in told[:-1])]
    assert told[-1][1] == office.desk.tape.next_sequence - 1
    assert caller.told[0] == "connecting"
    assert bytes(office.disk.written).endswith(office.blocks[-1])


def test_a_block_is_told_though_the_loop_is_closed_before_the_thread_has_written_it(tmp_path):
    disk = HeldDisk()
    loop = asyncio.new_event_loop()

    async def begin():
        office = Office(tmp_path, Durability.SYNCED, disk=disk)
        disk.may_sync.clear()
        office.send()
        await asyncio.sleep(0)
        return office

    office = loop.run_until_complete(begin())
    loop.close()
    disk.may_sync.set()
    office.commit.close()
    told = spans(office.blocks)
    assert told[0][0] == 1
    assert told[-1][1] == office.desk.tape.next_sequence - 1
