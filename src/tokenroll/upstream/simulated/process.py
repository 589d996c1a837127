"""The simulated provider as a process of its own."""

import asyncio
import signal
from collections.abc import Callable

import uvloop

from tokenroll.upstream.simulated.provider import Provider, SimulatorOptions
from tokenroll.upstream.simulated.server import serve


async def _run(options: SimulatorOptions, host: str, port: int, on_ready: Callable[[int], None]) -> None:
    provider = Provider(options)
    server, bound = await serve(provider, host, port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    on_ready(bound)
    await stopped.wait()
    server.close()
    provider.abort_connections()
    await asyncio.sleep(0)
    provider.bill.close()


def run(options: SimulatorOptions, host: str, port: int, on_ready: Callable[[int], None]) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is told the port that was bound."""
    uvloop.run(_run(options, host, port, on_ready))
