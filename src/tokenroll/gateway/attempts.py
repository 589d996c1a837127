"""Further attempts of a call, at other deployments and, where one names it, with another model.

Each is authorised, bounded and billed on its own (DESIGN §6): nothing here decides about money. What no attempt could answer is
answered with the last answer that there was.
"""

from typing import TYPE_CHECKING, Final

from tokenroll.gateway.routing import Route
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.services.hot import HotKey
from tokenroll.services.hot_limits import Reroute
from tokenroll.upstream.dialect import Dialect, ErrorAnswer
from tokenroll.upstream.facts import Facts

if TYPE_CHECKING:
    from tokenroll.gateway.worker import Gateway

_FALLBACK_MODELS_MAX: Final = 8
"""Other models that are looked at for one call, whatever the deployments name."""


class Further:
    """What a call knows that was tried before: where, and the answer that it keeps for the case that nobody has a better one."""

    __slots__ = ("answer", "tried")

    def __init__(self) -> None:
        self.tried: list[Route] = []
        self.answer: ErrorAnswer | None = None

    def next_route(
        self,
        gateway: "Gateway",
        dialect: Dialect,
        facts: Facts,
        key: HotKey,
        route: Route,
        reroute: Reroute | None,
        started_at: Instant,
    ) -> tuple[Route, Reroute | None] | None:
        """Where the call goes after `route` failed it, and with which other model; None: nowhere.

        What goes on from something stored stays where that is. A call that a limit or the floor sent to another model stays with that
        model, which is the one that its money is for.
        """
        self.tried.append(route)
        edge = gateway.edge
        if (
            facts.reads_stored
            or len(self.tried) >= edge.attempts
            or gateway.clock() - started_at > edge.retry_seconds * MICROS_PER_SECOND
        ):
            return None
        now = gateway.wheel.now
        other = None if route.choice is None else route.choice.next_well(key.id, now, self.tried)
        if other is not None:
            if reroute is not None:
                reroute.deployment = other.hot if other.hot.model else other.hot._replace(model=reroute.model)
            return other, reroute
        if reroute is not None and not reroute.is_fallback:
            return None
        return self._next_model(gateway, dialect, facts, key, now)

    def _next_model(
        self, gateway: "Gateway", dialect: Dialect, facts: Facts, key: HotKey, now: int
    ) -> tuple[Route, Reroute] | None:
        """The first other model that one of the tried deployments names for this one and somebody can serve now."""
        names: list[str] = []
        for tried in self.tried:
            named = tried.target.deployment.fallbacks
            names += named.get(facts.model) or named.get(tried.hot.model) or ()
        for name in names[:_FALLBACK_MODELS_MAX]:
            route = gateway.routes.find(dialect, name)
            if route is not None and route.choice is not None:
                route = route.choice.next_well(key.id, now, self.tried)
            elif route is not None and (route in self.tried or not route.health.may_take(now)):
                route = None
            if route is not None:
                reroute = Reroute(name, "", is_fallback=True)
                reroute.deployment = route.hot if route.hot.model else route.hot._replace(model=name)
                return route, reroute
        return None
