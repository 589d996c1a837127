"""`tokenroll offer`: grants promised to candidates."""

from typing import Annotated, Any

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
    execute,
    facts,
    noun_app,
    reports,
    say,
    show,
    table,
)

app = noun_app("Grants promised to candidates: offered, accepted, granted at hire, or lapsed on a date.")
_Offer = Annotated[str, typer.Argument(help="Id of the offer, or the candidate's name.")]
_LapsesOn = Annotated[
    str, typer.Option(help="The day at whose beginning it lapses unless it is accepted, such as 2027-02-01.")
]


@app.command()
def create(
    candidate: Annotated[str, typer.Argument(help="Whom it is made to.")],
    *,
    plan: Annotated[str, typer.Option(help="Name or id of the plan.")],
    lapses_on: _LapsesOn,
    amount: Annotated[str | None, typer.Option(help="Credits; default what the plan's formula gives.")] = None,
    level: Annotated[str | None, typer.Option(help="For a plan with amounts by level.")] = None,
    score: Annotated[str | None, typer.Option(help="For a plan by outcome.")] = None,
    starts_on: Annotated[str | None, typer.Option(help="The first day that was agreed.")] = None,
    waiting: Annotated[
        str | None, typer.Option(help="How long after the day of hire the grant begins, such as 3m or 14d.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Of the package below, such as EUR.")] = None,
    base_pay: Annotated[
        str | None, typer.Option(help="Base pay a year; also for a plan of a percent of base pay.")
    ] = None,
    bonus: Annotated[str | None, typer.Option(help="Bonus at target, a year.")] = None,
    equity: Annotated[str | None, typer.Option(help="Equity, a year.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Promise a grant, as a line of the whole package. --dry-run shows how it reads and changes nothing."""
    arguments = {
        "candidate": candidate,
        "plan": plan,
        "lapses_on": lapses_on,
        "amount_nanos": amount_option(amount),
        "level": level,
        "score_nanos": amount_option(score, "--score"),
        "starts_on": starts_on,
        "waiting": waiting,
        "currency": currency,
        "base_pay_cost_nanos": amount_option(base_pay, "--base-pay"),
        "bonus_cost_nanos": amount_option(bonus, "--bonus"),
        "equity_cost_nanos": amount_option(equity, "--equity"),
    }
    _do("offer.create", arguments, "offered", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def accept(offer: _Offer, *, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = "") -> None:
    """The candidate said yes."""
    _do("offer.accept", {"offer": offer}, "accepted", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def decline(offer: _Offer, *, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = "") -> None:
    """The candidate said no."""
    _do("offer.decline", {"offer": offer}, "declined", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def withdraw(offer: _Offer, *, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = "") -> None:
    """The company takes it back; possible until it has become a grant."""
    _do("offer.withdraw", {"offer": offer}, "withdrawn", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def extend(
    offer: _Offer,
    *,
    lapses_on: _LapsesOn,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Another day on which it lapses, also when the first is over."""
    arguments = {"offer": offer, "lapses_on": lapses_on}
    _do("offer.extend", arguments, "extended", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def grant(
    offer: _Offer,
    *,
    to: Annotated[
        str | None, typer.Option(help="The member whom the candidate became; default who has the candidate's name.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Grant what was promised, from the member's day of hire, or the waiting period after it, on."""
    arguments = {"offer": offer, "to": to}
    _do("offer.grant", arguments, "granted", as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command("list")
def list_offers(*, as_json: Json = False) -> None:
    """List offers, newest first, with what has become of each."""
    with reports() as books:
        rows = books.offers()
    columns = {
        "candidate": "candidate",
        "state": "state",
        "plan_name": "plan",
        "amount_nanos": "credits",
        "classification": "as",
        "lapses_on": "lapses on",
        "starts_on": "first day",
        "waiting": "waiting",
        "grant": "grant",
        "offer": "id",
    }
    empty = "no offers yet: `tokenroll offer create CANDIDATE --plan PLAN --lapses-on DATE`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("show")
def show_offer(offer: _Offer, *, as_json: Json = False) -> None:
    """Show one offer as it reads to the candidate, and what has become of it."""
    with reports() as books:
        found = books.offer(offer)
    show(found, as_json=as_json, human=lambda: _tell(found))


def _do(name: str, arguments: dict[str, Any], done: str, *, as_json: bool, dry_run: bool, command_id: str) -> None:
    result = execute(name, arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        say(f"{'would be ' if dry_run else ''}{done}: {result['candidate']}")
        _tell(result)
        if "lots" in result:
            columns = {"effective_at": "spendable from", "expires_at": "until", "amount_nanos": "credits"}
            table(columns, result["lots"], empty="no tranches")

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


def _tell(found: dict[str, Any]) -> None:
    facts({name: value for name, value in found.items() if name != "total_package"})
    width = max(len(one["line"]) for one in found["package"])
    right = max(len(one["value"]) for one in found["package"])
    say("", *(f"  {one['line']:<{width}}  {one['value']:>{right}}" for one in found["package"]))
    say("", *(f"  {sentence}" for sentence in found["sentences"]))
