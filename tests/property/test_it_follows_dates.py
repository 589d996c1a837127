"""Law 9: dates, not jobs. Asking often, late, twice or backwards gives the same answer; dateutil agrees about months."""

from datetime import UTC
from fractions import Fraction
from zoneinfo import ZoneInfo

from dateutil import tz
from dateutil.relativedelta import relativedelta
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cast import DAY, make_grant, monthly, utc
from tests.property.schedules import EVERY_ALLOCATION, schedules
from tokenroll.engine import calendar, vesting
from tokenroll.engine.allocating import allocate
from tokenroll.engine.balance import balance_at
from tokenroll.model.instant import datetime_from_instant, instant_from_datetime
from tokenroll.model.lot import LotState
from tokenroll.model.vesting import AWAITED_AT, AllocationType, Period, PeriodUnit, VestingKind

ZONES = st.sampled_from([
    "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Asuncion", "Asia/Kolkata", "Pacific/Apia",
    "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "America/Scoresbysund",
]).map(ZoneInfo)  # fmt: skip
INSTANTS = st.integers(utc("1990-01-01"), utc("2040-01-01"))


def oracle(anchor, zone, step):
    """dateutil's own months, days and imaginary times; its sums forget which of two equal wall times it was."""
    local = datetime_from_instant(anchor).astimezone(zone)
    stepped = tz.resolve_imaginary((local + step).replace(fold=local.fold))
    return instant_from_datetime(stepped.astimezone(UTC))


@given(anchor=INSTANTS, months=st.integers(-240, 240), zone=ZONES)
@example(anchor=utc("2026-01-29T01:30"), months=2, zone=ZoneInfo("Europe/Berlin"))
@example(anchor=utc("2026-10-25T01:30"), months=0, zone=ZoneInfo("Europe/Berlin"))
@example(anchor=utc("2026-10-25T01:30"), months=5, zone=ZoneInfo("Europe/Berlin"))
def test_months_are_dateutils(anchor, months, zone):
    assert calendar.month_step(anchor, months, zone) == oracle(anchor, zone, relativedelta(months=months))


@given(anchor=INSTANTS, n=st.integers(0, 20), count=st.integers(1, 90), zone=ZONES)
def test_days_are_dateutils(anchor, n, count, zone):
    period = Period(count=count, unit=PeriodUnit.DAY)
    assert calendar.period_step(anchor, n, period, zone) == oracle(anchor, zone, relativedelta(days=n * count))


@given(anchor=INSTANTS, months=st.integers(0, 60), zone=ZONES)
def test_later_steps_are_later(anchor, months, zone):
    assert calendar.month_step(anchor, months, zone) < calendar.month_step(anchor, months + 1, zone)


@given(at=INSTANTS, zone=ZONES)
def test_every_instant_is_in_exactly_one_cycle(at, zone):
    cycle = calendar.month_cycle_at(at, zone.key, zone)
    assert cycle.start_at <= at < cycle.end_until
    for inside in (cycle.start_at, cycle.end_until - 1):
        assert calendar.month_cycle_at(inside, zone.key, zone) == cycle


@given(at=INSTANTS, days=st.integers(0, 900), zone=ZONES)
def test_walking_cycle_by_cycle_leads_where_the_date_says(at, days, zone):
    goal = calendar.month_cycle_at(at + days * DAY, zone.key, zone)
    cycle = calendar.month_cycle_at(at, zone.key, zone)
    while cycle.end_until <= at + days * DAY:
        following = calendar.next_cycle(cycle, zone)
        assert following.start_at == cycle.end_until
        cycle = following
    assert cycle == goal


GRANTS = st.builds(
    make_grant,
    amount_nanos=st.integers(1, 200) | st.integers(1, 10**18),
    effective_at=INSTANTS,
    vesting=schedules(),
    lot_lifetime=st.none() | st.builds(Period, count=st.integers(1, 24), unit=st.sampled_from(PeriodUnit)),
)


@given(grant=GRANTS, zone=ZONES)
def test_tranches_sum_to_the_grant_and_come_in_order(grant, zone):
    lots = vesting.vest(grant, zone, 1)
    assert sum(lot.amount_nanos for lot in lots) == grant.amount_nanos
    assert [lot.id for lot in lots] == list(range(1, len(lots) + 1))
    dates = [lot.effective_at for lot in lots]
    if grant.vesting.kind is VestingKind.EVENT:
        assert set(dates) == {AWAITED_AT}  # all wait, each for its own event
    else:
        assert dates == sorted(set(dates))
    assert all(lot.amount_nanos > 0 for lot in lots)


@given(
    amount=st.integers(1, 200) | st.integers(1, 10**18),
    start=INSTANTS,
    months=st.integers(1, 48),
    cliff=st.integers(0, 48),
    zone=ZONES,
)
def test_no_tranche_comes_before_its_share_is_earned(amount, start, months, cliff, zone):
    """What has vested by each date is never more than the exact share, and less than one nano below it."""
    grant = make_grant(amount_nanos=amount, effective_at=start, vesting=monthly(months, min(months, cliff)))
    vested = 0
    for lot in vesting.vest(grant, zone, 1):
        vested += lot.amount_nanos
        steps = range(months + 1)
        (month,) = [n for n in steps if calendar.month_step(start, n, zone) == lot.effective_at]
        assert 0 <= amount * month - vested * months < months


@given(
    units=st.integers(0, 10**9),
    rest=st.integers(0, 6),
    weights=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    allocation=EVERY_ALLOCATION,
)
def test_tranches_are_whole_units_that_sum_to_the_amount(units, rest, weights, allocation):
    """No tranche is more than one unit away from its exact share, but the one that a single-tranche rule loads."""
    if "cumulative" not in allocation and allocation is not AllocationType.FRACTIONAL:
        weights = [1] * len(weights)
    amounts = allocate(units * 7 + rest, weights, allocation, 7)
    assert sum(amounts) == units * 7 + rest
    assert min(amounts) >= 0
    if allocation is AllocationType.FRACTIONAL:
        return
    assert {nanos % 7 for nanos in amounts[:-1]} <= {0}
    assert amounts[-1] % 7 == rest
    loaded = {
        AllocationType.FRONT_LOADED_TO_SINGLE_TRANCHE: 0,
        AllocationType.BACK_LOADED_TO_SINGLE_TRANCHE: len(weights) - 1,
    }.get(allocation)
    for place, nanos in enumerate(amounts):
        share = Fraction(units * weights[place], sum(weights))
        assert place == loaded or abs(nanos // 7 - share) <= 1


@given(anchor=INSTANTS, months=st.integers(1, 240), day=st.integers(1, 31), zone=ZONES)
def test_a_day_of_the_month_is_dateutils(anchor, months, day, zone):
    step = relativedelta(months=months, day=day)
    assert calendar.month_step(anchor, months, zone, day=day) == oracle(anchor, zone, step)


@given(grant=GRANTS, zone=ZONES, visits=st.lists(st.integers(-100, 2_000), max_size=5), last=st.integers(-100, 2_000))
def test_asking_in_between_changes_no_answer(grant, zone, visits, last):
    states = [LotState(lot=lot) for lot in vesting.vest(grant, zone, 1)]
    once = balance_at(states, grant.effective_at + last * DAY, leased=False)
    for day in visits:
        balance_at(states, grant.effective_at + day * DAY, leased=False)
        states = [LotState(lot=lot) for lot in vesting.vest(grant, zone, 1)]
    assert balance_at(states, grant.effective_at + last * DAY, leased=False) == once


@given(grant=GRANTS, zone=ZONES, day=st.integers(-100, 2_000), later=st.integers(0, 100))
def test_time_only_vests_and_only_breaks(grant, zone, day, later):
    states = [LotState(lot=lot) for lot in vesting.vest(grant, zone, 1)]
    now = balance_at(states, grant.effective_at + day * DAY, leased=False)
    then = balance_at(states, grant.effective_at + (day + later) * DAY, leased=False)
    assert then.unvested_nanos <= now.unvested_nanos
    assert then.breakage_nanos >= now.breakage_nanos
