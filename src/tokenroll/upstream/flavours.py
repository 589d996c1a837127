"""Flavours: how a provider wants a dialect spoken. Where its endpoints lie, how the key is sent, what the body must say.

The dialect itself, facts, meters and words, is the same in every flavour: only the outside of a request differs.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from tokenroll.upstream.dialect import Buffers, Dialect

_VERSION: Final = b"/v1"


class Flavour:
    """A provider that has the dialect's endpoints at the dialect's own paths, as its inventor has them, and most who followed."""

    name = "standard"
    families: tuple[str, ...] = ("openai", "anthropic")
    """Of which dialects there is such a provider."""
    drops_query = False
    """Whether a client's query must not go on: the provider refuses what it does not know, or has a query of its own."""
    needs_api_version = False
    has_errands = True
    """Whether it has what is free beside the endpoints, at the dialect's own paths."""
    rewrites = False
    """Whether `body` changes anything."""
    has_frames = False
    """Whether its streams come in Amazon's frames, which become events before anybody reads them (aws_frames)."""

    def base_path(self, path: str) -> str:
        """What stands before every path: base URLs are written with and without the version, as the SDKs of both dialects do."""
        return path.rstrip("/").removesuffix("/v1")

    def path(self, base: str, dialect: Dialect, model: str, api_version: str, *, stream: bool) -> bytes:  # noqa: ARG002 - for others
        """Where this provider has the endpoint for a model."""
        return base.encode("ascii") + dialect.path

    def headers(self, dialect: Dialect, secret: str, *, is_token: bool) -> bytes:
        """Header lines that authenticate us. A token that a command gave is always a bearer's; no secret, no line."""
        if not secret:
            return b""
        return _bearer(secret) if is_token else dialect.upstream_headers(secret)

    def body(self, buffers: Buffers, *, stream: bool) -> Buffers:  # noqa: ARG002 - for others
        """The body as this provider wants it."""
        return buffers


class Azure(Flavour):
    """Azure OpenAI at `…/openai/v1`: OpenAI's paths, and the key in a header of its own."""

    name = "azure"
    families = ("openai",)

    def headers(self, dialect: Dialect, secret: str, *, is_token: bool) -> bytes:
        """See Flavour."""
        return _api_key(secret) if secret and not is_token else super().headers(dialect, secret, is_token=is_token)


class AzureDeployments(Azure):
    """Azure OpenAI as it was before: the deployment in the path, the version in the query. Responses are at no deployment."""

    name = "azure_deployments"
    drops_query = True
    has_errands = False
    needs_api_version = True

    def path(self, base: str, dialect: Dialect, model: str, api_version: str, *, stream: bool) -> bytes:  # noqa: ARG002
        """See Flavour."""
        endpoint = dialect.path.removeprefix(_VERSION).decode("ascii")
        where = "" if endpoint == "/responses" else f"/deployments/{_quoted(model)}"
        return f"{base}{where}{endpoint}?api-version={_quoted(api_version)}".encode("ascii")


class Gemini(Flavour):
    """Google's endpoint for OpenAI's clients: no version between the base URL and the endpoint."""

    name = "gemini"
    families = ("openai",)
    drops_query = True
    has_errands = False

    def path(self, base: str, dialect: Dialect, model: str, api_version: str, *, stream: bool) -> bytes:  # noqa: ARG002
        """See Flavour."""
        return base.encode("ascii") + dialect.path.removeprefix(_VERSION)


class Vertex(Flavour):
    """Anthropic's models at Vertex AI: model and kind of answer in the path, the version in the body, a short-lived token."""

    name = "vertex"
    families = ("anthropic",)
    drops_query = True
    has_errands = False
    rewrites = True
    version = "vertex-2023-10-16"

    def path(self, base: str, dialect: Dialect, model: str, api_version: str, *, stream: bool) -> bytes:  # noqa: ARG002
        """See Flavour."""
        method = "streamRawPredict" if stream else "rawPredict"
        return f"{base}/models/{quote(model, safe='@', errors='replace')}:{method}".encode("ascii")

    def base_path(self, path: str) -> str:
        """See Flavour. `…/v1/projects/…/publishers/anthropic`, as it is written."""
        return path.rstrip("/")

    def headers(self, dialect: Dialect, secret: str, *, is_token: bool) -> bytes:  # noqa: ARG002
        """See Flavour."""
        return _bearer(secret) if secret else b""

    def body(self, buffers: Buffers, *, stream: bool) -> Buffers:  # noqa: ARG002
        """See Flavour. The path names the model, so the body must not."""
        return _changed(buffers, {"model"}, self.version)


class Bedrock(Vertex):
    """Anthropic's models at Amazon Bedrock with an API key: model and kind of answer in the path, streams in frames."""

    name = "bedrock"
    has_frames = True
    version = "bedrock-2023-05-31"

    def path(self, base: str, dialect: Dialect, model: str, api_version: str, *, stream: bool) -> bytes:  # noqa: ARG002
        """See Flavour."""
        method = "invoke-with-response-stream" if stream else "invoke"
        return f"{base}/model/{_quoted(model)}/{method}".encode("ascii")

    def body(self, buffers: Buffers, *, stream: bool) -> Buffers:  # noqa: ARG002
        """See Flavour. Nor is a stream asked for in it: the path does."""
        return _changed(buffers, {"model", "stream"}, self.version)


FLAVOURS: Final[Mapping[str, Flavour]] = {
    one.name: one for one in (Flavour(), Azure(), AzureDeployments(), Gemini(), Vertex(), Bedrock())
}
"""By what a deployment names."""


def _bearer(secret: str) -> bytes:
    return b"authorization: Bearer %b\r\n" % secret.encode("ascii")


def _api_key(secret: str) -> bytes:
    return b"api-key: %b\r\n" % secret.encode("ascii")


def _quoted(text: str) -> str:
    """As one part of a path: a client's model name may hold anything."""
    return quote(text, safe="", errors="replace")


def _changed(buffers: Buffers, dropped: set[str], version: str) -> Buffers:
    """The body without some of its fields and with `anthropic_version`; all other values are the same bytes."""
    fields = msgspec.json.decode(b"".join(buffers), type=dict[str, msgspec.Raw])
    kept = {name: value for name, value in fields.items() if name not in dropped}
    kept["anthropic_version"] = msgspec.Raw(msgspec.json.encode(version))
    return [msgspec.json.encode(kept)]
