"""The outbox: what a turn of the loop sends goes out together, in order, and never to a connection that has ended."""

import asyncio

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


def in_a_loop(story):
    async def run():
        log: list[tuple[str, object]] = []
        await story(Outbox(asyncio.get_running_loop()), Line("ada", log), Line("bo", log), log)

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
