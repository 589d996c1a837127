"""No answer of the simulated provider costs more than its call's bound, though it counts every byte and its own overheads.

This is where a bound that forgets an overhead, a choice or a cache write is found: the second test forgets each on purpose.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from tokenroll.engine.bounding import TEXT_INPUT_METERS, BoundRates, CallSize, bound_nanos_at, compile_bound
from tokenroll.model.instant import instant_from_text
from tokenroll.upstream import anthropic, openai
from tokenroll.upstream.prices import prepare
from tokenroll.upstream.simulated.provider import Provider, SimulatorOptions

LONG, ONE_PRICE, CLAUDE = "gpt-6-astra", "gpt-4o", "claude-opus-5-5"
"""A model with a long-context price, one whose only slack is the byte bound itself, and one with a one-hour cache."""
NOW = instant_from_text("2026-11-20T00:00:00Z")
TOOL = {"type": "object", "properties": {}}
CHATS: dict[str, dict[str, Any]] = {
    "short": {"messages": [{"role": "user", "content": "a"}]},
    "many messages": {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}] * 40},
    "choices": {"messages": [{"role": "user", "content": "hi"}], "n": 8},
    "tools": {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": f"t{number}", "parameters": TOOL}} for number in range(30)],
        "tool_choice": "none",
    },
    "cached": {"messages": [{"role": "user", "content": "x" * 9_000}]},
    "other letters": {"messages": [{"role": "user", "content": "ü€🂡" * 300}]},
    "images": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x" * 900},
                    *[{"type": "image_url", "image_url": {"url": "u"}}] * 9,
                ],
            }
        ]
    },
}
MESSAGES: dict[str, dict[str, Any]] = {
    "short": {"messages": [{"role": "user", "content": "a"}]},
    "marked for an hour": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "x" * 9_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            }
        ]
    },
    "tools": {
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": f"t{number}", "input_schema": TOOL} for number in range(30)],
        "tool_choice": {"type": "none"},
    },
    "images": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "url", "url": "u"}},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [{"type": "image", "source": {"type": "url", "url": "v"}}],
                    },
                ],
            }
        ]
    },
    "thinking": {
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 4_000,
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
    },
}
CASES = {f"chat, {name}": ("openai", ONE_PRICE, {"max_completion_tokens": 500, **body}) for name, body in CHATS.items()}
CASES |= {f"long, {name}": ("openai", LONG, {"max_completion_tokens": 500, **body}) for name, body in CHATS.items()}
CASES |= {f"messages, {name}": ("anthropic", CLAUDE, {"max_tokens": 500, **body}) for name, body in MESSAGES.items()}


@pytest.fixture(scope="module")
def rates() -> dict[str, BoundRates]:
    cards = {
        card.model: replace(card, image_tokens_max=1_500)
        for card in prepare(["openai", "anthropic"], NOW).cards
        if card.effective_at <= NOW
    }
    return {name: compile_bound(cards[name], ("standard",), TEXT_INPUT_METERS) for name in (LONG, ONE_PRICE, CLAUDE)}


def size_of(provider: str, raw: bytes) -> CallSize:
    facts = (openai.ChatCompletions() if provider == "openai" else anthropic.Messages()).facts(raw)
    return CallSize(
        input_bytes=facts.input_bytes - facts.image_count * 6_400 + facts.extra_input_tokens,
        image_count=facts.image_count,
        message_count=facts.message_count,
        output_cap_tokens=facts.output_cap_tokens,
        tool_count=facts.tool_count,
        has_tools=facts.has_tools,
        choice_count=facts.choice_count,
    )


def billed_nanos(provider: str, raw: bytes) -> int:
    """The dearest that the provider can make of the request: a token for every byte, and an answer up to the cap."""
    simulated = Provider(SimulatorOptions())
    path = b"/v1/chat/completions" if provider == "openai" else b"/v1/messages"
    asked = simulated.understand(path, raw)
    asked.worst_tokenizer = True
    asked.sizes["output_tokens"] = 10**9
    attempt = simulated.begin(asked, raw, "call/1", "", 0)
    attempt.generated = attempt.answer.output_tokens
    simulated.bill_end(attempt, "complete")
    return simulated.bill.lines()[0].cost_nanos


@pytest.mark.parametrize(("provider", "model", "body"), CASES.values(), ids=CASES)
def test_it_never_costs_more_than_the_bound(rates, provider, model, body):
    raw = json.dumps({"model": model, **body}).encode()
    assert 0 < billed_nanos(provider, raw) <= bound_nanos_at(rates[model], size_of(provider, raw))


@pytest.mark.parametrize(
    ("case", "forgets"),
    [
        ("chat, many messages", {"overhead_tokens_per_message": 0}),
        ("chat, tools", {"overhead_tokens_per_request_with_tools": 0}),
        ("chat, tools", {"overhead_tokens_per_tool": 0}),
        ("chat, images", {"image_tokens_max": 1_400}),
        ("messages, marked for an hour", {"input_attos": 5 * 10**12}),  # the five-minute rate: an hour is dearer
    ],
)
def test_a_forgetful_bound_is_caught(rates, case, forgets):
    provider, model, body = CASES[case]
    # Compact, without the spaces and names that a byte bound is loose by
    raw = json.dumps({"model": model, **body}, separators=(",", ":")).encode()
    size = size_of(provider, raw)
    # What the provider sees beyond its text is the JSON around it; a bound by text alone has no such slack.
    text = sum(len(part) for part in _texts(body))
    tight = replace(size, input_bytes=text)
    assert billed_nanos(provider, raw) > bound_nanos_at(replace(rates[model], **forgets), tight)


def _texts(body: dict) -> list[bytes]:
    """Everything that the simulated provider takes for text, role words included."""
    contents = [message["content"] for message in body["messages"]]
    texts = [one if isinstance(one, str) else "".join(part.get("text", "") for part in one) for one in contents]
    parts = [text.encode() for text in texts] + [message["role"].encode() + b"\0" for message in body["messages"]]
    parts += [json.dumps(tool, separators=(",", ":")).encode() for tool in body.get("tools", ())]
    return parts
