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
from tokenroll.model.instant import Instant
from tokenroll.model.rate_card import Rates
from tokenroll.model.usage import model_tokens
from tokenroll.model.usage_event import UsageEvent
from tokenroll.services.importers.clocks import AHEAD_MICROS, clock_problem
from tokenroll.services.importers.columns import ColumnMap
from tokenroll.services.importers.detecting import events_of, usage_files
from tokenroll.services.importers.intake import Intake, SourceError
from tokenroll.services.list_prices import ListPrices, published_list_prices

SMALL_MODELS: Final = {"anthropic": "claude-haiku-4-5", "openai": "gpt-5-mini", "google": "gemini-2.5-flash"}
"""The small model of each maker, with which W7 compares; a newer one is a change of this line."""


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
    now: Instant,
    seats: Sequence[Seat] = (),
    column_map: ColumnMap | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> Analysed:
    """Read files and folders of usage and answer. Raises SourceError when a path is missing or none of them holds usage."""
    files = usage_files(paths, member)
    prices = published_list_prices()
    intake = Intake()
    kept: dict[tuple[str, str], UsageEvent] = {}
    for number, file in enumerate(files):
        if on_file is not None:
            on_file(number, len(files))
        for event in events_of([file], prices, intake, column_map=column_map):
            if event.admitted_at > now + AHEAD_MICROS:
                intake.is_bad(str(file.path), 0, f"{event.event_id}: {clock_problem(event.admitted_at, now)}")
                continue
            key = (event.source, event.event_id)
            before = kept.get(key)
            if before is not None:
                intake.repeat_count += 1
            if before is None or model_tokens(event.usage.counts) > model_tokens(before.usage.counts):
                kept[key] = event
    if not kept:
        raise SourceError(_nothing(paths, len(files), intake))
    priced = _priced(kept.values(), prices)
    known, as_of = known_seats()
    return Analysed(
        analysis=analysed(priced, zone, zone_name, seats or known, _small_rates(prices, priced)),
        intake=intake,
        seats_as_of="" if seats else as_of,
    )


def _nothing(paths: Sequence[Path], file_count: int, intake: Intake) -> str:
    why = (
        f": {intake.bad_rows[0].file}, line {intake.bad_rows[0].line}: {intake.bad_rows[0].reason}"
        if intake.bad_rows
        else ""
    )
    return f"no usage in {file_count} files below {', '.join(map(str, paths))}{why}"


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
