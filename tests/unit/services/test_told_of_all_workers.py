"""Several workers: what one of them tells people of a wallet, a limit or a call is so of all of them, or is not said."""

from tests.ledger_kit import CREDIT
from tests.unit.services.test_lending import story
from tests.unit.services.test_lending_races import credits_worth


@story
def test_an_empty_wallet_is_told_with_what_calls_at_other_workers_hold(pair):
    held = pair.call(1, "Bo", **credits_worth(24)).hold
    assert 24 * CREDIT < held.bound_nanos < 25 * CREDIT
    denial = pair.call(0, "Bo", **credits_worth(2)).denial
    assert (denial.code, denial.held_nanos) == ("wallet_empty", held.bound_nanos)
    assert "24.006096000 credits are in use by other calls now." in denial.sentence()
