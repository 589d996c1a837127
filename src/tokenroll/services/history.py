"""A wallet's calls, newest first, by walking the list that its settlements form; and what a usual day costs."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, text

from tokenroll.model.identifier import call_identifier
from tokenroll.model.instant import MICROS_PER_SECOND, Instant, datetime_from_instant
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, OUTPUT_METERS
from tokenroll.services.charge_reports import booked_parts
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, Outcome, hold_key, parse_record

CALLS_SHOWN_MAX: Final = 1000
"""Calls of one page or listing; more are asked for by the next page's start."""
USUAL_DAYS: Final = 28
"""Days looked back for a usual day: four whole weeks, so that weekends weigh the same in each."""
DAYS_REMEMBERED: Final = 62
"""Two of the longest months, so that a cycle and the usual days before it are both covered."""
CALLS_WALKED_MAX: Final = 200_000
"""Calls looked at for one answer; a wallet that makes more is judged by its newest ones."""
USUAL_RULE: Final = (
    f"left divided by the mean spending of the days with calls among the last {USUAL_DAYS}, rounded down"
)

KEY_CALLS_WALKED_MAX: Final = 2_000
"""Calls looked at for one page of a key's calls: a tenth of a second."""

_WALK: Final = text(
    "WITH RECURSIVE walk(ledger_seq, hold_key, admitted_at, charge_nanos, outcome, previous_seq, step) AS ("
    " SELECT ledger_seq, hold_key, admitted_at, charge_nanos, outcome, previous_seq, 1"
    " FROM settlements WHERE ledger_seq = :head"
    " UNION ALL"
    " SELECT s.ledger_seq, s.hold_key, s.admitted_at, s.charge_nanos, s.outcome, s.previous_seq, w.step + 1"
    " FROM settlements s JOIN walk w ON s.ledger_seq = w.previous_seq WHERE w.step < :most AND s.ledger_seq > :stop)"
    " SELECT ledger_seq, hold_key, admitted_at, charge_nanos, outcome, previous_seq FROM walk"
)
_OUTCOMES: Final = {
    Outcome.SETTLED: "settled",
    Outcome.RELEASED: "not charged",
    Outcome.RESOLVED: "settled after a check",
}
_OPEN_STATES: Final = {"held": "in use now", "dispatched": "in use now", "suspense": "being checked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualDay:
    """What a day with calls costs on average, and how many such days there were."""

    mean_nanos: int
    active_day_count: int

    def days_for(self, left_nanos: int) -> int | None:
        """How many such days `left_nanos` buys, rounded down; None without any to judge by."""
        return None if self.mean_nanos == 0 else left_nanos // self.mean_nanos


class DaySums:
    """What a wallet's calls, and its charged usage around the gateway, cost per day in its zone. Remembers, so a later question reads only new calls.

    Charges stand twice: on the day of use for what is usual, and on the day that they were booked to for what a cycle spent.
    """

    __slots__ = (
        "_booked",
        "_booked_through",
        "_calls",
        "_charges_through",
        "_head",
        "_lock",
        "_used",
        "wallet_id",
        "zone",
    )

    def __init__(self, wallet_id: int, zone: str) -> None:
        self.wallet_id = wallet_id
        self.zone = ZoneInfo(zone)
        self._head = 0
        self._charges_through = 0
        self._booked_through = 0
        self._lock = threading.Lock()
        self._calls: dict[int, int] = {}
        self._used: dict[int, int] = {}
        self._booked: dict[int, int] = {}

    def read(self, connection: Connection, now: Instant) -> None:
        """Every call that ended since the last reading, and none older than DAYS_REMEMBERED."""
        since = now - DAYS_REMEMBERED * 86_400 * MICROS_PER_SECOND
        head = head_of(connection, self.wallet_id)
        with self._lock:
            self._read_charges(connection, since)
            self._read_booked(connection, since)
            for row in walk(connection, head, CALLS_WALKED_MAX, self._head):
                if row.admitted_at >= since:
                    day = self._day(row.admitted_at)
                    self._calls[day] = self._calls.get(day, 0) + row.charge_nanos
            # another thread's snapshot may have been newer than this one
            self._head = max(head, self._head)

    def _read_charges(self, connection: Connection, since: Instant) -> None:
        """What usage around the gateway was charged since the last reading."""
        charges = schema.usage_charges.c
        query = select(charges.id, charges.used_at, charges.charged_nanos).where(
            charges.wallet_id == self.wallet_id, charges.used_at >= since, charges.id > self._charges_through
        )
        for charge_id, used_at, nanos in connection.execute(query.order_by(charges.id)):
            day = self._day(used_at)
            self._used[day] = self._used.get(day, 0) + nanos
            self._charges_through = charge_id

    def _read_booked(self, connection: Connection, since: Instant) -> None:
        """What was paid of such usage since the last reading, whoever paid: a late charge is of the cycle that is open."""
        query = booked_parts(self._booked_through, since).where(schema.usage_charges.c.wallet_id == self.wallet_id)
        for seq, _, booked_at, nanos in connection.execute(query.order_by(schema.usage_charge_parts.c.ledger_seq)):
            day = self._day(booked_at)
            self._booked[day] = self._booked.get(day, 0) + nanos
            self._booked_through = seq

    def usual_day(self, now: Instant) -> UsualDay:
        """The mean over the days with a charge among the last USUAL_DAYS, today included."""
        today = self._day(now)
        days = range(today - USUAL_DAYS + 1, today + 1)
        spent = [nanos for day in days if (nanos := self._calls.get(day, 0) + self._used.get(day, 0))]
        return UsualDay(mean_nanos=sum(spent) // len(spent) if spent else 0, active_day_count=len(spent))

    def spent_since(self, at: Instant) -> int:
        """What calls of the day of `at` and later cost, and what of charges was booked to those days."""
        first = self._day(at)
        return sum(nanos for sums in (self._calls, self._booked) for day, nanos in sums.items() if day >= first)

    def _day(self, at: Instant) -> int:
        return datetime_from_instant(at).astimezone(self.zone).toordinal()


def head_of(connection: Connection, wallet_id: int) -> int:
    """The newest settlement of a wallet; 0 for none."""
    values = schema.wallet_values
    return connection.scalar(select(values.c.last_seq).where(values.c.wallet_id == wallet_id)) or 0


def walk(connection: Connection, head: int, most: int, stop: int = 0) -> Iterator[Any]:
    """Rows of a wallet's settlements from `head` back to before `stop`, without their records."""
    if head > stop:
        yield from connection.execute(_WALK, {"head": head, "most": most, "stop": stop})


def open_calls(connection: Connection, wallet_id: int) -> list[dict[str, Any]]:
    """Calls in use now or being checked, newest first."""
    holds = schema.holds
    rows = connection.execute(select(holds).where(holds.c.wallet_id == wallet_id).order_by(holds.c.hold_key.desc()))
    found = []
    for row in rows:
        record = parse_record(row.record)
        facts = _facts(connection, row.hold_key, record)
        found.append({**facts, "outcome": _OPEN_STATES[row.state], "charge_nanos": None})
    return sorted(found, key=lambda one: -one["admitted_at"])[:CALLS_SHOWN_MAX]


def ended_calls(connection: Connection, wallet_id: int, limit: int, head: int | None = None) -> list[dict[str, Any]]:
    """Ended calls, newest first. `previous_seq` of the last is where the next page starts (0: no more)."""
    start = head_of(connection, wallet_id) if head is None else head
    settlements = schema.settlements
    rows = walk(connection, start, min(limit, CALLS_SHOWN_MAX))
    whole = (
        connection.execute(select(settlements).where(settlements.c.ledger_seq == row.ledger_seq)).one() for row in rows
    )
    return [_ended(connection, row) for row in whole]


def calls_of_key(
    connection: Connection, wallet_id: int, api_key_id: int, limit: int, head: int | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Ended calls that came with a key, newest first; and where the next page starts (0: no more).

    Settlements are a list by wallet, so those of other keys are passed over: of KEY_CALLS_WALKED_MAX at most, which may leave a page
    short or empty while there are older ones.
    """
    start = head_of(connection, wallet_id) if head is None else head
    settlements = schema.settlements
    found: list[dict[str, Any]] = []
    following = 0
    for row in walk(connection, start, KEY_CALLS_WALKED_MAX):
        whole = connection.execute(select(settlements).where(settlements.c.ledger_seq == row.ledger_seq)).one()
        following = whole.previous_seq
        if parse_record(whole.record).hold.api_key_id == api_key_id:
            found.append(_ended(connection, whole))
            if len(found) == limit:
                break
    return found, following


def calls_of_cycle(connection: Connection, wallet_id: int, cycle: int, limit: int) -> list[dict[str, Any]]:
    """The newest ended calls that are booked to a cycle, by its number."""
    settlements, reversals = schema.settlements, schema.pay_run_reversals
    # rows of a wallet ascend by cycle, unless one was opened again
    ordered = connection.scalar(select(reversals.c.id).limit(1)) is None
    found: list[dict[str, Any]] = []
    for row in walk(connection, head_of(connection, wallet_id), CALLS_WALKED_MAX):
        whole = connection.execute(select(settlements).where(settlements.c.ledger_seq == row.ledger_seq)).one()
        if (ordered and whole.cycle < cycle) or len(found) == min(limit, CALLS_SHOWN_MAX):
            break
        if whole.cycle == cycle:
            found.append(_ended(connection, whole))
    return found


def _ended(connection: Connection, row: Any) -> dict[str, Any]:
    return {
        **_facts(connection, row.hold_key, parse_record(row.record)),
        "outcome": _OUTCOMES[Outcome(row.outcome)],
        "charge_nanos": row.charge_nanos,
        "ledger_seq": row.ledger_seq,
        "previous_seq": row.previous_seq,
    }


def _facts(connection: Connection, number: int, record: AttemptRecord) -> dict[str, Any]:
    key = hold_key(number)
    settle = record.settle
    model = settle.answered_model_name if settle and settle.answered_model_name else record.hold.model_name
    counts = settle.counts if settle else ()
    return {
        "call": call_identifier(record.hold.call_number(number)),
        "attempt": record.hold.attempt,
        "admitted_at": record.hold.admitted_at,
        "model": name_text(connection, key.worker, key.epoch, model),
        "hold_nanos": record.hold.bound_nanos,
        "input_tokens": _sum(counts, INPUT_METERS),
        "output_tokens": _sum(counts, OUTPUT_METERS),
    }


def name_text(connection: Connection, worker: int, epoch: int, name_id: int) -> str:
    """The text that a name id of a tape stands for; empty for none."""
    if not name_id:
        return ""
    names = schema.names
    where = (names.c.worker == worker) & (names.c.epoch == epoch) & (names.c.name_id == name_id)
    return connection.scalar(select(names.c.text).where(where)) or ""


def _sum(counts: tuple[int | None, ...], meters: Any) -> int | None:
    known = [counts[METER_INDEX[meter]] for meter in meters if METER_INDEX[meter] < len(counts)]
    given = [count for count in known if count is not None]
    return sum(given) if given else None
