"""What of a client's request goes to the provider: its own bytes, changed only where policy or the provider's way of writing asks."""

from typing import Final

import msgspec

from tokenroll.gateway.heads import RequestHead
from tokenroll.gateway.routing import Route
from tokenroll.services.hot import HotHold
from tokenroll.upstream.dialect import Buffers, Dialect, RequestRefused
from tokenroll.upstream.facts import Facts

_UNCHANGEABLE: Final = (
    "A field of this request has to be changed before it is sent, and beside it is something that no JSON reader takes: it nests too deeply, or "
    "holds a number of thousands of digits. Leave that out."
)


def outgoing(
    dialect: Dialect, body: bytes, facts: Facts, hold: HotHold, route: Route, *, inject_usage: bool
) -> Buffers:
    """The body that is sent for a hold. Raises RequestRefused for one that cannot be changed as it must be: nothing is sent then."""
    try:
        buffers = dialect.rewrite(
            body,
            facts,
            model=hold.upstream_model,
            output_cap_tokens=hold.output_cap_tokens,
            inject_usage=inject_usage,
            service_tier=hold.service_tier,
            searches=hold.searches,
        )
        return buffers if route.flavour is None else route.flavour.body(buffers, stream=facts.stream)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise RequestRefused(400, "invalid_json", _UNCHANGEABLE) from None


def outgoing_head(head: RequestHead, route: Route, request_name: bytes, size: int, *, stream: bool) -> bytes:
    """The head before a body of that size. `request_name` is how the provider's support finds it: the call's id and which attempt it is."""
    return b"POST %b%b%bx-client-request-id: %b\r\n%bcontent-length: %d\r\n\r\n" % (
        route.stream_path if stream else route.path,
        b"" if route.flavour is not None and route.flavour.drops_query else head.query,
        route.target.preamble,
        request_name,
        head.forward,
        size,
    )
