"""How calls end: errors before the first byte, usage that is zero, missing or cached, models without a price, and sums to the nano."""

from typing import Any

from judge.court import CHAT, MESSAGES, MODEL, RESPONSES, Court, Finding, found, served
from judge.trials import scenario

PATHS = (CHAT, RESPONSES, MESSAGES)
FAILURES: dict[str, dict[str, Any]] = {
    "429": {"faults": "429:1"},
    "500": {"faults": "500:1"},
    "503": {"faults": "503:1"},
    "529": {"faults": "529:1"},
    "401": {"api_key": "sk-of-somebody-else"},
    "no answer": {"faults": "drop:1"},
    "an answer too late": {"faults": "slow-first-byte=5000:1"},
}


@scenario("T14", "a hold stays when a call fails before its first byte")
async def t14(court: Court) -> Finding:
    failures = list(FAILURES.items())[: None if court.scale == 1 else 2]
    seen, broken = [], set()
    for name, options in failures:
        patience = 2 if "late" in name else 0
        async with court.world(patience_seconds=patience, **options) as world:
            into_bound = 10**7
            purse = await world.purse(into_bound)
            for path in PATHS:
                await world.ask(world.call(purse, 1, path=path))
            books = await world.books(purse, after_crash=name in {"no answer", "an answer too late"})
            wrong = books.broken()
            broken |= set(wrong)
            seen.append(f"{name}: {'released' if not wrong else ', '.join(wrong) + ' (' + books.told() + ')'}")
    return Finding(f"the provider fails ({', '.join(name for name, _ in failures)}) at chat completions, responses and messages",
                   "nothing stays held, and what was billed all the same is debited", "; ".join(seen),
                   tuple(sorted(broken)))  # fmt: skip


@scenario("T19", "a zero that was reported is replaced by an estimate")
async def t19(court: Court) -> Finding:
    async with court.world(faults="zero-usage:1") as world:
        purse = await world.purse(10**8)
        answers = [await world.ask(world.call(purse, number, path=path)) for number, path in enumerate(PATHS)]
        books = await world.books(purse)
    return found("the provider reports, and bills, no tokens at chat completions, responses and messages", "nothing is debited",
                 books, false_denials=len(PATHS) - served(answers))  # fmt: skip


@scenario("T22", "an answer without usage is free, or has no row")
async def t22(court: Court) -> Finding:
    count = 6
    async with court.world(faults="missing-usage:1") as world:
        purse = await world.purse(10**8)
        charges: list[int] = []
        before = 0
        for number in range(count):
            await world.ask(world.call(purse, number, path=PATHS[number % 3], stream=number % 2 == 1))
            books = await world.books(purse, must_agree=False)
            charges.append(books.spent_nanos + books.open_nanos - before)
            before = books.spent_nanos + books.open_nanos
    free = sum(charge <= 0 for charge in charges)
    broken = [*(["free calls"] if free else []), *(["lost rows"] if books.lost_rows else [])]
    return Finding(f"{count} answers that do not say their usage, at three endpoints, whole and streamed",
                   "each is estimated and on record, none is free",
                   f"{free} of {count} free, {books.lost_rows} rows lost; {books.told()}", tuple(broken))  # fmt: skip


@scenario("T24", "cached tokens are counted twice, or otherwise in a stream")
async def t24(court: Court) -> Finding:
    text = "An allowance is told in full, and every page of it is read again. " * 100
    async with court.world() as world:
        purse = await world.purse(10**9)
        answers = [await world.ask(world.call(purse, 0, text=text, stream=stream)) for stream in (False, False, True)]
        cached = sum(line.usage.get("cache_read", 0) for line in world.lines(purse))
        books = await world.books(purse)
    return found(f"one prompt of {len(text)} bytes three times, the last time streamed; the provider read {cached} tokens of it from "
                 "its cache", "each is debited what the provider bills", books,
                 false_denials=len(answers) - served(answers))  # fmt: skip


@scenario("T31", "an unknown model costs nothing")
async def t31(court: Court) -> Finding:
    async with court.world() as world:
        purse = await world.purse(10**9)
        answers = [await world.ask(world.call(purse, number, model="model", stream=stream))
                   for number, stream in enumerate((False, True))]  # fmt: skip
        books = await world.books(purse)
    return found("a model that the provider sells and that no price is known of, whole and streamed",
                 "refused, or debited what the provider bills", books,
                 more=f"answered {[one.status for one in answers]}")  # fmt: skip


@scenario("T40", "sums drift between bill, rows and balance")
async def t40(court: Court) -> Finding:
    count = court.few(120)
    async with court.world() as world:
        purse = await world.purse(10**9)
        calls = [world.call(purse, number, model=(MODEL, "gpt-4o-mini")[number % 2], output=16 + number % 7)
                 for number in range(count)]  # fmt: skip
        answers = await world.send(calls).finish()
        books = await world.books(purse)
        rows = court.gateway.rows(purse)
    off = abs(books.billed_nanos - books.spent_nanos)
    in_rows = abs(sum(rows) - books.billed_nanos) if rows is not None else 0
    broken = [*(["sums off"] if off or in_rows else []), *(["lost rows"] if books.lost_rows else [])]
    more = "no rows to add up" if rows is None else f"{len(rows)} rows, off by {in_rows} nanos"
    return Finding(f"{count} calls of two models and seven lengths", "bill, rows and balance agree to the nano",
                   f"{served(answers)} served; balance off by {off} nanos; {more}", tuple(broken))  # fmt: skip
