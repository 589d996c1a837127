"""What a team's page has from the ledger: who spent what this cycle, what each wallet has left, and who runs dry before the cycle ends.

A team is whom somebody manages, or a department for whoever administers the home. Amounts by name are a manager's to see of those who
report to them, and of nobody else (law 10).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from tokenroll.insight.pictures import Amount, Picture, document, sized, spend_by_name
from tokenroll.model.instant import datetime_from_instant
from tokenroll.model.member import MemberKind
from tokenroll.model.wallet import HolderKind
from tokenroll.services.finding import find_department, find_member
from tokenroll.services.holdings import amounts_for_people, states_by_wallet
from tokenroll.services.reporting import Reports
from tokenroll.services.usage_reports import Dimension, UsageQuestion, bucket_start
from tokenroll.services.wallet_runways import WalletRunway, wallet_runways
from tokenroll.store import schema
from tokenroll.store.lake_meters import MeterCall

_DAY_SECONDS: Final = 86_400
_EVERY_DIALECT: Final = frozenset(range(256))
_NAMED_MAX: Final = 500
_WIDTH: Final = 760


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamWallet:
    """One member's: what was charged this cycle, whoever paid it, and how long what is left lasts."""

    name: str
    is_person: bool
    spent_nanos: int
    runway: WalletRunway

    @property
    def is_starved(self) -> bool:
        """Whether it is likelier than not to run dry before the cycle ends."""
        return self.runway.dry_on[1] is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team at an instant. `days` are charges by day (UTC) and member since the cycle began; wallets stand likeliest to run dry first."""

    wallets: tuple[TeamWallet, ...]
    cycle: str
    days: tuple[Amount, ...]

    @property
    def spent_nanos(self) -> int:
        """What all of them were charged this cycle."""
        return sum(one.spent_nanos for one in self.wallets)

    @property
    def left_nanos(self) -> int:
        """What all of them have left."""
        return sum(one.runway.left_nanos for one in self.wallets)

    @property
    def starved(self) -> tuple[TeamWallet, ...]:
        """Whose wallets are likely to run dry before the cycle ends."""
        return tuple(one for one in self.wallets if one.is_starved)


def manages(connection: Connection, member: str) -> bool:
    """Whether somebody who has not left reports to them."""
    return connection.execute(_reports_of(find_member(connection, member).id).limit(1)).first() is not None


def team_of_manager(reports: Reports, member: str, zone: str, quarantined: Collection[MeterCall] = ()) -> Team:
    """Those who report to a member, without those who left; no pace is taken from calls that are quarantined."""
    rows = reports.connection.execute(_reports_of(find_member(reports.connection, member).id)).all()
    return _team(reports, rows, zone, quarantined)


def team_of_department(reports: Reports, department: str, zone: str, quarantined: Collection[MeterCall] = ()) -> Team:
    """The members of a department, without those who left. Raises Refused for one that is not there."""
    row = find_department(reports.connection, department)
    found = reports.connection.execute(_members().where(schema.members.c.department_id == row.id)).all()
    return _team(reports, found, zone, quarantined)


def spend_picture(team: Team) -> Picture:
    """What was charged a day, stacked by member."""
    view = spend_by_name(team.days, unit="credits", what="member")
    return document(sized(view, _WIDTH, 220), "")


def _members() -> Select[Any]:
    members, wallets = schema.members, schema.wallets
    held = (wallets.c.holder_id == members.c.id) & (wallets.c.holder_kind == HolderKind.MEMBER.value)
    return (
        select(
            members.c.public_id, members.c.name, members.c.kind, wallets.c.id.label("wallet_id"), wallets.c.public_id.label("wallet")
        )
        .join(wallets, held)
        .where(members.c.left_on.is_(None))
        .order_by(members.c.name)
    )  # fmt: skip


def _reports_of(manager_id: int) -> Select[Any]:
    return _members().where(schema.members.c.manager_id == manager_id)


def _team(reports: Reports, rows: Sequence[Row[Any]], zone: str, quarantined: Collection[MeterCall]) -> Team:
    cycle = reports.cycle(zone)
    wanted = [row.wallet_id for row in rows]
    states = states_by_wallet(reports.connection, wanted if len(wanted) <= _NAMED_MAX else None)
    listed = [
        {
            "wallet": row.wallet,
            "name": row.name,
            "holder_kind": HolderKind.MEMBER.value,
            "left_nanos": amounts_for_people(states.get(row.wallet_id, []), reports.now)["left_nanos"],
        }
        for row in rows
    ]
    days = _days(reports, cycle.start_at, {row.public_id: row.name for row in rows})
    spent: dict[str, int] = {}
    for one in days:
        spent[one.name] = spent.get(one.name, 0) + one.nanos
    persons = {row.name for row in rows if row.kind == MemberKind.PERSON}
    wallets = tuple(
        TeamWallet(name=one.name, is_person=one.name in persons, spent_nanos=spent.get(one.name, 0), runway=one)
        for one in wallet_runways(reports.connection, reports.now, listed, quarantined)
    )
    return Team(wallets=wallets, cycle=cycle.name, days=days)


def _days(reports: Reports, start_at: int, names: dict[str, str]) -> tuple[Amount, ...]:
    """Charges by day in UTC, from the day in which the cycle began: what the ledger has, also what was settled this second."""
    if not names:
        return ()
    question = UsageQuestion(
        from_at=bucket_start(start_at, _DAY_SECONDS),
        until=reports.now,
        width_seconds=_DAY_SECONDS,
        dialects=_EVERY_DIALECT,
        group_by=(Dimension.MEMBER,),
        only={Dimension.MEMBER: frozenset(names)},
    )
    return tuple(
        Amount(on=datetime_from_instant(bucket.start_at).date(), name=names[group[0] or ""], nanos=one.charge_nanos)
        for bucket in reports.usage(question).buckets()
        for group, one in bucket.groups
    )
