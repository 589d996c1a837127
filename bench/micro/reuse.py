"""What marking prompts for a cache saves on recorded traffic: never, always, and where what was seen says that it pays.

Replays traces whose calls name their prompt blocks by hashes, at the usual prices of a five-minute cache (1.25 to write, 0.1 to read).
The cache is the provider's: it keeps what ends at a mark, for five minutes from its last use. Percent of what the input costs without one.

usage: python bench/micro/reuse.py [TRACE_FOLDER]   (default: $TOKENROLL_DATA, else ../shared/data)
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tokenroll.services.reuse import PromptReuse, Ratio, Writing
from tokenroll.services.traces import TraceCall, read_trace

RATIO = Ratio(100, 10, 125)
TOKENS_MIN = 1_024
LIFE_MICROS = 300_000_000
BYTES_PER_TOKEN = 4


class Cache:
    """The provider's cache, and what the calls cost with it."""

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}
        self.cost = self.plain_cost = self.calls = self.marked_calls = 0

    def call(self, at: int, blocks: list[int], block_tokens: int, total: int, marks: set[int]) -> None:
        """One call, marked at the end of these blocks (by their place)."""
        read = written = 0
        marks = {place for place in marks if (place + 1) * block_tokens >= TOKENS_MIN}
        if marks:
            self.marked_calls += 1
            for place in range(max(marks) + 1):
                if self._kept.get(blocks[place], 0) > at:
                    read = (place + 1) * block_tokens
                    self._kept[blocks[place]] = at + LIFE_MICROS
            written = max(0, (max(marks) + 1) * block_tokens - read)
        for place in marks:
            self._kept[blocks[place]] = at + LIFE_MICROS
        self.calls += 1
        self.plain_cost += total * RATIO.plain
        self.cost += (total - read - written) * RATIO.plain + read * RATIO.read + written * RATIO.write

    @property
    def saved_percent(self) -> float:
        return 100 * (self.plain_cost - self.cost) / self.plain_cost


def replayed(calls: Iterable[TraceCall], way: str) -> Cache:
    """The calls under one way of marking. A block that is not whole cannot come again and is never marked."""
    cache, reuse = Cache(), PromptReuse()
    for call in calls:
        blocks = list(call.blocks[: call.input_tokens // call.block_tokens]) if call.block_tokens else []
        marks: set[int] = set()
        if blocks and way == "always":
            marks = {len(blocks) - 1}
        elif blocks and way == "where it pays":
            names = [b"%d" % block for block in blocks]
            look = reuse.look([b"all"], names, [call.block_tokens * BYTES_PER_TOKEN] * len(blocks), call.at)
            writing = look.tally.writing(RATIO)
            marks = {look.cached}
            if writing != Writing.NOTHING:
                marks.add(look.seen)
            if writing == Writing.ALL:
                marks.add(len(blocks) - 1)
            marks.discard(-1)
            for place in marks:
                reuse.written(names[place], call.at)
        cache.call(call.at, blocks, call.block_tokens, call.input_tokens, marks)
    return cache


def main() -> None:
    """A line for each trace and way."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TOKENROLL_DATA", "../shared/data"))
    chat = folder / "mooncake_conversation_trace.jsonl.gz"
    agents = folder / "agent_calls_meta.jsonl.gz"
    recorded = {
        "mooncake": list(read_trace(chat, "mooncake", model="claude-sonnet-4-5").calls),
        **{
            name: [one for one in read_trace(agents, "agent-calls", model="claude-sonnet-4-5").calls if one.session.startswith(name)]
            for name in ("miniswe", "taubench")
        },
    }  # fmt: skip
    for name, calls in recorded.items():
        for way in ("never", "always", "where it pays"):
            cache = replayed(calls, way)
            print(
                f"{name:<10}{way:<15}{cache.saved_percent:>7.2f} %   {cache.marked_calls} of {cache.calls} calls marked"
            )


if __name__ == "__main__":
    main()
