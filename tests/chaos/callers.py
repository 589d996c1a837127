"""Clients of a gateway that is shot at: whole answers and streams, some of which are left, asked for again, or go wrong at the provider."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.supervised import Supervised

PATIENCE_SECONDS = 20.0
_FAULTS = (
    "cut=3",
    "drop",
    "500",
    "429",
    "slow-first-byte=300",
    "error-event=2",
    "split-head",
    "stall=2",
    "close-after",
    "cut",
)
"""Of the provider, each for one call of many."""


@dataclass
class Told:
    """What clients were told, for the ledger to be asked about later."""

    statuses: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    """Ids of our calls that a client saw answered with 200, whole or not."""
    by_client_id: dict[str, set[str]] = field(default_factory=dict)
    """Of ids that clients chose: which calls of ours were answered with 200 under each."""
    asked: int = 0
    left: int = 0


@dataclass
class Wish:
    """One request and how long its client stays."""

    head: str
    body: bytes
    client_id: str = ""
    pieces_max: int = 0
    """After so many reads the client leaves; 0: never."""


class Callers:
    """So many loops of clients, each asking one call after the other until it is told to stop."""

    def __init__(self, company: Supervised, seed: int, names: list[str], loops: int) -> None:
        self.told = Told()
        self.stopping = False
        self._company = company
        self._seed = seed
        self._names = names
        self._loops = loops

    async def run(self) -> None:
        """Until `stopping`, and until the last client has its answer or has left."""
        await asyncio.gather(*(self._loop(number) for number in range(self._loops)))

    async def _loop(self, number: int) -> None:
        rng = random.Random(f"{self._seed}/client {number}")
        count = 0
        while not self.stopping:
            count += 1
            wish = self._wish(rng, f"{number}-{count}")
            await self._ask(wish)
            while wish.client_id and rng.random() < 0.5:
                await self._ask(wish)
            await asyncio.sleep(rng.expovariate(12))

    def _wish(self, rng: random.Random, name: str) -> Wish:
        who = rng.choice(self._names)
        key = self._company.keys[who]
        headers = {
            "x-sim-output-tokens": str(rng.randint(1, 40)),
            "x-sim-chunk-tokens": "4",
            "x-sim-interval-us": str(rng.choice((0, 1_000, 20_000, 60_000))),
        }
        if rng.random() < 0.15:
            headers["x-sim-fault"] = rng.choice(_FAULTS)
        wish = Wish("", b"", pieces_max=rng.choice((0, 0, 0, 1, 3)))
        if rng.random() < 0.3:
            wish.client_id = headers["x-tokenroll-call-id"] = f"chaos-{self._seed}-{name}"
        body = {
            "max_tokens": 40,
            "stream": rng.random() < 0.6,
            "messages": [{"role": "user", "content": "x" * rng.randint(1, 400)}],
        }
        if rng.random() < 0.3:
            path, body["model"] = "/v1/messages", "claude-haiku-4-5"
            headers |= {"x-api-key": key, "anthropic-version": "2023-06-01"}
        else:
            path, body["model"] = "/v1/chat/completions", "gpt-4o-mini"
            headers["authorization"] = f"Bearer {key}"
        wish.body = json.dumps(body).encode()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        wish.head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{lines}content-length: {len(wish.body)}\r\n\r\n"
        return wish

    async def _ask(self, wish: Wish) -> None:
        self.told.asked += 1
        writer = None
        status = "no connection"
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._company.port)
                status = "no answer"
                writer.write(wish.head.encode() + wish.body)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                status = head.split()[1]
                self._heard(wish, status, head)
                pieces = 0
                while await reader.read(65536):
                    pieces += 1
                    if pieces == wish.pieces_max:
                        self.told.left += 1
                        break
        if writer is not None:
            writer.transport.abort()
        self.told.statuses[status] += 1

    def _heard(self, wish: Wish, status: str, head: str) -> None:
        found = head.partition("x-tokenroll-call-id: ")[2].partition("\r\n")[0]
        if status == "200":
            assert found, head
            self.told.answered.add(found)
            if wish.client_id:
                self.told.by_client_id.setdefault(wish.client_id, set()).add(found)
