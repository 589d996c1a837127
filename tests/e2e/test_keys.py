"""Keys as clients meet them: ledger and gateway in processes of their own, the official clients, a provider with its own bill.

Prices worked with, in nanos a token: gpt-4o-mini 150 in, 600 out; claude-haiku-4-5 1,000 in, 5,000 out. `HELLO` is 5 + 16 tokens.
"""

import signal
from typing import Any

import anthropic
import openai
import pytest

from tests.company import CREDIT, Company
from tokenroll.services.keys import key_hash, new_key, shown_prefix

HELLO = [{"role": "user", "content": "How much is left?"}]
SIZED = {"x-sim-output-tokens": "12"}


def secret(number):
    return new_key(bytes([number] * 34))


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("keys") / "home") as running:
        for name in ("Ada", "Bo", "Nightly agent"):
            running.hire(name)
        yield running
        running.prove()


def made(company, number, member="Ada", **terms):
    """A key of a member with these terms; its secret."""
    text = secret(number)
    company.do("key.create", member=member, name=f"key {number}", **hashed(company, text), **terms)
    return text


def hashed(company, text):
    return {"secret_hash": key_hash(company.settings.pepper(), text.encode()).hex(), "shown_prefix": shown_prefix(text)}


def chat(company, key, headers=None, **more):
    asked = {"model": "gpt-4o-mini", "messages": HELLO, "max_completion_tokens": 300, **more}
    return company.openai(api_key=key).chat.completions.create(**asked, extra_headers={**SIZED, **(headers or {})})


def message(company, key, headers=None, **more):
    asked = {"model": "claude-haiku-4-5", "messages": HELLO, "max_tokens": 300, **more}
    return company.anthropic(api_key=key).messages.create(**asked, extra_headers={**SIZED, **(headers or {})})


ENDPOINTS = {
    "chat": lambda company, key, model: chat(company, key, model=model),
    "responses": lambda company, key, model: company.openai(api_key=key).responses.create(
        model=model, input="hello", extra_headers=SIZED
    ),
    "completions": lambda company, key, model: company.openai(api_key=key).completions.create(
        model=model, prompt="hello", max_tokens=9, extra_headers=SIZED
    ),
    "embeddings": lambda company, key, model: company.openai(api_key=key).embeddings.create(
        model=model, input="hello", encoding_format="float"
    ),
    "messages": lambda company, key, model: message(company, key, model=model),
}
"""By endpoint: a call with this key to this model."""
MODELS = {
    "chat": ("gpt-4o-mini", "gpt-4o"), "responses": ("gpt-4o-mini", "gpt-4o"),
    "completions": ("gpt-3.5-turbo-instruct", "gpt-4o-mini"), "embeddings": ("text-embedding-3-small", "gpt-4o-mini"),
    "messages": ("claude-haiku-4-5", "claude-sonnet-5-5"),
}  # fmt: skip
"""By endpoint: a model that its key is for, and one that it is not for."""


@pytest.mark.parametrize(("number", "endpoint"), list(enumerate(ENDPOINTS, 10)))
def test_a_key_s_models_and_tags_hold_at_every_endpoint(company, number, endpoint):
    mine, other = MODELS[endpoint]
    key = made(company, number, models=[mine], tags=f"project={endpoint}")
    before = company.spent_by_all()
    kind: Any = anthropic.PermissionDeniedError if endpoint == "messages" else openai.PermissionDeniedError
    with pytest.raises(kind) as refused:
        ENDPOINTS[endpoint](company, key, other)
    assert f"This key is not for the model '{other}', only for {mine}." in str(refused.value).replace('"', "'")
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert company.spent_by_all() == before
    ENDPOINTS[endpoint](company, key, mine)
    company.prove()
    assert company.spent_by_all() > before
    call = company.calls("Ada", 1)[0]["call"]
    (attempt,) = company.tokenroll("call", "show", call, "--json")["attempts"]
    assert (attempt["tags"], attempt["project"]) == (f"project={endpoint}", endpoint)


def test_what_is_listed_for_a_key_it_can_call(company):
    key = made(company, 20, models=["gpt-4o-mini", "claude-haiku-*"])
    listed = [one.id for one in company.openai(api_key=key).models.list()]
    assert "gpt-4o-mini" in listed
    assert "gpt-4o" not in listed
    assert all("haiku" in one.id for one in company.anthropic(api_key=key).models.list())
    with pytest.raises(openai.NotFoundError, match="The model 'gpt-4o' is not served here"):
        company.openai(api_key=key).models.retrieve("gpt-4o")


def test_tokens_are_counted_only_for_a_model_that_the_key_is_for(company):
    key = made(company, 33, models=["claude-haiku-*"])
    client = company.anthropic(api_key=key)
    assert client.messages.count_tokens(model="claude-haiku-4-5", messages=HELLO).input_tokens > 0
    with pytest.raises(anthropic.PermissionDeniedError, match="This key is not for the model 'claude-opus-5-5'"):
        client.messages.count_tokens(model="claude-opus-5-5", messages=HELLO)


def test_a_limit_sends_no_key_to_a_cheaper_model_that_it_is_not_for(company):
    key = made(company, 21, member="Bo", models=["gpt-4o"])
    company.do("limit.create", name="bo-gpt-4o", member="Bo", model="gpt-4o", cap=0, measure="calls", window="day",
               degrade="cheaper_model", cheaper_model="gpt-4o-mini")  # fmt: skip
    with pytest.raises(openai.RateLimitError, match="The limit bo-gpt-4o"):
        chat(company, key, model="gpt-4o")
    raw = company.openai("Bo").chat.completions.with_raw_response.create(
        model="gpt-4o", messages=HELLO, max_completion_tokens=300, extra_headers=SIZED
    )
    assert raw.headers["x-tokenroll-limit"] == "bo-gpt-4o; cheaper_model"
    company.do("limit.remove", limit="bo-gpt-4o")
    company.prove()


def tags_of_newest(company, name="Ada"):
    company.quiet()
    (attempt,) = company.tokenroll("call", "show", company.calls(name, 1)[0]["call"], "--json")["attempts"]
    return attempt


def test_a_call_s_own_words_come_before_its_metadata_s_and_its_key_s(company):
    key = made(company, 22, tags="project=zeus,cost-centre=4711", purpose="work")
    chat(company, key, {"x-tokenroll-tags": "Session=s-1, draft", "x-tokenroll-purpose": "Personal"},
         metadata={"project": "hermes", "outcome": "PR-12", "ticket": "private, not ours"}, store=False)  # fmt: skip
    attempt = tags_of_newest(company)
    assert attempt["tags"] == "purpose=personal,session=s-1,draft,project=hermes,outcome=PR-12,cost-centre=4711"
    known = {name: attempt[name] for name in ("purpose", "project", "cost_centre", "session", "outcome")}
    assert known == {
        "purpose": "personal", "project": "hermes", "cost_centre": "4711", "session": "s-1", "outcome": "PR-12",
    }  # fmt: skip
    chat(company, key)
    assert tags_of_newest(company)["tags"] == "purpose=work,project=zeus,cost-centre=4711"
    company.prove()


def test_claude_code_s_session_is_a_tag_by_itself(company):
    user = '{"device_id":"d","account_uuid":"","session_id":"54c1eb09-bc4c-4d2f-98eb-6d2ab2d5e2fe"}'
    message(company, company.keys["Ada"], metadata={"user_id": user})
    assert tags_of_newest(company)["session"] == "54c1eb09-bc4c-4d2f-98eb-6d2ab2d5e2fe"
    company.prove()


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"x-tokenroll-purpose": "fun"}, "x-tokenroll-purpose: the purpose of a call is work or personal, not 'fun'."),
        ({"x-tokenroll-tags": "project=a,project=b"}, "x-tokenroll-tags: the tag project is given twice"),
        (
            {"x-tokenroll-tags": "purpose=work", "x-tokenroll-purpose": "personal"},
            "x-tokenroll-purpose: the tag purpose is given twice, as 'purpose=personal' and as 'purpose=work'",
        ),
    ],
)
def test_tags_that_cannot_be_kept_are_refused_in_both_dialects(company, headers, says):
    requests = company.provider.state()["requests"]
    for call, kind in ((chat, openai.BadRequestError), (message, anthropic.BadRequestError)):
        refusal: Any = kind
        with pytest.raises(refusal) as refused:
            call(company, company.keys["Ada"], headers)
        assert says in refused.value.message
    assert company.provider.state()["requests"] == requests


def test_metadata_that_no_tag_can_be_names_its_field(company):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(company, company.keys["Ada"], metadata={"purpose": "evaluation"})
    assert refused.value.param == "metadata.purpose"


def test_a_read_key_sees_what_there_is_and_calls_nothing(company):
    key = made(company, 23, scope="read")
    assert "gpt-4o-mini" in [one.id for one in company.openai(api_key=key).models.list()]
    status, wallet = company.get("/me/wallet", key)
    assert (status, wallet["member"]) == (200, company.get("/me/wallet", "Ada")[1]["member"])
    call = company.calls("Ada", 1)[0]["call"]
    assert company.get(f"/me/calls/{call}", key)[0] == 200
    for call_with, kind in ((chat, openai.PermissionDeniedError), (message, anthropic.PermissionDeniedError)):
        with pytest.raises(kind, match="A key with scope read cannot call models; use one with scope inference"):
            call_with(company, key)


def test_a_rotated_key_s_old_secret_works_until_its_overlap_ends_and_no_longer(company):
    old, new, newest = made(company, 24, budget_nanos=CREDIT), secret(25), secret(26)
    chat(company, old)
    company.prove()
    company.do("key.rotate", key="key 24", overlap_seconds=3_600, **hashed(company, new))
    with company.moves("Ada", 2 * (21 * 150 + 12 * 600)):
        chat(company, old)
        chat(company, new)
    shown = company.tokenroll("key", "show", "key 24", "--json")
    (limit,) = (one for one in company.tokenroll("limit", "list", "--json") if one["name"] == shown["limits"][0])
    assert limit["used"]["amount"] == f"0.{3 * (21 * 150 + 12 * 600):09d}"  # one key, whichever secret was sent
    company.do("key.rotate", key="key 24", overlap_seconds=0, **hashed(company, newest))
    for gone in (old, new):
        with pytest.raises(openai.AuthenticationError):
            chat(company, gone)
    chat(company, newest)
    company.prove()


def test_the_command_line_rotates_a_key_and_shows_its_new_secret_once(company):
    old = made(company, 27)
    rotated = company.tokenroll("key", "rotate", "key 27", "--overlap", "24h", "--json")
    chat(company, old)
    chat(company, rotated["secret"])
    assert "secret" not in company.tokenroll("key", "show", rotated["secret"][:9], "--json")
    assert company.tokenroll("key", "show", old[:9], "--json")["shown_prefix"] == rotated["secret"][:9]
    company.prove()


def denied(error):
    return error.value.response.headers["x-tokenroll-denied"]


def test_who_mistyped_a_key_learns_it_in_each_dialect(company):
    right = made(company, 28)
    for wrong in (right[:-1], right[:10] + ("a" if right[10] != "a" else "b") + right[11:], right + "x"):
        for call, kind in ((chat, openai.AuthenticationError), (message, anthropic.AuthenticationError)):
            with pytest.raises(kind, match="This key is mistyped") as refused:
                call(company, wrong)
            assert denied(refused) == "mistyped_key"
    for call, kind in ((chat, openai.AuthenticationError), (message, anthropic.AuthenticationError)):
        with pytest.raises(kind, match="This key is not known here, or it was revoked") as refused:
            call(company, secret(29))
        assert denied(refused) == "unknown_key"


def test_a_revoked_key_is_refused_from_the_answer_on_and_told_apart_from_a_mistyped_one(company):
    key = made(company, 30)
    client = company.openai(api_key=key)  # its connection is open, and its head is remembered
    client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, max_completion_tokens=300, extra_headers=SIZED)
    # `do` fails unless the gateway says within a second that it goes by it (services/ledger_server.py: DELIVERY_SECONDS_MAX)
    assert company.do("key.revoke", key="key 30")["delivery"] == "applied"
    with pytest.raises(openai.AuthenticationError) as refused:
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_headers=SIZED)
    assert denied(refused) == "unknown_key"
    company.prove()


def test_a_key_that_was_used_says_so_and_one_that_was_not_is_found(company):
    used, unused = made(company, 31), made(company, 32)
    chat(company, used)
    company.quiet()
    company.end("gateway", signal.SIGTERM)  # it says what it knows before it goes
    company.start_gateway()
    keys = {one["name"]: one for one in company.tokenroll("key", "list", "--json")}
    assert keys["key 31"]["used_at"].endswith(":00:00Z")
    assert keys["key 32"]["used_at"] is None
    assert unused.startswith(keys["key 32"]["shown_prefix"])
    company.prove()
