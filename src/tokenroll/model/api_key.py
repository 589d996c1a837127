"""ApiKey: a secret that lets a client spend one member's wallet. Kept only as a keyed hash."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.checks import id_checked, name_checked
from tokenroll.model.instant import Instant


class KeyScope(StrEnum):
    """What a key may do. Only inference keys call models (reference: gateways, T9).

    A provision key is an identity provider's: it feeds members and departments and learns of no amount.
    """

    INFERENCE = "inference"
    ADMIN = "admin"
    PROVISION = "provision"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as the ledger knows it: its first characters to recognise it by, and its hash to find it by."""

    id: int
    public_id: str
    member_id: int
    name: str
    scope: KeyScope
    shown_prefix: str
    secret_hash: bytes
    created_at: Instant
    expires_at: Instant | None = None
    revoked_at: Instant | None = None

    def __post_init__(self) -> None:
        id_checked(self.id, "key id")
        id_checked(self.member_id, "member id")
        name_checked(self.name, "key name")
        if len(self.secret_hash) != 32:
            message = "a key is kept as a 32-byte hash"
            raise ValueError(message)
