"""The outbox: when much is sent, a turn of the loop sends it together, in order, and never to a connection that has ended."""

import asyncio
from typing import cast

from tokenroll.gateway.outbox import Outbox
from tokenroll.model.limits import OUTBOX_BYTES_MAX


class Line:
    """A transport that writes into a common log."""

    def __init__(self, name, log):
        self.name = name
        self.log = log
        self.ended = False

    def write(self, data):
        self.log.append((self.name, data))

    def is_closing(self):
        return self.ended

    def close(self):
        self.ended = True
        self.log.append((self.name, "closed"))


def as_transport(line):
    return cast("asyncio.Transport", line)


def in_a_loop(story):
    async def run():
        log: list[tuple[str, object]] = []
        outbox = Outbox(asyncio.get_running_loop())
        outbox.gathers = True  # as after many calls in a short time
        await story(outbox, Line("ada", log), Line("bo", log), log)

    asyncio.run(run())


def test_nothing_goes_out_before_the_turn_ends_and_then_all_in_order():
    async def story(outbox, ada, bo, log):
        outbox.write(ada, b"one")
        outbox.write(bo, b"two")
        outbox.write(ada, b"three")
        assert log == []
        await asyncio.sleep(0)
        assert log == [("ada", b"one"), ("bo", b"two"), ("ada", b"three")]
        outbox.write(bo, b"four")
        await asyncio.sleep(0)
        assert log[3:] == [("bo", b"four")]

    in_a_loop(story)


def test_a_flush_sends_at_once_and_the_end_of_the_turn_sends_nothing_twice():
    async def story(outbox, ada, bo, log):
        outbox.write(ada, b"one")
        outbox.flush()
        assert log == [("ada", b"one")]
        outbox.write(bo, b"two")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert log == [("ada", b"one"), ("bo", b"two")]

    in_a_loop(story)


def test_a_connection_that_ended_meanwhile_gets_nothing_and_the_others_theirs():
    async def story(outbox, ada, bo, log):
        outbox.write(ada, b"one")
        outbox.write(bo, b"two")
        ada.ended = True
        await asyncio.sleep(0)
        assert log == [("bo", b"two")]

    in_a_loop(story)


def test_closing_comes_after_what_was_written():
    async def story(outbox, ada, bo, log):
        outbox.write(bo, b"one")
        outbox.write(ada, b"two")
        outbox.close(ada)
        assert log == [("bo", b"one"), ("ada", b"two"), ("ada", "closed")]

    in_a_loop(story)


def test_much_is_not_gathered_so_that_a_client_who_does_not_read_is_felt():
    async def story(outbox, ada, bo, log):
        outbox.write(ada, bytes(OUTBOX_BYTES_MAX))
        assert log == []
        outbox.write(bo, b"!")
        assert [(name, len(data)) for name, data in log] == [("ada", OUTBOX_BYTES_MAX), ("bo", 1)]

    in_a_loop(story)


class Turns:
    """A loop whose time and whose turns are the test's."""

    def __init__(self):
        self.now = 100.0
        self.busy = 0.0
        self.ready = []

    def time(self):
        return self.now

    def call_soon(self, callback):
        self.ready.append(callback)

    def outbox(self):
        return Outbox(cast("asyncio.AbstractEventLoop", self), lambda: self.busy)

    def turn(self):
        ready, self.ready = self.ready, []
        for callback in ready:
            callback()


def test_what_is_sent_now_and_then_goes_out_where_it_is_made():
    log: list[tuple[str, object]] = []
    loop, ada = Turns(), as_transport(Line("ada", log))
    outbox = loop.outbox()
    for number in range(300):  # 6,000 a second
        outbox.write(ada, b"%d" % number)
        assert log[-1] == ("ada", b"%d" % number)
        loop.now += 1 / 6000
    assert loop.ready == []


def test_a_crowd_is_noticed_and_so_is_its_end_and_nothing_overtakes():
    log: list[tuple[str, object]] = []
    loop, ada = Turns(), as_transport(Line("ada", log))
    outbox = loop.outbox()
    at_once = []
    for number in range(384):
        outbox.write(ada, b"%d" % number)
        at_once.append(len(log) == number + 1)
        if number % 16 == 15:
            loop.turn()
            loop.now += 0.0005 if number < 192 else 0.004  # 32,000 a second, then 4,000
    assert [data for _, data in log] == [b"%d" % number for number in range(384)]
    assert all(at_once[:63])
    assert all(at_once[-64:])
    assert not any(at_once[64:79])  # gathered until the turn ended


def test_a_busy_loop_gathers_even_when_it_sends_seldom():
    log: list[tuple[str, object]] = []
    loop, ada = Turns(), as_transport(Line("ada", log))
    outbox = loop.outbox()
    gathers = []
    for number in range(384):
        outbox.write(ada, b"%d" % number)
        loop.turn()
        loop.now += 0.001
        loop.busy += 0.0009 if number < 192 else 0.0005
        gathers.append(outbox.gathers)
    assert gathers[62:64] == [False, True]
    assert gathers[191] is True
    assert gathers[-1] is False
