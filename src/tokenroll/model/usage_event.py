"""UsageEvent: one attempt's usage as any source tells it, through our gateway or around it (DESIGN §7.4, version 1)."""

from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Final

from tokenroll.model.checks import name_checked
from tokenroll.model.instant import INSTANT_MAX, Instant
from tokenroll.model.limits import AMOUNT_NANOS_MAX, TAGS_MAX
from tokenroll.model.usage import Usage, UsageSource

USAGE_EVENT_VERSION: Final = 1
GATEWAY: Final = "gateway"
"""The source of events that the ledger itself settled; every other source is an importer's name."""


class Billing(StrEnum):
    """How an attempt is paid for, which decides whether its list cost is also an invoice's."""

    METERED = "metered"
    SEAT = "seat"
    OWNED = "owned"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """What one attempt used, whose it was, and what it cost in each of the four ways.

    `(source, event_id)` is its identity: importing it twice is importing it once. A text that nobody told is empty, a count or an
    amount that nobody told is None, which is not zero. Costs are nanos of `currency`; the charge is nanos of credits.
    """

    source: str
    event_id: str
    admitted_at: Instant
    provider: str
    requested_model: str
    usage: Usage
    resolved_model: str = ""
    answered_model: str = ""
    usage_source: UsageSource = UsageSource.REPORTED
    billing: Billing = Billing.METERED
    call_id: str = ""
    attempt: int = 1
    deployment: str = ""
    service_tier: str = "standard"
    rate_card_digest: str = ""
    currency: str = "USD"
    list_cost_nanos: int | None = None
    net_cost_nanos: int | None = None
    billed_cost_nanos: int | None = None
    charge_nanos: int | None = None
    hold_max_nanos: int | None = None
    member: str = ""
    department: str = ""
    cost_centre: str = ""
    key: str = ""
    project: str = ""
    session: str = ""
    outcome: str = ""
    purpose: str = ""
    tags: tuple[str, ...] = ()
    status: str = "ok"
    finish: str = ""
    first_byte_at: Instant | None = None
    ended_at: Instant | None = None
    hashes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name_checked(self.source, "source of usage")
        name_checked(self.event_id, "event id")
        for at, name in (
            (self.admitted_at, "admitted_at"),
            (self.first_byte_at, "first_byte_at"),
            (self.ended_at, "ended_at"),
        ):
            if at is not None and not 0 <= at <= INSTANT_MAX:
                message = f"{name} must be an instant of the years 1970 to 9999, not {at}"
                raise ValueError(message)
        for nanos, what in (
            (self.list_cost_nanos, "list cost"),
            (self.net_cost_nanos, "net cost"),
            (self.billed_cost_nanos, "billed cost"),
            (self.charge_nanos, "charge"),
        ):
            if nanos is not None and not -AMOUNT_NANOS_MAX <= nanos <= AMOUNT_NANOS_MAX:
                message = f"{what} must lie within {AMOUNT_NANOS_MAX} nanos, not {nanos}"
                raise ValueError(message)
        if not _texts_of(self).isprintable():
            message = "names of a usage event are printable: control characters and halves of characters are none"
            raise ValueError(message)
        if any("," in tag or not tag for tag in self.tags):
            message = "a tag is a text without a comma, and not empty"
            raise ValueError(message)
        if len(self.tags) > TAGS_MAX:
            message = f"at most {TAGS_MAX} tags, not {len(self.tags)}"
            raise ValueError(message)

    @property
    def model(self) -> str:
        """The model whose price counts: what answered, else what was resolved, else what was asked for."""
        return self.answered_model or self.resolved_model or self.requested_model


def printable(name: str) -> str:
    """The same name with a mark in place of every character that cannot be shown, such as a half of one in a folder's name."""
    return name if name.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in name)


_TEXTS = attrgetter(
    "provider", "requested_model", "resolved_model", "answered_model", "call_id", "deployment", "service_tier", "rate_card_digest",
    "currency", "member", "department", "cost_centre", "key", "project", "session", "outcome", "purpose", "status", "finish",
)  # fmt: skip


def _texts_of(event: UsageEvent) -> str:
    return "".join((*_TEXTS(event), *event.tags))
