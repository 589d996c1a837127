"""Answers from the usage lake and drawn pictures, made in a process of its own for `lake_desk`: one question a line, one answer a line.

This module as a program takes the lake's directory; its first line says where the ledger is. It first takes in what the ledger settled since, at most
every so many seconds, and ends when its input ends, so it never outlives the role that asks. It has a limit of memory, and leaves the
processor to the ledger and the gateway where they want it.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

from tokenroll.ledger_place import LedgerPlace, place_of_line
from tokenroll.model.limits import LAKE_ANSWER_MEMORY_BYTES
from tokenroll.services.drawing import svgs_for_page
from tokenroll.services.finance_parts import finance_parts
from tokenroll.services.forecasting import ForecastError
from tokenroll.services.lake_desk import DRAW, FAILED, LIBRARY, QUESTION
from tokenroll.services.lake_home import LakeHome
from tokenroll.services.lake_questions import (
    anomalies_told,
    change_told,
    forecast_told,
    quarantined_told,
    share_told,
    usage_told,
)
from tokenroll.services.lake_sealing import sealed
from tokenroll.services.team_parts import team_parts
from tokenroll.store.database import LedgerLostError, SchemaError
from tokenroll.store.lake import LakeBusyError, open_lake, read_lake
from tokenroll.store.lake_libraries import LakeLibraryError
from tokenroll.store.lake_manifest import LakeError
from tokenroll.store.lake_queries import QuestionError
from tokenroll.store.lake_schema import LakeRowsError

_NICE: Final = 5
_SEAL_SECONDS_MAX: Final = 4.0
"""So long a question takes in what the ledger has, before it answers of what is in: the next one goes on."""


ANSWERS: Final[Mapping[str, Callable[[LakeHome, Mapping[str, Any]], Any]]] = {
    "usage": usage_told, "forecast": forecast_told, "explain": change_told, "anomalies": anomalies_told, "share": share_told,
    "quarantined": quarantined_told, "team": team_parts, "finance": finance_parts,
}  # fmt: skip
"""By kind of question."""


class Answering:
    """The state between questions: when the ledger was last asked for what is new."""

    def __init__(self, lake_directory: Path, ledger: LedgerPlace, fresh_seconds: float) -> None:
        self._home = LakeHome(lake_directory, ledger)
        self._fresh_seconds = fresh_seconds
        self._sealed_at: float | None = None

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What is told of one question: an answer, that it is the `known` one, or a problem with its kind and message."""
        try:
            if question["kind"] == DRAW:
                facts = question["facts"]
                return {"digest": "", "answer": svgs_for_page(facts["picture"], facts["name"], facts["title"])}
            self._seal()
            with read_lake(self._home.lake_directory) as view:
                digest = view.digest
                if question["known"] == digest:
                    return {"digest": digest, "same": True}
                home = self._home.with_view(view)
                return {"digest": digest, "answer": ANSWERS[question["kind"]](home, question["facts"])}
        except LakeLibraryError as error:
            return {"problem": LIBRARY, "message": str(error)}
        except (QuestionError, ForecastError) as error:
            return {"problem": QUESTION, "message": str(error)}
        except (LakeError, LakeRowsError, LedgerLostError, SchemaError) as error:
            return {"problem": FAILED, "message": str(error)}

    def _seal(self) -> None:
        """What the ledger has since is in; while another process does the same, the answer is of what is sealed so far."""
        if self._sealed_at is not None and time.monotonic() - self._sealed_at < self._fresh_seconds:
            return
        if self._home.has_ledger:
            with suppress(LakeBusyError), open_lake(self._home.lake_directory) as lake:
                until = time.monotonic() + _SEAL_SECONDS_MAX
                sealed(lake, self._home.connect, is_late=lambda: time.monotonic() >= until)
                if time.monotonic() >= until:
                    return  # the next question goes on
        self._sealed_at = time.monotonic()


def serve(answering: Answering, asked: IO[bytes], told: IO[bytes]) -> None:
    """Answers questions until there are no more. What nobody foresaw goes to standard error and is told without its inside."""
    for line in asked:
        try:
            answer = answering.answer(json.loads(line))
        except MemoryError:
            answer = {
                "problem": FAILED,
                "message": "this takes more memory than an answer may have: ask for less at a time",
            }
        except Exception:  # noqa: BLE001 - the next question must find somebody
            sys.excepthook(*sys.exc_info())
            answer = {
                "problem": FAILED,
                "message": "something went wrong in the usage lake; this role's output says what",
            }
        told.write(json.dumps(answer, default=str).encode() + b"\n")
        told.flush()


def main() -> None:
    """Standard output is for answers alone: what a library prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: this one ends with its input
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_DATA, (LAKE_ANSWER_MEMORY_BYTES, LAKE_ANSWER_MEMORY_BYTES))
    lake, fresh_seconds = sys.argv[1:]
    ledger = place_of_line(sys.stdin.buffer.readline())
    told = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(Answering(Path(lake), ledger, float(fresh_seconds)), sys.stdin.buffer, told)


if __name__ == "__main__":
    main()
