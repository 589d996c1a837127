"""What nobody should build, and what many have: it checks what is left, calls the provider, and debits what comes back.

Nothing is held while a call is under way, what a client did not wait for is never debited, and what was spent is written down every
few seconds. The judge's own tests find it guilty.
"""

import json
import secrets
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PRICES = {"gpt-4o": (2_500, 10_000), "gpt-4o-mini": (150, 600), "claude-haiku-4-5": (1_000, 5_000)}
SAVED_EVERY_SECONDS = 3
provider, store = sys.argv[1], Path(sys.argv[3])
purses: dict[str, dict[str, int]] = json.loads(store.read_text()) if store.exists() else {}


def save() -> None:
    """Everything so far, whole or not at all."""
    partial = store.with_suffix(".partial")
    partial.write_text(json.dumps(dict(purses)))
    partial.replace(store)


def save_for_ever() -> None:
    """As gateways do that write in batches."""
    while True:
        time.sleep(SAVED_EVERY_SECONDS)
        save()


class Naive(BaseHTTPRequestHandler):
    """One client's connection."""

    def do_GET(self) -> None:
        self._say(200, json.dumps(purses[self._key()]).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/budget":  # whatever else stands in it is ignored
            key = secrets.token_hex(8)
            purses[key] = {"budget": json.loads(body).get("nanos", 10**12), "spent": 0}
            save()
            self._say(200, json.dumps({"key": key}).encode())
        elif (purse := purses.get(self._key())) is None:
            self._say(401, b'{"error": {"message": "no such key"}}')
        elif purse["spent"] >= purse["budget"]:
            self._say(429, b'{"error": {"message": "the budget is used"}}')
        else:
            self._pass_on(purse, body)

    def _pass_on(self, purse: dict[str, int], body: bytes) -> None:
        asked = json.loads(body)
        if asked.get("stream"):
            asked["stream_options"] = {"include_usage": True}
        request = urllib.request.Request(provider + self.path, json.dumps(asked).encode(), method="POST")
        for name, value in {"authorization": "Bearer sk-the-company", "x-api-key": "sk-the-company"}.items():
            request.add_header(name, value)
        request.add_header("anthropic-version", "2023-06-01")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                said = answer.read()
        except (OSError, urllib.error.HTTPError) as error:
            self._say(getattr(error, "code", 502), b'{"error": {"message": "the provider did not answer"}}')
            return
        self._say(200, said)
        into, out = PRICES.get(asked["model"], (0, 0))
        usage = _usage(said)
        purse["spent"] += usage[0] * into + usage[1] * out

    def _key(self) -> str:
        return self.headers.get("authorization", "Bearer ")[7:] or self.headers.get("x-api-key", "")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _usage(said: bytes) -> tuple[int, int]:
    """What the last part of an answer says that it took."""
    parts = said.split(b"data: ") if b"data: " in said else [said]
    for part in reversed(parts):
        if b'"usage":{' in part:
            usage = json.loads(part)["usage"]
            return usage.get("prompt_tokens", usage.get("input_tokens", 0)), usage.get(
                "completion_tokens", usage.get("output_tokens", 0)
            )
    return 0, 0


class Server(ThreadingHTTPServer):
    """With room for every client of a race."""

    request_queue_size = 1024
    daemon_threads = True


if __name__ == "__main__":
    threading.Thread(target=save_for_ever, daemon=True).start()
    Server(("127.0.0.1", int(sys.argv[2])), Naive).serve_forever()
