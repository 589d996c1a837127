"""Logs of coding agents become usage events, each call once, at the list price of its day to the nano.

What each line comes to was read from `ccusage --json --offline --mode calculate` (20.0.24) over the same three files: the outside
judge of these expectations. Its sums are floats of USD; ours are the same amounts in nanos.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenroll.model.usage_event import Billing, UsageEvent
from tokenroll.services.importers.claude_code import claude_code_events, is_claude_code
from tokenroll.services.importers.codex import codex_events, is_codex
from tokenroll.services.importers.intake import Intake
from tokenroll.services.list_prices import ListPrices

Reader = Callable[[Path, str, ListPrices, Intake], Iterator[UsageEvent]]


@pytest.fixture
def projects(trace_folder: Path, tmp_path: Path) -> Path:
    """The fixtures in the folders in which Claude Code and Codex would have written them."""
    for name in ("alpha", "beta"):
        folder = tmp_path / "projects" / f"project-{name}"
        folder.mkdir(parents=True)
        shutil.copy(
            trace_folder / f"ccusage_fixture_claude__projects__project-{name}__session-{name}__chat.jsonl",
            folder / f"session-{name}.jsonl",
        )
    (tmp_path / "sessions").mkdir()
    shutil.copy(
        trace_folder / "ccusage_fixture_codex__sessions__project-alpha__session-alpha.jsonl",
        tmp_path / "sessions" / "session-alpha.jsonl",
    )
    return tmp_path


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def message(
    ident: str, output_tokens: int, *, request: str = "req-1", model: str = "claude-haiku-4-5"
) -> dict[str, Any]:
    return {
        "timestamp": "2026-02-03T08:00:00.000Z",
        "sessionId": "ada-monday",
        "cwd": "/srv/atlas",
        "requestId": request,
        "message": {"id": ident, "model": model, "usage": {"input_tokens": 10, "output_tokens": output_tokens}},
    }


def counted(total_input_tokens: int, *, last: int | None, at: str = "2026-05-13T09:01:00.000Z") -> dict[str, Any]:
    info: dict[str, Any] = {"total_token_usage": {"input_tokens": total_input_tokens, "output_tokens": 7}}
    if last is not None:
        info["last_token_usage"] = {"input_tokens": last, "output_tokens": 7}
    return {"timestamp": at, "type": "event_msg", "payload": {"type": "token_count", "info": info}}


def test_claude_codes_log_costs_what_ccusage_says(projects: Path, prices: ListPrices):
    intake = Intake()
    alpha = list(claude_code_events(projects / "projects/project-alpha/session-alpha.jsonl", "Ada", prices, intake))
    beta = list(claude_code_events(projects / "projects/project-beta/session-beta.jsonl", "Ada", prices, intake))
    assert [event.list_cost_nanos for event in alpha] == [1_146_750, 9_592_500, 2_787_000]
    assert [event.list_cost_nanos for event in beta] == [182_750, 270_000]
    first = alpha[0]
    assert (first.member, first.project, first.session) == ("Ada", "project-alpha", "session-alpha")
    assert first.usage.counts[:3] == (100, 10, 25)
    assert first.billing is Billing.SEAT
    assert first.billed_cost_nanos is None, "what the log calls costUSD is its own guess, no invoice"
    assert alpha[1].tags == ("fast",)
    assert (intake.row_count, intake.bad_count) == (5, 0)


def test_codexs_log_costs_what_ccusage_says(projects: Path, prices: ListPrices):
    events = list(codex_events(projects / "sessions/session-alpha.jsonl", "Ada", prices, Intake()))
    assert [event.list_cost_nanos for event in events] == [3_106_250, 7_787_500]
    usage = events[0].usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens) == (
        750,
        250,
        50,
        75,
    )
    assert [event.model for event in events] == ["gpt-5.2-codex", "gpt-5.3-codex"]


def test_an_answer_that_streams_is_one_call_and_its_fullest_line_counts(tmp_path: Path, prices: ListPrices):
    intake = Intake()
    log = written(
        tmp_path / "log.jsonl", message("msg-1", 3), message("msg-1", 40), message("msg-1", 12), message("msg-2", 1)
    )
    events = list(claude_code_events(log, "Ada", prices, intake))
    assert [(event.event_id, event.usage.output_tokens) for event in events] == [
        ("msg-1:req-1", 40),
        ("msg-2:req-1", 1),
    ]
    assert intake.repeat_count == 2
    assert events[0].project == "atlas"


def test_an_answer_that_streams_over_midnight_keeps_its_first_time(tmp_path: Path, prices: ListPrices):
    later = message("msg-1", 40) | {"timestamp": "2026-02-04T00:00:01.000Z"}
    log = written(tmp_path / "log.jsonl", message("msg-1", 3), later)
    (event,) = claude_code_events(log, "Ada", prices, Intake())
    assert (event.usage.output_tokens, event.admitted_at) == (40, 1_770_105_600_000_000)


def test_what_asked_no_provider_is_no_call(tmp_path: Path, prices: ListPrices):
    intake = Intake()
    log = written(
        tmp_path / "log.jsonl",
        message("msg-1", 3, model="<synthetic>"),
        message("msg-2", 3) | {"isApiErrorMessage": True},
        {"type": "user", "message": {"role": "user", "content": "what costs this?"}},
    )
    assert list(claude_code_events(log, "Ada", prices, intake)) == []
    assert intake.other == {"lines that asked no provider": 2, "lines without usage": 1}
    assert intake.bad_count == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"timestamp":"2026-02-03T08:00:00Z","message":{"usage":{"input_tokens":10\n', "truncated"),
        (json.dumps(message("msg-1", -1)) + "\n", "output_tokens must be 0 to"),
        (
            json.dumps(message("msg-1", 1) | {"timestamp": "yesterday"}) + "\n",
            "timestamp is no RFC 3339 time with a zone",
        ),
        (
            json.dumps(message("msg-1", 1) | {"timestamp": "2026-02-03T08:00:00"}) + "\n",
            "timestamp is no RFC 3339 time with a zone",
        ),
    ],
)
def test_a_bad_row_is_named_and_the_good_ones_count(line: str, reason: str, tmp_path: Path, prices: ListPrices):
    intake = Intake()
    log = written(tmp_path / "log.jsonl", line, message("msg-2", 5))
    assert [event.event_id for event in claude_code_events(log, "Ada", prices, intake)] == ["msg-2:req-1"]
    assert [(bad.file, bad.line) for bad in intake.bad_rows] == [(str(log), 1)]
    assert reason in intake.bad_rows[0].reason


def test_codex_totals_stand_in_where_the_last_call_is_not_told(tmp_path: Path, prices: ListPrices):
    log = written(
        tmp_path / "log.jsonl",
        {"timestamp": "", "type": "turn_context", "payload": {"model": "gpt-5", "cwd": "/srv/atlas"}},
        counted(1000, last=None),
        counted(1000, last=None, at="2026-05-13T09:02:00.000Z"),
        counted(1700, last=None, at="2026-05-13T09:03:00.000Z"),
        counted(300, last=None, at="2026-05-13T09:04:00.000Z"),
    )
    events = list(codex_events(log, "Ada", prices, Intake()))
    assert [event.usage.input_tokens for event in events] == [1000, 700, 300]
    assert events[0].project == "atlas"


def test_a_codex_count_that_is_written_twice_is_one_call(tmp_path: Path, prices: ListPrices):
    intake = Intake()
    log = written(tmp_path / "log.jsonl", counted(1000, last=1000), counted(1000, last=1000))
    assert len(list(codex_events(log, "Ada", prices, intake))) == 1
    assert intake.repeat_count == 1


def test_a_subagents_log_leaves_its_parents_counts_out(tmp_path: Path, prices: ListPrices):
    intake = Intake()
    log = written(
        tmp_path / "log.jsonl",
        {
            "timestamp": "",
            "type": "session_meta",
            "payload": {"id": "child", "source": {"subagent": {"thread_spawn": {}}}},
        },
        counted(1000, last=1000, at="2026-05-13T09:01:00.100Z"),
        counted(1500, last=500, at="2026-05-13T09:01:00.200Z"),
        counted(1600, last=None, at="2026-05-13T09:05:00.000Z"),
    )
    events = list(codex_events(log, "Ada", prices, intake))
    assert [event.usage.input_tokens for event in events] == [100]
    assert intake.other["a parent's counts, repeated"] == 2


@pytest.mark.parametrize("packed", [".gz", ".zst"])
def test_a_packed_log_that_is_torn_gives_what_is_whole(packed: str, tmp_path: Path, prices: ListPrices):
    import gzip

    import zstandard

    text = "".join(json.dumps(message(f"msg-{number}", number + 1)) + "\n" for number in range(4000)).encode()
    data = gzip.compress(text) if packed == ".gz" else zstandard.compress(text)
    log = tmp_path / f"log.jsonl{packed}"
    log.write_bytes(data)
    assert len(list(claude_code_events(log, "Ada", prices, Intake()))) == 4000
    log.write_bytes(data[: len(data) // 2])
    intake = Intake()
    some = list(claude_code_events(log, "Ada", prices, intake))
    assert [event.event_id for event in some] == [f"msg-{number}:req-1" for number in range(len(some))]
    assert intake.bad_count == 1


def test_logs_are_known_by_their_first_bytes(projects: Path):
    claude = (projects / "projects/project-alpha/session-alpha.jsonl").read_bytes()
    codex = (projects / "sessions/session-alpha.jsonl").read_bytes()
    assert (is_claude_code(claude), is_codex(claude)) == (True, False)
    assert (is_claude_code(codex), is_codex(codex)) == (False, True)


def test_models_are_known_by_the_names_that_clouds_and_proxies_give_them(prices: ListPrices):
    at = 1_767_952_800_000_000
    for name, known in {
        "us.anthropic.claude-sonnet-4-20250514-v1:0": "claude-sonnet-4-0",
        "claude-3-5-sonnet@20240620": "claude-3-5-sonnet",
        "openrouter/openai/gpt-4o": "gpt-4o",
        "gpt-4o-2024-08-06": "gpt-4o",
        "models/gemini-2.5-pro": "gemini-2.5-pro",
    }.items():
        card = prices.card("", name, at)
        assert card is not None, name
        assert card.model == known
    assert prices.card("openai", "a-model-nobody-sells", at) is None
    assert prices.card("", "deepseek/deepseek-r1:free", at) is None, "what is free is not priced as what is sold"
