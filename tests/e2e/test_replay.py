"""Real traces, real HTTP, real processes: provider's bill = usage x rate card = settlements = wallets = ledger, to the nano."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenroll.cli.replay import throw_away_ground
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.services.generating import Company, generated_trace
from tokenroll.services.replaying import Ground, ReplayOptions, ReplaySummary, replay
from tokenroll.services.traces import Trace, read_trace

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with throw_away_ground(durability="written") as running:
        yield running


def replayed(ground: Ground, trace: Trace, **options) -> ReplaySummary:
    given = {"speed": 0, "members": 3, "concurrency": 32, "grant_nanos": 1_000 * NANOS_PER_CREDIT, **options}
    return replay(ReplayOptions(trace=trace, trace_name="slice", ground=ground, **given))


def agrees(summary: ReplaySummary) -> None:
    proof = summary.proof
    assert not proof.differences
    assert proof.holds
    assert proof.provider_bill_nanos == proof.settlements_nanos == proof.wallets_nanos == proof.ledger_nanos > 0
    assert not summary.failed
    assert summary.good


SLICES = [
    ("azure", "azure_llm_2023_code.csv.gz", "gpt-4o-mini"),
    ("mooncake", "mooncake_conversation_trace.jsonl.gz", "claude-haiku-4-5"),
    ("servegen", "servegen_clients_10min.csv.gz", ""),
    ("aider", "aider_analytics_2024-08_2025-03.jsonl.gz", ""),
    ("agent-calls", "agent_calls_meta.jsonl.gz", "gpt-4o"),
]


@pytest.mark.parametrize(("trace_format", "name", "model"), SLICES)
def test_it_replays_a_slice_of_each_public_trace(ground, trace_folder, trace_format, name, model):
    summary = replayed(ground, read_trace(trace_folder / name, trace_format, model=model, limit=60))
    agrees(summary)
    assert summary.calls == summary.served + sum(summary.denied.values()) == summary.rows["call_count"]
    # Every second call streamed; only the tool's own trace names models that nobody here sells.
    assert summary.streamed > 0
    assert set(summary.denied) <= {"unknown_model"}
    assert bool(summary.denied) == (trace_format == "aider" and summary.served < summary.calls)


def test_it_replays_a_made_up_company(ground):
    summary = replayed(ground, generated_trace(Company(seed=2, calls=120)))
    agrees(summary)
    assert summary.served == 120
    assert summary.proof.tokens["cache_read"] > summary.proof.tokens["input"]
    assert summary.proof.sources == {"reported": 120}
    assert min(summary.proof.hold_ratios) >= 1


def test_it_follows_the_recorded_pace(ground):
    company = Company(seed=3, calls=40, seconds=60)
    calls = list(generated_trace(company).calls)
    summary = replayed(ground, generated_trace(company), speed=calls[-1].at / 2_000_000)
    agrees(summary)
    assert summary.elapsed_seconds >= 1.9
    assert set(summary.added_latency_ms) == {"p50", "p99", "direct_p50"}
    assert summary.direct_probes == 2


def test_denied_is_not_failed(ground):
    # Ten cents: the bounds of 19,000-token prompts are dearer, small chats fit
    summary = replayed(ground, generated_trace(Company(seed=2, calls=120)), grant_nanos=NANOS_PER_CREDIT // 10)
    agrees(summary)
    assert summary.denied["wallet_empty"] > 0
    assert summary.served > 0


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "tokenroll", "replay", "generated", "--limit", "30", "--speed", "0"]
    return subprocess.run(
        [*program, "--durability", "written", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_says_so_and_exits_0():
    done = command("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["good"]
    assert told["reconciliation"]["provider_bill"] == told["reconciliation"]["ledger"]
    assert told["durability"] == "written"


def test_a_bill_by_another_table_makes_it_exit_1(tmp_path: Path):
    """Planted: the provider charges a hundredth more for one model's output than our cards say."""
    text = Path("src/tokenroll/upstream/simulated/prices.toml").read_text()
    planted = text.replace('output = "0.60"', 'output = "0.606"').replace('output = "10"', 'output = "10.1"')
    assert planted != text
    (tmp_path / "prices.toml").write_text(planted)
    done = command("--prices", str(tmp_path / "prices.toml"), "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert not told["reconciliation"]["agree"]
    assert "the bill says" in told["reconciliation"]["differences"][0]


def test_it_says_what_is_missing():
    for arguments, said in [
        (["nowhere.csv", "--format", "azure", "--model", "m"], "there is no trace file"),
        (["nowhere.csv"], "say what the trace is with --format"),
        (["generated", "--durability", "hopeful"], "durability is synced or written"),
    ]:
        program = [sys.executable, "-m", "tokenroll", "replay", *arguments]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert said in done.stderr


def test_it_replays_into_a_home_that_is_served(ground):
    place = ["--home", str(ground.ledger_place.parent), "--provider", f"http://{ground.provider}"]
    done = command(*place, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["served"] == 30


def test_it_asks_for_the_provider_of_a_served_home(ground, tmp_path):
    home = str(ground.ledger_place.parent)
    for arguments, said, code in [
        (["--home", home], "--provider URL", 2),
        (["--home", home, "--provider", "somewhere"], "must have a host and a port", 2),
        (["--home", str(tmp_path), "--provider", "http://127.0.0.1:1"], "nobody serves", 1),
    ]:
        done = command(*arguments)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
