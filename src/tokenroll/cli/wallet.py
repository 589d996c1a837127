"""`tokenroll wallet`: what is left, in use, spent, being checked."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tokenroll.books import words
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
    when,
)
from tokenroll.cli.program import Failure

app = noun_app("What is left, in use now, spent and being checked; never a bare balance.")

CALLS_SHOWN_MAX: Final = 1_000
"""Calls of one listing: more than anybody reads; `tokenroll journal export` has them all."""


@app.command("list")
def list_wallets(*, as_json: Json = False) -> None:
    """List all wallets."""
    with reports() as books:
        rows = books.wallets()
    columns = {
        "name": "wallet",
        "holder_kind": "holder",
        "left_nanos": f"{words.LEFT}, credits",
        "in_use_nanos": f"{words.IN_USE}, credits",
        "being_checked_nanos": f"{words.BEING_CHECKED}, credits",
        "spent_nanos": f"{words.SPENT}, credits",
        "wallet": "id",
    }
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="no wallets yet: `tokenroll member create NAME …` makes one"),
    )


@app.command("show")
def show_wallet(
    wallet: Annotated[str, typer.Argument(help="Member (name or id), pool name, or wallet id.")],
    *,
    calls: Annotated[int, typer.Option(min=1, max=CALLS_SHOWN_MAX, help="How many recent calls to list.")] = 10,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Amounts as they were on record at this instant, RFC 3339.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one wallet: what is left and for about how long, what comes next, recent calls; or what was on record at an instant."""
    at = instant_option(as_of, "--as-of")
    if at is not None:
        with reports() as books:
            then = books.wallet_as_of(wallet, at)
        show(then, as_json=as_json, human=lambda: facts(then))
        return
    with reports() as books:
        found = books.wallet(wallet)
        recent = books.calls(wallet, limit=calls)

    show({**found, "calls": recent}, as_json=as_json, human=lambda: _human(found, recent))


@app.command()
def transfer(
    giver: Annotated[str, typer.Argument(metavar="FROM", help="Member (name or id) who passes credits on.")],
    taker: Annotated[str, typer.Argument(metavar="TO", help="Member (name or id) who gets them.")],
    *,
    amount: Annotated[str, typer.Option(help="Credits: all of them, or nothing.")],
    note: Annotated[str, typer.Option(help="A word to go with it.")] = "",
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Pass vested, unused pay on to another member. Only plans that are transferable allow it; a working tool never does."""
    arguments = {"from": giver, "to": taker, "amount_nanos": amount_option(amount), "note": note or None}
    result = execute("wallet.transfer", arguments, command_id=command_id, dry_run=dry_run)
    recalled = result["recalled"]
    if recalled["state"] == "done" and not recalled["given_nanos"] and not dry_run:
        message = (
            f"nothing was passed on: some of what {result['from_name']} would give has just come into use; try again"
        )
        raise Failure(message, kind="in_use")

    def human() -> None:
        facts(result)
        say(recalled_text(result, dry_run=dry_run))

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command("open")
def open_wallets(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or JSON with the columns id, to, plan, left and, if wanted, expires_on, granted_on, spendable_on, "
            "spent_this_year.",
            dir_okay=False,
        ),
    ],
    *,
    total: Annotated[str | None, typer.Option(help="Credits to which the file must add up.")] = None,
    effective_at: Annotated[
        str | None, typer.Option(help="Since when it is so, RFC 3339, not after now; default now.")
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Open wallets with what is left of awards made elsewhere, all or none. A row that was booked before, by its id, is left alone."""
    from tokenroll.services.opening_files import OpeningFileError, read_openings

    try:
        rows = read_openings(file)
    except OpeningFileError as error:
        raise Failure(str(error), kind="opening_file", code=2) from error
    arguments = {
        "rows": rows,
        "total_nanos": amount_option(total, "--total"),
        "effective_at": instant_option(effective_at),
    }
    result = execute("wallet.open", arguments, command_id=command_id, dry_run=dry_run)
    columns = {
        "id": "opening",
        "to": "to",
        "plan_name": "plan",
        "left_nanos": "left, credits",
        "expires_at": "until",
        "state": "state",
        "grant": "grant",
    }

    def human() -> None:
        table(columns, result["openings"], empty="no opening values")
        say(
            f"{'would open' if dry_run else 'opened'} {result['new_count']} of {credits_text(result['new_nanos'])} credits; "
            f"{result['known_count']} were opened before, {result['empty_count']} have nothing left; "
            f"the file adds up to {credits_text(result['total_nanos'])}"
        )

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


@app.command("openings")
def list_openings(*, as_json: Json = False) -> None:
    """List what wallets were opened with, and what had been spent before."""
    with reports() as books:
        rows = books.openings()
    columns = {
        "id": "opening",
        "wallet_name": "wallet",
        "plan_name": "plan",
        "opened_nanos": "opened, credits",
        "expires_at": "until",
        "granted_on": "granted",
        "spent_before_nanos": "spent before, credits",
        "grant": "grant",
    }
    empty = "no wallet was opened with a value: `tokenroll wallet open FILE`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


def _human(found: dict[str, Any], recent: list[dict[str, Any]]) -> None:
    usual = found["usual_work"]
    about = "" if usual["days"] is None else f", {words.about_days(usual['days'])} of your usual work"
    say(f"{found['name']}: {credits_text(found['left_nanos'])} credits {words.LEFT}{about}", "")
    amounts = {
        words.IN_USE: found["in_use_nanos"],
        words.BEING_CHECKED: found["being_checked_nanos"],
        words.SPENT: found["spent_nanos"],
        words.EXPIRED: found["expired_nanos"],
        found["words_unvested"]: found["unvested_nanos"],
    }
    rarer = {
        f"of {words.SPENT}, {words.CHARGED_AROUND}": found["charged_around_nanos"],
        words.CARRIED: found["company_carried_nanos"],
        words.RECEIVED: found["received_nanos"],
        words.PASSED_ON: found["passed_on_nanos"],
        words.FORFEITED: found["forfeited_nanos"],
        words.CLAWED_BACK: found["clawed_back_nanos"],
        words.VOIDED: found["voided_nanos"],
    }
    amounts |= {name: nanos for name, nanos in rarer.items() if nanos}
    width = max(16, *map(len, amounts))
    say(*(f"  {name:<{width}} {credits_text(nanos):>24}" for name, nanos in amounts.items()), "")
    if found["next_vest_at"] is not None:
        say(f"  next: {credits_text(found['next_vest_nanos'])} {found['words_vests']} at {when(found['next_vest_at'])}")
    if found["next_expiry_at"] is not None:
        say(f"  next: {credits_text(found['next_expiry_nanos'])} expires at {when(found['next_expiry_at'])}")
    say(f"  rule: {usual['rule']}")
    columns = {"admitted_at": "when", "model": "model", "outcome": "outcome", "charge_nanos": "credits", "call": "call"}
    table(columns, recent, empty="no calls yet: `tokenroll client show curl` says how to make one")
