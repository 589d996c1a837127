"""Limit: a counter that caps a scope in a window; it is never money.

Wallets say what may be spent at all, limits how fast and on what. Any number of them may count the same call, each by its own window.
"""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.checks import id_checked, name_checked
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    LIMIT_CAP_MAX,
    LIMIT_WINDOW_SECONDS_MAX,
    LIMIT_WINDOW_SECONDS_MIN,
)


class LimitScope(StrEnum):
    """Whose calls are counted: everybody's, a department's with all below it, a member's, a key's, those to a model or under a tag."""

    COMPANY = "company"
    DEPARTMENT = "department"
    MEMBER = "member"
    KEY = "key"
    MODEL = "model"
    TAG = "tag"


class WindowKind(StrEnum):
    """How long a limit counts: calendar minutes, hours, days, weeks (from Monday) and pay cycles of a zone, or the last so many seconds."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    CYCLE = "cycle"
    ROLLING = "rolling"


class LimitMeasure(StrEnum):
    """What is counted: credits in nanos, calls, or model tokens: all of them, those that go in but for cache reads, or those that come out."""

    CREDITS = "credits"
    CALLS = "calls"
    MODEL_TOKENS = "model_tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


LIMIT_MEASURES = tuple(LimitMeasure)
"""Their numbers on the tape. Append only."""


class Degrade(StrEnum):
    """What becomes of a call that does not fit an enforced limit."""

    DENY = "deny"
    CLAMP = "clamp"
    CHEAPER_MODEL = "cheaper_model"
    OVERAGE = "overage"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOverride:
    """Another cap for a while: it holds in `[effective_at, expires_at)` and then is over by itself."""

    id: int
    limit_id: int
    cap: int
    effective_at: Instant
    expires_at: Instant

    def __post_init__(self) -> None:
        id_checked(self.id, "override id")
        id_checked(self.limit_id, "limit id")
        _amount_checked(self.cap, "cap")
        if self.expires_at <= self.effective_at:
            message = "an override must end after it starts"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One cap. `cap` and `overage` are in the unit of its measure: nanos, calls or tokens.

    `model` and `tag` narrow any scope; a limit of scope `model` or `tag` counts everybody's calls to it.
    """

    id: int
    public_id: str
    name: str
    scope: LimitScope
    subject_id: int = 0
    model: str = ""
    tag: str = ""
    window: WindowKind
    window_seconds: int = 0
    zone: str = "UTC"
    measure: LimitMeasure = LimitMeasure.CREDITS
    cap: int
    enforcement: Enforcement = Enforcement.ENFORCE
    degrade: Degrade = Degrade.DENY
    cheaper_model: str = ""
    overage: int = 0
    effective_at: Instant
    expires_at: Instant | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "limit id")
        if not name_checked(self.name, "a limit's name").isascii():
            message = f"a limit's name travels in headers, so it must be ASCII, not {self.name!r}"
            raise ValueError(message)
        self._check_scope()
        self._check_window()
        _amount_checked(self.cap, "cap")
        self._check_degrade()
        if self.expires_at is not None and self.expires_at <= self.effective_at:
            message = f"limit {self.name} ends before it starts"
            raise ValueError(message)

    def _check_scope(self) -> None:
        if self.scope in {LimitScope.DEPARTMENT, LimitScope.MEMBER, LimitScope.KEY}:
            id_checked(self.subject_id, f"the {self.scope.value} of limit {self.name}")
        elif self.subject_id:
            message = f"a limit of scope {self.scope.value} names no {self.scope.value} by id"
            raise ValueError(message)
        if (self.scope is LimitScope.MODEL and not self.model) or (self.scope is LimitScope.TAG and not self.tag):
            message = f"a limit of scope {self.scope.value} must name its {self.scope.value}"
            raise ValueError(message)

    def _check_window(self) -> None:
        rolling = self.window is WindowKind.ROLLING
        if rolling and not LIMIT_WINDOW_SECONDS_MIN <= self.window_seconds <= LIMIT_WINDOW_SECONDS_MAX:
            message = (
                f"a rolling window must last {LIMIT_WINDOW_SECONDS_MIN} to {LIMIT_WINDOW_SECONDS_MAX} seconds, "
                f"not {self.window_seconds}"
            )
            raise ValueError(message)
        if not rolling and self.window_seconds:
            message = f"a window of one {self.window.value} has the length that the calendar gives it, not {self.window_seconds} seconds"
            raise ValueError(message)

    def _check_degrade(self) -> None:
        if self.degrade is Degrade.CLAMP and self.measure in {LimitMeasure.CALLS, LimitMeasure.INPUT_TOKENS}:
            what = self.measure.value.replace("_", " ")
            message = f"a limit of {what} cannot clamp: a shorter answer leaves them as they are"
            raise ValueError(message)
        if (self.degrade is Degrade.CHEAPER_MODEL) != bool(self.cheaper_model):
            message = "a cheaper model is named exactly when the limit degrades to cheaper_model"
            raise ValueError(message)
        if self.cheaper_model and self.cheaper_model == self.model:
            message = f"the cheaper model must be another one than {self.model}"
            raise ValueError(message)
        if (self.degrade is Degrade.OVERAGE) != bool(self.overage):
            message = "an overage above zero is named exactly when the limit degrades to overage"
            raise ValueError(message)
        if self.overage:
            _amount_checked(self.overage, "overage")


def _amount_checked(value: int, what: str) -> None:
    if type(value) is not int or not 0 <= value <= LIMIT_CAP_MAX:
        message = f"a limit's {what} must be between 0 and {LIMIT_CAP_MAX} of its unit, not {value!r}"
        raise ValueError(message)
