"""A worker's talk with the ledger when something refuses or breaks on the way: nothing that is on a tape is left behind."""

import asyncio

import pytest
from msgspec.structs import replace

from tests.ledger_kit import ADA_LOT, BOOT, START, Kit, dispatched_record, hold_record, settle_record
from tests.lone_worker import LoneWorker
from tokenroll.services import recovery
from tokenroll.services.leases import Leases
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import Ack, Lease, LotTerms, Refusal, WalletTerms
from tokenroll.services.recovery import epoch_blocks
from tokenroll.services.worker_link import LIVE_REPORT_BYTES_MAX, REPORT_PAUSE_SECONDS, WorkerCore, WorkerLink
from tokenroll.store import tape as tapes
from tokenroll.store.tape import TapeWriter, pack_name, worker_directory

HELD = 10_000_000


class Life(LoneWorker):
    def __init__(self):
        self.heard = []

    def begin(self, epoch):
        self.heard.append("begin")

    def take_used(self, keys_max: int) -> list[int]:
        return []

    def apply_view(self, view):
        self.heard.append("view")

    def apply_lease(self, lease):
        self.heard.append("lease")
        self.lots = {lot.id: lot.available_nanos for wallet in lease.wallets for lot in wallet.lots}

    def apply_delta(self, delta):
        self.heard.append("delta")

    def ended(self, refusal):
        self.heard.append(f"ended {refusal.kind}")


@pytest.fixture
def directory(tmp_path):
    return worker_directory(tmp_path, 0)


def earlier_life(directory, *blocks):
    """A dead worker's tape."""
    tape = TapeWriter(directory, worker=0, epoch=1, boot_id=BOOT, created_at=START)
    for records in blocks:
        for record in records:
            tape.append(record)
        tape.write(tape.take_block(), START)
    tape.close()


def test_it_spends_nothing_while_the_fold_refuses_an_earlier_life(directory, monkeypatch):
    one = Kit()
    earlier_life(directory, [hold_record(1, (ADA_LOT, HELD))], [dispatched_record(1)], [settle_record(1, 1_000, 100)])
    fold = one.ledger.report
    refusing = [True]
    monkeypatch.setattr(
        one.ledger, "report", lambda message: Refusal("charge", "halted") if refusing else fold(message)
    )
    life = Life()
    core = WorkerCore(0, directory, life, boot_id=BOOT, clock=lambda: START)
    line = Loopback(LedgerServer(one.ledger), core)
    for _ in range(3):
        line.pump()
        core.retry()
    line.pump()
    assert not core.spending
    assert life.heard == []
    refusing.clear()
    core.retry()
    line.pump()
    assert core.spending
    assert one.lot(ADA_LOT) == (0, 0, 4_500_000)


def test_it_ends_and_says_why_when_an_earlier_tape_is_damaged(directory):
    one = Kit()
    earlier_life(directory, [hold_record(1, (ADA_LOT, HELD))])
    (segment,) = directory.glob("*.tape")
    data = bytearray(segment.read_bytes())
    data[9] ^= 0xFF
    segment.write_bytes(data)
    life = Life()
    core = WorkerCore(0, directory, life, boot_id=BOOT, clock=lambda: START)
    Loopback(LedgerServer(one.ledger), core).pump()
    assert life.heard == ["ended tape"]
    assert not core.spending


def test_it_reads_again_only_the_segments_that_were_not_folded(directory, monkeypatch):
    monkeypatch.setattr(tapes, "TAPE_SEGMENT_BYTES_MAX", 1)  # a segment for each block
    earlier_life(directory, *([hold_record(sequence, (ADA_LOT, HELD))] for sequence in (1, 2, 3, 4)))
    read = []
    whole = recovery._mapped

    def noted(path):
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(recovery, "_mapped", noted)
    assert [block.first_sequence for block in epoch_blocks(directory, 1, 2)] == [3, 4]
    assert read == ["00000001-000004.tape", "00000001-000005.tape"]
    read.clear()
    assert len(list(epoch_blocks(directory, 1))) == 4
    assert len(read) == 4  # and not the empty one that was made before anything was written


def test_a_worker_whose_memory_overflowed_reads_what_is_missing_from_its_tape(directory, monkeypatch):
    monkeypatch.setattr(tapes, "TAPE_SEGMENT_BYTES_MAX", 1)
    monkeypatch.setattr("tokenroll.services.worker_link.WAITING_BYTES_MAX", 200)
    one = Kit()
    life = Life()
    core = WorkerCore(0, directory, life, boot_id=BOOT, clock=lambda: START)
    line = Loopback(LedgerServer(one.ledger), core)
    line.pump()
    tape = TapeWriter(directory, worker=0, epoch=core.epoch, boot_id=BOOT, created_at=START)
    core.lost()
    for sequence in range(1, 7):
        tape.append(hold_record(sequence, (ADA_LOT, HELD)))
        block = tape.take_block()
        tape.write(block, START)
        core.report(block)
    tape.close()
    assert core._overflowed
    Loopback(LedgerServer(one.ledger), core).pump()
    assert (core.acked_sequence, core.unreported_records) == (6, 0)
    assert one.lot(ADA_LOT) == (6 * HELD, 0, 0)


def test_blocks_of_a_moment_wait_and_are_acknowledged_as_one_piece(directory):
    """While the ledger stands still: its first word must not be answered with a walk over every block since."""
    one = Kit()
    core = WorkerCore(0, directory, Life(), boot_id=BOOT, clock=lambda: START)
    Loopback(LedgerServer(one.ledger), core).pump()
    tape = TapeWriter(directory, worker=0, epoch=core.epoch, boot_id=BOOT, created_at=START)
    core.lost()
    blocks = []
    for sequence in range(1, 8):
        tape.append(hold_record(sequence, (ADA_LOT, HELD)))
        blocks.append(tape.take_block())
        tape.write(blocks[-1], START)
    tape.close()
    core.report(*blocks[:6])
    core.report(blocks[6])
    assert [last for last, _ in core._waiting] == [6, 7]
    assert core.unreported_records == 7
    Loopback(LedgerServer(one.ledger), core).pump()
    assert (core.acked_sequence, core.unreported_records, len(core._waiting), core._waiting_bytes) == (7, 0, 0, 0)
    assert one.lot(ADA_LOT) == (7 * HELD, 0, 0)


def test_while_calls_are_served_a_report_is_small_and_the_next_one_follows_at_once(directory, monkeypatch):
    """A ledger that was away is told in parts that hold nobody up; where a full part waits, nothing is gained by a pause."""
    monkeypatch.setattr("tokenroll.services.worker_link.LIVE_REPORT_BYTES_MAX", 300)
    one = Kit()
    told = []
    core = WorkerCore(0, directory, Life(), boot_id=BOOT, clock=lambda: START)
    Loopback(LedgerServer(one.ledger), core).pump()
    tape = TapeWriter(directory, worker=0, epoch=core.epoch, boot_id=BOOT, created_at=START)
    fold = one.ledger.report

    def noted(message):
        told.append((len(message.blocks), core.is_behind))
        return fold(message)

    monkeypatch.setattr(one.ledger, "report", noted)
    core.lost()
    for sequence in range(1, 13):
        tape.append(hold_record(sequence, (ADA_LOT, HELD)))
        block = tape.take_block()
        assert 100 < len(block) < 150
        tape.write(block, START)
        core.report(block)
    tape.close()
    Loopback(LedgerServer(one.ledger), core).pump()
    assert core.acked_sequence == 12
    assert [size < 300 for size, _ in told] == [True] * 6
    assert [behind for _, behind in told] == [True, True, True, True, False, False], "six blocks of over 100 bytes are"


def test_a_lease_that_was_cut_off_is_replaced_by_the_next_one():
    lot = LotTerms(1, 0, 0, 0, 0, "tool")
    terms = WalletTerms(7, "wallet_7", "Ada", "member", "UTC", [lot], "enforce", "deny", 1_000, 0, 0, 0, 100)
    leases = Leases(b"pepper")
    leases.apply_lease(Lease([terms], 0, 3, False))
    back = replace(terms, lots=[replace(lot, available_nanos=100)], suspense_nanos=0)
    leases.apply_lease(Lease([back], 0, 4, True))  # suspense was resolved while the line was down
    wallet = leases.wallets[7]
    assert (wallet.lots[1].left_nanos, wallet.suspense_nanos) == (100, 0)
    leases.apply_lease(Lease([terms], 0, 4, True))
    assert leases.wallets[7] is wallet  # from here on the worker knows better


@pytest.mark.parametrize("turns", range(6))
def test_a_link_ends_however_shortly_before_it_the_ledger_has_left(directory, turns):
    """Worker and ledger are told to end together: some turns of the loop after the connection was lost the link is closed."""

    async def both_end():
        link = WorkerLink(WorkerCore(0, directory, Life(), boot_id=BOOT, clock=lambda: START), directory / "sock")
        directory.mkdir(parents=True)
        accepted = asyncio.get_running_loop().create_future()
        server = await asyncio.start_unix_server(lambda *both: accepted.set_result(both), directory / "sock")
        link.start()
        reader, writer = await accepted
        await reader.readexactly(1)  # of its HELLO
        link.lost()
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await link.close()
        writer.close()
        server.close()

    asyncio.run(both_end())


def test_acknowledgments_are_heard_a_moment_later_so_that_reports_hold_more_than_one_group_of_calls(directory):
    heard = []

    class Core(WorkerCore):
        def received(self, message):
            heard.append(message)

    async def story():
        link = WorkerLink(Core(0, directory, Life(), boot_id=BOOT, clock=lambda: START), directory / "sock")
        refusal, first, second, third = Refusal("overdraw", "of lot 3"), Ack(1, 5), Ack(1, 9), Ack(1, 12)
        link.received(first)
        assert heard == [first], "while earlier lives are told nothing waits"
        link.core.spending = True
        link.received(second)
        link.received(refusal)
        assert heard == [first, refusal]
        await asyncio.sleep(2 * REPORT_PAUSE_SECONDS)
        assert heard == [first, refusal, second]
        link.received(first)
        link.lost()
        await asyncio.sleep(2 * REPORT_PAUSE_SECONDS)
        assert heard == [first, refusal, second], "what a lost connection said is not heard on the next one"
        link.core.lost()
        tape = TapeWriter(directory, worker=0, epoch=1, boot_id=BOOT, created_at=START)
        tape.append(pack_name(1, "a" * 200))
        block = tape.take_block()
        tape.close()
        link.core.report(*[block] * (2 * LIVE_REPORT_BYTES_MAX // len(block) + 1))
        link.received(third)
        assert heard == [first, refusal, second, third], "where more than a full report waits, it does not wait longer"

    asyncio.run(story())


def test_a_slice_of_sums_is_as_long_as_keeps_nobody_waiting(monkeypatch):
    """Calls of ten thousand keys are ten thousand sums: 2,000 of them kept wants of workers waiting for half a second."""
    seconds, asked = [100.0], []

    def roll_up(limit: int) -> int:
        asked.append(limit)
        seconds[0] += limit * (0.000_01 if len(asked) < 6 else 0.000_1)
        return limit if len(asked) < 9 else 0

    monkeypatch.setattr("tokenroll.services.ledger_server.time.thread_time", lambda: seconds[0])
    asyncio.run(LedgerServer(Kit().ledger)._roll_up(roll_up))
    assert asked == [250, 500, 1_000, 2_000, 2_000, 2_000, 1_000, 500, 250]


def test_nothing_is_summed_while_an_earlier_life_is_folded(directory, monkeypatch):
    """Callers wait for the fold; for sums of usage nobody waits, and one whose fold is refused holds them up for a second only."""
    one = Kit()
    earlier_life(directory, [hold_record(1, (ADA_LOT, HELD))], [dispatched_record(1)], [settle_record(1, 1_000, 100)])
    server = LedgerServer(one.ledger)
    summed = []

    def once(limit: int) -> int:
        summed.append("once")
        return 0

    def sums():
        asyncio.run(server._roll_up(once))
        return len(summed)

    seconds = [100.0]
    monkeypatch.setattr("tokenroll.services.ledger_server.time.monotonic", lambda: seconds[0])
    assert sums() == 1
    line = Loopback(server, WorkerCore(0, directory, Life(), boot_id=BOOT, clock=lambda: START))
    assert line.step()  # HELLO
    assert sums() == 1
    seconds[0] += 0.9
    assert line.step()  # WELCOME
    assert line.step()  # REPORT
    seconds[0] += 0.9
    assert sums() == 1
    seconds[0] += 0.2
    assert sums() == 2
    seconds[0] -= 1
    line.pump()
    assert sums() == 3
