"""SCIM's PATCH (RFC 7644 §3.5.2): a document and operations give another document; nothing is written here."""

import copy
from typing import Any

from tokenroll.model.limits import SCIM_OPERATIONS_MAX
from tokenroll.services.scim_documents import Attribute, Document, Kind, ScimError, spelled_value
from tokenroll.services.scim_filters import Path, read_path


def patched(kind: Kind, document: Document, request: Any) -> Document:
    """The document after all operations of the request in their order. Raises ScimError, and then none of them counts."""
    operations = _lower_keys(request).get("operations") if isinstance(request, dict) else None
    if not isinstance(operations, list) or not operations:
        raise ScimError(400, "invalidSyntax", "a PATCH has a list of Operations")
    if len(operations) > SCIM_OPERATIONS_MAX:
        raise ScimError(413, "tooMany", f"a PATCH has at most {SCIM_OPERATIONS_MAX} operations, not {len(operations)}")
    found = copy.deepcopy(document)
    for operation in operations:
        _apply(kind, found, operation)
    return found


def _lower_keys(given: Document) -> Document:
    return {str(name).casefold(): value for name, value in given.items()}


def _apply(kind: Kind, document: Document, operation: Any) -> None:
    given = _lower_keys(operation) if isinstance(operation, dict) else {}
    verb = str(given.get("op", "")).casefold()
    if verb not in {"add", "replace", "remove"}:
        raise ScimError(400, "invalidSyntax", f"an operation is add, replace or remove, not {given.get('op')!r:.40}")
    text, value = given.get("path"), given.get("value")
    extension = _extension(kind, str(text))
    if extension is not None:
        _change_extension(kind, document, extension, verb, value)
        return
    if text:
        path = read_path(kind, str(text))
        _refuse_read_only(path)
        _change(kind, document, path, verb, value)
        return
    if verb == "remove":
        raise ScimError(400, "noTarget", "remove needs a path")
    if not isinstance(value, dict):
        raise ScimError(400, "invalidValue", f"{verb} without a path takes an object of attributes")
    for name, one in value.items():
        _change_named(kind, document, verb, str(name), one)


def _change_named(kind: Kind, document: Document, verb: str, name: str, value: Any) -> None:
    """An attribute of a value without a path: by its name, by a path in its place (Entra), or all those of an extension."""
    extension = _extension(kind, name)
    if extension is not None:
        _change_extension(kind, document, extension, verb, value)
        return
    try:
        path = read_path(kind, name)
    except ScimError:
        return  # an attribute that is not kept
    if not (path.attribute.read_only or (path.part is not None and path.part.read_only)):
        _change(kind, document, path, verb, value)


def _extension(kind: Kind, name: str) -> str | None:
    return next((urn for urn in kind.schemas if urn.casefold() == name.casefold() and urn != kind.core), None)


def _change_extension(kind: Kind, document: Document, extension: str, verb: str, value: Any) -> None:
    """All that is said of an extension, or all of it taken away."""
    if verb == "remove":
        document[extension] = {one.name: None for one in kind.schemas[extension] if not one.read_only}
        return
    if not isinstance(value, dict):
        raise ScimError(400, "invalidValue", f"{extension} is a JSON object")
    for inner, one in value.items():
        _change_named(kind, document, verb, f"{extension}:{inner}", one)


def _refuse_read_only(path: Path) -> None:
    for one in (path.attribute, path.part):
        if one is not None and one.read_only:
            raise ScimError(400, "mutability", f"{one.name} is read-only")


def _change(kind: Kind, document: Document, path: Path, verb: str, value: Any) -> None:
    place = document if path.schema == kind.core else document.setdefault(path.schema, {})
    attribute = path.attribute
    if attribute.many:
        place[attribute.name] = _of_many(path, list(place.get(attribute.name) or []), verb, value)
    elif path.part is not None:
        whole = dict(place.get(attribute.name) or {})
        _set(whole, path.part, verb, value)
        place[attribute.name] = whole
    elif attribute.type == "complex" and verb != "remove":
        new = spelled_value(attribute, value)
        place[attribute.name] = None if new is None else {**(place.get(attribute.name) or {}), **new}
    else:
        _set(place, attribute, verb, value)


def _set(place: Document, attribute: Attribute, verb: str, value: Any) -> None:
    must_be = attribute.name == "active" or attribute.required
    if verb == "remove" and must_be:
        raise ScimError(400, "mutability", f"{attribute.name} cannot be removed; replace it")
    new = None if verb == "remove" else spelled_value(attribute, value)
    if new is None and must_be:
        raise ScimError(400, "invalidValue", f"{attribute.name} needs a value")
    place[attribute.name] = new


def _of_many(path: Path, values: list[Document], verb: str, value: Any) -> list[Document]:
    """The values of a list after one operation on all of them or on those that the path chooses."""
    attribute, which = path.attribute, path.which
    if which is None and path.part is None:
        given: list[Document] = spelled_value(attribute, value) or []
        if verb == "replace":
            return _without_doubles(given)
        if verb == "add":
            return _one_primary(_without_doubles([*values, *given]), given)
        gone = {one.get("value") for one in given}
        return [one for one in values if one.get("value") not in gone] if value is not None else []
    chosen = [one for one in values if which is None or which(one)]
    if verb == "remove" and path.part is None:
        return [one for one in values if one not in chosen]
    if not chosen and verb == "replace":
        raise ScimError(400, "noTarget", f"no value of {attribute.name} is the one that the path asks for")
    if not chosen and verb == "add":
        made = dict(path.creates or {})
        values, chosen = [*values, made], [made]
    for one in chosen:
        if path.part is not None:
            _set(one, path.part, verb, value)
        else:
            one.update(_single(attribute, value))
    return [left for one in values if (left := {name: part for name, part in one.items() if part is not None})]


def _single(attribute: Attribute, value: Any) -> Document:
    """The one value by which a chosen one is joined."""
    given: list[Document] = spelled_value(attribute, value) or []
    if len(given) != 1:
        raise ScimError(400, "invalidValue", f"a value of {attribute.name} is one JSON object")
    return given[0]


def _without_doubles(values: list[Document]) -> list[Document]:
    """Of values that name the same thing, the last one that came."""
    return list({one.get("value", str(one)): one for one in values}.values())


def _one_primary(values: list[Document], new: list[Document]) -> list[Document]:
    """A value that came as the primary one takes the place of the one before (RFC 7643 §2.4)."""
    if not any(one.get("primary") for one in new):
        return values
    named = {one.get("value") for one in new}
    return [
        one if one.get("value") in named else {**one, "primary": False} if "primary" in one else one for one in values
    ]
