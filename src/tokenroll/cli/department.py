"""`tokenroll department`: cost centres in a tree."""

from typing import Annotated

import typer

from tokenroll.cli.console import CommandId, DryRun, Json, execute, noun_app, reports, show, table, written

app = noun_app("Cost centres: whose cost a member's calls are.")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it, such as Engineering.")],
    *,
    cost_centre: Annotated[str, typer.Option("--cost-centre", help="The books' code; default: the name.")] = "",
    parent: Annotated[str | None, typer.Option(help="Name or id of the department above it.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a department."""
    arguments = {"name": name, "cost_centre": cost_centre or name, "parent": parent}
    result = execute("department.create", arguments, command_id=command_id, dry_run=dry_run)
    written(f"created department {result['name']}", result, as_json=as_json, dry_run=dry_run)


@app.command("list")
def list_departments(*, as_json: Json = False) -> None:
    """List departments with their members and what was spent this cycle."""
    with reports() as books:
        rows = books.departments()
    columns = {
        "name": "department",
        "cost_centre": "cost centre",
        "member_count": "members",
        "spent_this_cycle_nanos": "spent this cycle, credits",
        "department": "id",
    }
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="no departments yet: `tokenroll department create NAME`"),
    )


@app.command("show")
def show_department(name: Annotated[str, typer.Argument(help="Name or id.")], *, as_json: Json = False) -> None:
    """Show one department and its people."""
    with reports() as books:
        found = books.department(name)

    def human() -> None:
        from tokenroll.cli.console import facts

        facts(found)
        columns = {
            "name": "member",
            "kind": "kind",
            "left_nanos": "left, credits",
            "spent_this_cycle_nanos": "spent this cycle, credits",
        }
        table(columns, found["members"], empty="nobody works here yet: `tokenroll member create NAME --department …`")

    show(found, as_json=as_json, human=human)
