"""What both dialects' answers are made from, and the writer of their events."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from tokenroll.upstream.simulated.asked import Asked
from tokenroll.upstream.simulated.passes import Pass
from tokenroll.upstream.simulated.prompt_cache import CacheSplit

Encode = Callable[[Any], bytes]
SOUND_BYTES_PER_BYTE: Final = 60
"""What a byte of text weighs as sound: 240 bytes for a token, about a twentieth of a second at 38 kbit/s."""
SPOKEN_SHARE: Final = (3, 4)
"""Of an answer in sound three of four tokens are the sound, the others its words."""
compact: Encode = msgspec.json.Encoder().encode


def spaced(value: Any) -> bytes:
    """JSON as a provider with another library writes it: a space after every comma and colon."""
    return json.dumps(value, ensure_ascii=False).encode()


class Event(NamedTuple):
    """One event of a stream and how many output tokens have been generated when it leaves."""

    data: bytes
    output_tokens: int


@dataclass(slots=True)
class Choice:
    """One alternative: text, or one call of a tool with its arguments as JSON."""

    text: bytes
    tool_name: str = ""
    arguments: bytes = b""
    finish: str = "stop"
    """`stop`, `length` or `tool`; each dialect has its own word."""


@dataclass(slots=True)
class Answer:
    """Everything that an answer says, before a dialect words it."""

    asked: Asked
    request_id: str
    number: int
    """Bits of the digest that names this answer: ids and texts follow from it."""
    created: int
    model: str
    service_tier: str
    split: CacheSplit
    output_tokens: int
    reasoning_tokens: int
    choices: list[Choice]
    thinking: bytes = b""
    web_searches: int = 0
    chunk_tokens: int = 8
    faults: dict[str, str] = field(default_factory=dict)
    billed: dict[str, int] = field(default_factory=dict)
    """What is billed where that is known beforehand."""
    name: str = ""
    """Under which id it is kept, where its client named one."""
    passes: list[Pass] = field(default_factory=list)
    """What ran before; its own counts are without them."""

    @property
    def encode(self) -> Encode:
        """The JSON writer that the faults ask for."""
        return spaced if "spaced" in self.faults else compact

    @property
    def line_end(self) -> bytes:
        """How lines of events end."""
        return b"\r\n" if "crlf" in self.faults else b"\n"

    def sound(self, text: bytes) -> bytes:
        """What a text sounds like; nobody listens."""
        return text * SOUND_BYTES_PER_BYTE

    def pieces(self, text: bytes) -> list[bytes]:
        """A text as the parts that one event each carries."""
        size = 4 * self.chunk_tokens
        return [text[start : start + size] for start in range(0, len(text), size)]


def spoken_tokens(answer: Answer, tokens: int) -> int:
    """How many of the tokens of an answer are sound."""
    share, of = SPOKEN_SHARE
    return tokens * share // of if answer.asked.speaks else 0
