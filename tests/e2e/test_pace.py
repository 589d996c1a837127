"""Limits as rates, as the official clients meet them: processes of their own, on a clock that the test moves to where a minute turns."""

import json
import socket
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import anthropic
import openai
import pytest

from tests.company import Company
from tokenroll.app import open_reports
from tokenroll.model.instant import MICROS_PER_SECOND as SECOND

HELLO = [{"role": "user", "content": "How much is left?"}]
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "gpt-4o-mini", "messages": HELLO, "max_completion_tokens": 300},
    "/v1/responses": {"model": "gpt-4o-mini", "input": "How much is left?", "max_output_tokens": 300},
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "How much is left?", "max_tokens": 300},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "How much is left?"},
    "/v1/moderations": {"model": "omni-moderation-latest", "input": "How much is left?"},
    "/v1/rerank": {"model": "reranker", "query": "allowance", "documents": ["a slip", "a plan"]},
    "/v2/rerank": {"model": "rerank-v3.5", "query": "allowance", "documents": ["a slip", "a plan"]},
    "/v1/messages": {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 300},
}
SCOPES: dict[str, tuple[dict[str, str], str]] = {
    "company": ({}, "the company"),
    "department": ({"department": "Finance"}, "the department Finance"),
    "member": ({"member": "Cleo"}, "the member Cleo"),
    "key": ({}, "the key "),
    "model": ({}, "the model "),
    "tag": ({"tag": "close"}, "the tag close"),
}


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """Nobody waits here: what does not fit is refused at once."""
    home = tmp_path_factory.mktemp("rates") / "home"
    with Company(home, moving_clock=True, config="\n[gateway]\nlimit_wait_seconds = 0\n") as running:
        running.clock_to_hour(1)  # every test moves on by minutes: all of them end in this day
        for name in ("Ada", "Bo", "Cleo", "Nightly agent"):
            running.hire(name)
        yield running
        running.prove()


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The same as it comes: calls wait for up to two seconds."""
    with Company(tmp_path_factory.mktemp("waits") / "home", moving_clock=True) as running:
        running.clock_to_hour(1)
        for name in ("Ada", "Bo", "Nightly agent"):
            running.hire(name)
        yield running
        running.prove()


@pytest.fixture
def limit():
    made = []

    def create(firm, name, **arguments):
        firm.do("limit.create", name=name, **{"window": "minute", "measure": "calls", **arguments})
        made.append((firm, name))

    yield create
    for firm, name in made:
        firm.do("limit.remove", limit=name)


def ask(output_tokens=12, **more):
    headers = {"x-sim-output-tokens": str(output_tokens), **more.pop("headers", {})}
    return {"model": "gpt-4o-mini", "messages": HELLO, "max_completion_tokens": 300, "extra_headers": headers, **more}


def ask_messages(**more):
    return {"model": "claude-haiku-4-5", "max_tokens": 300, "messages": HELLO, **more}


def windows(firm, name):
    """What a limit counted, by the start of each window, newest first."""
    firm.quiet()
    with open_reports(firm.settings) as reports:
        return [(one["start_at"], int(one["used"]["amount"])) for one in reports.limit(name)["windows"]]


def at_once(count, call):
    """So many calls from as many threads; how each ended."""
    ends: Counter[str] = Counter()
    start = threading.Barrier(count)
    counting = threading.Lock()

    def one():
        start.wait()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is named
            end = type(error).__name__
        else:
            end = "passed"
        with counting:
            ends[end] += 1

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


# ---- every scope at every route (T45, T39) ---------------------------------------------------------------------------------


def post(firm, route, who="Cleo", tags="close"):
    headers = {
        "authorization": f"Bearer {firm.keys[who]}",
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-tokenroll-tags": tags,
        "x-sim-output-tokens": "12",
    }
    status, seen, body = firm.request("POST", route, json.dumps(ROUTES[route]).encode(), headers)
    return status, seen, json.loads(body)


def refused_for_today(company, route):
    """The sentence of a refusal that trying again soon would not change."""
    status, headers, body = post(company, route)
    error = body["error"]
    assert (status, error["type"]) == (
        (402, "billing_error") if route == "/v1/messages" else (429, "insufficient_quota")
    )
    assert error["code"] == "limit_reached"
    assert (headers["x-should-retry"], headers["x-tokenroll-denied"]) == ("false", "limit_reached")
    assert "retry-after" not in headers
    assert "retry-after-ms" not in headers
    return error["message"]


def subject(company, scope, route):
    """What a limit of this scope names, and how a denial words it."""
    if scope == "model":
        model = ROUTES[route]["model"]
        return {"model": model}, f"the model {model}"
    if scope == "key":
        with open_reports(company.settings) as reports:
            (key,) = reports.keys("Cleo")
        return {"key": key["key"]}, f"the key {key['name']}"
    return SCOPES[scope]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_counts_and_refuses_at_every_route(company, limit, scope, route):
    arguments, words = subject(company, scope, route)
    messages = route == "/v1/messages"
    company.clock_to(second=5)
    limit(company, "minute", cap=1, **arguments)
    status, headers, body = post(company, route)
    assert (status, body.get("error")) == (200, None)
    left = headers["anthropic-ratelimit-requests-remaining" if messages else "x-ratelimit-remaining-requests"]
    assert left == "0"

    status, headers, body = post(company, route)
    error = body["error"]
    assert (status, error["type"]) == (429, "rate_limit_error" if messages else "requests")
    assert error["code"] == ("limit_reached" if messages else "rate_limit_exceeded")
    assert f"{words} on requests per min (RPM): Limit 1, Used 1, Requested 1. Please try again in " in error["message"]
    assert f"The limit minute ({words}) has 0 calls left in this minute" in error["message"]
    assert "There is room for it again at " in error["message"]
    assert error["message"].endswith("A higher cap can be approved by whoever runs the gateway.")
    assert headers["x-should-retry"] == "true"
    assert 1 <= int(headers["retry-after"]) <= 55
    assert int(headers["retry-after"]) - 1 <= int(headers["retry-after-ms"]) / 1000 <= int(headers["retry-after"])
    assert headers["x-tokenroll-limit-turns"].endswith(":00Z")

    limit(company, "day", cap=1, window="day", **arguments)
    company.clock_to(second=5)  # the minute has room again, and the day counts from now on
    assert post(company, route)[0] == 200
    company.clock_to(second=5)
    sentence = refused_for_today(company, route)
    assert f"The limit day ({words}) has 0 calls left in this day" in sentence


# Each call of these is 21 tokens in and 12 out; before it ends it is bounded at so many in (its bytes, and 16 for the message) and 300 out.
INPUT_BOUNDS = {"/v1/chat/completions": 118 + 16, "/v1/messages": 112 + 16}
MEASURES = {
    "input_tokens": ("input tokens", "ITPM", 21),
    "output_tokens": ("output tokens", "OTPM", 12),
    "model_tokens": ("tokens", "TPM", 33),
}


def bound_tokens(measure, route):
    """What a call raises a limit of tokens by until it ends."""
    return (measure != "output_tokens") * INPUT_BOUNDS[route] + (measure != "input_tokens") * 300


@pytest.mark.parametrize("route", INPUT_BOUNDS)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_counts_tokens_of_every_kind_to_the_last_one(company, limit, scope, measure, route):
    """Room for the bound of a second call and not for one token more: it passes, and the third is refused, by the minute and by the day."""
    arguments, words = subject(company, scope, route)
    said, letters, used = MEASURES[measure]
    unit = "model tokens" if measure == "model_tokens" else said
    bound = bound_tokens(measure, route)
    cap = used + bound
    messages = route == "/v1/messages"
    company.clock_to(second=5)
    limit(company, "minute", measure=measure, cap=cap, **arguments)
    lefts = []
    for _ in range(2):
        status, headers, body = post(company, route)
        assert (status, body.get("error")) == (200, None)
        kinds = ("tokens", said.replace(" ", "-")) if messages else ("tokens",)
        names = [f"anthropic-ratelimit-{kind}-" if messages else "x-ratelimit-" for kind in kinds]
        end = "remaining" if messages else "remaining-tokens"
        lefts.append({headers[name + end] for name in names})
    assert lefts == [{str(bound)}, {str(bound - used)}]

    status, headers, body = post(company, route)
    error = body["error"]
    assert (status, error["type"]) == (429, "rate_limit_error" if messages else "tokens")
    assert error["code"] == ("limit_reached" if messages else "rate_limit_exceeded")
    assert (
        f"{words} on {said} per min ({letters}): Limit {cap}, Used {2 * used}, Requested {bound}. " in error["message"]
    )
    assert (
        f"The limit minute ({words}) has {bound - used} {unit} left in this minute, and this call may take up to {bound} {unit}."
        in error["message"]
    )
    assert headers["x-should-retry"] == "true"
    assert 1 <= int(headers["retry-after"]) <= 55
    company.do("limit.override", limit="minute", cap=10**6, until=company.clock() + 600 * SECOND)

    limit(company, "day", window="day", measure=measure, cap=cap, **arguments)
    for _ in range(2):
        company.clock_to(second=5)
        assert post(company, route)[0] == 200
    company.clock_to(second=5)
    sentence = refused_for_today(company, route)
    assert (
        f"The limit day ({words}) has {bound - used} {unit} left in this day, and this call may take up to {bound} {unit}."
        in sentence
    )
    assert windows(company, "day")[0][1] == 2 * used


@pytest.mark.parametrize("route", sorted(ROUTES.keys() - {"/v1/moderations"}))  # which is free
def test_an_empty_wallet_and_a_plans_rate_say_so_at_every_route(company, route):
    messages = route == "/v1/messages"
    name = f"poor at {route}"
    company.hire(name, 1)
    status, headers, body = post(company, route, name)
    error = body["error"]
    assert (status, error["type"]) == ((402, "billing_error") if messages else (429, "insufficient_quota"))
    assert (error["code"], headers["x-tokenroll-denied"]) == ("wallet_empty", "wallet_empty")
    assert error["message"].startswith(
        f"The wallet {name} has 0.000000001 credits left, and this call may cost up to 0.0"
    )
    assert error["message"].endswith("A top-up can be approved by whoever runs the gateway.")
    assert (headers["x-should-retry"], headers["x-tokenroll-available"]) == ("false", "0.000000001")
    assert "retry-after" not in headers

    name = f"fast at {route}"
    company.hire(name, terms={"access": {"calls_per_minute_max": 1}})
    assert post(company, route, name)[0] == 200
    status, headers, body = post(company, route, name)
    error = body["error"]
    assert (status, error["type"]) == (429, "rate_limit_error" if messages else "requests")
    assert f"the plan of {name} on requests per min (RPM): Limit 1, Used 1, Requested 1." in error["message"]
    assert error["message"].endswith("the plan says; another plan can be approved by whoever runs the gateway.")
    assert 55 <= int(headers["retry-after"]) <= 61


def test_a_429_of_the_providers_own_keeps_its_own_words(company, limit):
    company.clock_to(second=5)
    limit(company, "many", member="Ada", cap=50)
    with pytest.raises(openai.RateLimitError) as refused:
        company.openai().chat.completions.create(**ask(headers={"x-sim-fault": "429"}))
    assert "in organization org-simulated" in refused.value.message
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"


# ---- the official clients --------------------------------------------------------------------------------------------------


def test_openais_client_reads_its_own_rate_limits(company, limit):
    company.clock_to(second=5)
    limit(company, "tokens", member="Ada", cap=1_000, measure="model_tokens")
    raw = company.openai().chat.completions.with_raw_response.create(**ask())
    # 21 tokens in and 12 out have been counted when a whole answer is told
    assert raw.headers["x-ratelimit-limit-tokens"] == "1000"
    assert raw.headers["x-ratelimit-remaining-tokens"] == "967"
    assert raw.headers["x-ratelimit-reset-tokens"].endswith("s")
    assert raw.headers["x-ratelimit-limit-requests"] == "10000"  # the provider's own: no limit of ours counts calls
    with pytest.raises(openai.RateLimitError) as refused:
        company.openai().chat.completions.create(**ask(max_completion_tokens=850))
    error = refused.value
    assert (error.type, error.code, error.param) == ("tokens", "rate_limit_exceeded", None)
    assert "on tokens per min (TPM): Limit 1000, Used 33, Requested 9" in error.message
    assert error.response.headers["x-ratelimit-remaining-tokens"] == "967"


def test_a_stream_counts_its_bound_until_it_ends(company, limit):
    company.clock_to(second=5)
    limit(company, "out", member="Ada", cap=1_000, measure="output_tokens")
    with company.openai().chat.completions.with_streaming_response.create(**ask(stream=True)) as raw:
        assert raw.headers["x-ratelimit-remaining-tokens"] == "700"
        raw.read()
    raw = company.openai().chat.completions.with_raw_response.create(**ask())
    assert raw.headers["x-ratelimit-remaining-tokens"] == "976"


def test_anthropics_client_reads_its_own_rate_limits(company, limit):
    company.clock_to(second=5)
    limit(company, "in", member="Bo", cap=1_000, measure="input_tokens")
    limit(company, "calls", member="Bo", cap=2)
    raw = company.anthropic("Bo").messages.with_raw_response.create(**ask_messages())
    headers = raw.headers
    assert headers["anthropic-ratelimit-requests-limit"] == "2"
    assert headers["anthropic-ratelimit-requests-remaining"] == "1"
    assert headers["anthropic-ratelimit-input-tokens-limit"] == "1000"
    assert headers["anthropic-ratelimit-input-tokens-remaining"] == "979"
    resets_at = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert (resets_at.tzinfo, resets_at.second) == (UTC, 0)
    company.anthropic("Bo").messages.create(**ask_messages())
    with pytest.raises(anthropic.RateLimitError) as refused:
        company.anthropic("Bo").messages.create(**ask_messages())
    assert refused.value.type == "rate_limit_error"
    assert refused.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_their_own_clients_wait_as_long_as_we_say_and_pass(company, limit, dialect):
    limit(company, "one", member="Ada", cap=1)
    company.clock_to(second=57)
    refusals = company.metric("tokenroll_denials_total")
    for _ in range(2):
        if dialect == "openai":
            company.openai(max_retries=2).chat.completions.create(**ask())
        else:
            company.anthropic(max_retries=2).messages.create(**ask_messages())
    assert company.metric("tokenroll_denials_total") == refusals + 1
    assert [used for _, used in windows(company, "one")] == [1, 1]


# ---- exactness -------------------------------------------------------------------------------------------------------------


def test_exactly_as_many_calls_as_the_limit_says_pass_in_each_minute(company, limit):
    limit(company, "burst", tag="burst", cap=20)
    client = company.openai("Nightly agent")
    tagged = ask(headers={"x-tokenroll-tags": "burst"})
    for _ in range(3):
        company.clock_to(second=1)
        ends = at_once(60, lambda: client.chat.completions.create(**tagged))
        assert ends == {"passed": 20, "RateLimitError": 40}
    assert [used for _, used in windows(company, "burst")] == [20, 20, 20]


def statuses_of_twenty(company, route, denied_count):
    """So many calls at once, whose answers are withheld until so many denials have come; how often each status came."""
    answers: list[int] = []
    company.provider.hold()
    threads = [threading.Thread(target=lambda: answers.append(post(company, route)[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    try:
        company.until(lambda: len(answers) == denied_count, "all denials")
    finally:
        company.provider.release()
    for thread in threads:
        thread.join()
    company.quiet()
    return Counter(answers)


@pytest.mark.parametrize("measure", MEASURES)
def test_of_twenty_calls_at_once_as_many_pass_as_their_bounds_have_room_for(company, limit, measure):
    """No answer comes back before all have been judged; what the five did not use is then room for the next five."""
    route, used = "/v1/chat/completions", MEASURES[measure][2]
    bound = bound_tokens(measure, route)
    company.clock_to(second=1)
    limit(company, "tokens", member="Cleo", measure=measure, cap=6 * bound - 1)
    for _ in range(2):
        assert statuses_of_twenty(company, route, denied_count=15) == {200: 5, 429: 15}
    assert [count for _, count in windows(company, "tokens")] == [10 * used]


def test_a_call_that_the_provider_refused_gives_its_place_back(company, limit):
    company.clock_to(second=1)
    limit(company, "five", member="Nightly agent", cap=5)
    client = company.openai("Nightly agent")
    broken = ask(headers={"x-sim-fault": "500"})
    ends = at_once(5, lambda: client.chat.completions.create(**broken))
    assert ends == {"InternalServerError": 5}
    ends = at_once(12, lambda: client.chat.completions.create(**ask()))
    assert ends == {"passed": 5, "RateLimitError": 7}
    assert [used for _, used in windows(company, "five")] == [5]


def test_calls_that_end_after_the_minute_are_counted_in_the_minute_they_came_in(company, limit):
    """T3: streams of one minute end in the next, beside calls of the next. Each counts 12 tokens out."""
    limit(company, "out", member="Nightly agent", cap=100_000, measure="output_tokens")
    company.clock_to(second=30)
    client = company.openai("Nightly agent")
    begun = threading.Barrier(26)
    ended = threading.Barrier(26)

    def stream():
        with client.chat.completions.create(**ask(stream=True)) as events:
            next(events)
            begun.wait(30)
            ended.wait(30)
            list(events)

    threads = [threading.Thread(target=stream) for _ in range(25)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    company.clock_to(second=1)
    ended.wait(30)
    for _ in range(25):
        client.chat.completions.create(**ask())
    for thread in threads:
        thread.join()
    (newest, second), (oldest, first) = windows(company, "out")
    assert (first, second, newest - oldest) == (300, 300, 60 * SECOND)


def test_a_limit_made_or_changed_within_a_minute_counts_from_then_and_forgets_nothing(company, limit):
    """T37: a new limit blocks nobody by what came before it; another cap changes what is left, and not what was counted."""
    company.clock_to(second=1)
    client = company.openai("Bo")
    for _ in range(3):
        client.chat.completions.create(**ask())
    limit(company, "late", member="Bo", cap=2)
    for left in ("1", "0"):
        raw = client.chat.completions.with_raw_response.create(**ask())
        assert raw.headers["x-ratelimit-remaining-requests"] == left
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ask())
    company.do("limit.override", limit="late", cap=4, until=company.clock() + 20 * SECOND)
    raw = client.chat.completions.with_raw_response.create(**ask())
    assert (raw.headers["x-ratelimit-limit-requests"], raw.headers["x-ratelimit-remaining-requests"]) == ("4", "1")
    company.clock.advance(21 * SECOND)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**ask())
    assert "Limit 2, Used 3, Requested 1" in refused.value.message
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"


# ---- waiting ---------------------------------------------------------------------------------------------------------------


def test_a_call_is_held_back_until_the_minute_turns_rather_than_refused(patient, limit):
    limit(patient, "two", member="Ada", cap=2)
    patient.clock_to(second=58)
    waits = patient.metric("tokenroll_waits_total")
    ends = at_once(4, lambda: patient.openai().chat.completions.create(**ask()))
    assert ends == {"passed": 4}
    assert patient.metric("tokenroll_waits_total") == waits + 2
    assert [used for _, used in windows(patient, "two")] == [2, 2]


def test_it_is_refused_at_once_where_waiting_would_take_long(patient, limit):
    limit(patient, "two", member="Ada", cap=2)
    patient.clock_to(second=20)
    waits = patient.metric("tokenroll_waits_total")
    ends = at_once(5, lambda: patient.openai().chat.completions.create(**ask()))
    assert ends == {"passed": 2, "RateLimitError": 3}
    assert patient.metric("tokenroll_waits_total") == waits


def test_parallel_calls_wait_for_what_the_others_do_not_use(patient, limit):
    """Room for one bound of 300 tokens out; each uses 12. What the first holds is enough for one that waits, and for no third."""
    patient.clock_to(second=5)
    limit(patient, "narrow", member="Nightly agent", cap=300 + 12, measure="output_tokens")
    waits, denials = patient.metric("tokenroll_waits_total"), patient.metric("tokenroll_denials_total")
    patient.provider.hold()
    calls = []
    thread = threading.Thread(
        target=lambda: calls.append(
            at_once(4, lambda: patient.openai("Nightly agent").chat.completions.create(**ask()))
        )
    )
    thread.start()
    try:
        patient.until(lambda: patient.metric("tokenroll_denials_total") == denials + 2, "the denials")
        patient.until(lambda: patient.metric("tokenroll_waits_total") == waits + 1, "the wait")
    finally:
        patient.provider.release()
    thread.join()
    assert calls == [{"passed": 2, "RateLimitError": 2}]
    assert [used for _, used in windows(patient, "narrow")] == [24]


def test_a_client_that_leaves_waits_no_more_and_takes_no_place(patient, limit):
    limit(patient, "one", member="Bo", cap=1)
    patient.clock_to(second=58)
    patient.openai("Bo").chat.completions.create(**ask())
    waits = patient.metric("tokenroll_waits_total")
    body = json.dumps(ROUTES["/v1/chat/completions"]).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {patient.keys['Bo']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", patient.port)) as client:
        client.sendall(head.encode() + body)
        patient.until(lambda: patient.metric("tokenroll_waits_total") == waits + 1, "the wait")
    patient.clock_to(second=1)
    raw = patient.openai("Bo").chat.completions.with_raw_response.create(**ask())
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert [used for _, used in windows(patient, "one")] == [1, 1]


def test_the_company_may_have_spent_limits_answered_as_the_provider_does(tmp_path):
    with Company(tmp_path / "home", config="\n[gateway]\nempty_wallet_status = 400\n") as firm:
        firm.hire("Ada", 1_000)
        with pytest.raises(anthropic.BadRequestError) as refused:
            firm.anthropic().messages.create(**ask_messages())
        assert refused.value.response.json()["error"]["code"] == "wallet_empty"
        assert refused.value.response.headers["x-should-retry"] == "false"


# ---- a plan's day ------------------------------------------------------------------------------------------------------------


def test_a_plan_s_calls_of_a_day_are_exact_under_load_and_after_a_crash(company):
    company.hire("Dana", terms={"access": {"calls_per_day_max": 8}})
    company.hire("Eli", terms={"access": {"calls_per_day_max": 3}})

    def call(name="Dana"):
        company.openai(name).chat.completions.create(**ask())

    assert at_once(24, call) == {"passed": 8, "RateLimitError": 16}
    call("Eli")
    call("Eli")
    company.quiet()
    company.end("gateway")
    company.start_gateway()
    with pytest.raises(openai.RateLimitError) as refused:
        call()
    assert (refused.value.type, refused.value.code) == ("insufficient_quota", "limit_reached")
    assert "The limit calls-per-day (the plan of Dana) has 0 calls left in this day" in refused.value.message
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert at_once(6, lambda: call("Eli")) == {"passed": 1, "RateLimitError": 5}
    company.prove()
