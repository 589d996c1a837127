"""Alerts: noted once, with their messages in the same transaction; what becomes of a message afterwards is machinery.

A message leaves the outbox at least once, and carries one id however often it is tried, so that who receives it can tell.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Required, TypedDict

from sqlalchemy import Connection, Row, func, select, update

from tokenroll.model.alert import Alert, AlertKind, AlertSubject
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limit import LimitMeasure
from tokenroll.model.limits import (
    MESSAGE_ATTEMPTS_MAX,
    MESSAGE_RETRY_SECONDS_MAX,
    MESSAGE_RETRY_SECONDS_MIN,
    MESSAGES_PER_ROUND_MAX,
)
from tokenroll.services.finding import required
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema

PENDING: Final = "pending"
DELIVERED: Final = "delivered"
DEAD: Final = "dead"


class Outcome(NamedTuple):
    """How one try of one message ended. `error` empty: delivered; `final`: trying again cannot help."""

    message_id: int
    error: str = ""
    final: bool = False


class _Change(TypedDict):
    kind: str
    subject: str
    subject_id: int
    threshold: int
    used: int
    allowance: int
    measure: str
    window_start_at: int


class _Note(TypedDict, total=False):
    changes: Required[list[_Change]]
    destinations: list[str]


def note(work: UnitOfWork, arguments: _Note) -> dict[str, Any]:
    """Thresholds that were passed, each noted once whatever is said how often, with a message for every destination."""
    noted = 0
    for change in required(arguments, "changes"):
        if _is_news(work.connection, change):
            _note_one(work, change, arguments.get("destinations") or ())
            noted += 1
    return {"noted_count": noted}


class _SendTest(TypedDict):
    destination: str


def send_test(work: UnitOfWork, arguments: _SendTest) -> dict[str, Any]:
    """A message that tells of nothing, so that a person sees it arrive."""
    destination = required(arguments, "destination")
    alert_id = _insert_alert(
        work, AlertKind.TEST, AlertSubject.TEST, {"subject_id": 0, "threshold": 0, "used": 0, "allowance": 0}
    )
    (message,) = _insert_messages(work, alert_id, [destination])
    return {"message": message, "destination": destination, "state": PENDING}


class _Retry(TypedDict, total=False):
    message: str


def retry(work: UnitOfWork, arguments: _Retry) -> dict[str, Any]:
    """A message that was given up, or all of them, tried from the beginning. Raises Refused when there is none."""
    messages = schema.alert_messages
    where = messages.c.state == DEAD
    reference = arguments.get("message")
    if reference:
        row = work.connection.execute(select(messages).where(messages.c.public_id == reference)).one_or_none()
        if row is None:
            raise Refused("not_found", f"there is no message {reference!r}: `tokenroll alert list` shows them")
        if row.state != DEAD:
            raise Refused("not_dead", f"message {reference} is {row.state}: only one that was given up is tried again")
        where &= messages.c.id == row.id
    count = work.connection.execute(
        update(messages).where(where).values(state=PENDING, attempt_count=0, next_try_at=work.now)
    ).rowcount
    return {"message_count": count}


def due(connection: Connection, now: Instant) -> list[Row[Any]]:
    """Messages to be tried now, oldest first, each with its alert."""
    messages, alerts = schema.alert_messages, schema.alerts
    query = (
        select(
            messages.c.id, messages.c.public_id, messages.c.destination, messages.c.attempt_count,
            alerts.c.public_id.label("alert"), *[alerts.c[name] for name in _ALERT_COLUMNS],
        )
        .join(alerts, alerts.c.id == messages.c.alert_id)
        .where(messages.c.state == PENDING, messages.c.next_try_at <= now)
        .order_by(messages.c.next_try_at, messages.c.id)
        .limit(MESSAGES_PER_ROUND_MAX)
    )  # fmt: skip
    rows = list(connection.execute(query))
    connection.rollback()
    return rows


def note_outcomes(connection: Connection, outcomes: Iterable[Outcome], now: Instant) -> None:
    """What became of tries: delivered, to be tried again after a pause that doubles, or given up."""
    messages = schema.alert_messages
    connection.rollback()
    with connection.begin():
        for one in outcomes:
            row = connection.execute(select(messages.c.attempt_count).where(messages.c.id == one.message_id)).one()
            count = row.attempt_count + 1
            values: dict[str, Any] = {"attempt_count": count, "last_error": one.error[:_ERROR_CHARACTERS]}
            if not one.error:
                values |= {"state": DELIVERED, "delivered_at": now}
            elif one.final or count >= MESSAGE_ATTEMPTS_MAX:
                values |= {"state": DEAD}
            else:
                values |= {"next_try_at": now + pause_seconds(count) * MICROS_PER_SECOND}
            connection.execute(update(messages).where(messages.c.id == one.message_id).values(values))


def pause_seconds(attempt_count: int) -> int:
    """How long to wait after so many tries."""
    return int(min(MESSAGE_RETRY_SECONDS_MIN * 2 ** (attempt_count - 1), MESSAGE_RETRY_SECONDS_MAX))


_ERROR_CHARACTERS: Final = 500
_ALERT_COLUMNS: Final = (
    "kind", "subject", "subject_id", "threshold_percent", "used", "allowance", "measure", "window_start_at", "recorded_at",
)  # fmt: skip


def _is_news(connection: Connection, change: Mapping[str, Any]) -> bool:
    states = schema.alert_states
    known = connection.scalar(
        select(states.c.window_start_at).where(
            states.c.subject == change["subject"],
            states.c.subject_id == change["subject_id"],
            states.c.threshold_percent == change["threshold"],
        )
    )
    if change["kind"] == AlertKind.RECOVERED:
        return known is not None
    return bool(known != change["window_start_at"])


def _note_one(work: UnitOfWork, change: Mapping[str, Any], destinations: Iterable[str]) -> None:
    states = schema.alert_states
    same = (
        (states.c.subject == change["subject"])
        & (states.c.subject_id == change["subject_id"])
        & (states.c.threshold_percent == change["threshold"])
    )
    work.connection.execute(states.delete().where(same))
    if change["kind"] == AlertKind.CROSSED:
        work.connection.execute(
            states.insert().values(
                subject=change["subject"], subject_id=change["subject_id"], threshold_percent=change["threshold"],
                window_start_at=change["window_start_at"],
            )
        )  # fmt: skip
    alert_id = _insert_alert(work, AlertKind(change["kind"]), AlertSubject(change["subject"]), change)
    _insert_messages(work, alert_id, destinations)


def _insert_alert(work: UnitOfWork, kind: AlertKind, subject: AlertSubject, change: Mapping[str, Any]) -> int:
    alert = Alert(
        id=work.new_id("alerts"),
        public_id=work.public_id("alert"),
        kind=kind,
        subject=subject,
        subject_id=change["subject_id"],
        threshold_percent=change["threshold"],
        used=change["used"],
        allowance=change["allowance"],
        measure=LimitMeasure(change.get("measure") or LimitMeasure.CREDITS),
        window_start_at=change.get("window_start_at") or 0,
        recorded_at=work.now,
    )
    work.connection.execute(
        schema.alerts.insert().values(
            id=alert.id, public_id=alert.public_id, kind=alert.kind.value, subject=alert.subject.value,
            subject_id=alert.subject_id, threshold_percent=alert.threshold_percent, used=alert.used,
            allowance=alert.allowance, measure=alert.measure.value, window_start_at=alert.window_start_at,
            recorded_at=alert.recorded_at,
        )
    )  # fmt: skip
    return alert.id


def _insert_messages(work: UnitOfWork, alert_id: int, destinations: Iterable[str]) -> list[str]:
    made = []
    for destination in destinations:
        public_id = work.public_id("message")
        work.connection.execute(
            schema.alert_messages.insert().values(
                id=work.new_id("alert_messages"), public_id=public_id, alert_id=alert_id, destination=destination,
                state=PENDING, attempt_count=0, next_try_at=work.now, last_error="", delivered_at=None, recorded_at=work.now,
            )
        )  # fmt: skip
        made.append(public_id)
    return made


def alerts_listed(connection: Connection, count: int, *, dead_only: bool = False) -> list[dict[str, Any]]:
    """The newest alerts and what became of their messages; with `dead_only` those of which one was given up."""
    alerts, messages = schema.alerts, schema.alert_messages
    query = select(alerts).order_by(alerts.c.id.desc()).limit(count)
    if dead_only:
        query = query.where(alerts.c.id.in_(select(messages.c.alert_id).where(messages.c.state == DEAD)))
    rows = connection.execute(query).all()
    sent: dict[int, list[dict[str, Any]]] = {}
    for row in connection.execute(
        select(messages).where(messages.c.alert_id.in_([row.id for row in rows])).order_by(messages.c.id)
    ):
        sent.setdefault(row.alert_id, []).append(
            {
                "message": row.public_id, "destination": row.destination, "state": row.state, "attempt_count": row.attempt_count,
                "next_try_at": row.next_try_at if row.state == PENDING else None, "delivered_at": row.delivered_at,
                "last_error": row.last_error or None,
            }
        )  # fmt: skip
    return [{**alert_told(connection, row, row.public_id), "messages": sent.get(row.id, [])} for row in rows]


def alert_told(connection: Connection, row: Row[Any], public_id: str) -> dict[str, Any]:
    """An alert as every door and every message tells it."""
    from tokenroll.services.limit_reports import amount  # noqa: PLC0415 - limit reports need what commands need

    subject = AlertSubject(row.subject)
    measure = LimitMeasure(row.measure)
    told: dict[str, Any] = {
        "alert": public_id,
        "kind": row.kind,
        "subject": row.subject,
        "subject_id": None,
        "name": None,
        "threshold_percent": row.threshold_percent,
        "used": amount(measure, row.used),
        "of": amount(measure, row.allowance),
        "recorded_at": row.recorded_at,
    }
    if subject is not AlertSubject.TEST:
        table = schema.wallets if subject is AlertSubject.WALLET else schema.limits
        found = connection.execute(select(table.c.public_id, table.c.name).where(table.c.id == row.subject_id)).one()
        told |= {"subject_id": found.public_id, "name": found.name}
    return told


def dead_count(connection: Connection) -> int:
    """How many messages were given up."""
    messages = schema.alert_messages
    query = select(func.count()).select_from(messages).where(messages.c.state == DEAD)
    return connection.scalar(query) or 0
