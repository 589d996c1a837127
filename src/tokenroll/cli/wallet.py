"""`tokenroll wallet`: what is left, in use, spent, being checked."""

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
    as_json: Json = False,
) -> None:
    """Show one wallet: what is left and for about how long, what comes next, recent calls."""
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
        words.RECEIVED: found["received_nanos"],
        words.PASSED_ON: found["passed_on_nanos"],
        words.FORFEITED: found["forfeited_nanos"],
        words.CLAWED_BACK: found["clawed_back_nanos"],
        words.VOIDED: found["voided_nanos"],
    }
    amounts |= {name: nanos for name, nanos in rarer.items() if nanos}
    say(*(f"  {name:<16} {credits_text(nanos):>24}" for name, nanos in amounts.items()), "")
    if found["next_vest_at"] is not None:
        say(f"  next: {credits_text(found['next_vest_nanos'])} {found['words_vests']} at {when(found['next_vest_at'])}")
    if found["next_expiry_at"] is not None:
        say(f"  next: {credits_text(found['next_expiry_nanos'])} expires at {when(found['next_expiry_at'])}")
    say(f"  rule: {usual['rule']}")
    columns = {"admitted_at": "when", "model": "model", "outcome": "outcome", "charge_nanos": "credits", "call": "call"}
    table(columns, recent, empty="no calls yet: `tokenroll client show curl` says how to make one")
