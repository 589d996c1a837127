"""(f) The gateway is killed with streams under way; its successor replays the tape, the provider's bill settles the rest."""

import os
import signal
import time
from collections.abc import Mapping
from typing import Any, Final

from tokenroll.cli.demo.cast import PEOPLE
from tokenroll.cli.demo.show import amount, count
from tokenroll.cli.demo.stage import GATEWAY_PID_NAME, Stage, wait_until
from tokenroll.cli.demo.traffic import send_all
from tokenroll.cli.program import Failure
from tokenroll.services.replay_client import Exchange
from tokenroll.services.replay_requests import body_of, request_of
from tokenroll.services.traces import TraceCall

LETTER: Final = "f"
HEADING: Final = "kill -9 of the gateway, mid-stream"
STREAMS: Final = 24
_OUTPUT_TOKENS: Final = 800
_SLOW: Final = "x-sim-interval-us: 50000\r\n"
"""A hundred events, a twentieth of a second apart: a stream of five seconds."""
_MID_STREAM_BYTES: Final = 2_000
"""A dozen events of the answer have come."""


def play(stage: Stage) -> None:
    """Streams begin, the process dies, another takes its place; then the bill says what the cut calls cost."""
    shown = stage.shown
    before = stage.auditor.ask("recovery")
    killed: dict[str, float] = {}
    exchanges = send_all(
        stage.gateway,
        {name: _request(stage, name, line) for line, name in enumerate(PEOPLE[:STREAMS])},
        lambda now: _killed_mid_stream(stage, now, killed),
    )
    if not killed:
        told = {f"{one.status} {one.reason}" for one in exchanges.values()}
        raise Failure(f"the streams ended before the gateway could be killed: {', '.join(sorted(told))}")
    calls = [exchange.headers[b"x-tokenroll-call-id"].decode() for exchange in exchanges.values()]
    cut = sum(exchange.failure == "connection_lost" for exchange in exchanges.values())
    wait_until(stage.gateway_ready, "the gateway's return")
    away = time.monotonic() - killed["at"]
    stage.settled()
    found = stage.auditor.ask("recovery")
    checked = stage.auditor.ask("cut_calls", calls=calls)
    shown.command(f"kill -9 {int(killed['pid'])}    # tokenroll's gateway process, {cut} streams under way")
    shown.line(
        f"Calls are admitted again {away:.1f} s later: the supervisor started a new gateway, which read the old one's tape "
        "before it took any call."
    )
    shown.proof(
        f"replayed {count(found['replayed_records'])} records in {found['ready_micros'] / 1e6:.3f} s, "
        f"lost {checked['lost']}, double {checked['double']}; {_words(checked['states'])}",
        holds=(
            found["epoch"] == before["epoch"] + 1
            and found["replayed_records"] > 0
            and checked["calls"] == STREAMS == cut
            and checked["lost"] == checked["double"] == 0
            and found["being_checked"] == STREAMS
        ),
    )
    _settle_from_bill(stage, calls)


def _settle_from_bill(stage: Stage, calls: list[str]) -> None:
    shown = stage.shown
    shown.command("tokenroll reconcile --bill provider-bill.jsonl")
    stage.tokenroll("reconcile", "--bill", str(stage.bill), "--json")
    checked = stage.auditor.ask("cut_calls", calls=calls)
    found = stage.auditor.ask("sums", bill=str(stage.bill))
    shown.proof(
        f"{found['sources'].get('bill', 0)} calls settled from the provider's bill, {found['attempts_open']} still being checked; "
        f"bill {amount(found['provider_bill_nanos'])} = ledger {amount(found['ledger_nanos'])}",
        holds=(
            found["agree"]
            and found["attempts_open"] == 0
            and found["sources"].get("bill", 0) == STREAMS
            and checked["states"] == {"resolved": STREAMS}
        ),
    )


def _request(stage: Stage, name: str, line: int) -> bytes:
    call = TraceCall(
        line=line,
        at=0,
        model="claude-sonnet-5-5",
        session=name,
        input_tokens=2_000,
        output_tokens=_OUTPUT_TOKENS,
    )
    body = body_of(call, stream=True)
    return request_of(call, body, host=str(stage.gateway), key=stage.keys[name], more=_SLOW)


def _killed_mid_stream(stage: Stage, exchanges: Mapping[str, Exchange], killed: dict[str, float]) -> bool:
    """Kills the gateway once every stream is well under way; it is our own process's child, ended by its id."""
    if not all(exchange.answer_bytes >= _MID_STREAM_BYTES for exchange in exchanges.values()):
        return False
    pid = int((stage.settings.run_directory / GATEWAY_PID_NAME).read_text(encoding="ascii"))
    killed["pid"] = pid
    killed["at"] = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return True


def _words(states: Mapping[str, Any]) -> str:
    words = {"suspense": "being checked"}
    return ", ".join(f"{number} {words.get(state, state)}" for state, number in states.items())
