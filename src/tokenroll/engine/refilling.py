"""Refilling: whether a standing top-up is due, and how much it is. Pure: who asks says what is left and what came before."""

from datetime import tzinfo

from tokenroll.model.instant import MICROS_PER_SECOND, Instant, datetime_from_instant
from tokenroll.model.refill import Refill


def is_within_hours(refill: Refill, at: Instant, zone: tzinfo) -> bool:
    """Whether the hours of a refill hold at `at`; a refill without hours always."""
    if refill.from_time is None or refill.until_time is None:
        return True
    clock = datetime_from_instant(at).astimezone(zone).time()
    if refill.from_time < refill.until_time:
        return refill.from_time <= clock < refill.until_time
    return clock >= refill.from_time or clock < refill.until_time


def due_nanos(
    refill: Refill, *, left_nanos: int, cycle_nanos: int, last_at: Instant | None, at: Instant, zone: tzinfo
) -> int:
    """What is to be granted at `at`: the refill's amount, or what its cycle's most leaves of it; 0 when nothing is due.

    `left_nanos` is what the wallet has left, `cycle_nanos` what this refill brought in the cycle so far, `last_at` when it last came.
    """
    if not refill.effective_at <= at < refill.expires_at or left_nanos >= refill.below_nanos:
        return 0
    if last_at is not None and at < last_at + refill.cool_off_seconds * MICROS_PER_SECOND:
        return 0
    if not is_within_hours(refill, at, zone):
        return 0
    return max(0, min(refill.amount_nanos, refill.cycle_nanos_max - cycle_nanos))
