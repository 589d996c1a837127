"""Whatever changed, the parts of the change are the change, to the nano."""

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.insight.changes import Amounts, change_of, movers

amounts = st.builds(Amounts, units=st.integers(0, 10**12), cost_nanos=st.integers(0, 10**18))
periods = st.dictionaries(st.sampled_from(["small", "large", "seats", "images"]), amounts)


@given(periods, periods)
def test_the_steps_lead_from_before_to_after(before: dict[str, Amounts], after: dict[str, Amounts]):
    change = change_of(before, after)
    assert change.before_nanos + sum(nanos for _, nanos in change.steps) == change.after_nanos


@given(periods)
def test_what_did_not_change_has_no_steps(period: dict[str, Amounts]):
    change = change_of(period, period)
    assert (change.volume_nanos, change.mix_nanos, change.price_nanos) == (0, 0, 0)
    assert change.new_nanos + change.gone_nanos == 0


@given(periods, st.integers(2, 50))
def test_twice_of_everything_is_volume_alone(period: dict[str, Amounts], times: int):
    after = {
        name: Amounts(units=times * one.units, cost_nanos=times * one.cost_nanos)
        for name, one in period.items()
        if one.units
    }
    before = {name: one for name, one in period.items() if one.units}
    change = change_of(before, after)
    assert (change.mix_nanos, change.price_nanos, change.new_nanos, change.gone_nanos) == (0, 0, 0, 0)
    assert change.volume_nanos == (times - 1) * change.before_nanos


@given(periods, periods)
def test_movers_move_what_changed(before: dict[str, Amounts], after: dict[str, Amounts]):
    found = movers(
        {name: one.cost_nanos for name, one in before.items()}, {name: one.cost_nanos for name, one in after.items()}
    )
    change = change_of(before, after)
    assert sum(one.change_nanos for one in found) == change.after_nanos - change.before_nanos
