"""A batch whose requests stand in a file, on real sockets: the file is read before anything is held, and whatever goes wrong with it holds nothing.

The gateway's own request has no `x-case`, the client's has one: by that the two are told apart at the provider. `LINE` asks for at most
10 output tokens; toy costs 10,000 nanos for one, and 4,000 for the dearest input token.
"""

import json

import pytest

from tests.e2e.rig import Exchange, Rig, RigOptions, ScriptedProvider, raw_call, toy_card
from tokenroll.gateway.deployment import Deployment

BODY = b'{"model":"toy","max_tokens":10,"messages":[{"content":"Hi"}]}'  # 61 bytes
LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + BODY + b"}\n"
ASKED = b'{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}'
RECEIPT = b'{"id":"batch_1","object":"batch","status":"validating"}'
BOUND_NANOS = (61 + 16) * 4_000 + 10 * 10_000
FILE, CALL = b"", b"a"


def create(body: bytes = ASKED, case: bytes = CALL, *, keep: bool = False) -> bytes:
    close = b"" if keep else b"Connection: close\r\n"
    return (
        b"POST /v1/batches HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer tr-ada\r\nx-case: " + case + b"\r\n" + close
        + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


def answered(body: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + extra + b"content-length: %d\r\n\r\n" % len(body) + body


def options(**more) -> RigOptions:
    return RigOptions(cards=[toy_card(tiers=("standard", "batch"))], **more)


def ask(rig: Rig, request: bytes) -> tuple[int, bytes]:
    """Status and body of the one answer."""
    head, _, body = rig.call(raw_call(rig.port, [request])).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def code(body: bytes) -> str:
    said: str = json.loads(body)["error"]["code"]
    return said


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path, options()) as rig:
        rig.provider.scripts[CALL] = [Exchange([answered(RECEIPT)])]
        yield rig
        assert rig.gateway.file_readings == 0
        assert rig.spending.open_holds == {}


@pytest.mark.parametrize(
    "parts",
    [
        [answered(LINE)],
        [answered(LINE)[:-30], LINE[-30:]],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (len(LINE), LINE), b"0\r\n\r\n"],
    ],
    ids=["whole", "in two", "in chunks"],
)
def test_a_file_bounds_its_batch_however_it_is_framed(rig, parts):
    rig.provider.scripts[FILE] = [Exchange(parts)]
    assert ask(rig, create()) == (200, RECEIPT)
    (ended,) = rig.ended()[1]
    assert (ended.end, ended.finish, ended.bound_nanos) == ("suspense", "goes on", BOUND_NANOS)
    (asked,) = rig.provider.received[FILE]
    assert asked.startswith(b"GET /v1/files/file-1/content HTTP/1.1\r\n")
    assert b"authorization: Bearer sk-company\r\n" in asked
    assert b"tr-ada" not in asked
    (sent,) = rig.provider.received[CALL]
    assert sent.startswith(b"POST /v1/batches HTTP/1.1\r\n")
    assert sent.endswith(b"\r\n\r\n" + ASKED)


def test_a_file_that_ends_with_its_connection_is_whole(rig):
    rig.provider.scripts[FILE] = [Exchange([b"HTTP/1.1 200 OK\r\n\r\n", LINE], close="fin")]
    assert ask(rig, create()) == (200, RECEIPT)


@pytest.mark.parametrize(
    ("exchange", "status", "said"),
    [
        (Exchange([answered(b"{}", b"404 Not Found")]), 404, "file_not_found"),
        (Exchange([answered(b"{}", b"500 Broken")]), 503, "file_not_read"),
        (Exchange([answered(b"{}", b"429 Slow down")]), 503, "file_not_read"),
        (Exchange([answered(LINE)[:-5]], close="fin"), 502, "bad_gateway"),
        (Exchange([b"nonsense\r\n\r\n"]), 502, "bad_gateway"),
        (Exchange([], close="rst"), 502, "bad_gateway"),
        (Exchange([answered(LINE, extra=b"content-encoding: gzip\r\n")]), 502, "bad_gateway"),
        (Exchange([answered(LINE + b"{\n")]), 400, "invalid_json"),
        (Exchange([answered(LINE)[:-5] + b"\n\n\n\n\n"]), 400, "invalid_json"),
    ],
    ids=[
        "not there",
        "broken",
        "limited",
        "cut",
        "no HTTP",
        "reset",
        "encoded",
        "a bad line",
        "a bad line in its middle",
    ],
)
def test_what_goes_wrong_with_the_file_is_told_and_holds_nothing(rig, exchange, status, said):
    rig.provider.scripts[FILE] = [exchange]
    got, body = ask(rig, create())
    assert (got, code(body)) == (status, said)
    assert CALL not in rig.provider.received
    assert rig.ended() == {}


def test_a_connection_that_was_closed_while_it_was_idle_is_dialled_again(rig):
    rig.provider.scripts[FILE] = [
        Exchange([answered(LINE)]), Exchange(close="fin"), Exchange([answered(LINE)]),
    ]  # fmt: skip
    assert ask(rig, create()) == (200, RECEIPT)
    assert ask(rig, create()) == (200, RECEIPT)
    assert len(rig.provider.received[FILE]) == 3


def test_a_file_that_does_not_come_is_not_waited_for_for_ever(tmp_path):
    with Rig(tmp_path, options(timeouts={"first_byte_seconds": 0.2})) as rig:
        rig.provider.scripts[FILE] = [Exchange()]
        got, body = ask(rig, create())
        assert (got, code(body)) == (504, "provider_timeout")
        assert rig.gateway.file_readings == 0


def test_more_files_at_once_than_a_worker_reads_are_refused_for_a_moment(rig):
    rig.provider.scripts[FILE] = [Exchange([answered(LINE)])]
    rig.gateway.file_readings = 16
    got, body = ask(rig, create())
    assert (got, code(body)) == (503, "overloaded")
    rig.gateway.file_readings = 0
    assert ask(rig, create())[0] == 200


def test_each_batch_of_one_connection_reads_its_own_file(rig):
    """Heads that repeat are not read again, and a head of a batch is none of those."""
    two = ASKED.replace(b"file-1", b"file-2")
    rig.provider.scripts[FILE] = [Exchange([answered(LINE)]), Exchange([answered(LINE * 2)])]
    rig.call(raw_call(rig.port, [create(keep=True), create(two)]))
    paths = [one.split()[1] for one in rig.provider.received[FILE]]
    assert paths == [b"/v1/files/file-1/content", b"/v1/files/file-2/content"]
    assert [one.bound_nanos for one in rig.ended()[1]] == [BOUND_NANOS, 2 * BOUND_NANOS]


# ---- several deployments -------------------------------------------------------------------------------------------------------


def deployments(**second):
    def made(urls: list[str]) -> list[Deployment]:
        return [
            Deployment(name=name, dialect="openai", base_url=url, api_key="k", provider="openai", **more)
            for name, url, more in zip(("first", "second"), urls, ({}, second), strict=True)
        ]

    return made


def test_a_batch_runs_where_its_file_lies(tmp_path):
    other = ScriptedProvider()
    with Rig(tmp_path, options(others=[other], made=deployments())) as rig:
        rig.provider.scripts[FILE] = [Exchange([answered(b'{"error":"not here"}\n', b"404 Not Found")])]
        other.scripts = {FILE: [Exchange([answered(LINE)])], CALL: [Exchange([answered(RECEIPT)])]}
        for _ in range(3):
            assert ask(rig, create()) == (200, RECEIPT)
        assert CALL not in rig.provider.received
        assert len(other.received[CALL]) == 3


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"models": ("another",)}, "lies at the deployment 'second', which does not serve the model 'toy'"),
        ({"aliases": {"toy": "toy-2026"}, "models": ("toy",)}, "knows the model 'toy' as 'toy-2026'"),
    ],
)
def test_a_file_that_lies_where_its_model_is_not_is_refused_by_name(tmp_path, second, says):
    other = ScriptedProvider()
    with Rig(tmp_path, options(others=[other], made=deployments(**second))) as rig:
        rig.provider.scripts[FILE] = [Exchange([answered(b"{}", b"404 Not Found")])]
        other.scripts[FILE] = [Exchange([answered(LINE)])]
        got, body = ask(rig, create())
        assert (got, code(body)) == (400, "file_elsewhere")
        assert says in json.loads(body)["error"]["message"]
        assert rig.ended() == {}


def test_where_nobody_has_files_it_reaches_nobody(tmp_path):
    with Rig(tmp_path, options(deployments=[])) as rig:
        got, body = ask(rig, create())
        assert (got, code(body)) == (404, "not_found")


def test_a_provider_that_is_not_there_is_told(tmp_path):
    with Rig(tmp_path / "gone") as gone:
        port = gone.provider.port
    one = Deployment(name="a", dialect="openai", base_url=f"http://localhost:{port}", api_key="k")
    with Rig(tmp_path / "here", options(deployments=[one])) as rig:
        got, body = ask(rig, create())
        assert (got, code(body)) == (502, "provider_unreachable")
        assert rig.gateway.file_readings == 0
