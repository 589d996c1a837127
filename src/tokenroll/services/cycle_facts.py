"""What the ledger says about one pay cycle, as the engine's pay slip wants it: lots opened and closed, and what moved between.

A cycle's figures stand still once it is closed: calls that end later are booked to the next open cycle (store/cycles.py). The
opening of a cycle is what the slip before it stored, so slips join without a gap by construction, and the engine refuses one
that does not add up.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.calendar import month_cycle_at
from tokenroll.engine.paying import CycleFacts, LotFacts
from tokenroll.model.classification import Classification
from tokenroll.model.grant import Grant, GrantKind
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.lot import LotState
from tokenroll.model.pay_cycle import PayCycle
from tokenroll.services.holdings import states_by_wallet
from tokenroll.services.planning import lifetime_from_row
from tokenroll.services.vesting_terms import vesting_from_row
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome, parse_record
from tokenroll.store.cycles import cycle_number

STATE_FIELDS = (
    "held_nanos", "suspense_nanos", "spent_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos",
    "transferred_out_nanos",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletCycle:
    """One wallet's facts of a cycle, with the rows that a paper names."""

    wallet: Row[Any]
    facts: CycleFacts
    classifications: tuple[str, ...]


class _Tally:
    """What attempts took from lots: in this cycle, as adjustments of earlier ones, and after it."""

    def __init__(self) -> None:
        self.spent: dict[int, int] = {}
        self.adjusted: dict[int, int] = {}
        self.later: dict[int, int] = {}
        self.carried: dict[int, int] = {}
        self.calls: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.suspense: dict[int, int] = {}


def cycle_in_zone(cycle: int, zone: str) -> PayCycle:
    """The span of YYYYMM in a zone."""
    middle = datetime(cycle // 100, cycle % 100, 15, tzinfo=ZoneInfo(zone))
    return month_cycle_at(instant_from_datetime(middle), zone, ZoneInfo(zone))


def wallet_cycles(connection: Connection, cycle: int, now: Instant, wallet_id: int | None = None) -> list[WalletCycle]:
    """Every wallet's (or one wallet's) facts of a cycle, in the order of names. For a cycle that is not closed yet.

    A cycle that has not ended is told as if it ended now, so that nothing is called expired or vested before it is.
    """
    wallets = schema.wallets
    every = connection.execute(select(wallets).order_by(wallets.c.name)).all()
    spans = {row.id: _until(cycle_in_zone(cycle, row.zone), now) for row in every}
    states = states_by_wallet(connection)
    lot_wallets = {state.lot.id: owner for owner, known in states.items() for state in known}
    tally = _tally(connection, cycle, spans, lot_wallets)
    grants = _grants(connection)
    before = _newest_stored(connection, cycle)
    found = []
    for row in every:
        if wallet_id is not None and row.id != wallet_id:
            continue
        span = spans[row.id]
        own = grants.get(row.id, ())
        recorded = {grant.id: grant.recorded_at for grant in own}
        known = [state for state in states.get(row.id, []) if recorded[state.lot.grant_id] < span.end_until]
        lots = tuple(
            _lot_facts(state, recorded[state.lot.grant_id], span, tally, before.get(row.id)) for state in known
        )
        facts = CycleFacts(
            wallet_id=row.id,
            cycle=span,
            lots=lots,
            grants=own,
            company_carried_nanos=tally.carried.get(row.id, 0),
            call_count=tally.calls.get(row.id, 0),
        )
        kinds = tuple(sorted({state.lot.classification.value for state in known}))
        found.append(WalletCycle(wallet=row, facts=facts, classifications=kinds))
    return found


def _until(span: PayCycle, now: Instant) -> PayCycle:
    """The cycle up to and with `now`; at least an instant of it, so that a cycle to come is empty."""
    return span if now >= span.end_until else replace(span, end_until=max(now, span.start_at) + 1)


def stored_lots(facts: CycleFacts) -> dict[str, dict[str, int]]:
    """The closed states of a slip's lots as its row keeps them: the opening of the next slip."""
    return {
        str(one.closed.lot.id): {name: getattr(one.closed, name) for name in STATE_FIELDS if getattr(one.closed, name)}
        for one in facts.lots
    }


def _lot_facts(
    state: LotState, granted_at: Instant, span: PayCycle, tally: _Tally, before: dict[str, dict[str, int]] | None
) -> LotFacts:
    lot_id = state.lot.id
    spent, adjusted = tally.spent.get(lot_id, 0), tally.adjusted.get(lot_id, 0)
    closed = replace(
        state,
        held_nanos=tally.held.get(lot_id, 0),
        suspense_nanos=tally.suspense.get(lot_id, 0),
        spent_nanos=state.spent_nanos - tally.later.get(lot_id, 0),
    )
    opened: LotState | None
    if before is not None:
        stored = before.get(str(lot_id))
        opened = None if stored is None else LotState(lot=state.lot, **stored)
    elif granted_at < span.start_at:
        # no paper yet: what was held at the boundary counts as not yet taken, and every call is booked to its own cycle
        opened = LotState(lot=state.lot, spent_nanos=closed.spent_nanos - spent - adjusted)
    else:
        opened = None
    return LotFacts(opened=opened, closed=closed, spent_nanos=spent, adjusted_nanos=adjusted)


def _tally(connection: Connection, cycle: int, spans: dict[int, PayCycle], lot_wallets: dict[int, int]) -> _Tally:
    tally = _Tally()
    settlements, holds = schema.settlements, schema.holds
    query = select(settlements.c.wallet_id, settlements.c.cycle, settlements.c.outcome, settlements.c.record).where(
        settlements.c.cycle >= cycle
    )
    for wallet_id, booked, outcome, blob in connection.execute(query):
        record = parse_record(blob)
        if booked == cycle and outcome != Outcome.RELEASED:
            tally.calls[wallet_id] = tally.calls.get(wallet_id, 0) + 1
        for lot_id, nanos in record.consumed:
            if lot_id == COMPANY_LOT_ID:
                if booked == cycle:
                    tally.carried[wallet_id] = tally.carried.get(wallet_id, 0) + nanos
                continue
            owner = lot_wallets[lot_id]
            at = record.hold.admitted_at
            # A pool may be in the next month already when its member is not: then the draw is the pool's next month's.
            own_cycle = booked if owner == wallet_id else max(booked, _cycle_at(spans[owner], at))
            part = tally.later if own_cycle > cycle else tally.spent if at >= spans[owner].start_at else tally.adjusted
            part[lot_id] = part.get(lot_id, 0) + nanos
    for state, blob in connection.execute(select(holds.c.state, holds.c.record)):
        record = parse_record(blob)
        part = tally.suspense if state == "suspense" else tally.held
        for lot_id, nanos in record.hold.slices:
            if lot_id != COMPANY_LOT_ID and record.hold.admitted_at < spans[lot_wallets[lot_id]].end_until:
                part[lot_id] = part.get(lot_id, 0) + nanos
    return tally


def _cycle_at(span: PayCycle, at: Instant) -> int:
    return cycle_number(month_cycle_at(at, span.zone, ZoneInfo(span.zone)).name)


def _grants(connection: Connection) -> dict[int, tuple[Grant, ...]]:
    found: dict[int, tuple[Grant, ...]] = {}
    for row in connection.execute(select(schema.grants).order_by(schema.grants.c.id)):
        found[row.wallet_id] = (*found.get(row.wallet_id, ()), grant_from_row(row))
    return found


def grant_from_row(row: Row[Any]) -> Grant:
    """The noun of a row of `grants`."""
    return Grant(
        id=row.id,
        public_id=row.public_id,
        wallet_id=row.wallet_id,
        plan_id=row.plan_id,
        kind=GrantKind(row.kind),
        classification=Classification(row.classification),
        amount_nanos=row.amount_nanos,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        vesting=vesting_from_row(row),
        lot_lifetime=lifetime_from_row(row),
        rollover_max_nanos=row.rollover_max_nanos or 0,
        priority=row.priority,
    )


def _newest_stored(connection: Connection, cycle: int) -> dict[int, dict[str, dict[str, int]]]:
    """The lots of the newest slips before a cycle, by wallet; empty when none was ever closed."""
    runs = schema.pay_runs
    query = select(runs.c.id).where(runs.c.cycle < cycle).order_by(runs.c.cycle.desc()).limit(1)
    newest = connection.scalar(query)
    return {} if newest is None else stored_states(connection, newest)


def stored_states(connection: Connection, run_id: int) -> dict[int, dict[str, dict[str, int]]]:
    """The closed states of the lots of a run's slips, by wallet and lot."""
    slips = schema.pay_slips
    rows = connection.execute(select(slips.c.wallet_id, slips.c.values_json).where(slips.c.pay_run_id == run_id))
    return {wallet_id: json.loads(values)["lots"] for wallet_id, values in rows}
