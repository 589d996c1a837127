"""How usage reports are worded: which endpoint's calls are told where, and amounts in cents."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tokenroll.api.anthropic_usage import cents
from tokenroll.api.openai_usage import KINDS, _line_items, _work
from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.store.usage_rollups import UsageSum


@pytest.mark.parametrize(
    ("path", "report"),
    [
        (b"/v1/chat/completions", "completions"),
        (b"/v1/responses", "completions"),
        (b"/v1/completions", "completions"),
        (b"/v1/embeddings", "embeddings"),
        (b"/v1/moderations", "moderations"),
        (b"/v1/images/generations", "images"),
        (b"/v1/images/edits", "images"),
        (b"/v1/audio/speech", "audio_speeches"),
        (b"/v1/audio/transcriptions", "audio_transcriptions"),
        (b"/v1/audio/translations", "audio_transcriptions"),
        (b"/v1/rerank", None),
        (b"/v2/rerank", None),
        (b"/v1/fine_tuning/jobs", None),
    ],
)
def test_an_endpoint_s_calls_are_told_at_one_report_of_requests(path, report):
    work = _work(cast("Any", SimpleNamespace(path=path)))
    of_calls = [name for name, kind in KINDS.items() if work in kind.works and not name.endswith("_calls")]
    assert of_calls == ([report] if report else [])


def summed(**counts):
    one = UsageSum()
    one.add(2, 0, [(METER_INDEX[Meter(name)], 1, count, 0) for name, count in counts.items()])
    return one


@pytest.mark.parametrize(
    ("report", "counts", "figures"),
    [
        ("images", {"image": 3, "output_image": 900}, {"images": 3, "num_model_requests": 2}),
        ("images", {"input": 10, "output_image": 544}, {"images": 0, "num_model_requests": 2}),
        ("audio_speeches", {"character": 70}, {"characters": 70, "num_model_requests": 2}),
        ("audio_transcriptions", {"audio_second": 61}, {"seconds": 61, "num_model_requests": 2}),
        ("web_search_calls", {"web_search": 4, "input": 9}, {"num_requests": 4, "num_model_requests": 1}),
        ("file_search_calls", {"file_search": 5}, {"num_requests": 5}),
    ],
)
def test_what_is_not_counted_in_tokens_has_its_own_words(report, counts, figures):
    assert KINDS[report].figures(summed(**counts)) == figures


def test_cached_input_is_part_of_input():
    figures = KINDS["completions"].figures(
        summed(input=100, cache_read=40, cache_write_5m=7, cache_write_1h=3, input_audio=20, output=5, reasoning=6)
    )
    assert figures["input_tokens"] == 170
    assert figures["input_cached_tokens"] == 40
    assert figures["input_cache_write_tokens"] == 10
    assert figures["input_uncached_tokens"] == 120
    assert (figures["input_text_tokens"], figures["input_audio_tokens"]) == (100, 20)
    assert (figures["output_tokens"], figures["output_text_tokens"]) == (11, 11)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0"), (1, "0.0000001"), (10_000_000, "1"), (1_234_500_000, "123.45"), (10**18, "100000000000")],
)
def test_cents_are_exact(nanos, text):
    assert cents(nanos) == text


def test_what_was_trained_is_a_line_of_costs():
    one = UsageSum()
    one.add(1, 2_340_000, [(METER_INDEX[Meter.TRAINING], 1, 780, 2_340_000)])
    assert list(_line_items("gpt-4o-mini", one)) == [("gpt-4o-mini, training", 2_340_000, 780, "tokens")]
