"""Days and calls that do not fit: spend far above what its own history makes likely, and meters that cannot be right (W12).

Robust on purpose: the middle is a median and the width a median of distances, so one wild day neither hides itself nor makes the
next one look wild. Days are compared with the same weekday where there are enough of them. A meter anomaly is another thing: a wrong
price row or a broken counter makes an amount that nobody spent, and a single one can exceed a year. Such calls are set aside from
forecasts, scorecards and effects until somebody confirms them; they stay in every sum of money.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Final, NamedTuple

from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.usage import model_tokens

ALARM_WIDTHS: Final = 6.0
"""Widths above the middle from which a day is told: of days that are distributed normally, one in some two million is."""
WEEKDAYS_MIN: Final = 5
HISTORY_DAYS_MIN: Final = 10
"""Fewer days than this have no usual: nothing is told."""
LEAST_NANOS: Final = 1_000_000_000
"""A day within one unit of currency of its usual is never told, however still the days before it were."""
METER_TIMES_MAX: Final = 20
"""A call whose price for a model token is so many times its model's median, and which is itself large, has a meter that is wrong."""
METER_LEAST_NANOS: Final = 5_000_000_000
_SUMS: Final = ("focus", "-usage", "-costs", "-claude-code")
"""Sources whose rows are sums of many calls: they are no calls that could be judged by others."""
_WIDTH_OF_NORMAL: Final = 1.4826
"""Makes the median of distances the standard deviation where days are distributed normally."""


class SpendDay(NamedTuple):
    """A day and what was spent on it, in nanos."""

    on: date
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusualDay:
    """A day far above its usual: what it cost, what days like it cost in the middle, and how many widths lie between."""

    on: date
    nanos: int
    usual_nanos: int
    widths: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterAnomaly:
    """A call whose cost cannot be right (W12): `times` the median price of a model token of its model."""

    source: str
    event_id: str
    model: str
    cost_nanos: int
    usual_nanos: int
    times: int


def unusual_days(days: Sequence[SpendDay]) -> tuple[UnusualDay, ...]:
    """The days far above what the days before them make likely, in order; each is judged by its past alone."""
    found = []
    for place, day in enumerate(days):
        past = days[:place]
        if len(past) < HISTORY_DAYS_MIN:
            continue
        alike = [one.nanos for one in past if one.on.weekday() == day.on.weekday()]
        history = alike if len(alike) >= WEEKDAYS_MIN else [one.nanos for one in past]
        usual = median(history)
        width = _WIDTH_OF_NORMAL * median(abs(nanos - usual) for nanos in history)
        floor = max(width, usual / 4, LEAST_NANOS / ALARM_WIDTHS)
        widths = (day.nanos - usual) / floor
        if widths >= ALARM_WIDTHS:
            found.append(UnusualDay(on=day.on, nanos=day.nanos, usual_nanos=round(usual), widths=round(widths, 1)))
    return tuple(found)


def is_broken_meter(cost_nanos: int, expected_nanos: int) -> bool:
    """Whether a call's cost is so far above what its tokens cost elsewhere that its meter must be wrong."""
    return cost_nanos >= METER_LEAST_NANOS and cost_nanos >= METER_TIMES_MAX * expected_nanos


def meter_anomalies(priced: Iterable[PricedEvent]) -> tuple[MeterAnomaly, ...]:
    """Calls with a cost that their tokens cannot explain, largest first. What is billed is judged where it is told, else what is listed."""
    by_model: dict[str, list[tuple[int, int, PricedEvent]]] = {}
    for one in priced:
        event = one.event
        cost = event.billed_cost_nanos if event.billed_cost_nanos is not None else event.list_cost_nanos
        tokens = model_tokens(event.usage.counts)
        is_call = (event.usage.request_count or 1) <= 1 and not event.source.endswith(_SUMS)
        if cost is not None and tokens and is_call:
            by_model.setdefault(event.model, []).append((cost, tokens, one))
    found = []
    for model, rows in by_model.items():
        usual = median(cost / tokens for cost, tokens, _ in rows)
        for cost, tokens, one in rows:
            expected = max(1, round(usual * tokens))
            if is_broken_meter(cost, expected):
                found.append(
                    MeterAnomaly(
                        source=one.event.source,
                        event_id=one.event.event_id,
                        model=model,
                        cost_nanos=cost,
                        usual_nanos=expected,
                        times=cost // expected,
                    )
                )
    return tuple(sorted(found, key=lambda one: (-one.cost_nanos, one.event_id)))
