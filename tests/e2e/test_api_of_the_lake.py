"""Usage, forecasts, runways and costs over HTTP: with an admin key, in the words and the JSON of the command line."""

import http.client
import json
from datetime import UTC, datetime

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tests.lake_kit import event
from tests.served import served
from tokenroll.api.application import create_api
from tokenroll.app import Reader
from tokenroll.cli import main
from tokenroll.cli.init import make_home
from tokenroll.services.keys import key_hash
from tokenroll.services.lake_desk import BUSY, LIBRARY, LakeDeskError
from tokenroll.settings import load_settings
from tokenroll.store.lake import open_lake

ADA, CLEO = "tr-ada", "tr-cleo"


def at(month, day):
    return int(datetime(2026, month, day, 12, tzinfo=UTC).timestamp()) * 10**6


class Asking:
    """Asks the served interface of one home."""

    def __init__(self, home, reader, port):
        self.home = home
        self.reader = reader
        self._port = port

    def __call__(self, path, secret=CLEO):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", path, headers={"authorization": f"Bearer {secret}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Asks over a real socket; thirty-one days of January went around the gateway, ten days of calls through it."""
    home = tmp_path_factory.mktemp("lake-api")
    make_home(load_settings(home), "A small firm", "UTC")
    settings = load_settings(home)
    firm = Firm(JANUARY, settings.database_path)
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    for name, secret, scope in (("Ada", ADA, "inference"), ("Cleo", CLEO, "admin")):
        firm.hire(name)
        firm.do("key.create", member=name, name="k", scope=scope, secret_hash=key_hash(settings.pepper(), secret.encode()).hex(),
                shown_prefix=secret)  # fmt: skip
    firm.do("grant.create", to="Ada", plan="tools")
    for day in range(10):
        firm.now = JANUARY + day * DAY + 12 * HOUR
        firm.call("Ada", 1, 8 * CREDIT)
    firm.now = JANUARY + 10 * DAY + 9 * HOUR
    with open_lake(settings.lake_directory) as lake:
        lake.append(
            [
                event(day, at(1, day), list_cost_nanos=CREDIT * (1 + day % 3), department="Engineering")
                for day in range(1, 32)
            ],
            {"story": 1},
        )
        lake.roll_up()
    reader = Reader(settings)
    reader.clock = lambda: firm.now
    with served(Starlette(routes=[Mount("/api", create_api(reader))])) as port:
        yield Asking(home, reader, port)
    reader.close()
    firm.connection.close()
    firm.connection.engine.dispose()


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/api/usage?by=department,month&measure=calls,list&where=source=claude-code", "usage query --by department,month --measure calls,list --where source=claude-code"),
        ("/api/usage?by=day&measure=list&where=source=claude-code&from=2026-01-03&until=2026-01-06&order=-list&limit=2",
         "usage query --by day --measure list --where source=claude-code --from 2026-01-03 --until 2026-01-06 --order=-list --limit 2"),
        ("/api/forecasts?from=2026-02-01&days=7&where=source=claude-code", "forecast show --from 2026-02-01 --days 7 --where source=claude-code"),
        ("/api/costs/explain?month=2026-01&by=department", "cost explain --month 2026-01 --by department"),
        ("/api/costs/anomalies", "cost anomalies"),
        ("/api/costs/share?month=2026-01&our_key=apikey_1", "cost share --month 2026-01 --our-key apikey_1"),
    ],
)  # fmt: skip
def test_it_says_what_the_command_line_says(asked, path, command, monkeypatch, capsys):
    status, told, _ = asked(path)
    assert status == 200
    monkeypatch.setenv("TOKENROLL_HOME", str(asked.home))
    capsys.readouterr()
    assert main([*command.split(" "), "--no-seal", "--json"]) == 0
    assert told == json.loads(capsys.readouterr().out)


def test_usage_is_exact(asked):
    _, told, _ = asked("/api/usage?by=member&measure=calls,list&where=source=claude-code")
    # days 1 to 31: eleven of 2, ten of 3 and ten of 1
    assert told["rows"] == [{"member": "Ada", "call_count": 31, "list_cost": {"amount": "62.000000000", "unit": "USD"}}]


def test_runways_are_those_of_the_ledger(asked):
    status, told, _ = asked("/api/runways?wallet=Ada")
    assert status == 200
    (ada,) = told["wallets"]
    assert (ada["left"], ada["chance"], ada["dry_50"]) == (
        {"amount": "20.000000000", "unit": "credits"},
        1.0,
        "2026-01-13",
    )
    assert [one["name"] for one in asked("/api/runways")[1]["wallets"]] == ["Ada", "Cleo"]


def test_anybody_has_their_own_runway(asked):
    status, told, _ = asked("/api/me/runway", ADA)
    assert (status, told["name"], told["unit"]) == (200, "Ada", "credits")
    assert told["past"][1] == {"on": "2026-01-02", "left": {"amount": "92.000000000", "unit": "credits"}}
    assert told["cone"][1]["middle"] == 12.0


@pytest.mark.parametrize(
    "path",
    ["usage", "forecasts", "runways", "costs/explain?month=2026-01", "costs/anomalies", "costs/share?month=2026-01"],
)
def test_of_others_only_an_admin_may_ask(asked, path):
    assert asked(f"/api/{path}", ADA)[0] == 403
    assert asked(f"/api/{path}", "tr-nobody")[0] == 401


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("usage?by=mood", "there is no dimension 'mood'"),
        ("usage?by=hour&where=member=Ada", "the hours of one person are theirs alone"),
        ("usage?limit=none", "limit must be a whole number from 1 on, not 'none'"),
        ("usage?where=", "where may come 100 times at most, and never empty"),
        ("usage?where=nothing", "'nothing' is no condition"),
        ("forecasts?by=mood", "by is company, team, member, model, not 'mood'"),
        ("forecasts?hourly=maybe", "hourly is true or false, not 'maybe'"),
        ("forecasts?days=400", "a forecast is of 1 to 366 days, not 400"),
        ("forecasts?from=2026-01-05", "a forecast needs 21"),
        ("costs/explain", "month is missing, such as month=2026-11"),
        ("costs/explain?month=2026-13", "month: '2026-13' is no month such as 2026-11"),
        ("costs/anomalies?cost=dear", "a cost is one of list, net, billed, charge, not 'dear'"),
    ],
)
def test_what_cannot_be_asked_says_what_can(asked, path, says):
    status, problem, headers = asked(f"/api/{path}")
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert says in problem["detail"]


@pytest.mark.parametrize(("kind", "status", "retry"), [(BUSY, 503, "5"), (LIBRARY, 501, None)])
def test_not_now_and_not_here_are_told_apart(asked, monkeypatch, kind, status, retry):
    def refuse(_kind, _facts):
        raise LakeDeskError(kind, "why, and what to do")

    monkeypatch.setattr(asked.reader.lake, "ask", refuse)
    got, problem, headers = asked("/api/usage")
    assert (got, problem["detail"], headers["retry-after"]) == (status, "why, and what to do", retry)
