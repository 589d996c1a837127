"""What AI costs in three lines: calls that are paid one by one, seats that are paid by the month, GPUs that are owned by the hour.

Calls are forecast; the others cost what they cost, and their lines say how much of it nobody used in the days before. Nothing of it
is an amount of the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenroll.insight.infrastructure import GpuJob, GpuUse, OwnedSeat, SeatUse, gpu_use, seat_uses
from tokenroll.services.forecast_texts import backtest_json
from tokenroll.services.forecasting import Forecasted, ForecastError, ForecastQuestion, forecast_usage
from tokenroll.services.meter_quarantine import LeftOut, amount_of, left_out, quarantined
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_meters import MeterCall
from tokenroll.store.lake_queries import UsageQuery, answer
from tokenroll.store.lake_schema import DAY_MICROS

PERIOD_DAYS: Final = 30
"""Days that are looked back for use, and days that are forecast: about what a seat's price is for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Infrastructure:
    """The three lines; `metered` is None where the lake knows too little, and `metered_missing` says why."""

    metered: Forecasted | None
    metered_missing: str
    seats: tuple[SeatUse, ...]
    seats_left_out: LeftOut
    """What seats are compared without."""
    gpus: GpuUse | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedGpus:
    """GPUs that are owned, what an hour of one costs, and the jobs that had them."""

    count: int
    hour_nanos: int
    jobs: tuple[GpuJob, ...]


def infrastructure(
    view: LakeView, question: ForecastQuestion, seats: Sequence[OwnedSeat], owned: OwnedGpus | None
) -> Infrastructure:
    """The lines of the days before a question's first period, and of those after it."""
    from_at = question.first_at - PERIOD_DAYS * DAY_MICROS
    metered, missing = None, ""
    try:
        metered = forecast_usage(view, question)
    except ForecastError as error:
        missing = str(error)
    known = UsageQuery(by=("member",), measures=("list",), from_at=from_at, until=question.first_at)
    without = quarantined(view, known) if seats else []
    return Infrastructure(
        metered=metered,
        metered_missing=missing,
        seats=seat_uses(seats, _costs_by_member(view, known, without)) if seats else (),
        seats_left_out=left_out(without, "list", "USD"),
        gpus=None if owned is None else gpu_use(
            owned.jobs, gpu_count=owned.count, hour_nanos=owned.hour_nanos, from_at=from_at, until=question.first_at
        ),
    )  # fmt: skip


def infrastructure_json(found: Infrastructure) -> dict[str, Any]:
    """All lines for programs: the forecast as numbers, what is owned as amounts of USD."""
    metered, gpus = found.metered, found.gpus
    return {
        "period_days": PERIOD_DAYS,
        "metered": None if metered is None else {
            "estimate_of": metered.question.measure.called,
            "unit": metered.usage.unit,
            "expected": metered.outlook.company.totals[0] / metered.usage.scale,
            "backtest": backtest_json(metered.tested),
        },
        "metered_missing": found.metered_missing,
        "seats": [_seat(one) for one in found.seats],
        "left_out": (found.seats_left_out if metered is None else metered.usage.left_out).json(),
        "gpus": None if gpus is None else {
            "owned_seconds": gpus.owned_seconds, "used_seconds": gpus.used_seconds, "used_percent": gpus.used_millionths / 10_000,
            "month_cost_nanos": gpus.cost_nanos, "idle_cost_nanos": gpus.idle_cost_nanos,
            "used_hour_cost_nanos": gpus.used_hour_cost_nanos,
            "accounts": [{"account": name, "used_seconds": seconds} for name, seconds in gpus.by_account],
        },
    }  # fmt: skip


def _seat(one: SeatUse) -> dict[str, Any]:
    return {
        "name": one.seat.name, "count": one.seat.count, "assigned_count": len(one.seat.members),
        "unassigned_count": one.unassigned_count, "idle_count": len(one.idle_members), "above_count": one.above_count,
        "month_cost_nanos": one.month_cost_nanos, "idle_cost_nanos": one.idle_cost_nanos,
        "break_even_cost_nanos": one.break_even_cost_nanos,
    }  # fmt: skip


def _costs_by_member(view: LakeView, known: UsageQuery, without: Sequence[MeterCall]) -> dict[str, int]:
    """What each member with any call used at list, without what is quarantined; 0 where nobody told a cost."""
    costs = {row["member"]: row["list_cost_nanos"] or 0 for row in answer(view, known).rows() if row["member"]}
    for call in without:
        if call.member:
            costs[call.member] -= amount_of(call, "list")
    return costs
