"""Opening values as a spreadsheet: what is left of awards that were made before the first day here, each row once."""

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Required, TypedDict, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.calendar import day_start
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import Instant
from tokenroll.model.limits import OPENINGS_PER_FILE_MAX
from tokenroll.model.plan import Plan
from tokenroll.model.vesting import DatedShare, Vesting, VestingKind
from tokenroll.model.wallet import HolderKind
from tokenroll.services.finding import find_plan, find_wallet, instant_given, required
from tokenroll.services.granting import open_value
from tokenroll.services.members import today_in
from tokenroll.services.planning import plan_from_row
from tokenroll.services.refusal import Refused
from tokenroll.services.row_files import (
    Column,
    RowFileError,
    RowFormat,
    amount_or_nothing_cell,
    date_cell,
    id_cell,
    read_rows,
    shortened,
)
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.services.vesting_terms import period_text
from tokenroll.store import schema
from tokenroll.store.journal import canonical

NEVER: Final = "never"
_DAY: Final = timedelta(days=1)
_SAID: Final = ("to", "plan", "left_nanos", "expires_on", "granted_on", "spendable_on", "spent_before_nanos")


class OpeningFileError(RowFileError):
    """A file that cannot be used: every problem in a line of its own, with file, line and field."""


def read_openings(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or JSON. Raises OpeningFileError with every mistake in it, not only the first."""
    return read_rows(path, _FORMAT)


def _last_day(text: str) -> str:
    return NEVER if text.casefold() == NEVER else date_cell(text)


_FORMAT: Final = RowFormat(
    plural="opening values",
    rows_max=OPENINGS_PER_FILE_MAX,
    error=OpeningFileError,
    also_called={"member": "to", "amount_left": "left"},
    columns={
        "id": Column(read=id_cell, needed=True),
        "to": Column(needed=True),
        "plan": Column(needed=True),
        "left": Column(read=amount_or_nothing_cell, needed=True, name="left_nanos"),
        "expires_on": Column(read=_last_day),
        "granted_on": Column(read=date_cell),
        "spendable_on": Column(read=date_cell),
        "spent_this_year": Column(read=amount_or_nothing_cell, name="spent_before_nanos"),
    },
)


# ---- against the ledger ---------------------------------------------------------------------------------------------------


class _OpeningRow(TypedDict, total=False):
    line: int
    id: Required[str]
    to: Required[str]
    plan: Required[str]
    left_nanos: Required[int]
    expires_on: str
    granted_on: str
    spendable_on: str
    spent_before_nanos: int


class _OpenWallets(TypedDict, total=False):
    rows: Required[list[_OpeningRow]]
    total_nanos: int
    effective_at: int


def open_wallets(work: UnitOfWork, arguments: _OpenWallets) -> dict[str, Any]:
    """Every row that was not booked before, all or none; each out of equity, never out of what is granted now (decision 0045).

    A row whose id was booked before with the same values is left alone; with other values it is refused (law 7). Raises Refused with
    every row that cannot be, or when the file does not add up to `total_nanos`.
    """
    rows = cast("list[Mapping[str, Any]]", required(arguments, "rows"))
    effective_at = instant_given(arguments, "effective_at", work.now)
    if effective_at > work.now:
        raise Refused("argument", "a wallet is opened with what is left now, so not as of a time to come")
    _refuse_other_total(rows, arguments.get("total_nanos"))
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for row in rows:
        try:
            found.append(_open(work, row, effective_at))
        except (Refused, ValueError) as error:
            problems.append(f"line {row.get('line')}, {row.get('id')}: {error}")
    if problems:
        raise Refused("openings", "\n".join(shortened(problems)))
    new = [one for one in found if one["state"] == "new"]
    return {
        "effective_at": effective_at,
        "openings": found,
        "new_count": len(new),
        "known_count": sum(1 for one in found if one["state"] == "known"),
        "empty_count": sum(1 for one in found if one["state"] == "nothing left"),
        "new_nanos": sum(one["left_nanos"] for one in new),
        "total_nanos": sum(row["left_nanos"] for row in rows),
    }


def openings(connection: Connection) -> list[dict[str, Any]]:
    """What wallets were opened with, by wallet."""
    table, wallets, grants, plans, lots = schema.openings, schema.wallets, schema.grants, schema.plans, schema.lots
    query = (
        select(
            table, wallets.c.name.label("wallet_name"), plans.c.name.label("plan_name"),
            grants.c.public_id.label("grant"), lots.c.amount_nanos, lots.c.effective_at, lots.c.expires_at,
        )
        .join(wallets, wallets.c.id == table.c.wallet_id)
        .outerjoin(grants, grants.c.id == table.c.grant_id)
        .outerjoin(plans, plans.c.id == grants.c.plan_id)
        .outerjoin(lots, lots.c.grant_id == grants.c.id)
        .order_by(wallets.c.name, table.c.id)
    )  # fmt: skip
    return [
        {
            "id": row.id,
            "wallet_name": row.wallet_name,
            "plan_name": row.plan_name,
            "opened_nanos": row.amount_nanos or 0,
            "effective_at": row.effective_at,
            "expires_at": row.expires_at,
            "granted_on": row.granted_on,
            "spent_before_nanos": row.spent_before_nanos,
            "grant": row.grant,
            "recorded_at": row.recorded_at,
        }
        for row in connection.execute(query)
    ]


def _refuse_other_total(rows: list[Mapping[str, Any]], total_nanos: int | None) -> None:
    """The file adds up to what the other system's books say, or nothing of it is booked."""
    found = sum(row["left_nanos"] for row in rows)
    if total_nanos is None or found == total_nanos:
        return
    difference = found - total_nanos
    message = (
        f"the rows add up to {text_from_nanos(found, 2)} credits, {text_from_nanos(abs(difference), 2)} "
        f"{'more' if difference > 0 else 'less'} than the total of {text_from_nanos(total_nanos, 2)}: nothing was opened"
    )
    raise Refused("total", message)


def _open(work: UnitOfWork, row: Mapping[str, Any], effective_at: Instant) -> dict[str, Any]:
    opening_id = str(required(row, "id"))
    digest = hashlib.sha256(canonical({name: row[name] for name in _SAID if row.get(name) is not None})).digest()
    told = {"id": opening_id, "to": row["to"], "plan_name": row["plan"], "left_nanos": row["left_nanos"]}
    table = schema.openings
    known = work.connection.execute(select(table).where(table.c.id == opening_id)).one_or_none()
    if known is not None:
        if known.digest != digest:
            message = "was opened before with other values; a correction is a grant, or an opening value with an id of its own"
            raise Refused("opening_differs", message)
        return {**told, "state": "known", "grant": _public_id(work.connection, known.grant_id)}
    wallet = _wallet_of(work.connection, str(row["to"]))
    plan = plan_from_row(find_plan(work.connection, str(row["plan"]), effective_at))
    if plan.effective_at > effective_at:
        raise Refused(
            "plan_not_effective", f"plan {plan.name} holds only from its own date on; open as of a later time"
        )
    expires_at = _expiry(row, wallet, plan, effective_at)
    _check_day(row, wallet, work.now)
    grant = None
    if row["left_nanos"]:
        grant = open_value(
            work,
            wallet,
            plan,
            amount_nanos=row["left_nanos"],
            effective_at=effective_at,
            vesting=_vesting(row),
            expires_at=expires_at,
        )["grant"]
    grants = schema.grants.c
    grant_id = None if grant is None else work.connection.scalar(select(grants.id).where(grants.public_id == grant))
    work.connection.execute(
        table.insert(),
        {
            "id": opening_id,
            "wallet_id": wallet.id,
            "grant_id": grant_id,
            "granted_on": row.get("granted_on"),
            "spent_before_nanos": row.get("spent_before_nanos") or 0,
            "digest": digest,
            "recorded_at": work.now,
        },
    )
    state = "nothing left" if grant is None else "new"
    return {**told, "to": wallet.name, "expires_at": expires_at, "state": state, "grant": grant}


def _wallet_of(connection: Connection, reference: str) -> Row[Any]:
    """The wallet of whom the people system numbers so, else the one that is found by name or id everywhere."""
    members, wallets = schema.members.c, schema.wallets
    holder = select(members.id).where(members.employee_id == reference)
    own = (wallets.c.holder_kind == HolderKind.MEMBER.value) & wallets.c.holder_id.in_(holder)
    found = connection.execute(select(wallets).where(own)).one_or_none()
    return find_wallet(connection, reference) if found is None else found


def _expiry(row: Mapping[str, Any], wallet: Row[Any], plan: Plan, effective_at: Instant) -> Instant | None:
    """The midnight after the last day, where the wallet is. Raises Refused for a day that is over, or one that must be said and is not."""
    said = row.get("expires_on")
    if said is None and plan.lot_lifetime is not None:
        message = f"expires_on is empty, but parts of plan {plan.name} live {period_text(plan.lot_lifetime)}: say the last day, or {NEVER}"
        raise Refused("expiry", message)
    if said is None or said == NEVER:
        return None
    expires_at = day_start(date.fromisoformat(said) + _DAY, ZoneInfo(wallet.zone))
    if expires_at <= effective_at and row["left_nanos"]:
        raise Refused("expiry", f"expires_on {said} is over: nothing can be left of it; say 0, or the right day")
    if (spendable_on := row.get("spendable_on")) is not None and spendable_on > said:
        raise Refused("expiry", f"spendable_on {spendable_on} comes after expires_on {said}")
    return expires_at


def _check_day(row: Mapping[str, Any], wallet: Row[Any], now: Instant) -> None:
    granted_on = row.get("granted_on")
    if granted_on is not None and date.fromisoformat(granted_on) > today_in(wallet.zone, now):
        raise Refused("argument", f"granted_on {granted_on} is still to come: what was not granted has nothing left")


def _vesting(row: Mapping[str, Any]) -> Vesting:
    """All at once, or on the day that the row says."""
    said = row.get("spendable_on")
    if said is None:
        return Vesting()
    return Vesting(kind=VestingKind.DATED, shares=(DatedShare(on=date.fromisoformat(said)),))


def _public_id(connection: Connection, grant_id: int | None) -> str | None:
    grants = schema.grants.c
    return None if grant_id is None else connection.scalar(select(grants.public_id).where(grants.id == grant_id))
