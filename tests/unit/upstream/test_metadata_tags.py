"""What a request's metadata says of the call, by names that tags know; everything else in it is the client's own."""

import json
from typing import Any

import pytest

from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.completions import Completions
from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.openai import ChatCompletions
from tokenroll.upstream.responses import Responses

MESSAGES = [{"role": "user", "content": "hello"}]
ENDPOINTS: dict[Any, dict[str, Any]] = {
    ChatCompletions(): {"messages": MESSAGES},
    Responses(): {"input": "hello"},
    Completions(): {"prompt": "hello"},
    Embeddings(): {"input": "hello"},
}


@pytest.mark.parametrize("dialect", ENDPOINTS, ids=lambda one: one.name)
def test_every_endpoint_of_openai_s_reads_the_names_it_knows(dialect):
    said = {
        "ticket": "very, private",
        "project": "atlas",
        "Cost_Centre": " 4711 ",
        "purpose": "personal",
        "content": "x",
    }
    body = json.dumps({"model": "gpt-4o", **ENDPOINTS[dialect], "metadata": said}).encode()
    assert dialect.facts(body).tags == "project=atlas,cost-centre=4711,purpose=personal"


@pytest.mark.parametrize("dialect", ENDPOINTS, ids=lambda one: one.name)
@pytest.mark.parametrize("metadata", [None, {}, {"ticket": "1"}, "text", 7, ["project"]])
def test_metadata_that_says_nothing_of_ours_says_nothing(dialect, metadata):
    body = json.dumps({"model": "gpt-4o", **ENDPOINTS[dialect], "metadata": metadata}).encode()
    assert dialect.facts(body).tags == ""


@pytest.mark.parametrize("dialect", ENDPOINTS, ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("metadata", "param", "says"),
    [
        ('{"project":7}', "metadata.project", "expected a string, but got an integer instead"),
        ('{"purpose":"fun"}', "metadata.purpose", "the purpose of a call is work or personal, not 'fun'"),
        ('{"project":"a,b"}', "metadata.project", "has a comma, which would end it"),
        ('{"session":""}', "metadata.session", "the tag session has no value"),
        ('{"outcome":"\\u00e9"}', "metadata.outcome", "printable ASCII characters"),
        ('{"project":"a","project":"b"}', "metadata.project", "the tag project is given twice"),
    ],
)
def test_a_value_that_no_tag_can_have_is_refused_with_its_field(dialect, metadata, param, says):
    body = (
        json.dumps({"model": "gpt-4o", **ENDPOINTS[dialect]}).encode()[:-1] + b',"metadata":' + metadata.encode() + b"}"
    )
    with pytest.raises(RequestRefused) as refused:
        dialect.facts(body)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("user_id", "tags"),
    [
        ("ada@acme.example", ""),
        (
            "user_" + "a" * 64 + "_account__session_57a121ec-f78c-48c3-a745-e3036a3ecc33",
            "session=57a121ec-f78c-48c3-a745-e3036a3ecc33",
        ),
        (
            '{"device_id":"d","account_uuid":"","session_id":"54c1eb09-bc4c-4d2f-98eb-6d2ab2d5e2fe"}',
            "session=54c1eb09-bc4c-4d2f-98eb-6d2ab2d5e2fe",
        ),
        ('{"session_id": "s"}', ""),
        ("my session_id", ""),
    ],
)
def test_of_anthropic_s_user_only_the_session_that_claude_code_names_is_told(user_id, tags):
    said = {"model": "claude", "max_tokens": 9, "messages": MESSAGES, "metadata": {"user_id": user_id}}
    assert Messages().facts(json.dumps(said).encode()).tags == tags
