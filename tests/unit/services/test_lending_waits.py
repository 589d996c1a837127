"""Calls that wait for what the ledger lends: who is woken, who asks for whom, and what a worker keeps in mind for it.

A strange reader found these, not the simulator.
"""

from tests import ledger_kit as kit
from tests.desk import BOUND
from tests.unit.services.test_lending import story
from tokenroll.services.hot import Wait
from tokenroll.services.protocol import AskBack, Lacking


@story
def test_a_wallet_that_nobody_used_here_stays_packed_when_it_is_asked_back(pair):
    sized, wallets = pair.workers[0].sized, pair.workers[0].spending.wallets
    assert kit.NIGHTLY not in wallets.hot
    assert sized.give_back(AskBack(1, [kit.NIGHTLY], []), pair.now) == []
    assert kit.NIGHTLY not in wallets.hot
