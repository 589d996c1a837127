"""Every error of ours has an id that a person can quote, where the clients of its dialect look for one; a provider's own keeps its own."""

import json
import re

import pytest

from tests.e2e.edge_table import BODY
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, key_terms, raw_call, wallet_terms
from tests.e2e.test_it_tries_elsewhere import MESSAGES_BODY, TwoWays

REFUSAL = re.compile(r"refusal_[0-9a-f]{32}")
LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down"}}'


def asked(path: str, key: str, body: bytes, extra: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: gw\r\nx-api-key: {key}\r\nx-case: a\r\nConnection: close\r\n{extra}"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answer(rig: Rig, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer, whose length is told rightly."""
    head, _, body = rig.call(raw_call(rig.port, [request])).partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    told = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    assert int(told["content-length"]) == len(body)
    return int(first.split()[1]), told, body


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """Ada has a credit, Bo has none, Dev's key is for another model."""
    options = RigOptions(
        wallets=[wallet_terms(1, CREDIT), wallet_terms(2, 0), wallet_terms(3, CREDIT)],
        keys=[key_terms(1, 1, b"tr-ada"), key_terms(2, 2, b"tr-bo"), key_terms(3, 3, b"tr-dev", models=["other"])],
    )
    with Rig(tmp_path_factory.mktemp("ids"), options) as rig:
        yield rig


REFUSED = {
    "a key that is not known": ("tr-nobody", BODY, MESSAGES_BODY, "", 401, 401),
    "an empty wallet": ("tr-bo", BODY, MESSAGES_BODY, "", 429, 402),
    "a model that the key is not for": ("tr-dev", BODY, MESSAGES_BODY, "", 403, 403),
    "a body that is no JSON": ("tr-ada", b"{", b"{", "", 400, 400),
    "a model that is not there": ("tr-ada", BODY.replace(b"toy", b"tea"), MESSAGES_BODY.replace(b"toy", b"tea"), "", 404, 404),
    "a malformed head": ("tr-ada", BODY, MESSAGES_BODY, "x y: z\r\n", 400, 400),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_refused_has_an_id_in_each_dialect(rig, why):
    key, chat, message, extra, chat_status, message_status = REFUSED[why]
    got, told, body = answer(rig, asked("/v1/chat/completions", key, chat, extra))
    assert got == chat_status
    assert REFUSAL.fullmatch(told["x-request-id"])
    assert set(json.loads(body)) == {"error"}
    assert "request-id" not in told
    got, told, body = answer(rig, asked("/v1/messages", key, message, extra))
    assert got == message_status
    assert REFUSAL.fullmatch(told["request-id"])
    assert json.loads(body)["request_id"] == told["request-id"]
    assert set(json.loads(body)) == {"type", "error", "request_id"}
    assert "x-request-id" not in told


def test_no_two_refusals_have_one_id(rig):
    asking = asked("/v1/nowhere", "tr-ada", b"{}")
    assert len({answer(rig, asking)[1]["x-request-id"] for _ in range(20)}) == 20


def test_an_error_that_ends_a_call_has_the_id_of_the_call(tmp_path):
    with Rig(tmp_path) as rig:
        rig.provider.scripts[b"a"] = [Exchange([b"HTTP/2 no\r\n\r\n"], "fin")]
        got, told, _ = answer(rig, asked("/v1/chat/completions", "tr-ada", BODY))
        assert got == 502
        assert told["x-request-id"].startswith("call_")
        assert f"x-client-request-id: {told['x-request-id']}/1\r\n".encode() in rig.provider.received[b"a"][0]


def test_a_providers_own_error_stays_as_it_came_and_has_no_id_of_ours(tmp_path):
    """Also one that is kept until another deployment has failed, too."""
    limited = b"HTTP/1.1 429 Slow down\r\ncontent-length: %d\r\n\r\n%b" % (len(LIMITED), LIMITED)
    with TwoWays(tmp_path, dialect="anthropic") as rig:
        rig.script([Exchange([limited])], [Exchange([limited])])
        got, told, body = answer(rig, asked("/v1/messages", "tr-ada", MESSAGES_BODY))
        assert (got, body) == (429, LIMITED)
        assert rig.sent() == [1, 1]
        assert not {"request-id", "x-request-id"} & set(told)
        assert told["x-tokenroll-call-id"].startswith("call_")
