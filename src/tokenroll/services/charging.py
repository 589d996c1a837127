"""Charging usage that went around the gateway to the wallets of who used it, each growth of it once (decision 0119).

A command states what a member's day with a model cost by a source in all; what is more than was charged before is charged. Lots pay
it by recalls, because what calls hold of them only their worker knows. A lot is asked once for a charge; what none can give is the
company's, as what a settlement costs above its wallet is.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, TypedDict

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.attributing import value_on
from tokenroll.engine.charging import ChargeLot, charge_slices, grown_nanos
from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import name_checked
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import Instant
from tokenroll.model.limits import CHARGE_RECALLS_OPEN_MAX, CHARGE_ROWS_MAX
from tokenroll.model.lot import LotState
from tokenroll.model.member import MemberChange, MemberField
from tokenroll.model.pool import DrawRule
from tokenroll.model.recall import RecallMode, RecallPurpose
from tokenroll.model.usage_event import GATEWAY
from tokenroll.model.wallet import HolderKind
from tokenroll.services import leasing, recalling
from tokenroll.services.charge_booking import LotDates, book_slices, charge_named, lot_dates
from tokenroll.services.finding import find_member
from tokenroll.services.holdings import lot_from_row, states_by_wallet
from tokenroll.services.members import changes_of
from tokenroll.services.protocol import Delta, LotChange
from tokenroll.services.recalling import Part
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.fold import Give

_DAY_MICROS: Final = 86_400_000_000
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
CHARGED: Final = "charged"
UNCHANGED: Final = "unchanged"
SHRUNK: Final = "shrunk"


class _Row(TypedDict):
    source: str
    member: str
    model: str
    total_nanos: int
    used_at: int


class _Charge(TypedDict):
    rows: list[_Row]


def charge(work: UnitOfWork, arguments: _Charge) -> dict[str, Any]:
    """What usage cost so far, row by row: {source, member, model, total_nanos, used_at} of one day in UTC, which `used_at` is the latest of.

    Charged is what the total has grown by above the highest that was charged. One that shrank gives nothing back and is named.
    Raises Refused for a member who is not there, usage of the gateway's own, a key that stands twice, too many rows, and while
    too many lots have not answered charges of before.
    """
    rows = arguments["rows"]
    if len(rows) > CHARGE_ROWS_MAX:
        message = f"{len(rows)} rows are more than one command takes: give at most {CHARGE_ROWS_MAX} at once"
        raise Refused("too_many_rows", message)
    _refuse_unanswered(work.connection)
    charger = _Charger(work)
    told = []
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        key, stated = _stated(work, row)
        if key in seen:
            message = (
                f"{stated['name']}'s {stated['day']} with {key[2]} by {key[1]} stands twice: add its parts up first"
            )
            raise Refused("argument", message)
        seen.add(key)
        told.append(charger.charge(stated))
    return {
        "charges": told,
        "charged_nanos": sum(one["charged_nanos"] for one in told),
        "carried_nanos": sum(one["carried_nanos"] for one in told),
    }


def _refuse_unanswered(connection: Connection) -> None:
    """While a gateway is away, what it will be asked at once when it is back grows no further. Raises Refused."""
    recalls = schema.recalls.c
    query = select(func.count()).where(recalls.ended_at.is_(None), recalls.purpose == RecallPurpose.CHARGE.value)
    open_count = connection.scalar(query) or 0
    if open_count >= CHARGE_RECALLS_OPEN_MAX:
        message = (
            f"{open_count} lots were asked to pay charges and have not answered, because no gateway does: start `tokenroll serve`, "
            "wait until `tokenroll usage charges` shows nothing still asked for, and charge the same again"
        )
        raise Refused("unanswered", message)


def _stated(work: UnitOfWork, row: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a row is of, and all that it says, checked. Raises Refused."""
    member = find_member(work.connection, row["member"])
    source, model = name_checked(row["source"], "source of usage"), row["model"]
    if source == GATEWAY:
        raise Refused("argument", "what went through the gateway is charged by the gateway")
    if len(model) > 0:
        name_checked(model, "model")
    used_at = row["used_at"]
    if not 0 < used_at <= work.now:
        raise Refused(
            "argument", f"usage of {member.name} cannot have been at {used_at}: it lies ahead, or before 1970"
        )
    day = date.fromordinal(_FIRST_DAY + used_at // _DAY_MICROS).isoformat()
    total_nanos = amount_nanos_checked(row["total_nanos"], "total")
    stated = {
        "source": source, "member_id": member.id, "name": member.name, "member": member.public_id, "model": model,
        "day": day, "total_nanos": total_nanos, "used_at": used_at,
    }  # fmt: skip
    return (member.id, source, model, day), stated


class _Charger:
    """Charges one after another: what one was promised of a lot, the next has no more."""

    def __init__(self, work: UnitOfWork) -> None:
        self._work = work
        self._wallets: dict[int, Row[Any]] = {}
        self._pools: dict[str | None, tuple[int, bool]] = {}
        self._departments: dict[int, tuple[list[MemberChange], str | None]] = {}
        self._lots: dict[int, list[tuple[LotState, int]]] = {}
        self._dates: dict[int, LotDates] = {}
        self._promised: dict[int, int] = {}

    def charge(self, stated: dict[str, Any]) -> dict[str, Any]:
        """One row's answer, charged as far as it grew."""
        work = self._work
        before_nanos = _charged_before(work.connection, stated)
        nanos = grown_nanos(stated["total_nanos"], before_nanos)
        state = CHARGED if nanos else SHRUNK if stated["total_nanos"] < before_nanos else UNCHANGED
        told = {name: stated[name] for name in ("source", "member", "name", "day", "model", "total_nanos")}
        told |= {
            "state": state,
            "before_nanos": before_nanos,
            "charged_nanos": nanos,
            "carried_nanos": 0,
            "charge": None,
        }
        if nanos:
            row = self._add(stated, nanos)
            told["charge"] = row.public_id
            told["carried_nanos"] = self.pay(row, nanos)
        return told

    def _add(self, stated: dict[str, Any], nanos: int) -> Row[Any]:
        work, table = self._work, schema.usage_charges
        charge_id = work.new_id("usage_charges")
        work.connection.execute(
            table.insert().values(
                id=charge_id, public_id=work.public_id("charge"), source=stated["source"], member_id=stated["member_id"],
                wallet_id=self._wallet(stated).id, day=stated["day"], model=stated["model"],
                total_nanos=stated["total_nanos"], charged_nanos=nanos, used_at=stated["used_at"],
                command_id=work.command_id, recorded_at=work.now,
            )
        )  # fmt: skip
        work.fact(table, charge_id)
        return work.connection.execute(select(table).where(table.c.id == charge_id)).one()

    def _wallet(self, stated: dict[str, Any]) -> Row[Any]:
        member_id = stated["member_id"]
        if member_id not in self._wallets:
            wallets = schema.wallets
            query = select(wallets).where(
                wallets.c.holder_kind == HolderKind.MEMBER.value, wallets.c.holder_id == member_id
            )
            self._wallets[member_id] = self._work.connection.execute(query.order_by(wallets.c.id).limit(1)).one()
        return self._wallets[member_id]

    def pay(self, row: Row[Any], need_nanos: int, asked: frozenset[int] = frozenset()) -> int:
        """Asks lots for a charge, but those that were `asked` for it before; what none can pay is booked to the company: how much."""
        work = self._work
        groups = [
            [one for one in self._of(wallet_id, row.used_at) if one.state.lot.id not in asked]
            for wallet_id in self._funding(row)
        ]
        slices, missing_nanos = charge_slices(groups, need_nanos, row.used_at)
        known = {one.state.lot.id: one for group in groups for one in group}
        parts = []
        for lot_id, nanos in slices:
            lot = known[lot_id].state.lot
            self._promised[lot_id] = self._promised.get(lot_id, 0) + nanos
            parts.append(Part(lot.wallet_id, lot_id, nanos))
            if lot.expires_at is not None and lot.expires_at <= work.now:
                work.lot_told(lot, work.left_nanos(lot_id))
        recalling.ask(
            work, RecallPurpose.CHARGE, RecallMode.LEFT, parts, reference=row.public_id, reason=row.source,
            command_id=row.command_id,
        )  # fmt: skip
        if missing_nanos:
            book_slices(work, row, [Slice(COMPANY_LOT_ID, missing_nanos)])
        return missing_nanos

    def _funding(self, charge: Row[Any]) -> list[int]:
        """A member's wallet and the pool that served it when the usage was, in the order in which calls draw them."""
        department = self._department(charge.member_id, charge.day)
        if department not in self._pools:
            pool_id = leasing.pool_of_department(self._work.connection, department)
            pools = schema.pools.c
            rule = self._work.connection.scalar(select(pools.draw_rule).where(pools.wallet_id == pool_id))
            self._pools[department] = (pool_id, rule == DrawRule.POOL_FIRST)
        pool_id, is_first = self._pools[department]
        found = [charge.wallet_id, pool_id] if pool_id else [charge.wallet_id]
        return found[::-1] if is_first else found

    def _department(self, member_id: int, day: str) -> str | None:
        """The outside id of a member's department on a day in UTC, as usage reports have it."""
        connection = self._work.connection
        if member_id not in self._departments:
            members, departments = schema.members.c, schema.departments.c
            query = select(departments.public_id).join(schema.members, members.department_id == departments.id)
            now = connection.scalar(query.where(members.id == member_id))
            self._departments[member_id] = (changes_of(connection, member_id), now)
        changes, now = self._departments[member_id]
        return value_on(changes, MemberField.DEPARTMENT, date.fromisoformat(day), now)

    def _of(self, wallet_id: int, used_at: Instant) -> list[ChargeLot]:
        """The lots of a wallet with what is left of them by now."""
        connection, work = self._work.connection, self._work
        if wallet_id not in self._lots:
            states = states_by_wallet(connection, [wallet_id]).get(wallet_id, [])
            owed = recalling.owed_of_lots(connection, [one.lot.id for one in states])
            self._lots[wallet_id] = [(one, one.remainder_nanos - owed.get(one.lot.id, 0)) for one in states]
            self._dates |= lot_dates(connection, [wallet_id])
        return [
            ChargeLot(
                state=state,
                left_nanos=left_nanos - self._promised.get(state.lot.id, 0),
                booked_at=work.booked_at(wallet_id, max(used_at, self._dates[state.lot.id].known_at)),
                received_at=self._dates[state.lot.id].received_at,
            )
            for state, left_nanos in self._lots[wallet_id]
        ]


def _charged_before(connection: Connection, stated: Mapping[str, Any]) -> int:
    """The highest total of this source, member, day and model that was charged; 0 for none."""
    charges = schema.usage_charges.c
    query = select(func.max(charges.total_nanos)).where(
        charges.member_id == stated["member_id"], charges.source == stated["source"], charges.day == stated["day"],
        charges.model == stated["model"],
    )  # fmt: skip
    return connection.scalar(query) or 0


def book(work: UnitOfWork, gives: Sequence[Give]) -> None:
    """What recalls were given, and what charges still want of other lots, or of the company."""
    _go_on(work, recalling.book(work, gives))


def collect(work: UnitOfWork) -> None:
    """What recalls ask for is given by the ledger, while nobody has a lease; and what charges still want, likewise."""
    while _go_on(work, recalling.collect(work)):
        pass


def _go_on(work: UnitOfWork, references: set[str]) -> bool:
    """Charges whose lots have all answered ask others for what is missing, or the company carries it. Whether any asked."""
    asks = False
    charger = _Charger(work)
    recalls, parts = schema.recalls.c, schema.usage_charge_parts.c
    for reference in sorted(references):
        row = charge_named(work.connection, reference)
        query = select(recalls.lot_id, recalls.ended_at).where(recalls.command_id == row.command_id)
        asked = work.connection.execute(query.where(recalls.reference == reference)).all()
        if any(one.ended_at is None for one in asked):
            continue
        paid = work.connection.scalar(select(func.sum(parts.nanos)).where(parts.charge_id == row.id)) or 0
        missing_nanos = row.charged_nanos - paid
        if missing_nanos:
            carried_nanos = charger.pay(row, missing_nanos, frozenset(one.lot_id for one in asked))
            asks = asks or carried_nanos < missing_nanos
    return asks


def asked_again(connection: Connection, left_of: Callable[[int], int], number: int) -> Delta | None:
    """What earlier lives were asked for and did not give is asked for again, of the life that has the lots now; None for nothing.

    With the lots of open charges: it may not have been leased those that have expired.
    """
    open_recalls = recalling.open_recalls(connection)
    if not open_recalls:
        return None
    recalls, lots = schema.recalls.c, schema.lots
    query = select(lots).join(schema.recalls, recalls.lot_id == lots.c.id).distinct()
    rows = connection.execute(query.where(recalls.ended_at.is_(None), recalls.purpose == RecallPurpose.CHARGE.value))
    found = (lot_from_row(row) for row in rows)
    changes = [LotChange(lot.wallet_id, lot.id, 0, leasing.lot_terms(lot, left_of(lot.id))) for lot in found]
    return Delta(number=number, wallets=[], lots=changes, keys=[], cards=[], settings={}, recalls=open_recalls)
