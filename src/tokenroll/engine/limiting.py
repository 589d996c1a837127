"""Limiting: which window an instant is in, what a call raises a counter by, and what becomes of one that does not fit.

A counter is kept by the start of its window, so midnight needs no job and no message (law 9). A rolling window is kept in sixty
parts: a part counts wholly until it has wholly left, so no span of the window's length ever holds more than the cap.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta, tzinfo
from enum import IntEnum
from typing import Final, NamedTuple

from tokenroll.engine.calendar import day_start
from tokenroll.engine.cycling import cycle_at
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import HOUR_MICROS, MICROS_PER_SECOND, Instant, datetime_from_instant
from tokenroll.model.limit import Degrade, Limit, LimitMeasure, LimitOverride, WindowKind
from tokenroll.model.limits import LIMIT_RETRY_SECONDS_MAX, LIMIT_WINDOW_PARTS
from tokenroll.model.pay_cycle import PayCalendar
from tokenroll.model.usage import fresh_input_tokens, model_tokens, output_tokens

_MINUTE_MICROS: Final = 60 * MICROS_PER_SECOND


class Window(NamedTuple):
    """Where an instant falls: the counter it raises, from which counter on it counts, and until when both are so."""

    start_at: Instant
    """The start of the window, or of the part of a rolling one: the counter's name."""
    counted_from: Instant
    """Counters that start before it are no longer counted."""
    turns_at: Instant


def window_at(
    kind: WindowKind, seconds: int, at: Instant, zone: tzinfo, calendars: Sequence[PayCalendar] = ()
) -> Window:
    """The window of an instant; calendar windows begin by the wall clock of `zone`, pay cycles as `calendars` say."""
    if kind is WindowKind.ROLLING:
        return _rolling(seconds * MICROS_PER_SECOND, at)
    if kind is WindowKind.CYCLE:
        days = cycle_at(calendars, at, zone)
        start_at, end_until = day_start(days.starts_on, zone), day_start(days.until_on, zone)
    else:
        start_at, end_until = _calendar(kind, at, zone)
    return Window(start_at, start_at, end_until)


def _rolling(window_micros: int, at: Instant) -> Window:
    part = part_micros(window_micros)
    start_at = at // part * part
    # a part that ends at `start_at - window` or before has left; the one that ends just after it still counts
    counted_from = (start_at - window_micros) // part * part
    return Window(start_at, counted_from, start_at + part)


def is_pace(kind: WindowKind, seconds: int) -> bool:
    """Whether a window is so short that its limit is a pace: what does not fit now fits in a moment, so nobody need be told or asked."""
    return kind is WindowKind.MINUTE or (kind is WindowKind.ROLLING and seconds <= LIMIT_RETRY_SECONDS_MAX)


def part_micros(window_micros: int) -> int:
    """How long one part of a rolling window is."""
    return -(-window_micros // LIMIT_WINDOW_PARTS)


def _calendar(kind: WindowKind, at: Instant, zone: tzinfo) -> tuple[Instant, Instant]:
    local = datetime_from_instant(at).astimezone(zone)
    if kind is WindowKind.MINUTE:
        start_at = at - local.second * MICROS_PER_SECOND - local.microsecond
        return start_at, start_at + _MINUTE_MICROS
    if kind is WindowKind.HOUR:
        start_at = at - (local.minute * 60 + local.second) * MICROS_PER_SECOND - local.microsecond
        return start_at, start_at + HOUR_MICROS
    if kind is WindowKind.DAY:
        return day_start(local.date(), zone), day_start(local.date() + timedelta(days=1), zone)
    monday = local.date() - timedelta(days=local.weekday())
    return day_start(monday, zone), day_start(monday + timedelta(days=7), zone)


def frees_at(window: WindowKind, seconds: int, start_at: Instant, turns_at: Instant) -> Instant:
    """When the counter that starts at `start_at` is counted no more; `turns_at` is the turn of the window it is in now."""
    if window is not WindowKind.ROLLING:
        return turns_at
    micros = seconds * MICROS_PER_SECOND
    part = part_micros(micros)
    return -(-(start_at + part + micros) // part) * part


def holds_at(limit: Limit, at: Instant) -> bool:
    """Whether the limit counts calls admitted at `at`."""
    return limit.effective_at <= at and (limit.expires_at is None or at < limit.expires_at)


def cap_at(limit: Limit, overrides: Iterable[LimitOverride], at: Instant) -> int:
    """The cap at an instant: that of the newest override that holds then, else the limit's own."""
    holding = [one for one in overrides if one.effective_at <= at < one.expires_at]
    return max(holding, key=lambda one: one.id).cap if holding else limit.cap


def raised_by(measure: LimitMeasure, bound_nanos: int, bound_input_tokens: int, bound_output_tokens: int) -> int:
    """What a hold raises a counter by: the most that its call can come to."""
    match measure:
        case LimitMeasure.CREDITS:
            return bound_nanos
        case LimitMeasure.CALLS:
            return 1
        case LimitMeasure.INPUT_TOKENS:
            return bound_input_tokens
        case LimitMeasure.OUTPUT_TOKENS:
            return bound_output_tokens
        case LimitMeasure.MODEL_TOKENS:
            return bound_input_tokens + bound_output_tokens


def counted_for(measure: LimitMeasure, charge_nanos: int, counts: tuple[int | None, ...]) -> int:
    """What a call that was settled counts, by its charge and its usage in the order of METERS. One that was released counts nothing."""
    match measure:
        case LimitMeasure.CREDITS:
            return charge_nanos
        case LimitMeasure.CALLS:
            return 1
        case LimitMeasure.INPUT_TOKENS:
            return fresh_input_tokens(counts)
        case LimitMeasure.OUTPUT_TOKENS:
            return output_tokens(counts)
        case LimitMeasure.MODEL_TOKENS:
            return model_tokens(counts)


class Verdict(IntEnum):
    """What one limit says of one call. `WOULD_DENY`: not enforced, so told and recorded; `OVERAGE`: within the named overage."""

    FITS = 0
    WOULD_DENY = 1
    OVERAGE = 2
    REFUSED = 3


def judge(limit: Limit, cap: int, used: int, amount: int) -> Verdict:
    """The verdict on a call that raises the counter by `amount`. What `clamp` and `cheaper_model` make of a refusal is admission's."""
    missing = used + amount - cap
    if missing <= 0:
        return Verdict.FITS
    if limit.enforcement is not Enforcement.ENFORCE:
        return Verdict.WOULD_DENY
    if limit.degrade is Degrade.OVERAGE and missing <= limit.overage:
        return Verdict.OVERAGE
    return Verdict.REFUSED
