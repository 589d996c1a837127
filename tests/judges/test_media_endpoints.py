"""The endpoints of verdicts and ranks: the official client where OpenAI has them, its specification, and servers' own ways.

Prices worked with: a verdict is free; reranker 50 nanos a token; rerank-v3.5 two million nanos a search.
"""

import json

import openai
import pytest

HELLO = "How much is left?"
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/slip.png"}}


def asked(company, path, body, name="Ada", **headers):
    """Status, headers and JSON of a call without any client library."""
    sent = {"authorization": f"Bearer {company.keys.get(name, name)}", "content-type": "application/json", **headers}
    status, seen, answer = company.request("POST", path, json.dumps(body).encode(), sent)
    return status, seen, json.loads(answer)


# ---- verdicts --------------------------------------------------------------------------------------------------------------


def test_a_verdict_is_free_and_stands_in_the_ledger_like_any_call(company):
    before = company.stand()
    with company.moves("Ada", 0):
        raw = company.openai().moderations.with_raw_response.create(model="omni-moderation-latest", input=HELLO)
    verdict = raw.parse()
    assert (verdict.results[0].flagged, len(verdict.results)) == (False, 1)
    assert (raw.headers["x-tokenroll-hold-max"], raw.headers["x-tokenroll-cost"]) == ("0.000000000", "0.000000000")
    assert company.stand().settlements == before.settlements + 1


def test_each_text_has_a_verdict_and_a_picture_with_its_text_has_one(company):
    client = company.openai()
    assert len(client.moderations.create(input=[HELLO, HELLO]).results) == 2
    assert len(client.moderations.create(input=[{"type": "text", "text": HELLO}, PICTURE]).results) == 1
    company.prove()


def test_who_has_nothing_left_may_still_ask_what_is_free(company):
    with company.moves("Cleo", 0):
        assert company.openai("Cleo").moderations.create(input=HELLO).results


def test_a_verdict_is_what_the_specification_says(company, schema):
    status, _, verdict = asked(company, "/v1/moderations", {"input": HELLO})
    assert status == 200
    schema("CreateModerationResponse").validate(verdict)
    company.prove()


# ---- ranks -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_ranks_are_charged_for_the_query_with_every_document(company, path):
    body = {"model": "reranker", "query": "allowance", "documents": ["a slip", "a plan", "a grant"], "top_n": 2}
    # a query of 3 tokens, a document of 2, and 16 around them, three times
    with company.moves("Ada", 3 * (3 + 2 + 16) * 50):
        status, headers, ranks = asked(company, path, body)
    assert (status, [one["index"] for one in ranks["results"]]) == (200, [2, 1])
    assert ranks["usage"]["total_tokens"] == 63
    held = len(json.dumps(body)) + 2 * len("allowance") + 3 * 16
    assert headers["x-tokenroll-hold-max"] == f"0.{held * 50:09d}"


def test_ranks_sold_by_the_search_are_charged_by_the_search(company):
    body = {"model": "rerank-v3.5", "query": "allowance", "documents": ["a slip"] * 101}
    with company.moves("Ada", 2 * 2_000_000):
        status, headers, ranks = asked(company, "/v2/rerank", body)
    assert (status, ranks["meta"]["billed_units"]["search_units"]) == (200, 2)
    assert headers["x-tokenroll-hold-max"] == "0.004000000"


def test_a_search_that_nobody_reports_is_not_free(company):
    body = {"model": "rerank-v3.5", "query": "allowance", "documents": ["a slip"] * 3}
    with company.moves("Ada", 2_000_000):
        status, _, ranks = asked(company, "/v1/rerank", body, **{"x-sim-fault": "missing-usage"})
    assert (status, "meta" in ranks) == (200, False)


def test_a_model_that_talks_ranks_nothing_that_its_card_does_not_price(company):
    with company.moves("Ada", 0):
        status, _, error = asked(
            company, "/v1/chat/completions", {"model": "rerank-v3.5", "messages": [{"role": "user", "content": HELLO}]}
        )
    assert (status, error["error"]["code"], error["error"]["param"]) == (400, "not_priced", "model")
    assert "As it is priced, it is called at /v1/rerank." in error["error"]["message"]


# ---- refusals --------------------------------------------------------------------------------------------------------------

RANKS = {"model": "reranker", "query": "allowance", "documents": ["a slip"]}
REFUSED = {
    "no input": ("/v1/moderations", {}, "Ada", {}, 400, "missing_required_parameter"),
    "sound": ("/v1/moderations", {"input": [{"type": "input_audio"}]}, "Ada", {}, 400, "call_not_bounded"),
    "a verdict of a model without a card": ("/v1/moderations", {"input": "x", "model": "gpt-nowhere"}, "Ada", {}, 404, "model_not_found"),
    "no documents": ("/v1/rerank", {"model": "reranker", "query": "x"}, "Ada", {}, 400, "missing_required_parameter"),
    "a picture": ("/v2/rerank", {**RANKS, "documents": [{"image": "x"}]}, "Ada", {}, 400, "call_not_bounded"),
    "an empty wallet": ("/v1/rerank", RANKS, "Cleo", {}, 429, "wallet_empty"),
    "an unknown key": ("/v2/rerank", RANKS, "nobody", {}, 401, "invalid_api_key"),
    "the provider's limit": ("/v1/rerank", RANKS, "Ada", {"x-sim-fault": "429"}, 429, "rate_limit_exceeded"),
    "the provider's error": ("/v1/moderations", {"input": "x"}, "Ada", {"x-sim-fault": "500"}, 500, None),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_in_the_shape_of_the_specification(company, schema, case):
    path, body, name, headers, expected, code = REFUSED[case]
    with company.moves("Ada", 0):
        status, _, error = asked(company, path, body, name, **headers)
    schema("ErrorResponse").validate(error)
    assert status == expected
    if code is not None:
        assert error["error"]["code"] == code


def test_the_official_client_reads_the_refusals(company):
    with pytest.raises(openai.BadRequestError) as refused:
        company.openai().moderations.create(input=[{"type": "input_audio"}])
    assert refused.value.param == "input[0]"
