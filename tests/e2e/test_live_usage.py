"""Live usage through a running company: a collector is sent what calls cost, and a program's spans are in the answers of the lake."""

import gzip
import http.client
import json
import time

import pytest

from tests.company import Company
from tests.post_office import Receiver, opened
from tests.span_kit import SECRET_WORDS, exported, span

ADMIN = "tr-cleo-lets-programs-report"


@pytest.fixture(scope="module")
def collector():
    receiver = Receiver()
    receiver.answers = [503, 200]
    with opened(receiver):
        yield receiver


@pytest.fixture(scope="module")
def company(tmp_path_factory, collector):
    home = tmp_path_factory.mktemp("live") / "home"
    home.mkdir()
    (home / "rules.toml").write_text('[[rule]]\nwhen = { project = "atlas" }\nset = { department = "Engineering" }\n')
    url = collector.url.replace("/hooks/tokenroll?of=acme", "/v1/metrics")
    config = f'[telemetry]\notlp_metrics_url = "{url}"\notlp_metrics_seconds = 5\nattribution_rules = "{home / "rules.toml"}"\n'
    with Company(home, config=config) as running:
        running.hire("Ada")
        running.hire("Cleo", 0)
        running.key("Cleo", ADMIN, scope="admin")
        running.openai("Ada").chat.completions.create(
            model="gpt-4o-mini", max_completion_tokens=50, messages=[{"role": "user", "content": SECRET_WORDS}]
        )
        running.quiet()
        running.start_web()
        yield running


def sent(company, body, key=ADMIN, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", company.web_port, timeout=30)
    told = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if key:
        told["authorization"] = f"Bearer {key}"
    connection.request("POST", "/v1/traces", body, told)
    answer = connection.getresponse()
    found = answer.status, answer.headers["content-type"], json.loads(answer.read())
    connection.close()
    return found


def drained(company):
    """Waits until nothing that was reported is outside the lake."""
    deadline = time.monotonic() + 60
    while list((company.home / "spool").glob("calls-*")) and time.monotonic() < deadline:
        time.sleep(0.1)


def test_a_collector_is_sent_what_was_spent_although_it_was_away(company, collector):
    deadline = time.monotonic() + 60
    while len(collector.hooks) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    hook = collector.hooks[1]
    assert (hook.path, hook.headers["content-type"]) == ("/v1/metrics", "application/json")
    (resource,) = json.loads(hook.body)["resourceMetrics"]
    metrics = {one["name"]: one for one in resource["scopeMetrics"][0]["metrics"]}
    (point,) = metrics["tokenroll.burn.credits"]["sum"]["dataPoints"]
    assert {"key": "department", "value": {"stringValue": "Engineering"}} in point["attributes"]
    assert round(point["asDouble"] * 10**9) == company.spent_by_all()
    assert b"Ada" not in hook.body
    assert company.log("web").count("live usage does not arrive") == 1


def test_a_programs_spans_are_usage_like_any_other(company):
    assert sent(company, exported(span(1))) == (200, "application/json", {})
    packed = gzip.compress(exported(span(1), span(2), span(3, gen_ai__usage__input_tokens="many")))
    status, _, told = sent(company, packed, content_encoding="gzip")
    assert (status, told["partialSuccess"]["rejectedSpans"]) == (200, "1")
    assert "many" in told["partialSuccess"]["errorMessage"]
    drained(company)
    answer = company.tokenroll(
        "usage",
        "query",
        "--by",
        "member,department",
        "--measure",
        "calls,input,list",
        "--where",
        "source=otel",
        "--json",
    )
    assert answer["rows"] == [
        {
            "member": "ada@acme.example", "department": "Engineering", "call_count": 2, "input_tokens": 1_200,
            "list_cost": {"amount": "0.000300000", "unit": "USD"},
        }
    ]  # fmt: skip
    kept = [path for path in company.home.rglob("*") if path.is_file() and b"Initech" in path.read_bytes()]
    assert kept == []


def test_what_was_acknowledged_survives_the_death_of_the_process(company):
    assert sent(company, exported(span(101), span(102), service="kill"))[0] == 200
    company.end("web")
    company.start_web()
    assert sent(company, exported(span(102), span(103), service="kill"))[0] == 200
    drained(company)
    question = ("usage", "query", "--by", "member", "--where", "project=kill", "--measure", "calls", "--json")
    assert company.tokenroll(*question)["rows"] == [{"member": "ada@acme.example", "call_count": 3}]


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (exported(span(9)), {"key": ""}, 401, "Send a live key"),
        (exported(span(9)), {"key": "Ada"}, 403, "--scope admin"),
        (b"\x0a\x00", {"content_type": "application/x-protobuf"}, 415, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json"),
        (exported(span(9)), {"content_encoding": "br"}, 415, "packed with gzip, not br"),
        (b"no gzip", {"content_encoding": "gzip"}, 400, "no gzip"),
        (gzip.compress(exported(span(9)))[:-9], {"content_encoding": "gzip"}, 400, "not one whole gzip stream"),
        (gzip.compress(b" " * (17 << 20)), {"content_encoding": "gzip"}, 413, "send fewer at once"),
        (b" " * (17 << 20), {}, 413, "send fewer at once"),
        (b"{", {}, 400, "no OTLP in JSON"),
        (b"[" * 100_000, {}, 400, "no OTLP in JSON"),
        (b'{"resourceSpans":' + b'[{"a":' * 100_000, {}, 400, "no OTLP in JSON"),
        (b'{"resourceSpans":{}}', {}, 400, "no OTLP in JSON"),
    ],
)
def test_what_cannot_be_taken_is_told_why(company, body, headers, status, says):
    key = headers.pop("key", ADMIN)
    got, kind, problem = sent(company, body, company.keys.get(key, key), **headers)
    assert (got, kind, problem["status"]) == (status, "application/problem+json", status)
    assert says in problem["detail"]
