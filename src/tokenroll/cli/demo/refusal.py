"""(e) One refusal as the client sees it, a top-up, and the blocked agent goes on."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tokenroll.cli.demo.cast import NIGHTLY
from tokenroll.cli.demo.show import amount, pretty
from tokenroll.cli.demo.stage import Stage

LETTER: Final = "e"
HEADING: Final = "One refusal as the client sees it, and a top-up"
SHOWN_HEADERS: Final = ("retry-after", "x-should-retry", "content-type", "x-request-id", "request-id")
_CALL: Final = "agent-blocked"
_PAUSE_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 60
_BODY: Final = json.dumps(
    {
        "model": "gpt-6-sol",
        "max_completion_tokens": 32_000,
        "messages": [{"role": "user", "content": "Rewrite the whole build script, with comments."}],
    }
).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


def play(stage: Stage) -> None:
    """The agent asks again and again, as a client does; a person tops its wallet up on the command line."""
    shown = stage.shown
    refused = _ask(stage, f"{_CALL}-0")
    shown.line(f"HTTP/1.1 {refused.status} {refused.reason}")
    headers = [
        f"{name}: {value}"
        for name, value in refused.headers.items()
        if name in SHOWN_HEADERS or name.startswith(("x-tokenroll-", "x-ratelimit-"))
    ]
    shown.block([*headers, "", *_narrow(pretty(refused.body), shown.console.width - 8)])
    shown.command(f"tokenroll grant top-up '{NIGHTLY}' --amount 2 --reason 'night run'")
    with ThreadPoolExecutor(1) as agent:
        served_as = agent.submit(_until_served, stage)
        said = stage.tokenroll("grant", "top-up", NIGHTLY, "--amount", "2", "--reason", "night run", "--json").json
        call = served_as.result()
    stage.settled()
    found = stage.auditor.ask("went_on", grant=said["grant"], call=call)
    within = found.get("after_micros", 10**9)
    shown.proof(
        f"refused with {refused.status}; admitted {within / 1e6:.2f} s after the top-up was recorded, "
        f"final cost {amount(found.get('charge_nanos', 0))}",
        holds=refused.status == 429 and found["found"] and 0 <= within <= 1_000_000,
    )


def _until_served(stage: Stage) -> str:
    """The agent's own loop: the same call again under a new name, until it is served or a minute is over."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    tries = 0
    while True:
        tries += 1
        call = f"{_CALL}-{tries}"
        if _ask(stage, call).status == http.client.OK or time.monotonic() > deadline:
            return call
        time.sleep(_PAUSE_SECONDS)


def _ask(stage: Stage, call: str) -> Answer:
    connection = http.client.HTTPConnection(*stage.gateway, timeout=30)
    try:
        headers = {
            "authorization": f"Bearer {stage.keys[NIGHTLY]}",
            "content-type": "application/json",
            "x-tokenroll-call-id": call,
        }
        connection.request("POST", "/v1/chat/completions", _BODY, headers)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.reason, fields, answer.read())
    finally:
        connection.close()


def _narrow(lines: list[str], width: int) -> list[str]:
    """Lines cut into pieces that fit, so that no word of a refusal is lost."""
    pieces = []
    for line in lines:
        indent = len(line) - len(line.lstrip()) + 2
        while len(line) > width:
            at = line.rfind(" ", indent + 1, width)
            at = at if at > 0 else width
            pieces.append(line[:at])
            line = " " * indent + line[at:].lstrip()  # noqa: PLW2901  what is left of it
        pieces.append(line)
    return pieces
