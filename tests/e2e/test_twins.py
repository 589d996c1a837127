"""Calls that ask the same at the same time are sent once, and agents that loop are stopped: on real sockets, money from the tape.

`toy` costs 2,000 nanos an input token and 10,000 an output token, so the answer of 10 and 5 tokens costs 70,000. The request of 90
bytes is held at (90 + 16) × 4,000 + 5 × 10,000 = 474,000.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.cast import T0
from tests.e2e.edge_table import ANSWER, DONE, EVENT, EVENTS, USAGE, chunked
from tests.e2e.rig import (
    CREDIT,
    Exchange,
    RawClient,
    Rig,
    RigOptions,
    key_terms,
    raw_call,
    toy_card,
    until,
    wallet_terms,
)
from tests.e2e.test_it_bills_every_ending import ends, request, whole
from tokenroll.gateway import twins
from tokenroll.gateway.chunks import ChunkDecoder
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.edge import EdgeLimits

BODY = b'{"model":"toy","max_tokens":5,"temperature":0,"messages":[{"role":"user","content":"hi"}]}'
STREAM_BODY = BODY.replace(b'"max_tokens"', b'"stream":true,"max_tokens"')
WRONG = b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
COST, BOUND = 70_000, 474_000
SETTLED = ("settled", COST, "reported")
COALESCED = ("released: coalesced", 0, "")
PASSED_ON = chunked(EVENT, DONE)
"""What a client reads that has not asked for usage."""


def thrifty(tmp_path, **terms) -> Rig:
    """A worker with Ada's two keys and Bo's, whose plan says `terms`."""
    clock = terms.pop("clock", lambda: T0)
    edge = terms.pop("edge", EdgeLimits(tick_seconds=0.02))
    wallets = [wallet_terms(1, CREDIT, **terms), wallet_terms(2, CREDIT, **terms)]
    keys = [key_terms(1, 1, b"tr-ada"), key_terms(2, 1, b"tr-ada-2"), key_terms(3, 2, b"tr-bo")]
    return Rig(tmp_path, RigOptions(wallets=wallets, keys=keys, clock=clock, edge=edge))


class Talk:
    """Clients of one rig that ask in turn; each is at the provider, or waits for somebody's answer, before the next one asks."""

    def __init__(self, one: Rig) -> None:
        self.one = one
        self.clients: list[RawClient] = []

    async def ask(self, data: bytes | None = None) -> RawClient:
        before = len(self.one.provider.received.get(b"a", [])) + self.followers()
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: RawClient([data or request(BODY)]), "127.0.0.1", self.one.port)
        self.clients.append(client)
        await until(lambda: len(self.one.provider.received.get(b"a", [])) + self.followers() > before)
        return client

    def followers(self) -> int:
        return sum(len(call._followers or ()) for call in self.one.gateway.twins.values())

    async def answers(self) -> list[bytes]:
        self.one.provider.let_go()
        return [await asyncio.wait_for(client.closed, 10) for client in self.clients]


def asked(one: Rig, talk: Callable[[Talk], Awaitable[None]]) -> list[bytes]:
    async def run() -> list[bytes]:
        one.provider.withheld = one.provider.scripts[b"a"][0].withheld_from < 0
        told = Talk(one)
        await talk(told)
        return await told.answers()

    return one.call(run())


def leave(client: RawClient) -> None:
    """At once, with a reset: whoever only stops sending may still be reading."""
    sock = client.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()


def split(answer: bytes) -> tuple[dict[bytes, bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:]), body


def payload(answer: bytes) -> bytes:
    """Its body without the transfer coding."""
    decoder = ChunkDecoder()
    decoder.feed(split(answer)[1])
    assert decoder.done
    return b"".join(decoder.pieces)


# ---- coalescing -----------------------------------------------------------------------------------------------


def test_what_is_asked_twice_at_the_same_time_is_sent_once_and_charged_once(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            for _ in range(3):
                await told.ask()

        first, *others = asked(one, talk)
        assert len(one.provider.received[b"a"]) == 1
        leader, body = split(first)
        assert body == ANSWER
        assert leader[b"x-tokenroll-cost"] == b"0.000070000"
        assert b"x-tokenroll-coalesced" not in leader
        for other in others:
            told, body = split(other)
            assert body == ANSWER
            assert told[b"x-tokenroll-cost"] == b"0.000000000"
            assert told[b"x-tokenroll-coalesced"] == leader[b"x-tokenroll-call-id"] != told[b"x-tokenroll-call-id"]
        assert ends(one) == [SETTLED, COALESCED, COALESCED]
        assert [end.bound_nanos for end in one.ended()[1]] == [BOUND] * 3
        assert one.ask(lambda: one.spending.wallets[1].available_nanos) == CREDIT - COST
        assert (one.gateway.twins, one.gateway.kept_bytes) == ({}, 0)


def test_a_stream_is_shared_from_its_beginning_whenever_somebody_joins(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(EVENT)[:-5], chunked(USAGE, DONE)], withheld_from=1)]

        async def talk(told):
            client = await told.ask(request(STREAM_BODY))
            await until(lambda: b"yo" in client.got)
            late = await told.ask(request(STREAM_BODY))
            await until(lambda: b"yo" in late.got)

        first, second = asked(one, talk)
        assert len(one.provider.received[b"a"]) == 1
        assert split(first)[1] == split(second)[1] == PASSED_ON
        assert split(second)[0][b"x-tokenroll-coalesced"] == split(first)[0][b"x-tokenroll-call-id"]
        assert ends(one) == [SETTLED, COALESCED]


@pytest.mark.parametrize("total", [True, False], ids=["of all", "of one"])
def test_an_answer_too_large_to_keep_goes_to_who_is_there_and_who_comes_late_is_sent(tmp_path, monkeypatch, total):
    edge = EdgeLimits(tick_seconds=0.02)
    if total:
        monkeypatch.setattr(twins, "KEPT_ANSWERS_BYTES_MAX", 100)
    else:
        edge = EdgeLimits(tick_seconds=0.02, buffered_response_bytes=100)
    with thrifty(tmp_path, coalesce=True, edge=edge) as one:
        again = EVENTS + chunked(EVENT, USAGE, DONE)
        first_part = EVENTS + chunked(EVENT, EVENT)[:-5]
        one.provider.scripts[b"a"] = [Exchange([first_part, chunked(USAGE, DONE)], withheld_from=1), Exchange([again])]

        async def talk(told):
            one.provider.withheld = True
            first = await told.ask(request(STREAM_BODY))
            await told.ask(request(STREAM_BODY))
            one.provider.withheld = False
            one.provider.waiting.pop()()  # its first part
            await until(lambda: first.got.count(b"yo") == 2)
            await told.ask(request(STREAM_BODY))

        first, second, late = asked(one, talk)
        assert payload(first) == payload(second) == EVENT + EVENT + DONE
        assert payload(late) == EVENT + DONE
        assert ends(one) == [SETTLED, COALESCED, SETTLED]
        assert (one.gateway.twins, one.gateway.kept_bytes) == ({}, 0)


def test_a_whole_answer_that_is_too_large_for_its_cost_is_shared_as_it_comes(tmp_path):
    with thrifty(tmp_path, coalesce=True, edge=EdgeLimits(tick_seconds=0.02, buffered_response_bytes=100)) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            await told.ask()
            await told.ask()

        first, second = asked(one, talk)
        assert split(first)[1] == ANSWER
        assert split(second)[1] == chunked(ANSWER)
        assert b"x-tokenroll-cost" not in split(second)[0]
        assert ends(one) == [SETTLED, COALESCED]


def test_a_follower_that_does_not_read_holds_the_provider_back_until_it_does_or_leaves(tmp_path):
    body = b'{"pad":"' + b"a" * 6_000_000 + b'",' + ANSWER[1:]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([head + body])]

        async def talk(told):
            await told.ask()
            slow, leaver = await told.ask(), await told.ask()
            for client in (slow, leaver):
                client.transport.pause_reading()
            one.provider.let_go()
            (leader,) = one.gateway.twins.values()
            upstream = leader._upstream
            assert upstream is not None
            await until(lambda: leader._slow_count == 2)
            assert not upstream.transport.is_reading()
            leave(leaver)
            await until(lambda: leader._slow_count == 1)
            assert not upstream.transport.is_reading()
            slow.transport.resume_reading()

        first, second, _ = asked(one, talk)
        assert split(first)[1] == payload(second) == body
        assert ends(one) == [
            ("settled", COST, "estimated"),
            COALESCED,
            COALESCED,
        ]  # of so large an answer the tail is read


def test_an_old_client_reads_a_shared_stream_until_the_connection_ends(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(EVENT)[:-5], chunked(USAGE, DONE)], withheld_from=1)]

        async def talk(told):
            await told.ask(request(STREAM_BODY).replace(b"HTTP/1.1", b"HTTP/1.0"))
            await told.ask(request(STREAM_BODY).replace(b"HTTP/1.1", b"HTTP/1.0"))

        first, second = asked(one, talk)
        assert split(first)[1] == split(second)[1] == EVENT + DONE
        assert ends(one) == [SETTLED, COALESCED]


def test_when_the_first_one_fails_the_others_go_their_own_way(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([WRONG]), Exchange([whole()])]

        async def talk(told):
            for _ in range(3):
                await told.ask()

        first, *others = asked(one, talk)
        assert first.startswith(b"HTTP/1.1 500 ")
        for other in others:
            assert split(other)[1] == ANSWER
            assert split(other)[0][b"x-tokenroll-cost"] == b"0.000070000"
        assert len(one.provider.received[b"a"]) == 3
        assert ends(one) == [("released: provider error", 0, ""), SETTLED, SETTLED]


def test_a_provider_that_hangs_up_before_its_answer_fails_only_the_first(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([], close="fin"), Exchange([whole()])]

        async def talk(told):
            await told.ask()
            await told.ask()

        first, second = asked(one, talk)
        assert first.startswith(b"HTTP/1.1 502 ")
        assert split(second)[1] == ANSWER
        assert ends(one) == [("suspense", 0, ""), SETTLED]


def test_a_stream_that_is_cut_is_cut_for_all_who_read_it(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(EVENT)[:-5], b""], close="fin", withheld_from=1)]

        async def talk(told):
            client = await told.ask(request(STREAM_BODY))
            await until(lambda: b"yo" in client.got)
            await told.ask(request(STREAM_BODY))

        first, second = asked(one, talk)
        assert split(first)[1] == split(second)[1] == chunked(EVENT)[:-5]
        assert ends(one) == [("suspense", 0, ""), COALESCED]


def test_a_client_that_gave_up_and_asks_again_gets_the_answer_of_its_first_try(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            gone = await told.ask(request(BODY, extra=b"x-stainless-retry-count: 0\r\n"))
            leave(gone)
            await until(lambda: not one.gateway.clients)
            await told.ask(request(BODY, extra=b"x-stainless-retry-count: 1\r\nConnection: close\r\n"))

        _, second = asked(one, talk)
        assert split(second)[1] == ANSWER
        assert split(second)[0][b"x-tokenroll-cost"] == b"0.000000000"
        assert len(one.provider.received[b"a"]) == 1
        assert ends(one) == [SETTLED, COALESCED]


def test_an_answer_is_read_past_the_drain_for_who_still_waits_for_it(tmp_path):
    edge = EdgeLimits(tick_seconds=0.02, drain_seconds=0.04, drain_bytes=10)
    with thrifty(tmp_path, coalesce=True, edge=edge) as one:
        one.provider.scripts[b"a"] = [Exchange([EVENTS + chunked(EVENT)[:-5], chunked(USAGE, DONE)], withheld_from=1)]

        async def talk(told):
            gone = await told.ask(request(STREAM_BODY))
            await told.ask(request(STREAM_BODY))
            leave(gone)
            await until(lambda: len(one.gateway.clients) == 1)
            now = one.gateway.wheel.now
            await until(lambda: one.gateway.wheel.now > now + 5)

        _, second = asked(one, talk)
        assert split(second)[1] == PASSED_ON
        assert ends(one) == [SETTLED, COALESCED]


def test_who_follows_to_another_model_is_told_which(tmp_path):
    deployment = Deployment(
        name="first", dialect="openai", base_url="", api_key="sk-first", fallbacks={"toy": ("tin",)}
    )
    options = RigOptions(
        wallets=[wallet_terms(1, CREDIT, coalesce=True)], edge=EdgeLimits(tick_seconds=0.02),
        cards=[toy_card(), toy_card(2, model="tin")], made=lambda bases: [replace(deployment, base_url=bases[0])],
    )  # fmt: skip
    with Rig(tmp_path, options) as one:
        one.provider.scripts[b"a"] = [Exchange([WRONG]), Exchange([whole()])]

        async def talk(told):
            await told.ask()
            await told.ask()

        first, second = asked(one, talk)
        for answer in (first, second):
            assert split(answer)[0][b"x-tokenroll-model"] == b"tin"
            assert split(answer)[1] == ANSWER
        assert len(one.provider.received[b"a"]) == 2
        assert ends(one) == [("released: provider error", 0, ""), COALESCED, SETTLED]


def test_calls_that_would_be_sent_with_different_caps_are_no_twins(tmp_path):
    uncapped = BODY.replace(b'"max_tokens":5,', b"")  # a quarter of what is left: 4,096 at most, less for the second
    with Rig(tmp_path, RigOptions(wallets=[wallet_terms(1, CREDIT // 10, coalesce=True)])) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            await told.ask(request(uncapped))
            await told.ask(request(uncapped))

        first, second = asked(one, talk)
        assert split(first)[0][b"x-tokenroll-output-cap"] != split(second)[0][b"x-tokenroll-output-cap"]
        assert len(one.provider.received[b"a"]) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_defect_in_one_follower_is_not_the_others_nor_the_leaders(tmp_path, monkeypatch, stream):
    step = "open" if stream else "give_whole"
    real = getattr(twins.TwinCall, step)
    told: list[object] = []

    def broken(call, *arguments):
        told.append(call)
        if len(told) == 1:
            raise RuntimeError("broken on purpose")
        real(call, *arguments)

    monkeypatch.setattr(twins.TwinCall, step, broken)
    with thrifty(tmp_path, coalesce=True) as one:
        answer = EVENTS + chunked(EVENT, USAGE, DONE) if stream else whole()
        one.provider.scripts[b"a"] = [Exchange([answer])]

        async def talk(told):
            for _ in range(3):
                await told.ask(request(STREAM_BODY if stream else BODY))

        first, second, third = asked(one, talk)
        assert split(first)[0][b"x-tokenroll-call-id"] == split(third)[0][b"x-tokenroll-coalesced"]
        assert second.startswith(b"HTTP/1.1 500 ")
        assert sorted(ends(one)) == sorted([SETTLED, ("released: not sent", 0, ""), COALESCED])
        assert not one.ask(lambda: one.spending.open_holds)


def test_a_follower_that_leaves_costs_nothing_and_disturbs_nobody(tmp_path):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            await told.ask()
            gone = await told.ask()
            leave(gone)
            await until(lambda: not told.followers())

        first, _ = asked(one, talk)
        assert split(first)[1] == ANSWER
        assert ends(one) == [SETTLED, ("released: not sent", 0, "")]


@pytest.mark.parametrize(
    "other",
    [
        request(BODY.replace(b"hi", b"ho")),
        request(BODY, extra=b"Connection: close\r\nanthropic-beta: x\r\n"),
        request(BODY, extra=b"Connection: close\r\nx-tokenroll-tags: project=atlas\r\n"),
        request(BODY).replace(b"tr-ada", b"tr-ada-2"),
        request(BODY).replace(b"tr-ada", b"tr-bo"),
        request(BODY, path=b"/v1/chat/completions?api-version=2"),
        request(STREAM_BODY),
    ],
    ids=["text", "header", "tags", "key", "person", "query", "stream"],
)
def test_what_differs_is_no_twin(tmp_path, other):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            await told.ask()
            await told.ask(other)

        asked(one, talk)
        assert len(one.provider.received[b"a"]) == 2


@pytest.mark.parametrize(
    "changed",
    [
        BODY.replace(b'"temperature":0,', b""),
        BODY.replace(b'"temperature":0', b'"temperature":0.2'),
        BODY.replace(b'"temperature":0', b'"temperature":null'),
        BODY.replace(b'"temperature":0', b'"temperature":0,"n":2'),
        BODY.replace(b'"temperature":0', b'"temperature":0,"store":true'),
    ],
    ids=["no temperature", "a temperature", "null", "two choices", "kept by the provider"],
)
def test_what_may_have_two_answers_is_asked_twice(tmp_path, changed):
    with thrifty(tmp_path, coalesce=True) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            await told.ask(request(changed))
            await told.ask(request(changed))

        asked(one, talk)
        assert len(one.provider.received[b"a"]) == 2


@pytest.mark.parametrize("terms", [{}, {"break_loops": 3}, {"cap_hints": True}])
def test_nothing_is_coalesced_unless_the_plan_says_so(tmp_path, terms):
    with thrifty(tmp_path, **terms) as one:
        one.provider.scripts[b"a"] = [Exchange([whole()])]

        async def talk(told):
            await told.ask()
            await told.ask()

        asked(one, talk)
        assert ends(one) == [SETTLED, SETTLED]


# ---- loops ----------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> int:
        self.now += 1_000
        return self.now

    def pass_seconds(self, seconds: int) -> None:
        self.now += seconds * 1_000_000


def looping(tmp_path, clock=None, **terms) -> Rig:
    one = thrifty(tmp_path, clock=clock or Clock(), **{"break_loops": 3} | terms)
    one.provider.scripts[b"a"] = [Exchange([whole()])]
    return one


def ask(one: Rig, body: bytes = BODY, extra: bytes = b"Connection: close\r\n", **options) -> bytes:
    return one.call(raw_call(one.port, [request(body, extra=extra, **options)]))


def statuses(answers: list[bytes]) -> list[int]:
    return [int(one.split(b" ")[1]) for one in answers]


def test_the_same_request_after_three_answers_to_it_is_refused_with_how_to_go_on(tmp_path):
    with looping(tmp_path) as one:
        assert statuses([ask(one) for _ in range(3)]) == [200, 200, 200]
        refused = ask(one)
        told, body = split(refused)
        assert refused.startswith(b"HTTP/1.1 429 ")
        assert told[b"x-tokenroll-denied"] == b"loop_broken"
        assert told[b"x-should-retry"] == b"false"
        assert told[b"retry-after"] == b"60"
        assert b'"code": "loop_broken"' in body
        assert b"wait 60 seconds" in body
        assert b"`x-tokenroll-loops: allow`" in body
        assert ends(one) == [SETTLED, SETTLED, SETTLED, ("released: loop broken", 0, "")]
        assert len(one.provider.received[b"a"]) == 3
        assert one.ask(lambda: one.spending.wallets[1].available_nanos) == CREDIT - 3 * COST


def test_after_a_minute_it_goes_on(tmp_path):
    clock = Clock()
    with looping(tmp_path, clock) as one:
        assert statuses([ask(one) for _ in range(4)]) == [200, 200, 200, 429]
        clock.pass_seconds(59)
        assert statuses([ask(one)]) == [429]
        clock.pass_seconds(1)
        assert statuses([ask(one) for _ in range(4)]) == [200, 200, 200, 429]


def test_who_polls_once_a_minute_is_never_refused(tmp_path):
    clock = Clock()
    with looping(tmp_path, clock) as one:
        for _ in range(5):
            assert statuses([ask(one)]) == [200]
            clock.pass_seconds(60)


def test_who_means_it_says_so(tmp_path):
    allow = b"Connection: close\r\nx-tokenroll-loops: allow\r\n"
    with looping(tmp_path) as one:
        assert statuses([ask(one, extra=allow) for _ in range(5)]) == [200] * 5
        assert b"x-tokenroll-loops" not in one.provider.received[b"a"][0]
        wrong = ask(one, extra=b"x-tokenroll-loops: yes\r\n")
        assert wrong.startswith(b"HTTP/1.1 400 ")
        assert b"x-tokenroll-loops is `allow`, or it is left out." in wrong


def test_trying_again_after_failures_is_no_loop(tmp_path):
    with looping(tmp_path) as one:
        one.provider.scripts[b"a"] = [Exchange([WRONG])] * 6 + [Exchange([whole()])]
        assert statuses([ask(one) for _ in range(7)]) == [500] * 6 + [200]


def test_asking_for_one_more_sample_is_no_loop(tmp_path):
    with looping(tmp_path) as one:
        sampled = BODY.replace(b'"temperature":0', b'"temperature":1')
        assert statuses([ask(one, sampled) for _ in range(6)]) == [200] * 6


def test_embedding_the_same_text_again_is_no_loop(tmp_path):
    with looping(tmp_path) as one:
        embed = b'{"model":"toy","input":"hi"}'
        answer = b'{"object":"list","data":[],"model":"toy","usage":{"prompt_tokens":1,"total_tokens":1}}'
        one.provider.scripts[b"a"] = [Exchange([whole(answer)])]
        assert statuses([ask(one, embed, path=b"/v1/embeddings") for _ in range(5)]) == [200] * 5


def test_what_runs_side_by_side_is_no_row(tmp_path):
    with looping(tmp_path) as one:

        async def talk(told):
            for _ in range(6):
                await told.ask()

        assert statuses(asked(one, talk)) == [200] * 6
        assert statuses([ask(one)]) == [200]


def test_two_sessions_of_one_key_are_two_agents(tmp_path):
    with looping(tmp_path) as one:
        for session in (b"one", b"two"):
            tags = b"Connection: close\r\nx-tokenroll-tags: session=%b\r\n" % session
            assert statuses([ask(one, extra=tags) for _ in range(4)]) == [200, 200, 200, 429]


@pytest.mark.parametrize("enforcement", ["observe", "warn"])
def test_a_plan_that_is_not_enforced_refuses_no_loop_and_counts_it(tmp_path, enforcement):
    with looping(tmp_path, enforcement=enforcement) as one:
        assert statuses([ask(one) for _ in range(5)]) == [200] * 5
        assert one.ask(lambda: one.gateway.metrics.loops_passed) == 2


def conversation(*results: bytes) -> bytes:
    """An agent that called the same tool again and again, and what came of it."""
    call = b'{"role":"assistant","content":null,"tool_calls":[{"id":"c%d","type":"function","function":{"name":"ls","arguments":"{}"}}]}'
    turns = [
        call % place + b',{"role":"tool","tool_call_id":"c%d","content":"%b"}' % (place, result)
        for place, result in enumerate(results)
    ]
    return (
        b'{"model":"toy","max_tokens":5,"tools":[{"type":"function","function":{"name":"ls"}}],"messages":'
        b'[{"role":"user","content":"go"},' + b",".join(turns) + b"]}"
    )


def test_an_agent_whose_tools_say_the_same_three_times_is_stopped(tmp_path):
    with looping(tmp_path) as one:
        talk = [conversation(*[b"empty"] * turns) for turns in range(1, 5)]
        assert statuses([ask(one, body) for body in talk]) == [200, 200, 429, 429]
        assert statuses([ask(one, conversation(b"empty", b"empty", b"empty", b"a file"))]) == [200]


def test_an_agent_that_polls_and_hears_something_new_goes_on(tmp_path):
    with looping(tmp_path) as one:
        results = [b"10 %", b"20 %", b"30 %", b"40 %", b"50 %"]
        talk = [conversation(*results[:turns]) for turns in range(1, 6)]
        assert statuses([ask(one, body) for body in talk]) == [200] * 5
