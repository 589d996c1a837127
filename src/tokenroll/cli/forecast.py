"""`tokenroll forecast`: what comes next, how good such words were so far, and which wallets run dry."""

import contextlib
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenroll.cli.analyse import right_aligned, write_whole
from tokenroll.cli.console import Json, amount_option, credits_text, note, noun_app, reports, say, show, table
from tokenroll.cli.lake_door import lake_failures, lake_view
from tokenroll.cli.program import Failure
from tokenroll.model.limits import FORECAST_DAYS_AHEAD_MAX, FORECAST_HOURS_AHEAD_MAX, FORECAST_SHOWN_ROWS_MAX, GPUS_MAX
from tokenroll.settings import load_settings

if TYPE_CHECKING:
    from tokenroll.insight.infrastructure import GpuUse
    from tokenroll.insight.pictures import Picture
    from tokenroll.services.forecasting import Change, Forecasted, ForecastQuestion
    from tokenroll.services.infrastructure_lines import Infrastructure
    from tokenroll.services.reporting import Reports
    from tokenroll.store.lake_meters import MeterCall

app = noun_app(
    "What comes next, with its 80 and 95 % intervals and how far such words were off; and which wallets run dry. Estimates, never amounts of the ledger."
)

LEVELS: Final = ("company", "team", "member", "model")
MEASURES: Final = ("list", "net", "charge", "model_tokens")
METHODS: Final = ("light", "boosted")
DAYS: Final = 30
HOURLY_DAYS: Final = 2
_HEADCOUNT: Final = re.compile(r"(?P<on>[0-9-]+)=(?:(?P<team>.+):)?(?P<before>[0-9]+):(?P<after>[0-9]+)")
_PRICE: Final = re.compile(r"(?P<on>[0-9-]+)=(?P<factor>[0-9]+(?:\.[0-9]+)?)")
_ROLLOUT: Final = re.compile(r"(?P<first>[0-9-]+)\.\.(?P<last>[0-9-]+)=(?P<factor>[0-9]+(?:\.[0-9]+)?)")

By = Annotated[str, typer.Option(help="company, team, member or model: whom rows are of.")]
MeasureOption = Annotated[
    str, typer.Option("--measure", help="What is forecast: list, net, charge or model_tokens, each apart from the others.")
]  # fmt: skip
Days = Annotated[int | None, typer.Option(min=1, help="So many days ahead; default 30, by the hour 2.")]
Until = Annotated[str | None, typer.Option(help="Until this day, which no longer counts.", metavar="YYYY-MM-DD")]
CycleEnd = Annotated[bool, typer.Option("--cycle-end", help="Until the company's pay cycle ends.")]
From = Annotated[
    str | None,
    typer.Option("--from", help="The first day to forecast, as if it were today (UTC); default today.", metavar="YYYY-MM-DD"),
]  # fmt: skip
Hourly = Annotated[bool, typer.Option("--hourly", help="By the hour in place of by the day.")]
MethodOption = Annotated[
    str, typer.Option("--method", help="light, or boosted: trees over all series, with the extra `tokenroll\\[forecast]`.")
]  # fmt: skip
Where = Annotated[
    list[str] | None, typer.Option(help="Which usage: `department=Engineering`, `currency=EUR`, as `usage query` has it.")
]  # fmt: skip
Country = Annotated[
    str,
    typer.Option(
        help="A country whose public holidays and weekends are like each other, such as DE or DE-BE; default that of the pay days."
    ),
]
Seal = Annotated[bool, typer.Option("--seal/--no-seal", help="Take in what the ledger has since.")]


@app.command("show")
def show_forecast(
    *,
    by: By = "company",
    measure: MeasureOption = "list",
    days: Days = None,
    until: Until = None,
    cycle_end: CycleEnd = False,
    from_date: From = None,
    hourly: Hourly = False,
    method: MethodOption = "light",
    where: Where = None,
    country: Country = "",
    headcount: Annotated[
        list[str] | None,
        typer.Option(help="`2026-12-15=12:15`: from then on 15 heads in place of 12; `2026-12-15=Engineering:4:5` of a team.", metavar="DATE=BEFORE:AFTER"),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="`2027-01-01=1.2`: from then on the same use costs 1.2 times as much.", metavar="DATE=FACTOR"),
    ] = None,
    rollout: Annotated[
        list[str] | None,
        typer.Option(help="`2026-12-01..2026-12-31=1.5`: use grows to 1.5 times in a straight line.", metavar="FIRST..LAST=FACTOR"),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Write the picture: a name that ends in .png, .svg or .pdf.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the picture as PNG.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the picture as SVG.")] = None,
    seal_first: Seal = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show what comes next: expected, its 80 and 95 % intervals, and how far the same way was off on this past.

    Rows add up to the company to the unit. It names people where asked by member: a command for whoever administers the home.
    """
    images = _images(image, png, svg)
    with _failures(), lake_view(seal=seal_first, quiet=as_json) as view:
        from tokenroll.services.forecast_texts import backtest_text, forecast_json, headline, rows_of
        from tokenroll.services.forecasting import forecast_usage

        changes = _changes(headcount or [], price or [], rollout or [])
        asked = _question(by, measure, method, (days, until, from_date), where or [], country, changes, hourly=hourly, cycle_end=cycle_end)  # fmt: skip
        found = forecast_usage(view, asked)
    _write_pictures(found, images)

    def human() -> None:
        say("", headline(found), "")
        _rows(found, rows_of(found))
        say(backtest_text(asked, found.tested))
        for path, _ in images:
            say(f"written: {path}")

    show(forecast_json(found) if as_json else None, as_json=as_json, human=human)
    if not as_json:
        note(*found.notes)


@app.command("backtest")
def show_backtest(
    *,
    by: By = "company",
    measure: MeasureOption = "list",
    days: Days = None,
    from_date: From = None,
    hourly: Hourly = False,
    method: MethodOption = "light",
    where: Where = None,
    country: Country = "",
    seal_first: Seal = True,
    as_json: Json = False,
) -> None:
    """Try the forecast on the lake's own past, beside repeating the last week: what `forecast show` says of its accuracy."""
    with _failures(), lake_view(seal=seal_first, quiet=as_json) as view:
        from tokenroll.services.forecast_texts import backtest_json, backtest_rows
        from tokenroll.services.forecasting import ForecastError, backtest_usage

        asked = _question(by, measure, method, (days, None, from_date), where or [], country, (), hourly=hourly, cycle_end=False)  # fmt: skip
        usage, tried = backtest_usage(view, asked)
        if tried is None:
            raise ForecastError(
                f"{usage.past.rows.shape[1]} periods of this past are too few, or too even, to try a forecast on"
            )
    result = {
        "estimate_of": asked.measure.called, "by": asked.by.value, **(backtest_json(tried) or {}), "left_out": usage.left_out.json(),
    }  # fmt: skip

    def human() -> None:
        unit = "hours" if asked.is_hourly else "days"
        one = tried.accuracy
        say(
            f"{asked.measure.called.capitalize()} by {asked.by}: {one.series} series, tried {one.origins} times {tried.periods} {unit} ahead, "
            f"each with what was known then"
        )
        columns = {
            "method": "method", "mase": "MASE", "wape": "WAPE", "total_wape": "total WAPE", "covers_80": "covers of 80 %",
            "covers_95": "covers of 95 %", "ratio": "MASE ÷ naive",
        }  # fmt: skip
        table(columns, backtest_rows(one), empty="")

    show(result, as_json=as_json, human=human)
    if usage.left_out.call_count and not as_json:
        note(usage.left_out.text())


@app.command("runway")
def show_runway(
    wallet: Annotated[
        str, typer.Argument(help="Member (name or id), pool name, or wallet id; without one, all members.")
    ] = "",
    *,
    image: Annotated[
        Path | None, typer.Option(help="Draw the burn-down of the named wallet: .png, .svg or .pdf.")
    ] = None,
    seal_first: Seal = True,
    as_json: Json = False,
) -> None:
    """Show which wallets run dry before their pay cycle ends, how likely and when, from the ledger's own daily spending.

    It lists everybody, as `wallet list` does: a command for whoever administers the home. No call is ever refused because of it.
    """
    from tokenroll.services.wallet_runways import members_only, runway_json, runways_json, wallet_runways

    images = _images(image, None, None)
    if images and not wallet:
        raise _usage("--image draws one wallet: name it, such as `tokenroll forecast runway Ada --image ada.png`")
    with reports() as books:
        quarantined = _quarantined_of_gateway(seal=seal_first, quiet=as_json)
        rows = [books.wallet(wallet)] if wallet else members_only(books.wallets())
        found = wallet_runways(books.connection, books.now, rows, quarantined)
        if images:
            _draw_burn_down(books, rows[0], quarantined, images)

    def human() -> None:
        columns = {
            "name": "wallet", "left_nanos": "left, credits", "last_on": "cycle's last day", "days_left": "days to come", "chance": "runs dry",
            "dry_10": "10 % by", "dry_50": "50 % by", "dry_90": "90 % by",
        }  # fmt: skip
        told = [{**runway_json(one), "chance": _percent(one.chance)} for one in found]
        table(
            columns, told, empty="no wallets of members yet: `tokenroll member create NAME …` makes one"
        )  # fmt: skip
        say(
            "Estimates from daily spending. Today counts as a day to come; what becomes spendable later in the cycle is not counted."
        )
        for one in found:
            if one.left_out.call_count:
                note(f"{one.name}: {one.left_out.text()}")

    show(runways_json(found), as_json=as_json, human=human)


def _quarantined_of_gateway(*, seal: bool, quiet: bool) -> "list[MeterCall]":
    """Calls that no pace is taken from. Without the lake's libraries nobody can judge them, and that is told."""
    from tokenroll.services.meter_quarantine import quarantined
    from tokenroll.store.lake_libraries import LakeLibraryError

    try:
        with lake_view(seal=seal, quiet=quiet) as view:
            from tokenroll.model.usage_event import GATEWAY
            from tokenroll.store.lake_queries import Condition, UsageQuery

            return quarantined(view, UsageQuery(where=(Condition(dimension="source", operator="=", value=GATEWAY),)))
    except Failure as failure:
        if not isinstance(failure.__cause__, LakeLibraryError):
            raise
        note(f"meters that cannot be right are not left out: {failure}")
        return []


@app.command("infrastructure")
def show_infrastructure(
    *,
    seats: Annotated[
        Path | None, typer.Option(help="TOML or CSV of seats: name, usd (a month), count, members.", dir_okay=False)
    ] = None,
    gpu_jobs: Annotated[
        Path | None,
        typer.Option(help="Jobs of `sacct --allocations --parsable2` (times in UTC) or OpenCost's allocations as CSV, of the 30 days before.", dir_okay=False),
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=1, max=GPUS_MAX, help="How many GPUs are owned.")] = None,
    gpu_hour_price: Annotated[str | None, typer.Option(help="What an hour of one costs in USD, used or not.")] = None,
    measure: MeasureOption = "list",
    from_date: From = None,
    where: Where = None,
    seal_first: Seal = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show what calls, seats and GPUs cost in 30 days: calls as forecast, the others as owned, and how much of it was idle.

    It names members whose seats had no usage in the 30 days before: a command for whoever assigns them.
    """
    if (gpus is None) != (gpu_hour_price is None) or (gpu_jobs is not None and gpus is None):
        raise _usage("GPUs are told by --gpus and --gpu-hour-price, and what had them by --gpu-jobs")
    with _failures(), lake_view(seal=seal_first, quiet=as_json) as view:
        from tokenroll.services.importers.infrastructure_files import read_gpu_jobs, read_seats
        from tokenroll.services.importers.intake import SourceError
        from tokenroll.services.infrastructure_lines import OwnedGpus, infrastructure, infrastructure_json

        asked = _question("company", measure, "light", (DAYS, None, from_date), where or [], "", (), hourly=False, cycle_end=False)  # fmt: skip
        try:
            known = () if seats is None else read_seats(seats)
            jobs = () if gpu_jobs is None else read_gpu_jobs(gpu_jobs)
        except SourceError as error:
            raise Failure(str(error), kind="infrastructure_file", code=2) from error
        price = amount_option(gpu_hour_price, "--gpu-hour-price")
        owned = None if gpus is None or price is None else OwnedGpus(count=gpus, hour_nanos=price, jobs=jobs)
        found = infrastructure(view, asked, known, owned)
    show(infrastructure_json(found), as_json=as_json, human=lambda: _infrastructure(found))


def _infrastructure(found: "Infrastructure") -> None:
    from tokenroll.services.forecast_texts import backtest_text, headline

    if found.metered is None:
        say(f"Calls: {found.metered_missing}")
    else:
        say(f"Calls. {headline(found.metered)}", backtest_text(found.metered.question, found.metered.tested))
    say("")
    if found.seats:
        rows = [
            {
                "name": one.seat.name, "seat_count": one.seat.count, "month_nanos": one.month_cost_nanos, "idle_nanos": one.idle_cost_nanos,
                "nobody_count": one.unassigned_count, "above_count": one.above_count, "idle_count": len(one.idle_members),
            }
            for one in found.seats
        ]  # fmt: skip
        columns = {
            "name": "seat", "seat_count": "paid", "month_nanos": "USD a month", "idle_nanos": "of it idle, USD", "nobody_count": "nobody's",
            "above_count": "members above its price at list", "idle_count": "assigned, unused in 30 days",
        }  # fmt: skip
        table(columns, rows, empty="")
        say("A seat breaks even with calls where its member's list cost a month is its price.", "")
    for one in {found.seats_left_out, *([found.metered.usage.left_out] if found.metered else [])}:
        if one.call_count:
            note(one.text())
    if found.gpus is not None:
        _gpus(found.gpus)


def _gpus(found: "GpuUse") -> None:
    used = found.used_hour_cost_nanos
    say(
        f"GPUs: {credits_text(found.cost_nanos)} USD in 30 days; {found.used_seconds // 3600} of {found.owned_seconds // 3600} hours were used "
        f"({found.used_millionths / 10_000:.1f} %), {credits_text(found.idle_cost_nanos)} USD of it idle"
    )
    if used is not None:
        say(f"an hour that was used cost {credits_text(used)} USD")
    rows = [{"account": name, "hour_count": seconds // 3600} for name, seconds in found.by_account]
    table({"account": "account", "hour_count": "GPU hours"}, rows, empty="no job had a GPU in these days")


def _percent(chance: float | None) -> str | None:
    return None if chance is None else f"{100 * chance:.0f} %"


# ---- what is asked ------------------------------------------------------------------------------------------------------


def _question(
    by: str, measure: str, method: str, days: tuple[int | None, str | None, str | None], where: list[str], country: str,
    changes: "tuple[Change, ...]", *, hourly: bool, cycle_end: bool,
) -> "ForecastQuestion":  # fmt: skip
    from tokenroll.insight.outlook import Method
    from tokenroll.services.forecasting import ForecastQuestion, Level, Measure
    from tokenroll.store.lake_queries import condition_from_text

    for option, value, known in (("--by", by, LEVELS), ("--measure", measure, MEASURES), ("--method", method, METHODS)):
        if value not in known:
            raise _usage(f"{option} is {', '.join(known)}, not {value!r}")
    length, until, from_date = days
    first_at = _first(from_date, hourly=hourly)
    if (length is not None) + (until is not None) + cycle_end > 1:
        raise _usage("--days, --until and --cycle-end say the same thing: give one of them")
    per_day = 24 if hourly else 1
    horizon = (length or (HOURLY_DAYS if hourly else DAYS)) * per_day
    if until is not None or cycle_end:
        end = _cycle_end(first_at) if until is None else _date(until, "--until")
        horizon = -((first_at - _instant(end)) // (_DAY_MICROS // per_day))
    most = FORECAST_HOURS_AHEAD_MAX if hourly else FORECAST_DAYS_AHEAD_MAX
    if not 1 <= horizon <= most:
        raise _usage(f"a forecast is of 1 to {most} {'hours' if hourly else 'days'}, not {horizon}")
    return ForecastQuestion(
        first_at=first_at, horizon=horizon, by=Level(by), measure=Measure(measure), is_hourly=hourly, method=Method(method),
        where=tuple(condition_from_text(one) for one in where), changes=changes, is_working_day=_working_days(country),
    )  # fmt: skip


_DAY_MICROS: Final = 86_400_000_000


def _first(text: str | None, *, hourly: bool) -> int:
    """The beginning of the named day, else of the day or hour that runs."""
    if text is not None:
        return _instant(_date(text, "--from"))
    from tokenroll.app import clock_of

    width = _DAY_MICROS // 24 if hourly else _DAY_MICROS
    return clock_of(load_settings())() // width * width


def _instant(on: date) -> int:
    return (on - date(1970, 1, 1)).days * _DAY_MICROS


def _cycle_end(first_at: int) -> date:
    """The first day after the cycle that the first day is in, by the company's calendar."""
    from tokenroll.engine.cycling import cycle_on
    from tokenroll.store.cycles import CycleBook

    with reports() as books:
        return cycle_on(
            CycleBook(books.connection).calendars, date(1970, 1, 1) + timedelta(days=first_at // _DAY_MICROS)
        ).until_on  # fmt: skip


def _working_days(country: str) -> Any:
    """Which days are working days in a country; None where neither an option nor the pay days name one."""
    from tokenroll.model.pay_cycle import PayDayMove, PayDayRule
    from tokenroll.services.pay_days import pay_day_rule, working_days
    from tokenroll.services.refusal import Refused

    rule = None
    if country:
        name, _, subdivision = country.partition("-")
        rule = PayDayRule(move=next(iter(PayDayMove)), country=name.upper(), subdivision=subdivision)
    elif load_settings().has_ledger:
        with reports() as books:
            rule = pay_day_rule(books.connection)
    if rule is None or not rule.country:
        return None
    try:
        return working_days(rule)
    except Refused as refused:
        kind = refused.kind
        raise Failure(refused.message, kind=kind, code=2 if kind == "argument" else 1) from refused


def _changes(headcount: list[str], price: list[str], rollout: list[str]) -> "tuple[Change, ...]":
    from tokenroll.services.forecasting import Headcount, PriceChange, Rollout

    found: list[Change] = []
    for text in headcount:
        said = _said(_HEADCOUNT, text, "--headcount", "2026-12-15=12:15 or 2026-12-15=Engineering:4:5")
        if not int(said["before"]):
            raise _usage(f"--headcount: {text!r} begins with nobody, who says nothing of those to come")
        found.append(
            Headcount(_date(said["on"], "--headcount"), said["team"] or "", int(said["before"]), int(said["after"]))
        )
    for text in price:
        said = _said(_PRICE, text, "--price", "2027-01-01=1.2")
        found.append(PriceChange(_date(said["on"], "--price"), float(said["factor"])))
    for text in rollout:
        said = _said(_ROLLOUT, text, "--rollout", "2026-12-01..2026-12-31=1.5")
        one = Rollout(_date(said["first"], "--rollout"), _date(said["last"], "--rollout"), float(said["factor"]))
        if one.last < one.first:
            raise _usage(f"--rollout: {text!r} ends before it begins")
        found.append(one)
    return tuple(found)


def _said(pattern: re.Pattern[str], text: str, option: str, example: str) -> re.Match[str]:
    said = pattern.fullmatch(text)
    if said is None:
        raise _usage(f"{option}: {text!r} is not written like {example}")
    return said


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise _usage(f"{option}: {text!r} is no day such as 2026-12-15") from error


def _usage(message: str) -> Failure:
    return Failure(message, kind="usage", code=2)


# ---- what is told -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """What cannot be forecast, as what a person is told."""
    from tokenroll.services.forecasting import ForecastError, ScenarioError

    with lake_failures():
        try:
            yield
        except ScenarioError as error:
            raise _usage(str(error)) from error
        except ForecastError as error:
            raise Failure(str(error), kind="forecast") from error


def _rows(found: "Forecasted", rows: list[dict[str, Any]]) -> None:
    from tokenroll.services.forecast_texts import amount_text

    figures = ("expected", "low_80", "high_80", "low_95", "high_95")
    unit, by = found.usage.unit, found.question.by.value
    period = "hour (UTC)" if found.question.is_hourly else "day (UTC)"
    columns = {
        "name": period if by == "company" else by, "expected": f"expected, {unit}", "low_80": "80 % from", "high_80": "to",
        "low_95": "95 % from", "high_95": "to ",
    }  # fmt: skip
    largest = max((row["expected"] for row in rows), default=0.0)
    shown = [
        {"name": row["name"], **{name: amount_text(found.usage, row[name], beside=largest) for name in figures}}
        for row in rows[:FORECAST_SHOWN_ROWS_MAX]
    ]
    table(columns, right_aligned(shown, *figures), empty="nobody used anything")
    if len(rows) > FORECAST_SHOWN_ROWS_MAX:
        say(f"the largest {FORECAST_SHOWN_ROWS_MAX} of {len(rows)}: `--json` has them all", "")


def _images(image: Path | None, png: Path | None, svg: Path | None) -> list[tuple[Path, str]]:
    from tokenroll.services.drawing import FORMATS

    asked = [(path, form) for path, form in ((png, "png"), (svg, "svg")) if path is not None]
    if image is not None:
        form = image.suffix.removeprefix(".").lower()
        if form not in FORMATS:
            raise _usage(f"--image: {image.name} must end in .{', .'.join(FORMATS)}")
        asked.append((image, form))
    return asked


def _draw_burn_down(
    books: "Reports", row: dict[str, Any], quarantined: "list[MeterCall]", images: list[tuple[Path, str]]
) -> None:
    from tokenroll.services.burn_downs import burn_down_picture, sentences, wallet_burn_down

    found = wallet_burn_down(books.connection, books.now, row, quarantined)
    title = sentences(found, f"{row['name']}'s wallet")[0]
    _write(burn_down_picture(found, title), images)


def _write_pictures(found: "Forecasted", images: list[tuple[Path, str]]) -> None:
    if images:
        from tokenroll.services.forecast_texts import forecast_picture

        _write(forecast_picture(found), images)


def _write(picture: "Picture", images: list[tuple[Path, str]]) -> None:
    from tokenroll.services.drawing import PictureError, drawn_for

    try:
        for path, form in images:
            write_whole(path, drawn_for(Path(f"picture.{form}"), picture))
    except (OSError, PictureError) as error:
        raise Failure(f"the picture cannot be written: {error}", kind="output") from error
