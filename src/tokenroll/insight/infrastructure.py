"""Infrastructure beside calls: seats that are paid by the month, and GPUs that are owned by the hour.

What is owned costs the same whether it is used or not, so it is no forecast: its line says what it costs and how much of that bought
nothing. Idle is told as a sum and by name only to whoever assigns the seats.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant

SECONDS_PER_HOUR: Final = 3_600
MILLIONTHS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedSeat:
    """Seats of one kind: their price a month in nanos, how many are paid, and who has one."""

    name: str
    month_nanos: int
    count: int
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.month_nanos < 0 or self.count < 1:
            raise ValueError(f"{self.name}: a price is not negative, and at least one seat is paid")
        if len(set(self.members)) != len(self.members) or len(self.members) > self.count:
            raise ValueError(
                f"{self.name}: {len(self.members)} members have {self.count} seats; each has one, and none twice"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatUse:
    """What became of one kind of seats: who has not used anything, how many nobody has, and who would have paid more by the call."""

    seat: OwnedSeat
    idle_members: tuple[str, ...]
    above_count: int

    @property
    def unassigned_count(self) -> int:
        """Seats that are paid and nobody's."""
        return self.seat.count - len(self.seat.members)

    @property
    def month_cost_nanos(self) -> int:
        """What all of them cost a month."""
        return self.seat.count * self.seat.month_nanos

    @property
    def idle_cost_nanos(self) -> int:
        """What those cost that nobody has or nobody used."""
        return (self.unassigned_count + len(self.idle_members)) * self.seat.month_nanos

    @property
    def break_even_cost_nanos(self) -> int:
        """The list cost a month from which on one of them is cheaper than calls: its price."""
        return self.seat.month_nanos


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuJob:
    """A job that had GPUs for some time, or with no beginning the sum of an account over the period that its file is of."""

    account: str
    gpu_count: int
    seconds: int
    started_at: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """What owned GPUs cost over a period, how much of their time was used, and by whom."""

    owned_seconds: int
    used_seconds: int
    hour_nanos: int
    by_account: tuple[tuple[str, int], ...]
    """GPU seconds, the largest first."""

    @property
    def cost_nanos(self) -> int:
        """What all hours cost, used or not."""
        return cost_of_seconds(self.owned_seconds, self.hour_nanos)

    @property
    def idle_cost_nanos(self) -> int:
        """What the hours cost that nobody used."""
        return cost_of_seconds(max(0, self.owned_seconds - self.used_seconds), self.hour_nanos)

    @property
    def used_millionths(self) -> int:
        """The used part of the owned hours; above a million where more was used than is said to be owned."""
        return self.used_seconds * MILLIONTHS // self.owned_seconds if self.owned_seconds else 0

    @property
    def used_hour_cost_nanos(self) -> int | None:
        """What an hour that was used cost in truth; None where none was."""
        return self.cost_nanos * SECONDS_PER_HOUR // self.used_seconds if self.used_seconds else None


def cost_of_seconds(gpu_seconds: int, hour_nanos: int) -> int:
    """GPU time at a price an hour, rounded half up: an estimate of cost, posted nowhere."""
    return (gpu_seconds * hour_nanos + SECONDS_PER_HOUR // 2) // SECONDS_PER_HOUR


def seat_uses(seats: Iterable[OwnedSeat], list_cost_nanos: Mapping[str, int]) -> tuple[SeatUse, ...]:
    """Each kind of seats against what members used at list within a month; who is missing there used nothing."""
    return tuple(
        SeatUse(
            seat=seat,
            idle_members=tuple(name for name in seat.members if name not in list_cost_nanos),
            above_count=sum(1 for name in seat.members if list_cost_nanos.get(name, 0) > seat.month_nanos),
        )
        for seat in seats
    )


def gpu_use(jobs: Iterable[GpuJob], *, gpu_count: int, hour_nanos: int, from_at: Instant, until: Instant) -> GpuUse:
    """Jobs, cut to a period, against all the hours of so many GPUs in it. ValueError for a period or a number that is none."""
    if gpu_count < 1 or hour_nanos < 0 or until <= from_at:
        raise ValueError("at least one GPU is owned over a period, at a price that is not negative")
    by_account: dict[str, int] = {}
    for job in jobs:
        used = job.gpu_count * _seconds_within(job, from_at, until)
        if used:
            by_account[job.account] = by_account.get(job.account, 0) + used
    return GpuUse(
        owned_seconds=gpu_count * ((until - from_at) // MICROS_PER_SECOND),
        used_seconds=sum(by_account.values()),
        hour_nanos=hour_nanos,
        by_account=tuple(sorted(by_account.items(), key=lambda one: (-one[1], one[0]))),
    )


def _seconds_within(job: GpuJob, from_at: Instant, until: Instant) -> int:
    if job.started_at is None:
        return job.seconds
    end = min(until, job.started_at + job.seconds * MICROS_PER_SECOND)
    return max(0, end - max(from_at, job.started_at)) // MICROS_PER_SECOND
