"""How much a grant is and whether somebody may have it: a plan's rules asked of a member as they are on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.calendar import month_cycle_at
from tokenroll.engine.eligibility import reasons_against
from tokenroll.engine.prorating import days_employed, part_time, prorate
from tokenroll.engine.sizing import SizeFacts, size
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.eligibility import Eligibility, MemberFacts
from tokenroll.model.formula import FormulaKind
from tokenroll.model.grant import GrantKind
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.member import FULL_TIME_MILLIONTHS
from tokenroll.model.plan import Plan
from tokenroll.model.plan_terms import Proration
from tokenroll.model.wallet import HolderKind
from tokenroll.services.refusal import Refused
from tokenroll.store import schema

GIVEN: Final = ("base_pay_nanos", "level", "score_nanos", "working_time_millionths")
"""What may come with a grant, in place of an amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """An amount, and how it was found in words: empty where it is the plan's own."""

    amount_nanos: int
    how: str = ""


def sized(
    connection: Connection, plan: Plan, wallet: Row[Any], given: Mapping[str, Any], effective_at: Instant
) -> Sized:
    """What the plan gives the holder of a wallet. Raises Refused for who may not have it, and for a size that cannot be found."""
    member = _member(connection, wallet)
    if member is not None:
        refuse_ineligible(connection, plan, member)
    amount_nanos = given.get("amount_nanos")
    if amount_nanos is not None:
        beside = [name for name in GIVEN if given.get(name) is not None]
        if beside:
            message = (
                f"an amount is given outright, so {beside[0].removesuffix('_nanos').removesuffix('_millionths').replace('_', ' ')} "
                "would change nothing: leave one of them out"
            )
            raise Refused("argument", message)
        return Sized(amount_nanos=amount_nanos)
    return size_for(plan, member, wallet.zone, given, effective_at)


def size_for(plan: Plan, member: Row[Any] | None, zone: str, given: Mapping[str, Any], effective_at: Instant) -> Sized:
    """What the plan's formula and proration give, whoever may have it. Raises Refused for a size that cannot be found."""
    try:
        return _prorated(plan, member, zone, given, effective_at, _whole(plan, member, given))
    except ValueError as error:
        raise Refused("amount", str(error)) from error


def departments_above(connection: Connection) -> dict[int, tuple[str, ...]]:
    """The name of each department before the names of those above it, by its id."""
    rows = {row.id: row for row in connection.execute(select(schema.departments))}
    found: dict[int, tuple[str, ...]] = {}
    for department_id in rows:
        names: list[str] = []
        above: int | None = department_id
        while above is not None and rows[above].name not in names:
            names.append(rows[above].name)
            above = rows[above].parent_id
        found[department_id] = tuple(names)
    return found


def member_facts(member: Row[Any], departments: Mapping[int, tuple[str, ...]]) -> MemberFacts:
    """What eligibility asks of a member."""
    known = member._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    return MemberFacts(
        departments=departments[member.department_id],
        level=known.get("level"),
        location=known.get("location"),
        employment_type=known.get("employment_type"),
        hired_on=_date(member.hired_on),
    )


def refuse_ineligible(connection: Connection, plan: Plan, member: Row[Any]) -> None:
    """Nothing, if the member may have the plan. Raises Refused with every line that does not fit."""
    if plan.terms.eligibility == Eligibility():
        return
    facts = member_facts(member, departments_above(connection))
    against = reasons_against(plan.terms.eligibility, facts, member.name)
    if against:
        message = (
            f"{member.name} may not have plan {plan.name}: {'; '.join(against)}; "
            f"choose another plan, or change the eligibility of this one (`tokenroll plan show '{plan.name}'`)"
        )
        raise Refused("not_eligible", message)


def _whole(plan: Plan, member: Row[Any] | None, given: Mapping[str, Any]) -> Sized:
    formula = plan.terms.formula
    level = given.get("level")
    facts = SizeFacts(
        level=level or (None if member is None else member._mapping.get("level")),  # noqa: SLF001 - as above
        is_level_given=level is not None,
        base_pay_nanos=given.get("base_pay_nanos"),
        score_nanos=given.get("score_nanos"),
    )
    amount_nanos = size(formula, plan.amount_nanos, facts)
    how = ""
    if formula.kind is FormulaKind.PERCENT_OF_BASE:
        how = f"{text_from_nanos(formula.percent_nanos, 0)} % of {text_from_nanos(facts.base_pay_nanos or 0, 0)}"
    elif formula.kind is FormulaKind.PER_LEVEL:
        how = f"level {facts.level}"
    elif formula.kind is FormulaKind.PER_OUTCOME:
        how = f"{text_from_nanos(plan.amount_nanos, 0)} × {text_from_nanos(facts.score_nanos or 0, 0)}"
    return Sized(amount_nanos=amount_nanos, how=how)


def _prorated(
    plan: Plan, member: Row[Any] | None, zone_name: str, given: Mapping[str, Any], effective_at: Instant, whole: Sized
) -> Sized:
    """A stipend of a plan that prorates by day: the days employed in the month of its beginning, and the part of full time."""
    working_time = given.get("working_time_millionths")
    if plan.kind is not GrantKind.STIPEND or plan.terms.proration is Proration.NONE or member is None:
        if working_time is not None:
            raise ValueError(f"plan {plan.name} does not prorate, so working time would change nothing: leave it out")
        return whole
    zone = ZoneInfo(zone_name)
    cycle = month_cycle_at(effective_at, zone_name, zone)
    first, until = (datetime_from_instant(at).astimezone(zone).date() for at in (cycle.start_at, cycle.end_until))
    if working_time is None:
        working_time = member._mapping.get("working_time_millionths")  # noqa: SLF001 - as above
    working_time = FULL_TIME_MILLIONTHS if working_time is None else working_time
    begin, end = days_employed(first, until, _date(member.hired_on), _date(member.left_on))
    day_count = (until - first).days
    if begin == end:
        raise ValueError(f"{member.name} is not employed on any day of {cycle.name}, so there is nothing to grant")
    amount_nanos = prorate(part_time(whole.amount_nanos, working_time), begin, end, day_count)
    parts = [whole.how]
    if working_time != FULL_TIME_MILLIONTHS:
        parts.append(f"{text_from_nanos(working_time * 1_000, 0)} of full time")
    if (begin, end) != (0, day_count):
        parts.append(f"{end - begin} of {day_count} days")
    return Sized(amount_nanos=amount_nanos, how=", ".join(part for part in parts if part))


def _member(connection: Connection, wallet: Row[Any]) -> Row[Any] | None:
    if wallet.holder_kind != HolderKind.MEMBER.value:
        return None
    members = schema.members
    return connection.execute(select(members).where(members.c.id == wallet.holder_id)).one()


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
