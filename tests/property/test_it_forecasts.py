"""What holds of every forecast: never negative, in order, in any unit, in any order of series, and sums that agree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenroll.insight.forecasting import forecast
from tokenroll.insight.reconciling import reconciled
from tokenroll.insight.runway import runway
from tokenroll.insight.sampling import Kernel

SMALL = Kernel(season=3, decay=0.5, neighbours=1, cycle=9, level_periods=9)
HORIZON = 4
VALUES = st.one_of(st.just(0), st.integers(0, 10), st.integers(0, 10**9))


@st.composite
def histories(draw, least=1):
    series, periods = draw(st.integers(least, 5)), draw(st.integers(1, 30))
    rows = draw(st.lists(st.lists(VALUES, min_size=periods, max_size=periods), min_size=series, max_size=series))
    found = np.array(rows, float)
    for row in found:
        row[: draw(st.integers(0, periods - 1))] = np.nan if draw(st.booleans()) else 0.0
    return found


def figures(found):
    """Every figure of a forecast, series first, ascending from the widest lower end to the widest upper one."""
    lower = [band.lower for band in reversed(found.bands)]
    totals_lower = [band.total_lower for band in reversed(found.bands)]
    return (
        np.stack([*lower, found.point, *(band.upper for band in found.bands)], axis=1),
        np.stack([*totals_lower, found.expected.sum(1), *(band.total_upper for band in found.bands)], axis=1),
    )


@given(histories())
def test_nothing_is_negative_and_ends_are_in_order(history):
    found = forecast(history, SMALL, horizon=HORIZON)
    for one in figures(found):
        assert np.isfinite(one).all()
        assert (one >= 0).all()
        assert (np.diff(one, axis=1) >= 0).all()
    assert (found.expected >= 0).all()


@given(histories(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_another_unit_gives_the_same_forecast_in_it(history, factor):
    plain, scaled = (forecast(one, SMALL, horizon=HORIZON) for one in (history, history * factor))
    for one, other in zip(figures(plain), figures(scaled), strict=True):
        assert (one * factor).tolist() == other.tolist()


@given(histories(least=2), st.randoms(use_true_random=False))
def test_another_order_of_series_gives_the_same_forecasts_in_it(history, luck):
    order = list(range(len(history)))
    luck.shuffle(order)
    plain, shuffled = (forecast(one, SMALL, horizon=HORIZON) for one in (history, history[order]))
    for one, other in zip(figures(plain), figures(shuffled), strict=True):
        # sums over series in another order differ in their last bit
        np.testing.assert_allclose(one[order], other, rtol=1e-9, atol=1e-12)


@given(st.integers(1, 40))
def test_who_never_used_anything_is_forecast_at_nothing(periods):
    found = forecast(np.zeros((2, periods)), SMALL, horizon=HORIZON)
    assert not any(one.any() for one in figures(found))


@given(st.data())
def test_reconciled_sums_are_equal(data):
    teams, horizon = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    team_of = [*range(teams), *data.draw(st.lists(st.integers(0, teams - 1), max_size=4))]
    amounts = st.floats(0, 1e12)

    def drawn(rows):
        return np.array([data.draw(st.lists(amounts, min_size=horizon, max_size=horizon)) for _ in range(rows)])

    found = reconciled(drawn(len(team_of)), team_of, drawn(teams), drawn(1)[0])
    assert found.teams.sum(0).tolist() == found.company.tolist()
    for team in range(teams):
        rows = [place for place, one in enumerate(team_of) if one == team]
        assert found.members[rows].sum(0).tolist() == found.teams[team].tolist()
    assert (found.members >= 0).all()


@given(histories(), st.lists(st.integers(-10, 10**6), min_size=5, max_size=5), st.integers(0, 10**6))
def test_more_budget_never_raises_the_chance_to_run_dry(history, budgets, more):
    kept = budgets[: len(history)]
    left, more_left = (np.array([budget + extra for budget in kept], np.float64) for extra in (0, more))
    found = runway(history, left, days_left=HORIZON, seed=1, scenarios=30)
    richer = runway(history, more_left, days_left=HORIZON, seed=1, scenarios=30)
    assert (richer.by_day <= found.by_day).all()
    assert (np.diff(found.by_day, axis=1) >= 0).all()
    assert ((found.by_day >= 0) & (found.by_day <= 1)).all()


@given(histories(least=2), st.randoms(use_true_random=False))
def test_another_order_of_wallets_changes_no_chance(history, luck):
    order = list(range(len(history)))
    luck.shuffle(order)
    left = np.array([7.0 * place for place in range(len(history))])
    found, shuffled = (
        runway(history[one], left[one], days_left=HORIZON, seed=1, scenarios=30) for one in (slice(None), order)
    )
    assert found.by_day[order].tolist() == shuffled.by_day.tolist()
