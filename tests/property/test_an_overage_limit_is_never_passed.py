"""However workers begin anew, whatever is in suspense: what the company carries for a wallet is its limit of overage at most.

The judge's own sum: the company's lot, which only Bo's calls may draw from here. Calls never cost more than they hold.
"""

import asyncio
import random

import pytest

from tests import ledger_kit as kit
from tests.desk import BOUND, make_meter
from tests.pair import Call, Pair, Worker
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services import hot
from tokenroll.services.hot import HotHold, Lessees
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import Denial

LIMIT = 12 * BOUND
CARRIED = "SELECT held_nanos + suspense_nanos, spent_nanos FROM lot_values WHERE lot_id = 0"


class Judge:
    """Random days of Bo, who has a nano of his own and no pool."""

    def __init__(self, folder, seed, of):
        self.rng = random.Random(seed)
        self.pair = Pair(folder, of=of)
        self.open: list[list[Call]] = [[] for _ in range(of)]
        self.most = self.restarts = self.found = 0
        for (grant,) in self.pair.rows(f"SELECT public_id FROM grants WHERE wallet_id IN ({kit.BO}, {kit.POOL})"):
            self.pair.do("grant.void", grant=grant, reason="a slip")
        self.pair.do(
            "plan.create", name="above", kind="stipend", classification="tool", amount_nanos=1, overage_nanos_max=LIMIT
        )
        self.pair.do("grant.create", to="Bo", plan="above", amount_nanos=1)
        self.pair.talk()

    def call(self):
        place = self.rng.randrange(len(self.open))
        call = self.pair.call(place, "Bo", output_cap_tokens=self.rng.choice((0, 20, 100, 400)) or 1)
        assert isinstance(call.answer, (HotHold, Denial))
        if isinstance(call.answer, HotHold):
            self.pair.workers[place].spending.dispatched([call.hold], self.pair.now)
            self.open[place].append(call)

    def end(self):
        place = self.rng.randrange(len(self.open))
        spending = self.pair.workers[place].spending
        for call in self.rng.sample(self.open[place], self.rng.randint(0, len(self.open[place]))):
            self.open[place].remove(call)
            part = self.rng.choice((0, 2, 1))
            meter = make_meter(input=part * 500, output=call.facts.output_cap_tokens * part // 2)
            if self.rng.random() < 0.2:
                spending.lapse(call.hold, meter, self.pair.now, Finish.TIMED_OUT)
            else:
                spending.settle(call.hold, meter, self.pair.now, 200, Finish.COMPLETE)

    def restart(self):
        place = self.rng.randrange(len(self.open))
        self.open[place] = []
        self.restarts += 1
        self.pair.restart(place)

    def find_out(self):
        """What the provider tells of a call in suspense: nothing, a part of what it held, or all."""
        suspended = self.pair.rows("SELECT hold_key, record FROM holds WHERE state = 'suspense' ORDER BY hold_key")
        if not suspended:
            return
        number, record = self.rng.choice(suspended)
        part = self.rng.choice((0, 1, 2))
        counts: list[int | None] = [None] * len(METERS)
        counts[METER_INDEX[Meter.INPUT]] = 500 * part
        counts[METER_INDEX[Meter.OUTPUT]] = parse_record(record).hold.output_cap_tokens * part // 2
        answer = self.pair.do(
            "suspense.find", hold=number, usages=[counts], service_tier="standard", dialect=15, is_doubtful=False
        )
        self.found += answer["was_found"]

    def look(self):
        """No more than the limit is carried or may be; and all of its part is each worker's, whatever it did before."""
        (away, spent) = self.pair.rows(CARRIED)[0]
        assert away + spent <= LIMIT
        self.most = max(self.most, away + spent)
        uses = dict(self.pair.rows(f"SELECT worker, nanos FROM overage_uses WHERE wallet_id = {kit.BO}"))
        for worker in self.pair.workers:
            bo = worker.spending.wallets[kit.BO]
            part = LIMIT // len(self.open) - uses.get(worker.number, 0)
            assert bo.overage_left_nanos + bo.overage_held_nanos == part

    def day(self, steps):
        does = (self.call, self.call, self.call, self.end, self.restart, self.find_out)
        for _ in range(steps):
            self.rng.choice(does)()
            if self.rng.random() < 0.1:
                self.pair.now += 60_000_000
            self.pair.talk()
            self.look()
        self.pair.prove()


def test_who_is_gone_has_a_part_until_all_is_told_that_it_did(tmp_path):
    """Three workers for twelve calls, of which the third makes three and dies; the other two begin anew as two."""

    async def inside():
        judge = Judge(tmp_path, 1, 3)
        pair = judge.pair
        for _ in range(3):
            call = pair.call(2, "Bo")
            call.worker.spending.dispatched([call.hold], pair.now)
        pair.talk()
        for worker in pair.workers:
            worker.die()
        pair.of = 2
        pair.workers = [Worker(pair, 0), Worker(pair, 1)]
        pair.talk()
        shared = [one.spending.wallets.lessees for one in pair.workers]
        assert shared == [Lessees(place, 3, frozenset({0, 1, 2})) for place in (0, 1)]
        assert [one.spending.wallets[kit.BO].overage_left_nanos for one in pair.workers] == [4 * BOUND] * 2

        third = Worker(pair, 2)  # its tape is told by a life that ends at once
        pair.workers.append(third)
        pair.talk()
        third.core.ends()
        third.core.resign()
        pair.talk()
        pair.workers.pop().die()
        pair.restart(0)
        pair.restart(1)
        pair.talk()
        assert pair.rows("SELECT worker, nanos FROM overage_uses") == [(2, 3 * BOUND - 1)]  # Bo's own nano paid, too
        shared = [one.spending.wallets.lessees for one in pair.workers]
        assert shared == [Lessees(place, 2, frozenset({0, 1})) for place in (0, 1)]
        assert [one.spending.wallets[kit.BO].overage_left_nanos for one in pair.workers] == [9 * BOUND // 2] * 2
        pair.prove()

    asyncio.run(inside())


@pytest.mark.parametrize("of", [1, 2, 3])
def test_workers_that_begin_anew_never_pass_it(tmp_path, of):
    judges = []

    async def inside(seed):
        judges.append(Judge(tmp_path / str(seed), seed, of))
        judges[-1].day(60)

    for seed in range(6):
        asyncio.run(inside(seed))
    assert max(one.most for one in judges) > LIMIT * 3 // 4  # much of it is used where there is enough to do
    assert min(one.restarts for one in judges) > 0
    assert sum(one.found for one in judges) > 0


def divides_what_is_left(terms, lessees):
    """A part of what is left, beside what the others have of what there was when they began."""
    left = terms.overage_nanos_max - sum(nanos for _, nanos in terms.carried)
    return left // lessees.of + hot.carried_at(terms, lessees.worker)


@pytest.mark.parametrize(
    ("name", "planted"), [("overage_part", divides_what_is_left), ("carried_at", lambda _terms, _worker: 0)]
)
def test_the_judge_would_notice(tmp_path, monkeypatch, name, planted):
    monkeypatch.setattr(hot, name, planted)

    async def inside():
        Judge(tmp_path, 1, 2).day(60)

    with pytest.raises(AssertionError):
        asyncio.run(inside())
