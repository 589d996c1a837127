"""Who waits for whom at the ledger: no want is lost, none is answered for what was not asked, and thousands wait at no cost."""

import sqlite3

from sqlalchemy.exc import OperationalError

from tests import ledger_kit as kit
from tests.ledger_kit import CREDIT
from tests.pair import Pair
from tests.unit.services.test_lending import story
from tokenroll.services.hot import HotHold
from tokenroll.services.loopback import Loopback


class Listener:
    """A worker's connection that writes down what it is told."""

    def __init__(self, worker):
        self.worker = worker
        self.heard = []
        self.is_over = False

    def say(self, message):
        self.heard.append(message)

    def end(self):
        self.is_over = True


def credits_worth(amount):
    """An output cap that makes a call cost so many credits at most, and six thousandths."""
    return {"output_cap_tokens": int(amount * CREDIT) // kit.OUT_NANOS}


def disk_is_full():
    cause = sqlite3.OperationalError("database or disk is full")
    cause.sqlite_errorcode = sqlite3.SQLITE_FULL
    return OperationalError("INSERT", {}, cause)


def come_again(pair: Pair):
    """Workers whose line was ended make a new one."""
    for worker in pair.workers:
        if worker.link._connection is None:
            worker.link = Loopback(pair.server, worker.core)


@story
def test_a_want_whose_answer_failed_once_is_said_again(pair):
    """The disk is full for a moment, when another worker's return would meet the want."""
    pair.call(1, "Bo", **credits_worth(4.9)).release()
    real, failures = pair.ledger.want, []

    def want(message, asked=frozenset(), **how):
        if asked and not failures:
            failures.append(disk_is_full())
            raise failures[0]
        return real(message, asked, **how)

    pair.ledger.want = want
    call = pair.call(0, "Bo", **credits_worth(24.5))
    assert len(failures) == 1
    assert pair.workers[0].link._connection is None
    assert pair.workers[1].link._connection is not None  # it only returned what it had
    come_again(pair)
    pair.talk()
    assert isinstance(call.answer, HotHold)
    pair.prove()
