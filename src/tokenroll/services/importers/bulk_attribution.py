"""Rules of attribution on a slice of rows: each distinct combination of what rules ask for is asked about once.

A slice of a large table has a thousand people and not a million: the rules, which are patterns, are tried on these.
"""

from typing import Any, Final

import numpy as np

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.attribution import RESULTS, Attribution
from tokenroll.store.lake_libraries import arrow, arrow_compute

_ASKED: Final = (
    "key", "member", "project", "source", "provider", "session", "department", "requested_model", "resolved_model", "answered_model",
)  # fmt: skip
"""Columns by which a rule may decide; tags, which are lists, stand beside them. A cost centre is only kept where no rule says another."""
_TAGS: Final = "tags"


def attributed(rows: Any, attribution: Attribution) -> Any:
    """The same rows as the first rule that fits each attributes it, as `Attribution.applied` does with one event."""
    pa = arrow()
    if not attribution.rules or not rows.num_rows:
        return rows
    asked = {name for rule in attribution.rules for name, _ in rule.patterns}
    wanted = [name for name in _ASKED if name in rows.column_names and _is_asked(name, asked)]
    texts, codes = _combinations(rows, wanted, with_tags="tag" in asked and _TAGS in rows.column_names)
    changes = [_change(attribution, wanted, one) for one in texts]
    table = rows
    for result in RESULTS:
        told = [change.get(result) for change in changes]
        if all(one is None for one in told):
            continue
        new = pa.array(told, pa.string()).take(pa.array(codes))
        place = table.column_names.index(result) if result in table.column_names else -1
        if place < 0:
            table = table.append_column(result, arrow_compute().fill_null(new, ""))
        else:
            table = table.set_column(place, result, arrow_compute().coalesce(new, table.column(result)))
    return table


def _is_asked(name: str, asked: set[str]) -> bool:
    return name in asked or (name.endswith("_model") and "model" in asked)


def _change(attribution: Attribution, names: list[str], texts: tuple[Any, ...]) -> dict[str, str]:
    facts: dict[str, Any] = {"provider": "", "requested_model": "", "source": ""}
    facts |= dict(zip(names, texts, strict=False))
    tags = texts[len(names)] if len(texts) > len(names) else ()
    facts["source"] = facts["source"] or "any"
    event = UsageEvent(event_id="any", admitted_at=0, usage=Usage(), tags=tuple(tags), **facts)
    return next((dict(rule.results) for rule in attribution.rules if rule.fits(event)), {})


def _combinations(rows: Any, names: list[str], *, with_tags: bool) -> tuple[list[tuple[Any, ...]], Any]:
    """Each combination that there is of these columns, and every row's by number."""
    pc = arrow_compute()
    codes = np.zeros(rows.num_rows, np.int64)
    found: list[tuple[Any, ...]] = [()]
    for name in (*names, _TAGS) if with_tags else names:
        column = rows.column(name).combine_chunks()
        told = column.to_pylist() if name == _TAGS else None
        if told is not None:
            kinds = {tags: number for number, tags in enumerate(dict.fromkeys(tuple(one or ()) for one in told))}
            texts: list[Any] = list(kinds)
            numbers = np.array([kinds[tuple(one or ())] for one in told], np.int64)
        else:
            coded = pc.dictionary_encode(pc.fill_null(column, ""))
            texts, numbers = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
        pairs, codes = np.unique(codes * len(texts) + numbers, return_inverse=True)
        found = [(*found[pair // len(texts)], texts[pair % len(texts)]) for pair in pairs.tolist()]
    return found, codes
