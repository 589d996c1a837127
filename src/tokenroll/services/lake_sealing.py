"""Sealing: everything that the ledger settled since is in the lake, small files are merged, and the sums are complete."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection

from tokenroll.model.limits import LAKE_DAY_FILES_MAX
from tokenroll.services.lake_feeding import feed_slice
from tokenroll.store.lake import Lake
from tokenroll.store.lake_files import Tell


class Snapshot(Protocol):
    """The ledger at one instant, for whoever reads only."""

    @property
    def connection(self) -> Connection:
        """What questions are asked over."""


Questions: TypeAlias = Callable[[], AbstractContextManager[Snapshot]]


def sealed(
    lake: Lake,
    questions: Questions,
    *,
    files_min: int = LAKE_DAY_FILES_MAX + 1,
    tell: Tell | None = None,
    is_late: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """What came in, all of it or what did until it is late, and what was merged and summed. A question needs files merged only where a day has many of them.

    Each slice has a snapshot of the ledger of its own, so that a long feed does not keep the ledger's log from ending.
    """
    events = 0
    while True:
        with questions() as reports:
            fed = feed_slice(reports.connection, lake)
        if not fed.event_count:
            break
        events += fed.event_count
        if tell is not None:
            tell(f"{events} settlements taken in")
        if is_late():
            break
    days = lake.compact(files_min, tell)
    return {
        "event_count": events,
        "merged_day_count": days,
        "summed_file_count": lake.roll_up(tell),
        "through_seq": fed.through_seq,
        "file_count": len(lake.manifest.files),
    }
