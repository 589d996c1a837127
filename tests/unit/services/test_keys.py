import pytest

from tokenroll.services.keys import is_well_formed, key_hash, new_key, shown_prefix

KEY = new_key(bytes(range(34)))


def test_it_makes_a_key_of_random_bytes():
    assert KEY == "tr-abcdefghijklmnopqrstuvwxyzABCDEFGHBWbubc"
    assert len(KEY) == 43
    assert is_well_formed(KEY)


@pytest.mark.parametrize("wrong", ["", "tr-", KEY[:-1], KEY + "a", f"{KEY[:4]}z{KEY[5:]}", KEY.replace("tr-", "sk-")])
def test_it_knows_a_mistyped_key(wrong):
    assert not is_well_formed(wrong)


def test_it_hashes_with_the_homes_secret():
    assert key_hash(bytes(32), b"My API Key") != key_hash(b"\x01" * 32, b"My API Key")
    assert len(key_hash(bytes(32), b"My API Key")) == 32


def test_it_shows_little_of_a_key():
    assert shown_prefix(KEY) == "tr-abcdef"
    assert shown_prefix("short") == "sh"


def test_it_wants_all_its_randomness():
    with pytest.raises(ValueError, match="34 random bytes, not 4"):
        new_key(bytes(4))
