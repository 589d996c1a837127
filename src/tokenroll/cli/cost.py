"""`tokenroll cost`: why costs changed, what does not fit, what an outcome costs, what would be otherwise."""

import secrets
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, day, facts, note, noun_app, say, show, table
from tokenroll.cli.lake_door import lake_failures, lake_view
from tokenroll.cli.program import Failure
from tokenroll.settings import load_settings

if TYPE_CHECKING:
    from tokenroll.insight.metered_share import ProviderShare
    from tokenroll.insight.what_if import Scenario
    from tokenroll.services.cost_answers import Explained, Period
    from tokenroll.services.meter_quarantine import Deciding, Judged, LeftOut, MeterLine
    from tokenroll.store.lake_decisions import MeterDecision
    from tokenroll.store.lake_queries import Condition

app = noun_app(
    "What stands behind the costs in the usage lake: why they changed, what does not fit, which meters are quarantined, what an accepted outcome costs, what if."
)

_MOVERS_SHOWN: Final = 15
_CALLS_SHOWN: Final = 50
Money = Annotated[str, typer.Option("--cost", help="Which cost: list, net, billed or charge.")]
Where = Annotated[
    list[str] | None, typer.Option(help="Which events: `currency=EUR`, `department=Engineering`, as in `usage query`.")
]  # fmt: skip
Seal = Annotated[bool, typer.Option("--seal/--no-seal", help="Take in what the ledger has since.")]


@app.command("explain")
def explain(
    *,
    month: Annotated[str, typer.Option(help="The month to explain, in UTC.", metavar="YYYY-MM")],
    against: Annotated[str, typer.Option(help="The month to compare it with; the one before unless told.")] = "",
    by: Annotated[
        str, typer.Option(help="Whose changes are listed: member, department, project, model, key …")
    ] = "member",
    where: Where = None,
    money: Money = "list",
    image: Annotated[Path | None, typer.Option(help="Draw the steps, as .png, .svg or .pdf.")] = None,
    seal: Seal = True,
    as_json: Json = False,
) -> None:
    """Why a month cost more or less than another: volume, mix, price, what is new and what is gone, which add up; and who moved most."""
    from tokenroll.services.cost_answers import explained, month_before
    from tokenroll.services.cost_texts import change_json

    after = _month(month, "--month")
    before = _month(against or month_before(month), "--against")
    with lake_view(seal=seal) as view:
        found = explained(view, before, after, by=by, money=money, where=_conditions(where))
    if image is not None:
        _draw(found, image, against or month_before(month), month)
    show(change_json(found, money), as_json=as_json, human=lambda: _say_explained(found, by, money))


def _say_explained(found: "Explained", by: str, money: str) -> None:
    from tokenroll.services.cost_texts import unit_of_cost

    change, unit = found.change, unit_of_cost(found.currency, money)
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
    from tokenroll.services.cost_texts import change_picture
    from tokenroll.services.drawing import PictureError, drawn_for

    try:
        image.write_bytes(drawn_for(image, change_picture(found, before, after)))
    except (OSError, PictureError) as error:
        raise Failure(f"the picture cannot be written: {error}", kind="output") from error


@app.command("anomalies")
def anomalies(*, money: Money = "list", where: Where = None, seal: Seal = True, as_json: Json = False) -> None:
    """Days with far more cost than those before them make likely, and calls whose meter cannot be right (W12)."""
    from tokenroll.services.cost_answers import odd_days
    from tokenroll.services.cost_texts import anomalies_json, unit_of_cost
    from tokenroll.services.meter_quarantine import judged_calls
    from tokenroll.store.lake_queries import UsageQuery

    with lake_view(seal=seal) as view:
        conditions = _conditions(where)
        days, without, currency = odd_days(view, money=money, where=conditions)
        meters = judged_calls(view, UsageQuery(where=tuple(conditions)))
    unit = unit_of_cost(currency, money)

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
        columns = {"on": "day", "cost_nanos": f"cost, {unit}", "usual_nanos": "usual", "widths": "widths above"}
        table(columns, rows, empty="No day is far above those before it.")
        _say_calls(meters)

    show(anomalies_json(days, without, unit, meters), as_json=as_json, human=human)
    _note_left_out(without, as_json=as_json)


def _say_calls(judged: "list[Judged]") -> None:
    told = [
        {
            "on": day(one.call.admitted_at, "UTC"), "who": one.call.member, "model": one.call.model, "cost_nanos": one.call.cost_nanos,
            "usual_nanos": one.call.usual_nanos, "currency": one.call.currency, "call": one.call.event_id, "state": one.state,
        }
        for one in judged[:_CALLS_SHOWN]
    ]  # fmt: skip
    columns = {
        "on": "day", "who": "who", "model": "model", "cost_nanos": "cost", "usual_nanos": "its tokens cost elsewhere",
        "currency": "in", "call": "call", "state": "state",
    }  # fmt: skip
    table(columns, told, empty="No call costs what its tokens cannot explain.")
    if len(judged) > _CALLS_SHOWN:
        say(f"  and {len(judged) - _CALLS_SHOWN} more, in --json")


@app.command("meters")
def meters(*, where: Where = None, seal: Seal = True, as_json: Json = False) -> None:
    """What is quarantined: calls whose meter cannot be right (W12), out of every forecast and score until somebody confirms them."""
    from tokenroll.services.meter_quarantine import WAITING, judged_calls, meter_lines
    from tokenroll.store.lake_queries import UsageQuery

    with lake_view(seal=seal) as view:
        judged = judged_calls(view, UsageQuery(where=tuple(_conditions(where))))
        decisions = view.decisions
    lines = meter_lines(judged)
    result = {
        "meters": [_line_json(one) for one in lines],
        "decisions": [_decision_json(one) for one in decisions],
    }

    def human() -> None:
        rows = [
            {
                "source": one.source, "model": one.model, "since": day(one.since_at, "UTC"), "last": day(one.last_at, "UTC"),
                "call_count": one.call_count, "list_cost_nanos": one.list_cost_nanos, "currency": one.currency,
                "times": _times(one), "state": _state(one),
            }
            for one in lines
        ]  # fmt: skip
        columns = {
            "source": "source", "model": "model", "since": "since (UTC)", "last": "last", "call_count": "calls",
            "list_cost_nanos": "list cost", "currency": "in", "times": "times too much", "state": "state",
        }  # fmt: skip
        table(columns, rows, empty="No call costs what its tokens cannot explain: nothing is quarantined.")
        if any(one.state == WAITING for one in lines):
            say(
                "What waits or is rejected stays in every sum and out of every forecast and score. Decide with",
                "  tokenroll cost confirm-meter SOURCE MODEL --by NAME --reason TEXT   it is as it should be, and counts",
                "  tokenroll cost reject-meter SOURCE MODEL --by NAME --reason TEXT    it is wrong, and never does",
            )

    show(result, as_json=as_json, human=human)


def _times(one: "MeterLine") -> str:
    least, most = (f"{number:,}".replace(",", " ") for number in (one.times_least, one.times_most))
    return least if least == most else f"{least} to {most}"


def _state(one: "MeterLine") -> str:
    decision = one.decision
    return one.state if decision is None else f"{one.state} by {decision.by}, {day(decision.decided_at, 'UTC')}"


def _line_json(one: "MeterLine") -> dict[str, Any]:
    return {
        "source": one.source, "model": one.model, "currency": one.currency, "state": one.state, "since_at": one.since_at,
        "last_at": one.last_at, "call_count": one.call_count, "list_cost": _amount(one.list_cost_nanos),
        "times_least": one.times_least, "times_most": one.times_most, "decision_id": one.decision.id if one.decision else None,
        "event_ids": [call.event_id for call in one.calls],
    }  # fmt: skip


def _decision_json(one: "MeterDecision") -> dict[str, Any]:
    return {
        "id": one.id, "verdict": one.verdict.value, "source": one.source, "model": one.model, "by": one.by, "reason": one.reason,
        "decided_at": one.decided_at, "call_count": len(one.event_ids), "list_cost": _amount(int(one.list_cost_nanos)),
        "event_ids": list(one.event_ids),
    }  # fmt: skip


Source = Annotated[str, typer.Argument(help="The source of the calls, as `cost meters` lists it.")]
Model = Annotated[str, typer.Argument(help="Their model.")]
CallNames = Annotated[
    list[str] | None, typer.Option("--call", help="Only this call, by its event id in `cost meters --json`; repeat it. Without it: all that wait.")
]  # fmt: skip
DecidedBy = Annotated[str, typer.Option("--by", help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why.")]


def _deciding(verdict: str, says: str) -> Callable[..., None]:
    """The command of one verdict: both are asked alike."""

    def command(
        source: Source,
        model: Model,
        *,
        by: DecidedBy,
        reason: Reason,
        call: CallNames = None,
        command_id: CommandId = "",
        dry_run: DryRun = False,
        as_json: Json = False,
    ) -> None:
        _decide(verdict, (source, model), call or [], (by, reason), command_id, dry_run=dry_run, as_json=as_json)

    command.__doc__ = says
    return command


app.command("confirm-meter")(
    _deciding("confirmed", "Say that quarantined calls cost what they should: they count again in every forecast and score.")
)  # fmt: skip
app.command("reject-meter")(
    _deciding("rejected", "Say that quarantined calls never cost that: they stay in every sum, and out of every forecast and score for good.")
)  # fmt: skip


def _decide(
    verdict: str, meter: tuple[str, str], calls: list[str], who: tuple[str, str], command_id: str, *, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    from tokenroll.app import clock_of
    from tokenroll.services.meter_quarantine import Deciding
    from tokenroll.store.lake_decisions import Verdict

    asked = Deciding(
        id=command_id or f"cli-{secrets.token_hex(12)}", verdict=Verdict(verdict), source=meter[0], model=meter[1],
        event_ids=tuple(calls), by=who[0], reason=who[1],
    )  # fmt: skip
    decision = _decision(asked, clock_of(load_settings())(), dry_run=dry_run)
    result = {**_decision_json(decision), "dry_run": dry_run}

    def human() -> None:
        count = "1 call" if len(decision.event_ids) == 1 else f"{len(decision.event_ids)} calls"
        verb = f"would be {verdict}" if dry_run else verdict
        say(f"{count} of {decision.source} and {decision.model} {verb} by {decision.by}: {decision.reason}")
        facts({"list cost": result["list_cost"], "decision": decision.id})

    show(result, as_json=as_json, human=human)


def _decision(asked: "Deciding", now: int, *, dry_run: bool) -> "MeterDecision":
    from tokenroll.services.meter_quarantine import DecisionError, decide, decision_of
    from tokenroll.store.lake import open_lake

    try:
        if dry_run:
            with lake_view(seal=False) as view:
                return decision_of(view, asked, now)
        with lake_failures(), open_lake(load_settings().lake_directory) as lake:
            return decide(lake, asked, now)
    except DecisionError as error:
        raise Failure(str(error), kind="meter") from error


def _note_left_out(without: "LeftOut", *, as_json: bool) -> None:
    if without.call_count and not as_json:
        note(without.text())


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
    where: Where = None,
    money: Money = "list",
    seal: Seal = True,
    as_json: Json = False,
) -> None:
    """What an accepted outcome costs, failures included: spend with an outcome (the tag `outcome=…`, or a session), joined to what became of each.

    What became of them is what trackers told by webhook, and what a CSV says.
    """
    from tokenroll.services.cost_answers import outcome_cost
    from tokenroll.services.cost_texts import unit_of_cost
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
    with lake_view(seal=seal) as view:
        period = _month(month, "--month") if month else None
        answered = outcome_cost(view, told, money=money, period=period, where=_conditions(where))
    found = answered.cost
    result = {
        "unit": unit_of_cost(answered.currency, money),
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
    show({**result, "left_out": answered.left_out.json()}, as_json=as_json, human=lambda: facts(result))
    _note_left_out(answered.left_out, as_json=as_json)
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
    where: Where = None,
    seal: Seal = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """What a month's usage would have cost at list with other prices, another model, or a discount. Counts stay as they were."""
    from tokenroll.app import clock_of
    from tokenroll.engine.rating import UnpricedError
    from tokenroll.insight.what_if import saved
    from tokenroll.services.cost_answers import would_cost
    from tokenroll.services.cost_texts import unit_of_cost
    from tokenroll.services.list_prices import published_list_prices

    scenario = _scenario(price or [], switch or [], discount or [])
    with lake_view(seal=seal) as view:
        try:
            found = would_cost(
                view, scenario, published_list_prices(), _month(month, "--month"), clock_of(load_settings())(),
                where=_conditions(where),
            )  # fmt: skip
        except UnpricedError as error:
            raise Failure(f"--switch: {error}", kind="usage", code=2) from error
    rows: list[dict[str, Any]] = [
        {"model": one.model, "now_nanos": one.now_nanos, "then_nanos": one.then_nanos, "saved_nanos": one.now_nanos - one.then_nanos}
        for one in sorted(found.answers, key=lambda one: -one.now_nanos)
    ]  # fmt: skip
    unit, less = unit_of_cost(found.currency, "list"), _amount(saved(found.answers))
    result = {
        "models": [{"model": row["model"], **{name.removesuffix("_nanos"): _amount(row[name]) for name in ("now_nanos", "then_nanos", "saved_nanos")}} for row in rows],
        "saved": less,
        "unpriced_models": list(found.unpriced),
        "unit": unit,
        "left_out": found.left_out.json(),
    }  # fmt: skip

    def human() -> None:
        columns = {"model": "model", "now_nanos": f"now, {unit}", "then_nanos": f"then, {unit}", "saved_nanos": "saved"}
        table(columns, rows, empty="nothing with a published price was used then")
        say(f"saved in all: {less} {unit}")
        if found.unpriced:
            note(f"without a published price, and left out: {', '.join(found.unpriced)}")
        note("Counts stay as they were: another model may need more of them for the same work.")

    show(result, as_json=as_json, human=human)
    _note_left_out(found.left_out, as_json=as_json)


@app.command("share")
def share(
    *,
    month: Annotated[str, typer.Option(help="The month of the invoice, in UTC.", metavar="YYYY-MM")],
    our_key: Annotated[list[str] | None, typer.Option(help="The id of a key that the gateway calls with, as reports name it; repeat it.")] = None,
    report: Annotated[str, typer.Option(help="Which cost report is the invoice where several tell of one provider: openai-costs, anthropic-costs or focus; else the provider's own.")] = "",
    where: Where = None,
    seal: Seal = True,
    as_json: Json = False,
) -> None:  # fmt: skip
    """How much of each provider's invoice went through the gateway, and the keys of its usage reports that are not ours."""
    from tokenroll.services.cost_answers import metered_share
    from tokenroll.services.cost_texts import share_json, unit_of_cost

    with lake_view(seal=seal) as view:
        found = metered_share(view, _month(month, "--month"), our_key or [], report=report, where=_conditions(where))
    unit = unit_of_cost(found.currency, "net")

    def human() -> None:
        _say_shares(found.providers, unit)
        told = [
            {"provider": one.provider, "key": one.key or "-", "model_tokens": one.model_tokens, "ours": one.is_ours}
            for one in found.keys
        ]
        columns = {"provider": "provider", "key": "key", "model_tokens": "model tokens", "ours": "ours"}
        table(columns, told, empty="no usage report by key was imported (`tokenroll usage import`)")

    show(share_json(found), as_json=as_json, human=human)


def _say_shares(providers: "Iterable[ProviderShare]", unit: str) -> None:
    shares = list(providers)
    rows: list[dict[str, Any]] = [
        {
            "provider": one.provider, "through_nanos": one.through_nanos, "billed_nanos": one.billed_nanos, "report": one.report or "-",
            "share": "-" if one.permille is None else f"{one.permille / 10:.1f} %",
        }
        for one in shares
    ]  # fmt: skip
    columns = {
        "provider": "provider", "through_nanos": f"through the gateway, {unit}", "billed_nanos": f"billed in all, {unit}",
        "report": "by", "share": "metered share",
    }  # fmt: skip
    table(columns, rows, empty="nothing went through the gateway then, and no cost report was imported")
    for one in shares:
        for other in one.others:
            note(
                f"{other.report} bills {_amount(other.nanos)} {unit} of {one.provider}, too: the same invoice, so it is not added; "
                f"--report {other.report} takes it in place of {one.report}"
            )


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
    from tokenroll.services.cost_answers import period_of_month

    try:
        return period_of_month(text)
    except ValueError as error:
        raise _wrong(option, text, "a month such as 2026-11") from error


def _conditions(texts: list[str] | None) -> "list[Condition]":
    from tokenroll.store.lake_queries import condition_from_text

    return [condition_from_text(one) for one in texts or []]


def _amount(nanos: int | None) -> str | None:
    from tokenroll.model.amount import text_from_nanos

    return None if nanos is None else text_from_nanos(nanos, 2)
