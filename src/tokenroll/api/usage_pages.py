"""What the two usage doors share: who may ask, how questions are read, how a report becomes pages with cursors.

They are read by tools that were written for providers, so each answers in its provider's words (`openai_usage.py`, `anthropic_usage.py`).
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokenroll.app import Reader
from tokenroll.model.api_key import KeyScope
from tokenroll.model.instant import INSTANT_MAX, MICROS_PER_SECOND, Instant
from tokenroll.model.limits import REPORT_RESULTS_MAX
from tokenroll.services.reporting import Reports
from tokenroll.services.usage_reports import Dimension, UsageBucket, UsageQuestion, bucket_start
from tokenroll.upstream.dialect import Dialect, ErrorAnswer, RequestRefused

WIDTHS_SECONDS: Final = {"1m": 60, "1h": 3_600, "1d": 86_400}
BUCKET_COUNTS: Final = {"1m": (60, 1_440), "1h": (24, 168), "1d": (7, 31)}
"""How many buckets a page has unless asked, and at most."""
_CURSOR: Final = re.compile(r"page_(\d{1,12})_(\d{1,9})")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_METHODS_READ: Final = frozenset({"GET", "HEAD"})
_log = logging.getLogger(__name__)
VALUES_MAX: Final = 100
"""Values of one parameter."""


Rows: TypeAlias = list[dict[str, Any]]


class Page(NamedTuple):
    """Buckets of one page as (start, end, rows), and the cursor of the next one."""

    buckets: list[tuple[Instant, Instant, Rows]]
    next_page: str | None
    through_seq: int


class Asked:
    """A question's parameters: arrays come as `name[]=` or `name=`, again for each value; a name that is not `known` is refused.

    A filter that is passed over would give wrong sums without a word.
    """

    def __init__(self, request: Request, known: Iterable[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            self._values.setdefault(name.removesuffix("[]"), []).append(value)
        names = sorted(known)
        for name, values in self._values.items():
            if name not in names:
                raise RequestRefused(
                    400, "unknown_parameter", f"{name} is not asked here; known are {', '.join(names)}.", name
                )
            if len(values) > VALUES_MAX:
                raise RequestRefused(400, "too_many_values", f"{name} has more than {VALUES_MAX} values.", name)

    def one(self, name: str) -> str | None:
        """The value, None for none. Raises RequestRefused for two."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise RequestRefused(400, "invalid_value", f"{name} is given {len(values)} times.", name)
        return values[0] if values else None

    def required(self, name: str) -> str:
        """The same of a parameter that must be there."""
        value = self.one(name)
        if not value:
            raise RequestRefused(400, "missing_required_parameter", f"{name} is missing.", name)
        return value

    def many(self, name: str) -> list[str]:
        """All values."""
        return self._values.get(name, [])

    def number(self, name: str, text: str) -> int:
        """The value as a whole number."""
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise RequestRefused(
                400,
                "invalid_value",
                f"{name} is a whole number from 0 on, of at most 18 digits, not {text[:40]!r}.",
                name,
            )
        return int(text)

    def choices(self, name: str, allowed: Iterable[str]) -> list[str]:
        """All values, each once and one of those that are allowed."""
        words = sorted(allowed)
        values = list(dict.fromkeys(self.many(name)))
        for value in values:
            if value not in words:
                message = f"{name} is one of {', '.join(words)}, not {value[:40]!r}."
                raise RequestRefused(400, "invalid_value", message, name)
        return values

    def width(self, allowed: Iterable[str] = WIDTHS_SECONDS) -> str:
        """The buckets' width; a day unless asked."""
        return (self.choices("bucket_width", allowed) or ["1d"])[0]

    def picked(
        self, filters: Mapping[str, Dimension | None], dialects: frozenset[int]
    ) -> tuple[dict[Dimension, frozenset[str]], frozenset[int]]:
        """What the filters keep, and of which endpoints. A filter on what no call has leaves none."""
        only: dict[Dimension, frozenset[str]] = {}
        for name, dimension in filters.items():
            wanted = self.many(name)
            if wanted and dimension is None:
                dialects = frozenset()
            elif wanted and dimension is not None:
                only[dimension] = frozenset(wanted)
        return only, dialects

    def bucket_count(self, default: int, most: int) -> int:
        """How many buckets the page has at most; 0 asks for the default, as nothing does."""
        given = self.one("limit")
        count = 0 if given is None else self.number("limit", given)
        if count > most:
            raise RequestRefused(400, "invalid_value", f"limit is at most {most} for buckets of this width.", "limit")
        return count or default


def instant_of_seconds(name: str, seconds: int) -> Instant:
    """The instant of Unix seconds. Raises RequestRefused for one after the year 9999."""
    at = seconds * MICROS_PER_SECOND
    if at > INSTANT_MAX:
        raise RequestRefused(400, "invalid_value", f"{name} is Unix seconds, not {seconds}.", name)
    return at


def paged(
    reports: Reports,
    question: UsageQuestion,
    *,
    cursor: str | None,
    bucket_count: int,
    rows_of: Callable[[UsageBucket], Rows],
) -> Page:
    """The page that a cursor names, or the first. A cursor that is none of ours is not heeded.

    A page ends early when it has REPORT_RESULTS_MAX rows; a bucket that it cuts goes on as the first of the next page.
    """
    width = question.width_seconds
    passed = 0
    match = _CURSOR.fullmatch(cursor or "")
    from_at = question.from_at
    if match:
        from_at, passed = max(from_at, int(match[1]) * MICROS_PER_SECOND), int(match[2])
    report = reports.usage(replace(question, from_at=bucket_start(from_at, width)))
    buckets: list[tuple[Instant, Instant, Rows]] = []
    room = REPORT_RESULTS_MAX
    for bucket in report.buckets():
        if len(buckets) == bucket_count or not room:
            return Page(buckets, _cursor(bucket.start_at, 0), report.through_seq)
        rows = rows_of(bucket)[passed:]
        buckets.append((bucket.start_at, bucket.until, rows[:room]))
        if len(rows) > room:
            return Page(buckets, _cursor(bucket.start_at, passed + room), report.through_seq)
        room -= len(rows)
        passed = 0
    return Page(buckets, None, report.through_seq)


def _cursor(start_at: Instant, passed: int) -> str:
    return f"page_{start_at // MICROS_PER_SECOND}_{passed}"


def answering(
    reader: Reader, dialect: Dialect, path: str, answer: Callable[[Request, Reports], tuple[dict[str, Any], int]]
) -> Route:
    """A route of every method: the answer as JSON for whoever shows an admin key, a problem in the dialect's words for others.

    `answer` gives the body, in which `msgspec.Raw` stands as it is, and the last row of the journal that it holds.
    """

    def handle(request: Request) -> Response:
        try:
            with reader.reports() as reports:
                _judge(reader, reports, request)
                body, through_seq = answer(request, reports)
        except RequestRefused as problem:
            response = told(
                dialect.error(problem.status, problem.code, problem.message, param=problem.param, should_retry=False)
            )
            if problem.status == 405:
                response.headers["allow"] = ", ".join(sorted(_METHODS_READ))
            return response
        except Exception:  # noqa: BLE001 - a door: logged, and told in the words of the one who asked
            _log.exception("a report at %s failed", request.url.path)
            return told(dialect.error(500, "internal", "Something went wrong here; nothing was changed."))
        headers = {"cache-control": "no-store", "x-tokenroll-ledger-seq": str(through_seq)}
        return Response(msgspec.json.encode(body), media_type="application/json", headers=headers)

    return Route(path, handle, methods=_METHODS)


def told(answer: ErrorAnswer) -> Response:
    """A dialect's error as an answer of this process."""
    lines = [line.split(b": ", 1) for line in answer.headers.split(b"\r\n") if line]
    return Response(answer.body, answer.status, {name.decode(): value.decode() for name, value in lines})


def _judge(reader: Reader, reports: Reports, request: Request) -> None:
    if request.method not in _METHODS_READ:
        raise RequestRefused(405, "method_not_allowed", "This is read with GET.")
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    secret = value.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not secret:
        message = "No key was given; send an admin key as `Authorization: Bearer …` or `x-api-key: …`."
        raise RequestRefused(401, "missing_api_key", message)
    visitor = reader.visitor(reports, secret)
    if visitor is None:
        message = "This key is not known here, or it was revoked or has expired."
        raise RequestRefused(401, "invalid_api_key", message)
    if visitor.scope != KeyScope.ADMIN:
        message = "Usage and costs of the company need a key with scope admin: `tokenroll key create NAME --scope admin` makes one."
        raise RequestRefused(403, "admin_key_required", message)
