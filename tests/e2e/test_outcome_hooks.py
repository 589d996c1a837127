"""Trackers tell a running company what became of work: GitHub, GitLab, and whoever signs as Standard Webhooks are signed."""

import base64
import hashlib
import hmac
import http.client
import json
import time
from decimal import Decimal

import pytest

from tests.company import Company

ADMIN = "tr-cleo-tells-outcomes"
KEY = base64.b64encode(b"a key of twenty-four bytes").decode()
WORDS = "Initech is to be bought on Monday"


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    home = tmp_path_factory.mktemp("hooks") / "home"
    home.mkdir()
    tables = []
    for name, secret in (
        ("github_secret", "github-and-us"),
        ("gitlab_secret", "gitlab-and-us"),
        ("signing_key", f"whsec_{KEY}"),
    ):
        path = home / name
        path.write_text(secret + "\n")
        path.chmod(0o600)
        tables.append(f'{name}_file = "{path}"')
    with Company(home, config="[outcomes]\n" + "\n".join(tables) + "\n") as running:
        running.hire("Ada")
        running.hire("Cleo", 0)
        running.key("Cleo", ADMIN, scope="admin")
        running.openai("Ada").chat.completions.create(
            model="gpt-4o-mini",
            max_completion_tokens=50,
            messages=[{"role": "user", "content": "A hundred tests."}],
            extra_headers={"x-tokenroll-tags": "outcome=acme/app#12"},
        )
        running.quiet()
        running.start_web()
        yield running


def sent(company, path, told, method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", company.web_port, timeout=30)
    heads = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    connection.request(method, path, body, heads)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def github(company, secret="github-and-us", **told):
    change = {"number": 12, "merged": True, "merged_at": "2026-03-02T12:00:00Z", "title": WORDS, "body": WORDS, **told}
    payload = {"action": "closed", "repository": {"full_name": "acme/app"}, "pull_request": change}
    body = json.dumps(payload).encode()
    signed = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return sent(company, "/hooks/github", body, x_github_event="pull_request", x_hub_signature_256=signed)


def test_a_merged_change_counts_until_it_is_reverted(company):
    assert github(company) == (200, {"taken": 1})
    assert github(company) == (200, {"taken": 1})
    spent = company.spent_by_all()
    found = company.tokenroll("cost", "outcomes", "--cost", "charge", "--json")
    assert (found["accepted_count"], found["outcome_count"]) == (1, 1)
    assert Decimal(found["spend"]) * 10**9 == spent
    assert github(company, number=13, merged_at="2026-03-03T12:00:00Z", body="Reverts acme/app#12") == (
        200,
        {"taken": 2},
    )
    found = company.tokenroll("cost", "outcomes", "--cost", "charge", "--json")
    assert (found["accepted_count"], found["outcome_count"], found["failed_share_percent"]) == (1, 2, 100.0)
    assert [path for path in company.home.rglob("*") if path.is_file() and b"Initech" in path.read_bytes()] == []


def test_every_tracker_has_its_own_proof(company):
    issue = {
        "object_kind": "issue",
        "project": {"path_with_namespace": "acme/site"},
        "object_attributes": {"iid": 3, "action": "close", "updated_at": "2026-03-02 12:00:00 UTC"},
    }
    assert sent(company, "/hooks/gitlab", issue, x_gitlab_token="gitlab-and-us") == (200, {"taken": 1})
    event = {"outcome": "T-1", "at": "2026-03-02T12:00:00Z", "event": "done"}
    body = json.dumps(event).encode()
    stamp = str(int(time.time()))
    proof = hmac.new(base64.b64decode(KEY), f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    heads = {
        "webhook_id": "msg_1",
        "webhook_timestamp": stamp,
        "webhook_signature": f"v1,{base64.b64encode(proof).decode()}",
    }
    assert sent(company, "/hooks/outcomes", body, **heads) == (200, {"taken": 1})
    assert sent(company, "/api/outcomes", {"events": [event]}, authorization=f"Bearer {ADMIN}") == (200, {"taken": 1})


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "says"),
    [
        ("/hooks/github", b"{}", {}, 401, "x-hub-signature-256"),
        ("/hooks/gitlab", b"{}", {"x_gitlab_token": "guess"}, 401, "x-gitlab-token"),
        ("/hooks/outcomes", b"{}", {}, 401, "webhook-id"),
        ("/api/outcomes", b"{}", {}, 401, "Send a live key"),
        ("/api/outcomes", b"{}", {"authorization": f"Bearer {ADMIN}"}, 400, "event is ''"),
        (
            "/api/outcomes",
            b"{}",
            {"authorization": f"Bearer {ADMIN}", "content_type": "text/plain"},
            415,
            "application/json",
        ),
        (
            "/api/outcomes",
            b'{"outcome": "T-1", "at": "2999-01-01T00:00:00Z", "event": "done"}',
            {"authorization": f"Bearer {ADMIN}"},
            400,
            "T-1: it will be at 2999-01-01",
        ),
        ("/api/outcomes", b" " * (26 << 20), {"authorization": f"Bearer {ADMIN}"}, 413, "send fewer at once"),
    ],
)
def test_what_cannot_be_taken_is_told_why(company, path, body, headers, status, says):
    got, problem = sent(company, path, body, **headers)
    assert (got, problem["status"]) == (status, status)
    assert says in problem["detail"]
    assert sent(company, path, b"", method="GET")[0] == 405


def test_an_inference_key_may_not_tell_outcomes(company):
    got, problem = sent(company, "/api/outcomes", b"{}", authorization=f"Bearer {company.keys['Ada']}")
    assert (got, "--scope admin" in problem["detail"]) == (403, True)
