"""Paying: pay slips of a cycle, as a preview, as a rehearsal, and closed for good."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select

from tokenroll.books.words import paper_name
from tokenroll.engine.calendar import month_cycle_at
from tokenroll.engine.paying import pay_slip
from tokenroll.model.instant import Instant, datetime_from_instant, text_from_instant
from tokenroll.model.limits import ENTERED_AT_MAX, ENTERED_AT_MIN
from tokenroll.model.pay_cycle import PaySlip
from tokenroll.services.cycle_facts import WalletCycle, cycle_in_zone, stored_lots, wallet_cycles
from tokenroll.services.finding import find_wallet, required
from tokenroll.services.people import company_zone
from tokenroll.services.unit_of_work import Refused, UnitOfWork
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.cycles import CycleBook, cycle_name, cycle_number

SUMMED: Final = (
    "opening_nanos", "granted_nanos", "vested_nanos", "spent_nanos", "adjustments_nanos", "breakage_nanos",
    "forfeited_nanos", "clawed_back_nanos", "closing_nanos", "suspense_nanos", "company_carried_nanos", "call_count",
)  # fmt: skip


def cycle_from_text(text: str) -> int:
    """`2026-01` as the number rows keep. Raises Refused."""
    year, _, month = text.partition("-")
    if not (
        len(year) == 4
        and year.isascii()
        and year.isdigit()
        and month.isascii()
        and month.isdigit()
        and 1 <= int(month) <= 12
    ):
        message = f"a cycle is a month such as 2026-01, not {text!r}"
        raise Refused("argument", message)
    first, last = (datetime_from_instant(at).year for at in (ENTERED_AT_MIN, ENTERED_AT_MAX))
    if not first <= int(year) <= last:
        message = f"a cycle lies in the years from {first} to {last}, so {text} is none"
        raise Refused("argument", message)
    return cycle_number(f"{year}-{int(month):02d}")


def slips_of(connection: Connection, cycle: int, now: Instant) -> list[dict[str, Any]]:
    """The slips of a cycle, by name: the stored ones once it is closed, else as they would be now."""
    run = _run_of(connection, cycle)
    if run is None:
        return [_slip(one) for one in wallet_cycles(connection, cycle, now)]
    slips = schema.pay_slips
    rows = connection.execute(select(slips).where(slips.c.pay_run_id == run.id))
    found = [{**json.loads(row.values_json), "payslip": row.public_id, "closed_at": run.closed_at} for row in rows]
    return sorted(found, key=lambda one: str(one["name"]))


def slip_of(connection: Connection, reference: str, cycle: int, now: Instant) -> dict[str, Any]:
    """One wallet's slip of a cycle."""
    wallet = find_wallet(connection, reference)
    if _run_of(connection, cycle) is None:
        _refuse_outside_life(wallet, cycle, now)
        return _slip(wallet_cycles(connection, cycle, now, wallet.id)[0])
    for slip in slips_of(connection, cycle, now):
        if slip["wallet"] == wallet.public_id:
            return slip
    message = f"{wallet.name} had no wallet when {cycle_name(cycle)} was closed"
    raise Refused("not_found", message)


def _refuse_outside_life(wallet: Row[Any], cycle: int, now: Instant) -> None:
    """A month that has not begun, or that was over before there was a wallet, has no paper. Raises Refused."""
    zone = ZoneInfo(wallet.zone)
    first = cycle_number(month_cycle_at(wallet.recorded_at, wallet.zone, zone).name)
    this = cycle_number(month_cycle_at(now, wallet.zone, zone).name)
    if cycle > this:
        message = f"{cycle_name(cycle)} has not begun, so there is no slip of it: this month is {cycle_name(this)}"
        raise Refused("not_found", message)
    if cycle < first:
        message = (
            f"the wallet of {wallet.name} was opened in {cycle_name(first)}: there is no slip of {cycle_name(cycle)}"
        )
        raise Refused("not_found", message)


def summary(slips: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The sums of a run: opening + movements = closing holds for them because it holds for each slip."""
    known = list(slips)
    return {name: sum(int(slip[name]) for slip in known) for name in SUMMED}


def obstacles_of_time(connection: Connection, cycle: int, now: Instant) -> list[str]:
    """Why a cycle cannot be closed at this time, whatever its calls: it is closed, or has not ended. Empty when it can."""
    closed = _newest_closed(connection)
    if cycle <= closed:
        return [f"{cycle_name(cycle)} is closed already: the newest closed cycle is {cycle_name(closed)}"]
    zones = {*connection.scalars(select(schema.wallets.c.zone).distinct()), company_zone(connection)}
    last, zone = max((cycle_in_zone(cycle, zone).end_until, zone) for zone in zones)
    if now < last:
        ends = f"it ends at {text_from_instant(last)}, at midnight in {zone}"
        return [f"{cycle_name(cycle)} has not ended in every zone yet: {ends}"]
    return []


def obstacles(connection: Connection, cycle: int, now: Instant) -> list[str]:
    """What stands in the way of closing a cycle, each as a sentence; empty when nothing does."""
    found = obstacles_of_time(connection, cycle, now)
    checked = 0 if cycle <= _newest_closed(connection) else _being_checked(connection, cycle)
    if checked:
        found.append(
            f"{checked} {'call of it is' if checked == 1 else 'calls of it are'} still being checked: "
            "`tokenroll reconcile --bill FILE`, "
            f"or let the evidence decide with `tokenroll reconcile --through {cycle_name(cycle)}`"
        )
    return found


def _newest_closed(connection: Connection) -> int:
    return connection.scalar(select(func.max(schema.pay_runs.c.cycle))) or 0


def _being_checked(connection: Connection, cycle: int) -> int:
    """How many attempts in suspense were admitted up to that cycle; later ones do not stand in its way."""
    wallets, holds = schema.wallets, schema.holds
    query = select(wallets.c.zone, holds.c.record).join(wallets, wallets.c.id == holds.c.wallet_id)
    book = CycleBook()
    rows = connection.execute(query.where(holds.c.state == "suspense"))
    return sum(book.of_admission(zone, parse_record(record).hold.admitted_at) <= cycle for zone, record in rows)


def close(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The cycle's slips stored for good; from now on its late calls are adjustments of the next one (DESIGN §5)."""
    cycle = cycle_from_text(required(arguments, "cycle"))
    problems = obstacles(work.connection, cycle, work.now)
    if problems:
        raise Refused("not_closable", "; ".join(problems))
    run_id = work.new_id("pay_runs")
    public_id = work.public_id("payrun")
    slips = [(one, _slip(one)) for one in wallet_cycles(work.connection, cycle, work.now)]
    work.connection.execute(
        schema.pay_runs.insert().values(
            id=run_id,
            public_id=public_id,
            cycle=cycle,
            cycle_name=cycle_name(cycle),
            closed_at=work.now,
            ledger_seq=work.journal.next_seq - 1,
        )
    )
    for one, slip in slips:
        slip_id = work.new_id("pay_slips")
        stored = {**slip, "lots": stored_lots(one.facts)}
        work.connection.execute(
            schema.pay_slips.insert().values(
                id=slip_id,
                public_id=work.public_id("payslip"),
                pay_run_id=run_id,
                wallet_id=one.wallet.id,
                values_json=json.dumps(stored, sort_keys=True),
            )
        )
        work.fact(schema.pay_slips, slip_id)
    return {
        "payrun": public_id,
        "cycle": cycle_name(cycle),
        "closed_at": work.now,
        "slip_count": len(slips),
        **summary(slip for _, slip in slips),
    }


def runs(connection: Connection) -> list[dict[str, Any]]:
    """Closed cycles, newest first."""
    table, slips = schema.pay_runs, schema.pay_slips
    count = select(func.count()).where(slips.c.pay_run_id == table.c.id).scalar_subquery()
    query = select(table, count.label("slip_count")).order_by(table.c.cycle.desc())
    return [
        {"payrun": row.public_id, "cycle": row.cycle_name, "closed_at": row.closed_at, "slip_count": row.slip_count}
        for row in connection.execute(query)
    ]


def _run_of(connection: Connection, cycle: int) -> Row[Any] | None:
    return connection.execute(select(schema.pay_runs).where(schema.pay_runs.c.cycle == cycle)).one_or_none()


def _slip(one: WalletCycle) -> dict[str, Any]:
    """One slip with what a paper needs to name it. Raises AssertionError rather than show one that does not add up."""
    slip: PaySlip = pay_slip(one.facts)
    whole = cycle_in_zone(cycle_from_text(slip.cycle_name), one.wallet.zone)
    amounts = {name: value for name, value in asdict(slip).items() if name not in {"wallet_id", "cycle_name"}}
    return {
        "wallet": one.wallet.public_id,
        "name": one.wallet.name,
        "zone": one.wallet.zone,
        "cycle": slip.cycle_name,
        "start_at": whole.start_at,
        "end_until": whole.end_until,
        "classifications": list(one.classifications),
        "paper": paper_name(one.classifications),
        **amounts,
    }
