"""How commands come to the usage lake: sealed first where a question needs it, with its failures as sentences and its work shown."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tokenroll.cli.console import note, reports
from tokenroll.cli.program import Failure
from tokenroll.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenroll.store.lake import LakeView


@contextlib.contextmanager
def lake_view(*, seal: bool, quiet: bool = True) -> "Iterator[LakeView]":
    """The lake of this home for questions; with everything in that the ledger has, where `seal` says so."""
    settings = load_settings()
    with lake_failures():
        if seal:
            seal_for_question(settings, quiet=quiet)
        from tokenroll.store.lake import read_lake

        with read_lake(settings.lake_directory) as view:
            yield view


def seal_for_question(settings: Settings, *, quiet: bool) -> None:
    """What a question needs: everything in, and summed. Files are merged only where they are many."""
    from tokenroll.services.lake_sealing import sealed
    from tokenroll.store.lake import LakeBusyError, open_lake

    try:
        with open_lake(settings.lake_directory) as lake, telling(quiet=quiet) as tell:
            sealed(lake, reports, tell=tell)
    except LakeBusyError as error:
        note(f"{error}; the answer is of what is sealed so far")


@contextlib.contextmanager
def lake_failures() -> Iterator[None]:
    """What the lake cannot do, as what a person is told."""
    from tokenroll.store.lake_libraries import LakeLibraryError
    from tokenroll.store.lake_manifest import LakeError
    from tokenroll.store.lake_queries import QuestionError
    from tokenroll.store.lake_schema import LakeRowsError

    try:
        yield
    except LakeLibraryError as error:
        raise Failure(str(error), kind="library") from error
    except QuestionError as error:
        raise Failure(str(error), kind="usage", code=2) from error
    except (LakeError, LakeRowsError) as error:
        raise Failure(str(error), kind="lake") from error


@contextlib.contextmanager
def telling(*, quiet: bool) -> Iterator[Callable[[str], None] | None]:
    """What is being done, on standard error while it is done, where a person looks at it."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("opening the usage lake") as status:
        yield status.update
