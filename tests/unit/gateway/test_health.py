"""When a deployment is passed over, tick by tick. A tick is a second here."""

from tokenroll.gateway.heads import ResponseHead, ResponseReader
from tokenroll.gateway.health import Health, is_own_failure, may_try_elsewhere

NOW = 1_700_000_000_000_000


def head(status: int = 200, *lines: bytes) -> ResponseHead:
    return ResponseReader().read(b"\r\n".join([b"HTTP/1.1 %d Said" % status, *lines]))


def make_health() -> Health:
    health = Health(int)
    health.expect_others()
    return health


def test_five_failures_in_a_row_open_it_for_ten_seconds_and_then_one_call_tries_it():
    health = make_health()
    for _ in range(4):
        health.failed(100)
    assert health.may_take(100)
    health.failed(100)
    assert not health.may_take(100)
    assert not health.may_take(109)
    assert health.may_take(110)  # the one that tries it
    assert not health.may_take(110)  # no other meanwhile
    health.heed(head(), 111, NOW)
    assert health.may_take(111)
    assert not health.is_open


def test_a_failed_try_doubles_the_time_up_to_five_minutes():
    health = make_health()
    for _ in range(5):
        health.failed(0)
    now = 0
    waits = []
    for _ in range(7):
        before = now
        while not health.may_take(now):
            now += 1
        waits.append(now - before)
        health.failed(now)
    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_it():
    health = make_health()
    for _ in range(50):
        health.failed(0)
    assert health.may_take(10)
    assert health.openings_count == 1


def test_a_try_that_tells_nothing_is_followed_by_another():
    health = make_health()
    for _ in range(5):
        health.failed(0)
    assert health.may_take(10)  # its client left before anything came
    assert not health.may_take(14)
    assert health.may_take(15)


def test_a_lasting_share_of_failures_above_a_half_opens_it_and_one_below_does_not():
    bad, better = make_health(), make_health()
    for number in range(300):
        if number % 3:  # two of three
            bad.failed(0)
            better.heed(head(), 0, NOW)
        else:
            bad.heed(head(), 0, NOW)
            better.failed(0)
    assert bad.openings_count > 0
    assert better.openings_count == 0


def test_a_rate_limit_with_a_time_is_a_rest_and_no_failure():
    health = make_health()
    for _ in range(9):
        health.heed(head(429, b"Retry-After: 7"), 100, NOW)
    assert not health.is_open
    assert not health.may_take(106)
    assert health.may_take(107)


def test_a_rate_limit_without_a_time_is_a_failure():
    health = make_health()
    for _ in range(5):
        health.heed(head(429), 100, NOW)
    assert health.is_open


def test_an_unavailable_provider_that_names_a_time_is_both():
    health = make_health()
    health.heed(head(503, b"retry-after: 30"), 100, NOW)
    assert not health.may_take(129)
    assert health.failure_count == 1


def test_no_rest_is_longer_than_an_hour():
    health = make_health()
    health.heed(head(429, b"retry-after: 86400"), 0, NOW)
    assert health.may_take(3_600)


def test_without_others_good_answers_need_not_be_looked_at_once_the_failures_are_made_up_for():
    health = Health(int)
    assert not health.is_watched
    health.failed(0)
    assert health.is_watched
    health.heed(head(200, b"x-ratelimit-remaining-requests: 0", b"x-ratelimit-reset-requests: 1m0s"), 0, NOW)
    assert not health.is_watched
    assert health.resumes_at == 0


def test_whose_failure_a_status_is():
    assert [status for status in range(400, 600) if is_own_failure(status)] == [401, 402, 408, 429, *range(500, 600)]
    assert may_try_elsewhere(head(500))
    assert not may_try_elsewhere(head(500, b"x-should-retry: false"))
    assert may_try_elsewhere(head(429, b"x-should-retry: false"))
    assert may_try_elsewhere(head(409, b"X-Should-Retry: True"))
    assert not may_try_elsewhere(head(400))
