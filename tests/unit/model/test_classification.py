import pytest

from tokenroll.model.classification import Classification


def test_it_is_a_tool_or_pay_and_no_third_thing():
    assert [one.value for one in Classification] == ["tool", "compensation"]


def test_it_cannot_be_made_up():
    with pytest.raises(ValueError, match="perk"):
        Classification("perk")
