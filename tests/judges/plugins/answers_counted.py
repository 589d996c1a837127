"""A pytest plugin for the official suites: with each test it reports how many answers a server gave it.

Many of those tests reach no server, because the client refuses first or an answer is made up in place. They pass anywhere.
"""

import logging
from collections.abc import Iterator

import pytest

LOGGERS = ("httpx", "httpx2")
"""Each writes a line at INFO for each answer that it gets."""
MADE_UP = frozenset({"respx_mock", "respx2_mock"})
"""Fixtures that answer in a server's place."""


class Count(logging.Handler):
    """How many answers there have been."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.answers = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One more, if the line is about an answer."""
        self.answers += str(record.msg).startswith("HTTP Request: ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """The count is a property of the test in the report."""
    count = Count()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(count)
    try:
        return (yield)
    finally:
        for logger in loggers:
            logger.removeHandler(count)
        answers = 0 if MADE_UP.intersection(item.fixturenames) else count.answers
        item.user_properties.append(("answers", answers))
