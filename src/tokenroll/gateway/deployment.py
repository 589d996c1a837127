"""Where calls go: deployments, which models they serve, and the unchanging part of every request head sent there."""

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tokenroll.services import hot
from tokenroll.upstream.dialect import Dialect

if TYPE_CHECKING:
    from tokenroll.gateway.upstream import Pool


class DeploymentError(ValueError):
    """A deployment that calls must not be sent to: the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One way to reach a provider: a dialect at a base URL, with the company's key.

    `models` empty: every model that has a rate card. `aliases` maps a client's model name to the provider's. `provider` is the
    one whose rate cards price it. Plain HTTP is for loopback, or where `plain_http_allowed` says that the network is trusted.
    """

    name: str
    dialect: str
    base_url: str
    api_key: str = field(repr=False)
    provider: str = ""
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    service_tier: str = "standard"
    pin_tier: bool = False
    ca_file: Path | None = None
    plain_http_allowed: bool = False


class Target:
    """A deployment ready for use: address, TLS, and the bytes that begin each request. `dialects` are all endpoints of its family."""

    __slots__ = ("base_path", "deployment", "family", "host", "name", "paths", "port", "preamble", "tls")

    def __init__(self, deployment: Deployment, dialects: Sequence[Dialect]) -> None:
        parts = urlsplit(deployment.base_url)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise DeploymentError(
                f"{deployment.name}: base_url {deployment.base_url!r} is not http(s)://host[:port][/path]"
            )
        if any(ord(one) < 0x20 or ord(one) > 0x7E for one in deployment.api_key):
            raise DeploymentError(f"{deployment.name}: the api key has characters that no header may carry")
        self.deployment = deployment
        self.family = dialects[0].family
        self.name = deployment.name
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self.tls = tls_context(deployment.ca_file)
        elif not deployment.plain_http_allowed and not is_loopback(self.host):
            raise DeploymentError(
                f"{deployment.name}: plain http to {self.host} would send the company's key unprotected; use https, "
                "or set plain_http_allowed for a network you trust"
            )
        default_port = self.port == (443 if self.tls else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if default_port else f"{host}:{self.port}"
        self.base_path = _joined(parts.path, "/v1/").removesuffix("/v1/").encode("ascii")
        """What stands before the paths of the dialect."""
        self.paths = {one.index: _joined(parts.path, one.path.decode("ascii")).encode("ascii") for one in dialects}
        """By a dialect's index."""
        self.preamble = (
            b" HTTP/1.1\r\nhost: " + authority.encode("ascii") + b"\r\n"
            + dialects[0].upstream_headers(deployment.api_key) + b"accept-encoding: identity\r\n"
        )  # fmt: skip
        """Everything of a head between its query and the client's own header lines."""


def _joined(base: str, target: str) -> str:
    """The provider's path: base URLs are written with and without the version, as the SDKs of both dialects do."""
    base = base.rstrip("/")
    version = "/v1"
    if base.endswith(version) and target.startswith(version + "/"):
        base = base.removesuffix(version)
    return base + target


def is_loopback(host: str) -> bool:
    """Whether bytes to `host` never leave this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verified TLS: the chain and the name are checked; `ca_file` replaces the system's authorities."""
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Route:
    """Where one model of one dialect goes, as admission wants to know it."""

    __slots__ = ("hot", "pool", "target")

    def __init__(self, target: Target, model: str, pool: "Pool") -> None:
        one = target.deployment
        self.target = target
        self.pool = pool
        self.hot = hot.Deployment(
            name=one.name,
            provider=one.provider or one.dialect,
            service_tier=one.service_tier,
            pin_tier=one.pin_tier,
            model=one.aliases.get(model, ""),
        )


class Routes:
    """The table from (dialect, model) to where it goes. The first deployment in order that names the model, else the first for all."""

    _REMEMBERED_MAX = 4096

    def __init__(self, deployments: tuple[Deployment, ...], dialects: Mapping[str, Sequence[Dialect]]) -> None:
        names = [one.name for one in deployments]
        if len(set(names)) != len(names):
            raise DeploymentError(f"deployments must have different names, not {names}")
        self.targets = [Target(one, dialects[one.dialect]) for one in deployments]
        self.pools: Mapping[Target, Pool] = {}
        """Where the connections of each target are; set by the worker that owns them."""
        self.known: dict[tuple[int, str], Route | None] = {}
        """What was found before, also in vain; read on the hot path."""

    def find(self, dialect: Dialect, model: str) -> Route | None:
        """The route, or None when no deployment of this dialect serves `model`."""
        key = (dialect.index, model)
        try:
            return self.known[key]
        except KeyError:
            route = self._search(dialect, model)
            if len(self.known) < self._REMEMBERED_MAX:
                self.known[key] = route
            return route

    def _search(self, dialect: Dialect, model: str) -> Route | None:
        candidates = [target for target in self.targets if target.family == dialect.family]
        for target in candidates:
            if model in target.deployment.models or model in target.deployment.aliases:
                return Route(target, model, self.pools[target])
        for target in candidates:
            if not target.deployment.models:
                return Route(target, model, self.pools[target])
        return None
