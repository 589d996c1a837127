from dataclasses import fields

import pytest

from tokenroll.model.usage import (
    INPUT_METERS,
    METER_INDEX,
    METERS,
    OUTPUT_METERS,
    TALK_METER_COUNT,
    Meter,
    Usage,
    UsageSource,
)


def test_what_is_not_reported_is_not_zero():
    usage = Usage(input_tokens=12, output_tokens=0)
    assert usage.output_tokens == 0
    assert usage.reasoning_tokens is None
    assert usage != Usage(input_tokens=12)


def test_its_counts_stand_in_the_order_of_the_meters():
    usage = Usage(input_tokens=1, cache_write_1h_tokens=4, reasoning_tokens=8, code_second_count=15)
    assert usage.counts == (1, None, None, 4, None, None, None, 8, None, None, None, None, None, None, 15, *[None] * 5)
    assert Usage.from_counts(usage.counts) == usage


def test_the_order_is_what_old_records_count_on():
    assert [meter.value for meter in METERS] == [
        "input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "input_image",
        "output", "reasoning", "output_audio", "output_image",
        "request", "web_search", "web_fetch", "file_search", "code_second",
        "search_unit", "image", "character", "audio_second", "training",
    ]  # fmt: skip
    assert METER_INDEX[Meter.CODE_SECOND] == 14


def test_a_call_of_text_keeps_no_places_for_what_it_never_meets():
    counts = (1, *[None] * 9, 1, *[None] * 4)
    assert len(counts) == TALK_METER_COUNT
    assert Usage.from_counts(counts) == Usage(input_tokens=1, request_count=1)


def test_every_field_is_named_after_its_meter():
    assert [one.name.rpartition("_")[0] for one in fields(Usage)] == [meter.value for meter in METERS]


def test_input_and_output_share_no_meter():
    assert set(INPUT_METERS).isdisjoint(OUTPUT_METERS)
    assert len(INPUT_METERS) + len(OUTPUT_METERS) == 10


@pytest.mark.parametrize("count", [-1, 10**12 + 1, 1.0, True, "1"])
def test_a_broken_report_is_refused(count):
    with pytest.raises(ValueError, match="usage input_tokens must be 0 to 1000000000000"):
        Usage(input_tokens=count)


def test_a_record_of_another_length_is_refused():
    with pytest.raises(ValueError, match="15 or 20 counts, not 2"):
        Usage.from_counts((1, 2))


def test_only_reported_is_the_providers_own_word():
    assert [one.value for one in UsageSource] == ["reported", "estimated", "bill"]
