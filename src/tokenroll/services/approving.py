"""Approving: who may grant top-ups, requests for them, and the decisions. An approval is a grant in the same transaction."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Required, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.calendar import day_start, month_cycle_at
from tokenroll.model.amount import amount_nanos_checked, text_from_nanos
from tokenroll.model.approver import Approver, Delegation
from tokenroll.model.instant import MICROS_PER_SECOND, Instant, text_from_instant
from tokenroll.model.limits import REQUEST_DAYS_DEFAULT, REQUEST_DAYS_MAX
from tokenroll.model.request import Decision, Request
from tokenroll.services import granting
from tokenroll.services.approvers_told import tell_denials
from tokenroll.services.finding import date_given, find_department, find_member, find_wallet, required
from tokenroll.services.people import company_zone
from tokenroll.services.planning import newest_plan_of_wallet
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

DAY_MICROS = 86_400 * MICROS_PER_SECOND


class Power(NamedTuple):
    """On what somebody may approve: a rule, whose it is, and what it leaves of this month."""

    rule: Approver
    name: str
    left_nanos: int


# ---- who may ----------------------------------------------------------------------------------------------------------


class _SetApprover(TypedDict, total=False):
    member: Required[str]
    department: str
    once_nanos_max: Required[int]
    monthly_nanos_max: int


def set_approver(work: UnitOfWork, arguments: _SetApprover) -> dict[str, Any]:
    """A member may approve up to so much; a rule that they have for the same department is replaced."""
    member = staying(work.connection, required(arguments, "member"))
    reference = arguments.get("department")
    department = None if reference is None else find_department(work.connection, reference)
    monthly = arguments.get("monthly_nanos_max")
    rule = Approver(
        id=work.new_id("approvers"),
        member_id=member.id,
        department_id=None if department is None else department.id,
        once_nanos_max=required(arguments, "once_nanos_max"),
        monthly_nanos_max=monthly,
    )
    _end_rules(work, member.id, rule.department_id)
    work.connection.execute(
        schema.approvers.insert().values(
            id=rule.id, member_id=rule.member_id, department_id=rule.department_id, once_nanos_max=rule.once_nanos_max,
            monthly_nanos_max=rule.monthly_nanos_max, recorded_at=work.now,
        )
    )  # fmt: skip
    tell_denials(work)
    return {
        "member_name": member.name,
        "serves": "everybody" if department is None else department.name,
        "once_max_nanos": rule.once_nanos_max,
        "monthly_max_nanos": rule.monthly_nanos_max,
    }


class _RemoveApprover(TypedDict, total=False):
    member: Required[str]
    department: str


def remove_approver(work: UnitOfWork, arguments: _RemoveApprover) -> dict[str, Any]:
    """A member no longer approves for a department (default: for everybody). Raises Refused where they did not."""
    member = find_member(work.connection, required(arguments, "member"))
    reference = arguments.get("department")
    department_id = None if reference is None else find_department(work.connection, reference).id
    if not _end_rules(work, member.id, department_id):
        message = f"{member.name} does not approve for {reference or 'everybody'}: `tokenroll approver list`"
        raise Refused("not_found", message)
    tell_denials(work)
    return {"member_name": member.name, "serves": reference or "everybody"}


class _Delegate(TypedDict):
    member: str
    to: str
    from_on: str
    back_on: str


def delegate(work: UnitOfWork, arguments: _Delegate) -> dict[str, Any]:
    """While an approver is away, another member approves within the same limits; both days are in the approver's zone."""
    giver = staying(work.connection, required(arguments, "member"))
    taker = staying(work.connection, required(arguments, "to"))
    rules = schema.approvers.c
    own = (rules.member_id == giver.id) & rules.ended_at.is_(None)
    if work.connection.execute(select(rules.id).where(own)).first() is None:
        message = f"{giver.name} approves nothing, so there is nothing to delegate: `tokenroll approver list`"
        raise Refused("no_approver", message)
    zone = ZoneInfo(giver.zone)
    found = Delegation(
        id=work.new_id("delegations"),
        from_member_id=giver.id,
        to_member_id=taker.id,
        effective_at=day_start(date_given(required(arguments, "from_on")), zone),
        expires_at=day_start(date_given(required(arguments, "back_on")), zone),
    )
    work.connection.execute(
        schema.delegations.insert().values(
            id=found.id, from_member_id=giver.id, to_member_id=taker.id, effective_at=found.effective_at,
            expires_at=found.expires_at, recorded_at=work.now,
        )
    )  # fmt: skip
    return {
        "member_name": giver.name,
        "to_name": taker.name,
        "effective_at": found.effective_at,
        "expires_at": found.expires_at,
    }


def _end_rules(work: UnitOfWork, member_id: int, department_id: int | None) -> int:
    rules = schema.approvers
    same = rules.c.department_id.is_(None) if department_id is None else rules.c.department_id == department_id
    where = (rules.c.member_id == member_id) & same & rules.c.ended_at.is_(None)
    return work.connection.execute(rules.update().where(where).values(ended_at=work.now)).rowcount


# ---- requests -------------------------------------------------------------------------------------------------------------


class _CreateRequest(TypedDict, total=False):
    member: Required[str]
    amount_nanos: Required[int]
    reason: Required[str]
    days: int


def create_request(work: UnitOfWork, arguments: _CreateRequest) -> dict[str, Any]:
    """A member asks for a top-up. The answer names who can approve it. Raises Refused where nobody can."""
    member = staying(work.connection, required(arguments, "member"))
    days = arguments.get("days") or REQUEST_DAYS_DEFAULT
    if type(days) is not int or not 1 <= days <= REQUEST_DAYS_MAX:
        message = f"a request stays open for 1 to {REQUEST_DAYS_MAX} days, not {days!r}"
        raise Refused("argument", message)
    request = Request(
        id=work.new_id("requests"),
        public_id=work.public_id("request"),
        member_id=member.id,
        amount_nanos=required(arguments, "amount_nanos"),
        reason=str(required(arguments, "reason")),
        requested_at=work.now,
        expires_at=work.now + days * DAY_MICROS,
    )
    _refuse_without_grant(work, member)
    able = _able(work.connection, member, request.amount_nanos, work.now)
    if not able:
        raise Refused("no_approver", _nobody(work.connection, member, request.amount_nanos, work.now))
    work.connection.execute(
        schema.requests.insert().values(
            id=request.id, public_id=request.public_id, member_id=member.id, amount_nanos=request.amount_nanos,
            reason=request.reason, requested_at=request.requested_at, expires_at=request.expires_at,
        )
    )  # fmt: skip
    return {
        "request": request.public_id,
        "member_name": member.name,
        "amount_nanos": request.amount_nanos,
        "reason": request.reason,
        "expires_at": request.expires_at,
        "approvers": able,
    }


def _refuse_without_grant(work: UnitOfWork, member: Row[Any]) -> None:
    """Nothing for who was granted something before. Raises Refused: nothing says what a top-up would be."""
    wallet = find_wallet(work.connection, member.public_id)
    if newest_plan_of_wallet(work.connection, wallet.id) is None:
        message = f"{member.name} was never granted anything, so nothing says what more would be: `tokenroll grant create` first"
        raise Refused("no_plan", message)


class _Approve(TypedDict, total=False):
    request: Required[str]
    by: Required[str]
    amount_nanos: int


def approve(work: UnitOfWork, arguments: _Approve) -> dict[str, Any]:
    """The top-up is granted, all of it or the amount given, by one who may; `by` is who decides."""
    row, request, member = _open_request(work, arguments)
    decider = staying(work.connection, required(arguments, "by"))
    given = arguments.get("amount_nanos")
    nanos = request.amount_nanos if given is None else amount_nanos_checked(given, "approved amount")
    if not 0 < nanos <= request.amount_nanos:
        message = (
            f"{member.name} asked for {text_from_nanos(request.amount_nanos, 2)} credits: approve some or all of them"
        )
        raise Refused("argument", message)
    power = power_of(work.connection, decider, member, nanos, work.now)
    reason = f"{request.reason} ({request.public_id}, approved by {decider.name})"
    granted = granting.top_up(work, {"to": member.public_id, "amount_nanos": nanos, "reason": reason})
    _decide(work, row.id, Decision.APPROVED, decider.id, power.rule.id, nanos)
    return {**granted, "request": request.public_id, "approved_by": decider.name, "on_the_limit_of": power.name}


class _Decline(TypedDict):
    request: str
    by: str


def decline(work: UnitOfWork, arguments: _Decline) -> dict[str, Any]:
    """The request ends without a grant, by one who could have approved some of it."""
    row, request, member = _open_request(work, arguments)
    decider = staying(work.connection, required(arguments, "by"))
    power = power_of(work.connection, decider, member, 1, work.now)
    _decide(work, row.id, Decision.DECLINED, decider.id, power.rule.id, 0)
    return {"request": request.public_id, "member_name": member.name, "declined_by": decider.name}


def _decide(work: UnitOfWork, request_id: int, decision: Decision, by: int, rule_id: int, nanos: int) -> None:
    requests = schema.requests
    work.connection.execute(
        requests.update()
        .where(requests.c.id == request_id)
        .values(
            decision=decision.value,
            decided_at=work.now,
            decided_by=by,
            approver_id=rule_id,
            approved_nanos=nanos,
        )
    )


def _open_request(work: UnitOfWork, arguments: Mapping[str, Any]) -> tuple[Row[Any], Request, Row[Any]]:
    """The request, its noun and who asked. Raises Refused for one that is decided or has lapsed."""
    requests, members = schema.requests, schema.members
    reference = str(required(arguments, "request"))
    row = work.connection.execute(select(requests).where(requests.c.public_id == reference.strip())).one_or_none()
    if row is None:
        message = f"there is no request {reference!r}: `tokenroll request list` shows them"
        raise Refused("not_found", message)
    request = request_from_row(row)
    state = request.state(work.now)
    if state != "open":
        ended = f"it lapsed at {text_from_instant(row.expires_at)}" if state == "lapsed" else f"it was {state}"
        message = f"request {request.public_id} is not open any more: {ended}"
        raise Refused("not_open", message)
    return row, request, work.connection.execute(select(members).where(members.c.id == row.member_id)).one()


def request_from_row(row: Row[Any]) -> Request:
    """The noun of a row of `requests`."""
    return Request(
        id=row.id,
        public_id=row.public_id,
        member_id=row.member_id,
        amount_nanos=row.amount_nanos,
        reason=row.reason,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        decision=None if row.decision is None else Decision(row.decision),
    )


# ---- powers ---------------------------------------------------------------------------------------------------------------


def power_of(connection: Connection, decider: Row[Any], member: Row[Any], nanos: int, at: Instant) -> Power:
    """The rule on which somebody may approve so much for a member, their own before a delegated one. Raises Refused."""
    if decider.id == member.id:
        message = f"{member.name} cannot decide on their own request"
        raise Refused("own_request", message)
    delegations = schema.delegations.c
    lent = select(delegations.from_member_id).where(
        delegations.to_member_id == decider.id, delegations.effective_at <= at, delegations.expires_at > at
    )
    # who asked may not come back through the one they lent their power to
    whose = [decider.id, *(one for one in connection.scalars(lent) if one != member.id)]
    powers = [one for one in _powers(connection, member, at) if one.rule.member_id in whose]
    enough = [one for one in powers if one.left_nanos >= nanos]
    if enough:
        return min(enough, key=lambda one: (whose.index(one.rule.member_id), one.left_nanos))
    if powers:
        most = text_from_nanos(max(one.left_nanos for one in powers), 2)
        message = f"{decider.name} may approve {most} credits more for {member.name}, not {text_from_nanos(nanos, 2)}. "
        raise Refused("above_limit", message + _nobody(connection, member, nanos, at))
    message = f"{decider.name} does not approve for {member.name}. " + _nobody(connection, member, nanos, at)
    raise Refused("no_approver", message)


def _powers(connection: Connection, member: Row[Any], at: Instant) -> list[Power]:
    """Every rule that covers a member and is not their own, with what it leaves of this month."""
    rules, members = schema.approvers, schema.members
    departments = _ancestors(connection, member.department_id)
    month = month_cycle_at(at, "", ZoneInfo(company_zone(connection)))
    query = select(rules, members.c.name).join(members, members.c.id == rules.c.member_id)
    there = rules.c.ended_at.is_(None) & members.c.left_on.is_(None)
    found = []
    for row in connection.execute(query.where(there).order_by(rules.c.id)):
        rule = _approver_from_row(row)
        if rule.member_id != member.id and rule.covers(departments):
            found.append(Power(rule, row.name, rule.left_nanos(_approved(connection, rule, month.start_at))))
    return found


def _approver_from_row(row: Row[Any]) -> Approver:
    return Approver(
        id=row.id,
        member_id=row.member_id,
        department_id=row.department_id,
        once_nanos_max=row.once_nanos_max,
        monthly_nanos_max=row.monthly_nanos_max,
    )


def left_of_month_nanos(connection: Connection, rule_id: int, at: Instant) -> int | None:
    """What refills may still bring this month on the rule they were approved on; None for a rule without a monthly limit."""
    row = connection.execute(select(schema.approvers).where(schema.approvers.c.id == rule_id)).one()
    if row.monthly_nanos_max is None:
        return None
    month = month_cycle_at(at, "", ZoneInfo(company_zone(connection)))
    return int(row.monthly_nanos_max - _approved(connection, _approver_from_row(row), month.start_at, as_most=False))


def _approved(connection: Connection, rule: Approver, since: Instant, *, as_most: bool = True) -> int:
    """What was approved on a member's rules of the same department since an instant, also on those that were replaced.

    A refill that stands counts in every month with its most for a cycle, because that much was given away; with what it brought, where
    cycles are shorter than a month and it brought more. Not `as_most`: only with what it brought.
    """
    requests, rules, refills = schema.requests.c, schema.approvers.c, schema.refills.c
    same = rules.department_id.is_(None) if rule.department_id is None else rules.department_id == rule.department_id
    theirs = (rules.member_id == rule.member_id) & same
    query = (
        select(func.coalesce(func.sum(requests.approved_nanos), 0))
        .join(schema.approvers, rules.id == requests.approver_id)
        .where(theirs, requests.decided_at >= since)
    )
    approved = int(connection.scalar(query) or 0)
    grants = schema.refill_grants.c
    brought = (
        select(func.coalesce(func.sum(grants.nanos), 0))
        .where(grants.refill_id == refills.id, grants.granted_at >= since)
        .scalar_subquery()
    )
    stands = refills.removed_at.is_(None) & (refills.expires_at > since)
    standing = select(stands, refills.cycle_nanos_max, brought).join(schema.approvers, rules.id == refills.approver_id)
    for is_standing, most, given in connection.execute(standing.where(theirs)):
        approved += max(most, given) if is_standing and as_most else given
    return approved


def _ancestors(connection: Connection, department_id: int) -> frozenset[int]:
    departments = schema.departments.c
    parents: dict[int, int | None] = {
        row[0]: row[1] for row in connection.execute(select(departments.id, departments.parent_id))
    }
    found: set[int] = set()
    one: int | None = department_id
    while one is not None and one not in found:
        found.add(one)
        one = parents.get(one)
    return frozenset(found)


def _able(connection: Connection, member: Row[Any], nanos: int, at: Instant) -> list[str]:
    """Who can approve so much for a member now, and who stands in for them, by name."""
    able = [one for one in _powers(connection, member, at) if one.left_nanos >= nanos]
    delegations, members = schema.delegations.c, schema.members.c
    stand_ins = (
        select(members.name)
        .join(schema.delegations, delegations.to_member_id == members.id)
        .where(delegations.from_member_id.in_({one.rule.member_id for one in able}))
        .where(delegations.effective_at <= at, delegations.expires_at > at)
        .where(members.id != member.id, members.left_on.is_(None))
    )
    return sorted({one.name for one in able} | set(connection.scalars(stand_ins)))


def _nobody(connection: Connection, member: Row[Any], nanos: int, at: Instant) -> str:
    """Who could, as a sentence with the next step."""
    able = _able(connection, member, nanos, at)
    if able:
        return f"Who can: {', '.join(able)}."
    powers = _powers(connection, member, at)
    if powers:
        most = text_from_nanos(max(one.left_nanos for one in powers), 2)
        return (
            f"Nobody can approve {text_from_nanos(nanos, 2)} credits for {member.name}: {most} at most at the moment."
        )
    return f"Nobody approves for {member.name}: `tokenroll approver set NAME --limit CREDITS` says who may."


def staying(connection: Connection, reference: str) -> Row[Any]:
    """A member who has not left. Raises Refused."""
    row = find_member(connection, reference)
    if row.left_on is not None:
        message = f"{row.name} leaves or left on {row.left_on}: they neither ask nor approve"
        raise Refused("left", message)
    return row


# ---- questions ------------------------------------------------------------------------------------------------------------


def requests_of(connection: Connection, now: Instant, *, everything: bool) -> list[dict[str, Any]]:
    """Open requests, or all, newest first, with who can approve each open one."""
    requests, members = schema.requests, schema.members
    decider = members.alias("decider")
    query = (
        select(requests, decider.c.name.label("decider_name"))
        .outerjoin(decider, decider.c.id == requests.c.decided_by)
        .order_by(requests.c.id.desc())
    )
    if not everything:
        query = query.where(requests.c.decision.is_(None), requests.c.expires_at > now)
    people = {row.id: row for row in connection.execute(select(members))}
    found = []
    for row in connection.execute(query):
        member, state = people[row.member_id], request_from_row(row).state(now)
        found.append(
            {
                "request": row.public_id,
                "member_name": member.name,
                "amount_nanos": row.amount_nanos,
                "reason": row.reason,
                "state": state,
                "requested_at": row.requested_at,
                "expires_at": row.expires_at,
                "decided_by": row.decider_name,
                "approved_nanos": row.approved_nanos,
                "approvers": _able(connection, member, row.amount_nanos, now) if state == "open" else [],
            }
        )
    return found


def approvers_of(connection: Connection, now: Instant) -> list[dict[str, Any]]:
    """Who may approve for whom, up to how much, what of this month is left, and who stands in for them."""
    rules, members, departments = schema.approvers, schema.members, schema.departments
    month = month_cycle_at(now, "", ZoneInfo(company_zone(connection)))
    stand_in = select(members.c.name).join(schema.delegations, schema.delegations.c.to_member_id == members.c.id)
    query = (
        select(rules, members.c.name, departments.c.name.label("department_name"))
        .join(members, members.c.id == rules.c.member_id)
        .outerjoin(departments, departments.c.id == rules.c.department_id)
        .where(rules.c.ended_at.is_(None))
        .order_by(members.c.name, rules.c.id)
    )
    found = []
    for row in connection.execute(query):
        rule = _approver_from_row(row)
        approved_nanos = _approved(connection, rule, month.start_at)
        lasting = schema.delegations.c
        lent = stand_in.where(
            lasting.from_member_id == row.member_id, lasting.effective_at <= now, lasting.expires_at > now
        )
        found.append(
            {
                "member_name": row.name,
                "serves": row.department_name or "everybody",
                "once_max_nanos": rule.once_nanos_max,
                "monthly_max_nanos": rule.monthly_nanos_max,
                "approved_this_month_nanos": approved_nanos,
                "stand_ins": sorted(connection.scalars(lent)),
            }
        )
    return found
