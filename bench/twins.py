"""How often coalescing and the loop breaker would act on public traces: `python -m bench.twins [DATA]`, figures in docs/thrift.md.

The traces hold lengths and hashes, no texts: `mooncake` is an hour of a chat service, whose callers are taken for one key, which is
an upper bound; `miniswe` are coding agents whose every call carries its whole conversation; `taubench` are agents whose tool calls and
results were not recorded, so that different requests look equal: what is flagged there is what a rule that reads texts alone would
do wrong, and the gateway, which reads the whole request, would not.
"""

import gzip
import json
import os
import sys
from collections import defaultdict
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from tokenroll.engine.looping import is_loop
from tokenroll.services.loops import Loops

MICROS = 1_000
"""In a millisecond."""
FIRST_TOKEN_MILLIS = 500
TOKEN_MILLIS = (10, 33, 100)
TIMES = (3, 5, 8)


def rows(path: Path) -> list[dict[str, Any]]:
    """The calls of a trace, in its order."""
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def followers(calls: list[dict[str, Any]], token_millis: int) -> tuple[int, int]:
    """How many calls repeat one that is still being answered, and their input tokens; an answer takes so long a token."""
    until: dict[Hashable, int] = {}
    count = tokens = 0
    for call in calls:
        asked = (tuple(call["hash_ids"]), call["input_length"])
        at = call["timestamp"]
        if at < until.get(asked, 0):
            count += 1
            tokens += call["input_length"]
        else:
            until[asked] = at + FIRST_TOKEN_MILLIS + token_millis * call["output_length"]
    return count, tokens


def refused(calls: list[dict[str, Any]], times: int) -> int:
    """How many calls of agents are refused because the same request was answered so many times in a row."""
    loops = Loops()
    count = 0
    for call in sorted(calls, key=lambda one: one["t_ms"]):
        agent, at = (call["session"], ""), call["t_ms"] * MICROS
        request = str(call["prompt_id"]).encode()
        if loops.wait_seconds(agent, request, (), times, at):
            count += 1
        else:
            loops.answered(agent, request, at, at)
    return count


def repeating(calls: list[dict[str, Any]], times: int) -> int:
    """How many calls follow answers that are one cycle so many times over; results are not in the trace, so it is an upper bound."""
    said: dict[int, list[Hashable]] = defaultdict(list)
    count = 0
    for call in calls:
        answers = said[call["session"]]
        count += is_loop(reversed(answers), times)
        answers.append(object() if call["output_id"] is None else call["output_id"])
    return count


def main() -> None:
    """Prints the figures."""
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TOKENROLL_DATA", "../shared/data"))
    chat = rows(data / "mooncake_conversation_trace.jsonl.gz")
    total = sum(call["input_length"] for call in chat)
    for millis in TOKEN_MILLIS:
        count, tokens = followers(chat, millis)
        print(
            f"mooncake, {millis} ms a token: {count} of {len(chat)} calls follow, {tokens / total:.4%} of input tokens"
        )
    agents = rows(data / "agent_calls_meta.jsonl.gz")
    for name in ("miniswe", "taubench"):
        calls = [call for call in agents if call["agent"] == name]
        for times in TIMES:
            print(
                f"{name}, {times} times: {refused(calls, times)} of {len(calls)} refused for equal prompts, "
                f"{repeating(calls, times)} after repeated answers"
            )


if __name__ == "__main__":
    main()
