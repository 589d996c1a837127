"""Questions about the ledger, answered read-only as of one instant, for every door alike.

Answers are plain structures whose names say their units (`left_nanos`, `effective_at`); `services/wire.py` turns them into JSON.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, func, select

from tokenroll.books.words import grant_title, grant_why, words_of
from tokenroll.engine.classifying import cautions
from tokenroll.engine.vesting import awaited_parts
from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.model.lot import LotState
from tokenroll.model.pay_cycle import PayCycle
from tokenroll.model.plan_terms import Wording
from tokenroll.model.pool import DrawRule
from tokenroll.model.vesting import AWAITED_AT
from tokenroll.model.wallet import HolderKind
from tokenroll.services import (
    alerting,
    approving,
    charge_reports,
    history,
    limit_reports,
    offering,
    opening_files,
    pay_calendars,
    paying,
    plan_files,
    price_reports,
    proposing,
    refilling,
)
from tokenroll.services.as_of import amounts_as_of
from tokenroll.services.cycle_finding import find_cycle
from tokenroll.services.finding import find_department, find_member, find_plan, find_wallet, seen_name
from tokenroll.services.holdings import amounts_for_people, amounts_of, states_by_wallet, states_of_grant
from tokenroll.services.key_reports import (
    key_of_member,
    key_state,
    key_told,
    key_with_secret,
    keys_of_member,
    keys_told,
)
from tokenroll.services.members import changes_told, member_state, told_on, working_time_text
from tokenroll.services.plan_sources import read_plan_source
from tokenroll.services.plan_terms import terms_from_text
from tokenroll.services.plan_trials import plan_trial
from tokenroll.services.planning import arguments_of, grant_from_row, lifetime_from_row, plan_from_row, plan_version
from tokenroll.services.refusal import Refused
from tokenroll.services.thrift_reports import ThriftReport
from tokenroll.services.usage_reports import UsageQuestion, UsageReport
from tokenroll.services.vesting_terms import schedule_text, vesting_from_row
from tokenroll.store import schema
from tokenroll.store.call_story import call_story, calls_named
from tokenroll.store.cycles import CycleBook

NANOS = 10**9
"""Sums of amounts are added in two halves, because a sum of int64s need not be one."""
_CALLS_NAMED_MAX: Final = 10
"""Calls with one id that a refusal names: who has more looks them up by wallet."""


class Visitor(NamedTuple):
    """Who came with a live key."""

    key_id: str
    scope: str
    member_id: str
    name: str
    zone: str
    key_number: int
    """The key's inside id, by which its use is noted."""


class Reports:
    """All questions, over one read-only connection and one `now`, so that two figures of a page are of the same instant."""

    def __init__(
        self, connection: Connection, now: Instant, day_sums: dict[int, history.DaySums] | None = None
    ) -> None:
        self.connection = connection
        self.now = now
        self._cycles = CycleBook(connection)
        self._day_sums = {} if day_sums is None else day_sums
        self._states: dict[int, list[LotState]] | None = None
        self._spent_this_cycle: dict[int, int] | None = None

    # ---- people -------------------------------------------------------------------------------------------------

    def departments(self) -> list[dict[str, Any]]:
        """All departments with their head count and this cycle's spending, by name."""
        departments, members = schema.departments, schema.members
        counts: dict[int, int] = dict(
            self.connection.execute(
                select(members.c.department_id, func.count())
                .where(members.c.left_on.is_(None))
                .group_by(members.c.department_id)
            ).all()
        )
        spent = self._spent_by_department()
        return [
            {
                "department": row.public_id,
                "name": row.name,
                "cost_centre": row.cost_centre,
                "member_count": counts.get(row.id, 0),
                "spent_this_cycle_nanos": spent.get(row.id, 0),
            }
            for row in self.connection.execute(select(departments).order_by(departments.c.name))
        ]

    def department(self, reference: str) -> dict[str, Any]:
        """One department and its members."""
        row = find_department(self.connection, reference)
        parent = None
        if row.parent_id is not None:
            departments = schema.departments
            parent = self.connection.scalar(select(departments.c.name).where(departments.c.id == row.parent_id))
        return {
            "department": row.public_id,
            "name": row.name,
            "cost_centre": row.cost_centre,
            "parent": parent,
            "spent_this_cycle_nanos": self._spent_by_department().get(row.id, 0),
            "members": self.members(row.public_id),
        }

    def lookalikes(self, name: str) -> list[str]:
        """Members whose names look like this one and are others: told apart only by case, blanks or Unicode's compatible forms."""
        names = self.connection.scalars(select(schema.members.c.name).order_by(schema.members.c.name))
        return [one for one in names if one != name.strip() and seen_name(one) == seen_name(name)]

    def members(self, department: str | None = None) -> list[dict[str, Any]]:
        """Members by name, each with what is left, in use and spent this cycle."""
        members, departments, wallets = schema.members, schema.departments, schema.wallets
        query = (
            select(members, departments.c.name.label("department_name"), wallets.c.id.label("wallet_id"))
            .join(departments, departments.c.id == members.c.department_id)
            .join(wallets, (wallets.c.holder_id == members.c.id) & (wallets.c.holder_kind == HolderKind.MEMBER.value))
            .order_by(members.c.name)
        )
        if department is not None:
            query = query.where(members.c.department_id == find_department(self.connection, department).id)
        self._read_all_states()
        found = []
        for row in self.connection.execute(query).all():
            amounts = self._amounts(row.wallet_id)
            found.append(
                {
                    "member": row.public_id,
                    "name": row.name,
                    "kind": row.kind,
                    "employee_id": row.employee_id,
                    "department_name": row.department_name,
                    "state": member_state(row, self.now),
                    "left_nanos": amounts["left_nanos"],
                    "in_use_nanos": amounts["in_use_nanos"],
                    "spent_this_cycle_nanos": self.spent_this_cycle(row.wallet_id),
                    "left_on": row.left_on,
                }
            )
        return found

    def member(self, reference: str) -> dict[str, Any]:
        """One member, their wallet's amounts and their keys."""
        row = find_member(self.connection, reference)
        departments = schema.departments
        department = self.connection.scalar(select(departments.c.name).where(departments.c.id == row.department_id))
        return {
            "member": row.public_id,
            "name": row.name,
            "kind": row.kind,
            "employee_id": row.employee_id,
            "department_name": department,
            "level": row.level,
            "location": row.location,
            "employment_type": row.employment_type,
            "part_time": working_time_text(row.working_time_millionths),
            "manager": None
            if row.manager_id is None
            else self.connection.scalar(select(schema.members.c.name).where(schema.members.c.id == row.manager_id)),
            "zone": row.zone,
            "hired_on": row.hired_on,
            "left_on": row.left_on,
            "state": member_state(row, self.now),
            "suspended_at": row.suspended_at,
            "changes": changes_told(self.connection, row.id),
            "wallet": self.wallet(row.public_id),
            "keys": self.keys(row.public_id),
        }

    def member_on(self, reference: str, on: str) -> dict[str, Any]:
        """What was known of a member on a day: no amounts, which have their own dates."""
        row = find_member(self.connection, reference)
        return {"member": row.public_id, "on": on, **told_on(self.connection, row, on)}

    def keys(self, member: str | None = None, unused_days: int | None = None) -> list[dict[str, Any]]:
        """Keys, newest first; never a secret, which nobody has."""
        return keys_told(self.connection, self.now, member, unused_days)

    def key(self, reference: str) -> dict[str, Any]:
        """One key, the secrets it had before, and the limits of its own."""
        return key_told(self.connection, self.now, reference)

    def keys_of(self, member: str, *, limit: int, before: int | None = None) -> tuple[list[dict[str, Any]], int]:
        """A member's own keys with their budgets, newest first, and where the next page begins (0: there is none)."""
        return keys_of_member(self.connection, self.now, member, limit, before)

    def key_of(self, member: str, public_id: str) -> dict[str, Any]:
        """One key of a member's own. Raises Refused for another's, as for one that is not there."""
        return key_of_member(self.connection, self.now, member, public_id)

    def calls_of_key(
        self, member: str, public_id: str, *, limit: int, head: int | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """The ended calls that came with a key of a member's own, newest first, and where the next page starts (0: no more)."""
        number = key_of_member(self.connection, self.now, member, public_id)["number"]
        wallet = find_wallet(self.connection, member)
        return history.calls_of_key(self.connection, wallet.id, number, limit, head)

    def visitor_with_secret(self, secret_hash: bytes) -> Visitor | None:
        """Whose live key has this hash; None for an unknown, expired or revoked one."""
        return self._visitor(key_with_secret(self.connection, secret_hash, self.now))

    def visitor_with_key(self, public_id: str) -> Visitor | None:
        """Whose live key has this id; None for an unknown, expired or revoked one."""
        keys = schema.api_keys
        return self._visitor(self.connection.execute(select(keys).where(keys.c.public_id == public_id)).one_or_none())

    def _visitor(self, row: Row[Any] | None) -> Visitor | None:
        if row is None or key_state(row, self.now) != "live":
            return None
        members = schema.members
        member = self.connection.execute(select(members).where(members.c.id == row.member_id)).one()
        return Visitor(row.public_id, row.scope, member.public_id, member.name, member.zone, row.id)

    def settings(self) -> dict[str, str]:
        """What the company set for itself and its workers."""
        names = schema.settings.c
        return dict(self.connection.execute(select(names.name, names.value)).all())

    # ---- plans and grants ---------------------------------------------------------------------------------------

    def plans(self) -> list[dict[str, Any]]:
        """All versions that hold now or are to come, by name."""
        plans = schema.plans
        rows = self.connection.execute(select(plans).order_by(plans.c.name, plans.c.version)).all()
        holding = {row.name: row.id for row in rows if row.effective_at <= self.now}
        return [_plan(row) for row in rows if row.effective_at > self.now or holding.get(row.name) == row.id]

    def plan(self, reference: str) -> dict[str, Any]:
        """The version that holds now, with what its classification means."""
        row = find_plan(self.connection, reference, self.now)
        plan = plan_from_row(row)
        return {
            **_plan(row),
            "why": grant_why(plan.classification, plan.terms.wording),
            "cautions": list(cautions(plan)),
        }

    def plan_differences(self, path: Path) -> list[dict[str, Any]]:
        """What applying a file of plans would do. Raises plan_files.PlanFileError for a file with mistakes."""
        return plan_files.differences(self.connection, read_plan_source(path))

    def plan_arguments(self) -> list[dict[str, Any]]:
        """What makes the newest version of every plan again, by name and without its date: what a file of plans is made of."""
        plans = schema.plans
        rows = self.connection.execute(select(plans).order_by(plans.c.name, plans.c.version)).all()
        return [dict(arguments_of(plan_from_row(row))) for row in {row.name: row for row in rows}.values()]

    def plan_trial(
        self, reference: str, cycle: str | None = None, *, amount_nanos: int | None = None, log: Path | None = None
    ) -> dict[str, Any]:
        """How a month (default: the last one that is over in UTC) would have gone under a plan; see services/plan_trials.py."""
        before = cycle or self._cycles.span_at("UTC", self.cycle("UTC").start_at - 1).name
        return plan_trial(self.connection, reference, before, self.now, amount_nanos=amount_nanos, log=log)

    def proposals(self) -> list[dict[str, Any]]:
        """Batches of awards that wait or waited for approval, newest first."""
        return proposing.proposals_told(self.connection, self.now)

    def proposal(self, public_id: str) -> dict[str, Any]:
        """One of them with its awards."""
        return proposing.proposal_told(self.connection, public_id, self.now)

    def offers(self) -> list[dict[str, Any]]:
        """Offers to candidates, newest first, with what has become of each by now."""
        return offering.offers_told(self.connection, self.now)

    def offer(self, reference: str) -> dict[str, Any]:
        """One offer and the lines of its package."""
        return offering.offer_told(self.connection, reference, self.now)

    def grants(self, to: str | None = None, *, limit: int | None = None) -> list[dict[str, Any]]:
        """Grants, newest first, with how much of each is spendable by now; `limit` takes the newest."""
        grants, wallets, lots, values = schema.grants, schema.wallets, schema.lots, schema.lot_values.c
        # what moved out of a lot vests in the lot that it moved to, in whoever's wallet that is
        vested = (
            select(lots.c.grant_id, func.sum(lots.c.amount_nanos - values.transferred_out_nanos).label("nanos"))
            .join(schema.lot_values, values.lot_id == lots.c.id)
            .where(lots.c.effective_at <= self.now)
        )
        wallet_id = None if to is None else find_wallet(self.connection, to).id
        if wallet_id is not None:
            own = select(grants.c.id).where(grants.c.wallet_id == wallet_id)
            vested = vested.where(lots.c.grant_id.in_(own))
        parts = vested.group_by(lots.c.grant_id).subquery()
        query = (
            select(
                grants,
                wallets.c.name.label("wallet_name"),
                func.coalesce(parts.c.nanos, 0).label("vested_nanos"),
                schema.plans.c.terms.label("plan_terms"),
            )
            .join(wallets, wallets.c.id == grants.c.wallet_id)
            .join(schema.plans, schema.plans.c.id == grants.c.plan_id)
            .outerjoin(parts, parts.c.grant_id == grants.c.id)
            .order_by(grants.c.id.desc())
            .limit(limit)
        )
        if wallet_id is not None:
            query = query.where(grants.c.wallet_id == wallet_id)
        return [_grant(row) for row in self.connection.execute(query)]

    def grant(self, public_id: str) -> dict[str, Any]:
        """One grant and its tranches."""
        found = [one for one in self.grants() if one["grant"] == public_id]
        if not found:
            message = f"there is no grant {public_id!r}: `tokenroll grant list` shows them"
            raise Refused("not_found", message)
        grants = schema.grants
        row = self.connection.execute(select(grants).where(grants.c.public_id == public_id)).one()
        wallets = schema.wallets.c
        names: dict[int, str] = {one[0]: one[1] for one in self.connection.execute(select(wallets.id, wallets.name))}
        states = states_of_grant(self.connection, row.id)
        first = [one.lot.id for one in states if one.lot.effective_at == AWAITED_AT and one.lot.origin_lot_id is None]
        awaited = awaited_parts(grant_from_row(row)) if first else ()
        events = {lot_id: event for lot_id, (event, _) in zip(first, awaited, strict=True)}
        return {
            **found[0],
            "why": grant_why(row.classification, self._wording(row.plan_id)),
            "lots": [
                {
                    "wallet_name": names[one.lot.wallet_id],
                    "amount_nanos": one.lot.amount_nanos,
                    "left_nanos": one.remainder_nanos,
                    "spent_nanos": one.spent_nanos,
                    "forfeited_nanos": one.forfeited_nanos,
                    "clawed_back_nanos": one.clawed_back_nanos,
                    "voided_nanos": one.voided_nanos,
                    "moved_nanos": one.transferred_out_nanos,
                    "effective_at": None if one.lot.effective_at == AWAITED_AT else one.lot.effective_at,
                    "expires_at": None if one.lot.effective_at == AWAITED_AT else one.lot.expires_at,
                    "waits_for": events.get(one.lot.id),
                }
                for one in states
            ],
        }

    def requests(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Requests for top-ups that wait for an answer, or all there ever were; newest first."""
        return approving.requests_of(self.connection, self.now, everything=everything)

    def approvers(self) -> list[dict[str, Any]]:
        """Who may approve top-ups, and for whom."""
        return approving.approvers_of(self.connection, self.now)

    def refills(self) -> list[dict[str, Any]]:
        """Standing top-ups that may come."""
        return refilling.refills_of(self.connection, self.now)

    def _wording(self, plan_id: int) -> Wording:
        return plan_version(self.connection, plan_id).terms.wording

    # ---- wallets ------------------------------------------------------------------------------------------------

    def wallets(self) -> list[dict[str, Any]]:
        """All wallets by name."""
        wallets = schema.wallets
        self._read_all_states()
        rows = self.connection.execute(select(wallets).order_by(wallets.c.name)).all()
        return [{**_holder(row), **self._amounts(row.id)} for row in rows]

    def openings(self) -> list[dict[str, Any]]:
        """What wallets were opened with, row by row."""
        return opening_files.openings(self.connection)

    def pools(self) -> list[dict[str, Any]]:
        """Pools and whom they serve."""
        wallets, pools, departments = schema.wallets, schema.pools, schema.departments
        query = (
            select(wallets, departments.c.name.label("department_name"), pools.c.draw_rule)
            .join(pools, pools.c.wallet_id == wallets.c.id)
            .outerjoin(departments, departments.c.id == pools.c.department_id)
            .order_by(wallets.c.name)
        )
        return [
            {
                **_holder(row),
                "serves": row.department_name or "everybody",
                "draw_rule": row.draw_rule or DrawRule.OWN_FIRST.value,
                **self._amounts(row.id),
            }
            for row in self.connection.execute(query).all()
        ]

    def wallet(self, reference: str) -> dict[str, Any]:
        """One wallet: amounts, what comes next, and how long it lasts at its usual pace.

        The `day_sums` that a door keeps between questions make the next one read new calls only.
        """
        row = find_wallet(self.connection, reference)
        amounts, classifications = amounts_of(self.connection, row.id, self.now)
        days = self._day_sums.setdefault(row.id, history.DaySums(row.id, row.zone))
        days.read(self.connection, self.now)
        usual = days.usual_day(self.now)
        cycle = self.cycle(row.zone)
        words = words_of(classifications[0] if len(classifications) == 1 else "tool")
        values = schema.wallet_values
        totals = self.connection.execute(select(values).where(values.c.wallet_id == row.id)).one_or_none()
        return {
            **_holder(row),
            **amounts,
            "zone": row.zone,
            "as_of_at": self.now,
            "cycle": cycle.name,
            "cycle_ends_at": cycle.end_until,
            "spent_this_cycle_nanos": days.spent_since(cycle.start_at),
            "call_count": 0 if totals is None else totals.call_count,
            "company_carried_nanos": (0 if totals is None else totals.company_nanos)
            + charge_reports.carried_nanos(self.connection, row.id),
            "charged_around_nanos": charge_reports.charged_nanos(self.connection, row.id),
            "classifications": classifications,
            "words_vests": "becomes spendable" if len(classifications) > 1 else words.vests,
            "words_unvested": "not yet spendable" if len(classifications) > 1 else words.unvested,
            "usual_work": {
                "days": usual.days_for(amounts["left_nanos"]),
                "mean_nanos": usual.mean_nanos,
                "active_day_count": usual.active_day_count,
                "rule": history.USUAL_RULE,
            },
        }

    def wallet_as_of(self, reference: str, at: Instant) -> dict[str, Any]:
        """One wallet's amounts as they were on record at an instant. Raises Refused for one to come."""
        row = find_wallet(self.connection, reference)
        if at > self.now:
            message = f"{text_from_instant(at)} is to come: what will be on record then is not known"
            raise Refused("argument", message)
        return {**_holder(row), **amounts_as_of(self.connection, row, at), "zone": row.zone, "as_of_at": at}

    def calls(self, reference: str, *, limit: int = 20, head: int | None = None) -> list[dict[str, Any]]:
        """So many calls of a wallet at most, those under way first, then newest first; `head` goes on from a `previous_seq`.

        One of them has ended, if any has: where the list goes on, only an ended call says.
        """
        row = find_wallet(self.connection, reference)
        under_way = [] if head is not None else history.open_calls(self.connection, row.id)
        ended = history.ended_calls(self.connection, row.id, max(1, limit - len(under_way)), head)
        return [*under_way[: limit - len(ended)], *ended]

    def call(self, call_id: str, *, of: str | None = None) -> dict[str, Any]:
        """The story of one call. With `of`, only if it is that member's: another's is not found, which is all they may know.

        A client's own id may be that of several keys; then Refused names each of those that the asker may see.
        """
        own = None if of is None else find_wallet(self.connection, of).public_id
        named = [one for one in calls_named(self.connection, call_id) if own is None or one["wallet"].get("id") == own]
        if len(named) > 1:
            raise Refused("ambiguous", _named_alike(call_id, named))
        story = call_story(self.connection, named[0]["call"]) if named else None
        if story is None:
            message = f"there is no call {call_id!r}: `tokenroll wallet show` lists a wallet's calls"
            raise Refused("not_found", message)
        return story

    def calls_of_cycle(self, reference: str, cycle: str, *, limit: int) -> list[dict[str, Any]]:
        """The newest ended calls that a slip counts."""
        row = find_wallet(self.connection, reference)
        return history.calls_of_cycle(self.connection, row.id, find_cycle(self._cycles, cycle).number, limit)

    def usage_charges(self, wallet: str | None = None, *, limit: int) -> list[dict[str, Any]]:
        """The newest charges of usage around the gateway, of one wallet or of all, and who paid them."""
        wallet_id = None if wallet is None else find_wallet(self.connection, wallet).id
        return charge_reports.charges_told(self.connection, wallet_id, limit)

    # ---- usage --------------------------------------------------------------------------------------------------

    def usage(self, question: UsageQuestion) -> UsageReport:
        """What calls consumed and cost, by buckets of time."""
        return UsageReport(self.connection, question)

    def thrift(self, cycle: str | None = None) -> dict[str, Any]:
        """What the gateway's own thrift came to in a cycle (default: the one that runs in UTC), by plan and mechanism."""
        days = find_cycle(self._cycles, cycle) if cycle else self._cycles.cycle_at("UTC", self.now)
        return {"cycle": days.name, "effects": ThriftReport(self.connection, days.number).rows()}

    # ---- limits -------------------------------------------------------------------------------------------------

    def limits(self) -> list[dict[str, Any]]:
        """All limits that are not removed or over, and how much of each is used now."""
        return limit_reports.limits_now(self.connection, self.now)

    def limit(self, reference: str) -> dict[str, Any]:
        """One limit, its overrides and its last windows."""
        return limit_reports.limit_shown(self.connection, reference, self.now)

    def alerts(self, count: int, *, dead_only: bool = False) -> list[dict[str, Any]]:
        """The newest alerts and what became of their messages."""
        return alerting.alerts_listed(self.connection, count, dead_only=dead_only)

    # ---- prices -------------------------------------------------------------------------------------------------

    def rate_cards(self) -> list[dict[str, Any]]:
        """The cards that hold now."""
        return [price_reports.listed(card) for card in price_reports.cards_now(self.connection, self.now)]

    def rate_card(self, reference: str) -> dict[str, Any]:
        """The card that holds now for a model, every rate of it."""
        return price_reports.card_for(self.connection, reference, self.now)

    # ---- pay ----------------------------------------------------------------------------------------------------

    def pay_runs(self) -> list[dict[str, Any]]:
        """Closed cycles, newest first."""
        return paying.runs(self.connection)

    def pay_run(self, cycle: str, limit: int = paying.SLIPS_LISTED_MAX) -> dict[str, Any]:
        """The first slips of a cycle by name, the sums of all, and what stands in the way of closing it."""
        found = paying.slips_of(self.connection, cycle, self.now, limit)
        return {**found, "obstacles": paying.obstacles(self.connection, cycle, self.now)}

    def pay_calendars(self) -> list[dict[str, Any]]:
        """The pay calendars that were set, newest first."""
        return pay_calendars.calendars(self.connection)

    def cycle_dates(self, day: str | None, count: int) -> list[dict[str, Any]]:
        """The cycle that a day (default: today in UTC) is in and those after it."""
        first = find_cycle(self._cycles, day).starts_on if day else self._cycles.cycle_at("UTC", self.now).starts_on
        return pay_calendars.cycle_dates(self.connection, first, count)

    def cycle_obstacles(self, cycle: str) -> list[str]:
        """Why a cycle cannot be closed at this time, whatever its calls; empty when it can."""
        return paying.obstacles_of_time(self.connection, cycle, self.now)

    def payslip(self, reference: str, cycle: str) -> dict[str, Any]:
        """One wallet's slip: the stored one of a closed cycle, else as it stands now."""
        return paying.slip_of(self.connection, reference, cycle, self.now)

    def payslip_of_run(self, reference: str, run: str) -> dict[str, Any]:
        """One wallet's slip of a run by the run's id, also of one that was reversed or told off-cycle."""
        return paying.slip_of_run(self.connection, reference, run)

    # ---- cycles -------------------------------------------------------------------------------------------------

    def cycle(self, zone: str) -> PayCycle:
        """The cycle that contains now in a zone."""
        return self._cycles.span_at(zone, self.now)

    def spent_this_cycle(self, wallet_id: int) -> int:
        """What a wallet's calls of this cycle cost, and what was paid in it of its usage around the gateway; whoever paid."""
        if self._spent_this_cycle is None:
            self._spent_this_cycle = self._spent_by_wallet()
        return self._spent_this_cycle.get(wallet_id, 0)

    def _spent_by_wallet(self) -> dict[int, int]:
        wallets, settlements = schema.wallets, schema.settlements
        zones: dict[int, str] = dict(self.connection.execute(select(wallets.c.id, wallets.c.zone)).all())
        cycles = {zone: self._cycles.of_admission(zone, self.now) for zone in set(zones.values())}
        rows = self.connection.execute(
            select(
                settlements.c.wallet_id,
                settlements.c.cycle,
                func.sum(settlements.c.charge_nanos // NANOS),
                func.sum(settlements.c.charge_nanos % NANOS),
            )
            .where(settlements.c.cycle.in_(sorted(set(cycles.values()))))
            .group_by(settlements.c.wallet_id, settlements.c.cycle)
        )
        spent = {
            wallet_id: int(whole) * NANOS + int(rest)
            for wallet_id, cycle, whole, rest in rows
            if cycle == cycles[zones[wallet_id]]
        }
        starts = {zone: self.cycle(zone).start_at for zone in cycles}
        for wallet_id, booked_at, nanos in charge_reports.booked_since(
            self.connection, min(starts.values(), default=0)
        ):
            if booked_at >= starts[zones[wallet_id]]:
                spent[wallet_id] = spent.get(wallet_id, 0) + nanos
        return spent

    def _spent_by_department(self) -> dict[int, int]:
        members, wallets = schema.members, schema.wallets
        of_wallet = self.connection.execute(
            select(wallets.c.id, members.c.department_id)
            .join(members, members.c.id == wallets.c.holder_id)
            .where(wallets.c.holder_kind == HolderKind.MEMBER.value)
        )
        sums: dict[int, int] = {}
        for wallet_id, department_id in of_wallet.all():
            sums[department_id] = sums.get(department_id, 0) + self.spent_this_cycle(wallet_id)
        return sums

    def _read_all_states(self) -> None:
        """One query for a listing, in place of one for each of its wallets."""
        self._states = states_by_wallet(self.connection)

    def _states_of(self, wallet_id: int) -> list[LotState]:
        known = self._states
        if known is None:
            known = states_by_wallet(self.connection, [wallet_id])
        return known.get(wallet_id, [])

    def _amounts(self, wallet_id: int) -> dict[str, Any]:
        return amounts_for_people(self._states_of(wallet_id), self.now)


def _holder(row: Row[Any]) -> dict[str, Any]:
    return {"wallet": row.public_id, "name": row.name, "holder_kind": row.holder_kind}


def _plan(row: Row[Any]) -> dict[str, Any]:
    return {
        "plan": row.public_id,
        "name": row.name,
        "version": row.version,
        "kind": row.kind,
        "classification": row.classification,
        "amount_nanos": row.amount_nanos,
        "schedule": schedule_text(vesting_from_row(row), lifetime_from_row(row)),
        "priority": row.priority,
        "enforcement": row.enforcement,
        "cap_policy": row.cap_policy,
        "output_cap_tokens": row.output_cap_tokens,
        "overage_max_nanos": row.overage_nanos_max,
        "terms": plan_files.told_terms(plan_from_row(row)),
        "effective_at": row.effective_at,
    }


def _grant(row: Row[Any]) -> dict[str, Any]:
    return {
        "grant": row.public_id,
        "wallet_name": row.wallet_name,
        "kind": row.kind,
        "classification": row.classification,
        "words": grant_title(row.classification, row.kind, terms_from_text(row.plan_terms).wording),
        "amount_nanos": row.amount_nanos,
        "vested_nanos": row.vested_nanos,
        "schedule": schedule_text(vesting_from_row(row), lifetime_from_row(row)),
        "effective_at": row.effective_at,
        "recorded_at": row.recorded_at,
    }


def _named_alike(call_id: str, named: list[dict[str, Any]]) -> str:
    """That several calls have an id, and which: the newest first, as many as a message may hold."""
    newest = sorted(named, key=lambda one: one["admitted_at"], reverse=True)
    shown = [
        f"{one['call']} ({one['wallet'].get('name', '-')}, {text_from_instant(one['admitted_at'])})"
        for one in newest[:_CALLS_NAMED_MAX]
    ]
    more = f" and {len(named) - len(shown)} older ones" if len(named) > len(shown) else ""
    return f"{len(named)} calls have the id {call_id!r}, each of a key of its own: ask for one by ours: {', '.join(shown)}{more}"
