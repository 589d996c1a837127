"""ccusage beside us on the same logs: counts are equal, costs agree to far below a cent, by day and model.

It is a program of others that reads the same files, priced from a table of its own (offline, as built). It is fetched as a package
into `.judges/`; without a registry the test says so and is skipped.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tokenroll.model.instant import datetime_from_instant
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.claude_code import claude_code_events
from tokenroll.services.importers.codex import codex_events
from tokenroll.services.importers.intake import Intake
from tokenroll.services.list_prices import published_list_prices
from tokenroll.services.sample_logs import write_sample_logs

pytestmark = [pytest.mark.judge, pytest.mark.timeout(300)]

VERSION = "20.0.24"
FOLDER = Path(__file__).resolve().parent.parent.parent / ".judges" / f"ccusage-{VERSION}"
CENT_HUNDREDTH = Decimal("0.0001")
"""A hundredth of a cent: floats of theirs summed over a day lie well below, a price that differs well above."""


@pytest.fixture(scope="module")
def ccusage() -> Path:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("ccusage comes as an npm package, and there is no npm")
    program = FOLDER / "node_modules/.bin/ccusage"
    if not program.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--silent", "--no-fund", "--no-audit", f"ccusage@{VERSION}"],
            cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        if done.returncode or not program.exists():
            pytest.skip(f"ccusage {VERSION} cannot be had here: {done.stderr[-300:]}")
    return program


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("TOKENROLL_DATA", Path(__file__).resolve().parents[3] / "shared/data"))
    if not folder.is_dir():
        pytest.skip("no traces: set TOKENROLL_DATA to the folder that holds them")
    home = tmp_path_factory.mktemp("fixtures")
    for name in ("alpha", "beta"):
        to = home / f".claude/projects/project-{name}/session-{name}"
        to.mkdir(parents=True)
        shutil.copyfile(
            folder / f"ccusage_fixture_claude__projects__project-{name}__session-{name}__chat.jsonl", to / "chat.jsonl"
        )
    to = home / ".codex/sessions/project-alpha"
    to.mkdir(parents=True)
    shutil.copyfile(
        folder / "ccusage_fixture_codex__sessions__project-alpha__session-alpha.jsonl", to / "session-alpha.jsonl"
    )
    return home


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's year, in one home as one person would have it."""
    home = tmp_path_factory.mktemp("year")
    write_sample_logs(home, until=datetime(2026, 11, 27, tzinfo=UTC))
    (home / "ada/.claude").rename(home / ".claude")
    (home / "bo/.codex").rename(home / ".codex")
    return home


def asked(program: Path, home: Path, *arguments: str) -> list[dict[str, Any]]:
    environment = {
        **os.environ, "CLAUDE_CONFIG_DIR": str(home / ".claude"), "CODEX_HOME": str(home / ".codex"), "TZ": "UTC", "HOME": str(home),
    }  # fmt: skip
    done = subprocess.run(
        [program, *arguments, "--json", "--offline", "--timezone", "UTC"],
        env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    days: list[dict[str, Any]] = json.loads(done.stdout)["daily"]
    return days


def events(home: Path) -> Iterator[UsageEvent]:
    prices, intake = published_list_prices(), Intake()
    for path in sorted((home / ".claude").rglob("*.jsonl")):
        yield from claude_code_events(path, "Ada", prices, intake)
    for path in sorted((home / ".codex").rglob("*.jsonl")):
        yield from codex_events(path, "Ada", prices, intake)
    assert intake.bad_count == 0


def ours(home: Path, source: str) -> dict[tuple[str, str], tuple[int, int, int, Decimal]]:
    """Input, cached and output tokens and cost by day and model."""
    found: dict[tuple[str, str], tuple[int, int, int, Decimal]] = {}
    for event in events(home):
        if event.source != source:
            continue
        assert event.list_cost_nanos is not None, event.model
        model = f"{event.model}-fast" if "fast" in event.tags else event.model
        key = (f"{datetime_from_instant(event.admitted_at):%Y-%m-%d}", model)
        before = found.get(key, (0, 0, 0, Decimal()))
        fresh, read, put_out = tokens(event.usage)
        cost = Decimal(event.list_cost_nanos) / 10**9
        found[key] = (before[0] + fresh, before[1] + read, before[2] + put_out, before[3] + cost)
    return found


def tokens(usage: Usage) -> tuple[int, int, int]:
    written = (usage.cache_write_5m_tokens or 0) + (usage.cache_write_1h_tokens or 0)
    return (
        (usage.input_tokens or 0) + written,
        usage.cache_read_tokens or 0,
        (usage.output_tokens or 0) + (usage.reasoning_tokens or 0),
    )


@pytest.mark.parametrize("logs", ["fixtures", "year"])
def test_claude_code_by_day_and_model(logs: str, ccusage: Path, request: pytest.FixtureRequest):
    home = request.getfixturevalue(logs)
    theirs = {
        (day["date"], part["modelName"]): (
            part["inputTokens"] + part["cacheCreationTokens"], part["cacheReadTokens"], part["outputTokens"], Decimal(str(part["cost"])),
        )
        for day in asked(ccusage, home, "claude", "daily", "--mode", "calculate")
        for part in day["modelBreakdowns"]
    }  # fmt: skip
    found = ours(home, "claude-code")
    assert {key: value[:3] for key, value in found.items()} == {key: value[:3] for key, value in theirs.items()}
    assert len(found) >= (4 if logs == "fixtures" else 300)
    for key, value in found.items():
        assert abs(value[3] - theirs[key][3]) < CENT_HUNDREDTH, key


@pytest.mark.parametrize("logs", ["fixtures", "year"])
def test_codex_by_day(logs: str, ccusage: Path, request: pytest.FixtureRequest):
    home = request.getfixturevalue(logs)
    theirs = {
        day["date"]: (day["inputTokens"], day["cacheReadTokens"], day["outputTokens"], Decimal(str(day["costUSD"])))
        for day in asked(ccusage, home, "codex", "daily")
    }
    found = {day: value for (day, _), value in ours(home, "codex").items()}
    assert {key: value[:3] for key, value in found.items()} == {key: value[:3] for key, value in theirs.items()}
    assert len(found) >= (2 if logs == "fixtures" else 100)
    for day, value in found.items():
        assert abs(value[3] - theirs[day][3]) < CENT_HUNDREDTH, day
