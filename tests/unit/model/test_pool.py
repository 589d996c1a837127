import pytest

from tokenroll.model.pool import DrawRule, Pool


def test_it_serves_a_department_or_everybody():
    assert Pool(wallet_id=9, department_id=2).department_id == 2
    assert Pool(wallet_id=9, department_id=None).department_id is None


def test_ones_own_lots_come_first_unless_it_says_otherwise():
    assert Pool(wallet_id=9, department_id=None).draw_rule is DrawRule.OWN_FIRST


@pytest.mark.parametrize("numbers", [{"wallet_id": 0, "department_id": 1}, {"wallet_id": 1, "department_id": 0}])
def test_it_is_valid_at_birth(numbers):
    with pytest.raises(ValueError, match="must be a positive"):
        Pool(**numbers)
