"""Wallets' runways: how likely each is to run dry before its pay cycle ends, from what the ledger says was spent of it day by day.

Days are those of the wallet's zone. Today is not over, so it counts as a whole day to come and its spending is not yet past. What
becomes spendable before the cycle ends is not counted, and neither is what the company carries: an estimate for whoever refills.
Calls whose meter cannot be right (W12) were taken from the wallet all the same: they are no part of the pace, and what is left is left.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, select

from tokenroll.engine.cycling import cycle_on, day_at
from tokenroll.insight.runway import CHANCES, runway
from tokenroll.insight.sampling import Floats
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.identifier import hold_key_from_call
from tokenroll.model.instant import Instant
from tokenroll.model.limits import RUNWAY_PAST_DAYS_MAX
from tokenroll.model.usage_event import GATEWAY
from tokenroll.model.wallet import HolderKind
from tokenroll.services.meter_quarantine import LeftOut
from tokenroll.services.spent_days import LotDays, spent_by_lot_and_day
from tokenroll.services.wire import CREDITS
from tokenroll.store import schema
from tokenroll.store.attempt_record import hold_number
from tokenroll.store.cycles import CycleBook
from tokenroll.store.lake_meters import MeterCall
from tokenroll.store.rollups import sums_of

SEED: Final = 20_261
"""The same question has the same answer."""
_CALLS_AT_ONCE: Final = 500
"""Of calls that are looked up together: a database bounds what one question may name."""
SPENT_DAYS_MIN: Final = 3
"""Days since a wallet's first spending below which nothing is said of it."""

ESTIMATE_OF: Final = "the chance to run dry before the cycle ends"
_NAMED_MAX: Final = 500
"""Of more wallets all are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletRunway:
    """One wallet's runway. `chance` is None where too little was spent to say; `dry_on` are the days by which it is 10, 50, 90 % likely."""

    wallet: str
    name: str
    left_nanos: int
    last_on: date
    days_left: int
    daily: tuple[int, ...]
    """What was taken of its own lots day by day up to yesterday, less what is left out: its pace is of these days."""
    chance: float | None
    dry_on: tuple[date | None, date | None, date | None]
    left_out: LeftOut
    """What its pace does without."""

    @property
    def past_days(self) -> int:
        """How many days its pace is taken from."""
        return len(self.daily)


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


def runway_json(one: WalletRunway) -> dict[str, Any]:
    """One wallet's runway as every door tells it."""
    days = dict(zip(("dry_10", "dry_50", "dry_90"), one.dry_on, strict=True))
    return {
        "name": one.name, "wallet": one.wallet, "left_nanos": one.left_nanos, "last_on": one.last_on.isoformat(),
        "days_left": one.days_left, "past_day_count": one.past_days,
        "chance": None if one.chance is None else round(one.chance, 3),
        **{name: on and on.isoformat() for name, on in days.items()},
        "left_out": one.left_out.json(),
    }  # fmt: skip


def runways_json(found: list[WalletRunway]) -> dict[str, Any]:
    """Runways as every door tells them."""
    return {"estimate_of": ESTIMATE_OF, "wallets": [runway_json(one) for one in found]}


def _asked(
    connection: Connection, now: Instant, rows: list[dict[str, Any]], quarantined: Collection[MeterCall]
) -> list[_Asked]:
    book = CycleBook(connection)
    wallets = schema.wallets.c
    query = select(wallets.id, wallets.public_id, wallets.zone)
    if len(rows) <= _NAMED_MAX:
        query = query.where(wallets.public_id.in_([row["wallet"] for row in rows]))
    known = {row.public_id: row for row in connection.execute(query).all()}
    spent = spent_by_lot_and_day(connection, book, {known[row["wallet"]].id for row in rows})
    without = _left_out(connection, book, quarantined)
    found = []
    for row in rows:
        wallet = known[row["wallet"]]
        today = day_at(now, ZoneInfo(wallet.zone))
        taken = _daily_use(spent.get(wallet.id, {}), today)
        less = without.get(wallet.id, {})
        span = range(today.toordinal() - len(taken), today.toordinal())
        daily = [nanos - less.get(day, _NOTHING).nanos for day, nanos in zip(span, taken, strict=True)]
        seen = [one for day, one in less.items() if day in span]
        told = LeftOut(sum(one.call_count for one in seen), sum(one.nanos for one in seen), CREDITS, "charge")
        until_on = cycle_on(book.calendars, today).until_on
        found.append(_Asked(row=row, today=today, until_on=until_on, daily=daily, left_out=told))
    return found


def _daily_use(spent: LotDays, today: date) -> list[int]:
    """What was taken of a wallet's own lots on each day from the first to yesterday: what the company carried is none of its running dry."""
    days: dict[int, int] = {}
    for (lot_id, day), nanos in spent.items():
        if lot_id != COMPANY_LOT_ID:
            days[day] = days.get(day, 0) + nanos
    first = max(min(days, default=today.toordinal()), today.toordinal() - RUNWAY_PAST_DAYS_MAX)
    return [days.get(day, 0) for day in range(first, today.toordinal())]


class _Less(NamedTuple):
    """What is taken out of one wallet's day."""

    call_count: int = 0
    nanos: int = 0


_NOTHING: Final = _Less()


def _left_out(
    connection: Connection, book: CycleBook, quarantined: Collection[MeterCall]
) -> dict[int, dict[int, _Less]]:
    """What calls took of each wallet's own lots by day, as `_daily_use` has it."""
    found: dict[int, dict[int, _Less]] = {}
    settlements = schema.settlements.c
    keys = _hold_keys(connection, sorted({one.event_id for one in quarantined if one.source == GATEWAY}))
    for start in range(0, len(keys), _CALLS_AT_ONCE):
        query = select(schema.settlements).where(settlements.hold_key.in_(keys[start : start + _CALLS_AT_ONCE]))
        for row in connection.execute(query).all():
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


def _hold_keys(connection: Connection, event_ids: Sequence[str]) -> list[int]:
    """The holds of our own gateway's events: of a call's first attempt it is in the call's id, of a later one in a table."""
    attempts = schema.attempts.c
    keys = []
    later: dict[tuple[int, int], None] = {}
    for event_id in event_ids:
        call, _, attempt = event_id.rpartition(":")
        first = hold_number(hold_key_from_call(call))
        if attempt == "1":
            keys.append(first)
        else:
            later[first, int(attempt)] = None
    calls = sorted({call for call, _ in later})
    for start in range(0, len(calls), _CALLS_AT_ONCE):
        query = select(schema.attempts).where(attempts.call_key.in_(calls[start : start + _CALLS_AT_ONCE]))
        keys += [row.hold_key for row in connection.execute(query) if (row.call_key, row.attempt) in later]
    return keys


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
                daily=tuple(one.daily),
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
