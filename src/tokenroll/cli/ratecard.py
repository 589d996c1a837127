"""`tokenroll ratecard`: dated, append-only prices."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tokenroll.cli.console import (
    CommandId,
    DryRun,
    Json,
    execute,
    facts,
    instant_option,
    noun_app,
    reports,
    say,
    show,
    table,
    written,
)
from tokenroll.cli.program import Failure
from tokenroll.model.amount import ATTOS_PER_CREDIT
from tokenroll.model.limits import RATE_ATTOS_MAX

app = noun_app("Dated prices of models: list, net and internal. A model without one is refused, never free.")

CARD_EXAMPLE: Final = (
    '{"provider": "ours", "model": "small", "prices": {"standard": {"input": "0.15", "output": "0.60"}}}'
)

_PER_MILLION_MAX: Final = RATE_ATTOS_MAX * 1_000_000 // ATTOS_PER_CREDIT


@app.command("import")
def import_cards(
    *,
    provider: Annotated[
        list[str] | None, typer.Option(help="Only these providers; default openai and anthropic.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only these models; default all of the providers'.")] = None,
    effective_at: Annotated[str | None, typer.Option(help="From when they hold, RFC 3339; default now.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Import published prices as cards; a price that did not change makes no new card."""
    arguments = {"providers": provider, "models": model, "effective_at": instant_option(effective_at)}
    result = execute("ratecard.import", arguments, command_id=command_id, dry_run=dry_run)
    written("imported rate cards", result, as_json=as_json, dry_run=dry_run)
    if result["skipped"] and not as_json:
        say(
            "skipped models have published prices that a card cannot say: "
            "`tokenroll ratecard import --dry-run --json` names each with its reason"
        )


@app.command("list")
def list_cards(*, as_json: Json = False) -> None:
    """List the cards that hold now; prices per million model tokens."""
    with reports() as books:
        rows = books.rate_cards()
    columns = {
        "model": "model",
        "provider": "provider",
        "input_per_million_nanos": "input, credits per million",
        "output_per_million_nanos": "output, credits per million",
        "units": "in other units",
        "effective_at": "from",
        "digest_short": "digest",
    }
    show(
        rows,
        as_json=as_json,
        human=lambda: table(columns, rows, empty="no rate cards yet: `tokenroll ratecard import`"),
    )


@app.command("show")
def show_card(
    model: Annotated[str, typer.Argument(help="Model, alias or id of the card.")], *, as_json: Json = False
) -> None:
    """Show the card that holds now for a model, every rate of it."""
    with reports() as books:
        found = books.rate_card(model)

    def human() -> None:
        facts(found)
        columns = {
            "price": "price",
            "tier": "service tier",
            "above": "input above",
            "meter": "meter",
            "amount": "credits",
            "unit": "per",
        }
        table(columns, found["rates"], empty="no rates")

    show(found, as_json=as_json, human=human)


@app.command("set")
def set_card(
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            help=f"A whole card as JSON, in USD for a million tokens or characters, a thousand searches, a picture, a minute of sound, such as `{CARD_EXAMPLE}`."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model whose internal price is changed.")] = None,
    provider: Annotated[str | None, typer.Option(help="Whose model, where several sell it.")] = None,
    multiply: Annotated[
        str | None,
        typer.Option(
            "--multiply", "--internal-multiplier", help="Internal price = list price times this, such as 0.5 or 1.2."
        ),
    ] = None,
    input_price: Annotated[
        str | None, typer.Option("--input", help="Internal price of input, credits per million tokens.")
    ] = None,
    output_price: Annotated[
        str | None, typer.Option("--output", help="Internal price of output, credits per million tokens.")
    ] = None,
    cache_read_price: Annotated[
        str | None, typer.Option("--cache-read", help="Internal price of cached input, credits per million tokens.")
    ] = None,
    training_price: Annotated[
        str | None, typer.Option("--training", help="Price of training it, credits per million tokens trained.")
    ] = None,
    image_tokens_max: Annotated[
        int | None,
        typer.Option(
            min=1, help="Model tokens that one image in a call costs at most; else the context window bounds it."
        ),
    ] = None,
    effective_at: Annotated[str | None, typer.Option(help="From when it holds, RFC 3339; default now.")] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    command_id: CommandId = "",
) -> None:
    """Add a card: a company's own prices, or a subsidy or surcharge on a model."""
    given = {
        "input": _price_option(input_price, "--input"),
        "output": _price_option(output_price, "--output"),
        "cache_read": _price_option(cache_read_price, "--cache-read"),
        "training": _price_option(training_price, "--training"),
    }
    arguments: dict[str, Any] = {
        "model": model,
        "provider": provider,
        "multiply": multiply,
        "prices": {meter: price for meter, price in given.items() if price is not None} or None,
        "image_tokens_max": image_tokens_max,
        "effective_at": instant_option(effective_at),
    }
    if file is not None:
        import json

        try:
            arguments["card"] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            message = f"{file} is not JSON: {error}"
            raise Failure(message, kind="usage", code=2) from error
        problem = _card_problem(arguments["card"])
        if problem:
            raise Failure(f"{file} is not a rate card: {problem}, such as {CARD_EXAMPLE}", kind="usage", code=2)
    result = execute("ratecard.set", arguments, command_id=command_id, dry_run=dry_run)
    written(f"set rate card of {result.get('model', model)}", result, as_json=as_json, dry_run=dry_run)
    if not as_json and not dry_run:
        say("calls admitted from that instant on are priced by it; calls before keep their card")


def _price_option(text: str | None, option: str) -> str | None:
    """The same price, if it can be one; None stays None. Raises Failure, which names the option and says it as it was written."""
    if text is None:
        return None
    try:
        price = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        message = f"{option}: {text!r} is not a number of credits per million tokens, such as 0.15"
        raise Failure(message, kind="usage", code=2) from error
    if not 0 <= price <= _PER_MILLION_MAX:
        message = f"{option}: {text} must lie between 0 and {_PER_MILLION_MAX} credits per million tokens"
        raise Failure(message, kind="usage", code=2)
    return text


def _card_problem(card: Any) -> str:
    """What a file lacks to be a card, in the words of its example; empty when nothing."""
    if not isinstance(card, dict):
        return "it must be an object"
    missing = [name for name in ("provider", "model", "prices") if name not in card]
    if missing:
        return f"it lacks {' and '.join(missing)}; it needs provider, model and prices"
    for name in ("prices", "net_prices", "internal_prices"):
        tiers = card.get(name, {})
        if not isinstance(tiers, dict) or not all(isinstance(rates, dict) for rates in tiers.values()):
            return f"{name} must name service tiers, each with its meters and prices"
    return ""
