"""What an accepted outcome costs: all spend divided by what was accepted, failures included, with the interval that chance allows.

Outcomes are merged changes, closed tickets or any other event with a name; one that was reverted or undone is not accepted. Spend that
belongs to no outcome is told apart and, in `whole_nanos`, divided all the same: money that led nowhere was spent, too. The interval is
a percentile bootstrap over outcomes (Efron 1979), the same from the same seed; below five accepted outcomes there is none. Of more
outcomes than `DRAWN_MAX` so many are drawn each time, and the distances from the cost itself shrink with the root of the number (Bickel,
Götze, van Zwet 1997): the time no longer grows, and the width is right to some two percent.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

from tokenroll.engine.rating import round_half_even

ACCEPTED_MIN: Final = 5
RESAMPLES: Final = 2_000
DRAWN_MAX: Final = 5_000
"""Outcomes of one resampling: ten million draws in all, some seconds however many outcomes there are."""
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSpend:
    """One outcome, whether it is accepted and still stands, and the nanos spent on it."""

    outcome: str
    is_accepted: bool
    spend_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """The cost of an accepted outcome in nanos, its 95 % interval, and the share of spend on work that failed.

    `per_accepted_nanos` divides what was spent on all outcomes by those accepted; `whole_nanos` divides unattributed spend as well.
    None where nothing was accepted, or where too few outcomes are for an interval.
    """

    outcome_count: int
    accepted_count: int
    spend_nanos: int
    unattributed_nanos: int
    failed_nanos: int
    per_accepted_nanos: int | None
    whole_nanos: int | None
    low_nanos: int | None
    high_nanos: int | None

    @property
    def failed_permille(self) -> int:
        """Share of the spend on outcomes that went to those not accepted, in thousandths."""
        return round_half_even(1000 * self.failed_nanos, self.spend_nanos) if self.spend_nanos else 0


def unit_cost(outcomes: Sequence[OutcomeSpend], *, unattributed_nanos: int = 0, seed: int = 1) -> UnitCost:
    """The unit cost of outcomes."""
    spend = sum(one.spend_nanos for one in outcomes)
    accepted = sum(one.is_accepted for one in outcomes)
    low, high = _interval(outcomes, seed) if accepted >= ACCEPTED_MIN else (None, None)
    return UnitCost(
        outcome_count=len(outcomes),
        accepted_count=accepted,
        spend_nanos=spend,
        unattributed_nanos=unattributed_nanos,
        failed_nanos=sum(one.spend_nanos for one in outcomes if not one.is_accepted),
        per_accepted_nanos=_divided(spend, accepted),
        whole_nanos=_divided(spend + unattributed_nanos, accepted),
        low_nanos=low,
        high_nanos=high,
    )


def joined(spend: Mapping[str, int], accepted: Mapping[str, bool]) -> tuple[tuple[OutcomeSpend, ...], int]:
    """Spend by outcome name with the log of outcomes: what both know, and the nanos of names that no log of outcomes has."""
    outcomes = tuple(
        OutcomeSpend(outcome=name, is_accepted=is_accepted, spend_nanos=spend.get(name, 0))
        for name, is_accepted in sorted(accepted.items())
    )
    return outcomes, sum(nanos for name, nanos in spend.items() if name not in accepted)


def _interval(outcomes: Sequence[OutcomeSpend], seed: int) -> tuple[int | None, int | None]:
    chance = random.Random(seed)  # noqa: S311 - a resampling that anybody can repeat, no secret
    count, standing = min(len(outcomes), DRAWN_MAX), sum(one.is_accepted for one in outcomes)
    if standing * count < ACCEPTED_MIN * len(outcomes):
        return None, None  # so few of so many that most draws would have none
    ratios = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(outcomes, k=count)
        accepted = sum(one.is_accepted for one in drawn)
        if accepted:
            ratios.append(sum(one.spend_nanos for one in drawn) // accepted)
    ratios.sort()
    ends = ratios[int(_LOW * len(ratios))], ratios[min(len(ratios) - 1, int(_HIGH * len(ratios)))]
    if count == len(outcomes):
        return ends
    cost = sum(one.spend_nanos for one in outcomes) // standing
    low, high = (cost + _shrunk(end - cost, count, len(outcomes)) for end in ends)
    return max(0, low), high


def _shrunk(distance: int, count: int, whole: int) -> int:
    """A distance times the root of `count` over `whole`, in integers."""
    size = isqrt(distance * distance * count // whole)
    return size if distance >= 0 else -size


def _divided(nanos: int, count: int) -> int | None:
    return round_half_even(nanos, count) if count else None
