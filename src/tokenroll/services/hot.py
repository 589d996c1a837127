"""The hot path's own objects: mutable, slotted, without validation, because one of each lives through every call.

They mean exactly what the nouns of `model` mean; a property test proves that their numbers equal the engine's (DESIGN §6).
"""

from collections.abc import Callable
from typing import NamedTuple

from tokenroll.model.hold import Slice
from tokenroll.model.instant import Instant


class Deployment(NamedTuple):
    """Where calls for a model go: a provider's account, the tier it is configured for, and the model's name there."""

    name: str
    provider: str
    service_tier: str = "standard"
    """Bounds calls whose request says `auto` or nothing; one of the tape's SERVICE_TIERS."""
    pin_tier: bool = False
    """Whether the forwarded request names that tier."""
    model: str = ""
    """The name sent upstream; "" sends the rate card's or the client's own."""


class HotLot:
    """A lot as its worker spends it: `left_nanos` is neither held nor consumed."""

    __slots__ = ("classification", "effective_at", "expires_at", "id", "left_nanos", "priority")


class HotWallet:
    """A leased wallet: lots in draw order and what is drawable until `next_change_at`."""

    __slots__ = ("held_nanos", "id", "name", "public_id", "spent_nanos", "suspense_nanos", "zone")

    id: int
    public_id: str
    name: str
    zone: str
    held_nanos: int
    spent_nanos: int
    suspense_nanos: int


class HotKey:
    """An api key that may spend: whose wallet first, whose pool then (None: no pool)."""

    __slots__ = ("expires_at", "id", "is_admin", "member_public_id", "pool", "public_id", "wallet")

    id: int
    public_id: str
    member_public_id: str
    wallet: HotWallet
    pool: HotWallet | None
    expires_at: Instant
    is_admin: bool


class HotHold:
    """One admitted attempt, from admission to its one end."""

    __slots__ = (
        "admitted_at", "available_after_nanos", "bound_nanos", "call_number", "cap_changed", "key", "output_cap_tokens",
        "sequence", "service_tier", "slices", "upstream_model", "wallet", "would_deny",
    )  # fmt: skip

    sequence: int
    call_number: int
    admitted_at: Instant
    key: HotKey
    wallet: HotWallet
    bound_nanos: int
    slices: list[Slice]
    output_cap_tokens: int
    """The cap that the forwarded request must carry; 0: leave the client's request as it is."""
    cap_changed: bool
    """Whether we named or lowered the cap, which a header tells the client."""
    upstream_model: str
    """The model to name upstream."""
    service_tier: str | None
    """The tier to pin in the forwarded request, in the dialect's words; None: leave it."""
    available_after_nanos: int
    would_deny: bool
    """Under observe or warn: what `enforce` would have refused."""

    @property
    def call_id(self) -> str:
        """The outside call id, `call_…`."""
        raise NotImplementedError

    @property
    def rate_card_id(self) -> str:
        """The public id of the rate card that prices it."""
        raise NotImplementedError


class Wait(NamedTuple):
    """Not now: other calls of the same wallets hold enough that, once they end, this one may fit."""

    needed_nanos: int
    wallets: tuple[HotWallet, ...]


Wake = Callable[[], None]
