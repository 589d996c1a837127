"""Asking a provider with the company's key and without a client: for what is found out later. Blocking, for threads."""

import http.client
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from tokenroll.gateway.deployment import Target
from tokenroll.model.limits import ENQUIRY_ANSWER_SECONDS_MAX, ENQUIRY_LINE_BYTES_MAX


class Asker:
    """Reads what providers keep, each deployment by its name."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets: Mapping[str, Target] = {target.name: target for target in targets}

    @contextmanager
    def __call__(self, deployment: str, path: str) -> Iterator[tuple[int, Iterable[bytes]]]:
        """Status and lines of the answer to a GET. Raises OSError, also for a deployment that is not configured any more."""
        target = self._targets.get(deployment)
        if target is None:
            raise OSError(f"deployment {deployment!r} is not in the configuration any more")
        with socket.create_connection((target.host, target.port), ENQUIRY_ANSWER_SECONDS_MAX) as plain:
            connection = plain if target.tls is None else target.tls.wrap_socket(plain, server_hostname=target.host)
            with connection:
                connection.sendall(
                    b"GET %b%b%b%bconnection: close\r\n\r\n"
                    % (target.base_path, path.encode("ascii"), target.preamble, target.version_line)
                )
                answer = http.client.HTTPResponse(connection)
                try:
                    answer.begin()
                    yield answer.status, _lines(answer)
                except http.client.HTTPException as error:
                    raise OSError(f"{deployment} does not answer in HTTP: {error}") from error
                finally:
                    answer.close()


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Its lines, with their ends, none longer than is read at once; a longer one comes in parts."""
    while line := answer.readline(ENQUIRY_LINE_BYTES_MAX):
        yield line
