"""Calls that wait for what the ledger lends: who is woken, who asks for whom, and what a worker keeps in mind for it.

A strange reader found these, not the simulator.
"""

from tests import ledger_kit as kit
from tests.desk import BOUND
from tests.ledger_kit import ADA_LOT
from tests.unit.services.test_lending import story
from tokenroll.services.hot import Wait
from tokenroll.services.protocol import AskBack, Lacking, Lent


@story
def test_a_wallet_that_nobody_used_here_stays_packed_when_it_is_asked_back(pair):
    sized, wallets = pair.workers[0].sized, pair.workers[0].spending.wallets
    assert kit.NIGHTLY not in wallets.hot
    assert sized.give_back(AskBack(1, [kit.NIGHTLY], []), pair.now) == []
    assert kit.NIGHTLY not in wallets.hot


@story
def test_wants_that_were_said_again_and_lacked_are_not_remembered_for_ever(pair):
    sized, hot = pair.workers[0].sized, pair.workers[0].spending.wallets[kit.ADA]
    hot.look(pair.now)
    sized.say = lambda _want: None
    for number in range(1, 1_001):
        one = Wait(BOUND, (hot,), asks=[])
        one.wake = lambda: None
        sized.wait(one)
        sized.give_back(AskBack(number, [kit.ADA], []), pair.now)
        sized.lacking(Lacking(number, []))
    sized.idle()
    sized.lent(Lent(1_000, [(kit.ADA, ADA_LOT, 7)], [], []))  # half a minute later it is still its worker's
    assert pair.workers[0].left(kit.ADA) == 7
    sized.idle()
    assert not sized._lacked | sized._lacked_before
    sized.lent(Lent(999, [(kit.ADA, ADA_LOT, 7)], [], []))
    assert pair.workers[0].left(kit.ADA) == 7
