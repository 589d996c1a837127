"""What a request's head must say, and what is refused before it can cost anything: in the dialect, naming the field."""

import json
from typing import Any

import pytest

from tests.unit.upstream import golden_endpoints as golden
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.completions import Completions
from tokenroll.upstream.dialect import Dialect, RequestRefused
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.moderations import Moderations
from tokenroll.upstream.openai import ChatCompletions
from tokenroll.upstream.rerank import Rerank
from tokenroll.upstream.responses import Responses

CHAT, MESSAGES = ChatCompletions(), Messages()
BARE = Facts()


def chat(**fields):
    body = {"model": "gpt-6-astra", "messages": [{"role": "user", "content": "Hello"}]}
    return json.dumps(body | fields, separators=(",", ":")).encode()


def messages(**fields):
    body = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
    return json.dumps(body | fields, separators=(",", ":")).encode()


def parts(*content):
    return [{"role": "user", "content": list(content)}]


TEXT = {"type": "text", "text": "Hello"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "max_uses": "x", "type2": 1}}}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}

GOOD_CHAT = [
    ("plain", chat(), {"model": "gpt-6-astra", "message_count": 1, "cap_field": "max_completion_tokens"}),
    ("old cap", chat(max_tokens=50), {"output_cap_tokens": 50, "cap_field": "max_tokens"}),
    ("new cap", chat(max_completion_tokens=50), {"output_cap_tokens": 50, "cap_field": "max_completion_tokens"}),
    (
        "both caps: the larger bounds",
        chat(max_tokens=50, max_completion_tokens=20),
        {"output_cap_tokens": 50, "cap_field": "max_completion_tokens", "second_cap_field": "max_tokens"},
    ),
    ("a null cap is none", chat(max_tokens=None), {"output_cap_tokens": 0, "cap_field": "max_completion_tokens"}),
    ("stream", chat(stream=True), {"stream": True, "include_usage": False, "has_stream_options": False}),
    ("stream null", chat(stream=None), {"stream": False}),
    (
        "usage asked for",
        chat(stream=True, stream_options={"include_usage": True}),
        {"include_usage": True, "has_stream_options": True},
    ),
    (
        "usage declined",
        chat(stream=True, stream_options={"include_usage": False}),
        {"include_usage": False, "has_stream_options": True},
    ),
    ("options null", chat(stream_options=None), {"include_usage": False}),
    ("choices", chat(n=5), {"choice_count": 5}),
    ("n null", chat(n=None), {"choice_count": 1}),
    ("tools", chat(tools=[TOOL, TOOL]), {"has_tools": True, "tool_count": 2}),
    ("custom tool", chat(tools=[{"type": "custom", "custom": {"name": "x"}}]), {"has_tools": True, "tool_count": 1}),
    ("no tools", chat(tools=[]), {"has_tools": False, "tool_count": 0}),
    ("a tool whose type has an escape", chat(tools=[TOOL]).replace(b'"function",', b'"func\\u0074ion",'), {"tool_count": 1}),
    ("legacy functions", chat(functions=[{"name": "f"}]), {"has_tools": True, "tool_count": 1}),
    ("text parts", chat(messages=parts(TEXT, TEXT)), {"message_count": 1}),
    ("a refusal", chat(messages=parts({"type": "refusal", "refusal": "no"})), {"message_count": 1}),
    ("content null", chat(messages=[{"role": "assistant", "content": None, "tool_calls": []}]), {"message_count": 1}),
    ("content absent", chat(messages=[{"role": "assistant", "tool_calls": [{}]}]), {"message_count": 1}),
    ("audio null", chat(messages=[{"role": "assistant", "content": "x", "audio": None}]), {"message_count": 1}),
    ("tier default", chat(service_tier="default"), {"service_tier": "standard"}),
    ("tier auto is the deployment's", chat(service_tier="auto"), {"service_tier": ""}),
    ("tier flex", chat(service_tier="flex"), {"service_tier": "flex"}),
    ("tier fast is priority", chat(service_tier="fast"), {"service_tier": "priority"}),
    ("user", chat(user="ada"), {"user": "ada"}),
    ("an agent's user of several ids", chat(user="a" * 256), {"user": "a" * 256}),
    ("modalities text", chat(modalities=["text"]), {"message_count": 1, "speaks": False, "is_text": True}),
    ("no sound", chat(modalities=None, audio=None), {"speaks": False, "is_text": True, "beyond_bytes": False}),
    (
        "an answer in sound", chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}, max_completion_tokens=50),
        {"speaks": True, "is_text": False, "beyond_bytes": True, "output_cap_tokens": 50, "fills_window": False},
    ),
    ("sound by its settings alone", chat(audio={"voice": "alloy", "format": "wav"}), {"speaks": True, "is_text": False}),
    ("sound by its modality alone", chat(modalities=["audio"]), {"speaks": True, "is_text": False}),
    (
        "what was said before, by its id", chat(messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "audio": {"id": "audio_1"}}]),
        {"has_audio": True, "reads_stored": True, "fills_window": True, "beyond_bytes": True, "is_text": True, "message_count": 2},
    ),
    ("unbounded fields that are null", chat(audio=None, prediction=None, web_search_options=None), {"message_count": 1}),
    ("vendors' fields that cost nothing", chat(transforms=["middle-out"], top_k=5, min_p=0.1, chat_template_kwargs={"enable_thinking": False}, usage={"include": True}), {"choice_count": 1}),
    ("vendors' fields that say what is so anyway", chat(best_of=1, use_beam_search=False, deferred=None, models=[], speed="standard"), {"choice_count": 1}),
    ("unknown fields pass", chat(reasoning_effort="low", seed=7, logit_bias={"5": 1}, stop=["a"], x=[[1], {}]), {}),
    ("escaped names", chat().replace(b'"model"', b'"mod\\u0065l"'), {"model": "gpt-6-astra"}),
    ("escaped types", chat(messages=parts(TEXT)).replace(b'"text",', b'"te\\u0078t",'), {"message_count": 1}),
    ("spaces", json.dumps(json.loads(chat(max_tokens=5)), indent=2).encode(), {"output_cap_tokens": 5}),
    ("not ASCII", chat(messages=[{"role": "user", "content": "Grüße 😀"}]).decode().encode(), {"message_count": 1}),
    ("raw UTF-8", '{"model":"gpt-6-astra","messages":[{"content":"Grüße 😀"}]}'.encode(), {"input_bytes": 63}),
    (
        "a text about options is not an option given twice",
        chat(messages=[{"content": '"include_usage":true,"include_usage":false'}], stream=True, stream_options={"include_usage": True}),
        {"include_usage": True},
    ),
    (
        "text that looks like fields",
        chat(messages=[{"role": "user", "content": '{"model":"x","max_tokens":1,"type":"image_url"}'}]),
        {"output_cap_tokens": 0},
    ),
]  # fmt: skip
SELF = {"type": "billing_policy", "bill_to": "self"}
GOOD_MESSAGES = [
    ("a bill to whom it goes anyway", messages(billing_policy=SELF), {"output_cap_tokens": 100}),
    ("a bill to nobody else", messages(billing_policy={"type": "billing_policy"}), {"output_cap_tokens": 100}),
    ("plain", messages(), {"model": "claude-opus-5-5", "output_cap_tokens": 100, "cap_field": "max_tokens", "message_count": 1}),
    ("system text is a message more", messages(system="Be brief"), {"message_count": 2}),
    ("system blocks", messages(system=[TEXT | {"cache_control": {"type": "ephemeral"}}]), {"message_count": 2}),
    ("stream", messages(stream=True), {"stream": True}),
    ("thinking", messages(max_tokens=5000, thinking={"type": "enabled", "budget_tokens": 4000}), {"thinking_budget_tokens": 4000}),
    ("adaptive thinking", messages(thinking={"type": "adaptive"}), {"thinking_budget_tokens": 0}),
    ("tools", messages(tools=[{"name": "f", "input_schema": {}}, {"type": "custom", "name": "g"}]), {"tool_count": 2, "has_tools": True}),
    ("search with a limit", messages(tools=[SEARCH | {"max_uses": 3}]), {"web_search_max": 3, "server_tool_uses_max": 3}),
    ("the provider's client tools", messages(tools=[{"type": "bash_20250124", "name": "bash"}]), {"extra_input_tokens": 1024}),
    (
        "an agent's turn",
        messages(
            messages=[
                {"role": "user", "content": [TEXT | {"cache_control": {"type": "ephemeral"}}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"},
                                                  {"type": "tool_use", "id": "t", "name": "f", "input": {"source": {"a": 1}}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "42"},
                                             {"type": "tool_result", "tool_use_id": "t", "content": [TEXT]},
                                             {"type": "tool_result", "tool_use_id": "t"}]},
            ],
            metadata={"user_id": "ada"}, context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        ),
        {"message_count": 3, "user": "ada"},
    ),
    ("an agent's user of several ids", messages(metadata={"user_id": "a" * 256}), {"user": "a" * 256}),
    ("a search result with its source", messages(messages=parts({"type": "search_result", "source": "u", "content": [TEXT]})), {}),
    ("what a search found", messages(messages=parts({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "encrypted_content": "x"}]})), {"beyond_bytes": False}),
    ("a search that found nothing", messages(messages=parts({"type": "web_search_tool_result", "content": {"type": "web_search_tool_result_error"}})), {"beyond_bytes": False}),
    ("search results in a tool's result", messages(messages=parts({"type": "tool_result", "content": [{"type": "search_result", "source": "u", "content": [TEXT]}]})), {"beyond_bytes": False}),
    ("tier auto", messages(service_tier="auto"), {"service_tier": ""}),
    ("tier standard only", messages(service_tier="standard_only"), {"service_tier": "standard"}),
    ("standard speed, no servers", messages(speed="standard", mcp_servers=[]), {}),
    ("the region that cards are for", messages(inference_geo="global", fallbacks=None), {}),
    ("metadata null", messages(metadata=None, thinking=None, system=None, context_management=None), {"message_count": 1}),
]  # fmt: skip

MANY = b"[" * 20_000 + b"]" * 20_000
BAD_CHAT = [
    ("nothing", b"", "invalid_json", None),
    ("not JSON", b"hello", "invalid_json", None),
    ("cut", chat()[:-3], "invalid_json", None),
    ("more behind", chat() + b"{}", "invalid_json", None),
    ("a byte order mark", b"\xef\xbb\xbf" + chat(), "invalid_json", None),
    ("not UTF-8", chat().replace(b"Hello", b"H\xff"), "invalid_json", None),
    ("half a surrogate pair", chat().replace(b"Hello", b"\\ud83d x"), "invalid_json", "messages"),
    ("half a surrogate pair in the model", chat().replace(b"gpt-6", b"\\ud800"), "invalid_json", "model"),
    ("a cap beyond every float", chat(max_tokens=7).replace(b":7", b":1e400"), "invalid_value", "max_tokens"),
    ("a cap of thousands of digits", chat(max_tokens=7).replace(b":7", b":1" + b"0" * 5000), "invalid_value", "max_tokens"),
    ("a number in a list beyond every float", chat(stop=["a", 7]).replace(b",7", b",-1e400"), "invalid_value", "stop[1]"),
    ("NaN", chat().replace(b"}]", b'}],"temperature":NaN'), "invalid_json", None),
    ("nested too deep", chat(x=0).replace(b'"x":0', b'"x":' + MANY), "invalid_json", None),
    ("a list", b"[]", "invalid_type", None),
    ("a text", b'"x"', "invalid_type", None),
    ("no model", chat(model=None), "missing_required_parameter", "model"),
    ("an empty model", chat(model=""), "invalid_value", "model"),
    ("a model with a line end", chat(model="gpt\n"), "invalid_value", "model"),
    ("a long model", chat(model="x" * 201), "invalid_value", "model"),
    ("a model that is a number", chat(model=4), "invalid_type", "model"),
    ("a model that is a list", chat(model=["x"]), "invalid_type", "model"),
    ("no messages", chat(messages=None), "missing_required_parameter", "messages"),
    ("empty messages", chat(messages=[]), "invalid_value", "messages"),
    ("messages that are text", chat(messages="hi"), "invalid_type", "messages"),
    ("a message that is text", chat(messages=["hi"]), "invalid_type", "messages[0]"),
    ("a message that is a list", chat(messages=[[]]), "invalid_type", "messages[0]"),
    ("content that is a number", chat(messages=[{"content": 5}]), "invalid_type", "messages[0].content"),
    ("content that is an object", chat(messages=[{"content": {}}]), "invalid_type", "messages[0].content"),
    ("a part that is text", chat(messages=[{"role": "user", "x": "y" * 3000, "content": ["x"]}]), "invalid_type", "messages[0].content"),
    ("a cap of zero", chat(max_tokens=0), "invalid_value", "max_tokens"),
    ("a negative cap", chat(max_completion_tokens=-1), "invalid_value", "max_completion_tokens"),
    ("a huge cap", chat(max_tokens=10**18), "invalid_value", "max_tokens"),
    ("a cap beyond 64 bits", chat(max_tokens=10**40), "invalid_value", "max_tokens"),
    ("a cap in quotes", chat(max_tokens="50"), "invalid_type", "max_tokens"),
    ("a cap with a fraction", chat(max_tokens=50.5), "invalid_type", "max_tokens"),
    ("a cap that is true", chat(max_tokens=True), "invalid_type", "max_tokens"),
    ("a small second cap that is bad", chat(max_completion_tokens=5, max_tokens="x"), "invalid_type", "max_tokens"),
    ("n of zero", chat(n=0), "invalid_value", "n"),
    ("n too large", chat(n=129), "invalid_value", "n"),
    ("n in quotes", chat(n="2"), "invalid_type", "n"),
    ("stream in quotes", chat(stream="true"), "invalid_type", "stream"),
    ("stream as a number", chat(stream=1), "invalid_type", "stream"),
    ("options a list", chat(stream_options=[]), "invalid_type", "stream_options"),
    ("include_usage a number", chat(stream_options={"include_usage": 1}), "invalid_type", "stream_options.include_usage"),
    ("tools an object", chat(tools={}), "invalid_type", "tools"),
    ("a tool that is text", chat(tools=["f"]), "invalid_type", "tools[0]"),
    ("the model twice", b'{"model":"a","model":"b"}', "duplicate_key", "model"),
    ("the cap twice", chat(max_tokens=1)[:-1] + b',"max_tokens":100000}', "duplicate_key", "max_tokens"),
    ("the cap twice, once escaped", chat(max_tokens=1)[:-1] + b',"m\\u0061x_tokens":100000}', "duplicate_key", "max_tokens"),
    ("messages twice", chat()[:-1] + b',"messages":[]}', "duplicate_key", "messages"),
    (
        "include_usage twice",
        chat(stream=True)[:-1] + b',"stream_options":{"include_usage":true,"include_usage":false}}',
        "duplicate_key",
        "include_usage",
    ),
    (
        "include_usage twice, behind a long text",
        chat(stream=True, messages=[{"content": "x" * 9000}])[:-1] + b',"stream_options":{"include_usage":true,"include_usage":false}}',
        "duplicate_key",
        "include_usage",
    ),
    (
        "include_usage twice, before a long text",
        b'{"stream_options":{"include_usage":true,"include_usage":false},' + chat(stream=True, messages=[{"content": "x" * 9000}])[1:],
        "duplicate_key",
        "include_usage",
    ),
    ("a dearer model to fall back to", chat(models=["toy", "giant"]), "call_not_bounded", "models"),
    ("tools on the provider's side", chat(plugins=[{"id": "web"}]), "call_not_bounded", "plugins"),
    ("a way with prices of its own", chat(provider={"order": ["dear"]}), "call_not_bounded", "provider"),
    ("live searches", chat(search_parameters={"mode": "on"}), "call_not_bounded", "search_parameters"),
    ("searches by a server's own name", chat(enable_enhancement=True), "call_not_bounded", "enable_enhancement"),
    ("searches of a system of models", chat(search_settings={"country": "de"}), "call_not_bounded", "search_settings"),
    ("searches by a switch of Qwen's", chat(enable_search=True), "call_not_bounded", "enable_search"),
    ("searches in fields of a server's own", chat(venice_parameters={"enable_web_search": "auto"}), "call_not_bounded", "venice_parameters"),
    ("what is kept, in fields of a server's own", chat(google={"cached_content": "x"}), "call_not_bounded", "google"),
    ("models to fall back to, in options", chat(providerOptions={"gateway": {"models": ["giant"]}}), "call_not_bounded", "providerOptions"),
    ("code by a switch", chat(enable_code_interpreter=True), "call_not_bounded", "enable_code_interpreter"),
    ("a live search as a tool", chat(tools=[{"type": "live_search"}]), "call_not_bounded", "tools[0].type"),
    ("a search that comes with the server", chat(tools=[{"type": "builtin_function", "function": {"name": "$web_search"}}]), "call_not_bounded", "tools[0].type"),
    ("an answer that comes later", chat(deferred=True), "call_not_bounded", "deferred"),
    ("beams", chat(use_beam_search=True), "call_not_bounded", "use_beam_search"),
    ("the best of more", chat(best_of=20), "call_not_bounded", "best_of"),
    ("another name for choices", chat(n_cmpl=50), "call_not_bounded", "n_cmpl"),
    ("another name for the cap", chat(n_predict=-1), "call_not_bounded", "n_predict"),
    ("fields in a field", chat(extra_body={"google": {"cached_content": "x"}}), "call_not_bounded", "extra_body"),
    ("choices in capitals", chat(N=50), "ambiguous_key", "N"),
    ("a cap in capitals", chat(Max_Tokens=90000), "ambiguous_key", "Max_Tokens"),
    ("a cap with a hump", chat(maxCompletionTokens=90000), "ambiguous_key", "maxCompletionTokens"),
    ("a cap with a long s", chat(max_tokens=90000).replace(b"tokens", b"token\\u017f"), "ambiguous_key", "max_token\u017f"),
    ("messages in capitals", chat(Messages=[]), "ambiguous_key", "Messages"),
    ("tools in capitals", chat(Tools=[{"type": "web_search"}]), "ambiguous_key", "Tools"),
    ("a search in capitals", chat(Web_Search_Options={}), "call_not_bounded", "Web_Search_Options"),
    ("a part without a type", chat(messages=parts({"text": "x"})), "call_not_bounded", "messages[0].content[0]"),
    ("a part that nobody knows", chat(messages=parts(TEXT, {"type": "video_url", "video_url": {"url": "x"}})), "call_not_bounded", "messages[0].content[1]"),
    ("a search", chat(web_search_options={}), "call_not_bounded", "web_search_options"),
    ("a prediction", chat(prediction={"type": "content", "content": "x"}), "call_not_bounded", "prediction"),
    ("a picture out", chat(modalities=["text", "image"]), "call_not_bounded", "modalities"),
    ("a picture and sound out", chat(modalities=["audio", "image"]), "call_not_bounded", "modalities"),
    ("modalities a text", chat(modalities="text"), "invalid_type", "modalities"),
    ("a tool of the provider's", chat(tools=[{"type": "web_search"}]), "call_not_bounded", "tools[0].type"),
    ("the scale tier", chat(service_tier="scale"), "call_not_bounded", "service_tier"),
    ("the batch tier, which is no call's", chat(service_tier="batch"), "invalid_value", "service_tier"),
    ("a tier that is a number", chat(service_tier=1), "invalid_type", "service_tier"),
    ("a long user", chat(user="u" * 1_025), "invalid_value", "user"),
]  # fmt: skip
PNG = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
BAD_MESSAGES = [
    ("no cap", messages(max_tokens=None), "missing_required_parameter", "max_tokens"),
    ("a cap of zero", messages(max_tokens=0), "invalid_value", "max_tokens"),
    ("no messages", messages(messages=[]), "invalid_value", "messages"),
    ("a search in any case, without a limit", messages(tools=[SEARCH], tool_choice={"type": "tool", "name": "web_search"}), "call_not_bounded", "tools[0].max_uses"),
    ("searches in two ways", messages(tools=[SEARCH, SEARCH | {"max_uses": 2}]), "call_not_bounded", "tools[1]"),
    ("a video", messages(messages=parts({"type": "video", "source": {}})), "call_not_bounded", "messages[0].content[0]"),
    ("more than one answer", messages(n=3), "call_not_bounded", "n"),
    ("a cap in capitals", messages(MAX_TOKENS=90000), "ambiguous_key", "MAX_TOKENS"),
    ("servers to call, in capitals", messages(MCP_Servers=[{"url": "https://x"}]), "call_not_bounded", "MCP_Servers"),
    ("a video in what a search found", messages(messages=parts({"type": "web_search_tool_result", "content": [{"type": "video"}]})), "call_not_bounded", "messages[0].content[0].content[0]"),
    ("a video in a search result in a tool's result", messages(messages=parts({"type": "tool_result", "content": [TEXT, {"type": "search_result", "source": "u", "content": [TEXT, {"type": "video"}]}]})), "call_not_bounded", "messages[0].content[0].content[1].content[1]"),
    ("a video in a tool's result", messages(messages=parts({"type": "tool_result", "content": [TEXT, {"type": "video"}]})), "call_not_bounded", "messages[0].content[0].content[1]"),
    ("a system image", messages(system=[PNG]), "call_not_bounded", "system[0]"),
    ("a system number", messages(system=5), "invalid_type", "system"),
    ("a search of zero uses", messages(tools=[SEARCH | {"max_uses": 0}]), "invalid_value", "tools[0].max_uses"),
    ("code on the provider's side", messages(tools=[{"type": "code_execution_20250825"}]), "call_not_bounded", "tools[0].type"),
    ("a fetch", messages(tools=[{"type": "web_fetch_20250910", "max_uses": 1}]), "call_not_bounded", "tools[0].type"),
    ("servers to call", messages(mcp_servers=[{"url": "https://x"}]), "call_not_bounded", "mcp_servers"),
    ("a container", messages(container="c"), "call_not_bounded", "container"),
    ("a bill to a customer", messages(billing_policy={"type": "billing_policy", "bill_to": "user_profile"}), "call_not_bounded", "billing_policy"),
    ("a bill of a kind nobody has heard of", messages(billing_policy=SELF | {"share": 2}), "call_not_bounded", "billing_policy"),
    ("a bill to two", messages(billing_policy=SELF).replace(b'"bill_to"', b'"bill_to":"user_profile","bill_to"'), "duplicate_key", "bill_to"),
    ("a bill that is a text", messages(billing_policy="self"), "call_not_bounded", "billing_policy"),
    ("a budget as large as the cap", messages(thinking={"type": "enabled", "budget_tokens": 100}), "invalid_value", "max_tokens"),
    ("a budget in quotes", messages(thinking={"type": "enabled", "budget_tokens": "5"}), "invalid_type", "thinking.budget_tokens"),
    ("a budget twice", messages()[:-1] + b',"thinking":{"type":"enabled","budget_tokens":5,"budget_tokens":6}}', "duplicate_key", "budget_tokens"),
    ("uses twice", messages(tools=[SEARCH | {"max_uses": 3}]).replace(b'"max_uses":3', b'"max_uses":90,"max_uses":3'), "duplicate_key", "max_uses"),
    ("uses twice, once escaped", messages(tools=[SEARCH | {"max_uses": 3}]).replace(b'"max_uses":3', b'"m\\u0061x_uses":90,"max_uses":3'), "duplicate_key", "max_uses"),
    ("a search that ends as a tool of one's own", messages(tools=[SEARCH | {"x": 1}]).replace(b'"x":1', b'"type":"custom"'), "duplicate_key", "type"),
    ("edits twice", messages()[:-1] + b',"context_management":{"edits":[{"type":"compact_20260112"}],"edits":[]}}', "duplicate_key", "edits"),
    ("thinking a text", messages(thinking="hard"), "invalid_type", "thinking"),
    ("a summary of the context", messages(context_management={"edits": [{"type": "compact_20260112"}]}), "call_not_bounded", "context_management.edits[0]"),
    ("fast", messages(speed="fast"), "call_not_bounded", "speed"),
    ("a speed nobody has heard of", messages(speed="turbo"), "call_not_bounded", "speed"),
    ("a speed that is no text", messages(speed={"mode": "fast"}), "call_not_bounded", "speed"),
    ("another model when this one is busy", messages(fallbacks=[{"model": "giant"}]), "call_not_bounded", "fallbacks"),
    ("a dearer region", messages(inference_geo="us"), "call_not_bounded", "inference_geo"),
    ("an unknown tier", messages(service_tier="priority"), "invalid_value", "service_tier"),
    ("the cap twice", messages()[:-1] + b',"max_tokens":9}', "duplicate_key", "max_tokens"),
    ("metadata a text", messages(metadata="x"), "invalid_type", "metadata"),
]  # fmt: skip

GOOD: list[tuple[Dialect, str, bytes, Any]] = [(CHAT, *row) for row in GOOD_CHAT] + [
    (MESSAGES, *row) for row in GOOD_MESSAGES
]
BAD: list[tuple[Dialect, str, bytes, str, str | None]] = [(CHAT, *row) for row in BAD_CHAT] + [
    (MESSAGES, *row) for row in BAD_MESSAGES
]
for dialect, good, bad in (
    (Responses(), golden.GOOD_RESPONSES, golden.BAD_RESPONSES),
    (Completions(), golden.GOOD_COMPLETIONS, golden.BAD_COMPLETIONS),
    (Embeddings(), golden.GOOD_EMBEDDINGS, golden.BAD_EMBEDDINGS),
    (Moderations(), golden.GOOD_MODERATIONS, golden.BAD_MODERATIONS),
    (Rerank(), golden.GOOD_RERANK, golden.BAD_RERANK),
):
    GOOD += [(dialect, *row) for row in good]
    BAD += [(dialect, *row) for row in bad]


def names(rows):
    return [f"{dialect.name}: {name}" for dialect, name, *_ in rows]


def test_the_tables_are_not_thin():
    assert len(GOOD) >= 45
    assert len(BAD) >= 85


@pytest.mark.parametrize(("dialect", "name", "body", "expected"), GOOD, ids=names(GOOD))
def test_it_reads_the_head(dialect, name, body, expected):
    facts = dialect.facts(body)
    assert {field: getattr(facts, field) for field in expected} == expected
    assert facts.input_bytes == len(body)


@pytest.mark.parametrize(("dialect", "name", "body", "code", "param"), BAD, ids=names(BAD))
def test_it_refuses_in_the_dialect_and_names_the_field(dialect, name, body, code, param):
    with pytest.raises(RequestRefused) as refused:
        dialect.facts(body)
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, code, param)
    assert refused.value.message.strip()
    answer = dialect.error(400, code, refused.value.message, param=param)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["type"], error["code"]) == (400, "invalid_request_error", code)
    assert param is None or param.split("[")[0] in error["message"]


def test_it_says_what_to_do_about_a_field_that_could_be_taken_for_another():
    with pytest.raises(RequestRefused) as refused:
        CHAT.facts(chat(N=50))
    assert refused.value.message == (
        "The field 'N' is not 'n', but some servers read it so; which one counts would be a guess. Write 'n', or leave it out."
    )


SEND_WHOLE = (
    " is half of a surrogate pair, which is no character, so the body cannot be read as text. A text that was cut in the middle of "
    "an emoji looks so: cut it between characters, or leave the half out."
)
UNREADABLE = [
    (chat().replace(b"Hello", b"\\ud83d x"), "The \\ud83d at byte 61 of the request body (in 'messages')" + SEND_WHOLE),
    (chat().replace(b"Hello", b"a\\\\\\ud83d\\ude00\\udc00"), "The \\udc00 at byte 76 of the request body (in 'messages')" + SEND_WHOLE),
    (b'{"\\udc00":1}', "The \\udc00 at byte 2 of the request body" + SEND_WHOLE),
    (b'{"\\uDC00', "The \\uDC00 at byte 2 of the request body" + SEND_WHOLE),
    (chat(n=7).replace(b":7", b":1e400"), "The number at 'n' is too large for any field: 1e400. Send a smaller one."),
    (chat(n=7).replace(b":7", b":" + b"9" * 5000), "The number at 'n' is too large for any field: 99999999999999999999…. Send a smaller one."),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_it_says_what_cannot_be_read_and_where(body, message):
    with pytest.raises(RequestRefused) as refused:
        CHAT.facts(body)
    assert refused.value.message == message


@pytest.mark.parametrize(("dialect", "name", "body", "expected"), GOOD, ids=names(GOOD))
def test_nothing_to_change_is_the_very_same_object(dialect, name, body, expected):
    facts = dialect.facts(body)
    buffers = dialect.rewrite(
        body, facts, model=facts.model, output_cap_tokens=0, inject_usage=False, service_tier=None
    )
    assert len(buffers) == 1
    assert buffers[0] is body


@pytest.mark.parametrize(("dialect", "name", "body", "expected"), GOOD, ids=names(GOOD))
def test_a_rewritten_body_says_what_policy_says_and_else_the_same(dialect, name, body, expected):
    facts = dialect.facts(body)
    sent = b"".join(
        dialect.rewrite(
            body,
            facts,
            model='a "quoted" ü',
            output_cap_tokens=7777 if facts.has_output else 0,
            inject_usage=dialect.asks_for_usage,
            service_tier="standard",
        )
    )
    before, after = json.loads(body), json.loads(sent, object_pairs_hook=once)
    wanted = before | {"model": 'a "quoted" ü'}
    for field in (facts.cap_field, facts.second_cap_field):
        if field:
            wanted[field] = 7777
    if dialect.asks_for_usage and facts.stream and not facts.include_usage:
        wanted["stream_options"] = (before.get("stream_options") or {}) | {"include_usage": True}
    if dialect.name in {"chat completions", "responses"}:  # the others have no tiers to name
        wanted["service_tier"] = "default"
    elif dialect is MESSAGES:
        wanted["service_tier"] = "standard_only"
    assert after == wanted
    again = dialect.facts(sent)
    cap = 7777 if facts.has_output else 0
    assert (again.model, again.output_cap_tokens, again.stream) == ('a "quoted" ü', cap, facts.stream)


def once(pairs):
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_a_large_body_is_not_copied():
    body = chat(messages=[{"role": "user", "content": "x" * 1_000_000}], stream=True)
    facts = CHAT.facts(body)
    buffers = CHAT.rewrite(body, facts, model="other", output_cap_tokens=5, inject_usage=True, service_tier=None)
    views = [one for one in buffers if isinstance(one, memoryview)]
    assert sum(len(one) for one in views) > 1_000_000
    assert all(one.obj is body for one in views)
    assert sum(len(one) for one in buffers if isinstance(one, bytes)) < 200


def test_each_byte_outside_the_changed_values_stays():
    body = b'{ "model" : "gpt-6-astra" ,\r\n\t"max_tokens":50,"messages":[{"content":"\\u00fc"}] , "x": 1.50 }'
    facts = CHAT.facts(body)
    sent = CHAT.rewrite(body, facts, model="m", output_cap_tokens=7, inject_usage=False, service_tier=None)
    assert b"".join(sent) == b'{ "model" : "m" ,\r\n\t"max_tokens":7,"messages":[{"content":"\\u00fc"}] , "x": 1.50 }'


def test_an_escaped_name_is_found_and_replaced():
    body = '{"é\\u0022":1,"m\\u0061x_tokens":50,"model":"a","messages":[{"content":"ü"}]}'.encode()
    facts = CHAT.facts(body)
    sent = b"".join(CHAT.rewrite(body, facts, model="b", output_cap_tokens=7, inject_usage=False, service_tier=None))
    assert sent == '{"é\\u0022":1,"m\\u0061x_tokens":7,"model":"b","messages":[{"content":"ü"}]}'.encode()
