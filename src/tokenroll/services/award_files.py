"""Awards as a spreadsheet: one row a grant, each with an id of its own, so that a file read twice grants once."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import Connection, select

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.limits import AWARD_LOTS_MAX, AWARDS_PER_FILE_MAX
from tokenroll.services.finding import required
from tokenroll.services.granting import create_grant
from tokenroll.services.row_files import (
    Column,
    RowFileError,
    RowFormat,
    amount_cell,
    id_cell,
    instant_cell,
    read_rows,
    shortened,
)
from tokenroll.services.unit_of_work import Refused, UnitOfWork
from tokenroll.store import schema
from tokenroll.store.journal import canonical


class AwardFileError(RowFileError):
    """A file that cannot be used: every problem in a line of its own, with file, line and column."""


def read_awards(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSON with the columns id, to and plan, and if wanted amount and effective_at.

    Raises AwardFileError with every mistake in it, not only the first.
    """
    return read_rows(path, _FORMAT)


_FORMAT: Final = RowFormat(
    plural="awards",
    rows_max=AWARDS_PER_FILE_MAX,
    error=AwardFileError,
    columns={
        "id": Column(read=id_cell, needed=True),
        "to": Column(needed=True),
        "plan": Column(needed=True),
        "amount": Column(read=amount_cell, name="amount_nanos"),
        "effective_at": Column(read=instant_cell),
    },
)


# ---- against the ledger ---------------------------------------------------------------------------------------------------


def import_awards(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Every row that was not granted before, all or none. Raises Refused with every row that cannot be, or above the budget.

    A row whose id was granted before with the same values is left alone; with other values it is refused (law 7).
    """
    awards: list[dict[str, Any]] = []
    problems: list[str] = []
    lot_count = 0
    for row in cast("list[Mapping[str, Any]]", required(arguments, "rows")):
        try:
            award, new_lot_count = _award(work, row)
        except (Refused, ValueError) as error:
            problems.append(f"line {row.get('line')}, {row.get('id')}: {error}")
            continue
        awards.append(award)
        lot_count += new_lot_count
        if lot_count > AWARD_LOTS_MAX:
            message = f"line {row.get('line')}: the awards so far have more than {AWARD_LOTS_MAX} tranches; import the file in parts"
            raise Refused("too_many", message)
    if problems:
        raise Refused("awards", "\n".join(shortened(problems)))
    new_nanos = sum(int(one["amount_nanos"]) for one in awards if one["state"] == "new")
    budget_nanos = arguments.get("budget_nanos")
    if budget_nanos is not None and new_nanos > budget_nanos:
        message = (
            f"the new awards are {text_from_nanos(new_nanos, 2)} credits, {text_from_nanos(new_nanos - budget_nanos, 2)} above "
            f"the budget of {text_from_nanos(budget_nanos, 2)}: nothing was granted"
        )
        raise Refused("budget", message)
    new_count = sum(1 for one in awards if one["state"] == "new")
    return {
        "awards": awards,
        "new_count": new_count,
        "known_count": len(awards) - new_count,
        "new_nanos": new_nanos,
        "budget_nanos": budget_nanos,
    }


def _award(work: UnitOfWork, row: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """What became of a row, and how many lots it made."""
    award_id = str(required(row, "id"))
    said = {name: row[name] for name in ("to", "plan", "amount_nanos", "effective_at") if row.get(name) is not None}
    digest = hashlib.sha256(canonical(said)).digest()
    known = _known(work.connection, award_id)
    if known is not None:
        if known[1] != digest:
            message = (
                f"was granted before as {known[0]} with other values; a correction is an award with an id of its own"
            )
            raise Refused("award_differs", message)
        return {
            "id": award_id,
            "to": row["to"],
            "plan_name": row["plan"],
            "state": "known",
            "grant": known[0],
            "amount_nanos": known[2],
        }, 0
    grant = create_grant(work, said)
    row_id = work.connection.scalar(select(schema.grants.c.id).where(schema.grants.c.public_id == grant["grant"]))
    work.connection.execute(
        schema.awards.insert().values(id=award_id, grant_id=row_id, digest=digest, recorded_at=work.now)
    )
    return {
        "id": award_id,
        "to": grant["wallet_name"],
        "plan_name": grant["plan_name"],
        "state": "new",
        "grant": grant["grant"],
        "amount_nanos": grant["amount_nanos"],
    }, len(grant["lots"])


def _known(connection: Connection, award_id: str) -> tuple[str, bytes, int] | None:
    awards, grants = schema.awards, schema.grants
    row = connection.execute(
        select(grants.c.public_id, awards.c.digest, grants.c.amount_nanos)
        .join(awards, awards.c.grant_id == grants.c.id)
        .where(awards.c.id == award_id)
    ).one_or_none()
    return None if row is None else (row.public_id, row.digest, row.amount_nanos)
