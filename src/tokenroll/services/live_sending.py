"""Live sums to a collector: OTLP over HTTP in JSON, by a timer. A collector that is away is told of once and disturbs nobody."""

import http.client
import logging
from collections.abc import Callable
from typing import Final

from tokenroll.model.limits import LIVE_PUSH_WAIT_SECONDS_MAX
from tokenroll.services.clock import Clock
from tokenroll.services.live_metrics import otlp_metrics
from tokenroll.services.live_usage import LiveFigures, NotCountedYetError
from tokenroll.services.posting import post
from tokenroll.settings import TelemetrySettings

_log = logging.getLogger(__name__)
_DOUBLINGS_MAX: Final = 10
_JSON: Final = "application/json"


class LiveSender:
    """What the timer does: one try each time, with longer and longer pauses while they fail."""

    def __init__(
        self,
        figures: Callable[[], LiveFigures],
        settings: TelemetrySettings,
        *,
        company: str,
        version: str,
        clock: Clock,
    ) -> None:
        self._figures = figures
        self._settings = settings
        self._company = company
        self._version = version
        self._clock = clock
        self._failed_count = 0

    def round(self) -> float:
        """One try. Answers in how many seconds the next one is due."""
        problem = self._send()
        url, seconds = self._settings.otlp_metrics_url, self._settings.otlp_metrics_seconds
        if not problem:
            if self._failed_count:
                _log.warning("live usage arrives at %s again, after %d tries", url, self._failed_count)
            self._failed_count = 0
            return seconds
        if not self._failed_count:
            _log.warning(
                "live usage does not arrive at %s: %s; it is tried again, and said once it arrives", url, problem
            )
        self._failed_count += 1
        return min(seconds << min(self._failed_count, _DOUBLINGS_MAX), max(seconds, LIVE_PUSH_WAIT_SECONDS_MAX))

    def _send(self) -> str:
        """What is wrong; empty when it arrived, and while there is nothing to tell yet."""
        try:
            figures = self._figures()
        except NotCountedYetError:
            return ""
        body = otlp_metrics(figures, self._company, self._version, self._clock())
        headers = {"content-type": _JSON}
        if self._settings.token:
            headers["authorization"] = f"Bearer {self._settings.token}"
        try:
            answer = post(self._settings.otlp_metrics_url, body, headers, self._settings.ca_file)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        return "" if answer.is_taken else str(answer)
