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
