from zoneinfo import ZoneInfo

import pytest

from tests.cast import CREDIT, HOUR, T0, utc
from tests.unit.model.test_limit import ada_daily
from tokenroll.engine.limiting import (
    Verdict,
    cap_at,
    counted_for,
    frees_at,
    holds_at,
    judge,
    part_micros,
    raised_by,
    window_at,
)
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.limit import Degrade, LimitMeasure, LimitOverride, WindowKind
from tokenroll.model.usage import Usage

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("kind", "zone", "at", "start", "end"),
    [
        (WindowKind.MINUTE, BERLIN, "2026-03-04T10:17:05", "2026-03-04T10:17", "2026-03-04T10:18"),
        (WindowKind.MINUTE, KOLKATA, "2026-03-04T10:18", "2026-03-04T10:18", "2026-03-04T10:19"),
        (WindowKind.HOUR, BERLIN, "2026-03-04T10:17:05", "2026-03-04T10:00", "2026-03-04T11:00"),
        (WindowKind.HOUR, KOLKATA, "2026-03-04T10:17:05", "2026-03-04T09:30", "2026-03-04T10:30"),
        (WindowKind.DAY, BERLIN, "2026-03-04T22:59:59", "2026-03-03T23:00", "2026-03-04T23:00"),
        (WindowKind.DAY, BERLIN, "2026-03-04T23:00", "2026-03-04T23:00", "2026-03-05T23:00"),
        (WindowKind.DAY, BERLIN, "2026-03-29T10:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours long
        (WindowKind.DAY, BERLIN, "2026-10-25T10:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours long
        (WindowKind.WEEK, BERLIN, "2026-03-04T10:00", "2026-03-01T23:00", "2026-03-08T23:00"),  # Monday to Monday
        (WindowKind.CYCLE, BERLIN, "2026-03-04T10:00", "2026-02-28T23:00", "2026-03-31T22:00"),
    ],
)
def test_calendar_windows_begin_by_the_wall_clock(kind, zone, at, start, end):
    window = window_at(kind, 0, utc(at), zone)
    assert (window.start_at, window.counted_from, window.turns_at) == (utc(start), utc(start), utc(end))


def test_a_rolling_window_of_five_hours_counts_in_parts_of_five_minutes():
    window = window_at(WindowKind.ROLLING, 18_000, utc("2026-03-04T10:17:05"), BERLIN)
    assert part_micros(5 * HOUR) == HOUR // 12
    assert window.start_at == utc("2026-03-04T10:15")
    assert window.turns_at == utc("2026-03-04T10:20")
    # what was counted from 05:15 to 05:20 may have been at 05:19, which is less than five hours ago
    assert window.counted_from == utc("2026-03-04T05:15")
    assert frees_at(WindowKind.ROLLING, 18_000, window.start_at, window.turns_at) == utc("2026-03-04T15:20")
    assert frees_at(WindowKind.ROLLING, 18_000, window.counted_from, window.turns_at) == utc("2026-03-04T10:20")
    assert frees_at(WindowKind.DAY, 0, 1, 2) == 2


def test_a_rolling_window_that_sixty_does_not_divide_counts_a_little_longer_never_shorter():
    window = window_at(WindowKind.ROLLING, 61, 100_000_000, BERLIN)
    part = part_micros(61_000_000)  # 1,016,667 microseconds
    assert part == 1_016_667
    assert window.start_at == 98 * part
    assert window.counted_from <= window.start_at - 61_000_000 < window.counted_from + part


def test_an_override_holds_for_its_time_and_the_newest_decides():
    limit = ada_daily()
    first = LimitOverride(id=1, limit_id=1, cap=50 * CREDIT, effective_at=T0 + HOUR, expires_at=T0 + 4 * HOUR)
    newer = LimitOverride(id=2, limit_id=1, cap=5 * CREDIT, effective_at=T0 + 2 * HOUR, expires_at=T0 + 3 * HOUR)
    caps = [cap_at(limit, [first, newer], T0 + hours * HOUR) // CREDIT for hours in range(5)]
    assert caps == [20, 50, 5, 50, 20]


def test_a_limit_holds_from_its_date_until_its_end():
    limit = ada_daily(expires_at=T0 + HOUR)
    assert [holds_at(limit, T0 + micros) for micros in (-1, 0, HOUR - 1, HOUR)] == [False, True, True, False]
    assert holds_at(ada_daily(), T0 + 10**15)


@pytest.mark.parametrize(
    ("measure", "raised", "settled"),
    [
        (LimitMeasure.CREDITS, 7_596_000, 4_500_000),
        (LimitMeasure.CALLS, 1, 1),
        (LimitMeasure.MODEL_TOKENS, 1_116, 1_080),
        (LimitMeasure.INPUT_TOKENS, 1_016, 330),
        (LimitMeasure.OUTPUT_TOKENS, 100, 50),
    ],
)
def test_it_raises_by_the_bound_and_counts_what_it_came_to(measure, raised, settled):
    """Input counts what was fresh and what was written to the cache, never what was read of it; thinking is output."""
    usage = Usage(
        input_tokens=200,
        cache_read_tokens=700,
        cache_write_5m_tokens=100,
        cache_write_1h_tokens=30,
        output_tokens=40,
        reasoning_tokens=10,
        request_count=1,
        web_search_count=9,
    )
    assert raised_by(measure, 7_596_000, 1_016, 100) == raised
    assert counted_for(measure, 4_500_000, usage.counts) == settled


@pytest.mark.parametrize(
    ("changes", "amount", "verdict"),
    [
        ({}, 5, Verdict.FITS),
        ({}, 6, Verdict.REFUSED),
        ({"enforcement": Enforcement.OBSERVE}, 6, Verdict.WOULD_DENY),
        ({"enforcement": Enforcement.WARN}, 6, Verdict.WOULD_DENY),
        ({"degrade": Degrade.OVERAGE, "overage": 3}, 8, Verdict.OVERAGE),
        ({"degrade": Degrade.OVERAGE, "overage": 3}, 9, Verdict.REFUSED),
        ({"degrade": Degrade.CLAMP}, 6, Verdict.REFUSED),
    ],
)
def test_the_verdict_on_a_call_when_fifteen_of_twenty_are_used(changes, amount, verdict):
    assert judge(ada_daily(cap=20, **changes), 20, 15, amount) is verdict
