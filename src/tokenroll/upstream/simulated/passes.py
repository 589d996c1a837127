"""Runs of models before the one that answers: a compaction, an advisor, an earlier turn of a loop at the provider.

Anthropic's usage tells them one by one (`iterations`), and each is billed at the prices of its own model and its own length.
"""

from typing import Any, Final, NamedTuple

from tokenroll.upstream.simulated.faults import UnknownFault

KINDS: Final = ("message", "compaction", "advisor_message", "fallback_message")


class Pass(NamedTuple):
    """One run."""

    kind: str
    input_tokens: int
    output_tokens: int
    model: str
    """Empty for the model that was asked."""

    @property
    def usage(self) -> dict[str, int]:
        """What is billed of it."""
        return {"input": self.input_tokens, "output": self.output_tokens}

    def told(self) -> dict[str, Any]:
        """As the answer tells it."""
        value: dict[str, Any] = {
            "type": self.kind, "input_tokens": self.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": self.output_tokens,
        }  # fmt: skip
        return {**value, "model": self.model} if self.model else value


def passes_of(text: str) -> list[Pass]:
    """The runs of a fault's argument, `KIND:INPUT:OUTPUT[:MODEL]` joined by `+`. Raises UnknownFault for anything else."""
    passes = []
    for part in text.split("+") if text else []:
        kind, *counts = part.split(":", 3)
        if kind not in KINDS or len(counts) < 2 or not all(one.isdigit() for one in counts[:2]):
            raise UnknownFault(
                f"passes={part!r} must be KIND:INPUT:OUTPUT or KIND:INPUT:OUTPUT:MODEL with one of {', '.join(KINDS)}"
            )
        passes.append(Pass(kind, int(counts[0]), int(counts[1]), counts[2] if len(counts) > 2 else ""))
    return passes
