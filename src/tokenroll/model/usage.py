"""Usage: what one attempt consumed, as the provider reported it or as evidence bounds it."""

from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Final

from tokenroll.model.limits import UNIT_COUNT_MAX


class UsageSource(StrEnum):
    """Where the counts come from; only `reported` is a provider's own word about this attempt."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    BILL = "bill"


class Meter(StrEnum):
    """What is counted, each disjoint from the others: their sum is the attempt's whole consumption.

    Providers report overlapping numbers (cached inside prompt, reasoning inside completion); dialects take them apart.
    """

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    INPUT_AUDIO = "input_audio"
    INPUT_IMAGE = "input_image"
    OUTPUT = "output"
    REASONING = "reasoning"
    OUTPUT_AUDIO = "output_audio"
    OUTPUT_IMAGE = "output_image"
    REQUEST = "request"
    WEB_SEARCH = "web_search"
    WEB_FETCH = "web_fetch"
    FILE_SEARCH = "file_search"
    CODE_SECOND = "code_second"
    SEARCH_UNIT = "search_unit"
    IMAGE = "image"
    CHARACTER = "character"
    AUDIO_SECOND = "audio_second"
    TRAINING = "training"


METERS: Final[tuple[Meter, ...]] = tuple(Meter)
"""Their order on the tape, in rows and in rate tuples. Append only: old records count on the positions."""
METER_INDEX: Final[dict[Meter, int]] = {meter: index for index, meter in enumerate(METERS)}
INPUT_METERS: Final = (
    Meter.INPUT, Meter.CACHE_READ, Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H, Meter.INPUT_AUDIO, Meter.INPUT_IMAGE,
)  # fmt: skip
"""They make up the context length that long-context tiers ask for."""
OUTPUT_METERS: Final = (Meter.OUTPUT, Meter.REASONING, Meter.OUTPUT_AUDIO, Meter.OUTPUT_IMAGE)


UNIT_METERS: Final = (Meter.SEARCH_UNIT, Meter.IMAGE, Meter.CHARACTER, Meter.AUDIO_SECOND, Meter.TRAINING)
"""What some endpoints are billed by in place of what goes in and comes out: searches of a reranker, pictures, characters spoken,
seconds heard, model tokens that a model is trained on (each as often as it is)."""


TOKEN_METER_COUNT: Final = len(INPUT_METERS) + len(OUTPUT_METERS)
"""The first so many METERS count the model tokens of calls, the others do not: what a model is trained on is no call's."""
TALK_METER_COUNT: Final = METER_INDEX[Meter.CODE_SECOND] + 1
"""A call of text meets only the first so many METERS: its meter keeps no places for the others."""


def model_tokens(counts: "tuple[int | None, ...]") -> int:
    """All model tokens of counts in the order of METERS."""
    return sum(count or 0 for count in counts[:TOKEN_METER_COUNT])


def fresh_input_tokens(counts: "tuple[int | None, ...]") -> int:
    """Model tokens that went in and were not read from a provider's cache: what providers' own rates of input count, too."""
    return sum(count or 0 for count in counts[: len(INPUT_METERS)]) - (counts[METER_INDEX[Meter.CACHE_READ]] or 0)


def output_tokens(counts: "tuple[int | None, ...]") -> int:
    """Model tokens that came out, reasoning included."""
    return sum(count or 0 for count in counts[len(INPUT_METERS) : TOKEN_METER_COUNT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts by meter; None means "not reported", which is not zero (DESIGN §7.4)."""

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    request_count: int | None = None
    web_search_count: int | None = None
    web_fetch_count: int | None = None
    file_search_count: int | None = None
    code_second_count: int | None = None
    search_unit_count: int | None = None
    image_count: int | None = None
    character_count: int | None = None
    audio_second_count: int | None = None
    training_tokens: int | None = None

    def __post_init__(self) -> None:
        for place, count in enumerate(_counts_of(self)):
            if count is not None and (type(count) is not int or not 0 <= count <= UNIT_COUNT_MAX):
                message = f"usage {_COUNT_NAMES[place]} must be 0 to {UNIT_COUNT_MAX}, not {count!r}"
                raise ValueError(message)

    @property
    def counts(self) -> tuple[int | None, ...]:
        """The counts in the order of METERS."""
        found: tuple[int | None, ...] = _counts_of(self)
        return found

    @classmethod
    def from_counts(cls, counts: "tuple[int | None, ...]") -> "Usage":
        """A usage of counts in the order of METERS; a call of text may leave those behind TALK_METER_COUNT out."""
        if len(counts) not in {TALK_METER_COUNT, len(METERS)}:
            message = f"usage has {TALK_METER_COUNT} or {len(METERS)} counts, not {len(counts)}"
            raise ValueError(message)
        return cls(**dict(zip(_COUNT_NAMES, counts, strict=False)))


_COUNT_NAMES: Final = tuple(one.name for one in fields(Usage))
_counts_of: Final = attrgetter(*_COUNT_NAMES)
