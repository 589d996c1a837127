"""Every way to a provider, and who may take it."""

import asyncio
import random
from collections.abc import Iterator

from judge.court import (
    CHAT,
    CHEAP,
    MESSAGES,
    MODEL,
    NANOS_PER_TOKEN,
    RESPONSES,
    Court,
    Finding,
    World,
    dollars,
    found,
    served,
)
from judge.gateway import NotOfferedError, Purse
from judge.trials import scenario
from judge.wire import Call

NAMES = ("chat/completions", "responses", "messages", "completions", "embeddings", "moderations", "images/generations",
         "audio/speech", "rerank", "batches", "files", "fine_tuning/jobs", "models", "threads/runs", "realtime")  # fmt: skip
BEFORE = ("", "/v1", "/openai", "/openai/v1", "/anthropic", "/anthropic/v1", "/api/v1", "/v1/proxy/openai", "/passthrough/v1",
          "/openai_passthrough/v1", "/vertex_ai/v1", "/v2", "//v1", "/v1/.", "/v1/../v1", "/%76%31", "/V1", "/v1/engines/gpt-4o",
          "/openai/deployments/gpt-4o", "/-")  # fmt: skip
ASKED_NANOS = 1_234_567_890
AFTER = ("", "/", "//", "?a=1", "%20", ";x", "/../" + NAMES[0], "?api-version=2024-06-01")


def paths(seed: int, count: int) -> Iterator[str]:
    """The plain ones, and a seeded choice of the others."""
    yield from (f"/v1/{name}" for name in NAMES)
    every = [f"{before}/{name}{after}" for before in BEFORE for name in NAMES for after in AFTER]
    yield from random.Random(seed).sample(every, count)


def odd(world: World, purse: Purse, path: str) -> Call:
    """A call at that path with the body that it would have there."""
    known = MESSAGES if "messages" in path else RESPONSES if "responses" in path else CHAT
    call = world.call(purse, 0, path=known)
    return Call(path, call.body, call.headers)


@scenario("T5", "a budget field that is ignored in silence")
async def t5(court: Court) -> Finding:
    async with court.world():
        tried = await asyncio.to_thread(court.gateway.misspelt)
        try:
            echo = await asyncio.to_thread(court.gateway.echoed, ASKED_NANOS)
            read = f"{dollars(ASKED_NANOS)} read back as {dollars(echo)}"
        except NotOfferedError as error:
            echo, read = ASKED_NANOS, str(error)
    taken = [what for what, was_refused in tried if not was_refused]
    is_told = abs(echo - ASKED_NANOS) <= court.gateway.grain_nanos // 2
    broken = [*(["ignored budget fields"] if taken else []), *([] if is_told else ["a budget not echoed"])]
    return Finding(f"{len(tried)} misspelt budgets: {', '.join(what for what, _ in tried)}; one made and read back",
                   "each is refused, and what is made is told",
                   (f"taken: {', '.join(taken)}" if taken else "all refused") + f"; {read}", tuple(broken))  # fmt: skip


@scenario("T6", "routes that pass through escape the budget")
async def t6(court: Court) -> Finding:
    count = court.few(160)
    async with court.world() as world:
        empty, full = await world.purse(1), await world.purse(10**10)
        reached: list[str] = []
        for path in paths(court.seed, count):
            seen = len(world.lines(empty))
            await world.ask(odd(world, empty, path), 20)
            if len(world.lines(empty)) > seen:
                reached.append(path)
        world.begin(full)
        for path in paths(court.seed, count):
            await world.ask(odd(world, full, path), 20)
        books = await world.books(full)
    return found(f"{len(NAMES) + count} paths, plain and odd, with an empty budget and with a full one",
                 "an empty budget reaches no provider; what a full one reaches is debited", books,
                 also_broken=["a way around the budget"] if reached else [],
                 more=f"{len(reached)} paths reached a provider on an empty budget"
                 + (f", such as {reached[0]}" if reached else ""))  # fmt: skip


@scenario("T7", "budgets know one endpoint and not the others")
async def t7(court: Court) -> Finding:
    seen, broken = [], set()
    async with court.world() as world:
        for path in (CHAT, RESPONSES, MESSAGES):
            for stream in (False, True):
                purse = await world.purse(10**9)
                answer = await world.ask(world.call(purse, 1, path=path, stream=stream))
                books = await world.books(purse)
                wrong = books.broken(int(not answer.is_served))
                broken |= set(wrong)
                how = f"{path}{' streamed' if stream else ''}"
                seen.append(f"{how}: billed {dollars(books.billed_nanos)}, debited {dollars(books.spent_nanos)}"
                            + ("" if answer.is_served else f", answered {answer.status}"))  # fmt: skip
    return Finding("the same call at chat completions, responses and messages, whole and streamed",
                   "each is debited what the provider bills for it", "; ".join(seen), tuple(sorted(broken)))  # fmt: skip


@scenario("T8", "a cheap model falls back to a dear one behind the gate")
async def t8(court: Court) -> Finding:
    count = 20
    async with court.world(fallback=True, faults="500:1") as world:
        cheap = world.call(await world.purse(10**9), 0, model=CHEAP)
        into, out = NANOS_PER_TOKEN[CHEAP]
        nanos = len(cheap.body) * into + 16 * out
        purse = await world.purse(2 * nanos)  # two of the cheap, none of the dear
        poor = await world.race([world.call(purse, number, model=CHEAP) for number in range(count)])
        books = await world.books(purse)
        rich = await world.purse(10**9)
        first = await world.ask(world.call(rich, 0, model=CHEAP))
        more = await world.books(rich)
    wrong = [f"{name} of one who can pay" for name in more.broken()]
    return found(f"{count} calls at once to {CHEAP}, whose provider fails, on a budget for 2 of it and none of {MODEL}, its fallback; "
                 "then one of a full budget", "the fallback is asked only where its own price fits", books, also_broken=wrong,
                 more=f"{served(poor)} served, {count - served(poor)} not; the full budget's call answered {first.status}")  # fmt: skip


@scenario("T9", "the master key bypasses budgets")
async def t9(court: Court) -> Finding:
    async with court.world() as world:
        key = await asyncio.to_thread(court.gateway.admin_key)
        purse = await world.purse(10**9)
        mine = type(purse)(key, 10**12, "administrator")
        world.begin(mine)
        statuses = [(await world.ask(world.call(mine, 1, path=path))).status for path in (CHAT, RESPONSES, MESSAGES)]
        await asyncio.sleep(min(3.0, court.gateway.quiet_seconds))
        billed = sum(line.cost_nanos for line in world.lines(mine))
        spent = await asyncio.to_thread(court.gateway.admin_spent_nanos) if billed else 0
    return Finding("an administrator's key calls at chat completions, responses and messages",
                   "refused, or debited to somebody's budget",
                   f"answered {statuses}; billed {dollars(billed)}, debited {dollars(spent)}",
                   ("free calls",) if billed > spent else ())  # fmt: skip
