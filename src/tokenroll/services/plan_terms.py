"""Plan terms in JSON: read strictly, written with what is as usual left out, so that two plans that say the same are the same row."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from tokenroll.model.plan_terms import PlanTerms
from tokenroll.services.refusal import Refused

_USUAL: Final = PlanTerms()


def terms_from_given(given: Any) -> PlanTerms:
    """The terms that a command's argument or a row describes; none are the usual ones. Raises Refused, which names the field."""
    if not given:
        return _USUAL
    if not isinstance(given, Mapping):
        message = f"the terms of a plan are a table of terms, not {given!r}"
        raise Refused("argument", message)
    _check_names(given, PlanTerms, "terms")
    try:
        return msgspec.convert(dict(given), PlanTerms)
    except msgspec.ValidationError as error:
        raise Refused("argument", _sentence(str(error))) from error


def given_from_terms(terms: PlanTerms) -> dict[str, Any]:
    """What makes these terms again, as JSON has it; what is as usual is left out."""
    found = _unusual(terms)
    return found if isinstance(found, dict) else {}


def terms_from_text(text: str | None) -> PlanTerms:
    """The terms of a plan's row."""
    return terms_from_given(msgspec.json.decode(text)) if text else _USUAL


def text_from_terms(terms: PlanTerms) -> str | None:
    """Its column: null for the usual ones."""
    return None if terms == _USUAL else msgspec.json.encode(given_from_terms(terms), order="sorted").decode()


def _unusual(noun: Any) -> Any:
    """A noun as a table of the fields that are not as they are without a word."""
    if not is_dataclass(noun):
        return msgspec.to_builtins(noun)
    found: dict[str, Any] = {}
    usual = _usual_of(type(noun))
    for one in fields(noun):
        value = getattr(noun, one.name)
        if one.name in usual and value == usual[one.name]:
            continue
        found[one.name] = [_unusual(each) for each in value] if isinstance(value, tuple) else _unusual(value)
    return found


def _usual_of(noun: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {}
    for one in fields(noun):
        if one.default is not MISSING:
            usual[one.name] = one.default
        elif one.default_factory is not MISSING:
            usual[one.name] = one.default_factory()
    return usual


def _check_names(given: Any, noun: Any, where: str) -> None:
    """Raises Refused for a name that no field has, which JSON's reader would pass over in silence."""
    if isinstance(given, list | tuple):
        for each in given:
            _check_names(each, noun, where)
        return
    if not isinstance(given, Mapping) or not is_dataclass(noun):
        return
    hints = get_type_hints(noun)
    for name, value in given.items():
        if name not in hints:
            message = f"{where} has no {name}; it has {', '.join(hints)}"
            raise Refused("argument", message)
        _check_names(value, _inner(hints[name]), f"{where}.{name}")


def _inner(hint: Any) -> Any:
    """The one type within `X | None` or `tuple[X, ...]`, else the type itself."""
    if get_origin(hint) in {Union, types.UnionType}:
        return next(one for one in get_args(hint) if one is not type(None))
    return get_args(hint)[0] if get_origin(hint) is tuple else hint


def _sentence(problem: str) -> str:
    """`terms.tax.use_scope: must be one of …`, from what the reader says and where."""
    what, _, place = problem.partition(" - at `$")
    path = [part for part in place.rstrip("`").split(".") if part]
    where = ".".join(("terms", *path))
    choices = _choices(path)
    if choices:
        return f"{where} is one of {', '.join(choices)}: {what[:1].lower()}{what[1:]}"
    return f"{where}: {what[:1].lower()}{what[1:]}"


def _choices(path: list[str]) -> list[str]:
    noun: Any = PlanTerms
    for part in path:
        hint = get_type_hints(noun).get(part.partition("[")[0]) if is_dataclass(noun) else None
        noun = None if hint is None else _inner(hint)
    return [one.value for one in noun] if isinstance(noun, type) and issubclass(noun, StrEnum) else []
