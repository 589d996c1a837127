"""The lake proven from its bytes: every file against what the manifest says of it, and the sums against the events."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from tokenroll.store.lake import LakeView
from tokenroll.store.lake_files import Tell, count_of, int64_holds, lake_engine, show_rows, table_of
from tokenroll.store.lake_libraries import arrow, arrow_parquet
from tokenroll.store.lake_manifest import LakeFile, file_digest
from tokenroll.store.lake_queries import MEASURES, UsageQuery, expression
from tokenroll.store.lake_rollups import compiled, told_twice_statement
from tokenroll.store.lake_schema import KINDS, SUM_KEYS, USAGE, VERSION, VERSION_KEY


def verify_lake(view: LakeView, tell: Tell | None = None) -> list[str]:
    """What differs from the manifest, each as a sentence that names it; empty when all is as it was written."""
    found = []
    files = view.manifest.files
    for number, one in enumerate(files, 1):
        if tell is not None:
            tell(f"reading {one.path}, {number} of {len(files)} files")
        found += _problems(view.directory, one)
    found += _folded_problems(view)
    return found or [*_told_twice(view), *_different_sums(view)]


def _folded_problems(view: LakeView) -> Iterator[str]:
    sealed = view.manifest.folded
    path = view.directory / sealed.path if sealed else view.directory
    if sealed and not path.is_file():
        yield f"{sealed.path} is gone: the manifest says it has {sealed.count} marks of files that are in"
    elif sealed and file_digest(path) != sealed.digest:
        yield f"{sealed.path} is not as it was written: the manifest says its digest is {sealed.digest}"


def _told_twice(view: LakeView) -> Iterator[str]:
    """Days of one file each in which an event is told twice: where there are more files they may be, until they are merged."""
    days: dict[str, list[LakeFile]] = {}
    for one in view.manifest.of_kind(USAGE):
        days.setdefault(one.day, []).append(one)
    with lake_engine(view.directory) as engine:
        for day, files in sorted(days.items()):
            if len(files) == 1:
                show_rows(engine, view.directory, files)
                count = count_of(engine, told_twice_statement())
                if count:
                    yield f"{day} has {count} events more than once: `tokenroll usage seal` does not mend it; move the day's file aside and import it again"


def _problems(directory: Path, one: LakeFile) -> list[str]:
    path = directory / one.path
    if not path.is_file():
        return [f"{one.path} is gone: the manifest says it has {one.row_count} rows"]
    digest = file_digest(path)
    found = [f"{one.path} has the digest {digest}, the manifest says {one.digest}"] if digest != one.digest else []
    try:
        metadata = arrow_parquet().read_metadata(path)
    except (arrow().ArrowInvalid, OSError) as error:
        return [*found, f"{one.path} is no Parquet file: {error}"]
    if metadata.num_rows != one.row_count:
        found.append(f"{one.path} has {metadata.num_rows} rows, the manifest says {one.row_count}")
    version = (metadata.metadata or {}).get(VERSION_KEY, b"none").decode("ascii", "replace")
    if version != str(VERSION):
        found.append(f"{one.path} says it is of version {version}, not {VERSION}")
    return found


def _different_sums(view: LakeView) -> Iterator[str]:
    """Days whose sums are not those of their events."""
    events = tuple(one for one in view.manifest.of_kind(USAGE) if one.rolled)
    query = UsageQuery(by=("day",), measures=tuple(MEASURES))
    with lake_engine(view.directory) as engine:
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for kind in KINDS:
            files = events if kind == USAGE else view.manifest.of_kind(kind)
            show_rows(engine, view.directory, files, kind)
            asked = expression(query, table_of(kind), kind=kind, fits=int64_holds(files))
            rows = engine.sql(compiled(asked)).to_arrow_table().to_pylist()
            told[kind] = {row["day"].isoformat(): row for row in rows}
    days = sorted({day for rows in told.values() for day in rows})
    for day, kind, column in product(days, SUM_KEYS, MEASURES.values()):
        one, other = (told[which].get(day, {}).get(column) for which in (USAGE, kind))
        if one != other:
            yield f"the events of {day} have {column} {one}, their sums in {kind} {other}"
