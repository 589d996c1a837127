"""Amounts of credits and money as integer nanos (billionths), and their decimal text.

Floats cannot hold a sum of cents; integers can (DESIGN §4 law 1). One scale everywhere, so no amount needs its scale beside it.
"""

import re
from typing import Final

from tokenroll.model.limits import AMOUNT_NANOS_MAX

NANOS_PER_CREDIT: Final = 10**9
ATTOS_PER_NANO: Final = 10**9
ATTOS_PER_CREDIT: Final = 10**18

_DECIMAL = re.compile(r"(-?)([0-9]{1,18})(?:\.([0-9]{1,9}))?")


class AmountError(ValueError):
    """An amount that cannot be a row of the ledger: malformed, too precise or out of range."""


def amount_nanos_checked(nanos: int, what: str) -> int:
    """The same integer, proven to be an amount one row may hold: `0 <= nanos <= AMOUNT_NANOS_MAX`.

    Raises AmountError naming `what`.
    """
    if type(nanos) is not int:
        message = f"{what} must be an integer count of nanos, not {type(nanos).__name__}"
        raise AmountError(message)
    if not 0 <= nanos <= AMOUNT_NANOS_MAX:
        message = (
            f"{what} is {text_from_nanos(nanos, 0)} credits; it must lie between 0 and "
            f"{text_from_nanos(AMOUNT_NANOS_MAX, 0)} credits"
        )
        raise AmountError(message)
    return nanos


def nanos_from_text(text: str) -> int:
    """The nanos of a decimal such as `12.5` or `-0.000000001`; at most nine decimals.

    Raises AmountError for anything else, because silently rounding a person's pay is worse than asking again.
    """
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        message = (
            f"{text!r} is not a decimal amount with at most 18 digits before the point and 9 after it, such as 12.5"
        )
        raise AmountError(message)
    sign, whole, fraction = match.groups()
    nanos = int(whole) * NANOS_PER_CREDIT + int((fraction or "").ljust(9, "0"))
    return -nanos if sign else nanos


def text_from_nanos(nanos: int, decimals_min: int = 9) -> str:
    """The exact decimal of `nanos`, with at least `decimals_min` decimals: `12.500000000`."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS_PER_CREDIT)
    digits = f"{fraction:09d}"
    kept = digits.rstrip("0").ljust(decimals_min, "0")
    return f"{sign}{whole}.{kept}" if kept else f"{sign}{whole}"
