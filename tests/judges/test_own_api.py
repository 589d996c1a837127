"""Our own HTTP interface against the OpenAPI document that it serves of itself: schemathesis makes up requests, sound and unsound ones.

An answer must have a status and a type that the document names, fit its shape, refuse what the document does not allow, and want a key.
"""

import datetime
import http.client
import json

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from starlette.routing import Mount, Route

from tests.company import CREDIT, Company
from tokenroll.api import anthropic_usage, openai_usage
from tokenroll.api.application import Branch, create_api
from tokenroll.api.openapi import LAKE, document
from tokenroll.api.outcomes import OWN_PATH as OUTCOMES
from tokenroll.api.outcomes import outcome_routes
from tokenroll.api.scim import PLACE, create_scim
from tokenroll.api.traces import PATH as TRACES
from tokenroll.api.traces import traces_route
from tokenroll.app import Reader
from tokenroll.gateway.answers import ANTHROPIC, ENDPOINTS, OPENAI
from tokenroll.services.outcome_log import OutcomeLog
from tokenroll.services.span_intake import SpanIntake

ADMIN = "tr-cleo-asks-about-all"
CALM = [
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
    HealthCheck.data_too_large,
]


@pytest.fixture(scope="module")
def firm(tmp_path_factory):
    """A company with something of everything that can be asked about."""
    with Company(tmp_path_factory.mktemp("own") / "home") as running:
        running.hire("Ada", 100 * CREDIT)
        running.hire("Cleo", 0)
        running.key("Cleo", ADMIN, scope="admin")
        running.do("pool.create", name="Fund", department="Engineering")
        running.do("limit.create", name="ada-calls", member="Ada", measure="calls", cap=100, window="day")
        for model in ("gpt-4o-mini", "gpt-4o"):
            running.openai("Ada").chat.completions.create(
                model=model, max_completion_tokens=50, messages=[{"role": "user", "content": "How much is left?"}]
            )
        running.anthropic("Ada").messages.create(
            model="claude-haiku-4-5", max_tokens=50, messages=[{"role": "user", "content": "How much is left?"}]
        )
        running.quiet()
        running.start_web()
        yield running
        running.ledger_verify()


api = schemathesis.openapi.from_dict(document())


NOT_JUDGED = [
    # it asks with the other of the two keys and leaves ours in place; that a key is wanted has a test below
    ignored_auth,
]
WRITES = [
    # what a name may be, and whose it is, is no matter of a shape: a sound document may be refused in words
    positive_data_acceptance,
    # RFC 7643 has attributes that are not known here passed over, and a PUT of anything is one of nothing
    negative_data_rejection,
]
GRAMMARS = [
    # a filter is a text with a grammar and names of attributes, which no shape tells
    positive_data_acceptance,
]
LAKE_GRAMMARS = [
    # dimensions, conditions and months that the lake knows enough of are no matter of a shape
    positive_data_acceptance,
]
INTERVALS = [
    # that a time does not end before it begins is a matter of two fields, and no shape's
    positive_data_acceptance,
]


def ends_before_it_begins(case):
    """Whether the time that a report is asked for has an end before its beginning."""
    start, end = (str(case.query.get(name)) for name in ("start_time", "end_time"))
    return start.isdigit() and end.isdigit() and int(end) < int(start)


def held_to_its_word(firm, case):
    excluded = NOT_JUDGED + (WRITES if case.method != "GET" else GRAMMARS if case.path.startswith(PLACE) else [])
    if case.path in LAKE:
        excluded = excluded + LAKE_GRAMMARS
    if ends_before_it_begins(case):
        excluded = excluded + INTERVALS
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{firm.web_port}",
        headers={"authorization": f"Bearer {ADMIN}"},
        excluded_checks=excluded,
    )


@api.include(path_regex="^/api/").parametrize()
@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=CALM)
def test_every_answer_is_what_the_document_says(firm, case):
    held_to_its_word(firm, case)


@pytest.mark.judge
@pytest.mark.timeout(600)
@api.parametrize()
@settings(max_examples=300, deadline=None, suppress_health_check=CALM)
def test_every_answer_is_what_the_document_says_however_it_is_asked(firm, case):
    held_to_its_word(firm, case)


def addresses(routes, prefix=""):
    """Every address of some routes, as the document spells it."""
    for route in routes:
        if isinstance(route, Mount):
            yield from addresses(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            yield (
                prefix + route.path.replace("{model:path}", "{model}"),
                (getattr(route.endpoint, "methods", None) or route.methods or {"GET"}) - {"HEAD"},
            )


def test_every_route_stands_in_the_document_and_nothing_else_does(firm):
    reader = Reader(firm.settings)
    usage = [
        *openai_usage.usage_routes(reader, ENDPOINTS.values(), OPENAI),
        *anthropic_usage.usage_routes(reader, ENDPOINTS.values(), ANTHROPIC),
        traces_route(reader, SpanIntake(firm.settings.spool_directory, firm.settings.lake_directory)),
        *outcome_routes(reader, OutcomeLog(firm.settings.outcomes_path), firm.settings.outcomes, reader.clock),
    ]
    served: dict[str, set[str]] = {}
    for path, methods in addresses([Branch("/api", create_api(reader)), Branch(PLACE, create_scim(reader)), *usage]):
        if "{rest" not in path and not path.endswith(("/Me", "/Bulk")):  # what is answered 404 and 501 by name
            one_method = {"POST"} if path in {TRACES, OUTCOMES} else {"GET"}
            served.setdefault(path, set()).update(
                one_method if path.startswith("/v1/") or path == OUTCOMES else methods
            )
    reader.close()
    told = {path: {one.upper() for one in operations} for path, operations in document()["paths"].items()}
    assert told == served


def test_nothing_else_is_answered_without_a_key(firm):
    found = {}
    for path, operations in document()["paths"].items():
        for method in operations:
            for key in ({}, {"authorization": "Bearer tr-nobody"}):
                status, _, _ = asked_of_the_pages(
                    firm, path.replace("{cycle}", "2026-01").replace("{", "").replace("}", ""), method.upper(), key
                )
                found[path, method, bool(key)] = status
    assert {one for one, status in found.items() if status != 401} == {
        ("/api/openapi.json", "get", False), ("/api/openapi.json", "get", True),
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/api/members/A%0Ada", "/api/ratecards/gpt%0A4o", "/scim/v2/Users/Ada%0ALovelace"])
def test_an_address_with_a_line_break_is_answered_by_the_door_it_is_of(firm, path):
    status, headers, body = asked_of_the_pages(firm, path, headers={"authorization": f"Bearer {ADMIN}"})
    kind = "application/scim+json" if path.startswith("/scim") else "application/problem+json"
    assert (status, headers["content-type"], int(json.loads(body)["status"])) == (404, kind, 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("TRACE", "/v1/organization/usage/completions?start_time=0", "GET, HEAD"),
        ("OPTIONS", "/v1/organizations/cost_report?starting_at=2026-01-01T00:00:00Z", "GET, HEAD"),
        ("GET", "/v1/traces", "POST"),
        ("PUT", "/api/outcomes", "POST"),
        ("POST", "/api/metrics", "GET, HEAD"),
        ("OPTIONS", "/scim/v2/Users", "GET, HEAD, POST"),
        ("TRACE", "/scim/v2/Groups/0", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PUT", "/scim/v2/Users/.search", "POST"),
        ("DELETE", "/me", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_there_are(firm, method, path, allowed):
    status, headers, _ = asked_of_the_pages(firm, path, method, {"authorization": f"Bearer {ADMIN}"})
    assert status == 405
    assert ", ".join(sorted(headers["allow"].split(", "))) == allowed


def test_a_slip_of_a_cycle_that_is_open_is_in_the_document_too(firm):
    cycle = datetime.datetime.now(datetime.UTC).strftime("%Y-%m")
    status, _, body = asked_of_the_pages(firm, f"/api/me/payslips/{cycle}", headers={"x-api-key": firm.keys["Ada"]})
    slip = json.loads(body)
    assert (status, slip["name"], "closed_at" in slip) == (200, "Ada", False)
    told = document()
    assert jsonschema_rs.is_valid({"$ref": "#/components/schemas/PaySlip", "components": told["components"]}, slip)


def test_the_document_is_served_to_anybody(firm):
    status, headers, body = asked_of_the_pages(firm, "/api/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == json.loads(json.dumps(document()))


def asked_of_the_pages(firm, path, method="GET", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", firm.web_port, timeout=30)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found
