"""A call whose plan wants thrift at the wire: it follows a call that asks the same, and is refused when its agent loops (docs/thrift.md).

Everything here begins once the call is admitted and its hold is durable, and ends before anything of it is sent: a call that follows
or is refused is released, never dispatched, with its own line in the ledger. Calls of other keys are plain Calls and know nothing of it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenroll.gateway.answers import status_line
from tokenroll.gateway.chunks import LAST_CHUNK, chunk
from tokenroll.gateway.heads import RequestHead, ResponseHead
from tokenroll.gateway.telling import forward_lines, hold_lines, whole_lines
from tokenroll.gateway.thrifty import ThriftyCall
from tokenroll.model.enforcement import Enforcement
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.instant import Instant
from tokenroll.model.limits import FOLLOWERS_MAX, KEPT_ANSWERS_BYTES_MAX, LOOP_PAUSE_SECONDS
from tokenroll.model.tag import SESSION
from tokenroll.services.hot import HotHold, HotKey, HotThrift
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import WHO_RUNS_IT, CallMeter, ErrorAnswer
from tokenroll.upstream.sameness import is_deterministic, last_turns

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.upstream import UpstreamConnection

_OF_THE_CLIENT: Final = (b"x-stainless-", b"user-agent:")
"""Header lines that describe a client and nothing of what it asks: the second try of an official client differs in one of them."""
_SESSION_TAG: Final = SESSION + "="
_LOOP_STATUS: Final = 429
_LOOP_CODE: Final = "loop_broken"


class Answer(NamedTuple):
    """Whose answer a follower gets: the leader's hold, call id, and the head of what its provider says."""

    hold: HotHold
    call_id: bytes
    status: int
    response: ResponseHead


class TwinCall(ThriftyCall):
    """See the module.

    A leader is a call that others may follow: the first of its kind under way. A follower waits for the leader's answer, which it
    gets byte for byte, and goes its own way when the leader fails it before the first byte.
    """

    __slots__ = (
        "_filter", "_followers", "_is_open", "_keeps", "_kept", "_kept_bytes", "_lags", "_leader", "_request", "_slow_count", "_twin",
    )  # fmt: skip

    def __init__(
        self, client: "ClientConnection", head: RequestHead, key: HotKey, body: bytes, now: Instant, terms: HotThrift
    ) -> None:
        super().__init__(client, head, key, body, now, terms)
        self._request = b""
        """The keyed hash of what it asks, where asking that again and again would be a loop."""
        self._twin = b""
        """The keyed hash under which others find it, or it found another."""
        self._leader: TwinCall | None = None
        self._followers: list[TwinCall] | None = None
        """Who waits for its answer; None: nobody may."""
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        """The answer so far, for who comes late."""
        self._keeps = True
        """Whether all of it is there: not of an answer that is too large to keep."""
        self._is_open = False
        """Whether the answer's beginning has gone to the followers, or, of a follower, to its client."""
        self._slow_count = 0
        """Followers whose clients read slower than the provider writes."""
        self._lags = False
        """Whether this follower is one of them."""
        self._filter: CallMeter | None = None
        """What withholds from a follower's client the usage that it has not asked for."""

    # ---- before anything is sent ------------------------------------------------------------------------

    def find_connection(self) -> None:
        """The hold survives: the one moment at which this call may be spared."""
        if self._previous is None and self._client is not None and not self._twin:
            terms = self._terms
            same = (terms.coalesce or terms.break_loops > 0) and is_deterministic(
                self._dialect, self._asked, self._facts
            )
            if terms.break_loops and self._loops(terms.break_loops, same):
                return
            if terms.coalesce and same and self._follows():
                return
        super().find_connection()
        self._look()

    def _loops(self, times: int, same: bool) -> bool:
        """Whether it is refused because its agent has asked, or done, the same so many times in a row."""
        gateway = self.gateway
        head = self._head
        if head.allows_loops:
            return False
        facts = self._facts
        has_tools = facts.has_tools
        if not (has_tools or (same and facts.has_output)):  # another sample of a text, or a text embedded again
            return False
        self._request = self._fingerprint(b"request")
        turns: Iterable[bytes] = last_turns(self._dialect, self._asked) if has_tools else ()
        now = gateway.clock()
        seconds = gateway.loops.wait_seconds(self._agent(), self._request, turns, times, now)
        if not seconds:
            return False
        if self._key.wallet.enforcement != Enforcement.ENFORCE:
            gateway.metrics.loops_passed += 1
            return False
        gateway.metrics.denials[_LOOP_CODE] += 1
        self._release(ReleaseReason.LOOP_BROKEN)
        answer = self._dialect.error(
            _LOOP_STATUS,
            _LOOP_CODE,
            _loop_sentence(times, seconds),
            should_retry=False,
            retry_after_seconds=seconds,
        )
        denied = b"x-tokenroll-denied: %b\r\n" % _LOOP_CODE.encode()
        self._give(ErrorAnswer(answer.status, answer.headers + denied, answer.body))
        return True

    def _agent(self) -> tuple[int, str]:
        """Whose call it is: its key's, or a session's of it."""
        for tags in (self._head.tags, self._facts.tags):
            if _SESSION_TAG in tags:
                for tag in tags.split(","):
                    if tag.startswith(_SESSION_TAG):
                        return self._key.id, tag
        return self._key.id, ""

    def _fingerprint(self, what: bytes, *said: bytes) -> bytes:
        """The keyed hash of all that its key asks, and at which endpoint."""
        spending = self.gateway.spending
        key = self._key
        scope = (what, b"%d %d" % (key.id, self._dialect.index), self._head.query, *said)
        return spending.fingerprints.of(spending.cycle_ends_at(key, self._now), scope, self._asked)

    def _note_answer(self, now: Instant) -> None:
        """It was answered well and its client is there: one more in its agent's row."""
        terms = self._terms
        if terms.break_loops and not self._head.allows_loops:
            self.gateway.loops.answered(self._agent(), self._request, self._now, now)

    def _follows(self) -> bool:
        """Whether a call that asks the same is under way and will answer this one, too; if none is, this one leads."""
        gateway = self.gateway
        head = self._head
        said = [one for one in head.forward.split(b"\r\n") if not one.lower().startswith(_OF_THE_CLIENT)]
        hold = self.hold  # what would be sent must be the same, too: caps and models are lowered by what is left
        sent = f"{hold.upstream_model}\n{hold.output_cap_tokens}\n{hold.service_tier}"
        twin = self._twin = self._fingerprint(b"twin", head.tags.encode(), sent.encode(), *said)
        leader = gateway.twins.get(twin)
        if leader is None:
            gateway.twins[twin] = self
            self._followers = []
            return False
        return leader.takes(self)

    # ---- leading ----------------------------------------------------------------------------------------

    def takes(self, follower: "TwinCall") -> bool:
        """Whether one more may wait for the answer; what is there already goes to it at once."""
        followers = self._followers
        if followers is None or len(followers) >= FOLLOWERS_MAX:
            return False
        followers.append(follower)
        follower.follow(self)
        if self._client is None:
            self._stay()
        if self._is_open:
            follower.open(self._answer(self._response), self._kept)
        return True

    def _answer(self, response: ResponseHead) -> "Answer":
        return Answer(self.hold, self._call_id, self._status, response)

    def _stay(self) -> None:
        """The answer is read as if its own client were there: others are."""
        upstream = self._upstream
        if upstream is None or upstream.closed:
            return
        pool = self._route.pool
        now = self.gateway.wheel.now
        self._drain_until = now + pool.answer_ticks
        upstream.deadline = now + (pool.idle_ticks if self.is_answering else pool.first_byte_ticks)

    def forget(self, follower: "TwinCall") -> None:
        """A follower's client has left. When nobody is left, the answer is drained as any other."""
        followers = self._followers
        if followers is None or follower not in followers:
            return
        followers.remove(follower)
        upstream = self._upstream
        if not followers and self._client is None and upstream is not None and not upstream.closed:
            self._drain_until = self.gateway.wheel.now + self.gateway.ticks.drain
            self._drained_bytes = self._relayed_bytes if self.is_answering else 0
            upstream.deadline = min(upstream.deadline or self._drain_until, self._drain_until)

    def _take_followers(self) -> "Sequence[TwinCall]":
        """Who waits for the answer; from now on nobody does."""
        followers = self._followers
        if followers is None:
            return ()
        self._followers = None
        self._drop()
        self._shut()
        return followers

    def _drop(self) -> None:
        """What was kept of an answer is kept no more."""
        self.gateway.kept_bytes -= self._kept_bytes
        self._kept = []
        self._kept_bytes = 0

    def _shut(self) -> None:
        """Nobody finds it any more."""
        twins = self.gateway.twins
        if twins.get(self._twin) is self:
            del twins[self._twin]

    def _fail(self) -> None:
        """It will have no answer for its followers: each goes its own way."""
        _each(self._take_followers(), lambda one: one.go_alone())

    def _look(self) -> None:
        """After whatever may have ended an attempt without another one under way."""
        if self._followers is not None and self.hold.state != "held":
            self._fail()

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """See Call."""
        super().on_whole(response, payload)
        if not self._meter.saw_usage:
            self._fail()
            return
        self._note_answer(self.hold.first_byte_at)
        followers = self._take_followers()
        if followers:
            answer = self._answer(response)
            _each(followers, lambda one: one.give_whole(answer, payload))

    def on_head(self, response: ResponseHead) -> None:
        """See Call."""
        super().on_head(response)
        self._drop()
        self._keeps = True
        if response.event_stream or response.content_length > self.gateway.edge.buffered_response_bytes:
            self._begin_followers()

    def _begin_followers(self) -> None:
        """The answer goes on as it comes."""
        if self._followers is not None and self._status < 300:
            self._is_open = True
            answer = self._answer(self._response)
            _each(self._followers, lambda one: one.open(answer, self._kept))

    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """See Call."""
        super().on_data(raw, payload, one_chunk=one_chunk)
        followers = self._followers
        if followers is None or self._status >= 300:
            return
        if self._is_open and followers:
            _each(followers, lambda one: one.relay(payload))
        if not self._keeps:
            return
        gateway = self.gateway
        self._kept.append(payload)
        self._kept_bytes += len(payload)
        gateway.kept_bytes += len(payload)
        if self._kept_bytes > gateway.edge.buffered_response_bytes or gateway.kept_bytes > KEPT_ANSWERS_BYTES_MAX:
            if not self._is_open:
                self._begin_followers()
            self._keeps = False
            self._drop()
            self._shut()

    def on_end(self) -> None:
        """See Call."""
        is_there = self._client is not None
        super().on_end()
        if self.hold.state == "held":  # it goes on elsewhere
            return
        if self._status >= 300 or not (self._is_open or self._meter.saw_usage):
            self._fail()
            return
        if is_there:
            self._note_answer(self.gateway.clock())
        answer, payload = self._answer(self._response), b"".join(self._kept)
        if self._is_open:
            _each(self._take_followers(), lambda one: one.close())
        else:
            _each(self._take_followers(), lambda one: one.give_whole(answer, payload))

    def _give_up(self) -> None:
        if self._followers:
            self._drained_bytes = self._relayed_bytes
            self._stay()
            return
        super()._give_up()
        self._fail()

    def _give(self, answer: ErrorAnswer) -> None:
        super()._give(answer)
        self._fail()

    def dialled(self, upstream: "UpstreamConnection | None", error: str) -> None:
        """See Call."""
        super().dialled(upstream, error)
        self._look()

    def upstream_lost(self, finish: Finish, message: str) -> None:
        """See Call."""
        super().upstream_lost(finish, message)
        self._look()

    def client_gone(self) -> None:
        """See Call. A follower is missed by nobody; a leader goes on for its followers."""
        leader = self._leader
        if leader is None:
            super().client_gone()
            self._look()
            if self._followers:
                self._stay()
            return
        if self._lags:
            self._lags = False
            leader.wait_for(-1)
        leader.forget(self)
        self._leader = self._client = None
        if not self._is_open:
            self._release(ReleaseReason.NOT_SENT)

    def wait_for(self, slow_count: int) -> None:
        """So many more followers' clients read slower than the provider writes."""
        self._slow_count += slow_count
        if slow_count > 0:
            self.pause_upstream()
        else:
            self.resume_upstream()

    def on_fault(self, error: Exception) -> None:
        """See Call. A follower whose answer has begun is cut; nobody waits for it or with it any more."""
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.forget(self)
        if self.hold.state == "held":
            super().on_fault(error)
            return
        client, self._client = self._client, None
        if client is not None:
            client.cut()

    def pause_upstream(self) -> None:
        """See Exchange."""
        leader = self._leader
        if leader is None:
            super().pause_upstream()
        elif not self._lags:
            self._lags = True
            leader.wait_for(1)

    def resume_upstream(self) -> None:
        """See Exchange. The provider goes on when all who read its answer have caught up."""
        leader = self._leader
        if leader is not None:
            if self._lags:
                self._lags = False
                leader.wait_for(-1)
        elif not self._slow_count and (self._client is None or not self._client.writing_paused):
            super().resume_upstream()

    # ---- following --------------------------------------------------------------------------------------

    def follow(self, leader: "TwinCall") -> None:
        """From now on it waits for the leader's answer."""
        self._leader = leader

    def _spare(self, answer: "Answer") -> bytes:
        """Nothing of it is sent and nothing charged: the leader's attempt was answered for both. The call's id."""
        gateway = self.gateway
        hold = self.hold
        now = hold.first_byte_at = gateway.clock()
        gateway.spending.release(hold, ReleaseReason.COALESCED, now, answer.status, answer.hold)
        gateway.metrics.ends["released_coalesced"] += 1
        gateway.commit.soon()
        return b"call_" + hold.call_number_bytes.hex().encode()

    def _lines(self, answer: "Answer", ours: bytes) -> bytes:
        """The head of the answer without its framing: the provider's lines, ours, and whose answer it is."""
        forward = forward_lines(answer.response, self.hold.limited)
        other = answer.hold
        if other.upstream_model != self.hold.upstream_model and other.limited is not None:  # a fallback answered
            ours += other.limited.notes
        return b"%b%b%bx-tokenroll-coalesced: %b\r\n" % (status_line(answer.status), forward, ours, answer.call_id)

    def give_whole(self, answer: "Answer", body: bytes) -> None:
        """The leader's whole answer."""
        gateway = self.gateway
        call_id = self._spare(answer)
        self._leader = None
        client = self._take_client()
        lines = self._lines(answer, whole_lines(gateway, self.hold, call_id, 0))
        length = b"\r\n" if answer.status == 204 else b"content-length: %d\r\n\r\n" % len(body)
        gateway.outbox.write(client.transport, b"%b%b%b%b" % (lines, client.connection_line(), length, body))
        client.finished()

    def open(self, answer: "Answer", kept: list[bytes]) -> None:
        """The leader's answer goes on as it comes, from its beginning."""
        gateway = self.gateway
        response = answer.response
        call_id = self._spare(answer)
        self._is_open = True
        if self._inject and response.event_stream and response.content_encoding in {b"", b"identity"}:
            self._filter = self._dialect.meter(stream=True, withhold_usage=True)
        client = self._client_now()
        framing = (
            b"connection: close\r\n\r\n"
            if client.is_http10
            else client.connection_line() + b"transfer-encoding: chunked\r\n\r\n"
        )
        lines = self._lines(answer, hold_lines(gateway, self.hold, call_id))
        gateway.outbox.write(client.transport, lines + framing)
        for payload in kept:
            self.relay(payload)

    def relay(self, payload: bytes) -> None:
        """More of the leader's answer."""
        out = payload if self._filter is None else self._filter.feed(payload)
        client = self._client_now()
        if out:
            self.gateway.outbox.write(client.transport, out if client.is_http10 else chunk(out))

    def close(self) -> None:
        """The leader's answer is whole."""
        tail = b"" if self._filter is None else self._filter.finish()
        self._leader = None
        client = self._take_client()
        outbox = self.gateway.outbox
        if client.is_http10:
            outbox.write(client.transport, tail)
            outbox.close(client.transport)
        else:
            outbox.write(client.transport, chunk(tail) + LAST_CHUNK)
        client.finished()

    def go_alone(self) -> None:
        """The leader has failed it: it is sent after all, or cut where the failure shows."""
        self._leader = None
        if self._is_open:
            self._take_client().cut()
        else:
            super().find_connection()


def _each(followers: Sequence[TwinCall], step: Callable[[TwinCall], None]) -> None:
    """A step of all of them. A defect in one is not the others', nor the leader's."""
    for one in tuple(followers):
        try:
            step(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one's own
            one.on_fault(error)


def _loop_sentence(times: int, seconds: int) -> str:
    return (
        f"This looks like a loop: the same request, or the same tools with the same results, came {times} times in a row, and the plan of "
        f"this key stops there. Nothing was sent or charged. Change what is asked, or wait {seconds} seconds: after a pause of "
        f"{LOOP_PAUSE_SECONDS} seconds it goes on. Where it is meant, send the header `x-tokenroll-loops: allow`; another plan can be approved by {WHO_RUNS_IT}."
    )
