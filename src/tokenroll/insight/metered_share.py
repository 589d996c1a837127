"""The metered share: how much of a provider's invoice went through the gateway, and which keys of its reports are not ours.

What an invoice has beyond what the gateway settled was spent where no wallet, limit or book sees it. More through the gateway than was
billed is told as it is: then a contract, a credit or a report that is not complete lies between them. Two reports that tell the same
provider's invoice are never added up: one of them is taken, and the others are told beside it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenroll.insight.provider_names import provider_identity


class ReportedCost(NamedTuple):
    """What one cost report bills of one provider, in nanos."""

    report: str
    nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderShare:
    """One provider: nanos settled through the gateway and nanos billed in all, by which report; None where none was imported."""

    provider: str
    through_nanos: int
    billed_nanos: int | None
    report: str
    others: tuple[ReportedCost, ...]
    """What other reports say of the same invoice: not added to it."""

    @property
    def permille(self) -> int | None:
        """The metered share in thousandths, rounded down; None without an invoice."""
        return 1000 * self.through_nanos // self.billed_nanos if self.billed_nanos else None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """A key in a provider's own usage report, and whether it is one that the gateway calls with."""

    provider: str
    key: str
    model_tokens: int
    is_ours: bool


def provider_shares(
    through: Iterable[tuple[str, int]], billed: Iterable[tuple[str, str, int]], reports: Sequence[str]
) -> tuple[ProviderShare, ...]:
    """All providers of either side (provider, nanos; provider, report, nanos), the largest invoice first.

    Of several reports about one provider the first in `reports` is taken.
    """
    settled: dict[str, int] = {}
    for name, nanos in through:
        identity = provider_identity(name)
        settled[identity] = settled.get(identity, 0) + nanos
    invoiced: dict[str, dict[str, int]] = {}
    for name, report, nanos in billed:
        sums = invoiced.setdefault(provider_identity(name), {})
        sums[report] = sums.get(report, 0) + nanos
    found = [_share(name, settled.get(name, 0), invoiced.get(name, {}), reports) for name in {*settled, *invoiced}]
    return tuple(sorted(found, key=lambda one: (-(one.billed_nanos or 0), -one.through_nanos, one.provider)))


def _share(provider: str, through_nanos: int, sums: Mapping[str, int], reports: Sequence[str]) -> ProviderShare:
    order = sorted(sums, key=reports.index)
    return ProviderShare(
        provider=provider,
        through_nanos=through_nanos,
        billed_nanos=sums[order[0]] if order else None,
        report=order[0] if order else "",
        others=tuple(ReportedCost(name, sums[name]) for name in order[1:]),
    )


def key_uses(rows: Iterable[tuple[str, str, int]], ours: Collection[str]) -> tuple[KeyUse, ...]:
    """The keys of usage reports (provider, key, model tokens), those that are not ours first, then the most used."""
    found = [
        KeyUse(provider=provider, key=key, model_tokens=tokens, is_ours=key in ours) for provider, key, tokens in rows
    ]
    return tuple(sorted(found, key=lambda one: (one.is_ours, -one.model_tokens, one.provider, one.key)))
