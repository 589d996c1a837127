"""Seats or metered: what a member's usage at list price compares with, month by month, and where a seat breaks even."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from tokenroll.insight.usage_shares import local
from tokenroll.model.usage_event import UsageEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A subscription by the month; its price is in nanos of USD. It carries one provider's usage, or all where that is empty."""

    name: str
    provider: str
    month_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatChoice:
    """One seat against paying by the call, over all months with usage that it would carry.

    `above_count` of `month_count` member-months used more at list than the seat costs; `list_cost_nanos` is what they used in all,
    `seat_cost_nanos` what so many months of the seat cost. A seat has limits of use which its seller does not publish as counts,
    so what it would really have carried is not said.
    """

    seat: Seat
    month_count: int
    above_count: int
    list_cost_nanos: int
    seat_cost_nanos: int

    @property
    def saved_nanos(self) -> int:
        """What the seat saves against list; below zero it costs more."""
        return self.list_cost_nanos - self.seat_cost_nanos


def seat_choices(events: Iterable[UsageEvent], seats: Sequence[Seat], zone: tzinfo) -> tuple[SeatChoice, ...]:
    """Each seat against the member-months of its provider in the reader's zone, by provider and price; none where nothing was used."""
    months: dict[str, dict[tuple[str, str], int]] = {}
    for event in events:
        key = (event.member, f"{local(event.admitted_at, zone):%Y-%m}")
        for provider in (event.provider, ""):
            spent = months.setdefault(provider, {})
            spent[key] = spent.get(key, 0) + (event.list_cost_nanos or 0)
    return tuple(
        _choice(seat, months[seat.provider].values())
        for seat in sorted(seats, key=lambda seat: (seat.provider, seat.month_nanos, seat.name))
        if seat.provider in months
    )


def _choice(seat: Seat, months: Collection[int]) -> SeatChoice:
    return SeatChoice(
        seat=seat,
        month_count=len(months),
        above_count=sum(1 for nanos in months if nanos > seat.month_nanos),
        list_cost_nanos=sum(months),
        seat_cost_nanos=len(months) * seat.month_nanos,
    )
