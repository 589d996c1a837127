import pytest

from tests.cast import make_settlement
from tokenroll.model.hold import COMPANY_LOT_ID


def test_it_consumes_exactly_its_charge():
    settlement = make_settlement(1, (1, 60), (2, 12))
    assert settlement.charge_nanos == 72


def test_it_may_cost_nothing():
    assert make_settlement(1).consumed == ()


def test_what_exceeds_the_hold_is_the_companys():
    assert make_settlement(1, (1, 60), (COMPANY_LOT_ID, 3)).charge_nanos == 63


@pytest.mark.parametrize("consumed", [((1, 60),), ((1, 80),), ((1, 80), (2, -8)), ((1, 72), (2, 0))])
def test_it_loses_and_invents_nothing(consumed):
    with pytest.raises(ValueError, match="are not positive parts of the charge 72"):
        make_settlement(1, *consumed, charge_nanos=72)


@pytest.mark.parametrize("name", ["list_cost_nanos", "net_cost_nanos"])
def test_its_costs_are_amounts(name):
    with pytest.raises(ValueError, match=r"cost is -0\.000000001 credits"):
        make_settlement(1, (1, 5), **{name: -1})
