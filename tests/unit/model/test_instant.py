from datetime import UTC, datetime, timedelta, timezone

import pytest

from tokenroll.model.instant import (
    INSTANT_MAX,
    datetime_from_instant,
    instant_from_datetime,
    instant_from_text,
    text_from_instant,
)


def test_it_counts_microseconds_since_1970():
    assert instant_from_datetime(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005


def test_it_forgets_the_zone_and_keeps_the_moment():
    nine_in_berlin = datetime(2026, 1, 31, 9, tzinfo=timezone(timedelta(hours=1)))
    assert text_from_instant(instant_from_datetime(nine_in_berlin)) == "2026-01-31T08:00:00Z"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_500_000, "1970-01-01T00:00:01.5Z"),
        (-1_000_000, "1969-12-31T23:59:59Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
        (INSTANT_MAX, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_it_is_written_and_read_back(at, text):
    assert text_from_instant(at) == text
    assert instant_from_text(text) == at


def test_it_reads_other_offsets():
    assert instant_from_text("1970-01-01T01:00:00+01:00") == 0


def test_it_refuses_to_guess_a_zone():
    with pytest.raises(ValueError, match="has no time zone"):
        instant_from_text("2026-01-31T09:00:00")


def test_it_turns_into_an_aware_datetime():
    assert datetime_from_instant(1_704_067_200_000_000) == datetime(2024, 1, 1, tzinfo=UTC)
