"""Which deployment a call goes to: by dialect and model, then by priority, weight and health.

The calls of one key keep to one deployment as long as it is well, because what a provider has cached of a prompt, or stored for a
later call, is found only there. Keys are spread by weight: their numbers count up, so the spread is even.
"""

from collections.abc import Mapping, Sequence
from math import gcd
from typing import TYPE_CHECKING, Final, TypeVar

from tokenroll.gateway.deployment import Deployment, DeploymentError, Target
from tokenroll.model.limits import DEPLOYMENTS_MAX
from tokenroll.services import hot
from tokenroll.services.hot_prices import Prices
from tokenroll.upstream.dialect import Dialect
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.flavours import Flavour

if TYPE_CHECKING:
    from tokenroll.gateway.upstream import Pool


_One = TypeVar("_One")


class Route:
    """Where one model of one dialect goes, as admission wants to know it."""

    __slots__ = ("choice", "flavour", "health", "hot", "path", "pool", "stream_path", "target")

    def __init__(self, target: Target, dialect: Dialect, model: str, pool: "Pool") -> None:
        one = target.deployment
        self.target = target
        self.pool = pool
        self.health = pool.health
        upstream_model = one.aliases.get(model, model)
        self.path = target.path(dialect, upstream_model, stream=False)
        self.stream_path = target.path(dialect, upstream_model, stream=True)
        flavour = target.flavour
        self.flavour: Flavour | None = flavour if flavour.rewrites or flavour.drops_query else None
        """How requests are changed for this provider; None, as nearly everywhere: not at all."""
        self.choice: Choice | None = None
        """The other ways of this model; None: there is no other."""
        self.hot = hot.Deployment(
            name=one.name,
            provider=one.provider or one.dialect,
            service_tier=one.service_tier,
            pin_tier=one.pin_tier,
            model=one.aliases.get(model, ""),
        )


class Choice:
    """Several routes for one model."""

    __slots__ = ("_tiers", "routes")

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(sorted(routes, key=lambda one: one.target.deployment.priority))
        """Those of the smallest priority first, else as they are configured."""
        tiers: dict[int, list[Route]] = {}
        for route in self.routes:
            tiers.setdefault(route.target.deployment.priority, []).append(route)
            route.choice = self
            route.health.expect_others()
        self._tiers = [_spread(tier, [one.target.deployment.weight for one in tier]) for tier in tiers.values()]

    def pick(self, key_id: int, now: int, facts: Facts) -> Route:
        """The route of a key's call: its own one, or the next that is well, or the one that is well soonest.

        What a call goes on from lies at its own one, or where it was found, so that is asked whatever its health.
        """
        first = self._tiers[0]
        route = first[key_id % len(first)]
        if facts.reads_stored:
            return next((one for one in self.routes if one.hot.name == facts.kept_by), route)
        if route.health.may_take(now):
            return route
        well = self.next_well(key_id, now, ())
        return min(self.routes, key=lambda one: one.health.resumes_at) if well is None else well

    def next_well(self, key_id: int, now: int, tried: Sequence[Route]) -> Route | None:
        """The first route in the key's order that is well and was not tried yet."""
        for tier in self._tiers:
            start = key_id % len(tier)
            seen = set(tried)
            for step in range(len(tier)):
                route = tier[(start + step) % len(tier)]
                if route not in seen and route.health.may_take(now):
                    return route
                seen.add(route)
        return None


def _spread(ones: Sequence[_One], weights: list[int]) -> list[_One]:
    """The routes or deployments as often as their weights say, each as evenly apart as can be (smooth weighted round robin)."""
    divisor = gcd(*weights)
    weights = [weight // divisor for weight in weights]
    total = sum(weights)
    credit = [0] * len(ones)
    order: list[_One] = []
    for _ in range(total):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))
        credit[best] -= total
        order.append(ones[best])
    return order


class Routes:
    """The table from (dialect, model) to where it goes: the deployments that name the model, else those for all models."""

    _REMEMBERED_MAX: Final = 4096

    def __init__(
        self, deployments: tuple[Deployment, ...], dialects: Mapping[str, Sequence[Dialect]], prices: Prices
    ) -> None:
        names = [one.name for one in deployments]
        if len(set(names)) != len(names):
            raise DeploymentError(f"deployments must have different names, not {names}")
        if len(deployments) > DEPLOYMENTS_MAX:
            raise DeploymentError(f"there are {len(deployments)} deployments, more than {DEPLOYMENTS_MAX}")
        self.targets = [Target(one, dialects[one.dialect]) for one in deployments]
        self._prices = prices
        self.alias_names = sorted({name for one in deployments for name in one.aliases})
        """What clients may call models besides the names of their rate cards."""
        self.pools: Mapping[Target, Pool] = {}
        """Where the connections of each target are; set by the worker that owns them."""
        self.known: dict[tuple[int, str], Route | None] = {}
        """What was found before, also in vain; read on the hot path."""
        self._keepers: dict[str, list[list[Target]]] = {}
        """By family: the deployments that keep things for clients, in tiers, and in these each as often as its weight says."""

    def find(self, dialect: Dialect, model: str) -> Route | None:
        """The route, or None when no deployment of this dialect serves `model`. `Route.choice` knows whether there are others."""
        key = (dialect.index, model)
        try:
            return self.known[key]
        except KeyError:
            routes = self._search(dialect, model)
            route = routes[0] if routes else None
            if len(routes) > 1:
                route = Choice(routes).routes[0]
            if len(self.known) < self._REMEMBERED_MAX:
                self.known[key] = route
            return route

    def keepers(self, family: str, key_id: int) -> list[Target]:
        """Who may have what a key has stored, its own deployment first: the one that its calls go to where all serve their model.

        Those for all models come before those for some, which may be servers that keep nothing; then the smallest priority.
        """
        tiers = self._keepers.get(family)
        if tiers is None:
            by_tier: dict[tuple[bool, int], list[Target]] = {}
            for one in self.targets:
                if one.family == family and one.flavour.has_errands:
                    by_tier.setdefault((bool(one.deployment.models), one.deployment.priority), []).append(one)
            tiers = self._keepers[family] = [
                _spread(tier, [one.deployment.weight for one in tier]) for _, tier in sorted(by_tier.items())
            ]
        order: dict[Target, None] = {}
        for tier in tiers:
            start = key_id % len(tier)
            order.update(dict.fromkeys(tier[start:] + tier[:start]))
        return list(order)

    def forget(self) -> None:
        """Prices have changed: which deployments can serve a model is looked for again."""
        self.known.clear()

    def _search(self, dialect: Dialect, model: str) -> list[Route]:
        """Those that name it keep it to themselves. One whose provider has no price for it cannot serve it where another has one."""
        targets = [
            one
            for one in self.targets
            if one.family == dialect.family and (one.flavour.has_errands or not dialect.is_kept)
        ]
        naming = [one for one in targets if model in one.deployment.models or model in one.deployment.aliases]
        routes = [
            Route(target, dialect, model, self.pools[target])
            for target in naming or [one for one in targets if not one.deployment.models]
        ]
        priced = [one for one in routes if self._prices.knows(one.hot.provider, one.hot.model or model)]
        return priced or routes[:1]


def ways(route: Route) -> tuple[Route, ...]:
    """A route and the others of its model."""
    return (route,) if route.choice is None else route.choice.routes
