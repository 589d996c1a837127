"""The JSON door over a real socket: one's own with an inference key, the company's with an admin key, problems as problem+json."""

import http.client
import json

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.firm import CREDIT, FEBRUARY, HOUR, JANUARY, Firm
from tests.postgresql_kit import with_ledger
from tests.served import served
from tokenroll.api.application import create_api
from tokenroll.app import Reader
from tokenroll.cli.init import make_home
from tokenroll.services.keys import key_hash
from tokenroll.settings import load_settings

ADA, CLEO, OKTA = "tr-ada", "tr-cleo", "tr-okta"


class Door:
    """Asks and reads the answer."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path, secret="", header="authorization"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            value = f"Bearer {secret}" if header == "authorization" else secret
            connection.request("GET", path, headers={header: value} if secret else {})
            answer = connection.getresponse()
            return answer.status, answer.headers["content-type"], json.loads(answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    home = tmp_path_factory.mktemp("api")
    make_home(load_settings(home), "A small firm", "UTC")
    settings = load_settings(home)
    firm = Firm(JANUARY, settings.database_path)
    for name, secret, scope in (("Ada", ADA, "inference"), ("Cleo", CLEO, "admin"), ("Okta", OKTA, "provision")):
        firm.hire(name)
        firm.do("key.create", member=name, name="k", scope=scope, secret_hash=key_hash(settings.pepper(), secret.encode()).hex(),
                shown_prefix=secret)  # fmt: skip
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    firm.do("grant.create", to="Ada", plan="tools")
    for nanos in (CREDIT, 2 * CREDIT):
        firm.call("Ada", 1, nanos)
    firm.now = FEBRUARY + HOUR
    firm.do("payrun.close", cycle="2026-01")
    reader = Reader(with_ledger(settings))
    with served(Starlette(routes=[Mount("/api", create_api(reader))])) as port:
        yield Door(port)
    reader.close()
    firm.connection.close()
    firm.connection.engine.dispose()


def test_it_tells_one_of_ones_own_wallet(door):
    status, kind, wallet = door.ask("/api/me/wallet", ADA)
    assert (status, kind) == (200, "application/json")
    assert wallet["name"] == "Ada"
    assert wallet["left"] == {"amount": "97.000000000", "unit": "credits"}
    assert door.ask("/api/me/wallet", ADA, header="x-api-key")[2]["wallet"] == wallet["wallet"]
    assert [one["amount"]["amount"] for one in door.ask("/api/me/grants", ADA)[2]] == ["100.000000000"]


def test_it_tells_calls_page_by_page_and_each_with_its_proof(door):
    _, _, first = door.ask("/api/me/calls?limit=1", ADA)
    assert [one["charge"]["amount"] for one in first["calls"]] == ["2.000000000"]
    _, _, second = door.ask(f"/api/me/calls?limit=1&before={first['before']}", ADA)
    assert [one["charge"]["amount"] for one in second["calls"]] == ["1.000000000"]
    assert second["before"] == 0
    _, _, story = door.ask(f"/api/me/calls/{first['calls'][0]['call']}", ADA)
    assert story["attempts"][0]["charge"] == {"amount": "2.000000000", "unit": "credits"}
    assert story["attempts"][0]["chain"]["proof_verified"] is True


def test_it_tells_of_a_closed_paper(door):
    _, _, slip = door.ask("/api/me/payslips/2026-01", ADA)
    assert (slip["paper"], slip["closing"]["amount"], slip["closed_at"]) == (
        "Allowance statement",
        "97.000000000",
        "2026-02-01T01:00:00Z",
    )


@pytest.mark.parametrize(
    ("path", "secret", "status", "says"),
    [
        ("/api/me/wallet", "", 401, "Send a live key"),
        ("/api/me/wallet", "tr-stranger", 401, "Send a live key"),
        ("/api/members", ADA, 403, "needs a key made with `--scope admin`"),
        ("/api/members", OKTA, 403, "needs a key made with `--scope admin`"),
        ("/api/me/calls/call_00000000000000000000000000000001", ADA, 404, "there is no call"),
        ("/api/me/payslips/soon", ADA, 400, "a cycle is a month such as 2026-01"),
        ("/api/me/calls?limit=x", ADA, 400, "limit must be a whole number"),
        ("/api/members/Ada?on=soon", CLEO, 400, "'soon' is not a date"),
        ("/api/members/Bo", CLEO, 404, "there is no member 'Bo'"),
        ("/api/nowhere", CLEO, 404, "Not Found"),
    ],
)
def test_it_states_a_problem_as_problem_json(door, path, secret, status, says):
    got, kind, problem = door.ask(path, secret)
    assert (got, kind) == (status, "application/problem+json")
    assert problem["status"] == status
    assert says in problem["detail"]


def test_it_keeps_a_members_call_from_another(door):
    call = door.ask("/api/me/calls", ADA)[2]["calls"][0]["call"]
    assert door.ask(f"/api/me/calls/{call}", CLEO)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "/departments", "/departments/Engineering", "/members", "/members?department=Engineering", "/members/Ada", "/members/Ada?on=2026-01-01", "/plans", "/plans/tools",
        "/grants?to=Ada", "/wallets", "/wallets/Ada", "/openings", "/pools", "/offers", "/proposals", "/ratecards", "/payruns", "/payruns/2026-01",
    ],
)  # fmt: skip
def test_it_answers_an_admin_about_the_company(door, path):
    status, kind, _ = door.ask(f"/api{path}", CLEO)
    assert (status, kind) == (200, "application/json")


def test_prometheus_reads_what_is_burnt_with_an_admin_key(door):
    """Read by the library that Prometheus' users know, as its scraper would."""
    from prometheus_client.parser import text_string_to_metric_families

    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    connection.request("GET", "/api/metrics", headers={"authorization": f"Bearer {CLEO}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {one.name: one for one in text_string_to_metric_families(text)}
    assert [(one.labels["department"], one.value) for one in found["tokenroll_burn_credits"].samples] == [
        ("Engineering", 3.0)
    ]
    assert found["tokenroll_burn_calls"].samples == [], "two people are too few to be told of, also under another name"
    assert "Ada" not in text
    assert door.ask("/api/metrics", ADA)[0] == 403
    assert door.ask("/api/metrics")[0] == 401
