"""`tokenroll analyse`: what logs and exports say about who used what, at list price, on this machine alone."""

import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from tokenroll.cli.console import Json, note, say, table
from tokenroll.cli.program import Failure, put
from tokenroll.model.amount import AmountError, nanos_from_text
from tokenroll.model.instant import instant_from_datetime

if TYPE_CHECKING:
    from tokenroll.insight.analysis import Analysis
    from tokenroll.insight.seats import Seat
    from tokenroll.services.analysing import Analysed
    from tokenroll.services.importers.column_maps import ColumnMap

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

USUAL_FOLDERS: Final = (".claude/projects", ".config/claude/projects", ".codex/sessions", ".codex/archived_sessions")
_ROWS_SHOWN: Final = 10
_SEAT: Final = re.compile(r"(?:(?P<provider>[a-z0-9-]+):)?(?P<name>[^=]+)=(?P<usd>[0-9.]+)")


@app.command()
def analyse_command(
    logs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders and files of usage; without any, those of Claude Code and Codex in your home."),
    ] = None,
    *,
    member: Annotated[str, typer.Option(help="Whose usage it is, where a folder's name does not say so.")] = "you",
    zone: Annotated[str, typer.Option(help="Time zone of days and hours, such as Europe/Rome.")] = "UTC",
    seat: Annotated[
        list[str] | None,
        typer.Option(help="A seat to compare with, in USD a month: `Team=30` or `anthropic:Team=30`; repeat it.", metavar="NAME=USD"),
    ] = None,
    mapping: Annotated[Path | None, typer.Option("--map", help="What the columns of tables mean: a TOML file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the page: one HTML file that needs nothing else.")] = None,
    image: Annotated[Path | None, typer.Option(help="Write the picture: a name that ends in .png, .svg or .pdf.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Analyse a made-up year of two people instead.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Who used what, at list price, what looks wasted, what comes next, seats or metered. Nothing leaves this machine.

    Reads logs of coding agents, provider reports, spend logs, tables and traces as they lie. Exit code 1 when there is no usage in them.
    """
    zone_found = _zone(zone)
    _check_image(image)
    if sample and logs:
        raise Failure("--sample analyses made-up logs: name none beside it", kind="usage", code=2)
    with _paths(logs or [], sample=sample) as paths:
        _check_outputs(paths, page, image)
        found = _analysed(paths, member, zone_found, _seats(seat or []), _column_map(mapping), quiet=as_json)
    if page is not None or image is not None:
        _write_pictures(found, page, image)
    if as_json:
        from tokenroll.services.analysis_texts import analysis_json

        put(json.dumps(analysis_json(found), indent=2, ensure_ascii=False) + "\n")
        return
    _say(found)
    for path in (page, image):
        if path is not None:
            say(f"written: {path}")
    if page is None:
        say("The same with pictures: --page analysis.html, or --image analysis.png")


@contextlib.contextmanager
def _paths(logs: list[Path], *, sample: bool) -> Iterator[list[Path]]:
    if sample:
        from tokenroll.services.sample_logs import write_sample_logs

        with tempfile.TemporaryDirectory(prefix="tokenroll-sample-") as made:
            yield [write_sample_logs(Path(made), until=datetime.now(UTC))]
        return
    if logs:
        yield logs
        return
    usual = [folder for name in USUAL_FOLDERS if (folder := Path.home() / name).is_dir()]
    if not usual:
        raise Failure(
            f"no logs in {', '.join('~/' + name for name in USUAL_FOLDERS)}: name their folder, or see what comes out with --sample",
            kind="no_logs",
        )
    yield usual


def _analysed(
    paths: list[Path], member: str, zone: ZoneInfo, seats: "list[Seat]", column_map: "ColumnMap | None", *, quiet: bool
) -> "Analysed":
    from tokenroll.services.analysing import analyse
    from tokenroll.services.importers.intake import SourceError

    with _progress(quiet=quiet) as on_file:
        try:
            return analyse(
                paths,
                member=member,
                zone=zone,
                zone_name=zone.key,
                now=instant_from_datetime(datetime.now(UTC)),
                seats=seats,
                column_map=column_map,
                on_file=on_file,
            )
        except SourceError as error:
            raise Failure(str(error), kind="no_usage") from error


def _column_map(mapping: Path | None) -> "ColumnMap | None":
    from tokenroll.model.limits import IMPORT_SETTINGS_BYTES_MAX
    from tokenroll.services.importers.column_maps import ColumnMapError, column_map_from_toml
    from tokenroll.services.importers.intake import SourceError, read_text

    if mapping is None:
        return None
    try:
        return column_map_from_toml(read_text(mapping, IMPORT_SETTINGS_BYTES_MAX))
    except (ColumnMapError, SourceError) as error:
        raise Failure(f"--map: {error}", kind="usage", code=2) from error


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Failure(
            f"--zone: {name!r} is no time zone; write one such as Europe/Rome", kind="usage", code=2
        ) from error


def _seats(texts: list[str]) -> "list[Seat]":
    from tokenroll.insight.seats import Seat

    found = []
    for text in texts:
        said = _SEAT.fullmatch(text)
        if said is None:
            raise _no_seat(text)
        try:
            nanos = nanos_from_text(said["usd"])
        except AmountError as error:
            raise _no_seat(text) from error
        found.append(Seat(name=said["name"].strip(), provider=said["provider"] or "", month_nanos=nanos))
    return found


def _no_seat(text: str) -> Failure:
    return Failure(f"--seat: {text!r} is no NAME=USD, such as Team=30 or anthropic:Team=30", kind="usage", code=2)


def _check_outputs(paths: list[Path], page: Path | None, image: Path | None) -> None:
    """What is written is neither one of the files that are read nor the same file twice."""
    from tokenroll.services.importers.detecting import usage_files
    from tokenroll.services.importers.intake import SourceError

    asked = [path for path in (page, image) if path is not None]
    if len({path.resolve() for path in asked}) < len(asked):
        raise Failure("--page and --image are the same file: name two", kind="usage", code=2)
    for path in asked:
        if not path.resolve().parent.is_dir():
            raise Failure(f"{path} cannot be written: there is no folder {path.parent}", kind="usage", code=2)
    if not any(path.exists() for path in asked):
        return
    try:
        read = {file.path.resolve() for file in usage_files(paths)}
    except SourceError as error:
        raise Failure(str(error), kind="no_usage") from error
    for path in asked:
        if path.resolve() in read:
            raise Failure(f"{path} is one of the files that are read: write elsewhere", kind="usage", code=2)


def _check_image(image: Path | None) -> None:
    from tokenroll.services.drawing import FORMATS

    if image is not None and image.suffix.removeprefix(".").lower() not in FORMATS:
        raise Failure(f"--image: {image.name} must end in .{', .'.join(FORMATS)}", kind="usage", code=2)


def _write_pictures(found: "Analysed", page: Path | None, image: Path | None) -> None:
    from tokenroll.services.analysis_texts import analysis_picture
    from tokenroll.services.drawing import PictureError, drawn_for

    try:
        if page is not None:
            from tokenroll.web.analysis_page import analysis_page

            write_whole(page, analysis_page(found).encode())
        if image is not None:
            write_whole(image, drawn_for(image, analysis_picture(found)))
    except (OSError, PictureError) as error:
        raise Failure(f"the picture cannot be written: {error}", kind="output") from error


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing: what was there stays until the new one is whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


# ---- what a person reads ---------------------------------------------------------------------------------------------


def _say(found: "Analysed") -> None:
    from tokenroll.services.analysis_texts import ahead_text, headline, notes

    analysis = found.analysis
    say("", *headline(found), *ahead_text(found), "")
    _shares("who", analysis.by_member)
    _shares("model", analysis.by_model)
    _shares("project", analysis.by_project)
    _waste(analysis)
    _seat_table(analysis)
    for line in notes(found):
        note(line)


def _shares(what: str, rows: Any) -> None:
    from tokenroll.services.analysis_texts import usd_parts

    costs = usd_parts([row.list_cost_nanos for row in rows])
    shown = [
        {
            "name": row.name,
            "call_count": row.call_count,
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "usd": cost,
        }
        for row, cost in zip(rows[:_ROWS_SHOWN], costs[:_ROWS_SHOWN], strict=True)
    ]
    table(
        {"name": what, "call_count": "calls", "input_tokens": "tokens in", "output_tokens": "tokens out", "usd": "list cost, USD"},
        right_aligned(shown, "usd"),
        empty=f"no {what}",
    )  # fmt: skip
    if len(rows) > _ROWS_SHOWN:
        say(f"  and {len(rows) - _ROWS_SHOWN} more, in --json and --page", "")


def _waste(analysis: "Analysis") -> None:
    from tokenroll.services.analysis_texts import waste_costs

    rows = [
        {
            "rule": one.rule.id,
            "what": one.rule.title,
            "kind": "hard" if one.rule.is_hard else "soft",
            "call_count": one.call_count,
            "usd": cost,
        }
        for one, cost in zip(analysis.waste.findings, waste_costs(analysis.waste), strict=True)
    ]
    columns = {"rule": "rule", "what": "what looks wasted", "kind": "", "call_count": "calls", "usd": "avoidable, USD"}
    table(
        columns,
        right_aligned(rows, "usd"),
        empty="Nothing looks wasted by rules that counts and times alone can answer.",
    )


def _seat_table(analysis: "Analysis") -> None:
    from tokenroll.services.analysis_texts import usd

    rows = [
        {
            "seat": one.seat.name,
            "price": usd(one.seat.month_nanos),
            "above": f"{one.above_count} of {one.month_count}",
            "list": usd(one.list_cost_nanos),
            "cost": usd(one.seat_cost_nanos),
        }
        for one in analysis.seats
    ]
    columns = {
        "seat": "seat or metered",
        "price": "USD a month",
        "above": "months above it",
        "list": "at list, USD",
        "cost": "as seats, USD",
    }
    table(columns, right_aligned(rows, "price", "list", "cost"), empty="No seat to compare with.")  # fmt: skip


def right_aligned(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """The same rows with the texts of some columns as wide as their widest: figures stand under each other."""
    for key in keys:
        width = max((len(row[key]) for row in rows), default=0)
        for row in rows:
            row[key] = row[key].rjust(width)
    return rows
