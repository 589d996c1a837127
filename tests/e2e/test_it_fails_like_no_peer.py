"""The failures of other gateways that are about routes and scopes, on every route and in every scope there is (docs/peers_failures.md).

Processes of their own, a provider with its own bill, no client library: a route is a row of `routes.py`, a scope a row below. Each test goes
over all of them and names at once all that fail.
"""

import json
import re
import signal
from collections import Counter
from importlib.metadata import files
from pathlib import Path

import pytest

from tests.company import CREDIT, Company
from tests.e2e.routes import ERRANDS, ROUTES, Answer, AtOnce, Route, asked, gone, sent
from tokenroll.app import open_reports
from tokenroll.gateway.answers import ENDPOINTS
from tokenroll.model.amount import nanos_from_text
from tokenroll.model.instant import MICROS_PER_SECOND
from tokenroll.services.keys import key_hash, shown_prefix

ROOT = Path(__file__).resolve().parent.parent.parent
METERED = {name: route for name, route in ROUTES.items() if not route.is_free}
AT_ONCE = {name: route for name, route in ROUTES.items() if not route.goes_on}
"""Ways whose answer says what it cost; the others are charged when their provider has been asked."""
SCOPES = ("company", "parent department", "department", "member", "key", "model", "tag")
DAY_MICROS = 86_400 * MICROS_PER_SECOND
TAGGED = {"x_tokenroll_tags": "close"}


def names_of_ours() -> str:
    """A second name for every model, as a deployment may give it."""
    models = sorted({route.model for route in ROUTES.values()})
    return "aliases = {" + ", ".join(f'"our-{model}" = "{model}"' for model in models) + "}\n"


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    home = tmp_path_factory.mktemp("peers") / "home"
    with Company(home, moving_clock=True, deployment=names_of_ours()) as running:
        running.clock_to_hour(1)  # no cycle turns under a test that does not turn it
        running.do("department.create", name="Ledgers", parent="Finance")
        running.hire("Ada", department="Ledgers")
        running.hire("Bo")
        yield running
        running.prove()


@pytest.fixture(autouse=True)
def let_go(request):
    """A test that fails while answers are withheld withholds none of the next one's."""
    yield
    if "company" in request.fixturenames:
        request.getfixturevalue("company").provider.release()


@pytest.fixture
def limits(company):
    """Makes limits of calls for one scope; they are removed again."""
    made: list[str] = []

    def create(scope: str, cap: int, window: str = "cycle") -> dict[str, str]:
        """The name of the limit that counts each route."""
        subjects: dict[str, dict[str, object]] = {
            "company": {}, "parent department": {"department": "Finance"}, "department": {"department": "Ledgers"},
            "member": {"member": "Ada"}, "key": {"key": key_of(company, "Ada")}, "tag": {"tag": "close"},
        }  # fmt: skip
        if scope == "model":
            found: dict[str, str] = {}
            for model in sorted({route.model for route in ROUTES.values()}):
                mine = [name for name, route in ROUTES.items() if route.model == model]
                found |= dict.fromkeys(mine, f"{scope} {model}")
                # a cap of all routes is for each model what its own routes are
                own = len(mine) if cap == len(ROUTES) else cap
                company.do(
                    "limit.create", name=f"{scope} {model}", model=model, measure="calls", cap=own, window=window
                )
            made.extend(sorted(set(found.values())))
            return found
        company.do("limit.create", name=f"{scope} limit", measure="calls", cap=cap, window=window, **subjects[scope])
        made.append(f"{scope} limit")
        return dict.fromkeys(ROUTES, f"{scope} limit")

    yield create
    for name in made:
        company.do("limit.remove", limit=name)


def key_of(company: Company, name: str) -> str:
    """The id of a member's only inference key."""
    with open_reports(company.settings) as reports:
        (key,) = reports.keys(name)
    return str(key["key"])


def windows(company: Company, limit: str) -> list[int]:
    """How many calls a limit counted, by window, newest first."""
    company.quiet()
    with open_reports(company.settings) as reports:
        return [int(one["used"]["amount"]) for one in reports.limit(limit)["windows"]]


def reached(company: Company) -> int:
    """How many requests any provider has seen."""
    return int(company.provider.state()["requests"])


def settled(company: Company) -> None:
    """All is quiet, and what goes on has been found out. That the bill is the ledger to the nano is proven when the company ends."""
    company.quiet()
    company.until(lambda: not company.calls_open(), "what is found out")


# ---- the table itself ------------------------------------------------------------------------------------------------------


def test_the_table_has_every_endpoint_that_the_gateway_serves():
    """Batches of a file and jobs need the file first: test_it_limits_what_needs_a_file.py has their scopes, tests/judges/test_openai_batches.py
    and test_fine_tuning.py their failures."""
    need_a_file = {b"/v1/batches", b"/v1/fine_tuning/jobs"}
    assert {route.path.encode() for route in ROUTES.values()} == set(ENDPOINTS) - need_a_file


def test_every_route_of_the_table_is_a_call_that_passes_and_its_cost_is_its_own(company):
    """T7, T21, T40: metered on each, an id of its own, and what headers tell adds up to what the wallet lost."""
    before = company.wallet("Bo")
    answers = {name: asked(company.port, route, company.keys["Bo"]) for name, route in ROUTES.items()}
    assert {name: one.body for name, one in answers.items() if not one.passed} == {}
    assert len({one.headers["x-tokenroll-call-id"] for one in answers.values()}) == len(ROUTES)
    settled(company)
    by_call = {one["call"]: one["charge_nanos"] for one in company.calls("Bo")}
    charges = {name: by_call[one.headers["x-tokenroll-call-id"]] for name, one in answers.items()}
    assert {name for name, charge in charges.items() if charge == 0} == set(ROUTES) - set(METERED)
    told = {name: one.headers["x-tokenroll-cost"] for name, one in answers.items() if "x-tokenroll-cost" in one.headers}
    assert set(told) == {name for name, route in AT_ONCE.items() if not route.streams}
    assert {name: nanos_from_text(text) for name, text in told.items()} == {name: charges[name] for name in told}
    assert company.wallet("Bo").spent - before.spent == sum(charges.values())


# ---- scopes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_counts_every_route_and_then_refuses_every_route_in_words(company, limits, scope):
    """T2, T7, T37, T39, T45: as many calls as the cap has room for, one at each route; then none at any of them, and each says why.

    The limit is new although its subject has called before: what was before it does not count (T37).
    """
    names = limits(scope, len(ROUTES))
    key = company.keys["Ada"]
    refused = {
        name: answer.body
        for name, route in ROUTES.items()
        if not (answer := asked(company.port, route, key, **TAGGED)).passed
    }
    assert refused == {}
    assert sum(windows(company, limit)[0] for limit in set(names.values())) == len(ROUTES)
    settled(company)
    before, seen = company.wallet("Ada"), reached(company)
    unlike = {}
    for name, route in ROUTES.items():
        answer = asked(company.port, route, key, **TAGGED)
        status = 402 if route.dialect == "anthropic" else 429
        said = (answer.status, answer.headers.get("x-should-retry"), answer.headers.get("x-tokenroll-limit"))
        if said != (status, "false", names[name]) or not is_full_denial(answer.words, names[name]):
            unlike[name] = (said, answer.body)
    assert unlike == {}
    assert (company.wallet("Ada"), reached(company)) == (before, seen)


def is_full_denial(words: str, limit: str) -> bool:
    """Whether it names the scope, what is left, what is needed, when more arrives and who can approve (law 4)."""
    return bool(
        re.search(
            rf"The limit {re.escape(limit)} \(the \w+.*\) has 0 calls left in this \w+, and this call may take up to 1 calls\.",
            words,
        )
        and "There is room for it again at " in words
        and "can be approved by " in words
    )


@pytest.mark.parametrize("scope", SCOPES[:-2] + SCOPES[-1:])
def test_of_one_call_at_each_route_all_at_once_exactly_as_many_pass_as_the_scope_has_room_for(company, limits, scope):
    """T1, T2, T13: no answer comes back before all have been judged, so nothing but the hold keeps the sixth out."""
    limits(scope, 5)
    company.provider.hold()
    calls = AtOnce(company.port, [(route, company.keys["Ada"]) for route in AT_ONCE.values()], **TAGGED)
    try:
        company.until(lambda: calls.answered == len(AT_ONCE) - 5, "all but five answers")
    finally:
        company.provider.release()
    answers = [answer for answer in calls.finish() if answer is not None]
    assert sum(answer.passed for answer in answers) == 5
    assert {answer.code for answer in answers if not answer.passed} == {"limit_reached"}
    settled(company)


def test_of_two_calls_at_each_route_all_at_once_exactly_one_passes_for_each_model_that_has_room_for_one(
    company, limits
):
    """T1, T2, T13: the same race for the scope that differs from route to route."""
    limits("model", 1)
    routes = [*AT_ONCE.values()] * 2
    models = {route.model for route in routes}
    company.provider.hold()
    calls = AtOnce(company.port, [(route, company.keys["Ada"]) for route in routes])
    try:
        company.until(lambda: calls.answered == len(routes) - len(models), "all answers but one of each model")
    finally:
        company.provider.release()
    ended = [(route.model, answer) for route, answer in zip(routes, calls.finish(), strict=True) if answer is not None]
    assert Counter(model for model, answer in ended if answer.passed) == dict.fromkeys(models, 1)
    assert {answer.code for _, answer in ended if not answer.passed} == {"limit_reached"}
    settled(company)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_day_that_turns_under_all_routes_is_counted_where_each_call_was_admitted(company, limits, scope):
    """T3, T35, T36: nothing is reset by anybody, and what was just spent is spent on its own day."""
    names = limits(scope, len(ROUTES), window="day")
    key, count = company.keys["Ada"], len(ROUTES)
    company.clock_to_hour(1)
    admitted = company.metric("tokenroll_calls_total")
    company.provider.hold()
    calls = AtOnce(company.port, [(route, key) for route in ROUTES.values()], **TAGGED)
    company.until(lambda: company.metric("tokenroll_calls_total") == admitted + count, "all calls")
    company.clock.advance(DAY_MICROS)
    company.provider.release()
    assert [answer.status for answer in calls.finish() if answer is not None] == [200] * count
    settled(company)
    assert [asked(company.port, route, key, **TAGGED).status for route in ROUTES.values()] == [200] * count
    assert not any(asked(company.port, route, key, **TAGGED).passed for route in ROUTES.values())
    by_limit = [windows(company, limit) for limit in sorted(set(names.values()))]
    assert {len(found) for found in by_limit} == {2}
    assert [sum(found[place] for found in by_limit) for place in (0, 1)] == [count, count]
    settled(company)


def test_a_model_is_one_model_under_every_name_on_every_route(company, limits):
    """T44: asked by the deployment's own name for it until the limit of the model is used; then it is refused by both."""
    limits("model", len(ROUTES))
    key = company.keys["Ada"]
    passed = {name: asked(company.port, route.of(f"our-{route.model}"), key).status for name, route in ROUTES.items()}
    assert set(passed.values()) == {200}, passed
    settled(company)
    again = {
        (name, mark): asked(company.port, route.of(mark + route.model), key).passed
        for name, route in ROUTES.items()
        for mark in ("", "our-")
    }
    assert not any(again.values()), again


# ---- wallets and pools -----------------------------------------------------------------------------------------------------


def bound_nanos(company: Company, route: Route) -> int:
    """What a call of this route is held for, as its answer says."""
    answer = asked(company.port, route, company.keys["Bo"])
    return nanos_from_text(answer.headers["x-tokenroll-hold-max"])


def purse_of(company: Company, purse: str, name: str, nanos: int) -> tuple[str, str]:
    """A member who pays from a wallet or a pool with so much in it: the key, and whose money it is."""
    who = f"{purse} of {name}"
    if purse == "wallet":
        return company.hire(who, nanos), who
    company.do("department.create", name=who)
    company.do("pool.create", name=f"{who} fund", department=who)
    company.grant(f"{who} fund", nanos)
    return company.hire(who, 0, department=who), f"{who} fund"


def cancelled(company: Company, route: Route, key: str, answer: Answer) -> None:
    """What goes on is told to end, so that nobody has to wait for it."""
    place = f"{route.path}/{json.loads(answer.body)['id']}/cancel"
    assert company.request("POST", place, b"", route.head_lines(key))[0] == 200


@pytest.mark.parametrize("purse", ["wallet", "pool"])
def test_of_eight_calls_at_once_a_purse_for_three_bounds_pays_three_on_every_route(company, purse):
    """T1, T16: the bound is the call's own, and no answer comes back before all have been judged."""
    bounds = {name: bound_nanos(company, route) for name, route in METERED.items()}
    purses = {name: purse_of(company, purse, name, 3 * bounds[name]) for name in METERED}
    company.provider.hold()
    calls = AtOnce(
        company.port,
        [(METERED[name], key) for name, (key, _) in purses.items() for _ in range(8)],
        x_sim_background_ms="60000",
    )
    receipts = 3 * sum(route.goes_on for route in METERED.values())
    try:
        company.until(lambda: calls.answered == 5 * len(METERED) + receipts, "all denials")
    finally:
        company.provider.release()
    answers = [answer for answer in calls.finish() if answer is not None]
    for place, (name, route) in enumerate(METERED.items()):
        mine = answers[8 * place : 8 * place + 8]
        passed = [answer for answer in mine if answer.passed]
        refused = 402 if route.dialect == "anthropic" else 429
        assert (name, len(passed)) == (name, 3)
        assert {(answer.status, answer.code) for answer in mine if not answer.passed} == {(refused, "wallet_empty")}, (
            name
        )
        for answer in passed if route.goes_on else ():
            cancelled(company, route, purses[name][0], answer)
    settled(company)
    paid = {name: company.wallet(owner) for name, (_, owner) in purses.items()}
    assert {name for name, one in paid.items() if one.left < 0 or one.spent > 3 * bounds[name]} == set()
    assert {name for name, one in paid.items() if not one.spent} == {
        "batches"
    }  # cancelled before any message of it was read


# ---- who may not call at all -----------------------------------------------------------------------------------------------


def made_key(company: Company, secret: str, **terms: object) -> tuple[str, str]:
    """A key of Bo's: its secret and its id."""
    reply = company.do(
        "key.create", member="Bo", name=secret, shown_prefix=shown_prefix(secret),
        secret_hash=key_hash(company.settings.pepper(), secret.encode()).hex(), **terms,
    )  # fmt: skip
    return secret, reply["key"]


def gate_key(company: Company, gate: str) -> str:
    """A key that may not call, for one reason."""
    secret = f"tr-gate-{gate.replace(' ', '-')}"
    if gate in {"admin", "provision"}:
        return made_key(company, secret, scope=gate)[0]
    if gate == "revoked":
        secret, public_id = made_key(company, secret)
        company.do("key.revoke", key=public_id)
        return secret
    if gate == "expired":
        secret, _ = made_key(company, secret, expires_at=company.clock() + 3600 * MICROS_PER_SECOND)
        company.clock.advance(2 * 3600 * MICROS_PER_SECOND)
        return secret
    if gate == "of a suspended member":
        company.hire("Eve", key=secret)
        company.do("member.suspend", member="Eve")
        return secret
    if gate == "of another model":
        return made_key(company, secret, models=["gpt-6-astra"])[0]
    if gate == "of a plan without the model":
        return company.hire("Dev", key=secret, terms={"access": {"models": ["gpt-6-astra"]}})
    if gate == "of an empty wallet":
        return company.hire("Cleo", 0, department="People", key=secret)
    return "tr-nobody"


GATES = {
    "unknown": (401, ROUTES | ERRANDS), "revoked": (401, ROUTES | ERRANDS), "expired": (401, ROUTES | ERRANDS),
    "admin": (403, ROUTES | ERRANDS), "provision": (403, ROUTES | ERRANDS), "of a suspended member": (401, ROUTES | ERRANDS),
    "of another model": (403, ROUTES | ERRANDS), "of a plan without the model": (403, ROUTES), "of an empty wallet": (0, METERED),
}  # fmt: skip
"""Why a key may not call: what it is answered (0: as an empty wallet in the route's dialect), and where."""


@pytest.mark.parametrize("gate", GATES)
def test_no_route_has_a_way_around_a_gate(company, gate):
    """T6, T9, T45: nothing is sent, nothing is held, and the refusal is in the words of the route."""
    status, routes = GATES[gate]
    key = gate_key(company, gate)
    company.quiet()
    spent, seen = company.spent_by_all(), reached(company)
    answers = {name: asked(company.port, route, key) for name, route in routes.items()}
    wanted = {name: status or (402 if route.dialect == "anthropic" else 429) for name, route in routes.items()}
    assert {name: answer.status for name, answer in answers.items()} == wanted, answers
    assert all(answer.words for answer in answers.values())
    company.quiet()
    assert (company.spent_by_all(), reached(company)) == (spent, seen)


def test_a_model_without_a_price_is_refused_on_every_route(company):
    """T31: never served, never free."""
    company.quiet()
    spent, seen = company.spent_by_all(), reached(company)
    answers = {
        name: asked(company.port, route.of("nobody-sells-it"), company.keys["Bo"]) for name, route in ROUTES.items()
    }
    wanted = {"openai": (404, "model_not_found"), "anthropic": (404, "unknown_model")}
    unlike = {
        name: answer for name, answer in answers.items() if (answer.status, answer.code) != wanted[ROUTES[name].dialect]
    }
    assert unlike == {}
    assert (company.spent_by_all(), reached(company)) == (spent, seen)


# ---- paths that are no route -----------------------------------------------------------------------------------------------


def client_paths(package: str, prefix: str) -> set[str]:
    """Every path that an official client asks for, with a name in place of each variable part."""
    found = set()
    for one in files(package) or []:
        if one.parts[:2] == (package, "resources") and one.suffix == ".py":
            text = Path(str(one.locate())).read_text()
            found |= {
                prefix + path for path in re.findall(rf'"({"/v1" if not prefix else ""}/[a-z_/]+[^"\s?]*)["?]', text)
            }
    return {re.sub(r"\{[^}]*\}", "x_1", path) for path in found}


def served_paths() -> list[re.Pattern[str]]:
    """What docs/endpoints.md says is served, and the reports of docs/admin_api.md. `…/cancel` is below the last whole path, `/translations` beside it."""
    page = (ROOT / "docs/endpoints.md").read_text()
    table = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    whole, paths = "", []
    for span in re.findall(r"`(?:[A-Z]+ )?(…?/[^`]+)`", table):
        if span.startswith("…"):
            paths.append(whole + span[1:])
        elif re.match(r"/(v\d|me)/", span):
            whole = span
            paths.append(span)
        else:
            paths.append(whole.rpartition("/")[0] + span)
    patterns = [re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)) for path in paths]
    return [*map(re.compile, patterns), re.compile(r"/v1/organizations?/.*")]


def test_no_path_that_the_official_clients_know_leads_around_the_meter(company):
    """T6: what is not on the page of endpoints reaches nobody, by whatever method."""
    paths = client_paths("openai", "/v1") | client_paths("anthropic", "")
    assert len(paths) > 150
    served = served_paths()
    strangers = sorted(path for path in paths if not any(one.fullmatch(path) for one in served))
    assert len(strangers) > 100
    company.quiet()
    spent, seen = company.spent_by_all(), reached(company)
    passed = []
    for path in strangers:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            headers = {"authorization": f"Bearer {company.keys['Bo']}", "content-type": "application/json"}
            status, _, _ = company.request(method, path, b'{"model":"gpt-4o-mini"}', headers)
            if status not in {404, 405}:
                passed.append((method, path, status))
    assert passed == []
    company.quiet()
    assert (company.spent_by_all(), reached(company)) == (spent, seen)


# ---- providers that fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["429", "500", "503", "529"])
def test_a_provider_that_refuses_costs_nothing_on_any_route(company, fault):
    """T14: relayed, and the hold is given back."""
    before = company.wallet("Bo")
    answers = {
        name: asked(company.port, route, company.keys["Bo"], x_sim_fault=fault) for name, route in ROUTES.items()
    }
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(ROUTES, int(fault))
    settled(company)
    assert company.wallet("Bo") == before == company.me("Bo")


def test_an_answer_that_never_comes_is_found_out_by_the_bill_on_every_route(tmp_path):
    """T14, T10: taken by the provider and never answered: checked, then charged what the bill says."""
    with Company(tmp_path / "home") as firm:
        firm.hire("Ada")
        answers = {
            name: asked(firm.port, route, firm.keys["Ada"], x_sim_fault="drop") for name, route in AT_ONCE.items()
        }
        assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(AT_ONCE, 502)
        firm.quiet()
        assert (firm.wallet("Ada").spent, firm.wallet("Ada").in_use) == (0, 0)
        said = firm.tokenroll("reconcile", "--bill", str(firm.bill_file(tmp_path / "bill.jsonl")), "--json")
        assert (said["resolved_count"], said["suspense_count"], said["difference_count"]) == (len(AT_ONCE), 0, 0)
        settled(firm)
        firm.prove()
        assert firm.wallet("Ada").spent == sum(line.cost_nanos for line in firm.bill()) > 0


def test_an_answer_without_usage_is_free_on_no_route(tmp_path):
    """T22, T42: a row, and never nothing. What it costs is evidence, and the bill may prove something else."""
    with Company(tmp_path / "home") as firm:
        firm.hire("Ada")
        answers = {
            name: asked(firm.port, route, firm.keys["Ada"], x_sim_fault="missing-usage")
            for name, route in AT_ONCE.items()
        }
        assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(AT_ONCE, 200)
        firm.quiet()
        charges = {one["call"]: one["charge_nanos"] for one in firm.calls("Ada")}
        free = {name for name, answer in answers.items() if not charges[answer.headers["x-tokenroll-call-id"]]}
        assert free == set(ROUTES) - set(METERED)
        firm.ledger_verify()


# ---- clients and processes that leave --------------------------------------------------------------------------------------


def test_a_client_that_does_not_wait_pays_for_its_answer_on_every_route(company):
    """T17, T18: gone before the first byte; the provider works on and bills, and so do we."""
    before, billed = company.wallet("Bo"), sum(line.cost_nanos for line in company.bill())
    held = int(company.provider.state()["held"])
    company.provider.hold()
    clients = [sent(company.port, route.raw(company.keys["Bo"])) for route in AT_ONCE.values()]
    company.until(lambda: company.provider.state()["held"] == held + len(AT_ONCE), "all calls at the provider")
    for client in clients:
        gone(client)
    company.until(lambda: company.metric("tokenroll_client_connections") <= 1, "their leaving")
    company.provider.release()
    settled(company)
    cost = sum(line.cost_nanos for line in company.bill()) - billed
    assert company.wallet("Bo").spent - before.spent == cost > 0
    assert len(company.calls("Bo", len(AT_ONCE))) == len(AT_ONCE)
    assert {one["outcome"] for one in company.calls("Bo", len(AT_ONCE))} == {"settled"}


def test_a_client_that_leaves_in_mid_stream_pays_for_all_of_it_on_every_route_that_streams(company):
    """T17: what was begun is read to its end."""
    streaming = [route for route in ROUTES.values() if route.streams]
    billed, before = sum(line.cost_nanos for line in company.bill()), company.wallet("Bo")
    for route in streaming:
        client = sent(company.port, route.raw(company.keys["Bo"], x_sim_interval_us="50000"))
        assert client.recv(64).startswith(b"HTTP/1.1 200")
        gone(client)
    settled(company)
    cost = sum(line.cost_nanos for line in company.bill()) - billed
    assert company.wallet("Bo").spent - before.spent == cost > 0


def all_under_way(firm: Company) -> AtOnce:
    """A call at each route that has reached the provider and not come back."""
    firm.provider.hold()
    calls = AtOnce(firm.port, [(route, firm.keys["Ada"]) for route in ROUTES.values()])
    firm.until(lambda: firm.provider.state()["held"] == len(AT_ONCE), "all calls at the provider")
    firm.until(lambda: calls.answered == len(ROUTES) - len(AT_ONCE), "the receipts")
    return calls


def test_a_gateway_that_is_killed_with_every_route_under_way_loses_none_of_them(tmp_path):
    """T10, T11, T23: each is checked, none is charged or given back unseen, and the bill settles all of them."""
    with Company(tmp_path / "home") as firm:
        firm.hire("Ada", 100 * CREDIT)
        calls = all_under_way(firm)
        firm.end("gateway")
        firm.provider.release()
        calls.finish()
        firm.start_gateway()
        firm.quiet()
        firm.tokenroll("reconcile", "--bill", str(firm.bill_file(tmp_path / "bill.jsonl")), "--json")
        settled(firm)
        firm.prove()
        assert len(firm.calls("Ada")) == len(ROUTES)
        assert firm.wallet("Ada").spent == sum(line.cost_nanos for line in firm.bill())
        assert firm.me("Ada") == firm.wallet("Ada")
        assert {asked(firm.port, route, firm.keys["Ada"]).status for route in ROUTES.values()} == {200}
        settled(firm)


def test_a_gateway_that_is_told_to_end_finishes_what_is_under_way_on_every_route(tmp_path):
    """T23: no answer is cut, no row is dropped."""
    with Company(tmp_path / "home") as firm:
        firm.hire("Ada", 100 * CREDIT)
        calls = all_under_way(firm)
        firm.ask_to_end("gateway")
        firm.provider.release()
        assert [answer.status for answer in calls.finish() if answer is not None] == [200] * len(ROUTES)
        firm.end("gateway", signal.SIGTERM)
        firm.start_gateway()
        settled(firm)
        firm.prove()
        assert len(firm.calls("Ada")) == len(ROUTES)
