"""Messages in the shapes that Anthropic sends; see golden.py for the words and the prices."""

from typing import Any

from tests.unit.upstream.golden import Golden


def message(
    usage: str, *, stop: str = '"end_turn"', content: str = '[{"type":"text","text":"Hi! \\"usage\\":{}"}]'
) -> bytes:
    return (
        f'{{"id":"msg_01","type":"message","role":"assistant","model":"claude-opus-5-5","content":{content},"stop_reason":{stop},'
        f'"stop_sequence":null{usage}}}'
    ).encode()


def start(usage: str) -> str:
    return (
        'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant",'
        f'"model":"claude-opus-5-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{usage}}}}}\n\n'
    )


def text(words: str) -> str:
    return (
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"'
        f'{words}"}}}}\n\n'
    )


def delta(usage: str, stop: str = '"end_turn"') -> str:
    return (
        f'event: message_delta\ndata: {{"type":"message_delta","delta":{{"stop_reason":{stop},"stop_sequence":null}},"usage":'
        f"{usage}}}\n\n"
    )


BLOCK = (
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    'event: ping\ndata: {"type": "ping"}\n\n'
)
BLOCK_END = 'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
BODY = BLOCK + text("Hel") + text("lo") + BLOCK_END
INPUT = '{"input_tokens":25,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}'
CACHED = (
    '{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":40,"cache_creation":'
    '{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},"output_tokens":2,"service_tier":"standard"}'
)
SIMPLE = {"input": 25, "cache_write_5m": 0, "cache_read": 0, "output": 15, "request": 1}
FULL = {"input": 10, "cache_read": 40, "cache_write_5m": 20, "cache_write_1h": 10, "output": 15, "request": 1}
THE_CALL = (
    '{"input_tokens":60,"cache_read_input_tokens":40,"output_tokens":20,"output_tokens_details":{"thinking_tokens":8}}'
)
THE_CALL_COUNTS = {"input": 60, "cache_read": 40, "output": 12, "reasoning": 8, "request": 1}
THE_CALL_NANOS = 60 * 1_000 + 40 * 100 + 12 * 5_000 + 8 * 5_000 + 7
# 25 x 1,000 + 15 x 5,000 + 7; 10 x 1,000 + 40 x 100 + 20 x 1,250 + 10 x 2,000 + 15 x 5,000 + 7
SIMPLE_NANOS, FULL_NANOS = 100_007, 134_007


def whole_messages() -> list[Golden]:
    def of(name: str, usage: str, counts: dict[str, int], nanos: int | None, **changes: Any) -> Golden:
        return Golden(name, False, message(f',"usage":{usage}', **changes.pop("message", {})), counts, nanos, **changes)

    return [
        of("plain", '{"input_tokens":25,"output_tokens":15}', {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS,
           facts={"answered_model": "claude-opus-5-5", "complete": True}),
        of("input is without what was cached", CACHED.replace('"output_tokens":2', '"output_tokens":15'), FULL, FULL_NANOS,
           facts={"service_tier": "standard"}),
        of("writes without their lives are of five minutes",
           '{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":0,"output_tokens":15}',
           {"input": 10, "cache_read": 0, "cache_write_5m": 30, "output": 15, "request": 1}, 10_000 + 37_500 + 75_000 + 7),
        of("lives that sum to less", '{"input_tokens":0,"cache_creation_input_tokens":30,"cache_creation":'
           '{"ephemeral_1h_input_tokens":10},"output_tokens":0}',
           {"input": 0, "cache_write_5m": 20, "cache_write_1h": 10, "output": 0, "request": 1}, 25_000 + 20_000 + 7),
        of("lives that sum to more", '{"input_tokens":0,"cache_creation_input_tokens":5,"cache_creation":'
           '{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":10},"output_tokens":0}',
           {"input": 0, "cache_write_5m": 4, "cache_write_1h": 10, "output": 0, "request": 1}, 5_000 + 20_000 + 7,
           source="estimated"),
        of("nulls are not reported", '{"input_tokens":25,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,'
           '"cache_creation":null,"server_tool_use":null,"output_tokens":15,"service_tier":null}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS),
        of("explicit zeros stay zeros", '{"input_tokens":0,"output_tokens":0}', {"input": 0, "output": 0, "request": 1}, 7),
        of("searches are priced each", '{"input_tokens":25,"output_tokens":15,"server_tool_use":{"web_search_requests":2,'
           '"web_fetch_requests":0}}', {"input": 25, "output": 15, "web_search": 2, "web_fetch": 0, "request": 1},
           SIMPLE_NANOS + 20_000_000),
        of("thinking is a subset of output", '{"input_tokens":25,"output_tokens":15,"output_tokens_details":'
           '{"thinking_tokens":9}}', {"input": 25, "output": 6, "reasoning": 9, "request": 1}, SIMPLE_NANOS),
        of("more thinking than output", '{"input_tokens":25,"output_tokens":15,"output_tokens_details":{"thinking_tokens":16}}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS, source="estimated"),
        of("two passes are both billed", '{"input_tokens":5,"output_tokens":6,"iterations":[{"type":"compaction","input_tokens":20,'
           '"output_tokens":9},{"type":"message","input_tokens":5,"output_tokens":6}]}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS),
        of("a pass on another model counts, and its own card prices it", '{"input_tokens":5,"output_tokens":6,"iterations":[{"type":"advisor_message",'
           '"input_tokens":20,"output_tokens":9},{"type":"message","input_tokens":5,"output_tokens":6}]}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS),
        of("what passes cached", '{"input_tokens":5,"output_tokens":6,"iterations":[{"type":"message","input_tokens":5,'
           '"cache_read_input_tokens":40,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":20,'
           '"ephemeral_1h_input_tokens":10},"output_tokens":9},{"type":"message","input_tokens":5,"output_tokens":6}]}',
           FULL, FULL_NANOS),
        of("another speed", '{"input_tokens":25,"output_tokens":15,"speed":"fast"}', {"input": 25, "output": 15, "request": 1},
           SIMPLE_NANOS, source="estimated", facts={"degraded": "the answer's speed is fast"}),
        of("the usual speed", '{"input_tokens":25,"output_tokens":15,"speed":"standard","inference_geo":"global"}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS, facts={"passes": None}),
        of("made in one country", '{"input_tokens":25,"output_tokens":15,"inference_geo":"us"}', {"input": 25, "output": 15, "request": 1},
           SIMPLE_NANOS, source="estimated", facts={"degraded": "the answer was made in us"}),
        of("a credit redeemed", '{"input_tokens":25,"output_tokens":15,"fallback_credit":{"status":{"type":"redeemed"}}}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS, source="estimated"),
        of("a credit not applied", '{"input_tokens":25,"output_tokens":15,"fallback_credit":{"status":{"type":"not_applied",'
           '"reason":"expired"}}}', {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS, facts={"passes": None}),
        of("answered from a batch", '{"input_tokens":25,"output_tokens":15,"service_tier":"batch"}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS, facts={"service_tier": "batch"}),
        of("pages fetched", '{"input_tokens":25,"output_tokens":15,"server_tool_use":{"web_search_requests":0,"web_fetch_requests":3}}',
           {"input": 25, "output": 15, "web_search": 0, "web_fetch": 3, "request": 1}, SIMPLE_NANOS + 33),
        of("one pass is the message", '{"input_tokens":25,"output_tokens":15,"iterations":[{"type":"message","input_tokens":25,'
           '"output_tokens":15}]}', {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS),
        of("the call of all dialects", THE_CALL, THE_CALL_COUNTS, THE_CALL_NANOS),
        of("thinking beside caches", CACHED.replace('"output_tokens":2', '"output_tokens":15,"output_tokens_details":{"thinking_tokens":9}'),
           {**FULL, "output": 6, "reasoning": 9}, FULL_NANOS),
        of("written for an hour", '{"input_tokens":10,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":0,'
           '"ephemeral_1h_input_tokens":30},"output_tokens":15}',
           {"input": 10, "cache_write_5m": 0, "cache_write_1h": 30, "output": 15, "request": 1}, 10_000 + 60_000 + 75_000 + 7),
        of("all of it read from the cache", '{"input_tokens":0,"cache_read_input_tokens":200000,"output_tokens":15}',
           {"input": 0, "cache_read": 200_000, "output": 15, "request": 1}, 20_000_000 + 75_000 + 7),
        of("a negative count", '{"input_tokens":-25,"output_tokens":15}', {"output": 15}, None, source="estimated"),
        of("a count in quotes", '{"input_tokens":"25","output_tokens":15}', {"output": 15}, None, source="estimated"),
        of("priority answered", '{"input_tokens":25,"output_tokens":15,"service_tier":"priority"}',
           {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS, facts={"service_tier": "priority"}),
        of("tools called", '{"input_tokens":25,"output_tokens":15}', {"input": 25, "output": 15, "request": 1}, SIMPLE_NANOS,
           message={"stop": '"tool_use"', "content": '[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}]'},
           facts={"complete": True}),
        of("usage null", "null", {}, None, source="estimated"),
        Golden("no usage", False, message(""), {}, None, "estimated"),
        Golden("cut", False, message(',"usage":{"input_tokens":25,"output_tokens":15}')[:-9], {}, None, "estimated"),
        Golden("an error", False,
               b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}', {}, None,
               "estimated", facts={"saw_error": True, "error_code": "overloaded_error"}),
    ]  # fmt: skip


def streamed_messages() -> list[Golden]:
    def of(name: str, words: str, counts: dict[str, int], nanos: int | None, **changes: Any) -> Golden:
        return Golden(name, True, words.encode(), counts, nanos, **changes)

    full = start(CACHED) + BODY + delta('{"output_tokens":15}') + STOP
    plain = start(INPUT) + BODY + delta('{"output_tokens":15}') + STOP
    error = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    return [
        of("input at the start, output at the end", plain, SIMPLE, SIMPLE_NANOS,
           facts={"answered_model": "claude-opus-5-5", "complete": True}),
        of("lives of cache writes come only at the start", full, FULL, FULL_NANOS, facts={"service_tier": "standard"}),
        of("asking us to withhold changes nothing", full, FULL, FULL_NANOS, withhold=True),
        of("CRLF", full.replace("\n", "\r\n"), FULL, FULL_NANOS),
        of("other spacing", full.replace('":', '" : ').replace("data: ", "data:").replace("event: ", "event:"), FULL, FULL_NANOS),
        of("events without names", "".join(line for line in full.splitlines(keepends=True) if not line.startswith("event")), FULL,
           FULL_NANOS),
        of("cumulative deltas are not added", start(INPUT) + BODY + delta('{"output_tokens":7}', "null")
           + delta('{"output_tokens":15}') + STOP, SIMPLE, SIMPLE_NANOS),
        of("a delta may report the input anew", start(INPUT) + BODY
           + delta('{"input_tokens":10,"cache_read_input_tokens":15,"cache_creation_input_tokens":0,"output_tokens":15}') + STOP,
           {"input": 10, "cache_read": 15, "cache_write_5m": 0, "output": 15, "request": 1}, 10_000 + 1_500 + 75_000 + 7),
        of("a null in a delta takes nothing back", start(CACHED) + BODY
           + delta('{"input_tokens":null,"cache_read_input_tokens":null,"output_tokens":15}') + STOP, FULL, FULL_NANOS),
        of("searches come at the end", start(INPUT) + BODY
           + delta('{"output_tokens":15,"server_tool_use":{"web_search_requests":1}}') + STOP, {**SIMPLE, "web_search": 1},
           SIMPLE_NANOS + 10_000_000),
        of("the end is known before message_stop", start(INPUT) + BODY + delta('{"output_tokens":15}'), SIMPLE, SIMPLE_NANOS,
           facts={"complete": False}),
        of("the placeholder of the start is no report", start(INPUT) + BODY, {"input": 25, "cache_write_5m": 0, "cache_read": 0,
           "output": 1}, None, source="estimated", facts={"output_events": 2}),
        of("a delta without an end is evidence", start(INPUT) + BODY + delta('{"output_tokens":7}', "null"),
           {"input": 25, "cache_write_5m": 0, "cache_read": 0, "output": 7}, None, source="estimated"),
        of("message_stop without any delta is no report", start(INPUT) + BODY + STOP,
           {"input": 25, "cache_write_5m": 0, "cache_read": 0, "output": 1}, None, source="estimated", facts={"complete": True}),
        of("an error after 200", start(INPUT) + BLOCK + error,
           {"input": 25, "cache_write_5m": 0, "cache_read": 0, "output": 0}, None, source="estimated",
           facts={"saw_error": True, "error_code": "overloaded_error"}),
        of("an error first", error, {}, None, source="estimated", facts={"saw_error": True}),
        of("words about message_delta are text", start(INPUT) + BLOCK + text('a message_delta has \\"error\\"') + BLOCK_END
           + delta('{"output_tokens":15}') + STOP, SIMPLE, SIMPLE_NANOS, facts={"saw_error": False}),
        of("thinking in the stream", start(INPUT) + BODY
           + delta('{"output_tokens":15,"output_tokens_details":{"thinking_tokens":9}}') + STOP,
           {**SIMPLE, "output": 6, "reasoning": 9}, SIMPLE_NANOS),
        of("made in one country, as the start says", start(INPUT.replace('"output_tokens":1', '"output_tokens":1,"inference_geo":"us"')) + BODY
           + delta('{"output_tokens":15}') + STOP, SIMPLE, SIMPLE_NANOS, source="estimated", facts={"degraded": "the answer was made in us"}),
        of("passes come at the end", start(INPUT) + BODY + delta('{"input_tokens":5,"output_tokens":6,"iterations":[{"type":"compaction",'
           '"input_tokens":20,"output_tokens":9},{"type":"message","input_tokens":5,"output_tokens":6}]}') + STOP, SIMPLE, SIMPLE_NANOS),
        of("the passes of a later delta replace those of an earlier one", start(INPUT) + BODY
           + delta('{"output_tokens":9,"iterations":[{"type":"compaction","input_tokens":7,"output_tokens":9},{"type":"message",'
           '"input_tokens":1,"output_tokens":0}]}', "null")
           + delta('{"output_tokens":6,"iterations":[{"type":"compaction","input_tokens":20,"output_tokens":9},{"type":"message",'
           '"input_tokens":5,"output_tokens":6}]}') + STOP, SIMPLE, SIMPLE_NANOS),
        of("the call of all dialects", start('{"input_tokens":60,"cache_read_input_tokens":40,"output_tokens":1}') + BODY
           + delta('{"output_tokens":20,"output_tokens_details":{"thinking_tokens":8}}') + STOP, THE_CALL_COUNTS, THE_CALL_NANOS),
        of("explicit zeros stay zeros", start('{"input_tokens":0,"output_tokens":0}') + delta('{"output_tokens":0}') + STOP,
           {"input": 0, "output": 0, "request": 1}, 7),
        of("caches are told at the end only", start('{"input_tokens":10,"output_tokens":1}') + BODY
           + delta('{"cache_read_input_tokens":40,"cache_creation_input_tokens":30,"output_tokens":15}') + STOP,
           {"input": 10, "cache_read": 40, "cache_write_5m": 30, "output": 15, "request": 1}, 10_000 + 4_000 + 37_500 + 75_000 + 7),
        of("pages fetched come at the end", start(INPUT) + BODY
           + delta('{"output_tokens":15,"server_tool_use":{"web_search_requests":0,"web_fetch_requests":3}}') + STOP,
           {**SIMPLE, "web_search": 0, "web_fetch": 3}, SIMPLE_NANOS + 33),
        of("priority answered", start(INPUT.replace('"output_tokens":1', '"output_tokens":1,"service_tier":"priority"')) + BODY
           + delta('{"output_tokens":15}') + STOP, SIMPLE, SIMPLE_NANOS, facts={"service_tier": "priority"}),
        of("more thinking than output", start(INPUT) + BODY + delta('{"output_tokens":15,"output_tokens_details":{"thinking_tokens":16}}') + STOP,
           SIMPLE, SIMPLE_NANOS, source="estimated"),
        of("nothing at all", "", {}, None, source="estimated"),
    ]  # fmt: skip
