"""From a request to what will be answered and billed: sizes, content, cache, model and tier. No socket in sight."""

import hashlib
import json
import zlib
from typing import Any, Final

from tokenroll.upstream.simulated.asked import Asked
from tokenroll.upstream.simulated.content import fitting, text_of
from tokenroll.upstream.simulated.passes import passes_of
from tokenroll.upstream.simulated.prices import UNIT_KINDS, PricedModel
from tokenroll.upstream.simulated.prompt_cache import CacheSplit, PromptCache
from tokenroll.upstream.simulated.shapes import Answer, Choice, spoken_tokens

OUTPUT_TOKENS_MIN: Final = 16
OUTPUT_TOKENS_SPREAD: Final = 240
"""Without a size from the client an answer has 16 to 255 tokens, chosen by seed and content."""
MODEL_OUTPUT_TOKENS: Final = 32_768
"""What a choice never exceeds when the request has no cap."""
CREATED_BASE: Final = 1_790_000_000
_TIERS: Final = {
    "": "standard",
    "auto": "standard",
    "default": "standard",
    "standard_only": "standard",
    "fast": "priority",
}


def digest_of(seed: int, body: bytes, occurrence: int) -> bytes:
    """What names an answer: the seed, the request's bytes, and how often they came before."""
    key = f"{seed}/{occurrence}".encode()
    return hashlib.blake2b(body, key=key, digest_size=16).digest()


def tier_of(asked: Asked, faults: dict[str, str], model: PricedModel) -> str:
    """The service tier that is answered and billed: as asked when it is sold, unless a fault says otherwise."""
    if "tier" in faults:
        return faults["tier"] or "priority"
    tier = _TIERS.get(asked.service_tier, asked.service_tier)
    return tier if tier in model.tiers else "standard"


def split_input(asked: Asked, model: PricedModel, cache: PromptCache) -> CacheSplit:
    """The input as the dialect's cache divides it. The worst tokenizer makes a token of every byte."""
    total = asked.sizes.get("input_tokens", asked.input_tokens)
    segments = asked.segments
    if asked.worst_tokenizer:
        segments = [segment._replace(tokens=max(segment.tokens, len(segment.text))) for segment in asked.segments]
        total += sum(segment.tokens for segment in segments) - sum(segment.tokens for segment in asked.segments)
    if asked.endpoint == "embeddings" or asked.used is not None:
        return CacheSplit(total, 0, 0, 0)
    if asked.dialect == "anthropic":
        return cache.marked(model.name, segments, total, scaled="input_tokens" in asked.sizes)
    return cache.automatic(model.name, segments, total, writes=model.writes_cache)


def compose(asked: Asked, model: PricedModel, split: CacheSplit, digest: bytes, faults: dict[str, str]) -> Answer:
    """The answer, whole. Output counts per choice: the size asked for, else the seeded rule, never above the cap."""
    number = int.from_bytes(digest, "big")
    wanted = (
        0
        if asked.endpoint == "embeddings" or asked.used is not None
        else asked.sizes.get("output_tokens", OUTPUT_TOKENS_MIN + zlib.crc32(digest) % OUTPUT_TOKENS_SPREAD)
    )
    limit = asked.cap or MODEL_OUTPUT_TOKENS
    if "exceed-cap" in faults:
        wanted = limit + int(faults["exceed-cap"] or 100)
        limit = wanted
    reasoning = asked.sizes.get("reasoning_tokens", wanted // 2 if asked.reasons else 0)
    if asked.thinking_budget:
        reasoning = min(reasoning, asked.thinking_budget)
    reasoning = min(reasoning, limit)
    choices, tokens = [], 0
    for index in range(0 if asked.used is not None else asked.choices):
        choice, spoken = _choice(
            asked, max(0, min(wanted, limit) - reasoning), limit - reasoning, wanted > limit, number + index
        )
        choices.append(choice)
        tokens += spoken + reasoning
    thinking = text_of(reasoning, number) if asked.dialect == "anthropic" else b""
    return Answer(
        asked=asked,
        request_id=f"req_{number & (1 << 96) - 1:024x}",
        number=number,
        created=CREATED_BASE,
        model=faults.get("answered") or model.answers_as,
        service_tier=tier_of(asked, faults, model),
        split=split,
        output_tokens=tokens,
        reasoning_tokens=reasoning * asked.choices,
        choices=choices,
        thinking=thinking,
        web_searches=_searches(asked),
        chunk_tokens=max(1, asked.sizes.get("chunk_tokens", 8)),
        faults=faults,
        billed=_billed(asked, model),
        passes=passes_of(faults.get("passes", "")) if asked.endpoint == "messages" else [],
    )


def _billed(asked: Asked, model: PricedModel) -> dict[str, int]:
    """What is billed of what is used: a model sold by units is not sold by tokens."""
    used = asked.used or {}
    units = {kind: count for kind, count in used.items() if kind in UNIT_KINDS and kind in model.tiers["standard"]}
    return units or {kind: count for kind, count in used.items() if kind not in UNIT_KINDS}


def _searches(asked: Asked) -> int:
    """As often as it was told to search, and never more often than the request allows."""
    wanted = asked.sizes.get("web_searches", 0)
    return wanted if asked.searches_max is None else min(wanted, asked.searches_max)


def _choice(asked: Asked, spoken: int, limit: int, over: bool, number: int) -> tuple[Choice, int]:
    """One alternative and its tokens. JSON answers take as many tokens as they need, or as many as were asked for."""
    tool = _tool(asked)
    if tool is not None or asked.schema is not None:
        step = None if asked.script is None else asked.script.next_step
        arguments = fitting(asked.schema if tool is None else tool["schema"]) if step is None else step[1]
        value = json.dumps(arguments, separators=(",", ":")).encode()
        needed = spoken if "output_tokens" in asked.sizes else min(limit, -(-len(value) // 4))
        if tool is None:
            return Choice(text=value), needed
        return Choice(text=b"", tool_name=tool["name"], arguments=value, finish="tool"), needed
    return Choice(text=text_of(spoken, number), finish="length" if over else "stop"), spoken


def _tool(asked: Asked) -> dict[str, Any] | None:
    """The tool that is called: the script's next one or the forced one, else the first one unless a tool's result was just given."""
    if not asked.tools or asked.forced_tool == "-":
        return None
    if asked.script is not None:
        step = asked.script.next_step
        return None if step is None else next((tool for tool in asked.tools if tool["name"] == step[0]), None)
    if asked.forced_tool not in {"", "*"}:
        return next((tool for tool in asked.tools if tool["name"] == asked.forced_tool), asked.tools[0])
    if asked.forced_tool == "*" or asked.last_role == "user":
        return asked.tools[0]
    return None


def usage_billed(answer: Answer, output_tokens: int) -> dict[str, int]:
    """What is billed when `output_tokens` of the answer were generated; reasoning is generated first."""
    if answer.asked.used is not None:
        return dict(answer.billed)
    if "zero-usage" in answer.faults:
        return {"input": 0, "output": 0}
    split = answer.split
    reasoning = min(answer.reasoning_tokens, output_tokens)
    spoken = spoken_tokens(answer, output_tokens - reasoning)
    counts = {
        "input": split.fresh,
        "cache_read": split.read,
        "cache_write_5m": split.write_5m,
        "cache_write_1h": split.write_1h,
        "output": output_tokens - reasoning - spoken,
        "reasoning": reasoning,
        "output_audio": spoken,
        "web_search": answer.web_searches,
    }
    return {kind: count for kind, count in counts.items() if count or kind in {"input", "output"}}
