"""One definition of each picture, as a Vega-Lite document: pages, files and papers draw the same one.

Pictures are for eyes: amounts become floats of the currency here and nowhere else. Colours are told apart by lightness as well as by
hue, series are named in a legend in the order in which they are stacked, and every axis has its unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final, TypeAlias

from tokenroll.model.amount import NANOS_PER_CREDIT

Picture: TypeAlias = dict[str, Any]
"""A Vega-Lite 6 document with its data inside."""

INK: Final = "#1c1e21"
QUIET: Final = "#5b6068"
LINE: Final = "#e3e0d8"
SHEET: Final = "#ffffff"
ACCENT: Final = "#0b6b57"
UNDER_COLOURS: Final = {INK: "var(--ink)", QUIET: "var(--quiet)", LINE: "var(--line)", ACCENT: "var(--accent)"}
"""What a page puts in place of colours that must follow its own light or dark ground."""
SERIES_COLOURS: Final = (ACCENT, "#d08a1d", "#6a4fb3", "#2b83ba", "#b3261e", "#7a8a3a", "#8d6e63", "#9aa0a6")
OTHERS: Final = "all others"
SERIES_MAX: Final = len(SERIES_COLOURS)
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DATES: Final = {"format": "%-d %b %Y", "labelOverlap": True, "tickCount": 6}
MONTHS: Final = {
    "format": "%b %Y",
    "labelOverlap": True,
    "tickCount": {"interval": "month", "step": 1},
    "labelAlign": "left",
}
NARROW_WIDTH: Final = 270
"""What a telephone of 390 points has beside an axis."""
_DAYS_SHOWN_MAX: Final = 92
_WEEKS_SHOWN_MAX: Final = 106
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
_FONT: Final = "system-ui, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"


class Step(StrEnum):
    """How much time one bar stands for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """One point of a series: an amount in nanos on a date, under a name."""

    on: date
    name: str
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FanPoint:
    """A forecast of one date: the middle and the ends of two intervals, in units of the picture's axis."""

    on: date
    middle: float
    low_80: float
    high_80: float
    low_95: float
    high_95: float


def document(view: Mapping[str, Any], title: str, *, subtitle: str = "") -> Picture:
    """A whole document around a view: title, fonts, colours, no frame."""
    return {
        "$schema": _SCHEMA,
        "background": "transparent",
        "padding": 8,
        "title": {"text": title, "subtitle": subtitle, "anchor": "start", "color": INK, "subtitleColor": QUIET, "offset": 12},
        "config": {
            "aria": False,  # who draws names the whole; each mark with a name of its own would be read out one by one
            "font": _FONT,
            "view": {"stroke": None},
            "axis": {
                "labelColor": QUIET, "titleColor": QUIET, "gridColor": LINE, "domainColor": LINE, "tickColor": LINE,
                "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 11,
            },
            "legend": {"labelColor": QUIET, "titleColor": QUIET, "titleFontWeight": "normal", "labelLimit": 220, "symbolType": "square"},
            "title": {"fontSize": 15, "subtitleFontSize": 12, "fontWeight": 600},
        },
        **view,
    }  # fmt: skip


def step_for(first: date, last: date) -> Step:
    """The width of a bar over a span of dates: what is seen apart on a screen."""
    span_days = (last - first).days
    if span_days <= _DAYS_SHOWN_MAX:
        return Step.DAY
    return Step.WEEK if span_days <= _WEEKS_SHOWN_MAX * 7 else Step.MONTH


def spend_by_name(
    amounts: Iterable[Amount], *, unit: str, what: str, step: Step = Step.DAY, share: bool = False
) -> dict[str, Any]:
    """Spend per day, week or month as stacked bars, the largest names apart and the rest as one; with `share`, the mix in percent."""
    points = list(amounts)
    order = _largest(points)
    rows: dict[tuple[date, str], int] = {}
    for point in points:
        key = (_begin(point.on, step), point.name if point.name in order else OTHERS)
        rows[key] = rows.get(key, 0) + point.nanos
    names = [*order, *([OTHERS] if any(name == OTHERS for _, name in rows) else [])]
    return {
        "data": {"values": _stacked(rows, names, step, share=share)},
        "mark": {"type": "bar", "stroke": LINE, "strokeWidth": 0.3},
        "encoding": {
            "x": {"field": "from", "type": "temporal", "title": None, "axis": {"grid": False, **(MONTHS if step is Step.MONTH else DATES)}},
            "x2": {"field": "until"},
            "y": {
                "field": "low", "type": "quantitative", "title": f"share of {unit}" if share else f"{unit} a {step}",
                "axis": {"format": "%"} if share else {},
            },
            "y2": {"field": "high"},
            "color": {
                "field": "name", "type": "nominal", "title": what,
                "scale": {"domain": names, "range": [*SERIES_COLOURS[: len(names) - 1], _last_colour(names)]},
            },
        },
    }  # fmt: skip


def hours_of_week(grid: Sequence[Sequence[int]], *, unit: str) -> dict[str, Any]:
    """A heat map of weekday by hour of the day; rows are Monday first, amounts in nanos."""
    return {
        "data": {
            "values": [
                {"day": WEEKDAYS[day], "hour": hour, "amount": _units(nanos)}
                for day, row in enumerate(grid)
                for hour, nanos in enumerate(row)
            ]
        },
        "mark": {"type": "rect", "color": ACCENT, "stroke": LINE, "strokeWidth": 1},
        "encoding": {
            "x": {"field": "hour", "type": "ordinal", "title": "hour of the day", "axis": {"labelAngle": 0, "values": list(range(0, 24, 3))}},
            "y": {"field": "day", "type": "ordinal", "sort": list(WEEKDAYS), "title": None},
            "opacity": {"field": "amount", "type": "quantitative", "title": unit, "scale": {"range": [0.04, 1]}},
        },
    }  # fmt: skip


def bars(rows: Iterable[tuple[str, int]], *, unit: str) -> dict[str, Any]:
    """Names with an amount in nanos each, in the order given, the amount written at the bar's end."""
    values = [{"name": name, "amount": _units(nanos), "place": place} for place, (name, nanos) in enumerate(rows)]
    y = {
        "field": "name",
        "type": "nominal",
        "sort": {"field": "place"},
        "title": None,
        "axis": {"labelLimit": 200, "ticks": False},
    }
    x = {"field": "amount", "type": "quantitative", "title": unit, "axis": {"grid": False, "tickCount": 4}}
    return {
        "data": {"values": values},
        "encoding": {"y": y, "x": x},
        "layer": [
            {"mark": {"type": "bar", "color": ACCENT, "height": {"band": 0.7}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "color": QUIET},
                "encoding": {"text": {"field": "amount", "type": "quantitative", "format": ",.2f"}},
            },
        ],
    }


def forecast_fan(
    actual: Iterable[tuple[date, float]], fan: Iterable[FanPoint], *, unit: str, now: date
) -> dict[str, Any]:
    """What was, and what comes with its 80 and 95 % intervals; a rule stands where the one becomes the other."""
    past = [{"on": on.isoformat(), "amount": amount} for on, amount in actual]
    future = [
        {
            "on": point.on.isoformat(), "amount": point.middle, "low_80": point.low_80, "high_80": point.high_80,
            "low_95": point.low_95, "high_95": point.high_95,
        }
        for point in fan
    ]  # fmt: skip
    x = {"field": "on", "type": "temporal", "title": None, "axis": {"grid": False, **DATES}}
    band: dict[str, Any] = {"type": "area", "color": ACCENT, "interpolate": "monotone"}
    return {
        "layer": [
            _band(future, band | {"opacity": 0.15}, x, "95", unit),
            _band(future, band | {"opacity": 0.3}, x, "80", unit),
            {
                "data": {"values": past},
                "mark": {"type": "line", "color": INK, "strokeWidth": 1.5},
                "encoding": {"x": x, "y": {"field": "amount", "type": "quantitative", "title": unit}},
            },
            {
                "data": {"values": future},
                "mark": {"type": "line", "color": ACCENT, "strokeWidth": 2, "strokeDash": [5, 3]},
                "encoding": {"x": x, "y": {"field": "amount", "type": "quantitative", "title": unit}},
            },
            {
                "data": {"values": [{"on": now.isoformat()}]},
                "mark": {"type": "rule", "color": QUIET, "strokeDash": [2, 3]},
                "encoding": {"x": x},
            },
        ]
    }


def burn_down(
    left: Iterable[tuple[date, float]], cone: Iterable[FanPoint], *, unit: str, cycle_ends: date, now: date
) -> dict[str, Any]:
    """What is left of a wallet, and the cone of what will be, down to nothing; a rule stands at the cycle's end."""
    picture = forecast_fan(left, cone, unit=unit, now=now)
    picture["layer"].append(
        {
            "data": {"values": [{"on": cycle_ends.isoformat(), "says": "cycle ends"}]},
            "encoding": {"x": {"field": "on", "type": "temporal", "axis": {"grid": False, **DATES}}},
            "layer": [
                {"mark": {"type": "rule", "color": INK}},
                {"mark": {"type": "text", "align": "right", "dx": -4, "y": 8, "color": QUIET}, "encoding": {"text": {"field": "says"}}},
            ],
        }
    )  # fmt: skip
    return picture


def waterfall(start: tuple[str, int], steps: Iterable[tuple[str, int]], end: str, *, unit: str) -> dict[str, Any]:
    """From one amount to another by named steps, in nanos; the last bar is their sum."""
    rows = [_whole_bar(*start)]
    level = start[1]
    for name, nanos in steps:
        if nanos:
            ends = (_units(level), _units(level + nanos))
            kind = "more" if nanos > 0 else "less"
            rows.append(
                {
                    "name": name,
                    "from": ends[0],
                    "to": ends[1],
                    "top": max(ends),
                    "kind": kind,
                    "says": f"{_units(nanos):+,.2f}",
                }
            )
        level += nanos
    rows.append(_whole_bar(end, level))
    names = [row["name"] for row in rows]
    x = {"field": "name", "type": "nominal", "sort": names, "title": None, "axis": {"labelAngle": 0, "labelLimit": 110}}
    return {
        "data": {"values": rows},
        "encoding": {"x": x},
        "layer": [
            {
                "mark": {"type": "bar"},
                "encoding": {
                    "y": {"field": "from", "type": "quantitative", "title": unit},
                    "y2": {"field": "to"},
                    "color": {
                        "field": "kind", "type": "nominal", "legend": None,
                        "scale": {"domain": ["whole", "more", "less"], "range": [QUIET, "#b3261e", ACCENT]},
                    },
                },
            },
            {
                "mark": {"type": "text", "dy": -6, "color": INK},
                "encoding": {
                    "y": {"field": "top", "type": "quantitative"},
                    "text": {"field": "says", "type": "nominal"},
                },
            },
        ],
    }  # fmt: skip


def _whole_bar(name: str, nanos: int) -> dict[str, Any]:
    amount = _units(nanos)
    return {"name": name, "from": 0.0, "to": amount, "top": max(amount, 0.0), "kind": "whole", "says": f"{amount:,.2f}"}


def sized(view: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """A view of a width and height in pixels."""
    return {**view, "width": width, "height": height}


def narrowed(picture: Picture, width: int = NARROW_WIDTH) -> Picture:
    """The same picture for a telephone: less wide, its title left to the page, its legend below in two columns, fewer dates."""
    config = picture["config"]
    legend = {**config["legend"], "orient": "bottom", "columns": 2, "labelLimit": width // 2 - 30}
    slim = {name: value for name, value in picture.items() if name != "title"}
    return {**_fewer_dates(slim), "width": width, "config": {**config, "legend": legend}}


def _fewer_dates(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("format") == DATES["format"]:
            return {**value, "format": "%-d %b", "tickCount": 4}
        return {name: one if name == "values" else _fewer_dates(one) for name, one in value.items()}
    return [_fewer_dates(one) for one in value] if isinstance(value, list) else value


def titled(view: Mapping[str, Any], title: str) -> dict[str, Any]:
    """A view with a title of its own, as a part of a larger picture."""
    return {**view, "title": {"text": title, "anchor": "start", "color": INK, "fontSize": 13}}


def above_each_other(*views: Mapping[str, Any]) -> dict[str, Any]:
    """Parts below each other, each with its own colours."""
    return {
        "vconcat": list(views),
        "spacing": 24,
        "resolve": {"scale": {"color": "independent", "opacity": "independent"}},
    }


def beside_each_other(*views: Mapping[str, Any]) -> dict[str, Any]:
    """Parts beside each other, each with its own colours."""
    return {
        "hconcat": list(views),
        "spacing": 32,
        "resolve": {"scale": {"color": "independent", "opacity": "independent"}},
    }


def _band(
    rows: list[dict[str, Any]], mark: Mapping[str, Any], x: Mapping[str, Any], level: str, unit: str
) -> dict[str, Any]:
    return {
        "data": {"values": rows},
        "mark": dict(mark),
        "encoding": {
            "x": x,
            "y": {"field": f"low_{level}", "type": "quantitative", "title": unit},
            "y2": {"field": f"high_{level}"},
        },
    }


def _begin(on: date, step: Step) -> date:
    """The first day of the day, week (Monday) or month that holds a date."""
    if step is Step.MONTH:
        return on.replace(day=1)
    return on - timedelta(days=on.weekday()) if step is Step.WEEK else on


def _end(begin: date, step: Step) -> date:
    if step is Step.MONTH:
        return (begin + timedelta(days=31)).replace(day=1)
    return begin + timedelta(days=7 if step is Step.WEEK else 1)


def _stacked(
    rows: Mapping[tuple[date, str], int], names: Sequence[str], step: Step, *, share: bool
) -> list[dict[str, Any]]:
    """Each bar's part from its lower to its upper end, in the order of the names; with `share` of the bar's whole."""
    found = []
    for begin in sorted({on for on, _ in rows}):
        whole = sum(rows.get((begin, name), 0) for name in names) if share else NANOS_PER_CREDIT
        level = 0
        for name in names:
            nanos = rows.get((begin, name), 0)
            if nanos and whole:
                ends = {"low": level / whole, "high": (level + nanos) / whole}
                found.append({"from": begin.isoformat(), "until": _end(begin, step).isoformat(), "name": name, **ends})
            level += nanos
    return found


def _largest(points: Iterable[Amount]) -> list[str]:
    """The names with the largest sums, largest first; one place is kept for the others where there are more."""
    sums: dict[str, int] = {}
    for point in points:
        sums[point.name] = sums.get(point.name, 0) + point.nanos
    ranked = sorted(sums, key=lambda name: (-sums[name], name))
    return ranked if len(ranked) <= SERIES_MAX else ranked[: SERIES_MAX - 1]


def _last_colour(names: Sequence[str]) -> str:
    return SERIES_COLOURS[-1] if names[-1] == OTHERS else SERIES_COLOURS[len(names) - 1]


def _units(nanos: int) -> float:
    return nanos / NANOS_PER_CREDIT
