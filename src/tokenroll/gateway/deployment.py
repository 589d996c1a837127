"""Deployments: ways to reach a provider, and the unchanging part of every request head sent there."""

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tokenroll.model import limits
from tokenroll.upstream.dialect import Dialect


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


class Target:
    """A deployment ready for use: address, TLS, and the bytes that begin each request. `dialects` are all endpoints of its family."""

    __slots__ = ("base_path", "deployment", "family", "host", "name", "port", "preamble", "tls")

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
        self.preamble = (
            b" HTTP/1.1\r\nhost: " + authority.encode("ascii") + b"\r\n"
            + dialects[0].upstream_headers(deployment.api_key) + b"accept-encoding: identity\r\n"
        )  # fmt: skip
        """Everything of a head between its query and the client's own header lines."""

    def path(self, dialect: Dialect) -> bytes:
        """Where the provider has this endpoint."""
        return self.base_path + dialect.path


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
