"""What clients know from a provider and is not served is refused by its name, in the words of the door, and reaches nobody."""

import json
import re
from pathlib import Path

import anthropic
import openai
import pytest

from tests.e2e.rig import Rig, raw_call

VERSION = b"anthropic-version: 2023-06-01\r\n"
BETA = b"anthropic-beta: files-api-2025-04-14\r\n"
FORM = b"content-type: multipart/form-data; boundary=b\r\n"
SECRET = b"Ada's file"


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("unserved")) as rig:
        yield rig
        assert rig.ended() == {}
        assert rig.provider.received == {}


def ask(rig, line: bytes, headers: bytes = b"", body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer; the next request on its connection is answered, so it was kept whole."""
    length = b"content-length: %d\r\n" % len(body) if body else b""
    asked = line + b" HTTP/1.1\r\nHost: gw\r\nx-api-key: tr-ada\r\nx-case: a\r\n" + headers + length + b"\r\n" + body
    follows = b"GET /healthz HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
    answers = rig.call(raw_call(rig.port, [asked + follows]))
    head, _, rest = answers.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    told = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    size = 0 if line.startswith(b"HEAD ") else int(told["content-length"])
    assert rest[size:].startswith(b"HTTP/1.1 200 OK\r\n")
    return int(first.split()[1]), told, rest[:size]


@pytest.mark.parametrize("says", [VERSION, BETA, VERSION + BETA], ids=["its version", "a beta", "both"])
@pytest.mark.parametrize("path", ["/v1/files", "/v1/files/file_1", "/v1/files/file_1/content", "/v1/files?beta=true"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "HEAD"])
def test_anthropics_files_do_not_go_to_openai(rig, method, path, says):
    body = SECRET if method == "POST" else b""
    status, _, answer = ask(rig, f"{method} {path}".encode(), says + FORM, body)
    assert status == 404
    if method != "HEAD":
        error = json.loads(answer)
        assert (error["type"], error["error"]["type"]) == ("error", "not_found_error")
        named = f"Anthropic's Files API is not served here ({method} {path.partition('?')[0]})"
        assert error["error"]["message"].startswith(named)


def first_segments(package: Path, before: str) -> set[str]:
    """What the paths of an official client begin with."""
    found = re.compile(f'"{before}([a-z_]+)[/"?]')
    return {name for file in (package / "resources").rglob("*.py") for name in found.findall(file.read_text())}


def test_files_and_models_are_all_that_both_dialects_have_and_that_is_served(rig):
    """Models are answered here, in either shape; the rest of what both have is served to nobody."""
    both = first_segments(Path(anthropic.__file__).parent, "/v1/") & first_segments(Path(openai.__file__).parent, "/")
    assert both == {"agents", "files", "models", "skills", "vaults"}
    for name in sorted(both - {"files", "models"}):
        for method in ("GET", "POST"):
            line = f"{method} /v1/{name}".encode()
            status, _, answer = ask(rig, line, VERSION, b"{}" if method == "POST" else b"")
            assert (status, json.loads(answer)["error"]["type"]) == (404, "not_found_error")
            assert ask(rig, line)[0] == 404
    listed = [json.loads(ask(rig, b"GET /v1/models", says)[2]) for says in (VERSION, BETA, b"")]
    assert ["has_more" in one for one in listed] == [True, True, False]


SOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
REALTIME = ("Realtime is not served here ({})", "WebSocket", "POST /v1/responses", "/v1/audio/speech")
ONE_CALL = ("WebSocket is not spoken here ({})", "over HTTP", "`stream: true`")
COMPACTION = ("Compaction is not served here ({})", "`previous_response_id`")
UNKNOWN = ("There is no {path} here. WebSocket is not spoken here",)


@pytest.mark.parametrize(
    ("line", "headers", "status", "said"),
    [
        ("GET /v1/realtime?model=toy", SOCKET, 404, REALTIME),
        ("GET /v1/realtime?model=toy", b"", 404, REALTIME),
        ("GET /v1/realtime?model=toy", VERSION + SOCKET, 404, REALTIME),
        ("GET /openai/v1/realtime?model=toy", SOCKET, 404, REALTIME),
        ("POST /v1/realtime/client_secrets", b"", 404, REALTIME),
        ("POST /v1/realtime/sessions", b"", 404, REALTIME),
        ("POST /v1/realtime/transcription_sessions", b"", 404, REALTIME),
        ("POST /v1/realtime/calls", b"", 404, REALTIME),
        ("POST /v1/realtime/calls/rtc_1/accept", b"", 404, REALTIME),
        ("GET /v1/responses", SOCKET, 426, (*ONE_CALL, "POST /v1/responses")),
        ("GET /v1/chat/completions", SOCKET, 426, (*ONE_CALL, "POST /v1/chat/completions")),
        ("GET /v1/messages", SOCKET, 426, (*ONE_CALL, "POST /v1/messages")),
        ("GET /v1/responses", SOCKET.replace(b"websocket", b"h2c, WebSocket"), 426, ONE_CALL),
        ("GET /v1/elsewhere", SOCKET, 404, UNKNOWN),
        ("GET /elsewhere", SOCKET, 404, UNKNOWN),
        ("POST /v1/responses/compact", b"", 404, COMPACTION),
        ("GET /v1/responses/compact", b"", 404, COMPACTION),
    ],
)
def test_it_refuses_by_name_what_it_does_not_serve(rig, line, headers, status, said):
    got, told, answer = ask(rig, line.encode(), headers, b'{"model":"toy"}' if line.startswith("POST") else b"")
    assert got == status
    body = json.loads(answer)
    path = line.split()[1].partition("?")[0]
    if not path.startswith("/v1/"):
        message = body["detail"]
    elif path == "/v1/messages" or VERSION in headers:
        assert (body["type"], body["error"]["type"]) == (
            "error",
            "not_found_error" if status == 404 else "invalid_request_error",
        )
        message = body["error"]["message"]
    else:
        assert body["error"]["type"] == "invalid_request_error"
        message = body["error"]["message"]
    for one in said:
        assert one.format(line.partition("?")[0], path=path) in message
    assert told.get("upgrade") == ("HTTP/1.1" if status == 426 else None)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        ("GET /v1/models", SOCKET, 200),
        ("GET /healthz", SOCKET, 200),
        ("GET /v1/responses", b"Upgrade: websocket\r\n", 405),
        ("GET /v1/responses", SOCKET.replace(b"websocket", b"h2c"), 405),
        ("PUT /v1/responses", SOCKET, 405),
    ],
    ids=["a list", "health", "no option of the connection", "another protocol", "another method"],
)
def test_an_offer_of_another_protocol_is_passed_over_where_it_opens_no_socket(rig, line, headers, status):
    assert ask(rig, line.encode(), headers)[0] == status


def test_a_greeting_by_head_is_answered_without_a_key_and_without_a_body(rig):
    """Claude Code opens with it."""
    got = rig.call(raw_call(rig.port, [b"HEAD / HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"]))
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""
