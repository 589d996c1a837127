"""A worker whose dead life left much unfolded serves before the ledger has folded it, and nothing is told or booked twice by it."""

import pytest

from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    BO_LOT,
    BOOT,
    CREDIT,
    START,
    Kit,
    Report,
    dispatched_record,
    hold_record,
    new_ledger,
    pack_block,
    settle_record,
)
from tests.lone_worker import ListeningWorker
from tokenroll.services import worker_link
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.loopback import Loopback
from tokenroll.services.worker_link import WorkerCore
from tokenroll.store import tape as tapes
from tokenroll.store.lease_book import LEASE_EARLY, LEASE_WHOLE
from tokenroll.store.tape import pack_gives, worker_directory
from tokenroll.store.verify import verify

HELD = 10_000_000
COST = 4_500_000
"""Of 1,000 model tokens in and 100 out."""


class Life(ListeningWorker):
    """It also keeps what it is told of wallets and asked to give back."""

    def __init__(self, directory):
        super().__init__(directory)
        self.wallets = {}
        self.recalls = []

    def apply_lease(self, lease):
        super().apply_lease(lease)
        self.wallets |= {wallet.id: wallet for wallet in lease.wallets}

    def apply_delta(self, delta):
        super().apply_delta(delta)
        self.recalls += [(one.id, one.lot_id, one.wanted_nanos) for one in delta.recalls]


class Story:
    """Ada's ledger, and one life of its worker after another."""

    def __init__(self, directory):
        self.kit = Kit()
        self.kit.epoch = 1
        self.directory = directory
        self.server = LedgerServer(self.kit.ledger)

    def begins(self, *, early_records_min=1):
        """A new life connects; nothing is handed over yet."""
        self.life = Life(self.directory)
        self.core = WorkerCore(
            0, self.directory, self.life, boot_id=BOOT, clock=lambda: START, early_records_min=early_records_min
        )
        self.connects()
        return self.life

    def connects(self):
        self.line = Loopback(self.server, self.core)

    def until_it_spends(self):
        while not self.core.spending:
            assert self.line.step()

    def lease(self):
        return self.kit.ledger.status().values["workers"][0]["lease"]

    def restarts_ledger(self):
        self.line.close()
        self.kit.connection.rollback()
        self.kit.ledger = new_ledger(self.kit.connection, self.kit.clock)
        self.server = LedgerServer(self.kit.ledger)

    def proves(self):
        self.kit.connection.rollback()
        assert verify(self.kit.connection, START).differences == []


@pytest.fixture
def story(tmp_path):
    return Story(worker_directory(tmp_path, 0))


def dies_with_three_calls(story):
    """One settled, one in suspense, one that was never sent; all three of Ada's first lot, nothing of it folded."""
    life = Life(story.directory)
    life.begin(1)
    life.write(hold_record(1, (ADA_LOT, HELD)), hold_record(2, (ADA_LOT, HELD)), dispatched_record(1, 2))
    life.write(settle_record(1, 1_000, 100), hold_record(5, (ADA_LOT, HELD)))
    life.tape.close()


def call(sequence, epoch):
    return [
        hold_record(sequence, (ADA_LOT, HELD), epoch=epoch),
        dispatched_record(sequence),
        settle_record(sequence, 1_000, 100),
    ]


def test_it_spends_by_its_tape_while_the_ledger_has_folded_nothing(story):
    dies_with_three_calls(story)
    life = story.begins()
    story.until_it_spends()
    assert story.kit.ledger.folded_sequence(0, 1) == 0
    assert life.lots[ADA_LOT] == 40 * CREDIT - COST - HELD
    assert (life.wallets[ADA].spent_nanos, life.wallets[ADA].held_nanos, life.wallets[ADA].suspense_nanos) == (
        COST,
        0,
        HELD,
    )
    assert story.core.earlier_records == 7  # five of the dead life, and how its two open calls ended
    assert story.lease() == LEASE_EARLY

    story.core.report(life.write(*call(1, 2)))
    story.line.pump()
    assert story.lease() == LEASE_WHOLE
    assert (story.core.earlier_records, story.core.unreported_records) == (0, 0)
    assert story.kit.lot(ADA_LOT) == (0, HELD, 2 * COST)
    story.proves()


def test_few_records_are_folded_first(story):
    dies_with_three_calls(story)
    story.begins(early_records_min=8)
    story.until_it_spends()
    assert story.kit.ledger.folded_sequence(0, 1) == 7
    assert story.lease() == LEASE_WHOLE


def test_a_tape_with_a_hole_is_followed_by_nobody(story, monkeypatch):
    monkeypatch.setattr(tapes, "TAPE_SEGMENT_BYTES_MAX", 1)  # a segment for each block
    dies_with_three_calls(story)
    sorted(story.directory.glob("00000001-*.tape"))[1].unlink()
    story.begins()
    story.line.pump()
    assert not story.core.spending
    assert story.core.halt.kind == "gap"
    assert story.kit.lot(ADA_LOT) == (0, 0, 0)


def test_a_line_that_breaks_and_a_ledger_that_restarts_lose_nothing_and_book_nothing_twice(story, monkeypatch):
    monkeypatch.setattr(worker_link, "LIVE_REPORT_BYTES_MAX", 1)  # a report for each block
    dies_with_three_calls(story)
    life = story.begins()
    story.until_it_spends()
    story.core.report(life.write(*call(1, 2)))
    while not story.kit.ledger.folded_sequence(0, 1):
        assert story.line.step()
    story.line.close()  # its acknowledgment is on the way
    story.connects()
    while story.kit.ledger.folded_sequence(0, 1) < 5:
        assert story.line.step()
    story.restarts_ledger()
    assert story.lease() == LEASE_EARLY
    story.connects()
    story.line.pump()
    assert story.lease() == LEASE_WHOLE
    assert story.kit.lot(ADA_LOT) == (0, HELD, 2 * COST)
    assert story.kit.ledger.folded_sequence(0, 2) == 3
    story.proves()


def test_a_life_that_dies_before_it_caught_up_leaves_both_to_the_next(story):
    dies_with_three_calls(story)
    life = story.begins()
    story.until_it_spends()
    life.write(*call(1, 2))  # told to nobody
    story.line.close()
    life.tape.close()
    third = story.begins()
    story.until_it_spends()
    assert third.lots[ADA_LOT] == 40 * CREDIT - 2 * COST - HELD
    story.line.pump()
    assert story.kit.lot(ADA_LOT) == (0, HELD, 2 * COST)
    story.proves()


def test_what_the_power_took_from_its_tape_is_in_suspense_from_the_beginning(story):
    """The ledger has folded a hold that the tape lost: nobody will ever tell its end."""
    lost = [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1)]
    story.kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, lost)))
    story.kit.new_life(ready=False)
    life = Life(story.directory)
    life.begin(2)
    life.write(*call(1, 2))
    life.tape.close()
    third = story.begins()
    story.until_it_spends()
    ada = third.wallets[ADA]
    assert (ada.held_nanos, ada.suspense_nanos, ada.spent_nanos) == (0, HELD, COST)
    story.line.pump()
    assert story.kit.lot(ADA_LOT) == (0, HELD, COST)
    story.proves()


def test_it_is_asked_once_for_what_its_dead_life_did_not_give(story):
    grant_of = "SELECT public_id FROM grants JOIN lots ON grant_id = grants.id WHERE lots.id = %d"
    story.kit.do("grant.void", "ada", grant=story.kit.rows(grant_of % ADA_LOT)[0][0], reason="made twice")
    dies_with_three_calls(story)
    life = story.begins()
    story.until_it_spends()
    assert life.recalls == []  # the dead life may have given it, and that is not folded yet
    story.kit.do("grant.void", "bo", grant=story.kit.rows(grant_of % BO_LOT)[0][0], reason="made twice")
    story.server.publish()
    story.line.pump()  # it is asked for Bo's, catches up, and is asked for all that is open by then
    assert life.recalls == [(2, BO_LOT, 5 * CREDIT), (1, ADA_LOT, 40 * CREDIT)]
    left = 40 * CREDIT - COST - HELD
    story.core.report(
        life.write(pack_gives(2, START, [(2, BO_LOT, 5 * CREDIT)]), pack_gives(3, START, [(1, ADA_LOT, left)]))
    )
    story.line.pump()
    assert story.kit.rows(f"SELECT voided_nanos FROM lot_values WHERE lot_id IN ({ADA_LOT}, {BO_LOT})") == [
        (left,),
        (5 * CREDIT,),
    ]
    story.proves()


def test_it_does_not_resign_before_it_caught_up(story):
    dies_with_three_calls(story)
    story.begins()
    story.until_it_spends()
    story.line._to_ledger.clear()  # nothing of the dead life has come
    story.core.resign()
    while story.line.step():
        pass
    assert story.lease() == LEASE_EARLY
    story.line.close()
    story.begins()
    story.line.pump()
    assert story.kit.lot(ADA_LOT) == (0, HELD, COST)
    story.proves()
