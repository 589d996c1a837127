"""Ledger, client and worker on real sockets and files: who may come in, what is delivered, what outlives whom."""

import asyncio
import itertools
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.ledger_kit import (
    ADA_LOT,
    BOOT,
    CREDIT,
    HANDLERS,
    START,
    Command,
    Kit,
    Report,
    dispatched_record,
    hold_record,
    pack_block,
    settle_record,
)
from tests.lone_worker import ListeningWorker
from tokenroll.services.ledger_client import LedgerClient, LedgerUnreachableError
from tokenroll.services.ledger_home import LedgerBusyError, held_lock, open_ledger
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.protocol import Applied, encode
from tokenroll.services.reporting import Reports
from tokenroll.services.retention import delete_folded_segments
from tokenroll.services.worker_link import WAITING_BYTES_MAX, WorkerCore, WorkerLink, lock_worker
from tokenroll.store import tape
from tokenroll.store.tape import segment_paths, worker_directory


class Home:
    """A home on disk whose ledger can be started and ended."""

    def __init__(self, folder: Path) -> None:
        numbers = itertools.count(1)
        self.socket = folder / "run" / "ledger.sock"
        self.tapes = folder / "tape"
        self.directory = worker_directory(self.tapes, 0)
        self.files: dict[str, Any] = {
            "ledger_place": folder / "ledger.db", "lock_path": folder / "run" / "lock", "clock": lambda: START,
            "commands": HANDLERS, "random_bits": lambda bits: next(numbers) % (1 << bits),
        }  # fmt: skip

    def client(self) -> LedgerClient:
        return LedgerClient(socket_path=self.socket, tape_directory=self.tapes, **self.files)

    def fill(self) -> None:
        commands: list[tuple[str, dict[str, Any]]] = [
            ("department.create", {"name": "Engineering", "cost_centre": "R1"}),
            ("member.create", {"name": "Ada", "department": "Engineering", "zone": "UTC"}),
            ("plan.create", {"name": "tools", "kind": "stipend", "classification": "tool", "amount_nanos": CREDIT}),
            ("card.create", {}),
            ("grant.create", {"to": "Ada", "plan": "tools"}),
        ]
        with self.client() as client:
            for number, (name, arguments) in enumerate(commands):
                reply = client.execute(Command(id=f"fill-{number}", name=name, arguments=arguments))
                assert reply.result is not None, reply.problem


@pytest.fixture
def home(tmp_path):
    one = Home(tmp_path)
    one.fill()
    return one


def top_up(client, command_id):
    return client.execute(Command(id=command_id, name="grant.top_up", arguments={"to": "Ada", "amount_nanos": 5}))


async def until(condition):
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came true")


def served(home, story):
    """The story, an async function of (ledger, call), while the ledger is served; `call` runs blocking code aside."""

    async def main():
        with open_ledger(**home.files) as ledger:
            server = LedgerServer(ledger)
            await server.start(home.socket, home.tapes)
            try:
                await story(ledger, asyncio.get_running_loop().run_in_executor)
            finally:
                await server.close()

    asyncio.run(main())


def test_it_works_alone_under_the_lock_and_remembers(home):
    with home.client() as client:
        assert top_up(client, "t").result["delivery"] == "no_worker"
        assert client.status().values["batch"] == 6
    with home.client() as client:
        assert top_up(client, "t").result["amount_nanos"] == 5
        assert client.status().values["batch"] == 6


def test_it_lets_one_process_write_at_a_time(home):
    with (
        held_lock(home.files["lock_path"]),
        pytest.raises(LedgerBusyError, match="is writing the ledger"),
        open_ledger(**home.files),
    ):
        pass


def test_it_serves_only_its_owner_and_cleans_up(home):
    async def story(ledger, call):
        assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600
        client = home.client()
        reply = await call(None, top_up, client, "t")
        assert reply.result["delivery"] == "no_worker"
        client.close()

    served(home, story)
    assert not home.socket.exists()
    assert stat.S_IMODE(home.files["ledger_place"].stat().st_mode) == 0o600


def test_it_delivers_a_grant_to_the_worker_before_it_answers(home):
    async def story(ledger, call):
        events = ListeningWorker(home.directory)
        core = WorkerCore(0, home.directory, events, boot_id=BOOT, clock=lambda: START)
        link = WorkerLink(core, home.socket)
        link.start()
        await until(lambda: core.spending)
        client = home.client()
        reply = await call(None, top_up, client, "t")
        assert reply.result["delivery"] == "applied"
        assert events.lots == {1: CREDIT, 2: 5}
        client.close()
        core.report(events.write(hold_record(1, (ADA_LOT, 1000)), dispatched_record(1), settle_record(1, 0, 0)))
        assert await link.drained(5)
        assert ledger.folded_sequence(0, 1) == 3
        await link.close()

    served(home, story)


def test_it_goes_on_while_the_ledger_is_away_and_reports_what_it_missed(home):
    events = ListeningWorker(home.directory)
    core = WorkerCore(0, home.directory, events, boot_id=BOOT, clock=lambda: START)

    async def first(ledger, call):
        link = WorkerLink(core, home.socket)
        link.start()
        await until(lambda: core.spending)
        await link.close()

    async def second(ledger, call):
        assert top_up(ledger, "while-away").result["delivery"] == "pending"
        link = WorkerLink(core, home.socket)
        link.start()
        assert await link.drained(5)
        await until(lambda: events.lots.get(2) == 5)
        assert ledger.status().values["workers"][0]["epoch"] == 1
        assert ledger.status().values["open_holds"] == 1
        await link.close()

    served(home, first)
    core.report(events.write(hold_record(1, (ADA_LOT, 1000)), dispatched_record(1)))
    assert core.unreported_records == 2
    served(home, second)
    assert events.heard.count("begin 1") == 1


def test_it_reads_from_the_tape_again_what_did_not_fit_in_memory(home, monkeypatch):
    monkeypatch.setattr("tokenroll.services.worker_link.WAITING_BYTES_MAX", 300)
    assert WAITING_BYTES_MAX > 300
    events = ListeningWorker(home.directory)
    core = WorkerCore(0, home.directory, events, boot_id=BOOT, clock=lambda: START)

    async def first(ledger, call):
        link = WorkerLink(core, home.socket)
        link.start()
        await until(lambda: core.spending)
        await link.close()

    async def second(ledger, call):
        link = WorkerLink(core, home.socket)
        link.start()
        assert await link.drained(5)
        assert ledger.folded_sequence(0, 1) == 9
        await link.close()

    served(home, first)
    for sequence in range(1, 10):
        core.report(events.write(hold_record(sequence, (ADA_LOT, 10))))
    served(home, second)


def test_it_tells_a_worker_of_a_closed_epoch_to_end(home):
    async def story(ledger, call):
        events = ListeningWorker(home.directory)
        core = WorkerCore(0, home.directory, events, boot_id=BOOT, clock=lambda: START)
        link = WorkerLink(core, home.socket)
        link.start()
        await until(lambda: core.spending)
        younger = WorkerCore(0, home.directory, ListeningWorker(home.directory), boot_id=BOOT, clock=lambda: START)
        other = WorkerLink(younger, home.socket)
        other.start()
        await until(lambda: "ended closed_epoch" in events.heard)
        await until(lambda: younger.spending)
        assert not core.spending
        await link.close()
        await other.close()

    served(home, story)


def test_it_answers_for_a_command_that_breaks_and_goes_on(home, caplog):
    def breaks(work, _arguments):
        work.setting_changed("half", "done")
        raise OverflowError("date value out of range")

    async def story(ledger, call):
        client = home.client()
        command = Command(id="far", name="grant.create", arguments={"to": "Ada", "plan": "tools"})
        reply = await call(None, client.execute, command)
        assert reply.problem_kind == "internal"
        assert reply.problem.startswith("the ledger failed inside at grant.create (OverflowError); nothing was changed")
        assert "half" not in Reports(ledger.connection, START).settings()
        ledger.connection.rollback()
        again = await call(None, top_up, client, "after-it")
        assert again.result["amount_nanos"] == 5
        client.close()

    home.files["commands"] = {**HANDLERS, "grant.create": breaks}
    served(home, story)
    assert "command grant.create failed; nothing was changed" in caplog.text


def test_it_closes_the_line_on_bytes_that_are_not_its_protocol(home):
    async def story(ledger, call):
        for frame in (
            b"GET / HTTP/1.1\r\n\r\n",
            encode(ledger.status()),
            encode(Applied(worker=9, number=1)) + b"\0\0\0\1x",
        ):
            reader, writer = await asyncio.open_unix_connection(str(home.socket))
            writer.write(frame)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    served(home, story)


def test_it_says_that_a_write_may_have_happened_when_the_ledger_goes_silent(home, tmp_path):
    ready = threading.Event()

    async def deaf():
        async def hang_up(reader, writer):
            await reader.read(10)
            writer.close()

        server = await asyncio.start_unix_server(hang_up, str(home.socket))
        ready.set()
        await asyncio.sleep(0.5)
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(deaf()))
    thread.start()
    ready.wait(5)
    with home.client() as client, pytest.raises(LedgerUnreachableError, match="repeat it with the same id"):
        top_up(client, "t")
    thread.join()


def test_it_locks_a_workers_folder_against_a_second_process(tmp_path):
    lock_worker(tmp_path / "worker-000")
    with pytest.raises(BlockingIOError):
        lock_worker(tmp_path / "worker-000")


def segments_of(one: Kit, folder: Path, *stories) -> Path:
    """A worker's folder with one segment for each list of records, all folded."""
    directory = worker_directory(folder, 0)
    directory.mkdir(parents=True)
    sequence = 1
    for number, records in enumerate(stories, 1):
        header = tape.SegmentHeader(0, 1, number, BOOT, sequence, START)
        block = pack_block(sequence, records)
        tape.segment_path(directory, 1, number).write_bytes(tape.pack_header(header) + block)
        one.ledger.report(Report(worker=0, epoch=1, blocks=block))
        sequence += len(records)
    return directory


def test_it_deletes_a_folded_segment_only_when_no_hold_in_it_is_open(tmp_path):
    one = Kit()
    directory = segments_of(
        one, tmp_path,
        [hold_record(1, (ADA_LOT, 10)), dispatched_record(1), settle_record(1, 0, 0)],
        [hold_record(4, (ADA_LOT, 10)), dispatched_record(4)],
        [hold_record(6, (ADA_LOT, 10))],
    )  # fmt: skip
    before = [path.name for path in segment_paths(directory)]
    assert delete_folded_segments(one.ledger, tmp_path) == 1
    assert [path.name for path in segment_paths(directory)] == before[1:]
    assert one.rows("SELECT segment, first_sequence, last_sequence, length(digest) FROM tape_segments") == [
        (1, 1, 3, 32)
    ]
    assert delete_folded_segments(one.ledger, tmp_path) == 0
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(7, [settle_record(4, 0, 0)])))
    assert delete_folded_segments(one.ledger, tmp_path) == 1
    assert [path.name for path in segment_paths(directory)] == before[2:]


def test_it_keeps_a_segment_that_is_not_folded(tmp_path):
    one = Kit()
    directory = segments_of(one, tmp_path, [hold_record(1, (ADA_LOT, 10))], [settle_record(1, 0, 0)])
    assert one.ledger.status().values["workers"][0]["halt_reason"] == "transition"
    assert delete_folded_segments(one.ledger, tmp_path) == 0
    assert len(segment_paths(directory)) == 2
