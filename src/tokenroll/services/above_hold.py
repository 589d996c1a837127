"""Settlements above their hold: the sign that a bound is wrong (DESIGN §4 law 3). Counted, and told as one line each."""

import logging
from collections import Counter

from tokenroll.model.amount import text_from_nanos
from tokenroll.model.limits import ABOVE_HOLD_LINES_MAX
from tokenroll.services.hot import HotHold

_log = logging.getLogger(__name__)


class AboveHold:
    """What a worker met of them. What they exceed their holds by is the company's already."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        """How many, by the index of their dialect."""

    def add(self, hold: HotHold, charge_nanos: int) -> None:
        """One more. The log names call, model and amounts, and nothing of what was said in it."""
        self.counts[hold.dialect_index] += 1
        told = self.counts.total()
        if told > ABOVE_HOLD_LINES_MAX:
            return
        _log.warning(
            "call_%s to %s cost %s credits, above its hold of %s: a bound is wrong; the company carries the rest.%s",
            hold.call_number_bytes.hex(),
            hold.card.card.model,
            text_from_nanos(charge_nanos),
            text_from_nanos(hold.bound_nanos),
            " Further ones are counted only." if told == ABOVE_HOLD_LINES_MAX else "",
        )
