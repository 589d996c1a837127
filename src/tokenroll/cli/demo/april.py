"""(h) April: a cliff vests, a day pass expires while a call draws on it, somebody leaves, a manager approves a top-up."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from tokenroll.cli.demo.cast import ADA, BEN, BO
from tokenroll.cli.demo.show import amount, short
from tokenroll.cli.demo.stage import Stage, wait_until
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.instant import instant_from_text

LETTER: Final = "h"
HEADING: Final = "April: a cliff, a day pass that expires under a call, a leaver, a top-up"
_HIRED: Final = "2026-04-02T00:00:00Z"
_EVE: Final = instant_from_text("2027-04-01T23:59:58Z")
_MIDNIGHT: Final = instant_from_text("2027-04-02T00:00:00Z")
_AFTER: Final = instant_from_text("2027-04-02T00:00:05Z")
_PLEDGE_NANOS: Final = 24 * 10**9
_PASS_NANOS: Final = 2 * 10**9
_ASKED_NANOS: Final = 3 * 10**9
_BODY: Final = json.dumps(
    {
        "model": "gpt-6-sol",
        "max_completion_tokens": 1024,
        "messages": [{"role": "user", "content": "Which of tonight's builds should be looked at first?"}],
    }
).encode()


def play(stage: Stage) -> None:
    """Two grants to Ben, one call over midnight, his last day, and Ada's request."""
    pledge, day_pass = _grants(stage)
    status = _call_over_midnight(stage)
    _tell_midnight(stage, pledge, day_pass, status)
    _leave(stage, pledge)
    _top_up(stage)


def _grants(stage: Stage) -> tuple[str, str]:
    """A bonus of a year ago that waits for its cliff, and credits for one day that are drawn before all else."""
    stage.execute(
        "plan.create", name="Pledge", kind="signing_bonus", classification="compensation", amount_nanos=_PLEDGE_NANOS,
        vesting={"kind": "periodic", "occurrences": 24, "cliff_occurrences": 12}, effective_at=instant_from_text(_HIRED),
    )  # fmt: skip
    stage.execute(
        "plan.create", name="Day pass", kind="stipend", classification="tool", amount_nanos=_PASS_NANOS, lifetime="1d",
        priority=10, effective_at=instant_from_text("2027-04-01T00:00:00Z"),
    )  # fmt: skip
    pledge = stage.execute("grant.create", to=BEN, plan="Pledge", effective_at=instant_from_text(_HIRED))["grant"]
    day_pass = stage.execute(
        "grant.create", to=BEN, plan="Day pass", effective_at=instant_from_text("2027-04-01T00:00:00Z")
    )["grant"]
    return str(pledge), str(day_pass)


def _call_over_midnight(stage: Stage) -> int:
    """Ben asks two seconds before midnight and is answered five seconds after it."""
    stage.advance_to(_EVE)
    stage.provider_control("hold")
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(_ask, stage)
        wait_until(lambda: int(stage.provider_control("state")["held"]) == 1, "the call of Ben")
        stage.advance_to(_AFTER)
        stage.provider_control("release")
        status = asked.result()
    stage.settled()
    return status


def _tell_midnight(stage: Stage, pledge: str, day_pass: str, status: int) -> None:
    found = stage.auditor.ask("tranches", member=BEN, grants=[pledge, day_pass])
    bonus, pass_ = found["grants"][pledge], found["grants"][day_pass]
    lot = pass_["lots"][0]
    expired = lot["amount_nanos"] - lot["spent_nanos"]
    stage.shown.proof(
        f"at midnight {short(bonus['vested_nanos'])} of {short(_PLEDGE_NANOS)} of Ben's bonus vested: twelve months of "
        "twenty-four at once, and no job ran",
        holds=bonus["vested_nanos"] == _PLEDGE_NANOS // 2 and bonus["spent_nanos"] == 0,
    )
    stage.shown.proof(
        f"his call was admitted before midnight and paid after it out of the day pass: {amount(lot['spent_nanos'])}; "
        f"the other {amount(expired)} expired unused",
        holds=(
            status == http.client.OK
            and lot["expires_at"] == _MIDNIGHT
            and lot["spent_nanos"] == found["newest_charge_nanos"] > 0
            and found["expired_nanos"] == expired
        ),
    )


def _leave(stage: Stage, pledge: str) -> None:
    """What has not vested is forfeited, what was used stays used, and the key stops."""
    spent_before_nanos = stage.auditor.ask("wallet", member=BEN)["spent_nanos"]
    stage.shown.command(f"tokenroll member leave '{BEN}' --on 2027-04-02 --reason involuntary_other")
    stage.tokenroll("member", "leave", BEN, "--on", "2027-04-02", "--reason", "involuntary_other", "--json")
    wait_until(lambda: _ask(stage) == http.client.UNAUTHORIZED, "the end of Ben's key", 5)
    found = stage.auditor.ask("tranches", member=BEN, grants=[pledge])
    bonus = found["grants"][pledge]
    stage.shown.proof(
        f"Ben left: {short(bonus['forfeited_nanos'])} unvested are forfeited, spent is {amount(found['spent_nanos'])} as before, "
        "and his key opens nothing",
        holds=(
            bonus["forfeited_nanos"] == _PLEDGE_NANOS // 2
            and found["unvested_nanos"] == 0
            and found["spent_nanos"] == spent_before_nanos > 0
        ),
    )


def _top_up(stage: Stage) -> None:
    """One command of the manager, and the credits are there."""
    stage.execute("approver.set", member=BO, once_nanos_max=5 * 10**9)
    before = stage.auditor.ask("wallet", member=ADA)["left_nanos"]
    asked = stage.tokenroll(
        "request", "create", ADA, "--amount", text_from_nanos(_ASKED_NANOS, 0), "--reason", "the April release", "--json"
    ).json  # fmt: skip
    stage.shown.command(f"tokenroll request approve {asked['request']} --by '{BO}'")
    said = stage.tokenroll("request", "approve", asked["request"], "--by", BO, "--json").json
    after = stage.auditor.ask("wallet", member=ADA)["left_nanos"]
    stage.shown.proof(
        f"Ada asked for {short(_ASKED_NANOS)}, Bo approved it in one command: left {amount(before)} → {amount(after)}",
        holds=after - before == _ASKED_NANOS and said["approved_by"] == BO and said["delivery"] == "applied",
    )


def _ask(stage: Stage) -> int:
    connection = http.client.HTTPConnection(*stage.gateway, timeout=60)
    try:
        headers: dict[str, Any] = {"authorization": f"Bearer {stage.keys[BEN]}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", _BODY, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
