"""Granting: an award becomes lots with their dates and balanced entries, and running gateways are told (DESIGN §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Required, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.books.words import grant_title, grant_why
from tokenroll.engine.calendar import day_start
from tokenroll.engine.posting import grant_entries
from tokenroll.engine.vesting import awaited_parts, vest
from tokenroll.model.grant import Grant, GrantKind
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot
from tokenroll.model.plan import Plan
from tokenroll.model.plan_terms import Proration
from tokenroll.model.vesting import Period, Vesting, VestingKind
from tokenroll.model.wallet import HolderKind
from tokenroll.services.award_sizes import sized
from tokenroll.services.finding import find_plan, find_wallet, instant_given, required
from tokenroll.services.planning import newest_plan_of_wallet, plan_from_row, terms_of
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


class CreateGrant(TypedDict, total=False):
    """What `grant.create` takes."""

    to: Required[str]
    plan: Required[str]
    amount_nanos: int
    effective_at: int
    base_pay_nanos: int
    level: str
    score_nanos: int
    working_time_millionths: int


def create_grant(work: UnitOfWork, arguments: CreateGrant) -> dict[str, Any]:
    """What the plan says, from `effective_at` (default: now) on, of the amount that its formula gives unless one is given."""
    found = prepared(work.connection, arguments, work.now)
    return award(
        work,
        found.wallet,
        found.plan,
        kind=found.plan.kind,
        amount_nanos=found.amount_nanos,
        how=found.how,
        effective_at=found.effective_at,
        vesting=found.plan.vesting,
        lifetime=found.plan.lot_lifetime,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a grant would be: to whom, under which version, how much and from when on."""

    wallet: Row[Any]
    plan: Plan
    amount_nanos: int
    how: str
    effective_at: Instant

    @property
    def lot_count(self) -> int:
        """Into how many tranches it would be cut. Raises ValueError for what no grant can be."""
        grant = Grant(
            id=1,
            public_id="prepared",
            wallet_id=self.wallet.id,
            plan_id=self.plan.id,
            kind=self.plan.kind,
            classification=self.plan.classification,
            amount_nanos=self.amount_nanos,
            effective_at=self.effective_at,
            recorded_at=self.effective_at,
            vesting=self.plan.vesting,
            lot_lifetime=self.plan.lot_lifetime,
        )
        return len(vest(grant, ZoneInfo(self.wallet.zone), 1))


def prepared(connection: Connection, arguments: Mapping[str, Any], now: Instant) -> Prepared:
    """The grant that these arguments ask for, before it is made. Raises Refused for one that cannot be."""
    wallet = find_wallet(connection, required(arguments, "to"))
    effective_at = instant_given(arguments, "effective_at", now)
    plan = plan_from_row(find_plan(connection, required(arguments, "plan"), effective_at))
    if plan.effective_at > effective_at:
        message = f"plan {plan.name} holds only from its own date on; grant with a later --effective-at"
        raise Refused("plan_not_effective", message)
    if plan.terms.proration is Proration.NONE:  # else what is due is what was stayed of the cycle
        _refuse_after_leaving(connection, wallet, effective_at)
    found = sized(connection, plan, wallet, arguments, effective_at)
    return Prepared(wallet=wallet, plan=plan, amount_nanos=found.amount_nanos, how=found.how, effective_at=effective_at)


def _refuse_after_leaving(connection: Connection, wallet: Row[Any], at: Instant) -> None:
    """Nothing up to a member's last day. Raises Refused after it: nobody could use it, and nothing would end it."""
    if wallet.holder_kind != HolderKind.MEMBER.value:
        return
    members = schema.members.c
    left_on = connection.scalar(select(members.left_on).where(members.id == wallet.holder_id))
    if left_on is not None and day_start(date.fromisoformat(left_on) + timedelta(days=1), ZoneInfo(wallet.zone)) <= at:
        message = f"{wallet.name} left on {left_on}: nothing is granted from then on"
        raise Refused("left", message)


class _TopUp(TypedDict, total=False):
    to: Required[str]
    amount_nanos: Required[int]
    reason: str


def top_up(work: UnitOfWork, arguments: _TopUp) -> dict[str, Any]:
    """Credits spendable at once, under the newest plan behind the wallet: its classification, lifetime and place in draw order."""
    wallet = find_wallet(work.connection, required(arguments, "to"))
    _refuse_after_leaving(work.connection, wallet, work.now)
    plan = newest_plan_of_wallet(work.connection, wallet.id)
    if plan is None:
        message = f"{wallet.name} was never granted anything, so nothing says what a top-up is: `tokenroll grant create` first"
        raise Refused("no_plan", message)
    return award(
        work,
        wallet,
        plan,
        kind=GrantKind.TOP_UP,
        amount_nanos=required(arguments, "amount_nanos"),
        effective_at=work.now,
        vesting=Vesting(),
        lifetime=plan.lot_lifetime,
        reason=arguments.get("reason") or "",
    )


def open_value(
    work: UnitOfWork,
    wallet: Row[Any],
    plan: Plan,
    *,
    amount_nanos: int,
    effective_at: Instant,
    vesting: Vesting,
    expires_at: Instant | None,
) -> dict[str, Any]:
    """What was left of an award that was made elsewhere, as an adjustment out of equity that expires when that award does."""
    return award(
        work,
        wallet,
        plan,
        kind=GrantKind.ADJUSTMENT,
        amount_nanos=amount_nanos,
        effective_at=effective_at,
        vesting=vesting,
        lifetime=None,
        opens_until=(expires_at,),
    )


def award(
    work: UnitOfWork,
    wallet: Row[Any],
    plan: Plan,
    *,
    kind: GrantKind,
    amount_nanos: int,
    effective_at: int,
    vesting: Vesting,
    lifetime: Period | None,
    reason: str = "",
    how: str = "",
    opens_until: tuple[Instant | None] | None = None,
) -> dict[str, Any]:
    """A grant of exactly this, with its lots and entries, and what a door shows of it."""
    grant = Grant(
        id=work.new_id("grants"),
        public_id=work.public_id("grant"),
        wallet_id=wallet.id,
        plan_id=plan.id,
        kind=kind,
        classification=plan.classification,
        amount_nanos=amount_nanos,
        effective_at=effective_at,
        recorded_at=work.now,
        vesting=vesting,
        lot_lifetime=lifetime,
        rollover_max_nanos=plan.terms.rollover.max_nanos if lifetime is not None else 0,
        priority=plan.priority,
    )
    lots = vest(grant, ZoneInfo(wallet.zone), work.new_id("lots"))
    if opens_until is not None:
        lots = tuple(replace(lot, expires_at=opens_until[0]) for lot in lots)
    work.connection.execute(schema.grants.insert().values(**_row_of(grant)))
    work.fact(schema.grants, grant.id)
    work.lots_added(wallet.id, lots)
    entry_ids = [work.public_id("entry") for _ in range(len(lots) + 1)]
    for entry in grant_entries(grant, lots, entry_ids, opens=opens_until is not None):
        work.append(entry)
    # The newest plan behind a wallet decides how it is enforced, so a grant may change that too.
    work.wallet_changed(wallet.id)
    return {
        "grant": grant.public_id,
        "wallet": wallet.public_id,
        "wallet_name": wallet.name,
        "plan_name": plan.name,
        "words": grant_title(grant.classification, kind, plan.terms.wording),
        "why": grant_why(grant.classification, plan.terms.wording),
        "classification": grant.classification.value,
        "amount_nanos": amount_nanos,
        **({"how": how} if how else {}),
        "effective_at": effective_at,
        "reason": reason,
        "lots": _told_lots(grant, lots),
    }


def _told_lots(grant: Grant, lots: Sequence[Lot]) -> list[dict[str, Any]]:
    """Tranches with their dates; those that wait for an event have none, and name it."""
    if grant.vesting.kind is VestingKind.EVENT:
        return [
            {"amount_nanos": nanos, "effective_at": None, "expires_at": None, "waits_for": event}
            for event, nanos in awaited_parts(grant)
        ]
    return [
        {"amount_nanos": lot.amount_nanos, "effective_at": lot.effective_at, "expires_at": lot.expires_at}
        for lot in lots
    ]


def _row_of(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "public_id": grant.public_id,
        "wallet_id": grant.wallet_id,
        "plan_id": grant.plan_id,
        "kind": grant.kind.value,
        "classification": grant.classification.value,
        "amount_nanos": grant.amount_nanos,
        "effective_at": grant.effective_at,
        "recorded_at": grant.recorded_at,
        **terms_of(grant.vesting, grant.lot_lifetime),
        "rollover_max_nanos": grant.rollover_max_nanos or None,
        "priority": grant.priority,
    }
