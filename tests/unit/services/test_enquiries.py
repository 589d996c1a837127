"""Conversations with a provider about what it keeps: what settles an attempt, and what leaves it where it is."""

import contextlib
import json

import pytest

from tokenroll.services.enquiry_desk import converse
from tokenroll.services.finding_out import Enquiry

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
