"""Free requests on real sockets: they go on as they came, come back as they were answered, and hold and record nothing."""

import json

import pytest

from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, key_terms, raw_call, wallet_terms
from tokenroll.gateway.deployment import Deployment

COUNT = b'{"messages":[],"model":"toy","extra":1}'
KNOWN = b'{"id":"resp_1","object":"response"}'
UNKNOWN = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'


def count(case: bytes = b"a", body: bytes = COUNT, path: bytes = b"/v1/messages/count_tokens?beta=true") -> bytes:
    return (
        b"POST " + path + b" HTTP/1.1\r\nHost: gw\r\nx-api-key: tr-ada\r\nanthropic-version: 2023-06-01\r\nx-case: " + case
        + b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


def fetch(case: bytes = b"a", *, method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: 0\r\n" if method != b"GET" else b""
    return (
        method + b" /v1/responses/resp_1/cancel HTTP/" + version + b"\r\nHost: gw\r\nAuthorization: Bearer tr-ada\r\nx-case: "
        + case + b"\r\n" + length + b"Connection: close\r\n\r\n"
    )  # fmt: skip


def answered(body: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\nrequest-id: r1\r\n" + extra + b"content-length: %d\r\n\r\n" % len(body) + body


def ask(rig: Rig, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the one answer."""
    head, _, body = rig.call(raw_call(rig.port, [request])).partition(b"\r\n\r\n")
    return head, body


class TestAnErrand:
    @pytest.fixture
    def rig(self, tmp_path):
        with Rig(tmp_path) as rig:
            yield rig
            assert rig.ended() == {}
            assert rig.spending.open_holds == {}

    def test_goes_on_as_it_came_with_the_companys_key(self, rig):
        rig.provider.scripts[b"a"] = [Exchange([answered(b'{"input_tokens":3}')])]
        head, body = ask(rig, count())
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b'{"input_tokens":3}')
        assert b"request-id: r1" in head
        (sent,) = rig.provider.received[b"a"]
        line, _, rest = sent.partition(b"\r\n")
        assert line == b"POST /v1/messages/count_tokens?beta=true HTTP/1.1"
        assert b"x-api-key: sk-ant-company\r\n" in rest
        assert b"tr-ada" not in rest
        assert rest.endswith(b"\r\n\r\n" + COUNT)

    @pytest.mark.parametrize(
        ("parts", "framing"),
        [
            ([answered(KNOWN)], b"content-length"),
            ([answered(KNOWN)[:-9], KNOWN[-9:]], b"content-length"),
            (
                [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (len(KNOWN), KNOWN), b"0\r\n\r\n"],
                b"transfer-encoding: chunked",
            ),
            ([answered(KNOWN, extra=b"content-type: text/event-stream\r\n")], b"content-length"),
        ],
    )  # fmt: skip
    def test_comes_back_however_it_is_framed(self, rig, parts, framing):
        rig.provider.scripts[b"a"] = [Exchange(parts)]
        head, body = ask(rig, count())
        assert framing in head
        assert KNOWN in body

    def test_comes_back_without_an_end_of_its_own_where_the_provider_names_none(self, rig):
        rig.provider.scripts[b"a"] = [Exchange([b"HTTP/1.1 200 OK\r\n\r\n", KNOWN], close="fin")]
        head, body = ask(rig, count())
        assert b"transfer-encoding: chunked" in head
        assert body == b"%x\r\n%b\r\n0\r\n\r\n" % (len(KNOWN), KNOWN)

    def test_that_is_refused_by_the_provider_says_what_the_provider_said(self, rig):
        rig.provider.scripts[b"a"] = [Exchange([answered(UNKNOWN, b"429 Slow down", b"retry-after: 7\r\n")])]
        head, body = ask(rig, count())
        assert head.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 7" in head
        assert body == UNKNOWN

    def test_is_sent_again_when_the_connection_was_closed_while_it_was_idle(self, rig):
        rig.provider.scripts[b"a"] = [
            Exchange([answered(KNOWN)]), Exchange(close="fin"), Exchange([answered(KNOWN)]),
        ]  # fmt: skip
        assert ask(rig, count())[1] == KNOWN
        assert ask(rig, count())[1] == KNOWN
        assert len(rig.provider.received[b"a"]) == 3

    @pytest.mark.parametrize("cut", [[], [b"HTTP/1.1 200"], [b"HTTP/2 200 OK\r\n\r\n"]])
    def test_that_gets_no_answer_is_a_bad_gateway(self, rig, cut):
        rig.provider.scripts[b"a"] = [Exchange(cut, close="fin")]
        head, body = ask(rig, count())
        assert head.startswith(b"HTTP/1.1 502 ")
        assert json.loads(body)["error"]["type"] == "api_error"

    def test_that_is_cut_in_its_answer_ends_early(self, rig):
        rig.provider.scripts[b"a"] = [Exchange([answered(KNOWN)[:-3]], close="fin")]
        _, body = ask(rig, count())
        assert body == KNOWN[:-3]

    @pytest.mark.parametrize(
        ("body", "says"),
        [(b"[]", "JSON object"), (b'{"model":1}', "'model'"), (b'{"model":"a","model":"b"}', "more than once"), (b"{", "JSON")],
    )  # fmt: skip
    def test_that_is_malformed_reaches_nobody(self, rig, body, says):
        head, answer = ask(rig, count(body=body))
        assert head.startswith(b"HTTP/1.1 400 ")
        assert says in json.loads(answer)["error"]["message"]
        assert rig.provider.received == {}


def test_an_alias_is_counted_as_the_model_it_stands_for(tmp_path):
    with Rig(tmp_path / "provider") as other:
        other.provider.scripts[b"a"] = [Exchange([answered(KNOWN)])]
        base = f"http://localhost:{other.provider.port}"
        one = Deployment(
            name="a", dialect="anthropic", base_url=base, api_key="k", models=("toy",), aliases={"fast": "toy"}
        )
        with Rig(tmp_path / "gateway", RigOptions(deployments=[one])) as rig:
            assert ask(rig, count(body=b'{"model":"fast","messages":[]}'))[1] == KNOWN
            assert other.provider.received[b"a"][0].endswith(b'{"model":"toy","messages":[]}')
            head, answer = ask(rig, count(body=b'{"model":"slow","messages":[]}'))
            assert head.startswith(b"HTTP/1.1 404 ")
            assert "'slow'" in json.loads(answer)["error"]["message"]


def vertex(base: str, **facts) -> Deployment:
    """One that serves `toy`, and has nothing beside the endpoints."""
    return Deployment(
        name="cloud", dialect="anthropic", base_url=base, flavour="vertex", api_key="", token_command=("true",),
        models=("toy",), **facts,
    )  # fmt: skip


@pytest.mark.parametrize("others", [("other",), ()], ids=["which serves another", "which serves all that nobody names"])
def test_a_text_is_counted_by_nobody_but_who_serves_its_model(tmp_path, others):
    def made(bases: list[str]) -> list[Deployment]:
        direct = Deployment(name="direct", dialect="anthropic", base_url=bases[0], api_key="sk-direct", models=others)
        return [vertex(bases[0]), direct]

    with Rig(tmp_path, RigOptions(made=made)) as rig:
        head, body = ask(rig, count())
        assert head.startswith(b"HTTP/1.1 404 ")
        error = json.loads(body)["error"]
        assert error["type"] == "not_found_error"
        for said in ("/v1/messages/count_tokens", "'toy'", "(cloud)", "nobody else is sent this text", "make the call"):
            assert said in error["message"]
        assert rig.provider.received == {}


def test_a_text_is_counted_by_the_one_of_its_models_deployments_that_counts(tmp_path):
    def made(bases: list[str]) -> list[Deployment]:
        direct = Deployment(
            name="direct", dialect="anthropic", base_url=bases[0], api_key="sk-direct", models=("toy",), priority=2
        )
        return [vertex(bases[0]), direct]  # fmt: skip

    with Rig(tmp_path, RigOptions(made=made)) as rig:
        rig.provider.scripts[b"a"] = [Exchange([answered(KNOWN)])]
        assert ask(rig, count())[1] == KNOWN
        assert b"x-api-key: sk-direct\r\n" in rig.provider.received[b"a"][0]


@pytest.mark.parametrize(
    ("models", "status", "requests"), [(("toy",), b"400", 0), ((), b"200", 1)], ids=["serves one model", "serves all"]
)
def test_a_text_for_no_model_goes_to_nobody_but_who_serves_all(tmp_path, models, status, requests):
    def made(bases: list[str]) -> list[Deployment]:
        return [Deployment(name="direct", dialect="anthropic", base_url=bases[0], api_key="sk", models=models)]

    with Rig(tmp_path, RigOptions(made=made)) as rig:
        rig.provider.scripts[b"a"] = [Exchange([answered(KNOWN)])]
        head, body = ask(rig, count(body=b'{"messages":[]}'))
        assert head.split()[1] == status
        assert len(rig.provider.received.get(b"a", [])) == requests
        assert requests or "name the model" in json.loads(body)["error"]["message"]


def test_where_nobody_speaks_its_dialect_it_reaches_nobody(tmp_path):
    with Rig(tmp_path, RigOptions(deployments=[])) as rig:
        assert ask(rig, fetch())[0].startswith(b"HTTP/1.1 404 ")


def test_a_stored_response_is_asked_of_each_provider_until_one_has_it(tmp_path):
    with Rig(tmp_path / "other") as other, Rig(tmp_path / "one") as probe:
        other.provider.scripts[b"a"] = [Exchange([answered(UNKNOWN, b"404 Not Found")])]
        probe.provider.scripts[b"a"] = [Exchange([answered(KNOWN)])]
        deployments = [
            Deployment(name=name, dialect="openai", base_url=f"http://localhost:{port}/v1", api_key="k")
            for name, port in (("first", other.provider.port), ("second", probe.provider.port))
        ]
        with Rig(tmp_path / "both", RigOptions(deployments=deployments)) as rig:
            assert ask(rig, fetch())[1] == KNOWN
            other.provider.scripts[b"a"] = [Exchange([answered(UNKNOWN, b"404 Not Found")])]
            probe.provider.scripts[b"a"] = [Exchange([answered(UNKNOWN, b"404 Not Found")])]
            head, body = ask(rig, fetch())
            assert (head.split()[1], body) == (b"404", UNKNOWN)


def test_nobody_answering_is_told_in_time(tmp_path):
    with Rig(tmp_path, RigOptions(timeouts={"first_byte_seconds": 0.2})) as rig:
        rig.provider.scripts[b"a"] = [Exchange()]
        head, body = ask(rig, count())
        assert head.startswith(b"HTTP/1.1 504 ")
        assert json.loads(body)["error"]["type"] in {"timeout_error", "api_error"}


def test_a_provider_that_is_not_there_is_told(tmp_path):
    with Rig(tmp_path / "gone") as gone:
        port = gone.provider.port
    deployments = [Deployment(name="a", dialect="openai", base_url=f"http://localhost:{port}", api_key="k")]
    with Rig(tmp_path / "here", RigOptions(deployments=deployments)) as rig:
        head, body = ask(rig, fetch())
        assert (head.split()[1], json.loads(body)["error"]["code"]) == (b"502", "provider_unreachable")


@pytest.mark.parametrize(("enforcement", "status"), [("enforce", b"403"), ("observe", b"200")])
def test_a_key_that_is_for_another_model_counts_none_where_plans_are_enforced(tmp_path, enforcement, status):
    options = RigOptions(
        wallets=[wallet_terms(1, CREDIT, enforcement=enforcement)], keys=[key_terms(1, 1, b"tr-ada", models=["other"])]
    )
    with Rig(tmp_path, options) as rig:
        rig.provider.scripts[b"a"] = [Exchange([answered(KNOWN)])]
        assert ask(rig, count())[0].split()[1] == status


LINKED = b'{"id":"msgbatch_1", "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results"}'
HERE = b'{"id":"msgbatch_1", "results_url": "/v1/messages/batches/msgbatch_1/results"}'


@pytest.mark.parametrize("parts", [[answered(LINKED)], [answered(LINKED)[:-30], LINKED[-30:]]])
def test_a_batch_says_that_its_results_are_here(tmp_path, parts):
    with Rig(tmp_path) as rig:
        rig.provider.scripts[b"a"] = [Exchange(parts)]
        head, body = ask(rig, count(path=b"/v1/messages/batches/msgbatch_1/cancel"))
        assert body == HERE
        assert b"content-length: %d" % len(HERE) in head


def test_a_batch_that_is_cut_is_a_bad_gateway(tmp_path):
    with Rig(tmp_path) as rig:
        rig.provider.scripts[b"a"] = [Exchange([answered(LINKED)[:-30]], close="fin")]
        assert ask(rig, count(path=b"/v1/messages/batches/msgbatch_1/cancel"))[0].startswith(b"HTTP/1.1 502 ")
