"""`GET /me/wallet` at one of several workers: the ledger is asked, for what the others spent and hold no worker knows.

These questions are few beside calls. How many wait at a time and for how long is bounded; a ledger that does not answer is said to be
away, and no amount is guessed.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenroll.gateway import local
from tokenroll.gateway.answers import error_answer, json_answer
from tokenroll.gateway.heads import RequestHead
from tokenroll.model.limits import AMOUNTS_ASKED_MAX, AMOUNTS_SECONDS_MAX
from tokenroll.services.hot import HotKey
from tokenroll.services.protocol import Amounts
from tokenroll.upstream.dialect import ErrorAnswer

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.worker import Gateway

_NO_ANSWER: Final = (
    "What is left is known to the ledger alone while several workers spend it, and the ledger does not answer; "
    "try again in a moment."
)


class _Question(NamedTuple):
    """Of whom, and until when."""

    client: "ClientConnection"
    key: HotKey
    timer: asyncio.TimerHandle


class WalletTelling:
    """The questions of one worker that are under way."""

    def __init__(self, gateway: "Gateway") -> None:
        self.ask: Callable[[int, list[int], list[int]], None] = _nobody
        """Asks the ledger about wallets and limits under a number."""
        self._gateway = gateway
        self._number = 0
        self._questions: dict[int, _Question] = {}

    def begin(self, client: "ClientConnection", head: RequestHead) -> ErrorAnswer | None:
        """None when the client will be answered by and by; else the answer now."""
        gateway = self._gateway
        gateway.metrics.requests["/me/wallet"] += 1
        if gateway.not_ready:
            return error_answer(None, 503, "not_ready", gateway.not_ready, retry_after_seconds=1)
        key = local.authenticate(gateway, head, None, calls=False)
        if isinstance(key, ErrorAnswer):
            return key
        if len(self._questions) >= AMOUNTS_ASKED_MAX:
            return error_answer(None, 503, "overloaded", "Too many ask what is left at once.", retry_after_seconds=1)
        number = self._number = self._number + 1
        timer = gateway.loop.call_later(AMOUNTS_SECONDS_MAX, self._late, number)
        self._questions[number] = _Question(client, key, timer)
        wallets = [key.wallet.id] if key.pool is None else [key.wallet.id, key.pool.id]
        self.ask(number, wallets, [one.id for one in key.limits])
        return None

    def told(self, amounts: Amounts) -> None:
        """The ledger's answer, for whoever still waits."""
        question = self._questions.pop(amounts.number, None)
        if question is None:
            return
        question.timer.cancel()
        spending = self._gateway.spending
        self._answer(question, json_answer(spending.told_wallet_view(question.key, amounts, self._gateway.clock())))

    def _late(self, number: int) -> None:
        answer = error_answer(None, 503, "not_ready", _NO_ANSWER, retry_after_seconds=1)
        self._answer(self._questions.pop(number), answer)

    @staticmethod
    def _answer(question: _Question, answer: ErrorAnswer) -> None:
        if not question.client.closed:
            question.client.answer(answer)


def _nobody(_number: int, _wallets: list[int], _limits: list[int]) -> None:
    """Until the lease is there."""
