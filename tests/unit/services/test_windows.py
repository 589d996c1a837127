"""Windows found once for all: the same as found anew, before and after every turn, whatever was asked before."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import T0
from tokenroll.engine.limiting import frees_at, window_at
from tokenroll.model.limit import WindowKind
from tokenroll.services.windows import windows_of

WITHOUT_CALENDARS = [kind for kind in WindowKind if kind is not WindowKind.CYCLE]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Santiago"]
HALF_A_YEAR = 180 * 86_400_000_000


@given(
    st.lists(
        st.tuples(st.sampled_from(WITHOUT_CALENDARS), st.sampled_from(ZONES), st.integers(-HALF_A_YEAR, HALF_A_YEAR)),
        min_size=1,
        max_size=30,
    )
)
def test_it_is_the_window_of_the_instant_in_whatever_order_they_are_asked_for(asked):
    for kind, zone, offset in asked:
        seconds = 60 if kind is WindowKind.ROLLING else 0
        found = windows_of(kind, seconds, zone).at(T0 + offset)
        start_at, counted_from, turns_at = window_at(kind, seconds, T0 + offset, ZoneInfo(zone))
        assert (found.start_at, found.counted_from, found.turns_at) == (start_at, counted_from, turns_at)
        assert found.frees_at == frees_at(kind, seconds, start_at, turns_at)


def test_it_turns_at_midnight_of_its_zone():
    days = windows_of(WindowKind.DAY, 0, "Europe/Berlin")
    day = days.at(T0)
    assert days.at(day.turns_at - 1) is day
    assert days.at(day.turns_at).start_at == day.turns_at
    assert days.at(day.start_at - 1).turns_at == day.start_at
