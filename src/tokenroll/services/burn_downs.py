"""A wallet's burn-down: what was left at the beginning of each day of the cycle, and the cone of what will be, down to nothing.

Words come first, the picture second, and a table has the numbers. The past is told by lots as they are now: a grant that was booked
later than it holds from counts from when it holds. The cone counts what is spendable today, and nothing that is still to come.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection

from tokenroll.engine.cycling import cycle_on
from tokenroll.insight.pictures import FanPoint, Picture, burn_down, document, sized
from tokenroll.insight.runway import cone
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.model.instant import Instant, instant_from_datetime
from tokenroll.model.lot import LotState
from tokenroll.services.finding import find_wallet
from tokenroll.services.holdings import states_by_wallet
from tokenroll.services.spent_days import LotDays, spent_by_lot_and_day
from tokenroll.services.wallet_runways import SEED, SPENT_DAYS_MIN, WalletRunway, runway_json, wallet_runways
from tokenroll.store.cycles import CycleBook
from tokenroll.store.lake_meters import MeterCall

_WIDTH: Final = 760
_HEIGHT: Final = 240
UNIT: Final = "credits"


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnDown:
    """One wallet's. `past` is what was left at the beginning of days, `ahead` what will be; `ahead` is empty where nothing can be said."""

    runway: WalletRunway
    today: date
    ends_on: date
    past: tuple[tuple[date, int], ...]
    ahead: tuple[FanPoint, ...]


def wallet_burn_down(
    connection: Connection, now: Instant, row: dict[str, Any], quarantined: Collection[MeterCall] = ()
) -> BurnDown:
    """The burn-down of one wallet, given as a listing has it; the cone does without calls that are quarantined, what is left does not."""
    (known,) = wallet_runways(connection, now, [row], quarantined)
    wallet = find_wallet(connection, row["wallet"])
    zone = ZoneInfo(wallet.zone)
    today = known.last_on - timedelta(days=known.days_left - 1)
    cycle = cycle_on(CycleBook(connection).calendars, today)
    spent = spent_by_lot_and_day(connection, CycleBook(connection), [wallet.id]).get(wallet.id, {})
    states = states_by_wallet(connection, [wallet.id]).get(wallet.id, [])
    days = [cycle.starts_on + timedelta(days=number) for number in range((today - cycle.starts_on).days + 1)]
    past = [(on, _left_on(states, spent, on, zone)) for on in days]
    ahead: tuple[FanPoint, ...] = ()
    if known.chance is not None and known.left_nanos > 0:
        ahead = _ahead(known, today)
    return BurnDown(
        runway=known, today=today, ends_on=cycle.until_on, past=(*past, (today, known.left_nanos)), ahead=ahead
    )  # fmt: skip


def sentences(found: BurnDown, whose: str = "your wallet") -> tuple[str, ...]:
    """What is to be said, the most important first."""
    known = found.runway
    ends = f"the cycle ends on {_day(known.last_on)}"
    if known.chance is None:
        more = SPENT_DAYS_MIN - known.past_days
        days = f"{more} more {'day' if more == 1 else 'days'}"
        return (
            f"How long {whose} lasts is said once there are {SPENT_DAYS_MIN} days since its first call: {days}.",
            f"{_first_up(ends)}.",
        )
    if known.left_nanos <= 0:
        return (f"{_first_up(whose)} is empty, and {ends}.",)
    chance = f"{100 * known.chance:.0f} %"
    early, middle, late = known.dry_on
    if early is None:
        return (f"{_first_up(whose)} most likely lasts: the chance that it runs dry before {ends} is {chance}.",)
    dates = [f"10 % by {_day(early)}"]
    dates += [f"{percent} % by {_day(on)}" for percent, on in ((50, middle), (90, late)) if on is not None]
    likely = "is likely to run dry" if middle is not None else "may run dry"
    return (
        f"{_first_up(whose)} {likely} before {ends}: the chance is {chance}.",
        f"It is dry with a chance of {', of '.join(dates)}.",
    )


def burn_down_picture(found: BurnDown, title: str) -> Picture:
    """The picture of it, for a page and for files."""
    left = [(on, nanos / NANOS_PER_CREDIT) for on, nanos in found.past]
    view = burn_down(left, found.ahead, unit="credits left", cycle_ends=found.ends_on, now=found.today)
    return document(
        sized(view, _WIDTH, _HEIGHT), title,
        subtitle="line: left so far; dashed: the middle of what may come, with its 80 and 95 % bands; an estimate, no amount of the ledger",
    )  # fmt: skip


def burn_down_rows(found: BurnDown) -> list[list[str]]:
    """The picture's numbers: day by day what was left at its beginning, or the middle and the 80 % band of what will be."""
    rows = [[on.isoformat(), f"{nanos / NANOS_PER_CREDIT:,.2f}", ""] for on, nanos in found.past[:-1]]
    now = [f"{found.today.isoformat()}, now", f"{found.runway.left_nanos / NANOS_PER_CREDIT:,.2f}", ""]
    ahead = [
        [one.on.isoformat(), f"{one.middle:,.2f}", f"{one.low_80:,.2f} to {one.high_80:,.2f}"]
        for one in found.ahead[1:]
    ]
    return [*rows, now, *ahead]


def burn_down_json(found: BurnDown) -> dict[str, Any]:
    """For programs: the runway, what was left, and the cone as numbers of credits, which are estimates."""
    return {
        **runway_json(found.runway),
        "past": [{"on": on.isoformat(), "left_nanos": nanos} for on, nanos in found.past],
        "cone": [
            {
                "on": one.on.isoformat(), "middle": one.middle, "low_80": one.low_80, "high_80": one.high_80, "low_95": one.low_95,
                "high_95": one.high_95,
            }
            for one in found.ahead
        ],
        "unit": UNIT,
    }  # fmt: skip


def _left_on(states: list[LotState], spent: LotDays, on: date, zone: ZoneInfo) -> int:
    """What was left when a day began."""
    at = instant_from_datetime(datetime.combine(on, time(), zone).astimezone(UTC))
    left = 0
    for state in states:
        lot = state.lot
        if lot.effective_at > at or (lot.expires_at is not None and lot.expires_at <= at):
            continue
        since = sum(nanos for (lot_id, day), nanos in spent.items() if lot_id == lot.id and day >= on.toordinal())
        gone = state.forfeited_nanos + state.clawed_back_nanos + state.voided_nanos + state.transferred_out_nanos
        left += lot.amount_nanos - gone - (state.spent_nanos - since)
    return left


def _ahead(known: WalletRunway, today: date) -> tuple[FanPoint, ...]:
    """The cone from now on; it begins as a point."""
    edges = (
        cone(np.asarray(known.daily, np.float64), float(known.left_nanos), days_left=known.days_left, seed=SEED)
        / NANOS_PER_CREDIT
    )
    now = known.left_nanos / NANOS_PER_CREDIT
    points = [FanPoint(on=today, middle=now, low_80=now, high_80=now, low_95=now, high_95=now)]
    for number in range(known.days_left):
        low_95, low_80, middle, high_80, high_95 = (round(float(edge), 9) for edge in edges[:, number])
        points.append(
            FanPoint(
                on=today + timedelta(days=number + 1), middle=middle, low_80=low_80, high_80=high_80, low_95=low_95, high_95=high_95
            )
        )  # fmt: skip
    return tuple(points)


def _day(on: date) -> str:
    return f"{on:%-d %B}"


def _first_up(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
