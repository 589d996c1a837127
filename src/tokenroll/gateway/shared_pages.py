"""One page of /metrics for all workers that share a port: each writes its own down, and whoever is asked joins them.

A scrape of a shared port comes to one of the workers, and mostly to the same one. Its page alone would tell a part as if it were all.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

WRITE_SECONDS: Final = 1.0
CURRENT_SECONDS: Final = 10.0
"""A page that nobody wrote for so long is of a worker that is gone, or stands still: it is left out, as Prometheus would find it down."""
_PREFIX: Final = "metrics-"


class SharedPages:
    """The pages of the workers of one machine, each in a file of `directory`."""

    def __init__(self, directory: Path, worker: int, own: Callable[[], str]) -> None:
        self._directory = directory
        self._path = directory / f"{_PREFIX}{worker:03d}"
        self._own = own
        self._is_over = False
        self._writing: asyncio.Future[None] | None = None

    def write_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Now and once a second, until it is removed; not while the disk still takes the last one, which must not hold calls up."""
        if self._is_over:
            return
        if self._writing is None or self._writing.done():
            self._writing = loop.run_in_executor(None, self._write, self._own())
        loop.call_later(WRITE_SECONDS, self.write_on, loop)

    def write(self) -> None:
        """Once, whole or not at all. On a disk that takes nothing the others tell nothing of this worker."""
        self._write(self._own())

    def _write(self, text: str) -> None:
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            beside.write_text(text, encoding="utf-8")
            beside.replace(self._path)
            if self._is_over:  # it ended meanwhile
                self._path.unlink()

    def text(self) -> str:
        """The page of all: of this worker as it is now, of the others as they were a moment ago."""
        pages = {self._path.name: self._own()}
        now = time.time()
        with contextlib.suppress(OSError), os.scandir(self._directory) as found:
            for one in found:
                if one.name.startswith(_PREFIX) and not one.name.endswith(".new") and one.name not in pages:
                    with contextlib.suppress(OSError):
                        if abs(now - one.stat().st_mtime) <= CURRENT_SECONDS:  # also after a clock that was set back
                            pages[one.name] = Path(one.path).read_text(encoding="utf-8")
        return joined([pages[name] for name in sorted(pages)])

    def remove(self) -> None:
        """At the end of this worker."""
        self._is_over = True
        with contextlib.suppress(OSError):
            self._path.unlink()


def joined(pages: Sequence[str]) -> str:
    """The families of several pages, each once with the values of all, in the order in which they are first met."""
    families: dict[str, list[str]] = {}
    for page in pages:
        values: list[str] = []
        for line in page.splitlines():
            if line.startswith("# TYPE "):
                values = families.setdefault(line, [])
            else:
                values.append(line)
    return "".join(f"{line}\n" for head, values in families.items() for line in (head, *values))
