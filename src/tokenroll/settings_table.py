"""One table of `config.toml`, read key by key; whatever cannot be right is told with its line."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """A home or a `config.toml` that cannot be used; the message says where and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """A TCP address to listen on; port 0 lets the kernel choose, and the choice is printed."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Table:
    """One table of the file, read key by key; what nobody asked for is an error at the end."""

    def __init__(self, path: Path, text: str, where: tuple[str, ...], values: Mapping[str, Any]) -> None:
        self.path = path
        self.text = text
        self.where = where
        self.values = values
        self.asked: set[str] = set()

    def problem(self, key: str, what: str) -> SettingsError:
        """The error for one key, with its line when it can be found."""
        line = line_of(self.text, self.where, key)
        place = f"{self.path}:{line}" if line else str(self.path)
        return SettingsError(f"{place}: {'.'.join((*self.where, key))} {what}")

    def table(self, key: str) -> "Table":
        """The table under `key`, empty when there is none."""
        self.asked.add(key)
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.problem(key, "must be a table")
        return Table(self.path, self.text, (*self.where, key), value)

    def text_of(self, key: str, default: str | None = None) -> str:
        """The text under `key`; without a default it must be there."""
        self.asked.add(key)
        value = self.values.get(key, default)
        if value is None:
            raise self.problem(key, "is missing")
        if not isinstance(value, str) or not value:
            raise self.problem(key, f"must be a text, not {value!r}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """The text under `key`, one of `choices`."""
        value = self.text_of(key, default)
        if value not in choices:
            raise self.problem(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """The truth value under `key`, false when there is none."""
        self.asked.add(key)
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.problem(key, f"must be true or false, not {value!r}")
        return value

    def number(self, key: str, default: int, least: int, most: int) -> int:
        """The integer under `key`, between `least` and `most`."""
        self.asked.add(key)
        value = self.values.get(key, default)
        if type(value) is not int or not least <= value <= most:
            span = f"a whole number from {least} to {most}" if least < most else f"{least} in this release"
            raise self.problem(key, f"must be {span}, not {value!r}")
        return value

    def numbers(self, key: str, default: tuple[int, ...], least: int, most: int, count_max: int) -> tuple[int, ...]:
        """The list of integers under `key`, each between `least` and `most`."""
        self.asked.add(key)
        value = self.values.get(key, list(default))
        if not isinstance(value, list) or not all(type(one) is int and least <= one <= most for one in value):
            raise self.problem(key, f"must be a list of whole numbers from {least} to {most}, not {value!r}")
        if len(value) > count_max:
            raise self.problem(key, f"has {len(value)} numbers, more than {count_max}")
        return tuple(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of texts under `key`."""
        self.asked.add(key)
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.problem(key, "must be a list of texts")
        return tuple(value)

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """The table of lists of texts under `key`."""
        inner = self.table(key)
        return {name: inner.texts(name) for name in inner.values}

    def pairs(self, key: str) -> dict[str, str]:
        """The table of texts under `key`."""
        inner = self.table(key)
        for name, value in inner.values.items():
            if not isinstance(value, str) or not value:
                raise inner.problem(name, "must be a text")
        return dict(inner.values)

    def listen(self, key: str, default: Listen) -> Listen:
        """The `host:port` under `key`."""
        value = self.text_of(key, str(default))
        try:
            return listen_from_text(value)
        except SettingsError as error:
            raise self.problem(key, str(error)) from error

    def finished(self) -> None:
        """Every key was known, else SettingsError naming all that were not."""
        unknown = [key for key in self.values if key not in self.asked]
        if unknown:
            known = ", ".join(sorted(self.asked))
            problems = [str(self.problem(key, f"is not a setting; known here: {known}")) for key in unknown]
            raise SettingsError("\n".join(problems))


def listen_from_text(text: str) -> Listen:
    """`host:port` or `[v6]:port` as an address. Raises SettingsError."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\]:(\d{1,5})|([A-Za-z0-9._-]+):(\d{1,5})", text)
    if match is None or int(match[2] or match[4]) > 65_535:
        message = f"must be host:port such as 127.0.0.1:8787, not {text!r}"
        raise SettingsError(message)
    return Listen(host=match[1] or match[3], port=int(match[2] or match[4]))


def line_of(text: str, where: tuple[str, ...], key: str) -> int:
    """The line on which `key` of table `where` stands, or its table, or 0; TOML's reader keeps no lines."""
    table: tuple[str, ...] = ()
    table_line = 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.fullmatch(r"\s*\[\[?(.+?)\]\]?\s*(#.*)?", line):
            table = _dotted(header[1])
            if table == where:
                table_line = number
            if table[: len(where) + 1] == (*where, key):  # itself, or a table in it
                return number
        elif (assignment := re.match(r"\s*([^=#]+?)\s*=", line)) and (*table, *_dotted(assignment[1])) == (*where, key):
            return number
    return table_line


def _dotted(name: str) -> tuple[str, ...]:
    """The parts of a key as TOML reads it, dots within quotes and all; none for what is no key."""
    try:
        value: Any = tomllib.loads(f"{name.strip()} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(value, dict):
        ((part, value),) = value.items()
        parts.append(part)
    return tuple(parts)
