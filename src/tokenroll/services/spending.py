"""Admission and settlement inside a worker's leases, in memory and on its tape. No SQL, no I/O (DESIGN §5, §6)."""

from typing import Any

from tokenroll.model.hold import ReleaseReason
from tokenroll.model.instant import Instant
from tokenroll.services.clock import Clock
from tokenroll.services.hot import Deployment, HotHold, HotKey, Wait, Wake
from tokenroll.services.protocol import Delta, Lease, View
from tokenroll.store.tape import Finish, TapeWriter
from tokenroll.upstream.dialect import CallMeter, Denial, Dialect, Facts


class Spending:
    """What one worker may spend and has spent. Every method is synchronous and does no I/O; the caller awaits durability."""

    def __init__(self, tape: TapeWriter, clock: Clock, pepper: bytes) -> None:
        self.tape = tape
        self.clock = clock
        self.settings: dict[str, str] = {}
        self.last_delta = 0
        self.open_holds: dict[int, HotHold] = {}

    def apply_view(self, view: View) -> None:
        """Keys, cards and settings."""
        raise NotImplementedError

    def apply_lease(self, lease: Lease) -> None:
        """Wallets to spend."""
        raise NotImplementedError

    def apply_delta(self, delta: Delta) -> bool:
        """One numbered change; a repeated one changes nothing (False). Raises ProtocolError for a gap: the worker must say HELLO again."""
        raise NotImplementedError

    def key_for(self, bearer: bytes, now: Instant) -> HotKey | None:
        """The key behind a bearer token, None when unknown, revoked or expired. `is_admin` keys may not call models."""
        raise NotImplementedError

    def model_names(self, now: Instant) -> list[str]:
        """Every model that has a rate card now, for `GET /v1/models`."""
        raise NotImplementedError

    def admit(
        self,
        key: HotKey,
        dialect: Dialect,
        facts: Facts,
        now: Instant,
        *,
        deployment: Deployment,
        call_id: bytes | None = None,
        attempt: int = 1,
        tags: str = "",
        may_wait: bool = True,
    ) -> HotHold | Denial | Wait:
        """A hold whose HOLD record is appended, or why not. `call_id` is the client's own; a retry passes it with `attempt` > 1."""
        raise NotImplementedError

    def wait(self, wait: Wait, wake: Wake) -> None:
        """`wake` is called once, when money came back that may suffice; admit again then. It must not admit inside the call."""
        raise NotImplementedError

    def forget(self, wait: Wait, wake: Wake) -> None:
        """The call gave up waiting (its time is over, its client left)."""
        raise NotImplementedError

    def dispatched(self, holds: list[HotHold], now: Instant) -> None:
        """One DISPATCHED record for all of them."""
        raise NotImplementedError

    def evidence(self, hold: HotHold, meter: CallMeter, now: Instant, status: int = 200) -> None:
        """What has been seen of the answer so far."""
        raise NotImplementedError

    def settle(self, hold: HotHold, meter: CallMeter, now: Instant, status: int, finish: Finish) -> int:
        """The hold's end by the meter's counts; the tail returns to its lots. The charge in nanos. AssertionError when it has ended."""
        raise NotImplementedError

    def release(self, hold: HotHold, reason: ReleaseReason, now: Instant, status: int = 0) -> None:
        """The hold's end without a charge, only for what law 5 allows."""
        raise NotImplementedError

    def lapse(self, hold: HotHold, meter: CallMeter, now: Instant, finish: Finish) -> None:
        """The hold's money goes to suspense: its fate is to be found out."""
        raise NotImplementedError

    def cycle_ends_at(self, key: HotKey, now: Instant) -> Instant:
        """When the wallet's current pay cycle ends."""
        raise NotImplementedError

    def wallet_view(self, key: HotKey, now: Instant) -> dict[str, Any]:
        """The body of `GET /me/wallet`: amounts as decimal strings."""
        raise NotImplementedError

    def call_view(self, key: HotKey, call_id: str) -> dict[str, Any] | None:
        """The body of `GET /me/calls/{id}` for a call of this key's wallet that this worker remembers, else None."""
        raise NotImplementedError
