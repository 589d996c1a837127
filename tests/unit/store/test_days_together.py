"""Many small days are summed by one statement, into the same files as if each were summed alone."""

from pathlib import Path

import pytest

from tests.lake_kit import DAY, MONDAY, agrees, event
from tokenroll.store import lake as module
from tokenroll.store.lake import LakeView, open_lake
from tokenroll.store.lake_files import tables_of
from tokenroll.store.lake_manifest import Manifest
from tokenroll.store.lake_verify import verify_lake


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    real = tables_of

    def counted(engine: object, statement: str) -> object:
        asked.append(statement)
        return real(engine, statement)

    monkeypatch.setattr(module, "tables_of", counted)
    return asked


def summed(home: Path, amount: int = 1_000) -> Manifest:
    with open_lake(home) as lake:
        lake.append(
            [event(number, MONDAY + number % 20 * DAY, list_cost_nanos=amount) for number in range(60)], {"a": 1}
        )
        assert lake.roll_up() == 20
    assert agrees(home)
    assert verify_lake(LakeView(home)) == []
    return LakeView(home).manifest


def test_twenty_days_are_two_statements_and_the_same_files(
    tmp_path: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch
):
    together = summed(tmp_path / "together")
    assert len(statements) == 2, "by hour and by day"
    monkeypatch.setattr(module, "LAKE_ROW_GROUP_ROWS", 0)
    statements.clear()
    assert summed(tmp_path / "alone") == together
    assert len(statements) == 40


def test_days_whose_sums_may_be_wider_than_int64_are_summed_alone(tmp_path: Path, statements: list[str]):
    # three events of a day are 3 × 10^18 nanos, and int64 ends at 9.2 × 10^18
    summed(tmp_path / "lake", amount=10**18)
    assert len(statements) == 14, "three days together, six times, and two"
