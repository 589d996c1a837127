"""Reclassifying a plan from a day on: what it would change, told before it is done, and the version that does it.

What was granted before keeps its classification (it is frozen on grants and lots), so the effect is on what is granted later.
"""

from datetime import date
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from tokenroll.books.consequences import CONSEQUENCES
from tokenroll.books.words import grant_title, words_of
from tokenroll.engine.calendar import day_start, month_step
from tokenroll.model.classification import Classification
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.limits import RECLASSIFIED_WALLETS_SHOWN_MAX
from tokenroll.model.plan import Plan
from tokenroll.services.finding import name_given, required
from tokenroll.services.holdings import states_by_wallet
from tokenroll.services.people import company_zone
from tokenroll.services.planning import arguments_of, create_plan, newest_version
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


class _ReclassifyPlan(TypedDict):
    name: str
    to: str
    from_on: str


def reclassify_plan(work: UnitOfWork, arguments: _ReclassifyPlan) -> dict[str, Any]:
    """The plan's next version, of the other classification from a day of the company's zone on, and what that changes.

    Raises Refused for a day that is over or lies before the newest version's own, and for a tool that would be pay (law 12).
    """
    name = name_given(arguments)
    newest = newest_version(work.connection, name)
    if newest is None:
        message = f"there is no plan {name!r}: `tokenroll plan list` shows them"
        raise Refused("not_found", message)
    to = _classification(required(arguments, "to"))
    if newest.classification is to:
        message = f"plan {name} is {to} already since version {newest.version}"
        raise Refused("same", message)
    zone = ZoneInfo(company_zone(work.connection))
    from_at = _from(required(arguments, "from_on"), zone)
    _check_day(newest, from_at, work.now, zone)
    effect = _effect(work.connection, newest, to, from_at, work.now)
    made = create_plan(
        work, {**arguments_of(newest), "classification": to.value, "effective_at": from_at}
    )  # refuses what the other classification cannot be
    return {
        "plan": made["plan"],
        "name": name,
        "version": made["version"],
        "was": newest.classification.value,
        "becomes": to.value,
        "effective_at": from_at,
        **effect,
        "cautions": made["cautions"],
    }


def _classification(text: str) -> Classification:
    if text not in [one.value for one in Classification]:
        message = f"a plan is reclassified to one of {', '.join(Classification)}, not {text!r}"
        raise Refused("argument", message)
    return Classification(text)


def _from(text: Any, zone: ZoneInfo) -> Instant:
    try:
        return day_start(date.fromisoformat(str(text)), zone)
    except ValueError as error:
        message = f"a reclassification begins on a date such as 2027-01-01, not {text!r}"
        raise Refused("argument", message) from error


def _check_day(newest: Plan, from_at: Instant, now: Instant, zone: ZoneInfo) -> None:
    if from_at <= now:
        message = (
            f"{_day(from_at, zone)} has begun already, and what was granted since keeps its classification: "
            f"choose a day after {_day(now, zone)}"
        )
        raise Refused("past", message)
    if from_at <= newest.effective_at:
        message = f"version {newest.version} of plan {newest.name} holds from {_day(newest.effective_at, zone)} on: choose a later day"
        raise Refused("order", message)


def _day(at: Instant, zone: ZoneInfo) -> date:
    return datetime_from_instant(at).astimezone(zone).date()


def _effect(connection: Connection, plan: Plan, to: Classification, from_at: Instant, now: Instant) -> dict[str, Any]:
    wallets = _wallets(connection, plan.name, from_at)
    granted = _granted_in_a_year(connection, plan.name, now)
    return {
        "wallets": wallets[:RECLASSIFIED_WALLETS_SHOWN_MAX],
        "wallet_count": len(wallets),
        "vested_left_nanos": sum(one["vested_left_nanos"] for one in wallets),
        "unvested_nanos": sum(one["unvested_nanos"] for one in wallets),
        "granted_in_a_year_nanos": granted,
        "changes": _changes(plan, to),
    }


def _wallets(connection: Connection, name: str, from_at: Instant) -> list[dict[str, Any]]:
    """Who holds credits of this plan that stay as they are: what is left of vested ones on that day, and what is not vested by then."""
    grants, plans, wallets = schema.grants, schema.plans, schema.wallets
    rows = connection.execute(
        select(grants.c.id, grants.c.wallet_id, grants.c.classification, wallets.c.name)
        .join(plans, plans.c.id == grants.c.plan_id)
        .join(wallets, wallets.c.id == grants.c.wallet_id)
        .where(plans.c.name == name)
    ).all()
    of_plan = {row.id: row for row in rows}
    found: dict[int, dict[str, Any]] = {}
    for wallet_id, states in states_by_wallet(connection, sorted({row.wallet_id for row in rows})).items():
        for state in states:
            row = of_plan.get(state.lot.grant_id)
            if row is None:
                continue
            one = found.setdefault(
                wallet_id,
                {"name": row.name, "vested_left_nanos": 0, "unvested_nanos": 0, "classifications": set()},
            )
            one["classifications"].add(row.classification)
            if state.lot.effective_at > from_at:
                one["unvested_nanos"] += state.remainder_nanos
            elif state.lot.expires_at is None or state.lot.expires_at > from_at:
                one["vested_left_nanos"] += state.remainder_nanos
    for one in found.values():
        one["keeps"] = " and ".join(sorted(one.pop("classifications")))
    return sorted(found.values(), key=lambda one: (-one["vested_left_nanos"] - one["unvested_nanos"], one["name"]))


def _granted_in_a_year(connection: Connection, name: str, now: Instant) -> int:
    """What was granted under the plan in the year before now: as much would be of the other classification in a year like it."""
    grants, plans = schema.grants, schema.plans
    since = month_step(now, -12, ZoneInfo("UTC"))
    amounts = connection.scalars(
        select(grants.c.amount_nanos)
        .join(plans, plans.c.id == grants.c.plan_id)
        .where((plans.c.name == name) & (grants.c.effective_at > since) & (grants.c.effective_at <= now))
    )
    return sum(amounts)


def _changes(plan: Plan, to: Classification) -> list[dict[str, str]]:
    """What people read and what each desk does, before and after."""
    was, becomes = words_of(plan.classification), words_of(to)
    wording = plan.terms.wording
    rows = [
        ("the grant", grant_title(plan.classification, plan.kind, wording), grant_title(to, plan.kind, wording)),
        ("the paper", was.paper, becomes.paper),
        ("becoming spendable", was.vests, becomes.vests),
        ("not yet spendable", was.unvested, becomes.unvested),
        *((desk, sentence, CONSEQUENCES[to][desk]) for desk, sentence in CONSEQUENCES[plan.classification].items()),
    ]
    return [{"what": what, "was": before, "becomes": after} for what, before, after in rows if before != after]
