"""Which worker takes a connection: the counts are written here by hand, as the workers tell them on the page that they share."""

import asyncio
import contextlib
import os
import socket

import pytest

from tokenroll.gateway.accepting import Acceptor, Attendance, attendance_page


@pytest.fixture
def of():
    """Makes the workers of one machine, so many."""
    pages = []

    def make(workers):
        pages.append(attendance_page(workers))
        return [Attendance(pages[-1], workers, number) for number in range(workers)]

    yield make
    for page in pages:
        os.close(page)


def test_each_of_two_takes_half_of_who_waits(of):
    one, other = of(2)
    assert (one.due(64), other.due(64)) == (32, 32)
    one.tell(32)
    assert (one.due(32), other.due(32)) == (0, 32)


def test_who_has_fewer_takes_until_they_are_even(of):
    one, other = of(2)
    one.tell(40)
    other.tell(10)
    assert (one.due(20), other.due(20)) == (-5, 20)
    assert (one.due(50), other.due(50)) == (10, 40)


def test_of_an_odd_one_it_is_the_turn_of_whoever_did_not_take_last(of):
    one, other = of(2)
    one.took()
    assert (one.due(1), other.due(1)) == (0, 1)
    other.took()
    assert (one.due(1), other.due(1)) == (1, 0)
    # of five that wait two are each one's in any case
    assert (one.due(5), other.due(5)) == (3, 2)


def test_three_that_are_not_even_share_what_there_is(of):
    one, other, third = of(3)
    one.tell(10)
    other.tell(4)
    third.tell(1)
    # fifteen and six are twenty-one, seven for each
    assert (one.due(6), other.due(6), third.due(6)) == (-3, 3, 6)


def test_two_share_evenly_beside_one_that_would_refuse_every_call(of):
    one, other, third = of(3)
    one.tell(10)
    other.tell(20)
    third.tell(1 << 32)
    # thirty and ten are forty, twenty for each of the two
    assert (one.due(10), other.due(10)) == (10, 0)
    assert third.due(10) < 0


def test_one_that_tells_nothing_is_passed_over_until_it_does(of):
    one, other = of(2)
    one.tell(5)
    one.pass_over(one.said())
    assert one.due(3) == 3
    other.tell(0)
    assert one.due(3) == -1


def test_a_word_that_came_while_it_was_waited_for_counts(of):
    one, other = of(2)
    one.tell(5)
    said = one.said()
    other.tell(1)
    one.pass_over(said)
    assert one.due(1) == -1


class Taken(asyncio.Protocol):
    """A connection that somebody took."""

    def __init__(self, connections):
        self._connections = connections

    def connection_made(self, transport):
        self._connections.append(transport)


@contextlib.asynccontextmanager
async def taking(attendance, listening, *, admits=True):
    """One worker's connections, as it takes them."""
    connections: list[asyncio.BaseTransport] = []
    acceptor = Acceptor(
        listening.dup(), attendance, lambda: Taken(connections), lambda: len(connections), lambda: admits
    )
    acceptor.start()
    try:
        yield connections
    finally:
        await acceptor.close()
        for transport in connections:
            transport.close()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the condition is the kernel's
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_two_take_what_comes_in_equal_parts(of, host):
    async def story():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with (
            socket.create_server((host, 0), family=family, backlog=128) as listening,
            contextlib.ExitStack() as clients,
        ):
            one, other = of(2)
            async with taking(one, listening) as first, taking(other, listening) as second:
                for _ in range(64):
                    clients.enter_context(socket.create_connection(listening.getsockname()[:2]))
                await until(lambda: len(first) + len(second) == 64)
                return len(first), len(second)

    assert asyncio.run(story()) == (32, 32)


def test_nobody_waits_for_one_that_does_not_come(of):
    """The other one has fewer, and is dead or stands still: it tells nothing and takes nothing."""

    async def story():
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, contextlib.ExitStack() as clients:
            one, _ = of(2)
            async with taking(one, listening) as connections:
                for _ in range(20):
                    clients.enter_context(socket.create_connection(listening.getsockname()))
                await until(lambda: len(connections) == 20)

    asyncio.run(story())


@pytest.mark.parametrize("told", [b"", bytes(104)])
def test_a_system_that_does_not_say_who_waits_is_served_too(of, told):
    """Some are a Linux by name alone: their word on the queue is none, or zeros. The other worker is dead."""

    class Untold(socket.socket):
        def getsockopt(self, *_):
            return told[:28]

    async def story():
        with socket.create_server(("127.0.0.1", 0), backlog=128) as made, contextlib.ExitStack() as clients:
            listening = Untold(fileno=made.dup().detach())
            clients.callback(listening.close)
            one, _ = of(2)
            async with taking(one, listening) as connections:
                for _ in range(20):
                    clients.enter_context(socket.create_connection(made.getsockname()))
                await until(lambda: len(connections) == 20)

    asyncio.run(story())


def test_who_would_refuse_every_call_leaves_them_to_whoever_serves(of):
    async def story():
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, contextlib.ExitStack() as clients:
            one, other = of(2)
            async with taking(one, listening, admits=False) as refusing, taking(other, listening) as serving:
                for _ in range(20):
                    clients.enter_context(socket.create_connection(listening.getsockname()))
                await until(lambda: len(serving) + len(refusing) == 20)
                return len(refusing)

    assert asyncio.run(story()) == 0


def test_where_nobody_serves_somebody_tells_so(of):
    async def story():
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, contextlib.ExitStack() as clients:
            one, other = of(2)
            async with taking(one, listening, admits=False) as first, taking(other, listening, admits=False) as second:
                for _ in range(20):
                    clients.enter_context(socket.create_connection(listening.getsockname()))
                await until(lambda: len(first) + len(second) == 20)

    asyncio.run(story())


def test_no_descriptor_left_is_tried_again(of):
    """The connection waits in the kernel's queue until there is one."""

    class Exhausted(socket.socket):
        refusals = 2

        def accept(self):
            if Exhausted.refusals:
                Exhausted.refusals -= 1
                raise OSError(24, "Too many open files")
            return super().accept()

        def dup(self):
            return Exhausted(fileno=os.dup(self.fileno()))

    async def story():
        with Exhausted() as listening, contextlib.ExitStack() as clients:
            listening.bind(("127.0.0.1", 0))
            listening.listen(8)
            [one] = of(1)
            async with taking(one, listening) as connections:
                clients.enter_context(socket.create_connection(listening.getsockname()))
                await until(lambda: len(connections) == 1)
            return Exhausted.refusals

    assert asyncio.run(story()) == 0
