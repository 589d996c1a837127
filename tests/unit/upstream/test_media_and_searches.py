"""Parts that are more than text, and searches without a limit: what the facts say of them, and what is then sent and counted."""

import json

import pytest

from tests.unit.upstream.golden_endpoints import LATER, OUTPUT, SEARCHES, responses, said
from tests.unit.upstream.test_facts import CHAT, MESSAGES, TEXT, chat, messages, parts
from tests.unit.upstream.test_facts import SEARCH as SEARCH_OF_MESSAGES
from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.images import ImageEdits, ImageGenerations
from tokenroll.upstream.responses import Responses

RESPONSES = Responses()
FUNCTION = {"type": "function", "name": "pay", "parameters": {}}
URL = {"url": "data:image/png;base64,AAAA"}  # 36 bytes as it is written
IMAGE = {"type": "image_url", "image_url": URL}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}  # 30 bytes
FILE = {"type": "file", "file": {"file_id": "f"}}  # 15 bytes
PNG = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}  # 31 bytes
PDF = {"type": "document", "source": {"type": "url", "url": "https://x/y"}}  # 34 bytes
SHOT = {"type": "input_image", "image_url": "data:,"}  # 8 bytes
PAPER = {"type": "input_file", "filename": "a.pdf", "file_data": "data:,"}  # 8 bytes
EACH = 6_400
"""What one weighs in place of its own bytes: 1,600 tokens of four bytes."""

MEDIA = [
    ("an image", CHAT, chat(messages=parts(TEXT, IMAGE)), EACH - 36),
    ("an image in a later message", CHAT, chat(messages=[{"content": "x" * 3000}, *parts(IMAGE)]), EACH - 36),
    ("two images", CHAT, chat(messages=parts(IMAGE, IMAGE)), 2 * (EACH - 36)),
    ("an escaped type", CHAT, chat(messages=parts(IMAGE)).replace(b'"image_url",', b'"im\\u0061ge_url",'), EACH - 36),
    ("an image that calls itself text", CHAT, chat(messages=parts(IMAGE | {"type": "text"})), EACH - 36),
    ("two types", CHAT, chat(messages=parts(IMAGE)).replace(b'"}}', b'"},"type":"text","text":"x"}'), EACH - 36),
    ("sound", CHAT, chat(messages=parts(SOUND)), EACH - 30),
    ("a file", CHAT, chat(messages=parts(FILE)), EACH - 15),
    ("an image", MESSAGES, messages(messages=parts(PNG)), EACH - 31),
    ("a document", MESSAGES, messages(messages=parts(TEXT, PDF)), EACH - 34),
    ("an image in a tool's result", MESSAGES, messages(messages=parts({"type": "tool_result", "content": [TEXT, PNG]})), EACH - 31),
    ("a document in a tool's result whose type has an escape", MESSAGES, messages(messages=parts({"type": "tool_result", "content": [PDF]})).replace(b'"tool_', b'"tool\\u005f'), EACH - 34),
    ("a document in what a search found", MESSAGES, messages(messages=parts({"type": "web_search_tool_result", "content": [PDF]})), EACH - 34),
    ("a document in what calls itself text", MESSAGES, messages(messages=parts({"type": "text", "content": [PDF]})), EACH - 34),
    ("a document in a search result in a tool's result", MESSAGES, messages(messages=parts({"type": "tool_result", "content": [{"type": "search_result", "source": "u", "content": [PDF]}]})), EACH - 34),
    ("a source in what calls itself text", MESSAGES, messages(messages=parts(PNG | {"type": "text"})), EACH - 31),
    ("a source that ends as a text", MESSAGES, messages(messages=parts(PNG)).replace(b'"}}', b'"},"type":"text","source":"u"}'), EACH - 3),
    ("a screenshot", RESPONSES, responses(input=said(SHOT)), EACH - 8),
    ("a paper", RESPONSES, responses(input=said(PAPER)), EACH - 8),
    ("a stored file", RESPONSES, responses(input=said({"type": "input_file", "file_id": "f"})), EACH),
    ("an image that calls itself text", RESPONSES, responses(input=said(SHOT | {"type": "input_text"})), EACH - 8),
    ("a screenshot that a call gave", RESPONSES, responses(input=[{**OUTPUT, "output": [SHOT]}]), EACH - 8),
    ("a stored screenshot", RESPONSES, responses(input=said({"type": "input_image", "file_id": "f"})), EACH),
    ("an image with a file in it", CHAT, chat(messages=parts(IMAGE | {"file": {"file_id": "f"}})), EACH - 36 - 15),
    ("an image beside a paper", RESPONSES, responses(input=said(SHOT, PAPER)), 2 * (EACH - 8)),
    ("images in two results", MESSAGES, messages(messages=[*parts({"type": "tool_result", "content": [PNG, PNG]}), *parts(PNG)]), 3 * (EACH - 31)),
]  # fmt: skip
IMAGES = {
    "an image": 1, "an image in a later message": 1, "two images": 2, "an escaped type": 1, "an image in a tool's result": 1,
    "a screenshot": 1, "a screenshot that a call gave": 1, "a stored screenshot": 1, "images in two results": 3,
}  # fmt: skip
"""How many images, where there is nothing else that bytes do not bound: all others ask for the window."""


@pytest.mark.parametrize(("name", "dialect", "body", "more"), MEDIA, ids=[f"{row[1].name}: {row[0]}" for row in MEDIA])
def test_images_are_counted_the_rest_asks_for_the_window_and_none_weighs_its_bytes(name, dialect, body, more):
    facts = dialect.facts(body)
    assert (facts.beyond_bytes, facts.fills_window, facts.input_bytes) == (True, name not in IMAGES, len(body) + more)
    if name in IMAGES:
        assert facts.image_count == IMAGES[name]
    assert facts.has_audio is (name == "sound")


@pytest.mark.parametrize(
    ("dialect", "body", "is_stored"),
    [
        (CHAT, chat(messages=parts(TEXT, FILE)), True),
        (CHAT, chat(messages=parts({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:,"}})), False),
        (CHAT, chat(messages=parts({"type": "file", "file": {"file_id": None, "file_data": "data:,"}})), False),
        (CHAT, chat(messages=parts(IMAGE)), False),
        (RESPONSES, responses(input=said(PAPER)), False),
        (RESPONSES, responses(input=said({"type": "input_file", "file_id": "f"})), True),
        (RESPONSES, responses(input=said({"type": "input_image", "file_id": "f"})), True),
        (RESPONSES, responses(input=said({"type": "input_image", "file_id": None, "image_url": "data:,"})), False),
        (RESPONSES, responses(input=said({"type": "input_text", "text": "Hi", "file_id": "f"})), True),
        (RESPONSES, responses(input=[{**OUTPUT, "output": [{"type": "input_file", "file_id": "f"}]}]), True),
        (MESSAGES, messages(messages=parts({"type": "document", "source": {"type": "file", "file_id": "f"}})), True),
        (MESSAGES, messages(messages=parts(PDF)), False),
    ],
)
def test_a_file_that_is_stored_is_read_where_it_lies(dialect, body, is_stored):
    facts = dialect.facts(body)
    assert (facts.reads_stored, facts.beyond_bytes) == (is_stored, True)


@pytest.mark.parametrize(
    ("fields", "is_stored"),
    [
        ({"images": [{"image_url": "data:,"}]}, False),
        ({"images": [{"image_url": "data:,"}, {"file_id": "f"}]}, True),
        ({"images": [{"image_url": "data:,"}], "mask": {"file_id": "f"}}, True),
    ],
)
def test_a_picture_that_is_stored_is_edited_where_it_lies(fields, is_stored):
    body = {"model": "gpt-image-2", "prompt": "file_id", **fields}
    assert ImageEdits().facts(json.dumps(body).encode()).reads_stored is is_stored


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 272),
        (
            {"output_format": "webp", "complexity": "high", "svg": None, "frame_count": None, "frame_duration_ms": 20},
            272,
        ),
        ({"output_format": "gif"}, 0),
        ({"frame_count": 16}, 0),
    ],
)
def test_a_picture_that_moves_has_no_figure_of_its_own(fields, tokens):
    """0 is the most that its model makes."""
    body = {"model": "gpt-image-2", "prompt": "a cat", "size": "1024x1024", "quality": "low", **fields}
    assert ImageGenerations().facts(json.dumps(body).encode()).output_cap_tokens == tokens
    body["images"] = [{"image_url": "data:,"}]
    assert ImageEdits().facts(json.dumps(body).encode()).output_cap_tokens == tokens


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"svg": {"model": "x", "reasoning": {"effort": "none"}}}, "call_not_bounded", "svg"),
        ({"output_format": "svg"}, "call_not_bounded", "output_format"),
        ({"output_format": "Svg"}, "call_not_bounded", "output_format"),
        ({"outputFormat": "svg"}, "ambiguous_key", "outputFormat"),
        ({"output_format": ["svg"]}, "invalid_type", "output_format"),
    ],
)
def test_a_picture_that_a_further_model_writes_is_refused(fields, code, param):
    body = {"model": "gpt-image-2", "prompt": "a cat", "images": [{"image_url": "data:,"}], **fields}
    for dialect in (ImageGenerations(), ImageEdits()):
        with pytest.raises(RequestRefused) as refused:
            dialect.facts(json.dumps(body).encode())
        assert (refused.value.code, refused.value.param) == (code, param)


def test_every_picture_that_a_request_names_is_read():
    picture = {"image_url": "data:,"}
    body = {"model": "gpt-image-2", "prompt": "a cat", "images": [picture] * 2, "image": picture, "mask": picture}
    assert ImageEdits().facts(json.dumps(body).encode()).extra_input_tokens == 4 * 8_192


def test_text_alone_asks_for_no_window():
    for dialect, body in ((CHAT, chat(messages=parts(TEXT))), (MESSAGES, messages()), (RESPONSES, responses())):
        facts = dialect.facts(body)
        assert (facts.fills_window, facts.image_count, facts.beyond_bytes) == (False, 0, False)
        assert facts.input_bytes == len(body)


# ---- searches --------------------------------------------------------------------------------------------------------------

FOUND = SEARCH_OF_MESSAGES
AMONG = {**LATER, "tools": [FUNCTION, SEARCHES], "id": "1"}
OPEN = [
    ("messages", MESSAGES, messages(tools=[FOUND, {"name": "pay", "input_schema": {}}])),
    ("responses", RESPONSES, responses(tools=[FUNCTION, SEARCHES])),
    ("among later tools", RESPONSES, responses(input=[*said({"type": "input_text", "text": "Hi"}), AMONG])),
]


def sent(dialect, body, searches):
    facts = dialect.facts(body)
    buffers = dialect.rewrite(
        body, facts, model=facts.model, output_cap_tokens=0, inject_usage=False, service_tier=None, searches=searches
    )
    return json.loads(b"".join(buffers))


@pytest.mark.parametrize(("dialect", "body"), [row[1:] for row in OPEN], ids=[row[0] for row in OPEN])
def test_a_search_without_a_limit_is_for_admission_to_bound(dialect, body):
    facts = dialect.facts(body)
    assert (facts.search_is_open, facts.server_tool_uses_max, facts.web_search_max) == (True, 8, 8)


def test_the_limit_that_admission_names_is_written_where_the_provider_reads_it():
    body = OPEN[0][2]
    assert sent(MESSAGES, body, 3) == json.loads(body) | {
        "tools": [{**FOUND, "max_uses": 3}, {"name": "pay", "input_schema": {}}]
    }
    for _, _, body in OPEN[1:]:
        assert sent(RESPONSES, body, 3) == json.loads(body) | {"max_tool_calls": 3}


def test_a_null_limit_is_replaced_and_never_doubled():
    body = responses(tools=[SEARCHES], max_tool_calls=None)
    assert RESPONSES.facts(body).search_is_open
    assert sent(RESPONSES, body, 2)["max_tool_calls"] == 2
    assert sent(MESSAGES, messages(tools=[FOUND | {"max_uses": None}]), 2)["tools"] == [FOUND | {"max_uses": 2}]


def test_a_search_that_cannot_be_bounded_is_left_out_and_nothing_else():
    for place, (_, dialect, body) in enumerate(OPEN):
        before, after = json.loads(body), sent(dialect, body, 0)
        if place == 2:
            assert after["input"][1] == {**AMONG, "tools": [FUNCTION]}
            assert after["input"][0] == before["input"][0]
            continue
        assert after == before | {
            "tools": [tool for tool in before["tools"] if not tool.get("type", "").startswith("web")]
        }


def test_a_clients_own_limit_stands():
    for dialect, body in (
        (MESSAGES, messages(tools=[FOUND | {"max_uses": 3}])),
        (RESPONSES, responses(tools=[SEARCHES], max_tool_calls=3)),
    ):
        facts = dialect.facts(body)
        assert (facts.search_is_open, facts.server_tool_uses_max) == (False, 3)


def test_who_must_search_names_a_limit():
    with pytest.raises(RequestRefused):
        RESPONSES.facts(responses(tools=[SEARCHES], tool_choice=SEARCHES))
    assert RESPONSES.facts(responses(tools=[SEARCHES], tool_choice="auto")).search_is_open
    assert MESSAGES.facts(messages(tools=[FOUND], tool_choice={"type": "tool", "name": "pay"})).search_is_open
