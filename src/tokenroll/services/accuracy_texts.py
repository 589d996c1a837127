"""How far a forecast was off on its own past, for programs: one view, whoever forecast."""

from typing import Any

from tokenroll.insight.backtesting import Accuracy


def accuracy_json(one: Accuracy, period_count: int) -> dict[str, Any]:
    """A backtest of so many periods ahead, beside repeating what was."""
    return {
        "method": one.method,
        "series_count": one.series,
        "origin_count": one.origins,
        "period_count": period_count,
        "mase": one.mase,
        "wape": one.wape,
        "total_wape": one.total_wape,
        "coverage": {str(band.level): band.percent for band in one.coverages},
        "total_coverage": {str(band.level): band.total_percent for band in one.coverages},
        "naive_mase": one.naive_mase,
        "naive_wape": one.naive_wape,
        "naive_total_wape": one.naive_total_wape,
        "ratio_to_naive": one.ratio,
    }
