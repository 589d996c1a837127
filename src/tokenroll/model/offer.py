"""Offer: a grant promised to a candidate; it becomes a grant when they are hired, or lapses on a date."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked, name_checked
from tokenroll.model.instant import Instant
from tokenroll.model.vesting import Period


class OfferState(StrEnum):
    """`offered → accepted → granted`; else it was declined or withdrawn, or its day came first."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    GRANTED = "granted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is offered beside it, a year, as money of one currency: the lines of a total package."""

    currency: str
    base_pay_cost_nanos: int = 0
    bonus_cost_nanos: int = 0
    equity_cost_nanos: int = 0

    def __post_init__(self) -> None:
        if len(self.currency) != 3 or not self.currency.isascii() or not self.currency.isupper():
            message = f"a currency is three capital letters such as EUR, not {self.currency!r}"
            raise ValueError(message)
        for name in ("base_pay", "bonus", "equity"):
            amount_nanos_checked(getattr(self, f"{name}_cost_nanos"), f"the {name.replace('_', ' ')} of a package")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A promise under one version of a plan. It lapses at the beginning of `lapses_on` unless it is accepted before.

    The grant begins on the day of hire, or a `waiting` period after it. What was promised is granted, whatever the plan says by then.
    """

    id: int
    public_id: str
    candidate: str
    plan_id: int
    amount_nanos: int
    offered_at: Instant
    lapses_on: date
    starts_on: date | None = None
    waiting: Period | None = None
    package: Package | None = None
    accepted_at: Instant | None = None
    declined_at: Instant | None = None
    withdrawn_at: Instant | None = None
    grant_id: int | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "offer id")
        id_checked(self.plan_id, "plan id")
        name_checked(self.candidate, "candidate")
        if amount_nanos_checked(self.amount_nanos, "the amount of an offer") == 0:
            message = "an offer of nothing is not an offer"
            raise ValueError(message)
        if self.declined_at is not None and (self.accepted_at is not None or self.withdrawn_at is not None):
            message = f"an offer that {self.candidate} declined was neither accepted nor withdrawn"
            raise ValueError(message)
        if self.grant_id is not None and (self.accepted_at is None or self.withdrawn_at is not None):
            message = "only an accepted offer becomes a grant, and then it is no longer withdrawn"
            raise ValueError(message)

    def state_on(self, today: date) -> OfferState:
        """What has become of it by a day of the company's zone: a function of dates, so nothing has to run for it to lapse."""
        if self.grant_id is not None:
            return OfferState.GRANTED
        if self.withdrawn_at is not None:
            return OfferState.WITHDRAWN
        if self.declined_at is not None:
            return OfferState.DECLINED
        if self.accepted_at is not None:
            return OfferState.ACCEPTED
        return OfferState.LAPSED if today >= self.lapses_on else OfferState.OFFERED
