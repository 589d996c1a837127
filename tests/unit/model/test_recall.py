"""A recall is of something, of one lot, and never of more than a row may hold."""

from typing import Any

import pytest

from tokenroll.model.recall import Recall, RecallMode, RecallPurpose

FACTS: dict[str, Any] = {
    "id": 1, "group_id": 1, "purpose": RecallPurpose.VOID, "mode": RecallMode.OWED, "wallet_id": 2, "lot_id": 3, "wanted_nanos": 4,
}  # fmt: skip


def test_a_recall_names_its_lot_its_purpose_and_how_much():
    assert Recall(**FACTS).wanted_nanos == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"wanted_nanos": 0}, "a recall of nothing is not a recall"),
        ({"wanted_nanos": 10**18 + 1}, "recalled amount"),
        ({"lot_id": 0}, "recall lot_id"),
        ({"group_id": -1}, "recall group_id"),
    ],
)
def test_what_cannot_be_recalled_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        Recall(**FACTS | change)
