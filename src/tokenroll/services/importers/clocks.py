"""Times that cannot be when somebody used a model: a clock of a trace's own, or one that is wrong."""

from tokenroll.model.instant import HOUR_MICROS, Instant, text_from_instant
from tokenroll.model.limits import ENTERED_AT_MIN

AHEAD_MICROS = 48 * HOUR_MICROS
"""How far ahead of ours another machine's clock may be: two days, which covers every zone that was written without saying so."""


def clock_problem(at: Instant, now: Instant) -> str:
    """Why an event cannot have been then; empty where it can."""
    if at < ENTERED_AT_MIN:
        return f"it was at {text_from_instant(at)[:10]}: a recording with a clock of its own needs --starts-at"
    if at > now + AHEAD_MICROS:
        return f"it will be at {text_from_instant(at)[:10]}, which is ahead of this machine's clock"
    return ""
