"""Report files become sums by day, model and key; a day counts when the files tell all of it."""

import json
import os
from pathlib import Path

import pytest

from tests.cast import make_card, utc
from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.services.importers.columns import column_map_from_toml
from tokenroll.services.importers.detecting import UsageFile
from tokenroll.services.importers.intake import SourceError
from tokenroll.services.list_prices import ListPrices
from tokenroll.services.report_reading import KeyNames, ModelNames, read_reports

MARCH = utc("2026-03-01T00:00")
MONDAY = 1_770_076_800
"""2026-02-03T00:00:00Z in seconds."""
HOUR = 3_600
NAMES = ModelNames(
    ListPrices(
        [make_card(provider="openai", model="gpt-4o", aliases=("gpt-4o-2024-08-06",)), make_card(model="sonnet")]
    )
)


def read(*paths: Path, keys=(), now=MARCH, column_map=None):
    return read_reports([UsageFile(path, "") for path in paths], KeyNames(keys), NAMES, now, column_map)


def row(tokens_in, tokens_out=0, **told):
    return {
        "object": "organization.usage.completions.result", "input_tokens": tokens_in, "input_cached_tokens": 0, "output_tokens": tokens_out,
        "num_model_requests": 1, "api_key_id": "key_1", "model": "gpt-4o-2024-08-06", "batch": False, **told,
    }  # fmt: skip


def pages(path, *buckets):
    data = [
        {"object": "bucket", "start_time": at, "end_time": until, "results": list(rows)} for at, until, *rows in buckets
    ]
    path.write_text(json.dumps({"object": "page", "data": data, "has_more": False, "next_page": None}))
    return path


def hours(first, last, *rows):
    """Buckets of an hour from Monday's midnight on, all with the same rows."""
    return [(MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR, *rows) for hour in range(first, last)]


def test_hours_of_several_pages_are_a_day_once_all_are_there(tmp_path):
    one = pages(tmp_path / "1.json", *hours(0, 13, row(10)))
    two = pages(tmp_path / "2.json", *hours(13, 23, row(10)))
    found = read(one, two)
    assert (found.told, found.partial_days) == ([], {"openai": {"2026-02-03"}})
    pages(tmp_path / "3.json", (MONDAY + 23 * HOUR, MONDAY + 24 * HOUR))  # an hour in which nothing was used
    (told,) = read(one, two, tmp_path / "3.json", one).told  # the first one was given twice
    assert told.part[:4] == ("2026-02-03", "openai", "gpt-4o", "")
    assert told.tiers["standard"][METER_INDEX[Meter.INPUT]] == 230
    assert told.request_count == 23


def test_a_day_that_was_not_over_when_the_file_was_fetched_is_not_whole(tmp_path):
    path = pages(tmp_path / "usage.json", (MONDAY, MONDAY + 24 * HOUR, row(10)))
    os.utime(path, (MONDAY + 20 * HOUR, MONDAY + 20 * HOUR))
    assert read(path).told == []
    os.utime(path, (MONDAY + 24 * HOUR, MONDAY + 24 * HOUR))
    assert len(read(path).told) == 1
    assert read(path, now=(MONDAY + 24 * HOUR) * 10**6 - 1).told == []


def test_of_a_bucket_that_is_told_twice_the_fullest_telling_counts(tmp_path):
    early = pages(tmp_path / "early.json", (MONDAY, MONDAY + 24 * HOUR, row(10, 1)))
    late = pages(tmp_path / "late.json", (MONDAY, MONDAY + 24 * HOUR, row(30, 3)))
    for files in ((early, late), (late, early)):
        (told,) = read(*files).told
        assert told.tiers["standard"][METER_INDEX[Meter.INPUT]] == 30


def test_keys_are_told_apart_once_one_is_named(tmp_path):
    path = pages(
        tmp_path / "usage.json",
        (MONDAY, MONDAY + 24 * HOUR, row(1), row(2, api_key_id="key_2"), row(4, api_key_id="key_3")),
    )
    assert [told.part.key for told in read(path).told] == [""]
    keys = [("openai", "eu", ("key_1", "production")), ("openai", "us", ("key_1",)), ("openai", "batch", ("key_2",))]
    found = {told.part.key: (told.part.deployments, told.is_known_key) for told in read(path, keys=keys).told}
    assert found == {"key_1": (("eu", "us"), True), "key_2": (("batch",), True), "key_3": ((), False)}


def test_a_key_itself_in_a_report_or_in_the_settings_is_known_by_its_hash(tmp_path):
    secret = "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
    path = pages(tmp_path / "usage.json", (MONDAY, MONDAY + 24 * HOUR, row(1, api_key_id=secret)))
    (told,) = read(path, keys=[("openai", "eu", (secret,))]).told
    assert told.part.deployments == ("eu",)
    assert "4f9a" not in told.part.key


def test_a_table_of_days_is_whole_from_its_first_to_its_last(tmp_path):
    table = tmp_path / "claude.csv"
    table.write_text(
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count\n"
        "2026-02-03,sonnet,production,Atlas,standard,≤ 200k,100,0,0,0,7,0\n"
        "2026-02-05,sonnet,production,Atlas,standard,≤ 200k,300,0,0,0,9,0\n"
    )
    found = read(table)
    assert [(told.part.day, told.tiers["standard"][METER_INDEX[Meter.INPUT]]) for told in found.told] == [
        ("2026-02-03", 100),
        ("2026-02-05", 300),
    ]
    assert found.whole_days == {"anthropic": {"2026-02-03", "2026-02-04", "2026-02-05"}}
    assert {told.request_count for told in found.told} == {None}


def test_a_table_of_moments_is_whole_between_its_first_day_and_its_last(tmp_path):
    table = tmp_path / "calls.csv"
    table.write_text(
        "when,model,in,cost\n2026-02-03T08:00:00Z,gpt-4o,10,0.01\n2026-02-04T08:00:00Z,gpt-4o,20,0.02\n2026-02-05T08:00:00Z,gpt-4o,30,0.03\n"
    )
    mapping = column_map_from_toml(
        'source = "house"\nprovider = "openai"\n[columns]\ntime = "when"\nmodel = "model"\ninput_tokens = "in"\nbilled_cost = "cost"\n'
    )
    found = read(table, column_map=mapping)
    assert [(told.part.day, told.cost_nanos, told.step_nanos, told.row_count) for told in found.told] == [
        ("2026-02-04", 20_000_000, 10_000_000, 1)
    ]
    assert found.partial_days == {"openai": {"2026-02-03", "2026-02-05"}}


def test_a_line_item_is_its_model_and_a_row_of_a_month_is_of_no_day(tmp_path):
    cost = {"object": "organization.costs.result", "amount": {"value": 0.0625, "currency": "usd"}, "project_id": "p"}
    items = [cost | {"line_item": f"gpt-4o-2024-08-06, {what}"} for what in ("input", "output")]
    path = pages(tmp_path / "costs.json", (MONDAY, MONDAY + 24 * HOUR, *items), (MONDAY, MONDAY + 720 * HOUR, items[0]))
    found = read(path)
    (told,) = found.told
    assert (told.part.model, told.cost_nanos, told.row_count, told.step_nanos) == ("gpt-4o", 125_000_000, 2, 100_000)
    assert found.long_count == 1


def test_a_file_with_a_row_that_cannot_be_read_is_not_compared(tmp_path):
    path = pages(tmp_path / "usage.json", (MONDAY, MONDAY + 24 * HOUR, row(1), row(-1)))
    with pytest.raises(SourceError, match=r"1 rows of .* cannot be read, so nothing is compared; line 1"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("spend.json", '[{"request_id": "1", "call_type": "acompletion", "spend": 0.1, "total_tokens": 3, "startTime": "2026-02-03T08:00:00Z"}]'),
        ("day.json", json.dumps({"data": [{"date": "2026-02-03T00:00:00Z", "actor": {"email_address": "ada@x"}, "customer_type": "api",
                     "model_breakdown": [{"model": "sonnet", "tokens": {"input": 1, "output": 1}}]}], "has_more": False})),
    ],
)  # fmt: skip
def test_who_is_no_provider_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match="is no report of a provider"):
        read(tmp_path / name)
