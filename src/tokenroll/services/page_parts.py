"""A part of a page: a heading that is a sentence, what else is to be said, a picture, and tables that hold every number of it.

Parts are made where the lake is read and shown by a template that knows nothing of them. One that cannot be made says why in its
place, so that a page is never refused for one of its parts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tokenroll.insight.pictures import Picture
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.services.analysis_texts import usd
from tokenroll.services.drawing import svgs_for_page
from tokenroll.services.forecast_texts import (
    amount_text,
    backtest_rows,
    backtest_text,
    forecast_picture,
    headline,
    periods_of,
)
from tokenroll.services.forecasting import Forecasted, ForecastError, ForecastQuestion, forecast_usage
from tokenroll.services.lake_home import LakeHome
from tokenroll.store.lake_queries import QuestionError
from tokenroll.store.lake_schema import USAGE

Part: TypeAlias = dict[str, Any]
"""`name`, `title`, `says`, `tables`, and `svg` where there is a picture; `behind` is how to ask for the same."""
Column: TypeAlias = tuple[str, bool]
"""A heading, and whether numbers stand under it."""


def part(
    name: str, title: str, *, says: Sequence[str] = (), tables: Sequence[Mapping[str, Any]] = (), picture: Picture | None = None,
    behind: str = "",
) -> Part:  # fmt: skip
    """One part, its picture drawn."""
    found: Part = {
        "name": name,
        "title": title,
        "says": list(says),
        "tables": list(tables),
        "behind": behind,
        "svg": "",
    }
    if picture is not None:
        found["svg"] = svgs_for_page(picture, name, title)
    return found


def parts_told(home: LakeHome, parts: Sequence[Part]) -> dict[str, Any]:
    """All parts, and how far the lake goes that they are from: its newest call, None where it has none."""
    newest = max((one.admitted_last_at for one in home.view.manifest.of_kind(USAGE)), default=None)
    return {"parts": list(parts), "newest_at": newest}


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A table of texts, as a template shows it."""
    return {"caption": caption, "columns": [list(one) for one in columns], "rows": [list(row) for row in rows]}


def made(name: str, title: str, make: Callable[[], Part]) -> Part:
    """The part, or why there is none: what cannot be asked or forecast is no fault of the page."""
    try:
        return make()
    except (ForecastError, QuestionError) as error:
        text = str(error)
        return part(name, title, says=[f"{text[0].upper()}{text[1:]}."])


def share(part_nanos: int, whole_nanos: int) -> str:
    """A part of a whole in percent."""
    return f"{100 * part_nanos / whole_nanos:.1f} %" if whole_nanos else "–"


def amount(nanos: int) -> str:
    """Two decimals, half to even: what a table beside a picture can carry; every decimal is in the answer to programs."""
    return usd(nanos).replace("-", "−")


def amounts(nanos: Sequence[int]) -> list[str]:
    """A column of amounts: two decimals, or four where all are little, so that what is not nothing does not look like it."""
    if not any(nanos) or any(abs(one) >= NANOS_PER_CREDIT for one in nanos):
        return [amount(one) for one in nanos]
    return [f"{one / NANOS_PER_CREDIT:.4f}".replace("-", "−") for one in nanos]


def forecast_part(home: LakeHome, asked: ForecastQuestion, whose: str, behind: str) -> Part:
    """What comes next, with its bands, and how far the same way was off: the sentence, the fan, and both as tables."""
    found = forecast_usage(home.view, asked)
    usage, line = found.usage, found.outlook.company
    eighty = line.forecast.band(80)
    expected, low, high = (float(one[0]) / usage.scale for one in (line.totals, eighty.total_lower, eighty.total_upper))
    title = (
        f"{whose} is expected to cost {amount_text(usage, expected, beside=high)} {usage.unit} in {asked.horizon} days "
        f"(80 %: {amount_text(usage, low, beside=high)} to {amount_text(usage, high)})"
    )
    tables = [_days(found)]
    if found.tested is not None:
        names = {"method": "Method", "mase": "MASE", "wape": "WAPE", "total_wape": "WAPE of totals", "covers_80": "Held by the 80 % band",
                 "covers_95": "Held by the 95 % band"}  # fmt: skip
        rows = [[row.get(name, "–") for name in names] for row in backtest_rows(found.tested.accuracy)]
        tables.append(
            table(
                "How far off the same way was on this past",
                [(text, name != "method") for name, text in names.items()],
                rows,
            )
        )
    says = [
        headline(found),
        backtest_text(asked, found.tested),
        *(f"{note[0].upper()}{note[1:]}." for note in found.notes),
    ]
    return part("forecast", title, says=says, tables=tables, picture=forecast_picture(found), behind=behind)


def _days(found: Forecasted) -> dict[str, Any]:
    """The forecast's periods, day by day."""
    usage = found.usage
    rows = periods_of(found)
    largest = max((row["high_95"] for row in rows), default=0.0)
    told = [
        [row["name"], *(amount_text(usage, row[name], beside=largest) for name in ("expected", "low_80", "high_80", "low_95", "high_95"))]
        for row in rows
    ]  # fmt: skip
    unit = usage.unit
    columns = [
        ("Day", False),
        (f"Expected, {unit}", True),
        ("80 % from", True),
        ("to", True),
        ("95 % from", True),
        ("to", True),
    ]
    return table(f"What is expected of each day, {unit}", columns, told)
