"""A provider's report beside the ledger, for one day, model and key: what differs, why, and what of it can be trued up.

A report has sums, never single calls. So a true-up is proposed only where the sums leave one reading: everything else that day is
known, and what is left over is what the attempts in question used. Where two readings fit, both are left to a person.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeAlias

from tokenroll.engine.rating import UnpricedError, charge_attos, charge_nanos, rates_at, round_half_even
from tokenroll.engine.sharing import shared_out
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.instant import Instant
from tokenroll.model.limits import UNIT_COUNT_MAX
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, OUTPUT_METERS, Meter, Usage

ALL: Final = ""
"""In place of a model or key: the report does not tell them apart."""
CROSSINGS_MAX: Final = 12
"""Calls under way at a midnight of which every combination is tried: 4,096 of them."""
_ID_DIGITS: Final = 16
_INPUTS: Final = tuple(METER_INDEX[one] for one in INPUT_METERS)
_OUTPUTS: Final = tuple(METER_INDEX[one] for one in OUTPUT_METERS)
_REQUEST: Final = METER_INDEX[Meter.REQUEST]
_OUTPUT: Final = METER_INDEX[Meter.OUTPUT]
_REASONING: Final = METER_INDEX[Meter.REASONING]

Counts: TypeAlias = Sequence[int]
"""In the order of METERS: reasoning is in the output, as reports have it, and requests are told apart."""


class Why(StrEnum):
    """What a line says of its difference."""

    AGREES = "agrees"
    ROUNDING = "rounding"
    TRUED_UP = "trued_up"
    MIDNIGHT = "midnight"
    CHECKED = "checked"
    ESTIMATED = "estimated"
    UNDER_WAY = "under_way"
    PRICE = "price"
    CURRENCY = "currency"
    MORE_TOLD = "more_told"
    LESS_TOLD = "less_told"
    NOT_TOLD = "not_told"
    NOT_OURS = "not_ours"
    KEY = "key"
    UNDECIDED = "undecided"


SOUND: Final = frozenset({Why.AGREES, Why.ROUNDING, Why.TRUED_UP, Why.MIDNIGHT})
"""What needs nobody: a line of these alone is settled."""


class Part(NamedTuple):
    """Which sums are compared. `deployments`: those that have this key; None for all of the provider's."""

    day: str
    provider: str
    model: str
    key: str
    deployments: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a report tells of a part. `meters`: the places of what it counts.

    So many rows (`row_count`) have amounts, whose last decimal place is `step_nanos`.
    """

    part: Part
    tiers: Mapping[str, Counts]
    meters: frozenset[int]
    request_count: int | None
    cost_nanos: int | None
    currency: str
    row_count: int
    step_nanos: int
    is_known_key: bool = True


class OurAttempt(NamedTuple):
    """An attempt that a line names. `counts` of one without an end are its evidence's."""

    call_id: str
    attempt: int
    hold_key: int
    admitted_at: Instant
    tier: str
    counts: Counts
    cost_nanos: int
    bound_nanos: int
    card: RateCard
    request_count: int


@dataclass(slots=True)
class Ours:
    """What the ledger has of a part: the sums of what is settled, and by name what is not settled for good.

    `leaving` were admitted that day and ended on a later one, `arriving` were admitted on an earlier one and ended that day.
    """

    tiers: dict[str, list[int]] = field(default_factory=dict)
    currencies: set[str] = field(default_factory=set)
    attempt_count: int = 0
    request_count: int = 0
    cost_nanos: int = 0
    booked_nanos: int = 0
    trued_up_count: int = 0
    under_way_count: int = 0
    checked: list[OurAttempt] = field(default_factory=list)
    estimated: list[OurAttempt] = field(default_factory=list)
    leaving: list[OurAttempt] = field(default_factory=list)
    arriving: list[OurAttempt] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of ours is in it."""
        return not (self.attempt_count or self.under_way_count or self.checked)

    def add(self, other: "Ours") -> None:
        """All of another part."""
        for tier, counts in other.tiers.items():
            mine = self.tiers.setdefault(tier, [0] * len(METERS))
            for place, count in enumerate(counts):
                mine[place] += count
        self.currencies |= other.currencies
        self.attempt_count += other.attempt_count
        self.request_count += other.request_count
        self.cost_nanos += other.cost_nanos
        self.booked_nanos += other.booked_nanos
        self.trued_up_count += other.trued_up_count
        self.under_way_count += other.under_way_count
        for name in ("checked", "estimated", "leaving", "arriving"):
            getattr(self, name).extend(getattr(other, name))


class Proven(NamedTuple):
    """What the report proves of one attempt: its counts and cost of one that is checked, what its estimate lacks of one that is settled."""

    attempt: OurAttempt
    tier: str
    counts: Counts
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueUp:
    """What may be booked, by its id: the same report beside the same attempts has the same one. `kind` is CHECKED or ESTIMATED."""

    id: str
    kind: Why
    proven: tuple[Proven, ...]

    @property
    def nanos(self) -> int:
        """What it books, as money at our prices."""
        return sum(one.nanos for one in self.proven)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One part compared. `told` None: the report tells nothing of it. Costs are None where nobody can say them."""

    part: Part
    told: Told | None
    ours: Ours
    provider_cost_nanos: int | None
    difference_cost_nanos: int | None
    why: tuple[Why, ...]
    true_ups: tuple[TrueUp, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether nobody needs to look."""
        return SOUND.issuperset(self.why)


def report_counts(counts: Sequence[int | None]) -> list[int]:
    """Counts of a call as reports have them."""
    found = [count or 0 for count in counts] + [0] * (len(METERS) - len(counts))
    found[_OUTPUT] += found[_REASONING]
    found[_REASONING] = found[_REQUEST] = 0
    return found


def input_of(counts: Counts) -> int:
    """Model tokens that went in."""
    return sum(counts[place] for place in _INPUTS)


def output_of(counts: Counts) -> int:
    """Model tokens that came out."""
    return sum(counts[place] for place in _OUTPUTS)


def total(tiers: Mapping[str, Counts]) -> list[int]:
    """The counts of all tiers together."""
    return [sum(column) for column in zip(*tiers.values(), strict=True)] if tiers else [0] * len(METERS)


def line_of(told: Told | None, ours: Ours, part: Part, card: RateCard | None) -> Line:
    """A part compared. `card` prices what a report counts and does not cost, as our card of that day does."""
    if told is None:
        return Line(
            part=part, told=None, ours=ours, provider_cost_nanos=None, difference_cost_nanos=None, why=(Why.NOT_TOLD,)
        )
    if ours.is_empty:
        is_nothing = not any(total(told.tiers)) and not told.cost_nanos
        foreign = Why.NOT_OURS if told.is_known_key else Why.KEY
        return Line(
            part=part, told=told, ours=ours, provider_cost_nanos=told.cost_nanos, difference_cost_nanos=told.cost_nanos,
            why=(Why.AGREES if is_nothing else foreign,),
        )  # fmt: skip
    return _Comparison(told, ours, card).line() if told.meters else _cost_line(told, ours)


def _cost_line(told: Told, ours: Ours) -> Line:
    """An invoice without counts: money alone is compared, and nothing is proposed of sums that nobody can take apart."""
    if ours.currencies - {told.currency} or told.cost_nanos is None:
        return _money_unknown(told, ours)
    difference = told.cost_nanos - ours.cost_nanos - ours.booked_nanos
    why = [*_open_reasons(ours)]
    if abs(difference) <= _tolerance(told, ours):
        why.append(Why.ROUNDING if difference else Why.AGREES)
    elif not why:
        why.append(Why.MORE_TOLD if difference > 0 else Why.LESS_TOLD)
    return Line(
        part=told.part, told=told, ours=ours, provider_cost_nanos=told.cost_nanos, difference_cost_nanos=difference, why=tuple(why)
    )  # fmt: skip


def _money_unknown(told: Told, ours: Ours) -> Line:
    return Line(
        part=told.part, told=told, ours=ours, provider_cost_nanos=told.cost_nanos, difference_cost_nanos=None,
        why=(*_open_reasons(ours), Why.CURRENCY),
    )  # fmt: skip


def _open_reasons(ours: Ours) -> list[Why]:
    found = []
    if ours.checked:
        found.append(Why.CHECKED)
    if ours.estimated:
        found.append(Why.ESTIMATED)
    if ours.under_way_count:
        found.append(Why.UNDER_WAY)
    return found


def _tolerance(told: Told, ours: Ours) -> int:
    """How far sums may lie apart by rounding alone: half of the last place of each row, and half a nano of each call of ours."""
    return told.row_count * ((told.step_nanos + 1) // 2) + (ours.attempt_count + 1) // 2 + 1


class _Comparison:
    """Counts compared, and the one reading of what is left over, if there is one."""

    def __init__(self, told: Told, ours: Ours, card: RateCard | None) -> None:
        self.told, self.ours, self.card = told, ours, card
        tiers: Mapping[str, Counts] = told.tiers
        if len(tiers) == 1 and len(ours.tiers) == 1:
            tiers = dict(zip(ours.tiers, tiers.values(), strict=True))
        self.by_tier = {
            tier: self._less(tiers.get(tier), ours.tiers.get(tier)) for tier in dict.fromkeys((*tiers, *ours.tiers))
        }
        """What the report counts more than what is settled."""
        self.tiers_fit = set(ours.tiers) <= set(tiers)
        self.more = total(self.by_tier)
        self.more_requests = None if told.request_count is None else told.request_count - ours.request_count

    def _less(self, theirs: Counts | None, mine: Counts | None) -> list[int]:
        nothing = [0] * len(METERS)
        pairs = enumerate(zip(theirs or nothing, mine or nothing, strict=True))
        return [one - other if place in self.told.meters else 0 for place, (one, other) in pairs]

    def line(self) -> Line:
        ours, told = self.ours, self.told
        priced = self._priced_more()
        if ours.currencies - {told.currency}:
            priced = None
        is_invoice = told.cost_nanos is not None
        difference = None
        if is_invoice and told.cost_nanos is not None and not ours.currencies - {told.currency}:
            difference = told.cost_nanos - ours.cost_nanos - ours.booked_nanos
        elif not is_invoice and priced is not None:
            difference = priced - ours.booked_nanos
        why, true_ups = self._read()
        if is_invoice and difference is None:
            why = [*why, Why.CURRENCY]
        elif is_invoice and difference is not None and priced is not None:
            by_price = difference - (priced - ours.booked_nanos)
            if abs(by_price) > _tolerance(told, ours):
                why = [*(one for one in why if one is not Why.AGREES), Why.PRICE]
            elif by_price and why == [Why.AGREES]:
                why = [Why.ROUNDING]
        provider = told.cost_nanos
        if provider is None and difference is not None:
            provider = ours.cost_nanos + ours.booked_nanos + difference
        return Line(
            part=told.part, told=told, ours=ours, provider_cost_nanos=provider, difference_cost_nanos=difference,
            why=tuple(dict.fromkeys(why)), true_ups=tuple(true_ups),
        )  # fmt: skip

    def _priced_more(self) -> int | None:
        """What is counted more, at our net prices; None where they do not say it."""
        if not any(self.more):
            return 0
        if self.card is None or not self.tiers_fit:
            return None
        attos = 0
        for tier, counts in self.by_tier.items():
            table = self.card.net_prices.get(tier)
            if table is None:
                return None
            try:
                attos += charge_attos(table.base, counts)
            except UnpricedError:
                return None
        return round_half_even(attos, ATTOS_PER_NANO)

    def _read(self) -> tuple[list[Why], list[TrueUp]]:
        ours = self.ours
        why = _open_reasons(ours)
        if ours.under_way_count:
            return [*why, Why.UNDECIDED], []
        if ours.checked:
            true_ups = [] if ours.estimated or ours.trued_up_count else self._of_checked()
            return why if true_ups else [*why, Why.UNDECIDED], true_ups
        if self._counts_agree():
            return [Why.AGREES], []  # estimates, too: the report proves them
        if ours.trued_up_count and self._is_trued_up():
            return [Why.TRUED_UP], []
        if ours.estimated:
            true_ups = [] if ours.trued_up_count else self._of_estimated()
            return why if true_ups else [*why, Why.UNDECIDED], true_ups
        if self._crossed_midnight():
            return [Why.MIDNIGHT], []
        more = any(count > 0 for count in self.more) or (self.more_requests or 0) > 0
        return [Why.MORE_TOLD if more else Why.LESS_TOLD], []

    def _counts_agree(self) -> bool:
        return not any(self.more) and not self.more_requests

    def _is_trued_up(self) -> bool:
        priced = self._priced_more()
        return priced is not None and abs(priced - self.ours.booked_nanos) <= _tolerance(self.told, self.ours)

    def _crossed_midnight(self) -> bool:
        """Whether moving some of the calls that were under way at midnight to the other day explains all, counts and requests."""
        crossing = [(one, -1) for one in self.ours.leaving] + [(one, 1) for one in self.ours.arriving]
        if len(crossing) > CROSSINGS_MAX:
            return False
        for size in range(1, len(crossing) + 1):
            for chosen in itertools.combinations(crossing, size):
                requests = sum(sign * one.request_count for one, sign in chosen)
                if self.more_requests is not None and requests != self.more_requests:
                    continue
                if all(
                    sum(sign * one.counts[place] for one, sign in chosen) == self.more[place]
                    for place in self.told.meters
                ):
                    return True
        return False

    # ---- what is left over --------------------------------------------------------------------------------------------

    def _of_checked(self) -> list[TrueUp]:
        """All of them at nothing where the report has what is settled and no more; one alone at what the report has more."""
        checked = self.ours.checked
        if self._counts_agree():
            return [self._true_up(Why.CHECKED, [Proven(one, one.tier, [0] * len(METERS), 0)]) for one in checked]
        tier = self._tier_left_over()
        if len(checked) != 1 or tier is None or min(self.more) < 0 or max(self.more) > UNIT_COUNT_MAX:
            return []
        (one,) = checked
        is_counted = self.more_requests is not None and not self.ours.leaving and not self.ours.arriving
        if self.more_requests is not None and self.more_requests != 1:
            return []
        if not is_counted and (not input_of(one.counts) or input_of(one.counts) != input_of(self.more)):
            return []
        usage = Usage.from_counts(tuple(self.more))
        try:
            if charge_nanos(one.card.internal_prices, tier, usage) > one.bound_nanos:
                return []
            nanos = charge_nanos(one.card.net_prices, tier, usage)
        except UnpricedError:
            return []
        return [self._true_up(Why.CHECKED, [Proven(one, tier, self.more, nanos)])]

    def _tier_left_over(self) -> str | None:
        if not self.tiers_fit:
            return None
        left = [tier for tier, counts in self.by_tier.items() if any(counts)]
        return left[0] if len(left) == 1 else None

    def _of_estimated(self) -> list[TrueUp]:
        """One for all of them: what the report has more or less than their estimates, in the proportions of what these cost."""
        estimated = self.ours.estimated
        if self.ours.leaving or self.ours.arriving or not self.tiers_fit:
            return []
        if self.more_requests is not None and not -len(estimated) <= self.more_requests <= 0:
            return []
        cards = {one.card.digest for one in estimated}
        tiers = {one.tier for one in estimated}
        if len(cards) != 1 or tiers != {tier for tier, counts in self.by_tier.items() if any(counts)}:
            return []
        card, (tier,) = estimated[0].card, tiers
        used = [sum(counts) for counts in zip(*(one.counts for one in estimated), strict=True)]
        really = [mine + more for mine, more in zip(used, self.more, strict=True)]
        if min(really) < 0 or tier not in card.net_prices or tier not in card.internal_prices:
            return []
        rates = [rates_at(card.net_prices[tier], one.counts) for one in estimated]
        if any(one != rates[0] for one in rates):
            return []
        try:
            charged = charge_attos(rates_at(card.internal_prices[tier], estimated[0].counts), really)
            nanos = round_half_even(charge_attos(rates[0], self.more), ATTOS_PER_NANO)
        except UnpricedError:
            return []
        if nanos == 0 or charged > ATTOS_PER_NANO * sum(one.bound_nanos for one in estimated):
            return []
        weights = [one.cost_nanos for one in estimated]
        shares = shared_out(abs(nanos), weights if any(weights) else [1] * len(weights))
        sign = 1 if nanos > 0 else -1
        proven = [
            Proven(one, tier, one.counts, sign * share) for one, share in zip(estimated, shares, strict=True) if share
        ]
        return [self._true_up(Why.ESTIMATED, proven)]

    def _true_up(self, kind: Why, proven: Iterable[Proven]) -> TrueUp:
        found = tuple(proven)
        said: list[Any] = [kind, *self.told.part, sorted((tier, list(one)) for tier, one in self.told.tiers.items())]
        said += [self.told.request_count, [[one.attempt.call_id, one.attempt.attempt, one.nanos] for one in found]]
        digest = hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
        return TrueUp(id=f"trueup_{digest[:_ID_DIGITS]}", kind=kind, proven=found)
