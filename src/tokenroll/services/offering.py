"""Offers: promised, accepted, and granted once who accepted is hired. Each step is a command; what lapses does so by its date."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final, Required, TypedDict
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Row, or_, select

from tokenroll.books.offer_lines import offer_lines
from tokenroll.engine.calendar import day_start, period_step
from tokenroll.model.formula import FormulaKind
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.offer import Offer, OfferState, Package
from tokenroll.model.plan import Plan
from tokenroll.model.vesting import Period
from tokenroll.services.award_sizes import GIVEN, refuse_ineligible, size_for
from tokenroll.services.finding import date_in_reach, find_member, find_plan, find_wallet, name_given, required
from tokenroll.services.granting import award
from tokenroll.services.people import company_zone
from tokenroll.services.planning import plan_from_row, plan_version
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.services.vesting_terms import period_from_text, period_text, schedule_text
from tokenroll.store import schema

_PACKAGE: Final = ("base_pay_cost_nanos", "bonus_cost_nanos", "equity_cost_nanos")


# ---- commands -----------------------------------------------------------------------------------------------------------


class _CreateOffer(TypedDict, total=False):
    candidate: Required[str]
    plan: Required[str]
    lapses_on: Required[str]
    amount_nanos: int
    level: str
    score_nanos: int
    working_time_millionths: int
    starts_on: str
    waiting: str
    base_pay_cost_nanos: int
    bonus_cost_nanos: int
    equity_cost_nanos: int
    currency: str


def create_offer(work: UnitOfWork, arguments: _CreateOffer) -> dict[str, Any]:
    """A promise to a candidate under the version of the plan that holds now. Raises Refused for a day of lapse that is over."""
    candidate = name_given(arguments, "candidate")
    zone = company_zone(work.connection)
    today = _today(work.now, zone)
    lapses_on = _date(required(arguments, "lapses_on"), "lapses on")
    if lapses_on <= today:
        message = f"an offer lapses on a day to come, such as {today + timedelta(days=30)}, not on {lapses_on}"
        raise Refused("past", message)
    plan = plan_from_row(find_plan(work.connection, required(arguments, "plan"), work.now))
    if plan.effective_at > work.now:
        message = f"plan {plan.name} holds only from its own date on: offer it then"
        raise Refused("plan_not_effective", message)
    offer = Offer(
        id=work.new_id("offers"),
        public_id=work.public_id("offer"),
        candidate=candidate,
        plan_id=plan.id,
        amount_nanos=_amount(plan, arguments, zone, work.now),
        offered_at=work.now,
        lapses_on=lapses_on,
        starts_on=_date(arguments["starts_on"], "starts on") if arguments.get("starts_on") else None,
        waiting=period_from_text(arguments["waiting"], "waiting period") if arguments.get("waiting") else None,
        package=_package(arguments),
    )
    work.connection.execute(schema.offers.insert().values(**_row_of(offer), recorded_at=work.now))
    return _told(work.connection, offer, plan, work.now)


class _AcceptOffer(TypedDict):
    offer: str


def accept_offer(work: UnitOfWork, arguments: _AcceptOffer) -> dict[str, Any]:
    """The candidate said yes in time. Saying it again changes nothing."""
    return _moved(work, arguments, to=OfferState.ACCEPTED, column="accepted_at", possible={OfferState.OFFERED})


def decline_offer(work: UnitOfWork, arguments: _AcceptOffer) -> dict[str, Any]:
    """The candidate said no."""
    return _moved(work, arguments, to=OfferState.DECLINED, column="declined_at", possible={OfferState.OFFERED})


def withdraw_offer(work: UnitOfWork, arguments: _AcceptOffer) -> dict[str, Any]:
    """The company takes it back, also after it was accepted, as long as nothing was granted."""
    possible = {OfferState.OFFERED, OfferState.ACCEPTED, OfferState.LAPSED}
    return _moved(work, arguments, to=OfferState.WITHDRAWN, column="withdrawn_at", possible=possible)


class _ExtendOffer(TypedDict):
    offer: str
    lapses_on: str


def extend_offer(work: UnitOfWork, arguments: _ExtendOffer) -> dict[str, Any]:
    """Another day on which it lapses, also when the first is over."""
    offer = offer_from_row(find_offer(work.connection, required(arguments, "offer")))
    today = _today(work.now, company_zone(work.connection))
    state = offer.state_on(today)
    if state not in {OfferState.OFFERED, OfferState.LAPSED}:
        raise _not_possible(offer, state, "extended")
    lapses_on = _date(required(arguments, "lapses_on"), "lapses on")
    if lapses_on <= today:
        message = f"an offer lapses on a day to come, not on {lapses_on}"
        raise Refused("past", message)
    return _changed(work, offer, lapses_on=lapses_on.isoformat())


class _GrantOffer(TypedDict, total=False):
    offer: Required[str]
    to: str


def grant_offer(work: UnitOfWork, arguments: _GrantOffer) -> dict[str, Any]:
    """What was promised, to the member whom the candidate became (default: who has their name), from their day of hire or the waiting period after it on.

    Granting it again to the same member changes nothing. Raises Refused for an offer that was not accepted.
    """
    offer = offer_from_row(find_offer(work.connection, required(arguments, "offer")))
    member = find_member(work.connection, arguments.get("to") or offer.candidate)
    wallet = find_wallet(work.connection, member.public_id)
    plan = plan_version(work.connection, offer.plan_id)
    state = offer.state_on(_today(work.now, company_zone(work.connection)))
    if state is OfferState.GRANTED:
        grants = schema.grants
        if work.connection.scalar(select(grants.c.wallet_id).where(grants.c.id == offer.grant_id)) == wallet.id:
            return _told(work.connection, offer, plan, work.now)
    if state is not OfferState.ACCEPTED:
        raise _not_possible(offer, state, "granted")
    if member.hired_on is None:
        message = f"nothing says when {member.name} was hired, and the grant begins then: record the day of hire of {member.name} first"
        raise Refused("not_hired", message)
    refuse_ineligible(work.connection, plan, member)
    zone = ZoneInfo(wallet.zone)
    hired_at = day_start(date.fromisoformat(member.hired_on), zone)
    grant = award(
        work,
        wallet,
        plan,
        kind=plan.kind,
        amount_nanos=offer.amount_nanos,
        effective_at=hired_at if offer.waiting is None else period_step(hired_at, 1, offer.waiting, zone),
        vesting=plan.vesting,
        lifetime=plan.lot_lifetime,
        reason=f"offer {offer.public_id}",
    )
    grants = schema.grants
    grant_id = work.connection.scalar(select(grants.c.id).where(grants.c.public_id == grant["grant"]))
    return {**_changed(work, offer, grant_id=grant_id), "lots": grant["lots"], "effective_at": grant["effective_at"]}


def _moved(
    work: UnitOfWork, arguments: Mapping[str, Any], *, to: OfferState, column: str, possible: set[OfferState]
) -> dict[str, Any]:
    offer = offer_from_row(find_offer(work.connection, required(arguments, "offer")))
    state = offer.state_on(_today(work.now, company_zone(work.connection)))
    if state is to:
        return _told(work.connection, offer, plan_version(work.connection, offer.plan_id), work.now)
    if state not in possible:
        raise _not_possible(offer, state, str(to))
    return _changed(work, offer, **{column: work.now})


def _not_possible(offer: Offer, state: OfferState, wanted: str) -> Refused:
    ways = {
        OfferState.OFFERED: f"it was not accepted yet: `tokenroll offer accept {offer.public_id}`",
        OfferState.LAPSED: f"it lapsed on {offer.lapses_on}: `tokenroll offer extend {offer.public_id} --lapses-on DATE`",
        OfferState.ACCEPTED: f"it was accepted: `tokenroll offer withdraw {offer.public_id}` takes it back",
        OfferState.DECLINED: "it was declined: make a new one",
        OfferState.WITHDRAWN: "it was withdrawn: make a new one",
        OfferState.GRANTED: "it has become a grant: `tokenroll offer show` names it",
    }
    return Refused("offer_state", f"the offer to {offer.candidate} cannot be {wanted}: {ways[state]}")


def _changed(work: UnitOfWork, offer: Offer, **values: Any) -> dict[str, Any]:
    offers = schema.offers
    work.connection.execute(offers.update().where(offers.c.id == offer.id).values(**values))
    changed = offer_from_row(work.connection.execute(select(offers).where(offers.c.id == offer.id)).one())
    return _told(work.connection, changed, plan_version(work.connection, changed.plan_id), work.now)


# ---- questions ----------------------------------------------------------------------------------------------------------


def offers_told(connection: Connection, now: Instant) -> list[dict[str, Any]]:
    """All offers, newest first."""
    offers, plans = schema.offers, schema.plans
    known = {row.id: plan_from_row(row) for row in connection.execute(select(plans))}
    rows = connection.execute(select(offers).order_by(offers.c.id.desc())).all()
    return [_told(connection, offer_from_row(row), known[row.plan_id], now) for row in rows]


def offer_told(connection: Connection, reference: str, now: Instant) -> dict[str, Any]:
    """One offer. Raises Refused."""
    offer = offer_from_row(find_offer(connection, reference))
    return _told(connection, offer, plan_version(connection, offer.plan_id), now)


def find_offer(connection: Connection, reference: str) -> Row[Any]:
    """The offer with this id, or the only one to a candidate of this name. Raises Refused."""
    offers = schema.offers
    where = or_(offers.c.public_id == reference, offers.c.candidate == reference.strip())
    rows = connection.execute(select(offers).where(where)).all()
    if not rows:
        message = f"there is no offer {reference!r}: `tokenroll offer list` shows them"
        raise Refused("not_found", message)
    if len(rows) > 1:
        message = f"{reference} was made {len(rows)} offers: use the id; `tokenroll offer list` shows them"
        raise Refused("ambiguous", message)
    return rows[0]


def offer_from_row(row: Row[Any]) -> Offer:
    """The noun of a row."""
    return Offer(
        id=row.id,
        public_id=row.public_id,
        candidate=row.candidate,
        plan_id=row.plan_id,
        amount_nanos=row.amount_nanos,
        offered_at=row.offered_at,
        lapses_on=date.fromisoformat(row.lapses_on),
        starts_on=date.fromisoformat(row.starts_on) if row.starts_on else None,
        waiting=period_from_text(row.waiting, "waiting period") if row.waiting else None,
        package=msgspec.json.decode(row.package_json, type=Package) if row.package_json else None,
        accepted_at=row.accepted_at,
        declined_at=row.declined_at,
        withdrawn_at=row.withdrawn_at,
        grant_id=row.grant_id,
    )


def _row_of(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "public_id": offer.public_id,
        "candidate": offer.candidate,
        "plan_id": offer.plan_id,
        "amount_nanos": offer.amount_nanos,
        "offered_at": offer.offered_at,
        "lapses_on": offer.lapses_on.isoformat(),
        "starts_on": None if offer.starts_on is None else offer.starts_on.isoformat(),
        "waiting": None if offer.waiting is None else period_text(offer.waiting),
        "package_json": None if offer.package is None else msgspec.json.encode(offer.package).decode(),
        "accepted_at": offer.accepted_at,
        "declined_at": offer.declined_at,
        "withdrawn_at": offer.withdrawn_at,
        "grant_id": offer.grant_id,
    }


def _told(connection: Connection, offer: Offer, plan: Plan, now: Instant) -> dict[str, Any]:
    grants = schema.grants
    grant = None
    if offer.grant_id is not None:
        grant = connection.scalar(select(grants.c.public_id).where(grants.c.id == offer.grant_id))
    told = offer_lines(plan, offer.amount_nanos, offer.package, schedule_text(plan.vesting, plan.lot_lifetime))
    package = [{"line": name, "value": value} for name, value in told.lines]
    return {
        "offer": offer.public_id,
        "candidate": offer.candidate,
        "state": offer.state_on(_today(now, company_zone(connection))).value,
        "plan_name": plan.name,
        "version": plan.version,
        "classification": plan.classification.value,
        "amount_nanos": offer.amount_nanos,
        "offered_at": offer.offered_at,
        "lapses_on": offer.lapses_on.isoformat(),
        "starts_on": None if offer.starts_on is None else offer.starts_on.isoformat(),
        "waiting": _waiting_text(offer.waiting),
        "accepted_at": offer.accepted_at,
        "grant": grant,
        "total_package": "; ".join(f"{name} {value}" for name, value in told.lines),
        "package": package,
        "sentences": list(told.sentences),
    }


def _waiting_text(waiting: Period | None) -> str | None:
    return None if waiting is None else period_text(waiting)


def _amount(plan: Plan, arguments: Mapping[str, Any], zone: str, now: Instant) -> int:
    """What is promised: an amount, or the plan's own by its formula, for which base pay is the package's."""
    amount_nanos = arguments.get("amount_nanos")
    if amount_nanos is not None:
        return int(amount_nanos)
    given = {name: arguments[name] for name in GIVEN if arguments.get(name) is not None}
    if plan.terms.formula.kind is FormulaKind.PERCENT_OF_BASE:
        given["base_pay_nanos"] = arguments.get("base_pay_cost_nanos")
    return size_for(plan, None, zone, given, now).amount_nanos


def _package(arguments: Mapping[str, Any]) -> Package | None:
    given = {name: arguments[name] for name in _PACKAGE if arguments.get(name) is not None}
    currency = arguments.get("currency")
    if not given and currency is None:
        return None
    if currency is None:
        message = "the lines of a package need their currency, such as EUR"
        raise Refused("argument", message)
    return Package(currency=currency, **given)


def _today(now: Instant, zone: str) -> date:
    return datetime_from_instant(now).astimezone(ZoneInfo(zone)).date()


def _date(text: Any, what: str) -> date:
    try:
        found = date.fromisoformat(str(text))
    except ValueError as error:
        message = f"{what}: {text!r} is not a date such as 2027-01-31"
        raise Refused("argument", message) from error
    return date_in_reach(found)
