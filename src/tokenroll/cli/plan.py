"""`tokenroll plan`: dated templates of grants."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    amount_option,
    execute,
    facts,
    instant_option,
    noun_app,
    reports,
    say,
    show,
    table,
    written,
)
from tokenroll.cli.program import Failure
from tokenroll.model.classification import Classification
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.grant import GrantKind
from tokenroll.model.limits import LOTS_PER_GRANT_MAX, OUTPUT_CAP_TOKENS_MAX
from tokenroll.model.vesting import AllocationType, VestingKind

if TYPE_CHECKING:
    from tokenroll.services.plan_files import PlanEntry

app = noun_app("Dated, versioned templates: what a grant of this kind is and how strictly its wallet is kept.")

_Kind = Annotated[VestingKind, typer.Option(help="All at once, a tranche a period, or on dates of its own.")]
_Every = Annotated[str | None, typer.Option(help="The period of periodic vesting, such as 3m or 14d; default 1m.")]
_Occurrences = Annotated[int | None, typer.Option(min=1, max=LOTS_PER_GRANT_MAX, help="How many periods it takes.")]
_Cliff = Annotated[
    int | None,
    typer.Option(min=0, max=LOTS_PER_GRANT_MAX, help="Periods before anything vests; they come together."),
]
_DayOfMonth = Annotated[
    int | None, typer.Option(min=1, max=31, help="The day on which monthly tranches come, or the month's last.")
]
_On = Annotated[
    list[str] | None,
    typer.Option(help="A date of dated vesting, with its part: 2027-01-01 or 2027-01-01=3. Repeat it."),
]
_Event = Annotated[
    list[str] | None,
    typer.Option(
        "--event", help="An event that a part waits for, with its part: 'version 2' or 'version 2=3'. Repeat it."
    ),
]
_Allocation = Annotated[
    AllocationType, typer.Option(help="How whole units are shared among tranches that do not divide them.")
]
_Unit = Annotated[str | None, typer.Option(help="Credits that a tranche is a multiple of, such as 1; default a nano.")]
_Term = Annotated[
    list[str] | None,
    typer.Option(
        help="A further term as files and spreadsheets name it, such as tax.use_scope=business_only. Repeat it.",
        metavar="NAME=VALUE",
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="An existing name makes the plan's next version.")],
    *,
    kind: Annotated[GrantKind, typer.Option(help="What is granted.")],
    classification: Annotated[Classification, typer.Option(help="Working tool of the company, or pay of the person.")],
    amount: Annotated[str, typer.Option(help="Credits of one grant, such as 120 or 0.5.")],
    effective_at: Annotated[str | None, typer.Option(help="From when it holds, RFC 3339; default now.")] = None,
    vesting: _Kind = VestingKind.IMMEDIATE,
    every: _Every = None,
    occurrences: _Occurrences = None,
    cliff: _Cliff = None,
    day_of_month: _DayOfMonth = None,
    on: _On = None,
    event: _Event = None,
    allocation: _Allocation = AllocationType.CUMULATIVE_ROUND_DOWN,
    unit: _Unit = None,
    lifetime: Annotated[
        str | None, typer.Option(help="How long a tranche lives, such as 90d or 12m; default for ever.")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, max=255, help="0 is drawn first, 255 last.")] = 100,
    enforcement: Annotated[
        Enforcement, typer.Option(help="What happens to a call that does not fit.")
    ] = Enforcement.ENFORCE,
    cap_policy: Annotated[
        CapPolicy, typer.Option(help="A client's own output cap that does not fit: refuse or lower it.")
    ] = CapPolicy.DENY,
    output_cap: Annotated[
        int | None,
        typer.Option(
            min=1, max=OUTPUT_CAP_TOKENS_MAX, help="Model tokens injected where a client names no output cap."
        ),
    ] = None,
    overage: Annotated[
        str | None, typer.Option(help="Credits the company carries above a wallet; default none.")
    ] = None,
    term: _Term = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a plan, or the next version of one."""
    arguments = {
        "name": name,
        "kind": kind.value,
        "classification": classification.value,
        "amount_nanos": amount_option(amount),
        "effective_at": instant_option(effective_at),
        "vesting": {
            "kind": vesting.value,
            "period": every,
            "occurrences": occurrences,
            "cliff_occurrences": cliff,
            "day_of_month": day_of_month,
            "shares": [_share(text) for text in on] if on else None,
            "events": [_event(text) for text in event] if event else None,
            "allocation": allocation.value,
            "unit_nanos": amount_option(unit, "--unit"),
        },
        "lifetime": lifetime,
        "priority": priority,
        "enforcement": enforcement.value,
        "cap_policy": cap_policy.value,
        "output_cap_tokens": output_cap,
        "overage_nanos_max": amount_option(overage, "--overage"),
        **_terms(term or []),
    }
    result = execute("plan.create", arguments, command_id=command_id, dry_run=dry_run)
    written(f"created plan {result['name']}", result, as_json=as_json, dry_run=dry_run)
    if not as_json:
        _tell_cautions(result["cautions"])


def _terms(given: list[str]) -> dict[str, Any]:
    """The terms of `NAME=VALUE` options, by the same names and spellings as the cells of a spreadsheet."""
    from tokenroll.services.plan_fields import FIELDS

    known = [name for name, field in FIELDS.items() if field.place[0] == "terms"]
    arguments: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if name not in known or not equals:
            raise Failure(f"--term: {text!r} is not NAME=VALUE with one of {', '.join(known)}", kind="usage", code=2)
        field = FIELDS[name]
        if field.found_in(arguments) is not None:
            raise Failure(f"--term: {name} is given twice", kind="usage", code=2)
        try:
            field.put_into(arguments, field.kind.read_cell(value))
        except ValueError as error:
            raise Failure(f"--term: {name} {error}", kind="usage", code=2) from error
    return arguments


def _tell_cautions(cautions: list[str]) -> None:
    say(*(f"  note: {one}" for one in cautions))


def _share(text: str) -> dict[str, Any]:
    """`2027-01-01` or `2027-01-01=3`; what is neither is told by whoever reads the terms."""
    on, _, weight = text.partition("=")
    return {"on": on, "weight": int(weight) if weight.isdecimal() else weight or 1}


def _event(text: str) -> dict[str, Any]:
    """`version 2` or `version 2=3`."""
    event, _, weight = text.partition("=")
    return {"event": event, "weight": int(weight) if weight.isdecimal() else weight or 1}


@app.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """List the plans that hold now and those still to come."""
    with reports() as books:
        rows = books.plans()
    columns = {
        "name": "plan",
        "version": "version",
        "kind": "kind",
        "classification": "classification",
        "amount_nanos": "credits",
        "schedule": "schedule",
        "enforcement": "enforcement",
        "cap_policy": "cap",
        "effective_at": "from",
    }
    empty = "no plans yet: `tokenroll plan create NAME --kind stipend --classification tool --amount 100`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


@app.command("show")
def show_plan(name: Annotated[str, typer.Argument(help="Name or id.")], *, as_json: Json = False) -> None:
    """Show the newest version of a plan, with what its classification means."""
    with reports() as books:
        found = books.plan(name)

    def human() -> None:
        facts(found)
        width = max(map(len, found["terms"]), default=0)
        say(*(f"  {name:<{width}}  {value}" for name, value in found["terms"].items()))
        _tell_cautions(found["cautions"])

    show(found, as_json=as_json, human=human)


@app.command("try")
def try_plan(
    name: Annotated[str, typer.Argument(help="Name or id.")],
    *,
    cycle: Annotated[
        str | None, typer.Option(help="The month, such as 2026-01; default the last one that is over.")
    ] = None,
    amount: Annotated[str | None, typer.Option(help="Credits of the grant, in place of the plan's.")] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            help="Calls from elsewhere in place of the ledger's: CSV with member, at and credits.", dir_okay=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Try a plan on calls that were made: what it costs, who gains, who would have been stopped and when. Changes nothing."""
    with reports() as books:
        found = books.plan_trial(name, cycle, amount_nanos=amount_option(amount), log=log)
    columns = {
        "name": "member",
        "used_nanos": "used, credits",
        "granted_nanos": "would get",
        "had_nanos": "had",
        "paid_nanos": "would be paid",
        "missing_nanos": "missing",
        "stopped_count": "calls stopped",
        "first_stopped_at": "first stopped",
        "unused_nanos": "unused",
        "change": "change",
        "why": "why",
    }

    def human() -> None:
        table(columns, found["people"], empty="nobody has a wallet yet: `tokenroll member create NAME --department …`")
        facts(found["sums"])
        say(
            f"plan {found['plan']} version {found['version']}, one grant to everybody who may have it in {found['cycle']}; nothing was changed"
        )

    show(found, as_json=as_json, human=human)


_File = Annotated[
    Path,
    typer.Argument(
        help="TOML with a table \\[plans.NAME], or a sheet (.xlsx, .csv) with a row, for each plan.", dir_okay=False
    ),
]


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to: a name that ends in .xlsx, .csv or .toml.", dir_okay=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write the newest version of every plan into a file to edit, compare and apply again. Without their dates: a change holds from when it is applied."""
    from tokenroll.services.plan_files import PlanFileError
    from tokenroll.services.plan_sources import write_plan_source

    with reports() as books:
        plans = books.plan_arguments()
    if file.exists() and not force:
        raise Failure(f"{file} is there already: choose another name, or --force to replace it", kind="exists")
    try:
        write_plan_source(file, plans)
    except PlanFileError as error:
        raise Failure(str(error), kind="plan_file", code=2) from error
    count = len(plans)
    show(
        {"file": str(file), "plan_count": count},
        as_json=as_json,
        human=lambda: say(
            f"wrote {count} plan{'' if count == 1 else 's'} to {file}",
            f"edit it, then: tokenroll plan diff {file}; tokenroll plan apply {file}",
        ),
    )


@app.command()
def reclassify(
    name: Annotated[str, typer.Argument(help="Name of the plan.")],
    *,
    to: Annotated[Classification, typer.Option(help="What it becomes.")],
    from_on: Annotated[
        str, typer.Option("--from", help="The day of the company's zone on which it begins, such as 2027-01-01.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without, its effect is shown and nothing is changed.")
    ] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Make a plan pay or a working tool from a day on, once its effect was seen. What was granted before keeps what it is."""
    arguments = {"name": name, "to": to.value, "from_on": from_on}
    is_shown_only = dry_run or not yes
    result = execute("plan.reclassify", arguments, command_id=command_id, dry_run=is_shown_only)

    def human() -> None:
        _tell_reclassification(result)
        done = f"plan {result['name']} version {result['version']} is {result['becomes']} from {from_on} on"
        say(f"nothing was changed; with --yes {done}" if is_shown_only else done)

    show({**result, "dry_run": is_shown_only}, as_json=as_json, human=human)


def _tell_reclassification(result: dict[str, Any]) -> None:
    table({"what": "changes", "was": "was", "becomes": "becomes"}, result["changes"], empty="")
    columns = {
        "name": "keeps what was granted",
        "vested_left_nanos": "left of vested, credits",
        "unvested_nanos": "vests later",
        "keeps": "as",
    }
    table(columns, result["wallets"], empty="nobody was granted anything under it yet")
    if len(result["wallets"]) < result["wallet_count"]:
        say(f"and {result['wallet_count'] - len(result['wallets'])} more, with less")
    facts(
        {
            "wallets": result["wallet_count"],
            "left of vested_nanos": result["vested_left_nanos"],
            "vests later_nanos": result["unvested_nanos"],
            "granted in the last year_nanos": result["granted_in_a_year_nanos"],
        }
    )
    say(f"a year like the last would grant that sum as {result['becomes']}; what was granted before stays as it is")
    _tell_cautions(result["cautions"])


@app.command()
def check(file: _File, *, as_json: Json = False) -> None:
    """Check a file of plans; every mistake is told with its line. Needs no ledger and changes nothing."""
    from tokenroll.services.plan_files import cautions_of

    entries = _read(file)
    plans: list[dict[str, Any]] = [
        {"name": entry.name, "line": entry.line, "cautions": cautions_of(entry.arguments)} for entry in entries
    ]

    def human() -> None:
        say(f"{file}: {len(entries)} plan{'' if len(entries) == 1 else 's'}, nothing wrong")
        for plan in plans:
            say(*(f"{file}:{plan['line']}: {plan['name']}: note: {one}" for one in plan["cautions"]))

    show({"file": str(file), "plans": plans}, as_json=as_json, human=human)


@app.command()
def diff(file: _File, *, as_json: Json = False) -> None:
    """Show what applying a file of plans would change. Exits with 1 when it would change anything."""
    _read(file)
    with reports() as books:
        found = books.plan_differences(file)
    show(found, as_json=as_json, human=lambda: _tell_differences(found))
    problems = [f"{file}:{one['line']}: {one['name']}: {problem}" for one in found for problem in one["problems"]]
    if problems:
        raise Failure("\n".join(problems), kind="unknown")
    if any(one["state"] in {"new", "changed"} for one in found):
        raise typer.Exit(1)


@app.command()
def apply(file: _File, *, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = "") -> None:
    """Apply a file of plans, all or none: new plans, and new versions of changed ones. What it does not name stays as it is."""
    arguments = {"plans": [dict(entry.arguments) for entry in _read(file)]}
    result = execute("plan.apply", arguments, command_id=command_id, dry_run=dry_run)
    made = [f"{one['name']} version {one['version']}" for one in result["created"]]
    written(f"created {', '.join(made) or 'no plan version'}", result, as_json=as_json, dry_run=dry_run)
    if not as_json and result["unchanged"]:
        say(f"  unchanged  {', '.join(result['unchanged'])}")


def _read(file: Path) -> "list[PlanEntry]":
    from tokenroll.services.plan_files import PlanFileError
    from tokenroll.services.plan_sources import read_plan_source

    try:
        return read_plan_source(file)
    except PlanFileError as error:
        raise Failure(str(error), kind="plan_file", code=2) from error


def _tell_differences(found: list[dict[str, Any]]) -> None:
    for one in found:
        say(f"{one['name']}: {one['state']}")
        say(*(f"  {change['field']}: {change['was']} → {change['becomes']}" for change in one["changes"]))
