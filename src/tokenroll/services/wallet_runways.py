"""Wallets' runways: how likely each is to run dry before its pay cycle ends, from what the ledger says was spent of it day by day.

Days are those of the wallet's zone. Today is not over, so it counts as a whole day to come and its spending is not yet past. What
becomes spendable before the cycle ends is not counted, and neither is what the company carries: an estimate for whoever refills.
Calls whose meter cannot be right (W12) were taken from the wallet all the same: they are no part of the pace, and what is left is left.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, func, select

from tokenroll.engine.cycling import cycle_on, day_at
from tokenroll.insight.runway import CHANCES, runway
from tokenroll.insight.sampling import Floats
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.limits import RUNWAY_PAST_DAYS_MAX
from tokenroll.model.wallet import HolderKind
from tokenroll.services.lake_feeding import event_id_of
from tokenroll.services.meter_quarantine import LeftOut
from tokenroll.services.wire import CREDITS
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.cycles import CycleBook
from tokenroll.store.lake_meters import MeterCall
from tokenroll.store.rollups import rolled_through, sums_of

SEED: Final = 20_261
"""The same question has the same answer."""
_INSTANTS_AT_ONCE: Final = 500
"""Of calls that are looked up together: a database bounds what one question may name."""
SPENT_DAYS_MIN: Final = 3
"""Days since a wallet's first spending below which nothing is said of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRunway:
    """One wallet's runway. `chance` is None where too little was spent to say; `dry_on` are the days by which it is 10, 50, 90 % likely."""

    wallet: str
    name: str
    left_nanos: int
    last_on: date
    days_left: int
    past_days: int
    chance: float | None
    dry_on: tuple[date | None, date | None, date | None]
    left_out: LeftOut
    """What its pace does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    row: dict[str, Any]
    today: date
    until_on: date
    daily: list[int]
    left_out: LeftOut

    @property
    def days_left(self) -> int:
        return (self.until_on - self.today).days


def wallet_runways(
    connection: Connection, now: Instant, rows: list[dict[str, Any]], quarantined: Collection[MeterCall] = ()
) -> list[WalletRunway]:
    """The runways of these wallets, given as a listing has them, the likeliest to run dry first.

    `quarantined` are calls of the gateway, as the lake tells them, that no pace is taken from.
    """
    asked = _asked(connection, now, rows, quarantined)
    found = []
    for days_left in sorted({one.days_left for one in asked}):
        found += _answered([one for one in asked if one.days_left == days_left], days_left)
    return sorted(found, key=lambda one: (-(one.chance or 0.0), one.chance is None, one.name))


def members_only(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The wallets of members: pools are asked for by name."""
    return [row for row in rows if row["holder_kind"] == HolderKind.MEMBER.value]


def _asked(
    connection: Connection, now: Instant, rows: list[dict[str, Any]], quarantined: Collection[MeterCall]
) -> list[_Asked]:
    book = CycleBook(connection)
    wallets = schema.wallets.c
    known = {
        row.public_id: row for row in connection.execute(select(wallets.id, wallets.public_id, wallets.zone)).all()
    }
    spent = _spent_by_day(connection, book)
    without = _left_out(connection, book, quarantined)
    found = []
    for row in rows:
        wallet = known[row["wallet"]]
        today = day_at(now, ZoneInfo(wallet.zone))
        days = spent.get(wallet.id, {})
        first = max(min(days, default=today.toordinal()), today.toordinal() - RUNWAY_PAST_DAYS_MAX)
        less = without.get(wallet.id, {})
        span = range(first, today.toordinal())
        daily = [days.get(day, 0) - less.get(day, _NOTHING).nanos for day in span]
        seen = [one for day, one in less.items() if day in span]
        told = LeftOut(sum(one.call_count for one in seen), sum(one.nanos for one in seen), CREDITS, "charge")
        until_on = cycle_on(book.calendars, today).until_on
        found.append(_Asked(row=row, today=today, until_on=until_on, daily=daily, left_out=told))
    return found


def _spent_by_day(connection: Connection, book: CycleBook) -> dict[int, dict[int, int]]:
    """What was taken of each wallet's own lots by day: the roll-ups, and what was settled since."""
    sums = schema.spend_rollups.c
    query = (
        select(sums.wallet_id, sums.day, func.sum(sums.nanos).label("nanos"))
        .where(sums.lot_id != COMPANY_LOT_ID)
        .group_by(sums.wallet_id, sums.day)
    )
    found: dict[int, dict[int, int]] = {}
    for row in connection.execute(query):
        if row.nanos:
            found.setdefault(row.wallet_id, {})[row.day] = int(row.nanos)
    settlements = schema.settlements.c
    unrolled = select(
        settlements.hold_key, settlements.wallet_id, settlements.cycle, settlements.outcome, settlements.record
    ).where(settlements.ledger_seq > rolled_through(connection))
    since = sums_of(connection, book)
    for number, wallet_id, cycle, outcome, record in connection.execute(unrolled):
        since.add_row(number, wallet_id, cycle, outcome, record)
    for key, (nanos, _) in since.sums.items():
        if nanos and key.lot_id != COMPANY_LOT_ID:
            days = found.setdefault(key.wallet_id, {})
            days[key.day] = days.get(key.day, 0) + nanos
    return found


class _Less(NamedTuple):
    """What is taken out of one wallet's day."""

    call_count: int = 0
    nanos: int = 0


_NOTHING: Final = _Less()


def _left_out(
    connection: Connection, book: CycleBook, quarantined: Collection[MeterCall]
) -> dict[int, dict[int, _Less]]:
    """What calls took of each wallet's own lots by day, as `_spent_by_day` has it."""
    wanted = {one.event_id for one in quarantined}
    found: dict[int, dict[int, _Less]] = {}
    settlements = schema.settlements.c
    instants = sorted({one.admitted_at for one in quarantined})
    for start in range(0, len(instants), _INSTANTS_AT_ONCE):
        query = select(schema.settlements).where(
            settlements.admitted_at.in_(instants[start : start + _INSTANTS_AT_ONCE])
        )
        for row in connection.execute(query).all():
            if event_id_of(parse_record(row.record).hold) not in wanted:
                continue
            took = sums_of(connection, book)
            took.add_row(row.hold_key, row.wallet_id, row.cycle, row.outcome, row.record)
            own: dict[tuple[int, int], int] = {}
            for key, (nanos, _) in took.sums.items():
                if nanos and key.lot_id != COMPANY_LOT_ID:
                    own[key.wallet_id, key.day] = own.get((key.wallet_id, key.day), 0) + nanos
            for (wallet_id, day), nanos in own.items():
                before = found.setdefault(wallet_id, {}).get(day, _NOTHING)
                found[wallet_id][day] = _Less(before.call_count + 1, before.nanos + nanos)
    return found


def _answered(asked: list[_Asked], days_left: int) -> list[WalletRunway]:
    """Wallets whose cycles have as many days left meet the same luck."""
    left = np.asarray([one.row["left_nanos"] for one in asked], np.float64)
    found = runway(_table([one.daily for one in asked]), left, days_left=days_left, seed=SEED)
    answers = []
    for place, one in enumerate(asked):
        chance: float | None = float(found.chance[place])
        days = [int(day) for day in found.dry_days[place]]
        if len(one.daily) < SPENT_DAYS_MIN:
            chance, days = None, [0] * len(CHANCES)
        elif left[place] <= 0:
            chance, days = 1.0, [1] * len(CHANCES)
        low, middle, high = (one.today + timedelta(days=day - 1) if day else None for day in days)
        answers.append(
            WalletRunway(
                wallet=one.row["wallet"],
                name=one.row["name"],
                left_nanos=one.row["left_nanos"],
                last_on=one.until_on - timedelta(days=1),
                days_left=days_left,
                past_days=len(one.daily),
                chance=chance,
                dry_on=(low, middle, high),
                left_out=one.left_out,
            )
        )
    return answers


def _table(daily: list[list[int]]) -> Floats:
    """Wallet × day, all ending yesterday, NaN before a wallet's first spending."""
    width = max(1, *(len(one) for one in daily))
    found = np.full((len(daily), width), np.nan)
    for place, one in enumerate(daily):
        if one:
            found[place, width - len(one) :] = one
    return found
