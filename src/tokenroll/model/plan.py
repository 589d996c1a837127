"""Plan: a dated, versioned template of grants."""

from dataclasses import dataclass, field

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import id_checked, name_checked
from tokenroll.model.classification import Classification
from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.grant import GrantKind
from tokenroll.model.instant import Instant
from tokenroll.model.limits import OUTPUT_CAP_DEFAULT_TOKENS
from tokenroll.model.plan_terms import PlanTerms
from tokenroll.model.vesting import Period, Vesting


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a grant of this kind looks like and how its wallet is enforced from `effective_at` on.

    A later version with the same name replaces it from its own date; old grants keep what they were given.
    `overage_nanos_max` is what the company carries above a wallet under `enforce` (0: nothing).
    """

    id: int
    public_id: str
    name: str
    version: int
    kind: GrantKind
    classification: Classification
    amount_nanos: int
    effective_at: Instant
    vesting: Vesting = field(default_factory=Vesting)
    lot_lifetime: Period | None = None
    priority: int = 100
    enforcement: Enforcement = Enforcement.ENFORCE
    cap_policy: CapPolicy = CapPolicy.DENY
    output_cap_tokens: int = OUTPUT_CAP_DEFAULT_TOKENS
    overage_nanos_max: int = 0
    terms: PlanTerms = field(default_factory=PlanTerms)

    def __post_init__(self) -> None:
        id_checked(self.id, "plan id")
        name_checked(self.name, "plan name")
        amount_nanos_checked(self.amount_nanos, f"amount of plan {self.name}")
        amount_nanos_checked(self.overage_nanos_max, f"overage of plan {self.name}")
        if not 1 <= self.version < 2**31:
            message = f"plan versions count from 1, not {self.version}"
            raise ValueError(message)
        if not 0 <= self.priority <= 255:
            message = f"priority lies between 0 (drawn first) and 255, not {self.priority}"
            raise ValueError(message)
        if self.output_cap_tokens < 1:
            message = f"the output cap of plan {self.name} must be at least 1 token"
            raise ValueError(message)
