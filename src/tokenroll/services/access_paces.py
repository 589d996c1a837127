"""How fast and how much a plan gives access to, as limits of its own for each wallet: counted by the worker alone (decision 0088)."""

from typing import TYPE_CHECKING

from tokenroll.model.limit import Degrade, WindowKind
from tokenroll.services.protocol import LimitTerms

if TYPE_CHECKING:
    from tokenroll.services.hot import HotWallet


def access_terms(wallet: "HotWallet") -> list[LimitTerms]:
    """Those of the last minute, and those of a day of UTC, which begin with what the ledger knew to be used; none is of the ledger's."""
    rates = [("minute", WindowKind.ROLLING, 60, measure, cap, 0) for measure, cap in wallet.paces]
    rates += [("day", WindowKind.DAY, 0, measure, cap, used) for measure, cap, used in wallet.day_paces]
    return [
        LimitTerms(
            0, f"{measure.value.replace('_', '-')}-per-{word}", "", 0, f"the plan of {wallet.name}", "", "", window.value, seconds,
            "UTC", measure.value, cap, wallet.enforcement, Degrade.DENY.value, "", 0, 0, 0, [],
            [(wallet.day_start_at, used)] if used else [],
        )
        for word, window, seconds, measure, cap, used in rates
        if cap
    ]  # fmt: skip
