"""Files that say what is owned beside calls: seats (TOML or CSV), Slurm's jobs (`sacct`), and OpenCost's allocations.

Each is read whole or not at all: a line that cannot be read is named, because a line that is left out is an hour that looks idle.
"""

import csv
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from tokenroll.insight.infrastructure import SECONDS_PER_HOUR, GpuJob, OwnedSeat
from tokenroll.model.amount import AmountError, nanos_from_text
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import GPU_HOURS_MAX, INFRASTRUCTURE_FILE_BYTES_MAX
from tokenroll.services.importers.intake import SourceError

_SLURM_COLUMNS: Final = ("jobid", "account", "alloctres", "elapsed", "start")
_OPENCOST_COLUMNS: Final = ("name", "gpuhours")
_ELAPSED: Final = re.compile(r"(?:(?P<days>[0-9]+)-)?(?P<hours>[0-9]+):(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9])")
_GPUS: Final = re.compile(r"gres/gpu(?P<kind>:[^=,]+)?=(?P<count>[0-9]+)")
_NOT_STARTED: Final = frozenset({"", "unknown", "none"})


def read_seats(path: Path) -> tuple[OwnedSeat, ...]:
    """Seats of a TOML file (`[[seat]]` with name, usd, count, members) or of a CSV with these columns, members apart by `;`.

    Raises SourceError.
    """
    if path.suffix.lower() == ".toml":
        try:
            said = tomllib.loads(_text(path)).get("seat", [])
        except tomllib.TOMLDecodeError as error:
            raise SourceError(f"{path} is no TOML: {error}") from error
        rows = [(f"seat {number}", one) for number, one in enumerate(said, start=1)] if isinstance(said, list) else []
    else:
        rows = [(f"line {line}", one) for line, one in _rows(path, ("name", "usd", "count"))]
    if not rows:
        raise SourceError(f"{path} holds no seats: write [[seat]] with name, usd, count and members, or a CSV of these")
    return tuple(_seat(f"{path}, {place}", one) for place, one in rows)


def _seat(place: str, row: Any) -> OwnedSeat:
    try:
        members = row.get("members") or ()
        if isinstance(members, str):
            members = [one.strip() for one in members.split(";") if one.strip()]
        name = str(row["name"]).strip()
        return OwnedSeat(
            name=name,
            month_nanos=nanos_from_text(str(row["usd"]).strip()),
            count=int(row["count"]),
            members=tuple(str(one) for one in members),
        )
    except KeyError as error:
        raise SourceError(f"{place}: {error.args[0]} is missing") from error
    except (AmountError, ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"{place}: {error}") from error


def read_gpu_jobs(path: Path) -> tuple[GpuJob, ...]:
    """Jobs of `sacct --allocations --parsable2` or of a CSV with its columns, or OpenCost's allocations as CSV. Raises SourceError.

    Times of Slurm are taken for UTC. A job's steps repeat it and are passed over, as is what never had a GPU or has not begun.
    """
    columns = _columns(path)
    if all(name in columns for name in _SLURM_COLUMNS):
        found = [_slurm(f"{path}, line {line}", row) for line, row in _rows(path, _SLURM_COLUMNS)]
    elif all(name in columns for name in _OPENCOST_COLUMNS):
        found = [_opencost(f"{path}, line {line}", row) for line, row in _rows(path, _OPENCOST_COLUMNS)]
    else:
        raise SourceError(
            f"{path} has neither the columns of sacct ({', '.join(_SLURM_COLUMNS)}) nor those of OpenCost ({', '.join(_OPENCOST_COLUMNS)})"
        )
    return tuple(one for one in found if one is not None)


def _slurm(place: str, row: dict[str, str]) -> GpuJob | None:
    gpus = _gpus(row["alloctres"])
    if "." in row["jobid"] or not gpus or row["start"].lower() in _NOT_STARTED:
        return None
    elapsed = _ELAPSED.fullmatch(row["elapsed"])
    if elapsed is None:
        raise SourceError(f"{place}: Elapsed {row['elapsed']!r} is no time such as 1-02:03:04")
    parts = {name: int(value or 0) for name, value in elapsed.groupdict().items()}
    seconds = ((parts["days"] * 24 + parts["hours"]) * 60 + parts["minutes"]) * 60 + parts["seconds"]
    return GpuJob(
        account=row["account"] or row.get("user", ""), gpu_count=gpus, seconds=seconds, started_at=_start(place, row["start"])
    )  # fmt: skip


def _gpus(text: str) -> int:
    """GPUs of an allocation: the count of all kinds where it is told, else that of each kind together."""
    found = [(one["kind"], int(one["count"])) for one in _GPUS.finditer(text)]
    whole = [count for kind, count in found if kind is None]
    return whole[0] if whole else sum(count for _, count in found)


def _start(place: str, text: str) -> Instant:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"{place}: Start {text!r} is no time such as 2026-01-31T09:00:00") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * MICROS_PER_SECOND


def _opencost(place: str, row: dict[str, str]) -> GpuJob | None:
    try:
        hours = Decimal(row["gpuhours"] or "0")
    except InvalidOperation as error:
        raise SourceError(f"{place}: gpuHours {row['gpuhours']!r} is no number") from error
    if not hours.is_finite() or not 0 <= hours <= GPU_HOURS_MAX:
        raise SourceError(f"{place}: gpuHours lie between 0 and {GPU_HOURS_MAX}, not {row['gpuhours']}")
    seconds = round(hours * SECONDS_PER_HOUR)
    return GpuJob(account=row["name"], gpu_count=1, seconds=seconds, started_at=None) if seconds else None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > INFRASTRUCTURE_FILE_BYTES_MAX:
            raise SourceError(f"{path} is larger than {INFRASTRUCTURE_FILE_BYTES_MAX} bytes: give a shorter period")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _columns(path: Path) -> list[str]:
    head = next(iter(_text(path).splitlines()), "")
    return [one.strip().lower() for one in next(csv.reader([head], delimiter=_delimiter(head)), [])]


def _delimiter(head: str) -> str:
    return "|" if "|" in head else ","


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by the names of their columns in small letters, with their lines."""
    lines = _text(path).splitlines()
    reader = csv.reader(lines, delimiter=_delimiter(lines[0] if lines else ""))
    names = [one.strip().lower() for one in next(reader, [])]
    missing = [name for name in needed if name not in names]
    if missing:
        raise SourceError(f"{path} has no column {', '.join(missing)}")
    for cells in reader:
        if any(cells):
            if len(cells) < len(names):
                raise SourceError(f"{path}, line {reader.line_num}: {len(cells)} cells under {len(names)} columns")
            yield reader.line_num, {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
