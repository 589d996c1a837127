"""Ageing: when the evidence decides about an attempt in suspense whose provider has not told (DESIGN §4 law 4)."""

from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import SUSPENSE_SECONDS_MAX, TRAINING_SECONDS_MAX
from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.mirror import OpenHold

SUSPENSE_MICROS_MAX: Final = SUSPENSE_SECONDS_MAX * MICROS_PER_SECOND
TRAINING_MICROS_MAX: Final = TRAINING_SECONDS_MAX * MICROS_PER_SECOND
_TRAINING: Final = METER_INDEX[Meter.TRAINING]


def is_due(hold: OpenHold, now: Instant) -> bool:
    """Whether an attempt has been in suspense for as long as it may be: 72 hours, and longer where a model is being trained.

    Such a job is not in doubt, it is under way: its provider keeps it under a name and says so whenever it is asked (decision 0079).
    """
    if hold.lapsed_at is None or hold.lapsed_at + SUSPENSE_MICROS_MAX > now:
        return False
    if hold.lapsed_at + TRAINING_MICROS_MAX <= now:
        return True
    attempt = parse_record(hold.record)
    evidence, lapse = attempt.evidence, attempt.lapse
    return evidence is None or evidence.counts[_TRAINING] is None or lapse is None or not lapse.stored_name
