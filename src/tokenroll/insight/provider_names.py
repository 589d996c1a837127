"""Who a provider is, however a source spells it: the one list of names, so that an invoice meets the calls that it is about.

A cost report has the seller's trade name, telemetry its own, the gateway that of the rate card. The identity is the rate card's. What is
on no list is its own identity, in lower case.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_SPELLED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "anthropic": ("anthropic pbc", "anthropic, pbc"),
        "aws": ("amazon", "amazon web services", "amazon web services, inc.", "amazon bedrock", "bedrock", "aws.bedrock", "aws marketplace"),
        "azure": ("microsoft", "microsoft azure", "microsoft corporation", "azure openai", "azure.ai.openai", "az.ai.openai", "azure.ai.inference", "az.ai.inference", "azure_deployments"),
        "google": ("google cloud", "google cloud platform", "google llc", "gcp", "gcp.gemini", "gcp.gen_ai", "gcp.vertex_ai", "gemini", "vertex_ai", "vertex ai"),
        "mistral": ("mistral_ai", "mistral ai"),
        "openai": ("openai, l.l.c.", "openai, llc", "openai llc", "openai opco, llc"),
        "x-ai": ("x_ai", "xai"),
    }
)  # fmt: skip
_IDENTITIES: Final = {name: identity for identity, names in _SPELLED.items() for name in names}


def provider_identity(name: str) -> str:
    """The identity behind a spelling; empty where nobody is named."""
    plain = " ".join(name.lower().split())
    return _IDENTITIES.get(plain, plain)
