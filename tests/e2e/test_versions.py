"""Anthropic answers nobody who does not say which version is meant; a client's own word goes on, ours stands in for it."""

import http.client
import json

import pytest

from tests.e2e.edge_table import BODY
from tests.e2e.rig import Exchange, Rig, raw_call
from tests.e2e.test_it_bills_every_ending import request
from tokenroll.testing import SimulatedProvider

OURS = b"anthropic-version: 2023-06-01\r\n"
THEIRS = b"Anthropic-Version: 2023-01-01\r\n"
COUNT = b"/v1/messages/count_tokens"
MESSAGE = b'{"type":"message","model":"toy","content":[],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(MESSAGE) + MESSAGE


def sent(folder, path: bytes, version: bytes = b"") -> bytes:
    """What the provider was sent, for a request whose client sent `version`."""
    with Rig(folder) as one:
        one.provider.scripts[b"a"] = [Exchange([ANSWER])]
        data = one.call(raw_call(one.port, [request(path=path, extra=b"Connection: close\r\n" + version)]))
        assert data.startswith(b"HTTP/1.1 200 OK\r\n")
        (received,) = one.provider.received[b"a"]
    return received


@pytest.mark.parametrize("path", [b"/v1/messages", COUNT])
def test_a_client_that_names_no_version_means_ours(tmp_path, path):
    received = sent(tmp_path, path)
    assert received.count(OURS) == 1
    assert received.lower().count(b"anthropic-version") == 1


@pytest.mark.parametrize("path", [b"/v1/messages", COUNT])
def test_a_clients_own_version_goes_on_as_it_came(tmp_path, path):
    received = sent(tmp_path, path, THEIRS)
    assert received.count(THEIRS) == 1
    assert received.lower().count(b"anthropic-version") == 1


def test_openais_endpoints_have_none(tmp_path):
    assert b"anthropic-version" not in sent(tmp_path, b"/v1/chat/completions").lower()


def test_later_requests_of_a_connection_have_it_too(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([ANSWER])] * 3
        first, second = request(path=b"/v1/messages", extra=b""), request(path=b"/v1/messages")
        one.call(raw_call(one.port, [first, first.replace(b"hi", b"ho"), second]))
        assert [received.count(OURS) for received in one.provider.received[b"a"]] == [1, 1, 1]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/messages"), ("POST", COUNT.decode()), ("GET", "/v1/messages/batches/msgbatch_1/results")],
)
@pytest.mark.parametrize(
    ("version", "why"),
    [
        (None, "anthropic-version: header is required"),
        ("2020-01-01", 'anthropic-version: "2020-01-01" is not a valid version'),
    ],
)
def test_the_simulated_provider_insists_as_anthropic_does(method, path, version, why):
    with SimulatedProvider() as provider:
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
        headers = {} if version is None else {"anthropic-version": version}
        connection.request(method, path, BODY if method == "POST" else None, headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
    assert answer.status == 400
    assert told["type"] == "error"
    assert told["error"] == {"type": "invalid_request_error", "message": why}


@pytest.mark.parametrize("version", ["2023-01-01", "2023-06-01", "2026-10-21"])
def test_the_simulated_provider_knows_every_version_there_was(version):
    with SimulatedProvider() as provider:
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
        body = b'{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
        connection.request("POST", "/v1/messages", body, {"anthropic-version": version})
        status = connection.getresponse().status
        connection.close()
    assert status == 200
