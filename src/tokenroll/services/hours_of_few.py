"""Usage by the hour, of which nobody is told alone (law 10): rows of fewer people than are enough are told together or not at all.

The rule is that of forecasts by the hour, see `insight/small_groups.py`; hours of one named person are refused before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from tokenroll.insight.small_groups import told_together
from tokenroll.model.limits import PEOPLE_TOLD_MIN, USAGE_TOLD_ROWS_MAX
from tokenroll.services.forecasting import TOGETHER
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_libraries import arrow
from tokenroll.store.lake_queries import MEASURES, TAG, TIMES, QuestionError, UsageAnswer, UsageQuery, answer

_MERGED_ROWS_MAX: Final = 10 * USAGE_TOLD_ROWS_MAX
_Row: TypeAlias = dict[str, Any]


def answer_of_enough(view: LakeView, query: UsageQuery) -> UsageAnswer:
    """The answer; by the hour, groups of too few people are one row each hour. Raises QuestionError where all are too few.

    Amounts in several currencies are no sum, and events with several tags count under each, so these are not told together but refused.
    """
    if "hour" not in query.by:
        return answer(view, query)
    groups = tuple(name for name in query.by if name not in TIMES)
    users = _users(view, query, groups)
    everybody = set().union(*users.values()) if users else set()
    if 0 < len(everybody) < PEOPLE_TOLD_MIN:
        raise QuestionError(
            f"the hours of {len(everybody)} people would tell of each: they are withheld below {PEOPLE_TOLD_MIN}; ask by day"
        )
    together = told_together({name: len(people) for name, people in users.items()})
    if not together or not groups:
        return answer(view, query)
    apart = sorted({"currency", TAG} & set(groups))
    if apart:
        raise QuestionError(
            f"some of these hours are of fewer than {PEOPLE_TOLD_MIN} people: ask without {' and '.join(apart)}, or by day"
        )
    found = answer(view, replace(query, order=(), limit=None))
    if found.table.num_rows > _MERGED_ROWS_MAX:
        raise QuestionError(
            f"more than {_MERGED_ROWS_MAX} rows of hours: ask with fewer dimensions or for a shorter period"
        )
    rows = _merged(found.table.to_pylist(), query, groups, together)
    ordered = _ordered(rows, query)[: query.limit]
    return replace(found, table=_as_table(ordered, found.table))


def _users(view: LakeView, query: UsageQuery, groups: Sequence[str]) -> dict[str, set[str]]:
    """Which named people stand behind each group, which is told by its values."""
    asked = replace(query, by=(*groups, "member"), measures=("calls",), order=(), limit=None)
    found: dict[str, set[str]] = {}
    for row in answer(view, asked).rows():
        found.setdefault(_name_of(row, groups), set()).update({row["member"] or ""} - {""})
    return found


def _name_of(row: Mapping[str, Any], groups: Sequence[str]) -> str:
    return "\n".join(str(row[name]) for name in groups)


def _merged(rows: Sequence[_Row], query: UsageQuery, groups: Sequence[str], together: frozenset[str]) -> list[_Row]:
    """The rows with those of some groups added up under one name."""
    columns = [MEASURES[name] for name in query.measures]
    found: dict[tuple[Any, ...], _Row] = {}
    for row in rows:
        told = row | dict.fromkeys(groups, TOGETHER) if _name_of(row, groups) in together else row
        key = tuple(value for name, value in told.items() if name not in columns)
        before = found.setdefault(key, told)
        if before is not told:
            before |= {name: _sum(before[name], told[name]) for name in columns}
    return list(found.values())


def _sum(one: Any, other: Any) -> Any:
    """What nobody told of either is not told."""
    return other if one is None else one if other is None else one + other


def _ordered(rows: list[_Row], query: UsageQuery) -> list[_Row]:
    """As the lake orders them: what is not told stands last, and the dimensions decide between equals."""
    named = {one.removeprefix("-") for one in query.order}
    for one in reversed((*query.order, *(name for name in query.by if name not in named))):
        name = one.removeprefix("-")
        column = "hour_at" if name == "hour" else MEASURES.get(name, name)
        told = sorted(
            (row for row in rows if row[column] is not None), key=lambda row: row[column], reverse=one != name
        )
        rows = [*told, *(row for row in rows if row[column] is None)]
    return rows


def _as_table(rows: list[_Row], like: Any) -> Any:
    pa = arrow()
    columns = {
        field.name: pa.array(
            [row[field.name] for row in rows], type=pa.string() if pa.types.is_string(field.type) else None
        )
        for field in like.schema
    }
    return pa.table(columns)
