"""A file of plans, whatever it is: TOML, a workbook or CSV, told apart by how its name ends."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tokenroll.services.plan_files import PlanEntry, PlanFileError, read_plans, toml_from_plans
from tokenroll.services.plan_sheets import csv_from_plans, read_plan_sheet, xlsx_from_plans

SUFFIXES: Final = (".toml", ".xlsx", ".csv")


def read_plan_source(path: Path) -> list[PlanEntry]:
    """The plans of a file. Raises PlanFileError with every mistake in it, by line or by cell."""
    return read_plans(path) if suffix_checked(path) == ".toml" else read_plan_sheet(path)


def plan_source(path: Path, plans: Iterable[Mapping[str, Any]]) -> bytes:
    """The bytes of a file of this name that reads as these plans. Raises PlanFileError."""
    suffix = suffix_checked(path)
    if suffix == ".toml":
        return toml_from_plans(plans).encode()
    if suffix == ".csv":
        return csv_from_plans(plans)
    try:
        return xlsx_from_plans(plans)
    except ImportError as error:
        raise PlanFileError(f"{path} needs the extra `sheets`: install tokenroll[sheets], or use CSV") from error


def write_plan_source(path: Path, plans: Iterable[Mapping[str, Any]]) -> None:
    """The file, whole or not at all. Raises PlanFileError."""
    content = plan_source(path, plans)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise PlanFileError(f"{path} cannot be written: {error.strerror or error}") from error


def suffix_checked(path: Path) -> str:
    """How the name ends, in small letters. Raises PlanFileError for a kind of file that is not known."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PlanFileError(f"{path}: a file of plans ends in {', '.join(SUFFIXES)}")
    return suffix
