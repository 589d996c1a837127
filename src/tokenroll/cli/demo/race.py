"""(d) Two hundred agents at once, one wallet that affords ten of them; no answer before all are decided."""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Final

from tokenroll.cli.demo.cast import ADA, NIGHTLY, STIPEND_PLAN
from tokenroll.cli.demo.show import amount
from tokenroll.cli.demo.stage import Stage
from tokenroll.cli.demo.traffic import send_all
from tokenroll.model.amount import nanos_from_text
from tokenroll.model.instant import instant_from_text
from tokenroll.services.replay_client import Exchange

LETTER: Final = "d"
HEADING: Final = "200 agents, one wallet that affords 10 bounds"
AGENTS: Final = 200
AFFORDED: Final = 10
_AT: Final = instant_from_text("2027-03-31T18:30:00Z")
_BODY: Final = json.dumps(
    {
        "model": "gpt-6-sol",
        "max_completion_tokens": 1024,
        "messages": [{"role": "user", "content": "Summarise last night's failed builds, one line for each."}],
    }
).encode()


def play(stage: Stage) -> None:
    """The bound is asked of the gateway, the wallet filled with ten and a half of it, the answers withheld."""
    shown = stage.shown
    stage.advance_to(_AT)
    bound = _bound_of(stage)
    stage.execute("member.create", name=NIGHTLY, department="Engineering", zone="UTC", kind="service")
    stage.execute("grant.create", to=NIGHTLY, plan=STIPEND_PLAN, amount_nanos=AFFORDED * bound + bound // 2)
    stage.make_key(NIGHTLY)
    stage.provider_control("hold")
    requests = {f"agent-{number:03d}": agent_request(stage, f"agent-{number:03d}") for number in range(1, AGENTS + 1)}
    started = time.monotonic()
    exchanges = send_all(stage.gateway, requests, lambda now: _released(stage, now))
    seconds = time.monotonic() - started
    stage.settled()
    seen = stage.home / "agents-were-told.json"
    seen.write_text(json.dumps({name: exchange.status for name, exchange in exchanges.items()}), encoding="utf-8")
    found = stage.auditor.ask("race", member=NIGHTLY, seen=str(seen), bound_nanos=bound)
    shown.line(
        f"One call may cost {amount(bound)} at most, the wallet has {amount(found['granted_nanos'])}. Answers were withheld "
        f"until all {AGENTS} were decided ({seconds:.1f} s: a call waits up to 5 s for others of its wallet to end)."
    )
    shown.proof(
        f"{found['served']} served, {found['refused']} refused, overspent {amount(found['overspent_nanos'])}; "
        f"left {amount(found['left_nanos'])}",
        holds=(
            found["served"] == found["affords"] == AFFORDED
            and found["refused"] == AGENTS - AFFORDED
            and found["overspent_nanos"] == found["neither"] == 0
            and found["left_nanos"] >= 0
        ),
    )


def agent_request(stage: Stage, call: str, body: bytes = _BODY) -> bytes:
    """One agent's call under a name of its own, so that ledger and agent speak of the same call."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {stage.gateway}\r\nauthorization: Bearer {stage.keys[NIGHTLY]}\r\n"
        f"content-type: application/json\r\nx-tokenroll-call-id: {call}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _bound_of(stage: Stage) -> int:
    """What the gateway sets aside for one such call: asked with a key that affords it."""
    connection = http.client.HTTPConnection(*stage.gateway, timeout=30)
    try:
        headers = {"authorization": f"Bearer {stage.keys[ADA]}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", _BODY, headers)
        answer = connection.getresponse()
        answer.read()
        return nanos_from_text(answer.headers["x-tokenroll-hold-max"])
    finally:
        connection.close()


def _released(stage: Stage, exchanges: Mapping[str, Exchange]) -> bool:
    """Lets the answers go once everybody who will be refused has been."""
    decided = sum(exchange.done_ns > 0 for exchange in exchanges.values())
    held = int(stage.provider_control("state")["held"])
    if decided + held < len(exchanges):
        return False
    stage.provider_control("release")
    return True
