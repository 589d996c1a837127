"""Which files hold usage, what kind each is of, and whose it is: folders become files, files become events.

A file is known by its first bytes, unpacked; one of no known kind is counted and passed by. In a company's collection of logs a
person's folder is the one that their program's own folder stands in: `/home/ada/.claude/projects/…` is Ada's.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from tokenroll.model.instant import Instant
from tokenroll.model.limits import IMPORT_FILES_MAX, IMPORT_HEAD_BYTES
from tokenroll.model.usage_event import UsageEvent, printable
from tokenroll.services.importers.anthropic_reports import anthropic_report_events, is_anthropic_report
from tokenroll.services.importers.bulk_tables import bulk_events
from tokenroll.services.importers.claude_code import claude_code_events, is_claude_code
from tokenroll.services.importers.codex import codex_events, is_codex
from tokenroll.services.importers.columns import ColumnMap, column_events, is_table
from tokenroll.services.importers.focus_rows import focus_events, is_focus, is_focus_header
from tokenroll.services.importers.intake import TORN, Intake, SourceError, opened
from tokenroll.services.importers.litellm_logs import is_litellm, litellm_events
from tokenroll.services.importers.openai_reports import is_openai_report, openai_report_events
from tokenroll.services.importers.otel_spans import is_otel, otel_events
from tokenroll.services.importers.parquet_tables import MAGIC, parquet_header
from tokenroll.services.importers.trace_files import MODEL_UNTOLD, is_trace, trace_events
from tokenroll.services.list_prices import ListPrices

_Events: TypeAlias = Callable[[Path, str, ListPrices, Intake], Iterator[UsageEvent]]
UNKNOWN: Final = ""
COLUMNS: Final = "columns"
FOCUS: Final = "focus"
TRACE: Final = "trace"
_JSON: Final[tuple[tuple[str, Callable[[bytes], bool], _Events], ...]] = (
    ("otel", is_otel, otel_events),
    ("litellm", is_litellm, litellm_events),
    ("openai-reports", is_openai_report, openai_report_events),
    ("anthropic-reports", is_anthropic_report, anthropic_report_events),
    (TRACE, is_trace, trace_events),
    ("codex", is_codex, codex_events),
    ("claude-code", is_claude_code, claude_code_events),
)
"""The most telling marks first: an agent's log may hold anything in the words of its lines, but not as a name of its own."""
_TABLES: Final[tuple[tuple[str, Callable[[bytes], bool], _Events], ...]] = (
    (FOCUS, is_focus, focus_events),
    (COLUMNS, is_table, column_events),
)
IMPORTERS: Final[Mapping[str, _Events]] = {name: events for name, _, events in (*_JSON, *_TABLES)}
_ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".log", ".txt")
_PACKED: Final = (".gz", ".zst")
_TABLE_ENDINGS: Final = (".csv", ".tsv", ".txt")
_PROGRAM_FOLDERS: Final = (".claude", ".codex")
_CONFIG_FOLDERS: Final = (".config", "claude")
_LOG_FOLDERS: Final = ("projects", "sessions", "archived_sessions")
_JSON_STARTS: Final = b"{["


class UsageFile(NamedTuple):
    """A file of usage, and the member whose it is as far as its folders say."""

    path: Path
    member: str


def head_of(path: Path) -> bytes:
    """A file's first bytes, unpacked; those that can be, of a torn one. Raises SourceError where it cannot be opened."""
    with opened(path) as stream:
        head = b""
        try:
            while len(head) < IMPORT_HEAD_BYTES and (more := stream.read(IMPORT_HEAD_BYTES - len(head))):
                head += more
        except TORN:
            return head
    return head


def source_of(path: Path, head: bytes) -> str:
    """The importer that reads a file which begins so, by name; UNKNOWN for none. A name's ending only says that it is a table."""
    if head.startswith(MAGIC):
        return FOCUS if is_focus_header(parquet_header(path)) else COLUMNS
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_named_table = path.name.removesuffix(".gz").removesuffix(".zst").endswith(_TABLE_ENDINGS)
    if begin[:1] and begin[:1] in _JSON_STARTS and not is_named_table:
        return next((name for name, fits, _ in _JSON if fits(head)), UNKNOWN)
    return next((name for name, fits, _ in _TABLES if fits(begin)), UNKNOWN)


def usage_files(paths: Iterable[Path], member: str = "") -> list[UsageFile]:
    """All files that these paths name or hold, sorted within each folder, each once, and whose they are; `member` where no folder says.

    A path that is named is taken whatever it is called; in folders those are whose endings files of usage have. A link that leads out
    of its folder is not followed. Raises SourceError for a path that is not there,
    a folder that cannot be read, and for too many files.
    """
    found: dict[Path, UsageFile] = {}
    for path in paths:
        if not path.exists():
            raise SourceError(f"there is no {path}: name a file or a folder of usage")
        for one in _files_in(path) if path.is_dir() else (path,):
            found.setdefault(one.resolve(), UsageFile(one, printable(member_of(one)) or member))
            if len(found) > IMPORT_FILES_MAX:
                raise SourceError(f"{path} holds more than {IMPORT_FILES_MAX} files: name a folder of fewer")
    return list(found.values())


def member_of(path: Path) -> str:
    """The name of the folder that a program's own folder stands in; empty where there is none.

    Folders called `projects` and `sessions` are such only above an agent's log: people call folders of their own so, too.
    """
    folders = path.absolute().parts[1:-1]
    for place, name in enumerate(folders):
        if name in _PROGRAM_FOLDERS or folders[place : place + 2] == _CONFIG_FOLDERS:
            return folders[place - 1] if place else ""
    if ".jsonl" in path.suffixes:
        for place in range(len(folders) - 1, 0, -1):
            if folders[place] in _LOG_FOLDERS:
                return folders[place - 1]
    return ""


def _refused(error: OSError) -> None:
    raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from error


def _files_in(folder: Path) -> Iterator[Path]:
    inside = folder.resolve()
    for where, folders, names in os.walk(folder, onerror=_refused):
        folders.sort()
        for name in sorted(names):
            path = Path(where) / name
            if not name.removesuffix(_PACKED[0]).removesuffix(_PACKED[1]).endswith(_ENDINGS):
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                continue
            if path.is_file():
                yield path


def events_of(
    files: Iterable[UsageFile],
    prices: ListPrices,
    intake: Intake,
    *,
    column_map: ColumnMap | None = None,
    model: str = "",
    starts_at: Instant = 0,
) -> Iterator[UsageEvent]:
    """The events of files, each by the importer of its kind. `column_map` is for tables, `model` and `starts_at` are for traces.

    A file of no known kind is counted as such, one that cannot be read at all is a bad row: neither ends the import.
    """
    for path, member in files:
        try:
            head = head_of(path)
            name = source_of(path, head)
            is_table_by_name = column_map is not None and head.lstrip()[:1] not in {b"{", b"["}
            if is_table_by_name:
                name = COLUMNS
            if not name:
                intake.is_unknown(str(path))
                continue
            intake.file_count += 1
            if name == COLUMNS:
                read = bulk_events if head.startswith(MAGIC) else column_events
                events = read(
                    path, member, prices, intake, column_map=column_map, model=model, starts_at=starts_at or None
                )
            elif name == TRACE:
                events = trace_events(
                    path, member, prices, intake, model=model or MODEL_UNTOLD, starts_at=starts_at, head=head
                )
            else:
                events = IMPORTERS[name](path, member, prices, intake)
            for event in events:
                intake.event_count += 1
                yield event
        except SourceError as error:
            intake.row_count += 1
            intake.is_bad(str(path), 0, str(error))
