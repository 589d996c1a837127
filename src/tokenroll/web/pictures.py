"""What pages with pictures share: parts from the usage lake, each shown as it came, or one sentence where there are none."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tokenroll.insight.pictures import Picture
from tokenroll.services.lake_desk import BUSY, LIBRARY, LakeDesk, LakeDeskError


def lake_parts(desk: LakeDesk, kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """`parts` and `newest_at` of the lake, or `missing`: why there are none, and what to do."""
    try:
        found: dict[str, Any] = desk.ask(kind, facts)
    except LakeDeskError as error:
        return {"parts": [], "newest_at": None, "missing": _missing(error)}
    for part in found["parts"]:
        part["svg"] = _inline(part["svg"])
    return {**found, "missing": ""}


def picture_part(
    desk: LakeDesk, picture: Picture | None, name: str, title: str, *, says: Sequence[str] = (), tables: Sequence[Mapping[str, Any]] = (),
    behind: str = "",
) -> dict[str, Any]:  # fmt: skip
    """A part of which the ledger tells: drawn aside, and where it cannot be drawn its words and tables stand without it."""
    svg = ""
    told = list(says)
    if picture is not None:
        try:
            svg = desk.draw(picture, name, title)
        except LakeDeskError as error:
            told.append(f"The picture cannot be drawn now: {error}.")
    return {
        "name": name, "title": title, "says": told, "tables": list(tables), "svg": _inline(svg), "behind": behind,
    }  # fmt: skip


def _missing(error: LakeDeskError) -> str:
    text = f"{str(error)[0].upper()}{str(error)[1:]}."
    if error.kind == LIBRARY:
        return f"Forecast, mix and hours are missing here: {error} on the machine that serves these pages, and start it again."
    return f"{text} Reload this page to try again." if error.kind == BUSY else text


def _inline(made_here: str) -> Markup:
    """A drawing of ours that is to stand in the page as it is."""
    return Markup(made_here)  # noqa: S704 - names in it are escaped by who draws it
