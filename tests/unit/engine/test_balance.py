import pytest

from tests.cast import DAY, T0, make_state
from tokenroll.engine.balance import balance_at


def wallet():
    """A pay lot of tomorrow, a tool lot that lives for ten days with every part in use, and an old one that has lapsed."""
    return [
        make_state(id=1, amount_nanos=1_000, effective_at=T0 + DAY),
        make_state(id=2, amount_nanos=100, held=10, suspense=20, spent=30, expires_at=T0 + 10 * DAY),
        make_state(id=3, amount_nanos=50, spent=45, effective_at=T0 - 2 * DAY, expires_at=T0 - DAY),
    ]


def test_it_says_where_everything_is():
    balance = balance_at(wallet(), T0, leased=False)
    assert balance.granted_nanos == 1_150
    assert balance.unvested_nanos == 1_000
    assert balance.available_nanos == 40
    assert (balance.held_nanos, balance.suspense_nanos, balance.spent_nanos) == (10, 20, 75)
    assert (balance.breakage_nanos, balance.leased_nanos) == (5, 0)


def test_a_leased_wallet_has_nothing_available_here():
    balance = balance_at(wallet(), T0, leased=True)
    assert (balance.available_nanos, balance.leased_nanos) == (0, 40)


@pytest.mark.parametrize(
    ("at", "unvested", "available", "breakage"),
    [
        (T0 - 3 * DAY, 1_045, 0, 0),
        (T0 + DAY - 1, 1_000, 40, 5),
        (T0 + DAY, 0, 1_040, 5),
        (T0 + 10 * DAY - 1, 0, 1_040, 5),
        (T0 + 10 * DAY, 0, 1_000, 45),
    ],
)
def test_the_date_alone_moves_the_remainder(at, unvested, available, breakage):
    balance = balance_at(wallet(), at, leased=False)
    assert (balance.unvested_nanos, balance.available_nanos, balance.breakage_nanos) == (unvested, available, breakage)


def test_what_is_held_stays_held_over_the_expiry():
    assert balance_at(wallet(), T0 + 10 * DAY, leased=False).pending_nanos == 30


def test_overage_of_the_wallet_came_in_and_was_spent():
    balance = balance_at(wallet(), T0, leased=False, overage_nanos=7)
    assert (balance.overage_nanos, balance.spent_nanos, balance.available_nanos) == (7, 82, 40)


def test_an_empty_wallet_has_nothing():
    assert balance_at([], T0, leased=False).sources_nanos == 0
