"""The ledger's settlements as usage events in the lake, each exactly once, with whose they were as of the call.

The lake's mark of our own gateway is the last sequence of the journal that was looked at. It becomes true in the same instant as the
rows, so whoever is stopped anywhere and runs again makes the same lake. A released attempt is an event, too: it consumed and cost
nothing, and its status says why, because attempts in vain are what waste is found in.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final, NamedTuple

from sqlalchemy import Connection, Row, select

from tokenroll.engine.attributing import value_on
from tokenroll.model.identifier import call_identifier
from tokenroll.model.instant import datetime_from_instant
from tokenroll.model.limits import LAKE_SLICE_SETTLEMENTS, TAGS_MAX
from tokenroll.model.member import MemberChange, MemberField
from tokenroll.model.tag import COST_CENTRE, OUTCOME, PROJECT, PURPOSE, SESSION, TAG_NAMES, Purpose
from tokenroll.model.usage import Usage, UsageSource
from tokenroll.model.usage_event import GATEWAY, UsageEvent, printable
from tokenroll.services.members import changes_of
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, HoldRecord, hold_key, parse_record
from tokenroll.store.lake import Lake
from tokenroll.store.lake_manifest import LakeError
from tokenroll.store.rollups import names_of
from tokenroll.store.tape import HOLD_PERSONAL, Finish, TapeRelease, TapeSource

OK: Final = "ok"
_STATUS_REFUSED: Final = 400
"""From this HTTP status on the provider's answer was an error."""


class Feeding(NamedTuple):
    """What one slice brought: how many events, up to which sequence of the journal."""

    event_count: int
    through_seq: int


def feed_slice(connection: Connection, lake: Lake, limit: int = LAKE_SLICE_SETTLEMENTS) -> Feeding:
    """The next settlements after the lake's mark, appended; no event means that the lake has all of this snapshot."""
    after = _mark(lake)
    table = schema.settlements
    query = select(table).where(table.c.ledger_seq > after).order_by(table.c.ledger_seq).limit(limit)
    rows = connection.execute(query).all()
    if not rows:
        _refuse_other_ledger(connection, after)
        return Feeding(0, after)
    told = SettlementEvents(connection)
    events = [told.event(row) for row in rows]
    through = int(rows[-1].ledger_seq)
    lake.append(events, {GATEWAY: through})
    return Feeding(len(events), through)


def waiting_count(connection: Connection, lake: Lake) -> int:
    """About how many settlements the lake has not taken in yet: rows of the journal, of which most are settlements."""
    newest = connection.scalar(
        select(schema.settlements.c.ledger_seq).order_by(schema.settlements.c.ledger_seq.desc()).limit(1)
    )
    return max(0, (newest or 0) - _mark(lake))


def _mark(lake: Lake) -> int:
    mark = lake.marks.get(GATEWAY, 0)
    if not isinstance(mark, int):
        raise LakeError(f"the lake's mark of {GATEWAY} is {mark!r}, which is no sequence of a journal")
    return mark


def _refuse_other_ledger(connection: Connection, after: int) -> None:
    """A ledger that ends before the mark is an older copy, whose next settlements would be passed over."""
    last = connection.scalar(select(schema.batches.c.last_seq).order_by(schema.batches.c.last_seq.desc()).limit(1)) or 0
    if last < after:
        raise LakeError(
            f"the lake has the journal up to {after}, and this ledger ends at {last}: it is another one, or an older copy; move the lake aside"
        )


def event_id_of(hold: HoldRecord, number: int) -> str:
    """The identity of an attempt among the events of our own gateway; `number` is its hold key, as rows keep it."""
    return f"{call_identifier(hold.call_number(number))}:{hold.attempt}"


class SettlementEvents:
    """Settlements as events. What names, keys, members, departments and cards say is read once each."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._name_of = names_of(connection)
        self._keys: dict[int, _Key] = {}
        self._cards: dict[int, _Card] = {}
        self._changes: dict[int, list[MemberChange]] = {}
        departments = schema.departments.c
        rows = connection.execute(select(departments.public_id, departments.name, departments.cost_centre))
        self._departments = {row.public_id: _Department(row.name, row.cost_centre) for row in rows}

    def event(self, row: Row[tuple[object, ...]]) -> UsageEvent:
        """The event of one row of `settlements`."""
        attempt = parse_record(row.record)
        hold, settle = attempt.hold, attempt.settle
        place = hold_key(row.hold_key)

        def name(name_id: int) -> str:
            return printable(self._name_of(place.worker, place.epoch, name_id)) if name_id else ""

        key = self._key(hold.api_key_id)
        department = self._department(key, hold.admitted_at)
        card = self._card(hold.rate_card_id)
        tags = name(hold.tags_name)
        named = {one: value for one, _, value in (tag.partition("=") for tag in tags.split(",")) if one in TAG_NAMES}
        status, finish, ended_at = _ending(attempt)
        return UsageEvent(
            source=GATEWAY, event_id=event_id_of(hold, row.hold_key), call_id=call_identifier(hold.call_number(row.hold_key)), attempt=hold.attempt,
            admitted_at=hold.admitted_at, provider=card.provider, requested_model=name(hold.model_name),
            answered_model=name(settle.answered_model_name) if settle else "", deployment=name(hold.deployment_name),
            usage=settle.usage if settle else Usage(),
            usage_source=UsageSource(TapeSource(settle.source).name.lower()) if settle else UsageSource.REPORTED,
            service_tier=settle.service_tier if settle else "standard", rate_card_digest=card.digest, currency=card.currency,
            list_cost_nanos=settle.list_cost_nanos if settle else 0, net_cost_nanos=settle.net_cost_nanos if settle else 0,
            charge_nanos=attempt.charge_nanos, hold_max_nanos=hold.bound_nanos, member=key.member, department=department.name,
            cost_centre=named.get(COST_CENTRE) or department.cost_centre, key=key.public_id, project=named.get(PROJECT, ""),
            session=named.get(SESSION, ""), outcome=named.get(OUTCOME, ""), purpose=_purpose(hold, named), tags=_kept_tags(tags),
            status=status, finish=finish, first_byte_at=(settle.first_byte_at or None) if settle else None, ended_at=ended_at,
        )  # fmt: skip

    def _key(self, key_id: int) -> "_Key":
        known = self._keys.get(key_id)
        if known is None:
            keys, members, departments = schema.api_keys, schema.members, schema.departments
            query = (
                select(keys.c.public_id, members.c.id, members.c.name, departments.c.public_id)
                .select_from(keys.join(members, members.c.id == keys.c.member_id).join(departments, departments.c.id == members.c.department_id))
                .where(keys.c.id == key_id)
            )  # fmt: skip
            row = self._connection.execute(query).one_or_none()
            known = self._keys[key_id] = _Key() if row is None else _Key(*row)
        return known

    def _department(self, key: "_Key", at: int) -> "_Department":
        """That of the day of the call in UTC, as usage reports have it."""
        if key.member_id not in self._changes:
            self._changes[key.member_id] = [
                one for one in changes_of(self._connection, key.member_id) if one.field is MemberField.DEPARTMENT
            ]
        changes = self._changes[key.member_id]
        on: date = datetime_from_instant(at).date()
        public_id = value_on(changes, MemberField.DEPARTMENT, on, key.department) if changes else key.department
        return self._departments.get(public_id or "", _NO_DEPARTMENT)

    def _card(self, card_id: int) -> "_Card":
        known = self._cards.get(card_id)
        if known is None:
            cards = schema.rate_cards.c
            row = self._connection.execute(
                select(cards.provider, cards.digest, cards.currency).where(cards.id == card_id)
            ).one_or_none()
            known = self._cards[card_id] = _Card() if row is None else _Card(*row)
        return known


class _Key(NamedTuple):
    public_id: str = ""
    member_id: int = 0
    member: str = ""
    department: str = ""


class _Department(NamedTuple):
    name: str
    cost_centre: str


class _Card(NamedTuple):
    provider: str = ""
    digest: str = ""
    currency: str = "USD"


_NO_DEPARTMENT: Final = _Department("", "")


def _ending(attempt: AttemptRecord) -> tuple[str, str, int | None]:
    """Status, finish and end of an attempt."""
    if attempt.settle is not None:
        end = attempt.settle
        status = f"http_{end.status}" if end.status >= _STATUS_REFUSED else OK
        return status, Finish(end.finish).name.lower(), end.at
    if attempt.release is None:
        return "", "", None
    release = attempt.release
    return TapeRelease(release.reason).name.lower(), Finish(release.finish).name.lower(), release.at


def _purpose(hold: HoldRecord, named: Mapping[str, str]) -> str:
    if hold.flags & HOLD_PERSONAL:
        return Purpose.PERSONAL.value
    return named.get(PURPOSE, Purpose.WORK.value)


def _kept_tags(text: str) -> tuple[str, ...]:
    """A call's tags. Of more than an event may have, those go first that are columns of their own anyhow."""
    tags = [tag for tag in text.split(",") if tag]
    if len(tags) > TAGS_MAX:
        tags = [tag for tag in tags if tag.partition("=")[0] not in TAG_NAMES][:TAGS_MAX]
    return tuple(tags)
