"""Many at once: no answer comes back before every call was judged, so nothing but a hold keeps the next one out."""

import asyncio
import random
import time

from judge.court import (
    CHAT,
    MESSAGES,
    MODEL,
    RESPONSES,
    SMALL,
    Books,
    Court,
    Finding,
    World,
    denied,
    dollars,
    found,
    served,
)
from judge.gateway import AdapterError, NotOfferedError
from judge.trials import scenario

AFFORDED = 10
RACERS = 200
SCOPED = 40


async def raced(world: World, nanos: int, count: int, afforded: int, scope: str = "") -> tuple[str, Books, int]:
    """What was seen when so many called at once upon a purse for `afforded`: words, books, false denials."""
    purse = await world.purse(nanos, scope)
    answers = await world.race([world.call(purse, number) for number in range(count)])
    books = await world.books(purse)
    false = max(0, afforded - served(answers)) + count - served(answers) - denied(answers)
    return f"{served(answers)} of {count} served, {denied(answers)} refused", books, false


@scenario("T1", "spend above the budget is still served")
async def t1(court: Court) -> Finding:
    async with court.world() as world:
        count = court.few(RACERS)
        bound = await world.bound()
        words, books, false = await raced(world, AFFORDED * bound, count, AFFORDED)
    return found(f"{count} calls at once on a budget for {AFFORDED}", "10 served, nothing overspent", books,
                 false_denials=false, more=words)  # fmt: skip


@scenario("T2", "check, then increment: a race in every scope")
async def t2(court: Court) -> Finding:
    if not court.gateway.scopes:
        raise NotOfferedError("budgets are of keys alone")
    seen, broken = [], set()
    async with court.world() as world:
        bound = await world.bound()
        for scope in court.gateway.scopes:
            words, books, false = await raced(world, AFFORDED * bound, SCOPED, AFFORDED, scope)
            wrong = books.broken(false)
            broken |= set(wrong)
            seen.append(f"{scope}: {words}" + (f" ({', '.join(wrong)}: {books.told()})" if wrong else ""))
    return Finding(f"{SCOPED} calls at once on a budget for {AFFORDED} of each scope ({', '.join(court.gateway.scopes)})",
                   "10 served in each, nothing overspent", "; ".join(seen), tuple(sorted(broken)))  # fmt: skip


@scenario("T3", "a window turns while calls settle")
async def t3(court: Court) -> Finding:
    count, more, room = 50, 80, 60
    async with court.world() as world:
        bound = await world.bound()
        purse, turns_at = await asyncio.to_thread(court.gateway.windowed, room * bound)
        world.begin(purse)
        await asyncio.sleep(max(0.0, turns_at - 4 - time.time()))
        world.provider.hold()
        old = world.send([world.call(purse, number) for number in range(count)])
        await world.judged(old, count)
        await asyncio.sleep(max(0.0, turns_at + 0.3 - time.time()))
        new = world.send([world.call(purse, count + number) for number in range(more)])
        answered = len(old.answers)
        await world.judged(new, more + count - answered)
        world.provider.release()
        before, after = await old.finish(), await new.finish()
        if not (lines := world.lines(purse)):
            raise AdapterError(f"no call on a budget of a window is served: they are answered {before[0].status}")
        cost = sum(line.cost_nanos for line in lines) // len(lines)
        last = [await world.ask(world.call(purse, 1_000 + number)) for number in range(2 * room)]
        books = await world.books(purse)
    old_nanos, new_nanos = served(before) * cost, (served(after) + served(last)) * cost
    broken = [name for name in books.broken() if name in {"free calls", "phantom spend", "lost rows"}]
    broken += ["overspend"] if max(old_nanos, new_nanos) > room * bound else []
    false = max(0, count - served(before)) + max(0, room - served(after))
    false += max(0, (room * bound - bound) // cost - served(after) - served(last))
    seen = (f"{served(before)} served of the old window, {served(after)} at once and {served(last)} one by one in the new: "
            f"{dollars(new_nanos)} of {dollars(room * bound)}; billed {dollars(books.billed_nanos)}, debited {dollars(books.spent_nanos)}")  # fmt: skip
    return Finding(
        f"{count} calls admitted before a window of room for {room} turns and settled after it, {more} more in the new one",
        "each counts in the window that admitted it; the new one serves until it is full, and the bill is debited",
        seen, (*broken, *(["false denials"] if false else [])),
    )  # fmt: skip


@scenario("T4", "every process enforces its own counter")
async def t4(court: Court) -> Finding:
    async with court.world(workers=4) as world:
        count = court.few(RACERS)
        bound = await world.bound()
        words, books, false = await raced(world, AFFORDED * bound, count, AFFORDED)
    return found(f"{count} calls at once at 4 workers on one budget for {AFFORDED}", "10 served by all of them together",
                 books, false_denials=false, more=words)  # fmt: skip


@scenario("T11", "cold counters are filled several times over")
async def t11(court: Court) -> Finding:
    async with court.world() as world:
        bound = await world.bound()
        purse = await world.purse(20 * bound)
        first = [await world.ask(world.call(purse, number)) for number in range(5)]
        await world.books(purse)
        await asyncio.to_thread(court.gateway.kill)
        await asyncio.to_thread(court.gateway.restart)
        asking = [asyncio.to_thread(court.gateway.standing, purse) for _ in range(8)]
        again = world.send([world.call(purse, 100 + number) for number in range(8)])
        told = await asyncio.gather(*asking)
        second = await again.finish()
        books = await world.books(purse)
    wrong = ["a cold balance above the truth"] if any(one.left_nanos > purse.nanos for one in told) else []
    false = 13 - served(first) - served(second)
    return found("5 calls, killed, started; then 8 ask what is left and 8 call at once, all cold",
                 "what is left is what the bill leaves", books, false_denials=false, also_broken=wrong,
                 more=f"{served(second)} of 8 served")  # fmt: skip


@scenario("T12", "the counter says several times what was spent")
async def t12(court: Court) -> Finding:
    lanes, rounds = 8, max(3, 12 // court.scale)
    drifts: list[str] = []
    samples = 0
    async with court.world(first_byte_ms=20) as world:
        bound = await world.bound()
        purse = await world.purse(2 * lanes * rounds * bound)

        async def lane(number: int) -> int:
            calls = [world.call(purse, number * 1_000 + turn) for turn in range(rounds)]
            return sum([(await world.ask(call)).is_served for call in calls])

        working = [asyncio.create_task(lane(number)) for number in range(lanes)]
        while not all(one.done() for one in working):
            billed = sum(line.cost_nanos for line in world.lines(purse) if line.status == "complete")
            told = await asyncio.to_thread(court.gateway.standing, purse)
            later = sum(line.cost_nanos for line in world.lines(purse))
            samples += 1
            forgiven = lanes * rounds * court.gateway.grain_nanos
            if told.left_nanos > purse.nanos - billed + forgiven:
                drifts.append(f"{dollars(told.left_nanos)} left where {dollars(purse.nanos - billed)} can be")
            if told.left_nanos < purse.nanos - later - lanes * bound - forgiven:
                drifts.append(
                    f"{dollars(told.left_nanos)} left where at least {dollars(purse.nanos - later - lanes * bound)} is"
                )
        counts = await asyncio.gather(*working)
        books = await world.books(purse)
    return found(f"{lanes} clients of {rounds} calls each; what is left is asked for {samples} times meanwhile",
                 "never more than the bill leaves, never less than the bill and what is under way leave", books,
                 false_denials=lanes * rounds - sum(counts), also_broken=["a counter that drifts"] if drifts else [],
                 more=f"{len(drifts)} samples off" + (f", such as {drifts[0]}" if drifts else ""))  # fmt: skip


@scenario("T13", "one process races itself")
async def t13(court: Court) -> Finding:
    chance = random.Random(court.seed)
    rounds, count = max(1, 4 // court.scale), 40
    broken: set[str] = set()
    async with court.world(faults="500:0.1;429:0.05;503:0.05", chunk_tokens=1, interval_us=2_000) as world:
        purse = await world.purse(10**9)
        for turn in range(rounds):
            calls = []
            for number in range(count):
                path = chance.choice([CHAT, CHAT, RESPONSES, MESSAGES])
                stream = chance.random() < 0.5
                calls.append(world.call(purse, turn * count + number, path=path, output=chance.choice([16, 40, 90]),
                                        stream=stream, leave_after=chance.choice([None, 1, 5]) if stream else None))  # fmt: skip
            await world.send(calls).finish()
            books = await world.books(purse)
            broken |= set(books.broken())
    return found(f"{rounds} rounds of {count} at once, seeded: whole answers, streams, clients that leave, a fifth of calls refused "
                 "by the provider", "after each round the bill is what was debited, to the nano", books,
                 more=f"{books.line_count} billed", also_broken=sorted(broken - set(books.broken())))  # fmt: skip


@scenario("T16", "one small hold for every call")
async def t16(court: Court) -> Finding:
    count, afforded, output = court.few(100), 3, 2_000
    async with court.world() as world:
        bound = await world.bound(output=output, metadata={"sim_output_tokens": f"{SMALL:04}"})
        purse = await world.purse(afforded * bound)
        sizes = {"sim_output_tokens": f"{output}"}
        answers = await world.race(
            [world.call(purse, number, output=output, metadata=sizes) for number in range(count)]
        )
        books = await world.books(purse)
    false = max(0, afforded - served(answers))
    return found(f"{count} calls of {output} output tokens of {MODEL} at once on a budget for {afforded}",
                 "3 served, nothing overspent", books, false_denials=false,
                 more=f"{served(answers)} served, {denied(answers)} refused")  # fmt: skip
