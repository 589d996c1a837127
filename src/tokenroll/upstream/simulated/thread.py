"""The simulated provider in a thread of this process, with a loop of its own: for tests, the replay and the demo."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from tokenroll.upstream.simulated.bill import Line
from tokenroll.upstream.simulated.faults import Schedule
from tokenroll.upstream.simulated.provider import Provider, SimulatorOptions
from tokenroll.upstream.simulated.server import serve

T = TypeVar("T")


class SimulatedProvider:
    """A running provider: `with SimulatedProvider(seed=7) as provider: … provider.openai_base_url …`.

    Takes the fields of SimulatorOptions. Every method may be called from any thread; each runs on the provider's own loop.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        port: int = 0,
        **fields: Any,
    ) -> None:
        self._options = replace(options or SimulatorOptions(), **fields)
        self._ssl_context = ssl_context
        self.port = port
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._provider: Provider

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when the port is known. Raises what kept it from listening."""
        self._thread = threading.Thread(target=self._main, name="simulated-provider", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Close every connection and the bill. Stopping twice changes nothing."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
            self._thread = None

    def _main(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:  # noqa: BLE001  handed to the thread that waits in start()
            self._error = error
            self._ready.set()

    async def _serve(self) -> None:
        self._provider = Provider(self._options)
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        server, self.port = await serve(self._provider, "127.0.0.1", self.port, self._ssl_context)
        self._ready.set()
        await self._stopped.wait()
        server.close()
        self._provider.abort_connections()
        await asyncio.sleep(0)
        self._provider.bill.close()

    def _on_loop(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(timeout=60)

    # ---- where it is ----------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Scheme, host and port. The anthropic SDK's base URL."""
        return f"{'https' if self._ssl_context else 'http'}://127.0.0.1:{self.port}"

    @property
    def openai_base_url(self) -> str:
        """The openai SDK's base URL."""
        return f"{self.base_url}/v1"

    # ---- control --------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Withhold every answer from now on."""
        self._on_loop(self._provider.hold)

    def release(self, count: int | None = None) -> int:
        """Let `count` withheld answers go, or all of them and stop withholding; how many went."""
        return self._on_loop(lambda: self._provider.release(count))

    def state(self) -> dict[str, Any]:
        """Counters, withheld calls, the bill's totals."""
        return self._on_loop(self._provider.state)

    def bill(self) -> list[Line]:
        """The bill's lines that count, in order of arrival."""
        return self._on_loop(self._provider.bill.lines)

    def schedule_faults(self, text: str) -> None:
        """Replace the fault schedule, `fault:rate;fault:rate`; the empty text ends it."""

        def change() -> None:
            self._provider.schedule = Schedule(text, self._options.seed)

        self._on_loop(change)

    def abort_connections(self) -> None:
        """Reset every open connection, as a failing provider does."""
        self._on_loop(self._provider.abort_connections)
