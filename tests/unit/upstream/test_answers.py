"""Denials and errors as each dialect's own clients read them: type, code, retry rule, and a sentence that helps."""

import json

import pytest

from tests.cast import CREDIT, T0
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.audio import Speech, Transcriptions, Translations
from tokenroll.upstream.completions import Completions
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.images import ImageEdits, ImageGenerations
from tokenroll.upstream.moderations import Moderations
from tokenroll.upstream.openai import ChatCompletions
from tokenroll.upstream.rerank import Rerank, RerankV2
from tokenroll.upstream.responses import Responses

CHAT, MESSAGES = ChatCompletions(), Messages()
EMPTY = Denial(
    "wallet_empty",
    scope="The wallet Ada",
    needed_nanos=CREDIT // 2,
    left_nanos=CREDIT // 8,
    held_nanos=CREDIT // 4,
    next_at=T0,
    next_nanos=10 * CREDIT,
    approver="Bo",
)
SENTENCE = (
    "The wallet Ada has 0.125000000 credits left, and this call may cost up to 0.500000000. 0.250000000 credits are in use by "
    "other calls now. 10.000000000 more credits arrive at 2024-01-01T00:00:00Z. A top-up can be approved by Bo."
)
REPEATED = Denial("call_repeated", call_id="job-1", state="settled", cost_nanos=5)
UNKNOWN = Denial("unknown_model", model="gpt-unheard-of")


def test_an_empty_wallet_in_chat_is_quota_and_is_not_tried_again():
    answer = CHAT.denial(EMPTY)
    assert json.loads(answer.body) == {
        "error": {"message": SENTENCE, "type": "insufficient_quota", "param": None, "code": "wallet_empty"}
    }
    assert answer.status == 429
    assert answer.headers == (
        b"content-type: application/json\r\nx-should-retry: false\r\nx-tokenroll-denied: wallet_empty\r\n"
        b"x-tokenroll-needed: 0.500000000\r\nx-tokenroll-available: 0.125000000\r\n"
    )


@pytest.mark.parametrize(("status", "kind"), [(402, "billing_error"), (400, "invalid_request_error")])
def test_an_empty_wallet_in_messages_is_billing_or_what_the_company_chose(status, kind):
    answer = MESSAGES.denial(EMPTY, status)
    assert json.loads(answer.body) == {
        "type": "error", "error": {"type": kind, "message": SENTENCE, "code": "wallet_empty"}
    }  # fmt: skip
    assert answer.status == status
    assert b"x-should-retry: false\r\n" in answer.headers
    assert b"retry-after" not in answer.headers


@pytest.mark.parametrize(
    ("denial", "chat", "messages"),
    [
        (UNKNOWN, (404, "invalid_request_error", "model_not_found"), (404, "not_found_error", "unknown_model")),
        (
            Denial("not_for_model", model="m", state="the model 'm', only for o"),
            (403, "invalid_request_error", "model_not_found"),
            (403, "permission_error", "not_for_model"),
        ),
        (
            Denial("no_access", model="m", state="the model 'm', only to o"),
            (403, "invalid_request_error", "model_not_found"),
            (403, "permission_error", "no_access"),
        ),
        (
            Denial("no_access", model="m", state="the service tier 'flex', only to standard"),
            (403, "invalid_request_error", "no_access"),
            (403, "permission_error", "no_access"),
        ),
        (REPEATED, (409, "invalid_request_error", "call_repeated"), (409, "conflict_error", "call_repeated")),
        (
            Denial("tier_not_sold", model="m", state="flex"),
            (400, "invalid_request_error", "tier_not_sold"),
            (400, "invalid_request_error", "tier_not_sold"),
        ),
        (
            Denial("not_priced", model="m", state="output"),
            (400, "invalid_request_error", "not_priced"),
            (400, "invalid_request_error", "not_priced"),
        ),
        (
            Denial("call_not_bounded", model="m", state="x"),
            (400, "invalid_request_error", "call_not_bounded"),
            (400, "invalid_request_error", "call_not_bounded"),
        ),
        (
            Denial("too_many_lots", scope="The wallet Ada"),
            (429, "insufficient_quota", "too_many_lots"),
            (402, "billing_error", "too_many_lots"),
        ),
        (
            Denial("not_ready", scope="The wallet Ada"),
            (503, "server_error", "not_ready"),
            (503, "api_error", "not_ready"),
        ),
    ],
)
def test_every_denial_has_its_status_type_and_code(denial, chat, messages):
    for dialect, expected in ((CHAT, chat), (MESSAGES, messages)):
        answer = dialect.denial(denial)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"], error["code"]) == expected
        retry = b"true" if expected[0] == 503 else b"false"
        assert b"x-should-retry: " + retry + b"\r\n" in answer.headers


def test_a_repeated_call_says_what_became_of_it():
    assert REPEATED.sentence() == (
        "The call id job-1 was used before and is never sent twice; that call is settled. It cost 0.000000005 credits. "
        "Use a new id for a new call."
    )


@pytest.mark.parametrize(
    ("status", "chat", "messages"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "invalid_request_error", "authentication_error"),
        (403, "invalid_request_error", "permission_error"),
        (404, "invalid_request_error", "not_found_error"),
        (413, "invalid_request_error", "request_too_large"),
        (415, "invalid_request_error", "invalid_request_error"),
        (429, "requests", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (502, "server_error", "api_error"),
        (503, "server_error", "api_error"),
        (504, "server_error", "timeout_error"),
        (599, "server_error", "api_error"),
    ],
)
def test_every_error_has_its_type(status, chat, messages):
    for dialect, kind in ((CHAT, chat), (MESSAGES, messages)):
        answer = dialect.error(status, "some_code", "Nothing worked.")
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"], error["code"], error["message"]) == (
            status,
            kind,
            "some_code",
            "Nothing worked.",
        )
        assert answer.headers == b"content-type: application/json\r\n"


def test_an_error_may_say_when_to_come_back():
    answer = CHAT.error(503, "tape_full", "The disk is full.", should_retry=True, retry_after_seconds=7)
    assert answer.headers.endswith(b"x-should-retry: true\r\nretry-after: 7\r\nretry-after-ms: 7000\r\n")


def test_the_dialects_know_their_way_upstream():
    assert CHAT.upstream_headers("sk-1") == b"authorization: Bearer sk-1\r\n"
    assert MESSAGES.upstream_headers("sk-2") == b"x-api-key: sk-2\r\n"
    every = (
        CHAT, MESSAGES, Responses(), Completions(), Embeddings(), Moderations(), Rerank(), RerankV2(), ImageGenerations(),
        ImageEdits(), Speech(), Transcriptions(), Translations(),
    )  # fmt: skip
    assert [(one.index, one.family, one.path) for one in every] == [
        (0, "openai", b"/v1/chat/completions"),
        (1, "anthropic", b"/v1/messages"),
        (2, "openai", b"/v1/responses"),
        (3, "openai", b"/v1/completions"),
        (4, "openai", b"/v1/embeddings"),
        (5, "openai", b"/v1/moderations"),
        (6, "openai", b"/v1/rerank"),
        (7, "openai", b"/v2/rerank"),
        (8, "openai", b"/v1/images/generations"),
        (9, "openai", b"/v1/images/edits"),
        (10, "openai", b"/v1/audio/speech"),
        (11, "openai", b"/v1/audio/transcriptions"),
        (12, "openai", b"/v1/audio/translations"),
    ]
