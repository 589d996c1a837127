"""Usage and costs as providers' tools ask for them: the official client, the published specification, and the provider's own bill.

Ada asks gpt-4o-mini, Bo embeds, the Nightly agent asks Claude; Cleo reads what it cost with an admin key. Prices worked with, in nanos a
token: gpt-4o-mini 150 in, 600 out; text-embedding-3-small 20 in; claude-sonnet-5-5 2,000 in, 10,000 out. `HELLO` is 17 bytes: 5
tokens, and 16 for the message at chat and messages, 16 at embeddings.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.company import Company

HELLO = "How much is left?"
ASKED: Any = [{"role": "user", "content": HELLO}]
CLEO = "My Admin API Key"
USAGE = (
    "audio_speeches", "audio_transcriptions", "code_interpreter_sessions", "completions", "decisions", "embeddings",
    "file_search_calls", "images", "moderations", "vector_stores", "web_search_calls",
)  # fmt: skip


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("acme") / "home", moving_clock=True) as running:
        running.clock_to_hour(1)
        running.start_web()
        for name in ("Ada", "Bo", "Nightly agent"):
            running.hire(name)
        running.hire("Cleo", 0)
        running.key("Cleo", CLEO, scope="admin")
        running.openai("Ada").chat.completions.create(
            model="gpt-4o-mini", messages=ASKED, extra_headers={"x-sim-output-tokens": "12"}
        )
        running.openai("Ada").responses.create(
            model="gpt-4o-mini", input=HELLO, extra_headers={"x-sim-output-tokens": "30"}
        )
        running.openai("Bo").embeddings.create(
            model="text-embedding-3-small", input=[HELLO, HELLO], encoding_format="float"
        )
        running.anthropic("Nightly agent").messages.create(
            model="claude-sonnet-5-5", messages=ASKED, max_tokens=60, extra_headers={"x-sim-output-tokens": "20"}
        )
        running.prove()
        yield running
        running.prove()


@pytest.fixture
def admin(company):
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{company.port}/v1", api_key="none", admin_api_key=CLEO, max_retries=0, timeout=60,
        _strict_response_validation=True,
    ) as client:  # fmt: skip
        yield client.admin.organization.usage


def asked(company, path, key=CLEO, **headers):
    status, seen, body = company.request("GET", path, None, {"x-api-key": key, **headers})
    assert seen["content-type"] == "application/json", body
    return status, json.loads(body, parse_float=Decimal)


def today(company):
    """When the day began in which all was asked, by the clock that stands at one in the morning when the company begins."""
    return company.clock() // 10**6 // 86_400 * 86_400


def only(buckets):
    """The one row of all buckets."""
    (row,) = [row for bucket in buckets for row in bucket.results]
    return row


def test_the_official_client_reads_who_used_which_model(company, admin):
    page = admin.completions(start_time=today(company) - 86_400, group_by=["user_id", "model", "service_tier", "batch"])
    row = only(page.data)
    assert (row.input_tokens, row.output_tokens, row.num_model_requests) == (42, 42, 2)
    assert (row.input_text_tokens, row.output_text_tokens, row.input_cached_tokens) == (42, 42, 0)
    member = company.tokenroll("member", "show", "Ada", "--json")["member"]
    assert (row.user_id, row.model, row.service_tier, row.batch) == (member, "gpt-4o-mini-2024-07-18", "default", False)
    assert (row.project_id, row.api_key_id) == (None, None)


def test_embeddings_are_told_apart_from_text(company, admin):
    row = only(
        admin.embeddings(start_time=today(company) - 86_400, group_by=["model"], bucket_width="1h", limit=168).data
    )
    assert (row.input_tokens, row.num_model_requests, row.model) == (42, 1, "text-embedding-3-small")


def test_costs_are_what_the_provider_billed_to_the_nano(company, admin):
    billed = {line.model: line.cost_nanos for line in company.bill()}
    assert billed["text-embedding-3-small"] == 42 * 20
    for day in (today(company) + 86_400, 253_402_300_798):  # one that has not come yet has cost nothing
        status, page = asked(company, f"/v1/organization/costs?start_time={day}")
        assert (status, [one for bucket in page["data"] for one in bucket["results"]]) == (200, [])
    status, page = asked(company, f"/v1/organization/costs?start_time={today(company) - 86_400}")
    amounts = [row["amount"] for bucket in page["data"] for row in bucket["results"]]
    assert (status, sum(one["value"] for one in amounts)) == (200, Decimal("0.000032340"))
    assert Decimal("0.000032340") == Decimal(42 * 150 + 42 * 600 + 42 * 20) / 10**9
    lines = [
        (row.line_item, row.amount.value, row.quantity, row.quantity_unit)
        for bucket in admin.costs(start_time=today(company) - 86_400, group_by=["line_item"]).data
        for row in bucket.results
    ]
    assert lines == [
        ("gpt-4o-mini-2024-07-18, input_tokens", 0.0000063, 42, "tokens"),
        ("gpt-4o-mini-2024-07-18, output_tokens", 0.0000252, 42, "tokens"),
        ("text-embedding-3-small, input_tokens", 0.00000084, 42, "tokens"),
    ]
    one = only(
        admin.costs(
            start_time=today(company) - 86_400,
            line_items=["gpt-4o-mini-2024-07-18, output_tokens"],
            group_by=["api_source"],
        ).data
    )
    assert (one.amount.value, one.line_item, one.api_source) == (0.0000252, None, "unlabeled")


def test_both_reports_together_are_the_whole_ledger(company):
    """What is told to OpenAI's tools and what to Anthropic's has no call in common and leaves none out."""
    since = datetime.fromtimestamp(today(company) - 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    _, openais = asked(company, f"/v1/organization/costs?start_time={today(company) - 86_400}")
    _, anthropics = asked(company, f"/v1/organizations/cost_report?starting_at={since}")
    dollars = sum(row["amount"]["value"] for bucket in openais["data"] for row in bucket["results"])
    cents = sum(Decimal(row["amount"]) for bucket in anthropics["data"] for row in bucket["results"])
    assert dollars * 10**9 + cents * 10**7 == company.spent_by_all() - company.before.charged_nanos


def test_anthropic_s_report_tells_service_accounts_and_workspaces(company):
    since = datetime.fromtimestamp(today(company), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    groups = "&".join(
        f"group_by[]={one}"
        for one in ("service_account_id", "account_id", "workspace_id", "model", "context_window", "service_tier")
    )
    status, page = asked(company, f"/v1/organizations/usage_report/messages?starting_at={since}&{groups}")
    (row,) = page["data"][0]["results"]
    agent = company.tokenroll("member", "show", "Nightly agent", "--json")
    department = company.tokenroll("department", "show", "Engineering", "--json")["department"]
    assert status == 200
    assert row == {
        "uncached_input_tokens": 21, "cache_read_input_tokens": 0, "output_tokens": 20,
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
        "server_tool_use": {"web_search_requests": 0}, "service_account_id": agent["member"], "account_id": None,
        "workspace_id": department, "api_key_id": None, "model": "claude-sonnet-5-5", "context_window": "0-200k",
        "service_tier": "standard", "inference_geo": None, "speed": None,
    }  # fmt: skip
    _, costs = asked(company, f"/v1/organizations/cost_report?starting_at={since}&group_by[]=description")
    assert [(row["token_type"], row["amount"], row["currency"]) for row in costs["data"][0]["results"]] == [
        ("uncached_input_tokens", "0.0042", "USD"),  # 21 × 2,000 nanos are 0.0042 cents
        ("output_tokens", "0.02", "USD"),
    ]


def test_filters_leave_out_and_empty_buckets_stay(company, admin):
    ada = company.tokenroll("member", "show", "Ada", "--json")["member"]
    bo = company.tokenroll("member", "show", "Bo", "--json")["member"]
    start = today(company) - 3 * 86_400
    page = admin.completions(start_time=start, user_ids=[bo])
    assert [len(bucket.results) for bucket in page.data] == [0, 0, 0, 0]
    page = admin.completions(start_time=start, user_ids=[ada, bo], models=["gpt-4o-mini-2024-07-18"], batch=False)
    assert [len(bucket.results) for bucket in page.data] == [0, 0, 0, 1]
    assert [bucket.start_time - start for bucket in page.data] == [0, 86_400, 172_800, 259_200]
    assert (page.has_more, page.next_page) == (False, None)
    assert all(not bucket.results for bucket in admin.completions(start_time=start, batch=True).data)
    assert all(not bucket.results for bucket in admin.web_search_calls(start_time=start, context_levels=["low"]).data)


def test_pages_follow_each_other_without_a_gap(company, admin):
    start, starts, found, page = today(company) - 9 * 86_400, [], 0, openai.omit
    while True:
        answer = admin.costs(start_time=start, limit=3, page=page)
        starts += [(bucket.start_time - start) // 86_400 for bucket in answer.data]
        found += sum(len(bucket.results) for bucket in answer.data)
        page = answer.next_page
        if not answer.has_more:
            break
    assert (starts, found) == ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 1)


@pytest.mark.parametrize("name", USAGE)
def test_every_report_is_what_the_specification_says(company, schema, name):
    path = f"/v1/organization/usage/{name}?start_time={today(company)}&group_by=project_id"
    status, page = asked(company, path)
    assert status == 200
    schema("UsageResponse").validate(json.loads(json.dumps(page, default=float)))


@pytest.mark.parametrize("group", ["project_id", "user_id", "api_key_id", "line_item"])
def test_costs_are_what_the_specification_says(company, schema, group):
    _, page = asked(company, f"/v1/organization/costs?start_time={today(company)}&group_by={group}")
    schema("UsageResponse").validate(json.loads(json.dumps(page, default=float)))
    assert page["data"][0]["results"]


@pytest.mark.parametrize(
    ("path", "key", "status", "code"),
    [
        ("costs?start_time=0", "Ada", 403, "admin_key_required"),
        ("costs?start_time=0", "nobody", 401, "invalid_api_key"),
        ("costs", CLEO, 400, "missing_required_parameter"),
        ("costs?start_time=soon", CLEO, 400, "invalid_value"),
        ("costs?start_time=0&bucket_width=1h", CLEO, 400, "invalid_value"),
        ("costs?start_time=0&limit=181", CLEO, 400, "invalid_value"),
        ("costs?start_time=0&start_time=1", CLEO, 400, "invalid_value"),
        ("costs?start_time=0&user_ids=member_1", CLEO, 400, "unknown_parameter"),
        ("costs?start_time=99999999999999", CLEO, 400, "invalid_value"),
        ("usage/completions?start_time=0&group_by[]=weather", CLEO, 400, "invalid_value"),
        ("usage/completions?start_time=0&batch=perhaps", CLEO, 400, "invalid_value"),
        ("usage/thoughts?start_time=0", CLEO, 404, "not_found"),
        ("projects", CLEO, 404, "not_found"),
    ],
)
def test_it_refuses_in_openai_s_shape_and_asks_nobody_to_try_again(company, schema, path, key, status, code):
    found, body = asked(company, f"/v1/organization/{path}", company.keys.get(key, key))
    schema("ErrorResponse").validate(body)
    assert (found, body["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("path", "key", "status", "kind"),
    [
        ("cost_report?starting_at=2026-01-01T00:00:00Z", "Ada", 403, "permission_error"),
        ("cost_report?starting_at=2026-01-01T00:00:00Z", "nobody", 401, "authentication_error"),
        ("cost_report?starting_at=2026-01-01", CLEO, 400, "invalid_request_error"),
        ("cost_report?starting_at=1969-12-31T00:00:00Z", CLEO, 400, "invalid_request_error"),
        ("cost_report?starting_at=9999-12-31T12:00:00Z", CLEO, 400, "invalid_request_error"),
        ("usage_report/messages", CLEO, 400, "invalid_request_error"),
        ("usage_report/claude_code?starting_at=2026-01-01", CLEO, 404, "not_found_error"),
    ],
)
def test_it_refuses_in_anthropic_s_shape(company, path, key, status, kind):
    found, body = asked(company, f"/v1/organizations/{path}", company.keys.get(key, key))
    assert (found, body["type"], body["error"]["type"]) == (status, "error", kind)


def test_an_admin_key_calls_no_model(company):
    with (
        company.moves("Ada", 0),
        pytest.raises(openai.PermissionDeniedError, match="A key with scope admin cannot call models"),
    ):
        company.openai(CLEO).chat.completions.create(model="gpt-4o-mini", messages=ASKED)


def test_nothing_is_written_there(company, schema):
    status, _, body = company.request("POST", "/v1/organization/costs", b"{}", {"x-api-key": CLEO})
    assert status == 405
    schema("ErrorResponse").validate(json.loads(body))


def test_a_gateway_without_its_pages_says_so_and_goes_on_with_calls(company):
    company.end("web")
    try:
        status, body = asked(company, "/v1/organization/costs?start_time=0")
        assert (status, body["error"]["code"]) == (503, "reports_not_running")
        with company.moves("Ada", 21 * 150 + 12 * 600):
            company.openai("Ada").chat.completions.create(
                model="gpt-4o-mini", messages=ASKED, extra_headers={"x-sim-output-tokens": "12"}
            )
    finally:
        company.settings.reports_socket_path.unlink(missing_ok=True)
        company.start_web()
    assert asked(company, "/v1/organization/costs?start_time=0")[0] == 200


def test_reports_pipelined_behind_each_other_are_answered_in_order(company):
    head = "GET /v1/organization/costs?start_time={} HTTP/1.1\r\nhost: gateway\r\nx-api-key: {}\r\n\r\n"
    asked_for = [head.format(today(company) - days * 86_400, CLEO).encode() for days in (0, 5, 1)]
    answers = company.pipelined(asked_for)
    assert [(status, len(json.loads(body)["data"])) for status, body in answers] == [(200, 1), (200, 6), (200, 2)]
