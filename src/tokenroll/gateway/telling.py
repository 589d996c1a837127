"""What a client is told in headers about its money: always as exact decimals, never as floats."""

from typing import TYPE_CHECKING, Final

from tokenroll.gateway.answers import DIALECTS
from tokenroll.gateway.heads import ResponseHead
from tokenroll.model.amount import NANOS_PER_CREDIT, text_from_nanos
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.services.hot import HotHold
from tokenroll.services.hot_limits import Limited, paces_of
from tokenroll.upstream.pace import not_replaced

if TYPE_CHECKING:
    from tokenroll.gateway.worker import Gateway

NOT_YET: Final = -1
"""In place of a charge: the work goes on at the provider, and its cost is asked for later."""
_ZEROS: Final = b"0" * len(str(NANOS_PER_CREDIT))


def hold_lines(gateway: "Gateway", hold: HotHold, call_id: bytes) -> bytes:
    """The `x-tokenroll-…` lines of a call whose cost is not known yet.

    `available` is what was left when this call's hold was taken; parallel calls may have changed it since.
    """
    bound = hold.bound_nanos
    lines = b"x-tokenroll-call-id: %b\r\nx-tokenroll-available: %b\r\nx-tokenroll-hold-max: %b\r\n%b" % (
        call_id,
        decimal(hold.available_after_nanos),
        decimal(bound),
        gateway.terms_lines(hold),
    )
    if hold.cap_changed or hold.would_deny or hold.limited is not None or hold.searches is not None:
        return lines + special_lines(hold)
    return lines


def whole_lines(gateway: "Gateway", hold: HotHold, call_id: bytes, charge_nanos: int) -> bytes:
    """The same with the cost: `available` counts what the settlement gave back, which the company's part of the hold never is."""
    if charge_nanos == NOT_YET:
        return hold_lines(gateway, hold, call_id)
    bound = hold.bound_nanos
    available = hold.available_after_nanos
    drawn = bound - hold.company_nanos
    if charge_nanos < drawn:
        available += drawn - charge_nanos
    lines = (
        b"x-tokenroll-call-id: %b\r\nx-tokenroll-available: %b\r\nx-tokenroll-hold-max: %b\r\n%bx-tokenroll-cost: %b\r\n"
        % (
            call_id,
            decimal(available),
            decimal(bound),
            gateway.terms_lines(hold),
            decimal(charge_nanos),
        )
    )
    if hold.cap_changed or hold.would_deny or hold.limited is not None or hold.searches is not None:
        return lines + special_lines(hold)
    return lines


def special_lines(hold: HotHold) -> bytes:
    """What is said only when it is so: a cap that we named, a refusal that was not made, a limit's word."""
    lines = b""
    if hold.cap_changed:
        lines += b"x-tokenroll-output-cap: %d\r\n" % hold.output_cap_tokens
    if hold.searches is not None:
        lines += b"x-tokenroll-searches: %b\r\n" % (b"%d" % hold.searches if hold.searches else _no_searches(hold))
    if hold.would_deny and hold.key.wallet.enforcement == Enforcement.WARN:
        lines += warning_line(hold)
    limited = hold.limited
    if limited is None:
        return lines
    if limited.pace_bits:
        now = hold.first_byte_at
        dialect = DIALECTS[hold.dialect_index]
        lines += dialect.pace_lines(paces_of(limited.limits, now, dialect.pace_kind_count), now)
    return lines + limited.notes


def _no_searches(hold: HotHold) -> bytes:
    """Why a search tool without a limit was left out of the request."""
    if hold.rates.web_search_grains is None:
        return b"0; the rate card has no price for searches"
    if hold.card.card.context_window_tokens is None:
        return b"0; the rate card names no context window"
    return b"0; a search may read a whole context again, which is more than what is left affords"


def forward_lines(response: ResponseHead, limited: Limited | None = None) -> bytes:
    """The provider's own lines that go on, each with its end; not its rate limits where ours are told in their place."""
    lines = response.forward
    if limited is not None and limited.pace_bits and response.tells_pace:
        lines = not_replaced(lines, limited.pace_bits)
    return b"\r\n".join(lines) + b"\r\n" if lines else b""


def decimal(nanos: int) -> bytes:
    """The exact decimal of an amount, also of one below zero. Cut out of its digits, which is half the price of formatting two numbers."""
    if nanos < 0:
        return text_from_nanos(nanos).encode()
    digits = b"%d" % nanos
    if nanos < NANOS_PER_CREDIT:
        digits = _ZEROS[len(digits) :] + digits
    return b"%b.%b" % (digits[:-9], digits[-9:])


def warning_line(hold: HotHold) -> bytes:
    """Under `warn` the client hears that `enforce` would have refused; under `observe` nobody is troubled."""
    if not hold.company_nanos:
        if hold.limited is not None and hold.limited.too_fast:
            return b""  # its note says so
        return b"x-tokenroll-warning: the plan of this key gives no access to this call; under enforce it would be refused\r\n"
    return (
        b"x-tokenroll-warning: this call may cost up to %b credits, more than was left; under enforce it would be refused\r\n"
        % (decimal(hold.bound_nanos))
    )


def terms_lines(cycle_ends_at: Instant, rate_card: str) -> bytes:
    """When the pay cycle ends, and which rate card prices the call."""
    return b"x-tokenroll-cycle-ends: %b\r\nx-tokenroll-rate-card: %b\r\n" % (
        text_from_instant(cycle_ends_at).encode(),
        rate_card.encode(),
    )
