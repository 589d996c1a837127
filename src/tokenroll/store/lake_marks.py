"""Marks that are kept for long and asked about seldom: in one sealed file beside the manifest, so that the manifest stays small.

An import marks every file that it read, for ever, since a file that is read twice counts once. A company's logs are a million files in
a few years; the manifest is written with every append. So these marks are folded: sorted by name, found by reading a few thousand.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tokenroll.model.limits import LAKE_MARKS_FOLDED_AT, LAKE_MARKS_MAX
from tokenroll.store.lake_libraries import arrow, arrow_compute, arrow_parquet
from tokenroll.store.lake_manifest import Disk, SealedMarks, file_digest

FOLDER: Final = "marks"
_GROUP_ROWS: Final = 4_096
_NAME_CHARACTERS: Final = 32


class FoldedMarks:
    """The marks of one sealed file; of none, nothing."""

    def __init__(self, directory: Path, sealed: SealedMarks | None) -> None:
        self._path = directory / sealed.path if sealed else None
        self._groups: list[str] | None = None
        self._last: tuple[int, dict[str, str]] = (-1, {})

    def get(self, name: str) -> str | None:
        """The mark of this name."""
        place = bisect_right(self._firsts(), name) - 1
        return self._group(place).get(name) if place >= 0 else None

    def that_begin(self, prefix: str) -> dict[str, str]:
        """All marks whose names begin so."""
        found: dict[str, str] = {}
        firsts = self._firsts()
        for place in range(max(0, bisect_right(firsts, prefix) - 1), len(firsts)):
            if firsts[place] > prefix and not firsts[place].startswith(prefix):
                break
            found |= {name: mark for name, mark in self._group(place).items() if name.startswith(prefix)}
        return found

    def table(self) -> Any:
        """All of them, by name."""
        pa = arrow()
        if self._path is None:
            return pa.table({"name": pa.array([], pa.string()), "mark": pa.array([], pa.string())})
        return arrow_parquet().read_table(self._path, partitioning=None)

    def _firsts(self) -> list[str]:
        if self._groups is None:
            self._groups = []
            if self._path is not None:
                metadata = arrow_parquet().read_metadata(self._path)
                groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
                self._groups = [group.column(0).statistics.min for group in groups]
        return self._groups

    def _group(self, place: int) -> dict[str, str]:
        if self._last[0] != place:
            rows = arrow_parquet().ParquetFile(self._path).read_row_group(place).to_pydict()
            self._last = (place, dict(zip(rows["name"], rows["mark"], strict=True)))
        return self._last[1]


def folding_is_due(
    marks: Mapping[str, int | str], sealed: SealedMarks | None, prefixes: tuple[str, ...]
) -> dict[str, str]:
    """The marks to be folded now, once there are too many for a manifest; each fold writes all of them, so larger ones come seldom."""
    names = {name: mark for name, mark in marks.items() if isinstance(mark, str) and name.startswith(prefixes)}
    count = sealed.count if sealed else 0
    return names if len(names) > min(LAKE_MARKS_MAX, max(LAKE_MARKS_FOLDED_AT, count // 8)) else {}


def folded(
    directory: Path,
    disk: Disk,
    before: FoldedMarks,
    more: Mapping[str, str],
    is_gone: Callable[[str, str], bool] | None = None,
) -> SealedMarks | None:
    """One sealed file of the marks of before and these, which go before them, without those that are gone; None for no mark."""
    pa, pc = arrow(), arrow_compute()
    old = before.table()
    names = pa.array(sorted(more), pa.string())
    new = pa.table({"name": names, "mark": pa.array([more[name] for name in sorted(more)], pa.string())})
    old = old.filter(pc.invert(pc.is_in(old.column("name"), value_set=names))).cast(new.schema)
    table = pa.concat_tables([old, new])
    if is_gone is not None:
        rows = zip(table.column("name").to_pylist(), table.column("mark").to_pylist(), strict=True)
        table = table.filter(pa.array([not is_gone(name, mark) for name, mark in rows], pa.bool_()))
    if not table.num_rows:
        return None
    folder = directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = folder / "half"
    arrow_parquet().write_table(
        table.sort_by("name"), half, row_group_size=_GROUP_ROWS, compression="zstd", use_dictionary=False
    )
    disk.sync(half)
    digest = file_digest(half)
    path = folder / f"{hashlib.sha256(digest.encode()).hexdigest()[:_NAME_CHARACTERS]}.parquet"
    disk.rename(half, path)
    disk.sync(folder)
    disk.sync(directory)
    return SealedMarks(path=str(path.relative_to(directory)), digest=digest, count=table.num_rows)
