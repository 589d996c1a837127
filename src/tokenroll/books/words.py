"""The words people read, one table per classification, shared by pages, CLI and papers (DESIGN §2, law 12).

Pay vests, tools unlock: a paper that says "pay" of a working tool, or the other way round, is evidence against the company in
a tax audit, so no other module spells these words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tokenroll.model.classification import Classification
from tokenroll.model.grant import GrantKind
from tokenroll.model.plan_terms import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How one classification speaks. Verbs are third person; nouns carry no article."""

    allowance: str
    paper: str
    vests: str
    vested: str
    unvested: str
    why: str
    kinds: Mapping[GrantKind, str]


PAY: Final = Words(
    allowance="pay",
    paper="Pay slip",
    vests="vests",
    vested="vested",
    unvested="not yet vested",
    why="It rewards the person: it vests over time, and payroll and tax see it.",
    kinds=MappingProxyType(
        {
            GrantKind.SIGNING_BONUS: "signing bonus",
            GrantKind.STIPEND: "stipend",
            GrantKind.PERFORMANCE_BONUS: "performance bonus",
            GrantKind.SPOT_BONUS: "spot bonus",
            GrantKind.TOP_UP: "top-up",
            GrantKind.ADJUSTMENT: "adjustment",
        }
    ),
)
TOOL: Final = Words(
    allowance="working tool",
    paper="Allowance statement",
    vests="unlocks",
    vested="unlocked",
    unvested="still locked",
    why="It serves the company's work and stays the company's: it unlocks, and nobody is taxed.",
    kinds=MappingProxyType(
        {
            GrantKind.SIGNING_BONUS: "starting allowance",
            GrantKind.STIPEND: "working allowance",
            GrantKind.PERFORMANCE_BONUS: "additional allowance",
            GrantKind.SPOT_BONUS: "additional allowance",
            GrantKind.TOP_UP: "top-up",
            GrantKind.ADJUSTMENT: "adjustment",
        }
    ),
)
WORDS: Final[Mapping[Classification, Words]] = MappingProxyType(
    {
        Classification.COMPENSATION: PAY,
        Classification.TOOL: TOOL,
    }
)
MIXED_PAPER: Final = "Pay slip and allowance statement"

SPENT: Final = "spent"
IN_USE: Final = "in use now"
LEFT: Final = "left"
BEING_CHECKED: Final = "being checked"
EXPIRED: Final = "expired unused"
RECEIVED: Final = "received from others"
PASSED_ON: Final = "passed on"
FORFEITED: Final = "forfeited on leaving"
CLAWED_BACK: Final = "taken back"
VOIDED: Final = "voided"
OPENING_VALUE: Final = "opening value"
ROLLED_OVER: Final = "rolled over"
PERSONAL: Final = "personal"
TRANSFERRED_IN: Final = "transferred in"
TRANSFERRED_OUT: Final = "transferred out"
FINAL_COST: Final = "final cost"
CARRIED: Final = "carried by the company"
CHARGED_AROUND: Final = "used around the gateway"
USAGE_SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "reported": "reported by the provider",
        "estimated": "estimated from what was seen of the answer",
        "bill": "from the provider's bill",
    }
)


UNIT_NAMES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "search_unit": ("search of a reranker", "searches of a reranker"),
        "image": ("picture", "pictures"),
        "character": ("character spoken", "characters spoken"),
        "audio_second": ("second of sound", "seconds of sound"),
        "training": ("model token trained", "model tokens trained"),
    }
)
"""What is counted in place of model tokens, one of it and several."""


def meter_name(meter: str, count: int) -> str:
    """What so much of a meter is called; meters of model tokens are called what they are."""
    names = UNIT_NAMES.get(meter)
    return meter.replace("_", " ") if names is None else names[count != 1]


def words_of(classification: str | Classification) -> Words:
    """The table of one classification, given as itself or as its row's text."""
    return WORDS[Classification(classification)]


def grant_title(classification: str | Classification, kind: str | GrantKind, wording: Wording) -> str:
    """What a grant is called before people: in the plan's own words where it has some, and always with what it is in law."""
    words = words_of(classification)
    return f"{wording.title or words.kinds[GrantKind(kind)]} ({words.allowance})"


def grant_why(classification: str | Classification, wording: Wording) -> str:
    """The sentence below it."""
    return wording.why or words_of(classification).why


def paper_name(classifications: Iterable[str]) -> str:
    """What the paper of a wallet with lots of these classifications is called; a wallet without any holds a tool's."""
    found = {Classification(one) for one in classifications}
    if len(found) == 2:
        return MIXED_PAPER
    return WORDS[found.pop() if found else Classification.TOOL].paper


DAYS_TOLD_MAX: Final = 365
"""Beyond a year a number of days says more than a few weeks of calls can know."""


def about_days(days: int, about: str = "about") -> str:
    """How long what is left lasts, for people: `about 12 days`, and no false precision beyond a year."""
    if days > DAYS_TOLD_MAX:
        return "more than a year"
    return f"{about} {days} {'day' if days == 1 else 'days'}"
