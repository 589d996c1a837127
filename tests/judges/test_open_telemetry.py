"""OpenTelemetry's own library against our ends of its protocol: it reads the metrics that we send, and its spans are taken here."""

import base64
import http.client
import json
import logging

import pytest
from google.protobuf.json_format import MessageToDict, Parse
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.company import CREDIT, Company
from tokenroll.services.live_metrics import otlp_metrics
from tokenroll.services.live_usage import Amounts, LiveFigures, Work
from tokenroll.store.lake import open_lake

ADMIN = "tr-cleo-lets-programs-report"
CUMULATIVE = 2


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("otel") / "home") as running:
        running.hire("Cleo", CREDIT)
        running.key("Cleo", ADMIN, scope="admin")
        running.start_web()
        yield running


@pytest.fixture
def spans():
    """A call as an instrumented client makes it, within a step of an agent."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "atlas", "user.email": "ada@acme.example"}))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("a client library")
    facts = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 50, "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": "the merger is off",
    }  # fmt: skip
    with (
        tracer.start_as_current_span("an agent", attributes={"gen_ai.operation.name": "invoke_agent"}),
        tracer.start_as_current_span("chat gpt-4o-mini", attributes=facts),
    ):
        pass
    provider.shutdown()
    return kept.get_finished_spans()


def sent(company, body):
    connection = http.client.HTTPConnection("127.0.0.1", company.web_port, timeout=30)
    headers = {"content-type": "application/json", "authorization": f"Bearer {ADMIN}"}
    connection.request("POST", "/v1/traces", body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_its_metrics_message_is_what_we_send():
    labels = ("Engineering", "gpt-5-mini", "openai")
    figures = LiveFigures(
        5_000_000, 7, 2, [Amounts(labels, 10**18 + 1, 3)], [Work(labels, 2)], {"Engineering": 1_500_000_000}
    )
    figures.work[0].counts[0] = 2**60
    read = Parse(otlp_metrics(figures, "Acme", "1", 9_000_000), ExportMetricsServiceRequest())
    (resource,) = read.resource_metrics
    assert {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"] == "tokenroll"
    metrics = {one.name: one for one in resource.scope_metrics[0].metrics}
    spent = metrics["tokenroll.burn.credits"].sum
    assert (spent.is_monotonic, spent.aggregation_temporality) == (True, CUMULATIVE)
    (point,) = spent.data_points
    assert (point.as_double, point.start_time_unix_nano, point.time_unix_nano) == (1e9, 5 * 10**9, 9 * 10**9)
    assert {one.key: one.value.string_value for one in point.attributes} == {
        "department": "Engineering",
        "model": "gpt-5-mini",
        "provider": "openai",
    }
    (tokens,) = metrics["tokenroll.burn.tokens"].sum.data_points
    assert tokens.as_int == 2**60
    assert metrics["tokenroll.available.credits"].gauge.data_points[0].as_double == 1.5


def test_its_spans_are_taken_as_json_and_it_reads_the_answer(company, spans):
    told = MessageToDict(encode_spans(spans))
    for scope in told["resourceSpans"][0]["scopeSpans"]:
        for one in scope["spans"]:  # OTLP's JSON has ids in hexadecimal, where protobuf's own has base64
            one |= {
                name: base64.b64decode(one[name]).hex() for name in ("traceId", "spanId", "parentSpanId") if name in one
            }
    with open_lake(company.settings.lake_directory):  # so that what is taken stays where this test looks for it
        status, body = sent(company, json.dumps(told))
        (spooled,) = (company.home / "spool").glob("calls-*")
        lines = spooled.read_bytes().splitlines()
    assert status == 200
    assert Parse(body, ExportTraceServiceResponse()).partial_success.rejected_spans == 0
    around, event = map(json.loads, lines)  # the span of the framework is known by its name from here on
    (outer,) = (
        one for scope in told["resourceSpans"][0]["scopeSpans"] for one in scope["spans"] if "parentSpanId" not in one
    )
    assert around == [f"{outer['traceId']}:{outer['spanId']}"]
    assert (event["member"], event["project"], event["requested_model"]) == ("ada@acme.example", "atlas", "gpt-4o-mini")
    assert (event["usage"]["input_tokens"], event["list_cost_nanos"]) == (1_000, 1_000 * 150 + 50 * 600)


def test_its_exporter_of_protobuf_is_told_how_to_send_json(company, spans, caplog):
    exporter = OTLPSpanExporter(
        f"http://127.0.0.1:{company.web_port}/v1/traces", headers={"authorization": f"Bearer {ADMIN}"}
    )
    with caplog.at_level(logging.ERROR):
        assert exporter.export(spans) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert "415" in caplog.text
