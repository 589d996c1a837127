"""A node and its ledger on a new line: what it says while it is told for long, and what it does not say before it is welcomed."""

import types

from tests import ledger_kit as kit
from tests.pair import Pair
from tokenroll.model.limits import NODE_HELLO_BYTES_MAX
from tokenroll.services.hot import HotHold
from tokenroll.services.lease_deadline import LeaseDeadline
from tokenroll.services.protocol import Alive, FrameReader, View
from tokenroll.services.worker_link import WorkerLink


def linked(said):
    """A link whose core is being told of its lease, on a line that writes down what is said."""
    core = types.SimpleNamespace(
        spending=False, earlier_records=0, received=lambda _message: None, connected=lambda _send: None
    )
    route = types.SimpleNamespace(quiet_rounds_max=25, works=lambda: None)
    link = WorkerLink(core, route, None, LeaseDeadline())
    link.made(types.SimpleNamespace(write=said.append, abort=lambda: said.append(None)))
    return link


def test_a_node_says_a_word_while_it_is_told_for_long():
    """The lease of a million wallets is half a gigabyte: the node has nothing to say until it is there, and silence ends its line."""
    said = []
    link = linked(said)
    for _ in range(5 * 40):  # 40 s, of which the ledger waits 20
        link.received(View(keys=[], cards=[], settings={}, last=False))
        link._listen_for_silence()
        link._renew()
    words = FrameReader().feed(b"".join(said))
    assert [type(one) for one in words] == [Alive] * 8


def test_a_ledger_that_says_nothing_is_asked_three_times_and_given_up():
    said = []
    link = linked(said)
    for _ in range(5 * 20 - 1):
        link._listen_for_silence()
    assert [type(one) for one in FrameReader().feed(b"".join(said))] == [Alive] * 3
    link._listen_for_silence()
    assert said[3:] == [None]
