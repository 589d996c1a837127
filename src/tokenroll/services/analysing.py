"""Analysing: logs and exports read where they lie, priced at list, and every question asked of them at once. Nothing leaves the machine."""

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from importlib import resources
from pathlib import Path
from typing import Final

from tokenroll.insight.analysis import Analysis, analysed
from tokenroll.insight.seats import Seat
from tokenroll.insight.usage_shares import PricedEvent
from tokenroll.model.amount import nanos_from_text
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.claude_code import claude_code_events, is_claude_code
from tokenroll.services.importers.codex import codex_events, is_codex
from tokenroll.services.importers.intake import Intake, SourceError, opened
from tokenroll.services.list_prices import ListPrices, published_list_prices

SMALL_MODELS: Final = {"anthropic": "claude-haiku-4-5", "openai": "gpt-5-mini", "google": "gemini-2.5-flash"}
"""The small model of each maker, with which W7 compares; a newer one is a change of this line."""
_HEAD_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """An analysis with what became of the rows, and the day of the seats' prices."""

    analysis: Analysis
    intake: Intake
    seats_as_of: str


def analyse(
    paths: Sequence[Path],
    *,
    member: str,
    zone: tzinfo,
    zone_name: str,
    seats: Sequence[Seat] = (),
    on_file: Callable[[int, int], None] | None = None,
) -> Analysed:
    """Read files and folders of usage and answer. Raises SourceError when a path is missing or none of them holds usage."""
    files = _files(paths)
    prices = published_list_prices()
    intake = Intake()
    kept: dict[tuple[str, str], UsageEvent] = {}
    for number, file in enumerate(files):
        if on_file is not None:
            on_file(number, len(files))
        for event in _events(file, member, prices, intake):
            key = (event.source, event.event_id)
            if key in kept:
                intake.repeat_count += 1
            else:
                kept[key] = event
    intake.event_count = len(kept)
    if not kept:
        raise SourceError(f"no usage in {len(files)} files below {', '.join(map(str, paths))}")
    priced = _priced(kept.values(), prices)
    known, as_of = known_seats()
    return Analysed(
        analysis=analysed(priced, zone, zone_name, seats or known, _small_rates(prices, priced)),
        intake=intake,
        seats_as_of="" if seats else as_of,
    )


def known_seats() -> tuple[tuple[Seat, ...], str]:
    """Seats that are sold, with their published price, and the day on which it was."""
    text = resources.files("tokenroll.upstream").joinpath("data/seats.toml").read_text()
    said = tomllib.loads(text)
    return tuple(
        Seat(name=one["name"], provider=one["provider"], month_nanos=nanos_from_text(one["usd"]))
        for one in said["seat"]
    ), said["as_of"]


def _priced(events: Iterable[UsageEvent], prices: ListPrices) -> list[PricedEvent]:
    return [PricedEvent(event, {} if event.list_cost_nanos is None else prices.rates(event)) for event in events]


def _small_rates(prices: ListPrices, priced: Sequence[PricedEvent]) -> dict[str, Rates]:
    at = max(one.event.admitted_at for one in priced)
    found = {provider: prices.base_rates(provider, model, at) for provider, model in SMALL_MODELS.items()}
    return {provider: rates for provider, rates in found.items() if rates is not None}


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(one for one in path.rglob("*.jsonl*") if one.is_file())
        elif path.exists():
            found.append(path)
        else:
            raise SourceError(f"there is no {path}")
    return found


def _events(path: Path, member: str, prices: ListPrices, intake: Intake) -> Iterable[UsageEvent]:
    intake.file_count += 1
    with opened(path) as stream:
        head = stream.read(_HEAD_BYTES)
    if is_codex(head):
        return codex_events(path, member, prices, intake)
    if is_claude_code(head):
        return claude_code_events(path, member, prices, intake)
    intake.is_other("files of no known kind")
    return ()
