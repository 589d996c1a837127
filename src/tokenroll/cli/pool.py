"""`tokenroll pool`: wallets that a department or the whole company draws on after its members' own."""

from typing import Annotated

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, noun_app, reports, show, table, written
from tokenroll.model.pool import DrawRule

app = noun_app("Shared wallets: drawn by members after their own lots, or before them.")
_Draw = Annotated[DrawRule, typer.Option(help="Whether members' own lots or the pool are drawn first.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    *,
    department: Annotated[str | None, typer.Option(help="Whose pool; default everybody's.")] = None,
    draw: _Draw = DrawRule.OWN_FIRST,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a pool. Fill it with `tokenroll grant create NAME --plan …`."""
    arguments = {"name": name, "department": department, "draw_rule": draw.value}
    result = execute("pool.create", arguments, command_id=command_id, dry_run=dry_run)
    written(f"created pool {result['name']}", result, as_json=as_json, dry_run=dry_run)


@app.command("set")
def set_pool(
    pool: Annotated[str, typer.Argument(help="Name of the pool, or its wallet's id.")],
    *,
    draw: _Draw,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Set what its members' calls take from first. Running gateways know within a second."""
    arguments = {"pool": pool, "draw_rule": draw.value}
    result = execute("pool.set", arguments, command_id=command_id, dry_run=dry_run)
    written(f"set pool {result['name']}", result, as_json=as_json, dry_run=dry_run)


@app.command("list")
def list_pools(*, as_json: Json = False) -> None:
    """List pools and what is left in them."""
    with reports() as books:
        rows = books.pools()
    columns = {
        "name": "pool",
        "serves": "serves",
        "draw_rule": "drawn",
        "left_nanos": "left, credits",
        "spent_nanos": "spent, credits",
        "wallet": "wallet id",
    }
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty="no pools yet: `tokenroll pool create NAME`"))
