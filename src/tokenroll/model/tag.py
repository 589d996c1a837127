"""Tag: a label on a call, free (`draft`) or with a name that reports know (`project=atlas`).

A call's tags are one text, apart by commas, in the order in which they were said: so the tape keeps them, and so a limit compares
them. Names that are known here mean one thing for everybody and are written in one way; what else looks like `name=value` is free.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final

from tokenroll.model.limits import TAG_CHARACTERS_MAX, TAGS_BYTES_MAX, TAGS_MAX


class Purpose(StrEnum):
    """Whether a call was made for work or for oneself: what tax rules ask of an allowance that may be used for both."""

    WORK = "work"
    PERSONAL = "personal"


PROJECT: Final = "project"
COST_CENTRE: Final = "cost-centre"
SESSION: Final = "session"
OUTCOME: Final = "outcome"
PURPOSE: Final = "purpose"
TAG_NAMES: Final = (PROJECT, COST_CENTRE, SESSION, OUTCOME, PURPOSE)
"""Names with a meaning: each has one value at most."""
_NAMES: Final = frozenset(TAG_NAMES)
_SPELLINGS: Final = {**{name: name for name in TAG_NAMES}, "cost-center": COST_CENTRE}
_PURPOSES: Final = frozenset(one.value for one in Purpose)
_MERGED_REMEMBERED_MAX: Final = 4_096


class TagError(ValueError):
    """Tags that cannot be recorded; the message says which and why."""


def tags_from_text(text: str) -> str:
    """The same tags in the form that is recorded: each once, known names as they are spelt here. Raises TagError."""
    found: dict[str, None] = {}
    named: dict[str, str] = {}
    for one in text.split(","):
        tag = one.strip()
        if not tag:
            continue
        name, mark, value = tag.partition("=")
        known = known_name(name) if mark else ""
        if known:
            tag = named_tag(known, value.strip())
            if named.setdefault(known, tag) != tag:
                message = f"the tag {known} is given twice, as {named[known]!r} and as {tag!r}: a call has one"
                raise TagError(message)
        _check(tag)
        found[tag] = None
    if len(found) > TAGS_MAX:
        message = f"a call has at most {TAGS_MAX} tags from one place, not {len(found)}"
        raise TagError(message)
    return short_tags(",".join(found))


def known_name(name: str) -> str:
    """The name with a meaning that this spells, also with `_`, capitals or blanks around it; empty for any other."""
    return _SPELLINGS.get(name.strip().lower().replace("_", "-"), "")


def named_tag(name: str, value: str) -> str:
    """`name=value` for a known name. Raises TagError for a value that it cannot have."""
    if not value:
        message = f"the tag {name} has no value: write {name}=…, or leave it out"
        raise TagError(message)
    if name == PURPOSE and value not in _PURPOSES:
        message = f"the purpose of a call is work or personal, not {value[:40]!r}"
        raise TagError(message)
    tag = f"{name}={value}"
    if "," in value:
        message = f"the tag {tag[:60]!r} has a comma, which would end it"
        raise TagError(message)
    return _check(tag)


def tag_value(tags: str, name: str) -> str:
    """What a call's tags say of a known name; empty when they say nothing."""
    start = f"{name}="
    for tag in tags.split(","):
        if tag.startswith(start):
            return tag[len(start) :]
    return ""


@lru_cache(maxsize=_MERGED_REMEMBERED_MAX)
def merged_tags(first: str, *others: str) -> str:
    """The tags of several places as one call's: of a known name the first place decides, free ones all count.

    The places are recorded forms already; only their sum may be above TAGS_BYTES_MAX, which is the caller's to refuse.
    """
    found: dict[str, None] = {}
    named: set[str] = set()
    for text in (first, *others):
        for tag in text.split(",") if text else ():
            name, mark, _ = tag.partition("=")
            if mark and name in _NAMES:
                if name in named:
                    continue
                named.add(name)
            found[tag] = None
    return ",".join(found)


def _check(tag: str) -> str:
    if len(tag) > TAG_CHARACTERS_MAX or not (tag.isascii() and tag.isprintable()):
        message = f"a tag has at most {TAG_CHARACTERS_MAX} printable ASCII characters, not {tag[:40]!a}"
        raise TagError(message)
    return tag


def short_tags(tags: str) -> str:
    """The same tags. Raises TagError when they are more than one call may have."""
    if len(tags) > TAGS_BYTES_MAX:
        message = f"the tags of a call have at most {TAGS_BYTES_MAX} characters together, not {len(tags)}"
        raise TagError(message)
    return tags
