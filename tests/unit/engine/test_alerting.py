import pytest

from tokenroll.engine.alerting import Passing, is_above, passings
from tokenroll.model.alert import AlertKind

CROSSED, RECOVERED = AlertKind.CROSSED, AlertKind.RECOVERED
MONDAY, TUESDAY = 1, 2


@pytest.mark.parametrize(("used", "above"), [(0, False), (159, False), (160, True), (200, True), (900, True)])
def test_eighty_percent_of_two_hundred_is_a_hundred_and_sixty(used, above):
    assert is_above(used, 200, 80) is above


def test_of_nothing_nothing_is_used():
    assert not is_above(0, 0, 50)


@pytest.mark.parametrize(
    ("known", "used", "news"),
    [
        ({}, 49, []),
        ({}, 50, [(50, CROSSED)]),
        ({}, 96, [(50, CROSSED), (80, CROSSED), (95, CROSSED)]),
        ({50: MONDAY}, 60, []),
        ({50: MONDAY, 80: MONDAY}, 60, [(80, RECOVERED)]),
        ({50: MONDAY, 80: MONDAY}, 0, [(50, RECOVERED), (80, RECOVERED)]),
        ({90: MONDAY}, 0, []),  # nobody asks about 90 any more
    ],
)
def test_only_what_is_news_is_told(known, used, news):
    assert passings(known, used, 100, MONDAY, (95, 50, 80)) == [Passing(*one) for one in news]


def test_what_is_above_again_in_a_new_window_is_told_again():
    assert passings({50: MONDAY}, 70, 100, TUESDAY, (50,)) == [Passing(50, CROSSED)]
    assert passings({50: MONDAY}, 0, 100, TUESDAY, (50,)) == [Passing(50, RECOVERED)]
