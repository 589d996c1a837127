"""A client that does not read is felt: nothing is read for it without bound, and nobody else pays for it."""

import asyncio

import pytest

from tests.cast import CREDIT
from tests.e2e.rig import Exchange, RawClient, Rig, RigOptions, wallet_terms

BODY = b'{"model":"toy","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}'
ANSWER = (
    b'{"id":"x","object":"chat.completion","model":"toy","choices":[],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},"pad":"'
)
WAIT_TURNS = 400


def asked(case: bytes) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer tr-ada\r\nx-case: %b\r\n"
    return head % case + b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def answer_of(size: int) -> bytes:
    body = ANSWER + b"a" * (size - len(ANSWER) - 2) + b'"}'
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (size, body)


@pytest.fixture(params=["gathered", "at once"])
def rig(tmp_path, request):
    with Rig(tmp_path, RigOptions(wallets=[wallet_terms(1, CREDIT * 1000)])) as one:
        outbox = one.gateway.outbox
        outbox.gathers = request.param == "gathered"
        outbox._unrated = 10**9  # no rate is taken, so it stays like this
        yield one


async def connected(one: Rig) -> RawClient:
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: RawClient([]), "127.0.0.1", one.port)
    return client


async def comes(told, turns=WAIT_TURNS) -> bool:
    for _ in range(turns):
        if told():
            return True
        await asyncio.sleep(0.005)
    return False


def test_a_providers_connection_that_was_held_back_for_one_client_serves_the_next(rig):
    async def story(one: Rig) -> None:
        held_back = 0
        for size in range(
            2_000_000, 9_000_000, 200_000
        ):  # at some size the last piece is what Bo's connection cannot take
            one.provider.scripts[b"large"] = [Exchange([answer_of(size)])]
            bo = await connected(one)
            bo.transport.pause_reading()
            bo.transport.write(asked(b"large"))
            await comes(lambda: any(connection.writing_paused for connection in one.gateway.clients), turns=10)
            held_back += any(connection.writing_paused and not connection.call for connection in one.gateway.clients)
            bo.transport.resume_reading()
            assert await comes(lambda client=bo, whole=size: len(client.got) > whole)
            bo.transport.abort()
            assert await comes(lambda: not one.gateway.clients)
            idle = [connection for pool in one.gateway.pools.values() for connection in pool.idle]
            assert [connection.transport.is_reading() for connection in idle] == [True], f"after {size} bytes"
        assert held_back

    rig.call(story(rig))


def test_a_client_that_asks_on_and_never_reads_gets_no_more_calls(rig):
    async def story(one: Rig) -> None:
        one.provider.scripts[b"large"] = [Exchange([answer_of(800_000)])]
        bo = await connected(one)
        bo.transport.pause_reading()
        for _ in range(80):
            bo.transport.write(asked(b"large"))
            await asyncio.sleep(0.01)
        (connection,) = one.gateway.clients
        assert connection.writing_paused
        waiting = connection.transport.get_write_buffer_size()
        assert waiting < 2_000_000
        asked_before = len(one.provider.received[b"large"])
        assert asked_before < 80
        await asyncio.sleep(0.1)
        assert len(one.provider.received[b"large"]) == asked_before
        bo.transport.resume_reading()  # now Bo reads, and every call that he has asked for is answered
        assert await comes(lambda: bo.got.count(b"HTTP/1.1 200 OK") == 80)
        bo.transport.abort()

    rig.call(story(rig))


def test_a_stream_behind_an_answer_that_nobody_reads_is_not_read_from_its_provider(rig):
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    piece = b"data: {}\n\n" * 50_000
    part = b"%x\r\n%b\r\n" % (len(piece), piece)

    async def story(one: Rig) -> None:
        one.provider.scripts[b"large"] = [Exchange([answer_of(900_000)])]
        one.provider.scripts[b"stream"] = [Exchange([head] + [part] * 60 + [b"0\r\n\r\n"])]
        bo = await connected(one)
        bo.transport.pause_reading()
        bo.transport.write(asked(b"large") * 8 + asked(b"stream"))
        await asyncio.sleep(0.8)
        (connection,) = one.gateway.clients
        assert connection.transport.get_write_buffer_size() < 4_000_000
        bo.transport.resume_reading()
        assert await comes(lambda: bo.got.endswith(b"\r\n0\r\n\r\n"))
        assert bo.got.count(b"data: {}") == 60 * 50_000
        bo.transport.abort()

    rig.call(story(rig))
