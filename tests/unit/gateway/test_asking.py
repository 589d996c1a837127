"""What a provider is asked without a client: the bytes of the request, and what comes of its answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tokenroll.gateway.answers import FAMILIES
from tokenroll.gateway.asking import Asker
from tokenroll.gateway.deployment import Deployment, Target

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nfirst\nsecond"


@contextmanager
def provider(heard: list[bytes]) -> Iterator[int]:
    """A provider of one request: what it was asked, byte by byte, goes to `heard`. Its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += connection.recv(4096)
                heard.append(request)
                connection.sendall(ANSWER)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def asked(dialect: str, path: str) -> tuple[bytes, int, list[bytes]]:
    heard: list[bytes] = []
    with provider(heard) as port:
        deployment = Deployment(
            name="one", dialect=dialect, base_url=f"http://127.0.0.1:{port}", api_key="sk-company", provider=dialect
        )
        with Asker([Target(deployment, FAMILIES[dialect])])("one", path) as (status, lines):
            told = list(lines)
    return heard[0].replace(b"%d" % port, b"PORT"), status, told


def test_anthropic_is_told_which_version_is_spoken():
    request, status, lines = asked("anthropic", "/v1/messages/batches/msgbatch_1/results")
    assert request == (
        b"GET /v1/messages/batches/msgbatch_1/results HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\nx-api-key: sk-company\r\n"
        b"accept-encoding: identity\r\nanthropic-version: 2023-06-01\r\nconnection: close\r\n\r\n"
    )
    assert status == 200
    assert lines == [b"first\n", b"second"]


def test_openai_has_no_versions():
    request, _, _ = asked("openai", "/v1/batches/batch_1")
    assert request == (
        b"GET /v1/batches/batch_1 HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\nauthorization: Bearer sk-company\r\n"
        b"accept-encoding: identity\r\nconnection: close\r\n\r\n"
    )


def test_a_deployment_that_is_gone_is_an_error_that_says_so():
    with pytest.raises(OSError, match="'one' is not in the configuration any more"), Asker([])("one", "/v1/batches/b"):
        pass
