"""List prices of many rows at once: one integer dot product for all rows of a model, a tier, a card's time and a length of context.

The result is that of asking row by row, to the nano. Rates have a common divisor, so that products nearly always fit into int64, which
is proven from the largest counts; where it cannot be, the same is summed in Python's own integers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tokenroll.engine.rating import rate_attos, rates_for, round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.limits import AMOUNT_NANOS_MAX
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import METERS
from tokenroll.services.importers.bulk_values import half_even
from tokenroll.services.list_prices import ListPrices, sold_tier
from tokenroll.store.lake_libraries import arrow, arrow_compute

_INT64_MAX: Final = 2**63 - 1


class ListCosts:
    """What rows cost at list, filled in group by group; nothing where no price covers a row."""

    def __init__(self, rows: int) -> None:
        self.nanos = np.zeros(rows, np.int64)
        self.is_priced = np.zeros(rows, bool)
        self.is_fitting = np.ones(rows, bool)
        """False where the cost is more than an amount may be."""
        self._digests = np.zeros(rows, np.int32)
        self._texts = {"": 0}

    def add(self, places: Any, nanos: Any, is_fitting: Any, digest: str) -> None:
        """The costs of the rows at these places."""
        self.nanos[places] = nanos
        self.is_priced[places] = True
        self.is_fitting[places] = is_fitting
        self._digests[places] = self._texts.setdefault(digest, len(self._texts))

    def digests(self) -> Any:
        """The digest of each row's rate card, as a column of texts."""
        pa = arrow()
        return pa.array(list(self._texts), pa.string()).take(pa.array(self._digests))


def list_costs(
    prices: ListPrices, provider: Any, model: Any, tier: Any, instants: Any, counts: Mapping[int, Any], context: Any
) -> ListCosts:
    """The list costs of rows with these names (Arrow texts), instants, counts by place in METERS, and lengths of context."""
    costs = ListCosts(len(instants))
    for (seller, name, sold), places in _groups(provider, model, tier):
        cards = prices.cards(seller, name)
        if not cards:
            continue
        starts = np.array([card.effective_at for card in cards[1:]], np.int64)
        for number, dated in _parts(places, np.searchsorted(starts, instants[places], side="right")):
            card = cards[number]
            table = card.list_prices.get(sold_tier(card, sold))
            if table is not None:
                _price(costs, card, table, dated, counts, context)
    return costs


def _groups(*columns: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Rows that have all of these texts in common."""
    pc = arrow_compute()
    coded = [pc.dictionary_encode(column) for column in columns]
    told = [one.dictionary.to_pylist() for one in coded]
    group = np.zeros(len(columns[0]), np.int64)
    for one, texts in zip(coded, told, strict=True):
        group = group * max(len(texts), 1) + one.indices.to_numpy()
    for number, places in _parts(np.arange(len(group)), group):
        yield tuple(texts[code] for texts, code in zip(told, _digits(number, told), strict=True)), places


def _digits(number: int, told: Sequence[Sequence[str]]) -> list[int]:
    """The codes that a group's number is made of."""
    found = []
    for texts in reversed(told):
        number, code = divmod(number, len(texts))
        found.append(code)
    return found[::-1]


def _parts(places: Any, numbers: Any) -> Iterator[tuple[int, Any]]:
    """The places of each number."""
    if not len(numbers):
        return
    least, most = int(numbers.min()), int(numbers.max())
    if least == most:
        yield least, places
        return
    narrow = (numbers - least).astype(np.uint16) if most - least < 65_536 else numbers
    order = np.argsort(narrow, kind="stable")
    ordered = numbers[order]
    cuts = np.flatnonzero(np.diff(ordered)) + 1
    for part in np.split(order, cuts):
        yield int(numbers[part[0]]), places[part]


def _price(
    costs: ListCosts, card: RateCard, table: RateTable, places: Any, counts: Mapping[int, Any], context: Any
) -> None:
    starts = np.array([one.input_tokens_above for one in table.tiers], np.int64)
    for level, found in _parts(places, np.searchsorted(starts, context[places], side="left")):
        length = table.tiers[level - 1].input_tokens_above + 1 if level else 0
        rates = rates_for(table, length)
        rows, used = found, {place: column[found] for place, column in counts.items()}
        rated = {place: rate_attos(rates, METERS[place]) for place in used}
        unpriced = [used[place] > 0 for place, rate in rated.items() if rate is None]
        if unpriced:
            is_priced = ~np.logical_or.reduce(unpriced)
            rows, used = rows[is_priced], {place: column[is_priced] for place, column in used.items()}
        if len(rows):
            nanos, is_fitting = _nanos(used, {place: rate for place, rate in rated.items() if rate})
            costs.add(rows, nanos, is_fitting, card.digest)


def _nanos(used: Mapping[int, Any], rates: Mapping[int, int]) -> tuple[Any, Any]:
    rows = len(next(iter(used.values()))) if used else 0
    divisor = math.gcd(ATTOS_PER_NANO, *rates.values())
    denominator = ATTOS_PER_NANO // divisor
    bound = sum(rate // divisor * int(used[place].max()) for place, rate in rates.items())
    if bound <= _INT64_MAX:
        total = np.zeros(rows, np.int64)
        for place, rate in rates.items():
            total += used[place] * np.int64(rate // divisor)
        nanos = total if denominator == 1 else half_even(total, np.int64(denominator))
        return nanos, nanos <= AMOUNT_NANOS_MAX
    exact = [0] * rows
    for place, rate in rates.items():
        exact = [less + count * rate for less, count in zip(exact, used[place].tolist(), strict=True)]
    rounded = [round_half_even(attos, ATTOS_PER_NANO) for attos in exact]
    is_fitting = np.array([nanos <= AMOUNT_NANOS_MAX for nanos in rounded], bool)
    return np.array([min(nanos, AMOUNT_NANOS_MAX) for nanos in rounded], np.int64), is_fitting
