"""Deployments: ways to reach a provider, and the unchanging part of every request head sent there."""

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tokenroll.model import limits
from tokenroll.upstream.dialect import Dialect
from tokenroll.upstream.flavours import FLAVOURS, Flavour


class DeploymentError(ValueError):
    """A deployment that calls must not be sent to: the message says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One way to reach a provider: a dialect at a base URL, with the company's key.

    `models` empty: every model that has a rate card. `aliases` maps a client's model name to the provider's. `provider` is the
    one whose rate cards price it. Plain HTTP is for loopback, or where `plain_http_allowed` says that the network is trusted.
    Of several that serve a model those of the smallest `priority` share its calls by `weight`; the others stand in for them.
    `retry_unanswered`: a call that this one took and did not answer at all is tried elsewhere, although both may bill it.
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
    weight: int = 1
    priority: int = 1
    retry_unanswered: bool = False
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other models that are asked when no deployment of a model could answer, by the model's name."""
    connect_seconds: float = limits.CONNECT_SECONDS_MAX
    first_byte_seconds: float = limits.FIRST_BYTE_SECONDS_MAX
    idle_seconds: float = limits.UPSTREAM_IDLE_SECONDS_MAX
    answer_seconds: float = limits.CALL_AGE_SECONDS_MAX
    """Longest time to connect, to the first byte, between two bytes, and from the first byte to the last."""
    flavour: str = "standard"
    """How the provider wants its dialect spoken; one of FLAVOURS."""
    api_version: str = ""
    keyless: bool = False
    """No key is sent: a server of one's own."""
    token_command: tuple[str, ...] = ()
    """Prints a token that is sent in place of a key, and lives for `token_seconds`."""
    token_seconds: int = limits.TOKEN_SECONDS_DEFAULT
    refuses_unmetered: bool = False
    """Whether an answer that does not say its usage is kept from the client. It is charged by its evidence all the same."""


class Target:
    """A deployment ready for use: address, TLS, and the bytes that begin each request. `dialects` are all endpoints of its family."""

    __slots__ = (
        "_authority",
        "_dialect",
        "base_path",
        "deployment",
        "family",
        "flavour",
        "host",
        "name",
        "port",
        "preamble",
        "problem",
        "tls",
        "version_line",
    )

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
        self.flavour = _flavour(deployment, self.family)
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
        self._authority = authority.encode("ascii")
        self._dialect = dialects[0]
        self.version_line = dialects[0].version_line
        """For requests that no client's version goes on with."""
        self.base_path = self.flavour.base_path(parts.path).encode("ascii")
        """What stands before the paths of the dialect."""
        self.problem = ""
        """Why nothing can be sent now; empty when it can."""
        self.preamble = self._preamble(deployment.api_key, is_token=False)
        """Everything of a head between its query and the client's own header lines."""
        if deployment.token_command:
            self.problem = "its token command has not ended yet"

    def _preamble(self, secret: str, *, is_token: bool) -> bytes:
        headers = self.flavour.headers(self._dialect, secret, is_token=is_token)
        return b" HTTP/1.1\r\nhost: " + self._authority + b"\r\n" + headers + b"accept-encoding: identity\r\n"

    def use_token(self, token: str) -> None:
        """A fresh token: every request from now on carries it."""
        self.preamble = self._preamble(token, is_token=True)
        self.problem = ""

    def lacks_token(self, why: str) -> None:
        """There is no fresh token. The last one goes on being sent, because only the provider knows when it ends."""
        if self.problem:
            self.problem = why

    def path(self, dialect: Dialect, model: str, *, stream: bool) -> bytes:
        """Where the provider has this endpoint for what it calls `model`."""
        base = self.base_path.decode("ascii")
        return self.flavour.path(base, dialect, model, self.deployment.api_version, stream=stream)


def _flavour(deployment: Deployment, family: str) -> Flavour:
    """How the provider wants its dialect spoken. Raises DeploymentError for what does not go together."""
    flavour = FLAVOURS.get(deployment.flavour)
    if flavour is None:
        raise DeploymentError(
            f"{deployment.name}: flavour {deployment.flavour!r} is not known; there are {', '.join(FLAVOURS)}"
        )
    if family not in flavour.families:
        raise DeploymentError(
            f"{deployment.name}: flavour {flavour.name!r} speaks the dialect {flavour.families[0]!r}, not {family!r}"
        )
    if flavour.needs_api_version and not deployment.api_version:
        raise DeploymentError(f"{deployment.name}: flavour {flavour.name!r} needs an api_version, such as 2024-10-21")
    return flavour


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
