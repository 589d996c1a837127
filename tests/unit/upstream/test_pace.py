"""How far limits are used, as the clients of both dialects read it."""

import pytest

from tests.cast import utc
from tokenroll.upstream.pace import (
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    Pace,
    anthropic_lines,
    duration,
    not_replaced,
    openai_lines,
)

NOW = utc("2026-03-04T10:17:05")
PACES = [
    Pace(REQUESTS, 60, 59, NOW + 1_000_000),
    Pace(TOKENS, 150_000, 149_984, NOW + 360_000_000),
    Pace(INPUT_TOKENS, 100_000, 99_000, NOW + 1),
    Pace(OUTPUT_TOKENS, 50_000, 0, NOW),
]


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (-1, b"0s"),
        (0, b"0s"),
        (1, b"1ms"),  # rounded up: never too early
        (20_000, b"20ms"),
        (546_001, b"547ms"),
        (999_001, b"1s"),
        (1_000_000, b"1s"),
        (1_500_000, b"1.5s"),
        (52_805_000, b"52.805s"),
        (172_800_000, b"2m52.8s"),
        (360_000_000, b"6m0s"),
        (3_600_000_000, b"1h0m0s"),
        (5_400_000_000, b"1h30m0s"),
        (86_399_999_999, b"24h0m0s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(micros, text):
    assert duration(micros) == text


def test_openais_clients_read_requests_and_tokens():
    assert openai_lines(PACES, NOW) == (
        b"x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1s\r\n"
        b"x-ratelimit-limit-tokens: 150000\r\nx-ratelimit-remaining-tokens: 149984\r\nx-ratelimit-reset-tokens: 6m0s\r\n"
    )


def test_anthropics_clients_read_all_four_and_an_instant():
    lines = anthropic_lines(PACES).decode().split("\r\n")
    assert lines[:3] == [
        "anthropic-ratelimit-requests-limit: 60",
        "anthropic-ratelimit-requests-remaining: 59",
        "anthropic-ratelimit-requests-reset: 2026-03-04T10:17:06Z",
    ]
    assert lines[6:] == [
        "anthropic-ratelimit-input-tokens-limit: 100000",
        "anthropic-ratelimit-input-tokens-remaining: 99000",
        "anthropic-ratelimit-input-tokens-reset: 2026-03-04T10:17:06Z",  # in whole seconds, and not too early
        "anthropic-ratelimit-output-tokens-limit: 50000",
        "anthropic-ratelimit-output-tokens-remaining: 0",
        "anthropic-ratelimit-output-tokens-reset: 2026-03-04T10:17:05Z",
        "",
    ]


def test_only_the_providers_lines_of_the_same_kind_give_way():
    lines = [
        b"content-type: application/json",
        b"X-RateLimit-Limit-Requests: 10000",
        b"x-ratelimit-remaining-tokens: 9",
        b"x-ratelimit-limit-project-tokens: 7",
        b"anthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z",
        b"anthropic-ratelimit-input-tokens-limit: 5",
        b"anthropic-ratelimit-unified-status: allowed",
    ]
    assert not_replaced(lines, 0) == lines
    assert not_replaced(lines, 1 << REQUESTS) == [lines[0], lines[2], lines[3], *lines[5:]]
    assert not_replaced(lines, 1 << TOKENS | 1 << INPUT_TOKENS) == [lines[0], lines[1], lines[3], lines[4], lines[6]]
