"""Each phase of a call has its time: to reach the provider, for the head of its answer, for all of it. On real sockets, money read from the tape.

`toy` costs 2,000 nanos an input token and 10,000 an output token: an answer of 10 and 5 tokens costs 70,000.
"""

import contextlib
import json
import socket

import pytest

from tests.e2e.edge_table import ANSWER, ASKED_BODY, BODY, EVENT, EVENTS, USAGE, chunked
from tests.e2e.rig import Exchange, Rig, RigOptions, raw_call
from tests.e2e.test_it_bills_every_ending import ends, request, whole
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.edge import EdgeLimits


@contextlib.contextmanager
def unwilling(at: str):
    """A port of nobody's that takes part of a connection: its queue is full, or nobody answers the greeting of TLS. Its base URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as queued:
        port = server.getsockname()[1]
        if at == "greeting":
            server.listen(16)
            yield f"https://127.0.0.1:{port}"
            return
        queued.enter_context(socket.create_connection(("127.0.0.1", port), 10))  # one fits a queue of none
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("at", ["door", "greeting"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_provider_that_takes_no_connection_in_time_is_sent_nothing_and_costs_nothing(tmp_path, at, dialect):
    with unwilling(at) as base:
        slow = Deployment(name="slow", dialect=dialect, base_url=base, api_key="sk", connect_seconds=0.2)
        with Rig(tmp_path, RigOptions(deployments=[slow])) as one:
            path = b"/v1/messages" if dialect == "anthropic" else b"/v1/chat/completions"
            data = one.call(raw_call(one.port, [request(path=path)]))
            assert data.startswith(b"HTTP/1.1 502 Bad Gateway")
            error = json.loads(data.partition(b"\r\n\r\n")[2])["error"]
            assert error["type"] == ("api_error" if dialect == "anthropic" else "server_error")
            assert error["message"] == (
                "The provider cannot be reached: no connection within 0.2 seconds. Nothing was sent or charged."
            )
            assert ends(one) == [("released: not sent", 0, "")]


def test_what_one_provider_takes_no_connection_for_in_time_another_one_answers(tmp_path):
    with unwilling("door") as base:
        slow = Deployment(name="slow", dialect="openai", base_url=base, api_key="sk", connect_seconds=0.2)
        options = RigOptions(made=lambda bases: [
            slow, Deployment(name="other", dialect="openai", base_url=bases[0] + "/v1", api_key="sk", priority=2)
        ])  # fmt: skip
        with Rig(tmp_path, options) as one:
            one.provider.scripts[b"a"] = [Exchange([whole()])]
            assert one.call(raw_call(one.port, [request()])).endswith(ANSWER)
            assert ends(one) == [("released: not sent", 0, ""), ("settled", 70_000, "reported")]


DRIP = b"1\r\n:\r\n"
"""A chunk that keeps a stream awake and says nothing."""
NEVER_ENDING = [DRIP] * 1_000_000
"""More than is sent before the gateway has had enough."""


@pytest.mark.parametrize(
    ("body", "begun", "answered"),
    [
        (ASKED_BODY, EVENTS + b"%x\r\n%b\r\n" % (len(EVENT), EVENT), b"HTTP/1.1 200 OK"),
        (BODY, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
         b"HTTP/1.1 504 Gateway Timeout"),
    ],
    ids=["stream", "whole"],
)  # fmt: skip
def test_an_answer_that_drips_for_too_long_is_given_up_and_its_fate_found_out(tmp_path, body, begun, answered):
    """Each byte comes in time, and the last one never does: the time for all of them ends it, long before evidence is written again."""
    options = RigOptions(edge=EdgeLimits(tick_seconds=0.02, evidence_seconds=600), timeouts={"answer_seconds": 0.2})
    with Rig(tmp_path, options) as one:
        one.provider.scripts[b"a"] = [Exchange([begun, *NEVER_ENDING])]
        data = one.call(raw_call(one.port, [request(body)]))
        assert data.startswith(answered)
        assert not data.endswith(b"0\r\n\r\n")
        assert (b'"code": "provider_timeout"' in data) == (body is BODY)
        assert ends(one) == [("suspense", 0, "")]
        assert one.ended()[1][0].finish == "timed out"
        assert one.ask(lambda: not one.provider.open)


def test_an_answer_that_drips_for_too_long_after_its_usage_costs_what_it_said(tmp_path):
    options = RigOptions(edge=EdgeLimits(tick_seconds=0.02, evidence_seconds=600), timeouts={"answer_seconds": 0.2})
    with Rig(tmp_path, options) as one:
        told = EVENTS + chunked(EVENT, USAGE).removesuffix(b"0\r\n\r\n")
        one.provider.scripts[b"a"] = [Exchange([told, *NEVER_ENDING])]
        data = one.call(raw_call(one.port, [request(ASKED_BODY)]))
        assert USAGE in data
        assert ends(one) == [("settled", 70_000, "reported")]
        assert one.ended()[1][0].finish == "timed out"


def test_a_head_that_drips_has_no_more_time_than_a_first_byte(tmp_path):
    options = RigOptions(edge=EdgeLimits(tick_seconds=0.02), timeouts={"first_byte_seconds": 0.2})
    with Rig(tmp_path, options) as one:
        head = [b"HTTP/1.1 200 OK\r\nx-padding: ", *[b"x"] * 60_000]
        one.provider.turns = 100  # so that the head would be too long only after seconds
        one.provider.scripts[b"a"] = [Exchange(head)]
        data = one.call(raw_call(one.port, [request()]))
        assert data.startswith(b"HTTP/1.1 504 Gateway Timeout")
        assert ends(one) == [("suspense", 0, "")]
