"""Burning: what usage leaves of allowances that begin, end, recur and roll over, as a function of their dates (DESIGN §4 law 9).

The rules are OpenMeter's burn-down, to whose published cases this conforms (reference: credits, §2; tests/conformance), decided our
way where those can lose or forgive money (docs/decisions/0025). Nothing here depends on when anybody asked before: a state may be
taken at any instant and gone on from.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tokenroll.model.instant import Instant

_FOREVER: Final = 1 << 63
Usage = Callable[[Instant, Instant], int]
"""Nanos used from an instant (inclusive) until another (exclusive); under `is_level` the newest level in between."""
Recurrences = Callable[[Instant, Instant], Iterable[Instant]]
"""The instants from one (inclusive) until another (inclusive) at which an allowance is full again, ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """An amount that can be used from `effective_at` until `expires_at` (None: for ever).

    At each of its recurrences it is full again, whatever was left. At a reset what is left becomes at least `rollover_min_nanos` and
    at most `rollover_max_nanos`.
    """

    id: str
    amount_nanos: int
    effective_at: Instant
    expires_at: Instant | None = None
    created_at: Instant = 0
    priority: int = 1
    rollover_min_nanos: int = 0
    rollover_max_nanos: int = 0
    recurrences: Recurrences | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rollover_min_nanos <= self.rollover_max_nanos <= self.amount_nanos:
            raise ValueError(
                f"allowance {self.id} rolls over {self.rollover_min_nanos} to {self.rollover_max_nanos} of {self.amount_nanos} nanos"
            )

    def is_active(self, at: Instant) -> bool:
        """Whether it can be used at an instant."""
        return self.effective_at <= at < self.ends_at

    @property
    def ends_at(self) -> Instant:
        """Its expiry as a number also where there is none; an end before the start leaves it never active."""
        return _FOREVER if self.expires_at is None else self.expires_at

    @property
    def rank(self) -> tuple[int, Instant, Instant, str]:
        """Its place in the order of use: priority, earliest expiry (none last), earliest created, id."""
        return self.priority, self.ends_at, self.created_at, self.id

    def rolled(self, left_nanos: int) -> int:
        """What is left after a reset."""
        return min(self.rollover_max_nanos, max(self.rollover_min_nanos, left_nanos))


@dataclass(frozen=True, slots=True, kw_only=True)
class Burned:
    """What is left at an instant. `used_nanos` and `from_allowances_nanos` count since the last reset.

    What begins, recurs or ends at this very instant has done so in it, so whoever goes on from here fills nothing twice; an allowance
    that it does not name starts full, or not at all before its time.
    """

    at: Instant
    left_nanos: Mapping[str, int] = field(default_factory=dict)
    overage_nanos: int = 0
    used_nanos: int = 0
    from_allowances_nanos: int = 0

    @property
    def sum_nanos(self) -> int:
        """All that is left."""
        return sum(self.left_nanos.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch in which no allowance begins, ends or recurs; or a reset, which takes no time."""

    start_at: Instant
    end_at: Instant
    started_nanos: Mapping[str, int]
    used_nanos: int
    overage_before_nanos: int
    overage_after_nanos: int
    taken_nanos: Mapping[str, int]

    @property
    def ended_nanos(self) -> dict[str, int]:
        """What was left at its end."""
        return {id_: nanos - self.taken_nanos.get(id_, 0) for id_, nanos in self.started_nanos.items()}


def burn_down(
    start: Burned,
    allowances: Iterable[Allowance],
    usage: Usage,
    until: Instant,
    *,
    resets: Sequence[Instant] = (),
    keep_overage: bool = False,
    is_level: bool = False,
) -> tuple[Burned, tuple[Segment, ...]]:
    """What is left at `until`, and how it came to that.

    `resets` lie after the start and not after `until`; at each what is left rolls over, and with `keep_overage` an overage goes on and
    is paid by what rolled over. `is_level`: usage is a level that every stretch takes anew from full allowances.

    Raises ValueError for resets out of range or order.
    """
    if any(not start.at < one <= until for one in resets) or sorted(set(resets)) != list(resets):
        raise ValueError(f"resets ascend and lie after {start.at} and not after {until}: {list(resets)}")
    ordered = sorted(allowances, key=lambda one: one.rank)
    segments: list[Segment] = []
    state = start
    for reset in resets:
        state = _period(state, ordered, usage, reset, segments, is_last=False, is_level=is_level)
        state = _reset(state, ordered, segments, keep_overage=keep_overage)
    return _period(state, ordered, usage, until, segments, is_last=True, is_level=is_level), tuple(segments)


def take(state: Burned, allowances: Iterable[Allowance], need_nanos: int) -> tuple[Burned, int]:
    """A use at the state's own instant: the state after it, and what no allowance could give, which is no overage yet."""
    in_order = sorted((one for one in allowances if one.is_active(state.at)), key=lambda one: one.rank)
    left = {one.id: state.left_nanos.get(one.id, one.amount_nanos) for one in in_order}
    taken, missing_nanos = _burn(left, in_order, need_nanos)
    given_nanos = need_nanos - missing_nanos
    after = replace(
        state,
        left_nanos={**state.left_nanos, **{id_: nanos - taken.get(id_, 0) for id_, nanos in left.items()}},
        used_nanos=state.used_nanos + given_nanos,
        from_allowances_nanos=state.from_allowances_nanos + given_nanos,
    )
    return after, missing_nanos


def _period(
    state: Burned,
    ordered: list[Allowance],
    usage: Usage,
    until: Instant,
    segments: list[Segment],
    *,
    is_last: bool,
    is_level: bool,
) -> Burned:
    """From a state to the next reset, which itself decides what begins with it, or to the end."""
    begin = state.at
    taking_part = [
        one for one in ordered if one.id in state.left_nanos or (one.effective_at <= until and one.ends_at >= begin)
    ]
    left = {
        one.id: state.left_nanos.get(one.id, one.amount_nanos if one.is_active(begin) else 0) for one in taking_part
    }
    full_at = _full_at(taking_part, begin, until)
    changes = full_at.keys() | {one.ends_at for one in taking_part}
    edges = [begin, *sorted(at for at in changes if begin < at < until or (is_last and at == until > begin))]
    for place, at in enumerate(edges):
        end = edges[place + 1] if place + 1 < len(edges) else until
        for one in taking_part:
            if not one.is_active(at):
                left[one.id] = 0
            elif is_level or (at > begin and one.id in full_at.get(at, ())):
                left[one.id] = one.amount_nanos
        used = usage(at, end) if end > at else 0
        overage = state.overage_nanos
        taken, unpaid = _burn(left, [one for one in taking_part if one.is_active(at)], used + overage)
        segments.append(
            Segment(
                start_at=at, end_at=end, started_nanos=dict(left), used_nanos=used, overage_before_nanos=overage,
                overage_after_nanos=unpaid, taken_nanos=taken,
            )
        )  # fmt: skip
        left = segments[-1].ended_nanos
        state = replace(
            state,
            overage_nanos=unpaid,
            used_nanos=state.used_nanos + used,
            from_allowances_nanos=state.from_allowances_nanos + sum(taken.values()),
        )
    return replace(state, at=until, left_nanos=left)


def _full_at(taking_part: list[Allowance], begin: Instant, until: Instant) -> dict[Instant, set[str]]:
    """When which allowances begin or recur."""
    found: dict[Instant, set[str]] = {}
    for one in taking_part:
        recurrences = () if one.recurrences is None else one.recurrences(begin, until)
        for at in (one.effective_at, *recurrences):
            if begin <= at <= until and one.is_active(at):
                found.setdefault(at, set()).add(one.id)
    return found


def _reset(state: Burned, ordered: list[Allowance], segments: list[Segment], *, keep_overage: bool) -> Burned:
    """What rolls over, and who pays an overage that goes on: whoever begins or recurs at this very instant is full first.

    An allowance that were filled after paying would forgive the debt (docs/decisions/0025).
    """
    at = state.at
    active = [one for one in ordered if one.is_active(at) and one.id in state.left_nanos]
    full = _full_at(active, at, at).get(at, set())
    left = {one.id: one.amount_nanos if one.id in full else one.rolled(state.left_nanos[one.id]) for one in active}
    overage = state.overage_nanos if keep_overage else 0
    taken, unpaid = _burn(left, active, overage)
    segments.append(
        Segment(
            start_at=at, end_at=at, started_nanos=left, used_nanos=0, overage_before_nanos=overage,
            overage_after_nanos=unpaid, taken_nanos=taken,
        )
    )  # fmt: skip
    return Burned(
        at=at,
        left_nanos=dict.fromkeys(state.left_nanos, 0) | segments[-1].ended_nanos,
        overage_nanos=unpaid,
        from_allowances_nanos=sum(taken.values()),
    )


def _burn(left: Mapping[str, int], in_order: Iterable[Allowance], need_nanos: int) -> tuple[dict[str, int], int]:
    """What each gives, in order, and what nobody could."""
    taken: dict[str, int] = {}
    for one in in_order:
        if not need_nanos:
            break
        nanos = min(left[one.id], need_nanos)
        if nanos:
            taken[one.id] = nanos
            need_nanos -= nanos
    return taken, need_nanos
