"""Commands happen once, workers get their leases and deltas, and a fold has one order with everything else."""

import pytest

from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    BOOT,
    CREDIT,
    HOUR,
    START,
    Ack,
    Applied,
    Command,
    Hello,
    Kit,
    Ready,
    Refusal,
    Report,
    dispatched_record,
    hold_record,
    lapse_record,
    new_ledger,
    pack_block,
    pack_name,
    settle_record,
)
from tokenroll.services.protocol import Lease, View
from tokenroll.store.verify import verify


@pytest.fixture
def one():
    return Kit()


def top_up(one, command_id, nanos=CREDIT, *, dry_run=False):
    arguments = {"to": "Ada", "amount_nanos": nanos}
    return one.ledger.execute(Command(id=command_id, name="grant.top_up", arguments=arguments, dry_run=dry_run))


def lots_of_ada(one):
    return [row[0] for row in one.rows("SELECT amount_nanos FROM lots WHERE wallet_id = 1 ORDER BY id")]


def test_it_answers_the_same_id_with_the_first_answer(one):
    first = top_up(one, "bo-approves-1")
    assert first.result["amount_nanos"] == CREDIT
    assert top_up(one, "bo-approves-1").result == first.result
    assert lots_of_ada(one) == [40 * CREDIT, 40 * CREDIT, CREDIT]


def test_it_refuses_another_body_under_a_used_id(one):
    top_up(one, "bo-approves-1")
    again = top_up(one, "bo-approves-1", 2 * CREDIT)
    assert (again.problem_kind, again.result) == ("conflict", None)
    assert "use a new id" in again.problem
    assert lots_of_ada(one) == [40 * CREDIT, 40 * CREDIT, CREDIT]


def test_it_keeps_nothing_of_a_dry_run(one):
    before = one.ledger.status().values
    reply = top_up(one, "would-it-fit", dry_run=True)
    assert reply.result["dry_run"] is True
    assert reply.result["amount_nanos"] == CREDIT
    assert one.ledger.status().values == before
    assert lots_of_ada(one) == [40 * CREDIT, 40 * CREDIT]
    assert top_up(one, "would-it-fit").result["amount_nanos"] == CREDIT


def test_it_keeps_nothing_of_a_refused_command_and_lets_it_be_tried_again(one):
    head = one.ledger.status().values["head"]
    reply = one.ledger.execute(Command(id="x", name="grant.top_up", arguments={"to": "Zed", "amount_nanos": 1}))
    assert reply.problem_kind == "not_found"
    assert one.ledger.status().values["head"] == head
    assert top_up(one, "x").result is not None


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (Command(id="", name="grant.top_up", arguments={}), "argument"),
        (Command(id="x" * 129, name="grant.top_up", arguments={}), "argument"),
        (Command(id="x", name="grant.steal", arguments={}), "unknown_command"),
    ],
)
def test_it_refuses_a_command_that_it_cannot_name(one, command, kind):
    assert one.ledger.execute(command).problem_kind == kind


@pytest.mark.parametrize(("command_id", "name"), [("one", "Data\0base"), ("o\0ne", "Database")])
def test_it_takes_no_text_that_a_database_cannot_keep(one, command_id, name):
    reply = one.ledger.execute(Command(id=command_id, name="department.create", arguments={"name": name}))
    assert (reply.problem_kind, reply.problem) == (
        "argument", "a text holds the character NUL, which no database of ours keeps: leave it out",
    )  # fmt: skip
    assert one.do("department.create", name="Data\\u0000base")["name"] == "Data\\u0000base"


def test_a_name_on_a_tape_is_kept_without_what_no_database_keeps(one):
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, [pack_name(1, "gpt\0-5")])))
    assert one.rows("SELECT text FROM names") == [("gpt\ufffd-5",)]


def test_it_says_pending_until_the_worker_applied_the_delta(one):
    one.ledger.take_deltas()
    assert top_up(one, "t").result["delivery"] == "pending"
    (delta,) = one.ledger.take_deltas()
    assert [(change.wallet_id, change.change_nanos) for change in delta.lots] == [(ADA, CREDIT)]
    assert delta.lots[0].terms.available_nanos == CREDIT
    assert [wallet.lots for wallet in delta.wallets] == [[]]
    one.ledger.applied(Applied(worker=0, number=delta.number))
    assert top_up(one, "t").result["delivery"] == "applied"


def test_it_says_no_worker_when_nobody_spends(one):
    one.new_life(ready=False)
    assert top_up(one, "t").result["delivery"] == "no_worker"


def test_it_leases_every_wallet_whole_with_keys_cards_and_pool(one):
    wallets = [wallet for part in one.lease if isinstance(part, Lease) for wallet in part.wallets]
    assert {wallet.name: sum(lot.available_nanos for lot in wallet.lots) for wallet in wallets} == {
        "Ada": 80 * CREDIT,
        "Bo": 5 * CREDIT,
        "Nightly": 0,
        "Engineering pool": 20 * CREDIT,
    }
    assert {wallet.enforcement for wallet in wallets if wallet.lots} == {"enforce"}
    views = [part for part in one.lease if isinstance(part, View)]
    assert [card.id for view in views for card in view.cards] == [1]
    assert [part.last for part in views] == [False] * (len(views) - 1) + [True]
    assert [part.last for part in one.lease if isinstance(part, Lease)] == [True]


def test_it_leases_what_is_left_and_not_what_is_in_suspense(one):
    records = [hold_record(1, (ADA_LOT, 10 * CREDIT)), dispatched_record(1), lapse_record(1)]
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, records)))
    one.new_life()
    ada = next(wallet for part in one.lease if isinstance(part, Lease) for wallet in part.wallets if wallet.id == ADA)
    assert [lot.available_nanos for lot in ada.lots] == [30 * CREDIT, 40 * CREDIT]
    assert (ada.suspense_nanos, ada.held_nanos, ada.spent_nanos) == (10 * CREDIT, 0, 0)


def test_it_gives_each_life_an_epoch_and_tells_what_is_folded(one):
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, [hold_record(1, (ADA_LOT, 5))])))
    welcome = one.ledger.hello(Hello(version=2, worker=0, epoch=0, boot_id=BOOT, last_delta=0))
    assert welcome.epoch == 2
    assert welcome.folded_sequences == {1: 1, 2: 0}
    assert list(welcome.open_holds) == [1 << 40 | 1]


def test_it_takes_an_earlier_epochs_report_only_until_the_new_one_is_ready(one):
    one.new_life(ready=False)
    earlier = Report(worker=0, epoch=1, blocks=pack_block(1, [hold_record(1, (ADA_LOT, 5))]))
    assert one.ledger.report(earlier) == Ack(epoch=1, sequence=1)
    list(one.ledger.ready(Ready(worker=0, epoch=2)))
    later = Report(worker=0, epoch=1, blocks=pack_block(2, [hold_record(2, (ADA_LOT, 5))]))
    assert one.ledger.report(later).kind == "closed_epoch"
    assert one.ledger.hello(Hello(version=2, worker=0, epoch=1, boot_id=BOOT, last_delta=0)).kind == "closed_epoch"


def test_it_puts_what_a_dead_life_left_open_in_suspense(one):
    """A power loss may take the tape's end after the ledger has folded it: then nobody else can tell."""
    one.ledger.report(
        Report(worker=0, epoch=1, blocks=pack_block(1, [hold_record(1, (ADA_LOT, 5)), dispatched_record(1)]))
    )
    one.new_life()
    assert one.rows("SELECT state FROM holds") == [("suspense",)]
    assert one.lot(ADA_LOT) == (0, 5, 0)


def test_it_lets_a_worker_go_on_in_its_life_and_sends_what_it_missed(one):
    start = one.ledger.last_delta
    top_up(one, "one")
    top_up(one, "two")
    assert one.ledger.hello(Hello(version=2, worker=0, epoch=1, boot_id=BOOT, last_delta=start)).epoch == 1
    assert [delta.number for delta in one.ledger.missed_deltas(0, start + 1)] == [start + 2]


def test_it_refuses_a_second_worker_the_wallets_of_the_first(one):
    welcome = one.ledger.hello(Hello(version=2, worker=1, epoch=0, boot_id=BOOT, last_delta=0))
    refusal = one.ledger.ready(Ready(worker=1, epoch=welcome.epoch))
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "leased"


@pytest.mark.parametrize(
    ("hello", "kind"),
    [
        (Hello(version=9, worker=0, epoch=0, boot_id=BOOT, last_delta=0), "version"),
        (Hello(version=2, worker=128, epoch=0, boot_id=BOOT, last_delta=0), "worker"),
        (Hello(version=2, worker=-1, epoch=0, boot_id=BOOT, last_delta=0), "worker"),
        (Hello(version=2, worker=0, epoch=7, boot_id=BOOT, last_delta=0), "closed_epoch"),
    ],
)
def test_it_refuses_a_worker_that_it_cannot_have(one, hello, kind):
    assert one.ledger.hello(hello).kind == kind


def test_it_knows_everything_again_after_a_restart(one):
    one.ledger.report(
        Report(worker=0, epoch=1, blocks=pack_block(1, [hold_record(1, (ADA_LOT, 5)), dispatched_record(1)]))
    )
    top_up(one, "t")
    before = one.ledger.status().values
    again = new_ledger(one.connection, lambda: one.now)
    assert again.status().values == before
    settled = pack_block(3, [settle_record(1, 0, 0)])
    assert again.report(Report(worker=0, epoch=1, blocks=settled)) == Ack(epoch=1, sequence=3)


def test_it_never_records_an_earlier_instant_than_the_last(one):
    one.now = START + HOUR
    top_up(one, "late")
    one.now = START
    top_up(one, "clock-went-back")
    instants = [row[0] for row in one.rows("SELECT closed_at FROM batches ORDER BY number")]
    assert instants == sorted(instants)
    assert instants[-1] == START + HOUR
    one.connection.rollback()
    assert verify(one.connection, one.now).differences == []


def test_it_undoes_everything_when_a_handler_breaks(one):
    def broken(work, arguments):
        one.ledger._commands["grant.top_up"](work, {"to": "Ada", "amount_nanos": CREDIT})
        raise ZeroDivisionError

    one.ledger._commands = {**one.ledger._commands, "broken": broken}
    with pytest.raises(ZeroDivisionError):
        one.ledger.execute(Command(id="b", name="broken", arguments={}))
    assert lots_of_ada(one) == [40 * CREDIT, 40 * CREDIT]
    assert top_up(one, "t").result is not None
    one.connection.rollback()
    assert verify(one.connection, one.now).differences == []


def test_it_cannot_take_from_a_leased_lot_or_resolve_what_is_still_held(one):
    def taking(work, arguments):
        work.lot_changed(ADA, ADA_LOT, -1)
        return {}

    def resolving(work, arguments):
        work.resolve(work.open_hold(1 << 40 | 1), None)
        return {}

    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, [hold_record(1, (ADA_LOT, 5))])))
    one.ledger._commands = {"taking": taking, "resolving": resolving}
    with pytest.raises(ValueError, match="cannot be taken from it without its worker"):
        one.ledger.execute(Command(id="t", name="taking", arguments={}))
    assert one.ledger.execute(Command(id="r", name="resolving", arguments={})).problem_kind == "not_in_suspense"
