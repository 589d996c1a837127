"""What the decisions of one call cost in Python: facts, admission, dispatch, metering, settlement, in microseconds of CPU.

Run: `.venv/bin/python bench/micro/spending.py`. The least of many short rounds is shown, because other work on the machine only adds.
"""

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tokenroll.engine.rating import canonical_json, pinned
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import Meter
from tokenroll.services.hot import Deployment, HotHold
from tokenroll.services.keys import key_hash
from tokenroll.services.protocol import CardTerms, KeyTerms, Lease, LotTerms, View, WalletTerms
from tokenroll.services.spending import Spending
from tokenroll.store.tape import Finish, TapeWriter
from tokenroll.upstream.openai import ChatCompletions

ROUNDS, CALLS = 40, 2_000
PEPPER = b"p" * 32
BODY = (
    b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"'
    + b"x" * 900
    + b'"}],"max_tokens":100,"stream":false}'
)
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"' + b"y" * 500 + b'"},"finish_reason":"stop"}],"usage":{"prompt_tokens":225,'
    b'"completion_tokens":80,"total_tokens":305,"prompt_tokens_details":{"cached_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0}},"service_tier":"default"}'
)
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,'
    b'"delta":{"content":"hello"},"finish_reason":null}],"usage":null}\n\n'
)


def card() -> CardTerms:
    prices = {
        "standard": RateTable(base={Meter.INPUT: 150 * 10**9, Meter.CACHE_READ: 75 * 10**9, Meter.OUTPUT: 600 * 10**9})
    }
    made = pinned(
        RateCard(
            id=1, public_id="ratecard_1", provider="bench", model="gpt-4o-mini", aliases=(), effective_at=0, recorded_at=0,
            currency="USD", list_prices=prices, net_prices=prices, internal_prices=prices, context_window_tokens=128_000,
            output_tokens_max=16_384, source="bench", digest="", overhead_tokens_per_message=16,
            overhead_tokens_per_request_with_tools=512, overhead_tokens_per_tool=32,
        )
    )  # fmt: skip
    return CardTerms(1, made.digest, canonical_json(made))


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        tape = TapeWriter(Path(directory), worker=0, epoch=1, boot_id=bytes(16), created_at=0)
        spending = Spending(tape, lambda: 0, PEPPER)
        key_terms = KeyTerms(1, "key_1", key_hash(PEPPER, b"k"), "inference", 1, "member_1", 1, 0, 0, False)
        spending.apply_view(View([key_terms], [card()], {}, True))
        lots = [LotTerms(1, 100, 0, 0, 10**17, "tool")]
        wallet = WalletTerms(1, "wallet_1", "Ada", "member", "UTC", lots, "enforce", "deny", 16_384, 0, 0, 0, 0)
        spending.apply_lease(Lease([wallet], 0, 0, True))
        measure(spending, tape)
        tape.close()


def measure(spending: Spending, tape: TapeWriter) -> None:
    dialect, deployment = ChatCompletions(), Deployment("bench", "bench")
    facts = dialect.facts(BODY)
    meter = dialect.meter(False, False)
    meter.feed(ANSWER)
    meter.finish()
    stream = dialect.meter(True, True)
    stream.feed(CHUNK)
    open_holds: list[HotHold] = []

    def show(name: str, call: Callable[[int], object]) -> None:
        best = min(timed(call, tape) for _ in range(ROUNDS))
        print(f"{name:<34}{best:6.2f} µs")

    def admit(at: int) -> None:
        key = spending.key_for(b"k", at)
        assert key is not None
        hold = spending.admit(key, dialect, facts, 1_000 + at, deployment=deployment)
        assert type(hold) is HotHold
        open_holds.append(hold)

    def settle(at: int) -> None:
        spending.settle(open_holds.pop(), meter, 2_000 + at, 200, Finish.COMPLETE)

    def pair(at: int) -> None:
        admit(at)
        spending.dispatched([open_holds[-1]], 1_000 + at)
        settle(at)

    def metered(_: int) -> None:
        one = dialect.meter(False, False)
        one.feed(ANSWER)
        one.finish()

    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    show("facts of a 1 kB request", lambda _: dialect.facts(BODY))
    show("key, admit and HOLD", admit)
    for start in range(0, len(open_holds), 500):
        spending.dispatched(open_holds[start : start + 500], 2_000)
    show("settle and SETTLE", settle)
    show("key, admit, dispatch, settle", pair)
    show("usage of a 1 kB answer", metered)
    show("one plain event of a stream", lambda _: stream.feed(CHUNK))


def timed(call: Callable[[int], object], tape: TapeWriter) -> float:
    start = time.process_time()
    for at in range(CALLS):
        call(at)
    spent = time.process_time() - start
    while tape.take_block():
        pass
    return spent / CALLS * 1e6


if __name__ == "__main__":
    main()
