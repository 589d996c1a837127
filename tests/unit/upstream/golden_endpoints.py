"""Requests and answers of OpenAI's other endpoints, and what each says and costs, worked out by hand at `golden.PRICES`."""

import json
from typing import Any

from tests.unit.upstream.golden import Golden

MODEL = "gpt-6-astra-2026-08-07"
DETAILS = (
    '"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":0},"output_tokens_details":{"reasoning_tokens":8}'
)
USAGE = f'{{"input_tokens":100,{DETAILS},"output_tokens":20,"total_tokens":120}}'
COUNTS = {"input": 60, "cache_read": 40, "cache_write_5m": 0, "output": 12, "reasoning": 8, "request": 1}
WRITTEN = '{"input_tokens":100,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":30},"output_tokens":20}'
WRITTEN_COUNTS = {"input": 60, "cache_read": 10, "cache_write_5m": 30, "output": 20, "request": 1}
WRITTEN_NANOS = 60 * 1_000 + 10 * 100 + 30 * 1_250 + 20 * 5_000 + 7
BESIDE = '{"input_tokens":32,"output_tokens":9,"output_tokens_details":{"reasoning_tokens":94},"total_tokens":135}'
BESIDE_COUNTS = {"input": 32, "output": 9, "reasoning": 94, "request": 1}
BESIDE_NANOS = 32 * 1_000 + 9 * 5_000 + 94 * 5_000 + 7
NANOS = 60 * 1_000 + 40 * 100 + 20 * 5_000 + 7


# ---- requests --------------------------------------------------------------------------------------------------------------


def _body(base: dict[str, Any], fields: dict[str, Any]) -> bytes:
    return json.dumps({"model": "gpt-6-astra", **base, **fields}, separators=(",", ":")).encode()


def responses(**fields: Any) -> bytes:
    return _body({"input": "Hello"}, fields)


def completions(**fields: Any) -> bytes:
    return _body({"prompt": "Hello"}, fields)


def embeddings(**fields: Any) -> bytes:
    return _body({"input": "Hello"}, fields)


def moderations(**fields: Any) -> bytes:
    return json.dumps({"input": "Hello", **fields}, separators=(",", ":")).encode()


def rerank(**fields: Any) -> bytes:
    return _body({"query": "cats", "documents": ["a", "b", "c"]}, fields)


def said(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def group(*tools: Any) -> dict[str, Any]:
    return {"type": "namespace", "name": "n", "description": "", "tools": list(tools)}


TEXT = {"type": "input_text", "text": "Hello"}
FUNCTION = {"type": "function", "name": "pay", "parameters": {}}
SEARCHES = {"type": "web_search"}
LATER = {"type": "additional_tools", "role": "developer"}
OUTPUT = {"type": "function_call_output", "call_id": "1"}
SHELL = {"type": "shell", "environment": {"type": "local"}}
HOSTED = {"type": "shell", "environment": {"type": "container_auto", "memory_limit": "64g"}}
PRINTED = {
    "type": "shell_call_output",
    "call_id": "1",
    "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
}

GOOD_RESPONSES = [
    ("plain", responses(), {"message_count": 1, "cap_field": "max_output_tokens", "output_cap_tokens": 0, "fills_window": False}),
    ("a cap", responses(max_output_tokens=50), {"output_cap_tokens": 50}),
    ("instructions are a message more", responses(instructions="Be brief."), {"message_count": 2}),
    ("items", responses(input=[*said(TEXT), {"type": "reasoning", "id": "r", "summary": []}]), {"message_count": 2}),
    ("an item without a type is a message", responses(input=[{"role": "user", "content": "Hi"}]), {"message_count": 1}),
    ("earlier calls and what they gave", responses(input=[{**OUTPUT, "output": "paid"}, {**OUTPUT, "output": [TEXT]}]), {"message_count": 2}),
    ("goes on from a response", responses(previous_response_id="resp_1"), {"reads_stored": True, "fills_window": True}),
    ("goes on in a conversation", responses(conversation={"id": "conv_1"}), {"reads_stored": True, "fills_window": True}),
    ("goes on without a new input", responses(previous_response_id="resp_1", input=None), {"reads_stored": True, "fills_window": True, "message_count": 0}),
    ("a reference to an item", responses(input=[{"type": "item_reference", "id": "msg_1"}]), {"reads_stored": True, "fills_window": True}),
    ("nothing stored when null", responses(previous_response_id=None, conversation=None, prompt=None), {"fills_window": False}),
    ("tools", responses(tools=[FUNCTION, {"type": "custom", "name": "x"}]), {"has_tools": True, "tool_count": 2}),
    ("no tools", responses(tools=[]), {"has_tools": False}),
    ("a group of tools", responses(tools=[FUNCTION, group(FUNCTION, FUNCTION)]), {"has_tools": True, "tool_count": 4}),
    ("tools that come later", responses(input=[{**LATER, "tools": [group(FUNCTION)]}]), {"has_tools": True, "tool_count": 2}),
    (
        "searches with a limit", responses(tools=[{"type": "web_search"}], max_tool_calls=3),
        {"server_tool_uses_max": 3, "web_search_max": 3},
    ),
    ("background null or false", responses(background=False), {"message_count": 1, "in_background": False}),
    ("in the background", responses(background=True), {"message_count": 1, "in_background": True}),
    ("stream and tier", responses(stream=True, service_tier="flex"), {"stream": True, "service_tier": "flex"}),
    ("user", responses(user="ada"), {"user": "ada"}),
    ("an agent's user of several ids", responses(user="a" * 256), {"user": "a" * 256}),
    ("shells of one's own", responses(tools=[SHELL, {"type": "shell"}, {"type": "shell", "environment": None}]), {"tool_count": 3, "beyond_bytes": False}),
    ("what a shell printed", responses(input=[PRINTED]), {"message_count": 1, "beyond_bytes": False}),
    ("a tool whose type has an escape", responses(tools=[FUNCTION]).replace(b'"function"', b'"func\\u0074ion"'), {"tool_count": 1}),
    ("an item whose type has an escape", responses(input=[PRINTED]).replace(b"shell_call_", b"shell\\u005fcall_"), {"message_count": 1}),
    ("no managing of the context", responses(context_management=[]), {"beyond_bytes": False}),
    ("unknown fields pass", responses(reasoning={"effort": "low"}, include=["x"], text={"format": {"type": "text"}}, store=False), {}),
]  # fmt: skip
BAD_RESPONSES = [
    ("no input", responses(input=None), "missing_required_parameter", "input"),
    ("no items", responses(input=[]), "invalid_value", "input"),
    ("a stored prompt, which may have tools", responses(prompt={"id": "pmpt_1"}), "call_not_bounded", "prompt"),
    ("a stored prompt, and no input", responses(prompt={"id": "pmpt_1", "variables": {}}, input=None), "call_not_bounded", "prompt"),
    ("a stored prompt in capitals", responses(Prompt={"id": "pmpt_1"}), "ambiguous_key", "Prompt"),
    ("an input that is a number", responses(input=5), "invalid_type", "input"),
    ("an item that is text", responses(input=["Hi"]), "invalid_type", "input[0]"),
    ("a cap of zero", responses(max_output_tokens=0), "invalid_value", "max_output_tokens"),
    ("background in quotes", responses(background="true"), "invalid_type", "background"),
    ("a screenshot", responses(input=[{"type": "computer_call_output", "output": {}}]), "call_not_bounded", "input[0]"),
    ("an item nobody has heard of", responses(input=[{"type": "dream"}]), "call_not_bounded", "input[0]"),
    ("a limit of zero searches", responses(tools=[{"type": "web_search"}], max_tool_calls=0), "invalid_value", "max_tool_calls"),
    ("code on the provider's side", responses(tools=[FUNCTION, {"type": "code_interpreter"}]), "call_not_bounded", "tools[1].type"),
    ("a server to call", responses(tools=[{"type": "mcp", "server_url": "https://x"}]), "call_not_bounded", "tools[0].type"),
    ("a tool without a type", responses(tools=[{"name": "pay"}]), "invalid_type", "tools[0].type"),
    ("a search in any case, without a limit", responses(tools=[SEARCHES], tool_choice=SEARCHES), "call_not_bounded", "tool_choice"),
    ("a search at another price", responses(tools=[{"type": "web_search_preview"}], max_tool_calls=3), "call_not_bounded", "tools[0].type"),
    ("a dated search at another price", responses(tools=[FUNCTION, {"type": "web_search_preview_2025_03_11"}]), "call_not_bounded", "tools[1].type"),
    ("a search at another price among later tools", responses(input=[{**LATER, "tools": [{"type": "web_search_preview"}]}]), "call_not_bounded", "input[0].tools[0].type"),
    ("a search at another price in a group", responses(tools=[group({"type": "web_search_preview"})]), "call_not_bounded", "tools[0].tools[0].type"),
    ("code in a group of tools", responses(tools=[group({"type": "code_interpreter"})]), "call_not_bounded", "tools[0].tools[0].type"),
    ("a group in a group of tools", responses(tools=[group(group(FUNCTION))]), "call_not_bounded", "tools[0].tools[0].type"),
    ("a group of texts", responses(tools=[group("x")]), "invalid_type", "tools[0].tools"),
    ("code among later tools", responses(input=[{**LATER, "tools": [{"type": "code_interpreter"}]}]), "call_not_bounded", "input[0].tools[0].type"),
    ("more than one answer", responses(n=3), "call_not_bounded", "n"),
    ("another endpoint's cap", responses(max_tokens=90000), "call_not_bounded", "max_tokens"),
    ("a cap with humps", responses(maxOutputTokens=90000), "ambiguous_key", "maxOutputTokens"),
    ("searches without end", responses(tools=[SEARCHES], Max_Tool_Calls=99), "ambiguous_key", "Max_Tool_Calls"),
    ("a dearer model to fall back to", responses(models=["giant"]), "call_not_bounded", "models"),
    ("a shell at the provider", responses(tools=[FUNCTION, HOSTED]), "call_not_bounded", "tools[1].environment"),
    ("a shell in a container that is there", responses(tools=[{"type": "shell", "environment": {"type": "container_reference", "container_id": "c"}}]), "call_not_bounded", "tools[0].environment"),
    ("a shell in an environment that is none", responses(tools=[{"type": "shell", "environment": "local"}]), "call_not_bounded", "tools[0].environment"),
    ("a shell at the provider, in a group", responses(tools=[group(HOSTED)]), "call_not_bounded", "tools[0].tools[0].environment"),
    ("a shell at the provider, among later tools", responses(input=[{**LATER, "tools": [SHELL, HOSTED]}]), "call_not_bounded", "input[0].tools[1].environment"),
    ("an environment in what calls itself a function", responses(tools=[{**HOSTED, "type": "function"}]), "call_not_bounded", "tools[0].environment"),
    ("two environments", responses(tools=[HOSTED]).replace(b'"64g"}', b'"64g"},"environment":{"type":"local"}'), "duplicate_key", "environment"),
    ("two environments, later", responses(input=[{**LATER, "tools": [HOSTED]}]).replace(b'"64g"}', b'"64g"},"environment":null'), "duplicate_key", "environment"),
    ("a video among what a shell printed", responses(input=[{**PRINTED, "output": [{"type": "video"}]}]), "call_not_bounded", "input[0].output[0]"),
    ("a search in any case, its type with an escape", responses(tools=[SEARCHES], tool_choice=SEARCHES).replace(b'"tool_choice":{"type":"web_', b'"tool_choice":{"type":"web\\u005f'), "call_not_bounded", "tool_choice"),
    ("the context read once more", responses(context_management=[{"type": "compaction", "compact_threshold": 1000}]), "call_not_bounded", "context_management[0]"),
    ("a context managed by a text", responses(context_management="compaction"), "invalid_type", "context_management"),
    ("a video", responses(input=said({"type": "input_video"})), "call_not_bounded", "input[0].content[0]"),
    ("tools an object", responses(tools={}), "invalid_type", "tools"),
    ("the scale tier", responses(service_tier="scale"), "call_not_bounded", "service_tier"),
    ("the batch tier, which is no call's", responses(service_tier="batch"), "invalid_value", "service_tier"),
    ("the cap twice", responses()[:-1] + b',"max_output_tokens":1,"max_output_tokens":9}', "duplicate_key", "max_output_tokens"),
]  # fmt: skip
GOOD_COMPLETIONS = [
    ("plain", completions(), {"message_count": 1, "choice_count": 1, "cap_field": "max_tokens"}),
    ("no prompt", completions(prompt=None), {"message_count": 1}),
    ("a cap", completions(max_tokens=7), {"output_cap_tokens": 7}),
    ("choices of each prompt", completions(prompt=["a", "b"], n=3), {"message_count": 2, "choice_count": 6}),
    ("the best of more", completions(n=2, best_of=5), {"choice_count": 5}),
    ("the best of none, which the specification allows", completions(n=2, best_of=0), {"choice_count": 2}),
    ("token ids are one prompt", completions(prompt=[1, 2, 3]), {"message_count": 1}),
    ("lists of token ids", completions(prompt=[[1, 2], [3]]), {"message_count": 2}),
    ("usage asked for", completions(stream=True, stream_options={"include_usage": True}), {"include_usage": True}),
]
BAD_COMPLETIONS = [
    ("a prompt that is an object", completions(prompt={}), "invalid_type", "prompt"),
    ("no prompts", completions(prompt=[]), "invalid_value", "prompt"),
    ("a prompt of objects", completions(prompt=["a", {}]), "call_not_bounded", "prompt[1]"),
    ("the best of too many", completions(best_of=129), "invalid_value", "best_of"),
    ("the best of fewer than none", completions(best_of=-1), "invalid_value", "best_of"),
    ("no choices", completions(n=0), "invalid_value", "n"),
    ("choices in capitals", completions(N=50), "ambiguous_key", "N"),
    ("beams", completions(use_beam_search=True), "call_not_bounded", "use_beam_search"),
    ("options a list", completions(stream_options=[]), "invalid_type", "stream_options"),
    ("the batch tier, which is no call's", completions(service_tier="batch"), "invalid_value", "service_tier"),
]
GOOD_EMBEDDINGS = [
    ("a length, which only cuts", embeddings(max_length=512, service_tier="default"), {"message_count": 1}),
    ("plain", embeddings(), {"message_count": 1, "has_output": False, "output_cap_tokens": 0}),
    ("several", embeddings(input=["a", "b", "c"]), {"message_count": 3}),
    ("token ids", embeddings(input=[5, 6]), {"message_count": 1}),
    (
        "lists of token ids",
        embeddings(input=[[5], [6]], dimensions=256, encoding_format="base64"),
        {"message_count": 2},
    ),
]
BAD_EMBEDDINGS = [
    ("a dearer model to fall back to", embeddings(models=["giant"]), "call_not_bounded", "models"),
    ("a dearer tier", embeddings(service_tier="priority"), "call_not_bounded", "service_tier"),
    ("no input", embeddings(input=None), "missing_required_parameter", "input"),
    ("nothing in it", embeddings(input=[]), "invalid_value", "input"),
    ("an image", embeddings(input=[{"image": "x"}]), "call_not_bounded", "input[0]"),
    ("a number", embeddings(input=5), "invalid_type", "input"),
]

PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
GOOD_MODERATIONS = [
    ("no model named", moderations(), {"model": "omni-moderation-latest", "message_count": 1, "has_output": False, "beyond_bytes": False}),
    ("a model named", moderations(model="gpt-6-astra", input=["a", "b"]), {"model": "gpt-6-astra", "message_count": 2}),
    ("a picture", moderations(input=[{"type": "text", "text": "Hi"}, PICTURE]), {"message_count": 2, "fills_window": True, "beyond_bytes": True}),
    ("text alone", moderations(input=[{"type": "text", "text": "Hi"}]), {"fills_window": False, "beyond_bytes": False}),
]  # fmt: skip
BAD_MODERATIONS = [
    ("an input in capitals", moderations(Input="x"), "ambiguous_key", "Input"),
    ("no input", moderations(input=None), "missing_required_parameter", "input"),
    ("a number", moderations(input=5), "invalid_type", "input"),
    ("a list in a list", moderations(input=[["a"]]), "invalid_type", "input[0]"),
    ("sound", moderations(input=[{"type": "input_audio", "input_audio": {}}]), "call_not_bounded", "input[0]"),
    ("two types", b'{"input":[{"type":"image_url","type":"text"}]}', "duplicate_key", "type"),
]
# the query is read with each document: two more times four bytes; 250 bytes make a part
GOOD_RERANK = [
    ("plain", rerank(), {"message_count": 3, "extra_input_tokens": 8, "has_output": False, "is_text": False, "unit_maxima": ((15, 1, 1),)}),
    ("the best two", rerank(top_n=2, return_documents=True), {"message_count": 3}),
    ("objects with a text", rerank(documents=[{"text": "a"}, "b"]), {"message_count": 2, "extra_input_tokens": 4}),
    ("a long one is read in parts", rerank(documents=["x" * 50_000]), {"unit_maxima": ((15, 3, 1),)}),
    ("more than one search", rerank(documents=["a"] * 101), {"unit_maxima": ((15, 2, 2),)}),
]  # fmt: skip
BAD_RERANK = [
    ("documents in capitals", rerank(Documents=["d"]), "ambiguous_key", "Documents"),
    ("no query", rerank(query=None), "missing_required_parameter", "query"),
    ("a picture as query", rerank(query={"image": "x"}), "invalid_type", "query"),
    ("no documents", rerank(documents=None), "missing_required_parameter", "documents"),
    ("none of them", rerank(documents=[]), "invalid_value", "documents"),
    ("documents a text", rerank(documents="a"), "invalid_type", "documents"),
    ("a document that is a number", rerank(documents=["a", 5]), "invalid_type", "documents[1]"),
    ("a picture", rerank(documents=["a", {"image": "x"}]), "call_not_bounded", "documents[1]"),
    ("the best none", rerank(top_n=0), "invalid_value", "top_n"),
    ("a text twice", rerank()[:-1] + b',"documents":[{"text":"a","text":"b"}]}', "duplicate_key", "documents"),
]


# ---- answers ---------------------------------------------------------------------------------------------------------------


def response(usage: str, *, status: str = "completed", error: str = "null", tier: str = "default") -> str:
    return (
        f'{{"id":"resp_1","object":"response","created_at":1741569952,"status":"{status}","error":{error},"model":"{MODEL}",'
        '"output":[{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text",'
        '"text":"Hello! \\"usage\\":{\\"input_tokens\\":9}","annotations":[]}]}],'
        f'"service_tier":"{tier}","usage":{usage}}}'
    )


def event(kind: str, rest: str) -> str:
    return f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":4,{rest}}}\n\n'


BEGUN = event("response.created", f'"response":{response("null", status="in_progress", tier="auto")}')
DELTAS = "".join(
    event("response.output_text.delta", f'"item_id":"msg_1","output_index":0,"content_index":0,"delta":"{words}"')
    for words in ("Hel", "lo")
)


MESSAGE = '{"id":"msg_1","type":"message"'
SEARCH = '{"id":"ws_1","type":"web_search_call","status":"completed","action":{"type":"search","query":"\\"web_search_call\\""}},'
LOOKED_UP = '{"id":"ws_2","type":"web_search_call","status":"completed","action":{"type":"open_page","url":"https://acme.example"}},'


def searched(usage: str, *items: str) -> str:
    """A response that searched the web before it answered."""
    return response(usage).replace(MESSAGE, "".join(items) + MESSAGE)


def whole_responses() -> list[Golden]:
    def of(name: str, body: str, counts: dict[str, int], nanos: int | None, **more: Any) -> Golden:
        return Golden(name, False, body.encode(), counts, nanos, **more)

    return [
        of("details are subsets", response(USAGE), COUNTS, NANOS, facts={"answered_model": MODEL, "service_tier": "standard", "complete": True}),
        of("incomplete is charged", response(USAGE, status="incomplete"), COUNTS, NANOS),
        of("the tier that answered", response(USAGE, tier="priority"), COUNTS, NANOS, facts={"service_tier": "priority"}),
        of("each search is paid, as no usage says", searched(USAGE, SEARCH, SEARCH), {**COUNTS, "web_search": 2}, NANOS + 20_000_000),
        of("a page looked up is no search", searched(USAGE, SEARCH, LOOKED_UP), {**COUNTS, "web_search": 1}, NANOS + 10_000_000),
        of("only pages looked up", searched(USAGE, LOOKED_UP), {**COUNTS, "web_search": 0}, NANOS),
        of("a search without its action", searched(USAGE, SEARCH.split(',"action"', maxsplit=1)[0] + "},"), {**COUNTS, "web_search": 1}, NANOS + 10_000_000),
        of("words about a search are text", response(USAGE).replace("Hello!", 'a \\"web_search_call\\" is'), COUNTS, NANOS),
        of("a tool of that name is none", searched(USAGE, '{"type":"function_call","name":"web_search_call","arguments":"{}"},'),
           {**COUNTS, "web_search": 0}, NANOS),
        of("searches that are no list of items", searched(USAGE, SEARCH).replace('"action":{', '"action":7,"x":{'), COUNTS, NANOS,
           source="estimated", facts={"degraded": "its searches cannot be counted"}),
        of("cache writes", response(WRITTEN), WRITTEN_COUNTS, WRITTEN_NANOS),
        of("explicit zeros stay zeros", response('{"input_tokens":0,"output_tokens":0}'), {"input": 0, "output": 0, "request": 1}, 7),
        of("pictures among what was cached", response('{"input_tokens":10,"input_tokens_details":{"cached_tokens":8,"image_tokens":6},"output_tokens":5}'),
           {"input": 0, "cache_read": 8, "input_image": 2, "output": 5, "request": 1}, 800 + 6_000 + 25_000 + 7),
        of("reasoning beside the output", response(BESIDE), BESIDE_COUNTS, BESIDE_NANOS),
        of("reasoning that only the total counts, beside details of a wrong type",
           response('{"input_tokens":32,"input_tokens_details":7,"output_tokens":9,"total_tokens":135}'), BESIDE_COUNTS, BESIDE_NANOS),
        of("no usage", response("null"), {}, None, source="estimated", facts={"complete": True}),
        of("failed", response("null", status="failed", error='{"code":"server_error","message":"x"}'), {}, None, source="estimated",
           facts={"saw_error": True, "error_code": "server_error"}),
        of("more cached than read is no refund", response('{"input_tokens":100,"input_tokens_details":{"cached_tokens":101},"output_tokens":20}'),
           {"input": 100, "output": 20, "request": 1}, 200_007, source="estimated"),
        of("a count in quotes is none", response('{"input_tokens":"100","output_tokens":20}'), {"output": 20}, None, source="estimated"),
        of("a number with something behind it", "7 apples", {}, None, source="estimated", facts={"complete": False}),
        of("a usage of a wrong type in what is cut", '{"usage":7,"model":', {}, None, source="estimated", facts={"complete": False}),
        of("no answer at all", "<html>", {}, None, source="estimated", facts={"complete": False}),
    ]  # fmt: skip


def streamed_responses() -> list[Golden]:
    def of(name: str, body: str, counts: dict[str, int], nanos: int | None, **more: Any) -> Golden:
        return Golden(name, True, body.encode(), counts, nanos, **more)

    def ended(kind: str, usage: str, **more: str) -> str:
        return event(f"response.{kind}", f'"response":{response(usage, status=kind, **more)}')

    failed = ended("failed", "null", error='{"code":"server_error","message":"x"}')
    return [
        of("usage in the last event", BEGUN + DELTAS + ended("completed", USAGE), COUNTS, NANOS,
           facts={"complete": True, "output_events": 2, "service_tier": "standard"}),
        of("searches in the last event", BEGUN + DELTAS + event("response.completed", f'"response":{searched(USAGE, SEARCH, LOOKED_UP)}'),
           {**COUNTS, "web_search": 1}, NANOS + 10_000_000, facts={"complete": True}),
        of("a search under way is not counted twice", BEGUN + event("response.output_item.done", f'"item":{SEARCH[:-1]}') + DELTAS
           + event("response.completed", f'"response":{searched(USAGE, SEARCH)}'), {**COUNTS, "web_search": 1}, NANOS + 10_000_000),
        of("reasoning beside the output, in the last event", BEGUN + DELTAS + ended("completed", BESIDE), BESIDE_COUNTS, BESIDE_NANOS),
        of("cache writes", BEGUN + DELTAS + ended("completed", WRITTEN), WRITTEN_COUNTS, WRITTEN_NANOS),
        of("pictures among what was cached", BEGUN + DELTAS + ended("completed",
           '{"input_tokens":10,"input_tokens_details":{"cached_tokens":8,"image_tokens":6},"output_tokens":5}'),
           {"input": 0, "cache_read": 8, "input_image": 2, "output": 5, "request": 1}, 800 + 6_000 + 25_000 + 7),
        of("explicit zeros stay zeros", BEGUN + ended("completed", '{"input_tokens":0,"output_tokens":0}'), {"input": 0, "output": 0, "request": 1}, 7),
        of("more cached than read is no refund", BEGUN + DELTAS
           + ended("completed", '{"input_tokens":100,"input_tokens_details":{"cached_tokens":101},"output_tokens":20}'),
           {"input": 100, "output": 20, "request": 1}, 200_007, source="estimated"),
        of("the tier that answered", BEGUN + DELTAS + ended("completed", USAGE, tier="flex"), COUNTS, NANOS, facts={"service_tier": "flex"}),
        of("stopped by its cap", BEGUN + DELTAS + ended("incomplete", USAGE), COUNTS, NANOS, facts={"complete": True}),
        of("failed with what it used", BEGUN + DELTAS + ended("failed", USAGE), COUNTS, NANOS, facts={"complete": False}),
        of("failed before anything", BEGUN + failed, {}, None, source="estimated", facts={"saw_error": True, "output_events": 0}),
        of("cut", BEGUN + DELTAS, {}, None, source="estimated", facts={"complete": False, "output_events": 2}),
        of("an error event", BEGUN + event("error", '"code":"overloaded","message":"x","param":null'), {}, None, source="estimated",
           facts={"saw_error": True, "error_code": "overloaded"}),
        of("lines that end as on old terminals", (BEGUN + DELTAS + ended("completed", USAGE)).replace("\n", "\r\n"), COUNTS, NANOS),
        of("a list in place of an event", BEGUN + "data: [1]\n\n" + ended("completed", USAGE), COUNTS, NANOS),
        of("an event of a wrong type that is cut", BEGUN + 'data: {"type":5,"response":\n\n' + ended("completed", USAGE), COUNTS, NANOS),
        of("a usage that is no object", BEGUN + ended("completed", "7"), {}, None, source="estimated", facts={"complete": True}),
        of("arguments of a call", BEGUN + event("response.function_call_arguments.delta", '"item_id":"fc_1","output_index":0,"delta":"{}"')
           + ended("completed", USAGE), COUNTS, NANOS, facts={"output_events": 1}),
    ]  # fmt: skip


_COMPLETION = f'"id":"cmpl-1","object":"text_completion","created":1741569952,"model":"{MODEL}"'
_PLAIN = '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}'


def completion_answers() -> list[Golden]:
    def chunk(text: str, usage: str = "") -> str:
        return f'data: {{{_COMPLETION},"choices":[{{"text":"{text}","index":0,"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'

    whole = f'{{{_COMPLETION},"choices":[{{"text":"Hello","index":0,"logprobs":null,"finish_reason":"stop"}}],"usage":{_PLAIN}}}'
    last = f'data: {{{_COMPLETION},"choices":[],"usage":{_PLAIN}}}\n\n'
    null = ',"usage":null'
    counts, nanos = {"input": 100, "output": 20, "request": 1}, 200_007
    done = "data: [DONE]\n\n"
    asked = chunk("Hel", null) + chunk("lo", null) + last + done
    bare = chunk("Hel") + chunk("lo")
    return [
        Golden("a completion", False, whole.encode(), counts, nanos, facts={"answered_model": MODEL}),
        Golden("reasoning that only the total counts", False, whole.replace(":120}", ":133}").encode(),
               {"input": 100, "output": 20, "reasoning": 13, "request": 1}, 265_007),
        Golden("a stream with usage", True, asked.encode(), counts, nanos, facts={"output_events": 2, "complete": True}),
        Golden("a stream whose usage we asked for", True, (bare + last + done).encode(), counts, nanos, withhold=True,
               relayed=(bare + done).encode()),
        Golden("a stream without usage", True, (bare + done).encode(), {}, None, source="estimated", facts={"output_events": 2}),
    ]  # fmt: skip


def embedding_answers() -> list[Golden]:
    def of(usage: str) -> bytes:
        return f'{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":[0.1,0.2]}}],"model":"{MODEL}"{usage}}}'.encode()

    counted = ',"usage":{"prompt_tokens":100,"total_tokens":100}'
    return [
        Golden("embeddings", False, of(counted), {"input": 100, "request": 1}, 100_007, facts={"answered_model": MODEL}),
        Golden("embeddings without usage", False, of(""), {}, None, source="estimated"),
    ]  # fmt: skip


def verdicts() -> list[Golden]:
    def of(usage: str) -> bytes:
        return f'{{"id":"modr-1","model":"{MODEL}","results":[{{"flagged":false}}]{usage}}}'.encode()

    counted = ',"usage":{"prompt_tokens":100,"total_tokens":100}'
    return [
        Golden("a verdict", False, of(""), {}, None, source="estimated", facts={"answered_model": MODEL, "complete": True}),
        Golden("a verdict that is charged", False, of(counted), {"input": 100, "request": 1}, 100_007),
    ]  # fmt: skip


def ranks() -> list[Golden]:
    def of(name: str, rest: str, counts: dict[str, int], nanos: int | None, **more: Any) -> Golden:
        return Golden(
            name,
            False,
            f'{{"id":"r","results":[{{"index":0,"relevance_score":0.9}}]{rest}}}'.encode(),
            counts,
            nanos,
            **more,
        )

    billed = ',"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":%s},"tokens":{"input_tokens":90}}'
    return [
        of("tokens as vLLM says them", ',"usage":{"total_tokens":100}', {"input": 100, "request": 1}, 100_007),
        of("tokens of the prompt alone", ',"usage":{"prompt_tokens":100}', {"input": 100, "request": 1}, 100_007),
        of("search units are what is billed", billed % 2, {"search_unit": 2, "request": 1}, 4_000_007),
        of("a part of a search is a whole one", billed % 1.5, {"search_unit": 2, "request": 1}, 4_000_007),
        of("no usage", "", {}, None, source="estimated"),
        of("tokens below nothing", ',"usage":{"total_tokens":-5}', {}, None, source="estimated"),
    ]  # fmt: skip
