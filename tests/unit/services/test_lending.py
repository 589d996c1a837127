"""Several workers spend one wallet: what is lent to one no other can hold, and nobody is denied what is anywhere."""

import asyncio

from tests import ledger_kit as kit
from tests.desk import BOUND
from tests.ledger_kit import ADA_LOT, CREDIT
from tests.pair import Pair
from tokenroll import settings
from tokenroll.model import limits
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import Hello, Ready, Refusal
from tokenroll.store import lease_book, mirror
from tokenroll.store.database import raw_connection
from tokenroll.store.verify import verify
from tokenroll.upstream.dialect import Denial


def story(test):
    """A test that needs a running loop, as the ledger's timers do."""

    def run(tmp_path):
        async def inside():
            test(Pair(tmp_path))

        asyncio.run(inside())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@story
def test_a_worker_has_nothing_until_it_wants_it(pair):
    assert [worker.left(kit.ADA) for worker in pair.workers] == [0, 0]
    call = pair.call(0)
    assert isinstance(call.answer, HotHold)
    # ten of the dearest calls of late, of which one is held now
    assert pair.workers[0].left(kit.ADA) == 9 * BOUND
    assert pair.workers[1].left(kit.ADA) == 0
    pair.prove()


@story
def test_the_next_calls_need_no_word_of_the_ledger(pair):
    for _ in range(15):
        pair.call(0).settle(input=1_016, output=100)
    # one want for the first, one ahead when less than a quarter was left
    assert pair.workers[0].sized.want_count == 2
    pair.prove()


@story
def test_a_busy_wallet_is_lent_twice_as_much_each_time(pair):
    sized, said = pair.workers[0].sized, []
    say = sized.say

    def overheard(want):
        said.append(want.like_nanos)
        say(want)

    sized.say = overheard
    while len(said) < 4:  # all in one second: one for the first call, and three ahead
        pair.call(0).settle(input=1_016, output=100)
    assert said == [10 * BOUND, 10 * BOUND, 20 * BOUND, 40 * BOUND]
    pair.now += 1_000_001
    while len(said) < 5:
        pair.call(0).settle(input=1_016, output=100)
    # what lasted for more than a second was enough
    assert said[4] == 10 * BOUND
    pair.prove()


@story
def test_what_one_has_idle_another_gets_before_it_is_denied(pair):
    # Bo has 5 credits and no more than what is left of the pool, 20
    big = pair.call(0, "Bo", output_cap_tokens=2_000_000 // 15 * 10, talk=True)
    assert isinstance(big.answer, HotHold)
    big.settle(input=0, output=0)
    pair.talk()
    other = pair.call(1, "Bo", output_cap_tokens=24 * 10**9 // 15_000)
    assert isinstance(other.answer, HotHold)
    assert other.hold.bound_nanos > 20 * CREDIT
    third = pair.call(0, "Bo", output_cap_tokens=2 * 10**9 // 15_000)
    assert third.denial.code == "wallet_empty"
    assert third.denial.left_nanos == 25 * CREDIT - other.hold.bound_nanos
    other.release()
    fourth = pair.call(0, "Bo", output_cap_tokens=2 * 10**9 // 15_000)
    assert isinstance(fourth.answer, HotHold)
    pair.prove()


@story
def test_what_is_lent_is_not_lent_again(pair):
    calls = [pair.call(worker, "Bo", talk=False, output_cap_tokens=10**9 // 15_000) for worker in (0, 1) * 20]
    pair.talk()
    held = [call.answer for call in calls if isinstance(call.answer, HotHold)]
    assert len(held) == 24  # a credit and six thousandths each, of 25
    assert sum(one.bound_nanos for one in held) <= 25 * CREDIT
    pair.prove()


@story
def test_a_next_life_returns_what_its_last_one_had(pair):
    call = pair.call(0)
    pair.workers[0].spending.dispatched([call.hold], pair.now)
    pair.talk()
    assert pair.lent(0, ADA_LOT) == 9 * BOUND
    pair.restart(0)
    pair.talk()
    assert pair.lent(0, ADA_LOT) == 0
    assert pair.rows(f"SELECT suspense_nanos FROM lot_values WHERE lot_id = {ADA_LOT}") == [(BOUND,)]
    pair.prove()


@story
def test_a_clawback_comes_from_all_who_have_of_it(pair):
    calls = [pair.call(worker) for worker in (0, 1)]
    grant = pair.rows("SELECT public_id FROM grants WHERE id = 1")[0][0]
    pair.do("grant.void", grant=grant, reason="a slip")
    pair.talk()
    held = sum(call.hold.bound_nanos for call in calls)
    assert pair.rows("SELECT voided_nanos FROM lot_values WHERE lot_id = 1") == [(40 * CREDIT - held,)]
    for call in calls:
        call.settle(input=1_000, output=0)
    pair.talk()
    spent = 2 * 1_000 * 3_000
    assert pair.rows("SELECT voided_nanos, spent_nanos FROM lot_values WHERE lot_id = 1") == [
        (40 * CREDIT - spent, spent)
    ]
    pair.prove()


@story
def test_workers_share_a_limit_and_none_is_above_it(pair):
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    calls = [pair.call(worker, talk=False) for worker in (0, 1) * 8]
    pair.talk()
    held = [call.answer for call in calls if isinstance(call.answer, HotHold)]
    assert len(held) == 10
    pair.prove()
    assert pair.rows("SELECT used FROM limit_counters") == [(10,)]


@story
def test_a_ledger_that_does_not_answer_has_not_said_that_there_is_no_more(pair):
    call = pair.call(0, talk=False)
    assert isinstance(call.answer, Wait)
    # Ada has 100 credits, all of them at the ledger: her call may come again, and is not told that she has none
    call.attempt(call.answer)
    assert isinstance(call.answer, Denial)
    assert call.answer.code == "not_ready"
    pair.talk()
    assert isinstance(pair.call(0).answer, HotHold)


@story
def test_a_limit_remembers_what_a_life_used_that_is_over(pair):
    pair.do("limit.create", name="ten", member="Ada", window="day", measure="calls", cap=10)
    pair.talk()
    for _ in range(6):
        pair.call(0).settle(input=10, output=0)
    pair.talk()
    pair.restart(0)
    pair.talk()
    calls = [pair.call(worker) for worker in (0, 1, 0, 1, 0, 1)]
    assert sum(isinstance(call.answer, HotHold) for call in calls) == 4
    pair.prove()


@story
def test_a_call_that_its_client_named_is_sent_by_no_other_worker(pair):
    call = pair.call(0, call_id=b"once")
    assert isinstance(call.answer, HotHold)
    again = pair.call(1, call_id=b"once")
    assert (again.denial.code, again.denial.state) == ("call_repeated", "still running")
    assert isinstance(pair.call(1, call_id=b"twice").answer, HotHold)
    pair.prove()


@story
def test_what_lies_idle_goes_back(pair):
    pair.call(0).settle(input=1_000, output=0)
    pair.talk()
    worker = pair.workers[0]
    left = worker.left(kit.ADA)
    worker.spending.returned(worker.sized.idle())
    assert worker.left(kit.ADA) == left  # it was drawn since it was lent
    worker.spending.returned(worker.sized.idle())
    pair.talk()
    assert (worker.left(kit.ADA), pair.lent(0, ADA_LOT)) == (0, 0)
    pair.prove()


@story
def test_a_lost_connection_loses_no_money(pair):
    worker = pair.workers[0]
    call = pair.call(0, talk=False)
    while worker.link.step():  # the ledger lends, and the line is cut before the worker hears of it
        if pair.lent(0, ADA_LOT):
            break
    worker.link.close()
    worker.link = Loopback(pair.server, worker.core)
    pair.talk()
    assert isinstance(call.answer, HotHold)
    assert pair.rows("SELECT count(*) FROM lease_moves") == [(1,)]
    pair.prove()


@story
def test_a_whole_lease_goes_beside_no_other(pair):
    answer = pair.ledger.hello(Hello(version=2, worker=5, epoch=0, boot_id=kit.BOOT, last_delta=0))
    refusal = pair.ledger.ready(Ready(worker=5, epoch=answer.epoch))
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "leased"


@story
def test_a_worker_that_resigns_returns_everything(pair):
    pair.call(0).settle(input=1_000, output=0)
    pair.talk()
    pair.workers[0].core.resign()
    pair.talk()
    assert pair.rows("SELECT count(*) FROM lot_leases") == [(0,)]
    pair.connection.rollback()
    assert verify(pair.connection, pair.now).holds


@story
def test_one_worker_goes_on_where_two_were(pair):
    pair.call(0).settle(input=1_000, output=0)
    pair.call(1).settle(input=1_000, output=0)
    pair.talk()
    pair.workers[1].core.resign()
    pair.talk()
    pair.workers.pop()
    pair.of = 1
    pair.restart(0)
    pair.talk()
    assert pair.workers[0].spending.sized is None
    pair.call(0).settle(input=1_000, output=0)
    pair.prove()
    spent = 3 * 1_000 * 3_000
    assert pair.workers[0].left(kit.ADA) == 80 * CREDIT - spent


def test_the_journal_tells_of_a_lease_that_was_tampered_with(tmp_path):
    async def inside():
        pair = Pair(tmp_path)
        pair.call(0)
        pair.talk()
        raw = raw_connection(pair.connection)
        raw.execute("UPDATE lot_leases SET left_nanos = left_nanos + 1")
        said = verify(pair.connection, pair.now)
        pair.connection.rollback()
        assert [one.kind for one in said.differences] == ["lease"]
        assert "worker 0 has" in said.differences[0].message

    asyncio.run(inside())


def test_the_lowest_layers_repeat_what_others_say():
    assert settings.WORKERS_MAX == limits.WORKERS_MAX
    assert mirror._SIZED == lease_book.LEASE_SIZED
