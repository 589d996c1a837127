"""What every command shares: its options, how it writes, and how it shows a result to a person or a program."""

import contextlib
import io
import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from tokenroll.cli.program import Failure, put
from tokenroll.model.amount import NANOS_PER_CREDIT, AmountError, amount_nanos_checked, nanos_from_text, text_from_nanos
from tokenroll.model.instant import datetime_from_instant, instant_from_text
from tokenroll.model.limits import AMOUNT_NANOS_MAX, ENTERED_AT_MAX, ENTERED_AT_MIN
from tokenroll.services.wire import to_wire
from tokenroll.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenroll.services.reporting import Reports

Json = Annotated[bool, typer.Option("--json", help="Print JSON; money is a decimal string with its unit.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
CommandId = Annotated[
    str, typer.Option("--id", help="Your own id for this write: the same id gives the same answer again.", metavar="ID")
]

NOTHING: Final = "-"


def noun_app(meaning: str) -> typer.Typer:
    """The typer app of one noun: verbs below it, no shell completion to install, tracebacks as Python writes them."""
    app = typer.Typer(help=meaning, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    # A callback makes typer keep the verb even while a noun has only one.
    app.callback()(_no_options_of_its_own)
    return app


def _no_options_of_its_own() -> None:
    return None


def execute(name: str, arguments: Mapping[str, Any], *, command_id: str, dry_run: bool) -> dict[str, Any]:
    """The ledger's answer to one write. Raises Failure with the ledger's own sentence."""
    from tokenroll.app import ledger_door
    from tokenroll.services.ledger_client import LedgerUnreachableError
    from tokenroll.services.ledger_home import LedgerBusyError
    from tokenroll.services.protocol import Command

    given = {key: value for key, value in arguments.items() if value is not None}
    command = Command(id=command_id or f"cli-{secrets.token_hex(12)}", name=name, arguments=given, dry_run=dry_run)
    settings = load_settings()
    refuse_node(settings)
    with ledger_door(settings) as door:
        try:
            reply = door.execute(command)
        except (LedgerBusyError, LedgerUnreachableError) as error:
            raise Failure(f"{error} (id {command.id})", kind="unreachable") from error
    if reply.result is None:
        raise Failure(reply.problem, kind=reply.problem_kind or "refused", code=exit_code(reply.problem_kind))
    return reply.result


def exit_code(kind: str) -> int:
    """2 for a value that cannot be right, whoever found that out; 1 for a refusal of one that could be."""
    return 2 if kind in {"argument", "invalid", "zone"} else 1


@contextlib.contextmanager
def reports() -> Iterator["Reports"]:
    """The questions one may ask of this home's ledger, read-only. Raises Failure when there is no ledger or no such thing."""
    from tokenroll.app import open_reports

    settings = settings_with_ledger()
    from tokenroll.services.refusal import Refused

    with open_reports(settings) as found:
        try:
            yield found
        except Refused as refused:
            raise Failure(refused.message, kind=refused.kind, code=exit_code(refused.kind)) from refused


def settings_with_ledger() -> Settings:
    """The settings of a home that has been made. Raises Failure when there is none."""
    settings = load_settings()
    refuse_node(settings)
    if not settings.has_ledger:
        message = f"there is no ledger in {settings.home}: run `tokenroll init` first, or set TOKENROLL_HOME"
        raise Failure(message, kind="no_home")
    return settings


def refuse_node(settings: Settings) -> None:
    """A node's home has no ledger and gets none. Raises Failure, which says where the ledger is."""
    if settings.node is not None:
        message = f"{settings.home} is a node's home, and its ledger is at {settings.node.ledger}: run this there, or `tokenroll node serve` here"
        raise Failure(message, kind="no_home")


def show(result: Any, *, as_json: bool, human: Callable[[], None]) -> None:
    """The result as JSON for a program, else as `human` prints it."""
    if as_json:
        put(json.dumps(to_wire(result), indent=2, ensure_ascii=False) + "\n")
    else:
        human()


def say(*lines: str) -> None:
    """Lines on standard output."""
    put("".join(f"{line}\n" for line in lines))


def note(*lines: str) -> None:
    """Lines on standard error: beside the result, never in it."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))


_INFINITIVES: Final = {
    "changed": "change", "closed": "close", "reopened": "reopen", "created": "create", "imported": "import", "recorded": "record", "removed": "remove",
    "revoked": "revoke", "set": "set",
}  # fmt: skip


_DELIVERIES: Final = {
    "applied": "every running gateway works by it",
    "pending": "the running gateways are told and have not all answered yet",
    "no_worker": "no gateway runs now; the next one that starts works by it",
}
"""How far a write has come to the gateways, in words; programs read the ledger's own."""


def written(what: str, result: Mapping[str, Any], *, as_json: bool, dry_run: bool) -> None:
    """What a write did (`created member Ada`) or, as a dry run, would do, in one line and its facts."""
    verb, _, rest = what.partition(" ")

    def human() -> None:
        say(f"would {_INFINITIVES[verb]} {rest}" if dry_run else what)
        facts(result)

    show({**result, "dry_run": dry_run}, as_json=as_json, human=human)


def recalled_text(result: Mapping[str, Any], *, dry_run: bool) -> str:
    """How far running gateways have given back what a write asks of them, as one line."""
    recalled = result.get("recalled")
    if recalled is None:
        return "nothing was there to take"
    given, asked = credits_text(recalled["given_nanos"]), credits_text(recalled["asked_nanos"])
    if dry_run:
        return f"{asked} credits would be taken, what is in use as its calls end"
    if recalled["state"] == "asked":
        return f"{asked} credits are asked for; no gateway has answered yet: the same --id shows later what came"
    if recalled["state"] == "owed":
        return f"{given} of {asked} credits are taken; the rest is in use, and what its calls do not need follows"
    return f"{given} of {asked} credits are taken"


def facts(values: Mapping[str, Any]) -> None:
    """Name and value in two columns."""
    shown = [(key, _fact(key, value)) for key, value in values.items() if not isinstance(value, list | dict)]
    width = max((len(_label(key)) for key, _ in shown), default=0)
    say(*(f"  {_label(key):<{width}}  {text}" for key, text in shown))


def _label(key: str) -> str:
    for suffix in ("_nanos", "_at", "_on"):
        key = key.removesuffix(suffix)
    return key.replace("_", " ")


def _fact(key: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if key == "delivery":
        return _DELIVERIES.get(value, str(value))
    if key.endswith("_nanos"):
        return f"{credits_text(value)} {'USD' if key.endswith('_cost_nanos') else 'credits'}"
    if key.endswith(("_at", "_until")) and isinstance(value, int):
        return when(value)
    return str(value)


def credits_text(nanos: int) -> str:
    """Exact decimal text, at least two decimals, thousands apart: `1 234.50`."""
    sign = "-" if nanos < 0 else ""
    whole, _, decimals = text_from_nanos(abs(nanos), 2).partition(".")
    return f"{sign}{int(whole):,}.{decimals}".replace(",", " ")


def credits_column(amounts: Sequence[int | None]) -> list[str]:
    """One column of exact amounts with the same number of decimals, so that the points stand under each other."""
    known = [amount for amount in amounts if amount is not None]
    decimals = max((len(text_from_nanos(amount, 2).partition(".")[2]) for amount in known), default=2)
    texts = []
    for amount in amounts:
        if amount is None:
            texts.append(NOTHING)
            continue
        whole, fraction = divmod(abs(amount), NANOS_PER_CREDIT)
        sign = "-" if amount < 0 else ""
        texts.append(f"{sign}{whole:,}.{fraction:09d}".replace(",", " ")[: -(9 - decimals) or None])
    return texts


def when(at: int | None, zone: tzinfo | None = None) -> str:
    """An instant in the reader's zone, to the second."""
    if at is None:
        return NOTHING
    return datetime_from_instant(at).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def day(at: int | None, zone: str) -> str:
    """The date of an instant in a named zone."""
    return NOTHING if at is None else datetime_from_instant(at).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d")


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], *, empty: str) -> None:
    """Rows under their headers: `columns` maps a key to its header. Amounts and counts stand right, with the unit in the header."""
    found = list(rows)
    if not found:
        say(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells: list[list[str]] = []
    for key, header in columns.items():
        values = [row.get(key) for row in found]
        numeric = key.endswith(("_nanos", "_count", "_tokens")) or all(isinstance(value, int) for value in values)
        at = key.endswith(("_at", "_until"))
        grid.add_column(header, justify="right" if numeric and not at else "left", no_wrap=numeric or at)
        cells.append(credits_column(values) if key.endswith("_nanos") else [_cell(key, value) for value in values])
    for row in zip(*cells, strict=True):
        grid.add_row(*row)
    # Piped output is not cut to a terminal's width: a program or a file reads whole ids.
    terminal = sys.stdout is not None and sys.stdout.isatty()
    text = io.StringIO()
    Console(
        file=text, force_terminal=terminal, soft_wrap=not terminal, width=None if terminal else 400, markup=False
    ).print(grid)
    put(text.getvalue())


def _cell(key: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if key.endswith(("_at", "_until")) and isinstance(value, int):
        return when(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def amount_option(text: str | None, option: str = "--amount") -> int | None:
    """The nanos of an option such as `--amount 12.5`; None stays None. Raises Failure, which names the option and its range."""
    if text is None:
        return None
    try:
        return amount_nanos_checked(nanos_from_text(text), option)
    except AmountError as error:
        most = text_from_nanos(AMOUNT_NANOS_MAX, 0)
        own = str(error).startswith(option)
        message = str(error) if own else f"{option}: {error}; it must lie between 0 and {most} credits"
        raise Failure(message, kind="amount", code=2) from error


def instant_option(text: str | None, option: str = "--effective-at") -> int | None:
    """The instant of an option such as `--effective-at 2026-01-01T00:00:00Z`; None stays None. Raises Failure, which names it."""
    if text is None:
        return None
    try:
        at = instant_from_text(text)
    except (ValueError, OverflowError) as error:
        message = f"{option}: {text!r} is not an RFC 3339 time with a zone, such as 2026-01-31T09:00:00Z"
        raise Failure(message, kind="usage", code=2) from error
    if not ENTERED_AT_MIN <= at <= ENTERED_AT_MAX:
        message = f"{option}: {text} must lie in the years from {_year(ENTERED_AT_MIN)} to {_year(ENTERED_AT_MAX)}"
        raise Failure(message, kind="usage", code=2)
    return at


def _year(at: int) -> int:
    return datetime_from_instant(at).year
