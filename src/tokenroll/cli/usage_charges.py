"""`tokenroll usage charge`: usage that went around the gateway, taken out of the wallets of who used it."""

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenroll.cli.console import (
    DryRun,
    Json,
    credits_text,
    execute,
    note,
    reports,
    say,
    settings_with_ledger,
    show,
    table,
)
from tokenroll.cli.program import Failure
from tokenroll.model.limits import CHARGE_ROWS_MAX, CHARGES_LISTED_MAX
from tokenroll.model.usage_event import GATEWAY
from tokenroll.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenroll.services.lake_charging import Costs, DayKey, DayTotal

Seats = Annotated[
    bool,
    typer.Option(
        "--seats",
        help="Charge usage of seats, too: logs of Claude Code and Codex do not say how they were paid.",
    ),
]
_NEXT: Final = {
    "of a seat, not billed by use": "`--seats` charges it, too",
    "of nobody who is a member": "`tokenroll member create NAME` under that very name, then `tokenroll usage charge`",
    "under a name that nobody had then": "let a rule of attribution name the member by id, `tokenroll usage forget` it and import it again",
    "without a price": "neither your rate cards nor the published prices had one when it was used",
    "of a meter that cannot be right (W12)": "`tokenroll cost meters` tells them; those confirmed are charged",
    "in another currency than the price list": "credits are bought with USD",
}
_TRIAL: Final = "lake-trial-"
_KEPT_OUT: Final = ("lock", "readers", "half", "spill")


def charge(
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Whose telling counts, such as `claude-code`; several times for several. Two sources of the same calls would be charged twice."
        ),
    ] = None,
    seats: Seats = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Charge wallets what usage in the lake cost: each day's total once, and later only what it has grown by."""
    from tokenroll.cli.lake_door import lake_failures
    from tokenroll.store.lake import open_lake, read_lake

    settings = settings_with_ledger()
    with lake_failures():
        with read_lake(settings.lake_directory) as view:
            known = sorted({one for file in view.manifest.of_kind("usage") for one in file.sources} - {GATEWAY})
            wanted = sorted(set(source or ()))
            if not wanted or set(wanted) - set(known):
                unknown = ", ".join(sorted(set(wanted) - set(known)))
                message = f"nothing in the lake is of {unknown}" if unknown else "say which usage: --source"
                raise Failure(f"{message}; the lake has {', '.join(known) or 'none yet'}", kind="usage", code=2)
        if not dry_run:
            with open_lake(settings.lake_directory) as lake:
                remove_trials(settings.lake_directory)
                lake.compact(2, None)
        result = charged(settings, settings.lake_directory, wanted, seats=seats, dry_run=dry_run, quiet=as_json)
    show(result, as_json=as_json, human=lambda: tell(result))


def list_charges(
    wallet: Annotated[str, typer.Argument(help="Member or wallet; default everybody's.")] = "",
    *,
    limit: Annotated[int, typer.Option(min=1, max=CHARGES_LISTED_MAX, help="The newest so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List what was charged of usage around the gateway, newest first, and who paid it."""
    with reports() as books:
        rows = books.usage_charges(wallet or None, limit=limit)
    columns = {
        "name": "member",
        "source": "source",
        "day": "day (UTC)",
        "model": "model",
        "charged_nanos": "charged, credits",
        "paid_nanos": "of lots, credits",
        "carried_nanos": "of the company, credits",
        "asked_nanos": "still asked for, credits",
        "charge": "charge",
    }
    empty = "nothing was charged yet: `tokenroll usage import FILE --charge`"
    show(rows, as_json=as_json, human=lambda: table(columns, rows, empty=empty))


def charged(
    settings: Settings, lake_directory: Path, sources: Iterable[str], *, seats: bool, dry_run: bool, quiet: bool
) -> dict[str, Any]:
    """What the lake's usage of these sources cost, charged as far as it grew: by member and source, and what was left out and why."""
    from tokenroll.app import clock_of
    from tokenroll.services.charge_reports import charged_before
    from tokenroll.services.lake_charging import ChargeRates, costs_of, members_by_name
    from tokenroll.store.lake import read_lake

    wanted = sorted(set(sources) - {GATEWAY})
    with reports() as books, read_lake(lake_directory) as view, _bar(quiet=quiet) as step:
        members = members_by_name(books.connection)
        costs = costs_of(
            view, wanted, ChargeRates(books.connection), members, now=clock_of(settings)(), seats=seats,
            on_events=lambda done, total: step("rating usage", done, total),
        )  # fmt: skip
        before = charged_before(books.connection, wanted)
    grown = [(key, one) for key, one in costs.rows() if one.nanos > before.get(key, 0)]
    with _bar(quiet=quiet) as step:
        answers = list(_answers(grown, step, dry_run=dry_run))
    return _summary(costs, {**before}, answers, members.names) | {
        "sources": wanted,
        "dry_run": dry_run,
        "carried_is_least": dry_run and len(grown) > CHARGE_ROWS_MAX,
    }


def _answers(
    grown: "list[tuple[DayKey, DayTotal]]", step: Callable[[str, int, int], None], *, dry_run: bool
) -> Iterator[dict[str, Any]]:
    for start in range(0, len(grown), CHARGE_ROWS_MAX):
        rows = [
            {
                "source": key.source,
                "member": key.member,
                "model": key.model,
                "total_nanos": one.nanos,
                "used_at": one.used_at,
            }
            for key, one in grown[start : start + CHARGE_ROWS_MAX]
        ]
        yield from execute("usage.charge", {"rows": rows}, command_id="", dry_run=dry_run)["charges"]
        step("charging", start + len(rows), len(grown))


def _summary(
    costs: "Costs", before: dict[Any, int], answers: list[dict[str, Any]], names: Mapping[str, str]
) -> dict[str, Any]:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for key, one in costs.rows():
        row = rows.setdefault(
            (names[key.member], key.source),
            {
                "member": names[key.member], "source": key.source, "days": set(), "charged_nanos": 0, "before_nanos": 0,
                "carried_nanos": 0, "shrunk": [],
            },
        )  # fmt: skip
        row["days"].add(key.day)
        row["before_nanos"] += before.get(key, 0)
        if one.nanos < before.get(key, 0):
            row["shrunk"].append(
                {"day": key.day, "model": key.model, "total_nanos": one.nanos, "charged_nanos": before[key]}
            )
    for answer in answers:
        row = rows[answer["name"], answer["source"]]
        row["charged_nanos"] += answer["charged_nanos"]
        row["carried_nanos"] += answer["carried_nanos"]
    members = [
        {**{name: value for name, value in row.items() if name != "days"}, "day_count": len(row["days"])}
        for _, row in sorted(rows.items())
    ]
    left_out = [
        {"source": source, "member": names.get(name, name), "reason": reason, "event_count": one.event_count,
         "models": sorted(one.models)}
        for (source, name, reason), one in sorted(costs.left_out.items())
    ]  # fmt: skip
    return {
        "members": members,
        "not_charged": left_out,
        "charged_nanos": sum(row["charged_nanos"] for row in members),
        "before_nanos": sum(row["before_nanos"] for row in members),
        "carried_nanos": sum(row["carried_nanos"] for row in members),
    }


def tell(result: dict[str, Any]) -> None:
    """The summary for a person."""
    least = "at least " if result["carried_is_least"] else ""
    columns = {
        "member": "member",
        "source": "source",
        "day_count": "days",
        "charged_nanos": "charged, credits",
        "before_nanos": "charged before, credits",
        "carried_nanos": f"of it {least}carried by the company, credits",
    }
    table(columns, result["members"], empty="no usage that can be charged")
    would = "would charge" if result["dry_run"] else "charged"
    carried = result["carried_nanos"]
    say(
        f"{would} {credits_text(result['charged_nanos'])} credits"
        + (f", of which the company carries {least}{credits_text(carried)} that no lot could pay" if carried else "")
    )
    if least:
        note(
            f"a dry run tries {CHARGE_ROWS_MAX} days of a member with a model at a time, each time with all that lots have now: "
            "charged one after another, they may leave more to the company"
        )
    for row in result["members"]:
        for one in row["shrunk"]:
            note(
                f"{row['member']}'s {one['day']} with {one['model']} by {row['source']} is {credits_text(one['total_nanos'])} now and "
                f"was charged as {credits_text(one['charged_nanos'])}: nothing is given back by itself; `tokenroll grant create` can"
            )
    for one in result["not_charged"]:
        advice = _NEXT.get(one["reason"], "")
        note(
            f"not charged: {one['event_count']} {'event' if one['event_count'] == 1 else 'events'} of {one['member'] or 'nobody named'} by {one['source']}, {one['reason']} "
            f"({', '.join(one['models'])})" + (f": {advice}" if advice else "")
        )


@contextlib.contextmanager
def trial_lake(lake_directory: Path) -> Iterator[Path]:
    """A lake that begins as this one is and is gone afterwards: its files are links, because a sealed file never changes.

    Nobody writes the lake while they are linked, else its manifest would name what was not there yet, or a file would be gone. What a
    killed trial left is removed first. Raises LakeBusyError.
    """
    from tokenroll.store.lake import open_lake

    with contextlib.ExitStack() as held:
        with contextlib.ExitStack() as linking:
            is_there = lake_directory.is_dir()
            if is_there:
                linking.enter_context(open_lake(lake_directory))
                remove_trials(lake_directory)
            folder = Path(tempfile.mkdtemp(dir=lake_directory.parent, prefix=_TRIAL))
            held.enter_context(_flocked(folder))
            held.callback(shutil.rmtree, folder)
            trial = folder / lake_directory.name
            if is_there:
                shutil.copytree(
                    lake_directory,
                    trial,
                    copy_function=os.link,
                    ignore=lambda _, names: [one for one in names if one in _KEPT_OUT],
                )
        yield trial


def remove_trials(lake_directory: Path) -> None:
    """What killed trials left: their links would keep events that the lake itself forgets. Only while the lake is open for writing."""
    for folder in lake_directory.parent.glob(f"{_TRIAL}*"):
        # one that is running is left, and one may end just now
        with contextlib.suppress(BlockingIOError, FileNotFoundError), _flocked(folder):
            shutil.rmtree(folder)


@contextlib.contextmanager
def _flocked(folder: Path) -> Iterator[None]:
    """The folder is ours within the block. The kernel lets go of it when its holder dies. Raises BlockingIOError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """How far it is, on standard error, where a person looks at it."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("charging", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def refuse_charged(source: str, days: Collection[str]) -> None:
    """What wallets paid is not taken out of the lake without a word. Raises Failure."""
    from tokenroll.services.charge_reports import charged_days

    if not load_settings().has_ledger:
        return
    with reports() as books:
        paid = charged_days(books.connection, source, days)
    if paid:
        raise Failure(
            f"wallets were charged for {source} on {len(paid)} of these days, the first {paid[0]}: `tokenroll usage charges` tells it; "
            "with --charged the usage is forgotten and what they paid stays paid",
            kind="charged",
        )
