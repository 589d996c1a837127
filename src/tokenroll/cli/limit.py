"""`tokenroll limit`: how much a scope may use in a window, whatever its wallets hold."""

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
    reports,
    say,
    show,
    table,
    when,
    written,
)
from tokenroll.cli.program import Failure
from tokenroll.model.amount import nanos_from_text
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.limit import Degrade, LimitMeasure, WindowKind
from tokenroll.model.limits import LIMIT_CAP_MAX, LIMIT_WINDOW_SECONDS_MAX, LIMIT_WINDOW_SECONDS_MIN

app = noun_app("Caps on a scope in a window. A limit counts, it never holds money: that is a wallet's.")

_Cap = Annotated[str | None, typer.Option(help="At most so many credits a window, such as 20 or 0.5.")]
_Calls = Annotated[int | None, typer.Option(min=0, max=LIMIT_CAP_MAX, help="At most so many calls a window.")]
_ModelTokens = Annotated[
    int | None, typer.Option(min=0, max=LIMIT_CAP_MAX, help="At most so many model tokens a window, in and out.")
]
_InputTokens = Annotated[
    int | None,
    typer.Option(min=0, max=LIMIT_CAP_MAX, help="At most so many tokens in a window; cache reads do not count."),
]
_OutputTokens = Annotated[
    int | None, typer.Option(min=0, max=LIMIT_CAP_MAX, help="At most so many tokens out a window, thinking included.")
]
_Name = Annotated[str, typer.Argument(help="Name or id.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it, in ASCII: denials name it in a header.")],
    *,
    department: Annotated[str | None, typer.Option(help="Count a department's calls, and those below it.")] = None,
    member: Annotated[str | None, typer.Option(help="Count one member's calls.")] = None,
    key: Annotated[str | None, typer.Option(help="Count one key's calls.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only calls to this model; without another scope, everybody's.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option(help="Only calls under this tag; without another scope, everybody's.")
    ] = None,
    window: Annotated[WindowKind, typer.Option(help="How long it counts.")] = WindowKind.DAY,
    seconds: Annotated[
        int | None,
        typer.Option(
            min=LIMIT_WINDOW_SECONDS_MIN, max=LIMIT_WINDOW_SECONDS_MAX, help="The length of a rolling window."
        ),
    ] = None,
    zone: Annotated[
        str | None, typer.Option(help="Where its days begin; default the member's or the company's.")
    ] = None,
    cap: _Cap = None,
    calls: _Calls = None,
    model_tokens: _ModelTokens = None,
    input_tokens: _InputTokens = None,
    output_tokens: _OutputTokens = None,
    enforcement: Annotated[
        Enforcement, typer.Option(help="Record what would be refused, also say so, or refuse it.")
    ] = Enforcement.ENFORCE,
    degrade: Annotated[Degrade, typer.Option(help="What becomes of a call that does not fit.")] = Degrade.DENY,
    cheaper_model: Annotated[str | None, typer.Option(help="Where such a call goes instead.")] = None,
    overage: Annotated[str | None, typer.Option(help="How far above the cap the counter may run, in its unit.")] = None,
    effective_at: Annotated[str | None, typer.Option(help="From when it holds, RFC 3339; default now.")] = None,
    until: Annotated[str | None, typer.Option(help="Until when it holds, RFC 3339; default for ever.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Create a limit. It counts from its date on and starts at zero, also in the middle of a window."""
    if window is WindowKind.ROLLING and seconds is None:
        message = (
            "--window rolling needs --seconds, how long its window is: "
            f"{LIMIT_WINDOW_SECONDS_MIN} to {LIMIT_WINDOW_SECONDS_MAX}, such as 3600 for an hour"
        )
        raise Failure(message, kind="usage", code=2)
    measure, most = _cap(
        cap, calls=calls, model_tokens=model_tokens, input_tokens=input_tokens, output_tokens=output_tokens
    )
    arguments = {
        "name": name, "department": department, "member": member, "key": key, "model": model, "tag": tag,
        "window": window.value, "window_seconds": seconds, "zone": zone, "measure": measure.value, "cap": most,
        "enforcement": enforcement.value, "degrade": degrade.value, "cheaper_model": cheaper_model,
        "overage": _overage(measure, overage), "effective_at": instant_option(effective_at),
        "expires_at": instant_option(until, "--until"),
    }  # fmt: skip
    result = execute("limit.create", arguments, command_id=command_id, dry_run=dry_run)
    written(f"created limit {result['name']}", result, as_json=as_json, dry_run=dry_run)


@app.command("list")
def list_limits(*, as_json: Json = False) -> None:
    """List limits and how much of each is used in its present window."""
    with reports() as books:
        rows = books.limits()
    columns = {
        "name": "limit", "of": "of", "window": "window", "used_text": "used", "cap_text": "cap", "enforcement": "enforcement",
        "degrade": "else", "turns_at": "turns", "would_deny_count": "would be refused",
    }  # fmt: skip
    empty = "no limits yet: `tokenroll limit create NAME --member … --window day --cap 20`"
    show(rows, as_json=as_json, human=lambda: table(columns, [_texts(row) for row in rows], empty=empty))


@app.command("show")
def show_limit(name: _Name, *, as_json: Json = False) -> None:
    """Show a limit, its overrides and its last windows."""
    with reports() as books:
        found = books.limit(name)
    show(found, as_json=as_json, human=lambda: _human(found))


@app.command()
def override(
    name: _Name,
    *,
    until: Annotated[str, typer.Option(help="When it is over, RFC 3339.")],
    cap: _Cap = None,
    calls: _Calls = None,
    model_tokens: _ModelTokens = None,
    input_tokens: _InputTokens = None,
    output_tokens: _OutputTokens = None,
    effective_at: Annotated[str | None, typer.Option(help="From when it holds, RFC 3339; default now.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Give a limit another cap for a while; afterwards its own holds again by itself."""
    with reports() as books:
        found = books.limit(name)
    measure, most = _cap(
        cap, calls=calls, model_tokens=model_tokens, input_tokens=input_tokens, output_tokens=output_tokens
    )
    if measure.value != found["measure"]:
        message = f"limit {found['name']} counts {found['cap']['unit']}: give its cap in them"
        raise Failure(message, kind="usage", code=2)
    arguments = {
        "limit": found["limit"], "cap": most, "effective_at": instant_option(effective_at),
        "until": instant_option(until, "--until"),
    }  # fmt: skip
    result = execute("limit.override", arguments, command_id=command_id, dry_run=dry_run)
    written(f"set limit {result['name']} to {result['cap']} for a while", result, as_json=as_json, dry_run=dry_run)


@app.command()
def remove(name: _Name, *, as_json: Json = False, dry_run: DryRun = False, command_id: CommandId = "") -> None:
    """Remove a limit: it counts and refuses nothing from now on."""
    result = execute("limit.remove", {"limit": name}, command_id=command_id, dry_run=dry_run)
    written(f"removed limit {result['name']}", result, as_json=as_json, dry_run=dry_run)


def _cap(credits_cap: str | None, **counts: int | None) -> tuple[LimitMeasure, int]:
    caps = {LimitMeasure.CREDITS: amount_option(credits_cap, "--cap")}
    caps |= {LimitMeasure(name): count for name, count in counts.items()}
    given = [(measure, cap) for measure, cap in caps.items() if cap is not None]
    if len(given) != 1:
        message = "a limit counts one thing: give one of --cap (credits), --calls, --model-tokens, --input-tokens and --output-tokens"
        raise Failure(message, kind="usage", code=2)
    return given[0]


def _overage(measure: LimitMeasure, text: str | None) -> int | None:
    if text is None or measure is LimitMeasure.CREDITS:
        return amount_option(text, "--overage")
    if not text.isdecimal():
        raise Failure(f"--overage: {text!r} is not a whole number of {measure.value}", kind="usage", code=2)
    return int(text)


def _text(value: dict[str, str] | None) -> str | None:
    if value is None:
        return None
    amount = value["amount"]
    if value["unit"] == "credits":
        return f"{credits_text(nanos_from_text(amount))} credits"
    return f"{int(amount):,} {value['unit']}".replace(",", " ")


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "used_text": _text(row["used"]), "cap_text": _text(row["cap"])}


def _human(found: dict[str, Any]) -> None:
    say(f"{found['name']}: {_text(found['used'])} used of {_text(found['cap'])} per {found['window']}, {found['of']}")
    facts({key: _text(value) if isinstance(value, dict) else value for key, value in found.items()})
    for one in found["overrides"]:
        say(f"  override: {_text(one['cap'])} from {when(one['effective_at'])} until {when(one['expires_at'])}")
    columns = {
        "start_at": "from", "used_text": "used", "call_count": "calls", "would_deny_count": "would be refused",
        "overage_count": "over the cap",
    }  # fmt: skip
    rows = [{**one, "used_text": _text(one["used"])} for one in found["windows"]]
    table(columns, rows, empty="nothing counted yet")
