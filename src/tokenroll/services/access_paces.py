"""How fast and how much a plan gives access to, as limits of its own for each wallet: counted by the worker alone (decision 0088)."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from tokenroll.model.limit import Degrade, LimitMeasure, WindowKind
from tokenroll.services.limit_rules import LimitRule
from tokenroll.services.protocol import LimitTerms

if TYPE_CHECKING:
    from tokenroll.services.hot import HotWallet

_RULES_MAX: Final = 4096
"""Paces of plans that are remembered: a plan has six at most."""


def access_rules(wallet: "HotWallet") -> list[tuple[LimitRule, int]]:
    """Those of the last minute, and those of a day of UTC with what the ledger knew to be used of it; none is of the ledger's."""
    enforcement = wallet.enforcement
    rules = [(_rule(WindowKind.ROLLING, measure, cap, enforcement), 0) for measure, cap in wallet.paces if cap]
    return rules + [
        (_rule(WindowKind.DAY, measure, cap, enforcement), used) for measure, cap, used in wallet.day_paces if cap
    ]


@lru_cache(maxsize=_RULES_MAX)
def _rule(window: WindowKind, measure: LimitMeasure, cap: int, enforcement: str) -> LimitRule:
    """One for all wallets of a plan: thousands begin to call at the same hour."""
    word, seconds = ("minute", 60) if window is WindowKind.ROLLING else ("day", 0)
    return LimitRule(
        LimitTerms(
            0, f"{measure.value.replace('_', '-')}-per-{word}", "", 0, "", "", "", window.value, seconds, "UTC", measure.value, cap,
            enforcement, Degrade.DENY.value, "", 0, 0, 0, [], [],
        )
    )  # fmt: skip
