"""Rules that say whose usage is whose: by key, e-mail, project, source and the like, from a file, the first that fits being the one.

Files seldom know departments and cost centres, and a key's name seldom is a person's. A rule changes who an event is attributed to
and nothing that was used or what it cost.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Any, Final

from tokenroll.model.checks import name_checked
from tokenroll.model.limits import IMPORT_RULES_MAX
from tokenroll.model.usage_event import UsageEvent

CONDITIONS: Final = (
    "key",
    "member",
    "email",
    "user",
    "project",
    "source",
    "model",
    "provider",
    "session",
    "department",
    "tag",
)
"""What a rule asks; `email` and `user` are other words for the member as the source names them."""
RESULTS: Final = ("member", "department", "cost_centre", "project")
_SAME: Final = {"email": "member", "user": "member"}
_FORM: Final = '[[rule]] with `when = { key = "sk-…" }` and `set = { member = "Ada" }`'


class AttributionError(ValueError):
    """Rules that cannot be followed; the message names the rule, the key and what is allowed."""


@dataclass(frozen=True, slots=True)
class AttributionRule:
    """All its patterns fit: then these are the event's. A pattern is a text in which `*` stands for any characters, in any case."""

    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    results: tuple[tuple[str, str], ...]

    def fits(self, event: UsageEvent) -> bool:
        """Whether all its patterns do."""
        return all(_fits(name, pattern, event) for name, pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Attribution:
    """Rules in their order."""

    rules: Sequence[AttributionRule] = ()

    def applied(self, event: UsageEvent) -> UsageEvent:
        """The event as the first rule that fits attributes it; the same one where none does."""
        for rule in self.rules:
            if rule.fits(event):
                changes: dict[str, Any] = dict(rule.results)
                return replace(event, **changes)
        return event


def attribution_from_toml(text: str) -> Attribution:
    """The rules of a file. Raises AttributionError."""
    try:
        told = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AttributionError(f"the rules are no TOML: {error}") from error
    rules = told.pop("rule", None)
    if told:
        raise AttributionError(f"{next(iter(told))}: there is no such key; known is {_FORM}")
    if not isinstance(rules, list) or not rules:
        raise AttributionError(f"there is no rule; write {_FORM}")
    if len(rules) > IMPORT_RULES_MAX:
        raise AttributionError(f"{len(rules)} rules; at most {IMPORT_RULES_MAX} are followed")
    return Attribution(tuple(_rule(number, rule) for number, rule in enumerate(rules, 1)))


def _rule(number: int, told: Any) -> AttributionRule:
    if not isinstance(told, dict) or set(told) != {"when", "set"}:
        raise AttributionError(f"rule {number} is not of the form {_FORM}")
    when = _texts(number, "when", told["when"], CONDITIONS)
    results = _texts(number, "set", told["set"], RESULTS)
    for name, value in results.items():
        try:
            name_checked(value, f"rule {number}: set.{name}")
        except ValueError as error:
            raise AttributionError(str(error)) from error
    patterns = tuple(
        (_SAME.get(name, name), re.compile(translate(value), re.IGNORECASE)) for name, value in when.items()
    )
    return AttributionRule(patterns, tuple(results.items()))


def _texts(number: int, part: str, told: Any, allowed: Sequence[str]) -> dict[str, str]:
    if not isinstance(told, dict) or not told:
        raise AttributionError(f"rule {number}: {part} is a table that names one of {', '.join(allowed)}")
    for name, value in told.items():
        if name not in allowed:
            raise AttributionError(f"rule {number}: {part}.{name} is not known; allowed are {', '.join(allowed)}")
        if not isinstance(value, str):
            raise AttributionError(f"rule {number}: {part}.{name} is {value!r}; allowed is a text")
    return told


def _fits(name: str, pattern: re.Pattern[str], event: UsageEvent) -> bool:
    if name == "tag":
        return any(pattern.match(tag) for tag in event.tags)
    if name == "model":
        return pattern.match(event.model) is not None or pattern.match(event.requested_model) is not None
    return pattern.match(getattr(event, name)) is not None
