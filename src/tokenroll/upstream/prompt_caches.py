"""What providers say of their prompt caches: from which length on a beginning is kept."""

import tomllib
from functools import cache
from importlib import resources
from typing import Final

KEYED_TOKENS_MIN: Final = 1_024
"""OpenAI keeps beginnings from this length on: a key for shorter prompts leads them nowhere."""
_FAMILY: Final = "claude-"


@cache
def marked_tokens_min(model: str) -> int:
    """From how many tokens on Anthropic keeps a marked beginning for this model; names of other providers for it are understood."""
    minima = _minima()
    at = model.find(_FAMILY)
    name = model[at:] if at >= 0 else model
    known = [one for one in minima if name.startswith(one)]
    return minima[max(known, key=len)] if known else max(minima.values())


@cache
def _minima() -> dict[str, int]:
    text = resources.files("tokenroll.upstream").joinpath("data/prompt_caches.toml").read_text()
    found: dict[str, int] = tomllib.loads(text)["tokens_min"]
    return found
