"""Whatever three workers, the ledger and a clock that strikes any of them dead do: nothing is spent twice, nobody is denied what is there.

The judge's own books are a few sums: what there was, what calls hold and what they cost. A denial must find less than its call needs.
"""

import asyncio
import random

import pytest

from tests import ledger_kit as kit
from tests.ledger_kit import CREDIT
from tests.pair import Pair
from tokenroll.services.hot import HotHold
from tokenroll.upstream.dialect import Denial

WALLETS = {"Ada": 80 * CREDIT, "Bo": 5 * CREDIT, "Nightly": 0}
POOL = 20 * CREDIT
IDS = {"Ada": kit.ADA, "Bo": kit.BO, "Nightly": kit.NIGHTLY}


def slices(call):
    """By wallet, what a call holds."""
    hold = call.hold
    return [(lot.wallet.id, nanos) for lot, nanos in zip(hold.lots, hold.takes, strict=True)]


class Judge:
    """Random days of three workers, with books of its own."""

    def __init__(self, pair, seed):
        self.pair = pair
        self.rng = random.Random(seed)
        self.open = []
        self.spent = dict.fromkeys(WALLETS, 0)
        self.granted = dict(WALLETS)
        self.used = {}
        self.suspense = dict.fromkeys(WALLETS, 0)
        self.denials = 0
        self.answers = 0

    def free(self, name):
        """What a member may still draw: what nobody holds, nor has spent, of the own wallet and of the pool."""
        used = dict(self.used)
        for call in self.open:
            for wallet, nanos in slices(call):
                used[wallet] = used.get(wallet, 0) + nanos
        return self.granted[name] - used.get(IDS[name], 0) + POOL - used.get(kit.POOL, 0)

    def took(self, call, nanos):
        """A call is over, or its fate is being found out: so much of its slices is gone, in their order."""
        for wallet, held in slices(call):
            self.used[wallet] = self.used.get(wallet, 0) + min(held, nanos)
            nanos -= min(held, nanos)

    def burst(self):
        """Some calls at once, at any worker."""
        calls = []
        for _ in range(self.rng.randint(1, 5)):
            worth = self.rng.choice((1, 10, 400, 3_000, 12_000))
            tokens = 100 + worth * CREDIT // 1000 // kit.OUT_NANOS
            worker, name = self.rng.randrange(3), self.rng.choice(list(WALLETS))
            calls.append(self.pair.call(worker, name, talk=False, output_cap_tokens=tokens))
        self.pair.talk()
        denied = []
        for call in calls:
            self.answers += 1
            if isinstance(call.answer, HotHold):
                self.open.append(call)
            else:
                assert isinstance(call.answer, Denial), call.answer
                denied.append(call)
        for call in denied:
            self.denials += 1
            assert call.answer.code == "wallet_empty"
            assert self.free(call.name) < call.answer.needed_nanos

    def settle(self):
        for call in self.rng.sample(self.open, self.rng.randint(0, len(self.open))):
            self.open.remove(call)
            most = call.facts.output_cap_tokens
            cost = call.settle(input=self.rng.randint(0, 1_000), output=self.rng.choice((0, most // 3, most)))
            self.spent[call.name] += cost
            self.took(call, cost)

    def die(self):
        """What its calls hold is being checked from then on, if it was sent; a tape not written never was."""
        number = self.rng.randrange(3)
        self.pair.talk()
        worker = self.pair.workers[number]
        mine = [call for call in self.open if call.worker is worker]
        for call in mine:
            self.open.remove(call)
        sent = [call for call in mine if self.rng.random() < 0.5]
        if sent:
            worker.spending.dispatched([call.hold for call in sent], self.pair.now)
            worker.turn()
        for call in sent:
            self.suspense[call.name] += call.hold.bound_nanos
            self.took(call, call.hold.bound_nanos)
        self.pair.restart(number)
        self.pair.talk()

    def idle(self):
        worker = self.rng.choice(self.pair.workers)
        for _ in range(2):
            worker.spending.returned(worker.sized.idle())

    def grant(self):
        name = self.rng.choice(("Ada", "Bo"))
        self.pair.do("grant.create", to=name, plan="tools", amount_nanos=CREDIT)
        self.granted[name] += CREDIT

    def day(self, steps):
        for _ in range(steps):
            self.pair.now += self.rng.randint(1, 2_000_000)
            does = (self.burst, self.settle, self.die, self.idle, self.grant, self.pair.talk)
            self.rng.choices(does, (50, 40, 4, 6, 3, 10))[0]()
            self.never_too_much()

    def never_too_much(self):
        rows = self.pair.rows(
            "SELECT count(*) FROM lot_leases l JOIN lots ON lots.id = l.lot_id JOIN lot_values v ON v.lot_id = lots.id "
            "WHERE l.left_nanos > lots.amount_nanos - v.held_nanos - v.suspense_nanos - v.spent_nanos"
        )
        assert rows == [(0,)]

    def books(self):
        """What the ledger has at last, member by member, against these books."""
        self.pair.talk()
        spent = self.pair.rows("SELECT coalesce(sum(charge_nanos), 0) FROM settlements")[0][0]
        assert spent == sum(self.spent.values())
        assert self.pair.rows("SELECT coalesce(sum(suspense_nanos), 0) FROM lot_values")[0][0] == sum(
            self.suspense.values()
        )
        self.pair.prove()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_spent_twice_and_nobody_is_denied_what_is_there(tmp_path, seed):
    async def story():
        judge = Judge(Pair(tmp_path, of=3), seed)
        judge.day(60)
        judge.books()
        assert judge.answers > 20

    asyncio.run(story())
