"""The official Anthropic client streams where Bedrock is the only deployment of its models, and the three bills agree to the nano.

Prices worked with, in nanos per token: claude-opus-5-5 4,000 in, 20,000 out; claude-sonnet-5-5 2,000 in, 100 from the cache, 4,000
into it for an hour, 10,000 out. The metrics that Bedrock adds to the last event say something else here, so that who charges by them is found out.
"""

import anthropic
import httpx2
import pytest

from tests.company import Company

# 17 bytes are 5 tokens, and 16 for the message: 21 tokens, 84,000 nanos at claude-opus-5-5.
HELLO = [{"role": "user", "content": "How much is left?"}]


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("acme") / "home", messages_flavour="bedrock") as running:
        running.hire("Ada")
        yield running
        running.prove()


def ask(output_tokens=12, fault="", **more):
    """A call whose answer has so many tokens."""
    headers = {"x-sim-output-tokens": str(output_tokens)} | ({"x-sim-fault": fault} if fault else {})
    call = {"model": "claude-opus-5-5", "max_tokens": 500, "messages": HELLO, "extra_headers": headers}
    return {**call, **more}


def test_it_answers_whole(company):
    with company.moves("Ada", 21 * 4_000 + 12 * 20_000):
        raw = company.anthropic().messages.with_raw_response.create(**ask())
    answer = raw.parse()
    line = company.bill()[-1]
    (attempt,) = company.tokenroll("call", "show", line.call_id, "--json")["attempts"]
    assert raw.headers["x-amzn-requestid"] == line.request_id == attempt["request_id"]
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.stop_reason) == (21, 12, "end_turn")


@pytest.mark.parametrize("fault", ["", "split-head,split-body", "no-length", "two-deltas", "cache-late", "spaced", "crlf", "comments"])  # fmt: skip
def test_it_streams_events_and_the_final_usage(company, fault):
    with (
        company.moves("Ada", 21 * 4_000 + 40 * 20_000),
        company.anthropic().messages.stream(**ask(40, fault)) as stream,
    ):
        events = list(stream)
        answer = stream.get_final_message()
    assert [event.type for event in events if event.type.startswith("message_")][-1] == "message_stop"
    assert (answer.usage.input_tokens, answer.usage.output_tokens, len(answer.content[0].text)) == (21, 40, 160)


def test_it_passes_on_what_bedrock_says_of_the_call(company):
    with company.moves("Ada", 324_000):
        events = list(company.anthropic().messages.create(**ask(), stream=True))
    assert events[-1].type == "message_stop"
    assert events[-1].model_extra["amazon-bedrock-invocationMetrics"]["inputTokenCount"] == 1_000_003


def test_it_uses_a_tool(company):
    tool = {"name": "pay", "input_schema": {"type": "object", "properties": {"who": {"type": "string"}}}}
    before = len(company.bill())
    with company.anthropic().messages.stream(**ask(30, tools=[tool])) as stream:
        answer = stream.get_final_message()
    assert (answer.stop_reason, answer.content[0].name, list(answer.content[0].input)) == ("tool_use", "pay", ["who"])
    company.prove()
    (line,) = company.bill()[before:]
    assert line.cost_nanos == line.usage["input"] * 4_000 + line.usage["output"] * 20_000


def test_it_charges_the_cache_written_and_read(company):
    mark = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "b" * 8_000, "cache_control": mark}]
    call = ask(10, model="claude-sonnet-5-5", max_tokens=50, system=system)
    # 8,000 bytes are 2,000 tokens; of the rest 16 stand for the message before, 21 for the one asked
    for each in (4_000, 100):
        with (
            company.moves("Ada", 2_000 * each + 37 * 2_000 + 10 * 10_000),
            company.anthropic().messages.stream(**call) as stream,
        ):
            stream.until_done()


def test_a_refusal_of_bedrocks_own_is_told(company):
    with company.moves("Ada", 0), pytest.raises(anthropic.InternalServerError) as caught:
        company.anthropic().messages.create(**ask(12, "529", stream=True))
    assert caught.value.status_code == 529


def test_what_breaks_off_is_an_error_that_the_client_knows_and_the_bill_brings_the_truth(tmp_path):
    with Company(tmp_path / "home", messages_flavour="bedrock") as company:
        company.hire("Ada")
        with (
            pytest.raises(httpx2.RemoteProtocolError),  # this client's streams raise what their transport says
            company.anthropic().messages.stream(**ask(40, "cut=6")) as stream,
        ):
            stream.until_done()
        company.quiet()
        (cut,) = company.calls("Ada")
        assert (cut["outcome"], company.wallet("Ada").spent) == ("being checked", 0)
        bill = company.bill_file(tmp_path / "bill.jsonl")
        assert company.tokenroll("reconcile", "--bill", str(bill), "--json")["resolved_count"] == 1
        company.prove()
        # three events of eight tokens left before it broke
        assert company.wallet("Ada").spent == 21 * 4_000 + 24 * 20_000
        with (
            pytest.raises(anthropic.APIStatusError) as caught,
            company.anthropic().messages.stream(**ask(40, "error-event=6")) as stream,
        ):
            stream.until_done()
        assert caught.value.body == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        company.quiet()
        (failed, _) = company.calls("Ada")
        # evidence is never below what the provider generated
        assert (failed["outcome"], failed["output_tokens"] >= 24) == ("settled", True)
