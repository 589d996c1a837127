"""Leave of absence: vesting waits while somebody is away, and by plan the stipend does, too."""

from collections.abc import Iterator
from datetime import date, tzinfo
from typing import Any, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

from sqlalchemy import Row, select

from tokenroll.engine.calendar import day_start, period_step
from tokenroll.engine.ending import LotPart, is_expired
from tokenroll.model.grant import GrantKind
from tokenroll.model.instant import Instant
from tokenroll.model.limits import ABSENCE_DAYS_MAX
from tokenroll.model.lot import LotState
from tokenroll.model.recall import RecallMode, RecallPurpose
from tokenroll.model.vesting import AWAITED_AT, Period, PeriodUnit
from tokenroll.model.wallet import HolderKind
from tokenroll.services import recalling
from tokenroll.services.finding import date_given, find_member, required
from tokenroll.services.holdings import states_of_grant
from tokenroll.services.planning import plan_of_grant
from tokenroll.services.recalling import Destination, Part
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema


class _RecordAbsence(TypedDict):
    member: str
    from_on: str
    back_on: str


def record_absence(work: UnitOfWork, arguments: _RecordAbsence) -> dict[str, Any]:
    """From the first day away until the day back: what would vest from then on vests by so many days later.

    Stipends are paid on, or by plan not paid for the time away. What has vested stays vested, also when it is recorded late. Raises
    Refused for a time that overlaps another absence, and for who has left.
    """
    row = find_member(work.connection, required(arguments, "member"))
    from_on, back_on = date_given(required(arguments, "from_on")), date_given(required(arguments, "back_on"))
    if row.left_on is not None:
        message = f"{row.name} leaves or left on {row.left_on}: nobody is away from where they have left"
        raise Refused("left", message)
    days = (back_on - from_on).days
    if not 1 <= days <= ABSENCE_DAYS_MAX:
        message = f"an absence lasts 1 to {ABSENCE_DAYS_MAX} days; from {from_on} until back on {back_on} are {days}"
        raise Refused("argument", message)
    _refuse_overlap(work, row, from_on, back_on)
    absence_id, public_id = work.new_id("absences"), work.public_id("absence")
    work.connection.execute(
        schema.absences.insert().values(
            id=absence_id, public_id=public_id, member_id=row.id, from_on=from_on.isoformat(), back_on=back_on.isoformat(),
            recorded_at=work.now,
        )
    )  # fmt: skip
    zone = ZoneInfo(row.zone)
    grants, wallets = schema.grants, schema.wallets.c
    own = (wallets.holder_kind == HolderKind.MEMBER.value) & (wallets.holder_id == row.id)
    query = select(grants).join(schema.wallets, wallets.id == grants.c.wallet_id).where(own).order_by(grants.c.id)
    away = (day_start(from_on, zone), day_start(back_on, zone))
    longer = _Longer(days, tuple(_later_absences(work, row, back_on, zone)))
    paused = [_pause(work, grant, longer, away, zone) for grant in work.connection.execute(query).all()]
    return {
        "absence": public_id,
        "member": row.public_id,
        "name": row.name,
        "from_on": from_on.isoformat(),
        "back_on": back_on.isoformat(),
        "day_count": days,
        "later_nanos": sum(one["later_nanos"] for one in paused),
        "unpaid_nanos": sum(one["unpaid_nanos"] for one in paused),
        "grants": [one for one in paused if one["later_nanos"] or one["unpaid_nanos"]],
    }


class _Longer(NamedTuple):
    """By how many days dates move: an absence's own, and those of absences on record that only now lie before the date."""

    days: int
    later: tuple[tuple[Instant, int], ...]

    def period(self, effective_at: Instant, zone: tzinfo) -> Period:
        """What a date that has not passed yet is moved by. What an absence on record has moved already is not moved by it again."""
        days = self.days
        for from_at, more in self.later:
            moved_at = period_step(effective_at, 1, Period(count=days, unit=PeriodUnit.DAY), zone)
            if effective_at < from_at <= moved_at:
                days += more
        return Period(count=days, unit=PeriodUnit.DAY)


def _later_absences(work: UnitOfWork, member: Row[Any], back_on: date, zone: tzinfo) -> Iterator[tuple[Instant, int]]:
    """The beginnings of the absences on record that come after this one, with their days, in order."""
    absences = schema.absences.c
    query = select(absences.from_on, absences.back_on).where(
        absences.member_id == member.id, absences.from_on >= back_on.isoformat()
    )
    for row in work.connection.execute(query.order_by(absences.from_on)):
        from_on = date.fromisoformat(row.from_on)
        yield day_start(from_on, zone), (date.fromisoformat(row.back_on) - from_on).days


def _refuse_overlap(work: UnitOfWork, member: Row[Any], from_on: date, back_on: date) -> None:
    absences = schema.absences.c
    query = select(absences.from_on, absences.back_on).where(
        absences.member_id == member.id,
        absences.from_on < back_on.isoformat(),
        absences.back_on > from_on.isoformat(),
    )
    other = work.connection.execute(query).first()
    if other is not None:
        message = f"{member.name} is away from {other.from_on} until {other.back_on} already: the two overlap"
        raise Refused("overlap", message)


def _pause(
    work: UnitOfWork, row: Row[Any], longer: _Longer, away: tuple[Instant, Instant], zone: tzinfo
) -> dict[str, Any]:
    """What an absence does to one grant, by the terms of its plan."""
    plan = plan_of_grant(work.connection, row)
    terms = plan.terms.leave_of_absence
    states = [state for state in states_of_grant(work.connection, row.id) if state.lot.wallet_id == row.wallet_id]
    owed = recalling.owed_of_lots(work.connection, [state.lot.id for state in states])
    coming = [
        state for state in states if _is_to_come(state, max(away[0], work.now + 1)) and not owed.get(state.lot.id)
    ]
    later_nanos = unpaid_nanos = 0
    if row.kind == GrantKind.STIPEND.value:
        if terms.pauses_stipend:
            parts = [LotPart(one.lot.id, one.remainder_nanos) for one in coming if one.lot.effective_at < away[1]]
            unpaid_nanos = recalling.ask(
                work, RecallPurpose.FORFEITURE, RecallMode.LEFT, [Part(row.wallet_id, *part) for part in parts],
                reference=row.public_id, reason="away",
            )  # fmt: skip
    elif terms.pauses_vesting:
        later_nanos = sum(_later(work, row, state, longer, zone) for state in coming)
    return {
        "grant": row.public_id,
        "plan_name": plan.name,
        "later_nanos": later_nanos,
        "unpaid_nanos": unpaid_nanos,
    }


def _is_to_come(state: LotState, at: Instant) -> bool:
    return at <= state.lot.effective_at < AWAITED_AT and bool(state.remainder_nanos) and not is_expired(state, at)


def _later(work: UnitOfWork, row: Row[Any], state: LotState, longer: _Longer, zone: tzinfo) -> int:
    """The lot's remainder on dates that are so many days later."""
    lot, wait = state.lot, longer.period(state.lot.effective_at, zone)
    to = Destination(
        effective_at=period_step(lot.effective_at, 1, wait, zone),
        expires_at=None if lot.expires_at is None else period_step(lot.expires_at, 1, wait, zone),
    )
    part = Part(row.wallet_id, lot.id, state.remainder_nanos)
    return recalling.ask(
        work, RecallPurpose.RESCHEDULE, RecallMode.LEFT, [part], reference=row.public_id, reason="away", to=to
    )
