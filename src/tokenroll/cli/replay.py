"""`tokenroll replay`: a recorded trace as real calls through a gateway, every sum checked to the nano."""

import contextlib
import itertools
import json
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from tokenroll.cli.console import Json, amount_option, credits_text, note, say
from tokenroll.cli.program import Failure
from tokenroll.services.wire import to_wire

if TYPE_CHECKING:
    from tokenroll.services.replaying import Address, Ground, ReplaySummary
    from tokenroll.services.traces import Trace

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

GENERATED: Final = "generated"
START_SECONDS_MAX: Final = 90
_KINDS_SHOWN: Final = 3
_CONFIG: Final = """\
[gateway]
listen = "127.0.0.1:0"
durability = "{durability}"

[web]
listen = "127.0.0.1:0"

[deployments.openai]
dialect = "openai"
base_url = "{provider}/v1"
api_key_file = "{key_file}"

[deployments.anthropic]
dialect = "anthropic"
base_url = "{provider}"
api_key_file = "{key_file}"
"""


@app.command()
def replay_command(
    trace: Annotated[
        str, typer.Argument(help="A trace file, gzip or not; `generated` for a made-up company's calls.")
    ] = GENERATED,
    *,
    trace_format: Annotated[
        str, typer.Option("--format", help="azure, mooncake, servegen, aider or agent-calls.")
    ] = "",
    model: Annotated[
        str, typer.Option(help="Model of every call; needed for traces that carry none (azure, mooncake, agent-calls).")
    ] = "",
    members: Annotated[
        int, typer.Option(min=1, help="Members; sessions go to them in turn, calls of a trace without sessions too.")
    ] = 10,
    speed: Annotated[float, typer.Option(min=0, help="Times as fast as recorded; 0: as fast as it goes.")] = 60.0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many calls; servegen draws 10,000 without it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For everything that is drawn: arrivals, sizes, generated calls.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls under way at once, at most.")] = 256,
    grant: Annotated[str, typer.Option(help="Credits of each member; a small one shows denials.")] = "10000",
    durability: Annotated[str, typer.Option(help="synced or written, for the throw-away home.")] = "synced",
    prices: Annotated[
        Path | None, typer.Option(help="Another price table for the provider's bill, which must then disagree.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(help="A home that is being served, instead of a throw-away one; needs --provider.")
    ] = None,
    provider: Annotated[str, typer.Option(help="URL of the simulated provider behind that home's gateway.")] = "",
    as_json: Json = False,
) -> None:
    """Replay a trace: real HTTP calls, open-loop arrivals, then the bill, the settlements and the wallets compared.

    Exit code 1 when nothing was replayed, a sum differs, a call failed or one is left open; denied calls are no failure.
    """
    calls, name = _trace(trace, trace_format, model=model, seed=seed, limit=limit)
    if durability not in {"synced", "written"}:
        raise Failure(f"durability is synced or written, not {durability!r}", kind="usage", code=2)
    grant_nanos = amount_option(grant, "--grant") or 0

    def run(ground: "Ground") -> "ReplaySummary":
        from tokenroll.services.replaying import ReplayOptions, replay

        with _progress(limit, quiet=as_json) as on_progress:
            return replay(
                ReplayOptions(
                    trace=calls,
                    trace_name=name,
                    ground=ground,
                    speed=speed,
                    members=members,
                    concurrency=concurrency,
                    grant_nanos=grant_nanos,
                    on_progress=on_progress,
                )
            )

    place = (
        _served_home(home, provider)
        if home is not None
        else throw_away_ground(durability=durability, seed=seed, prices=prices, time_scale=max(1, round(speed)))
    )
    with place as ground:
        summary = run(ground)
    _show(summary, as_json=as_json)
    if not summary.good:
        raise typer.Exit(1)


def _trace(trace: str, trace_format: str, *, model: str, seed: int, limit: int | None) -> tuple["Trace", str]:
    from tokenroll.services.generating import Company, generated_trace
    from tokenroll.services.traces import TraceDamagedError, TraceError, read_trace

    if trace == GENERATED:
        return generated_trace(Company(seed=seed, calls=limit or 2_000)), f"{GENERATED}, seed {seed}"
    if not trace_format:
        raise Failure(
            "say what the trace is with --format azure|mooncake|servegen|aider|agent-calls", kind="usage", code=2
        )
    try:
        calls = read_trace(Path(trace), trace_format, model=model, seed=seed, limit=limit)
    except TraceDamagedError as error:
        raise Failure(str(error), kind="trace") from error
    except TraceError as error:
        raise Failure(str(error), kind="usage", code=2) from error
    return _not_empty(calls, trace, trace_format), f"{Path(trace).name}, {trace_format}"


def _not_empty(trace: "Trace", name: str, trace_format: str) -> "Trace":
    """The same trace, known to have a call. Raises Failure for one without: sums over nothing always agree."""
    from tokenroll.services.traces import Trace

    calls = iter(trace.calls)
    first = next(calls, None)
    if first is not None:
        return Trace(calls=itertools.chain((first,), calls), rows=trace.rows)
    rows = trace.rows.summary()
    kinds = f" ({', '.join(list(rows['skipped'])[:_KINDS_SHOWN])})" if rows["skipped"] else ""
    reasons = "".join(
        f"; {reason}: first in lines {bad['first_lines'][:3]}"
        for reason, bad in list(rows["bad"].items())[:_KINDS_SHOWN]
    )
    message = (
        f"nothing was replayed: {name} has no call that --format {trace_format} can read: {rows['read_count']} rows read, "
        f"{rows['bad_count']} bad, {rows['skipped_count']} of other kinds{kinds}. Is --format right?{reasons}"
    )
    raise Failure(message, kind="nothing_replayed")


# ---- where it takes place ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def throw_away_ground(
    *, durability: str = "synced", seed: int = 1, prices: Path | None = None, time_scale: int = 1
) -> Iterator["Ground"]:
    """A home of its own in a temporary folder, a simulated provider and `tokenroll serve`, all ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="tokenroll-replay-") as folder, contextlib.ExitStack() as stack:
        home = Path(folder) / "home"
        bill = Path(folder) / "provider-bill.jsonl"
        options = ["--bill", str(bill), "--seed", str(seed), "--time-scale", str(time_scale), "--json"]
        options += ["--prices", str(prices)] if prices else []
        simulator = stack.enter_context(_process(home, ["simulate", *options]))
        address = _ready(simulator, "the simulated provider")["anthropic_base_url"]
        _make_home(home, folder=Path(folder), durability=durability, provider=address)
        server = stack.enter_context(_process(home, ["serve", "--json"]))
        gateway = str(_ready(server, "`tokenroll serve`")["gateway"])
        yield _ground(home, gateway, address, lambda: bill.read_bytes().splitlines())


def _make_home(home: Path, *, folder: Path, durability: str, provider: str) -> None:
    _command(home, ["init", "--name", "Replay"])
    key_file = folder / "provider-key"
    key_file.write_text("simulated", encoding="ascii")
    text = _CONFIG.format(durability=durability, provider=provider, key_file=key_file)
    (home / "config.toml").write_text(text, encoding="utf-8")
    _command(home, ["ratecard", "import", "--provider", "openai", "--provider", "anthropic", "--provider", "testing"])


def _command(home: Path, arguments: list[str]) -> None:
    from tokenroll.settings import child_environment

    command = [sys.executable, "-m", "tokenroll", *arguments]
    done = subprocess.run(command, env=child_environment(home), capture_output=True, text=True, check=False)  # noqa: S603  our own program
    if done.returncode:
        raise Failure(f"`tokenroll {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def _process(home: Path, arguments: list[str]) -> Iterator["subprocess.Popen[str]"]:
    from tokenroll.settings import child_environment

    command = [sys.executable, "-m", "tokenroll", *arguments]
    process = subprocess.Popen(command, env=child_environment(home), stdout=subprocess.PIPE, text=True)  # noqa: S603  our own program
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready(process: "subprocess.Popen[str]", what: str) -> dict[str, Any]:
    """The line of JSON that a program prints when it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        facts: dict[str, Any] = json.loads(line)
    except ValueError:
        said = (line + process.stdout.read()).strip()
        message = f"{what} ended with code {process.wait()} before it was ready: {said or 'its reason stands above'}"
        raise Failure(message, kind="start") from None
    return facts


@contextlib.contextmanager
def _served_home(home: Path, provider: str) -> Iterator["Ground"]:
    from tokenroll.services.addresses import running_addresses
    from tokenroll.settings import load_settings

    settings = load_settings(home)
    gateway = running_addresses(settings.run_directory).get("gateway")
    if not gateway:
        raise Failure(f"nobody serves {home}: start `tokenroll serve` there, or leave --home out for a throw-away one")
    if not provider:
        raise Failure("name the simulated provider behind that gateway with --provider URL", kind="usage", code=2)

    def read_bill() -> list[bytes]:
        with urllib.request.urlopen(f"{provider.rstrip('/')}/-/bill", timeout=60) as answer:  # noqa: S310  a URL that the caller names
            text: bytes = answer.read()
        return text.splitlines()

    yield _ground(home, gateway, provider, read_bill)


def _ground(home: Path, gateway: str, provider: str, read_bill: Callable[[], list[bytes]]) -> "Ground":
    from tokenroll.services.replaying import Ground
    from tokenroll.settings import load_settings

    settings = load_settings(home)
    return Ground(
        gateway=_address(f"//{gateway}"),
        provider=_address(provider),
        ledger_place=settings.ledger_place,
        read_bill=read_bill,
        durability=settings.gateway.durability,
        pepper=settings.pepper(),
        execute=_Executor(home),
    )


def _address(url: str) -> "Address":
    from tokenroll.services.replaying import Address

    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise Failure(f"{url!r} must have a host and a port, such as http://127.0.0.1:9000", kind="usage", code=2)
    return Address(parts.hostname, parts.port)


@dataclass(frozen=True, slots=True)
class _Executor:
    """Commands of one home's ledger."""

    home: Path

    def __call__(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        from tokenroll.app import ledger_door
        from tokenroll.services.protocol import Command
        from tokenroll.settings import load_settings

        command = Command(id=f"replay-{secrets.token_hex(12)}", name=name, arguments=dict(arguments))
        with ledger_door(load_settings(self.home)) as door:
            reply = door.execute(command)
        if reply.result is None:
            raise Failure(reply.problem, kind=reply.problem_kind or "refused")
        result: dict[str, Any] = reply.result
        return result


# ---- what people see -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _progress(limit: int | None, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error, so that the result alone stands on standard output."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("calls", total=limit)
        yield lambda answered, _sent: bar.update(task, completed=answered)


def _show(summary: "ReplaySummary", *, as_json: bool) -> None:
    values = summary.to_json()
    if as_json:
        say(json.dumps(to_wire(values), indent=2, ensure_ascii=False))
        return
    sums, rows = values["reconciliation"], values["rows"]
    say(
        f"replayed {values['trace']}: {values['calls']} calls of {values['members']} members in {values['elapsed_seconds']} s",
        f"  rows        {rows['read_count']} read, {rows['bad_count']} bad, {rows['skipped_count']} of other kinds",
        *(
            f"              {reason}: {bad['count']}, first in lines {bad['first_lines']}"
            for reason, bad in rows["bad"].items()
        ),
        f"  served      {values['served']} ({values['streamed']} streamed)",
        f"  denied      {values['denied_count']}  {_pairs(values['denied'])}",
        f"  failed      {values['failed_count']}  {_pairs(values['failed'])}",
        f"  tokens      {_pairs(values['tokens'])}",
        f"  charged     {credits_text(values['charged_nanos'])} credits",
        f"  hold ÷ settled  p50 {values['hold_per_settled']['p50']}, p95 {values['hold_per_settled']['p95']}",
        f"  added latency   {_pairs(values['added_latency_ms'])} ms, against {values['direct_probes']} direct calls",
        f"  fold lag    {values['fold_lag_ms']} ms; durability {values['durability']}; late p99 {values['late_p99_ms']} ms",
        "",
        f"  provider's bill       {credits_text(sums['provider_bill_nanos'])}",
        f"  usage × list rates    {credits_text(sums['usage_times_list_rates_nanos'])}",
        f"  settled at list       {credits_text(sums['settled_list_nanos'])}",
        f"  usage × our rates     {credits_text(sums['usage_times_internal_rates_nanos'])}",
        f"  settlements           {credits_text(sums['settlements_nanos'])}",
        f"  wallet movement       {credits_text(sums['wallet_movement_nanos'])}",
        f"  ledger                {credits_text(sums['ledger_nanos'])}",
        f"  {'✓ all agree to the nano' if summary.good else '✗ found wanting'}",
    )
    if not summary.good:
        note(*sums["differences"], f"{sums['difference_count']} differences, {values['failed_count']} failed calls")


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:,}".replace(",", " ") for name, value in values.items()) or "none"
