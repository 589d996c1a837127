"""(i) What it was for: teams, what comes next, who runs dry, what a merged change costs; and logs read without any of this."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from tokenroll.cli.demo.show import amount, count
from tokenroll.cli.demo.stage import Stage
from tokenroll.insight.month_ahead import MonthAhead, month_ahead
from tokenroll.insight.pictures import document, forecast_fan, sized
from tokenroll.insight.runway import runway
from tokenroll.insight.unit_economics import UnitCost, joined, unit_cost
from tokenroll.model.amount import NANOS_PER_CREDIT
from tokenroll.services.drawing import drawn
from tokenroll.services.importers.intake import Intake
from tokenroll.services.outcomes import outcome_rows, standing

LETTER: Final = "i"
HEADING: Final = "What it was for, and what comes next"
_FIRST: Final = date(2027, 3, 1)
_DAYS: Final = 31
_APRIL_DAYS: Final = 30
_ALLOWANCE_DAYS: Final = 61
"""From the first of April until the working allowance of March expires."""
_KNOWN_DAYS: Final = 24
"""The forecast is made as of this many days, so that the last week of the month can say how good it was."""
_BAR_WIDTH: Final = 40
_STARVED_SHOWN: Final = 2
_REVERTED_EVERY: Final = 4
"""In the made-up log of changes one in four is reverted."""


def play(stage: Stage) -> None:
    """Everything is read back from the ledger by the auditor; what is computed from it is said to be an estimate."""
    found = stage.auditor.ask("worth", first=_FIRST.isoformat(), day_count=_DAYS)
    _teams(stage, found)
    _ahead(stage, [int(nanos) for nanos in found["days"]])
    _starved(stage, found["members"])
    _changes(stage, found["outcomes"])
    _logs(stage)


def _teams(stage: Stage, found: Mapping[str, Any]) -> None:
    teams: dict[str, int] = found["departments"]
    largest = max(teams.values())
    stage.shown.pairs(
        {
            name: f"{'█' * max(1, round(_BAR_WIDTH * nanos / largest)):<{_BAR_WIDTH}} {_two(nanos):>6} credits"
            for name, nanos in sorted(teams.items(), key=lambda one: -one[1])
        }
    )
    total = sum(teams.values())
    stage.shown.proof(
        f"{len(teams)} teams used {amount(total)} in March; by team, by day and by person it is the same to the nano",
        holds=total
        == sum(found["days"])
        == found["charged_nanos"]
        == sum(sum(one["days"]) for one in found["members"]),
    )


def _ahead(stage: Stage, days: Sequence[int]) -> None:
    """April, and how far the same forecast was off in the last week of March, which it did not know."""
    spent = [nanos / NANOS_PER_CREDIT for nanos in days]
    before = month_ahead(spent[:_KNOWN_DAYS], _FIRST + timedelta(days=_KNOWN_DAYS - 1), days_ahead=_DAYS - _KNOWN_DAYS)
    april = month_ahead(spent, _FIRST + timedelta(days=_DAYS - 1), days_ahead=_APRIL_DAYS)
    if before is None or april is None:
        stage.shown.proof("a month is enough to look ahead", holds=False)
        return
    came, repeated = sum(spent[_KNOWN_DAYS:]), sum(spent[_KNOWN_DAYS - 7 : _KNOWN_DAYS])
    stage.shown.line(
        f"April, if it goes on like this: about {april.expected:.2f} credits (80 %: {april.low_80:.2f} to {april.high_80:.2f}), an estimate. "
        f"How good? On 24 March it would have said {before.expected:.2f} for the week to come; {came:.2f} came, "
        f"and the week before once more would have been {repeated:.2f}."
    )
    _fan(stage, spent, april)


def _fan(stage: Stage, spent: Sequence[float], april: MonthAhead) -> None:
    path = stage.home / "april.svg"
    past = [(_FIRST + timedelta(days=number), used) for number, used in enumerate(spent)]
    fan = forecast_fan(past, april.days, unit="credits a day", now=april.days[0].on)
    path.write_bytes(
        drawn(document(sized(fan, 720, 220), "Acme, credits a day", subtitle="80 and 95 % intervals"), "svg")
    )
    if stage.is_kept:
        stage.shown.line(f"… as a picture: {path}")


def _starved(stage: Stage, members: Sequence[Mapping[str, Any]]) -> None:
    """Whose wallet is likely to be empty before the allowance ends, from their own days and everybody's pace."""
    daily = np.array([one["days"] for one in members], np.float64)
    left = np.array([one["left_nanos"] for one in members], np.float64)
    found = runway(daily, left, days_left=_ALLOWANCE_DAYS, seed=1)
    ranked = sorted(range(len(members)), key=lambda place: (-found.chance[place], members[place]["left_nanos"]))
    starved = ranked[:_STARVED_SHOWN]
    for place in starved:
        one, middle = members[place], int(found.dry_days[place, 1])
        when = f", as likely as not by {(_FIRST + timedelta(days=_DAYS - 1 + middle)):%-d %B}" if middle else ""
        stage.shown.line(
            f"{one['name']} has {_two(one['left_nanos'])} of {_two(one['granted_nanos'])} left: "
            f"{100 * found.chance[place]:.0f} % to run dry before the allowance ends on 1 June{when}"
        )
    median = sorted(float(one) for one in found.chance)[len(members) // 2]
    stage.shown.proof(
        f"two of {len(members)} are the most likely to starve, the person in the middle is at {100 * median:.0f} %: "
        "top up two wallets, not all; what they have left is what they were granted less what March took",
        holds=bool(found.chance[starved[-1]] >= median)
        and all(
            members[place]["left_nanos"] <= members[place]["granted_nanos"] - sum(members[place]["days"])
            for place in starved
        ),
    )


def _changes(stage: Stage, spend: Mapping[str, int]) -> None:
    """A made-up log of changes: each was merged, and one in four reverted later."""
    path = stage.home / "changes.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["outcome", "at", "event"])
        for number, name in enumerate(sorted(spend)):
            rows.writerow([name, "2027-03-30T12:00:00Z", "merged"])
            if number % _REVERTED_EVERY == 0:
                rows.writerow([name, "2027-03-31T12:00:00Z", "reverted"])
    outcomes, elsewhere = joined(spend, standing(outcome_rows(path, Intake())).accepted)
    found: UnitCost = unit_cost(outcomes, unattributed_nanos=elsewhere)
    interval = "too few of them for an interval"
    if found.low_nanos is not None and found.high_nanos is not None:
        interval = f"95 %: {_two(found.low_nanos)} to {_two(found.high_nanos)}"
    stage.shown.proof(
        f"{count(found.accepted_count)} of {count(found.outcome_count)} changes stand: {amount(found.per_accepted_nanos or 0)} credits for each that does "
        f"({interval}), failures included; {found.failed_permille / 10:.0f} % went to the reverted",
        holds=(
            found.accepted_count == len(spend) - -(-len(spend) // _REVERTED_EVERY)
            and found.spend_nanos == sum(spend.values())
            and found.per_accepted_nanos is not None
        ),
    )


def _two(nanos: int) -> str:
    """Two decimals: what a picture of bars and chances can carry."""
    return f"{nanos / NANOS_PER_CREDIT:.2f}"


def _logs(stage: Stage) -> None:
    """The first value, which needs no server: the logs of two people's coding agents, made up, read where they lie."""
    stage.shown.command("tokenroll analyse --sample")
    said = json.loads(stage.tokenroll("analyse", "--sample", "--json").text)
    waste = said["waste"]
    stage.shown.proof(
        f"a year of two people's agents: {count(said['total']['call_count'])} calls, {said['total']['list_cost']} USD at list; "
        f"{waste['hard']} bought nothing, {waste['soft']} could have been saved",
        holds=said["intake"]["bad_count"] == 0 and len(said["by_member"]) == _STARVED_SHOWN,
    )
