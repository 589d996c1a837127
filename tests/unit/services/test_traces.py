"""Every row of a trace is a call, or is counted and named: nothing is dropped in silence."""

import gzip
import json

import pytest

from tokenroll.services.traces import FORMATS, Trace, TraceCall, TraceDamagedError, TraceError, read_trace


def read(tmp_path, text: str, trace_format: str, *, packed: bool = False, **options) -> tuple[list[TraceCall], dict]:
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    trace: Trace = read_trace(path, trace_format, **{"model": "gpt-4o-mini", **options})
    calls = list(trace.calls)
    return calls, trace.rows.summary()


AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
soon,1,1
2023-11-16 18:17:05.0000000,,8
2023-11-16 18:17:05.0000000,12,many
2023-11-16 18:17:05.0000000,12
2023-11-16 18:17:06.0000000,0,8
2023-11-16 18:17:02.0000000,7,0
"""


@pytest.mark.parametrize("packed", [False, True])
def test_it_reads_azure(tmp_path, packed):
    calls, rows = read(tmp_path, AZURE, "azure", packed=packed)
    assert [(call.line, call.at, call.input_tokens, call.output_tokens) for call in calls] == [
        (2, 0, 4_808, 10),
        (3, 52_000, 3_180, 8),
        (9, 52_000, 7, 0),  # earlier than the one before it: at the same moment
    ]
    assert {call.model for call in calls} == {"gpt-4o-mini"}
    assert (rows["read_count"], rows["call_count"], rows["bad_count"]) == (8, 3, 5)
    assert rows["bad"] == {
        "2 columns instead of 3": {"count": 1, "first_lines": [7]},
        "TIMESTAMP is no time": {"count": 1, "first_lines": [4]},
        "input tokens below 1": {"count": 1, "first_lines": [8]},
        "no input tokens": {"count": 1, "first_lines": [5]},
        "output tokens are not a count": {"count": 1, "first_lines": [6]},
    }


def test_it_reads_mooncake(tmp_path):
    rows = [
        {"timestamp": 10, "input_length": 1_030, "output_length": 5, "hash_ids": [0, 7, 8]},
        {"timestamp": 1_510, "input_length": 600, "output_length": 5, "hash_ids": [0, 9]},
        {"timestamp": "soon", "input_length": 1, "output_length": 1},
        {"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": ["x"]},
        ["not", "an", "object"],
    ]
    calls, found = read(tmp_path, "\n".join(map(json.dumps, rows)) + "\n{half\n\n", "mooncake")
    assert [(call.at, call.session, call.blocks, call.block_tokens) for call in calls] == [
        (0, "7", (0, 7, 8), 512),
        (1_500_000, "9", (0, 9), 512),
    ]
    assert {reason: one["first_lines"] for reason, one in found["bad"].items()} == {
        "timestamp is no count of milliseconds": [3],
        "hash_ids are not numbers": [4],
        "not a JSON object": [5],
        "not JSON": [6],
        "empty line": [7],
    }


def test_it_skips_aiders_other_events_by_kind(tmp_path):
    rows = [
        {"t": 100, "user": "u0", "event": "launched"},
        {"t": 101, "user": "u0", "event": "message_send", "main_model": "openrouter/anthropic/claude-3.7-sonnet", "prompt_tokens": 9, "completion_tokens": 2},
        {"t": 103, "user": "u1", "event": "message_send", "main_model": "None", "prompt_tokens": 9, "completion_tokens": 2},
        {"t": 104, "user": "u1", "event": "launched"},
        {"t": None, "user": "u1", "event": "message_send", "main_model": "gpt-4o"},
    ]  # fmt: skip
    calls, found = read(tmp_path, "\n".join(map(json.dumps, rows)), "aider", model="")
    assert [(call.model, call.session, call.input_tokens) for call in calls] == [("claude-3.7-sonnet", "u0", 9)]
    assert found["skipped"] == {"launched": 2}
    assert {reason: one["first_lines"] for reason, one in found["bad"].items()} == {
        "no model": [3],
        "t is no count of seconds": [5],
    }


def test_it_orders_agent_calls_by_time(tmp_path):
    rows = [
        {"agent": "a", "session": 0, "input_tokens": 130, "output_tokens": 5, "hash_ids": [1, 2], "t_ms": 900},
        {"agent": "a", "session": 1, "input_tokens": 70, "output_tokens": 5, "hash_ids": [3], "t_ms": 400},
        {"agent": "a", "session": 1, "input_tokens": 70, "output_tokens": 5},
    ]
    calls, found = read(tmp_path, "\n".join(map(json.dumps, rows)), "agent-calls")
    assert [(call.line, call.at, call.session) for call in calls] == [(2, 0, "a/1"), (1, 500_000, "a/0")]
    assert found["bad"]["t_ms is no count of milliseconds"]["first_lines"] == [3]


SERVEGEN = (
    "category,model,client,t_s,requests,cv,in_mean,in_p99,out_mean,out_p99\n"
    "language,m-small,0,0,3000,1.5,300,1400,30,160\n"
    "language,m-small,1,0,1000,1,,,,\n"
    "language,m-mid,0,600,6000,4,100,100,20,20\n"
    "language,m-mid,0,1200,lots,1,1,1,1,1\n"
)


def test_it_draws_servegens_arrivals_under_a_seed(tmp_path):
    calls, found = read(tmp_path, SERVEGEN, "servegen", model="", limit=90, seed=5)
    again, _ = read(tmp_path, SERVEGEN, "servegen", model="", limit=90, seed=5)
    other, _ = read(tmp_path, SERVEGEN, "servegen", model="", limit=90, seed=6)
    assert calls == again != other
    # a hundredth of each slot: 30 of one client, 60 of the other
    assert [call.model for call in calls].count("gpt-4o-mini") == 30
    assert [call.model for call in calls].count("claude-haiku-4-5") == 60
    assert sorted(call.at for call in calls) == [call.at for call in calls]
    # the first slot's calls lie within its ten minutes, the second's in those after
    assert all(call.at < 600_000_000 for call in calls[:30])
    # mean and 99th percentile are one: every prompt of that client has this size
    assert {call.input_tokens for call in calls[30:]} == {100}
    assert found["bad"] == {
        "no token sizes": {"count": 1, "first_lines": [3]},
        "a column is missing or no number": {"count": 1, "first_lines": [5]},
    }


def test_it_names_at_most_twenty_lines_and_counts_all(tmp_path):
    _, rows = read(tmp_path, "{\n" * 50, "mooncake")
    assert rows["bad"]["not JSON"] == {"count": 50, "first_lines": list(range(1, 21))}


def test_it_stops_at_the_limit(tmp_path):
    calls, rows = read(tmp_path, AZURE, "azure", limit=1)
    assert len(calls) == rows["call_count"] == 1


def test_it_refuses_what_cannot_be_read(tmp_path):
    (tmp_path / "trace").write_text("")
    with pytest.raises(TraceError, match="no trace format is called 'novel'; known: azure, mooncake"):
        read_trace(tmp_path / "trace", "novel", model="m")
    with pytest.raises(TraceError, match="there is no trace file"):
        read_trace(tmp_path / "nowhere", "azure", model="m")
    for name in ("azure", "mooncake", "agent-calls"):
        with pytest.raises(TraceError, match="name one with --model"):
            read_trace(tmp_path / "trace", name)
    assert len(FORMATS) == 5


@pytest.mark.parametrize("damaged", [b"\x1f\x8b\x08bad", gzip.compress(AZURE.encode())[:-9]])
def test_it_reads_no_part_of_a_packed_trace_that_is_not_whole(tmp_path, damaged):
    (tmp_path / "trace.gz").write_bytes(damaged)
    with pytest.raises(TraceDamagedError, match=r"trace\.gz is not whole gzip .*, so nothing was replayed"):
        read_trace(tmp_path / "trace.gz", "azure", model="m")


# The public traces themselves: their facts are known and stand in literals.
PUBLIC = [
    ("azure", "azure_llm_2023_code.csv.gz", 8_819, 18_059_974, 245_896, 0, 0),
    ("mooncake", "mooncake_conversation_trace.jsonl.gz", 12_031, 144_793_823, 4_122_048, 0, 0),
    # 4,405 calls: 14 without a model and 5 without a prompt are named
    ("aider", "aider_analytics_2024-08_2025-03.jsonl.gz", 4_386, 53_781_981, 2_141_949, 19, 21_652),
    ("agent-calls", "agent_calls_meta.jsonl.gz", 769, 1_784_216, 43_825, 0, 0),
]


@pytest.mark.parametrize(("trace_format", "name", "calls", "inputs", "outputs", "bad", "skipped"), PUBLIC)
def test_it_reads_the_public_traces_whole(trace_folder, trace_format, name, calls, inputs, outputs, bad, skipped):
    trace = read_trace(trace_folder / name, trace_format, model="" if trace_format == "aider" else "gpt-4o-mini")
    found = list(trace.calls)
    rows = trace.rows.summary()
    assert len(found) == calls
    assert sum(call.input_tokens for call in found) == inputs
    assert sum(call.output_tokens for call in found) == outputs
    assert (rows["bad_count"], rows["skipped_count"]) == (bad, skipped)
    assert rows["read_count"] == calls + bad + skipped


def test_it_names_servegens_rows_without_sizes(trace_folder):
    trace = read_trace(trace_folder / "servegen_clients_10min.csv.gz", "servegen", limit=500)
    calls = list(trace.calls)
    rows = trace.rows.summary()
    assert 400 < len(calls) <= 500
    assert rows["read_count"] == 149_591
    assert rows["bad"] == {"no token sizes": {"count": 70_981, "first_lines": list(range(214, 234))}}
