"""What importers make of the figures and names that files tell: exact amounts, instants, counts, ids by which a call is known again."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from hashlib import blake2b, sha256
from typing import Final

from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.limits import (
    AMOUNT_NANOS_MAX,
    IMPORT_IDS_REMEMBERED_MAX,
    NAME_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_MAX,
)

CENTS: Final = 100
_AMOUNT_MAX: Final = Decimal(AMOUNT_NANOS_MAX) / NANOS_PER_CREDIT
_MICROS: Final = {"seconds": Decimal(1_000_000), "milliseconds": Decimal(1_000), "microseconds": Decimal(1)}
_RUN: Final = re.compile(r"[0-9A-Za-z]{32,}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_RANDOM_KINDS_MIN: Final = 9
"""Of 32 hexadecimal digits drawn at random one string in 300,000 has fewer different ones."""
_SECRET_STARTS: Final = ("sk-", "AIza", "gsk_", "xai-", "tr-", "key-", "nvapi-", "hf_", "r8_", "pplx-", "fw_", "sess-")


def nanos_of(amount: Decimal, per_unit: int = 1) -> int:
    """The nanos of an amount of which `per_unit` make one unit of its currency (100 for cents), half-even where it is finer than a nano.

    Raises ValueError for what is no amount.
    """
    if not amount.is_finite() or abs(amount) > _AMOUNT_MAX * per_unit:
        raise ValueError(f"{str(amount)[:40]} is no amount of money")
    return int((amount * NANOS_PER_CREDIT / per_unit).to_integral_value())


def decimal_of(text: str) -> Decimal:
    """The decimal of a cell. Raises ValueError, with its reason for commas, which stand for two things."""
    text = text.strip().removeprefix("$").strip()
    try:
        return Decimal(text.replace("_", "no digit"))
    except InvalidOperation:
        if "," in text:
            raise ValueError(
                f"{text[:40]!r} has a comma, which is a decimal point to some and parts thousands to others: "
                "write 1234.5, with a point and nothing else"
            ) from None
        raise ValueError(f"{text[:40]!r} is no number") from None


def count_of(text: str) -> int | None:
    """The count of a cell, None for an empty one. Raises ValueError for all else but a whole number of at least 0."""
    if text.isdecimal() and text.isascii():
        return int(text) if len(text) < 19 else _no_count(text)
    text = text.strip()
    if not text:
        return None
    number = decimal_of(text)
    if not number.is_finite() or not 0 <= number < 10**18 or number != number.to_integral_value():
        return _no_count(text)
    return int(number)


def _no_count(text: str) -> int:
    raise ValueError(f"{text[:40]!r} is no count, which is a whole number of at least 0")


def instant_of_number(text: str, unit: str, starts_at: Instant = 0) -> Instant:
    """The instant of so many seconds, milliseconds or microseconds after another one, the epoch unless told otherwise."""
    micros = decimal_of(text) * _MICROS[unit]
    if not micros.is_finite() or abs(micros) > 10**18:
        raise ValueError(f"{text[:40]!r} {unit} is no time")
    return starts_at + int(micros)


def instant_of_text(text: str, zone: tzinfo | None = None) -> Instant:
    """The instant of an ISO 8601 time or date; one without a zone is in `zone`. Raises ValueError where that is not told either."""
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC") if text.endswith(" UTC") else text)
    except ValueError:
        raise ValueError("its time is none such as 2026-02-03T08:00:00Z") from None
    if moment.tzinfo is None:
        if text.endswith(" UTC"):
            zone = UTC
        if zone is None:
            raise ValueError(f"{text[:40]!r} has no time zone, and none is named for this file")
        moment = moment.replace(tzinfo=zone)
    return instant_from_datetime(moment)


def name_of(text: str | None) -> str:
    """A name as told, no longer than a name may be and on one line; empty for none."""
    if not text:
        return ""
    if len(text) > NAME_CHARACTERS_MAX:
        text = text[:NAME_CHARACTERS_MAX]
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text).strip()


def ident_of(text: str | None) -> str:
    """An id as told; of one that is longer than a name its sha256, because such ids often begin alike."""
    if text and len(text) > NAME_CHARACTERS_MAX:
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return name_of(text)


def key_of(text: str | None, *, hashes_stay: bool = False) -> str:
    """The name of a key as told; of a key itself only its sha256 stays, by which LiteLLM names it, too.

    A key is what begins as one, and, since Azure's and Mistral's begin as nothing, what has 32 letters and digits in a row that no
    person would write. `hashes_stay` where the source is known to tell no keys but their sha256.
    """
    text = (text or "").strip().removeprefix("Bearer ").strip()
    if hashes_stay and _HASH.fullmatch(text):
        return text
    is_key = text.startswith(_SECRET_STARTS) and "…" not in text and "..." not in text
    if is_key or any(_is_random(run) for run in _RUN.findall(text)):
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return name_of(text)


def _is_random(run: str) -> bool:
    """Whether letters and digits in a row are of many kinds and in no order that a name has."""
    if len(set(run)) < _RANDOM_KINDS_MIN:
        return False
    capitals = sum(one.isupper() for one in run)
    return any(one.isdigit() for one in run) or 4 * capitals >= len(run) > capitals


def tags_of(told: Iterable[object]) -> tuple[str, ...]:
    """The first labels that may be tags, each once."""
    parts = (part.strip() for one in told if isinstance(one, str) for part in one.split(","))
    found = dict.fromkeys(one for one in parts if 0 < len(one) <= TAG_CHARACTERS_MAX)
    return tuple(found)[:TAGS_MAX]


def digest_of(*parts: object) -> str:
    """A short name of what these parts are together: equal for equal parts."""
    told = "\x1f".join(str(one) for one in parts)
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def fresh_input(whole: int | None, *inside: int | None) -> int | None:
    """What of a count is left without its parts; all of it where the parts are more, as some tell them beside it and not inside."""
    if whole is None:
        return None
    less = 0
    for part in inside:
        less += part or 0
    return whole - less if less <= whole else whole


class Seen:
    """Event ids of one file, by which a repeat is known; the oldest half is forgotten when they are too many."""

    def __init__(self, most: int = IMPORT_IDS_REMEMBERED_MAX) -> None:
        self._most = most
        self._new: set[str] = set()
        self._old: set[str] = set()

    def unseen(self, idents: Sequence[str]) -> list[bool]:
        """Of each of these whether it was not asked about before, in their order, as `has` would say of one after the other."""
        found: list[bool] = []
        while len(found) < len(idents):
            room = self._most // 2 + 1 - len(self._new)
            part = idents[len(found) : len(found) + room]
            together = set(part)
            if len(together) < len(part) or not self._new.isdisjoint(together) or not self._old.isdisjoint(together):
                found += [not self.has(one) for one in part]
                continue
            found += [True] * len(part)
            self._new |= together
            self._forget()
        return found

    def has(self, ident: str) -> bool:
        """Whether it was asked about before; from now on it was."""
        if ident in self._new or ident in self._old:
            return True
        self._new.add(ident)
        self._forget()
        return False

    def _forget(self) -> None:
        if len(self._new) * 2 > self._most:
            self._old, self._new = self._new, set()
