"""Why March cost Cleo more than February, worked by hand."""

from tokenroll.insight.changes import Amounts, change_of, movers


def test_a_change_is_taken_apart_into_volume_mix_and_price():
    # February: 100 of small at 1, 100 of large at 9: 1,000 for 200, 5 each in the middle.
    # March: 100 of small at 1, 300 of large at 8: 2,500 for 400.
    change = change_of(
        {"small": Amounts(units=100, cost_nanos=100), "large": Amounts(units=100, cost_nanos=900)},
        {"small": Amounts(units=100, cost_nanos=100), "large": Amounts(units=300, cost_nanos=2400)},
    )
    # volume: 200 more at 5. At old prices March is 100 + 2,700 = 2,800, of which 2,000 are the old mix: mix 800. Price: 300 x -1.
    assert change.steps == (("volume", 1000), ("mix", 800), ("price", -300), ("new", 0), ("gone", 0))
    assert (change.before_nanos, change.after_nanos) == (1000, 2500)


def test_what_is_new_or_gone_has_no_price_to_compare():
    change = change_of({"old": Amounts(units=10, cost_nanos=70)}, {"newer": Amounts(units=5, cost_nanos=30)})
    assert change.steps == (("volume", 0), ("mix", 0), ("price", 0), ("new", 30), ("gone", -70))


def test_a_part_without_units_is_no_price():
    change = change_of(
        {"seats": Amounts(units=0, cost_nanos=50), "small": Amounts(units=3, cost_nanos=10)},
        {"seats": Amounts(units=0, cost_nanos=80), "small": Amounts(units=4, cost_nanos=11)},
    )
    # a third of ten is not whole: volume is 3, and price takes what rounding left
    assert change.steps == (("volume", 3), ("mix", 0), ("price", -2), ("new", 80), ("gone", -50))
    assert sum(nanos for _, nanos in change.steps) == 31


def test_the_farthest_move_stands_first():
    found = movers({"Ada": 10, "Bo": 50, "Dev": 5}, {"Ada": 40, "Bo": 5, "Cleo": 3})
    assert [(one.name, one.change_nanos) for one in found] == [("Bo", -45), ("Ada", 30), ("Dev", -5), ("Cleo", 3)]
