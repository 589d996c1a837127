"""From a meter to money: the counts that settle a hold, and what they cost at the hold's rate card."""

from typing import Final, TypeAlias

from tokenroll.engine.bounding import passes_costs
from tokenroll.engine.rating import round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.limits import AMOUNT_NANOS_MAX, AUDIO_TOKENS_PER_SECOND, STREAMED_SOUND_BYTES_PER_TOKEN
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import METER_INDEX, METERS, OUTPUT_METERS, TOKEN_METER_COUNT, Usage, UsageSource
from tokenroll.services.hot import HotHold
from tokenroll.services.hot_prices import INPUT_INDEXES, HotCard, HotRates, Prices, Steps
from tokenroll.store.attempt_record import PassRecord
from tokenroll.store.tape import SERVICE_TIERS
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, CallMeter
from tokenroll.upstream.usage import AUDIO_SECOND, INPUT, INPUT_AUDIO, OUTPUT, OUTPUT_AUDIO, REQUEST

OUTPUT_INDEXES: Final = tuple(METER_INDEX[meter] for meter in OUTPUT_METERS)


Charge: TypeAlias = tuple[int, list[int], bool, int, int, int, int]
"""What a settlement says: the mask of its counts and the counts, whether the provider reported them, the index of the service tier;
charge, list and net price in nanos. A plain tuple, because one is made and taken apart per call."""

_BITS = tuple(1 << index for index in range(len(METERS)))


def charge_of(hold: HotHold, meter: CallMeter) -> Charge:
    """The provider's own counts at the tier that answered; without its word, the evidence (DESIGN §4 law 5), marked so."""
    rates = hold.rates
    tier = meter.service_tier
    one_price = rates.one_price
    if one_price is None or not meter.saw_usage or meter.degraded or (tier and tier != rates.tier):
        return _charge_with_care(hold, meter)
    # one pass: what the tape needs, and the dot product (engine/rating.charge_attos)
    mask = grains = 0
    values: list[int] = []
    for bit, count, rate in zip(_BITS, meter.counts, one_price):  # noqa: B905 - a call of text has the fewest, and strict costs on every call
        if count is not None:
            mask |= bit
            values.append(count)
            if count:
                if rate is None:
                    return _charge_with_care(hold, meter)
                grains += count * rate
    per_nano = rates.grains_per_nano
    nanos = grains // per_nano
    if nanos * per_nano != grains:
        nanos = round_half_even(grains, per_nano)
    if nanos > AMOUNT_NANOS_MAX:
        return _charge_with_care(hold, meter)
    return mask, values, True, rates.tier_index, nanos, nanos, nanos


def _charge_with_care(hold: HotHold, meter: CallMeter) -> Charge:
    """The same for tiers, long contexts, three prices, and evidence in place of a report."""
    counts = meter.counts
    is_reported = meter.source is UsageSource.REPORTED
    if not is_reported:
        counts = estimated_counts(hold, meter)
    rates = _answered_rates(hold, meter.service_tier)
    missing: list[int] = []
    charge_nanos = _nanos(rates.charge_steps, counts, missing)
    untold = rates.sells_units_alone and all(_count(counts, index) is None for index in rates.unit_grains)
    if rates.is_media and is_reported and (missing or untold):
        # told in tokens where the card sells seconds, or the other way round: what was told is evidence of the other
        is_reported = False
        counts = estimated_counts(hold, meter)
        missing = []
        charge_nanos = _nanos(rates.charge_steps, counts, missing)
    if missing:
        # a meter that this card does not price was used all the same: never free, so at the dearest rate the bound used
        is_reported = False
        charge_nanos = _dearest_nanos(rates, counts, missing)
    list_nanos = net_nanos = charge_nanos
    if not rates.same_prices:
        list_nanos = _nanos(rates.list_steps, counts, [])
        net_nanos = _nanos(rates.net_steps, counts, [])
    mask = sum(1 << index for index, count in enumerate(counts) if count is not None)
    values = [count for count in counts if count is not None]
    return mask, values, is_reported, rates.tier_index, charge_nanos, list_nanos, net_nanos


def _count(counts: list[int | None], index: int) -> int | None:
    """A count that an answer of text has no place for is not told."""
    return counts[index] if index < len(counts) else None


def charge_of_passes(hold: HotHold, meter: CallMeter, prices: Prices) -> tuple[Charge, tuple[PassRecord, ...]]:
    """The same for an answer in which models ran several times, with what its settlement says of each pass.

    A pass of another model is priced at that model's card; without one it stands at the hold's, and the meter is degraded.
    """
    own = hold.card
    rates = _answered_rates(hold, meter.service_tier)
    records: list[PassRecord] = []
    priced: list[tuple[RateCard, str, Usage]] = []
    for one in meter.passes or []:
        card: HotCard | None = own
        if one.model:
            card = prices.card_for(own.card.provider, one.model, hold.admitted_at)
            if card is None and one.model == meter.answered_model and not one.is_foreign:
                card = own  # the asked model by its dated name
        elif one.is_foreign:
            card = None
        if card is None:
            meter.degraded = meter.degraded or f"no rate card prices the pass of {one.model or 'a model without name'}"
            card = own
        tier = rates.tier if rates.tier in card.card.internal_prices else "standard"
        record = PassRecord(card.id, tier, tuple(one.counts))
        records.append(record)
        priced.append((card.card, tier, record.usage))
    charge, listed, net, is_priced = passes_costs(own.card, rates.tier, Usage.from_counts(tuple(meter.counts)), priced)
    if not is_priced:
        meter.degraded = meter.degraded or "something was used that no rate card prices"
    mask = sum(1 << index for index, count in enumerate(meter.counts) if count is not None)
    values = [count for count in meter.counts if count is not None]
    return (mask, values, not meter.degraded, rates.tier_index, charge, listed, net), tuple(records)


def estimated_counts(hold: HotHold, meter: CallMeter) -> list[int | None]:
    """Counts from evidence: what was reported so far, raised to what the bytes show, and never above what was bounded.

    Input without any report is its bytes at four to a token; output is the larger of the last cumulative report and what passed.
    """
    if hold.rates.is_media:
        return _media_counts(hold, meter)
    counts = list(meter.counts)
    if all(counts[index] is None for index in INPUT_INDEXES):
        estimate = -(-hold.input_bytes // BYTES_PER_TOKEN_ESTIMATE)
        counts[INPUT] = min(estimate, hold.input_tokens_max)
    reported = sum(counts[index] or 0 for index in OUTPUT_INDEXES)
    most = hold.output_tokens_max * hold.choice_count
    if hold.rates.is_spoken:
        sound = meter.output_tokens_seen() * BYTES_PER_TOKEN_ESTIMATE // STREAMED_SOUND_BYTES_PER_TOKEN
        counts[OUTPUT_AUDIO] = (counts[OUTPUT_AUDIO] or 0) + max(0, min(sound, most) - reported)
    else:
        counts[OUTPUT] = (counts[OUTPUT] or 0) + max(0, min(meter.output_tokens_seen(), most) - reported)
    counts[REQUEST] = 1
    return counts


def _media_counts(hold: HotHold, meter: CallMeter) -> list[int | None]:
    """The same where other meters than those of text may count: what the card sells, as likely as the request says, never above the bound."""
    rates = hold.rates
    counts = list(meter.counts)
    counts += [None] * (len(METERS) - len(counts))
    seconds = 0
    for index, most, likely in hold.unit_maxima:
        known = counts[index]
        used = likely if known is None else min(known, most)
        counts[index] = used if index in rates.unit_grains else None
        if index == AUDIO_SECOND:
            seconds = used
    if rates.has_token_price:
        if all(counts[index] is None for index in INPUT_INDEXES):
            estimate = -(-hold.input_bytes // BYTES_PER_TOKEN_ESTIMATE)
            counts[INPUT] = estimate = min(estimate, hold.input_tokens_max)
            if seconds:
                counts[INPUT_AUDIO] = min(seconds * AUDIO_TOKENS_PER_SECOND, hold.input_tokens_max - estimate)
        reported = sum(counts[index] or 0 for index in OUTPUT_INDEXES)
        seen = min(meter.output_tokens_seen(), hold.output_tokens_max * hold.choice_count)
        if seen > reported:
            counts[meter.output_index] = (counts[meter.output_index] or 0) + seen - reported
    else:
        counts[:TOKEN_METER_COUNT] = [None] * TOKEN_METER_COUNT
    counts[REQUEST] = 1
    return counts


def _answered_rates(hold: HotHold, tier: str) -> HotRates:
    """The rates of the tier that answered; the hold's own when the answer names none or one that the card does not sell."""
    if not tier or tier == hold.rates.tier:
        return hold.rates
    return hold.card.at_tier(tier, SERVICE_TIERS.index(tier)) or hold.rates


def _rates_of(steps: Steps, counts: list[int | None]) -> tuple[int | None, ...]:
    """The attos per unit at this call's context length (engine/rating: strictly above a start, for the whole call)."""
    rates = steps[0][1]
    if len(steps) > 1:
        input_tokens = sum(counts[index] or 0 for index in INPUT_INDEXES)
        for above, stepped in steps:
            if input_tokens > above:
                rates = stepped
    return rates


def _nanos(steps: Steps, counts: list[int | None], missing: list[int]) -> int:
    """The price, rounded once, half-even; indexes of counts without a rate go to `missing`."""
    attos = 0
    for index, (count, rate) in enumerate(zip(counts, _rates_of(steps, counts), strict=False)):
        if count:
            if rate is None:
                missing.append(index)
            else:
                attos += rate * count
    return min(round_half_even(attos, ATTOS_PER_NANO), AMOUNT_NANOS_MAX)


def _dearest_nanos(rates: HotRates, counts: list[int | None], missing: list[int]) -> int:
    attos = 0
    for index, (count, rate) in enumerate(zip(counts, _rates_of(rates.charge_steps, counts), strict=False)):
        if count:
            if index in missing:
                grain = ATTOS_PER_NANO // rates.grains_per_nano
                rate = max(rates.input_grains, rates.output_grains) * grain  # noqa: PLW2901 - the rate that stands in
            attos += (rate or 0) * count
    return min(round_half_even(attos, ATTOS_PER_NANO), AMOUNT_NANOS_MAX)
