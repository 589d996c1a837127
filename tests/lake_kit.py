"""Usage events of the cast for tests of the lake, and a disk that fails at any step."""

from pathlib import Path
from typing import Any

from tokenroll.model.usage import Usage
from tokenroll.model.usage_event import UsageEvent
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_files import lake_engine, show_rows
from tokenroll.store.lake_manifest import Disk
from tokenroll.store.lake_schema import DAILY, ROLLUP, USAGE

DAY = 86_400_000_000
HOUR = 3_600_000_000
MONDAY = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z


def event(number: int, at: int = MONDAY, **changes: Any) -> UsageEvent:
    """Ada's call of 100 model tokens in and 20 out, which cost a millionth of a dollar."""
    facts: dict[str, Any] = {
        "source": "claude-code",
        "event_id": f"msg-{number}",
        "admitted_at": at,
        "provider": "anthropic",
        "requested_model": "sonnet",
        "usage": Usage(input_tokens=100, output_tokens=20),
        "list_cost_nanos": 1_000,
        "member": "Ada",
        "department": "Engineering",
        "purpose": "work",
    }
    return UsageEvent(**facts | changes)


def told(directory: Path, kind: str = USAGE) -> list[tuple[Any, ...]]:
    """Every row of the lake, in one order."""
    view = LakeView(directory)
    with lake_engine(directory) as engine:
        show_rows(engine, directory, view.manifest.of_kind(kind), kind)
        return sorted(engine.sql(f"SELECT * FROM {kind}").fetchall(), key=repr)


def sums(directory: Path, kind: str) -> tuple[int, ...]:
    """Calls, model tokens and list cost, exact, of the events or of their sums."""
    rows = told(directory, kind)
    names = columns(directory, kind)
    calls = len(rows) if kind == USAGE else sum(row[names.index("call_count")] for row in rows)
    both = (sum(row[names.index(name)] or 0 for row in rows) for name in ("model_tokens", "list_cost_nanos"))
    return (calls, *both)


def columns(directory: Path, kind: str) -> list[str]:
    view = LakeView(directory)
    with lake_engine(directory) as engine:
        show_rows(engine, directory, view.manifest.of_kind(kind), kind)
        return list(engine.sql(f"SELECT * FROM {kind}").columns)


def agrees(directory: Path) -> bool:
    """Whether the sums add up to the events."""
    return sums(directory, USAGE) == sums(directory, ROLLUP) == sums(directory, DAILY)


class Stopped(BaseException):
    """The process died here."""


class FailingDisk(Disk):
    """A disk under which the process dies before its so-and-so-many-th step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def _step(self) -> None:
        if self.steps == 0:
            raise Stopped
        self.steps -= 1

    def sync(self, path: Path) -> None:
        self._step()  # what is synced survives anyhow: the test's process goes on

    def rename(self, path: Path, becomes: Path) -> None:
        self._step()
        super().rename(path, becomes)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)
