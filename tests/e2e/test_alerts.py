"""Alerts as receivers get them: the ledger's own process, a real receiver of webhooks that fails first, a real mail server."""

import base64
import json
import time
from typing import Any

import pytest

from tests.company import Company
from tests.e2e.test_it_verifies_the_provider import certificate
from tests.post_office import MailServer, Receiver, opened
from tokenroll.services.signing import signature

KEY = bytes(range(32))
ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "How much is left?"}],
    "max_completion_tokens": 300,
    "extra_headers": {"x-sim-output-tokens": "12"},
}


def alerts_of(company: Company) -> Any:
    return company.tokenroll("alert", "list", "--json")


def eventually(check, seconds=40):
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


@pytest.fixture
def offices(tmp_path):
    _, context = certificate(tmp_path, "localhost")
    with opened(Receiver()) as receiver, opened(MailServer(context)) as mail:
        receiver.answers = [503, 200]
        yield receiver, mail


def test_a_crossed_threshold_reaches_everybody_once_although_a_receiver_fails_and_the_ledger_restarts(
    tmp_path, offices
):
    receiver, mail = offices
    key = tmp_path / "ops.key"
    key.write_text("whsec_" + base64.b64encode(KEY).decode())
    key.chmod(0o600)
    config = f"""
[alerts.destinations.ops]
url = "{receiver.url}"
signing_key_file = "{key}"
[alerts.destinations.cleo]
email = "cleo@acme.example"
[alerts.smtp]
host = "localhost"
port = {mail.port}
sender = "tokenroll@acme.example"
security = "tls"
ca_file = "{tmp_path / "localhost.pem"}"
"""
    with Company(tmp_path / "home", config=config) as company:
        company.hire("Ada")
        company.do("limit.create", name="ada-calls", member="Ada", window="cycle", cap=2, measure="calls")
        company.openai().chat.completions.create(**ASK)
        eventually(lambda: mail.mails)
        first = eventually(lambda: receiver.hooks)[0]
        eventually(lambda: "delivered" in [one["state"] for one in alerts_of(company)[0]["messages"]])
        company.end("ledger")  # between the first try and the second
        company.start_ledger()
        eventually(lambda: len(receiver.hooks) == 2)
        eventually(lambda: all(one["state"] == "delivered" for one in alerts_of(company)[0]["messages"]))
        time.sleep(6)  # one more look finds nothing new
        (alert,) = alerts_of(company)
        assert company.tokenroll("alert", "destinations", "--json")["destinations"][0]["destination"] == "ops"
        company.prove()
    assert len(receiver.hooks) == 2
    assert (alert["name"], alert["kind"], alert["threshold_percent"]) == ("ada-calls", "crossed", 50)
    assert {one["destination"]: one["attempt_count"] for one in alert["messages"]} == {"ops": 2, "cleo": 1}
    for hook in receiver.hooks:
        assert hook.headers["webhook-id"] == first.headers["webhook-id"]
        timestamp = int(hook.headers["webhook-timestamp"])
        assert hook.headers["webhook-signature"] == signature(KEY, hook.headers["webhook-id"], timestamp, hook.body)
        assert json.loads(hook.body)["data"]["used"] == {"amount": "1", "unit": "calls"}
    ((_, receivers, text),) = mail.mails
    assert receivers == ["cleo@acme.example"]
    assert "Subject: tokenroll: limit ada-calls has used 50 %" in text
