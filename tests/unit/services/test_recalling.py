"""Recalls across lives: who holds the lease gives, who has died is not waited for, and where nobody spends the ledger gives itself."""

import pytest

from tests.firm import Firm
from tests.ledger_kit import (
    ADA_LOT,
    ADA_SECOND_LOT,
    BO_LOT,
    CREDIT,
    Ack,
    Command,
    Kit,
    Refusal,
    Report,
    cost_of,
    dispatched_record,
    hold_record,
    pack_block,
    settle_record,
)
from tokenroll.services.protocol import Resign
from tokenroll.store.tape import pack_gives
from tokenroll.store.verify import verify


@pytest.fixture
def kit() -> Kit:
    return Kit()


def grant_of(kit: Kit, lot_id: int) -> str:
    return kit.rows(f"SELECT public_id FROM grants JOIN lots ON grant_id = grants.id WHERE lots.id = {lot_id}")[0][0]


def void(kit: Kit, lot_id: int = ADA_LOT):
    grant = grant_of(kit, lot_id)
    return kit.ledger.execute(
        Command(id=f"void-{lot_id}", name="grant.void", arguments={"grant": grant, "reason": "x"})
    )


def report(kit: Kit, first: int, *records: bytes):
    block = pack_block(first, list(records))
    return kit.ledger.report(Report(worker=0, epoch=kit.epoch, blocks=block))


def voided(kit: Kit, lot_id: int = ADA_LOT) -> int:
    return kit.rows(f"SELECT voided_nanos FROM lot_values WHERE lot_id = {lot_id}")[0][0]


def holds(kit: Kit) -> bool:
    kit.connection.rollback()
    return verify(kit.connection, kit.now).holds


def asked(kit: Kit) -> list[tuple[int, int, int]]:
    return [(one.id, one.lot_id, one.wanted_nanos) for delta in kit.ledger.take_deltas() for one in delta.recalls]


def test_the_worker_is_asked_and_what_it_gives_is_booked_once(kit):
    assert void(kit).result["delivery"] == "pending"
    assert asked(kit) == [(1, ADA_LOT, 40 * CREDIT)]
    assert report(kit, 1, pack_gives(1, kit.now, [(1, ADA_LOT, 40 * CREDIT)])) == Ack(epoch=1, sequence=1)
    assert kit.ledger.recalls_answered
    # told again after a lost answer: passed over
    assert report(kit, 1, pack_gives(1, kit.now, [(1, ADA_LOT, 40 * CREDIT)])) == Ack(epoch=1, sequence=1)
    assert voided(kit) == 40 * CREDIT
    assert holds(kit)


@pytest.mark.parametrize(
    ("give", "reason"),
    [
        ((1, ADA_LOT, 41 * CREDIT), "overdraw"),
        ((1, ADA_SECOND_LOT, CREDIT), "recall"),
        ((2, ADA_LOT, CREDIT), "recall"),
        ((1, 0, CREDIT), "lot"),
        ((1, 99_999, CREDIT), "lot"),
        ((1, ADA_LOT, -1), "lot"),
    ],
)
def test_a_give_that_cannot_be_halts_the_fold_and_moves_nothing(kit, give, reason):
    void(kit)
    answer = report(kit, 1, pack_gives(1, kit.now, [give]))
    assert isinstance(answer, Refusal)
    assert answer.kind == reason
    assert voided(kit) == 0
    assert holds(kit)
    assert report(kit, 1, pack_gives(1, kit.now, [(1, ADA_LOT, 40 * CREDIT)])) == Ack(epoch=1, sequence=1)


def test_more_than_was_asked_is_refused_even_if_it_is_there(kit):
    report(kit, 1, hold_record(1, (ADA_LOT, 10 * CREDIT)), dispatched_record(1))
    grant = grant_of(kit, ADA_LOT)
    kit.ledger.execute(Command(id="f", name="grant.forfeit", arguments={"grant": grant, "reason": "x"}))
    assert asked(kit) == []  # all of it has vested: nothing is forfeited
    void(kit)
    assert report(kit, 3, pack_gives(1, kit.now, [(1, ADA_LOT, 30 * CREDIT)])) == Ack(epoch=1, sequence=3)
    settled = settle_record(1, 1_000, 0)
    answer = report(kit, 4, settled, pack_gives(1, kit.now, [(1, ADA_LOT, 10 * CREDIT)]))
    assert answer.kind == "overdraw"


def test_a_life_that_dies_without_an_answer_is_asked_again_in_the_next(kit):
    void(kit)
    asked(kit)
    kit.epoch = kit.new_life()
    # the lease still has the lot whole; the same recall follows it
    first = kit.lease[-1].wallets[0].lots[0]
    assert (first.id, first.available_nanos) == (ADA_LOT, 40 * CREDIT)
    assert asked(kit) == [(1, ADA_LOT, 40 * CREDIT)]
    report(kit, 1, pack_gives(2, kit.now, [(1, ADA_LOT, 40 * CREDIT)]))
    assert voided(kit) == 40 * CREDIT
    assert holds(kit)


def test_what_a_dead_life_gave_before_its_end_is_not_asked_for_again(kit):
    void(kit)
    asked(kit)
    epoch = kit.epoch
    kit.epoch = kit.new_life(ready=False)
    gave = pack_block(1, [pack_gives(1, kit.now, [(1, ADA_LOT, 40 * CREDIT)])])
    assert kit.ledger.report(Report(worker=0, epoch=epoch, blocks=gave)) == Ack(epoch=epoch, sequence=1)
    kit.ready()
    assert asked(kit) == []
    assert voided(kit) == 40 * CREDIT


def test_a_dead_life_s_suspense_is_owed_until_its_fate_is_found(kit):
    """A call of 10 credits is in suspense: 30 are voided at once; the evidence decides on nothing, and the 10 follow."""
    report(kit, 1, hold_record(1, (ADA_LOT, 10 * CREDIT)), dispatched_record(1))
    kit.epoch = kit.new_life()
    assert void(kit).result["recalled"] == {"state": "asked", "asked_nanos": 40 * CREDIT, "given_nanos": 0}
    report(kit, 1, pack_gives(1, kit.now, [(1, ADA_LOT, 30 * CREDIT)]))
    assert void(kit).result["recalled"] == {"state": "owed", "asked_nanos": 40 * CREDIT, "given_nanos": 30 * CREDIT}
    kit.now += 73 * 3_600_000_000
    kit.ledger.housekeep()
    charged = kit.rows("SELECT charge_nanos FROM settlements")[0][0]
    report(kit, 2, pack_gives(2, kit.now, [(1, ADA_LOT, 10 * CREDIT - charged)]))
    assert voided(kit) == 40 * CREDIT - charged
    assert void(kit).result["recalled"]["state"] == "done"
    assert holds(kit)


def test_where_no_worker_ever_spent_the_ledger_gives_at_once():
    firm = Firm(worker=False)
    firm.hire("Ada")
    firm.do("plan.create", name="once", kind="stipend", classification="tool", amount_nanos=30 * CREDIT)
    grant = firm.do("grant.create", to="Ada", plan="once")["grant"]
    told = firm.do("grant.void", grant=grant, reason="x")
    assert (told["delivery"], told["recalled"]["state"]) == ("no_worker", "done")
    assert firm.parts(1) == {"voided": 30 * CREDIT}
    dry = firm.ask("grant.void", dry_run=True, grant=grant, reason="x").result
    assert dry["voided_nanos"] == 0
    firm.verified()


def test_a_life_that_resigned_leaves_nobody_to_ask(kit):
    report(kit, 1, hold_record(1, (ADA_LOT, CREDIT)), dispatched_record(1), settle_record(1, 1_000, 0))
    kit.ledger.resign(Resign(worker=0, epoch=kit.epoch))
    assert void(kit).result["recalled"]["state"] == "done"
    assert voided(kit) == 40 * CREDIT - cost_of(1_000, 0)
    assert holds(kit)
    # and the next life begins with what is left
    kit.new_life()
    lots = [lot.id for wallet in kit.lease[-1].wallets for lot in wallet.lots]
    assert lots == [ADA_SECOND_LOT, BO_LOT, 4]


def test_what_was_asked_before_a_resignation_is_given_by_it(kit):
    void(kit)
    kit.ledger.resign(Resign(worker=0, epoch=kit.epoch))
    assert voided(kit) == 40 * CREDIT
    assert holds(kit)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_resignation_of_another_life_is_not_heeded(kit, epoch):
    kit.ledger.resign(Resign(worker=0, epoch=epoch))
    assert void(kit).result["recalled"]["state"] == "asked"


def test_a_life_with_open_holds_cannot_resign(kit):
    report(kit, 1, hold_record(1, (ADA_LOT, CREDIT)), dispatched_record(1))
    kit.ledger.resign(Resign(worker=0, epoch=kit.epoch))
    assert void(kit).result["recalled"]["state"] == "asked"
