"""What a command takes: declared as a TypedDict at its handler, and checked before anything is done (decision 0085).

The declaration is the annotation of the handler's own parameter, so there is no second table that could say something else. What is
not declared is refused: an argument that nobody reads would be a wish that is silently not granted.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from inspect import signature
from types import MappingProxyType
from typing import Any, Final, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

from tokenroll.services.refusal import Refused

_WORDS: Final[Mapping[Any, str]] = MappingProxyType(
    {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
)

_KINDS: Final[Mapping[Any, Any]] = MappingProxyType({list: (list, tuple), dict: Mapping})
"""What else may stand for one: where no wire is between, a door's own tuple is a list."""


class NoArguments(TypedDict):
    """What a command takes that is told nothing."""


def declared_arguments(handler: Callable[..., Any]) -> Any:
    """The TypedDict that a handler's arguments are annotated with."""
    return list(signature(handler).parameters.values())[1].annotation


def checked_arguments(command: str, declared: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without those that are null, which is how a door says that nobody named them.

    Raises Refused, which names the command, the argument and what was expected.
    """
    named = {name: value for name, value in given.items() if value is not None}
    problem = _table_problem("", declared, named)
    if problem:
        raise Refused("argument", f"{command}: {problem}")
    return named


def _table_problem(where: str, declared: Any, given: Mapping[str, Any]) -> str:
    """What is wrong with a table, empty when nothing is. `where` is its place, empty for the arguments themselves."""
    hints, needed = _hints(declared), declared.__required_keys__
    for name, value in given.items():
        if name not in hints:
            return _unknown(where, name, list(hints))
        if value is None and name not in needed:
            continue
        problem = _problem(f"{where}.{name}" if where else name, hints[name], value)
        if problem:
            return problem
    missing = [name for name in hints if name in needed and _is_nothing(given.get(name))]
    if not missing:
        return ""
    return f"{where and f'{where}: '}the {missing[0].replace('_', ' ')} is missing: it must be given and not be empty"


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _problem(where: str, hint: Any, value: Any) -> str:
    if hint is Any:
        return ""
    kind = dict if is_typeddict(hint) else get_origin(hint) or hint
    is_one = isinstance(value, _KINDS.get(kind, kind))
    if not is_one or (kind is int and isinstance(value, bool)):
        return f"{where} must be {_WORDS[kind]}, not {_said(value)}"
    if kind is list:
        return _first_problem(((f"{where}[{index}]", one) for index, one in enumerate(value)), get_args(hint)[0])
    if kind is dict and hint is not kind and not is_typeddict(hint):
        return _first_problem(((f"{where}.{name}", one) for name, one in value.items()), get_args(hint)[1])
    return _table_problem(where, hint, value) if kind is dict else ""


def _first_problem(parts: Iterable[tuple[str, Any]], hint: Any) -> str:
    return next((problem for where, value in parts if (problem := _problem(where, hint, value))), "")


def _unknown(where: str, name: str, known: list[str]) -> str:
    """Only what is expected is repeated in full: a name may be anything that somebody sent."""
    what = f"{where} has no {name!r:.60}" if where else f"there is no argument {name!r:.60}"
    if not known:
        return f"{what}: this command takes none"
    near = get_close_matches(name[:60], known, n=1)
    return (
        f"{what}: {f'did you mean {near[0]}? ' if near else ''}{'it has' if where else 'it takes'} {', '.join(known)}"
    )


def _said(value: Any) -> str:
    """What kind of thing was given; never the thing itself, which may be a secret's hash or a person's pay."""
    words = next((text for kind, text in _WORDS.items() if type(value) is kind), None)
    return words or {type(None): "nothing", float: "a number with a point", tuple: "a list"}.get(
        type(value), "another thing"
    )


@functools.cache
def _hints(declared: Any) -> dict[str, Any]:
    return get_type_hints(declared)
