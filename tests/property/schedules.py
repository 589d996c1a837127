"""Every kind of vesting schedule, for properties."""

from datetime import date, timedelta

from hypothesis import strategies as st

from tokenroll.model.vesting import AllocationType, DatedShare, EventShare, Period, PeriodUnit, Vesting, VestingKind

UNITS = st.sampled_from([1, 7, 1_000_000_000])
EVERY_ALLOCATION = st.sampled_from(AllocationType)
_OF_WEIGHTS = st.sampled_from([
    AllocationType.CUMULATIVE_ROUND_DOWN,
    AllocationType.CUMULATIVE_ROUNDING,
    AllocationType.FRACTIONAL,
])  # fmt: skip


@st.composite
def periodic(draw, occurrences_max=48):
    period = Period(count=draw(st.integers(1, 12)), unit=draw(st.sampled_from(PeriodUnit)))
    occurrences = draw(st.integers(1, occurrences_max))
    return Vesting(
        kind=VestingKind.PERIODIC,
        period=period,
        occurrences=occurrences,
        cliff_occurrences=draw(st.integers(0, occurrences)),
        day_of_month=draw(st.integers(0, 31)) if period.unit is PeriodUnit.MONTH else 0,
        allocation=draw(EVERY_ALLOCATION),
        unit_nanos=draw(UNITS),
    )


@st.composite
def dated(draw):
    first = draw(st.dates(date(1990, 1, 1), date(2039, 1, 1)))
    gaps = draw(st.lists(st.integers(1, 400), max_size=8))
    days = [first + timedelta(days=sum(gaps[:count])) for count in range(len(gaps) + 1)]
    weights = [draw(st.integers(1, 10**9)) for _ in days]
    shares = tuple(DatedShare(on=on, weight=weight) for on, weight in zip(days, weights, strict=True))
    return Vesting(kind=VestingKind.DATED, shares=shares, allocation=draw(_OF_WEIGHTS), unit_nanos=draw(UNITS))


@st.composite
def by_events(draw):
    weights = draw(st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
    events = tuple(EventShare(event=f"milestone {number}", weight=weight) for number, weight in enumerate(weights, 1))
    return Vesting(kind=VestingKind.EVENT, events=events, allocation=draw(_OF_WEIGHTS), unit_nanos=draw(UNITS))


def schedules(occurrences_max=48):
    return st.just(Vesting()) | periodic(occurrences_max) | dated() | by_events()
