"""Words that must never be kept, a way to find them wherever they could lie, and a provider that says back what it was asked."""

import base64
import json
import socket
import socketserver
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

STEM = "Zx9é/QvKw7Lm3T"
"""In every canary, and in nothing else: with a letter and a stroke that some spellings escape."""


def forms_of(stem: str) -> dict[str, bytes]:
    """Every spelling in which a text could lie in a file, by name."""
    raw = stem.encode()
    forms = {
        "as it is": raw,
        "JSON with escapes": json.dumps(stem)[1:-1].encode(),
        "JSON with escaped strokes": json.dumps(stem)[1:-1].replace("/", "\\/").encode(),
        "JSON with strokes escaped alone": stem.replace("/", "\\/").encode(),
        "a Python literal": ascii(stem)[1:-1].encode(),
        "a literal of its bytes": repr(raw)[2:-1].encode(),
        "UTF-16": stem.encode("utf-16-le"),
        "UTF-16, big end first": stem.encode("utf-16-be"),
        "hexadecimal": raw.hex().encode(),
        "an address": quote(stem, safe="").encode(),
        "an address with strokes": quote(stem).encode(),
    }
    for shift in range(
        3
    ):  # base64 spells a text in three ways, by where it begins; what its ends share with others is left out
        spelled = base64.b64encode(b"\0" * shift + raw)
        forms[f"base64, {shift} bytes in"] = spelled[-(-shift * 4 // 3) : len(spelled) - 4]
    return forms


class Search:
    """Where a stem was found: place and spelling."""

    def __init__(self, stem: str = STEM) -> None:
        self._forms = forms_of(stem)
        self.found: list[str] = []
        self.bytes_seen = 0

    def look(self, place: str, data: bytes) -> None:
        """One text or file."""
        self.bytes_seen += len(data)
        self.found += [f"{place}: {name}" for name, form in self._forms.items() if form in data]

    def look_in(self, folder: Path) -> None:
        """Every file below, and every value of every table: a text that is longer than a page does not lie in one piece in its file."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.look(str(path.relative_to(folder)), path.read_bytes())
        for path in sorted(folder.rglob("*.db")):
            for place, data in values_of(path):
                self.look(f"{path.relative_to(folder)}: {place}", data)


def values_of(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every text and blob in a database, by table and column."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')
            columns = [one[0] for one in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    if isinstance(value, str | bytes):
                        yield f"{table}.{column}", value.encode() if isinstance(value, str) else value
    finally:
        connection.close()


class _Exchange(socketserver.StreamRequestHandler):
    """One request of the gateway: its whole body comes back, in the way that its header `x-echo` names."""

    def handle(self) -> None:
        head = b""
        while (line := self.rfile.readline()) not in {b"", b"\r\n"}:
            head += line.lower()
        if not head:
            return
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = self.rfile.read(length)
        how = head.split(b"x-echo: ")[1].split(b"\r\n")[0].decode()
        said = json.dumps(body.decode())
        self.server.asked(how)  # type: ignore[attr-defined]  # the server is an EchoingProvider
        self.answer(how, body, said)

    def answer(self, how: str, body: bytes, said: str) -> None:
        stream = b"content-type: text/event-stream\r\n\r\n"
        error = f'{{"error":{{"message":{said},"type":"invalid_request_error","param":{said},"code":{said}}}}}'.encode()
        if how in {"400", "429", "500"}:
            self.whole(int(how), error)
        elif how == "error behind 200":
            self.whole(200, error)
        elif how == "no JSON":
            self.whole(200, b"<html>" + body)
        elif how == "no usage":
            self.whole(200, b'{"choices":[{"message":{"content":%b}}]}' % said.encode())
        elif how == "types that are none":
            self.whole(
                200, b'{"usage":{"prompt_tokens":%b,"input_tokens":%b},"service_tier":%b}' % ((said.encode(),) * 3)
            )
        elif how == "no HTTP":
            self.wfile.write(body + b"\r\n\r\n")
        elif how == "cut":
            event = b'event: x\ndata: {"choices":[{"delta":{"content":%b}}]}\n\n' % said.encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n" + stream + event)
        elif how == "error event":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + stream + b"event: error\ndata: %b\n\n" % error)
        elif how == "stall":
            event = b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % said.encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + stream + event)
            self.server.let_go.wait(60)  # type: ignore[attr-defined]

    def whole(self, status: int, body: bytes) -> None:
        self.wfile.write(
            b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )


class EchoingProvider(socketserver.ThreadingTCPServer):
    """A provider that says every prompt back: in errors, in answers that are cut, in places where counts should stand."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.port = self.server_address[1]
        self.let_go = threading.Event()
        """Set when stalled answers may end."""
        self.stalled = threading.Event()
        """Set when an answer stalls."""

    def asked(self, how: str) -> None:
        """A request came."""
        if how == "stall":
            self.stalled.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self.shutdown()
        self.server_close()


def sent(port: int, path: str, key: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """Everything that came back of one request; an empty answer when the connection was cut."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"POST {path} HTTP/1.1\r\nhost: gw\r\nconnection: close\r\nauthorization: Bearer {key}\r\n{lines}content-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        parts = []
        try:
            while data := connection.recv(65_536):
                parts.append(data)
        except ConnectionError:
            pass
        return b"".join(parts)
