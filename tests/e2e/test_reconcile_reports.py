"""Finance lays the provider's own report beside the ledger: the simulated provider's bill, added up as OpenAI and Anthropic answer it.

The provider prices and counts apart (decision 0040), so that what agrees here agrees with somebody else.
"""

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.company import Company
from tests.e2e.burst import Burst, body_of, run
from tokenroll.model.instant import MICROS_PER_SECOND

DAY = 86_400
CREDIT = 1_000_000_000
STREAM = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=True)
SLOW = {"x-sim-output-tokens": "400", "x-sim-interval-us": "100000"}
KEY = "key_production"


@pytest.fixture
def company(tmp_path):
    """Every deployment has a key that reports name; the clock may be moved on, so that a day is over."""
    with Company(tmp_path / "home", moving_clock=True, deployment=f'report_keys = ["{KEY}"]\n') as running:
        running.hire("Ada")
        yield running


def day_start(at: int) -> int:
    return at // MICROS_PER_SECOND // DAY * DAY


def reports(company: Company, folder: Path) -> list[str]:
    """The provider's bill as its usage pages, one file a dialect; fetched two days later, by when the clock is moved on."""
    rows: dict[str, dict[int, dict[tuple[str, str], dict[str, int]]]] = {"openai": {}, "anthropic": {}}
    for line in company.bill():
        sums = rows[line.provider].setdefault(day_start(line.at), {}).setdefault((line.model, line.service_tier), {})
        for name, count in {**line.usage, "calls": 1}.items():
            sums[name] = sums.get(name, 0) + (count or 0)
    folder.mkdir(exist_ok=True)
    files = []
    for provider, days in rows.items():
        data = []
        for start, by_model in sorted(days.items()):
            results = [
                (openai_row if provider == "openai" else anthropic_row)(model, tier, one)
                for (model, tier), one in by_model.items()
            ]
            data.append(bucket(provider, start, results))
        if data:
            path = folder / f"{provider}.json"
            path.write_text(json.dumps({"object": "page", "data": data, "has_more": False, "next_page": None}))
            fetched = company.clock() / MICROS_PER_SECOND
            os.utime(path, (fetched, fetched))
            files.append(str(path))
    return files


def bucket(provider: str, start: int, results: list[dict[str, object]]) -> dict[str, object]:
    if provider == "openai":
        return {"object": "bucket", "start_time": start, "end_time": start + DAY, "results": results}
    at, until = (f"{datetime.fromtimestamp(one, UTC):%Y-%m-%dT%H:%M:%SZ}" for one in (start, start + DAY))
    return {"starting_at": at, "ending_at": until, "results": results}


def openai_row(model: str, tier: str, used: dict[str, int]) -> dict[str, object]:
    cached = used.get("cache_read", 0)
    return {
        "object": "organization.usage.completions.result", "input_tokens": used.get("input", 0) + cached, "input_cached_tokens": cached,
        "output_tokens": used.get("output", 0) + used.get("reasoning", 0), "input_audio_tokens": 0, "output_audio_tokens": 0,
        "num_model_requests": used["calls"], "project_id": "proj_1", "user_id": None, "api_key_id": KEY, "model": model,
        "batch": False, "service_tier": "default" if tier == "standard" else tier,
    }  # fmt: skip


def anthropic_row(model: str, tier: str, used: dict[str, int]) -> dict[str, object]:
    return {
        "uncached_input_tokens": used.get("input", 0), "cache_read_input_tokens": used.get("cache_read", 0),
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.get("cache_write_5m", 0), "ephemeral_1h_input_tokens": used.get("cache_write_1h", 0),
        },
        "output_tokens": used.get("output", 0), "server_tool_use": {"web_search_requests": 0}, "api_key_id": KEY,
        "workspace_id": None, "model": model, "service_tier": tier, "context_window": "0-200k",
    }  # fmt: skip


def ask(company: Company, words: str, **headers: str) -> None:
    company.openai("Ada").chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": words}], max_tokens=50, extra_headers=headers
    )


def two_days_later(company: Company) -> None:
    company.quiet()
    company.clock.advance(2 * DAY * MICROS_PER_SECOND)


def test_a_month_end_with_a_killed_gateway_and_an_answer_without_usage(company, tmp_path):
    """The sums of the provider's own report leave one reading of the killed stream, and another model's of the silent answer."""
    for number in range(3):
        ask(company, f"call {number}")
    company.openai("Ada").chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Say nothing of your usage"}], max_tokens=50,
        extra_headers={"x-sim-fault": "missing-usage"},
    )  # fmt: skip
    company.anthropic("Ada").messages.create(
        model="claude-haiku-4-5", messages=[{"role": "user", "content": "Hello"}], max_tokens=50
    )

    async def story():
        burst = Burst(company.port, [company.raw_chat("Ada", STREAM, SLOW)])
        await burst.until(lambda: burst.pieces[0] >= 4)
        company.end("gateway", signal.SIGKILL)
        return await burst.finish()

    run(story)
    company.start_gateway()
    two_days_later(company)
    files = reports(company, tmp_path / "reports")
    looked = company.tokenroll("reconcile", *files, "--json", code=1)
    why = {line["model"]: line["why"] for line in looked["lines"]}
    assert why == {"gpt-4o-mini": ["checked"], "gpt-4o": ["estimated"], "claude-haiku-4-5": ["agrees"]}
    assert {line["key"] for line in looked["lines"]} == {KEY}
    assert [one["kind"] for one in looked["true_ups"]] == ["estimated", "checked"]
    again = company.tokenroll("reconcile", *files, "--json", code=1)
    assert again == looked  # nothing was booked by looking
    booked = company.tokenroll("reconcile", *files, "--true-up", "all", "--json")
    assert (booked["settled_count"], booked["booked_count"], booked["suspense_count"]) == (1, 1, 0)
    after = company.tokenroll("reconcile", *files, "--json")
    assert {line["model"]: line["why"] for line in after["lines"]} == {
        "gpt-4o-mini": ["agrees"], "gpt-4o": ["trued_up"], "claude-haiku-4-5": ["agrees"],
    }  # fmt: skip
    assert after["true_ups"] == []
    assert {line["difference_cost"]["amount"] for line in after["lines"]} == {"0.000000000"}
    assert company.tokenroll("reconcile", *files, "--true-up", looked["true_ups"][0]["id"], "--json")["true_ups"] == []
    assert company.ledger_verify()["holds"] is True
    # what wallets spent and what the company carries of estimates is what the provider bills, to the nano
    billed = sum(line.cost_nanos for line in company.bill())
    variance = sum(one["booked_cost"]["amount"] != "0.000000000" for one in after["lines"])
    assert variance == 1
    told = sum(int(one["ledger_cost"]["amount"].replace(".", "")) for one in after["lines"])
    assert told == billed


def test_a_key_of_somebody_else_and_a_report_of_today_are_told(company, tmp_path):
    ask(company, "Hello")
    company.quiet()
    (path,) = reports(company, tmp_path / "reports")
    said = company.tokenroll("reconcile", path, "--json")
    assert (said["lines"], len(said["days_not_judged"])) == ([], 1)
    two_days_later(company)
    (path,) = reports(company, tmp_path / "reports")
    page = json.loads(Path(path).read_text())
    page["data"][0]["results"].append(
        openai_row("gpt-4o-mini", "standard", {"input": 9, "output": 9, "calls": 1}) | {"api_key_id": "key_laptop"}
    )
    Path(path).write_text(json.dumps(page))
    fetched = company.clock() / MICROS_PER_SECOND
    os.utime(path, (fetched, fetched))
    said = company.tokenroll("reconcile", path, "--json", code=1)
    assert [(line["key"], line["why"]) for line in said["lines"]] == [("key_laptop", ["key"]), (KEY, ["agrees"])]
