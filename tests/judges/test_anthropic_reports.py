"""Anthropic's usage and cost reports as a question narrows them: filters, buckets of an hour and of a minute, pages.

At 01:10 Ada asks Haiku, at 03:20 the Nightly agent asks Sonnet, at 03:21 it hands Haiku a batch, and at 05:00 it has Sonnet read 210,000
tokens. `HELLO` is 17 bytes: 5 tokens, and 16 for the message. In nanos a token: Haiku 1,000 in and 5,000 out, half of that in a batch;
Sonnet 2,000 in and 10,000 out.
"""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.company import Company
from tokenroll.app import open_reports
from tokenroll.model.instant import MICROS_PER_SECOND

HELLO = "How much is left?"
HAIKU, SONNET = "claude-haiku-4-5-20251001", "claude-sonnet-5-5"
ADMIN = "My Admin API Key"
HOUR, MINUTE = 3_600, 60


def asked_of(model: str, text: str = HELLO) -> dict[str, Any]:
    return {"model": model, "max_tokens": 60, "messages": [{"role": "user", "content": text}]}


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("acme") / "home", moving_clock=True) as running:
        running.clock_to_hour(1)
        begins = running.clock() // MICROS_PER_SECOND // HOUR * HOUR

        def at(seconds):
            running.clock.advance((begins + seconds) * MICROS_PER_SECOND - running.clock())

        running.start_web()
        for name in ("Ada", "Nightly agent"):
            running.hire(name)
        running.hire("Cleo", 0)
        running.key("Cleo", ADMIN, scope="admin")
        agent = running.anthropic("Nightly agent")
        at(10 * MINUTE)
        running.anthropic("Ada").messages.create(
            **asked_of("claude-haiku-4-5"), extra_headers={"x-sim-output-tokens": "20"}
        )
        at(2 * HOUR + 20 * MINUTE)
        agent.messages.create(**asked_of(SONNET), extra_headers={"x-sim-output-tokens": "30"})
        at(2 * HOUR + 21 * MINUTE)
        params = {**asked_of(HAIKU), "metadata": {"sim_output_tokens": "40"}}
        agent.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
        running.until_found("Nightly agent")
        at(4 * HOUR)
        agent.messages.create(**asked_of(SONNET, "x" * 839_936), extra_headers={"x-sim-output-tokens": "50"})
        running.prove()
        yield running
        running.prove()


def midnight(company) -> int:
    return company.clock() // MICROS_PER_SECOND // 86_400 * 86_400


def text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(company, report: str, since: int = 0, **more: Any) -> dict[str, Any]:
    """A page, asked from so many seconds after midnight on."""
    question = {"starting_at": text(midnight(company) + since), **more}
    path = f"/v1/organizations/{report}?{urlencode(question, doseq=True)}"
    status, _, body = company.request("GET", path, None, {"x-api-key": ADMIN})
    assert status == 200, body
    return json.loads(body)


def used(page: dict[str, Any]) -> list[tuple[int, int]]:
    """Input and output tokens of every row."""
    return [
        (row["uncached_input_tokens"], row["output_tokens"]) for bucket in page["data"] for row in bucket["results"]
    ]


def key_of(company, name: str) -> str:
    with open_reports(company.settings) as reports:
        (key,) = reports.keys(name)
    return str(key["key"])


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({}, [(21 + 21 + 21 + 210_000, 20 + 30 + 40 + 50)]),
        ({"models[]": SONNET}, [(21 + 210_000, 30 + 50)]),
        ({"models[]": HAIKU}, [(42, 60)]),
        ({"models[]": [HAIKU, SONNET]}, [(63 + 210_000, 140)]),
        ({"models": SONNET}, [(21 + 210_000, 80)]),
        ({"models[]": "gpt-4o-mini"}, []),
        ({"api_key_ids[]": "Ada"}, [(21, 20)]),
        ({"api_key_ids[]": "Nightly agent"}, [(42 + 210_000, 120)]),
        ({"api_key_ids[]": "apikey_nobody"}, []),
        ({"service_tiers[]": "batch"}, [(21, 40)]),
        ({"service_tiers[]": "standard"}, [(42 + 210_000, 100)]),
        ({"service_tiers[]": ["standard", "batch"]}, [(63 + 210_000, 140)]),
        ({"service_tiers[]": "priority"}, []),
        ({"context_window[]": "200k-1M"}, [(210_000, 50)]),
        ({"context_window[]": "0-200k"}, [(63, 90)]),
        ({"models[]": SONNET, "context_window[]": "0-200k"}, [(21, 30)]),
        ({"models[]": HAIKU, "service_tiers[]": "standard", "api_key_ids[]": "Nightly agent"}, []),
        ({"speeds[]": "fast"}, []),
    ],
)
def test_a_filter_leaves_what_it_names_and_nothing_else(company, filters, rows):
    named = {
        name: key_of(company, value) if isinstance(value, str) and value in company.keys else value
        for name, value in filters.items()
    }
    page = read(company, "usage_report/messages", 0, **named)
    assert used(page) == rows
    assert [bucket["starting_at"] for bucket in page["data"]] == [text(midnight(company))]


@pytest.mark.parametrize(
    ("group", "rows"),
    [
        ("service_tier", [("batch", 21, 40), ("standard", 42 + 210_000, 100)]),
        ("context_window", [("0-200k", 63, 90), ("200k-1M", 210_000, 50)]),
        ("model", [(HAIKU, 42, 60), (SONNET, 21 + 210_000, 80)]),
    ],
)
def test_rows_are_told_apart_by_what_is_grouped(company, group, rows):
    (bucket,) = read(company, "usage_report/messages", 0, **{"group_by[]": group})["data"]
    found = [(row[group], row["uncached_input_tokens"], row["output_tokens"]) for row in bucket["results"]]
    assert sorted(found) == rows


def test_buckets_of_an_hour_are_those_of_the_clock(company):
    page = read(company, "usage_report/messages", since=HOUR + 1_799, bucket_width="1h")  # within the first one's
    begins = midnight(company)
    assert [(one["starting_at"], one["ending_at"]) for one in page["data"]] == [
        (text(begins + hour * HOUR), text(begins + (hour + 1) * HOUR)) for hour in (1, 2, 3, 4, 5)
    ]
    by_hour = [[(row["uncached_input_tokens"], row["output_tokens"]) for row in one["results"]] for one in page["data"]]
    assert by_hour == [[(21, 20)], [], [(42, 70)], [], [(210_000, 50)]]
    assert (page["has_more"], page["next_page"]) == (False, None)


def test_buckets_of_a_minute_are_those_of_the_clock_and_end_where_they_are_told_to(company):
    begins = midnight(company)
    page = read(
        company, "usage_report/messages", since=3 * HOUR + 19 * MINUTE, bucket_width="1m",
        ending_at=text(begins + 3 * HOUR + 22 * MINUTE),
    )  # fmt: skip
    found = [(one["starting_at"], [row["output_tokens"] for row in one["results"]]) for one in page["data"]]
    assert found == [
        (text(begins + 3 * HOUR + 19 * MINUTE), []),
        (text(begins + 3 * HOUR + 20 * MINUTE), [30]),
        (text(begins + 3 * HOUR + 21 * MINUTE), [40]),
    ]


@pytest.mark.parametrize(("width", "default"), [("1m", 60), ("1h", 24), ("1d", 7)])
def test_a_page_has_as_many_buckets_as_the_provider_s(company, width, default):
    page = read(company, "usage_report/messages", since=-30 * 86_400, bucket_width=width)
    assert len(page["data"]) == default
    assert page["has_more"] is True


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_follow_each_other_without_a_gap_under_a_filter(company, limit):
    question: dict[str, Any] = {"since": HOUR, "bucket_width": "1h", "limit": limit, "models[]": SONNET}
    starts: list[str] = []
    rows: list[tuple[int, int]] = []
    page: dict[str, Any] = {"has_more": True, "next_page": None}
    while page["has_more"]:
        more = {"page": page["next_page"]} if page["next_page"] else {}
        page = read(company, "usage_report/messages", **question, **more)
        assert len(page["data"]) <= limit
        starts += [one["starting_at"] for one in page["data"]]
        rows += used(page)
    assert starts == [text(midnight(company) + hour * HOUR) for hour in (1, 2, 3, 4, 5)]
    assert rows == [(21, 30), (210_000, 50)]
    assert page["next_page"] is None


def test_costs_of_each_kind_are_in_cents_to_the_nano(company):
    (bucket,) = read(company, "cost_report", 0, **{"group_by[]": "description"})["data"]
    found = {
        (row["model"], row["service_tier"], row["context_window"], row["token_type"]): row["amount"]
        for row in bucket["results"]
    }
    short = "0-200k"
    assert found == {
        (HAIKU, "standard", short, "uncached_input_tokens"): "0.0021",  # 21 x 1,000 nanos
        (HAIKU, "standard", short, "output_tokens"): "0.01",  # 20 x 5,000
        (HAIKU, "batch", short, "uncached_input_tokens"): "0.00105",
        (HAIKU, "batch", short, "output_tokens"): "0.01",  # 40 x 2,500
        (SONNET, "standard", short, "uncached_input_tokens"): "0.0042",
        (SONNET, "standard", short, "output_tokens"): "0.03",
        (SONNET, "standard", "200k-1M", "uncached_input_tokens"): "42",  # 210,000 x 2,000
        (SONNET, "standard", "200k-1M", "output_tokens"): "0.05",
    }
