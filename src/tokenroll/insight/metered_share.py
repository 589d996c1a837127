"""The metered share: how much of a provider's invoice went through the gateway, and which keys of its reports are not ours.

What an invoice has beyond what the gateway settled was spent where no wallet, limit or book sees it. More through the gateway than was
billed is told as it is: then a contract, a credit or a report that is not complete lies between them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderShare:
    """One provider: nanos settled through the gateway and nanos billed in all; None where no invoice or cost report was imported."""

    provider: str
    through_nanos: int
    billed_nanos: int | None

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


def provider_shares(through: Mapping[str, int], billed: Mapping[str, int]) -> tuple[ProviderShare, ...]:
    """All providers of either side, the largest invoice first."""
    found = (
        ProviderShare(provider=name, through_nanos=through.get(name, 0), billed_nanos=billed.get(name))
        for name in {*through, *billed}
    )
    return tuple(sorted(found, key=lambda one: (-(one.billed_nanos or 0), -one.through_nanos, one.provider)))


def key_uses(rows: Iterable[tuple[str, str, int]], ours: Collection[str]) -> tuple[KeyUse, ...]:
    """The keys of usage reports (provider, key, model tokens), those that are not ours first, then the most used."""
    found = [
        KeyUse(provider=provider, key=key, model_tokens=tokens, is_ours=key in ours) for provider, key, tokens in rows
    ]
    return tuple(sorted(found, key=lambda one: (one.is_ours, -one.model_tokens, one.provider, one.key)))
