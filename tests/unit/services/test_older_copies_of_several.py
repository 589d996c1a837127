"""A ledger put back from an older copy, of several workers: the copy does not know what was lent since it was made (docs/faults.md)."""

import asyncio
import itertools
import sqlite3

import pytest

from tests import ledger_kit as kit
from tests.empty_ledger import sqlite_connection
from tests.ledger_kit import ADA_LOT, CREDIT
from tests.pair import Pair, Worker
from tests.unit.services.test_lending import story
from tokenroll.services import lease_desk
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.ledger_client import LedgerClient
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.protocol import Command, Want
from tokenroll.services.restoring import learn_lives
from tokenroll.store.verify import verify
from tokenroll.upstream.dialect import Denial


def copy_of(pair):
    copy = sqlite3.connect(":memory:")
    pair.connection.rollback()
    sqlite_connection(pair.connection).backup(copy)
    return copy


def put_back(pair, copy):
    """The copy in the ledger's place, and the next lives of both workers."""
    for worker in pair.workers:
        worker.die()
    pair.connection.rollback()
    copy.backup(sqlite_connection(pair.connection))
    start(pair)


def start(pair):
    """Two workers, and whatever the ledger has learnt from their tapes."""
    pair.of = 2
    pair.ledger = kit.new_ledger(pair.connection, lambda: pair.now)
    learn_lives(pair.ledger, pair.folder)
    pair.server = LedgerServer(pair.ledger)
    pair.workers = [Worker(pair, 0), Worker(pair, 1)]


def heard(pair):
    for worker in pair.workers:
        while worker.link.step():
            pass


@story
def test_what_was_lent_before_the_copy_was_made_is_booked_again(pair):
    pair.call(0).settle(input=10, output=0)
    pair.talk()
    copy = copy_of(pair)
    cost = pair.call(0).settle(input=1_000, output=10)
    pair.talk()
    put_back(pair, copy)
    pair.prove()
    assert cost == 1_000 * 3_000 + 10 * 15_000
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(30_000 + cost,)]


def tell(pair, number):
    """What one worker's next life has to say, while the other's is not there yet."""
    worker = pair.workers[number]
    while worker.link.step():
        pass


@story
def test_what_was_lent_since_is_booked_again_from_what_nobody_has(pair):
    copy = copy_of(pair)
    first = pair.call(0).settle(input=1_000, output=10)
    second = pair.call(1, "Bo").settle(input=2_000, output=10)
    pair.talk()
    put_back(pair, copy)
    pair.prove()
    assert (first, second) == (3_150_000, 6_150_000)
    assert pair.rows("SELECT wallet_id, charge_nanos FROM settlements ORDER BY wallet_id") == [
        (kit.ADA, 3_150_000), (kit.BO, 6_150_000),
    ]  # fmt: skip
    assert pair.rows("SELECT sum(left_nanos) FROM lot_leases") == [(None,)]
    call = pair.call(0)
    call.settle(input=10, output=0)
    pair.prove()
    assert pair.rows("SELECT count(*) FROM settlements") == [(3,)]


@story
def test_commands_to_an_older_copy_that_is_not_served_yet_do_not_hide_that_it_is_one(pair):
    """After some commands it is further than the lost ledger was when it lent last; Cleo gives them before she starts it."""
    copy = copy_of(pair)
    cost = pair.call(0).settle(input=1_000, output=10)
    pair.talk()
    last_seq = pair.ledger.last_seq
    for worker in pair.workers:
        worker.die()
    place = pair.folder.parent / "put-back.db"
    file = sqlite3.connect(place)
    copy.backup(file)
    numbers = itertools.count(10**6)
    client = LedgerClient(
        socket_path=pair.folder.parent / "none.sock", ledger_place=place, lock_path=pair.folder.parent / "lock",
        clock=lambda: pair.now, commands=kit.HANDLERS, random_bits=lambda bits: next(numbers) % (1 << bits), tape_directory=pair.folder,
    )  # fmt: skip
    for number in range(last_seq):
        named = {"name": f"Cleo's {number}", "cost_centre": "R2"}
        assert (
            client.execute(Command(id=f"cleo-{number}", name="department.create", arguments=named)).result is not None
        )
    pair.connection.rollback()
    file.backup(sqlite_connection(pair.connection))
    start(pair)
    assert pair.ledger.last_seq > last_seq
    pair.prove()
    assert cost == 3_150_000
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(cost,)]


@story
def test_a_ledger_that_dies_while_it_finds_out_that_it_is_an_older_copy_goes_on_where_it_was(pair):
    """What it wrote of the first worker brought it as far as the lost one was; of the second it must know all the same."""
    pair.call(0).settle(input=10, output=0)
    pair.call(1, "Bo").settle(input=10, output=0)
    pair.talk()
    copy = copy_of(pair)
    cost = pair.call(1).settle(input=1_000, output=10)  # one loan since
    pair.talk()
    for worker in pair.workers:
        worker.die()
    pair.connection.rollback()
    copy.backup(sqlite_connection(pair.connection))
    ledger = kit.new_ledger(pair.connection, lambda: pair.now)
    learn_life = ledger.learn_life

    def dies_at_the_second(worker, *arguments, **named):
        if worker == 1:
            raise KeyboardInterrupt
        learn_life(worker, *arguments, **named)

    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(ledger, "learn_life", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            learn_lives(ledger, pair.folder)
    ledger = kit.new_ledger(pair.connection, lambda: pair.now)
    learn_lives(ledger, pair.folder)
    assert [ledger.epoch_of(worker) for worker in (0, 1)] == [2, 2]  # who lives on holds what the copy does not know of
    start(pair)
    pair.prove()
    assert cost == 3_150_000
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(2 * 30_000 + cost,)]


@story
def test_what_is_not_lent_or_only_said_again_is_no_evidence_of_a_copy(pair):
    """A copy of the moment before lacks no loan: nobody need wait for tapes, and nobody's life is over."""
    pair.call(0).settle(input=10, output=0)
    pair.talk()
    newest = (pair.folder / "newest-loan").read_text()
    ((worker, epoch, number),) = pair.rows("SELECT worker, epoch, number FROM lease_moves WHERE number > 0")
    pair.do("grant.top_up", to="Bo", amount_nanos=1)
    too_much = Want(0, 1, 900, [kit.BO], 10**6 * CREDIT, 0, [], at=pair.now)
    assert pair.ledger.lend([too_much], sparing=False) == {}
    assert pair.ledger.met(Want(worker, epoch, number, [kit.ADA], 1, 0, [], again=True, at=pair.now)) is not None
    assert (pair.folder / "newest-loan").read_text() == newest


@story
def test_several_lives_since_are_booked_again_and_what_they_returned(pair):
    """Each life was lent anew, the second one gave its part to the other worker, and the last one left a call open."""
    copy = copy_of(pair)
    pair.call(0).settle(input=1_000, output=0)
    pair.talk()
    pair.restart(0)
    pair.talk()
    pair.call(0).settle(input=1_000, output=0)
    held = pair.call(1, output_cap_tokens=8 * CREDIT // kit.OUT_NANOS)
    assert isinstance(held.answer, HotHold)
    pair.talk()
    held.worker.spending.dispatched([held.hold], pair.now)
    pair.talk()
    put_back(pair, copy)
    pair.prove()
    assert pair.rows("SELECT charge_nanos FROM settlements") == [(3_000_000,), (3_000_000,)]
    assert pair.rows("SELECT held_nanos, suspense_nanos FROM lot_values WHERE suspense_nanos > 0") == [
        (0, held.hold.bound_nanos)
    ]


@story
def test_a_later_life_that_lives_on_what_an_earlier_one_gave_back_verifies(pair):
    """The copy has a call of eight credits open, which cost a thousandth of it: the next life's calls need no loan that is not there."""
    held = pair.call(0, output_cap_tokens=8 * CREDIT // kit.OUT_NANOS)
    held.worker.turn()
    pair.talk()
    copy = copy_of(pair)
    held.settle(input=1_000, output=0)
    pair.talk()
    pair.restart(0)
    pair.talk()
    pair.call(0).settle(input=2_000, output=0)
    pair.talk()
    put_back(pair, copy)
    pair.prove()
    assert pair.rows("SELECT charge_nanos FROM settlements ORDER BY 1") == [(3_000_000,), (6_000_000,)]
    pair.connection.rollback()
    verified = verify(pair.connection, pair.now)
    assert verified.holds, verified.differences


@story
def test_nobody_is_lent_anything_before_both_tapes_are_told(pair):
    """Ada spent ninety credits at the second worker, of a hundred with her pool's. Was the first one lent them by then, they were spent twice."""
    copy = copy_of(pair)
    call = pair.call(1, output_cap_tokens=6_000_000)
    call.settle(input=0, output=6_000_000)
    pair.talk()
    put_back(pair, copy)
    tell(pair, 0)
    call = pair.call(0, output_cap_tokens=1_000_000, talk=False)
    tell(pair, 0)
    assert isinstance(call.answer, Wait)
    pair.prove()
    assert isinstance(call.answer, Denial)
    assert pair.rows("SELECT charge_nanos FROM settlements") == [(90 * CREDIT,)]


def test_nobody_waits_for_ever_for_a_tape_that_is_not_told(tmp_path, monkeypatch):
    """The second worker never comes: its tape cannot be read, or nobody starts it. Then the first one is lent what there is."""
    monkeypatch.setattr(lease_desk, "UNTOLD_TAPE_SECONDS_MAX", 0.01)

    async def story():
        pair = Pair(tmp_path)
        copy = copy_of(pair)
        pair.call(0).settle(input=1_000, output=0)
        pair.call(1, "Bo").settle(input=1_000, output=0)
        pair.talk()
        put_back(pair, copy)
        tell(pair, 0)
        call = pair.call(0, talk=False)
        tell(pair, 0)
        assert isinstance(call.answer, Wait)
        await asyncio.sleep(0.05)
        tell(pair, 0)
        pair.workers[0].turn()
        assert isinstance(call.answer, HotHold)

    asyncio.run(story())


@story
def test_a_ledger_that_is_started_once_more_still_knows_that_it_is_a_copy(pair):
    """By then it has come further than the newest loan of the one that is lost."""
    copy = copy_of(pair)
    for number in (0, 1):
        pair.call(number).settle(input=1_000, output=0)
    pair.talk()
    put_back(pair, copy)
    tell(pair, 0)
    for number in range(20):
        pair.do("grant.top_up", to="Bo", amount_nanos=number + 1)
    pair.workers[0].die()
    pair.workers[1].link.close()
    start(pair)
    pair.prove()
    assert pair.rows("SELECT charge_nanos FROM settlements") == [(3_000_000,), (3_000_000,)]


@story
def test_what_is_no_more_there_is_not_made(pair):
    """Finance took Ada's credits away before the tape was told: its worker halts in words, and nobody waits for it."""
    copy = copy_of(pair)
    pair.call(0).settle(input=1_000, output=10)
    pair.talk()
    put_back(pair, copy)
    for (grant,) in pair.rows("SELECT public_id FROM grants"):
        pair.do("grant.void", grant=grant, reason="A mistake")
    heard(pair)
    assert pair.workers[0].core.halt.kind == "overdraw"
    pair.do("grant.top_up", to="Bo", amount_nanos=CREDIT)
    call = pair.call(1, "Bo", talk=False)
    heard(pair)
    pair.workers[1].turn()
    assert isinstance(call.answer, HotHold)


@story
def test_without_evidence_of_a_copy_a_worker_halts_in_words_until_its_tape_is_moved_out(pair):
    """Nobody's money is taken for it, and the other worker serves. What the calls cost, the provider's bill tells."""
    copy = copy_of(pair)
    pair.call(0).settle(input=1_000, output=10)
    pair.talk()
    (pair.folder / "newest-loan").write_bytes(b"")
    put_back(pair, copy)
    heard(pair)
    assert pair.workers[0].core.halt.kind == "overdraw"
    assert "of lot" in pair.workers[0].core.halt.text
    status = pair.server.status().values["workers"]
    assert [one["halt_reason"] for one in status] == ["overdraw", ""]
    assert pair.workers[1].core.spending
    # as the page says: the ledger is stopped, the tape moved out of the home, and the ledger started
    for worker in pair.workers:
        worker.link.close()
    directory = pair.workers[0].directory
    directory.rename(pair.folder / "moved-out")
    start(pair)
    pair.talk()
    call = pair.call(0, output_cap_tokens=9 * CREDIT // kit.OUT_NANOS)
    assert isinstance(call.answer, HotHold)
    call.settle(input=10, output=0)
    pair.talk()
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(30_000,)]
    pair.connection.rollback()
    assert verify(pair.connection, pair.now).holds


@pytest.mark.parametrize(
    ("ends", "spent_nanos", "suspense_nanos"), [(False, 6_030_000, 8_006_091_000), (True, 9_180_000, 0)]
)
def test_a_call_that_was_open_when_one_worker_had_everything_is_booked_where_several_are_now(
    tmp_path, ends, spent_nanos, suspense_nanos
):
    """What it held was in no lease: the copy is of before there were two workers, and since then each is lent its part."""

    async def story():
        pair = Pair(tmp_path, of=1)
        pair.call(0).settle(input=10, output=0)
        held = pair.call(0, output_cap_tokens=8 * CREDIT // kit.OUT_NANOS)
        copy = copy_of(pair)
        if ends:
            held.settle(input=1_000, output=10)
        else:
            held.worker.spending.dispatched([held.hold], pair.now)
        pair.talk()
        pair.workers[0].die()
        start(pair)
        pair.talk()
        pair.call(0).settle(input=2_000, output=0)
        pair.call(1, "Bo").settle(input=3_000, output=0)
        pair.talk()
        before = pair.rows("SELECT wallet_id, charge_nanos FROM settlements ORDER BY hold_key")
        put_back(pair, copy)
        pair.prove()
        assert pair.rows("SELECT wallet_id, charge_nanos FROM settlements ORDER BY hold_key") == before
        assert pair.rows(
            f"SELECT held_nanos, spent_nanos, suspense_nanos FROM lot_values WHERE lot_id = {ADA_LOT}"
        ) == [(0, spent_nanos, suspense_nanos)]

    asyncio.run(story())
