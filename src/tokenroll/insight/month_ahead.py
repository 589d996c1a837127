"""The month ahead of one history of days: what is expected, in which bounds, and how far the same method was off before.

An estimate in units of whatever the days count, never an amount of the ledger. Below three weeks of days nothing is said: then there
is no week to learn from that was not used up by learning it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from tokenroll.insight.backtesting import Accuracy, Forecaster, backtest, origins_to_test
from tokenroll.insight.forecasting import Forecast, forecast
from tokenroll.insight.pictures import FanPoint
from tokenroll.insight.sampling import Floats, daily_kernel
from tokenroll.insight.usage_shares import DAYS_PER_WEEK

DAYS_AHEAD: Final = 30
HISTORY_DAYS_MIN: Final = 21
_BANDS: Final = (80, 95)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthAhead:
    """The next days one by one, their total with its 80 and 95 % intervals, and the backtest; None where the past is too short for one."""

    days: tuple[FanPoint, ...]
    expected: float
    low_80: float
    high_80: float
    low_95: float
    high_95: float
    accuracy: Accuracy | None


def month_ahead(amounts: Sequence[float], last_on: date, *, days_ahead: int = DAYS_AHEAD) -> MonthAhead | None:
    """The days after `last_on`, the day of the last amount; None for a history that is too short."""
    if len(amounts) < HISTORY_DAYS_MIN:
        return None
    history = np.asarray([amounts], np.float64)

    def ahead(known: Floats) -> Forecast:
        return forecast(known, daily_kernel(known.shape[1]), horizon=days_ahead, bands=_BANDS)

    found = ahead(history)
    eighty, ninety_five = found.band(80), found.band(95)
    return MonthAhead(
        days=tuple(
            FanPoint(
                on=last_on + timedelta(days=n + 1),
                middle=float(found.point[0, n]),
                low_80=float(eighty.lower[0, n]),
                high_80=float(eighty.upper[0, n]),
                low_95=float(ninety_five.lower[0, n]),
                high_95=float(ninety_five.upper[0, n]),
            )
            for n in range(days_ahead)
        ),
        expected=float(found.total_expected[0]),
        low_80=float(eighty.total_lower[0]),
        high_80=float(eighty.total_upper[0]),
        low_95=float(ninety_five.total_lower[0]),
        high_95=float(ninety_five.total_upper[0]),
        accuracy=_accuracy(history, ahead, days_ahead),
    )


def _accuracy(history: Floats, ahead: Forecaster, days_ahead: int) -> Accuracy | None:
    if not history.any() or not origins_to_test(history.shape[1], DAYS_PER_WEEK, days_ahead):
        return None
    found = backtest(history, ahead, season=DAYS_PER_WEEK, horizon=days_ahead)
    return None if np.isnan(found.mase) else found
