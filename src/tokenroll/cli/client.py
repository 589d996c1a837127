"""`tokenroll client show NAME`: what to set so that a client spends a wallet."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

import typer

from tokenroll.cli.console import Json, noun_app, say, show
from tokenroll.cli.program import Failure
from tokenroll.settings import load_settings

app = noun_app("Settings for clients: base URL, key, and what to know about their output caps.")

PLACEHOLDER_KEY: Final = "tr-…"
_CAP_NOTE = (
    "It asks for up to 64,000 output tokens itself, or 128,000 with newer models, and a hold covers what a call asks for. A call whose cap does not fit the "
    "wallet is {policy}; per plan: `tokenroll plan create … --cap-policy deny|clamp`."
)
_POLICIES = {"deny": "refused (policy deny)", "clamp": "sent with a lower cap (policy clamp)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one client is pointed at the gateway. `{url}` and `{key}` stand for the base URL and the secret."""

    dialect: str
    base_path: str
    environment: Mapping[str, str]
    lines: tuple[str, ...]
    asks_for_a_large_cap: bool = False
    notes: tuple[str, ...] = ()
    doctor: str = ""
    """Which client of `tokenroll doctor` calls as this one does."""


RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        "claude-code": Recipe(
            dialect="anthropic",
            base_path="",
            environment={"ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_AUTH_TOKEN": "{key}"},
            lines=("claude",),
            doctor="claude-code",
            asks_for_a_large_cap=True,
        ),
        "codex": Recipe(
            dialect="openai",
            doctor="codex",
            base_path="/v1",
            environment={"TOKENROLL_KEY": "{key}"},
            lines=(
                "# ~/.codex/config.toml",
                'model_provider = "tokenroll"',
                "[model_providers.tokenroll]",
                'name = "tokenroll"',
                'base_url = "{url}"',
                'env_key = "TOKENROLL_KEY"',
                'wire_api = "responses"',
            ),
            notes=(
                "It puts a search tool into every call: the gateway says how often it may search, and tells it in x-tokenroll-searches.",
            ),
        ),
        "openai-python": Recipe(
            dialect="openai",
            doctor="openai",
            base_path="/v1",
            environment={"OPENAI_BASE_URL": "{url}", "OPENAI_API_KEY": "{key}"},
            lines=(
                "from openai import OpenAI",
                'OpenAI().chat.completions.create(model="gpt-5-mini", messages=[{{"role": "user", "content": "hello"}}])',
            ),
        ),
        "anthropic-python": Recipe(
            dialect="anthropic",
            doctor="anthropic",
            base_path="",
            environment={"ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_API_KEY": "{key}"},
            lines=(
                "from anthropic import Anthropic",
                "Anthropic().messages.create(",
                '    model="claude-sonnet-4-5", max_tokens=256, messages=[{{"role": "user", "content": "hello"}}]',
                ")",
            ),
        ),
        "curl": Recipe(
            dialect="openai",
            base_path="/v1",
            environment={},
            lines=(
                "curl {url}/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\",
                '  -d \'{{"model": "gpt-5-mini", "max_completion_tokens": 256, "messages": [{{"role": "user", "content": "hello"}}]}}\'',
            ),
        ),
    }
)


@app.command("show")
def show_client(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    *,
    url: Annotated[
        str | None, typer.Option(help="Where the gateway is reached; default where this home's gateway listens.")
    ] = None,
    key: Annotated[str, typer.Option(help="The key to print in the settings.")] = PLACEHOLDER_KEY,
    as_json: Json = False,
) -> None:
    """Print the settings for one client."""
    recipe = RECIPES.get(name)
    if recipe is None:
        message = f"there is no client {name!r}; known: {', '.join(RECIPES)}"
        raise Failure(message, kind="usage", code=2)
    base_url = (url or own_url()).rstrip("/") + recipe.base_path
    environment = {variable: text.format(url=base_url, key=key) for variable, text in recipe.environment.items()}
    lines = [line.format(url=base_url, key=key) for line in recipe.lines]
    notes = [*recipe.notes, *([_cap_note()] if recipe.asks_for_a_large_cap else [])]
    if key == PLACEHOLDER_KEY:
        notes.append("Make a key with `tokenroll key create --member NAME`.")
    if recipe.doctor:
        notes.append(f"Try it with `tokenroll doctor --client {recipe.doctor}`.")
    found = {
        "client": name,
        "dialect": recipe.dialect,
        "base_url": base_url,
        "environment": environment,
        "lines": lines,
        "notes": notes,
    }

    def human() -> None:
        say(*(f"export {variable}={text}" for variable, text in environment.items()), *lines)
        say("", *(f"# {one}" for one in notes))

    show(found, as_json=as_json, human=human)


def own_url() -> str:
    """Where the running gateway of this home listens, else where it would."""
    from tokenroll.services.addresses import running_addresses

    settings = load_settings()
    running = running_addresses(settings.run_directory)
    return f"http://{running.get('gateway', settings.gateway.listen)}"


def _cap_note() -> str:
    """What happens to a cap that does not fit, by the plans of this home if there are any."""
    from tokenroll.app import open_reports

    settings = load_settings()
    policies = {"deny"}
    if settings.has_ledger:
        with open_reports(settings) as books:
            policies = {str(plan["cap_policy"]) for plan in books.plans()} or policies
    return _CAP_NOTE.format(policy=" or ".join(_POLICIES[policy] for policy in sorted(policies)))
