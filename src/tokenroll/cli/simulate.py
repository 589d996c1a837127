"""`tokenroll simulate`: a provider to try things against, with its own bill and faults on demand."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tokenroll.cli.console import Json, say
from tokenroll.cli.program import Failure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def simulate_command(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port; 0 lets the kernel choose, and the choice is printed.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed and the same requests give the same answers.")] = 1,
    bill: Annotated[
        Path | None,
        typer.Option(
            help="Append the bill to this file, one JSON line per attempt; the last line of a request_id counts."
        ),
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Another price table (TOML) than the provider's own.")] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="Schedule, as 500:0.01;cut:0.02 - or send the header x-sim-fault. `--list-faults` names them."
        ),
    ] = "",
    first_byte_ms: Annotated[int, typer.Option(help="Wait this long before each answer.")] = 0,
    interval_us: Annotated[int, typer.Option(help="Pause between two events of a stream; 0: all at once.")] = 0,
    chunk_tokens: Annotated[int, typer.Option(help="Output tokens per event.")] = 8,
    api_key: Annotated[str, typer.Option(help="Refuse any other key with 401; empty accepts all.")] = "",
    time_scale: Annotated[int, typer.Option(help="How much faster than the wall the prompt cache's clock runs.")] = 1,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Say what can go wrong, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Serve both dialects over HTTP, deterministic under a seed, until interrupted. No call leaves this machine."""
    from tokenroll.upstream.simulated import SimulatorOptions, run
    from tokenroll.upstream.simulated.faults import KNOWN, Schedule

    if list_faults:
        say(
            *([json.dumps(KNOWN, indent=2)] if as_json else [f"{name:<16}  {effect}" for name, effect in KNOWN.items()])
        )
        return
    try:
        Schedule(faults, seed)
    except ValueError as error:
        raise Failure(f"--faults: {error}", kind="usage", code=2) from error
    options = SimulatorOptions(
        seed=seed,
        bill_path=bill,
        prices_path=prices,
        faults=faults,
        first_byte_ms=first_byte_ms,
        interval_us=interval_us,
        chunk_tokens=chunk_tokens,
        api_key=api_key,
        time_scale=time_scale,
    )

    def ready(bound: int) -> None:
        address = f"http://{host}:{bound}"
        if as_json:
            say(json.dumps({"openai_base_url": f"{address}/v1", "anthropic_base_url": address, "port": bound}))
        else:
            say(
                f"simulated provider on {address}",
                f"  openai base URL     {address}/v1",
                f"  anthropic base URL  {address}",
                f"  bill                {bill or 'in memory'}; GET {address}/-/bill",
                f"  state               GET {address}/-/state; POST /-/hold, /-/release, /-/faults, /-/reset",
            )

    with _listening_on(host, port):
        run(options, host, port, ready)


@contextlib.contextmanager
def _listening_on(host: str, port: int) -> Iterator[None]:
    """Why it cannot listen, in words."""
    try:
        yield
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --host or --port 0"
        raise Failure(message, kind="listen") from error
