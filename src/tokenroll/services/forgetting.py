"""Imports taken back: the events of a file, or of a whole source, out of the lake again, and the marks that say they are in.

What a file told is found by reading it once more: its events have the names that they had. Other files of the source may have told
some of the same calls, so all of them are read anew by the next import, which brings back what they tell and counts nothing twice.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tokenroll.model.instant import Instant
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.importers.detecting import UsageFile, events_of
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.importers.origins import MARK as TABLE_MARK
from tokenroll.services.importers.origins import Origins
from tokenroll.services.lake_importing import FILE_MARK, Reading, sources_of_mark
from tokenroll.store.lake import Lake
from tokenroll.store.lake_manifest import Withdrawn
from tokenroll.store.lake_rollups import Chosen
from tokenroll.store.lake_schema import USAGE


class ForgettingError(ValueError):
    """What cannot be taken back; the message says why and what to do."""


class Forgotten(NamedTuple):
    """What is to be withdrawn, or was: a source's events by day."""

    chosen: Chosen
    idents: tuple[str, ...]
    days: dict[str, int]

    @property
    def event_count(self) -> int:
        """On all days."""
        return sum(self.days.values())


def of_source(lake: Lake, source: str) -> Forgotten:
    """All that is in of a source. Raises ForgettingError for one that is not in, and for the gateway."""
    if source == GATEWAY:
        raise ForgettingError(
            f"{GATEWAY} is the ledger's own: what was settled is not forgotten; `tokenroll usage retain` removes what is over"
        )
    known = sorted({name for one in lake.manifest.of_kind(USAGE) for name in one.sources} - {GATEWAY})
    if source not in known:
        raise ForgettingError(
            f"{source} is neither a file nor a source that is in; sources are {', '.join(known) or 'none'}"
        )
    return _planned(lake, Chosen(source), ())


def of_file(lake: Lake, file: UsageFile, reading: Reading) -> Forgotten:
    """All that a file told. Raises ForgettingError where nothing of it is in, SourceError where it cannot be read."""
    sources: dict[str, list[str]] = {}
    intake = Intake(origins=Origins(lake.marks_that_begin))
    for source, ident in _names_in(file, reading, intake):
        sources.setdefault(source, []).append(ident)
    if len(sources) > 1:
        raise ForgettingError(
            f"{file.path} tells of several sources ({', '.join(sorted(sources))}): forget these one by one"
        )
    for source, idents in sources.items():
        found = _planned(lake, *_chosen(lake, source, idents))
        if found.days:
            return found
    why = f": {intake.bad_rows[0].reason}" if intake.bad_rows else ""
    raise ForgettingError(
        f"nothing that {file.path} tells is in{why}; what was imported with --map or --member is forgotten with the same"
    )


def forget(lake: Lake, found: Forgotten, what: str, now: Instant) -> None:
    """It is gone from events, sums and marks at one instant, which the manifest tells."""
    told = Withdrawn(at=now, what=what, source=found.chosen.source, event_count=0, days=())

    def is_to_be_read_anew(name: str, mark: int | str) -> bool:
        told = sources_of_mark(mark)
        return name.startswith(FILE_MARK) and (not told or found.chosen.source in told)

    lake.withdraw(found.chosen, found.idents, days=found.days, unmarked=is_to_be_read_anew, told=told)


def _names_in(file: UsageFile, reading: Reading, intake: Intake) -> Iterator[tuple[str, str]]:
    told = events_of(
        [file], reading.prices, intake, column_map=reading.column_map, model=reading.model, starts_at=reading.starts_at
    )
    for event in told:
        yield event.source, event.event_id
    if intake.unknown_files:
        raise SourceError(f"{file.path} is of no known kind; a table whose columns are called otherwise needs --map")


def _chosen(lake: Lake, source: str, idents: list[str]) -> tuple[Chosen, tuple[str, ...]]:
    """By their beginning where all are named after one table, so that its later lines are among them; else one by one."""
    begin = idents[0].partition(":")[0]
    if lake.mark(f"{TABLE_MARK}{begin}") is not None and all(one.startswith(f"{begin}:") for one in idents):
        return Chosen(source, begins=f"{begin}:"), ()
    return Chosen(source, by_table=True), tuple(idents)


def _planned(lake: Lake, chosen: Chosen, idents: tuple[str, ...]) -> Forgotten:
    days = lake.withdraw(chosen, idents, dry_run=True)
    return Forgotten(chosen, idents, days)
