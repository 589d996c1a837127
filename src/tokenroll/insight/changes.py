"""Why spend changed: price × volume × mix of any change, and who moved most.

For parts i with quantity q and price p, before (0) and after (1): *volume* is what the change of the whole quantity would have cost at
the old mean price; *mix* is what the change of shares cost at old prices; *price* is what new prices cost on the new quantities. A part
that is new has no old price and one that is gone no new one: they are told as *new* and *gone*, apart from the three. The five add up
to the change to the nano, because the last of each kind takes what rounding left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What one part used and cost in a period: model tokens (or any other unit) and nanos."""

    units: int
    cost_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of a cost taken apart; `volume + mix + price + new + gone = after − before`, in nanos."""

    before_nanos: int
    after_nanos: int
    volume_nanos: int
    mix_nanos: int
    price_nanos: int
    new_nanos: int
    gone_nanos: int

    @property
    def steps(self) -> tuple[tuple[str, int], ...]:
        """The five parts by name, for a waterfall."""
        return (
            ("volume", self.volume_nanos),
            ("mix", self.mix_nanos),
            ("price", self.price_nanos),
            ("new", self.new_nanos),
            ("gone", self.gone_nanos),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """One part's own change in nanos."""

    name: str
    before_nanos: int
    after_nanos: int

    @property
    def change_nanos(self) -> int:
        """After less before."""
        return self.after_nanos - self.before_nanos


def change_of(before: Mapping[str, Amounts], after: Mapping[str, Amounts]) -> Change:
    """The change between two periods over parts by name, such as models. Parts without units are new, gone or of a changed price."""
    both = [name for name in before if name in after and before[name].units and after[name].units]
    kept = set(both)
    old_units = sum(before[name].units for name in both)
    new_units = sum(after[name].units for name in both)
    old_cost = sum(before[name].cost_nanos for name in both)
    new_cost = sum(after[name].cost_nanos for name in both)
    volume = Fraction(old_cost * (new_units - old_units), old_units) if old_units else Fraction()
    at_old_prices = sum(
        (Fraction(before[name].cost_nanos * after[name].units, before[name].units) for name in both), Fraction()
    )
    volume_nanos = round(volume)
    mix_nanos = round(at_old_prices - old_cost - volume)
    return Change(
        before_nanos=sum(one.cost_nanos for one in before.values()),
        after_nanos=sum(one.cost_nanos for one in after.values()),
        volume_nanos=volume_nanos,
        mix_nanos=mix_nanos,
        price_nanos=new_cost - old_cost - volume_nanos - mix_nanos,
        new_nanos=sum(one.cost_nanos for name, one in after.items() if name not in kept),
        gone_nanos=-sum(one.cost_nanos for name, one in before.items() if name not in kept),
    )


def movers(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Mover, ...]:
    """All parts by how far they moved, the farthest first, either way; equal ones by name."""
    found = (
        Mover(name=name, before_nanos=before.get(name, 0), after_nanos=after.get(name, 0)) for name in {*before, *after}
    )
    return tuple(sorted(found, key=lambda one: (-abs(one.change_nanos), one.name)))
