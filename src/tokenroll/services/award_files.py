"""Awards as a spreadsheet: one row a grant, each with an id of its own, so that a file read twice grants once."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Required, TypedDict, cast

from sqlalchemy import Connection, select

from tokenroll.model.amount import AmountError, nanos_from_text, text_from_nanos
from tokenroll.model.instant import Instant
from tokenroll.model.limits import AWARD_LOTS_MAX, AWARDS_PER_FILE_MAX, SCORE_NANOS_MAX
from tokenroll.model.member import FULL_TIME_MILLIONTHS
from tokenroll.services.award_sizes import GIVEN
from tokenroll.services.finding import required
from tokenroll.services.granting import CreateGrant, create_grant, prepared
from tokenroll.services.refusal import Refused
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
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.journal import canonical


class AwardFileError(RowFileError):
    """A file that cannot be used: every problem in a line of its own, with file, line and column."""


def read_awards(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSON with the columns id, to and plan, and if wanted amount, effective_at, base_pay, level, score, working_time.

    Raises AwardFileError with every mistake in it, not only the first.
    """
    return read_rows(path, _FORMAT)


def _score(text: str) -> int:
    try:
        nanos = nanos_from_text(text)
    except AmountError as error:
        raise ValueError(f"is no score: {error}") from error
    if not 0 <= nanos <= SCORE_NANOS_MAX:
        raise ValueError(f"must lie between 0 and {SCORE_NANOS_MAX // 10**9}, not {text}")
    return nanos


def millionths_from_text(text: str) -> int:
    """A part of full time such as 0.6 in millionths."""
    try:
        nanos = nanos_from_text(text)
    except AmountError as error:
        raise ValueError(f"is no part of full time: {error}") from error
    millionths, rest = divmod(nanos, 1_000)
    if rest or not 0 < millionths <= FULL_TIME_MILLIONTHS:
        raise ValueError(f"lies above 0 and at most at 1, which is full time, with at most 6 decimals, not {text}")
    return millionths


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
        "base_pay": Column(read=amount_cell, name="base_pay_nanos"),
        "level": Column(),
        "score": Column(read=_score, name="score_nanos"),
        "working_time": Column(read=millionths_from_text, name="working_time_millionths"),
    },
)


# ---- against the ledger ---------------------------------------------------------------------------------------------------


class AwardRow(TypedDict, total=False):
    """One row as `read_awards` reads it: a grant, its id in the file, and the line that it is on."""

    line: int
    id: Required[str]
    to: Required[str]
    plan: Required[str]
    amount_nanos: int
    effective_at: int
    base_pay_nanos: int
    level: str
    score_nanos: int
    working_time_millionths: int


class ImportAwards(TypedDict, total=False):
    """What `grant.import` takes."""

    rows: Required[list[AwardRow]]
    budget_nanos: int


def import_awards(work: UnitOfWork, arguments: ImportAwards) -> dict[str, Any]:
    """Every row that was not granted before, all or none. Raises Refused with every row that cannot be, or above the budget.

    A row whose id was granted before with the same values is left alone; with other values it is refused (law 7).
    """
    return _together(arguments, lambda row: _award(work, row))


def rehearse_awards(
    connection: Connection, rows: list[Mapping[str, Any]], budget_nanos: int | None, now: Instant
) -> dict[str, Any]:
    """What importing these rows now would grant, and grants nothing. Raises Refused as `import_awards` does."""
    arguments = {"rows": rows, "budget_nanos": budget_nanos}
    return _together(arguments, lambda row: _rehearsed(connection, row, now))


def _together(
    arguments: Mapping[str, Any], each: Callable[[Mapping[str, Any]], tuple[dict[str, Any], int]]
) -> dict[str, Any]:
    awards: list[dict[str, Any]] = []
    problems: list[str] = []
    lot_count = 0
    for row in cast("list[Mapping[str, Any]]", required(arguments, "rows")):
        try:
            award, new_lot_count = each(row)
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
    award_id, said, digest = _said(row)
    if (known := _as_known(work.connection, row, digest)) is not None:
        return known, 0
    grant = create_grant(work, cast("CreateGrant", said))
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


def _rehearsed(connection: Connection, row: Mapping[str, Any], now: Instant) -> tuple[dict[str, Any], int]:
    """What would become of a row now, and how many lots it would make."""
    award_id, said, digest = _said(row)
    if (known := _as_known(connection, row, digest)) is not None:
        return known, 0
    found = prepared(connection, said, now)
    return {
        "id": award_id,
        "to": found.wallet.name,
        "plan_name": found.plan.name,
        "plan": found.plan.public_id,
        "version": found.plan.version,
        "classification": found.plan.classification.value,
        "state": "new",
        "amount_nanos": found.amount_nanos,
        "how": found.how,
    }, found.lot_count


def _said(row: Mapping[str, Any]) -> tuple[str, dict[str, Any], bytes]:
    """A row's id, what it says of a grant, and the digest of that."""
    names = ("to", "plan", "amount_nanos", "effective_at", *GIVEN)
    said = {name: row[name] for name in names if row.get(name) is not None}
    return str(required(row, "id")), said, hashlib.sha256(canonical(said)).digest()


def _as_known(connection: Connection, row: Mapping[str, Any], digest: bytes) -> dict[str, Any] | None:
    """A row that was granted before. Raises Refused for one that says other values now."""
    known = _known(connection, str(row["id"]))
    if known is None:
        return None
    if known[1] != digest:
        message = f"was granted before as {known[0]} with other values; a correction is an award with an id of its own"
        raise Refused("award_differs", message)
    return {
        "id": row["id"],
        "to": row["to"],
        "plan_name": row["plan"],
        "state": "known",
        "grant": known[0],
        "amount_nanos": known[2],
    }


def _known(connection: Connection, award_id: str) -> tuple[str, bytes, int] | None:
    awards, grants = schema.awards, schema.grants
    row = connection.execute(
        select(grants.c.public_id, awards.c.digest, grants.c.amount_nanos)
        .join(awards, awards.c.grant_id == grants.c.id)
        .where(awards.c.id == award_id)
    ).one_or_none()
    return None if row is None else (row.public_id, row.digest, row.amount_nanos)
