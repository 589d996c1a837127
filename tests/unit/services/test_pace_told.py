"""What clients are told of limits in their dialect's own headers, and how a denial for a rate reads."""

import json

import pytest

from tests.cast import CREDIT, T0
from tests.desk import CHAT, Desk, lot, make_facts, wallet
from tests.property.test_it_keeps_limits import terms
from tests.unit.model.test_limit import ada_daily
from tokenroll.gateway.answers import DIALECTS
from tokenroll.gateway.heads import ResponseReader
from tokenroll.gateway.telling import forward_lines, special_lines
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.instant import MICROS_PER_SECOND as SECOND
from tokenroll.model.limit import LimitMeasure, WindowKind
from tokenroll.services.hot_limits import paces_of
from tokenroll.services.protocol import Delta, View
from tokenroll.upstream.anthropic import Messages

MESSAGES = Messages()
PROVIDERS = [b"x-ratelimit-limit-requests: 10000", b"x-ratelimit-limit-tokens: 2000000", b"x-request-id: req_1"]
PROVIDERS_ANSWER = ResponseReader().read(b"\r\n".join([b"HTTP/1.1 200 OK", *PROVIDERS]))


def limit(number, **changes):
    facts = {"id": number, "name": f"limit-{number}", "subject_id": 1, "window": WindowKind.MINUTE, "cap": 10}
    return ada_daily(**facts | {"measure": LimitMeasure.CALLS} | changes)


def desk_with(tmp_path, *limits):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)))
    desk.spending.apply_view(View([], [], {}, True, limits=[terms(one) for one in limits]))
    desk.now = T0 + 10 * SECOND
    return desk


def told(hold, dialect=CHAT):
    hold.dialect_index = dialect.index
    lines = special_lines(hold).decode().split("\r\n")[:-1]
    return dict(line.split(": ", 1) for line in lines)


def test_every_dialect_is_found_by_its_number():
    assert [one.index for one in DIALECTS] == list(range(len(DIALECTS)))


def test_a_call_that_a_limit_counts_hears_of_it_and_not_of_the_providers(tmp_path):
    desk = desk_with(tmp_path, limit(1))
    hold = desk.admit()
    hold.first_byte_at = desk.now + SECOND
    assert told(hold) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "49s",
    }
    assert (
        forward_lines(PROVIDERS_ANSWER, hold.limited) == b"x-ratelimit-limit-tokens: 2000000\r\nx-request-id: req_1\r\n"
    )


def test_a_call_that_nothing_counts_hears_the_providers(tmp_path):
    hold = desk_with(tmp_path).admit()
    assert hold.limited is None
    assert forward_lines(PROVIDERS_ANSWER, hold.limited) == b"\r\n".join(PROVIDERS) + b"\r\n"


@pytest.mark.parametrize("enforcement", [Enforcement.OBSERVE, Enforcement.WARN])
def test_a_limit_that_refuses_nobody_slows_nobody_down(tmp_path, enforcement):
    hold = desk_with(tmp_path, limit(1, enforcement=enforcement)).admit()
    assert told(hold) == {}
    assert forward_lines(PROVIDERS_ANSWER, hold.limited) == b"\r\n".join(PROVIDERS) + b"\r\n"


def test_of_each_kind_the_tightest_is_told(tmp_path):
    """1,016 tokens are bounded in and 100 out: 8,984 are left of the input's 10,000, 900 of the output's, 98,884 of all."""
    limits = [
        limit(1, cap=100),
        limit(2, cap=5, window=WindowKind.DAY),
        limit(3, cap=100_000, measure=LimitMeasure.MODEL_TOKENS),
        limit(4, cap=10_000, measure=LimitMeasure.INPUT_TOKENS),
        limit(5, cap=1_000, measure=LimitMeasure.OUTPUT_TOKENS, window=WindowKind.ROLLING, window_seconds=60),
        limit(6, cap=CREDIT, measure=LimitMeasure.CREDITS),
    ]
    desk = desk_with(tmp_path, *limits)
    hold = desk.admit()
    hold.first_byte_at = desk.now
    assert told(hold, MESSAGES) == {
        "anthropic-ratelimit-requests-limit": "5",
        "anthropic-ratelimit-requests-remaining": "4",
        "anthropic-ratelimit-requests-reset": "2024-01-02T00:00:00Z",
        "anthropic-ratelimit-tokens-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "900",
        "anthropic-ratelimit-tokens-reset": "2024-01-01T00:01:11Z",  # the part of the second 10 leaves at 00:01:11
        "anthropic-ratelimit-input-tokens-limit": "10000",
        "anthropic-ratelimit-input-tokens-remaining": "8984",
        "anthropic-ratelimit-input-tokens-reset": "2024-01-01T00:01:00Z",
        "anthropic-ratelimit-output-tokens-limit": "1000",
        "anthropic-ratelimit-output-tokens-remaining": "900",
        "anthropic-ratelimit-output-tokens-reset": "2024-01-01T00:01:11Z",
    }
    assert told(hold)["x-ratelimit-remaining-tokens"] == "900"
    desk.dispatch(hold)
    desk.settle(hold, input=300, cache_read=500, output=20)
    assert told(hold)["x-ratelimit-remaining-tokens"] == "980"
    assert told(hold, MESSAGES)["anthropic-ratelimit-input-tokens-remaining"] == "9700"


def test_an_answer_of_the_next_minute_tells_of_the_next_minute(tmp_path):
    desk = desk_with(tmp_path, limit(1))
    hold = desk.admit()
    hold.first_byte_at = T0 + 60 * SECOND
    assert told(hold) == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "10",
        "x-ratelimit-reset-requests": "0s",
    }


def refusal(dialect, denial):
    answer = dialect.denial(denial)
    headers = dict(line.split(": ", 1) for line in answer.headers.decode().split("\r\n")[:-1])
    return answer.status, json.loads(answer.body)["error"], headers


LAW_4 = (
    "The limit limit-1 (the member Ada) has 84 model tokens left in this minute, and this call may take up to 1116 model tokens. "
    "1116 model tokens are in use by other calls now. There is room for it again at 2024-01-01T00:01:00Z. "
    "A higher cap can be approved by whoever runs the gateway."
)
USED = "the member Ada on tokens per min (TPM): Limit 1200, Used 1116, Requested 1116"


def test_a_rate_that_is_full_reads_as_the_providers_own_and_says_the_rest(tmp_path):
    desk = desk_with(tmp_path, limit(1, cap=1_200, measure=LimitMeasure.MODEL_TOKENS), limit(2))
    desk.admit()
    desk.now += 250_000
    denial = desk.admit()
    status, error, headers = refusal(CHAT, denial)
    assert (status, error["type"], error["code"], error["param"]) == (429, "tokens", "rate_limit_exceeded", None)
    assert error["message"] == f"Rate limit reached for sonnet in {USED}. Please try again in 49.75s. {LAW_4}"
    assert headers == {
        "content-type": "application/json",
        "x-should-retry": "true",
        "retry-after": "50",
        "retry-after-ms": "49750",
        "x-tokenroll-denied": "limit_reached",
        "x-tokenroll-limit": "limit-1",
        "x-tokenroll-limit-needed": "1116 model tokens",
        "x-tokenroll-limit-left": "84 model tokens",
        "x-tokenroll-limit-turns": "2024-01-01T00:01:00Z",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "49.75s",
        "x-ratelimit-limit-tokens": "1200",
        "x-ratelimit-remaining-tokens": "84",
        "x-ratelimit-reset-tokens": "49.75s",
    }
    status, error, headers = refusal(MESSAGES, denial)
    assert (status, error["type"]) == (429, "rate_limit_error")
    assert error["message"] == (
        f"This request would exceed the rate limit of {USED}. Please try again in 49.75s. {LAW_4}"
    )
    assert headers["anthropic-ratelimit-tokens-reset"] == "2024-01-01T00:01:00Z"
    assert headers["retry-after"] == "50"


def test_a_rate_of_calls_is_of_type_requests(tmp_path):
    desk = desk_with(tmp_path, limit(1, cap=1))
    desk.admit()
    _, error, _ = refusal(CHAT, desk.admit())
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert error["message"].startswith(
        "Rate limit reached for sonnet in the member Ada on requests per min (RPM): Limit 1, Used 1, Requested 1."
    )


def test_a_call_above_the_whole_cap_must_ask_for_less_and_is_not_tried_again(tmp_path):
    desk = desk_with(tmp_path, limit(1, cap=800, measure=LimitMeasure.OUTPUT_TOKENS))
    denial = desk.admit(make_facts(output_cap_tokens=900))
    for dialect, kind in ((CHAT, "tokens"), (MESSAGES, "rate_limit_error")):
        status, error, headers = refusal(dialect, denial)
        assert (status, error["type"]) == (429, kind)
        assert "the member Ada on output tokens per min (OTPM): Limit 800, Used 0, Requested 900. " in error["message"]
        assert "It would fit with an output cap of 800 tokens. It is more than the whole cap." in error["message"]
        assert headers["x-should-retry"] == "false"
        assert "retry-after" not in headers
    assert refusal(CHAT, denial)[1]["message"].startswith("Request too large for sonnet in the member Ada")


def test_a_day_that_is_used_up_is_no_rate_limit(tmp_path):
    desk = desk_with(tmp_path, limit(1, cap=1, window=WindowKind.DAY))
    desk.admit()
    denial = desk.admit()
    status, error, headers = refusal(CHAT, denial)
    assert (status, error["type"], error["code"]) == (429, "insufficient_quota", "limit_reached")
    assert (headers["x-should-retry"], headers["x-ratelimit-remaining-requests"]) == ("false", "0")
    assert "retry-after" not in headers
    assert refusal(MESSAGES, denial)[0] == 402
    assert MESSAGES.denial(denial, 400).status == 400


def test_half_a_minute_before_midnight_it_is_one(tmp_path):
    desk = desk_with(tmp_path, limit(1, cap=1, window=WindowKind.DAY))
    desk.now = T0 + 86_370 * SECOND
    desk.admit()
    status, error, headers = refusal(CHAT, desk.admit())
    assert (status, error["code"], headers["retry-after"]) == (429, "rate_limit_exceeded", "30")
    assert "on requests per day (RPD): Limit 1, Used 1, Requested 1. Please try again in 30s." in error["message"]


def test_a_clock_that_is_set_back_leaves_no_limit_raised(tmp_path):
    desk = desk_with(tmp_path, limit(1))
    desk.now = T0 + 60 * SECOND - 9
    desk.call(request=1)
    paces_of(desk.key().limits, T0 + 60 * SECOND + 5)  # an answer looked at the next minute
    desk.now = T0 + 60 * SECOND - 2
    desk.spending.release(desk.admit(), ReleaseReason.NOT_SENT, desk.now)
    (limit_one,) = desk.key().limits
    assert (limit_one.used, limit_one.held) == (0, 0)


def test_a_denial_for_a_pace_names_the_wallet_as_it_is_called_now(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), calls_per_minute_max=1))
    desk.admit()
    renamed = wallet(lot(1, CREDIT), name="Ada Lovelace", calls_per_minute_max=1)
    desk.spending.apply_delta(Delta(1, [renamed], [], [], [], {}))
    assert "the plan of Ada Lovelace" in desk.admit().scope


def test_two_rolling_minutes_are_told_as_a_rate_from_the_first_moment(tmp_path):
    desk = desk_with(tmp_path, limit(1, window=WindowKind.ROLLING, window_seconds=120, cap=1))
    desk.admit()
    # its part of two seconds, which began now, leaves whole: 122 seconds later
    assert desk.admit().retry_after_millis == 122_000
