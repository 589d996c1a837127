"""Webhooks of trackers, as events of outcomes: GitHub's, GitLab's, and our own shape signed as Standard Webhooks are.

Of a payload we read names, states and times. The text of a change is looked through for one thing, which change it reverts, and is
kept nowhere. Times are the tracker's own, so a delivery that is sent again tells the same events.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import OUTCOME_EVENTS_TOLD_MAX, OUTCOME_HOOK_AGE_SECONDS_MAX
from tokenroll.services.outcomes import OutcomeEvent, outcome_event
from tokenroll.services.signing import signature

_GITHUB_REVERTS: Final = re.compile(r"^Reverts ([\w.-]+/[\w.-]+)?#(\d+)\s*$", re.MULTILINE)
_GITLAB_REVERTS: Final = re.compile(r"^This reverts merge request ([\w./-]+)?!(\d+)\s*$", re.MULTILINE)
"""What their own Revert buttons write into the change that they make. One of another project is passed by: it is not theirs to undo."""
_GITLAB_ACTIONS: Final = {"merge": "merged", "close": "abandoned", "reopen": "reopened"}
_NOT_DONE: Final = frozenset({"not_planned", "duplicate"})


class HookError(ValueError):
    """A delivery that is not what it should be; the message says why."""


class UnsignedError(HookError):
    """A delivery that nobody who knows the secret has signed."""


def github_events(secret: str, headers: Mapping[str, str], body: bytes) -> list[OutcomeEvent]:
    """What a delivery of GitHub tells of changes and issues; nothing for any other event. Raises HookError."""
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    _check(expected, headers.get("x-hub-signature-256", ""), "x-hub-signature-256")
    kind = headers.get("x-github-event", "")
    if kind not in {"pull_request", "issues"}:
        return []
    payload = _object(body)
    repository = _text(payload, "repository", "full_name")
    if kind == "issues":
        return _github_issue(payload, repository)
    change = _part(payload, "pull_request")
    name = f"{repository}#{_number(change, 'number')}"
    action = payload.get("action")
    if action == "reopened":
        return [outcome_event(name, _text(change, "updated_at"), "reopened")]
    if action != "closed":
        return []
    if change.get("merged") is not True:
        return [outcome_event(name, _text(change, "closed_at"), "abandoned")]
    at = _text(change, "merged_at")
    reverted = _GITHUB_REVERTS.search(str(change.get("body") or ""))
    events = [outcome_event(name, at, "merged")]
    if reverted is not None and reverted[1] in {None, repository}:
        events.append(outcome_event(f"{repository}#{reverted[2]}", at, "reverted"))
    return events


def _github_issue(payload: Mapping[str, Any], repository: str) -> list[OutcomeEvent]:
    issue = _part(payload, "issue")
    name = f"{repository}#{_number(issue, 'number')}"
    action = payload.get("action")
    if action == "reopened":
        return [outcome_event(name, _text(issue, "updated_at"), "reopened")]
    if action != "closed":
        return []
    event = "abandoned" if issue.get("state_reason") in _NOT_DONE else "closed"
    return [outcome_event(name, _text(issue, "closed_at"), event)]


def gitlab_events(secret: str, headers: Mapping[str, str], body: bytes) -> list[OutcomeEvent]:
    """What a delivery of GitLab tells of merge requests and issues; nothing for any other event. Raises HookError."""
    _check(secret, headers.get("x-gitlab-token", ""), "x-gitlab-token")
    payload = _object(body)
    kind = payload.get("object_kind")
    if kind not in {"merge_request", "issue"}:
        return []
    project = _text(payload, "project", "path_with_namespace")
    told = _part(payload, "object_attributes")
    mark = "!" if kind == "merge_request" else "#"
    name = f"{project}{mark}{_number(told, 'iid')}"
    event = _GITLAB_ACTIONS.get(str(told.get("action")), "")
    if not event:
        return []
    if kind == "issue" and event == "abandoned":  # GitLab has one word for both
        event = "closed"
    at = _text(told, "updated_at")
    events = [outcome_event(name, at, event)]
    reverted = _GITLAB_REVERTS.search(str(told.get("description") or "")) if event == "merged" else None
    if reverted is not None and reverted[1] in {None, project}:
        events.append(outcome_event(f"{project}!{reverted[2]}", at, "reverted"))
    return events


def signed_events(key: bytes, headers: Mapping[str, str], body: bytes, now: Instant) -> list[OutcomeEvent]:
    """The events of our own shape, signed as Standard Webhooks are. Raises HookError."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (message_id and re.fullmatch(r"\d{1,12}", stamp)):
        raise UnsignedError("a delivery needs webhook-id, webhook-timestamp in seconds, and webhook-signature")
    expected = signature(key, message_id, int(stamp), body)
    told = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in told):
        raise UnsignedError("webhook-signature is not of this body under our key")
    if abs(now // MICROS_PER_SECOND - int(stamp)) > OUTCOME_HOOK_AGE_SECONDS_MAX:
        raise UnsignedError(f"webhook-timestamp is more than {OUTCOME_HOOK_AGE_SECONDS_MAX} seconds from now")
    return told_events(body)


def told_events(body: bytes) -> list[OutcomeEvent]:
    """Our own shape: `{"outcome", "at", "event", "session"}`, or `{"events": [...]}`. All of them or none. Raises HookError."""
    payload = _object(body)
    listed = payload.get("events", [payload])
    if not isinstance(listed, list) or not 0 < len(listed) <= OUTCOME_EVENTS_TOLD_MAX:
        raise HookError(f"`events` is a list of 1 to {OUTCOME_EVENTS_TOLD_MAX}")
    events = []
    for place, one in enumerate(listed):
        where = f"events[{place}]: " if "events" in payload else ""
        if not isinstance(one, dict) or not all(isinstance(value, str) for value in one.values()):
            raise HookError(f"{where}an event is an object of texts")
        unknown = one.keys() - {"outcome", "at", "event", "session"}
        if unknown:
            raise HookError(f"{where}{min(unknown)[:40]!r} is not known; an event has outcome, at, event, session")
        try:
            events.append(outcome_event(*(one.get(name, "") for name in ("outcome", "at", "event", "session"))))
        except ValueError as error:
            raise HookError(f"{where}{error}") from error
    return events


def _check(expected: str, told: str, header: str) -> None:
    if not expected or not hmac.compare_digest(expected.encode(), told.encode()):
        raise UnsignedError(f"{header} is not what our secret makes of this delivery")


def _object(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HookError(f"the body is no JSON: {error}") from error
    if not isinstance(payload, dict):
        raise HookError("the body is no JSON object")
    return payload


def _part(payload: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = payload.get(name)
    if not isinstance(part, dict):
        raise HookError(f"{name} is missing")
    return part


def _text(payload: Mapping[str, Any], *names: str) -> str:
    *parts, last = names
    for name in parts:
        payload = _part(payload, name)
    value = payload.get(last)
    if not isinstance(value, str):
        raise HookError(f"{'.'.join(names)} is missing")
    return value


def _number(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if type(value) is not int:
        raise HookError(f"{name} is missing")
    return value
