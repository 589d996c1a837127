"""Something that is done now and then in a thread of its own, beside a role that never waits for it."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_END_SECONDS_MAX: Final = 5
_log = logging.getLogger(__name__)


class Repeating:
    """`action` answers in how many seconds it is to be done again. What it raises is logged, and it is done again `seconds` later."""

    def __init__(self, name: str, seconds: float, action: Callable[[], float]) -> None:
        self._name = name
        self._seconds = seconds
        self._action = action
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tokenroll {name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Once what is being done is done, or does not end soon: then it ends with the process, as a power loss would end it."""
        self._ended.set()
        self._thread.join(_END_SECONDS_MAX)

    def _run(self) -> None:
        wait = self._seconds
        while not self._ended.wait(wait):
            try:
                wait = self._action()
            except Exception:  # noqa: BLE001 - a thread that ends in silence would be missed by nobody
                _log.exception("%s failed", self._name)
                wait = self._seconds
