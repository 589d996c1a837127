"""Plans: a name, and versions of it that hold from their dates on."""

from collections.abc import Mapping
from typing import Any, Required, TypedDict, cast

from sqlalchemy import Connection, Row, select

from tokenroll.engine.classifying import cautions, objections
from tokenroll.model.classification import Classification
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.grant import Grant, GrantKind
from tokenroll.model.instant import Instant
from tokenroll.model.limits import OUTPUT_CAP_DEFAULT_TOKENS
from tokenroll.model.plan import Plan
from tokenroll.model.vesting import Period, PeriodUnit, Vesting
from tokenroll.services.finding import instant_given, name_given, required
from tokenroll.services.plan_references import unknown_references
from tokenroll.services.plan_terms import given_from_terms, terms_from_given, terms_from_text, text_from_terms
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.services.vesting_terms import (
    columns_of,
    period_from_text,
    period_text,
    schedule_text,
    terms_from_vesting,
    vesting_from_row,
    vesting_from_terms,
)
from tokenroll.store import schema


class CreatePlan(TypedDict, total=False):
    """What `plan.create` takes."""

    name: Required[str]
    kind: Required[str]
    classification: Required[str]
    amount_nanos: Required[int]
    effective_at: int
    vesting: dict[str, Any]
    lifetime: str
    priority: int
    enforcement: str
    cap_policy: str
    output_cap_tokens: int
    overage_nanos_max: int
    terms: dict[str, Any]


def create_plan(work: UnitOfWork, arguments: CreatePlan) -> dict[str, Any]:
    """A plan's first or next version. Old grants keep what they were given; wallets under it are enforced by the new version.

    Raises Refused for a `tool` plan that would be pay (law 12), and for departments and pools that are not there.
    """
    plans, grants = schema.plans, schema.grants
    name = name_given(arguments)
    newest = newest_version(work.connection, name)
    plan = plan_given(
        arguments,
        id_=work.new_id("plans"),
        public_id=work.public_id("plan"),
        version=1 if newest is None else newest.version + 1,
        now=work.now,
    )
    if unknown := unknown_references(work.connection, plan):
        raise Refused("unknown", "\n".join(f"plan {name}: {one}" for one in unknown))
    work.connection.execute(plans.insert().values(**_row_of(plan), recorded_at=work.now))
    under_it = select(grants.c.wallet_id).join(plans, plans.c.id == grants.c.plan_id).where(plans.c.name == name)
    for wallet_id in work.connection.scalars(under_it.distinct()).all():
        work.wallet_changed(wallet_id)
    return {
        "plan": plan.public_id,
        "name": name,
        "version": plan.version,
        "kind": plan.kind.value,
        "classification": plan.classification.value,
        "amount_nanos": plan.amount_nanos,
        "effective_at": plan.effective_at,
        "schedule": schedule_text(plan.vesting, plan.lot_lifetime),
        "enforcement": plan.enforcement.value,
        "cautions": list(cautions(plan)),
    }


def plan_given(arguments: Mapping[str, Any], *, id_: int, public_id: str, version: int, now: Instant) -> Plan:
    """The version that arguments describe. Raises Refused or ValueError for what no plan may be."""
    plan = Plan(
        id=id_,
        public_id=public_id,
        name=name_given(arguments),
        version=version,
        kind=GrantKind(required(arguments, "kind")),
        classification=Classification(required(arguments, "classification")),
        amount_nanos=required(arguments, "amount_nanos"),
        effective_at=instant_given(arguments, "effective_at", now),
        vesting=vesting_from_terms(arguments.get("vesting")),
        lot_lifetime=lifetime_from_text(arguments.get("lifetime")),
        priority=arguments.get("priority", 100),
        enforcement=Enforcement(arguments.get("enforcement") or Enforcement.ENFORCE),
        cap_policy=CapPolicy(arguments.get("cap_policy") or CapPolicy.DENY),
        output_cap_tokens=arguments.get("output_cap_tokens") or OUTPUT_CAP_DEFAULT_TOKENS,
        overage_nanos_max=arguments.get("overage_nanos_max") or 0,
        terms=terms_from_given(arguments.get("terms")),
    )
    if plan.terms.rollover.min_nanos:
        message = "rollover.min: what was used does not come back when a cycle ends; say rollover.max, and let a top-up see to a least amount"
        raise Refused("argument", message)
    if plan.terms.rollover.max_nanos and plan.lot_lifetime is None:
        message = "rollover.max needs a lifetime: what never expires has no end to roll over"
        raise Refused("argument", message)
    if against := objections(plan):
        raise Refused("classification", "\n".join(against))
    return plan


def arguments_of(plan: Plan) -> CreatePlan:
    """What makes this version again, but for its date; what is as usual is left out."""
    arguments: dict[str, Any] = {
        "name": plan.name,
        "kind": plan.kind.value,
        "classification": plan.classification.value,
        "amount_nanos": plan.amount_nanos,
    }
    if plan.vesting != Vesting():
        arguments["vesting"] = terms_from_vesting(plan.vesting)
    if plan.lot_lifetime is not None:
        arguments["lifetime"] = period_text(plan.lot_lifetime)
    others: tuple[tuple[str, Any, Any], ...] = (
        ("priority", plan.priority, 100),
        ("enforcement", plan.enforcement.value, Enforcement.ENFORCE.value),
        ("cap_policy", plan.cap_policy.value, CapPolicy.DENY.value),
        ("output_cap_tokens", plan.output_cap_tokens, OUTPUT_CAP_DEFAULT_TOKENS),
        ("overage_nanos_max", plan.overage_nanos_max, 0),
        ("terms", given_from_terms(plan.terms), {}),
    )
    return cast("CreatePlan", arguments | {name: value for name, value, usual in others if value != usual})


def newest_version(connection: Connection, name: str) -> Plan | None:
    """The plan's newest version, also when it holds from a later day on only."""
    plans = schema.plans
    query = select(plans).where(plans.c.name == name).order_by(plans.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else plan_from_row(row)


def plan_version(connection: Connection, plan_id: int) -> Plan:
    """The version with this inside id: what `plan_id` of a grant or an offer names, with the terms that bind it."""
    plans = schema.plans
    return plan_from_row(connection.execute(select(plans).where(plans.c.id == plan_id)).one())


def plan_from_row(row: Row[Any]) -> Plan:
    """The noun of a row."""
    return Plan(
        id=row.id,
        public_id=row.public_id,
        name=row.name,
        version=row.version,
        kind=GrantKind(row.kind),
        classification=Classification(row.classification),
        amount_nanos=row.amount_nanos,
        effective_at=row.effective_at,
        vesting=vesting_from_row(row),
        lot_lifetime=lifetime_from_row(row),
        priority=row.priority,
        enforcement=Enforcement(row.enforcement),
        cap_policy=CapPolicy(row.cap_policy),
        output_cap_tokens=row.output_cap_tokens,
        overage_nanos_max=row.overage_nanos_max,
        terms=terms_from_text(row.terms),
    )


def plan_of_grant(connection: Connection, grant: Row[Any]) -> Plan:
    """The version under which a grant was made: its terms are the grant's for good."""
    plans = schema.plans
    return plan_from_row(connection.execute(select(plans).where(plans.c.id == grant.plan_id)).one())


def grant_from_row(row: Row[Any]) -> Grant:
    """The noun of a row of `grants`."""
    return Grant(
        id=row.id,
        public_id=row.public_id,
        wallet_id=row.wallet_id,
        plan_id=row.plan_id,
        kind=GrantKind(row.kind),
        classification=Classification(row.classification),
        amount_nanos=row.amount_nanos,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        vesting=vesting_from_row(row),
        lot_lifetime=lifetime_from_row(row),
        rollover_max_nanos=row.rollover_max_nanos or 0,
        priority=row.priority,
    )


def newest_plan_of_wallet(connection: Connection, wallet_id: int) -> Plan | None:
    """The plan behind the wallet's newest grant; None for a wallet that was never granted anything."""
    plans, grants = schema.plans, schema.grants
    row = connection.execute(
        select(plans)
        .join(grants, grants.c.plan_id == plans.c.id)
        .where(grants.c.wallet_id == wallet_id)
        .order_by(grants.c.recorded_at.desc(), grants.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else plan_from_row(row)


def lifetime_from_row(row: Row[Any]) -> Period | None:
    """The lifetime of a plan's or grant's row."""
    return None if row.lifetime_count is None else Period(count=row.lifetime_count, unit=PeriodUnit(row.lifetime_unit))


def terms_of(vesting: Vesting, lifetime: Period | None) -> dict[str, Any]:
    """The columns of a schedule and a lifetime, the same for plans and grants."""
    return {
        **columns_of(vesting),
        "lifetime_count": None if lifetime is None else lifetime.count,
        "lifetime_unit": None if lifetime is None else lifetime.unit.value,
    }


def lifetime_from_text(text: str | None) -> Period | None:
    """`90d` or `12m`; nothing is for ever. Raises Refused."""
    return period_from_text(text, "lifetime") if text else None


def _row_of(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "public_id": plan.public_id,
        "name": plan.name,
        "version": plan.version,
        "kind": plan.kind.value,
        "classification": plan.classification.value,
        "amount_nanos": plan.amount_nanos,
        "effective_at": plan.effective_at,
        **terms_of(plan.vesting, plan.lot_lifetime),
        "priority": plan.priority,
        "enforcement": plan.enforcement.value,
        "cap_policy": plan.cap_policy.value,
        "output_cap_tokens": plan.output_cap_tokens,
        "overage_nanos_max": plan.overage_nanos_max,
        "terms": text_from_terms(plan.terms),
    }
