"""SIGKILL at the moments that matter, and who is gone before the answer comes."""

import asyncio
from functools import partial

from judge.court import CHAT, MESSAGES, RESPONSES, Court, Finding, found, served
from judge.trials import scenario
from judge.wire import Calls

PATHS = (CHAT, RESPONSES, MESSAGES)


async def killed(court: Court, *, between: bool = True) -> None:
    """Dead and alive again, both at once."""
    await asyncio.to_thread(court.gateway.kill)
    if between:
        await asyncio.to_thread(court.gateway.restart)


def operator(court: Court) -> str:
    """What is said of the step that an operator takes."""
    return f", then {court.gateway.operators_step}" if court.gateway.operators_step else ""


@scenario("T10", "holds leak, and a budget is exceeded by nobody")
async def t10(court: Court) -> Finding:
    afforded, first = 16, 12
    async with court.world() as world:
        bound = await world.bound()
        purse = await world.purse(afforded * bound)
        world.provider.hold()
        under_way = world.send([world.call(purse, number) for number in range(first)])
        await world.until(lambda: world.provider.state()["held"] == first)
        await killed(court, between=False)
        world.provider.release()
        await under_way.finish()
        await asyncio.to_thread(court.gateway.restart)
        books = await world.books(purse, after_crash=True)
        # whatever the bill left can be spent: as many calls at once as it has room for
        room = (purse.nanos - books.billed_nanos) // bound
        again = await world.race([world.call(purse, 100 + number) for number in range(room)])
        books = await world.books(purse, after_crash=True)
    return found(f"{first} calls at the provider, SIGKILL, started again{operator(court)}; then {room} more, all that the bill "
                 "leaves room for", "the bill is debited, all else can be spent again", books,
                 false_denials=room - served(again), more=f"{served(again)} of {room} served")  # fmt: skip


@scenario("T23", "SIGKILL loses what was spent")
async def t23(court: Court) -> Finding:
    count = court.few(40)
    async with court.world() as world:
        purse = await world.purse(10**9)
        answers = await world.send([world.call(purse, number) for number in range(count)]).finish()
        await killed(court)
        books = await world.books(purse)
    return found(f"{count} calls at once, SIGKILL as soon as the last answer is there, started again",
                 "every answered call is debited and on record", books, false_denials=count - served(answers))  # fmt: skip


def _in_mid_stream(calls: Calls, count: int) -> bool:
    """Whether each of the first so many has three pieces, or nobody waits any more."""
    return min(calls.pieces[:count]) >= 3 or len(calls.answers) == len(calls.pieces)


@scenario("K1", "SIGKILL in mid-stream, again and again")
async def k1(court: Court) -> Finding:
    lives, count = max(1, 3 // court.scale), 12
    async with court.world(chunk_tokens=1, interval_us=4_000) as world:
        purse = await world.purse(10**9)
        for life in range(lives):
            calls = [world.call(purse, life * 100 + number, output=120, stream=True) for number in range(count)]
            calls += [world.call(purse, life * 100 + 50 + number) for number in range(count)]
            under_way = world.send(calls)
            await world.until(partial(_in_mid_stream, under_way, count), 20)
            await killed(court)
            await under_way.finish()
        books = await world.books(purse, after_crash=True)
    return found(f"{lives} times: {count} streams and {count} whole answers at once, SIGKILL after the third piece of each stream, "
                 f"started again{operator(court)}", "what the provider billed is debited, once", books)  # fmt: skip


@scenario("K2", "a client tries again with the same Idempotency-Key")
async def k2(court: Court) -> Finding:
    count = 6
    async with court.world(first_byte_ms=100) as world:
        purse = await world.purse(10**9)
        calls = []
        for number in range(count):
            call = world.call(purse, number)
            again = {**call.headers, "idempotency-key": f"try-{court.seed}-{number}"}
            calls += [type(call)(call.path, call.body, again)] * 2
        await world.send(calls[::2]).finish(0.05)  # gone before the answer
        await world.send(calls[1::2]).finish()
        await killed(court)
        await world.send(calls[1::2]).finish()
        books = await world.books(purse, after_crash=True)
    return found(f"{count} calls whose clients leave at once, try again, and once more after a SIGKILL and a start{operator(court)}",
                 "what the provider billed is debited, neither more nor less", books)  # fmt: skip


@scenario("T17", "a client that leaves in mid-stream is not recorded")
async def t17(court: Court) -> Finding:
    count, pieces = court.few(16), 5
    async with court.world(chunk_tokens=1, interval_us=10_000) as world:
        purse = await world.purse(10**9)
        calls = [world.call(purse, number, output=100, stream=True, leave_after=pieces, path=PATHS[number % 3])
                 for number in range(count)]  # fmt: skip
        await world.send(calls).finish()
        books = await world.books(purse)
    return found(f"{count} streams at three endpoints, each client gone after {pieces} pieces",
                 "what the provider billed is debited, a row for each", books)  # fmt: skip


@scenario("T18", "a client that leaves before a whole answer pays its input only")
async def t18(court: Court) -> Finding:
    count = court.few(16)
    async with court.world() as world:
        purse = await world.purse(10**9)
        world.provider.hold()
        under_way = world.send([world.call(purse, number, path=PATHS[number % 3]) for number in range(count)])
        await world.until(lambda: world.provider.state()["held"] == count)
        under_way.leave()
        await asyncio.sleep(0.5)
        world.provider.release()
        await under_way.finish()
        books = await world.books(purse)
    return found(f"{count} calls without streaming, all clients gone before the provider answers",
                 "what the provider billed is debited, a row for each", books)  # fmt: skip


@scenario("T15", "cancelled streams cost their hold, and block light users")
async def t15(court: Court) -> Finding:
    count = court.few(20)
    async with court.world(chunk_tokens=1, interval_us=8_000) as world:
        bound = await world.bound(output=200)
        purse = await world.purse(count * bound)
        calls = [world.call(purse, number, output=200, stream=True, leave_after=2) for number in range(count)]
        await world.send(calls).finish()
        books = await world.books(purse)
        room = min(3, (purse.nanos - books.billed_nanos) // bound)
        again = [await world.ask(world.call(purse, 100 + number, output=200)) for number in range(room)]
        books = await world.books(purse)
    return found(f"{count} streams on a budget for {count}, each client gone after 2 pieces; then {room} more calls",
                 "nobody is debited more than the bill, and what it left can be spent", books,
                 false_denials=room - served(again))  # fmt: skip
