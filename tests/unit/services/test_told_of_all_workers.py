"""Several workers: what one of them tells people of a wallet, a limit or a call is so of all of them, or is not said."""

from tests import ledger_kit as kit
from tests.ledger_kit import CREDIT, DAY, HOUR
from tests.unit.services.test_lending import story
from tests.unit.services.test_lending_races import credits_worth
from tokenroll.services.hot import HotHold


@story
def test_an_empty_wallet_is_told_with_what_calls_at_other_workers_hold(pair):
    held = pair.call(1, "Bo", **credits_worth(24)).hold
    assert 24 * CREDIT < held.bound_nanos < 25 * CREDIT
    denial = pair.call(0, "Bo", **credits_worth(2)).denial
    assert (denial.code, denial.held_nanos) == ("wallet_empty", held.bound_nanos)
    assert "24.006096000 credits are in use by other calls now." in denial.sentence()


@story
def test_a_lot_that_begins_is_counted_before_anything_of_it_is_lent(pair):
    """A call that names no output cap is given what a quarter of Bo's money affords, not the least there is."""
    pair.do("grant.create", to="Bo", plan="tools", effective_at=pair.now + DAY)
    pair.talk()
    first = pair.call(0, "Bo", **credits_worth(0.03))
    assert isinstance(pair.call(1, "Bo", **credits_worth(24.9)).answer, HotHold)
    assert pair.call(0, "Bo", **credits_worth(1)).denial.code == "wallet_empty"
    first.settle(input=10, output=0)
    pair.talk()
    wallet = pair.workers[0].spending.wallets[kit.BO]
    assert wallet.next_arrival(pair.now) == (kit.START + DAY, 40 * CREDIT)
    pair.now += DAY + 1
    call = pair.call(0, "Bo", output_cap_tokens=0)
    assert call.hold.output_tokens_max == 16_384  # what the plan says: ten credits afford more
    pair.prove()


@story
def test_a_lot_that_began_is_counted_once(pair):
    pair.do("grant.create", to="Bo", plan="tools", effective_at=pair.now + DAY)
    pair.talk()
    wallet = pair.workers[0].spending.wallets[kit.BO]
    wallet.look(pair.now)
    assert wallet.elsewhere_nanos == 5 * CREDIT
    for hour in (24, 25, 26):
        wallet.look(kit.START + hour * HOUR)
        assert wallet.elsewhere_nanos == 45 * CREDIT
        assert wallet.next_arrival(kit.START + hour * HOUR) == (0, 0)
