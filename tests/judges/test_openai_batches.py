"""The official OpenAI client at batches: bounded by their input file before anything is held, settled from their output file when they end.

Prices worked with, in nanos a token: gpt-4o-mini at the batch tier 75 in, 300 out. `HELLO` is 17 bytes: 5 tokens, and 16 for the
message. Sizes go in the metadata of each request, where the simulated provider reads them. A cancelled batch has done its first half.
"""

import json
import socket
from typing import Any

import openai
import pytest

HELLO = "How much is left?"
CHAT = "/v1/chat/completions"


def line(name: str, output_tokens: int = 12, *, url: str = CHAT, method: str = "POST", **params: Any) -> dict[str, Any]:
    body = {
        "model": "gpt-4o-mini", "max_completion_tokens": 64, "messages": [{"role": "user", "content": HELLO}],
        "metadata": {"sim_output_tokens": str(output_tokens)},
    }  # fmt: skip
    given = {**body, **params}
    return {"custom_id": name, "method": method, "url": url, "body": {k: v for k, v in given.items() if v is not None}}


def uploaded(company, *lines, name="Ada", data=None):
    if data is None:
        data = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    return company.openai(name).files.create(file=("in.jsonl", data), purpose="batch").id


def created(company, file_id, *, name="Ada", endpoint=CHAT, background_ms=0, fault="", **more):
    return company.openai(name).batches.with_raw_response.create(
        input_file_id=file_id, endpoint=endpoint, completion_window="24h",
        extra_headers={"x-sim-background-ms": str(background_ms), "x-sim-fault": fault}, **more,
    )  # fmt: skip


def held(raw) -> int:
    return int(raw.headers["x-tokenroll-hold-max"].replace(".", ""))


def receipts(company) -> int:
    return company.metric("tokenroll_calls_total")


def test_a_batch_is_charged_at_the_batch_rates_by_what_each_of_its_lines_used(company):
    with company.moves("Ada", (21 + 21) * 75 + (12 + 30) * 300):
        raw = created(company, uploaded(company, line("one", 12), line("two", 30)))
        assert raw.parse().status == "in_progress"
        assert "x-tokenroll-cost" not in raw.headers
        company.until_found("Ada")
    client = company.openai()
    batch = client.batches.retrieve(raw.parse().id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 2)
    answers = [json.loads(one) for one in client.files.content(batch.output_file_id).text.splitlines()]
    used = {one["custom_id"]: one["response"]["body"]["usage"]["completion_tokens"] for one in answers}
    assert used == {"one": 12, "two": 30}
    (call,) = company.calls("Ada", 1)
    (told,) = company.tokenroll("call", "show", call["call"], "--json")["attempts"]
    assert (told["service_tier"], told["usage_source"], told["dialect"]) == ("batch", "reported", "openai batches")
    assert (told["finish"], told["stored_as"]) == ("goes_on", batch.id)


def test_a_current_model_s_batch_is_billed_at_half_and_charged_so(company):
    with company.moves("Ada", 21 * 125 + 12 * 1_000):
        created(company, uploaded(company, line("one", 12, model="gpt-5-mini")))
        company.until_found("Ada")


def test_responses_are_read_line_by_line_too(company):
    params: dict[str, Any] = {
        "messages": None,
        "max_completion_tokens": None,
        "input": HELLO,
        "max_output_tokens": 64,
        "url": "/v1/responses",
    }
    with company.moves("Ada", 21 * 75 + 12 * 300):
        created(company, uploaded(company, line("one", **params)), endpoint="/v1/responses")
        company.until_found("Ada")


def test_its_hold_is_the_sum_of_what_each_line_may_cost_and_a_line_without_cap_may_be_as_long_as_the_model_writes(
    company,
):
    with company.moves("Ada", 21 * 75 + 12 * 300):  # of the one with two lines
        files = [
            uploaded(company, line("one")),
            uploaded(company, line("one"), line("two")),
            uploaded(company, line("one", max_completion_tokens=None)),
            uploaded(company, line("one", n=3)),
        ]
        raws = [created(company, one, background_ms=60_000) for one in files]
        alone, both, uncapped, thrice = (held(raw) for raw in raws)
        assert 64 * 300 < alone < 64 * 300 + 1_000 * 75
        assert both == 2 * alone
        assert uncapped - alone == pytest.approx((16_384 - 64) * 300, abs=100 * 75)
        assert thrice - alone == pytest.approx(2 * 64 * 300, abs=100 * 75)
        for raw in raws:
            company.openai().batches.cancel(raw.parse().id)
        company.until_found("Ada")


def test_a_line_that_is_refused_costs_nothing_and_stands_in_the_file_of_errors(company):
    with company.moves("Ada", 21 * 75 + 12 * 300):
        limited = line("limited", metadata={"sim_fault": "429"})
        raw = created(company, uploaded(company, line("fine", 12), limited))
        company.until_found("Ada")
    batch = company.openai().batches.retrieve(raw.parse().id)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    (error,) = company.openai().files.content(batch.error_file_id).text.splitlines()
    assert json.loads(error)["custom_id"] == "limited"


def test_where_its_own_sum_says_something_else_the_lines_decide_and_a_bill_may_still_correct_them(company):
    with company.moves("Ada", 21 * 75 + 12 * 300):
        created(company, uploaded(company, line("one", 12)), fault="odd-sum")
        company.until_found("Ada")
    (call,) = company.calls("Ada", 1)
    (told,) = company.tokenroll("call", "show", call["call"], "--json")["attempts"]
    assert (told["usage_source"], told["finish"]) == ("estimated", "goes_on")


def test_a_batch_of_errors_alone_costs_nothing(company):
    with company.moves("Ada", 0):
        created(company, uploaded(company, line("limited", metadata={"sim_fault": "500"})))
        company.until_found("Ada")


def test_a_cancelled_batch_is_charged_what_it_had_done(company):
    with company.moves("Ada", 21 * 75 + 12 * 300):
        file_id = uploaded(company, line("one", 12), line("two", 30))
        batch = created(company, file_id, background_ms=60_000).parse()
        assert company.openai().batches.cancel(batch.id).status == "cancelled"
        company.until_found("Ada")


def test_a_batch_that_nobody_asks_for_again_is_settled_once_over_a_restart_of_both(company):
    with company.moves("Ada", 21 * 75 + 12 * 300):
        created(company, uploaded(company, line("one", 12)), background_ms=1_500)
        company.quiet()
        company.end("gateway")
        company.end("ledger")
        company.start_ledger(wait=False)
        company.start_gateway()
        company.until_found("Ada")
    with company.moves("Ada", 0):
        company.until_found("Ada")


def test_a_batch_too_dear_for_its_wallet_is_denied_with_all_that_its_owner_must_know_and_is_not_sent(company):
    company.hire("Eve", 400_000, cap_policy="clamp")
    file_id = uploaded(company, line("one"), line("two", max_completion_tokens=10_000), name="Eve")
    billed = len(company.bill())
    with company.moves("Eve", 0), pytest.raises(openai.RateLimitError) as denied:
        created(company, file_id, name="Eve")
    assert denied.value.type == "insufficient_quota"
    said = str(denied.value)
    for part in (
        "The wallet Eve has 0.000400000 credits left",
        "may cost up to 0.003",
        "No more credits are scheduled",
        "approved by",
    ):
        assert part in said
    assert denied.value.response.headers["x-should-retry"] == "false"
    assert len(company.bill()) == billed


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([line("one"), line("two", model="gpt-4o")], "Line 2 of the input file: body.model: a batch has one model here"),
        ([line("one", stream=True)], "Line 1 of the input file: body.stream"),
        ([line("one"), line("two", max_completion_tokens=-1)], "Line 2 of the input file: 'max_completion_tokens'"),
        ([line("one", web_search_options={})], "Line 1 of the input file: The cost of searching"),
        ([line("one", service_tier="priority")], "a tier of its own"),
        ([line("one", url="/v1/responses")], "Line 1 of the input file: 'url' must be the batch's endpoint"),
        ([line("one", method="GET")], "'method' must be 'POST'"),
        ([{"custom_id": "one"}], "Missing required parameter: 'method'"),
        ([[1]], "Line 1 of the input file: The request body is not a JSON object"),
        ([], "1 to 2000 requests here, not none"),
        ([line("one")] * 2_001, "as from line 2001"),
    ],
    ids=["two models", "a stream", "no cap", "a search", "a tier", "another url", "a method", "no method", "no object", "none", "too many"],
)  # fmt: skip
def test_what_cannot_be_one_bounded_batch_is_refused_by_its_line_and_no_batch_is_made(company, lines, says):
    file_id = uploaded(company, *lines)
    billed, calls = len(company.bill()), receipts(company)
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError, match=says):
        created(company, file_id)
    assert (len(company.bill()), receipts(company)) == (billed, calls)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"input_file_id": "file-unknown", "endpoint": CHAT}, 404, "file_not_found"),
        ({"input_file_id": "../models", "endpoint": CHAT}, 400, "invalid_value"),
        ({"input_file_id": 7, "endpoint": CHAT}, 400, "invalid_type"),
        ({"endpoint": CHAT}, 400, "missing_required_parameter"),
        ({"input_file_id": "file-1", "endpoint": "/v1/videos"}, 400, "call_not_bounded"),
        ({"input_file_id": "file-1"}, 400, "missing_required_parameter"),
    ],
)
def test_a_request_for_a_batch_that_is_none_is_refused_by_its_field(company, fields, status, code):
    headers = {"authorization": f"Bearer {company.keys['Ada']}", "content-type": "application/json"}
    with company.moves("Ada", 0):
        seen, _, answer = company.request("POST", "/v1/batches", json.dumps(fields).encode(), headers)
    assert (seen, json.loads(answer)["error"]["code"]) == (status, code)


def test_batches_are_listed_to_nobody(company):
    with company.moves("Ada", 0), pytest.raises(openai.APIStatusError, match="everybody has stored") as refused:
        company.openai().batches.list()
    assert refused.value.status_code == 405


def test_a_model_without_a_price_for_batches_is_refused_by_name_until_somebody_sets_one(company):
    params: dict[str, Any] = {
        "messages": None,
        "max_completion_tokens": None,
        "model": "text-embedding-3-small",
        "input": HELLO,
    }
    file_id = uploaded(
        company, line("one", url="/v1/embeddings", **params), line("two", url="/v1/embeddings", **params)
    )
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError, match="no price for batches"):
        created(company, file_id, endpoint="/v1/embeddings")
    prices = {"standard": {"input": "0.02"}, "batch": {"input": "0.01"}}
    company.do("ratecard.set", card={"provider": "openai", "model": "text-embedding-3-small", "prices": prices})
    with company.moves("Ada", 2 * 21 * 10):
        created(company, file_id, endpoint="/v1/embeddings")
        company.until_found("Ada")


def test_verdicts_are_free_in_a_batch_too(company):
    params: dict[str, Any] = {
        "messages": None,
        "max_completion_tokens": None,
        "model": "omni-moderation-latest",
        "input": HELLO,
    }
    with company.moves("Ada", 0):
        created(company, uploaded(company, line("one", url="/v1/moderations", **params)), endpoint="/v1/moderations")
        company.until_found("Ada")
    (call,) = company.calls("Ada", 1)
    (told,) = company.tokenroll("call", "show", call["call"], "--json")["attempts"]
    assert (told["service_tier"], told["usage_source"]) == ("batch", "reported")


def test_who_leaves_while_the_input_file_is_read_has_called_nobody(company):
    file_id = uploaded(company, line("one"))
    body = json.dumps({"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}).encode()
    billed, calls = len(company.bill()), receipts(company)
    connections = company.metric("tokenroll_client_connections")
    head = f"POST /v1/batches HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer {company.keys['Ada']}\r\n"
    with company.moves("Ada", 0):
        company.provider.hold()
        try:
            with socket.create_connection(("127.0.0.1", company.port)) as leaving:
                leaving.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                company.until(lambda: company.provider.state()["held"] == 1, "the input file")
            company.until(lambda: company.metric("tokenroll_client_connections") == connections, "its leaving")
        finally:
            company.provider.release()
    assert (len(company.bill()), receipts(company)) == (billed, calls)


def test_two_batches_of_one_connection_are_two_calls(company):
    """A head that is repeated is not taken for a call whose body says it all."""
    with company.moves("Ada", 2 * (21 * 75 + 12 * 300)):
        file_id = uploaded(company, line("one", 12))
        client = company.openai()
        made = {
            client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h").id for _ in range(2)
        }
        company.until_found("Ada")
    assert len(made) == 2
