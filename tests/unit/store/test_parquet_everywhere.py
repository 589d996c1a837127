"""Parquet is read wherever tables are: dry runs, analyses and cost tables in FOCUS; without the extra a person is told what to install."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.lake_kit import sums
from tests.made_home import home_of
from tokenroll.cli import main
from tokenroll.services.importers.focus_rows import focus_events
from tokenroll.services.importers.intake import Intake
from tokenroll.services.list_prices import published_list_prices
from tokenroll.store import lake_libraries


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "calls.parquet"
    columns = {
        "time": pa.array([datetime(2026, 1, 5, 8, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
        "model": ["gpt-4o-mini", "gpt-4o-mini", "gpt-4o"], "user": ["ada", "bo", "ada"],
        "input_tokens": pa.array([1_000, None, 10], pa.int64()), "output_tokens": pa.array([50, 7, -1], pa.int64()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def charges(tmp_path: Path) -> Path:
    """A charge of a million tokens and one of storage, whose tags are a map and whose costs are decimals, as warehouses export them."""
    path = tmp_path / "focus.parquet"
    at = [datetime(2026, 1, 5, tzinfo=UTC)] * 2
    texts = pa.map_(pa.string(), pa.string())
    columns = {
        "BilledCost": pa.array([Decimal("1.250000000"), Decimal(9)], pa.decimal128(20, 9)),
        "ListCost": pa.array([Decimal("2.500000000"), Decimal(9)], pa.decimal128(20, 9)),
        "ChargePeriodStart": pa.array(at, pa.timestamp("us")), "ChargePeriodEnd": pa.array(at, pa.timestamp("us")),
        "ServiceName": ["Bedrock", "S3"], "ServiceCategory": ["AI and Machine Learning", "Storage"], "ChargeCategory": ["Usage", "Usage"],
        "ConsumedQuantity": pa.array([Decimal(1), Decimal(1)], pa.decimal128(20, 9)), "ConsumedUnit": ["1M tokens", "GB"],
        "Tags": pa.array([[("member", "ada"), ("team", "research")], None], texts),
        "SkuPriceDetails": pa.array([[("x_ModelId", "claude-haiku-4-5"), ("x_TokenDirection", "Input")], None], texts),
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    home_of(tmp_path, monkeypatch, ("init", "--name", "Acme", "--zone", "UTC"))
    capsys.readouterr()
    return tmp_path / "home"


def test_a_dry_run_counts_what_the_import_takes(
    home: Path, calls: Path, charges: Path, capsys: pytest.CaptureFixture[str]
):
    for how in (["--dry-run"], []):
        assert main(["usage", "import", str(calls), str(charges), "--json", *how]) == 1, "a row of it is bad"
        told = json.loads(capsys.readouterr().out)
        assert (told["event_count"], told["row_count"], told["bad_count"]) == (3, 5, 1)
        assert told["bad_rows"][0]["line"] == 3
        assert told["other"] == {"charges of other services": 1}
    # 1,000, 50 and 7 of the calls, a million of the charge; 2.50 USD at list, 1,000 × 150 and 57 × 600 nanos
    assert sums(home / "lake", "usage") == (3, 1_001_057, 2_500_000_000 + 150_000 + 34_200)


def test_a_charge_says_whose_and_which_and_what(charges: Path):
    (event,) = focus_events(charges, "", published_list_prices(), Intake())
    assert (event.member, event.department, event.model, event.usage.input_tokens) == (
        "ada",
        "research",
        "claude-haiku-4-5",
        1_000_000,
    )
    assert (event.billed_cost_nanos, event.list_cost_nanos, event.admitted_at) == (
        1_250_000_000,
        2_500_000_000,
        1_767_571_200_000_000,
    )


def test_an_analysis_reads_it(home: Path, calls: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["analyse", str(calls), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["call_count"] == 2


def test_without_the_extra_a_person_is_told_what_to_install(
    home: Path, calls: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(lake_libraries, "importlib", SimpleNamespace(import_module=absent))
    for arguments in (["analyse", str(calls)], ["usage", "import", str(calls), "--dry-run"]):
        assert main(arguments) == 1
        said = capsys.readouterr()
        assert "calls.parquet is Parquet" in said.err + said.out
        assert "tokenroll[lake]" in said.err + said.out
