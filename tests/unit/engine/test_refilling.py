"""When a refill comes and how much it is: below its amount, within its most, its hours, its cool-off and its end."""

from datetime import UTC, time
from zoneinfo import ZoneInfo

import pytest

from tests.cast import utc
from tokenroll.engine.refilling import due_nanos, is_within_hours
from tokenroll.model.refill import Refill

NIGHT = Refill(
    id=1, public_id="refill_1", wallet_id=2, below_nanos=5, amount_nanos=20, cycle_nanos_max=50, cool_off_seconds=3_600,
    effective_at=utc("2026-03-01T00:00"), expires_at=utc("2026-04-01T00:00"), from_time=time(20), until_time=time(6),
)  # fmt: skip
TWO = utc("2026-03-10T02:00")


def due(**change):
    facts = {"left_nanos": 4, "cycle_nanos": 0, "last_at": None, "at": TWO, "zone": UTC} | change
    return due_nanos(NIGHT, **facts)


def test_it_comes_when_less_is_left_than_its_amount_and_not_otherwise():
    assert [due(left_nanos=left) for left in (0, 4, 5, 6)] == [20, 20, 0, 0]


def test_the_last_one_of_a_cycle_is_what_its_most_leaves():
    assert [due(cycle_nanos=brought) for brought in (0, 20, 40, 50, 60)] == [20, 20, 10, 0, 0]


def test_between_two_the_cool_off_passes():
    hour = 3_600_000_000
    assert [due(last_at=TWO - ago) for ago in (0, hour - 1, hour, 2 * hour)] == [0, 0, 20, 20]


def test_it_comes_from_its_beginning_until_its_end():
    moments = ("2026-02-28T23:00", "2026-03-01T00:00", "2026-03-31T23:59", "2026-04-01T00:00")
    assert [due(at=utc(at)) for at in moments] == [0, 20, 20, 0]


@pytest.mark.parametrize(
    ("at", "zone", "within"),
    [
        ("2026-03-10T19:59", UTC, False),
        ("2026-03-10T20:00", UTC, True),
        ("2026-03-10T05:59", UTC, True),
        ("2026-03-10T06:00", UTC, False),
        ("2026-03-10T12:00", ZoneInfo("Asia/Tokyo"), True),  # 21:00 there
        ("2026-03-10T22:00", ZoneInfo("Asia/Tokyo"), False),  # 07:00 of the next day
    ],
)
def test_its_hours_are_those_of_the_wallets_zone_and_go_over_midnight(at, zone, within):
    assert is_within_hours(NIGHT, utc(at), zone) is within
