"""The simulated provider bills what it generated, whatever happens on the wire. (The official clients judge it in tests/judges.)"""

import gzip
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from ipaddress import ip_address

import brotli
import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tokenroll.testing import SimulatedProvider, SimulatorOptions
from tokenroll.upstream.simulated.bill import Line, final_lines, totals
from tokenroll.upstream.simulated.content import fitting, text_of
from tokenroll.upstream.simulated.faults import KNOWN, Schedule, UnknownFault, parse_faults
from tokenroll.upstream.simulated.prices import PriceTable
from tokenroll.upstream.simulated.prompt_cache import PromptCache, Segment

HELLO = [{"role": "user", "content": "How much is left?"}]  # 5 tokens and 16 for the message
CHAT = {"model": "gpt-4o-mini", "messages": HELLO}
MESSAGE = {"model": "claude-opus-5-5", "max_tokens": 1_000, "messages": HELLO}


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=7) as running:
        yield running


def post(provider, body, *, path="/v1/chat/completions", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=20)
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    if path.startswith("/v1/messages"):
        named["anthropic-version"] = "2023-06-01"
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **named})
    return connection, connection.getresponse()


def answer(provider, body, **headers):
    connection, response = post(provider, body, **headers)
    text = response.read()
    connection.close()
    return text


def raw(provider, body, *, headers="", path="/v1/chat/completions"):
    """A socket on which the request was sent."""
    client = socket.create_connection(("127.0.0.1", provider.port), timeout=20)
    text = json.dumps(body)
    client.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(text)}\r\n\r\n{text}".encode())
    return client


def everything(client) -> bytes:
    parts = []
    try:
        while part := client.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    client.close()
    return b"".join(parts)


def eventually(provider, statuses) -> list[Line]:
    """The bill once it has exactly these statuses."""
    until = time.monotonic() + 20
    while [line.status for line in provider.bill()] != statuses:
        assert time.monotonic() < until, provider.bill()
        time.sleep(0.01)
    return provider.bill()


# ---- the bill --------------------------------------------------------------------------------------------------------


def test_it_bills_a_call_by_its_own_table(provider):
    answer(provider, CHAT, x_sim_output_tokens=100, x_client_request_id="call_00ff/2")
    (line,) = provider.bill()
    assert (line.call_id, line.attempt, line.provider) == ("call_00ff", 2, "openai")
    assert (line.model, line.service_tier, line.status) == ("gpt-4o-mini-2024-07-18", "standard", "complete")
    assert line.usage == {"input": 21, "output": 100}
    # 21 x 150 nanos and 100 x 600 nanos
    assert line.cost_nanos == 63_150


def test_it_writes_the_line_before_the_first_byte(tmp_path):
    path = tmp_path / "bill.jsonl"
    with SimulatedProvider(bill_path=path) as provider:
        client = raw(
            provider, {**CHAT, "stream": True}, headers="x-sim-interval-us: 20000\r\nx-sim-output-tokens: 80\r\n"
        )
        assert client.recv(12) == b"HTTP/1.1 200"
        (line,) = final_lines(path.read_bytes().splitlines())
        assert line.status == "open"
        everything_after = client.recv(1)
        assert everything_after
        client.close()
        (line,) = eventually(provider, ["aborted"])
    (last,) = final_lines(path.read_bytes().splitlines())
    assert last == line


def test_it_bills_an_aborted_stream_for_what_it_generated(provider):
    client = raw(provider, {**CHAT, "stream": True}, headers="x-sim-interval-us: 20000\r\nx-sim-output-tokens: 800\r\n")
    seen = b""
    while seen.count(b"data: ") < 4:
        seen += client.recv(65_536)
    client.close()
    (line,) = eventually(provider, ["aborted"])
    # the role, then 8 tokens in each event
    assert 24 <= line.usage["output"] < 800
    assert line.usage["output"] % 8 == 0


def test_it_bills_a_cut_stream_for_what_left(provider):
    client = raw(provider, {**CHAT, "stream": True}, headers="x-sim-fault: cut=4\r\nx-sim-output-tokens: 80\r\n")
    text = everything(client)
    assert text.count(b"data: ") == 4
    assert b"[DONE]" not in text
    (line,) = eventually(provider, ["cut"])
    assert line.usage["output"] == 24


def test_it_bills_a_cut_body_wholly(provider):
    text = everything(raw(provider, CHAT, headers="x-sim-fault: cut\r\nx-sim-output-tokens: 80\r\n"))
    head, _, body = text.partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert 0 < len(body) < promised
    (line,) = eventually(provider, ["cut"])
    assert line.usage["output"] == 80


def test_it_bills_only_the_input_of_a_call_that_was_dropped(provider):
    assert everything(raw(provider, CHAT, headers="x-sim-fault: drop\r\n")) == b""
    (line,) = eventually(provider, ["cut"])
    assert line.usage == {"input": 21, "output": 0}


def test_it_does_not_bill_refusals(provider):
    for fault in ("429", "500", "503", "529"):
        connection, response = post(provider, CHAT, x_sim_fault=fault)
        assert response.status == int(fault)
        connection.close()
    assert provider.bill() == []
    assert provider.state()["refused"] == 4


def test_it_bills_what_it_does_not_report(provider):
    whole = json.loads(answer(provider, CHAT, x_sim_fault="missing-usage", x_sim_output_tokens=10))
    assert "usage" not in whole
    ask = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    assert b"usage" not in answer(provider, ask, x_sim_fault="missing-usage", x_sim_output_tokens=10)
    assert [line.usage["output"] for line in provider.bill()] == [10, 10]


def test_it_means_zero_when_it_says_zero(provider):
    whole = json.loads(answer(provider, CHAT, x_sim_fault="zero-usage"))
    assert whole["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert provider.bill()[0].cost_nanos == 0


def test_it_answers_and_bills_a_dearer_tier_than_asked(provider):
    whole = json.loads(answer(provider, CHAT, x_sim_fault="tier=priority", x_sim_output_tokens=100))
    assert whole["service_tier"] == "priority"
    (line,) = provider.bill()
    # 21 x 250 nanos and 100 x 1,000 nanos
    assert (line.service_tier, line.cost_nanos) == ("priority", 105_250)


def test_it_answers_and_bills_another_model_than_asked(provider):
    whole = json.loads(answer(provider, CHAT, x_sim_fault="model=gpt-4o", x_sim_output_tokens=100))
    assert whole["model"] == "gpt-4o-2024-08-06"
    # 21 x 2,500 nanos and 100 x 10,000 nanos
    assert provider.bill()[0].cost_nanos == 1_052_500


def test_it_goes_above_the_cap_when_told(provider):
    whole = json.loads(answer(provider, {**CHAT, "max_tokens": 50}, x_sim_fault="exceed-cap=7"))
    assert whole["usage"]["completion_tokens"] == 57


def test_it_charges_the_long_context_for_the_whole_call():
    model = PriceTable.load().models["gpt-6-astra"]
    # one token above: 272,001 x 20,000 nanos; at the start: 272,000 x 10,000
    assert model.cost_nanos({"input": 272_001}, "standard") == 5_440_020_000
    assert model.cost_nanos({"input": 272_000}, "standard") == 2_720_000_000
    assert model.cost_nanos({"input": 200_000, "cache_read": 72_001}, "standard") == 200_000 * 20_000 + 72_001 * 2_000
    assert model.cost_nanos({"input": 272_001}, "flex") == 2_720_010_000  # 10 USD a million: half of 20
    assert model.cost_nanos({"input": 272_000}, "flex") == 1_360_000_000
    assert model.cost_nanos({"input": 272_001}, "a tier that nobody sells") == 5_440_020_000
    # gpt-5.4 has a long price at all tiers but priority
    assert PriceTable.load().models["gpt-5.4"].cost_nanos({"input": 272_001}, "priority") == 272_001 * 5_000


def test_it_rounds_once_half_to_even():
    table = PriceTable(
        '[[model]]\nname = "m"\nvendor = "v"\nanswers_as = "m"\nstandard = { input = "0.0005", output = "0" }'
    )
    model = table.models["m"]
    assert model.tiers["standard"]["input"] == Fraction(1, 2)  # half a nano a token
    assert [model.cost_nanos({"input": count}, "standard") for count in (1, 2, 3, 5)] == [0, 1, 2, 2]


def test_it_sums_its_bill(provider):
    answer(provider, CHAT, x_sim_output_tokens=10)
    answer(provider, CHAT, x_sim_output_tokens=20)
    assert provider.state()["bill"] == {
        "attempts": 2, "cost_nanos": 2 * 21 * 150 + 30 * 600, "statuses": {"complete": 2}, "usage": {"input": 42, "output": 30},
    }  # fmt: skip
    assert totals([])["attempts"] == 0


def test_it_keeps_the_last_line_of_each_attempt():
    fields = {
        "call_id": "c", "attempt": 1, "request_id": "r", "provider": "p", "model": "m", "service_tier": "standard", "at": 1, "usage": {},
    }  # fmt: skip
    texts = [
        json.dumps({**fields, "status": status, "cost_nanos": cost}) for status, cost in (("open", 1), ("complete", 9))
    ]
    other = json.dumps({**fields, "attempt": 2, "status": "open", "cost_nanos": 1})
    assert [(line.attempt, line.cost_nanos) for line in final_lines([*texts, other, ""])] == [(1, 9), (2, 1)]


# ---- withheld answers --------------------------------------------------------------------------------------------------


def test_it_withholds_answers_until_told(provider):
    provider.hold()
    clients = [raw(provider, CHAT, headers="connection: close\r\n") for _ in range(200)]
    until = time.monotonic() + 20
    while provider.state()["held"] < 200:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert {line.status for line in provider.bill()} == {"open"}
    assert provider.release(3) == 3
    assert provider.release() == 197
    assert all(everything(client).startswith(b"HTTP/1.1 200") for client in clients)
    assert {line.status for line in provider.bill()} == {"complete"}
    assert answer(provider, CHAT)


def test_it_withholds_one_answer_by_header(provider):
    client = raw(provider, CHAT, headers="x-sim-fault: hold\r\n")
    assert answer(provider, CHAT)
    assert provider.state()["held"] == 1
    client.close()
    (held, _) = eventually(provider, ["aborted", "complete"])
    assert held.usage == {"input": 21, "output": 0}


def test_it_is_controlled_over_http_too(provider):
    def control(method, path, body=b""):
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=20)
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, text

    assert control("POST", "/-/hold") == (200, b'{"holding": true}')
    client = raw(provider, CHAT, headers="connection: close\r\n")
    until = time.monotonic() + 20
    while json.loads(control("GET", "/-/state")[1])["held"] != 1:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert control("POST", "/-/release", b'{"count": 1}') == (200, b'{"released": 1}')
    assert everything(client)
    assert control("POST", "/-/release") == (200, b'{"released": 0}')
    (line,) = final_lines(control("GET", "/-/bill")[1].splitlines())
    assert line.status == "complete"
    assert control("POST", "/-/faults", b'{"faults": "500:1"}')[0] == 200
    connection, response = post(provider, CHAT)
    assert response.status == 500
    connection.close()
    assert control("POST", "/-/faults", b'{"faults": "nonsense:1"}')[0] == 400
    assert control("POST", "/-/reset")[0] == 200
    assert control("GET", "/-/bill") == (200, b"")
    assert control("GET", "/-/nowhere")[0] == 404
    assert control("POST", "/-/nowhere")[0] == 404
    assert control("POST", "/-/release", b"[]")[0] == 400


# ---- faults on the wire --------------------------------------------------------------------------------------------------


def test_it_knows_its_faults():
    assert parse_faults("gzip, cut=3") == {"gzip": "", "cut": "3"}
    assert parse_faults("") == {}
    with pytest.raises(UnknownFault, match="no fault is called 'gremlins'; known: 429, 500"):
        parse_faults("gremlins")
    with pytest.raises(UnknownFault, match="must be a count"):
        parse_faults("cut=soon")
    assert len(KNOWN) >= 25


@pytest.mark.parametrize(
    ("name", "decode"),
    [
        ("gzip", gzip.decompress),
        ("br", brotli.decompress),
        ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_it_compresses_although_identity_was_asked_for(provider, name, decode, stream):
    connection, response = post(provider, {**CHAT, "stream": stream}, x_sim_fault=name, x_sim_output_tokens=16)
    assert response.headers["content-encoding"] == name
    text = decode(response.read())
    connection.close()
    assert text.endswith(b"data: [DONE]\n\n") if stream else json.loads(text)["usage"]["completion_tokens"] == 16


def test_it_lies_about_its_length(provider):
    for fault, more in (("length-long", 64), ("length-short", -16)):
        text = everything(raw(provider, CHAT, headers=f"x-sim-fault: {fault}\r\n"))
        head, _, body = text.partition(b"\r\n\r\n")
        promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert promised == len(body) + more


def test_it_sends_heads_before_the_head(provider):
    text = everything(raw(provider, CHAT, headers="connection: close\r\nx-sim-fault: early-hints,continue\r\n"))
    assert [line for line in text.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 200 OK",
    ]  # fmt: skip


def test_it_breaks_its_json(provider):
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer(provider, CHAT, x_sim_fault="malformed-json"))
    stream = answer(provider, {**CHAT, "stream": True}, x_sim_fault="malformed-json")
    broken = [line for line in stream.split(b"\n\n") if line == b'data: {"id": "chatcmpl-']
    assert len(broken) == 1


def test_it_stalls_and_bills_what_left(provider):
    client = raw(provider, {**CHAT, "stream": True}, headers="x-sim-fault: stall=3\r\nx-sim-output-tokens: 80\r\n")
    seen = b""
    while seen.count(b"data: ") < 3:
        seen += client.recv(65_536)
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.close()
    (line,) = eventually(provider, ["aborted"])
    assert line.usage["output"] == 16


def test_it_writes_events_in_other_spellings(provider):
    ask = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    spaced = answer(provider, ask, x_sim_fault="spaced,crlf,comments", x_sim_output_tokens=16)
    assert b'"usage": {"prompt_tokens": 21, "completion_tokens": 16' in spaced
    assert b": keep-alive\r\n\r\n" in spaced
    assert spaced.endswith(b"data: [DONE]\r\n\r\n")


def test_it_reports_messages_usage_late_and_twice(provider):
    body = {**MESSAGE, "stream": True}
    text = answer(provider, body, path="/v1/messages", x_sim_fault="two-deltas,cache-late", x_sim_output_tokens=16)
    events = [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: ")]
    assert "cache_read_input_tokens" not in events[0]["message"]["usage"]
    deltas = [event["usage"] for event in events if event["type"] == "message_delta"]
    assert [delta["output_tokens"] for delta in deltas] == [8, 16]
    assert deltas[-1]["cache_read_input_tokens"] == 0


def test_it_strikes_by_a_seeded_schedule():
    def struck(seed: int) -> list[str]:
        schedule = Schedule("500:0.2;cut=2:0.3", seed)
        return [schedule.fault(number.to_bytes(4, "big")) for number in range(1_000)]

    assert struck(1) == struck(1) != struck(2)
    assert 150 < struck(1).count("500") < 250
    assert 190 < struck(1).count("cut=2") < 290
    with pytest.raises(ValueError, match="gremlins"):
        Schedule("gremlins:1", 1)


def test_it_repeats_itself_under_a_seed():
    def run(seed: int) -> list[bytes]:
        with SimulatedProvider(SimulatorOptions(seed=seed)) as provider:
            return [answer(provider, CHAT), answer(provider, CHAT), answer(provider, {**CHAT, "stream": True})]

    first = run(3)
    assert first == run(3)
    assert first[0] != first[1]  # the second time is another answer
    assert first != run(4)


def test_it_answers_pipelined_requests_in_order(provider):
    text = json.dumps(CHAT)
    one = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-sim-output-tokens: %d\r\ncontent-length: {len(text)}\r\n%s\r\n{text}"
    client = socket.create_connection(("127.0.0.1", provider.port), timeout=20)
    client.sendall((one % (3, "") + one % (5, "connection: close\r\n")).encode())
    counts = [
        json.loads(part.partition(b"\r\n\r\n")[2])["usage"]["completion_tokens"]
        for part in everything(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    ]
    assert counts == [3, 5]


def test_it_refuses_what_is_not_a_request(provider):
    client = socket.create_connection(("127.0.0.1", provider.port), timeout=20)
    client.sendall(b"NONSENSE\r\n\r\n")
    assert everything(client).startswith(b"HTTP/1.1 400")
    for body in (
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"model": "gpt-4o-mini"}',
        b'{"model": "gpt-4o-mini", "messages": [], "n": 0}',
        b'{"model": "gpt-4o-mini", "messages": [{}], "n": 0}',
        b'{"model": "gpt-4o-mini", "messages": [{}], "tools": "pay"}',
        b'{"model": "gpt-4o-mini", "messages": [{}], "stream_options": 1}',
    ):
        connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=20)
        connection.request("POST", "/v1/chat/completions", body)
        assert connection.getresponse().status == 400
        connection.close()
    assert provider.bill() == []


def test_it_asks_for_its_key_when_it_has_one():
    with SimulatedProvider(api_key="company key") as provider:
        connection, response = post(provider, CHAT, authorization="Bearer another")
        assert (response.status, json.loads(response.read())["error"]["code"]) == (401, "invalid_api_key")
        connection.close()
        assert json.loads(answer(provider, CHAT, authorization="Bearer company key"))["usage"]
        assert json.loads(answer(provider, MESSAGE, path="/v1/messages", x_api_key="company key"))["usage"]


def test_it_counts_its_overheads_and_at_worst_every_byte(provider):
    tool = {"type": "function", "function": {"name": "pay"}}
    size = -(-len(json.dumps(tool, separators=(",", ":"))) // 4)
    with_tools = json.loads(answer(provider, {**CHAT, "tools": [tool]}))["usage"]["prompt_tokens"]
    assert with_tools == 5 + 16 + 512 + 32 + size
    worst = json.loads(answer(provider, CHAT, x_sim_tokenizer="worst"))["usage"]["prompt_tokens"]
    # 17 bytes of text, the role's word and its end, and the message
    assert worst == 17 + len("user") + 1 + 16


def test_it_takes_sizes_from_the_body_too(provider):
    whole = json.loads(answer(provider, {**CHAT, "metadata": {"sim_output_tokens": "33", "sim_input_tokens": "77"}}))
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (77, 33)


# ---- its parts -----------------------------------------------------------------------------------------------------------


class Watch:
    now = 0

    def __call__(self) -> int:
        return self.now


def test_its_cache_forgets_after_five_minutes_unless_read():
    watch = Watch()
    cache = PromptCache(watch)
    prompt = [Segment(b"x" * 8_192, 2_048, "")]
    assert cache.automatic("m", prompt, 2_048, writes=False) == (2_048, 0, 0, 0)
    watch.now += 299 * 1_000_000
    assert cache.automatic("m", prompt, 2_048, writes=False) == (0, 2_048, 0, 0)
    watch.now += 299 * 1_000_000
    assert cache.automatic("m", prompt, 2_048, writes=False).read == 2_048
    watch.now += 300 * 1_000_000
    assert cache.automatic("m", prompt, 2_048, writes=False).read == 0


def test_its_cache_knows_models_prefixes_and_a_smallest_size():
    cache = PromptCache(Watch())
    cache.automatic("m", [Segment(b"x" * 8_192, 2_048, "")], 2_048, writes=False)
    assert cache.automatic("other", [Segment(b"x" * 8_192, 2_048, "")], 2_048, writes=False).read == 0
    # 5,000 equal bytes are 9 whole blocks of 512, too few to count: 1,024 tokens are 8 blocks, so 9 are 1,152 tokens
    assert cache.automatic("m", [Segment(b"x" * 5_000 + b"y" * 3_192, 2_048, "")], 2_048, writes=True) == (
        0,
        1_152,
        896,
        0,
    )
    assert cache.automatic("m", [Segment(b"x" * 4_000, 1_000, "")], 1_000, writes=True) == (1_000, 0, 0, 0)


def test_its_marked_cache_keeps_an_hour_apart_from_five_minutes():
    watch = Watch()
    cache = PromptCache(watch)
    prompt = [Segment(b"a" * 8_000, 2_000, "1h"), Segment(b"b" * 4_000, 1_000, "5m"), Segment(b"c", 10, "")]
    assert cache.marked("m", prompt, 3_010, scaled=False) == (10, 0, 1_000, 2_000)
    watch.now += 301 * 1_000_000
    assert cache.marked("m", prompt, 3_010, scaled=False) == (10, 2_000, 1_000, 0)
    assert cache.marked("m", prompt, 3_010, scaled=False) == (10, 3_000, 0, 0)
    # A client that says that all this is 6,020 tokens gets the same shares
    assert cache.marked("m", prompt, 6_020, scaled=True) == (20, 6_000, 0, 0)


def test_its_text_has_four_bytes_for_each_token():
    assert [len(text_of(tokens, 5)) for tokens in (0, 1, 300, 200_000)] == [0, 4, 1_200, 800_000]


def test_it_fits_any_schema_it_is_given():
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["stipend", "bonus"]}, "amount": {"type": "number", "minimum": 3}, "when": {"$ref": "#/$defs/when"},
            "paid": {"type": "boolean"}, "note": {"anyOf": [{"type": "null"}, {"type": "string"}]}, "tags": {"type": "array", "items": {"const": "t"}, "minItems": 2},
        },
        "required": ["kind", "amount", "when", "paid", "note", "tags"],
        "$defs": {"when": {"type": ["string", "null"]}},
    }  # fmt: skip
    assert fitting(schema) == {
        "kind": "stipend", "amount": 3, "when": "roll", "paid": True, "note": None, "tags": ["t", "t"],
    }  # fmt: skip


def test_it_speaks_tls_to_those_who_check_its_certificate(tmp_path):
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with SimulatedProvider(ssl_context=context) as provider:
        assert provider.base_url.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", provider.port, timeout=20, context=trusting)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
