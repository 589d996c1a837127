"""OpenMeter's published burn-down cases, by their numbers in the reference (credits, §2.5), against engine/burning.py.

t0 is 2024-01-01T00:00Z; an allowance is 100, priority 1, effective at t0 and expires 30 days later unless a case says otherwise.
Amounts are whole numbers of an unnamed unit, as there.
"""

from typing import Any

import pytest

from tests.cast import DAY, HOUR, T0
from tokenroll.engine.burning import Allowance, Burned, burn_down

MINUTE = 60_000_000
FAR = T0 + 100 * 365 * DAY


def allowance(id_: str, **changes: Any) -> Allowance:
    facts: dict[str, Any] = {
        "id": id_,
        "amount_nanos": 100,
        "effective_at": T0,
        "expires_at": T0 + 30 * DAY,
        "rollover_max_nanos": 0,
    }
    return Allowance(**facts | changes)


def every(period: int, anchor: int) -> Any:
    """Recurrences at the anchor and every so many microseconds before and after it."""

    def instants(begin: int, until: int) -> list[int]:
        first = anchor + -(-(begin - anchor) // period) * period
        return list(range(first, until + 1, period))

    return instants


def used(*uses: tuple[int, int]) -> Any:
    """Sums what was used at instants."""
    return lambda begin, end: sum(amount for at, amount in uses if begin <= at < end)


def run(
    allowances: list[Allowance], usage: Any, until: int, *, at: int = T0, left: dict[str, int] | None = None, **how: Any
) -> Any:
    start = Burned(at=at, left_nanos=left or {}, overage_nanos=how.pop("overage", 0))
    return burn_down(start, allowances, usage, until, **how)


def test_c1_overage_without_any_grant():
    end, segments = run([], used((T0 + HOUR, 50)), T0 + 30 * DAY)
    assert (end.overage_nanos, len(segments)) == (50, 1)


def test_c2_the_higher_priority_burns_first():
    grants = [allowance("b", priority=2), allowance("a", priority=1)]
    end, _ = run(grants, used((T0 + HOUR, 120)), T0 + 2 * HOUR)
    assert end.left_nanos == {"a": 0, "b": 80}


def test_c3_of_one_priority_the_one_that_expires_first():
    grants = [allowance("b", expires_at=FAR), allowance("a")]
    end, _ = run(grants, used((T0 + HOUR, 120)), T0 + 2 * HOUR)
    assert end.left_nanos == {"a": 0, "b": 80}


def test_c4_the_first_to_expire_among_many():
    grants = [allowance(f"g{number:06d}") for number in range(100_000)]
    grants[54_321] = allowance("first", expires_at=T0 + 29 * DAY)
    end, _ = run(grants, used((T0 + HOUR, 99)), T0 + 2 * HOUR)
    assert end.left_nanos["first"] == 1
    assert sorted(end.left_nanos.values())[:2] == [1, 100]


def test_c5_it_becomes_active_during_a_phase_and_pays_the_overage():
    end, segments = run([allowance("a")], used((T0 - HOUR, 25), (T0 + HOUR, 25)), T0 + 2 * HOUR, at=T0 - DAY)
    assert end.left_nanos == {"a": 50}
    assert len(segments) == 2
    assert (segments[1].started_nanos, segments[1].overage_before_nanos) == ({"a": 100}, 25)


def test_c6_until_it_is_voided():
    voided_at = T0 + 5 * HOUR
    uses = used((voided_at - MINUTE, 50), (voided_at + MINUTE, 50))
    end, segments = run([allowance("a", expires_at=voided_at)], uses, T0 + DAY)
    assert (end.sum_nanos, end.overage_nanos, len(segments)) == (0, 50, 2)
    assert segments[1].started_nanos == {"a": 0}


def test_c7_a_recurrence_pays_the_overage():
    daily = allowance("a", recurrences=every(DAY, T0))
    end, _ = run([daily], used((T0 + HOUR, 120)), T0 + DAY + HOUR)
    assert (end.left_nanos, end.overage_nanos) == ({"a": 80}, 0)


def later_weekly() -> list[Allowance]:
    weekly = every(7 * DAY, T0 + 3 * DAY)
    return [
        allowance("g1", priority=3),
        allowance("g2", priority=1, effective_at=T0 + DAY, expires_at=T0 + 31 * DAY, recurrences=weekly),
    ]


def test_c8_one_that_takes_effect_later_after_it_has_recurred():
    uses = used((T0 + HOUR, 20), (T0 + DAY - 1_000_000, 20), (T0 + DAY, 20))
    end, _ = run(later_weekly(), uses, T0 + 10 * DAY, left={"g1": 80})
    assert end.left_nanos == {"g1": 40, "g2": 100}


def test_c8_one_that_takes_effect_later_before_it_recurs_again():
    uses = used((T0 + HOUR, 20), (T0 + DAY - 1_000_000, 20), (T0 + DAY, 20), (T0 + 3 * DAY, 20))
    end, _ = run(later_weekly(), uses, T0 + 10 * DAY - HOUR, left={"g1": 80})
    assert end.left_nanos == {"g1": 40, "g2": 80}


def test_c9_a_recurrence_is_not_applied_again_at_a_later_change():
    grants = [
        allowance("g1", recurrences=every(DAY, T0 + DAY)),
        allowance("g2", priority=2, effective_at=T0 + DAY + HOUR),
    ]
    uses = used((T0 + DAY + HOUR // 2, 30), (T0 + DAY + 3 * HOUR // 2, 20))
    end, segments = run(grants, uses, T0 + DAY + 2 * HOUR)
    assert end.left_nanos == {"g1": 50, "g2": 100}
    assert (segments[1].started_nanos["g1"], segments[2].started_nanos["g1"]) == (100, 70)


@pytest.mark.parametrize(
    ("until", "available"),
    [(3 * DAY, 370), (3 * DAY + HOUR, 370), (4 * DAY, 370), (3 * DAY - HOUR, 290)],
    ids=["+3d", "+3d1h", "+4d", "+3d-1h"],
)
def test_c10_use_of_several_recurrences(until, available):
    daily = allowance("a", expires_at=T0 + 14 * DAY, recurrences=every(DAY, T0))
    uses = used((T0 + HOUR, 100), (T0 + DAY + HOUR, 90), (T0 + 2 * DAY + HOUR, 80))
    end, _ = run([daily], uses, T0 + until)
    assert end.from_allowances_nanos == 270
    assert end.from_allowances_nanos + end.sum_nanos == available


def test_c11_up_to_the_end_of_its_active_period():
    short = allowance("a", amount_nanos=100, expires_at=T0 + 2 * HOUR)
    end, _ = run([short], used((T0 + HOUR, 10), (T0 + 3 * HOUR, 10)), T0 + 4 * HOUR)
    assert (end.from_allowances_nanos, end.overage_nanos) == (10, 10)
    assert end.from_allowances_nanos + end.sum_nanos == 10


def test_c12_the_overage_of_before_is_paid():
    end, _ = run([allowance("a")], used(), T0 + HOUR, left={"a": 100}, overage=100)
    assert (end.left_nanos, end.overage_nanos, end.from_allowances_nanos) == ({"a": 0}, 0, 100)


def test_c13_a_reset_rolls_over_no_more_than_the_maximum():
    rolling = allowance("a", rollover_max_nanos=50)
    end, segments = run([rolling], used((T0 + HOUR, 10)), T0 + DAY, resets=[T0 + 5 * HOUR])
    assert (end.left_nanos, end.used_nanos, len(segments)) == ({"a": 50}, 0, 3)


def test_c14_an_overage_is_kept_and_paid_by_what_rolls_over():
    rolling = allowance("a", rollover_min_nanos=50, rollover_max_nanos=50)
    end, segments = run([rolling], used((T0 + HOUR, 110)), T0 + DAY, resets=[T0 + 5 * HOUR], keep_overage=True)
    assert end.left_nanos == {"a": 40}
    assert end.from_allowances_nanos + end.sum_nanos == 50
    rollover = segments[1]
    assert (rollover.started_nanos, rollover.ended_nanos) == ({"a": 50}, {"a": 40})


def test_c15_a_recurrence_at_the_reset_and_at_the_end():
    daily = allowance("a", recurrences=every(DAY, T0))
    end, segments = run([daily], used((T0 + HOUR, 10)), T0 + DAY, resets=[T0 + DAY])
    assert (end.left_nanos, end.used_nanos, len(segments)) == ({"a": 100}, 0, 3)


def two_thousands(second_min: int, second_max: int) -> list[Allowance]:
    at = T0 + 2 * HOUR
    return [
        allowance("g1", amount_nanos=1000, effective_at=at, priority=1, rollover_max_nanos=1000),
        allowance(
            "g2",
            amount_nanos=1000,
            effective_at=at,
            priority=3,
            rollover_min_nanos=second_min,
            rollover_max_nanos=second_max,
        ),
    ]


RESET = T0 + 5 * HOUR


@pytest.mark.parametrize(
    ("second", "use", "keep", "left", "overage"),
    [
        ((0, 100), 600, False, {"g1": 400, "g2": 100}, 0),
        ((500, 500), 2100, True, {"g1": 0, "g2": 400}, 0),
        ((500, 500), 2600, True, {"g1": 0, "g2": 0}, 100),
    ],
    ids=["a", "b", "c"],
)
def test_c16_two_grants_roll_over(second, use, keep, left, overage):
    end, _ = run(two_thousands(*second), used((T0 + MINUTE, use)), RESET + MINUTE, resets=[RESET], keep_overage=keep)
    assert (end.left_nanos, end.overage_nanos) == (left, overage)


def test_c17_a_grant_that_takes_effect_after_the_last_state_was_kept():
    grants = two_thousands(0, 100)
    at_reset, _ = run(grants, used((T0 + MINUTE, 600)), RESET, resets=[RESET])
    assert at_reset.left_nanos == {"g1": 400, "g2": 100}
    late = allowance("g3", amount_nanos=1000, effective_at=RESET + HOUR, priority=1, rollover_max_nanos=1000)
    again = RESET + 5 * HOUR
    end, _ = burn_down(at_reset, [*grants, late], used((RESET + 10 * MINUTE, 300)), again, resets=[again])
    assert end.left_nanos == {"g1": 100, "g2": 100, "g3": 1000}
    assert end.sum_nanos == 1200


def test_c18_issued_or_expiring_exactly_at_a_reset():
    grants = [
        allowance("issued", amount_nanos=1000, effective_at=RESET, rollover_max_nanos=1000),
        allowance("expiring", amount_nanos=1000, expires_at=RESET, rollover_max_nanos=1000),
    ]
    end, _ = run(grants, used(), RESET + HOUR, resets=[RESET])
    assert end.left_nanos == {"issued": 1000, "expiring": 0}


def test_c19_the_latest_level_of_each_stretch():
    grants = [
        allowance("a", amount_nanos=50, expires_at=T0 + HOUR),
        allowance("b", amount_nanos=100),
        allowance("c", amount_nanos=75, effective_at=T0 + HOUR),
        allowance("d", amount_nanos=200, effective_at=T0 + 4 * HOUR),
    ]
    levels = {T0: 15, T0 + HOUR: 30, T0 + 2 * HOUR: 10, T0 + 3 * HOUR: 20}

    def latest(begin: int, end: int) -> int:
        return [level for at, level in levels.items() if begin <= at < end][-1]

    end, segments = run(grants, latest, T0 + 3 * HOUR, is_level=True)
    assert (end.sum_nanos, end.used_nanos) == (165, 25)
    stretches = [(sum(one.started_nanos.values()), sum(one.ended_nanos.values())) for one in segments]
    assert stretches == [(150, 135), (175, 165)]


def test_c20_the_whole_order():
    first, later = T0 + DAY, T0 + 2 * DAY
    grants = [
        allowance("lower-priority", priority=2, expires_at=first),
        allowance("no-expiration", expires_at=None),
        allowance("later-expiration", expires_at=later),
        allowance("cursor-b", expires_at=first, created_at=2),
        allowance("cursor-a", expires_at=first, created_at=2),
        allowance("created-first", expires_at=first, created_at=1),
    ]
    assert [one.id for one in sorted(grants, key=lambda one: one.rank)] == [
        "created-first", "cursor-a", "cursor-b", "later-expiration", "no-expiration", "lower-priority",
    ]  # fmt: skip


# ---- where we decide otherwise (docs/decisions/0025) ---------------------------------------------------------------------


@pytest.mark.parametrize(("minimum", "left"), [(100, 50), (0, 50)], ids=["minimum 100", "minimum 0"])
def test_h2_what_begins_at_a_reset_pays_the_debt_and_is_not_filled_again(minimum, left):
    late = allowance("a", effective_at=RESET, rollover_min_nanos=minimum, rollover_max_nanos=100)
    end, _ = run([late], used((T0 + HOUR, 50)), RESET + HOUR, resets=[RESET], keep_overage=True)
    assert (end.left_nanos, end.overage_nanos) == ({"a": left}, 0)


@pytest.mark.parametrize("rolls", [0, 50])
def test_h3_what_recurs_at_a_reset_pays_the_debt_and_is_not_filled_again(rolls):
    daily = allowance("a", recurrences=every(DAY, T0), rollover_min_nanos=rolls, rollover_max_nanos=rolls)
    end, _ = run([daily], used((T0 + HOUR, 110)), T0 + DAY + HOUR, resets=[T0 + DAY], keep_overage=True)
    assert (end.left_nanos, end.overage_nanos) == ({"a": 90}, 0)


def test_h8_two_changes_within_a_minute_are_two_changes():
    end, segments = run(
        [allowance("a", expires_at=T0 + 2), allowance("b", effective_at=T0 + 1)], used((T0 + 1, 10)), T0 + 10
    )
    assert (end.left_nanos, len(segments)) == ({"a": 0, "b": 100}, 3)


@pytest.mark.parametrize(("minimum", "maximum"), [(-1, 0), (2, 1), (0, 101)])
def test_no_more_rolls_over_than_there_was(minimum, maximum):
    with pytest.raises(ValueError, match="allowance a rolls over"):
        allowance("a", rollover_min_nanos=minimum, rollover_max_nanos=maximum)


def test_resets_lie_in_the_time_asked_about():
    for resets in ([T0], [T0 + DAY + 1], [T0 + 2 * HOUR, T0 + HOUR], [T0 + HOUR, T0 + HOUR]):
        with pytest.raises(ValueError, match="resets ascend and lie after"):
            run([], used(), T0 + DAY, resets=resets)
