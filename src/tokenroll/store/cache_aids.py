"""What an attempt's record says was done so that its prompt is read from a cache, and what that came to."""

from collections.abc import Callable, Iterator
from typing import Final

from tokenroll.engine.rating import rates_at
from tokenroll.engine.saving import cache_effect
from tokenroll.model.rate_card import RateCard, Rates
from tokenroll.store.attempt_record import AttemptRecord, SettleRecord
from tokenroll.store.tape import HOLD_CACHE_KEYED, HOLD_CACHE_MARKED, HOLD_CACHE_WITHHELD, TapeSource

MARKED, KEYED, WITHHELD = "marked", "keyed", "withheld"
_AIDS: Final = {HOLD_CACHE_MARKED: MARKED, HOLD_CACHE_KEYED: KEYED, HOLD_CACHE_WITHHELD: WITHHELD}


def cache_aid(flags: int) -> str:
    """`marked`, `keyed`, `withheld` (no key, so that others can be compared with it), or "" for a request that went as it came."""
    return _AIDS.get(flags & HOLD_CACHE_WITHHELD, "")


def priced_counts(
    attempt: AttemptRecord, settle: SettleRecord, card_of: Callable[[int], RateCard | None]
) -> Iterator[tuple[Rates, tuple[int | None, ...]]]:
    """The rates and counts that an attempt was charged by, pass by pass where there were passes; none where its usage is an estimate."""
    if settle.source == TapeSource.ESTIMATED:
        return
    passes = [(one.rate_card_id, one.service_tier, one.counts) for one in settle.passes]
    for card_id, tier, counts in passes or [(attempt.hold.rate_card_id, settle.service_tier, settle.counts)]:
        card = card_of(card_id)
        table = None if card is None else card.internal_prices.get(tier)
        if table is not None:
            yield rates_at(table, counts), counts


def marks_effect(attempt: AttemptRecord, card_of: Callable[[int], RateCard | None]) -> tuple[int, int] | None:
    """`(saved, lost)` in attos of a marked call, as engine/saving has it; None for any other, and where nobody knows."""
    settle = attempt.settle
    if settle is None or cache_aid(attempt.hold.flags) != MARKED:
        return None
    effects = [cache_effect(rates, counts) for rates, counts in priced_counts(attempt, settle, card_of)]
    if not effects:
        return None
    return sum(saved for saved, _ in effects), sum(lost for _, lost in effects)
