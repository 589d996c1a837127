"""What became of work, as trackers tell it: `POST /hooks/github`, `/hooks/gitlab`, `/hooks/outcomes`, and `POST /api/outcomes` with a key.

A delivery is on disk before it is answered with 200. Hooks that no secret is configured for are not there.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenroll.api.application import admitted
from tokenroll.api.receiving import Taking, body_of
from tokenroll.app import Reader
from tokenroll.model.limits import OUTCOME_BODY_BYTES_MAX
from tokenroll.services.clock import Clock
from tokenroll.services.importers.clocks import clock_problem
from tokenroll.services.outcome_hooks import UnsignedError, github_events, gitlab_events, signed_events, told_events
from tokenroll.services.outcome_log import OutcomeLog, OutcomeLogError
from tokenroll.services.outcomes import OutcomeEvent
from tokenroll.settings import OutcomeSettings

_log = logging.getLogger(__name__)
OWN_PATH: Final = "/api/outcomes"
Read: TypeAlias = Callable[[Mapping[str, str], bytes], list[OutcomeEvent]]


def outcome_routes(reader: Reader, log: OutcomeLog, settings: OutcomeSettings, clock: Clock) -> list[Route]:
    """The addresses that take outcomes. Each hook's own signature is its key; our own address wants an admin's."""

    def judge(request: Request) -> None:
        with reader.reports() as reports:
            admitted(reader, reports, request, admin=True)

    hooks: dict[str, tuple[object, Read]] = {
        "/hooks/github": (settings.github_secret, lambda heads, body: github_events(settings.github_secret, heads, body)),
        "/hooks/gitlab": (settings.gitlab_secret, lambda heads, body: gitlab_events(settings.gitlab_secret, heads, body)),
        "/hooks/outcomes": (settings.signing_key, lambda heads, body: signed_events(settings.signing_key, heads, body, clock())),
    }  # fmt: skip
    routes = [_route(path, log, read, clock) for path, (secret, read) in hooks.items() if secret]
    return [*routes, _route(OWN_PATH, log, lambda _heads, body: told_events(body), clock, judge)]


def _route(
    path: str, log: OutcomeLog, read: Read, clock: Clock, judge: Callable[[Request], None] | None = None
) -> Route:
    def take(headers: Mapping[str, str], body: bytes) -> int:
        events = read(headers, body)
        for event in events:
            ahead = clock_problem(event.at, clock())
            if ahead:  # the newest event decides, so that nothing could undo it
                raise ValueError(f"{event.outcome}: {ahead}")
        log.append(events)
        return len(events)

    async def answer(request: Request) -> Response:
        if request.method != "POST":
            raise HTTPException(405, "Outcomes are sent with POST.", {"allow": "POST"})
        if judge is not None:
            await run_in_threadpool(judge, request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "Outcomes are taken as JSON: set the hook's content type to application/json.")
        body = await body_of(request, OUTCOME_BODY_BYTES_MAX, "Outcomes")
        try:
            count = await run_in_threadpool(take, request.headers, body)
        except UnsignedError as error:
            raise HTTPException(401, f"This delivery is not signed with our secret: {error}.") from error
        except ValueError as error:
            raise HTTPException(400, f"This tells no outcome: {error}.") from error
        except OutcomeLogError as error:
            _log.exception("outcomes could not be kept")
            raise HTTPException(
                503, "Outcomes cannot be kept now; what runs the pages says why. Send it again.", {"retry-after": "60"}
            ) from error
        return JSONResponse({"taken": count})

    return Route(path, Taking(answer, "outcomes"))
