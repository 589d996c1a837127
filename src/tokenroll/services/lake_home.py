"""A home as questions to its usage lake see it: the lake's files, and its ledger for whoever reads only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from tokenroll.ledger_place import LedgerPlace, LedgerUrl
from tokenroll.store.database import open_reader
from tokenroll.store.lake import LakeView


class LedgerSnapshot(NamedTuple):
    """The ledger at one instant."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class LakeHome:
    """`view` is the lake as the question that is being answered sees it."""

    lake_directory: Path
    ledger: LedgerPlace
    seen: LakeView | None = None

    @property
    def view(self) -> LakeView:
        """The lake within a question."""
        assert self.seen is not None
        return self.seen

    def with_view(self, view: LakeView) -> "LakeHome":
        """The same home for one question."""
        return replace(self, seen=view)

    @property
    def has_ledger(self) -> bool:
        """Whether there is one: a lake may be of logs alone. A database elsewhere is there until it says otherwise."""
        return isinstance(self.ledger, LedgerUrl) or self.ledger.is_file()

    @contextmanager
    def connect(self) -> Iterator[LedgerSnapshot]:
        """One snapshot of the ledger."""
        engine = open_reader(self.ledger)
        try:
            with engine.connect() as connection:
                yield LedgerSnapshot(connection)
        finally:
            engine.dispose()
