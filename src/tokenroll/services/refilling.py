"""Refilling: standing top-ups, approved once within an approver's limit, and granted by the ledger's own housekeeping.

Bounded four ways: an amount below which they come, a most for each pay cycle, a cool-off between two, and an end. While a gateway has
not applied the last one, the next waits: what is left is not known yet.
"""

from datetime import time, timedelta
from typing import Any, Final, Required, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.calendar import day_start
from tokenroll.engine.refilling import due_nanos
from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.grant import GrantKind
from tokenroll.model.instant import Instant
from tokenroll.model.refill import Refill
from tokenroll.model.vesting import Vesting
from tokenroll.model.wallet import HolderKind
from tokenroll.services import granting
from tokenroll.services.approving import left_of_month_nanos, power_of, staying
from tokenroll.services.arguments import NoArguments
from tokenroll.services.finding import date_given, find_wallet, required
from tokenroll.services.holdings import amounts_of
from tokenroll.services.planning import newest_plan_of_wallet
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook

COOL_OFF_SECONDS_DEFAULT: Final = 3_600


class _CreateRefill(TypedDict, total=False):
    to: Required[str]
    by: Required[str]
    below_nanos: Required[int]
    amount_nanos: Required[int]
    cycle_nanos_max: Required[int]
    last_on: Required[str]
    cool_off_seconds: int
    from_time: str
    until_time: str


def create_refill(work: UnitOfWork, arguments: _CreateRefill) -> dict[str, Any]:
    """A standing top-up of a member's wallet, approved by who may approve its most for a cycle at once. Raises Refused otherwise."""
    connection = work.connection
    wallet = find_wallet(connection, required(arguments, "to"))
    if wallet.holder_kind != HolderKind.MEMBER.value:
        message = f"{wallet.name} is a pool: refills are for members; grant a pool what it needs"
        raise Refused("pool", message)
    members = schema.members
    member = connection.execute(select(members).where(members.c.id == wallet.holder_id)).one()
    decider = staying(connection, required(arguments, "by"))
    zone = ZoneInfo(wallet.zone)
    last_on = date_given(required(arguments, "last_on"))
    refill = Refill(
        id=work.new_id("refills"),
        public_id=work.public_id("refill"),
        wallet_id=wallet.id,
        below_nanos=required(arguments, "below_nanos"),
        amount_nanos=required(arguments, "amount_nanos"),
        cycle_nanos_max=amount_nanos_checked(required(arguments, "cycle_nanos_max"), "a cycle's most"),
        cool_off_seconds=arguments.get("cool_off_seconds", COOL_OFF_SECONDS_DEFAULT),
        effective_at=work.now,
        expires_at=day_start(last_on + timedelta(days=1), zone),
        from_time=_time(arguments.get("from_time")),
        until_time=_time(arguments.get("until_time")),
    )
    if newest_plan_of_wallet(connection, wallet.id) is None:
        message = f"{wallet.name} was never granted anything, so nothing says what a refill is: `tokenroll grant create` first"
        raise Refused("no_plan", message)
    power = power_of(connection, decider, member, refill.cycle_nanos_max, work.now)
    if power.rule.member_id != decider.id:
        message = (
            f"{decider.name} stands in for {power.name} for a while, and a refill goes on: {power.name} approves it"
        )
        raise Refused("stand_in", message)
    connection.execute(
        schema.refills.insert().values(
            id=refill.id, public_id=refill.public_id, wallet_id=wallet.id, below_nanos=refill.below_nanos,
            amount_nanos=refill.amount_nanos, cycle_nanos_max=refill.cycle_nanos_max, cool_off_seconds=refill.cool_off_seconds,
            effective_at=refill.effective_at, expires_at=refill.expires_at, from_time=_text(refill.from_time),
            until_time=_text(refill.until_time), approved_by=decider.id, approver_id=power.rule.id, recorded_at=work.now,
        )
    )  # fmt: skip
    return {**_told(refill, wallet.name), "approved_by": decider.name}


class _RemoveRefill(TypedDict):
    refill: str


def remove_refill(work: UnitOfWork, arguments: _RemoveRefill) -> dict[str, Any]:
    """The refill comes no more; what it brought stays."""
    refills = schema.refills
    reference = str(required(arguments, "refill")).strip()
    where = (refills.c.public_id == reference) & refills.c.removed_at.is_(None)
    if not work.connection.execute(refills.update().where(where).values(removed_at=work.now)).rowcount:
        message = f"there is no refill {reference!r}: `tokenroll refill list` shows them"
        raise Refused("not_found", message)
    return {"refill": reference}


def run_refills(work: UnitOfWork, _arguments: NoArguments) -> dict[str, Any]:
    """Every refill that is due, granted: its plan's classification and lifetime, at once spendable."""
    granted = []
    for refill, wallet, nanos in due(work.connection, work.now):
        plan = newest_plan_of_wallet(work.connection, wallet.id)
        assert plan is not None  # a refill is only made for a wallet with one
        made = granting.award(
            work, wallet, plan, kind=GrantKind.TOP_UP, amount_nanos=nanos, effective_at=work.now, vesting=Vesting(),
            lifetime=plan.lot_lifetime, reason=f"refill {refill.public_id}",
        )  # fmt: skip
        grants = schema.grants.c
        grant_id = work.connection.scalar(select(grants.id).where(grants.public_id == made["grant"]))
        work.connection.execute(
            schema.refill_grants.insert().values(
                grant_id=grant_id, refill_id=refill.id, granted_at=work.now, nanos=nanos
            )
        )
        granted.append({"refill": refill.public_id, "wallet_name": wallet.name, "amount_nanos": nanos})
    return {"granted": granted}


def due(connection: Connection, now: Instant) -> list[tuple[Refill, Row[Any], int]]:
    """The refills that are due, with the wallet and how much."""
    found = []
    book = CycleBook(connection)
    coming: dict[int, int] = {}  # by wallet: one refill of it sees what another brings at the same time
    given: dict[int, int] = {}  # by the rule that it was approved on
    for row in _living(connection, now):
        refill = refill_from_row(row)
        wallet = connection.execute(select(schema.wallets).where(schema.wallets.c.id == row.wallet_id)).one()
        amounts, _ = amounts_of(connection, row.wallet_id, now)
        last_at, cycle_nanos = _so_far(connection, refill.id, book.span_at(wallet.zone, now).start_at)
        nanos = due_nanos(
            refill,
            left_nanos=amounts["left_nanos"] + coming.get(row.wallet_id, 0),
            cycle_nanos=cycle_nanos,
            last_at=last_at,
            at=now,
            zone=ZoneInfo(wallet.zone),
        )
        if nanos:
            month_nanos = left_of_month_nanos(connection, row.approver_id, now)
            if month_nanos is not None:
                nanos = min(nanos, month_nanos - given.get(row.approver_id, 0))
        if nanos > 0:
            coming[row.wallet_id] = coming.get(row.wallet_id, 0) + nanos
            given[row.approver_id] = given.get(row.approver_id, 0) + nanos
            found.append((refill, wallet, nanos))
    return found


def refills_of(connection: Connection, now: Instant) -> list[dict[str, Any]]:
    """The refills that may come, and what each brought in this cycle."""
    members = schema.members.c
    book = CycleBook(connection)
    found = []
    for row in _living(connection, now):
        wallet = connection.execute(select(schema.wallets).where(schema.wallets.c.id == row.wallet_id)).one()
        last_at, cycle_nanos = _so_far(connection, row.id, book.span_at(wallet.zone, now).start_at)
        found.append(
            {
                **_told(refill_from_row(row), wallet.name),
                "approved_by": connection.scalar(select(members.name).where(members.id == row.approved_by)),
                "this_cycle_nanos": cycle_nanos,
                "last_at": last_at,
            }
        )
    return found


def refill_from_row(row: Row[Any]) -> Refill:
    """The noun of a row of `refills`."""
    return Refill(
        id=row.id,
        public_id=row.public_id,
        wallet_id=row.wallet_id,
        below_nanos=row.below_nanos,
        amount_nanos=row.amount_nanos,
        cycle_nanos_max=row.cycle_nanos_max,
        cool_off_seconds=row.cool_off_seconds,
        effective_at=row.effective_at,
        expires_at=row.expires_at,
        from_time=_time(row.from_time),
        until_time=_time(row.until_time),
    )


def _living(connection: Connection, now: Instant) -> list[Row[Any]]:
    """Refills that are neither removed nor over, of members who have not left."""
    refills, wallets, members = schema.refills, schema.wallets.c, schema.members.c
    query = (
        select(refills)
        .join(schema.wallets, wallets.id == refills.c.wallet_id)
        .join(schema.members, members.id == wallets.holder_id)
        .where(refills.c.removed_at.is_(None), refills.c.expires_at > now, members.left_on.is_(None))
        .order_by(refills.c.id)
    )
    return list(connection.execute(query).all())


def _so_far(connection: Connection, refill_id: int, since: Instant) -> tuple[Instant | None, int]:
    """When it last came, and what it brought since the cycle's beginning."""
    grants = schema.refill_grants.c
    of_it = grants.refill_id == refill_id
    last_at = connection.scalar(select(func.max(grants.granted_at)).where(of_it))
    brought = connection.scalar(
        select(func.coalesce(func.sum(grants.nanos), 0)).where(of_it, grants.granted_at >= since)
    )
    return last_at, int(brought or 0)


def _told(refill: Refill, wallet_name: str) -> dict[str, Any]:
    return {
        "refill": refill.public_id,
        "wallet_name": wallet_name,
        "below_nanos": refill.below_nanos,
        "amount_nanos": refill.amount_nanos,
        "cycle_max_nanos": refill.cycle_nanos_max,
        "cool_off_seconds": refill.cool_off_seconds,
        "hours": "any" if refill.from_time is None else f"{_text(refill.from_time)}-{_text(refill.until_time)}",
        "expires_at": refill.expires_at,
    }


def _time(text: str | None) -> time | None:
    if not text:
        return None
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a time of the day such as 20:00"
        raise Refused("argument", message) from error


def _text(clock: time | None) -> str | None:
    return None if clock is None else clock.isoformat("minutes")
