"""However the lines of a file of usage are shuffled, doubled and torn: nothing is raised, no call counts twice, every row is told of."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenroll.services.importers.detecting import IMPORTERS, head_of, source_of
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.list_prices import ListPrices

PRICES = ListPrices(())
AT = "2026-02-03T08:00:00Z"


def spend(number):
    return {
        "request_id": f"r{number}",
        "spend": 0.1,
        "prompt_tokens": number,
        "completion_tokens": 2,
        "startTime": AT,
        "model": "gpt-4o",
    }


def message(number):
    usage = {"input_tokens": number, "output_tokens": 1}
    return {
        "timestamp": AT,
        "sessionId": "s",
        "requestId": "q",
        "message": {"id": f"m{number}", "model": "claude", "usage": usage},
    }


def count(number):
    info = {"last_token_usage": {"input_tokens": number + 1, "output_tokens": 1}}
    return {"timestamp": AT, "type": "event_msg", "payload": {"type": "token_count", "info": info}}


def openai_page(number):
    result = {"object": "organization.usage.completions.result", "input_tokens": 5, "user_id": f"u{number}"}
    return {
        "object": "page",
        "data": [{"object": "bucket", "start_time": 60, "end_time": 120, "results": [result, result]}],
    }


def anthropic_page(number):
    result = {"uncached_input_tokens": 5, "output_tokens": 1, "account_id": f"u{number}"}
    return {
        "data": [
            {"starting_at": AT, "ending_at": AT, "results": [result, {"amount": "1.5", "description": f"{number}"}]}
        ]
    }


def spans(number):
    attributes = [
        {"key": "gen_ai.system", "value": {"stringValue": "openai"}}, {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "5"}},
    ]  # fmt: skip
    call = {"traceId": "5b" * 16, "spanId": f"{number:016x}", "startTimeUnixNano": "1000000", "attributes": attributes}
    tool = {**call, "spanId": f"a{number:015x}", "attributes": []}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [call, tool]}]}]}


def trace(number):
    return {"timestamp": number, "input_length": 5, "output_length": 1, "hash_ids": [number]}


JSON = {
    "litellm": spend, "claude-code": message, "codex": count, "openai-reports": openai_page, "anthropic-reports": anthropic_page,
    "otel": spans, "trace": trace,
}  # fmt: skip
TABLES = {
    "columns": ("request_id,time,input_tokens,output_tokens,cost", lambda number: f"r{number},{AT},{number},2,0.5"),
    "focus": (
        "BilledCost,ChargePeriodStart,ServiceName,ConsumedQuantity,ConsumedUnit", lambda number: f"{number}.5,{AT},API,{number},Requests",
    ),
}  # fmt: skip
NAMED = set(JSON) - {"trace"} | {"columns"}
"""Those whose rows say which call they are; of the others an equal line is another call."""


@st.composite
def files(draw, lines):
    """Lines in any order, some of them again, some cut short, some of them something else."""
    chosen = draw(st.lists(st.sampled_from(lines), max_size=8))
    torn = [line[: draw(st.integers(0, len(line)))] if draw(st.booleans()) else line for line in chosen]
    strange = draw(
        st.lists(
            st.sampled_from(["", "7", "[", "]", '{"a":', "null", '"', "\x00", "é,ü", '{"usage": {}}', "[[{}]]", "{}"]),
            max_size=3,
        )
    )
    return draw(st.permutations([*torn, *strange]))


def checked(name, text, suffix, member="Ada"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"usage{suffix}"
        path.write_text(text, encoding="utf-8", newline="")
        source_of(path, head_of(path))
        intake = Intake()
        try:
            events = list(IMPORTERS[name](path, member, PRICES, intake))
        except SourceError as refused:
            assert str(path) in str(refused)  # noqa: PT017 - refused or read, each has its own proof
            return
    told = len(events) + intake.repeat_count + intake.bad_count + sum(intake.other.values())
    assert intake.row_count == told
    idents = [(event.source, event.event_id) for event in events]
    assert len(set(idents)) == len(idents)


@pytest.mark.parametrize("name", JSON)
@given(data=st.data())
def test_any_lines_are_read_or_named(name, data):
    lines = [json.dumps(JSON[name](number)) for number in range(3)]
    checked(name, "\n".join(data.draw(files(lines))), ".jsonl")


@pytest.mark.parametrize("name", sorted(NAMED - {"claude-code", "codex", "columns"}))
@given(data=st.data())
def test_any_array_is_read_or_named(name, data):
    lines = [json.dumps(JSON[name](number)) + "," for number in range(3)]
    text = (
        "["
        + data.draw(st.sampled_from(["", "\n", " "])).join(data.draw(files(lines)))
        + data.draw(st.sampled_from(["", "]"]))
    )
    checked(name, text, ".json")


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_any_rows_are_read_or_named(name, data):
    header, row = TABLES[name]
    rows = data.draw(files([row(number) for number in range(3)]))
    checked(name, data.draw(st.sampled_from(["\n", "\r\n"])).join([header, *rows]), ".csv")


@pytest.mark.parametrize("name", [*JSON, *TABLES])
@given(text=st.text(max_size=60) | st.text(alphabet='{}[]":,\n1a', max_size=60))
def test_any_text_is_read_or_refused(name, text):
    checked(name, text.encode("utf-8", "replace").decode(), ".csv" if name in TABLES else ".json")
