"""ApiKey: a secret that lets a client spend one member's wallet. Kept only as a keyed hash."""

from dataclasses import dataclass
from enum import StrEnum

from tokenroll.model.checks import id_checked, name_checked, names_checked
from tokenroll.model.instant import Instant
from tokenroll.model.limits import KEY_MODELS_MAX


class KeyScope(StrEnum):
    """What a key may do. Only inference keys call models (reference: gateways, T9).

    A read key sees the models there are, its member's wallet and calls. A provision key is an identity provider's: it feeds members
    and departments and learns of no amount.
    """

    INFERENCE = "inference"
    READ = "read"
    ADMIN = "admin"
    PROVISION = "provision"


class KeyOrigin(StrEnum):
    """How a key came about: by a command, or with a session that a company's own login opened. A session's key always expires."""

    COMMAND = "command"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as the ledger knows it: its first characters to recognise it by, and its hash to find it by.

    `models` are the only ones it is for (none: whatever its wallet may call), `tags` those of its calls that say nothing else.
    """

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
    models: tuple[str, ...] = ()
    tags: str = ""
    origin: KeyOrigin = KeyOrigin.COMMAND

    def __post_init__(self) -> None:
        id_checked(self.id, "key id")
        id_checked(self.member_id, "member id")
        name_checked(self.name, "key name")
        if len(self.secret_hash) != 32:
            message = "a key is kept as a 32-byte hash"
            raise ValueError(message)
        names_checked(self.models, "a key's models")
        if len(self.models) > KEY_MODELS_MAX:
            message = f"a key is for at most {KEY_MODELS_MAX} models, not {len(self.models)}: name families, such as 'claude-*'"
            raise ValueError(message)
        if self.scope is not KeyScope.INFERENCE and (self.models or self.tags):
            message = f"a key with scope {self.scope.value} calls no model, so it has no models and no tags"
            raise ValueError(message)
        if self.origin is KeyOrigin.SESSION and self.expires_at is None:
            message = "a session's key ends with its session: it needs an expiry"
            raise ValueError(message)
