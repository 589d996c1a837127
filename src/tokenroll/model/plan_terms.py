"""Plan terms: what a plan says beyond how much and when, so that leaving, absence, rollover and access are rules and not favours.

All of them are part of a plan's version, which never changes: a grant finds its own terms through the version it was made from.
Nothing said is the usual: nothing rolls over, nothing is clawed back, nothing can be passed on, every model may be called as it is asked.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from tokenroll.model.amount import amount_nanos_checked
from tokenroll.model.checks import name_checked, names_checked
from tokenroll.model.eligibility import Eligibility
from tokenroll.model.formula import Formula
from tokenroll.model.limits import (
    CLAWBACK_MONTHS_MAX,
    LEAVING_WINDOW_DAYS_MAX,
    LOOP_REQUESTS_MAX,
    LOOP_REQUESTS_MIN,
    RATE_PER_DAY_MAX,
    RATE_PER_MINUTE_MAX,
    WORDING_CHARACTERS_MAX,
)
from tokenroll.model.tag import Purpose
from tokenroll.model.tax_facts import TaxFacts, UseScope


class TerminationReason(StrEnum):
    """Why somebody leaves, in the words of the Open Cap Table Coalition."""

    VOLUNTARY_OTHER = "voluntary_other"
    VOLUNTARY_GOOD_CAUSE = "voluntary_good_cause"
    VOLUNTARY_RETIREMENT = "voluntary_retirement"
    INVOLUNTARY_OTHER = "involuntary_other"
    INVOLUNTARY_DEATH = "involuntary_death"
    INVOLUNTARY_DISABILITY = "involuntary_disability"
    INVOLUNTARY_WITH_CAUSE = "involuntary_with_cause"


class ForfeitedBudget(StrEnum):
    """What becomes of forfeited credits: `retire` ends them, `return_to_pool` adds them to the pool that serves the leaver."""

    RETIRE = "retire"
    RETURN_TO_POOL = "return_to_pool"


class ClawbackBasis(StrEnum):
    """How much is taken back: `pro_rata` the part of the months not stayed, `full` all of it. Used credits never are."""

    PRO_RATA = "pro_rata"
    FULL = "full"


class Proration(StrEnum):
    """`none`: a stipend is whole whoever gets it; `by_day`: by the days employed in the cycle and the share of full time."""

    NONE = "none"
    BY_DAY = "by_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clawback:
    """Vested credits that were not used are taken back from who leaves before `months` months after the grant."""

    basis: ClawbackBasis
    months: int

    def __post_init__(self) -> None:
        if not 1 <= self.months <= CLAWBACK_MONTHS_MAX:
            message = f"a clawback ends 1 to {CLAWBACK_MONTHS_MAX} months after the grant, not {self.months}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingWindow:
    """For how many days after the last one vested credits stay spendable, when somebody leaves for this reason."""

    reason: TerminationReason
    days: int

    def __post_init__(self) -> None:
        if not 0 <= self.days <= LEAVING_WINDOW_DAYS_MAX:
            message = f"a window after leaving has 0 to {LEAVING_WINDOW_DAYS_MAX} days, not {self.days}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingTerms:
    """What happens when somebody leaves. A reason without a window ends vested credits with the last day."""

    windows: tuple[LeavingWindow, ...] = ()
    forfeited: ForfeitedBudget = ForfeitedBudget.RETIRE
    clawback: Clawback | None = None

    def __post_init__(self) -> None:
        reasons = [one.reason for one in self.windows]
        if len(set(reasons)) < len(reasons):
            message = "a reason for leaving has one window, not two"
            raise ValueError(message)

    def window_days(self, reason: TerminationReason) -> int:
        """The days of this reason's window; 0 where none is said."""
        return next((one.days for one in self.windows if one.reason is reason), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollover:
    """What a cycle's end leaves of a lot: at least `min_nanos`, at most `max_nanos`, whatever is left (C14, reference credits §2)."""

    min_nanos: int = 0
    max_nanos: int = 0

    def __post_init__(self) -> None:
        amount_nanos_checked(self.min_nanos, "the least that rolls over")
        amount_nanos_checked(self.max_nanos, "the most that rolls over")
        if self.min_nanos > self.max_nanos:
            message = "the least that rolls over is not above the most that does"
            raise ValueError(message)

    def rolled_nanos(self, left_nanos: int) -> int:
        """The next cycle's amount: min(max, max(min, left))."""
        return min(self.max_nanos, max(self.min_nanos, left_nanos))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOfAbsence:
    """What an absence does: vesting waits for as long as it lasts, and the stipend waits too where the plan says so."""

    pauses_vesting: bool = True
    pauses_stipend: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What may be called with it. Empty names and no numbers: everything, as fast as the gateway lets anybody."""

    models: tuple[str, ...] = ()
    service_tiers: tuple[str, ...] = ()
    calls_per_minute_max: int | None = None
    tokens_per_minute_max: int | None = None
    input_tokens_per_minute_max: int | None = None
    output_tokens_per_minute_max: int | None = None
    calls_per_day_max: int | None = None
    tokens_per_day_max: int | None = None
    input_tokens_per_day_max: int | None = None
    output_tokens_per_day_max: int | None = None

    def __post_init__(self) -> None:
        names_checked(self.models, "model of access")
        names_checked(self.service_tiers, "service tier of access")
        for window, most in (("minute", RATE_PER_MINUTE_MAX), ("day", RATE_PER_DAY_MAX)):
            for what in ("calls", "tokens", "input_tokens", "output_tokens"):
                value = getattr(self, f"{what}_per_{window}_max")
                if value is not None and not 1 <= value <= most:
                    message = f"{what.replace('_', ' ')} per {window} of access are 1 to {most}, not {value}"
                    raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A cheap model that stays usable when the wallet is empty, and the pool that pays for it then."""

    model: str
    pool: str

    def __post_init__(self) -> None:
        name_checked(self.model, "model of the floor")
        name_checked(self.pool, "pool of the floor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thrift:
    """What the gateway may do by itself so that the same work costs less; without a word it does nothing of it.

    `cache_marking` marks prompts for the provider's cache where that pays, `cache_key` leads requests of one prefix to one cache, `coalesce`
    sends requests once that are the same and under way together, `break_loops` refuses a request after so many equal ones in a row, and
    `cap_hints` tells with an answer which output cap would do.
    """

    cache_marking: bool = False
    cache_key: bool = False
    coalesce: bool = False
    break_loops: int | None = None
    cap_hints: bool = False

    def __post_init__(self) -> None:
        if self.break_loops is not None and not LOOP_REQUESTS_MIN <= self.break_loops <= LOOP_REQUESTS_MAX:
            message = f"a loop is broken after {LOOP_REQUESTS_MIN} to {LOOP_REQUESTS_MAX} equal requests, not {self.break_loops}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What people read in place of the words of the classification: `title` for the grant, `why` for the sentence below it."""

    title: str | None = None
    why: str | None = None

    def __post_init__(self) -> None:
        for what, text in (("title", self.title), ("why", self.why)):
            if text is not None and (not text or len(text) > WORDING_CHARACTERS_MAX or not text.isprintable()):
                message = f"{what} of the wording has 1 to {WORDING_CHARACTERS_MAX} printable characters on one line"
                raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTerms:
    """All of them together; a plan that says nothing has `PlanTerms()`."""

    formula: Formula = field(default_factory=Formula)
    eligibility: Eligibility = field(default_factory=Eligibility)
    tax: TaxFacts = field(default_factory=TaxFacts)
    proration: Proration = Proration.NONE
    rollover: Rollover = field(default_factory=Rollover)
    access: Access = field(default_factory=Access)
    floor: Floor | None = None
    thrift: Thrift = field(default_factory=Thrift)
    leaving: LeavingTerms = field(default_factory=LeavingTerms)
    leave_of_absence: LeaveOfAbsence = field(default_factory=LeaveOfAbsence)
    transferable: bool = False
    purpose: Purpose | None = None
    """Whether calls that name none, by header, metadata or key, are for work or personal. None: it is left to them, and they are for work."""
    wording: Wording = field(default_factory=Wording)

    def __post_init__(self) -> None:
        if self.purpose is Purpose.PERSONAL and self.tax.use_scope is UseScope.BUSINESS_ONLY:
            message = "what may be used for business alone cannot have calls that are personal unless they say otherwise: change purpose, or tax.use_scope"
            raise ValueError(message)
