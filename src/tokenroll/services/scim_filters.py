"""SCIM's filters (RFC 7644 §3.4.2.2): read once, then asked of any number of documents."""

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokenroll.model.instant import instant_from_text
from tokenroll.model.limits import SCIM_FILTER_CHARACTERS_MAX, SCIM_FILTER_DEPTH_MAX
from tokenroll.services.scim_documents import Attribute, Document, Kind, ScimError, part_of

_TOKEN: Final = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([()\[\]])|([^\s()\[\]"]+))')
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "ne": operator.eq,
    "co": operator.contains,
    "sw": lambda value, text: value.startswith(text),
    "ew": lambda value, text: value.endswith(text),
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
"""What a value is asked; `ne` is an `eq` that nothing may answer."""
Test = Callable[[Document], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A question about one document. `equals`: the attribute and text when it asks for nothing else than that they are equal."""

    test: Test
    equals: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Where something stands: schema, attribute, which of its values, and which part of them.

    `creates` is the value that a filter of one equality asks for.
    """

    schema: str
    attribute: Attribute
    which: Test | None = None
    part: Attribute | None = None
    creates: Document | None = None


def read_filter(kind: Kind, text: str) -> Filter:
    """The filter of a query. Raises ScimError `invalidFilter`, with what stands where something else belongs."""
    reader = _Reader(text, kind, "invalidFilter")
    found = reader.either()
    reader.end()
    return Filter(test=found, equals=reader.only_equal if reader.comparison_count == 1 else None)


def read_path(kind: Kind, text: str) -> Path:
    """The path of a PATCH operation: `attribute`, `attribute.part`, `attribute[filter]` or `attribute[filter].part`."""
    reader = _Reader(text, kind, "invalidPath")
    schema, attribute, part = reader.attribute()
    which, creates = None, None
    if reader.next_is("["):
        if part is not None or not attribute.many:
            raise reader.wrong(f"{attribute.name} is not a list of values to choose from")
        which = reader.within(attribute)
        equal = reader.only_equal if reader.comparison_count == 1 else None
        creates = None if equal is None else {equal[0]: equal[1]}
        word = reader.take() if reader.has_more else ""
        if word:
            part = part_of(attribute, word.removeprefix("."))
            if not word.startswith(".") or part is None:
                raise reader.wrong(f"{attribute.name} has no part {word!r}")
    reader.end()
    return Path(schema=schema, attribute=attribute, which=which, part=part, creates=creates)


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, kind: Kind, error: str) -> None:
        self._kind = kind
        self._error = error
        self._depth = 0
        self._at = 0
        self.comparison_count = 0
        self.only_equal: tuple[str, str] | None = None
        if len(text) > SCIM_FILTER_CHARACTERS_MAX:
            raise self.wrong(f"it has more than {SCIM_FILTER_CHARACTERS_MAX} characters")
        self._tokens: list[str] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.wrong(f"a text is not closed: {text[at:].strip():.60}")
            self._tokens.append(match.group().strip())
            at = match.end()

    @property
    def has_more(self) -> bool:
        """Whether something was not read yet."""
        return self._at < len(self._tokens)

    def wrong(self, what: str) -> ScimError:
        """The refusal."""
        return ScimError(400, self._error, what)

    def next_is(self, *words: str) -> bool:
        """Whether one of these comes next, in any case."""
        return self.has_more and self._tokens[self._at].casefold() in words

    def take(self) -> str:
        """What comes next."""
        if not self.has_more:
            raise self.wrong("something is missing at its end")
        self._at += 1
        return self._tokens[self._at - 1]

    def end(self) -> None:
        """Nothing may follow."""
        if self.has_more:
            raise self.wrong(f"{self._tokens[self._at]!r} does not belong there")

    def either(self, within: Attribute | None = None) -> Test:
        tests = [self._both(within)]
        while self.next_is("or"):
            self.take()
            self.comparison_count += 1  # whatever is asked, it is more than one equality
            tests.append(self._both(within))
        return tests[0] if len(tests) == 1 else lambda one: any(test(one) for test in tests)

    def _both(self, within: Attribute | None) -> Test:
        tests = [self._single(within)]
        while self.next_is("and"):
            self.take()
            self.comparison_count += 1
            tests.append(self._single(within))
        return tests[0] if len(tests) == 1 else lambda one: all(test(one) for test in tests)

    def _single(self, within: Attribute | None) -> Test:
        if self.next_is("not"):
            self.take()
            self.comparison_count += 1
            if not self.next_is("("):
                raise self.wrong("`not` stands before a parenthesis")
            inner = self._grouped(within)
            return lambda one: not inner(one)
        if self.next_is("("):
            return self._grouped(within)
        return self._comparison(within)

    def _grouped(self, within: Attribute | None) -> Test:
        self._go_down()
        self.take()
        inner = self.either(within)
        if not self.next_is(")"):
            raise self.wrong("a parenthesis is not closed")
        self.take()
        self._depth -= 1
        return inner

    def _go_down(self) -> None:
        self._depth += 1
        if self._depth > SCIM_FILTER_DEPTH_MAX:
            raise self.wrong(f"more than {SCIM_FILTER_DEPTH_MAX} parentheses stand within each other")

    def within(self, attribute: Attribute) -> Test:
        """`[filter]`: which values of the attribute."""
        self._go_down()
        self.take()
        inner = self.either(attribute)
        if not self.next_is("]"):
            raise self.wrong("a bracket is not closed")
        self.take()
        self._depth -= 1
        return inner

    def attribute(self) -> tuple[str, Attribute, Attribute | None]:
        """A name, with its schema before it and a part after it where they are said."""
        word = self.take()
        known = self._kind.find(word)
        if known is not None:
            return *known, None
        name, _, rest = word.rpartition(".")
        known = self._kind.find(name) if name else None
        part = None if known is None else part_of(known[1], rest)
        if known is None or part is None:
            raise self.wrong(f"there is no attribute {word!r}; there are {self._kind.known()}")
        return *known, part

    def _comparison(self, within: Attribute | None) -> Test:
        self.comparison_count += 1
        if within is None:
            schema, attribute, part = self.attribute()
            if self.next_is("["):
                inner = self.within(attribute)
                return lambda one: any(inner(value) for value in _values(self._kind, one, schema, attribute, None))
            name = attribute.name if part is None else f"{attribute.name}.{part.name}"
            told = part or (part_of(attribute, "value") if attribute.parts else None) or attribute

            def values(one: Document) -> list[Any]:
                return _values(self._kind, one, schema, attribute, part or (told if attribute.parts else None))
        else:
            word = self.take()
            found = part_of(within, word)
            if found is None:
                raise self.wrong(
                    f"{within.name} has no part {word!r}; it has {', '.join(one.name for one in within.parts)}"
                )
            told, name = found, found.name

            def values(one: Document) -> list[Any]:
                return [one[told.name]] if one.get(told.name) is not None else []

        return self._test(told, name, values)

    def _test(self, told: Attribute, name: str, values: Callable[[Document], list[Any]]) -> Test:
        verb = self.take().casefold()
        if verb == "pr":
            return lambda one: bool(values(one))
        if verb not in _ORDER:
            raise self.wrong(f"{verb!r} is no comparison; there are {', '.join(_ORDER)} and pr")
        wanted = self._wanted(told, verb)
        if verb == "eq" and isinstance(wanted, str):
            self.only_equal = (name, wanted)
        if wanted is None:
            return (lambda one: not values(one)) if verb == "eq" else (lambda one: bool(values(one)))
        is_moment = told.type == "dateTime"
        matches = self._moment_matching(verb, wanted) if is_moment else _matching(verb, wanted, exact=told.case_exact)
        if verb == "ne":
            return lambda one: not any(matches(value) for value in values(one))
        return lambda one: any(matches(value) for value in values(one))

    def _moment_matching(self, verb: str, wanted: str) -> Test:
        """Moments are compared as such: a text with a fraction of a second sorts before the same second without one."""
        if verb in {"co", "sw", "ew"}:
            return _matching(verb, wanted, exact=True)
        try:
            moment = instant_from_text(wanted)
        except (ValueError, OverflowError) as error:
            raise self.wrong(f"{wanted!r} is no moment such as 2026-01-31T09:00:00Z") from error
        compare = _ORDER[verb]
        return lambda value: compare(instant_from_text(str(value)), moment)

    def _wanted(self, told: Attribute, verb: str) -> Any:
        word = self.take()
        try:
            value = json.loads(word if word[0] == '"' else word.casefold())
        except ValueError as error:
            raise self.wrong(f"{word!r} is no value; a text stands between double quotes") from error
        if value is None and verb not in {"eq", "ne"}:
            raise self.wrong(f"null is compared by eq or ne, not by {verb}")
        if told.type == "boolean":
            # Entra asks for active eq "True"
            value = {"true": True, "false": False}.get(str(value).casefold(), value)
            if verb not in {"eq", "ne"} or not isinstance(value, bool | None):
                raise self.wrong(f"{told.name} is true or false, compared by eq or ne")
            return value
        return value if value is None or isinstance(value, str) else word


def _values(kind: Kind, one: Document, schema: str, attribute: Attribute, part: Attribute | None) -> list[Any]:
    """What a document has there, as a list: nothing, one, or each of many."""
    found = (one if schema == kind.core else one.get(schema, {})).get(attribute.name)
    many: Iterable[Any] = found if isinstance(found, list) else [] if found is None else [found]
    if part is not None:
        many = [value.get(part.name) for value in many]
    return [value for value in many if value is not None and value not in ("", {})]


def _matching(verb: str, wanted: Any, *, exact: bool) -> Test:
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    text = wanted if exact else wanted.casefold()
    chosen = _ORDER[verb]
    return lambda value: chosen(str(value) if exact else str(value).casefold(), text)
