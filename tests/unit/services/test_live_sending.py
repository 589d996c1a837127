"""Live sums to a collector: what arrives, and how little a collector that is away disturbs."""

import http.client
import json
import logging

import pytest

from tokenroll.model.limits import LIVE_PUSH_WAIT_SECONDS_MAX
from tokenroll.services import live_sending
from tokenroll.services.live_sending import LiveSender
from tokenroll.services.live_usage import Amounts, LiveFigures, NotCountedYetError, Work
from tokenroll.services.posting import PostAnswer
from tokenroll.settings import TelemetrySettings

LABELS = ("Engineering", "gpt-5-mini", "openai")
FIGURES = LiveFigures(5_000_000, 7, 0, [Amounts(LABELS, 1_500_000_000, 3)], [Work(LABELS, 2)], {})
SETTINGS = TelemetrySettings(otlp_metrics_url="http://127.0.0.1:4318/v1/metrics", otlp_metrics_seconds=30, token="t")


@pytest.fixture
def posted(monkeypatch):
    """What is sent, and what is answered next: a status, or an error to be raised; the last one for ever."""
    sent, answers = [], [200]

    def post(url, body, headers, ca_file):
        sent.append((url, json.loads(body), headers))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return PostAnswer(answer, "said")

    monkeypatch.setattr(live_sending, "post", post)
    return sent, answers


def sender(figures=lambda: FIGURES):
    return LiveSender(figures, SETTINGS, company="Acme", version="1", clock=lambda: 9_000_000)


def test_sums_arrive_with_the_collectors_token(posted):
    assert sender().round() == 30
    ((url, body, headers),) = posted[0]
    assert url == SETTINGS.otlp_metrics_url
    assert headers == {"content-type": "application/json", "authorization": "Bearer t"}
    (resource,) = body["resourceMetrics"]
    assert {"key": "service.name", "value": {"stringValue": "tokenroll"}} in resource["resource"]["attributes"]
    spent = resource["scopeMetrics"][0]["metrics"][0]
    assert spent["sum"]["dataPoints"][0] == {
        "attributes": [{"key": name, "value": {"stringValue": value}} for name, value in zip(("department", "model", "provider"), LABELS, strict=True)],
        "timeUnixNano": "9000000000", "startTimeUnixNano": "5000000000", "asDouble": 1.5,
    }  # fmt: skip


def test_a_collector_that_is_away_is_told_of_once_and_asked_less_and_less(posted, caplog):
    posted[1][:] = [OSError("refused"), http.client.BadStatusLine("x"), 503, 503, 503, 503, 200]
    one = sender()
    with caplog.at_level(logging.INFO):
        waits = [one.round() for _ in range(7)]
    assert waits == [60, 120, 240, 480, LIVE_PUSH_WAIT_SECONDS_MAX, LIVE_PUSH_WAIT_SECONDS_MAX, 30]
    assert [record.getMessage().split(":")[0][:40] for record in caplog.records] == [
        "live usage does not arrive at http",
        "live usage arrives at http",
    ]


def test_nothing_is_sent_until_the_ledger_is_counted(posted):
    def counting():
        raise NotCountedYetError

    assert sender(counting).round() == 30
    assert posted[0] == []
