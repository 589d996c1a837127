"""`tokenroll grant`: awards to one wallet."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
    credits_text,
    execute,
    facts,
    instant_option,
    noun_app,
    recalled_text,
    reports,
    say,
    show,
    table,
)
from tokenroll.cli.program import Failure

app = noun_app("Immutable awards: what a wallet was given, when it becomes spendable, when it expires.")
_LOT_COLUMNS = {"effective_at": "spendable from", "expires_at": "until", "amount_nanos": "credits"}


@app.command()
def create(
    to: Annotated[str, typer.Argument(help="Member (name or id), pool name, or wallet id.")],
    *,
    plan: Annotated[str, typer.Option(help="Name or id of the plan.")],
    amount: Annotated[str | None, typer.Option(help="Credits; default the plan's amount.")] = None,
    effective_at: Annotated[str | None, typer.Option(help="When vesting starts, RFC 3339; default now.")] = None,
    base_pay: Annotated[str | None, typer.Option(help="For a plan of a percent of base pay.")] = None,
    level: Annotated[
        str | None, typer.Option(help="For a plan with amounts by level, in place of the member's.")
    ] = None,
    score: Annotated[str | None, typer.Option(help="For a plan by outcome, such as 1.25.")] = None,
    working_time: Annotated[
        str | None, typer.Option(help="The part of full time, such as 0.6, for a plan that prorates.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Grant what a plan says. --dry-run shows the tranches and changes nothing."""
    arguments = {
        "to": to,
        "plan": plan,
        "amount_nanos": amount_option(amount),
        "effective_at": instant_option(effective_at),
        "base_pay_nanos": amount_option(base_pay, "--base-pay"),
        "level": level,
        "score_nanos": amount_option(score, "--score"),
        "working_time_millionths": _millionths(working_time),
    }
    result = execute("grant.create", arguments, command_id=command_id, dry_run=dry_run)
    _show_grant(result, as_json=as_json, dry_run=dry_run)


def _millionths(text: str | None) -> int | None:
    if text is None:
        return None
    from tokenroll.services.award_files import millionths_from_text

    try:
        return millionths_from_text(text)
    except ValueError as error:
        raise Failure(f"--working-time {error}", kind="usage", code=2) from error


@app.command("top-up")
def top_up(
    to: Annotated[str, typer.Argument(help="Member (name or id), pool name, or wallet id.")],
    *,
    amount: Annotated[str, typer.Option(help="Credits, spendable at once.")],
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "top-up",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Add credits to a wallet at once, under its newest plan's classification. Running gateways know within a second."""
    arguments = {"to": to, "amount_nanos": amount_option(amount), "reason": reason}
    result = execute("grant.top_up", arguments, command_id=command_id, dry_run=dry_run)
    _show_grant(result, as_json=as_json, dry_run=dry_run)


@app.command("import")
def import_awards(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns id, to, plan and, if wanted, amount, effective_at, base_pay, level, score, working_time.",
            dir_okay=False,
        ),
    ],
    *,
    budget: Annotated[str | None, typer.Option(help="Credits that the new awards may be together.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Grant the awards of a spreadsheet, all or none. A row that was granted before, by its id, is left alone."""
    from tokenroll.services.award_files import AwardFileError, read_awards

    try:
        rows = read_awards(file)
    except AwardFileError as error:
        raise Failure(str(error), kind="award_file", code=2) from error
    arguments = {"rows": rows, "budget_nanos": amount_option(budget, "--budget")}
    result = execute("grant.import", arguments, command_id=command_id, dry_run=dry_run)
    columns = {
        "id": "award",
        "to": "to",
        "plan_name": "plan",
        "amount_nanos": "credits",
        "state": "state",
        "grant": "grant",
    }

    def human() -> None:
        table(columns, result["awards"], empty="no awards")
        count = result["new_count"]
        say(
            f"{'would grant' if dry_run else 'granted'} {count} award{'' if count == 1 else 's'} of "
            f"{credits_text(result['new_nanos'])} credits; {result['known_count']} were granted before"
        )

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


Reason = Annotated[str, typer.Option(help="Why, for the journal.")]


@app.command()
def void(
    grant: Annotated[str, typer.Argument(help="Id of the grant.")],
    *,
    reason: Reason,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Undo a grant made in error: all of it that was not used, wherever it went. What was used stays used."""
    _end("grant.void", {"grant": grant, "reason": reason}, as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def forfeit(
    grant: Annotated[str, typer.Argument(help="Id of the grant.")],
    *,
    reason: Reason,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """End what of a grant has not vested. The plan says whether its budget is retired or returns to the pool."""
    _end("grant.forfeit", {"grant": grant, "reason": reason}, as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def clawback(
    grant: Annotated[str, typer.Argument(help="Id of the grant.")],
    *,
    reason: Reason,
    effective_at: Annotated[
        str | None, typer.Option(help="The instant that counts, such as the end of employment; default now.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Take back vested, unused credits as the grant's own plan says: pro rata or in full, until its last month. Never used ones."""
    arguments = {"grant": grant, "reason": reason, "effective_at": instant_option(effective_at)}
    _end("grant.clawback", arguments, as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def accelerate(
    grant: Annotated[str, typer.Argument(help="Id of the grant.")],
    *,
    reason: Reason,
    amount: Annotated[str | None, typer.Option(help="Credits, those that would vest next first; default all.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Let unvested credits of a grant vest now. Their lifetime, if any, counts from now."""
    arguments = {"grant": grant, "reason": reason, "amount_nanos": amount_option(amount)}
    _end("grant.accelerate", arguments, as_json=as_json, dry_run=dry_run, command_id=command_id)


@app.command()
def vest(
    grant: Annotated[str, typer.Argument(help="Id of the grant.")],
    *,
    event: Annotated[str, typer.Option(help="Name of the event, as the plan has it.")],
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Say that an event has happened for which a part of the grant waited, such as a milestone. That part vests now."""
    _end("grant.vest", {"grant": grant, "event": event}, as_json=as_json, dry_run=dry_run, command_id=command_id)


def _end(name: str, arguments: dict[str, Any], *, as_json: bool, dry_run: bool, command_id: str) -> None:
    """A write that takes of a grant's lots, and how far it came."""
    result = execute(name, arguments, command_id=command_id, dry_run=dry_run)

    def human() -> None:
        facts(result)
        say(recalled_text(result, dry_run=dry_run))

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command("list")
def list_grants(
    *,
    to: Annotated[str | None, typer.Option("--to", help="Only this member's, pool's or wallet's.")] = None,
    as_json: Json = False,
) -> None:
    """List grants, newest first."""
    with reports() as books:
        rows = books.grants(to)
    columns = {
        "wallet_name": "to",
        "words": "what",
        "amount_nanos": "credits",
        "vested_nanos": "spendable so far, credits",
        "effective_at": "from",
        "grant": "id",
    }
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="no grants yet: `tokenroll grant create WHO --plan PLAN`"),
    )


@app.command("show")
def show_grant(grant: Annotated[str, typer.Argument(help="Id of the grant.")], *, as_json: Json = False) -> None:
    """Show one grant and its tranches."""
    with reports() as books:
        found = books.grant(grant)

    def human() -> None:
        facts(found)
        rarer = {
            "forfeited_nanos": "forfeited, credits",
            "clawed_back_nanos": "taken back, credits",
            "voided_nanos": "voided, credits",
            "moved_nanos": "moved, credits",
            "waits_for": "waits for",
            "wallet_name": "in the wallet of",
        }
        holders = {one["wallet_name"] for one in found["lots"]}
        told = {
            name: header
            for name, header in rarer.items()
            if (len(holders) > 1 if name == "wallet_name" else any(one[name] for one in found["lots"]))
        }
        columns = {**_LOT_COLUMNS, "spent_nanos": "spent, credits", "left_nanos": "left, credits"}
        table({**columns, **told}, found["lots"], empty="no tranches")

    show(found, as_json=as_json, human=human)


def _show_grant(result: dict[str, Any], *, as_json: bool, dry_run: bool) -> None:
    def human() -> None:
        say("would grant:" if dry_run else "granted:")
        facts(result)
        awaits = any("waits_for" in lot for lot in result["lots"])
        table({**_LOT_COLUMNS, **({"waits_for": "waits for"} if awaits else {})}, result["lots"], empty="no tranches")

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)
