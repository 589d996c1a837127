from typing import Any

import pytest

from tokenroll.model.api_key import ApiKey, KeyScope


def laptop_key(**changes: Any) -> ApiKey:
    facts: dict[str, Any] = {
        "id": 1,
        "public_id": "key_00000000000000000000000000000001",
        "member_id": 1,
        "name": "Ada's laptop",
        "scope": KeyScope.INFERENCE,
        "shown_prefix": "tr_ab12",
        "secret_hash": bytes(32),
        "created_at": 0,
    }
    return ApiKey(**facts | changes)


def test_it_is_known_by_its_first_characters_and_found_by_its_hash():
    key = laptop_key()
    assert (key.shown_prefix, key.secret_hash) == ("tr_ab12", bytes(32))
    assert key.revoked_at is None


def test_it_calls_models_or_reads_or_administers_or_provisions_but_never_two_of_them():
    assert [one.value for one in KeyScope] == ["inference", "read", "admin", "provision"]


@pytest.mark.parametrize("secret_hash", [b"", bytes(31), b"tr_the_secret_itself"])
def test_it_is_kept_as_a_hash(secret_hash):
    with pytest.raises(ValueError, match="a 32-byte hash"):
        laptop_key(secret_hash=secret_hash)


def test_it_belongs_to_a_member():
    with pytest.raises(ValueError, match="member id"):
        laptop_key(member_id=0)
