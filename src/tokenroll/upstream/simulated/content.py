"""What the simulated provider says: text of an exact number of tokens, and JSON that fits a schema."""

from typing import Any, Final

_WORDS: Final = b"pay roll wage plan lots vest hold cash debt base unit sums note page book card desk team hour week year term ".split()
_FILLER: Final = b"".join(word.ljust(4)[:3] + b" " for word in _WORDS) * 4_096
"""Every token is three letters and a space: four bytes, so that delivered bytes tell how many tokens they are."""
_PERIOD: Final = 4 * len(_WORDS)


def text_of(tokens: int, salt: int) -> bytes:
    """`tokens` tokens of text, four bytes each, begun at a place that `salt` chooses."""
    start = salt * 4 % _PERIOD
    if start + 4 * tokens <= len(_FILLER):
        return _FILLER[start : start + 4 * tokens]
    whole, rest = divmod(4 * tokens, len(_FILLER) - _PERIOD)
    piece = _FILLER[start : start + len(_FILLER) - _PERIOD]
    return piece * whole + piece[:rest]


def fitting(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A small value that a JSON schema accepts, always the same one: required members only, first choices."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > 12:
        return None
    if "$ref" in schema:
        target = root
        for name in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(name, {}) if isinstance(target, dict) else {}
        return fitting(target, root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return fitting(schema[key][0], root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        members = schema.get("properties") or {}
        wanted = schema.get("required") or list(members)
        return {name: fitting(members.get(name, {}), root, depth + 1) for name in wanted}
    if kind == "array":
        return [
            fitting(schema.get("items", {}), root, depth + 1) for _ in range(max(1, int(schema.get("minItems", 1))))
        ]
    if kind in {"integer", "number"}:
        return int(schema.get("minimum", 1))
    return {"boolean": True, "null": None}.get(str(kind), "roll")
