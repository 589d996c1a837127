import pytest

from tests.cast import CREDIT, DAY, T0, make_lot, make_state


def test_it_may_never_expire():
    assert make_lot().expires_at is None


def test_it_lives_for_a_microsecond_at_least():
    assert make_lot(expires_at=T0 + 1).expires_at == 1_704_067_200_000_001
    with pytest.raises(ValueError, match="lot 1 would expire"):
        make_lot(expires_at=T0)


@pytest.mark.parametrize("changes", [{"id": 0}, {"grant_id": 0}, {"wallet_id": 0}, {"amount_nanos": -1}])
def test_it_is_valid_at_birth(changes):
    with pytest.raises(ValueError, match="must"):
        make_lot(**changes)


def test_its_remainder_is_what_nobody_took():
    assert make_state(held=10 * CREDIT, suspense=5 * CREDIT, spent=25 * CREDIT).remainder_nanos == 60_000_000_000


def test_its_remainder_does_not_ask_the_date():
    assert make_state(expires_at=T0 + DAY, spent=1).remainder_nanos == 99_999_999_999


def test_it_cannot_be_overdrawn():
    with pytest.raises(AssertionError, match="lot 1 is overdrawn by 1 nanos"):
        make_state(held=60 * CREDIT, spent=40 * CREDIT + 1)


def test_no_part_of_it_is_negative():
    with pytest.raises(AssertionError, match="lot 1: held is negative"):
        make_state(held=-1)
