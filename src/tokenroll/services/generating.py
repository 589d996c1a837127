"""A made-up company's calls, the same under the same seed: for the demo and for machines without third-party traces.

No file is read. The shapes are facts measured on public data and may be checked there:

- people differ: their shares of all tokens have a Gini coefficient of 0.65 to 0.87 (ServeGen, Apache-2.0, arXiv 2505.09999); here
  weights are log-normal with sigma 1.47, which is a Gini of 0.70;
- coding agents send their whole context again in each call: 21 calls a session, a first prompt of about 1,300 tokens, some 500 more
  in each call, 93 % of the input seen before (mini-swe-agent calls in LMCache's traces, Apache-2.0);
- large agents open with about 19,000 tokens of instructions and tools (76 kB, Claude Code) that every session of theirs shares;
- answers are short: input to output is 25 (aider, Apache-2.0) to 73 (Azure code, CC-BY 4.0) for code, 6 to 8 for chat (ServeGen);
- chat prompts are log-normal around 300 tokens, answers around 30 to 200 (ServeGen).
"""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.services.traces import Rows, Trace, TraceCall

BLOCK_TOKENS: Final = 64
PEOPLE_SIGMA: Final = 1.47
_SESSION_BLOCKS: Final = 1 << 20
"""Block ids of one session: contexts never reach so far, so sessions share nothing but their kind's opening."""


@dataclass(frozen=True, slots=True)
class SessionKind:
    """How one kind of client works."""

    name: str
    share: int
    """Out of 100 sessions."""
    models: tuple[str, ...]
    opening_tokens: int
    """Instructions and tools that all sessions of this kind begin with."""
    prompt_tokens: int
    growth_tokens: int
    """What each call adds to the context; 0: every prompt stands alone."""
    calls_mean: int
    answer_tokens: int
    gap_seconds: float


KINDS: Final = (
    SessionKind("agent", 45, ("claude-sonnet-5-5", "gpt-6-sol", "claude-haiku-5-5"), 960, 320, 500, 21, 120, 6.0),
    SessionKind("large-agent", 10, ("claude-opus-5-5", "claude-sonnet-5-5"), 19_008, 600, 900, 14, 300, 9.0),
    SessionKind("chat", 45, ("gpt-4o-mini", "gpt-5-mini", "claude-haiku-4-5"), 128, 300, 0, 3, 90, 40.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What to generate."""

    seed: int = 1
    people: int = 42
    calls: int = 2_000
    seconds: int = 3_600
    """From the first session's start to the last one's."""


def person_of(session: str) -> int:
    """The number of the person (from 0) behind a generated session."""
    return int(session.partition("/")[0].removeprefix("person-"))


def generated_trace(company: Company) -> Trace:
    """The company's calls as a trace, in order of arrival."""
    rows = Rows()
    return Trace(calls=_counted(company, rows), rows=rows)


def _counted(company: Company, rows: Rows) -> Iterator[TraceCall]:
    for call in generate(company):
        rows.read_count += 1
        rows.call_count += 1
        yield call


def generate(company: Company) -> Iterator[TraceCall]:
    """Exactly `calls` calls in order of arrival; sessions start evenly at random and belong to people by their weight."""
    rng = random.Random(company.seed)  # noqa: S311  a repeatable draw, not a secret
    weights = [rng.lognormvariate(0, PEOPLE_SIGMA) for _ in range(company.people)]
    sessions: list[list[TraceCall]] = []
    drawn = 0
    # Half as many calls again as needed: sessions that begin late are cut off by the count, not by luck.
    while 2 * drawn < 3 * company.calls:
        sessions.append(_session(len(sessions), rng.uniform(0, company.seconds), weights, rng))
        drawn += len(sessions[-1])
    merged = heapq.merge(*sessions, key=lambda call: (call.at, call.session))
    first_at = None
    for line, call in enumerate(merged, 1):
        if line > company.calls:
            return
        first_at = call.at if first_at is None else first_at
        yield TraceCall(
            line,
            call.at - first_at,
            call.model,
            call.session,
            call.input_tokens,
            call.output_tokens,
            call.blocks,
            BLOCK_TOKENS,
        )


def _session(number: int, start: float, weights: list[float], rng: random.Random) -> list[TraceCall]:
    (kind,) = rng.choices(KINDS, [one.share for one in KINDS])
    (person,) = rng.choices(range(len(weights)), weights)
    model = rng.choice(kind.models)
    name = f"person-{person:03d}/{kind.name}-{number:05d}"
    opening = tuple(
        -1 - block - KINDS.index(kind) * _SESSION_BLOCKS for block in range(kind.opening_tokens // BLOCK_TOKENS)
    )
    calls = []
    at, context = start, kind.opening_tokens + _around(kind.prompt_tokens, rng)
    for turn in range(max(1, round(rng.expovariate(1 / kind.calls_mean)))):
        own = context // BLOCK_TOKENS - len(opening)
        # A chat's prompts share their opening only; an agent's context keeps all that came before.
        base = (number + 1) * _SESSION_BLOCKS + (0 if kind.growth_tokens else turn * 1_024)
        calls.append(
            TraceCall(
                line=0,
                at=round(at * MICROS_PER_SECOND),
                model=model,
                session=name,
                input_tokens=context,
                output_tokens=_around(kind.answer_tokens, rng),
                blocks=opening + tuple(base + block for block in range(max(0, own))),
                block_tokens=BLOCK_TOKENS,
            )
        )
        at += rng.expovariate(1 / kind.gap_seconds)
        if kind.growth_tokens:
            context += _around(kind.growth_tokens, rng)
        else:
            context = kind.opening_tokens + _around(kind.prompt_tokens, rng)
    return calls


def _around(tokens: int, rng: random.Random) -> int:
    """A log-normal size whose median is `tokens`, at least 8."""
    return max(8, round(tokens * rng.lognormvariate(0, 0.6)))
