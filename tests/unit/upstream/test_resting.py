"""How long a provider wants to be left alone, in every spelling that providers use."""

import pytest

from tokenroll.upstream.resting import exhausted_millis, retry_after_millis, says_retry

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z


@pytest.mark.parametrize(
    ("line", "millis"),
    [
        (b"retry-after: 7", 7_000),
        (b"Retry-After: 1.5", 1_500),
        (b"retry-after-ms: 547", 547),
        (b"retry-after: Thu, 01 Jan 2026 12:00:30 GMT", 30_000),
        (b"retry-after: Thu, 01 Jan 2026 11:00:00 GMT", 0),
        (b"retry-after: soon", 0),
        (b"retry-after: -1", 0),
        (b"retry-after:", 0),
        (b"retry-later: 9", 0),
    ],
)
def test_retry_after(line, millis):
    assert retry_after_millis([b"content-type: text/plain", line], NOON) == millis


def test_the_finer_of_two_words_counts():
    assert retry_after_millis([b"retry-after: 1", b"retry-after-ms: 250"], NOON) == 250


@pytest.mark.parametrize(
    ("reset", "millis"),
    [
        (b"1s", 1_000),
        (b"6m0s", 360_000),
        (b"2m52.8s", 172_800),
        (b"547ms", 547),
        (b"1h30m", 5_400_000),
        (b"0.0001s", 1),
        (b"12", 12_000),
        (b"-1", 0),
        (b"2026-01-01T12:00:10Z", 10_000),
        (b"2026-01-01T12:00:00.25+00:00", 250),
        (b"2026-01-01T11:00:00Z", 0),
        (b"tomorrow", 0),
        (b"9" * 40, 0),
    ],
)
def test_nothing_is_left_until_the_reset(reset, millis):
    lines = [b"x-ratelimit-remaining-requests: 0", b"X-RateLimit-Reset-Requests: " + reset]
    assert exhausted_millis(lines, NOON) == millis


def test_the_limit_that_lasts_longest_counts_and_one_with_something_left_does_not():
    lines = [
        b"anthropic-ratelimit-requests-remaining: 0",
        b"anthropic-ratelimit-requests-reset: 2026-01-01T12:00:05Z",
        b"anthropic-ratelimit-output-tokens-remaining: 0",
        b"anthropic-ratelimit-output-tokens-reset: 2026-01-01T12:00:20Z",
        b"anthropic-ratelimit-tokens-remaining: 1000",
        b"anthropic-ratelimit-tokens-reset: 2026-01-01T13:00:00Z",
    ]
    assert exhausted_millis(lines, NOON) == 20_000


def test_less_than_nothing_is_nothing():
    assert exhausted_millis([b"x-ratelimit-remaining-tokens: -3", b"x-ratelimit-reset-tokens: 4"], NOON) == 4_000


def test_whether_to_try_again():
    assert says_retry([b"X-Should-Retry: true"]) is True
    assert says_retry([b"x-should-retry: FALSE"]) is False
    assert says_retry([b"x-should-retry: perhaps"]) is None
    assert says_retry([]) is None
