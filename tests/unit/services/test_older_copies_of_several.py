"""A ledger put back from an older copy, of several workers: the copy does not know what was lent since it was made (docs/faults.md)."""

import sqlite3

from tests import ledger_kit as kit
from tests.empty_ledger import sqlite_connection
from tests.ledger_kit import CREDIT
from tests.pair import Worker
from tests.unit.services.test_lending import story
from tokenroll.services.hot import HotHold
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.restoring import learn_lives
from tokenroll.store.verify import verify


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


@story
def test_what_was_lent_since_halts_its_worker_in_words_until_its_tape_is_moved_out(pair):
    """Nobody's money is taken for it, and the other worker serves. What the calls cost, the provider's bill tells."""
    copy = copy_of(pair)
    pair.call(0).settle(input=1_000, output=10)
    pair.talk()
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
