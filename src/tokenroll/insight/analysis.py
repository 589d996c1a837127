"""The answers of `tokenroll analyse`: who, what, cost at list, what looks wasted, seats or metered, in one frozen sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from operator import attrgetter
from typing import Final

from tokenroll.insight.broken_meters import MeterAnomaly, meter_anomalies
from tokenroll.insight.log_waste import Waste, log_waste
from tokenroll.insight.month_ahead import MonthAhead, month_ahead
from tokenroll.insight.pictures import Amount
from tokenroll.insight.seats import Seat, SeatChoice, seat_choices
from tokenroll.insight.usage_shares import (
    UNKNOWN,
    Day,
    PricedEvent,
    Share,
    counts_of,
    days,
    hours_of_week,
    local,
    shares,
    total,
)
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.model.instant import Instant
from tokenroll.model.limits import PEOPLE_TOLD_MIN
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import Meter
from tokenroll.model.usage_event import Billing, UsageEvent

FAST: Final = "fast"
"""The tag of a call in a mode that costs a multiple of the standard price, of which price tables say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What a pile of usage says. Amounts are nanos of USD at list price; days and hours are those of `zone`."""

    zone: str
    first_at: Instant
    last_at: Instant
    session_count: int
    seat_call_count: int
    fast_call_count: int
    total: Share
    counts: Mapping[Meter, int]
    by_member: tuple[Share, ...]
    by_model: tuple[Share, ...]
    by_project: tuple[Share, ...]
    by_source: tuple[Share, ...]
    by_month: tuple[Share, ...]
    days: tuple[Day, ...]
    hours_of_week: tuple[tuple[int, ...], ...] | None
    """None where two people or a few more are in it, whose hours it would tell to each other (law 10)."""
    member_count: int
    model_days: tuple[Amount, ...]
    waste: Waste
    seats: tuple[SeatChoice, ...]
    unpriced_models: tuple[Share, ...]
    meters: tuple[MeterAnomaly, ...]
    cost_ahead: MonthAhead | None
    tokens_ahead: MonthAhead | None


def analysed(
    priced: Sequence[PricedEvent],
    zone: tzinfo,
    zone_name: str,
    seats: Sequence[Seat],
    small_models: Mapping[str, Rates],
) -> Analysis:
    """The analysis of at least one event. Raises ValueError for none.

    Calls whose meter cannot be right are in every sum, and in nothing that is said of waste, of seats and of the month ahead.
    """
    if not priced:
        message = "there is no usage to analyse"
        raise ValueError(message)
    events = [one.event for one in priced]
    by_day = days(events, zone)
    meters = meter_anomalies(priced)
    broken = {(one.source, one.event_id) for one in meters}
    sound = [one for one in priced if (one.event.source, one.event.event_id) not in broken]
    past = _whole_days(by_day, days([one.event for one in sound], zone))
    member_count = len({event.member for event in events})
    last_on = by_day[-1].on - timedelta(days=1)
    admitted = [event.admitted_at for event in events]
    return Analysis(
        zone=zone_name,
        first_at=min(admitted),
        last_at=max(admitted),
        session_count=len({event.session or event.event_id for event in events}),
        seat_call_count=sum(1 for event in events if event.billing is Billing.SEAT),
        fast_call_count=sum(1 for event in events if FAST in event.tags),
        total=total(events),
        counts=counts_of(events),
        by_member=shares(events, attrgetter("member")),
        by_model=shares(events, attrgetter("model")),
        by_project=shares(events, attrgetter("project")),
        by_source=shares(events, attrgetter("source")),
        by_month=tuple(
            sorted(shares(events, lambda event: f"{local(event.admitted_at, zone):%Y-%m}"), key=attrgetter("name"))
        ),
        days=by_day,
        hours_of_week=hours_of_week(events, zone) if may_tell_habits(member_count) else None,
        member_count=member_count,
        model_days=_model_days(events, zone),
        waste=log_waste(sound, small_models),
        seats=seat_choices([one.event for one in sound], seats, zone),
        meters=meters,
        cost_ahead=month_ahead([day.list_cost_nanos / NANOS_PER_CREDIT for day in past], last_on),
        tokens_ahead=month_ahead([float(day.model_tokens) for day in past], last_on),
        unpriced_models=tuple(
            one for one in shares((event for event in events if event.list_cost_nanos is None), attrgetter("model"))
        ),
    )


def may_tell_habits(member_count: int) -> bool:
    """Whether hours may be told of so many people together: of oneself, or of enough that nobody is told alone (law 10)."""
    return member_count <= 1 or member_count >= PEOPLE_TOLD_MIN


def _whole_days(found: Sequence[Day], sound: Sequence[Day]) -> list[Day]:
    """What a forecast learns from: each day without what is quarantined, and without the last one, which may not be over."""
    known = {day.on: day for day in sound}
    return [known.get(day.on, Day(on=day.on, call_count=0, model_tokens=0, list_cost_nanos=0)) for day in found[:-1]]


def _model_days(events: Sequence[UsageEvent], zone: tzinfo) -> tuple[Amount, ...]:
    sums: dict[tuple[date, str], int] = {}
    for event in events:
        key = (local(event.admitted_at, zone).date(), event.model or UNKNOWN)
        sums[key] = sums.get(key, 0) + (event.list_cost_nanos or 0)
    return tuple(Amount(on=on, name=name, nanos=nanos) for (on, name), nanos in sorted(sums.items()))
