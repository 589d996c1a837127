"""Deliveries of trackers: what of them is an outcome, whose secret signed them, and that their words go nowhere."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from tokenroll.model.instant import instant_from_text
from tokenroll.services.outcome_hooks import (
    HookError,
    UnsignedError,
    github_events,
    gitlab_events,
    signed_events,
    told_events,
)
from tokenroll.services.outcomes import OutcomeEvent

SECRET = "It's a Secret to Everybody"
NOON = instant_from_text("2026-03-02T12:00:00Z")


def signed(body: bytes, kind: str) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"x-github-event": kind, "x-hub-signature-256": f"sha256={digest}"}


def github(kind: str, **payload: Any) -> list[OutcomeEvent]:
    body = json.dumps({"repository": {"full_name": "acme/app"}, **payload}).encode()
    return github_events(SECRET, signed(body, kind), body)


def gitlab(kind: str, **told: Any) -> list[OutcomeEvent]:
    attributes = {"iid": 12, "updated_at": "2026-03-02 12:00:00 UTC", **told}
    body = {"object_kind": kind, "project": {"path_with_namespace": "acme/app"}, "object_attributes": attributes}
    return gitlab_events(SECRET, {"x-gitlab-token": SECRET}, json.dumps(body).encode())


def change(**told: Any) -> dict[str, Any]:
    times = {"updated_at": "2026-03-02T12:00:00Z", "closed_at": "2026-03-02T12:00:00Z"}
    return {"number": 12, "merged": False, "merged_at": None, "body": None, **times, **told}


def test_the_signature_is_the_one_that_githubs_own_example_has():
    headers = {
        "x-github-event": "ping",
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    }
    assert github_events(SECRET, headers, b"Hello, World!") == []
    for wrong in ("", "sha256=", headers["x-hub-signature-256"][:-1] + "8"):
        with pytest.raises(UnsignedError):
            github_events(SECRET, {**headers, "x-hub-signature-256": wrong}, b"Hello, World!")


@pytest.mark.parametrize("read", [github_events, gitlab_events])
def test_without_a_secret_nobody_is_believed(read):
    with pytest.raises(UnsignedError):
        read("", {}, b"{}")


def test_a_change_of_github_is_merged_abandoned_or_open_again():
    merged = change(merged=True, merged_at="2026-03-02T12:00:00Z")
    assert github("pull_request", action="closed", pull_request=merged) == [OutcomeEvent("acme/app#12", NOON, "merged")]
    assert github("pull_request", action="closed", pull_request=change()) == [
        OutcomeEvent("acme/app#12", NOON, "abandoned")
    ]
    assert github("pull_request", action="reopened", pull_request=change()) == [
        OutcomeEvent("acme/app#12", NOON, "reopened")
    ]
    assert github("pull_request", action="synchronize", pull_request=change()) == []
    assert github("push", commits=[]) == []


def test_a_change_that_reverts_another_undoes_it():
    by_button = change(merged=True, merged_at="2026-03-02T12:00:00Z", body="Reverts acme/app#7")
    assert github("pull_request", action="closed", pull_request=by_button) == [
        OutcomeEvent("acme/app#12", NOON, "merged"),
        OutcomeEvent("acme/app#7", NOON, "reverted"),
    ]
    only_said = change(merged=True, merged_at="2026-03-02T12:00:00Z", body="Perhaps this Reverts acme/app#7 one day")
    assert len(github("pull_request", action="closed", pull_request=only_said)) == 1
    another = change(merged=True, merged_at="2026-03-02T12:00:00Z", body="Reverts acme/payroll#7")
    assert len(github("pull_request", action="closed", pull_request=another)) == 1
    quoted = "Who wrote: This reverts merge request !7"
    assert len(gitlab("merge_request", action="merge", description=quoted)) == 1
    assert gitlab("merge_request", action="merge", description="Oh.\n\nThis reverts merge request !7") == [
        OutcomeEvent("acme/app!12", NOON, "merged"),
        OutcomeEvent("acme/app!7", NOON, "reverted"),
    ]


def test_an_issue_is_done_or_given_up():
    done = {
        "number": 5,
        "closed_at": "2026-03-02T12:00:00Z",
        "updated_at": "2026-03-02T12:00:00Z",
        "state_reason": "completed",
    }
    assert github("issues", action="closed", issue=done) == [OutcomeEvent("acme/app#5", NOON, "closed")]
    given_up = {**done, "state_reason": "not_planned"}
    assert github("issues", action="closed", issue=given_up) == [OutcomeEvent("acme/app#5", NOON, "abandoned")]
    assert gitlab("issue", action="close") == [OutcomeEvent("acme/app#12", NOON, "closed")]
    assert gitlab("issue", action="update") == []
    assert gitlab("merge_request", action="close") == [OutcomeEvent("acme/app!12", NOON, "abandoned")]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"action": "closed"}', "repository is missing"),
        (
            b'{"repository": {"full_name": "acme/app"}, "pull_request": {"number": "12"}, "action": "closed"}',
            "number is missing",
        ),
        (
            b'{"repository": {"full_name": "acme/app"}, "pull_request": {"number": 12}, "action": "closed"}',
            "closed_at is missing",
        ),
    ],
)
def test_a_delivery_that_lacks_something_says_what(body, says):
    with pytest.raises(HookError, match=says):
        github_events(SECRET, signed(body, "pull_request"), body)


def test_our_own_shape_is_signed_as_standard_webhooks_are():
    """The example of the Standard Webhooks specification: its key, id, time and body give this signature."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,aaaa v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    with pytest.raises(HookError, match="object of texts"):
        signed_events(key, headers, body, 1_614_265_330_000_000)
    with pytest.raises(UnsignedError, match="300 seconds"):
        signed_events(key, headers, body, 1_614_265_631_000_000)
    for lost in headers:
        with pytest.raises(UnsignedError):
            signed_events(key, {**headers, lost: ""}, body, 1_614_265_330_000_000)


def test_our_own_shape_is_taken_whole_or_not_at_all():
    one = {"outcome": "T-1", "at": "2026-03-02T12:00:00Z", "event": "Done"}
    assert told_events(json.dumps(one).encode()) == [OutcomeEvent("T-1", NOON, "done")]
    both = {"events": [{**one, "session": "s-7"}, {**one, "outcome": "T-2", "event": "cancelled"}]}
    assert told_events(json.dumps(both).encode()) == [
        OutcomeEvent("T-1", NOON, "done", "s-7"),
        OutcomeEvent("T-2", NOON, "cancelled"),
    ]
    for wrong, says in (
        ({"events": []}, "1 to 1000"),
        ({"events": [one] * 1_001}, "1 to 1000"),
        ({"events": [one, {**one, "event": "admired"}]}, r"events\[1\]: event is 'admired'"),
        ({"events": [one, {**one, "prompt": "x"}]}, r"events\[1\]: 'prompt' is not known"),
        ({**one, "at": "yesterday"}, "its time is none such as"),
        ({**one, "at": "9999-12-31T23:59:59-12:00"}, "is not of these years"),
        ({**one, "at": "1870-01-01T00:00:00Z"}, "is not of these years"),
        ({**one, "outcome": ""}, "outcome must be 1 to"),
        ({**one, "outcome": 5}, "object of texts"),
    ):
        with pytest.raises(HookError, match=says):
            told_events(json.dumps(wrong).encode())
