"""Trying a plan: a month of calls, or a log of them, as they would have gone under one grant of it to everybody who may have it."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from tokenroll.engine.burning import Allowance
from tokenroll.engine.eligibility import reasons_against
from tokenroll.engine.trying import Trial, try_calls
from tokenroll.engine.vesting import vest
from tokenroll.model.amount import AmountError, nanos_from_text
from tokenroll.model.formula import FormulaKind
from tokenroll.model.grant import Grant
from tokenroll.model.instant import Instant, instant_from_text
from tokenroll.model.limits import TRIAL_ROWS_MAX
from tokenroll.model.pay_cycle import CycleDays
from tokenroll.model.plan import Plan
from tokenroll.model.wallet import HolderKind
from tokenroll.services.award_sizes import departments_above, member_facts, size_for
from tokenroll.services.cycle_finding import cycle_in_zone, find_cycle
from tokenroll.services.finding import find_plan
from tokenroll.services.planning import plan_from_row
from tokenroll.services.refusal import Refused
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook

_COLUMNS: Final = ("member", "at", "credits")
Calls = dict[str, list[tuple[Instant, int]]]
"""By name, in the order of time: when, and what it cost."""


def plan_trial(
    connection: Connection, reference: str, cycle: str, now: Instant, *, amount_nanos: int | None, log: Path | None
) -> dict[str, Any]:
    """Everybody who has a wallet, or is in the log, under the plan from the beginning of the month of their zone.

    Raises Refused for a plan or month that is none, and for a log with a row that cannot be read, by its line.
    """
    days = find_cycle(CycleBook(connection), cycle)
    plan = plan_from_row(find_plan(connection, reference, now))
    zones = _zones(connection)
    calls = _calls_of_ledger(connection, days.number) if log is None else _calls_of_log(log)
    had = _granted(connection, days, zones)
    share = _Share(connection, plan, amount_nanos, days)
    rows = []
    for name in sorted(zones.keys() | calls.keys() if log is None else calls.keys()):
        zone = zones.get(name, "UTC")
        amount, why = share.of(name, zone)
        rows.append(_row(name, _try(plan, amount, days, zone, calls.get(name, [])), had.get(name, 0), why))
    rows.sort(key=lambda row: (-int(row["missing_nanos"]), -int(row["used_nanos"])))
    return {
        "plan": plan.name,
        "version": plan.version,
        "cycle": cycle,
        "source": "ledger" if log is None else "log",
        "amount_nanos": plan.amount_nanos if amount_nanos is None else amount_nanos,
        "people": rows,
        "sums": _sums(rows),
    }


class _Share:
    """What each would get: an amount to be tried, or the plan's own rules for who may have it and how much it is for them."""

    def __init__(self, connection: Connection, plan: Plan, amount_nanos: int | None, cycle: CycleDays) -> None:
        self._plan = plan
        self._amount_nanos = amount_nanos
        self._cycle = cycle
        self._departments = departments_above(connection)
        self._members = {row.name: row for row in connection.execute(select(schema.members))}

    def of(self, name: str, zone: str) -> tuple[int, str]:
        """The nanos, and why they are none or not the plan's own. A name of a log that nobody has is asked nothing."""
        member = self._members.get(name)
        if member is not None:
            facts = member_facts(member, self._departments)
            against = reasons_against(self._plan.terms.eligibility, facts, name)
            if against:
                return 0, "; ".join(against)
        if self._amount_nanos is not None:
            return self._amount_nanos, ""
        try:
            found = size_for(self._plan, member, zone, {}, cycle_in_zone(self._cycle, zone).start_at)
        except Refused as refused:
            if self._needs_more:
                message = f"{refused.message}: a trial knows neither base pay nor scores; try it with --amount"
                raise Refused("argument", message) from refused
            return 0, refused.message
        return found.amount_nanos, found.how

    @property
    def _needs_more(self) -> bool:
        return self._plan.terms.formula.kind in {FormulaKind.PERCENT_OF_BASE, FormulaKind.PER_OUTCOME}


def _try(plan: Plan, amount_nanos: int, cycle: CycleDays, zone: str, calls: list[tuple[Instant, int]]) -> Trial:
    span = cycle_in_zone(cycle, zone)
    within = [one for one in calls if span.start_at <= one[0] < span.end_until]
    if amount_nanos == 0:
        return try_calls([], within, span.start_at, span.end_until)
    grant = Grant(
        id=1,
        public_id="trial",
        wallet_id=1,
        plan_id=plan.id,
        kind=plan.kind,
        classification=plan.classification,
        amount_nanos=amount_nanos,
        effective_at=span.start_at,
        recorded_at=span.start_at,
        vesting=plan.vesting,
        lot_lifetime=plan.lot_lifetime,
        priority=plan.priority,
    )
    allowances = [
        Allowance(
            id=f"{lot.id:04d}",
            amount_nanos=lot.amount_nanos,
            effective_at=lot.effective_at,
            expires_at=lot.expires_at,
            created_at=lot.effective_at,
            priority=lot.priority,
        )
        for lot in vest(grant, ZoneInfo(zone), 1)
        if lot.effective_at < span.end_until
    ]
    return try_calls(allowances, within, span.start_at, span.end_until)


def _row(name: str, trial: Trial, had_nanos: int, why: str) -> dict[str, Any]:
    change = trial.granted_nanos - had_nanos
    return {
        "name": name,
        "used_nanos": trial.used_nanos,
        "granted_nanos": trial.granted_nanos,
        "had_nanos": had_nanos,
        "paid_nanos": trial.paid_nanos,
        "missing_nanos": trial.missing_nanos,
        "stopped_count": trial.stopped_count,
        "first_stopped_at": trial.first_stopped_at,
        "unused_nanos": trial.left_nanos,
        "change": "gains" if change > 0 else "loses" if change < 0 else "same",
        "why": why or None,
    }


def _sums(rows: list[dict[str, Any]]) -> dict[str, int]:
    names = ("used_nanos", "granted_nanos", "had_nanos", "paid_nanos", "missing_nanos", "unused_nanos", "stopped_count")
    return {
        "people_count": len(rows),
        "starved_count": sum(1 for row in rows if row["stopped_count"]),
        "gaining_count": sum(1 for row in rows if row["granted_nanos"] > row["had_nanos"]),
        "losing_count": sum(1 for row in rows if row["granted_nanos"] < row["had_nanos"]),
        **{name: sum(int(row[name]) for row in rows) for name in names},
    }


def _zones(connection: Connection) -> dict[str, str]:
    """Of members' wallets, by name."""
    wallets = schema.wallets
    query = select(wallets.c.name, wallets.c.zone).where(wallets.c.holder_kind == HolderKind.MEMBER.value)
    return dict(connection.execute(query).all())


def _calls_of_ledger(connection: Connection, cycle: int) -> Calls:
    wallets, settlements = schema.wallets, schema.settlements
    query = (
        select(wallets.c.name, settlements.c.admitted_at, settlements.c.charge_nanos)
        .join(wallets, wallets.c.id == settlements.c.wallet_id)
        .where(
            settlements.c.cycle >= cycle,
            settlements.c.charge_nanos > 0,
            wallets.c.holder_kind == HolderKind.MEMBER.value,
        )
        .order_by(settlements.c.admitted_at, settlements.c.ledger_seq)
    )
    calls: Calls = {}
    for name, at, nanos in connection.execute(query):
        calls.setdefault(name, []).append((at, nanos))
    return calls


def _granted(connection: Connection, cycle: CycleDays, zones: Mapping[str, str]) -> dict[str, int]:
    """What became spendable in the month for each, whatever the plan."""
    wallets, lots = schema.wallets, schema.lots
    spans = {zone: cycle_in_zone(cycle, zone) for zone in set(zones.values())}
    query = select(wallets.c.name, lots.c.effective_at, lots.c.amount_nanos).join(
        wallets, wallets.c.id == lots.c.wallet_id
    )
    if spans:
        query = query.where(
            lots.c.effective_at >= min(span.start_at for span in spans.values()),
            lots.c.effective_at < max(span.end_until for span in spans.values()),
        )
    had: dict[str, int] = {}
    for name, at, nanos in connection.execute(query):
        span = spans.get(zones.get(name, ""))
        if span is not None and span.start_at <= at < span.end_until:
            had[name] = had.get(name, 0) + nanos
    return had


def _calls_of_log(path: Path) -> Calls:
    """A CSV with the columns member, at and credits; in any order of time. Raises Refused with the line of what cannot be read."""
    calls: Calls = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for line, row in _lines(path, csv.DictReader(file)):
                name = str(row["member"] or "").strip()
                at, nanos = _at(path, line, row["at"]), _nanos(path, line, row["credits"])
                if not name:
                    raise _unreadable(path, line, "member", "is empty")
                calls.setdefault(name, []).append((at, nanos))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = f"the log {path} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise Refused("log", message) from error
    if not calls:
        message = f"the log {path} holds no calls"
        raise Refused("log", message)
    for one in calls.values():
        one.sort()
    return calls


def _lines(path: Path, reader: "csv.DictReader[str]") -> Iterable[tuple[int, Mapping[str, Any]]]:
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        message = f"{path}, line 1: a log has the columns {', '.join(_COLUMNS)}; {', '.join(missing)} is missing"
        raise Refused("log", message)
    for count, row in enumerate(reader, 1):
        if count > TRIAL_ROWS_MAX:
            message = f"the log {path} has more than {TRIAL_ROWS_MAX} rows; try a part of it"
            raise Refused("log", message)
        yield reader.line_num, row


def _at(path: Path, line: int, text: str | None) -> Instant:
    try:
        return instant_from_text(text or "")
    except ValueError as error:
        raise _unreadable(path, line, "at", f"{text!r} is no instant such as 2026-01-31T09:00:00Z") from error


def _nanos(path: Path, line: int, text: str | None) -> int:
    try:
        nanos = nanos_from_text(text or "")
    except AmountError as error:
        raise _unreadable(path, line, "credits", str(error)) from error
    if nanos < 0:
        raise _unreadable(path, line, "credits", f"{text} is negative")
    return nanos


def _unreadable(path: Path, line: int, column: str, why: str) -> Refused:
    return Refused("log", f"{path}, line {line}, {column}: {why}")
