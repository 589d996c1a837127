"""A call that one deployment fails is another one's, on real sockets: what each provider was sent, what the client got, what it cost.

`toy` costs 2,000 nanos an input token and 10,000 an output token, so the answer of 10 and 5 tokens costs 70,000; its hold is for
410,000 (90 input tokens at the dearest 4,000, and 5 of output).
"""

import json
import socket
from dataclasses import replace

import pytest

from tests.e2e.edge_table import ANSWER, BODY, DONE, EVENT, EVENTS, STREAM_BODY, USAGE, chunked
from tests.e2e.rig import (
    CREDIT,
    Exchange,
    Rig,
    RigOptions,
    ScriptedProvider,
    key_terms,
    raw_call,
    toy_card,
    wallet_terms,
)
from tests.e2e.test_it_bills_every_ending import ends, eventually, request, whole
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.edge import EdgeLimits

WRONG = b'{"error":{"message":"not now","type":"server_error","param":null,"code":null}}'
BOUND, COST = 410_000, 70_000
MESSAGES_BODY = b'{"model":"toy","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
MESSAGES_ANSWER = (
    b'{"id":"m","type":"message","role":"assistant","model":"toy","content":[{"type":"text","text":"yo"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}'
)
RESPONSE_BODY = b'{"model":"toy","max_output_tokens":16,"input":"hi"}'
RESPONSE_ANSWER = (
    b'{"id":"r","object":"response","status":"completed","model":"toy","output":[],'
    b'"usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15}}'
)


def refusal(status: int, extra: bytes = b"", body: bytes = WRONG) -> bytes:
    return b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        status, extra, len(body), body,
    )  # fmt: skip


class TwoWays(Rig):
    """`toy` at deployments `first` and `second` (and more); their providers are `one.provider` and `one.others[…]`."""

    def __init__(self, home, *, count=2, common=None, each=(), dialect="openai", **options):
        self.others = [ScriptedProvider() for _ in range(count - 1)]
        names = ["first", "second", "third", "fourth"][:count]

        def made(bases: list[str]) -> list[Deployment]:
            return [
                Deployment(name=name, dialect=dialect, base_url=base, api_key=f"sk-{name}", priority=place,
                           **(common or {}) | (each[place - 1] if place <= len(each) else {}))
                for place, (name, base) in enumerate(zip(names, bases, strict=True), 1)
            ]  # fmt: skip

        options.setdefault("edge", EdgeLimits(tick_seconds=0.02))
        super().__init__(home, RigOptions(others=self.others, made=made, **options))

    def script(self, *answers: list[Exchange]) -> None:
        for provider, exchanges in zip([self.provider, *self.others], answers, strict=True):
            provider.scripts[b"a"] = exchanges

    def sent(self) -> list[int]:
        """How many requests each provider got."""
        return [len(provider.received.get(b"a", [])) for provider in [self.provider, *self.others]]

    def ask_for(self, body: bytes = BODY, path: bytes = b"/v1/chat/completions") -> bytes:
        return self.call(raw_call(self.port, [request(body, path=path)]))


# ---- what is tried elsewhere, and what is not ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 402, 408, 429, 500, 502, 503, 504, 529])
def test_what_is_the_deployments_own_failure_is_tried_elsewhere_and_costs_once(tmp_path, status):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(status)])], [Exchange([whole()])])
        got = one.ask_for()
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert got.endswith(ANSWER)
        assert b"x-tokenroll-cost: 0.000070000\r\n" in got
        assert ends(one) == [("released: provider error", 0, ""), ("settled", COST, "reported")]
        assert [end.attempt for end in one.ended()[1]] == [1, 2]
        first, second = one.provider.received[b"a"][0], one.others[0].received[b"a"][0]
        assert b"authorization: Bearer sk-second\r\n" in second
        assert second.endswith(b"\r\n\r\n" + BODY)
        call = first.partition(b"x-client-request-id: ")[2].partition(b"/1\r\n")[0]
        assert b"x-client-request-id: %b/2\r\n" % call in second
        assert f'tokenroll_further_attempts_total{{worker="0",why="{status}"}} 1'.encode() in metrics(one)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422])
def test_what_is_the_clients_own_fault_is_never_tried_again(tmp_path, status):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(status)])], [Exchange([whole()])])
        got = one.ask_for()
        assert got.startswith(b"HTTP/1.1 %d " % status)
        assert got.endswith(WRONG)
        assert one.sent() == [1, 0]
        assert ends(one) == [("released: provider error", 0, "")]


@pytest.mark.parametrize(
    ("status", "told", "sent"),
    [(503, b"false", [1, 0]), (503, b"true", [1, 1]), (409, b"true", [1, 1]), (429, b"false", [1, 1])],
    ids=["unavailable, do not", "unavailable, do", "conflict, do", "another account has a rate of its own"],
)
def test_the_providers_word_about_trying_again_is_kept(tmp_path, status, told, sent):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(status, b"X-Should-Retry: %b\r\n" % told)])], [Exchange([whole()])])
        one.ask_for()
        assert one.sent() == sent


@pytest.mark.parametrize(
    ("dialect", "path", "body", "answer"),
    [
        ("anthropic", b"/v1/messages", MESSAGES_BODY, MESSAGES_ANSWER),
        ("openai", b"/v1/responses", RESPONSE_BODY, RESPONSE_ANSWER),
    ],
)
def test_messages_and_responses_are_tried_elsewhere_too(tmp_path, dialect, path, body, answer):
    with TwoWays(tmp_path, dialect=dialect) as one:
        one.script([Exchange([refusal(500)])], [Exchange([whole(answer)])])
        assert one.ask_for(body, path).endswith(answer)
        assert ends(one) == [("released: provider error", 0, ""), ("settled", COST, "reported")]


def test_a_stream_that_was_refused_is_streamed_from_elsewhere(tmp_path):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(529)])], [Exchange([EVENTS + chunked(EVENT, USAGE, DONE)])])
        got = one.ask_for(STREAM_BODY)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert EVENT in got
        assert ends(one) == [("released: provider error", 0, ""), ("settled", COST, "reported")]


def test_a_provider_that_cannot_be_reached_is_passed_for_the_next(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    with Gone(tmp_path, port) as one:
        one.script([], [Exchange([whole()])])
        assert one.ask_for().endswith(ANSWER)
        assert ends(one) == [("released: not sent", 0, ""), ("settled", COST, "reported")]


class Gone(TwoWays):
    """The first deployment's address is nobody's."""

    def __init__(self, home, port, **options):
        super().__init__(home, **options)
        made = self.options.made
        assert made is not None
        self.options.made = lambda bases: made([f"http://127.0.0.1:{port}", *bases[1:]])


def test_what_goes_on_from_something_stored_is_asked_only_where_that_lies(tmp_path):
    body = b'{"model":"toy","max_output_tokens":16,"input":"hi","previous_response_id":"resp_1"}'
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(500)])], [Exchange([whole(RESPONSE_ANSWER)])])
        assert one.ask_for(body, b"/v1/responses").endswith(WRONG)
        assert one.sent() == [1, 0]


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_after_three_attempts_the_client_gets_the_last_providers_own_answer(tmp_path):
    with TwoWays(tmp_path, count=4) as one:
        last = b'{"error":{"message":"the third","type":"server_error","param":null,"code":"third"}}'
        one.script(
            [Exchange([refusal(500)])],
            [Exchange([refusal(529)])],
            [Exchange([refusal(503, body=last)])],
            [Exchange([whole()])],
        )
        got = one.ask_for()
        assert got.startswith(b"HTTP/1.1 503 ")
        assert got.endswith(last)
        assert one.sent() == [1, 1, 1, 0]
        assert ends(one) == [("released: provider error", 0, "")] * 3


def test_no_further_attempt_begins_when_the_time_is_over(tmp_path):
    now = [1_700_000_000_000_000]

    def clock() -> int:
        now[0] += 40_000_000
        return now[0]

    with TwoWays(tmp_path, clock=clock) as one:
        one.script([Exchange([refusal(500)])], [Exchange([whole()])])
        assert one.ask_for().endswith(WRONG)
        assert one.sent() == [1, 0]


def test_a_dearer_deployment_is_not_asked_by_a_wallet_that_cannot_pay_it(tmp_path):
    options = {
        "wallets": [wallet_terms(1, BOUND)],
        "cards": [toy_card(), toy_card(2, "dear", times=2)],
        "each": ({}, {"provider": "dear"}),
    }
    with TwoWays(tmp_path / "poor", **options) as one:
        one.script([Exchange([refusal(500)])], [Exchange([whole()])])
        got = one.ask_for()
        assert got.startswith(b"HTTP/1.1 500 ")  # the provider's own answer, not a denial
        assert got.endswith(WRONG)
        assert one.sent() == [1, 0]
        assert ends(one) == [("released: provider error", 0, "")]
        assert b'tokenroll_further_attempts_denied_total{worker="0",reason="wallet_empty"} 1' in metrics(one)
    with TwoWays(tmp_path / "rich", **options | {"wallets": [wallet_terms(1, 2 * BOUND)]}) as one:
        one.script([Exchange([refusal(500)])], [Exchange([whole()])])
        assert one.ask_for().endswith(ANSWER)
        assert ends(one) == [("released: provider error", 0, ""), ("settled", 2 * COST, "reported")]
        assert [end.bound_nanos for end in one.ended()[1]] == [BOUND, 2 * BOUND]


# ---- attempts whose fate is not known ---------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [Exchange([], "fin"), Exchange([])], ids=["cut", "silent"])
def test_an_unanswered_call_is_sent_again_only_where_that_is_wanted(tmp_path, silent):
    hasty = {"first_byte_seconds": 0.2}
    with TwoWays(tmp_path / "default", common=hasty) as one:
        one.script([silent], [Exchange([whole()])])
        assert one.ask_for().startswith((b"HTTP/1.1 502 ", b"HTTP/1.1 504 "))
        assert one.sent() == [1, 0]
        assert ends(one) == [("suspense", 0, "")]
    with TwoWays(tmp_path / "wanted", common=hasty | {"retry_unanswered": True}) as one:
        one.script([silent], [Exchange([whole()])])
        assert one.ask_for().endswith(ANSWER)
        assert ends(one) == [
            ("suspense", 0, ""),
            ("settled", COST, "reported"),
        ]  # both may have cost: each has its own hold


def test_an_answer_that_has_begun_is_never_begun_again_elsewhere(tmp_path):
    with TwoWays(tmp_path, common={"retry_unanswered": True}) as one:
        one.script([Exchange([whole()[:-10]], "fin")], [Exchange([whole()])])
        assert one.ask_for().startswith(b"HTTP/1.1 502 ")
        assert one.sent() == [1, 0]


# ---- being passed over ------------------------------------------------------------------------------------------------


def test_a_deployment_that_names_a_time_is_left_alone_for_so_long(tmp_path):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(429, b"retry-after-ms: 300\r\n")]), Exchange([whole()])], [Exchange([whole()])])
        for _ in range(3):
            assert one.ask_for().endswith(ANSWER)
        assert one.sent() == [1, 3]
        assert deployments(one) == {"first": "resting", "second": "ok"}
        eventually(lambda: deployments(one)["first"] == "ok")
        assert one.ask_for().endswith(ANSWER)
        assert one.sent() == [2, 3]


@pytest.mark.parametrize(
    "lines",
    [
        b"x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s\r\n",
        b"X-RateLimit-Remaining-Tokens: 0\r\nX-RateLimit-Reset-Tokens: 120\r\n",
        b"anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2100-01-01T00:00:00Z\r\n",
    ],
)
def test_a_deployment_that_has_nothing_left_is_passed_over_until_its_reset(tmp_path, lines):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([whole(extra=lines)])], [Exchange([whole()])])
        for _ in range(3):
            assert one.ask_for().endswith(ANSWER)
        assert one.sent() == [1, 2]
        assert deployments(one) == {"first": "resting", "second": "ok"}


def test_with_nobody_else_a_call_goes_there_all_the_same(tmp_path):
    with TwoWays(tmp_path, count=1) as one:
        one.script([Exchange([refusal(429, b"retry-after: 60\r\n")]), Exchange([whole()])])
        assert one.ask_for().startswith(b"HTTP/1.1 429 ")
        assert one.ask_for().endswith(ANSWER)


def test_after_five_failures_in_a_row_nobody_waits_for_a_deployment_any_more(tmp_path):
    with TwoWays(tmp_path) as one:
        one.script([Exchange([refusal(500)])], [Exchange([whole()])])
        for _ in range(7):
            assert one.ask_for().endswith(ANSWER)
        assert one.sent() == [5, 7]
        assert deployments(one) == {"first": "open", "second": "ok"}
        seen = metrics(one)
        assert b'tokenroll_deployment_open{worker="0",deployment="first"} 1\n' in seen
        assert b'tokenroll_deployment_failures_total{worker="0",deployment="first"} 5\n' in seen
        assert b'tokenroll_deployment_open{worker="0",deployment="second"} 0\n' in seen
        assert seen.count(b"# TYPE tokenroll_deployment_open gauge\n") == 1


# ---- shares -----------------------------------------------------------------------------------------------------------


def test_keys_are_shared_by_weight_and_each_keeps_to_its_own_deployment(tmp_path):
    keys = [key_terms(number, 1, b"tr-%d" % number) for number in range(1, 9)]
    each = ({"weight": 3}, {"weight": 1})
    with Shared(tmp_path, keys=keys, each=each) as one:
        one.script([Exchange([whole()])], [Exchange([whole()])])
        for number in range(1, 9):
            before = one.sent()
            for _ in range(2):
                bearer = request().replace(b"tr-ada", b"tr-%d" % number)
                assert one.call(raw_call(one.port, [bearer])).endswith(ANSWER)
            gained = [now - then for now, then in zip(one.sent(), before, strict=True)]
            assert sorted(gained) == [0, 2]
        assert one.sent() == [12, 4]


class Shared(TwoWays):
    """All deployments have the same priority."""

    def __init__(self, home, **options):
        super().__init__(home, **options)
        made = self.options.made
        assert made is not None
        self.options.made = lambda bases: [replace(one, priority=1) for one in made(bases)]


# ---- other models -----------------------------------------------------------------------------------------------------

FALLBACK = {"fallbacks": {"toy": ("small",)}}


def test_another_model_answers_only_where_one_is_named_and_at_its_own_price(tmp_path):
    cards = [toy_card(times=2), toy_card(2, model="small")]
    with TwoWays(tmp_path, count=1, common=FALLBACK, cards=cards) as one:
        one.script([Exchange([refusal(529)]), Exchange([whole()])])
        got = one.ask_for()
        assert b"x-tokenroll-fallback: true\r\nx-tokenroll-model: small\r\n" in got
        assert got.endswith(ANSWER)
        assert one.provider.received[b"a"][1].endswith(BODY.replace(b"toy", b"small"))
        assert ends(one) == [("released: provider error", 0, ""), ("settled", COST, "reported")]
        assert [end.bound_nanos for end in one.ended()[1]] == [2 * BOUND, BOUND]
    with TwoWays(tmp_path / "none", count=1, cards=cards) as one:
        one.script([Exchange([refusal(529)]), Exchange([whole()])])
        assert one.ask_for().endswith(WRONG)
        assert one.sent() == [1]


def test_a_plan_that_shuts_the_other_model_is_kept_and_the_providers_answer_stands(tmp_path):
    options = {"cards": [toy_card(), toy_card(2, model="small")], "wallets": [wallet_terms(1, CREDIT, models=["toy"])]}
    with TwoWays(tmp_path, count=1, common=FALLBACK, **options) as one:
        one.script([Exchange([refusal(529)]), Exchange([whole()])])
        assert one.ask_for().endswith(WRONG)
        assert one.sent() == [1]
        assert b'tokenroll_further_attempts_denied_total{worker="0",reason="no_access"} 1' in metrics(one)


def metrics(one: Rig) -> bytes:
    return one.call(raw_call(one.port, [b"GET /metrics HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"]))


def deployments(one: Rig) -> dict[str, str]:
    page = one.call(raw_call(one.port, [b"GET /healthz HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"]))
    found: dict[str, str] = json.loads(page.partition(b"\r\n\r\n")[2])["deployments"]
    return found
