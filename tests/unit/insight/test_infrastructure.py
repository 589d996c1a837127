"""Seats and GPUs, worked out by hand."""

import pytest

from tokenroll.insight.infrastructure import GpuJob, OwnedSeat, cost_of_seconds, gpu_use, seat_uses

USD = 10**9
HOUR = 3_600_000_000


def test_idle_seats_are_those_that_nobody_has_and_those_that_nobody_used():
    """Ten seats at 30: Ada used 45 at list, Bo 0 in some calls, Cleo nothing; seven are nobody's."""
    seat = OwnedSeat(name="Team", month_nanos=30 * USD, count=10, members=("Ada", "Bo", "Cleo"))
    (one,) = seat_uses([seat], {"Ada": 45 * USD, "Bo": 0, "Dev": 99 * USD})
    assert (one.month_cost_nanos, one.idle_members, one.unassigned_count) == (300 * USD, ("Cleo",), 7)
    assert (one.idle_cost_nanos, one.above_count, one.break_even_cost_nanos) == (240 * USD, 1, 30 * USD)


def test_who_has_two_seats_or_none_of_those_paid_is_a_mistake():
    with pytest.raises(ValueError, match="2 members have 1 seats"):
        OwnedSeat(name="Team", month_nanos=1, count=1, members=("Ada", "Bo"))
    with pytest.raises(ValueError, match="none twice"):
        OwnedSeat(name="Team", month_nanos=1, count=2, members=("Ada", "Ada"))
    with pytest.raises(ValueError, match="at least one seat is paid"):
        OwnedSeat(name="Team", month_nanos=1, count=0)


def test_jobs_are_cut_to_the_period():
    """Two GPUs for ten hours at 3: one hour of Ada's three is before it, Bo's four GPU hours are a sum without a beginning."""
    jobs = [
        GpuJob(account="ada", gpu_count=2, seconds=3 * 3600, started_at=9 * HOUR),
        GpuJob(account="ada", gpu_count=1, seconds=3600, started_at=30 * HOUR),
        GpuJob(account="bo", gpu_count=1, seconds=4 * 3600, started_at=None),
    ]
    found = gpu_use(jobs, gpu_count=2, hour_nanos=3 * USD, from_at=10 * HOUR, until=20 * HOUR)
    assert (found.owned_seconds, found.used_seconds) == (20 * 3600, 8 * 3600)
    assert found.by_account == (("ada", 4 * 3600), ("bo", 4 * 3600))
    assert (found.cost_nanos, found.idle_cost_nanos, found.used_millionths) == (60 * USD, 36 * USD, 400_000)
    assert found.used_hour_cost_nanos == 7_500_000_000


def test_gpus_that_nobody_used_have_no_price_an_hour():
    found = gpu_use([], gpu_count=1, hour_nanos=USD, from_at=0, until=HOUR)
    assert (found.used_hour_cost_nanos, found.idle_cost_nanos) == (None, USD)
    assert cost_of_seconds(1, 3600) == 1
    with pytest.raises(ValueError, match="at least one GPU"):
        gpu_use([], gpu_count=0, hour_nanos=USD, from_at=0, until=HOUR)
