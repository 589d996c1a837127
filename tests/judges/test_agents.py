"""Claude Code and Codex themselves, unchanged, by one base URL: they do their work, and the ledger shows what it cost.

The simulated provider follows the steps that a prompt names (`sim-call …`), so that an agent does the same each time. They are large, so
`make judges` installs them (scripts/agents.sh); what they send is also sent by `tokenroll doctor`, whose tests are in `make test`.
"""

import json
import os
import struct
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from tests.company import CREDIT, Company

pytestmark = [pytest.mark.judge, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent.parent
AGENTS = ROOT / ".agents" / "node_modules"
WRITE = 'sim-call Write {"file_path":"slip.txt","content":"paid"}'
RUN = 'sim-call exec_command {"cmd":"echo paid > slip.txt"}'
CODEX_CONFIG = """model_provider = "tokenroll"
[model_providers.tokenroll]
name = "tokenroll"
base_url = "http://127.0.0.1:{port}/v1"
env_key = "TOKENROLL_KEY"
wire_api = "responses"
"""


@pytest.fixture(scope="module", autouse=True)
def _installed():
    done = subprocess.run([ROOT / "scripts" / "agents.sh"], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr


def started(command, folder, **environment):
    """One run of an agent in a folder and a home of its own, with nothing of this machine's settings."""
    work, home = folder / "work", folder / "home"
    for one in (work, home / ".codex"):
        one.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        command, cwd=work, env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb", **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def claude(company, name, folder, prompt, *options):
    """Claude Code's exit code and what it reports of its work."""
    (program,) = AGENTS.glob("@anthropic-ai/claude-code-*/claude")
    done = started(
        [program, "-p", prompt, "--output-format", "json", "--model", "claude-sonnet-5-5", *options], folder,
        ANTHROPIC_BASE_URL=f"http://127.0.0.1:{company.port}", ANTHROPIC_AUTH_TOKEN=company.keys[name], IS_SANDBOX="1",
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def codex(company, name, folder, prompt):
    """Codex's exit code and the events of its work."""
    (folder / "home" / ".codex").mkdir(parents=True)
    (folder / "home" / ".codex" / "config.toml").write_text(CODEX_CONFIG.format(port=company.port))
    done = started(
        [AGENTS / ".bin" / "codex", "exec", "--skip-git-repo-check", "--json", "--dangerously-bypass-approvals-and-sandbox",
         "-m", "gpt-4o-mini", prompt],
        folder, TOKENROLL_KEY=company.keys[name],
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def nanos(usd):
    """What the client added up as floating point numbers, to the nearest nano: 0.0153 + 0.0366 is 0.051899999999999995 there."""
    return round(Decimal(str(usd)) * 10**9)


def slip(folder):
    return (folder / "work" / "slip.txt").read_text().strip()


SKIP = "--dangerously-skip-permissions"


def test_claude_code_writes_a_file_and_reports_what_the_ledger_charged(company, tmp_path):
    before, known = company.wallet("Ada"), len(company.calls("Ada"))
    code, report = claude(company, "Ada", tmp_path, WRITE, SKIP)
    assert (code, report["is_error"], slip(tmp_path)) == (0, False, "paid")
    company.prove()
    assert company.wallet("Ada").spent - before.spent == nanos(report["total_cost_usd"]) > 0
    assert len(company.calls("Ada")) - known == 2  # the tool, then the answer


def test_claude_code_works_where_bedrock_is_the_only_deployment(tmp_path):
    with Company(tmp_path / "home", messages_flavour="bedrock") as company:
        company.hire("Ada")
        code, report = claude(company, "Ada", tmp_path, WRITE, SKIP)
        assert (code, report["is_error"], slip(tmp_path)) == (0, False, "paid")
        company.prove()
        assert company.wallet("Ada").spent == nanos(report["total_cost_usd"]) > 0
        assert len(company.calls("Ada")) == 2


def test_claude_code_looks_at_a_screenshot(company, tmp_path):
    picture = tmp_path / "work" / "shot.png"
    picture.parent.mkdir()
    picture.write_bytes(png(64, 64))
    before = company.wallet("Ada")
    code, report = claude(company, "Ada", tmp_path, f'sim-call Read {{"file_path":"{picture}"}}', SKIP)
    assert (code, report["num_turns"]) == (0, 2)
    company.prove()
    assert company.wallet("Ada").spent - before.spent == nanos(report["total_cost_usd"])
    # the call that carries it is held for a million tokens of context at 4,000 nanos, and more for its answer
    assert company.calls("Ada", limit=1)[0]["hold_nanos"] > 4 * CREDIT


def test_codex_writes_a_file_and_the_ledger_shows_its_calls(company, tmp_path):
    known = len(company.calls("Ada"))
    code, events = codex(company, "Ada", tmp_path, RUN)
    assert (code, slip(tmp_path)) == (0, "paid")
    company.prove()
    calls = company.calls("Ada")[: len(company.calls("Ada")) - known]
    usage = events[-1]["usage"]
    assert [call["outcome"] for call in calls] == ["settled", "settled"]
    assert sum(call["input_tokens"] for call in calls) == usage["input_tokens"]
    assert sum(call["output_tokens"] for call in calls) == usage["output_tokens"]


def test_an_agent_works_on_a_wallet_that_carries_one_call_at_a_time(company, tmp_path):
    # it asks for 128,000 tokens out, 1.28 credits; the wallet has 0.6, and its plan lowers caps
    company.hire("Bo", 6 * CREDIT // 10, cap_policy="clamp")
    code, report = claude(company, "Bo", tmp_path, WRITE, SKIP)
    assert (code, slip(tmp_path)) == (0, "paid")
    company.prove()
    assert company.wallet("Bo").spent == nanos(report["total_cost_usd"])


def test_two_agents_on_such_a_wallet_take_turns(company, tmp_path):
    company.hire("Dev", 8 * CREDIT // 10, cap_policy="clamp")
    folders = [tmp_path / "one", tmp_path / "two"]
    with ThreadPoolExecutor(2) as both:
        reports = list(both.map(lambda folder: claude(company, "Dev", folder, WRITE, SKIP), folders))
    assert [(code, slip(folder)) for (code, _), folder in zip(reports, folders, strict=True)] == [(0, "paid")] * 2
    company.prove()
    assert company.wallet("Dev").spent == sum(nanos(report["total_cost_usd"]) for _, report in reports)


def test_codex_works_without_searching_where_the_wallet_carries_no_search(company, tmp_path):
    # a context of 128,000 tokens is 0.0192 credits, and an eighth of 0.2 is 0.025: not two of them
    company.grant("Nightly agent", 199_000_000)  # beside the 0.001 that it has
    code, _ = codex(company, "Nightly agent", tmp_path, RUN)
    assert (code, slip(tmp_path)) == (0, "paid")
    company.prove()
    assert max(call["hold_nanos"] for call in company.calls("Nightly agent")) < 60_000_000


def test_an_empty_wallet_is_told_in_words_and_nothing_is_sent(company, tmp_path):
    sent = company.provider.state()["requests"]
    code, report = claude(company, "Cleo", tmp_path, WRITE, SKIP)
    assert code != 0
    assert "credits left" in report["result"]
    assert "A top-up can be approved by" in report["result"]
    code, events = codex(company, "Cleo", tmp_path / "codex", RUN)
    assert code != 0
    assert "quota" in json.dumps(events).lower()
    assert company.provider.state()["requests"] == sent


def png(width, height):
    """A grey picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\x00" + b"\x80" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
