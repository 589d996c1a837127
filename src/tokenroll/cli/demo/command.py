"""The command's options, the order of its scenes, and the verdict."""

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Annotated, Final

import typer

from tokenroll.cli.demo.show import Shown
from tokenroll.cli.demo.stage import Stage, open_stage
from tokenroll.cli.program import Failure

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SCENES: Final = (
    "company",
    "grants",
    "month",
    "race",
    "refusal",
    "crash",
    "closing",
    "april",
    "worth",
    "books",
    "verify",
)
"""Modules of this package, in the order in which they play; each has LETTER, HEADING and play(stage)."""


@app.command()
def demo(
    *,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the way to the page, open nothing.")] = False,
    leave: Annotated[bool, typer.Option("--exit", help="End after the last scene instead of going on live.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Gateway port; 0: the system chooses.")] = 0,
    home: Annotated[Path | None, typer.Option(help="Play in this new home and keep it.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the throw-away home and say where it is.")] = False,
    calls: Annotated[int, typer.Option(min=200, max=20_000, help="Calls of the month.")] = 2_400,
    picture: Annotated[Path | None, typer.Option(help="Also draw scenes and proofs, as SVG.")] = None,
) -> None:
    """A made-up company's month in a minute: no key, no network, every sum checked. Exit code 1 if one proof fails."""
    started = time.monotonic()
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    shown = Shown(sys.stdout, draws=picture is not None)
    shown.title(
        "tokenroll demo: payroll for AI tokens, the whole way in one minute",
        "The company is made up, the provider is simulated on this machine; no key, no network, no account.",
        "Every sum is checked: each ✓ was read back from the ledger by a second process.",
        "Starting ledger, gateway, pages and provider, each a process of its own …",
    )
    with _ended_by_signals(), open_stage(shown, port=port, home=home, keep=keep, calls=calls) as stage:
        if load > cores:
            shown.line(
                f"This machine was busy already (load {load:.1f} on {cores} cores): times will be longer.", "dim"
            )
        for scene in _scenes():
            shown.scene(scene.LETTER, scene.HEADING)
            _play(scene, stage)
        _verdict(stage.home if keep or home else None, shown, time.monotonic() - started)
        if picture is not None:
            shown.picture(picture)
        if shown.failed:
            raise typer.Exit(1)
        if not leave:
            from tokenroll.cli.demo.page import go_on

            go_on(stage, browser=not no_browser)


def _scenes() -> list[ModuleType]:
    import importlib

    return [importlib.import_module(f"tokenroll.cli.demo.{name}") for name in SCENES]


def _play(scene: ModuleType, stage: Stage) -> None:
    """One scene; one that cannot go on counts as a proof that failed, and the others are played all the same."""
    try:
        scene.play(stage)
    except Failure as failure:
        stage.shown.proof(str(failure), holds=False)


def _verdict(kept: Path | None, shown: Shown, seconds: float) -> None:
    proofs = shown.held_count + len(shown.failed)
    shown.console.print()
    shown.line(f"{shown.held_count} of {proofs} proofs hold; {seconds:.0f} s")
    for text in shown.failed:
        shown.line(f"✗ {text}", "bold red")
    if kept is not None:
        shown.line(f"kept: {kept}   (TOKENROLL_HOME={kept} tokenroll journal verify)")
    shown.line("next, on your own machine:", "bold")
    if shutil.which("tokenroll") is None:
        shown.line(f"(`tokenroll` is not on the PATH of this shell; here it is {_program()})")
    shown.pairs(
        {
            "tokenroll replay LOG --format …": "your recorded calls, priced and checked",
            "tokenroll serve --observe": "real clients; nobody is refused, would-be denials are recorded",
            "tokenroll client show claude-code": "what to set; also codex and the SDKs",
        }
    )


def _program() -> str:
    """How the program that runs can be called from this folder: by the script it was started with, else as a module."""
    script = Path(sys.argv[0])
    return str(script) if script.name == "tokenroll" else f"{sys.executable} -m tokenroll"


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A demo that is told to end ends its processes first; Ctrl-C counts also for one that a shell put in the background."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
