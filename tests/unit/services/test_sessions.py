import pytest

from tokenroll.services.sessions import key_of_session, session_for
from tokenroll.services.visits import Visits

PEPPER = bytes(range(32))
KEY = "key_" + "0" * 31 + "1"
NOW = 1_767_225_600_000_000
HOUR = 3_600_000_000
SESSION = session_for(PEPPER, KEY, NOW)


def test_it_knows_its_own_session_for_a_working_day():
    assert key_of_session(PEPPER, SESSION, NOW + 11 * HOUR) == KEY
    assert key_of_session(PEPPER, SESSION, NOW + 12 * HOUR) is None


@pytest.mark.parametrize(
    "forged",
    [
        "",
        SESSION[:-1],
        SESSION.replace("key_0", "key_1"),
        SESSION.replace(".17", ".97"),
        SESSION[:-1] + ("A" if SESSION[-1] != "A" else "B"),
        f"{KEY}.{NOW * 2}.",
        SESSION + "\n",
    ],
)
def test_it_refuses_a_forged_session(forged):
    assert key_of_session(PEPPER, forged, NOW) is None


def test_it_refuses_a_session_of_another_home():
    assert key_of_session(bytes(32), SESSION, NOW) is None


def test_it_allows_ten_tries_and_then_one_each_six_seconds():
    visits = Visits()
    assert [visits.allow("a", NOW) for _ in range(11)] == [True] * 10 + [False]
    assert visits.allow("b", NOW)
    assert not visits.allow("a", NOW + 5_999_999)
    assert visits.allow("a", NOW + 6_000_000)
    assert not visits.allow("a", NOW + 6_000_001)
    assert [visits.allow("a", NOW + HOUR) for _ in range(11)] == [True] * 10 + [False]


def test_it_forgets_the_oldest_address_first(monkeypatch):
    monkeypatch.setattr("tokenroll.services.visits.ADDRESSES_MAX", 2)
    visits = Visits()
    for _ in range(10):
        visits.allow("a", NOW)
    visits.allow("b", NOW)
    visits.allow("c", NOW)
    assert visits.allow("a", NOW)


def test_it_does_not_count_a_good_try():
    visits = Visits()
    for _ in range(20):
        assert visits.allow("a", NOW)
        visits.forgive("a")
    visits.forgive("nobody")
    assert visits.allow("nobody", NOW)
