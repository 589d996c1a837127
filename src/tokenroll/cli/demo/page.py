"""After the last scene: the engineer's page, live, while her agent works on."""

import contextlib
import http.client
import os
import time
import webbrowser
from typing import Final

from tokenroll.cli.demo.cast import ADA
from tokenroll.cli.demo.show import amount, lasts
from tokenroll.cli.demo.stage import SEED, Stage
from tokenroll.cli.demo.traffic import month_of_calls
from tokenroll.services.entering import make_way_in
from tokenroll.services.replay_requests import CHAT_PATH, MESSAGES_PATH, body_of, speaks_messages
from tokenroll.services.traces import TraceCall

PACE_SECONDS: Final = 0.7
_CALLS: Final = 400
"""Ada's own calls among so many of the month are made again, in a circle."""


def go_on(stage: Stage, *, browser: bool) -> None:
    """Her agent calls about once a second and her number falls, until Ctrl-C."""
    shown = stage.shown
    way = make_way_in(stage.settings.run_directory, stage.key_ids[ADA], os.urandom(32), stage.clock())
    shown.console.print()
    shown.line("Ada's page: one number, falling while her agent works. Ctrl-C ends everything.", "bold")
    shown.line(f"{stage.web}/me")
    shown.line(f"one-time way in, for ten minutes: {stage.web}/enter/{way}")
    if browser and not webbrowser.open(f"{stage.web}/enter/{way}"):
        shown.line("No browser was found here: open the address above.")
    with contextlib.suppress(KeyboardInterrupt):
        _work_on(stage)
    shown.line("ended")


def _work_on(stage: Stage) -> None:
    own = [planned.call for planned in month_of_calls(SEED, 42, _CALLS) if planned.person == 0]
    number = 0
    with stage.shown.live() as meter:
        while own:
            status = _call(stage, own[number % len(own)])
            number += 1
            wallet = stage.auditor.ask("wallet", member=ADA)
            meter.show(f"call {number}: {status}; left {amount(wallet['left_nanos'])} credits, {lasts(wallet)}")
            time.sleep(PACE_SECONDS)


def _call(stage: Stage, call: TraceCall) -> int:
    messages = speaks_messages(call.model)
    connection = http.client.HTTPConnection(*stage.gateway, timeout=60)
    try:
        headers = {
            "authorization": f"Bearer {stage.keys[ADA]}",
            "content-type": "application/json",
            "x-sim-input-tokens": str(call.input_tokens),
            "x-sim-output-tokens": str(call.output_tokens),
        }
        path = MESSAGES_PATH if messages else CHAT_PATH
        connection.request("POST", path, body_of(call, stream=False), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
