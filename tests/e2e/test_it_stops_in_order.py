"""A worker that stops answers whoever has begun to call, tells whoever has only connected, and waits for nobody else."""

import asyncio

from tests.e2e.edge_table import ANSWER
from tests.e2e.rig import Exchange, Rig, raw_call
from tests.e2e.test_it_bills_every_ending import ends, request, whole


def test_a_stopping_worker_finishes_what_it_has_begun(tmp_path):
    with Rig(tmp_path) as one:
        one.provider.turns = 300
        one.provider.scripts[b"a"] = [Exchange([b"", whole()])]

        async def stop_under_way() -> bytes:
            call = asyncio.ensure_future(raw_call(one.port, [request(extra=b"")]))
            while b"a" not in one.provider.received:  # noqa: ASYNC110 - the provider has no event for it
                await asyncio.sleep(0.001)
            await one.gateway.stop()
            return await call

        data = one.call(stop_under_way())
        assert data.endswith(ANSWER)
        assert ends(one) == [("settled", 70_000, "reported")]


async def connected(one):
    """A client that the gateway has taken and that has said nothing yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
    while not one.gateway.clients:  # noqa: ASYNC110 - the gateway has no event for it
        await asyncio.sleep(0.001)
    return reader, writer


def test_who_has_only_connected_when_a_worker_ends_is_told_to_come_again(tmp_path):
    """Its call is on its way, and not every client sends a call again whose connection was closed on it."""
    with Rig(tmp_path) as one:

        async def call_of_a_moment_later() -> bytes:
            reader, writer = await connected(one)
            one.gateway.not_ready = "The gateway is ending; try again in a moment."  # as the life of a worker does
            stopping = asyncio.ensure_future(one.gateway.stop())
            await asyncio.sleep(0.1)
            writer.write(request(extra=b""))
            data = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            await stopping
            return data

        data = one.call(call_of_a_moment_later())
        assert data.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in data
        assert b"connection: close\r\n" in data
        assert b"The gateway is ending; try again in a moment." in data
        assert one.provider.received == {}
        assert ends(one) == []


def test_who_has_only_connected_and_says_nothing_holds_no_stop_up(tmp_path):
    with Rig(tmp_path) as one:

        async def nothing_is_said() -> bytes:
            reader, writer = await connected(one)
            await asyncio.wait_for(one.gateway.stop(), 5)  # its calls may take 30 s to end
            writer.close()
            return await reader.read()

        assert one.call(nothing_is_said()) == b""
