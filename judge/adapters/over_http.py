"""What gateways have in common whose administration is JSON over HTTP with a master key."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from judge.gateway import AdapterError, Gateway

MASTER_KEY = "sk-judge-master"


class OverHttp(Gateway):
    """A gateway that is administered so."""

    master_header: ClassVar[Mapping[str, str]]

    def asked(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer that must be a good one. Raises AdapterError."""
        status, body = self.tried(method, path, fields)
        if status not in {200, 201}:
            raise AdapterError(f"{method} {path} answered {status}: {body[:300]!r}")
        return json.loads(body)

    def tried(self, method: str, path: str, fields: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Status and body, whatever they are."""
        place = urlsplit(self.base_url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            body = json.dumps(fields).encode() if fields is not None else None
            connection.request(method, path, body, {**self.master_header, "content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        """Whether it is up."""
        return self.tried("GET", path)[0] == 200
