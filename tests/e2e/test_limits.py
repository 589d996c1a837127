"""Limits as clients meet them: ledger and gateway in processes of their own, the official clients, a provider with its own bill.

Prices worked with, in nanos a token: gpt-4o 2,500 in, 10,000 out; gpt-4o-mini 150 in, 600 out. `HELLO` is 5 + 16 tokens.
"""

import threading

import anthropic
import openai
import pytest

from tests.company import CREDIT, Company
from tokenroll.app import open_reports

HELLO = [{"role": "user", "content": "How much is left?"}]


def ask(output_tokens=12, headers=None, **more):
    return {
        "model": "gpt-4o-mini",
        "messages": HELLO,
        "max_completion_tokens": 300,
        "extra_headers": {"x-sim-output-tokens": str(output_tokens), **(headers or {})},
        **more,
    }


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("limits") / "home", moving_clock=True) as running:
        running.clock_to_hour(1)  # neither a day nor a cycle turns under a test
        for name in ("Ada", "Bo", "Cleo", "Dev", "Nightly agent"):
            running.hire(name)
        yield running
        running.prove()


@pytest.fixture
def limit(company):
    made = []

    def create(name, **arguments):
        company.do("limit.create", name=name, **{"window": "cycle", **arguments})
        made.append(name)

    yield create
    for name in made:
        company.do("limit.remove", limit=name)


def limits(company):
    company.quiet()
    with open_reports(company.settings) as reports:
        return {one["name"]: one for one in reports.limits()}


def test_an_enforced_limit_of_calls_refuses_the_third_and_says_why_until_when_and_who_can_help(company, limit):
    limit("bo-calls", member="Bo", cap=2, measure="calls")
    client = company.openai("Bo")
    for _ in range(2):
        client.chat.completions.create(**ask())
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**ask())
    answer = refused.value.response
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (429, "insufficient_quota", "limit_reached")
    assert (
        "The limit bo-calls (the member Bo) has 0 calls left in this cycle, and this call may take up to 1 calls."
        in error["message"]
    )
    assert "There is room for it again at " in error["message"]
    assert "A higher cap can be approved by whoever runs the gateway." in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-tokenroll-denied"] == "limit_reached"
    assert answer.headers["x-tokenroll-limit"] == "bo-calls"
    assert "retry-after" not in answer.headers
    assert answer.headers["x-tokenroll-limit-turns"].endswith("T00:00:00Z")
    company.openai("Ada").chat.completions.create(**ask())  # nobody else is limited
    assert limits(company)["bo-calls"]["used"] == {"amount": "2", "unit": "calls"}


def test_the_other_dialect_is_refused_in_its_own_words(company, limit):
    limit("bo-none", member="Bo", cap=0)
    with pytest.raises(anthropic.APIStatusError) as refused:
        company.anthropic("Bo").messages.create(model="claude-haiku-4-5", max_tokens=300, messages=HELLO)
    answer = refused.value.response
    assert (answer.status_code, answer.json()["error"]["type"]) == (402, "billing_error")
    assert "The limit bo-none (the member Bo) has 0.00 credits left in this cycle" in answer.json()["error"]["message"]
    assert "It is more than the whole cap." in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


def test_a_limit_that_has_room_again_soon_is_a_rate_limit_and_the_client_waits_by_itself(company, limit):
    limit("dev-tokens", member="Dev", window="rolling", window_seconds=60, measure="model_tokens", cap=500)
    client = company.openai("Dev")
    client.chat.completions.create(**ask(max_completion_tokens=256))
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**ask(max_completion_tokens=350))
    answer = refused.value.response
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert "in the last 60 seconds" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "true"
    assert 50 <= int(answer.headers["retry-after"]) <= 62


def test_a_clamping_limit_lowers_the_cap_and_says_so(company, limit):
    # the request's bytes bound some 130 tokens in at 150, and what is left of 300,000 nanos affords some 470 out at 600
    limit("cleo-clamp", member="Cleo", cap=300_000, degrade="clamp")
    raw = company.openai("Cleo").chat.completions.with_raw_response.create(**ask(max_completion_tokens=4_000))
    cap = int(raw.headers["x-tokenroll-output-cap"])
    bound = raw.headers["x-tokenroll-hold-max"]
    assert 256 <= cap < 500
    assert 0.000299 < float(bound) <= 0.0003
    assert raw.headers["x-tokenroll-limit"] == "cleo-clamp; clamp"


def test_a_call_without_a_cap_gets_one_that_a_quarter_of_the_limit_affords(company, limit):
    limit("cleo-daily", member="Cleo", cap=4 * 10**6, window="day")
    raw = company.openai("Cleo").chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=HELLO)
    assert 0.00099 < float(raw.headers["x-tokenroll-hold-max"]) <= 0.001


def test_a_limit_on_a_model_sends_its_calls_to_a_cheaper_one_and_says_so(company, limit):
    limit("dear", model="gpt-4o", cap=1_000_000, degrade="cheaper_model", cheaper_model="gpt-4o-mini")
    before = len(company.bill())
    with company.moves("Ada", 21 * 150 + 12 * 600):
        raw = company.openai().chat.completions.with_raw_response.create(**ask(model="gpt-4o"))
    assert raw.headers["x-tokenroll-limit"] == "dear; cheaper_model"
    assert raw.headers["x-tokenroll-model"] == "gpt-4o-mini"
    assert raw.parse().model.startswith("gpt-4o-mini")
    assert [line.model for line in company.bill()[before:]] == ["gpt-4o-mini-2024-07-18"]
    assert limits(company)["dear"]["used"]["amount"] == "0.000000000"
    assert company.metric("tokenroll_reroutes_total") == 1


def test_a_call_that_fits_stays_with_its_model(company, limit):
    limit("dear", model="gpt-4o", cap=10**8, degrade="cheaper_model", cheaper_model="gpt-4o-mini")
    raw = company.openai().chat.completions.with_raw_response.create(**ask(model="gpt-4o"))
    assert "x-tokenroll-model" not in raw.headers
    assert limits(company)["dear"]["used"]["amount"] == "0.000172500"  # 21 × 2,500 + 12 × 10,000


def test_observing_records_and_warning_also_tells(company, limit):
    limit("seen", member="Ada", cap=0, enforcement="observe")
    limit("told", member="Ada", cap=0, enforcement="warn")
    raw = company.openai().chat.completions.with_raw_response.create(**ask())
    assert raw.headers["x-tokenroll-limit"] == "told; would-deny"
    assert "the limit told has 0.00 credits left in this cycle" in raw.headers["x-tokenroll-warning"]
    found = limits(company)
    assert [found[name]["would_deny_count"] for name in ("seen", "told")] == [1, 1]


def test_an_overage_lets_the_counter_run_a_named_amount_above_and_no_further(company, limit):
    limit("over", member="Ada", cap=10_000, degrade="overage", overage=190_000)
    raw = company.openai().chat.completions.with_raw_response.create(**ask())
    assert raw.headers["x-tokenroll-limit"] == "over; overage"
    with pytest.raises(openai.RateLimitError):
        company.openai().chat.completions.create(**ask())
    assert limits(company)["over"]["overage_count"] == 1


def test_tags_and_departments_and_keys_are_counted_each_for_itself(company, limit):
    limit("project-x", tag="project-x", cap=1, measure="calls")
    limit("engineering", department="Engineering", cap=100, measure="calls")
    limit("everybody", cap=100, measure="calls")
    client = company.openai()
    client.chat.completions.create(**ask(headers={"x-tokenroll-tags": "urgent, project-x"}))
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ask(headers={"x-tokenroll-tags": "project-x"}))
    client.chat.completions.create(**ask(headers={"x-tokenroll-tags": "project-y"}))
    company.openai("Cleo").chat.completions.create(**ask())
    used = {name: one["used"]["amount"] for name, one in limits(company).items()}
    assert used == {"project-x": "1", "engineering": "2", "everybody": "3"}
    call = company.calls("Ada", 1)[0]["call"]
    assert company.get(f"/me/calls/{call}", "Ada")[0] == 200


def test_tags_that_no_header_may_carry_are_refused(company):
    with pytest.raises(openai.BadRequestError) as refused:
        company.openai().chat.completions.create(**ask(headers={"x-tokenroll-tags": "x" * 129}))
    assert "x-tokenroll-tags: a tag has at most 128 printable ASCII characters" in str(refused.value)


def test_of_many_calls_at_once_exactly_as_many_pass_as_the_cap_has_room_for(company, limit):
    limit("burst", member="Nightly agent", cap=7, measure="calls")
    passed, refused = [], []
    client = company.openai("Nightly agent")

    def call():
        try:
            client.chat.completions.create(**ask())
            passed.append(1)
        except openai.RateLimitError:
            refused.append(1)

    threads = [threading.Thread(target=call) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), len(refused)) == (7, 23)


def test_a_gateway_that_dies_forgets_no_counter_and_an_override_ends_by_its_date(company, limit):
    limit("bo-calls", member="Bo", cap=1, measure="calls")
    company.openai("Bo").chat.completions.create(**ask())
    company.quiet()
    company.end("gateway")
    company.start_gateway()
    with pytest.raises(openai.RateLimitError):
        company.openai("Bo").chat.completions.create(**ask())
    until = company.clock() + 60_000_000
    company.do("limit.override", limit="bo-calls", cap=2, until=until)
    company.openai("Bo").chat.completions.create(**ask())
    company.do("limit.override", limit="bo-calls", cap=50, until=until)
    company.clock.advance(60_000_000)
    with pytest.raises(openai.RateLimitError):
        company.openai("Bo").chat.completions.create(**ask())
    status, me = company.get("/me/wallet", "Bo")
    assert (status, me["limits"][0]["name"], me["limits"][0]["used"]) == (200, "bo-calls", "2 calls")


def test_where_nothing_is_enforced_a_limit_refuses_nobody(tmp_path):
    with Company(tmp_path / "home", observe=True) as observing:
        observing.hire("Ada")
        observing.do("limit.create", name="none", member="Ada", window="day", cap=0)
        observing.openai().chat.completions.create(**ask())
        observing.do("limit.create", name="later", member="Ada", window="day", cap=0)
        observing.openai().chat.completions.create(**ask())
        found = limits(observing)
        assert [found[name]["would_deny_count"] for name in ("none", "later")] == [2, 1]
        assert observing.wallet("Ada").left < 100 * CREDIT
        observing.prove()


def test_a_plan_gives_access_to_what_it_names_and_its_floor_stays_usable_when_the_wallet_is_empty(tmp_path):
    with Company(tmp_path / "home") as firm:
        firm.do("pool.create", name="Floor", department="Finance")
        firm.grant("Floor", CREDIT)
        terms = {
            "access": {"models": ["gpt-4o", "claude-*"], "service_tiers": ["standard"]},
            "floor": {"model": "gpt-4o-mini", "pool": "Floor"},
        }
        firm.hire("Ada", 300_000, terms=terms)
        with pytest.raises(openai.PermissionDeniedError) as refused:
            firm.openai().chat.completions.create(**ask(model="gpt-6-astra"))
        assert "no access to the model 'gpt-6-astra', only to gpt-4o, claude-*." in str(refused.value)
        # gpt-4o is bounded at some three million nanos, of which Ada has 300,000: the floor's pool carries the cheap model
        raw = firm.openai().chat.completions.with_raw_response.create(**ask(model="gpt-4o"))
        assert (raw.headers["x-tokenroll-floor"], raw.headers["x-tokenroll-model"]) == ("true", "gpt-4o-mini")
        firm.prove()
        assert [line.cost_nanos for line in firm.bill()] == [21 * 150 + 12 * 600]
