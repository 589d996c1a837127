"""Rules of limits: what a limit's terms say, read once, and the words for it. Wallets of one plan share those of their paces."""

from typing import TYPE_CHECKING, Final

from tokenroll.engine.limiting import is_pace
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.limit import LIMIT_MEASURES, Degrade, LimitMeasure, WindowKind
from tokenroll.services.protocol import LimitTerms
from tokenroll.services.windows import windows_of
from tokenroll.upstream.pace import INPUT_TOKENS as PACE_INPUT
from tokenroll.upstream.pace import OUTPUT_TOKENS as PACE_OUTPUT
from tokenroll.upstream.pace import REQUESTS, TOKENS

if TYPE_CHECKING:
    from tokenroll.services.hot import HotHold

CREDITS: Final = LIMIT_MEASURES.index(LimitMeasure.CREDITS)
CALLS: Final = LIMIT_MEASURES.index(LimitMeasure.CALLS)
INPUT_TOKENS: Final = LIMIT_MEASURES.index(LimitMeasure.INPUT_TOKENS)
OUTPUT_TOKENS: Final = LIMIT_MEASURES.index(LimitMeasure.OUTPUT_TOKENS)
_UNITS: Final = ("credits", "calls", "model tokens", "input tokens", "output tokens")
"""By the number of the measure."""
_PACE_KINDS: Final[tuple[tuple[int, ...], ...]] = (
    (),
    (REQUESTS,),
    (TOKENS,),
    (TOKENS, PACE_INPUT),
    (TOKENS, PACE_OUTPUT),
)
"""As which kinds of pace a limit is told, by the number of its measure: the providers' `tokens` are those of the tightest of all."""
_PACE_WORDS: Final = (("", ""), ("requests", "R"), ("tokens", "T"), ("input tokens", "IT"), ("output tokens", "OT"))
_PACE_UNITS: Final = {
    (WindowKind.MINUTE, 0): ("min", "PM"), (WindowKind.ROLLING, 60): ("min", "PM"),
    (WindowKind.DAY, 0): ("day", "PD"), (WindowKind.ROLLING, 86_400): ("day", "PD"),
}  # fmt: skip
"""The providers' words for windows, and their short ones."""
UNLIMITED_GRAINS: Final = 10**18
"""What a cap is where output costs nothing: more than any model answers."""


class LimitRule:
    """What a limit counts, when, and what becomes of a call that does not fit it."""

    __slots__ = (
        "cap", "cheaper_model", "clamps", "counts_output", "effective_at", "enforcement", "enforces", "expires_at", "is_pace", "kind", "measure",
        "model", "name", "overage", "overrides", "pace_bits", "pace_kinds", "seconds", "tag", "warns", "windows",
    )  # fmt: skip

    def __init__(self, terms: LimitTerms) -> None:
        self.name = terms.name
        self.model = terms.model
        self.tag = terms.tag
        self.kind = WindowKind(terms.window)
        self.seconds = terms.window_seconds
        self.windows = windows_of(self.kind, self.seconds, terms.zone)
        self.is_pace = is_pace(self.kind, self.seconds)
        self.measure = LIMIT_MEASURES.index(LimitMeasure(terms.measure))
        self.counts_output = self.measure not in {CALLS, INPUT_TOKENS}
        """Whether a shorter answer raises it by less."""
        self.enforcement = terms.enforcement
        self.enforces = terms.enforcement == Enforcement.ENFORCE
        self.warns = terms.enforcement == Enforcement.WARN
        self.pace_kinds = _PACE_KINDS[self.measure] if self.enforces else ()
        """As which of pace.KINDS clients hear of it: one that refuses nobody slows nobody down."""
        self.pace_bits = sum(1 << kind for kind in self.pace_kinds)
        self.clamps = terms.degrade == Degrade.CLAMP
        self.cheaper_model = terms.cheaper_model
        self.overage = terms.overage
        self.cap = terms.cap
        self.effective_at = terms.effective_at
        self.expires_at = terms.expires_at
        """0: never."""
        self.overrides = terms.overrides

    def amount_of(self, hold: "HotHold") -> int:
        """What the hold raises the limit by (engine/limiting.raised_by)."""
        measure = self.measure
        if measure == CREDITS:
            return hold.bound_nanos
        if measure == CALLS:
            return 1
        output_tokens = hold.choice_count * hold.output_tokens_max
        if measure == OUTPUT_TOKENS:
            return output_tokens
        return hold.input_tokens_max if measure == INPUT_TOKENS else hold.input_tokens_max + output_tokens

    def fitting_cap(self, hold: "HotHold", room: int, fixed_grains: int) -> int:
        """The largest output cap with which the hold raises the limit by `room` at most; 0 when none does."""
        if self.measure == CREDITS:
            rates = hold.rates
            return fitting_cap(room * rates.grains_per_nano, fixed_grains, hold.choice_count * rates.output_grains)
        if self.measure != OUTPUT_TOKENS:
            room -= hold.input_tokens_max
        return max(0, room) // hold.choice_count

    def pace_text(self, scope_text: str, cap: int, used: int, amount: int) -> str:
        """How far a limit is used, as the providers word their own rate limits; nothing for one of credits."""
        what, letters = _PACE_WORDS[self.measure]
        if not what:
            return ""
        seconds = self.seconds
        unit, letter = _PACE_UNITS.get((self.kind, seconds), (f"{seconds} s" if seconds else self.kind.value, ""))
        short = f" ({letters}{letter})" if letter else ""
        return f"{scope_text} on {what} per {unit}{short}: Limit {cap}, Used {used}, Requested {amount}"

    @property
    def pace_kind(self) -> int:
        """As which of pace.KINDS its refusal is told; -1: as none."""
        return _PACE_KINDS[self.measure][0] if self.pace_kinds else -1

    def text(self, amount: int) -> str:
        """An amount of its measure, with its unit."""
        if self.measure == CREDITS:
            return f"{text_from_nanos(amount, 2)} credits"
        return f"{amount} {_UNITS[self.measure]}"

    @property
    def window_text(self) -> str:
        """`this day`, or how long a rolling window is."""
        return f"the last {self.seconds} seconds" if self.kind is WindowKind.ROLLING else f"this {self.kind.value}"


def fitting_cap(budget_grains: int, fixed_grains: int, per_token_grains: int) -> int:
    """The largest cap whose bound fits the budget; 0 when not even the input does (engine/bounding.affordable_output_tokens)."""
    left_grains = budget_grains - fixed_grains
    if left_grains < 0:
        return 0
    return left_grains // per_token_grains if per_token_grains else UNLIMITED_GRAINS
