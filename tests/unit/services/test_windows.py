"""Windows found once for all: the same as found anew, before and after every turn, whatever was asked before."""

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import T0
from tokenroll.engine.limiting import window_at
from tokenroll.model.limit import WindowKind
from tokenroll.services.windows import window_of

WITHOUT_CALENDARS = [kind for kind in WindowKind if kind is not WindowKind.CYCLE]
ZONES = [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Santiago")]
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
        assert window_of(kind, seconds, T0 + offset, zone) == window_at(kind, seconds, T0 + offset, zone)


def test_it_turns_at_midnight_of_its_zone():
    berlin = ZoneInfo("Europe/Berlin")
    day = window_of(WindowKind.DAY, 0, T0, berlin)
    assert window_of(WindowKind.DAY, 0, day.turns_at - 1, berlin) == day
    assert window_of(WindowKind.DAY, 0, day.turns_at, berlin).start_at == day.turns_at
    assert window_of(WindowKind.DAY, 0, day.start_at - 1, berlin).turns_at == day.start_at
