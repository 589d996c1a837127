"""A node and its ledger on a new line: what it says while it is told for long, and what it does not say before it is welcomed."""

import asyncio
import types
from typing import Any

from tests.pair import Pair
from tokenroll.model.limits import NODE_HELLO_BYTES_MAX
from tokenroll.services.hot import HotHold
from tokenroll.services.lease_deadline import LeaseDeadline
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import Alive, FrameReader, Hello, View
from tokenroll.services.worker_link import WorkerLink


def linked(said):
    """A link whose core is being told of its lease, on a line that writes down what is said."""
    core: Any = types.SimpleNamespace(
        spending=False, earlier_records=0, received=lambda _message: None, connected=lambda _send: None
    )
    route: Any = types.SimpleNamespace(quiet_rounds_max=25, works=lambda: None)
    link = WorkerLink(core, route, None, LeaseDeadline())
    line: Any = types.SimpleNamespace(write=said.append, abort=lambda: said.append(None))
    link.made(line)
    return link


def test_a_node_says_a_word_while_it_is_told_for_long():
    """The lease of a million wallets is half a gigabyte: the node has nothing to say until it is there, and silence ends its line."""
    said: list[Any] = []
    link = linked(said)
    for _ in range(5 * 40):  # 40 s, of which the ledger waits 20
        link.received(View(keys=[], cards=[], settings={}, last=False))
        link._listen_for_silence()
        link._renew()
    words = FrameReader().feed(b"".join(said))
    assert [type(one) for one in words] == [Alive] * 8


def test_a_ledger_that_says_nothing_is_asked_three_times_and_given_up():
    said: list[Any] = []
    link = linked(said)
    for _ in range(5 * 20 - 1):
        link._listen_for_silence()
    assert [type(one) for one in FrameReader().feed(b"".join(said))] == [Alive] * 3
    link._listen_for_silence()
    assert said[3:] == [None]


def test_a_node_that_comes_again_says_nothing_large_before_it_is_welcomed(tmp_path):
    """Its door takes 4 kB before HELLO is heard, and judges by that what comes in one piece with it: the line would end each time."""

    async def inside():
        pair = Pair(tmp_path, first=64)
        worker = pair.workers[0]
        for _ in range(60):
            pair.call(0).settle(input=10, output=0)
        pair.talk()
        worker.link.close()
        calls = 60
        for _ in range(40):  # while it is cut off, as far as its lease goes
            call = pair.call(0, talk=False)
            if isinstance(call.answer, HotHold):
                call.settle(input=10, output=0)
                calls += 1
        worker.turn()
        sent: list[bytes] = []
        worker.core.connected(sent.append)
        worker.take_used = lambda keys_max: list(range(2_000))  # type: ignore[method-assign]
        worker.core.tell_used()
        late = pair.call(0, talk=False)  # and one more, a few milliseconds after the line is there
        assert isinstance(late.answer, HotHold)
        late.settle(input=10, output=0)
        worker.turn()
        worker.core.retry()
        assert [type(one) for one in FrameReader(NODE_HELLO_BYTES_MAX).feed(b"".join(sent))] == [Hello]
        worker.core.lost()
        worker.link = Loopback(pair.server, worker.core)
        pair.prove()  # all of it is said once it is welcomed
        assert calls > 65
        assert pair.rows("SELECT count(*), sum(charge_nanos) FROM settlements") == [(calls + 1, 30_000 * (calls + 1))]

    asyncio.run(inside())
