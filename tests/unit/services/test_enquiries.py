"""Conversations with a provider about what it keeps: what settles an attempt, and what leaves it where it is."""

import contextlib
import json

import pytest

from tests.cast import make_card
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import METERS, Meter
from tokenroll.services.arguments import checked_arguments, declared_arguments
from tokenroll.services.enquiry_desk import converse
from tokenroll.services.finding_out import Enquiry, _grouped, find_attempt
from tokenroll.services.refusal import Refused

USAGE = {"input_tokens": 21, "output_tokens": 12, "total_tokens": 33}
ABOUT = Enquiry(hold_key=7, call_id="call_1", deployment="openai", stored_name="resp_abc", lapsed_at=0)


class Provider:
    """One that answers each path with a status and a body; what it was asked is kept."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    @contextlib.contextmanager
    def __call__(self, deployment, path):
        self.asked.append((deployment, path))
        status, body = self.answers[path]
        if isinstance(body, Exception):
            raise body
        yield status, iter(body.splitlines(keepends=True))


def stored(**fields):
    return json.dumps({"id": "resp_abc", "model": "gpt-4o-mini-2024", "service_tier": "flex", **fields}).encode()


def about_response(status, body):
    ask = Provider({"/v1/responses/resp_abc": (status, body)})
    outcome = converse(ask, ABOUT)
    assert ask.asked == [("openai", "/v1/responses/resp_abc")]
    return outcome


def test_a_response_that_has_ended_says_what_it_used():
    finding = about_response(200, stored(status="completed", usage=USAGE)).finding
    assert (finding.service_tier, finding.answered_model) == ("flex", "gpt-4o-mini-2024")
    (counts,) = finding.usages
    assert {index: count for index, count in enumerate(counts) if count} == {0: 21, 6: 12, 10: 1}


def test_lines_make_no_difference():
    whole = json.dumps({"id": "resp_abc", "status": "completed", "usage": USAGE}, indent=2).encode()
    assert about_response(200, whole).finding is not None


def test_what_an_answer_without_a_tier_says_is_taken():
    """One that was cancelled names none: told as it is, it must not stay in suspense for that."""
    finding = about_response(
        200, json.dumps({"id": "resp_abc", "status": "cancelled", "usage": USAGE}).encode()
    ).finding
    said = {
        "hold": 1, "usages": [list(one) for one in finding.usages], "service_tier": finding.service_tier,
        "dialect": finding.dialect_index, "is_doubtful": finding.is_doubtful,
    }  # fmt: skip
    assert finding.service_tier == ""
    assert checked_arguments("suspense.find", declared_arguments(find_attempt), said) == said


def test_one_that_failed_used_nothing():
    finding = about_response(200, stored(status="failed", error={"code": "server_error"})).finding
    assert finding.usages == ()


@pytest.mark.parametrize(
    ("status", "body", "is_unknown", "error"),
    [
        (200, stored(status="in_progress"), False, ""),
        (200, stored(status="cancelled"), False, ""),
        (200, stored(status="completed", usage={**USAGE, "input_tokens": -1}), False, ""),
        (200, b"<html>", False, ""),
        (200, b"[1]", False, ""),
        (404, b"{}", True, ""),
        (500, b"", False, "openai answers 500"),
        (0, ConnectionRefusedError("nobody there"), False, "nobody there"),
    ],
)
def test_anything_else_leaves_it_in_suspense(status, body, is_unknown, error):
    outcome = about_response(status, body)
    assert (outcome.finding, outcome.is_unknown, outcome.error) == (None, is_unknown, error)


def test_a_name_that_no_provider_is_asked_by_asks_nobody():
    ask = Provider({})
    outcome = converse(ask, ABOUT._replace(stored_name="../models"))
    assert (outcome.is_unknown, ask.asked) == (True, [])


# ---- batches -----------------------------------------------------------------------------------------------------------------

BATCH = ABOUT._replace(stored_name="msgbatch_1")
PLACE = "/v1/messages/batches/msgbatch_1"
MESSAGE = {"type": "message", "model": "claude-haiku-4-5", "usage": {"input_tokens": 21, "output_tokens": 12}}


def about_batch(*results, status="ended"):
    lines = b"".join(json.dumps({"custom_id": "a", "result": one}).encode() + b"\n" for one in results)
    ask = Provider({PLACE: (200, json.dumps({"processing_status": status}).encode()), PLACE + "/results": (200, lines)})
    return converse(ask, BATCH), [path for _, path in ask.asked]


def test_a_batch_that_has_ended_says_what_each_message_used():
    outcome, asked = about_batch(
        {"type": "succeeded", "message": MESSAGE}, {"type": "errored", "error": {}}, {"type": "expired"}, {"type": "succeeded", "message": MESSAGE}
    )  # fmt: skip
    assert asked == [PLACE, PLACE + "/results"]
    assert outcome.finding is not None
    assert (outcome.finding.service_tier, len(outcome.finding.usages)) == ("batch", 2)


def test_a_batch_of_errors_used_nothing():
    outcome, _ = about_batch({"type": "errored", "error": {}}, {"type": "canceled"})
    assert outcome.finding is not None
    assert outcome.finding.usages == ()


@pytest.mark.parametrize(
    "result",
    [
        {"type": "succeeded", "message": {**MESSAGE, "usage": {"input_tokens": 21}}},
        {"type": "succeeded", "message": {**MESSAGE, "usage": {"input_tokens": -1, "output_tokens": 1}}},
        {"type": "postponed", "message": MESSAGE},
        {"type": 7},
    ],
)
def test_a_batch_of_which_one_line_cannot_be_believed_waits_for_its_bill(result):
    outcome, _ = about_batch({"type": "succeeded", "message": MESSAGE}, result)
    assert outcome.finding is None


def test_a_batch_under_way_is_asked_about_later():
    outcome, asked = about_batch(status="in_progress")
    assert (outcome.finding, asked) == (None, [PLACE])


# ---- batches of a file -----------------------------------------------------------------------------------------------------

FILE_BATCH = ABOUT._replace(stored_name="batch_1")
FILE_PLACE, OUTPUT_PLACE = "/v1/batches/batch_1", "/v1/files/file-out/content"
COMPLETION = {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 21, "completion_tokens": 12, "total_tokens": 33}}
ENDED = {"endpoint": "/v1/chat/completions", "status": "completed", "output_file_id": "file-out"}


def answered(body, status_code=200):
    return {"custom_id": "a", "response": {"status_code": status_code, "body": body}, "error": None}


def about_file_batch(*lines, **fields):
    output = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    said = {FILE_PLACE: (200, json.dumps({**ENDED, **fields}).encode()), OUTPUT_PLACE: (200, output)}
    ask = Provider(said)
    return converse(ask, FILE_BATCH).finding, [path for _, path in ask.asked]


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
def test_a_batch_of_a_file_that_has_ended_says_what_each_line_used(status):
    finding, asked = about_file_batch(
        answered(COMPLETION), answered({"error": {}}, 400), answered(COMPLETION), status=status
    )
    assert asked == [FILE_PLACE, OUTPUT_PLACE]
    assert finding is not None
    assert (finding.service_tier, finding.is_doubtful, finding.dialect_index) == ("batch", False, 14)
    assert [(one[0], one[6]) for one in finding.usages] == [(21, 12), (21, 12)]


@pytest.mark.parametrize(
    ("fields", "is_doubtful"),
    [
        ({"usage": {"input_tokens": 42, "output_tokens": 24}, "request_counts": {"completed": 2}}, False),
        ({"usage": {"input_tokens": 42}}, False),
        ({"usage": {"input_tokens": 41, "output_tokens": 24}}, True),
        ({"usage": {"input_tokens": 42, "output_tokens": 25}}, True),
        ({"request_counts": {"completed": 3}}, True),
    ],
)
def test_its_own_sum_is_compared_and_the_lines_decide(fields, is_doubtful):
    finding, _ = about_file_batch(answered(COMPLETION), answered(COMPLETION), **fields)
    assert finding is not None
    assert (len(finding.usages), finding.is_doubtful) == (2, is_doubtful)


@pytest.mark.parametrize("fields", [{"status": "failed"}, {"status": "cancelled", "request_counts": {"completed": 0}}])
def test_a_batch_without_output_used_nothing(fields):
    finding, asked = about_file_batch(output_file_id=None, **fields)
    assert asked == [FILE_PLACE]
    assert finding is not None
    assert finding.usages == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "in_progress"},
        {"status": "finalizing"},
        {"status": "cancelling"},
        {"output_file_id": None, "request_counts": {"completed": 2}},
        {"output_file_id": "../models"},
        {"endpoint": "/v1/videos"},
    ],
)
def test_a_batch_of_a_file_that_has_not_ended_or_not_all_been_told_is_asked_about_later(fields):
    assert about_file_batch(**fields) == (None, [FILE_PLACE])


@pytest.mark.parametrize(
    "line",
    [
        answered({"model": "gpt-4o-mini"}),
        answered({**COMPLETION, "usage": {"prompt_tokens": -1, "completion_tokens": 12}}),
        answered([COMPLETION]),
        {"response": {"status_code": "200", "body": COMPLETION}},
        7,
    ],
)
def test_a_line_of_output_that_cannot_be_believed_leaves_all_of_it_in_suspense(line):
    assert about_file_batch(answered(COMPLETION), line)[0] is None


def test_verdicts_say_no_usage_because_they_are_free():
    finding, _ = about_file_batch(answered({"model": "m", "results": []}), endpoint="/v1/moderations")
    assert finding is not None
    assert [{index: count for index, count in enumerate(one) if count} for one in finding.usages] == [{10: 1}]


def test_an_answer_may_be_long():
    finding, _ = about_file_batch(answered({**COMPLETION, "data": "x" * 6_000_000}))
    assert finding is not None
    assert not finding.is_doubtful


# ---- what is priced together -------------------------------------------------------------------------------------------------


def counts(input_tokens):
    return (input_tokens, *[None] * (len(METERS) - 1))


def card(*starts):
    table = RateTable(
        base={Meter.INPUT: 1},
        tiers=tuple(RateTier(input_tokens_above=start, rates={Meter.INPUT: 2}) for start in starts),
    )
    prices = {"standard": table, "batch": table}
    return make_card(internal_prices=prices, list_prices=prices, net_prices=prices)


JOB = ABOUT._replace(stored_name="ftjob-abc")


def about_job(**fields):
    ask = Provider({"/v1/fine_tuning/jobs/ftjob-abc": (200, json.dumps({"id": "ftjob-abc", **fields}).encode())})
    return converse(ask, JOB)


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_a_job_that_has_ended_says_what_it_trained(status):
    finding = about_job(status=status, trained_tokens=5_768).finding
    (counts,) = finding.usages
    assert {METERS[index]: count for index, count in enumerate(counts) if count} == {
        Meter.TRAINING: 5_768,
        Meter.REQUEST: 1,
    }
    assert finding.service_tier == "standard"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_ended_before_it_trained_used_nothing(status):
    assert about_job(status=status, trained_tokens=None).finding.usages == ()


@pytest.mark.parametrize("status", ["validating_files", "queued", "running", "paused"])
def test_a_job_under_way_is_asked_about_later(status):
    outcome = about_job(status=status, trained_tokens=None)
    assert (outcome.finding, outcome.is_unknown, outcome.error) == (None, False, "")


@pytest.mark.parametrize("trained", [None, -1, 1.5, "5768", True, 10**13])
def test_a_job_that_does_not_say_what_it_trained_waits_for_its_bill(trained):
    assert about_job(status="succeeded", trained_tokens=trained).finding is None


@pytest.mark.parametrize(
    ("starts", "lengths", "sums"),
    [
        ((), [150, 10, 300], [460]),
        ((200,), [], [None]),
        ((200,), [150, 50, 10], [200, 10]),
        ((200,), [150, 300, 50, 150, 1], [150, 300, 200, 1]),
        ((200, 1_000), [5_000, 200], [5_000, 200]),
    ],
)
def test_short_contexts_together_are_no_long_one(starts, lengths, sums):
    grouped = _grouped(card(*starts), "batch", [counts(one) for one in lengths])
    assert [one[0] for one in grouped] == sums


def test_more_groups_than_a_settlement_tells_apart_stay_in_suspense():
    with pytest.raises(Refused, match="257"):
        _grouped(card(200), "batch", [counts(200)] * 257)
