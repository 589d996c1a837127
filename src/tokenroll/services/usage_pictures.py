"""An answer of the usage lake as a picture: a cost by day and by one name as stacked bars, a cost by one name as bars."""

from datetime import date
from typing import Final

from tokenroll.insight.pictures import Amount, Picture, bars, document, sized, spend_by_name, step_for
from tokenroll.store.lake_queries import MEASURES, QuestionError, UsageAnswer, UsageQuery
from tokenroll.store.lake_schema import AMOUNTS

DAY: Final = "day"
_BARS_SHOWN_MAX: Final = 40
_WIDTH: Final = 760


def answer_picture(query: UsageQuery, found: UsageAnswer) -> Picture:
    """The first cost that was asked for, drawn. Raises QuestionError for an answer that has no picture."""
    costs = [name for name in query.measures if MEASURES[name] in AMOUNTS]
    names = [name for name in query.by if name != DAY]
    if not costs or len(names) > 1 or not query.by:
        raise QuestionError(
            "a picture is of a cost by day, by one other dimension, or by both: such as --by day,model --measure list"
        )
    column = MEASURES[costs[0]]
    unit = "credits" if column == "charge_nanos" else found.currency or "currency"
    rows = found.rows()
    if not rows:
        raise QuestionError("no usage answers to that, so there is nothing to draw")
    title = f"{costs[0]} cost" if unit != "credits" else "charge"
    if DAY not in query.by:
        return _bars([(str(row[names[0]] or "-"), row[column] or 0) for row in rows], unit, f"{title} by {names[0]}")
    amounts = [
        Amount(
            on=date.fromisoformat(row[DAY]), name=str(row[names[0]] or "-") if names else title, nanos=row[column] or 0
        )
        for row in rows
    ]
    days = [one.on for one in amounts]
    step = step_for(min(days), max(days))
    view = spend_by_name(amounts, unit=unit, what=names[0] if names else "", step=step)
    return document(sized(view, _WIDTH, 260), f"{title} a {step}" + (f", by {names[0]}" if names else ""))


def _bars(rows: list[tuple[str, int]], unit: str, title: str) -> Picture:
    ranked = sorted(rows, key=lambda row: (-row[1], row[0]))
    shown = ranked[:_BARS_SHOWN_MAX]
    note = f"the largest {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else ""
    return document(sized(bars(shown, unit=unit), _WIDTH, 40 + 22 * len(shown)), title, subtitle=note)
