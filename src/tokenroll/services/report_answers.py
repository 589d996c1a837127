"""A comparison with a provider's reports as people and programs read it: plain structures, a sentence for each reason, CSV."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tokenroll.books.cells import neutral
from tokenroll.books.provider_reports import SOUND, Line, Proven, TrueUp, Why, input_of, output_of, total
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.usage import METERS

WORDS: Final[Mapping[Why, str]] = {
    Why.AGREES: "agrees",
    Why.ROUNDING: "rounding",
    Why.TRUED_UP: "trued up",
    Why.MIDNIGHT: "calls across midnight",
    Why.CHECKED: "being checked",
    Why.ESTIMATED: "estimated",
    Why.UNDER_WAY: "still under way",
    Why.PRICE: "another price",
    Why.CURRENCY: "another currency",
    Why.MORE_TOLD: "more than ours",
    Why.LESS_TOLD: "less than ours",
    Why.NOT_TOLD: "not in the report",
    Why.NOT_OURS: "not through us",
    Why.KEY: "a key of no deployment",
    Why.UNDECIDED: "undecided",
}
SENTENCES: Final[Mapping[Why, str]] = {
    Why.ROUNDING: "the amounts differ by less than the report's last decimal places, and ours, can tell",
    Why.TRUED_UP: "what was booked of estimates makes up the difference",
    Why.MIDNIGHT: "calls that were under way at midnight are in the report of the other day, which differs by the same",
    Why.CHECKED: "a true-up settles them where the report leaves one reading of them",
    Why.ESTIMATED: "answers that did not say their usage, or were lost until age decided: a true-up books what the report proves beyond the estimate",
    Why.UNDER_WAY: "calls of that day have not ended: look again when they have",
    Why.PRICE: "the report's counts cost another amount at our rate card's prices: see `tokenroll ratecard`, or ask the provider",
    Why.CURRENCY: "the report is in another currency than our rate cards, so money is not compared",
    Why.MORE_TOLD: "the report has more than went through us: somebody used this key without the gateway, or it is not ours alone",
    Why.LESS_TOLD: "the report has less than we settled: ask the provider, or look whether a report of another account is missing",
    Why.NOT_TOLD: "the report says nothing of what we settled: is it of all models, endpoints, keys and accounts?",
    Why.NOT_OURS: "nothing of this went through us: somebody used the provider without the gateway",
    Why.KEY: "no deployment has this key: if it is one of ours, name it in `report_keys` of config.toml",
    Why.UNDECIDED: "the sums leave more than one reading, so nothing is proposed: a bill that names calls settles them, or their age does",
}
_PARTS: Final = ("day", "provider", "model", "key")


def line_facts(line: Line) -> dict[str, Any]:
    """A line's figures; None where the report does not say them."""
    told, ours = line.told, line.ours
    mine = total(ours.tiers)
    theirs = total(told.tiers) if told is not None and told.meters else None
    facts: dict[str, Any] = dict(zip(_PARTS, line.part[:4], strict=True))
    facts["model"], facts["key"] = facts["model"] or "all", facts["key"] or "all"
    figures = {
        "call_count": (None if told is None else told.request_count, ours.request_count),
        "input_tokens": (None if theirs is None else input_of(theirs), input_of(mine)),
        "output_tokens": (None if theirs is None else output_of(theirs), output_of(mine)),
        "cost_nanos": (line.provider_cost_nanos, ours.cost_nanos + ours.booked_nanos),
    }
    for name, (one, other) in figures.items():
        facts[f"provider_{name}"], facts[f"ledger_{name}"] = one, other
        facts[f"difference_{name}"] = None if one is None else one - other
    facts["difference_cost_nanos"] = line.difference_cost_nanos
    facts["currency"] = told.currency if told is not None else next(iter(ours.currencies), "USD")
    facts["cost_from"] = "report" if told is not None and told.cost_nanos is not None else "our prices"
    facts["checked_count"], facts["estimated_count"] = len(ours.checked), len(ours.estimated)
    facts["booked_cost_nanos"] = ours.booked_nanos
    facts["why"] = [one.value for one in line.why]
    facts["true_ups"] = [one.id for one in line.true_ups]
    return facts


def true_up_facts(line: Line, true_up: TrueUp) -> dict[str, Any]:
    """A true-up with the attempts behind it."""
    facts: dict[str, Any] = {"id": true_up.id, **dict(zip(_PARTS, line.part[:4], strict=True))}
    facts["model"], facts["key"] = facts["model"] or "all", facts["key"] or "all"
    facts["kind"] = true_up.kind.value
    facts["currency"] = next(iter(line.ours.currencies), "USD")
    facts["proposed_cost_nanos"] = true_up.nanos
    facts["attempts"] = [_proven_facts(one, true_up.kind) for one in true_up.proven]
    return facts


def _proven_facts(one: Proven, kind: Why) -> dict[str, Any]:
    attempt = one.attempt
    facts: dict[str, Any] = {"call": attempt.call_id, "attempt": attempt.attempt, "admitted_at": attempt.admitted_at}
    if kind is Why.CHECKED:
        facts["usage"] = {meter.value: count for meter, count in zip(METERS, one.counts, strict=True) if count}
        facts["service_tier"] = one.tier
        return {**facts, "hold_nanos": attempt.bound_nanos, "settled_cost_nanos": one.nanos}
    return {**facts, "estimated_cost_nanos": attempt.cost_nanos, "difference_cost_nanos": one.nanos}


def sentences(lines: Iterable[Line]) -> list[str]:
    """What each reason means that any line has and that somebody must know, in one order."""
    found = {why for line in lines for why in line.why}
    return [f"{WORDS[why]}: {said}" for why, said in SENTENCES.items() if why in found]


def totals(lines: Iterable[Line]) -> dict[str, Any]:
    """How many lines there are, how many need somebody, and what is proposed in all."""
    found = list(lines)
    proposed = [one for line in found for one in line.true_ups]
    return {
        "line_count": len(found),
        "sound_count": sum(SOUND.issuperset(line.why) for line in found),
        "true_up_count": len(proposed),
    }


def write_csv(facts: Iterable[Mapping[str, Any]]) -> str:
    """Lines as CSV: money as decimals in the currency beside it, lists apart by spaces; without any line nothing at all."""
    rows = list(facts)
    file = io.StringIO()
    if not rows:
        return ""
    writer = csv.writer(file, lineterminator="\n")
    columns = list(rows[0])
    writer.writerow([name.removesuffix("_nanos") for name in columns])
    for row in rows:
        writer.writerow([_cell(name, row[name]) for name in columns])
    return file.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(value)
    if name.endswith("_nanos"):
        return text_from_nanos(value)
    return neutral(str(value))
