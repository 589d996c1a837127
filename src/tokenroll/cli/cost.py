"""`tokenroll cost`: why costs changed, what does not fit, what an outcome costs, what would be otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenroll.cli.console import Json, day, facts, note, noun_app, say, show, table
from tokenroll.cli.program import Failure
from tokenroll.cli.usage import lake_failures, seal_for_question
from tokenroll.settings import load_settings

if TYPE_CHECKING:
    from tokenroll.insight.what_if import Scenario
    from tokenroll.services.cost_answers import Explained, Period
    from tokenroll.store.lake import LakeView

app = noun_app(
    "What stands behind the costs in the usage lake: why they changed, what does not fit, what an accepted outcome costs, what if."
)

_MOVERS_SHOWN: Final = 15
Money = Annotated[str, typer.Option("--cost", help="Which cost: list, net, billed or charge.")]
Seal = Annotated[bool, typer.Option("--seal/--no-seal", help="Take in what the ledger has since.")]


@app.command("explain")
def explain(
    *,
    month: Annotated[str, typer.Option(help="The month to explain, in UTC.", metavar="YYYY-MM")],
    against: Annotated[str, typer.Option(help="The month to compare it with; the one before unless told.")] = "",
    by: Annotated[
        str, typer.Option(help="Whose changes are listed: member, department, project, model, key …")
    ] = "member",
    where: Annotated[list[str] | None, typer.Option(help="Which events, as in `usage query`.")] = None,
    money: Money = "list",
    image: Annotated[Path | None, typer.Option(help="Draw the steps, as .png, .svg or .pdf.")] = None,
    seal: Seal = True,
    as_json: Json = False,
) -> None:
    """Why a month cost more or less than another: volume, mix, price, what is new and what is gone, which add up; and who moved most."""
    from tokenroll.services.cost_answers import explained
    from tokenroll.store.lake_queries import condition_from_text

    after = _month(month, "--month")
    before = _month(against or _month_before(month), "--against")
    with _view(seal=seal) as view:
        conditions = [condition_from_text(one) for one in where or []]
        found = explained(view, before, after, by=by, money=money, where=conditions)
    if image is not None:
        _draw(found, image, against or _month_before(month), month)
    result = {
        "before": _amount(found.change.before_nanos),
        "after": _amount(found.change.after_nanos),
        "steps": {name: _amount(nanos) for name, nanos in found.change.steps},
        "unit": _unit(found.currency, money),
        "movers": [
            {"name": one.name, "before": _amount(one.before_nanos), "after": _amount(one.after_nanos), "change": _amount(one.change_nanos)}
            for one in found.movers
        ],
    }  # fmt: skip
    show(result, as_json=as_json, human=lambda: _say_explained(found, by, money))


def _say_explained(found: "Explained", by: str, money: str) -> None:
    change, unit = found.change, _unit(found.currency, money)
    steps: list[dict[str, Any]] = [{"step": "before", "amount_nanos": change.before_nanos}]
    steps += [{"step": name, "amount_nanos": nanos} for name, nanos in change.steps]
    steps.append({"step": "after", "amount_nanos": change.after_nanos})
    table({"step": "step", "amount_nanos": unit}, steps, empty="nothing was used in either month")
    rows = [
        {"name": one.name or "-", "before_nanos": one.before_nanos, "after_nanos": one.after_nanos, "change_nanos": one.change_nanos}
        for one in found.movers[:_MOVERS_SHOWN]
    ]  # fmt: skip
    columns = {"name": by, "before_nanos": f"before, {unit}", "after_nanos": f"after, {unit}", "change_nanos": "change"}
    table(columns, rows, empty="nobody moved")
    if len(found.movers) > _MOVERS_SHOWN:
        say(f"  and {len(found.movers) - _MOVERS_SHOWN} more, in --json")


def _draw(found: "Explained", image: Path, before: str, after: str) -> None:
    from tokenroll.insight.pictures import document, sized, waterfall
    from tokenroll.services.drawing import PictureError, drawn_for

    view = waterfall((before, found.change.before_nanos), found.change.steps, after, unit=found.currency or "credits")
    try:
        image.write_bytes(drawn_for(image, document(sized(view, 560, 260), f"Why {after} was not as {before}")))
    except (OSError, PictureError) as error:
        raise Failure(f"the picture cannot be written: {error}", kind="output") from error


@app.command("anomalies")
def anomalies(*, money: Money = "list", seal: Seal = True, as_json: Json = False) -> None:
    """Days with far more cost than those before them make likely, and calls whose meter cannot be right (W12)."""
    from tokenroll.services.cost_answers import odd_days, odd_meters

    with _view(seal=seal) as view:
        days, meters = odd_days(view, money=money), odd_meters(view)
    result = {
        "days": [{"on": one.on.isoformat(), "cost": _amount(one.nanos), "usual": _amount(one.usual_nanos), "widths": one.widths} for one in days],
        "meters": [
            {
                "source": one.source, "event_id": one.event_id, "member": one.member, "model": one.model,
                "admitted_at": one.admitted_at, "cost": _amount(one.cost_nanos), "usual": _amount(one.usual_nanos),
            }
            for one in meters
        ],
    }  # fmt: skip

    def human() -> None:
        rows = [
            {
                "on": one.on.isoformat(),
                "cost_nanos": one.nanos,
                "usual_nanos": one.usual_nanos,
                "widths": f"{one.widths:.1f}",
            }
            for one in days
        ]
        columns = {"on": "day", "cost_nanos": "cost", "usual_nanos": "usual", "widths": "widths above"}
        table(columns, rows, empty="No day is far above those before it.")
        told = [
            {"on": day(one.admitted_at, "UTC"), "who": one.member, "model": one.model, "cost_nanos": one.cost_nanos, "usual_nanos": one.usual_nanos, "call": one.event_id}
            for one in meters
        ]  # fmt: skip
        columns = {
            "on": "day",
            "who": "who",
            "model": "model",
            "cost_nanos": "cost",
            "usual_nanos": "its tokens cost elsewhere",
            "call": "call",
        }
        table(columns, told, empty="No call costs what its tokens cannot explain.")

    show(result, as_json=as_json, human=human)


@app.command("outcomes")
def outcomes(
    log: Annotated[
        Path | None,
        typer.Argument(
            help="A CSV with the columns outcome, at, event (merged, closed, reverted, …) and, where told, session."
        ),
    ] = None,
    *,
    month: Annotated[str, typer.Option(help="Only spend of this month, in UTC.", metavar="YYYY-MM")] = "",
    money: Money = "list",
    seal: Seal = True,
    as_json: Json = False,
) -> None:
    """What an accepted outcome costs, failures included: spend with an outcome (the tag `outcome=…`, or a session), joined to what became of each.

    What became of them is what trackers told by webhook, and what a CSV says.
    """
    from tokenroll.services.cost_answers import outcome_cost
    from tokenroll.services.importers.intake import Intake, SourceError
    from tokenroll.services.outcome_log import OutcomeLog, OutcomeLogError
    from tokenroll.services.outcomes import outcome_rows, standing

    intake = Intake()
    try:
        kept = OutcomeLog(load_settings().outcomes_path).events()
        told = standing(chain(kept, outcome_rows(log, intake) if log is not None else ()))
    except (SourceError, OutcomeLogError) as error:
        raise Failure(str(error), kind="source") from error
    if not told.accepted and not intake.row_count:
        raise Failure(
            "no outcome is known: name a CSV, or let a tracker tell them (`[outcomes]` in config.toml)", kind="source"
        )
    with _view(seal=seal) as view:
        found = outcome_cost(view, told, money=money, period=_month(month, "--month") if month else None)
    result = {
        "outcome_count": found.outcome_count,
        "accepted_count": found.accepted_count,
        "spend": _amount(found.spend_nanos),
        "unattributed": _amount(found.unattributed_nanos),
        "spent_on_failures": _amount(found.failed_nanos),
        "failed_share_percent": found.failed_permille / 10,
        "per_accepted": _amount(found.per_accepted_nanos),
        "low_95": _amount(found.low_nanos),
        "high_95": _amount(found.high_nanos),
        "per_accepted_with_unattributed": _amount(found.whole_nanos),
        "bad_row_count": intake.bad_count,
    }
    show(result, as_json=as_json, human=lambda: facts(result))
    for bad in intake.bad_rows[:_MOVERS_SHOWN]:
        note(f"{bad.file}, line {bad.line}: {bad.reason}")
    if told.accepted and not found.spend_nanos:
        note("no usage names any of these outcomes: calls say theirs by the tag outcome=NAME, tables by a column")
    if intake.bad_count:
        raise typer.Exit(1)


@app.command("what-if")
def what_if_command(
    *,
    month: Annotated[str, typer.Option(help="The month whose usage is priced again, in UTC.", metavar="YYYY-MM")],
    price: Annotated[list[str] | None, typer.Option(help="A price times a factor: `MODEL:METER=0.5`, such as `gpt-5:output=0.5`.")] = None,
    switch: Annotated[list[str] | None, typer.Option(help="Usage of a model that goes to another: `MODEL=OTHER` or `MODEL=OTHER:50%`.")] = None,
    discount: Annotated[list[str] | None, typer.Option(help="What is not charged: `10%` of all, or `MODEL=10%`.")] = None,
    seal: Seal = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """What a month's usage would have cost at list with other prices, another model, or a discount. Counts stay as they were."""
    from tokenroll.app import clock_of
    from tokenroll.engine.rating import UnpricedError
    from tokenroll.insight.what_if import saved
    from tokenroll.services.cost_answers import would_cost
    from tokenroll.services.list_prices import published_list_prices

    scenario = _scenario(price or [], switch or [], discount or [])
    with _view(seal=seal) as view:
        try:
            answers, unpriced = would_cost(
                view, scenario, published_list_prices(), _month(month, "--month"), clock_of(load_settings())()
            )
        except UnpricedError as error:
            raise Failure(f"--switch: {error}", kind="usage", code=2) from error
    rows: list[dict[str, Any]] = [
        {"model": one.model, "now_nanos": one.now_nanos, "then_nanos": one.then_nanos, "saved_nanos": one.now_nanos - one.then_nanos}
        for one in sorted(answers, key=lambda one: -one.now_nanos)
    ]  # fmt: skip
    result = {
        "models": [{"model": row["model"], **{name.removesuffix("_nanos"): _amount(row[name]) for name in ("now_nanos", "then_nanos", "saved_nanos")}} for row in rows],
        "saved": _amount(saved(answers)),
        "unpriced_models": list(unpriced),
        "unit": "USD",
    }  # fmt: skip

    def human() -> None:
        columns = {"model": "model", "now_nanos": "now, USD", "then_nanos": "then, USD", "saved_nanos": "saved"}
        table(columns, rows, empty="nothing with a published price was used then")
        say(f"saved in all: {_amount(saved(answers))} USD")
        if unpriced:
            note(f"without a published price, and left out: {', '.join(unpriced)}")
        note("Counts stay as they were: another model may need more of them for the same work.")

    show(result, as_json=as_json, human=human)


@app.command("share")
def share(
    *,
    month: Annotated[str, typer.Option(help="The month of the invoice, in UTC.", metavar="YYYY-MM")],
    our_key: Annotated[list[str] | None, typer.Option(help="The id of a key that the gateway calls with, as reports name it; repeat it.")] = None,
    seal: Seal = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """How much of each provider's invoice went through the gateway, and the keys of its usage reports that are not ours."""
    from tokenroll.services.cost_answers import metered_share

    with _view(seal=seal) as view:
        providers, keys = metered_share(view, _month(month, "--month"), our_key or [])
    rows: list[dict[str, Any]] = [
        {
            "provider": one.provider, "through_nanos": one.through_nanos, "billed_nanos": one.billed_nanos,
            "share": "-" if one.permille is None else f"{one.permille / 10:.1f} %",
        }
        for one in providers
    ]  # fmt: skip
    result = {
        "providers": [
            {"provider": one.provider, "through_gateway": _amount(one.through_nanos), "billed": _amount(one.billed_nanos), "share_permille": one.permille}
            for one in providers
        ],
        "keys": [{"provider": one.provider, "key": one.key, "model_tokens": one.model_tokens, "is_ours": one.is_ours} for one in keys],
    }  # fmt: skip

    def human() -> None:
        columns = {
            "provider": "provider",
            "through_nanos": "through the gateway, USD",
            "billed_nanos": "billed in all, USD",
            "share": "metered share",
        }
        table(columns, rows, empty="nothing went through the gateway then, and no cost report was imported")
        told = [
            {"provider": one.provider, "key": one.key or "-", "model_tokens": one.model_tokens, "ours": one.is_ours}
            for one in keys
        ]
        columns = {"provider": "provider", "key": "key", "model_tokens": "model tokens", "ours": "ours"}
        table(columns, told, empty="no usage report by key was imported (`tokenroll usage import`)")

    show(result, as_json=as_json, human=human)


# ---- options ---------------------------------------------------------------------------------------------------------


def _scenario(prices: list[str], switches: list[str], discounts: list[str]) -> "Scenario":
    from tokenroll.insight.what_if import Scenario
    from tokenroll.model.usage import Meter

    factors: dict[tuple[str, Meter], Fraction] = {}
    for text in prices:
        name, _, factor = text.rpartition("=")
        model, _, meter = name.rpartition(":")
        if not model or meter not in set(Meter):
            raise _wrong("--price", text, f"MODEL:METER=FACTOR; meters are {', '.join(Meter)}")
        factors[model, Meter(meter)] = _fraction("--price", text, factor)
    goes: dict[str, tuple[str, Fraction]] = {}
    for text in switches:
        model, _, rest = text.partition("=")
        other, _, part = rest.partition(":")
        if not model or not other:
            raise _wrong("--switch", text, "MODEL=OTHER or MODEL=OTHER:50%")
        goes[model] = (other, _fraction("--switch", text, part or "100%"))
    less: dict[str, Fraction] = {}
    for text in discounts:
        model, _, part = text.rpartition("=")
        less[model] = _fraction("--discount", text, part)
    try:
        return Scenario(price_factors=factors, switches=goes, discounts=less)
    except ValueError as error:
        raise Failure(str(error), kind="usage", code=2) from error


def _fraction(option: str, text: str, part: str) -> Fraction:
    try:
        return Fraction(part.removesuffix("%")) / (100 if part.endswith("%") else 1)
    except (ValueError, ZeroDivisionError) as error:
        raise _wrong(option, text, "a number such as 0.5 or 50%") from error


def _wrong(option: str, text: str, allowed: str) -> Failure:
    return Failure(f"{option}: {text!r} is not {allowed}", kind="usage", code=2)


def _month(text: str, option: str) -> "Period":
    from tokenroll.services.cost_answers import Period, month_of

    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise _wrong(option, text, "a month such as 2026-11") from error
    return Period(*month_of(first))


def _month_before(month: str) -> str:
    year, number = (int(part) for part in month.split("-"))
    return f"{year - (number == 1):04}-{(number - 2) % 12 + 1:02}"


@contextmanager
def _view(*, seal: bool) -> Iterator["LakeView"]:
    settings = load_settings()
    with lake_failures():
        if seal:
            seal_for_question(settings, quiet=True)
        from tokenroll.store.lake import read_lake

        with read_lake(settings.lake_directory) as view:
            yield view


def _amount(nanos: int | None) -> str | None:
    from tokenroll.model.amount import text_from_nanos

    return None if nanos is None else text_from_nanos(nanos, 2)


def _unit(currency: str, money: str) -> str:
    return "credits" if money == "charge" else currency or "USD"
