"""`tokenroll usage`: what everybody used, from every source, and the lake that holds it."""

import contextlib
import io
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tokenroll.cli.analyse import write_whole
from tokenroll.cli.console import (
    DryRun,
    Json,
    facts,
    instant_option,
    note,
    noun_app,
    reports,
    say,
    settings_with_ledger,
    show,
    table,
)
from tokenroll.cli.lake_door import lake_failures, lake_view, telling
from tokenroll.cli.program import Failure, put
from tokenroll.cli.usage_charges import Seats, charged, list_charges, refuse_charged, trial_lake
from tokenroll.cli.usage_charges import charge as charge_usage
from tokenroll.cli.usage_charges import tell as tell_charges
from tokenroll.model.limits import USAGE_SHOWN_ROWS_MAX
from tokenroll.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenroll.services.importers.intake import Intake
    from tokenroll.services.lake_importing import Reading
    from tokenroll.store.lake import Lake
    from tokenroll.store.lake_queries import UsageAnswer, UsageQuery

app = noun_app(
    "What everybody used and what it cost, from every source: questions, and the lake of sealed files that answers them."
)

FORMATS: Final = ("table", "csv", "json", "parquet", "xlsx")
_FILES: Final = ("parquet", "xlsx")
_NO_PURPOSE: Final = "none"
_BAD_SHOWN: Final = 20


@app.command("query")
def query(
    *,
    by: Annotated[
        str,
        typer.Option(
            help="Dimensions, apart by commas: member, department, model, tag, day, month and more; none: one sum."
        ),
    ] = "",
    measure: Annotated[
        str,
        typer.Option(
            help="What is added up, apart by commas: calls, input, cache_read, output, model_tokens, list, net, billed, charge and more."
        ),
    ] = "calls,model_tokens,list,charge",
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Which events: `member=Ada`, `status!=ok`, `model~sonnet` for a part of it. Several must hold together; several `=` of one dimension mean any of them."
        ),
    ] = None,
    from_date: Annotated[str | None, typer.Option("--from", help="From this day (UTC) or RFC 3339 time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Until this day or time, which no longer counts.")] = None,
    order: Annotated[
        str, typer.Option(help="Columns to order by, apart by commas, `-` before one for the largest first.")
    ] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows.")] = None,
    output_format: Annotated[str, typer.Option("--format", help="table, csv, json, parquet or xlsx.")] = "table",
    output: Annotated[Path | None, typer.Option(help="A file for the answer; parquet and xlsx need one.")] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="Also draw the first cost by day, by another dimension or by both: .png, .svg or .pdf."),
    ] = None,
    seal_first: Annotated[bool, typer.Option("--seal/--no-seal", help="Take in what the ledger has since.")] = True,
    as_json: Json = False,
) -> None:
    """Ask the usage lake: counts and costs by any dimensions over any period, exact to the billionth."""
    kind = "json" if as_json else output_format
    if kind not in FORMATS:
        raise Failure(f"--format is {', '.join(FORMATS)}, not {kind!r}", kind="usage", code=2)
    if kind in _FILES and output is None:
        raise Failure(f"--format {kind} is written into a file: name it with --output", kind="usage", code=2)
    with lake_failures():
        from tokenroll.services.lake_questions import usage_query

        period = (_time(from_date, "--from"), _time(until, "--until"))
        asked = usage_query(by, measure, where or [], period, order, limit)
        with lake_view(seal=seal_first, quiet=kind != "table") as view:
            from tokenroll.store.lake_queries import answer

            found = answer(view, asked)
        if image is not None:
            _draw(asked, found, image)
    _deliver(found, kind, output)


def _draw(asked: "UsageQuery", found: "UsageAnswer", image: Path) -> None:
    from tokenroll.services.drawing import PictureError, drawn_for
    from tokenroll.services.usage_pictures import answer_picture

    try:
        write_whole(image, drawn_for(image, answer_picture(asked, found)))
    except (OSError, PictureError) as error:
        raise Failure(f"--image: {error}", kind="output") from error


def _time(text: str | None, option: str) -> int | None:
    """A day's beginning in UTC, or an instant."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return instant_option(f"{date.fromisoformat(text).isoformat()}T00:00:00Z", option)
    return instant_option(text, option)


def _deliver(found: "UsageAnswer", kind: str, output: Path | None) -> None:
    from tokenroll.services.usage_answers import write_csv, write_json, write_parquet

    if kind == "table":
        _show_table(found)
        return
    if kind == "parquet" and output is not None:
        write_parquet(found, output)
    elif kind == "xlsx" and output is not None:
        _write_workbook(found, output)
    else:
        write = write_csv if kind == "csv" else write_json
        if output is None:
            text = io.StringIO()
            write(found, text)
            put(text.getvalue())
            return
        with output.open("w", encoding="utf-8", newline="") as file:
            write(found, file)
    note(f"{found.table.num_rows} rows in {output}")


def _write_workbook(found: "UsageAnswer", output: Path) -> None:
    from tokenroll.services.usage_sheets import SheetError, write_xlsx

    try:
        as_text = write_xlsx(found, output)
    except SheetError as error:
        raise Failure(str(error), kind="sheets") from error
    if as_text:
        note(
            f"{', '.join(as_text)}: numbers of more than 15 digits stand there as texts, which a spreadsheet does not add up"
        )


def _show_table(found: "UsageAnswer") -> None:
    from tokenroll.services.usage_answers import unit_of

    columns = {}
    for name in found.table.column_names:
        plain = name.removesuffix("_nanos").removesuffix("_at").replace("call_count", "calls").replace("_", " ")
        unit = unit_of(found, name)
        columns[name] = f"{plain}, {unit}" if unit else plain
    table(columns, found.rows(0, USAGE_SHOWN_ROWS_MAX), empty="no usage answers to that")
    if found.table.num_rows > USAGE_SHOWN_ROWS_MAX:
        say(
            f"the first {USAGE_SHOWN_ROWS_MAX} of {found.table.num_rows} rows: `--format csv --output FILE` has them all"
        )


@app.command("seal")
def seal(*, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Take in everything that the ledger settled since, merge small files, and sum by hours; again changes nothing."""
    settings = load_settings()
    with lake_failures():
        from tokenroll.store.lake import open_lake

        with open_lake(settings.lake_directory) as lake:
            if dry_run:
                from tokenroll.services.lake_feeding import waiting_count

                with reports() as books:
                    result: dict[str, Any] = {"waiting_count": waiting_count(books.connection, lake), "dry_run": True}
            else:
                from tokenroll.services.lake_sealing import sealed

                with telling(quiet=as_json) as tell:
                    result = {**sealed(lake, reports, files_min=2, tell=tell), "dry_run": False}

    def human() -> None:
        say("would seal" if dry_run else "sealed")
        facts(result)

    show(result, as_json=as_json, human=human)


@app.command("import")
def import_usage(
    sources: Annotated[list[Path], typer.Argument(help="Files and folders of usage, each known by its first bytes.")],
    *,
    member: Annotated[str, typer.Option(help="Whose usage it is, where neither file nor folder says so.")] = "",
    rules: Annotated[Path | None, typer.Option(help="Whose keys, e-mails and projects are whose: a TOML file.")] = None,
    mapping: Annotated[Path | None, typer.Option("--map", help="What the columns of tables mean: a TOML file.")] = None,
    model: Annotated[str, typer.Option(help="The model of traces and tables that name none.")] = "",
    starts_at: Annotated[
        str | None, typer.Option(help="When traces with a clock of their own began, RFC 3339.")
    ] = None,
    charges: Annotated[
        bool, typer.Option("--charge", help="Then charge wallets what the usage of these files' sources cost.")
    ] = False,
    seats: Seats = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Take usage that went around the gateway into the lake: logs, reports, exports, traces; each call once, also when run again."""
    from tokenroll.services.importers.intake import Intake, SourceError

    if seats and not charges:
        raise Failure("--seats says what --charge charges: give both", kind="usage", code=2)
    settings = settings_with_ledger() if charges else load_settings()
    intake = Intake()
    charge: dict[str, Any] | None = None
    try:
        reading = _reading(rules, mapping, model, instant_option(starts_at, "--starts-at") or 0)
        with lake_failures(), contextlib.ExitStack() as stack:
            directory = settings.lake_directory
            if charges and dry_run:
                directory = stack.enter_context(trial_lake(directory))
            if dry_run and not charges:
                count = _read_only(sources, member, reading, intake, quiet=as_json)
            else:
                count = _imported(settings, directory, sources, member, reading, intake, quiet=as_json)
            is_held_back = charges and bool(intake.notes)
            if charges and not is_held_back:
                charge = charged(settings, directory, intake.sources, seats=seats, dry_run=dry_run, quiet=as_json)
    except SourceError as error:
        raise Failure(str(error), kind="source") from error
    result = {"event_count": count, **intake.summary(), "dry_run": dry_run, "charge_held_back": is_held_back} | (
        {"charge": charge} if charge else {}
    )

    def human() -> None:
        say(
            f"{'would take' if dry_run else 'took'} {count} events out of {intake.file_count} files and {intake.row_count} rows"
        )
        for kind, number in sorted(intake.other.items()):
            say(f"  {number} {kind}")
        if intake.repeat_count:
            say(f"  {intake.repeat_count} repeats of a call")
        for name in intake.unknown_files[:_BAD_SHOWN]:
            note(f"  {name} is of no known kind; a table whose columns are called otherwise needs --map")
        if intake.bad_count:
            note(f"{intake.bad_count} rows could not be read:")
            note(*(f"  {bad.file}, line {bad.line}: {bad.reason}" for bad in intake.bad_rows[:_BAD_SHOWN]))
        if intake.notes:
            note(*intake.notes[:_BAD_SHOWN])
        if is_held_back:
            note("so nothing is charged yet: see to the above, then `tokenroll usage charge --source SOURCE`")
        if charge is not None:
            tell_charges(charge)

    show(result, as_json=as_json, human=human)
    if intake.bad_count or is_held_back or {str(one) for one in sources} & set(intake.unknown_files):
        raise typer.Exit(1)


def _reading(rules: Path | None, mapping: Path | None, model: str, starts_at: int) -> "Reading":
    from tokenroll.app import clock_of
    from tokenroll.model.limits import IMPORT_SETTINGS_BYTES_MAX
    from tokenroll.services.importers.attribution import Attribution, AttributionError, attribution_from_toml
    from tokenroll.services.importers.column_maps import ColumnMapError
    from tokenroll.services.importers.columns import column_map_from_toml
    from tokenroll.services.importers.intake import read_text
    from tokenroll.services.lake_importing import Reading
    from tokenroll.services.list_prices import published_list_prices

    try:
        attribution = attribution_from_toml(read_text(rules, IMPORT_SETTINGS_BYTES_MAX)) if rules else Attribution()
        column_map = column_map_from_toml(read_text(mapping, IMPORT_SETTINGS_BYTES_MAX)) if mapping else None
    except (AttributionError, ColumnMapError) as error:
        raise Failure(
            f"{mapping if isinstance(error, ColumnMapError) else rules}: {error}", kind="usage", code=2
        ) from error
    now = clock_of(load_settings())()
    return Reading(published_list_prices(), attribution, column_map, model, starts_at, now)


def _read_only(sources: list[Path], member: str, reading: "Reading", intake: "Intake", *, quiet: bool) -> int:
    """How many events the files hold, without the lake."""
    from tokenroll.services.importers.detecting import events_of, usage_files

    with telling(quiet=quiet):
        told = events_of(
            usage_files(sources, member), reading.prices, intake,
            column_map=reading.column_map, model=reading.model, starts_at=reading.starts_at,
        )  # fmt: skip
        return len({(event.source, event.event_id) for event in told})


def _imported(
    settings: Settings,
    directory: Path,
    sources: list[Path],
    member: str,
    reading: "Reading",
    intake: "Intake",
    *,
    quiet: bool,
) -> int:
    """How many events are in that lake which were not before."""
    from tokenroll.services.importers.detecting import usage_files
    from tokenroll.services.lake_importing import import_files
    from tokenroll.services.lake_sealing import sealed
    from tokenroll.store.lake import open_lake

    files = usage_files(sources, member)
    with telling(quiet=quiet) as tell, open_lake(directory) as lake:
        if settings.has_ledger:
            sealed(lake, reports, tell=tell)

        def on_file(number: int, file: Any) -> None:
            if tell is not None:
                tell(f"reading file {number + 1} of {len(files)}: {file.path}, {intake.row_count} rows so far")

        lake.compact(2, tell)  # so that what others told twice is not taken for less that is new
        before = _row_count(lake)
        count = import_files(lake, files, reading, intake, on_file)
        lake.compact(2, tell)
        lake.roll_up(tell)
        new = _row_count(lake) - before
        intake.repeat_count += count - new
    return new


@app.command("forget")
def forget_usage(
    what: Annotated[str, typer.Argument(help="A file that was imported, or the name of a source.")],
    *,
    member: Annotated[str, typer.Option(help="Whose usage it was imported as.")] = "",
    mapping: Annotated[Path | None, typer.Option("--map", help="The mapping that it was imported with.")] = None,
    also_charged: Annotated[bool, typer.Option("--charged", help="Also days of which wallets were charged: what they paid stays paid, and only what is above it is charged later.")] = False,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Take an import back: a file's events or a whole source's are out of the lake and its sums, and may be imported anew."""
    from tokenroll.services.forgetting import ForgettingError, forget, of_file, of_source
    from tokenroll.services.importers.detecting import usage_files
    from tokenroll.services.importers.intake import SourceError
    from tokenroll.store.lake import open_lake

    settings = load_settings()
    reading = _reading(None, mapping, "", 0)
    try:
        with lake_failures(), open_lake(settings.lake_directory) as lake:
            if Path(what).is_file():
                (file,) = usage_files([Path(what)], member)
                found = of_file(lake, file, reading)
            else:
                found = of_source(lake, what)
            if not also_charged:
                refuse_charged(found.chosen.source, found.days)
            if not dry_run:
                forget(lake, found, what, reading.now)
    except (ForgettingError, SourceError) as error:
        raise Failure(str(error), kind="source") from error
    result = {"source": found.chosen.source, "event_count": found.event_count, "days": found.days, "dry_run": dry_run}

    def human() -> None:
        say(f"{'would forget' if dry_run else 'forgot'} {found.event_count} events of {found.chosen.source}")
        note("calls that other files of this source tell, too, are in again after the next import of these")

    show(result, as_json=as_json, human=human)


def _row_count(lake: "Lake") -> int:
    from tokenroll.store.lake_schema import USAGE

    return sum(one.row_count for one in lake.manifest.of_kind(USAGE))


app.command("charge")(charge_usage)
app.command("charges")(list_charges)


@app.command("focus")
def focus(
    *,
    month: Annotated[str, typer.Option(help="The billing month in UTC: `2026-11`.", metavar="YYYY-MM")],
    output: Annotated[
        Path, typer.Option(help="The CSV file; beside it comes `FILE.schema.json`, which belongs to it.")
    ],
    as_json: Json = False,
) -> None:
    """Write a month as FOCUS 1.2: each wallet's usage a day by meter and price, under pseudonyms, checked row by row first."""
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError as error:
        raise Failure(f"--month: {month!r} is no month such as 2026-11", kind="usage", code=2) from error
    from tokenroll.app import clock_of
    from tokenroll.books.focus import focus_csv, focus_rows
    from tokenroll.books.focus_checks import check_rows
    from tokenroll.books.focus_schema import schema_json
    from tokenroll.services.focus_export import focus_lines

    with reports() as books:
        lines = list(focus_lines(books.connection, first))
    if not lines:
        raise Failure(f"nothing was settled in {month}", kind="no_usage")
    wrong = check_rows(focus_rows(lines))
    if wrong:
        raise Failure(
            f"{len(wrong)} rows would be wrong, the first: row {wrong[0].row_number}, {wrong[0].said}", kind="focus"
        )
    schema_file = output.with_name(f"{output.name}.schema.json")
    write_whole(schema_file, schema_json(clock_of(load_settings())() // 10**6 * 10**6).encode())
    write_whole(output, "".join(focus_csv(focus_rows(lines))).encode())
    result = {"month": month, "row_count": len(lines), "file": str(output), "schema_file": str(schema_file)}
    show(result, as_json=as_json, human=lambda: say(f"{len(lines)} rows in {output}, their schema in {schema_file}"))


@app.command("verify")
def verify(*, as_json: Json = False) -> None:
    """Read every file of the lake: digests, row counts, and the sums against the events."""
    settings = load_settings()
    with lake_failures(), telling(quiet=as_json) as tell:
        from tokenroll.store.lake import read_lake
        from tokenroll.store.lake_schema import USAGE
        from tokenroll.store.lake_verify import verify_lake

        with read_lake(settings.lake_directory) as view:
            found = verify_lake(view, tell)
            files = view.manifest.files
            rows = sum(one.row_count for one in view.manifest.of_kind(USAGE))
    result = {"file_count": len(files), "event_count": rows, "differences": found}

    def human() -> None:
        say(*(found or [f"{len(files)} files with {rows} events are as they were written, and their sums agree"]))
        if found:
            say("put the files back from your backup, or move the lake aside and take in everything anew")

    show(result, as_json=as_json, human=human)
    if found:
        raise typer.Exit(1)


@app.command("retain")
def retain(
    *,
    keep: Annotated[
        list[str],
        typer.Option(
            help="How long events of a purpose are kept: `personal=90` days, `work=730`; `none=365` for events that tell no purpose."
        ),
    ],
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Remove events older than their purpose is kept for, from files and sums; purposes that are not named are kept."""
    days = dict(_kept(one) for one in keep)
    settings = load_settings()
    with lake_failures():
        from tokenroll.app import clock_of
        from tokenroll.model.instant import datetime_from_instant
        from tokenroll.store.lake import open_lake

        today = datetime_from_instant(clock_of(settings)()).date()
        with open_lake(settings.lake_directory) as lake:
            dropped = lake.retain(days, today, dry_run=dry_run)
    result = {"removed_count": dropped, "as_of": today.isoformat(), "dry_run": dry_run}
    show(result, as_json=as_json, human=lambda: say(f"{'would remove' if dry_run else 'removed'} {dropped} events"))


def _kept(text: str) -> tuple[str, int]:
    purpose, mark, days = text.partition("=")
    if not mark or not purpose or not (days.isascii() and days.isdigit()):
        raise Failure(f"--keep: {text!r} is not a purpose and its days, such as personal=90", kind="usage", code=2)
    return "" if purpose == _NO_PURPOSE else purpose, int(days)
