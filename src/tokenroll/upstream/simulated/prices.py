"""What the simulated provider charges: its own table, exact fractions, one rounding per attempt.

It shares no code and no data with the product's rating, so that an error in either shows as a difference between bill and
ledger (decision 0040).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

NANOS_PER_USD: Final = 10**9
_UNITS: Final = {"web_search": 10**3, "search_unit": 10**3, "image": 1, "audio_second": 60}
"""Units that one listed price pays for; all others are per million tokens."""
UNIT_KINDS: Final = frozenset({"search_unit", "image", "character", "audio_second"})
"""What some models are sold by in place of tokens."""
INPUT_KINDS: Final = ("input", "cache_read", "cache_write_5m", "cache_write_1h")
_FALLS_BACK: Final = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "reasoning": "output",
}
TIERS: Final = ("standard", "batch", "flex", "priority")


@dataclass(frozen=True, slots=True)
class PricedModel:
    """One model that the provider sells: exact USD nanos per unit, by service tier and kind of usage."""

    name: str
    vendor: str
    answers_as: str
    tiers: Mapping[str, Mapping[str, Fraction]]
    long: Mapping[str, tuple[int, Mapping[str, Fraction]]]
    """By tier: above how many input tokens a whole request costs otherwise, and what; a tier without costs the same at any length."""

    @property
    def writes_cache(self) -> bool:
        """Whether filling the prompt cache has a price of its own, so that filled tokens are reported apart."""
        return "cache_write_5m" in self.tiers["standard"]

    def cost_nanos(self, usage: Mapping[str, int], tier: str) -> int:
        """The price of `usage` at `tier`, rounded once, half to even."""
        return round(self.exact_nanos(usage, tier))

    def exact_nanos(self, usage: Mapping[str, int], tier: str) -> Fraction:
        """The same before it is rounded. A tier that is not sold costs as standard."""
        if tier not in self.tiers:
            tier = "standard"
        rates = self.tiers[tier]
        above, long_rates = self.long.get(tier, (0, rates))
        if sum(usage.get(kind, 0) for kind in INPUT_KINDS) > above:
            rates = long_rates
        total = Fraction(0)
        for kind, count in usage.items():
            if count:
                total += count * _rate(rates, kind)
        return total


def _rate(rates: Mapping[str, Fraction], kind: str) -> Fraction:
    """The rate of a kind, or of the kind it is charged as when the table has no own price for it."""
    while kind not in rates:
        if kind not in _FALLS_BACK:
            return Fraction(0)
        kind = _FALLS_BACK[kind]
    return rates[kind]


def _rates(table: Mapping[str, Any]) -> dict[str, Fraction]:
    return {
        kind: Fraction(price) * NANOS_PER_USD / _UNITS.get(kind, 10**6)
        for kind, price in table.items()
        if kind != "above"
    }


def _long_name(tier: str) -> str:
    return "long" if tier == "standard" else f"{tier}_long"


class PriceTable:
    """Every model of one table, found by name or alias."""

    def __init__(self, text: str) -> None:
        self.models: dict[str, PricedModel] = {}
        """By name and by alias."""
        self.names: list[str] = []
        for row in tomllib.loads(text)["model"]:
            long = {tier: row[name] for tier in TIERS if (name := _long_name(tier)) in row}
            model = PricedModel(
                name=row["name"],
                vendor=row["vendor"],
                answers_as=row["answers_as"],
                tiers={tier: _rates(row[tier]) for tier in TIERS if tier in row},
                long={tier: (table["above"], _rates(table)) for tier, table in long.items()},
            )
            self.names.append(model.name)
            for name in (model.name, *row.get("aliases", ())):
                self.models[name] = model

    @classmethod
    def load(cls, path: Path | None = None) -> "PriceTable":
        """The table of `path`, by default the provider's own."""
        return cls((path or Path(__file__).with_name("prices.toml")).read_text())
