"""The tables that are printed, and the same as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from judge.running import Trial

SCORECARD = {
    "the cap is never exceeded": ("T1", "T2", "T4", "T16"),
    "holds are durable, settling is idempotent across a crash": ("T10", "K1", "K2"),
    "spending is never lost on SIGKILL": ("T23",),
    "exact money: bill = rows = balance": ("T12", "T13", "T40"),
    "an aborted stream is charged": ("T15", "T17", "T18"),
    "an unknown price blocks": ("T31",),
    "no route and no key leads around the budget": ("T6", "T7", "T9"),
}
"""Properties of a gateway with budgets, each with the scenarios that try it."""
MARKS = {"kept": "✓", "broken": "✗", "error": "error", "not offered": "not offered", "not run": "not run"}


def table(trial: Trial) -> str:
    """Scenario by scenario, as Markdown."""
    head = f"### {trial.gateway} {trial.version}".rstrip()
    lines = [head, "", "| | what was done | allowed | seen | verdict |", "|---|---|---|---|---|"]
    rows = trial.rows
    if rows and all(row.verdict == "not run" for row in rows):
        return "\n".join([*lines, f"| all |  |  | {_cell(rows[0].finding.seen)} | not run |"])
    for row in rows:
        found = row.finding
        said = f"**broken**: {', '.join(found.broken)}" if row.verdict == "broken" else row.verdict
        lines.append(
            f"| {row.number} {row.title} | {_cell(found.done)} | {_cell(found.allowed)} | {_cell(found.seen)} | {said} |"
        )
    return "\n".join(lines)


def scorecard(trials: Sequence[Trial]) -> str:
    """Property by property, the gateways side by side."""
    lines = ["| property | " + " | ".join(trial.gateway for trial in trials) + " |", "|---" * (len(trials) + 1) + "|"]
    for name, numbers in SCORECARD.items():
        cells = [property_of({number: trial.verdict(number) for number in numbers}) for trial in trials]
        lines.append(f"| {name} ({', '.join(numbers)}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def property_of(verdicts: Mapping[str, str]) -> str:
    """One broken scenario breaks it; it is kept when all that were tried are, and one was. What could not be tried is named."""
    tried = [verdict for verdict in verdicts.values() if verdict]
    for worst in ("broken", "error", "kept", "not offered", "not run"):
        if worst in tried:
            left_out = [number for number, verdict in verdicts.items() if verdict == "not offered"]
            return MARKS[worst] + (f", {', '.join(left_out)} not offered" if worst == "kept" and left_out else "")
    return "not tried"


def as_json(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Everything that the tables have, and how long each took."""
    return [asdict(trial) for trial in trials]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:600]
