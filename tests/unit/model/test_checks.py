import pytest

from tokenroll.model.checks import id_checked, name_checked


@pytest.mark.parametrize("value", [1, 2**63 - 1])
def test_it_lets_ids_through(value):
    assert id_checked(value, "lot id") == value


@pytest.mark.parametrize("value", [0, -1, 2**63, True, "1", None])
def test_it_refuses_what_is_no_id(value):
    with pytest.raises(ValueError, match="lot id must be a positive 63-bit integer"):
        id_checked(value, "lot id")


def test_it_lets_names_of_every_script_through():
    assert name_checked("Zoë 王", "member name") == "Zoë 王"


@pytest.mark.parametrize("value", ["", "a" * 201, "Ada\n", "Ada\x00", "\u202eadA"])
def test_it_refuses_what_would_deface_a_table(value):
    with pytest.raises(ValueError, match="member name must be 1 to 200 printable"):
        name_checked(value, "member name")
