"""Folders become files, files become events: each by its kind, each once, each a person's; and rules say whose the rest is."""

import gzip
import json

import pytest

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.attribution import attribution_from_toml
from tokenroll.services.importers.columns import column_map_from_toml
from tokenroll.services.importers.detecting import events_of, head_of, member_of, source_of, usage_files
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.trace_files import trace_events

CLAUDE = {
    "timestamp": "2026-02-03T08:00:00.000Z", "sessionId": "monday", "requestId": "req-1",
    "message": {"id": "msg-1", "model": "claude-haiku-4-5", "usage": {"input_tokens": 10, "output_tokens": 3}},
}  # fmt: skip
CODEX = {
    "timestamp": "2026-02-03T08:00:00.000Z", "type": "event_msg",
    "payload": {"type": "token_count", "info": {"last_token_usage": {"input_tokens": 9, "output_tokens": 7}}},
}  # fmt: skip
MOONCAKE = {"timestamp": 27_482, "input_length": 6_758, "output_length": 500, "hash_ids": [0, 14]}
SPEND = {
    "request_id": "r1",
    "call_type": "completion",
    "spend": 0,
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "startTime": "2026-02-03T08:00:00Z",
}
COSTS = {"object": "page", "data": [{"object": "bucket", "start_time": 0, "end_time": 1, "results": [
    {"object": "organization.costs.result", "amount": {"value": 1, "currency": "usd"}}]}]}  # fmt: skip
CLAUDES = {"data": [{"starting_at": "2026-02-03T00:00:00Z", "ending_at": "2026-02-04T00:00:00Z", "results": [
    {"uncached_input_tokens": 1, "output_tokens": 1}]}], "has_more": False}  # fmt: skip
SPANS: dict[str, list] = {"resourceSpans": []}
HOME = {
    "home/ada/.claude/projects/atlas/monday.jsonl": CLAUDE,
    "home/bo/.config/claude/projects/atlas/tuesday.jsonl": CLAUDE | {"requestId": "req-2"},
    "home/dev/.codex/sessions/2026/02/03/rollout-1.jsonl": CODEX,
    "logs/dev/sessions/rollout-2.jsonl": CODEX | {"timestamp": "2026-02-03T09:00:00.000Z"},
    "exports/spend.json": [SPEND],
    "exports/costs.json": COSTS,
    "exports/claude.json": CLAUDES,
    "exports/otel.jsonl": SPANS,
    "exports/mooncake.jsonl": MOONCAKE,
    "exports/notes.txt": "Dear Cleo",
    "exports/people.json": {"people": ["Ada"]},
    "exports/usage.csv": "time,cost\n2026-02-03T08:00:00Z,1\n",
    "exports/photo.png": "PNG",
}  # fmt: skip


@pytest.fixture
def company(tmp_path):
    for name, value in HOME.items():
        path = tmp_path / "company" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return tmp_path / "company"


def test_every_file_of_a_folder_is_found_once_and_is_its_persons(company):
    files = usage_files([company, company / "exports/usage.csv"], "Cleo")
    assert [(str(path.relative_to(company)), member) for path, member in files] == [
        ("exports/claude.json", "Cleo"), ("exports/costs.json", "Cleo"), ("exports/mooncake.jsonl", "Cleo"), ("exports/notes.txt", "Cleo"),
        ("exports/otel.jsonl", "Cleo"), ("exports/people.json", "Cleo"), ("exports/spend.json", "Cleo"), ("exports/usage.csv", "Cleo"),
        ("home/ada/.claude/projects/atlas/monday.jsonl", "ada"), ("home/bo/.config/claude/projects/atlas/tuesday.jsonl", "bo"),
        ("home/dev/.codex/sessions/2026/02/03/rollout-1.jsonl", "dev"), ("logs/dev/sessions/rollout-2.jsonl", "dev"),
    ]  # fmt: skip


def test_every_file_is_read_by_its_kind(company, prices):
    intake = Intake()
    events = list(events_of(usage_files([company], "Cleo"), prices, intake, model="gpt-4o-mini", starts_at=5_000_000))
    assert [event.source for event in events] == [
        "anthropic-usage", "openai-costs", "mooncake", "litellm", "csv", "claude-code", "claude-code", "codex", "codex",
    ]  # fmt: skip
    assert intake.other == {"files of no known kind": 2}
    assert (intake.file_count, intake.event_count, intake.bad_count) == (10, 9, 0)
    trace = events[2]
    assert (trace.admitted_at, trace.model, trace.hashes) == (5_000_000 + 27_482_000, "gpt-4o-mini", ("0", "14"))
    assert trace.list_cost_nanos == 6_758 * 150 + 500 * 600


def test_a_mapping_is_for_tables_and_a_file_that_cannot_be_read_is_a_bad_row(company, prices):
    intake = Intake()
    chosen = column_map_from_toml('[columns]\ntime = "time"\nnet_cost = "cost"')
    files = usage_files([company / "exports/usage.csv", company / "exports/spend.json", company / "exports/notes.txt"])
    assert [event.source for event in events_of(files, prices, intake, column_map=chosen)] == ["csv", "litellm"]
    assert "has no column 'time' (time), 'cost' (net_cost); its columns are Dear Cleo" in intake.bad_rows[0].reason


def test_links_that_lead_out_are_not_followed(company, tmp_path):
    (tmp_path / "secret.csv").write_text("time,cost\n")
    (company / "exports/out.csv").symlink_to(tmp_path / "secret.csv")
    (company / "exports/in.csv").symlink_to(company / "exports/usage.csv")
    names = [path.name for path, _ in usage_files([company / "exports"])]
    assert "out.csv" not in names
    assert names.count("in.csv") + names.count("usage.csv") == 1


def test_what_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(SourceError, match=r"there is no .*nowhere: name a file or a folder of usage"):
        usage_files([tmp_path / "nowhere"])


def test_a_person_is_the_folder_that_the_programs_stands_in(tmp_path):
    assert member_of(tmp_path / "srv/projects/x/ada/.claude/projects/a/b.jsonl") == "ada"
    assert member_of(tmp_path / "bo/projects/a/b.jsonl.gz") == "bo"
    assert member_of(tmp_path / "bo/projects/export.csv") == "", "a folder of one's own"


def test_packed_files_are_known_by_what_is_in_them(tmp_path):
    path = tmp_path / "monday.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(CLAUDE).encode()))
    assert source_of(path, head_of(path)) == "claude-code"
    assert source_of(path, b"") == ""


# ---- public traces ------------------------------------------------------------------------------------------------------

PUBLIC = [
    ("azure_llm_2023_code.csv.gz", "columns", 8_819, 18_059_974, 245_896, 0),
    ("mooncake_conversation_trace.jsonl.gz", "trace", 12_031, 144_793_823, 4_122_048, 0),
    ("agent_calls_meta.jsonl.gz", "trace", 769, 1_784_216, 43_825, 0),
    ("aider_analytics_2024-08_2025-03.jsonl.gz", "trace", 4_386, 53_781_981, 2_141_949, 19),
]


@pytest.mark.parametrize(("name", "kind", "calls", "inputs", "outputs", "bad"), PUBLIC)
def test_public_traces_are_read_whole(name, kind, calls, inputs, outputs, bad, trace_folder, prices):
    path = trace_folder / name
    assert source_of(path, head_of(path)) == kind
    intake = Intake()
    events = list(events_of(usage_files([path]), prices, intake, model="gpt-4o-mini" if "aider" not in name else ""))
    assert len({event.event_id for event in events}) == len(events) == calls
    assert sum(event.usage.input_tokens or 0 for event in events) == inputs
    assert sum(event.usage.output_tokens or 0 for event in events) == outputs
    assert intake.bad_count == bad
    assert intake.row_count == calls + bad + sum(intake.other.values())


def test_bailian_counts_seconds_and_names_conversations(saved, prices):
    told = {
        "chat_id": 159,
        "parent_chat_id": 55,
        "timestamp": 61.114,
        "input_length": 521,
        "output_length": 132,
        "type": "text",
        "turn": 2,
        "hash_ids": [1],
    }
    path = saved("qwen.jsonl", told, told, {**told, "input_length": -1})
    intake = Intake()
    events = list(trace_events(path, "Dev", prices, intake, starts_at=1_000_000))
    assert [event.admitted_at for event in events] == [62_114_000] * 2
    assert (events[0].source, events[0].session, events[0].purpose, events[0].model) == (
        "bailian",
        "159",
        "text",
        "unknown",
    )
    assert (events[0].list_cost_nanos, intake.bad_count) == (None, 1)


# ---- rules --------------------------------------------------------------------------------------------------------------


def event(**told):
    usage = Usage(input_tokens=1)
    return UsageEvent(
        source="litellm", event_id="1", admitted_at=0, provider="", requested_model="gpt-4o", usage=usage, **told
    )


def test_the_first_rule_that_fits_says_whose():
    rules = attribution_from_toml(
        '[[rule]]\nwhen = { key = "8b3f*", source = "litellm" }\nset = { member = "Ada", department = "Research" }\n'
        '[[rule]]\nwhen = { email = "*@ACME.example" }\nset = { cost_centre = "CC-7" }\n'
        '[[rule]]\nwhen = { model = "gpt-*", tag = "eval" }\nset = { project = "Quality" }\n'
        '[[rule]]\nwhen = { source = "*" }\nset = { department = "Unknown" }\n'
    )
    ada = rules.applied(event(key="8b3f77", member="bo@acme.example"))
    assert (ada.member, ada.department, ada.cost_centre) == ("Ada", "Research", "")
    assert rules.applied(event(member="bo@acme.example")).cost_centre == "CC-7"
    assert rules.applied(event(tags=("x", "eval"))).project == "Quality"
    assert rules.applied(event()).department == "Unknown"
    assert attribution_from_toml('[[rule]]\nwhen = { user = "x" }\nset = { member = "y" }').applied(event()) == event()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[rule", "the rules are no TOML"),
        ("", "there is no rule; write [[rule]] with"),
        ("rules = 1", "rules: there is no such key"),
        ("rule = 1", "there is no rule"),
        ("[[rule]]\nwhen = { key = 'x' }", "rule 1 is not of the form [[rule]]"),
        ("[[rule]]\nwhen = { colour = 'x' }\nset = { member = 'y' }", "rule 1: when.colour is not known; allowed are key, member"),
        ("[[rule]]\nwhen = { key = 'x' }\nset = { source = 'y' }", "rule 1: set.source is not known; allowed are member, department"),
        ("[[rule]]\nwhen = { key = 7 }\nset = { member = 'y' }", "rule 1: when.key is 7; allowed is a text"),
        ("[[rule]]\nwhen = {}\nset = { member = 'y' }", "rule 1: when is a table that names one of"),
        ("[[rule]]\nwhen = { key = 'x' }\nset = { member = '' }", "rule 1: set.member must be 1 to 200"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_followed_are_refused_in_words(text, reason):
    with pytest.raises(ValueError, match=r"^.+$") as refused:
        attribution_from_toml(text)
    assert reason in str(refused.value)
