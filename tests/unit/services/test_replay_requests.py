"""A replayed call is as large as it was recorded, and shares the prefixes that were recorded."""

import asyncio
import json

import pytest

from tokenroll.services.replay_client import Exchange, Pool
from tokenroll.services.replay_requests import body_of, cap_of, prompt_parts, request_of
from tokenroll.services.replaying import quantile
from tokenroll.services.traces import TraceCall
from tokenroll.testing import SimulatedProvider


def call(**changes) -> TraceCall:
    facts = {
        "line": 7, "at": 0, "model": "gpt-4o-mini", "session": "", "input_tokens": 1_300, "output_tokens": 90,
        "blocks": (1, 2, 3), "block_tokens": 512,
    }  # fmt: skip
    return TraceCall(**{**facts, **changes})


def test_it_fills_a_prompt_with_four_bytes_for_each_token():
    for one in (call(), call(blocks=()), call(input_tokens=1), call(input_tokens=5_000), call(input_tokens=513)):
        assert sum(map(len, prompt_parts(one))) == 4 * one.input_tokens


def test_it_shares_a_prefix_exactly_as_far_as_the_blocks_agree():
    one, other = prompt_parts(call()), prompt_parts(call(line=8, blocks=(1, 2, 4)))
    assert one[:2] == other[:2]
    assert one[2] != other[2]
    # what no block covers is each call's own
    assert prompt_parts(call(input_tokens=2_000))[3] != prompt_parts(call(line=8, input_tokens=2_000))[3]


def test_it_asks_for_a_round_cap_that_holds_the_answer():
    assert [cap_of(tokens) for tokens in (0, 64, 65, 4_097, 200_000)] == [64, 64, 256, 8_192, 200_000]


def test_it_speaks_the_models_dialect():
    chat = json.loads(body_of(call(), stream=True))
    assert (chat["model"], chat["max_completion_tokens"], chat["stream"]) == ("gpt-4o-mini", 256, True)
    assert len(chat["messages"][0]["content"]) == 5_200
    message = json.loads(body_of(call(model="claude-haiku-4-5"), stream=False))
    parts = message["messages"][0]["content"]
    assert [len(part["text"]) for part in parts] == [2_048, 2_048, 1_104]
    assert ["cache_control" in part for part in parts] == [False, False, True]
    assert "stream" not in message
    head = request_of(call(model="claude-haiku-4-5"), b"{}", host="h:1", key="k").split(b"\r\n")
    assert head[0] == b"POST /v1/messages HTTP/1.1"
    assert b"x-api-key: k" in head
    assert b"x-sim-output-tokens: 90" in head


def test_it_salts_a_probe_so_that_no_cache_knows_it():
    plain, salted = body_of(call(), stream=False), body_of(call(), stream=False, salt="probe 1 ")
    assert len(salted) == len(plain) + 8
    assert b"probe 1 b0000000001 " in salted


def exchange_all(address: tuple[str, int], requests: list[bytes], connections: int) -> list[Exchange]:
    """Every request sent, and the exchanges in the order in which they ended."""
    done: list[Exchange] = []

    async def run() -> None:
        finished = asyncio.Event()

        def one_done(exchange: Exchange) -> None:
            done.append(exchange)
            if len(done) == len(requests):
                finished.set()

        host, port = address
        pool = Pool(host, port, connections, one_done)
        for number, request in enumerate(requests):
            pool.submit(Exchange(request, number, 0))
        await asyncio.wait_for(finished.wait(), 60)
        pool.close()
        await asyncio.sleep(0)

    asyncio.run(run())
    return done


@pytest.fixture(scope="module")
def provider():
    with SimulatedProvider(seed=7) as running:
        yield running


def test_it_sends_many_calls_over_few_connections(provider):
    before = provider.state()["connections"]
    body = body_of(call(), stream=False)
    requests = [request_of(call(), body, host="x", key="k") for _ in range(300)]
    done = exchange_all(("127.0.0.1", provider.port), requests, 8)
    assert sorted(exchange.tag for exchange in done) == list(range(300))
    assert {exchange.status for exchange in done} == {200}
    assert provider.state()["connections"] - before == 8
    for exchange in done:
        assert 0 <= exchange.provider_ns <= exchange.first_byte_ns - exchange.sent_ns
        assert exchange.way_ns > 0
        assert exchange.done_ns >= exchange.first_byte_ns


def test_it_says_why_a_call_was_not_served(provider):
    body = body_of(call(), stream=True)

    def faulty(fault: str) -> bytes:
        return request_of(call(), body, host="x", key="k", more=f"x-sim-fault: {fault}\r\n")

    unknown = request_of(call(), body_of(call(model="gpt-nowhere"), stream=False), host="x", key="k")
    done = exchange_all(("127.0.0.1", provider.port), [faulty("429"), faulty("500"), faulty("cut"), unknown], 1)
    reasons = {exchange.tag: exchange.reason for exchange in done}
    assert reasons == {0: "rate_limit_exceeded", 1: "server_error", 2: "connection_lost", 3: "model_not_found"}


def test_it_says_that_nobody_listens():
    (exchange,) = exchange_all(("127.0.0.1", 1), [b"GET / HTTP/1.1\r\n\r\n"], 1)
    assert exchange.reason == "connection_refused"


def test_it_takes_the_value_below_which_a_share_lies():
    assert quantile([], 0.5) == 0
    assert quantile([1, 2, 3, 4], 0.5) == 3
    assert quantile([1, 2, 3, 4], 0.99) == 4
