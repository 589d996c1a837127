"""Sending: one try of one message, by webhook or by mail. It blocks, so it runs in threads of its own and never in the ledger's.

Webhooks are signed as Standard Webhooks are: `webhook-id` for telling a repeat, `webhook-timestamp` against old ones, and
`webhook-signature`, an HMAC-SHA256 of both with the body.
"""

import http.client
import json
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any, Final

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import MESSAGE_SECONDS_MAX
from tokenroll.services.alerting import Outcome
from tokenroll.services.posting import post
from tokenroll.services.signing import signature
from tokenroll.services.wire import to_wire
from tokenroll.settings import AlertSettings, DestinationSettings, SmtpSettings

_GONE: Final = 410
"""A receiver that answers so wants no more (Standard Webhooks)."""


def send(settings: AlertSettings, destination: str, message_id: str, told: Mapping[str, Any], now: Instant) -> Outcome:
    """One try. `message_id` is what every try of the same message carries; the outcome's own number is the caller's to put in."""
    chosen = next((one for one in settings.destinations if one.name == destination), None)
    if chosen is None:
        return Outcome(0, f"no destination {destination} is configured", final=True)
    try:
        if chosen.email:
            return _mail(settings, chosen, message_id, told)
        return _post(chosen, message_id, told, now)
    except (OSError, http.client.HTTPException, smtplib.SMTPException) as error:
        return Outcome(0, f"{type(error).__name__}: {error}")


def body_of(told: Mapping[str, Any]) -> bytes:
    """The JSON of a webhook: what happened, and the alert as `tokenroll alert list --json` tells it."""
    kind = f"{told['subject']}.threshold.{told['kind']}" if told["kind"] != "test" else "test"
    data = to_wire(dict(told))
    return json.dumps({"type": kind, "timestamp": data["recorded_at"], "data": data}, separators=(",", ":")).encode()


def _post(chosen: DestinationSettings, message_id: str, told: Mapping[str, Any], now: Instant) -> Outcome:
    if not chosen.signing_key:
        return Outcome(0, f"the signing key of {chosen.name} is not set in the environment of the ledger")
    body = body_of(told)
    timestamp = now // MICROS_PER_SECOND
    answer = post(
        chosen.url,
        body,
        {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(chosen.signing_key, message_id, timestamp, body),
        },
        chosen.ca_file,
    )
    return Outcome(0) if answer.is_taken else Outcome(0, str(answer), final=answer.status == _GONE)


def _mail(settings: AlertSettings, chosen: DestinationSettings, message_id: str, told: Mapping[str, Any]) -> Outcome:
    smtp = settings.smtp
    if smtp is None:
        return Outcome(0, "no mail server is configured: [alerts.smtp] names one", final=True)
    mail = EmailMessage()
    mail["From"] = smtp.sender
    mail["To"] = chosen.email
    mail["Subject"] = subject_line(told)
    mail["Message-ID"] = f"<{message_id}@tokenroll>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(mail_text(told))
    with _connected(smtp) as connection:
        if smtp.user:
            connection.login(smtp.user, smtp.password)
        connection.send_message(mail)
    return Outcome(0)


def _connected(smtp: SmtpSettings) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=None if smtp.ca_file is None else str(smtp.ca_file))
    if smtp.security == "tls":
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=MESSAGE_SECONDS_MAX, context=context)
    connection = smtplib.SMTP(smtp.host, smtp.port, timeout=MESSAGE_SECONDS_MAX)
    if smtp.security == "starttls":
        connection.starttls(context=context)
    return connection


def subject_line(told: Mapping[str, Any]) -> str:
    """What a mail is about, in one line."""
    if told["kind"] == "test":
        return "tokenroll: a test message"
    if told["kind"] == "recovered":
        return f"tokenroll: {told['subject']} {told['name']} is below {told['threshold_percent']} % again"
    return f"tokenroll: {told['subject']} {told['name']} has used {told['threshold_percent']} %"


def mail_text(told: Mapping[str, Any]) -> str:
    """The mail's text."""
    if told["kind"] == "test":
        return "This is a test message of tokenroll: alerts arrive here.\n"
    used, whole = told["used"], told["of"]
    what = "this cycle's credits" if told["subject"] == "wallet" else "its cap in the present window"
    return (
        f"{subject_line(told).removeprefix('tokenroll: ')}.\n\n"
        f"{used['amount']} of {whole['amount']} {whole['unit']} of {what} are used.\n"
        f"`tokenroll {told['subject']} show '{told['name']}'` tells more. Alert {told['alert']}.\n"
    )
