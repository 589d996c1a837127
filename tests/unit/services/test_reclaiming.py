"""A node that stays away: what it was lent is in suspense until it is back or given up, and nobody else waits for it."""

import asyncio
import types

from tests import ledger_kit as kit
from tests.desk import BOUND, make_meter
from tests.ledger_kit import ADA_LOT, BO_LOT, CREDIT, DAY
from tests.pair import Pair
from tests.tampering import change, permit_changes
from tokenroll.services.exporting import journal_of
from tokenroll.services.hot import HotHold
from tokenroll.services.lease_watch import LeaseWatch
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import AskBack, Hello, Refusal, Report, Welcome
from tokenroll.services.reporting import Reports
from tokenroll.store.tape import Finish
from tokenroll.store.verify import verify
from tokenroll.upstream.dialect import Denial

AWAY_SECONDS = 36
"""Longer than the 30 that a lease counts and the 5 of the ledger's margin."""
SUSPENSE = f"SELECT suspense_nanos FROM lot_values WHERE lot_id = {ADA_LOT}"


def story(test):
    """A test that needs a running loop, as the ledger's timers do. Its workers are nodes 64 and 65."""

    def run(tmp_path):
        async def inside():
            test(Pair(tmp_path, first=64))

        asyncio.run(inside())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def cut(pair, place):
    """The line of that node is gone, and it lives on."""
    pair.workers[place].link.close()


def away(pair, place):
    """Its deadline has passed, and the ledger's margin."""
    cut(pair, place)
    pair.server.watch.heard(pair.workers[1 - place].number)
    pair.server.watch.look(AWAY_SECONDS - 6)
    pair.server.watch.heard(pair.workers[1 - place].number)
    pair.server.watch.look(6)


def back(pair, place):
    """The same life has a line again."""
    worker = pair.workers[place]
    worker.link = Loopback(pair.server, worker.core)
    pair.talk()


def status_of(pair, place):
    (one,) = [
        one for one in pair.server.status().values["workers"] if one["worker"] == pair.workers[place].number
    ]  # fmt: skip
    return one


def verified(pair):
    pair.connection.rollback()
    found = verify(pair.connection, pair.now)
    pair.connection.rollback()
    return [one.message for one in found.differences]


@story
def test_what_a_node_was_lent_that_stays_away_is_in_suspense(pair):
    pair.call(0)
    pair.talk()
    assert (status_of(pair, 0)["lease"], status_of(pair, 0)["lent_nanos"]) == (2, 9 * BOUND)
    away(pair, 0)
    # the one call that it holds is known, and the nine more that it could have made are not free
    assert pair.rows(SUSPENSE) == [(9 * BOUND,)]
    assert pair.rows(f"SELECT held_nanos FROM lot_values WHERE lot_id = {ADA_LOT}") == [(BOUND,)]
    told = status_of(pair, 0)
    assert (told["lease"], told["lent_nanos"], told["away_nanos"]) == (3, 0, 9 * BOUND)
    assert pair.server.status().values["suspense_nanos"] == 9 * BOUND
    assert verified(pair) == []
    # the ledger's own books know it after a restart, too
    pair.ledger._reload()
    assert status_of(pair, 0)["away_nanos"] == 9 * BOUND


@story
def test_nothing_is_taken_back_before_the_deadline_and_the_margin(pair):
    pair.call(0)
    cut(pair, 0)
    pair.server.watch.look(34)
    assert pair.rows(SUSPENSE) == [(0,)]
    # a worker that says anything is there
    pair.server.watch.heard(64)
    pair.server.watch.look(34)
    assert pair.rows(SUSPENSE) == [(0,)]
    pair.server.watch.look(2)
    assert pair.rows(SUSPENSE) == [(9 * BOUND,)]


@story
def test_a_workers_tape_beside_the_ledger_is_there_and_its_lease_has_no_deadline(pair):
    other = Pair(pair.folder / "beside")
    other.call(0)
    other.talk()
    other.server.watch.look(1_000_000)
    assert other.lent(0, ADA_LOT) == 9 * BOUND
    assert "lease_seconds_left" in other.server.status().values["workers"][0]
    assert other.server.status().values["workers"][0]["lease_seconds_left"] is None


@story
def test_a_node_that_died_keeps_nobody_waiting(pair):
    pair.call(0, "Bo")
    pair.talk()
    lent = pair.lent(0, BO_LOT)
    assert lent > 0
    cut(pair, 0)
    # all that the dead one does not have, and not a moment later
    most = 25 * CREDIT - lent - BOUND
    rest = pair.call(1, "Bo", output_cap_tokens=(most - 20_000_000) // 15_000)
    assert isinstance(rest.answer, HotHold)
    more = pair.call(1, "Bo", output_cap_tokens=CREDIT // 15_000)
    assert more.denial.code == "wallet_empty"
    rest.release()
    pair.talk()
    assert verified(pair) == []


@story
def test_a_node_that_is_back_has_it_again_and_its_calls_end_as_if_nothing_was(pair):
    call = pair.call(0)
    away(pair, 0)
    # it was cut off with its calls under way: one ends, one begins
    cost = call.settle(input=1_000, output=10)
    second = pair.call(0, talk=False)
    assert isinstance(second.answer, HotHold)
    back(pair, 0)
    assert pair.rows(SUSPENSE) == [(0,)]
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(cost,)]
    assert status_of(pair, 0)["lease"] == 2
    assert isinstance(pair.call(0).answer, HotHold)
    pair.prove()


@story
def test_a_next_life_tells_what_the_tape_says_and_all_is_free(pair):
    call = pair.call(0)
    away(pair, 0)
    call.settle(input=1_000, output=10)
    pair.workers[0].turn()  # on its tape
    pair.workers[0].tape.close()
    pair.restart(0)
    pair.talk()
    assert pair.rows(SUSPENSE) == [(0,)]
    assert pair.rows("SELECT charge_nanos FROM settlements") == [(1_000 * 3_000 + 10 * 15_000,)]
    assert pair.lent(0, ADA_LOT) == 0
    pair.prove()


@story
def test_a_node_may_be_away_more_than_once(pair):
    pair.call(0)
    for _ in range(3):
        pair.now += 1_000_000
        away(pair, 0)
        assert pair.rows(SUSPENSE) == [(9 * BOUND,)]
        assert verified(pair) == []
        back(pair, 0)
        assert pair.rows(SUSPENSE) == [(0,)]
    pair.prove()


@story
def test_a_zombie_says_nothing_before_it_said_hello(pair):
    worker = pair.workers[0]
    pair.call(0)
    away(pair, 0)
    refusal = pair.ledger.report(Report(worker=64, epoch=worker.core.epoch, blocks=b""))
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "closed_epoch"


@story
def test_a_node_that_is_given_up_leaves_its_money_to_the_others(pair):
    call = pair.call(0)
    pair.workers[0].spending.dispatched([call.hold], pair.now)
    pair.talk()
    reply = pair.server.answer(kit.Command(id="early", name="lease.give_up", arguments={"worker": 64}))
    assert "has a lease that still counts" in reply.problem
    away(pair, 0)
    said = pair.do("lease.give_up", worker=64)
    assert said["calls_being_checked"] == 1
    # the call that it was known to hold is being found out; the rest is the ledger's
    assert pair.rows(SUSPENSE) == [(BOUND,)]
    assert status_of(pair, 0)["lease"] == 0
    assert verified(pair) == []
    all_of_it = pair.call(1, output_cap_tokens=(100 * CREDIT - BOUND - 20_000_000) // 15_000)
    assert isinstance(all_of_it.answer, HotHold)
    all_of_it.release()
    # where that life goes on, it is over; its number is not used again
    epoch = pair.workers[0].core.epoch
    again = pair.ledger.hello(Hello(version=2, worker=64, epoch=epoch, boot_id=kit.BOOT, last_delta=0))
    assert isinstance(again, Refusal)
    pair.workers[0].spending.settle(call.hold, make_meter(input=1_000, output=10), pair.now, 200, Finish.COMPLETE)
    pair.workers[0].turn()
    pair.restart(0)
    pair.talk()
    assert pair.workers[0].core.epoch == epoch + 2
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [
        (0,)
    ]  # the provider's bill says what became of it
    assert isinstance(pair.call(0).answer, HotHold)
    pair.prove()


def hours_go_by(pair, hours):
    """For everybody, as the ledger's chores see it. Node 65 is there all the time."""
    for _ in range(hours):
        pair.now += kit.HOUR
        for _ in range(120):
            pair.server.watch.heard(65)
            pair.server.watch.look(30)
        pair.server.watch.give_up()


@story
def test_what_nobody_told_of_for_three_days_is_given_up(pair):
    pair.call(0)
    away(pair, 0)
    pair.server.watch.give_up()
    hours_go_by(pair, 71)
    assert pair.rows(SUSPENSE) == [(9 * BOUND,)]
    hours_go_by(pair, 1)
    assert pair.rows(SUSPENSE) == [(BOUND,)]
    assert status_of(pair, 0)["lease"] == 0
    assert verified(pair) == []


@story
def test_a_wall_clock_that_is_set_gives_no_node_up_and_holds_none_back(pair):
    pair.call(0)
    away(pair, 0)
    pair.now += 73 * kit.HOUR  # somebody sets the ledger's clock; the node is away since 36 seconds
    pair.server.watch.give_up()
    hours_go_by(pair, 1)
    assert status_of(pair, 0)["lease"] == 3
    hours_go_by(pair, 71)
    assert status_of(pair, 0)["lease"] == 0


@story
def test_a_node_that_was_back_is_waited_for_as_long_again(pair):
    pair.call(0)
    away(pair, 0)
    hours_go_by(pair, 71)
    back(pair, 0)
    away(pair, 0)
    hours_go_by(pair, 71)
    assert status_of(pair, 0)["lease"] == 3
    hours_go_by(pair, 1)
    assert status_of(pair, 0)["lease"] == 0


@story
def test_a_ledger_that_is_started_anew_goes_on_waiting(pair):
    """It knows since which hour the node is away. Whoever lives comes within a lease of its start, and is not given up before that."""
    pair.call(0)
    away(pair, 0)
    hours_go_by(pair, 40)
    pair.server.watch = LeaseWatch(pair.ledger, pair.server._reclaimed)
    pair.server.watch.give_up()
    hours_go_by(pair, 31)
    assert status_of(pair, 0)["lease"] == 3
    hours_go_by(pair, 1)
    assert status_of(pair, 0)["lease"] == 0


@story
def test_a_ledger_that_stood_still_for_days_waits_for_a_lease(pair):
    pair.call(0)
    away(pair, 0)
    pair.server.watch = LeaseWatch(pair.ledger, pair.server._reclaimed)
    pair.now += 100 * kit.HOUR
    pair.server.watch.give_up()
    pair.server.watch.heard(65)
    pair.server.watch.look(29)
    pair.server.watch.give_up()
    assert status_of(pair, 0)["lease"] == 3
    pair.server.watch.look(1)
    pair.server.watch.give_up()
    assert status_of(pair, 0)["lease"] == 0


def test_the_ledgers_chores_give_up_whom_nobody_waits_for(tmp_path):
    async def inside():
        pair = Pair(tmp_path, first=64)
        pair.call(0)
        away(pair, 0)
        pair.server.watch.look(72 * 3_600)
        assert status_of(pair, 0)["lease"] == 3
        await pair.server.start(tmp_path / "socket", tmp_path)
        async with asyncio.timeout(20):
            while status_of(pair, 0)["lease"]:  # noqa: ASYNC110 - the chores tell nobody
                await asyncio.sleep(0.01)
        await pair.server.close()

    asyncio.run(inside())


@story
def test_its_share_of_a_limit_is_nobody_elses_until_it_is_given_up(pair):
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    pair.call(0)
    away(pair, 0)
    before = sum(isinstance(pair.call(1).answer, HotHold) for _ in range(10))
    assert 1 <= before < 9
    pair.do("lease.give_up", worker=64)
    after = sum(isinstance(pair.call(1).answer, HotHold) for _ in range(10))
    assert before + after == 9
    assert verified(pair) == []


@story
def test_its_share_of_a_limit_is_not_of_windows_that_begin_while_it_is_away(pair):
    """Else a daily limit would have nine tenths for three days, and a dead node the rest."""
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    pair.call(0)
    away(pair, 0)
    today = sum(isinstance(pair.call(1).answer, HotHold) for _ in range(10))
    assert today < 9
    pair.now += DAY
    assert [type(pair.call(1).answer) for _ in range(11)] == [HotHold] * 10 + [Denial]
    assert verified(pair) == []


@story
def test_a_node_whose_share_is_free_begins_anew_and_its_tape_is_told(pair):
    """The same life would count the next day's calls against a share that others have. Its answers are in the books all the same."""
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    call = pair.call(0)
    away(pair, 0)
    pair.now += DAY
    assert [type(pair.call(1).answer) for _ in range(11)] == [HotHold] * 10 + [Denial]
    cost = call.settle(input=10, output=0)
    pair.workers[0].turn()
    pair.workers[0].link = Loopback(pair.server, pair.workers[0].core)
    while pair.workers[0].link.step():
        pass
    assert [one.kind for one in pair.workers[0].refusals] == ["closed_epoch"]
    pair.restart(0)
    pair.talk()
    assert pair.rows("SELECT charge_nanos FROM settlements") == [(cost,)]
    assert isinstance(pair.call(0).answer, Denial)
    assert verified(pair) == []


@story
def test_what_a_dead_life_returned_of_a_share_that_is_free_comes_back_once(pair):
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    pair.call(0).settle(input=10, output=0)
    pair.talk()
    cut(pair, 0)
    sized = pair.workers[0].sized
    limit = next(iter(pair.workers[0].spending.limits.known))
    pair.workers[0].spending.returned(sized.give_back(AskBack(1, [kit.ADA], [limit]), pair.now), 1)
    pair.workers[0].turn()
    away(pair, 0)
    pair.now += DAY
    assert isinstance(pair.call(1).answer, HotHold)
    pair.restart(0)
    pair.talk()
    assert pair.rows("SELECT min(share) > 0, sum(share) <= 1000000000000000000 FROM limit_shares") == [(1, 1)]
    assert [type(pair.call(1).answer) for _ in range(10)] == [HotHold] * 9 + [Denial]
    assert verified(pair) == []


@story
def test_the_journal_tells_of_a_suspense_that_no_move_explains(pair):
    pair.call(0)
    away(pair, 0)
    permit_changes(pair.connection)
    assert change(pair.connection, "UPDATE entries SET reference = 'lease 65/1' WHERE reference = 'lease 64/1'") == 1
    pair.connection.commit()
    assert any("its moves say otherwise" in one for one in verified(pair))


@story
def test_a_restored_ledger_answers_a_life_that_it_still_waits_for(pair):
    pair.call(0)
    away(pair, 0)
    pair.ledger._reload()
    welcome = pair.ledger.hello(Hello(version=2, worker=64, epoch=0, boot_id=kit.BOOT, last_delta=0))
    assert isinstance(welcome, Welcome)
    assert pair.lent(0, ADA_LOT) == 9 * BOUND
    assert verified(pair) == []


def next_life_says_hello_and_is_cut_off(pair):
    """Its tape is read, and its line is gone before it is READY: what the life before it wrote is reported by nobody."""
    pair.restart(0)
    while pair.ledger.epoch_of(64) < 2:
        pair.workers[0].link.step()
    away(pair, 0)
    pair.workers[0].tape = types.SimpleNamespace(close=lambda: None)  # it has not begun one


@story
def test_with_a_life_those_before_it_are_given_up_and_the_node_goes_on(pair):
    """The ledger knew of a call of life 1, which lapsed: a report that ends it would be refused for ever, and the node never served again."""
    pair.call(0)
    cut(pair, 0)
    late = pair.call(0, talk=False)
    assert isinstance(late.answer, HotHold)
    late.settle(input=1_000, output=10)
    pair.workers[0].turn()  # on its tape, within its lease
    next_life_says_hello_and_is_cut_off(pair)
    pair.do("lease.give_up", worker=64)
    refusal = pair.ledger.report(Report(worker=64, epoch=1, blocks=b""))
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "closed_epoch"
    pair.restart(0)
    pair.talk()
    assert pair.workers[0].core.spending
    assert isinstance(pair.call(0).answer, HotHold)
    pair.prove()


@story
def test_what_an_earlier_life_of_a_node_that_was_given_up_wrote_reaches_no_wallet(pair):
    pair.call(0).settle(input=10, output=0)
    pair.talk()
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(30_000,)]
    cut(pair, 0)
    pair.call(0, talk=False).settle(input=1_000, output=10)
    pair.workers[0].turn()
    next_life_says_hello_and_is_cut_off(pair)
    pair.do("lease.give_up", worker=64)
    # all of it is somebody else's now: Ada's eighty and the pool's twenty
    other = pair.call(1, output_cap_tokens=(100 * CREDIT - 30_000 - 7_000_000) // kit.OUT_NANOS)
    assert isinstance(other.answer, HotHold)
    pair.restart(0)
    pair.talk()
    assert pair.workers[0].core.spending
    assert pair.rows("SELECT sum(charge_nanos) FROM settlements") == [(30_000,)]
    pair.prove()


def slip_of_ada(pair, cycle):
    found = Reports(pair.connection, pair.now).payslip("Ada", cycle)
    return [found[f"{line}_nanos"] for line in ("suspense", "breakage", "closing")]


@story
def test_a_slip_tells_what_a_node_has_that_is_away_as_being_checked(pair):
    """Ada's credits of the day end while the node is away: what it may have spent of them is not told as expired."""
    pair.do("plan.create", name="day", kind="stipend", classification="tool", amount_nanos=40 * CREDIT, lifetime="1d")
    pair.do("grant.create", to="Ada", plan="day")
    pair.talk()
    pair.call(0)
    away(pair, 0)
    lent = 9 * BOUND
    assert slip_of_ada(pair, "2026-01") == [lent, 0, 120 * CREDIT]
    pair.now += 2 * DAY
    assert slip_of_ada(pair, "2026-01") == [lent, 40 * CREDIT - 10 * BOUND, 80 * CREDIT + 10 * BOUND]
    pair.do("lease.give_up", worker=64)
    assert slip_of_ada(pair, "2026-01") == [BOUND, 40 * CREDIT - BOUND, 80 * CREDIT + BOUND]


@story
def test_the_exported_books_tell_it_as_suspense(pair):
    pair.call(0)
    away(pair, 0)
    text = journal_of(pair.connection, pair.now, "The firm")
    assert [[leg.nanos for leg in one.legs] for one in text.movements if one.text.startswith("a node is away")] == [
        [-9 * BOUND, 9 * BOUND]
    ]
    pair.do("lease.give_up", worker=64)
    text = journal_of(pair.connection, pair.now, "The firm")
    assert [one.text for one in text.movements if "being checked" in one.text or "a node is away" in one.text] == [
        "a call is being checked"
    ]
