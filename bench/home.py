"""A home of 10,000 members, each with a wallet, a lot and a key, made through the ledger's own commands and kept for later runs.

There are two such homes: the plain one, and the `full` one, in which everything of a gateway that a company can switch on is on: access
lists, paces by the minute and the day, thrift, a limit of the department, and keys with models, tags and a purpose, every second one with a budget of its own.

The keys are `bench-000000` and so on: load generators make them from a number. Making the home takes under a minute; a run works
on a copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.machine import DIR
from tokenroll.app import random_bits
from tokenroll.services.clock import system_clock
from tokenroll.services.commands import COMMANDS
from tokenroll.services.keys import key_hash
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Command
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.settings import load_settings
from tokenroll.store.database import checkpoint, open_writer

MEMBERS = int(os.environ.get("BENCH_MEMBERS", "10000"))
PER_COMMAND = 500
"""Members in one transaction: its Delta stays far below the limit of a message."""
MODEL = "gpt-4o-mini"
GRANT_CREDITS = 100_000
KEY_FORMAT = "bench-%06d"
PROVIDER_KEY = "sk-upstream"

FULL_TERMS = {
    "access.models": "gpt-4o*",
    "access.service_tiers": "standard",
    "access.calls_per_minute_max": "1000000000",
    "access.tokens_per_minute_max": "1000000000",
    "access.input_tokens_per_minute_max": "1000000000",
    "access.output_tokens_per_minute_max": "1000000000",
    "access.calls_per_day_max": "1000000000",
    "access.tokens_per_day_max": "1000000000000",
    "thrift.cache_marking": "yes",
    "thrift.cache_key": "yes",
    "thrift.coalesce": "yes",
    "thrift.break_loops": "5",
    "thrift.cap_hints": "yes",
}
FULL_KEY: dict[str, Any] = {
    "models": [MODEL],
    "tags": "project=atlas,cost-centre=42",
    "purpose": "work",
    "budget_nanos": GRANT_CREDITS * 10**9,
    "budget_window": "day",
}
FULL_DEPARTMENT_CALLS = 10**12

_CONFIG = """\
[company]
name = "Bench"
zone = "UTC"

[gateway]
listen = "127.0.0.1:{gateway_port}"
workers = 1

[web]
listen = "127.0.0.1:{web_port}"

[deployments.mock]
dialect = "openai"
provider = "openai"
base_url = "http://127.0.0.1:{provider_port}/v1"
api_key_file = "{home}/provider-key"
"""
_SECOND_DEPLOYMENT = """
[deployments.second]
dialect = "openai"
provider = "openai"
base_url = "http://127.0.0.1:{provider_port}/v1"
api_key_file = "{home}/provider-key"
"""


def write_config(home: Path, *, gateway_port: int, web_port: int, provider_port: int, full: bool = False) -> None:
    (home / "provider-key").write_text(PROVIDER_KEY)
    text = (_CONFIG + _SECOND_DEPLOYMENT * full).format(
        home=home, gateway_port=gateway_port, web_port=web_port, provider_port=provider_port
    )
    (home / "config.toml").write_text(text)


def prepared(*, full: bool = False) -> Path:
    """The home that runs copy, made at the first call. Remove the folder after a change of the schema."""
    home = DIR / f"home-{'full-' * full}{MEMBERS}"
    if not (home / "made").exists():
        shutil.rmtree(home, ignore_errors=True)
        _make(home, full=full)
        (home / "made").touch()
    return home


def _make(home: Path, *, full: bool) -> None:
    _run(home, "init", "--name", "Bench")
    _run(home, "ratecard", "import", "--model", MODEL)
    _run(home, "department", "create", "Engineering")
    plan = ("--kind", "stipend", "--classification", "tool", "--amount", str(GRANT_CREDITS), "--lifetime", "12m")
    terms = [part for name, value in FULL_TERMS.items() if full for part in ("--term", f"{name}={value}")]
    _run(home, "plan", "create", "tools", *plan, *terms)
    if full:
        _run(
            home, "limit", "create", "engineering", "--department", "Engineering", "--calls", str(FULL_DEPARTMENT_CALLS)
        )
    settings = load_settings(home)
    pepper = settings.pepper()
    connection = open_writer(settings.database_path)
    ledger = Ledger(connection, system_clock, {**COMMANDS, "bench.people": _people}, random_bits)
    for first in range(0, MEMBERS, PER_COMMAND):
        numbers = range(first, min(first + PER_COMMAND, MEMBERS))
        hashes = {str(number): key_hash(pepper, (KEY_FORMAT % number).encode()).hex() for number in numbers}
        reply = ledger.execute(
            Command(f"bench-{first}", "bench.people", {"hashes": hashes, "key": FULL_KEY if full else {}})
        )
        if reply.problem:
            raise SystemExit(reply.problem)
    checkpoint(connection)
    connection.close()


def _people(work: UnitOfWork, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Many members at once: each by the same handlers as at any door, all of them in one transaction."""
    for number, secret_hash in arguments["hashes"].items():
        member = COMMANDS["member.create"](work, {"name": f"Member {number}", "department": "Engineering"})
        COMMANDS["grant.create"](work, {"to": member["wallet"], "plan": "tools"})
        more = dict(arguments["key"])
        if int(number) % 2:  # there may be so many limits at a time, and a budget is one
            more.pop("budget_nanos", None)
            more.pop("budget_window", None)
        key = {"member": member["member"], "shown_prefix": "bench-", "secret_hash": secret_hash, **more}
        COMMANDS["key.create"](work, key)
    return {"count": len(arguments["hashes"])}


def _run(home: Path, *arguments: str) -> None:
    environment = {**os.environ, "TOKENROLL_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "tokenroll", *arguments], env=environment, check=True, capture_output=True)
