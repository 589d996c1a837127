"""`tokenroll reconcile REPORT…`: the ledger beside a provider's usage and cost reports, and true-ups booked by their ids."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from tokenroll.cli.console import execute, facts, note, reports, say, settings_with_ledger, show, table
from tokenroll.cli.program import Failure, put
from tokenroll.model.amount import text_from_nanos

if TYPE_CHECKING:
    from tokenroll.books.provider_reports import Line
    from tokenroll.services.report_reading import Reports

FORMATS: Final = ("table", "csv", "json")
EVERY: Final = "all"
_ATTEMPTS_SHOWN: Final = 5
_ID_DIGITS: Final = 24


def reconcile_reports(
    paths: Sequence[Path], mapping: Path | None, kind: str, true_ups: Sequence[str], *, command_id: str, dry_run: bool
) -> None:
    """Show what differs and why; book nothing but the true-ups that are named."""
    if kind not in FORMATS:
        raise Failure(f"--format is {', '.join(FORMATS)}, not {kind!r}", kind="usage", code=2)
    found, lines = _compared(paths, mapping)
    if true_ups:
        _book(lines, true_ups, kind=kind, command_id=command_id, dry_run=dry_run)
        return
    _show(found, lines, kind)
    # of an empty folder nobody can say that it agrees
    tells_nothing = not (lines or found.whole_days or found.partial_days)
    if tells_nothing or not all(line.is_sound for line in lines):
        raise typer.Exit(1)


def _compared(paths: Sequence[Path], mapping: Path | None) -> "tuple[Reports, list[Line]]":
    from tokenroll.app import clock_of
    from tokenroll.model.limits import IMPORT_SETTINGS_BYTES_MAX
    from tokenroll.services.importers.column_maps import ColumnMapError
    from tokenroll.services.importers.columns import column_map_from_toml
    from tokenroll.services.importers.detecting import usage_files
    from tokenroll.services.importers.intake import SourceError, read_text
    from tokenroll.services.report_comparing import compared, model_names
    from tokenroll.services.report_reading import KeyNames, read_reports

    settings = settings_with_ledger()
    keys = KeyNames((one.provider, one.name, one.report_keys) for one in settings.deployments)
    with reports() as books:
        try:
            column_map = column_map_from_toml(read_text(mapping, IMPORT_SETTINGS_BYTES_MAX)) if mapping else None
            names = model_names(books.connection)
            found = read_reports(usage_files(paths), keys, names, clock_of(settings)(), column_map)
        except ColumnMapError as error:
            raise Failure(f"{mapping}: {error}", kind="usage", code=2) from error
        except SourceError as error:
            raise Failure(str(error), kind="source") from error
        return found, compared(books.connection, found, keys, names)


def _show(found: "Reports", lines: "list[Line]", kind: str) -> None:
    from tokenroll.services.report_answers import line_facts, sentences, totals, true_up_facts, write_csv

    shown = [line_facts(line) for line in lines]
    proposed = [true_up_facts(line, one) for line in lines for one in line.true_ups]
    unjudged = [
        {"provider": provider, "day": day} for provider in sorted(found.partial_days) for day in sorted(found.partial_days[provider])
    ]  # fmt: skip
    result = {
        **totals(lines), "row_count": found.row_count, "long_row_count": found.long_count, "lines": shown, "true_ups": proposed,
        "days_not_judged": unjudged,
    }  # fmt: skip
    if kind == "csv":
        put(write_csv(shown))
    elif kind == "json":
        show(result, as_json=True, human=lambda: None)
    else:
        _show_table(result)
        say(*(f"  {one}" for one in sentences(lines)))
        _show_true_ups(proposed)
    if kind == "json":
        return
    if unjudged:
        days = ", ".join(f"{one['day']} ({one['provider']})" for one in unjudged[:10])
        more = f" and {len(unjudged) - 10} more" if len(unjudged) > 10 else ""
        note(f"not judged, because the report does not tell them whole: {days}{more}")
    if found.long_count:
        note(f"{found.long_count} rows are of more than a day and are not compared: ask for a report by day")


def _show_table(result: dict[str, Any]) -> None:
    from tokenroll.books.provider_reports import Why
    from tokenroll.services.report_answers import WORDS

    rows = [
        {
            **{name: one[name] for name in ("day", "provider", "model", "key", "provider_cost_nanos", "ledger_cost_nanos")},
            "difference_cost_nanos": one["difference_cost_nanos"],
            "calls": _pair(one["provider_call_count"], one["ledger_call_count"]),
            "tokens_in": _pair(one["provider_input_tokens"], one["ledger_input_tokens"]),
            "tokens_out": _pair(one["provider_output_tokens"], one["ledger_output_tokens"]),
            "why": ", ".join(WORDS[Why(why)] for why in one["why"]),
        }
        for one in result["lines"]
    ]  # fmt: skip
    columns = {
        "day": "day (UTC)",
        "provider": "provider",
        "model": "model",
        "key": "key",
        "calls": "calls: report / ledger",
        "tokens_in": "tokens in",
        "tokens_out": "tokens out",
        "provider_cost_nanos": "report, USD",
        "ledger_cost_nanos": "ledger, USD",
        "difference_cost_nanos": "difference",
        "why": "why",
    }
    currencies = {one["currency"] for one in result["lines"]}
    if currencies - {"USD"}:
        columns |= {name: columns[name].replace("USD", "/".join(sorted(currencies))) for name in list(columns)[7:9]}
    table(columns, rows, empty="the reports tell no whole day, and nothing is compared")
    if rows:
        say(f"{result['sound_count']} of {result['line_count']} lines agree, or are explained")


def _pair(theirs: int | None, ours: int) -> str:
    """`12` where both are the same, else `12 / 11`."""
    mine = f"{ours:,}".replace(",", " ")
    if theirs == ours:
        return mine
    return f"{'?' if theirs is None else f'{theirs:,}'.replace(',', ' ')} / {mine}"


def _show_true_ups(proposed: list[dict[str, Any]]) -> None:
    if not proposed:
        return
    say("", "proposed, and booked by nobody yet:")
    for one in proposed:
        amount = f"{text_from_nanos(one['proposed_cost_nanos'], 2)} {one['currency']}"
        attempts = one["attempts"]
        what = (
            f"settles {_attempts(attempts)} being checked at {amount}, the rest of its hold returns to its wallet"
            if one["kind"] == "checked"
            else f"books {amount} as the company's provider variance for {_attempts(attempts)} estimated; wallets keep their charge"
        )
        say(f"  {one['id']}  {one['day']} {one['model']} {one['key']}: {what}")
        say(*(f"      {each['call']} attempt {each['attempt']}" for each in attempts[:_ATTEMPTS_SHOWN]))
        if len(attempts) > _ATTEMPTS_SHOWN:
            say(f"      and {len(attempts) - _ATTEMPTS_SHOWN} more (--format json has all)")
    say("book one with --true-up ID, all of them with --true-up all")


def _attempts(attempts: list[dict[str, Any]]) -> str:
    return "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"


def _book(lines: "list[Line]", wanted: Sequence[str], *, kind: str, command_id: str, dry_run: bool) -> None:
    from tokenroll.services.report_comparing import COMMAND, booked_before, told_sent

    proposed = {one.id: line for line in lines for one in line.true_ups}
    names = sorted(proposed) if EVERY in wanted else list(dict.fromkeys(wanted))
    with reports() as books:
        before = booked_before(books.connection, set(names) - set(proposed))
    for one in names:
        if one in before:
            note(f"{one} is booked already")
        elif one not in proposed:
            message = f"{one} is not proposed by these reports as the ledger is now: look again without --true-up"
            raise Failure(message, kind="not_proposed")
    left = [one for one in names if one in proposed]
    if not left:
        show(
            {"true_ups": [], "booked_before": sorted(before)},
            as_json=kind == "json",
            human=lambda: say("nothing is left to book"),
        )
        return
    told = {proposed[one].part: proposed[one].told for one in left}
    arguments = {"told": [told_sent(one) for one in told.values() if one is not None], "true_ups": left}
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()
    answer = execute(COMMAND, arguments, command_id=command_id or f"reconcile-{digest[:_ID_DIGITS]}", dry_run=dry_run)

    def human() -> None:
        say(f"{'would book' if dry_run else 'booked'} {len(left)} true-up{'' if len(left) == 1 else 's'}:")
        facts({key: value for key, value in answer.items() if key != "delivery"})

    show({**answer, "dry_run": dry_run}, as_json=kind == "json", human=human)
