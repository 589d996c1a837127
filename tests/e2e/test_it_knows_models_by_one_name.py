"""One name for price, limit, access and report, whatever a client, an alias, a dated id or a deployment calls a model (T31, T44, T45)."""

import json

import pytest

from tests.e2e.edge_table import ANSWER, BODY
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, raw_call, toy_card, wallet_terms
from tests.e2e.test_it_bills_every_ending import ends, request, whole
from tests.e2e.test_it_tries_elsewhere import FALLBACK, MESSAGES_BODY, RESPONSE_BODY, WRONG, TwoWays, refusal
from tokenroll.gateway.deployment import Deployment
from tokenroll.services.protocol import LimitTerms

ROUTES = {
    b"/v1/chat/completions": BODY,
    b"/v1/responses": RESPONSE_BODY,
    b"/v1/completions": b'{"model":"toy","max_tokens":5,"prompt":"hi"}',
    b"/v1/embeddings": b'{"model":"toy","input":"hi"}',
    b"/v1/messages": MESSAGES_BODY,
}
ALIASES = {"fast": "toy", "toy-2026-01-01": "toy"}


def both_dialects(bases: list[str]) -> list[Deployment]:
    return [
        Deployment(name=dialect, dialect=dialect, base_url=bases[0], api_key="sk", aliases=ALIASES)
        for dialect in ("openai", "anthropic")
    ] + [
        Deployment(name=f"{dialect} for all", dialect=dialect, base_url=bases[0], api_key="sk")
        for dialect in ("openai", "anthropic")
    ]


CARDS = [toy_card(), toy_card(2, "anthropic"), toy_card(3, model="big"), toy_card(4, "anthropic", "big")]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("name", [b"toy", b"fast", b"toy-2026-01-01"])
def test_a_plan_that_gives_no_access_gives_none_on_any_route_by_any_name(tmp_path, path, name):
    options = RigOptions(made=both_dialects, cards=CARDS, wallets=[wallet_terms(1, CREDIT, models=["big"])])
    with Rig(tmp_path, options) as one:
        got = one.call(raw_call(one.port, [request(ROUTES[path].replace(b"toy", name), path=path)]))
        assert got.startswith(b"HTTP/1.1 403 ")
        assert b"x-tokenroll-denied: no_access\r\n" in got
        assert not one.provider.received
        assert one.ended() == {}


@pytest.mark.parametrize("name", [b"toy", b"fast", b"toy-2026-01-01"])
def test_a_limit_of_a_model_counts_every_name_of_it(tmp_path, name):
    with Rig(tmp_path, RigOptions(made=both_dialects, cards=CARDS)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        one.ask(lambda: one.spending.limits.apply([one_call_a_day()]))
        one.ask(one.spending._bearers.clear)
        first, second = (one.call(raw_call(one.port, [request(BODY.replace(b"toy", sent))])) for sent in (b"toy", name))
        assert first.endswith(ANSWER)
        assert second.startswith(b"HTTP/1.1 429 ")
        assert b"x-tokenroll-limit: toys\r\n" in second
        # and another model is none of its business
        assert one.call(raw_call(one.port, [request(BODY.replace(b"toy", b"big"))])).endswith(ANSWER)


def one_call_a_day() -> LimitTerms:
    return LimitTerms(
        1, "toys", "model", 0, "the model toy", "toy", "", "day", 0, "UTC", "calls", 1, "enforce", "deny", "", 0, 0, 0, [], []
    )  # fmt: skip


def test_what_is_listed_can_be_called_and_what_has_no_price_here_is_neither(tmp_path):
    with Rig(tmp_path, RigOptions(made=both_dialects, cards=[*CARDS, toy_card(5, "elsewhere", "unsold")])) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]
        names = listed(one, b"tr-ada")
        assert [name for name in names if name not in ALIASES] == ["big", "toy"]
        assert set(ALIASES) < set(names)
        for name in ("big", "toy", *ALIASES, "unsold"):
            got = one.call(raw_call(one.port, [request(BODY.replace(b"toy", name.encode()))]))
            assert got.startswith(b"HTTP/1.1 200 OK" if name != "unsold" else b"HTTP/1.1 404 ")


def listed(one: Rig, secret: bytes) -> list[str]:
    head = b"GET /v1/models HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %b\r\nConnection: close\r\n\r\n" % secret
    page = one.call(raw_call(one.port, [head]))
    return [model["id"] for model in json.loads(page.partition(b"\r\n\r\n")[2])["data"]]


def test_an_alias_falls_back_as_its_model_does_and_is_charged_at_the_other_models_card(tmp_path):
    common = {**FALLBACK, "aliases": {"fast": "toy"}, "models": ("toy", "small")}
    with TwoWays(tmp_path, count=1, common=common, cards=[toy_card(times=2), toy_card(2, model="small")]) as one:
        one.script([Exchange([refusal(529)]), Exchange([whole()])])
        got = one.ask_for(BODY.replace(b"toy", b"fast"))
        assert b"x-tokenroll-model: small\r\n" in got
        assert one.provider.received[b"a"][0].endswith(BODY)
        assert one.provider.received[b"a"][1].endswith(BODY.replace(b"toy", b"small"))
        assert ends(one) == [("released: provider error", 0, ""), ("settled", 70_000, "reported")]


def test_access_is_looked_at_again_at_every_attempt(tmp_path):
    wallets = [wallet_terms(1, CREDIT, models=["toy"])]
    with TwoWays(
        tmp_path, count=1, common=FALLBACK, cards=[toy_card(), toy_card(2, model="small")], wallets=wallets
    ) as one:
        for body in (BODY, BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')):
            one.script([Exchange([refusal(529)]), Exchange([whole()])])
            assert one.ask_for(body).endswith(WRONG)
