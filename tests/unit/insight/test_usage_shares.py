"""Ada's and Bo's usage summed by any of its names."""

from datetime import date
from zoneinfo import ZoneInfo

from tokenroll.insight.seats import Seat, seat_choices
from tokenroll.insight.usage_shares import days, hours_of_week, shares, total
from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent

FRIDAY_2300_UTC = 1_767_999_600_000_000  # 2026-01-09T23:00:00Z, a Friday
HOUR = 3_600_000_000
DAY = 24 * HOUR


def used(member: str, at: int, cost_nanos: int | None, provider: str = "anthropic") -> UsageEvent:
    return UsageEvent(
        source="claude-code",
        event_id=f"{member}{at}{provider}",
        admitted_at=at,
        provider=provider,
        requested_model="model",
        member=member,
        usage=Usage(input_tokens=10, cache_read_tokens=5, output_tokens=2, reasoning_tokens=1),
        list_cost_nanos=cost_nanos,
    )


EVENTS = [
    used("Ada", FRIDAY_2300_UTC, 100),
    used("Bo", FRIDAY_2300_UTC + 2 * DAY, 700),
    used("Ada", FRIDAY_2300_UTC + 2 * DAY, 50),
    used("", FRIDAY_2300_UTC, None),
]


def test_the_dearest_stands_first_and_what_is_not_told_is_one_part():
    parts = [
        (one.name, one.call_count, one.unpriced_count, one.list_cost_nanos)
        for one in shares(EVENTS, lambda one: one.member)
    ]
    assert parts == [("Bo", 1, 0, 700), ("Ada", 2, 0, 150), ("(not told)", 1, 1, 0)]
    whole = total(EVENTS)
    assert (whole.input_tokens, whole.cache_read_tokens, whole.output_tokens, whole.list_cost_nanos) == (
        60,
        20,
        12,
        850,
    )


def test_days_are_those_of_the_reader_and_empty_ones_are_there():
    found = [(day.on, day.call_count, day.list_cost_nanos) for day in days(EVENTS, ZoneInfo("UTC"))]
    assert found == [(date(2026, 1, 9), 2, 100), (date(2026, 1, 10), 0, 0), (date(2026, 1, 11), 2, 750)]
    in_rome = [day.on for day in days(EVENTS, ZoneInfo("Europe/Rome"))]
    assert in_rome == [date(2026, 1, 10), date(2026, 1, 11), date(2026, 1, 12)]


def test_hours_are_those_of_the_readers_week():
    grid = hours_of_week(EVENTS, ZoneInfo("Europe/Rome"))
    assert (grid[5][0], grid[0][0]) == (100, 750)
    assert sum(map(sum, grid)) == 850


def test_a_seat_is_compared_with_the_months_of_its_own_provider():
    seats = [Seat(name="Pro", provider="anthropic", month_nanos=120), Seat(name="Team", provider="", month_nanos=600)]
    both = [*EVENTS, used("Bo", FRIDAY_2300_UTC + 40 * DAY, 30, provider="openai")]
    team, pro = seat_choices(both, seats, ZoneInfo("UTC"))
    # Ada and Bo in January and whoever is not told: three member-months of Anthropic, one more with OpenAI
    assert (pro.month_count, pro.above_count, pro.list_cost_nanos, pro.seat_cost_nanos, pro.saved_nanos) == (
        3,
        2,
        850,
        360,
        490,
    )
    assert (team.month_count, team.above_count, team.list_cost_nanos, team.saved_nanos) == (4, 1, 880, -1520)


def test_a_seat_for_what_nobody_used_is_left_out():
    assert seat_choices(EVENTS, [Seat(name="Plus", provider="openai", month_nanos=20)], ZoneInfo("UTC")) == ()
