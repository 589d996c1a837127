"""What people ask and what models answer is nowhere: canaries in every place of every dialect, and everything that is written searched.

Law 10. The gateway runs as it does for a company, with every debugging switch that Python has, is killed in mid-call, and breaks in
mid-call; then all files of the home, all logs, all tables, all pages and all exports are read.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.company import Company
from tests.e2e.canaries import STEM, EchoingProvider, Search, forms_of, sent

CONST = {
    "type": "object",
    "properties": {"word": {"const": f"answer {STEM}"}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "say", "description": f"tool {STEM}", "parameters": CONST}}
KEPT = "acme-Wq4Rt8Yp2"
"""A client's own words that are kept, as the page on privacy says."""
ECHO_OPENAI, ECHO_ANTHROPIC = "gpt-4o", "claude-sonnet-5-5"
BREAKING = """
import tokenroll.gateway.call as module

send = module.Call._send

def broken(self, upstream):
    body = self._body
    if b"x-break" in self._head.forward:
        raise RuntimeError("broken on purpose")
    send(self, upstream)

module.Call._send = broken
"""


def stored(body: dict[str, object]) -> bytes:
    """A form with the input file of a batch."""
    line = json.dumps({"custom_id": word("id"), "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()
    purpose = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    return (
        purpose + b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + line + b"\r\n--b--\r\n"
    )


def word(place: str) -> str:
    return f"{place} {STEM} {place}"


def chat(**fields):
    messages = [
        {"role": "system", "content": word("system")},
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": word("part")}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "say", "arguments": json.dumps({"x": word("tool input")})}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": word("tool result")},
    ]  # fmt: skip
    more = {
        "metadata": {"note": word("metadata")},
        "safety_identifier": word("identifier"),
        "user": word("user"),
        "stop": [word("stop")],
    }
    return {"model": "gpt-4o-mini", "max_tokens": 50, "messages": messages, **more, **fields}


def messages(**fields):
    content = [
        {"type": "text", "text": word("part"), "cache_control": {"type": "ephemeral"}},
        {
            "type": "search_result",
            "source": word("source"),
            "title": word("title"),
            "content": [{"type": "text", "text": word("found")}],
        },
    ]
    said = [
        {"role": "user", "content": content},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "say", "input": {"x": word("tool input")}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": word("tool result")}],
        },
    ]
    return {"model": "claude-haiku-4-5", "max_tokens": 50, "system": word("system"), "messages": said,
            "metadata": {"user_id": word("user")}, **fields}  # fmt: skip


def responses(**fields):
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": word("part")}]},
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "say",
            "arguments": json.dumps({"x": word("tool input")}),
        },
        {"type": "function_call_output", "call_id": "call_1", "output": word("tool result")},
    ]
    return {"model": "gpt-4o-mini", "max_output_tokens": 50, "instructions": word("system"), "input": items,
            "metadata": {"note": word("metadata")}, "prompt_cache_key": word("cache key"), **fields}  # fmt: skip


CALLS = {
    "chat": ("/v1/chat/completions", chat()),
    "chat, streamed": ("/v1/chat/completions", chat(stream=True)),
    "chat that answers with the word": ("/v1/chat/completions", chat(
        tools=[TOOL], tool_choice="required", messages=[{"role": "user", "content": word("prompt")}])),
    "the same, streamed": ("/v1/chat/completions", chat(
        tools=[TOOL], tool_choice="required", messages=[{"role": "user", "content": word("prompt")}], stream=True)),
    "completions": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "max_tokens": 20, "prompt": [word("prompt")], "suffix": word("suffix")}),
    "completions, streamed": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "max_tokens": 20, "prompt": word("prompt"), "stream": True}),
    "responses": ("/v1/responses", responses()),
    "responses, streamed": ("/v1/responses", responses(stream=True)),
    "responses that answer with the word": ("/v1/responses", responses(
        text={"format": {"type": "json_schema", "name": "say", "schema": CONST, "strict": True}})),
    "embeddings": ("/v1/embeddings", {"model": "text-embedding-3-small", "input": [word("input"), word("another")], "user": word("user")}),
    "messages": ("/v1/messages", messages()),
    "messages, streamed": ("/v1/messages", messages(stream=True)),
    "messages that answer with the word": ("/v1/messages", messages(
        tools=[{"name": "say", "description": word("tool"), "input_schema": CONST}], tool_choice={"type": "any"},
        messages=[{"role": "user", "content": word("prompt")}], stream=True)),
    **{f"a conversation's turn {turn}": ("/v1/messages", messages(system=word("system") * 400, messages=[
        {"role": "user" if at % 2 == 0 else "assistant", "content": word("prompt") * 400} for at in range(2 * turn + 1)]))
       for turn in range(3)},
    "instructions with a key": ("/v1/chat/completions", chat(messages=[
        {"role": "system", "content": word("system") * 400}, {"role": "user", "content": word("prompt")}])),
    "a file": ("/v1/chat/completions", chat(messages=[{"role": "user", "content": [
        {"type": "file", "file": {"file_data": word("file"), "filename": word("name")}}]}])),
    "an image": ("/v1/messages", messages(messages=[{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": word("image")}}]}])),
    "a batch of messages": ("/v1/messages/batches", {"requests": [{"custom_id": word("id"), "params": messages()}]}),
    "a batch of a file": ("/v1/batches", {
        "input_file_id": "file-words", "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"note": word("metadata")}}),
    "a response in the background": ("/v1/responses", responses(background=True)),
    "pictures": ("/v1/images/generations", {"model": "gpt-image-1.5", "prompt": word("prompt"), "user": word("user")}),
    "speech": ("/v1/audio/" + "speech", {"model": "tts-1", "voice": "alloy", "input": word("input")}),
    "tokens counted": ("/v1/messages/count_tokens", messages()),
    "tokens counted at responses": ("/v1/responses/input_tokens", responses()),
}  # fmt: skip
REFUSED = {
    "a model nobody sells": ("/v1/chat/completions", chat(model=word("model"))),
    "a part that is none": ("/v1/chat/completions", chat(messages=[{"role": "user", "content": [{"type": word("type")}]}])),
    "a tool that is none": ("/v1/responses", responses(tools=[{"type": word("type")}])),
    "a tier that is none": ("/v1/chat/completions", chat(service_tier=word("tier"))),
    "a cap that is none": ("/v1/messages", messages(max_tokens=word("cap"))),
    "a batch with a bad line": ("/v1/batches", {"input_file_id": "file-bad-words", "endpoint": "/v1/chat/completions"}),
    "a bound above all": ("/v1/chat/completions", chat(n=128, max_tokens=10**7)),
    "an endpoint that is none": ("/v1/audio/" + "voices", {"input": word("input")}),
    "an address that is none": (f"/{forms_of(STEM)['an address'].decode()}?q={forms_of(STEM)['an address'].decode()}", {}),
}  # fmt: skip
ECHOES = (
    "400",
    "429",
    "500",
    "error behind 200",
    "no JSON",
    "no usage",
    "types that are none",
    "no HTTP",
    "cut",
    "error event",
)


@pytest.fixture
def echo():
    with EchoingProvider() as provider:
        yield provider


@pytest.fixture
def company(tmp_path, monkeypatch, echo):
    """A company with every debugging switch on, whose gateway breaks where a header says so."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(BREAKING)
    monkeypatch.setenv("PYTHONPATH", f"{hooks}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep))
    for name in ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONFAULTHANDLER", "TOKENROLL_DEBUG"):
        monkeypatch.setenv(name, "1")
    monkeypatch.chdir(hooks)  # where a core file would go
    deployments = "".join(
        f'\n[deployments.echo-{dialect}]\ndialect = "{dialect}"\nbase_url = "http://127.0.0.1:{echo.port}"\n'
        f'api_key_file = "{tmp_path}/home/provider-key"\nmodels = ["{model}"]\n'
        for dialect, model in (("openai", ECHO_OPENAI), ("anthropic", ECHO_ANTHROPIC))
    )
    with Company(tmp_path / "home", config=deployments) as running:
        running.hire(
            "Ada", terms={"thrift": {
                "coalesce": True, "break_loops": 100, "cache_marking": True, "cache_key": True, "cap_hints": True}}
        )  # fmt: skip  # requests are compared, marked and keyed, answers shared
        running.hire("Bo", 1_000)
        yield running


def told(company: Company, search: Search) -> None:
    """What everybody is shown and every export, searched."""
    for path, who in (("/metrics", ""), ("/me/wallet", "Ada"), ("/v1/models", "Ada"), ("/healthz", "")):
        search.look(path, json.dumps(company.get(path, who)[1]).encode())
    calls = company.calls("Ada")
    assert len(calls) > 30
    search.look("call show", json.dumps(company.tokenroll("call", "show", calls[0]["call"], "--json")).encode())
    effects = company.tokenroll("thrift", "report", "--json")
    search.look("thrift report", json.dumps(effects).encode())
    assert {one["mechanism"] for one in effects["effects"]} >= {"cache marking", "cache key"}
    for call in calls:
        search.look("calls", json.dumps(call, default=str).encode())
        search.look("/me/calls", json.dumps(company.get(f"/me/calls/{call['call']}", "Ada")[1]).encode())
    for language in ("hledger", "beancount"):
        to = company.home / f"journal.{language}"
        ran(company, "journal", "export", "--format", language, "--output", str(to))


@pytest.mark.timeout(300)
def test_no_word_of_any_call_is_anywhere(tmp_path, company, echo):
    ada, bo = company.keys["Ada"], company.keys["Bo"]
    client = {"x-note": STEM.replace("é", "e"), "x-tokenroll-tags": f"{KEPT}-tag", "x-sim-chunk-tokens": "99"}
    for name, model in (("file-words", "gpt-4o-mini"), ("file-bad-words", word("model"))):
        form = {"content-type": "multipart/form-data; boundary=b", "x-sim-name": name}
        answer = sent(company.port, "/v1/files", ada, stored(chat(model=model)), form)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
    for number, (name, (path, body)) in enumerate(CALLS.items()):
        named = {**client, "x-tokenroll-call-id": f"{KEPT}-{number}"}
        answer = sent(company.port, path, ada, json.dumps(body, ensure_ascii=number % 2 == 0).encode(), named)
        assert answer.startswith(b"HTTP/1.1 200 "), (name, answer)
        if "the word" in name or "the same" in name:
            assert b"QvKw7Lm3T" in answer, (name, answer)
    for name, (path, body) in REFUSED.items():
        answer = sent(company.port, path, ada, json.dumps(body).encode())
        assert answer.startswith(b"HTTP/1.1 4"), (name, answer)
    for path, body in list(CALLS.values())[:1]:
        assert sent(company.port, path, bo, json.dumps(body).encode()).startswith(b"HTTP/1.1 429 ")
        assert sent(company.port, path, word("key"), json.dumps(body).encode()).startswith(b"HTTP/1.1 40")
        assert sent(company.port, path, ada, json.dumps(body).encode()[:-9] + b"}").startswith(b"HTTP/1.1 400 ")
    for how in ECHOES:
        for path, body in (
            ("/v1/chat/completions", chat(model=ECHO_OPENAI)), ("/v1/responses", responses(model=ECHO_OPENAI)),
            ("/v1/messages", messages(model=ECHO_ANTHROPIC)),
        ):  # fmt: skip
            body["stream"] = how in {"cut", "error event"}
            assert sent(company.port, path, ada, json.dumps(body).encode(), {"x-echo": how}), (how, path)
    broken = calling(company, chat(), ada, {"x-break": "now"})
    company.until(lambda: "RuntimeError: broken on purpose" in company.log("gateway"), "the gateway's breaking")
    ending_in_mid_call(company, echo, ada)
    broken.join(60)
    assert "Fatal Python error: Aborted" in company.log("gateway")
    search, kept = Search(), Search(KEPT)
    told(company, search)
    for one in (search, kept):
        one.look_in(tmp_path)
    assert search.found == []
    assert any(place.startswith("home/ledger.db: names.text") for place in kept.found), kept.found
    assert search.bytes_seen > 1_000_000


def ran(company: Company, *arguments: str) -> None:
    """A command of ours that says no JSON."""
    environment = {**os.environ, "TOKENROLL_HOME": str(company.home)}
    subprocess.run(
        [sys.executable, "-m", "tokenroll", *arguments], env=environment, check=True, timeout=100, capture_output=True
    )


def calling(company: Company, body: dict[str, object], key: str, headers: dict[str, str]) -> threading.Thread:
    """A call under way, which nobody waits for."""
    raw = json.dumps(body).encode()
    call = threading.Thread(target=sent, args=(company.port, "/v1/chat/completions", key, raw, headers))
    call.start()
    return call


def ending_in_mid_call(company: Company, echo: EchoingProvider, key: str) -> None:
    """The gateway dies with a prompt and half an answer in its memory: of a signal that leaves a core file, and of one that does not."""
    for number in (signal.SIGABRT, signal.SIGKILL):
        echo.stalled.clear()
        call = calling(company, chat(model=ECHO_OPENAI, stream=True), key, {"x-echo": "stall"})
        assert echo.stalled.wait(30)
        company.end("gateway", number)
        call.join(60)
        assert not call.is_alive()
        company.start_gateway()


def test_no_process_that_sees_words_leaves_a_core_file(company):
    for role, process in company._processes.items():
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"], role


@pytest.mark.parametrize("spelling", forms_of(STEM))
def test_the_search_finds_a_word_in_every_spelling(tmp_path, spelling):
    hidden = b"abc" + forms_of("before " + STEM + " behind")[spelling] + b"def"
    (tmp_path / "some.file").write_bytes(hidden)
    search = Search()
    search.look_in(tmp_path)
    assert search.found
