"""Where a ledger is: a file of its home, or a PostgreSQL database at a URL. Whatever shows the URL shows it without its password."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES: Final = ("postgresql", "postgres")
_SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})
_HIDDEN: Final = "***"


class LedgerUrlError(ValueError):
    """A text that names no PostgreSQL database; the message never repeats it, for it may hold a password."""


@dataclass(frozen=True, slots=True, repr=False)
class LedgerUrl:
    """A PostgreSQL database that holds a ledger. `text` is the whole URL, for connecting only; `str` hides what is secret in it."""

    text: str = field()

    def __str__(self) -> str:
        parts = urlsplit(self.text)
        hidden = f":{_HIDDEN}@" if parts.password is not None else "@" if parts.username is not None else ""
        host = parts.netloc.rpartition("@")[2]
        query = urlencode(
            [(key, _HIDDEN if key in _SECRETS else value) for key, value in _query(parts.query)], safe="/*"
        )
        return _joined(parts, f"{parts.username or ''}{hidden}{host}", query)

    def __repr__(self) -> str:
        return f"LedgerUrl({str(self)!r})"

    @property
    def has_password(self) -> bool:
        """Whether the URL itself says a password."""
        parts = urlsplit(self.text)
        return parts.password is not None or any(key in _SECRETS for key, _ in _query(parts.query))

    def with_password(self, password: str) -> "LedgerUrl":
        """The same database, with a password that was kept elsewhere."""
        parts = urlsplit(self.text)
        netloc = f"{parts.username or ''}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
        return LedgerUrl(_joined(parts, netloc, parts.query))


LedgerPlace: TypeAlias = Path | LedgerUrl
"""A file for SQLite, a URL for PostgreSQL."""


def ledger_url(text: str) -> LedgerUrl:
    """The URL `postgresql://[user[:password]@][host][:port]/database[?…]`. Raises LedgerUrlError."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in SCHEMES and len(unquote(parts.path)) > 1 and not parts.fragment
        _ = parts.port
    except ValueError:
        sound = False
    if not sound or any(one.isspace() for one in text):
        raise LedgerUrlError("must be postgresql://user@host:port/database")
    return LedgerUrl(text)


def line_of_place(place: LedgerPlace) -> bytes:
    """A place as a line for a pipe: a process is told it there, because others can read what it was started with."""
    text = place.text if isinstance(place, LedgerUrl) else str(place)
    return os.fsencode(text).hex().encode() + b"\n"


def place_of_line(line: bytes) -> LedgerPlace:
    """The place that such a line says."""
    text = os.fsdecode(bytes.fromhex(line.decode()))
    return LedgerUrl(text) if text.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)) else Path(text)


def _joined(parts: SplitResult, netloc: str, query: str) -> str:
    """A whole URL again, its two slashes also where the server is named in the query alone."""
    return f"{parts.scheme}://{netloc}{parts.path}{f'?{query}' if query else ''}"


def _query(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)
