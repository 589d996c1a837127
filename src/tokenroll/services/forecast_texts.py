"""A forecast in words, as rows, in JSON and as a picture: what the terminal and programs say alike.

Estimates are numbers beside their unit, never decimal strings of money: nothing may take one for an amount of the ledger.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from tokenroll.insight import pictures
from tokenroll.insight.backtesting import Accuracy
from tokenroll.insight.outlook import Line, TriedOut
from tokenroll.insight.pictures import FanPoint, Picture
from tokenroll.insight.sampling import Floats
from tokenroll.services.accuracy_texts import accuracy_json
from tokenroll.services.forecasting import Forecasted, ForecastQuestion, Level, UsagePast

_WIDTH: Final = 860
_HEIGHT: Final = 260
_PART_HEIGHT: Final = 120
_PARTS_MAX: Final = 6
_PAST_SHOWN: Final = 90
_SMALL: Final = 10
_DECIMALS: Final = 9


def headline(found: Forecasted) -> str:
    """The sum of all periods and its intervals in one sentence, and that it is an estimate of what."""
    asked, usage, line = found.question, found.usage, found.outlook.company
    row = _row(line, 0, usage, "")
    return (
        f"{_period_text(asked)}: {amount_text(usage, row['expected'])} {usage.unit} of {asked.measure.called} is expected "
        f"(80 %: {amount_text(usage, row['low_80'])} to {amount_text(usage, row['high_80'])}; "
        f"95 %: {amount_text(usage, row['low_95'])} to {amount_text(usage, row['high_95'])}). "
        f"An estimate from {usage.past.rows.shape[1]} {_periods(asked)}, {_method(found)}; no amount of the ledger."
    )


def backtest_text(question: ForecastQuestion, tried: TriedOut | None) -> str:
    """How far the same way was off, in one sentence."""
    if tried is None:
        return "How good that is cannot be said: the past is too short or too even to try it on."
    one, again = tried.accuracy, "yesterday" if question.is_hourly else "last week"
    covered = ", ".join(f"{band.percent:.0f} % in the {band.level} % band" for band in one.coverages)
    return (
        f"Tried on {one.origins} times {tried.periods} {_periods(question)} of this past, by {question.by}: totals were off by "
        f"{100 * one.total_wape:.0f} % ({again} repeated: {100 * one.naive_total_wape:.0f} %), MASE {one.mase:.2f} "
        f"({one.naive_mase:.2f}), WAPE {one.wape:.2f} ({one.naive_wape:.2f}); of {_periods(question)} lay {covered}."
    )


def rows_of(found: Forecasted) -> list[dict[str, Any]]:
    """The lowest level, its largest first; of the company its periods one by one."""
    usage, line = found.usage, found.outlook.lowest
    if found.question.by is Level.COMPANY:
        return periods_of(found)
    rows = [_row(line, place, usage, name) for place, name in enumerate(usage.names)]
    return sorted(rows, key=lambda row: (-row["expected"], row["name"]))


def periods_of(found: Forecasted, place: int | None = None) -> list[dict[str, Any]]:
    """The company, or one series of the lowest level, period by period."""
    line = found.outlook.company if place is None else found.outlook.lowest
    known, scale = line.forecast, found.usage.scale
    number = place or 0
    return [
        {
            "name": _start_text(found.question, period),
            "expected": _told(line.counts[number, period], scale),
            **{
                f"{end}_{band.level}": _told(values[number, period], scale)
                for band in known.bands
                for end, values in (("low", band.lower), ("high", band.upper))
            },
        }
        for period in range(found.question.horizon)
    ]


def forecast_json(found: Forecasted) -> dict[str, Any]:
    """All of it for programs; estimates are numbers in `unit`."""
    asked, usage = found.question, found.usage
    return {
        "estimate_of": asked.measure.called,
        "unit": usage.unit,
        "by": asked.by.value,
        "period": "hour" if asked.is_hourly else "day",
        "first": _start_text(asked, 0),
        "until": _start_text(asked, asked.horizon),
        "past_period_count": usage.past.rows.shape[1],
        "left_out": usage.left_out.json(),
        "told_together": list(usage.together),
        "methods": list(found.outlook.methods),
        "total": {key: value for key, value in _row(found.outlook.company, 0, usage, "").items() if key != "name"},
        "rows": [] if asked.by is Level.COMPANY else rows_of(found),
        "periods": [{"at": row.pop("name"), **row} for row in periods_of(found)],
        "backtest": backtest_json(found.tested),
        "notes": list(found.notes),
    }


def backtest_json(tried: TriedOut | None) -> dict[str, Any] | None:
    """A backtest for programs; None where the past was too short for one."""
    return None if tried is None else accuracy_json(tried.accuracy, tried.periods)


def backtest_rows(one: Accuracy) -> list[dict[str, str]]:
    """The method and the seasonal naive forecast beside each other."""
    covers = {f"covers_{band.level}": f"{band.percent:.1f} %" for band in one.coverages}
    return [
        {
            "method": one.method, "mase": f"{one.mase:.3f}", "wape": f"{one.wape:.3f}", "total_wape": f"{one.total_wape:.3f}",
            **covers, "ratio": f"{one.ratio:.3f}",
        },
        {
            "method": "seasonal naive", "mase": f"{one.naive_mase:.3f}", "wape": f"{one.naive_wape:.3f}",
            "total_wape": f"{one.naive_total_wape:.3f}", **dict.fromkeys(covers, "-"), "ratio": "1",
        },
    ]  # fmt: skip


def forecast_picture(found: Forecasted) -> Picture:
    """What was and what comes, the company's and below it those of the largest rows, each with its intervals."""
    asked, usage = found.question, found.usage
    unit = f"{usage.unit} {'an hour' if asked.is_hourly else 'a day'}"
    actual = np.nan_to_num(usage.past.actual)
    whole = pictures.sized(_fan(found, actual.sum(0), None, unit), _WIDTH, _HEIGHT)
    views = [whole]
    if asked.by is not Level.COMPANY:
        totals = found.outlook.lowest.totals
        largest = sorted(range(len(totals)), key=lambda place: (-totals[place], usage.names[place]))[:_PARTS_MAX]
        for place in largest:
            view = pictures.sized(_fan(found, actual[place], place, unit), _WIDTH, _PART_HEIGHT)
            views.append(pictures.titled(view, usage.names[place]))
    view = whole if len(views) == 1 else pictures.above_each_other(*views)
    title = (
        f"{asked.measure.called.capitalize()}, {usage.unit}: {_period_text(asked)[0].lower()}{_period_text(asked)[1:]}"
    )
    return pictures.document(
        view, title, subtitle="median, 80 and 95 % intervals: an estimate, no amount of the ledger"
    )


def amount_text(usage: UsagePast, value: float, *, beside: float | None = None) -> str:
    """An estimate as people read it: whole model tokens, money to the hundredth, or finer where what stands beside it is little, too."""
    decimals = 0 if usage.scale == 1.0 else 2 if (value if beside is None else beside) >= _SMALL else 4
    return f"{value:,.{decimals}f}".replace(",", " ")


def _fan(found: Forecasted, actual: Floats, place: int | None, unit: str) -> dict[str, Any]:
    """One series, its past cut to what can be seen."""
    asked, scale = found.question, found.usage.scale
    line = (found.outlook.company if place is None else found.outlook.lowest).forecast
    number, count = place or 0, len(actual)
    past = [
        (asked.start_of(one - count), float(actual[one]) / scale) for one in range(max(0, count - _PAST_SHOWN), count)
    ]
    eighty, ninety_five = line.band(80), line.band(95)
    fan = [
        FanPoint(
            on=asked.start_of(one),
            middle=_told(line.point[number, one], scale),
            low_80=_told(eighty.lower[number, one], scale),
            high_80=_told(eighty.upper[number, one], scale),
            low_95=_told(ninety_five.lower[number, one], scale),
            high_95=_told(ninety_five.upper[number, one], scale),
        )
        for one in range(asked.horizon)
    ]
    return pictures.forecast_fan(past, fan, unit=unit, now=asked.start_of(0))


def _row(line: Line, place: int, usage: UsagePast, name: str) -> dict[str, Any]:
    """A series' sum over all periods, in the unit that is told."""
    eighty, ninety_five = line.forecast.band(80), line.forecast.band(95)
    return {
        "name": name,
        "expected": _told(line.totals[place], usage.scale),
        "low_80": _told(eighty.total_lower[place], usage.scale),
        "high_80": _told(eighty.total_upper[place], usage.scale),
        "low_95": _told(ninety_five.total_lower[place], usage.scale),
        "high_95": _told(ninety_five.total_upper[place], usage.scale),
    }


def _told(value: float, scale: float) -> float:
    """An estimate in the unit that is told, to the last of its decimals."""
    return round(float(value) / scale, _DECIMALS)


def _periods(question: ForecastQuestion) -> str:
    return "hours" if question.is_hourly else "days"


def _period_text(question: ForecastQuestion) -> str:
    first, last = _start_text(question, 0), _start_text(question, question.horizon - 1)
    return f"The {question.horizon} {_periods(question)} from {first} to {last}"


def _start_text(question: ForecastQuestion, period: int) -> str:
    start = question.start_of(period)
    return f"{start:%Y-%m-%dT%H:%MZ}" if question.is_hourly else f"{start:%Y-%m-%d}"


def _method(found: Forecasted) -> str:
    names: Sequence[str] = list(dict.fromkeys(found.outlook.methods))
    return " and ".join(names)
