"""A request is for something, says why, and is over by its date."""

from typing import Any

import pytest

from tokenroll.model.request import Decision, Request

FACTS: dict[str, Any] = {
    "id": 1, "public_id": "request_1", "member_id": 2, "amount_nanos": 5, "reason": "the migration", "requested_at": 100,
    "expires_at": 200,
}  # fmt: skip


def test_a_request_is_open_until_its_date_and_decided_for_good():
    assert [Request(**FACTS).state(at) for at in (100, 199, 200)] == ["open", "open", "lapsed"]
    assert Request(**FACTS | {"decision": Decision.DECLINED}).state(500) == "declined"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"amount_nanos": 0}, "a request for nothing needs no answer"),
        ({"reason": " "}, "a request says why"),
        ({"reason": "x" * 501}, "in 1 to 500 printable characters"),
        ({"reason": "two\nlines"}, "on one line"),
        ({"expires_at": 100}, "would lapse before it is asked"),
    ],
)
def test_what_is_no_request_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Request(**FACTS | change)
