"""Real receivers of alerts on loopback: a server of webhooks and a mail server, each in a thread, each as sick as a test wants."""

import http.server
import socketserver
import ssl
import threading
from contextlib import contextmanager
from typing import Any, NamedTuple


class Hook(NamedTuple):
    """One delivery, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A server of webhooks. `answers` are the next statuses, the last one for ever."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        self.answers = [200]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805 - the library's name; `self` is the receiver's
                body = handler.rfile.read(int(handler.headers["content-length"]))
                headers = {name.lower(): value for name, value in handler.headers.items()}
                self.hooks.append(Hook(handler.path, headers, body))
                status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                handler.send_response(status)
                handler.send_header("content-length", "0")
                handler.end_headers()

            def log_message(handler, *_: Any) -> None:  # noqa: N805
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/tokenroll?of=acme"


class MailServer:
    """A mail server that speaks as much SMTP as RFC 5321 asks of the smallest one, over TLS from the start or from STARTTLS on."""

    def __init__(self, context: ssl.SSLContext | None, *, starttls: bool = False) -> None:
        self.mails: list[tuple[str, list[str], str]] = []
        self.logins: list[str] = []
        self.refusing = False
        self.was_encrypted: list[bool] = []

        class Handler(socketserver.BaseRequestHandler):
            def handle(handler) -> None:  # noqa: N805
                sock = handler.request
                if context is not None and not starttls:
                    sock = context.wrap_socket(sock, server_side=True)
                with sock:
                    self._talk(sock, context if starttls else None)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(server, request: Any, client_address: Any) -> None:  # noqa: N805 - a client that leaves is no news
                return

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def _talk(self, sock: Any, context: ssl.SSLContext | None, *, greeting: bool = True) -> None:
        file = sock.makefile("rwb", buffering=0)

        def say(line: str) -> None:
            file.write(line.encode() + b"\r\n")

        if greeting:
            say("220 post office")
        sender, receivers = "", []
        while line := file.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                offers = [*(["STARTTLS"] if context is not None else []), "AUTH PLAIN"]
                say("250-post office")
                for offer in offers[:-1]:
                    say(f"250-{offer}")
                say(f"250 {offers[-1]}")
            elif verb == b"STAR" and context is not None:
                say("220 go ahead")
                with context.wrap_socket(sock, server_side=True) as safe:
                    self._talk(safe, None, greeting=False)
                return
            elif verb == b"AUTH":
                self.logins.append(line.split()[2].decode())
                say("235 welcome")
            elif verb == b"MAIL":
                if self.refusing:
                    say("451 come back later")
                    continue
                sender = line.decode().split("<")[1].split(">")[0]
                say("250 yes")
            elif verb == b"RCPT":
                receivers.append(line.decode().split("<")[1].split(">")[0])
                say("250 yes")
            elif verb == b"DATA":
                say("354 go on")
                text = b""
                while (part := file.readline()) != b".\r\n":
                    text += part
                self.was_encrypted.append(isinstance(sock, ssl.SSLSocket))
                self.mails.append((sender, receivers, text.decode()))
                receivers = []
                say("250 taken")
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 yes")


@contextmanager
def opened(office: Any):
    """The office open for as long as the block runs."""
    thread = threading.Thread(target=office.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield office
    finally:
        office.server.shutdown()
        office.server.server_close()
        thread.join(10)
