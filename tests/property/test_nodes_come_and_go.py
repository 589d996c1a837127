"""Whatever three nodes do that are cut off, taken back, given up, mended and killed: nothing is spent twice, and all that is told lands.

The judge's own books: what calls have cost, whoever paid. Nodes that are cut off go on with what they were lent.
"""

import asyncio
import random

import pytest

from tests import ledger_kit as kit
from tests.desk import make_meter
from tests.ledger_kit import CREDIT
from tests.pair import Call, Pair
from tokenroll.services.hot import HotHold
from tokenroll.services.lease_deadline import LeaseDeadline
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import Lease, Welcome
from tokenroll.services.sized_lease import WhenCutOff
from tokenroll.store.tape import Finish
from tokenroll.store.verify import verify

GRANTED = {"Ada": 80 * CREDIT, "Bo": 5 * CREDIT, "Nightly": 0}
POOL = 20 * CREDIT
LEASE_SECONDS = 30
BEYOND = CREDIT


class Judge:
    """Random days, and every call's cost. A node's calls that it never told of are the tape's that was given up."""

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.pair = Pair(folder, of=3, first=64)
        self.seconds = 1_000.0
        self.allows = self.rng.random() < 0.5
        self.open: dict[int, list[Call]] = {0: [], 1: [], 2: []}
        self.charged: dict[int, list[int]] = {0: [], 1: [], 2: []}
        """By node: what calls of its present life have cost."""
        self.told = 0
        """What those of earlier lives have cost that are told."""
        self.cut = set()
        self.reclaims = 0
        for place in range(3):
            self.equip(place)

    def equip(self, place):
        """The deadline of that node's life, as its link keeps it."""
        sized = self.pair.workers[place].sized
        deadline = LeaseDeadline(lambda: self.seconds)
        deadline.made()
        deadline.hear(Welcome(epoch=1, folded_sequences={}))
        deadline.hear(Lease(wallets=[], expires_at=0, delta=0, last=True, of=3, seconds=LEASE_SECONDS))
        sized.deadline, deadline.on_renewed = deadline, sized.renewed
        sized.when_cut_off = WhenCutOff.ALLOW if self.allows else WhenCutOff.DENY
        sized.beyond_max_nanos = BEYOND if self.allows else 0

    def call(self):
        place, name = self.rng.randrange(3), self.rng.choice(list(GRANTED))
        worth = self.rng.choice((1, 10, 400, 3_000))
        call = self.pair.call(place, name, talk=False, output_cap_tokens=100 + worth * CREDIT // 1000 // kit.OUT_NANOS)
        self.pair.talk()
        if isinstance(call.answer, HotHold):
            self.pair.workers[place].spending.dispatched([call.hold], self.pair.now)
            self.open[place].append(call)

    def settle(self):
        place = self.rng.randrange(3)
        for call in self.rng.sample(self.open[place], self.rng.randint(0, len(self.open[place]))):
            self.open[place].remove(call)
            spending = self.pair.workers[place].spending
            output = self.rng.choice((0, call.facts.output_cap_tokens // 3, call.facts.output_cap_tokens))
            meter = make_meter(input=self.rng.randint(0, 1_000), output=output)
            self.charged[place].append(spending.settle(call.hold, meter, self.pair.now, 200, Finish.COMPLETE))

    def cable(self):
        """A line is cut, or mended: then the same life goes on, if its number is not over."""
        place = self.rng.randrange(3)
        worker = self.pair.workers[place]
        if place not in self.cut:
            self.pair.talk()
            worker.link.close()
            worker.sized.deadline.lost()
            self.cut.add(place)
            return
        worker.link = Loopback(self.pair.server, worker.core)
        self.pair.talk()
        if worker.refusals:
            self.forgotten(place)
            self.restart(place)
        else:
            self.equip(place)
        self.cut.discard(place)

    def time(self):
        """Seconds go by, for all clocks alike; who has a line renews."""
        seconds = self.rng.choice((1, 10, 26, 40))
        self.seconds += seconds
        self.pair.now += seconds * 1_000_000
        before = len(self.pair.ledger.lessees)
        for _ in range(seconds):
            for place in {0, 1, 2} - self.cut:
                self.pair.server.watch.heard(64 + place)
            self.pair.server.watch.look(1)
        for place in {0, 1, 2} - self.cut:
            self.equip(place)
        self.reclaims += before - len(self.pair.ledger.lessees)

    def kill(self):
        place = self.rng.randrange(3)
        self.pair.workers[place].turn()
        given_up = 64 + place not in self.pair.ledger.lessees and self.pair.ledger._workers[64 + place].lease == 0
        if given_up:
            self.forgotten(place)
        self.restart(place)
        self.cut.discard(place)

    def restart(self, place):
        self.told += sum(self.charged[place])
        self.charged[place], self.open[place] = [], []
        self.pair.restart(place)
        self.pair.talk()
        self.equip(place)

    def forgotten(self, place):
        """A life that was given up: only what it had told before counts."""
        epoch = self.pair.workers[place].core.epoch
        (known,) = self.pair.rows(
            f"SELECT coalesce(sum(charge_nanos), 0) FROM settlements WHERE hold_key >> 40 = {(64 + place) << 16 | epoch}"
        )
        self.charged[place] = [known[0]]

    def give_up(self):
        away = [number for number, one in self.pair.ledger._workers.items() if one.lease == 3]
        if away:
            self.pair.do("lease.give_up", worker=self.rng.choice(away))

    def day(self, steps):
        does = (self.call, self.settle, self.cable, self.time, self.kill, self.give_up)
        for _ in range(steps):
            self.pair.now += self.rng.randint(1, 2_000_000)
            self.rng.choices(does, (50, 30, 8, 8, 3, 2))[0]()
            self.balanced()

    def balanced(self):
        rows = self.pair.rows(
            "SELECT count(*) FROM lots JOIN lot_values v ON v.lot_id = lots.id "
            "LEFT JOIN (SELECT lot_id, sum(left_nanos) lent FROM lot_leases GROUP BY lot_id) l ON l.lot_id = lots.id "
            "WHERE lots.amount_nanos - v.held_nanos - v.suspense_nanos - v.spent_nanos - coalesce(l.lent, 0) < 0"
        )
        assert rows == [(0,)]

    def books(self):
        """The faults stop: everybody is there again, and everything is told."""
        for place in tuple(self.cut):
            while place in self.cut:
                self.pair.workers[place].link.close()
                worker = self.pair.workers[place]
                worker.link = Loopback(self.pair.server, worker.core)
                self.pair.talk()
                if worker.refusals:
                    self.forgotten(place)
                    self.restart(place)
                self.cut.discard(place)
        self.pair.talk()
        (spent,) = self.pair.rows("SELECT coalesce(sum(charge_nanos), 0) FROM settlements")
        assert spent[0] == self.told + sum(sum(one) for one in self.charged.values())
        self.pair.connection.rollback()
        found = verify(self.pair.connection, self.pair.now)
        assert found.holds, [one.message for one in found.differences]
        (carried,) = self.pair.rows("SELECT coalesce(sum(company_nanos), 0) FROM wallet_values")
        assert self.allows or carried[0] == 0


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_spent_twice_and_what_is_told_lands(tmp_path, seed):
    async def story():
        judge = Judge(tmp_path, seed)
        judge.day(120)
        judge.books()
        assert judge.told + sum(sum(one) for one in judge.charged.values()) > 0

    asyncio.run(story())
