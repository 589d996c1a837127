"""What a request's own text tells the simulated provider to do, so that a real agent does the same work each time.

`sim-call NAME {…}` in a user's text is one step: that tool is called with those arguments, in the order of the steps, one after each
result. After the last step, and with `sim-say` at once, the answer is text.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

_STEP: Final = re.compile(r"\bsim-(?:say\b|call ([A-Za-z0-9_.-]+) (?=\{))")


class Script(NamedTuple):
    """The steps of a request, and how many of them have their results."""

    steps: tuple[tuple[str, Any], ...]
    """Names of tools and their arguments."""
    done: int

    @property
    def next_step(self) -> tuple[str, Any] | None:
        """What is called now; None: the answer is text."""
        return self.steps[self.done] if self.done < len(self.steps) else None


def _texts(messages: Iterable[dict[str, Any]]) -> Iterable[str]:
    for message in messages:
        content = message.get("content")
        if message.get("role") != "user":
            continue
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]


def _result_count(messages: Iterable[dict[str, Any]]) -> int:
    count = 0
    for message in messages:
        content = message.get("content")
        parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        count += sum(part.get("type") == "tool_result" for part in parts)
        count += message.get("role") == "tool" or str(message.get("type", "")).endswith("_call_output")
    return count


def script_of(messages: list[dict[str, Any]]) -> Script | None:
    """The script of messages or items of any endpoint; None: there is none."""
    steps: list[tuple[str, Any]] = []
    found = False
    for text in _texts(messages):
        for match in _STEP.finditer(text):
            found = True
            if match[1]:
                try:
                    arguments, _ = json.JSONDecoder().raw_decode(text, match.end())
                except ValueError:
                    continue
                steps.append((match[1], arguments))
    return Script(tuple(steps), _result_count(messages)) if found else None
