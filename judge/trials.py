"""The table of scenarios: each a coroutine that tries one promise in worlds of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from judge.court import Court, Finding

Trial = Callable[[Court], Awaitable[Finding]]


@dataclass(frozen=True)
class Scenario:
    """One row of the table. `number` is that of docs/peers_failures.md."""

    number: str
    title: str
    trial: Trial


SCENARIOS: dict[str, Scenario] = {}


def scenario(number: str, title: str) -> Callable[[Trial], Trial]:
    """Puts a coroutine into the table."""

    def put(trial: Trial) -> Trial:
        SCENARIOS[number] = Scenario(number, title, trial)
        return trial

    return put
