"""Enforcement: what happens to a call that its wallet cannot carry, per plan and dated."""

from enum import StrEnum


class Enforcement(StrEnum):
    """`observe` records would-be denials, `warn` also tells the client by header, `enforce` refuses."""

    OBSERVE = "observe"
    WARN = "warn"
    ENFORCE = "enforce"


class CapPolicy(StrEnum):
    """What to do with a client's own output cap that does not fit: refuse the call, or lower the cap and say so."""

    DENY = "deny"
    CLAMP = "clamp"
