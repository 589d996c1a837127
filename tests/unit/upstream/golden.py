"""Answers in the shapes that providers send, and what each must count and cost, worked out by hand.

Counts are by meter name, disjoint; nanos are at `PRICES`, whose rates are chosen so that every meter shows in the sum.
"""

from typing import Any, NamedTuple

from tokenroll.model.usage import Meter

NANO = 10**9
PRICES = {
    Meter.INPUT: 1_000 * NANO,
    Meter.CACHE_READ: 100 * NANO,
    Meter.CACHE_WRITE_5M: 1_250 * NANO,
    Meter.CACHE_WRITE_1H: 2_000 * NANO,
    Meter.INPUT_AUDIO: 9_000 * NANO,
    Meter.INPUT_IMAGE: 3_000 * NANO,
    Meter.OUTPUT: 5_000 * NANO,
    Meter.REASONING: 5_000 * NANO,
    Meter.OUTPUT_AUDIO: 20_000 * NANO,
    Meter.REQUEST: 7 * NANO,
    Meter.WEB_SEARCH: 10_000_000 * NANO,
    Meter.WEB_FETCH: 11 * NANO,
    Meter.OUTPUT_IMAGE: 30_000 * NANO,
    Meter.SEARCH_UNIT: 2_000_000 * NANO,
    Meter.IMAGE: 40_000_000 * NANO,
    Meter.CHARACTER: 15_000 * NANO,
    Meter.AUDIO_SECOND: 100_000 * NANO,
}


class Golden(NamedTuple):
    """One answer. `relayed` None: byte for byte what came. `nanos` None: there is no usage to price."""

    name: str
    stream: bool
    body: bytes
    counts: dict[str, int]
    nanos: int | None
    source: str = "reported"
    relayed: bytes | None = None
    withhold: bool = False
    facts: dict[str, Any] = {}  # noqa: RUF012 - a table's default, never written


def chat(usage: str, *, finish: str = "stop", extra: str = "") -> bytes:
    return (
        '{"id":"chatcmpl-B9","object":"chat.completion","created":1741569952,"model":"gpt-6-astra-2026-08-07","choices":'
        '[{"index":0,"message":{"role":"assistant","content":"Hello! \\"usage\\":{\\"prompt_tokens\\":9}","refusal":null},'
        f'"logprobs":null,"finish_reason":"{finish}"}}]{extra}{usage}}}'
    ).encode()


def chunk(delta: str, *, usage: str = ',"usage":null', finish: str = "null", extra: str = "") -> str:
    return (
        'data: {"id":"chatcmpl-B9","object":"chat.completion.chunk","created":1741569952,"model":"gpt-6-astra-2026-08-07",'
        f'"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]{usage}{extra}}}\n\n'
    )


def last(usage: str, *, extra: str = "") -> str:
    return (
        'data: {"id":"chatcmpl-B9","object":"chat.completion.chunk","created":1741569952,"model":"gpt-6-astra-2026-08-07",'
        f'"choices":[],"usage":{usage}{extra}}}\n\n'
    )


USAGE = '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}'
USAGE_DETAILED = (
    '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":40,'
    '"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":8,"audio_tokens":0,"accepted_prediction_tokens":0,'
    '"rejected_prediction_tokens":0}}'
)
ZEROS = '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"prompt_tokens_details":{"cached_tokens":0}}'
WRITTEN = (
    '{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":10,"cache_write_tokens":30}}'
)
WRITTEN_COUNTS = {"input": 60, "cache_read": 10, "cache_write_5m": 30, "output": 20, "request": 1}
HEARD_AND_SEEN = (
    '{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"audio_tokens":5,"image_tokens":70},'
    '"completion_tokens_details":{"audio_tokens":15}}'
)
HITS = '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_cache_hit_tokens":40,"prompt_cache_miss_tokens":60}'
CACHED_COUNTS = {"input": 60, "cache_read": 40, "output": 20, "request": 1}
CACHED_NANOS = 60 * 1_000 + 40 * 100 + 20 * 5_000 + 7
OPENING = chunk('{"role":"assistant","content":"","refusal":null}')
TWO = chunk('{"content":"Hel"}') + chunk('{"content":"lo"}')
STOP = chunk("{}", finish='"stop"')
DONE = "data: [DONE]\n\n"
PLAIN = {"input": 100, "output": 20, "request": 1}
DETAILED = {
    "input": 60,
    "cache_read": 40,
    "input_audio": 0,
    "output": 12,
    "reasoning": 8,
    "output_audio": 0,
    "request": 1,
}
BESIDE = (
    '{"prompt_tokens":10,"completion_tokens":8,"total_tokens":23,"completion_tokens_details":{"reasoning_tokens":5}}'
)
BESIDE_COUNTS = {"input": 10, "output": 8, "reasoning": 5, "request": 1}
BESIDE_NANOS = 10_000 + 40_000 + 25_000 + 7
CACHED_PICTURES = (
    '{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8,"image_tokens":6}}'
)
CACHED_PICTURES_COUNTS = {"input": 0, "cache_read": 8, "input_image": 2, "output": 5, "request": 1}
# 100 x 1,000 + 20 x 5,000 + 7; 60 x 1,000 + 40 x 100 + 12 x 5,000 + 8 x 5,000 + 7
PLAIN_NANOS, DETAILED_NANOS = 200_007, 164_007


def _overlaps() -> list[Golden]:
    """What was cached may be pictures and sound: every token of the prompt is charged once."""

    def of(name: str, prompt: int, parts: str, counts: dict[str, int], nanos: int, source: str = "reported") -> Golden:
        usage = f',"usage":{{"prompt_tokens":{prompt},"completion_tokens":5,"prompt_tokens_details":{{{parts}}}}}'
        return Golden(name, False, chat(usage), {**counts, "output": 5, "request": 1}, nanos + 25_007, source)

    apart = '"cached_tokens":50,"image_tokens":40,"cached_tokens_details":'
    return [
        of("pictures among what was cached", 10, '"cached_tokens":8,"image_tokens":6,"text_tokens":4',
           {"input": 0, "cache_read": 8, "input_image": 2}, 800 + 6_000),
        of("text was cached before pictures", 10, '"cached_tokens":4,"image_tokens":6', {"input": 0, "cache_read": 4, "input_image": 6}, 400 + 18_000),
        of("all of it cached", 10, '"cached_tokens":10,"image_tokens":6', {"input": 0, "cache_read": 10, "input_image": 0}, 1_000),
        of("nothing cached and pictures", 10, '"cached_tokens":0,"image_tokens":6', {"input": 4, "cache_read": 0, "input_image": 6}, 4_000 + 18_000),
        of("text was cached before sound", 1_000, '"cached_tokens":500,"audio_tokens":400,"text_tokens":600',
           {"input": 100, "cache_read": 500, "input_audio": 400}, 100_000 + 50_000 + 3_600_000),
        of("sound among what was cached keeps its price", 1_000, '"cached_tokens":700,"audio_tokens":400,"text_tokens":600',
           {"input": 0, "cache_read": 600, "input_audio": 400}, 60_000 + 3_600_000),
        of("pictures before sound", 100, '"cached_tokens":80,"audio_tokens":30,"image_tokens":40',
           {"input": 0, "cache_read": 70, "input_audio": 30, "input_image": 0}, 7_000 + 270_000),
        of("pictures among what was written", 100, '"cached_tokens":50,"cache_write_tokens":40,"image_tokens":60',
           {"input": 0, "cache_read": 50, "cache_write_5m": 40, "input_image": 10}, 5_000 + 50_000 + 30_000),
        of("sound among what was written", 100, '"cached_tokens":10,"cache_write_tokens":60,"audio_tokens":60',
           {"input": 0, "cache_read": 0, "cache_write_5m": 40, "input_audio": 60}, 50_000 + 540_000),
        of("pictures that the provider says were cached", 100, apart + '{"text_tokens":20,"image_tokens":30}',
           {"input": 40, "cache_read": 50, "input_image": 10}, 40_000 + 5_000 + 30_000),
        of("sound that the provider says was cached", 1_000,
           '"cached_tokens":500,"audio_tokens":400,"cached_tokens_details":{"text_tokens":200,"audio_tokens":300,"image_tokens":null}',
           {"input": 400, "cache_read": 200, "input_audio": 400}, 400_000 + 20_000 + 3_600_000),
        of("more pictures cached than seen", 100, apart + '{"image_tokens":41}', {"input": 10, "cache_read": 50, "input_image": 40},
           10_000 + 5_000 + 120_000, "estimated"),
        of("parts of what was cached that are no object", 100, apart + "7", {"input": 10, "cache_read": 50, "input_image": 40}, 10_000 + 5_000 + 120_000),
        of("parts of what was cached beside a detail of a wrong type", 100, apart + '{"image_tokens":30},"audio_tokens":"0"',
           {"input": 40, "cache_read": 50, "input_image": 10}, 40_000 + 5_000 + 30_000, "estimated"),
        of("more pictures than prompt", 10, '"cached_tokens":1,"image_tokens":11', {"input": 10}, 10_000, "estimated"),
        of("more cached than prompt, and pictures", 10, '"cached_tokens":11,"image_tokens":3', {"input": 10}, 10_000, "estimated"),
        of("fewer cached than none, and pictures", 10, '"cached_tokens":-8,"image_tokens":3', {"input": 10}, 10_000, "estimated"),
    ]  # fmt: skip


def whole_chat() -> list[Golden]:
    def of(name: str, usage: str, counts: dict[str, int], nanos: int | None, **changes: Any) -> Golden:
        return Golden(name, False, chat(f',"usage":{usage}', **changes.pop("chat", {})), counts, nanos, **changes)

    details = '"prompt_tokens":100,"completion_tokens":20,"total_tokens":120'
    return [
        of("plain", USAGE, PLAIN, PLAIN_NANOS, facts={"answered_model": "gpt-6-astra-2026-08-07"}),
        of("details are subsets", USAGE_DETAILED, DETAILED, DETAILED_NANOS),
        of(
            "explicit zeros stay zeros",
            '{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0,"prompt_tokens_details":{"cached_tokens":0}}',
            {"input": 0, "cache_read": 0, "output": 0, "request": 1},
            7,
        ),
        of(
            "null details are not reported",
            f'{{{details},"prompt_tokens_details":null,"completion_tokens_details":null}}',
            PLAIN,
            PLAIN_NANOS,
        ),
        of(
            "null inside details is not zero",
            f'{{{details},"prompt_tokens_details":{{"cached_tokens":null}},"completion_tokens_details":{{}}}}',
            PLAIN,
            PLAIN_NANOS,
        ),
        of(
            "cache writes",
            f'{{{details},"prompt_tokens_details":{{"cached_tokens":10,"cache_write_tokens":30}}}}',
            {"input": 60, "cache_read": 10, "cache_write_5m": 30, "output": 20, "request": 1},
            60_000 + 1_000 + 37_500 + 100_000 + 7,
        ),
        of(
            "audio both ways",
            f'{{{details},"prompt_tokens_details":{{"audio_tokens":5,"text_tokens":95}},'
            '"completion_tokens_details":{"audio_tokens":15,"text_tokens":5}}',
            {"input": 95, "input_audio": 5, "output": 5, "output_audio": 15, "request": 1},
            95_000 + 45_000 + 25_000 + 300_000 + 7,
        ),
        of(
            "images in",
            f'{{{details},"prompt_tokens_details":{{"image_tokens":70}}}}',
            {"input": 30, "input_image": 70, "output": 20, "request": 1},
            30_000 + 210_000 + 100_000 + 7,
        ),
        *_overlaps(),
        of(
            "rejected predictions are billed inside the completion",
            f'{{{details},"completion_tokens_details":{{"accepted_prediction_tokens":3,"rejected_prediction_tokens":9}}}}',
            PLAIN,
            PLAIN_NANOS,
        ),
        of(
            "all reasoning",
            f'{{{details},"completion_tokens_details":{{"reasoning_tokens":20}}}}',
            {"input": 100, "output": 0, "reasoning": 20, "request": 1},
            PLAIN_NANOS,
            chat={"finish": "length"},
            facts={"complete": True},
        ),
        of(
            "more cached than prompted is no refund",
            f'{{{details},"prompt_tokens_details":{{"cached_tokens":101}}}}',
            PLAIN,
            PLAIN_NANOS,
            source="estimated",
        ),
        of(
            "more reasoning than completion",
            f'{{{details},"completion_tokens_details":{{"reasoning_tokens":21}}}}',
            PLAIN,
            PLAIN_NANOS,
            source="estimated",
        ),
        of(
            "a negative detail",
            f'{{{details},"prompt_tokens_details":{{"cached_tokens":-40}}}}',
            PLAIN,
            PLAIN_NANOS,
            source="estimated",
        ),
        of("a negative prompt", '{"prompt_tokens":-1,"completion_tokens":20}', {"output": 20}, None, source="estimated"),
        of(
            "an absurd completion",
            '{"prompt_tokens":100,"completion_tokens":1000000000001}',
            {"input": 100},
            None,
            source="estimated",
        ),
        of("a count in quotes", '{"prompt_tokens":"100","completion_tokens":20}', {"output": 20}, None, source="estimated"),
        of("a count with a fraction", '{"prompt_tokens":100,"completion_tokens":20.5}', {"input": 100}, None, source="estimated"),
        of("a boolean count", '{"prompt_tokens":true,"completion_tokens":20}', {"output": 20}, None, source="estimated"),
        of(
            "details that are a list",
            f'{{{details},"prompt_tokens_details":[1]}}',
            PLAIN,
            PLAIN_NANOS,
        ),
        of(
            "reasoning beside the completion, as xAI counts it",
            '{"prompt_tokens":10,"completion_tokens":8,"total_tokens":23,"prompt_tokens_details":{"text_tokens":10,"cached_tokens":4},'
            '"completion_tokens_details":{"reasoning_tokens":5,"accepted_prediction_tokens":0}}',
            {"input": 6, "cache_read": 4, "output": 8, "reasoning": 5, "request": 1},
            6_000 + 400 + 40_000 + 25_000 + 7,
        ),
        of(
            "more reasoning than completion, beside it",
            '{"prompt_tokens":12,"completion_tokens":2,"total_tokens":331,"completion_tokens_details":{"reasoning_tokens":317}}',
            {"input": 12, "output": 2, "reasoning": 317, "request": 1},
            12_000 + 10_000 + 1_585_000 + 7,
        ),
        of(
            "reasoning that only the total counts, as at Gemini",
            '{"prompt_tokens":20,"completion_tokens":198,"total_tokens":623}',
            {"input": 20, "output": 198, "reasoning": 405, "request": 1},
            20_000 + 990_000 + 2_025_000 + 7,
        ),
        of(
            "reasoning inside the completion, and more in the total",
            '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":125,"completion_tokens_details":{"reasoning_tokens":8}}',
            {"input": 100, "output": 17, "reasoning": 8, "request": 1},
            100_000 + 85_000 + 40_000 + 7,
        ),
        of(
            "a total beside details of a wrong type",
            '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":125,"prompt_tokens_details":[1]}',
            {"input": 100, "output": 20, "reasoning": 5, "request": 1},
            100_000 + 100_000 + 25_000 + 7,
        ),
        of("a total below its parts", USAGE.replace(":120}", ":90}"), PLAIN, PLAIN_NANOS),
        of("a total below nothing", USAGE.replace(":120}", ":-1}"), PLAIN, PLAIN_NANOS),
        of("a total in quotes says nothing", USAGE.replace(":120}", ':"125"}'), PLAIN, PLAIN_NANOS),
        of("an absurd total", USAGE.replace(":120}", ":2000000000000}"), PLAIN, PLAIN_NANOS, source="estimated"),
        of(
            "a total beside a prompt that contradicts itself",
            '{"prompt_tokens":100,"completion_tokens":20,"total_tokens":221,"prompt_tokens_details":{"cached_tokens":101}}',
            PLAIN,
            PLAIN_NANOS,
            source="estimated",
        ),
        of(
            "a total beside a completion below nothing",
            '{"prompt_tokens":100,"completion_tokens":-5,"total_tokens":120}',
            {"input": 100},
            None,
            source="estimated",
        ),
        of("what a cache held, as DeepSeek says it", HITS, CACHED_COUNTS, CACHED_NANOS),
        of("what a cache held, as Moonshot says it", f'{{{details},"cached_tokens":40}}', CACHED_COUNTS, CACHED_NANOS),
        of("what a cache held, said twice", f'{{{details},"cached_tokens":40,"prompt_tokens_details":{{"cached_tokens":40}}}}', CACHED_COUNTS, CACHED_NANOS),
        of("the details' word stands before the other", f'{{{details},"prompt_cache_hit_tokens":99,"prompt_tokens_details":{{"cached_tokens":40}}}}',
           CACHED_COUNTS, CACHED_NANOS),
        of("a cache that held nothing", HITS.replace(":40,", ":0,"), {"input": 100, "cache_read": 0, "output": 20, "request": 1}, PLAIN_NANOS),
        of("a cache beside details of a wrong type", HITS[:-1] + ',"prompt_tokens_details":[1]}', CACHED_COUNTS, CACHED_NANOS),
        of("a cache that held more than was prompted", HITS.replace(":40,", ":101,"), PLAIN, PLAIN_NANOS, source="estimated"),
        of("a cache that held a text", HITS.replace(":40,", ':"40",'), PLAIN, PLAIN_NANOS, source="estimated"),
        of("priority answered", USAGE, PLAIN, PLAIN_NANOS, chat={"extra": ',"service_tier":"priority"'}, facts={"service_tier": "priority"}),
        of("a filter ended it", USAGE, PLAIN, PLAIN_NANOS, chat={"finish": "content_filter"}, facts={"complete": True}),
        of("no reasoning is a count", f'{{{details},"completion_tokens_details":{{"reasoning_tokens":0}}}}',
           {"input": 100, "output": 20, "reasoning": 0, "request": 1}, PLAIN_NANOS),
        of("text is what is left", f'{{{details},"prompt_tokens_details":{{"text_tokens":100}},"completion_tokens_details":{{"text_tokens":20}}}}',
           PLAIN, PLAIN_NANOS),
        of("sound and reasoning out", f'{{{details},"completion_tokens_details":{{"reasoning_tokens":4,"audio_tokens":6}}}}',
           {"input": 100, "output": 10, "reasoning": 4, "output_audio": 6, "request": 1}, 100_000 + 50_000 + 20_000 + 120_000 + 7),
        of("more sound than completion", f'{{{details},"completion_tokens_details":{{"audio_tokens":21}}}}', PLAIN, PLAIN_NANOS,
           source="estimated"),
        of("a long context, most of it cached",
           '{"prompt_tokens":300000,"completion_tokens":20,"total_tokens":300020,"prompt_tokens_details":{"cached_tokens":200000}}',
           {"input": 100_000, "cache_read": 200_000, "output": 20, "request": 1}, 100_000_000 + 20_000_000 + 100_000 + 7),
        of("one token", '{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}', {"input": 1, "output": 0, "request": 1}, 1_007),
        of("a router's cost and shares beside the counts",
           USAGE_DETAILED[:-1] + ',"cost":0.000164,"is_byok":false,"cost_details":{"upstream_inference_cost":null}}', DETAILED, DETAILED_NANOS),
        of("usage null", "null", {}, None, source="estimated"),
        of("usage a string", '"none"', {}, None, source="estimated"),
        of("usage empty", "{}", {}, None, source="estimated"),
        of("only a prompt", '{"prompt_tokens":100}', {"input": 100}, None, source="estimated"),
        of("flex answered", USAGE, PLAIN, PLAIN_NANOS, chat={"extra": ',"service_tier":"flex"'}, facts={"service_tier": "flex"}),
        of(
            "fast is priority", USAGE, PLAIN, PLAIN_NANOS, chat={"extra": ',"service_tier":"fast"'},
            facts={"service_tier": "priority"},
        ),
        of(
            "default is standard", USAGE, PLAIN, PLAIN_NANOS, chat={"extra": ',"service_tier":"default"'},
            facts={"service_tier": "standard"},
        ),
        of(
            "an unknown tier is not believed", USAGE, PLAIN, PLAIN_NANOS, chat={"extra": ',"service_tier":"gold"'},
            facts={"service_tier": ""},
        ),
        of("a tier that is no text", USAGE, PLAIN, PLAIN_NANOS, chat={"extra": ',"service_tier":7'}),
        Golden("no usage at all", False, chat(""), {}, None, "estimated", facts={"complete": True}),
        Golden("cut in the middle", False, chat(f',"usage":{USAGE}')[:-60], {}, None, "estimated", facts={"complete": False}),
        Golden("not JSON", False, b"<html>bad gateway</html>", {}, None, "estimated"),
        Golden("JSON but a list", False, b"[]", {}, None, "estimated"),
        Golden("nothing", False, b"", {}, None, "estimated"),
        Golden(
            "an error", False,
            b'{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}', {},
            None, "estimated", facts={"saw_error": True, "error_code": "rate_limit_exceeded"},
        ),
        Golden(
            "spaces and lines", False,
            b'{\r\n  "choices" : [ { "finish_reason" : "stop" } ],\r\n  "usage" :\t{ "prompt_tokens" : 100 ,\n'
            b'    "completion_tokens":20 }\n}\n', PLAIN, PLAIN_NANOS,
        ),
        Golden("no field but the usage", False, b'{"usage":' + USAGE.encode() + b"}", PLAIN, PLAIN_NANOS, facts={"answered_model": ""}),
        Golden("an id that is empty", False, chat(f',"usage":{USAGE}').replace(b"chatcmpl-B9", b""), PLAIN, PLAIN_NANOS),
        Golden(
            "several choices are one completion", False,
            chat(f',"usage":{USAGE}').replace(b'"choices":[', b'"choices":[{"index":1,"message":{"content":"Hi"},"finish_reason":"length"},'),
            PLAIN, PLAIN_NANOS,
        ),
        Golden(
            "usage before choices", False,
            b'{"usage":{"completion_tokens":20,"prompt_tokens":100},"choices":[{"finish_reason":"tool_calls"}]}', PLAIN,
            PLAIN_NANOS, facts={"complete": True},
        ),
        Golden(
            "a usage inside content is text", False,
            b'{"choices":[{"message":{"content":"x","usage":{"prompt_tokens":1,"completion_tokens":1}}}],"usage":' + USAGE.encode()
            + b"}", PLAIN, PLAIN_NANOS,
        ),
    ]  # fmt: skip


def streamed_chat() -> list[Golden]:
    def of(name: str, text: str, counts: dict[str, int], nanos: int | None, **changes: Any) -> Golden:
        relayed = changes.pop("relayed", None)
        return Golden(name, True, text.encode(), counts, nanos, relayed=relayed and relayed.encode(), **changes)

    head = OPENING + TWO + STOP
    full = head + last(USAGE_DETAILED) + DONE
    spaced = (
        full.replace('"usage":null', '"usage": null').replace('"usage":{', '"usage" :\t{ ').replace("data: ", "data:")
    )
    chosen = STOP.replace(',"usage":null', "").replace(
        '"stop"', '"stop","usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"cached_tokens":40}'
    )
    partial = chunk('{"content":"Hel"}', usage=',"usage":{"prompt_tokens":100,"completion_tokens":1}') + chunk(
        '{"content":"lo"}', usage=',"usage":{"prompt_tokens":100,"completion_tokens":20}'
    )
    error = 'data: {"error":{"message":"overloaded","type":"server_error","param":null,"code":"overloaded"}}\n\n'
    return [
        of("asked for by the client", full, DETAILED, DETAILED_NANOS, facts={"complete": True}),
        of("injected by us", full, DETAILED, DETAILED_NANOS, withhold=True, relayed=head + DONE),
        of("every line end CRLF", full.replace("\n", "\r\n"), DETAILED, DETAILED_NANOS),
        of(
            "CRLF and injected", full.replace("\n", "\r\n"), DETAILED, DETAILED_NANOS, withhold=True,
            relayed=(head + DONE).replace("\n", "\r\n"),
        ),
        of("spaces everywhere", spaced, DETAILED, DETAILED_NANOS, withhold=True, relayed=spaced.replace(
            last(USAGE_DETAILED).replace('"usage":{', '"usage" :\t{ ').replace("data: ", "data:"), ""
        )),
        of("comments between", ": ping\n\n" + head + ":\n\n" + last(USAGE) + ": end\n\n" + DONE, PLAIN, PLAIN_NANOS,
           withhold=True, relayed=": ping\n\n" + head + ":\n\n: end\n\n" + DONE),
        of("named events", head.replace("data:", "event: chunk\nid: 7\ndata:") + last(USAGE) + DONE, PLAIN, PLAIN_NANOS),
        of(
            "one JSON over three data lines",
            head + last(USAGE).replace('"choices":', '\ndata:"choices":\ndata: ') + DONE, PLAIN, PLAIN_NANOS,
            withhold=True, relayed=head + DONE,
        ),
        of("usage in the last event with choices", head + chunk("{}", usage=f',"usage":{USAGE}') + DONE, PLAIN, PLAIN_NANOS,
           withhold=True),
        of("cumulative in every event, last wins", partial + STOP.replace(',"usage":null', "") + DONE, PLAIN, PLAIN_NANOS),
        of("cumulative and cut is evidence", partial, {"input": 100, "output": 20}, None, source="estimated",
           facts={"complete": False}),
        of("no usage anywhere", head.replace(',"usage":null', "") + DONE, {}, None, source="estimated", facts={"complete": True}),
        of("cut before usage", OPENING + TWO, {}, None, source="estimated", facts={"output_events": 3}),
        of("cut inside the usage event", head + last(USAGE)[:-30], {}, None, source="estimated", withhold=True),
        of("usage seen, then cut before DONE", head + last(USAGE), PLAIN, PLAIN_NANOS, facts={"complete": False}, withhold=True,
           relayed=head),
        of("the last event lacks its blank line", head + last(USAGE).rstrip("\n"), PLAIN, PLAIN_NANOS, withhold=True,
           relayed=head),
        of("an error in the stream", OPENING + error, {}, None, source="estimated",
           facts={"saw_error": True, "error_code": "overloaded"}),
        of("an empty first event with choices []", OPENING.replace('"choices":[{', '"choices":[],"x":[{') + head + last(USAGE)
           + DONE, PLAIN, PLAIN_NANOS, withhold=True,
           relayed=OPENING.replace('"choices":[{', '"choices":[],"x":[{') + head + DONE),
        of("usage spoken of in the text", head + chunk('{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}') + last(USAGE) + DONE,
           PLAIN, PLAIN_NANOS, withhold=True, relayed=head + chunk('{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}') + DONE),
        of("usage twice, the last wins", head + last('{"prompt_tokens":1,"completion_tokens":1}') + last(USAGE) + DONE, PLAIN,
           PLAIN_NANOS),
        of("an event that is not JSON", head + "data: {nonsense\n\n" + last(USAGE) + DONE, PLAIN, PLAIN_NANOS),
        of("tier in the stream", head + last(USAGE, extra=',"service_tier":"priority"') + DONE, PLAIN, PLAIN_NANOS,
           facts={"service_tier": "priority"}),
        of("reasoning beside the completion", head + last(BESIDE) + DONE, BESIDE_COUNTS, BESIDE_NANOS),
        of("reasoning beside the completion, injected", head + last(BESIDE) + DONE, BESIDE_COUNTS, BESIDE_NANOS, withhold=True,
           relayed=head + DONE),
        of("reasoning that only the total counts, cumulative", partial.replace('"completion_tokens":1}', '"completion_tokens":1,"total_tokens":106}')
           + chunk("{}", usage=',"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":133}') + DONE,
           {"input": 100, "output": 20, "reasoning": 13, "request": 1}, 100_000 + 100_000 + 65_000 + 7),
        of("pictures among what was cached", head + last(CACHED_PICTURES) + DONE, CACHED_PICTURES_COUNTS, 800 + 6_000 + 25_007),
        of("pictures among what was cached, injected", head + last(CACHED_PICTURES) + DONE, CACHED_PICTURES_COUNTS, 800 + 6_000 + 25_007,
           withhold=True, relayed=head + DONE),
        of("what a cache held, as DeepSeek says it", head + last(HITS) + DONE, CACHED_COUNTS, CACHED_NANOS),
        of("usage inside the last choice, as Moonshot says it", OPENING + TWO + chosen + DONE, CACHED_COUNTS, CACHED_NANOS, withhold=True),
        of("usage inside the last choice and cut is evidence", OPENING + TWO + chosen, {"input": 60, "cache_read": 40, "output": 20}, None,
           source="estimated"),
        of("usage inside the last choice, then by itself", OPENING + TWO + chosen.replace(":20,", ":7,") + last(HITS) + DONE, CACHED_COUNTS, CACHED_NANOS,
           withhold=True, relayed=OPENING + TWO + chosen.replace(":20,", ":7,") + DONE),
        of("a number as the usage of a choice", head + STOP.replace(',"usage":null', "").replace('"stop"', '"stop","usage":7') + last(USAGE) + DONE,
           PLAIN, PLAIN_NANOS),
        of("explicit zeros stay zeros", head + last(ZEROS) + DONE, {"input": 0, "cache_read": 0, "output": 0, "request": 1}, 7),
        of("cache writes", head + last(WRITTEN) + DONE, WRITTEN_COUNTS, 60_000 + 1_000 + 37_500 + 100_000 + 7),
        of("sound and pictures", head + last(HEARD_AND_SEEN) + DONE,
           {"input": 25, "input_audio": 5, "input_image": 70, "output": 5, "output_audio": 15, "request": 1},
           25_000 + 45_000 + 210_000 + 25_000 + 300_000 + 7),
        of("more cached than prompted is no refund",
           head + last('{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":101}}') + DONE,
           PLAIN, PLAIN_NANOS, source="estimated"),
        of("flex from the first event on", (head + last(USAGE)).replace(',"model":', ',"service_tier":"flex","model":') + DONE, PLAIN, PLAIN_NANOS,
           facts={"service_tier": "flex"}),
        of("ids that are empty", (head + last(USAGE)).replace("chatcmpl-B9", "") + DONE, PLAIN, PLAIN_NANOS),
        of("several choices are one completion", head + STOP.replace('"index":0', '"index":1') + last(USAGE) + DONE, PLAIN, PLAIN_NANOS),
        of("a router's comments and cost", ": PROCESSING\n\n" + head + last(USAGE_DETAILED[:-1] + ',"cost":0.000164}') + DONE, DETAILED, DETAILED_NANOS),
        of("tool calls", OPENING + chunk('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"error\\":1}"}}]}')
           + chunk("{}", finish='"tool_calls"') + last(USAGE) + DONE, PLAIN, PLAIN_NANOS,
           facts={"complete": True}),
        of("padding against length guessing", (head + last(USAGE)).replace('"usage":null', '"usage":null,"obfuscation":"aX9"')
           + DONE, PLAIN, PLAIN_NANOS),
    ]  # fmt: skip
