"""The second process: it knows a home and reads everything back from the ledger, the tape and the provider's bill.

Started with `python -m tokenroll.cli.demo.auditor` and TOKENROLL_HOME; one question a line on standard input, one answer a line.
It opens the ledger read-only and shares no memory with the demo, so that a demo cannot vouch for itself.
"""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from tokenroll.app import Reader
from tokenroll.model.identifier import call_identifier
from tokenroll.model.instant import datetime_from_instant
from tokenroll.services import history
from tokenroll.services.finding import find_wallet
from tokenroll.services.lake_feeding import SettlementEvents
from tokenroll.services.replay_proof import Standing, prove
from tokenroll.services.reporting import Reports
from tokenroll.settings import load_settings
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome, parse_record

EMPTY: Final = Standing(ledger_seq=0, settlements=0, spent_nanos=0, charged_nanos=0, open_holds=0)


def company(reports: Reports) -> dict[str, Any]:
    """Who there is, and what they were granted."""
    members = reports.members()
    grants = schema.grants
    granted = reports.connection.execute(select(func.count(), func.sum(grants.c.amount_nanos))).one()
    return {
        "people": sum(one["kind"] == "person" for one in members),
        "departments": {one["name"]: one["member_count"] for one in reports.departments()},
        "grant_count": granted[0],
        "granted_nanos": granted[1],
        "live_key_count": sum(one["state"] == "live" for one in reports.keys()),  # noqa: SIM118  a report, no dict
        "rate_card_count": len(reports.rate_cards()),
    }


def grants(reports: Reports, *, member: str) -> dict[str, Any]:
    """A member's grants with their tranches, and the wallet they fill."""
    return {
        "wallet": reports.wallet(member),
        "grants": [reports.grant(one["grant"]) for one in reports.grants(member)],
    }


def tranches(reports: Reports, *, member: str, grants: list[str]) -> dict[str, Any]:
    """A wallet's amounts, its newest call's charge, and what became of the tranches of some grants."""
    found = reports.wallet(member)
    newest = reports.calls(member, limit=1)
    told = {}
    for one in grants:
        grant = reports.grant(one)
        parts = ("spent_nanos", "forfeited_nanos")
        told[one] = {**grant, **{name: sum(int(lot[name]) for lot in grant["lots"]) for name in parts}}
    return {**found, "grants": told, "newest_charge_nanos": newest[0]["charge_nanos"] if newest else None}


def wallet(reports: Reports, *, member: str) -> dict[str, Any]:
    """One wallet as its holder sees it."""
    return reports.wallet(member)


def under_way(reports: Reports) -> dict[str, Any]:
    """How many calls have not ended, by what is known of them."""
    holds = schema.holds
    rows = reports.connection.execute(select(holds.c.state, func.count()).group_by(holds.c.state))
    states: dict[str, int] = dict(rows.all())
    checked = states.pop("suspense", 0)
    return {"under_way": sum(states.values()), "being_checked": checked, "settled": _settled_count(reports.connection)}


def sums(reports: Reports, *, bill: str) -> dict[str, Any]:
    """The provider's whole bill against the whole ledger, call by call."""
    proof = prove(load_settings().ledger_place, EMPTY, Path(bill).read_bytes().splitlines())
    return {
        **proof.summary(),
        "attempts_settled": proof.attempts_settled,
        "attempts_released": proof.attempts_released,
        "attempts_open": proof.attempts_open,
        "sources": proof.sources,
        "tokens": proof.tokens,
        "wallet_count": _wallets_that_paid(reports.connection),
        "lowest_left_nanos": min(one["left_nanos"] for one in reports.wallets()),
    }


def race(reports: Reports, *, member: str, seen: str, bound_nanos: int) -> dict[str, Any]:
    """What 200 agents were told, joined by their own call ids with what the ledger has of them."""
    told: dict[str, int] = json.loads(Path(seen).read_text(encoding="utf-8"))
    connection = reports.connection
    row = find_wallet(connection, member)
    known = _client_calls(connection)
    settled = {call for call, outcome in known.items() if call in told and outcome == Outcome.SETTLED}
    served = {call for call, status in told.items() if status == 200}
    refused = {call for call, status in told.items() if status != 200 and call not in known}
    found = reports.wallet(member)
    values = schema.wallet_values
    carried = connection.scalar(select(values.c.company_nanos).where(values.c.wallet_id == row.id)) or 0
    taken = sum(int(found[name]) for name in ("spent_nanos", "in_use_nanos", "being_checked_nanos"))
    return {
        "told_count": len(told),
        "served": len(served & settled),
        "refused": len(refused),
        "neither": len(told) - len(served & settled) - len(refused),
        "granted_nanos": found["granted_nanos"],
        "affords": int(found["granted_nanos"]) // bound_nanos,
        "spent_nanos": found["spent_nanos"],
        "left_nanos": found["left_nanos"],
        "overspent_nanos": max(0, taken - int(found["granted_nanos"])) + carried,
    }


def went_on(reports: Reports, *, grant: str, call: str) -> dict[str, Any]:
    """How long after a top-up was recorded a call was admitted, and what became of it."""
    grants_table, settlements = schema.grants, schema.settlements
    recorded_at = reports.connection.scalar(select(grants_table.c.recorded_at).where(grants_table.c.public_id == grant))
    calls, rows = schema.client_calls, settlements
    row = reports.connection.execute(
        select(rows.c.admitted_at, rows.c.charge_nanos)
        .join(calls, calls.c.hold_key == rows.c.hold_key)
        .where(calls.c.client_call_id == call)
    ).one_or_none()
    if recorded_at is None or row is None:
        return {"found": False}
    return {"found": True, "after_micros": row.admitted_at - recorded_at, "charge_nanos": row.charge_nanos}


def recovery(reports: Reports) -> dict[str, Any]:
    """The newest life of worker 0: how long it took to be ready, and what it brought of earlier lives' tapes.

    Records of an earlier life that were folded after the new one said hello are what it replayed.
    """
    connection, workers, batches = reports.connection, schema.workers, schema.batches
    worker = connection.execute(select(workers).where(workers.c.worker == 0)).one()
    replayed = connection.execute(
        select(batches.c.first_record, batches.c.last_record).where(
            (batches.c.worker == 0) & (batches.c.epoch < worker.epoch) & (batches.c.closed_at >= worker.hello_at)
        )
    ).all()
    return {
        "epoch": worker.epoch,
        "ready_micros": None if worker.ready_at is None else worker.ready_at - worker.hello_at,
        "replayed_records": sum(row.last_record - row.first_record + 1 for row in replayed),
        **under_way(reports),
    }


def cut_calls(reports: Reports, *, calls: list[str]) -> dict[str, Any]:
    """What the ledger has of calls that a crash cut: each once, settled or being checked."""
    connection, holds, settlements = reports.connection, schema.holds, schema.settlements
    counts = dict.fromkeys(calls, 0)
    states: dict[str, int] = {}
    words = {Outcome.SETTLED: "settled", Outcome.RELEASED: "released", Outcome.RESOLVED: "resolved"}
    known = [tuple(row) for row in connection.execute(select(holds.c.hold_key, holds.c.record, holds.c.state))]
    known += [
        (number, blob, words[Outcome(outcome)])
        for number, blob, outcome in connection.execute(
            select(settlements.c.hold_key, settlements.c.record, settlements.c.outcome)
        )
    ]
    for number, blob, state in known:
        name = call_identifier(parse_record(blob).hold.call_number(number))
        if name in counts:
            counts[name] += 1
            states[state] = states.get(state, 0) + 1
    return {
        "calls": len(counts),
        "lost": sum(found == 0 for found in counts.values()),
        "double": sum(found > 1 for found in counts.values()),
        "states": states,
    }


def slips(reports: Reports, *, cycle: str, next_cycle: str) -> dict[str, Any]:
    """Every stored slip added up again, and whether the next cycle opens with what this one closed with."""
    run = reports.pay_run(cycle)
    after = {one["wallet"]: one for one in reports.pay_run(next_cycle)["slips"]}
    bad = [one["name"] for one in run["slips"] if _closing(one) != one["closing_nanos"]]
    gaps = [one["name"] for one in run["slips"] if after[one["wallet"]]["opening_nanos"] != one["closing_nanos"]]
    spent = sum(one["spent_nanos"] + one["adjustments_nanos"] + one["company_carried_nanos"] for one in run["slips"])
    return {
        "slip_count": len(run["slips"]),
        "closed": all("closed_at" in one for one in run["slips"]),
        "bad": bad,
        "gaps": gaps,
        "sums": run["sums"],
        "spent_and_carried_nanos": spent,
        "charged_nanos": _charged(reports.connection),
    }


def slip(reports: Reports, *, member: str, cycle: str) -> dict[str, Any]:
    """One slip, and its calls added up from the rows that the chain binds."""
    found = reports.payslip(member, cycle)
    calls = reports.calls_of_cycle(member, cycle, limit=history.CALLS_SHOWN_MAX)
    return {
        "slip": found,
        "call_count": sum(one["outcome"] != "not charged" for one in calls),
        "calls_nanos": sum(one["charge_nanos"] for one in calls),
        "newest": next(one for one in calls if one["outcome"] == "settled"),
    }


def chained(reports: Reports, *, call: str) -> dict[str, Any]:
    """One call's cost, and its place in the chain with the proof recomputed."""
    attempt = reports.call(call)["attempts"][-1]
    chain = attempt["chain"]
    return {
        "charge_nanos": attempt["charge_nanos"],
        "batch": chain["batch"],
        "leaf": chain["leaf_index"] + 1,
        "proof_verified": chain["proof_verified"],
    }


def worth(reports: Reports, *, first: str, day_count: int) -> dict[str, Any]:
    """The charges of a span of days by team, by day, by person and by outcome, each added up from the settlements one by one."""
    first_day = date.fromisoformat(first).toordinal()
    departments: dict[str, int] = {}
    outcomes: dict[str, int] = {}
    days = [0] * day_count
    wallets = {one["name"]: one for one in reports.wallets()}
    people = [one["name"] for one in reports.members() if one["kind"] == "person"]
    members = {name: [0] * day_count for name in people}
    total = 0
    events = SettlementEvents(reports.connection)
    for row in reports.connection.execute(select(schema.settlements).order_by(schema.settlements.c.ledger_seq)):
        event = events.event(row)
        day = datetime_from_instant(event.admitted_at).date().toordinal() - first_day
        charge = event.charge_nanos or 0
        if not 0 <= day < day_count or event.member not in members:
            continue
        total += charge
        days[day] += charge
        members[event.member][day] += charge
        departments[event.department] = departments.get(event.department, 0) + charge
        if event.outcome:
            outcomes[event.outcome] = outcomes.get(event.outcome, 0) + charge
    return {
        "departments": departments,
        "days": days,
        "members": [
            {"name": name, "days": spent, **{key: wallets[name][key] for key in ("left_nanos", "granted_nanos")}}
            for name, spent in members.items()
        ],
        "outcomes": outcomes,
        "charged_nanos": total,
    }


def _closing(one: Mapping[str, Any]) -> int:
    plus = ("opening_nanos", "vested_nanos", "transferred_in_nanos")
    minus = (
        "spent_nanos", "adjustments_nanos", "breakage_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos",
        "transferred_out_nanos",
    )  # fmt: skip
    return int(sum(one[name] for name in plus) - sum(one[name] for name in minus))


def _settled_count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(schema.settlements)) or 0


def _wallets_that_paid(connection: Connection) -> int:
    values = schema.wallet_values
    return connection.scalar(select(func.count()).where(values.c.charged_nanos > 0)) or 0


def _charged(connection: Connection) -> int:
    return int(connection.scalar(select(func.sum(schema.wallet_values.c.charged_nanos))) or 0)


def _client_calls(connection: Connection) -> dict[str, Outcome | None]:
    """The calls that clients named themselves, and how they ended; None for one that has not."""
    calls, settlements = schema.client_calls, schema.settlements
    rows = connection.execute(
        select(calls.c.client_call_id, settlements.c.outcome).outerjoin(
            settlements, settlements.c.hold_key == calls.c.hold_key
        )
    )
    return {name: None if outcome is None else Outcome(outcome) for name, outcome in rows}


QUESTIONS: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {
    "company": company,
    "grants": grants,
    "wallet": wallet,
    "tranches": tranches,
    "open": under_way,
    "sums": sums,
    "race": race,
    "went_on": went_on,
    "recovery": recovery,
    "cut_calls": cut_calls,
    "slips": slips,
    "slip": slip,
    "chained": chained,
    "worth": worth,
}


def main() -> int:
    """Answers until standard input ends. Each answer is read in a snapshot of its own."""
    reader = Reader(load_settings())
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            with reader.reports() as reports:
                answer = QUESTIONS[asked.pop("question")](reports, **asked)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        reader.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
