"""Forecasts held against what came: real traffic of a public language model service, client by client, in one table.

The protocol is that of the decision record 0116: hourly tokens of the clients of `m-small` and `m-mid` that were active in at least
12 of the first 216 hours, 14 days, hours without a call are zero; four origins a day apart, 24 hours ahead; errors scaled by the
seasonal naive forecast in sample. Runway: a cycle of seven days with 0.8, 1.0 and 1.3 times the budget of the week before, asked
after one to five days; `bench.runway` says how far its chances can be trusted. Data are read in place and never downloaded.

usage: python -m bench.forecast [--extra] [--requests] [--quick] [--data FOLDER] [--json FILE]
"""

import argparse
import csv
import gzip
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tokenroll.insight.backtesting import Accuracy, backtest
from tokenroll.insight.boosting import boosted_forecast
from tokenroll.insight.forecasting import Forecast, forecast
from tokenroll.insight.runway import HABIT, Habit, runway
from tokenroll.insight.sampling import HOURLY, Floats

FILE = "servegen_clients_10min.csv.gz"
HOURS, KNOWN_HOURS, ACTIVE_HOURS_MIN = 336, 216, 12
ORIGINS = (240, 264, 288, 312)
BUDGETS, DAYS_IN, WEEK = (0.8, 1.0, 1.3), range(1, 6), 7
SEED = 7


def clients(folder: Path, *, requests: bool = False) -> Floats:
    """Client × hour: tokens, or the requests of those clients whose tokens are not known."""
    found: dict[tuple[str, str], Floats] = {}
    with gzip.open(folder / FILE, "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["model"] not in {"m-small", "m-mid"} or (row["in_mean"] == "") is not requests:
                continue
            one = float(row["requests"])
            if not requests:
                one *= float(row["in_mean"]) + float(row["out_mean"])
            found.setdefault((row["model"], row["client"]), np.zeros(HOURS))[int(row["t_s"]) // 3600] += one
    values = np.stack(list(found.values()))
    return np.asarray(values[(values[:, :KNOWN_HOURS] > 0).sum(1) >= ACTIVE_HOURS_MIN], np.float64)


def light(history: Floats) -> Forecast:
    return forecast(history, HOURLY, horizon=24)


def extra(history: Floats) -> Forecast:
    return boosted_forecast(history, HOURLY, horizon=24)


def default_folder() -> Path:
    """Where the public traffic lies: beside the checkout, or where the environment says."""
    return Path(os.environ.get("TOKENROLL_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))


def tested(history: Floats, *, boosted: bool) -> list[tuple[Accuracy, float]]:
    """Each core's accuracy and the seconds of its four forecasts."""
    found = []
    for one in (light, extra) if boosted else (light,):
        started = time.perf_counter()
        accuracy = backtest(history, one, season=24, horizon=24, origins=ORIGINS)
        found.append((accuracy, time.perf_counter() - started))
    return found


def exhausted(
    history: Floats, *, budgets: Sequence[float] = BUDGETS, habit: Habit = HABIT
) -> tuple[Floats, Floats, Floats]:
    """Of each day, budget and wallet: the chance that was told, whether it ran dry, and whether a straight line said so."""
    daily = history.reshape(len(history), -1, 24).sum(2)
    return run_dry(daily[daily[:, :WEEK].sum(1) > 0], first=WEEK, days_in=DAYS_IN, budgets=budgets, habit=habit)


def run_dry(
    daily: Floats, *, first: int, days_in: Sequence[int], length: int = WEEK, budgets: Sequence[float] = BUDGETS, habit: Habit = HABIT
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """The same of one cycle, which begins on the day `first`."""
    before, cycle = daily[:, first - length : first].sum(1), daily[:, first : first + length].sum(1)
    told, came, line = [], [], []
    for days in days_in:
        known = daily[:, : first + days]
        used = known[:, first:].sum(1)
        for share in budgets:
            budget = share * before
            told.append(runway(known, budget - used, days_left=length - days, seed=SEED, habit=habit).chance)
            came.append(cycle > budget)
            line.append(used / days * length > budget)
    return np.concatenate(told), np.concatenate(came).astype(np.float64), np.concatenate(line).astype(np.float64)


def reliability(told: Floats, came: Floats) -> list[tuple[float, float]]:
    """What was told and what came on average, in percent, in ten groups of equal size, ascending."""
    order = np.argsort(told, kind="stable")
    return [(100 * float(told[part].mean()), 100 * float(came[part].mean())) for part in np.array_split(order, 10)]


def brier(told: Floats, came: Floats) -> float:
    return float(((told - came) ** 2).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecasts held against what came.")
    parser.add_argument("--data", type=Path, default=default_folder())
    parser.add_argument("--extra", action="store_true", help="the boosted trees, too")
    parser.add_argument("--requests", action="store_true", help="clients without tokens, by their requests")
    parser.add_argument("--quick", action="store_true", help="a dozen clients: does it work")
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    history = clients(asked.data, requests=asked.requests)[: 12 if asked.quick else None]
    runs = tested(history, boosted=asked.extra)
    naive = runs[0][0]
    print(f"{len(history)} clients")
    print("method          MASE  median   WAPE   total  80 %  95 %  loss  ratio  seconds")
    print(f"seasonal naive  {naive.naive_mase:.3f}      -  {naive.naive_wape:.3f}  {naive.naive_total_wape:.3f}")
    for one, seconds in runs:
        covered = "  ".join(f"{band.percent:.1f}" for band in one.coverages)
        print(
            f"{one.method:14}  {one.mase:.3f}  {one.mase_median:.3f}  {one.wape:.3f}  {one.total_wape:.3f}  {covered}  "
            f"{one.quantile_loss:.3f}  {one.ratio:.3f}  {seconds:.1f}"
        )
    told, came, line = exhausted(history)
    groups, ratio = reliability(told, came), brier(told, came) / brier(line, came)
    print(f"runway: Brier {brier(told, came):.4f}, {ratio:.3f} of a straight line's {brier(line, came):.4f}")
    print("told/came, percent: " + "  ".join(f"{one:.0f}/{other:.0f}" for one, other in groups))
    if asked.json:
        found: dict[str, Any] = {
            "clients": len(history),
            "forecasts": [{**asdict(one), "ratio": one.ratio, "seconds": seconds} for one, seconds in runs],
            "runway": {"brier": brier(told, came), "line_brier": brier(line, came), "ratio": ratio, "groups": groups},
        }
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
