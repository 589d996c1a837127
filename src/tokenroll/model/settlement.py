"""Settlement: what an attempt really cost, posted against its hold."""

from dataclasses import dataclass

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.hold import Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.model.instant import Instant
from tokenroll.model.usage import Usage, UsageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of an attempt that cost something (or provably nothing).

    `consumed` are the hold's slices taken in their order; the tail went back to the same lots. A charge above the hold is the
    company's and shows as a last slice of lot 0 (COMPANY_LOT_ID). Sum of `consumed` = `charge_nanos`.
    """

    key: HoldKey
    usage: Usage
    usage_source: UsageSource
    service_tier: str
    charge_nanos: int
    list_cost_nanos: int
    net_cost_nanos: int
    consumed: tuple[Slice, ...]
    settled_at: Instant

    def __post_init__(self) -> None:
        amount_nanos_checked(self.charge_nanos, "charge")
        amount_nanos_checked(self.list_cost_nanos, "list cost")
        amount_nanos_checked(self.net_cost_nanos, "net cost")
        if any(one.nanos <= 0 for one in self.consumed) or sum(one.nanos for one in self.consumed) != self.charge_nanos:
            message = f"consumed slices {self.consumed} are not positive parts of the charge {self.charge_nanos}"
            raise ValueError(message)
