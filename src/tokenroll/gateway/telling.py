"""What a client is told in headers about its money: always as exact decimals, never as floats."""

from typing import TYPE_CHECKING

from tokenroll.model.amount import NANOS_PER_CREDIT, text_from_nanos
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import text_from_instant
from tokenroll.services.hot import HotHold

if TYPE_CHECKING:
    from tokenroll.gateway.worker import Gateway


def hold_lines(gateway: "Gateway", hold: HotHold, call_id: bytes, charge_nanos: int | None = None) -> bytes:
    """The `x-tokenroll-…` lines of an admitted call.

    `available` is what was left when this call's hold was taken, plus what its settlement gave back when that is known already
    (`charge_nanos`, non-streamed answers). Parallel calls may have changed it since.
    """
    available = hold.available_after_nanos
    bound = hold.bound_nanos
    if charge_nanos is not None and charge_nanos < bound:
        available += bound - charge_nanos
    lines = (
        b"x-tokenroll-call-id: %b\r\nx-tokenroll-available: %b\r\nx-tokenroll-hold-max: %d.%09d\r\n%bx-tokenroll-rate-card: %b\r\n"
        % (
            call_id,
            decimal(available),
            bound // NANOS_PER_CREDIT,
            bound % NANOS_PER_CREDIT,
            gateway.cycle_line(hold.key),
            hold.rate_card.encode(),
        )
    )
    if hold.cap_changed:
        lines += b"x-tokenroll-output-cap: %d\r\n" % hold.output_cap_tokens
    if hold.would_deny and hold.key.wallet.enforcement == Enforcement.WARN:
        lines += warning_line(hold)
    return lines


def cost_line(charge_nanos: int) -> bytes:
    """What a non-streamed call cost, in credits."""
    return b"x-tokenroll-cost: %d.%09d\r\n" % divmod(charge_nanos, NANOS_PER_CREDIT)


def decimal(nanos: int) -> bytes:
    """The exact decimal of an amount, also of one below zero."""
    if nanos < 0:
        return text_from_nanos(nanos).encode()
    return b"%d.%09d" % divmod(nanos, NANOS_PER_CREDIT)


def warning_line(hold: HotHold) -> bytes:
    """Under `warn` the client hears that `enforce` would have refused; under `observe` nobody is troubled."""
    return (
        b"x-tokenroll-warning: this call may cost up to %b credits, more than was left; under enforce it would be refused\r\n"
        % (decimal(hold.bound_nanos))
    )


def cycle_line(ends_at: int) -> bytes:
    """When the pay cycle ends."""
    return b"x-tokenroll-cycle-ends: %b\r\n" % text_from_instant(ends_at).encode()
