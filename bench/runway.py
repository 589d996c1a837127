"""How far the runway's chances can be trusted: ten groups by what was told, beside what luck alone would do to them.

The protocol is that of `bench.forecast`. Fifteen answers about one client share its fate, so a standard error comes from sums over
clients, and luck is drawn for a forecaster whose every chance is true by construction: one share of luck for a client, another for
each of its days, in the proportion that makes answers about one client agree as much as they did. `--choose` repeats how the values of
`Habit` were chosen: for every tenth of the clients by the log loss of the other nine, at more budgets than are judged.

`--weekdays` asks what ServeGen's two weeks cannot show: one developer's 231 days, and made-up people who rest at weekends.

usage: python -m bench.runway [--choose] [--weekdays] [--quick] [--data FOLDER] [--json FILE]
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from bench.forecast import BUDGETS, DAYS_IN, SEED, WEEK, brier, clients, default_folder, exhausted, run_dry
from tokenroll.insight.runway import HABIT, Habit
from tokenroll.insight.sampling import Floats

DEVELOPER_FILE = "aider_analytics_2024-08_2025-03.jsonl.gz"
DEVELOPER_DAYS_MIN = 12
GROUPS = 10
POINTS = 5
"""What each group may be off."""
LUCKY_RUNS = 2_000
SHARED_LUCK = (0.0, 0.2, 0.5, 0.8, 0.95)
"""How much of a client's luck all of its days may share."""
SURE = 0.002
"""Nearer to 0 or 1 a chance counts no more in the log loss, as a thousand scenarios know no better."""
CHOOSING_BUDGETS = (0.5, 0.65, 0.8, 0.9, 1.0, 1.15, 1.3, 1.7, 2.2)
FOLDS = 10
CHOSEN: dict[str, tuple[float, ...]] = {
    "own_share": (0.75, 0.85, 0.92), "lasting_share": (0.1, 0.25, 0.4), "day_decay": (0.6, 0.7, 0.8), "level_share": (0.6, 0.8, 1.0),
}  # fmt: skip
"""What is chosen from. Weekdays need two weeks before, which these data do not have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What was told, what came and what a straight line said, each of a client and a day."""

    told: Floats
    came: Floats
    line: Floats
    client: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    day: np.ndarray[tuple[int, ...], np.dtype[np.int64]]

    @property
    def ratio(self) -> float:
        """The Brier score as a part of the straight line's."""
        return brier(self.told, self.came) / brier(self.line, self.came)

    def of(self, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> "Answers":
        """Some of them."""
        return Answers(**{name: getattr(self, name)[chosen] for name in self.__slots__})


def answers(sets: Sequence[Floats], habit: Habit = HABIT, budgets: Sequence[float] = BUDGETS) -> Answers:
    """The answers about the clients of several sets; growth is pooled within a set, as within a company."""
    found, first = [], 0
    for history in sets:
        told, came, line = exhausted(history, budgets=budgets, habit=habit)
        each = len(budgets) * len(DAYS_IN)
        here = len(told) // each
        client = np.tile(np.arange(here), each) + first
        day = np.repeat(np.arange(len(DAYS_IN)), len(budgets) * here)
        found.append((told, came, line, client, day))
        first += here
    told, came, line, client, day = (np.concatenate(part) for part in zip(*found, strict=True))
    return Answers(told=told, came=came, line=line, client=client, day=day)


def grouped(told: Floats) -> list[Any]:
    return np.array_split(np.argsort(told, kind="stable"), GROUPS)


def reliability_of(asked: Answers) -> list[dict[str, float]]:
    """Of each group, in percent: what was told, what came, and the standard error of the difference over clients."""
    found = []
    for part in grouped(asked.told):
        off = (asked.came - asked.told)[part]
        sums = np.bincount(asked.client[part], off)
        told, came = float(asked.told[part].mean()), float(asked.came[part].mean())
        error = float(np.sqrt((sums**2).sum())) / len(part)
        found.append({"told": 100 * told, "came": 100 * came, "standard_error": 100 * error})
    return found


def worst(asked: Answers) -> float:
    return max(abs(one["came"] - one["told"]) for one in reliability_of(asked))


def agreement(off: Floats, spread: Floats, client: Any) -> float:
    """How much answers about one client go wrong together: 0 not at all, 1 as much as chances allow."""
    pairs, allowed = ((np.bincount(client, one) ** 2 - np.bincount(client, one**2)).sum() for one in (off, spread))
    return float(pairs / allowed) if allowed > 0 else 0.0


def luck(asked: Answers, runs: int) -> dict[str, Any]:
    """What becomes of the groups of a forecaster whose chances are true."""
    told, spread = asked.told, np.sqrt(asked.told * (1 - asked.told))
    normal = NormalDist()
    limit = np.array([normal.inv_cdf(min(max(one, 1e-12), 1 - 1e-12)) for one in told])
    parts, generator = grouped(told), np.random.default_rng(SEED)
    aim = agreement(asked.came - told, spread, asked.client)
    found: list[tuple[float, dict[str, Any]]] = []
    for shared in SHARED_LUCK:
        off, together = np.empty((runs, GROUPS)), 0.0
        for run in range(runs):
            own = generator.normal(size=asked.client.max() + 1)
            days = generator.normal(size=(asked.client.max() + 1, len(DAYS_IN)))
            drawn = np.sqrt(shared) * own[asked.client] + np.sqrt(1 - shared) * days[asked.client, asked.day]
            came = np.where((told > 0) & (told < 1), drawn < limit, told > 0)
            off[run] = [100 * (came - told)[part].mean() for part in parts]
            together += agreement(came - told, spread, asked.client) / runs
        size = np.abs(off)
        said = {
            "shared": shared, "agreement": together, "standard_errors": off.std(0).tolist(),
            "all_within": float((size.max(1) <= POINTS).mean()), "outside": float((size > POINTS).sum(1).mean()),
            "worst": np.quantile(size.max(1), (0.1, 0.5, 0.9)).tolist(),
        }  # fmt: skip
        found.append((abs(together - aim), said))
    return {"observed_agreement": aim, **min(found, key=lambda one: one[0])[1]}


def log_loss(asked: Answers) -> Floats:
    told = np.clip(asked.told, SURE, 1 - SURE)
    return -(asked.came * np.log(told) + (1 - asked.came) * np.log(1 - told))


def candidates(*, quick: bool) -> list[Habit]:
    found = [
        replace(HABIT, own_share=own, lasting_share=lasting, day_decay=decay, level_share=level)
        for own, lasting, decay, level in product(*CHOSEN.values())
    ]
    return found[:2] if quick else found


def chosen(sets: Sequence[Floats], *, quick: bool) -> tuple[Answers, list[Habit], dict[str, Any]]:
    """What is told about each tenth of the clients with the values that the other nine chose, those values, and the least log loss.

    Beside it stand ours and the standard error of the difference over clients.
    """
    habits = candidates(quick=quick)
    judged = [answers(sets, one) for one in habits]
    wide = [answers(sets, one, CHOOSING_BUDGETS) for one in habits]
    losses, client = [log_loss(one) for one in wide], wide[0].client
    order = np.random.default_rng(SEED).permutation(int(client.max()) + 1)
    told, best = judged[0].told.copy(), []
    for fold in np.array_split(order, FOLDS):
        others = ~np.isin(client, fold)
        place = min(range(len(habits)), key=lambda one: float(losses[one][others].mean()))
        here = np.isin(judged[0].client, fold)
        told[here] = judged[place].told[here]
        best.append(habits[place])
    loss = [float(one.mean()) for one in losses]
    place = int(np.argmin(loss))
    ours = log_loss(answers(sets, budgets=CHOOSING_BUDGETS))
    more = np.bincount(client, ours - losses[place]) / len(ours)
    error = float(np.sqrt(len(more)) * more.std())
    return (
        replace(judged[0], told=told), best,
        {"log_loss": float(ours.mean()), "least": loss[place], "standard_error": error, "least_with": asdict(habits[place])},
    )  # fmt: skip


def developer(folder: Path) -> Floats:
    """Tokens by day of one developer: each model with a dozen days of use, and all of them."""
    used: dict[str, dict[int, float]] = {}
    with gzip.open(folder / DEVELOPER_FILE, "rt") as file:
        for line in file:
            event = json.loads(line)
            if event["event"] == "message_send":
                days, day = used.setdefault(event["main_model"], {}), int(event["t"]) // 86_400
                days[day] = days.get(day, 0.0) + event["prompt_tokens"] + event["completion_tokens"]
    first, last = (edge(edge(days) for days in used.values()) for edge in (min, max))
    table = np.array([[days.get(day, 0.0) for day in range(first, last + 1)] for days in used.values()])
    return np.vstack([table[(table > 0).sum(1) >= DEVELOPER_DAYS_MIN], table.sum(0)])


def workers() -> Floats:
    """Sixty made-up people on ninety days: a level of their own that drifts, one day in ten off, hardly anything at weekends."""
    generator = np.random.default_rng(3)
    shape = (60, 90)
    level = np.cumsum(generator.normal(0, 0.06, shape), 1) + generator.normal(0, 1, (shape[0], 1))
    daily = np.exp(level + generator.normal(0, 0.6, shape)) * (generator.random(shape) < 0.9)
    return np.where(np.arange(shape[1]) % WEEK < 5, daily, 0.03 * daily)


def longer(daily: Floats, habit: Habit, *, length: int, firsts: Sequence[int], days_in: Sequence[int]) -> float:
    """The Brier score over many cycles as a part of the straight line's, of series that were used in the cycle before."""
    runs = [
        run_dry(daily[daily[:, one - length : one].sum(1) > 0], first=one, days_in=days_in, length=length, habit=habit)
        for one in firsts
        if daily[:, one - length : one].any()
    ]
    told, came, line = (np.concatenate(part) for part in zip(*runs, strict=True))
    return brier(told, came) / brier(line, came)


def weekdays(folder: Path, *, quick: bool) -> dict[str, list[float]]:
    """With the habit as it is, and without weekdays."""
    one, many = developer(folder), workers()
    week, month = {"length": WEEK, "days_in": DAYS_IN}, {"length": 30, "days_in": (3, 9, 16, 20, 24)}
    step = 10 if quick else 1
    asked: dict[str, Any] = {
        "developer, 7 days": (one, {**week, "firsts": range(21, one.shape[1] - 7, 7 * step)}),
        "developer, 30 days": (one, {**month, "firsts": range(60, one.shape[1] - 30, 10 * step)}),
        "workers, second week": (many, {**week, "firsts": (7, 8)}),
        "workers, third and fourth week": (many, {**week, "firsts": (14, 15, 17, 20)}),
        "workers, later weeks": (many, {**week, "firsts": range(35, 83, 9 * step)}),
        "workers, 30 days": (many, {**month, "firsts": range(40, 60, 11 * step)}),
    }
    habits = (HABIT, replace(HABIT, weekday_share=0.0))
    return {name: [longer(daily, habit, **how) for habit in habits] for name, (daily, how) in asked.items()}


def said(asked: Answers, *, runs: int) -> dict[str, Any]:
    return {
        "clients": len(np.unique(asked.client)), "answers": len(asked.told), "brier": brier(asked.told, asked.came), "ratio": asked.ratio,
        "worst": worst(asked), "groups": reliability_of(asked), "luck": luck(asked, runs),
    }  # fmt: skip


def show(name: str, found: dict[str, Any]) -> None:
    print(
        f"\n{name}: {found['clients']} clients, {found['answers']} answers, Brier {found['ratio']:.3f} of a straight line's"
    )
    print("told, %   came, %   off   standard error")
    for one in found["groups"]:
        off = one["came"] - one["told"]
        print(f"{one['told']:7.1f} {one['came']:9.1f} {off:5.1f} {one['standard_error']:16.1f}")
    luck_of, within = found["luck"], found["luck"]["all_within"]
    print(
        f"with chances that are true all {GROUPS} lie within {POINTS} points in {100 * within:.0f} % of runs, "
        f"{luck_of['outside']:.1f} lie outside on average, and the worst is {luck_of['worst'][1]:.1f} off in the middle"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="How far the runway's chances can be trusted.")
    parser.add_argument("--data", type=Path, default=default_folder())
    parser.add_argument(
        "--choose", action="store_true", help="choose the values anew, a tenth of the clients left out in turn"
    )
    parser.add_argument("--weekdays", action="store_true", help="longer histories, with weekdays and without")
    parser.add_argument("--quick", action="store_true", help="two candidates and little luck: does it work")
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    runs = 50 if asked.quick else LUCKY_RUNS
    tokens, requests = clients(asked.data), clients(asked.data, requests=True)
    together = answers([tokens, requests])
    here = together.client < int((tokens[:, : 24 * WEEK].sum(1) > 0).sum())
    found = {
        "development clients": said(together.of(here), runs=runs),
        "other clients": said(together.of(~here), runs=runs),
        "all": said(together, runs=runs),
    }
    result: dict[str, Any] = {"habit": asdict(HABIT)}
    if asked.choose:
        left_out, habits, result["log_loss"] = chosen([tokens, requests], quick=asked.quick)
        found["all, chosen without them"] = said(left_out, runs=runs)
        result["chosen"] = [asdict(one) for one in habits]
    for name, one in found.items():
        show(name, one)
    if asked.choose:
        loss = result["log_loss"]
        print(
            f"log loss {loss['log_loss']:.4f}, at least {loss['least']:.4f} (difference ± {loss['standard_error']:.4f})"
        )
    for name in CHOSEN if asked.choose else ():
        often = Counter(one[name] for one in result["chosen"])
        print(f"{name}: " + ", ".join(f"{value} by {count} of {FOLDS}" for value, count in often.most_common()))
    if asked.weekdays:
        result["weekdays"] = weekdays(asked.data, quick=asked.quick)
        print("\nBrier score as a part of a straight line's: as it is, without weekdays")
        for name, (here, without) in result["weekdays"].items():
            print(f"{name:31} {here:.3f}  {without:.3f}")
    if asked.json:
        asked.json.write_text(json.dumps({**result, "sets": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
