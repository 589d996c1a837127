"""Sample logs: a made-up year of two people, written as Claude Code and Codex write theirs, the same from the same seed.

For seeing what an analysis looks like before one's own logs are read. Counts follow how such agents work: the context is cached and
read again at each call, grows through a session, is written anew after a pause, and now and then a call brings nothing.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

DAYS: Final = 365
_ADAS_MODELS: Final = ("claude-sonnet-4-5-20250929", "claude-opus-4-1-20250805", "claude-haiku-4-5-20251001")
_MODEL_WEIGHTS: Final = (70, 18, 12)
_PROJECTS: Final = ("atlas", "billing", "notes")
_WEEKEND: Final = 5
_SUMMER: Final = (7, 8)
_FRESH_CONTEXT_TOKENS: Final = 14_000
_CACHE_LIFE_SECONDS: Final = 300


@dataclass(slots=True)
class _Talk:
    """A session under way: its clock and what the provider's cache holds of it."""

    at: datetime
    context_tokens: int
    cached_tokens: int = 0


def write_sample_logs(folder: Path, *, until: datetime, seed: int = 1) -> Path:
    """Write the logs of the year before `until` into a folder and return it; some 20,000 calls, a second's work."""
    chance = random.Random(seed)  # noqa: S311 - figures of a sample, no secret
    first = (until - timedelta(days=DAYS)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(DAYS):
        day = first + timedelta(days=number)
        for place in range(_session_count(day, chance)):
            project = chance.choices(_PROJECTS, (60, 30, 10))[0]
            start = day + timedelta(hours=8 + 2 * place, minutes=chance.randrange(60))
            name = f"{day:%Y%m%d}-{place}"
            path = folder / "ada/.claude/projects" / f"-srv-{project}" / f"{name}.jsonl"
            _write(path, _claude_lines(start, project, name, chance))
        if day.weekday() < _WEEKEND and chance.random() < 0.5:
            path = folder / "bo/.codex/sessions" / f"{day:%Y/%m}" / f"rollout-{day:%Y%m%d}.jsonl"
            _write(path, _codex_lines(day + timedelta(hours=14), chance))
    return folder


def _session_count(day: datetime, chance: random.Random) -> int:
    if day.weekday() >= _WEEKEND:
        return chance.choices((0, 1), (85, 15))[0]
    busy = 1 if day.month in _SUMMER else 2
    return chance.choices((0, busy, busy + 1, busy + 2), (8, 40, 35, 17))[0]


def _claude_lines(start: datetime, project: str, name: str, chance: random.Random) -> Iterator[dict[str, Any]]:
    model = chance.choices(_ADAS_MODELS, _MODEL_WEIGHTS)[0]
    talk = _Talk(at=start, context_tokens=_FRESH_CONTEXT_TOKENS)
    for number in range(chance.choices((1, 12, 35, 70), (20, 40, 30, 10))[0]):
        pause = chance.choices((25, 90, 900), (80, 16, 4))[0] * chance.uniform(0.6, 1.4)
        talk.at += timedelta(seconds=pause)
        if pause > _CACHE_LIFE_SECONDS:
            talk.cached_tokens = 0
        fresh = 3 + chance.randrange(8)
        talk.context_tokens += int(chance.lognormvariate(7.0, 0.9))
        output = 0 if chance.random() < 0.004 else 1 + int(chance.lognormvariate(5.4, 1.0))
        yield {
            "type": "assistant",
            "timestamp": _stamp(talk.at),
            "sessionId": name,
            "cwd": f"/srv/{project}",
            "requestId": f"req_{name}_{number}",
            "version": "2.0.0",
            "message": {
                "id": f"msg_{name}_{number}",
                "role": "assistant",
                "model": model,
                "stop_reason": chance.choices(("tool_use", "end_turn"), (70, 30))[0] if output else "end_turn",
                "usage": {
                    "input_tokens": fresh,
                    "cache_creation_input_tokens": talk.context_tokens - talk.cached_tokens,
                    "cache_read_input_tokens": talk.cached_tokens,
                    "output_tokens": output,
                    "service_tier": "standard",
                },
            },
        }
        talk.cached_tokens = talk.context_tokens
        talk.context_tokens += output


def _codex_lines(start: datetime, chance: random.Random) -> Iterator[dict[str, Any]]:
    talk = _Talk(at=start, context_tokens=8_000)
    yield {
        "timestamp": _stamp(talk.at),
        "type": "turn_context",
        "payload": {"model": "gpt-5-codex", "cwd": "/srv/billing"},
    }
    totals = dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens"), 0)
    for _ in range(chance.choices((4, 15, 40), (40, 45, 15))[0]):
        talk.at += timedelta(seconds=chance.uniform(10, 120))
        output = 1 + int(chance.lognormvariate(5.8, 0.9))
        last = {
            "input_tokens": talk.context_tokens,
            "cached_input_tokens": talk.cached_tokens,
            "output_tokens": output,
            "reasoning_output_tokens": output * chance.randrange(20, 70) // 100,
        }
        totals = {key: count + last[key] for key, count in totals.items()}
        info = {"last_token_usage": last, "total_token_usage": totals}
        yield {"timestamp": _stamp(talk.at), "type": "event_msg", "payload": {"type": "token_count", "info": info}}
        talk.cached_tokens = talk.context_tokens // 128 * 128
        talk.context_tokens += output + int(chance.lognormvariate(6.5, 0.8))


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write(path: Path, lines: Iterator[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
