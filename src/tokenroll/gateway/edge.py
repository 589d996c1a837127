"""The limits of one worker's edge, as its connections use them: seconds become ticks of the wheel once."""

from dataclasses import dataclass
from typing import Final

from tokenroll.gateway.wheel import Wheel
from tokenroll.model import limits

_WARM_SECONDS: Final = 1.0
"""A provider's connection that was used within this time is not expected to be closing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLimits:
    """Defaults are the product's (model/limits.py); tests shrink them, so that a slow sender is cut within a test's patience."""

    head_seconds: float = limits.HEAD_SECONDS_MAX
    body_seconds: float = limits.BODY_SECONDS_MAX
    idle_seconds: float = limits.IDLE_SECONDS_MAX
    linger_seconds: float = limits.LINGER_SECONDS_MAX
    client_stall_seconds: float = limits.CLIENT_STALL_SECONDS_MAX
    wait_seconds: float = limits.WAIT_SECONDS_MAX
    pooled_idle_seconds: float = limits.POOLED_IDLE_SECONDS_MAX
    drain_seconds: float = limits.DRAIN_SECONDS_MAX
    drain_bytes: int = limits.DRAIN_BYTES_MAX
    retry_seconds: float = limits.RETRY_SECONDS_MAX
    attempts: int = limits.ATTEMPTS_MAX
    evidence_seconds: float = limits.EVIDENCE_SECONDS
    header_bytes: int = limits.HEADER_BYTES_MAX
    body_bytes: int = limits.BODY_BYTES_MAX
    bodies_bytes: int = limits.BODIES_BYTES_MAX
    connections: int = limits.CONNECTIONS_MAX
    upstream_connections: int = limits.UPSTREAM_CONNECTIONS_MAX
    buffered_response_bytes: int = limits.BUFFERED_RESPONSE_BYTES_MAX
    tick_seconds: float = 1.0


class Ticks:
    """The same in ticks, as plain attributes of plain integers."""

    __slots__ = (
        "body", "client_stall", "drain", "evidence", "head", "idle", "linger", "pooled_idle", "wait", "warm",
    )  # fmt: skip

    def __init__(self, edge: EdgeLimits, wheel: Wheel) -> None:
        self.head = wheel.ticks(edge.head_seconds)
        self.body = wheel.ticks(edge.body_seconds)
        self.idle = wheel.ticks(edge.idle_seconds)
        self.linger = wheel.ticks(edge.linger_seconds)
        self.client_stall = wheel.ticks(edge.client_stall_seconds)
        self.wait = wheel.ticks(edge.wait_seconds)
        self.pooled_idle = wheel.ticks(edge.pooled_idle_seconds)
        self.warm = wheel.ticks(_WARM_SECONDS)
        self.drain = wheel.ticks(edge.drain_seconds)
        self.evidence = wheel.ticks(edge.evidence_seconds)
