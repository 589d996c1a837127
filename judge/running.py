"""Every chosen scenario, one after the other, each to a row of the table."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import judge.endings
import judge.kills
import judge.races
import judge.routes  # noqa: F401 - each of the four puts its scenarios into the table
from judge.court import Court, Finding
from judge.gateway import CannotRunError, Gateway, NotOfferedError
from judge.trials import SCENARIOS, Scenario

SECONDS_MAX = 400
"""For one scenario; what takes longer hangs."""


@dataclass(frozen=True)
class Row:
    """One scenario on one gateway. `verdict`: kept, broken, not offered, not run, error."""

    number: str
    title: str
    finding: Finding
    verdict: str
    seconds: float = 0


@dataclass(frozen=True)
class Trial:
    """One gateway's whole table."""

    gateway: str
    version: str
    seed: int
    rows: list[Row] = field(default_factory=list)

    def verdict(self, number: str) -> str:
        """Of one scenario; empty where it was not chosen."""
        return next((row.verdict for row in self.rows if row.number == number), "")


def _order(number: str) -> tuple[int, int]:
    """Those that others' users reported first, then our own."""
    return "TK".index(number[0]), int(number[1:])


def chosen(only: str) -> list[str]:
    """The numbers that are asked for, all of them by default. Raises KeyError."""
    asked = [part.strip().upper() for part in only.split(",") if part.strip()]
    for number in asked:
        SCENARIOS[number]
    return sorted(asked or SCENARIOS, key=_order)


async def judged(
    gateway: Gateway, numbers: Sequence[str], *, seed: int, scale: int, say: Callable[[str], None] = lambda _: None
) -> Trial:
    """That gateway's table."""
    try:
        version = await asyncio.to_thread(gateway.prepare)
    except CannotRunError as error:
        rows = [Row(number, SCENARIOS[number].title, Finding("", "", str(error)), "not run") for number in numbers]
        return Trial(gateway.name, "", seed, rows)
    trial = Trial(gateway.name, version, seed)
    court = Court(gateway, seed, scale)
    for number in numbers:
        row = await _tried(court, SCENARIOS[number])
        trial.rows.append(row)
        say(f"{gateway.name} {row.number} {row.verdict} ({row.seconds:.0f} s): {row.finding.seen}")
    return trial


async def _tried(court: Court, scenario: Scenario) -> Row:
    began = time.monotonic()
    try:
        finding = await asyncio.wait_for(scenario.trial(court), SECONDS_MAX)
        verdict = "broken" if finding.broken else "kept"
    except NotOfferedError as error:
        finding, verdict = Finding("", "", str(error)), "not offered"
    except Exception as error:  # noqa: BLE001 - a gateway that breaks the judge's own steps is a row, too
        finding, verdict = Finding("", "", f"{type(error).__name__}: {error}"), "error"
    return Row(scenario.number, scenario.title, finding, verdict, time.monotonic() - began)
