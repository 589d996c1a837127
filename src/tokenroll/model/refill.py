"""Refill: a standing top-up of one wallet, approved once, that comes when little is left, within bounds."""

from dataclasses import dataclass
from datetime import time

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limits import REFILL_COOL_OFF_SECONDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """When less than `below_nanos` is left, `amount_nanos` more, but never more than `cycle_nanos_max` in one pay cycle.

    `cool_off_seconds` pass between two of them. `from_time` until `until_time` are the hours in the wallet's zone in which it may
    come, over midnight where the first is the later one (night cover); both None: at any hour.
    """

    id: int
    public_id: str
    wallet_id: int
    below_nanos: int
    amount_nanos: int
    cycle_nanos_max: int
    cool_off_seconds: int
    effective_at: Instant
    expires_at: Instant
    from_time: time | None = None
    until_time: time | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "refill id")
        id_checked(self.wallet_id, "wallet id")
        for name in ("below_nanos", "amount_nanos"):
            if amount_nanos_checked(getattr(self, name), f"{name.removesuffix('_nanos')} of a refill") == 0:
                message = "a refill comes below some amount and is of some amount: neither is 0"
                raise ValueError(message)
        if amount_nanos_checked(self.cycle_nanos_max, "a cycle's most") < self.amount_nanos:
            message = "the most of a cycle is less than one refill: none would ever come"
            raise ValueError(message)
        if not 0 <= self.cool_off_seconds <= REFILL_COOL_OFF_SECONDS_MAX:
            message = f"a cool-off lasts 0 to {REFILL_COOL_OFF_SECONDS_MAX} seconds, not {self.cool_off_seconds}"
            raise ValueError(message)
        if self.expires_at <= self.effective_at:
            message = "a refill would end before it begins"
            raise ValueError(message)
        if (self.from_time is None) != (self.until_time is None) or (
            self.from_time is not None and self.from_time == self.until_time
        ):
            message = "the hours of a refill are from one time until another, such as 20:00 until 06:00"
            raise ValueError(message)
