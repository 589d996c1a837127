"""One call, from its whole request to its one end: bound, hold, send, relay, meter, settle (DESIGN §6).

Everything here runs inside callbacks of the loop: no task, no future, no timer per call. Whatever happens to client or provider, an
attempt whose hold was dispatched ends in exactly one of settle, release and lapse.
"""

import logging
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from tokenroll.gateway.answers import error_answer, identified, status_line
from tokenroll.gateway.attempts import Further
from tokenroll.gateway.chunks import LAST_CHUNK, chunk
from tokenroll.gateway.decoding import Copy
from tokenroll.gateway.exchange import Exchange
from tokenroll.gateway.heads import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from tokenroll.gateway.health import may_try_elsewhere
from tokenroll.gateway.routing import Route
from tokenroll.gateway.telling import NOT_YET, forward_lines, hold_lines, whole_lines
from tokenroll.gateway.waiting import Waiting
from tokenroll.gateway.writing import outgoing, outgoing_head
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.instant import Instant
from tokenroll.model.limits import EVIDENCE_BYTES, WAITING_CALLS_MAX
from tokenroll.services.hot import HotHold, HotKey, Wait
from tokenroll.services.hot_limits import Reroute
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import Buffers, CallMeter, Denial, Dialect, ErrorAnswer, RequestRefused
from tokenroll.upstream.facts import Facts

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.upstream import UpstreamConnection

_log = logging.getLogger(__name__)
# What a call is doing.
_NEW, _WAITING, _HELD, _DIALLING, _DISPATCHING, _SENT, _ANSWERING, _ENDED = range(8)
# How answer bytes go on.
_BUFFER, _PASS, _REFRAME, _PLAIN, _DRAIN = range(5)
"""Kept for the cost header; as they came, framing and all; in chunks of our own where bytes were withheld; payload alone; nowhere."""
_COMPLETE: Final = Finish.COMPLETE
"""Looked up once: an enum's members cost a fifth of a microsecond at every look."""
LATENCY_SAMPLED_EVERY: Final = 8
"""The histogram of added latency looks at every eighth call: reading a clock four times per call is not free."""
_ATTEMPTS_MAX: Final = 2
"""An attempt, and one more when a pooled connection turned out to be stale."""


class Call(Exchange):
    """See the module. It is the Waiter of the group commit: `hold` and the three `on_…` of services/group_commit.py."""

    __slots__ = (
        "_attempt", "_body", "_buffers", "_call_id", "_client", "_copy", "_dialect", "_drain_until", "_drained_bytes", "_evidence_bytes",
        "_evidence_tick", "_facts", "_finish", "_first_ns", "_further", "_head", "_inject", "_key", "_meter", "_mode", "_now", "_old_tick",
        "_parts", "_previous", "_relayed_bytes", "_reroute", "_response", "_route", "_sent_ns", "_started_ns", "_state", "_status",
        "_waiting", "hold",
    )  # fmt: skip

    hold: HotHold
    _facts: Facts
    _route: Route
    _meter: CallMeter
    _response: ResponseHead
    _buffers: Buffers
    _copy: Copy | None
    _parts: list[bytes]

    def __init__(self, client: "ClientConnection", head: RequestHead, key: HotKey, body: bytes, now: Instant) -> None:
        self.gateway = client.gateway
        self._client: ClientConnection | None = client
        self._head = head
        self._dialect: Dialect = head.dialect  # type: ignore[assignment]  # calls come by paths of a dialect only
        self._key = key
        self._body = body
        self._now = now
        self._attempt = 1
        self._further: Further | None = None
        """What was tried before, once an attempt failed."""
        self._reroute: Reroute | None = None
        """Where a limit sends it instead."""
        self._previous: HotHold | None = None
        self._state = _NEW
        self._mode = _BUFFER
        self._upstream = None
        self._waiting: Waiting | None = None
        self._status = 0

    @property
    def is_waiting(self) -> bool:
        """Whether it holds nothing yet and waits for other calls of its wallet."""
        return self._state == _WAITING

    @property
    def is_answering(self) -> bool:
        """See Exchange."""
        return self._state == _ANSWERING

    # ---- admission --------------------------------------------------------------------------------------

    def start(self) -> None:
        """The request is whole: admit it."""
        gateway = self.gateway
        metrics = gateway.metrics
        metrics.calls += 1
        self._started_ns = 0 if metrics.calls % LATENCY_SAMPLED_EVERY else perf_counter_ns()
        dialect = self._dialect
        try:
            facts = self._facts = dialect.facts(self._body)
        except RequestRefused as refused:
            metrics.denials[refused.code] += 1
            self._give(dialect.error(refused.status, refused.code, refused.message, param=refused.param))
            return
        route = gateway.routes.known.get((dialect.index, facts.model)) or gateway.routes.find(dialect, facts.model)
        if route is None:
            metrics.denials["no_deployment"] += 1
            self._refuse(
                404, "model_not_found", f"No deployment here serves the model {facts.model!r} in this dialect."
            )
            return
        if route.choice is not None:
            route = route.choice.pick(self._key.id, gateway.wheel.now, facts)
        self._route = route
        self._begin(facts)

    def _begin(self, facts: Facts) -> None:
        """What it asks for and where it goes are known: its first admission."""
        gateway = self.gateway
        dialect = self._dialect
        self._inject = facts.stream and dialect.asks_for_usage and not facts.include_usage
        self._admitted(
            gateway.spending.admit(
                self._key,
                dialect,
                facts,
                self._now,
                deployment=self._route.hot,
                call_id=self._head.call_id,
                tags=self._head.tags,
                may_wait=len(self._key.wallet.waiting) < WAITING_CALLS_MAX,
            )
        )

    def admit_again(self, *, may_wait: bool, asked: Wait | None = None) -> None:
        """Admission once more: after waiting, or for a further attempt, which is authorised on its own."""
        elsewhere = self._reroute
        self._admitted(
            self.gateway.spending.admit(
                self._key,
                self._dialect,
                self._facts,
                self.gateway.clock(),
                deployment=self._route.hot if elsewhere is None else elsewhere.deployment or self._route.hot,
                call_id=self._head.call_id,
                tags=self._head.tags,
                previous=self._previous,
                may_wait=may_wait,
                reroute=elsewhere,
                asked=asked,
            )
        )

    def _admitted(self, answer: HotHold | Denial | Wait | Reroute) -> None:
        gateway = self.gateway
        if type(answer) is HotHold:
            self.hold = answer
            self._state = _HELD
            commit = gateway.commit
            is_warm = self._route.pool.is_warm(commit.waiting_count + 1)
            size = len(self._body) if is_warm else 0
            commit.hold_ready(self, alone=is_warm and not gateway.outbox.gathers, body_bytes=size)
        elif type(answer) is Denial and self._further is not None:  # for a further attempt only: the last answer stands
            gateway.metrics.further_denials[answer.code] += 1
            self._give(self._dialect.denial(answer, gateway.settings.empty_wallet_status))
        elif type(answer) is Denial:
            gateway.metrics.denials[answer.code] += 1
            self._give(self._dialect.denial(answer, gateway.settings.empty_wallet_status))
        elif type(answer) is Wait:
            self._state = _WAITING
            if self._waiting is None or self._waiting.closed:
                self._waiting = Waiting(self, self._key.wallet)
            self._waiting.begin(answer)
        elif type(answer) is Reroute:
            self._send_to(answer)

    def _send_to(self, answer: Reroute) -> None:
        """A limit has no room for this model: the cheaper one that it names, where a deployment serves it in this dialect and the key is for it."""
        gateway = self.gateway
        route = gateway.routes.find(self._dialect, answer.model)
        self._reroute = answer
        if route is not None and gateway.spending.is_for(self._key, route.hot, answer.model):
            if route.choice is not None:
                route = route.choice.pick(self._key.id, gateway.wheel.now, self._facts)
            self._route = route
            hot = route.hot
            answer.deployment = hot if hot.model else hot._replace(model=answer.model)
            gateway.metrics.reroutes += 1
        self.admit_again(may_wait=len(self._key.wallet.waiting) < WAITING_CALLS_MAX)

    # ---- further attempts -------------------------------------------------------------------------------

    def _goes_elsewhere(self, why: str, answer: ErrorAnswer) -> bool:
        """Whether the call, whose attempt has ended with `answer`, is tried at another deployment or is over.

        The client is there, and has got nothing yet.
        """
        if self._further is None:
            self._further = Further()
        further = self._further
        found = further.next_route(
            self.gateway, self._dialect, self._facts, self._key, self._route, self._reroute, self._now
        )
        if found is None:
            return False
        further.answer = answer
        self._route, self._reroute = found
        self._attempt += 1
        self._previous = self.hold
        self._mode = _BUFFER
        self.gateway.metrics.further_attempts[why] += 1
        self.admit_again(may_wait=False)
        return True

    # ---- the group commit's waiter ----------------------------------------------------------------------

    def find_connection(self) -> None:
        """The hold survives: find a connection."""
        if self._client is None:
            self._release(ReleaseReason.NOT_SENT)
            return
        try:
            self._buffers = outgoing(
                self._dialect, self._body, self._facts, self.hold, self._route, inject_usage=self._inject
            )
        except RequestRefused as refused:
            self._release(ReleaseReason.NOT_SENT)
            self._refuse(refused.status, refused.code, refused.message)
            return
        pool = self._route.pool
        upstream = pool.take()
        if upstream is not None:
            self._upstream = upstream
            self._state = _DISPATCHING
            self.gateway.commit.dispatch(self)
        else:
            self._state = _DIALLING
            self.gateway.dial(self, pool)

    def dialled(self, upstream: "UpstreamConnection | None", error: str) -> None:
        """A new connection, or why there is none: then nothing was sent, and the hold is released."""
        if upstream is not None and self._client is not None and not upstream.closed:
            self._upstream = upstream
            if self._state == _DISPATCHING:
                self._send(upstream)
                self.gateway.outbox.flush()  # nothing may be read of this connection before our request is on it
            else:
                self._state = _DISPATCHING
                self.gateway.commit.dispatch(self)
            return
        if upstream is not None and not upstream.closed:
            upstream.pool.give(upstream)
        if self._state == _DISPATCHING:  # DISPATCHED is on the tape although nothing was sent: only the bill can say so
            self._lapse(Finish.UPSTREAM_CUT if self._client is not None else Finish.CLIENT_GONE)
        else:
            self._release(ReleaseReason.NOT_SENT)
        answer = self._error(
            502, "provider_unreachable", f"The provider cannot be reached: {error}. Nothing was sent or charged."
        )
        if self._client is None or not self._goes_elsewhere("unreachable", answer):
            self._give(answer)

    def on_dispatched(self) -> None:
        """DISPATCHED is written: send, now. The client is there: a call whose client left earlier was withdrawn."""
        upstream = self._upstream
        if upstream is None or upstream.closed:  # it closed while DISPATCHED was written: still nothing was sent
            self.gateway.dial(self, self._route.pool)
        else:
            self._send(upstream)

    def on_commit_failed(self, error: OSError) -> None:
        """The tape cannot be written: nothing was sent; what the hold took is the ledger's to give back after a restart."""
        del error
        self._give_back()
        why = self.gateway.not_ready or "The gateway cannot record calls now."
        self._refuse(503, "not_ready", why, retry_after_seconds=5)

    def on_fault(self, error: Exception) -> None:
        """A step of ours raised, which is a defect: this call ends as far as it went, and no other is touched."""
        _log.error("a call could not be sent: %s", type(error).__name__, exc_info=error)
        self.gateway.commit.withdraw(self)  # it may have raised behind asking to be sent
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if self.hold.state == "held":
            if self.hold.dispatched:
                self._lapse(Finish.UPSTREAM_CUT)
            else:
                self._release(ReleaseReason.NOT_SENT)
        self._refuse(500, "internal_error", "This call could not be sent; that is a defect of the gateway.")

    def _give_back(self) -> None:
        """The connection, on which nothing was sent, is another call's."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None and not upstream.closed:
            upstream.pool.give(upstream)

    def _send(self, upstream: "UpstreamConnection") -> None:
        buffers = self._buffers
        call_id = self._call_id = b"call_" + self.hold.call_number_bytes.hex().encode()
        size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        self._state = _SENT
        name = b"%b/%d" % (call_id, self._attempt)
        upstream.send(
            self, outgoing_head(self._head, self._route, name, size, stream=self._facts.stream), buffers, size
        )
        if self._started_ns:
            self._sent_ns = perf_counter_ns()

    # ---- the answer -------------------------------------------------------------------------------------

    def takes_whole(self, response: ResponseHead) -> bool:
        """Whether a whole, good answer may come by `on_whole`: nothing about it is special and its reader is there."""
        return not (
            self._client is None
            or response.event_stream
            or response.content_encoding
            or response.content_length > self.gateway.edge.buffered_response_bytes
        )

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """An answer of status 200 that came in one read: the same as head, data and end, in one step."""
        gateway = self.gateway
        first_ns = perf_counter_ns() if self._started_ns else 0
        client = self._take_client()
        health = self._route.health
        hold = self.hold
        now = hold.first_byte_at = gateway.clock()
        if health.is_watched:
            health.heed(response, gateway.wheel.now, now)
        self._upstream = None
        self._status = 200
        self._finish = _COMPLETE
        meter = self._meter = self._dialect.meter(stream=False, withhold_usage=False)
        meter.provider_request_id = response.request_id
        body = meter.feed(payload)
        tail = meter.finish()
        if tail:
            body += tail
        if meter.saw_usage:
            charge = gateway.spending.settle(hold, meter, now, 200, _COMPLETE)
            gateway.metrics.settled(meter, charge, hold.bound_nanos)
            gateway.commit.soon()
        else:
            charge = self._end_money()
            if self._is_kept_back(client, charge):
                return
        gateway.outbox.write(
            client.transport,
            b"HTTP/1.1 200 OK\r\n%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                forward_lines(response, hold.limited),
                whole_lines(gateway, hold, self._call_id, charge),
                client.connection_line(),
                len(body),
                body,
            ),
        )
        if first_ns:
            gateway.metrics.added.add((self._sent_ns - self._started_ns + perf_counter_ns() - first_ns) // 1000)
        client.finished()

    def on_head(self, response: ResponseHead) -> None:
        """The provider's head is read: decide how its body goes on."""
        gateway = self.gateway
        self._first_ns = perf_counter_ns() if self._started_ns else 0
        self._state = _ANSWERING
        self.hold.first_byte_at = gateway.clock()
        self._response = response
        self._finish = _COMPLETE if self._client is not None else Finish.CLIENT_GONE
        self._copy = None
        self._parts = []
        self._relayed_bytes = 0
        self._status = status = response.status
        if status == 429 and self.hold.limited is not None:
            self.hold.limited.pace_bits = 0  # the provider's own limit is reached, and its lines say so
        coding = response.content_encoding
        stream = response.event_stream and status < 300
        plain = not coding or coding == b"identity"
        withhold = self._inject and stream and plain
        meter = self._meter = self._dialect.meter(stream, withhold)
        meter.provider_request_id = response.request_id
        if not plain:
            self._copy = Copy(coding)
        now = gateway.wheel.now
        self._evidence_bytes = 1 if stream else gateway.edge.buffered_response_bytes + 1
        pool = self._route.pool
        self._evidence_tick = now + pool.evidence_ticks
        self._old_tick = now + pool.answer_ticks
        health = self._route.health
        if status >= 400 or health.is_watched:
            health.heed(response, now, self.hold.first_byte_at)
        if status < 400:  # else it may be needed elsewhere
            self._body = b""
            self._buffers = []
        if self._client is None:
            self._mode = _DRAIN
            self._drained_bytes = 0
        elif not stream and response.content_length <= gateway.edge.buffered_response_bytes:
            self._mode = _BUFFER
        else:
            self._begin_relay(withhold)

    def _begin_relay(self, withhold: bool) -> None:
        """The head goes out now, without the cost: the body follows as it comes."""
        client = self._client_now()
        length = self._response.content_length
        if client.is_http10 and (length < 0 or withhold):
            self._mode = _PLAIN
            framing = b"connection: close\r\n\r\n"
        elif withhold or length == UNTIL_CLOSE or self._parts:
            self._mode = _REFRAME
            framing = client.connection_line() + b"transfer-encoding: chunked\r\n\r\n"
        elif length == CHUNKED:
            self._mode = _PASS
            framing = client.connection_line() + b"transfer-encoding: chunked\r\n\r\n"
        else:
            self._mode = _PLAIN
            framing = b"%bcontent-length: %d\r\n\r\n" % (client.connection_line(), length)
        self.gateway.outbox.write(
            client.transport,
            b"%b%b%b%b"
            % (
                status_line(self._status),
                forward_lines(self._response, self.hold.limited),
                hold_lines(self.gateway, self.hold, self._call_id),
                framing,
            ),
        )
        self._count_latency()
        if client.writing_paused:  # since an answer before this one, which nobody has read yet
            self.pause_upstream()

    def on_data(self, raw: bytes, payload: bytes, *, one_chunk: bool = False) -> None:
        """Answer bytes: `raw` as they came (framing of this message only), `payload` without the transfer coding.

        `one_chunk`: `raw` is one whole chunk after whole ones.
        """
        copy = self._copy
        if copy is None:
            out = self._meter.feed(payload)
        else:
            out = payload
            self._meter.feed(copy.feed(payload))
        mode = self._mode
        if mode == _PASS:
            self.gateway.outbox.write(self._client.transport, raw)  # type: ignore[union-attr]  # a call without client drains
        elif mode == _REFRAME:
            if one_chunk and out is payload:  # nothing withheld: its own frame serves
                self.gateway.outbox.write(self._client.transport, raw)  # type: ignore[union-attr]
            elif out:
                self.gateway.outbox.write(self._client.transport, b"%x\r\n%b\r\n" % (len(out), out))  # type: ignore[union-attr]
        elif mode == _BUFFER:
            self._parts.append(out)
        elif mode == _PLAIN:
            self.gateway.outbox.write(self._client.transport, out)  # type: ignore[union-attr]
        self._relayed_bytes = relayed = self._relayed_bytes + len(payload)
        if relayed >= self._evidence_bytes or self.gateway.wheel.now >= self._evidence_tick:
            self._now_and_then()

    def _now_and_then(self) -> None:
        """Every so many bytes and seconds: evidence on the tape, and the limits of buffering, draining and age."""
        gateway = self.gateway
        now = gateway.wheel.now
        self._evidence_bytes = self._relayed_bytes + EVIDENCE_BYTES
        self._evidence_tick = min(now + gateway.ticks.evidence, self._old_tick)
        if self._mode == _BUFFER and self._relayed_bytes > gateway.edge.buffered_response_bytes:
            self._stop_buffering()
        if self._mode != _BUFFER:
            gateway.spending.evidence(self.hold, self._meter, gateway.clock(), self._status)
            gateway.commit.soon()
        if now >= self._old_tick and self._upstream is not None:
            self._upstream.deadline_passed()
        elif self._mode == _DRAIN and (
            now >= self._drain_until or self._relayed_bytes - self._drained_bytes > gateway.edge.drain_bytes
        ):
            self._give_up()

    def _stop_buffering(self) -> None:
        """Too large for the cost header: relayed from here on."""
        self._begin_relay(withhold=False)
        parts, self._parts = self._parts, []
        transport = self._client_now().transport
        for part in parts:
            self.gateway.outbox.write(transport, chunk(part) if self._mode == _REFRAME else part)

    def _give_up(self) -> None:
        """An answer without a client is read no further: what was seen decides, marked as estimated, if it ends with us; else it is found out."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if self._facts.in_background:
            self._lapse(Finish.CLIENT_GONE)
        else:
            self._settle(Finish.CLIENT_GONE)

    def on_end(self) -> None:
        """The answer is whole."""
        self._upstream = None
        tail = self._meter.finish()
        if self._copy is not None:
            tail = b""  # the meter read a decoded copy; the client had every byte as it came
        client, self._client = self._client, None
        mode = self._mode
        charge = self._end_money()
        if client is None or (not self._meter.saw_usage and self._is_kept_back(client, charge)):
            return
        if mode == _BUFFER:
            self._parts.append(tail)
            body = b"".join(self._parts)
            lines = forward_lines(self._response, self.hold.limited)
            lines += whole_lines(self.gateway, self.hold, self._call_id, charge)
            if self._status >= 400 and self._ends_elsewhere(client, ErrorAnswer(self._status, lines, body)):
                return
            length = b"\r\n" if self._status == 204 else b"content-length: %d\r\n\r\n" % len(body)
            self.gateway.outbox.write(
                client.transport,
                b"%b%b%b%b%b" % (status_line(self._status), lines, client.connection_line(), length, body),
            )
            self._count_latency()
        elif mode == _REFRAME:
            self.gateway.outbox.write(client.transport, chunk(tail) + LAST_CHUNK)
        elif tail:
            self.gateway.outbox.write(client.transport, tail)
        if mode == _PLAIN and self._response.content_length < 0:
            self.gateway.outbox.close(client.transport)
        client.finished()

    def _ends_elsewhere(self, client: "ClientConnection", answer: ErrorAnswer) -> bool:
        """Whether the provider's whole error answer is not the client's yet, because somebody else may have a better one."""
        if not may_try_elsewhere(self._response):
            return False
        self._client = client
        if self._goes_elsewhere(str(self._status), answer):
            return True
        self._client = None
        return False

    def _is_kept_back(self, client: "ClientConnection", charge: int) -> bool:
        """Whether a good answer that does not say its usage is an error here, as its deployment wants it; a stream has gone already."""
        route = self._route
        if not route.target.deployment.refuses_unmetered or self._status >= 300 or self._meter.saw_error:
            return False
        route.health.failed(self.gateway.wheel.now)
        if self._mode != _BUFFER:
            return False
        answer = self._error(
            502, "usage_missing", "The provider's answer does not say what it cost, so it is kept back."
        )
        answer = identified(answer, self._call_id)
        lines = whole_lines(self.gateway, self.hold, self._call_id, charge)
        client.answer(ErrorAnswer(502, answer.headers + lines, answer.body))
        return True

    def _end_money(self) -> int:
        """The end of an attempt whose answer is whole. The charge in nanos, NOT_YET when only the provider will know."""
        meter = self._meter
        if not meter.saw_usage:
            if self._status >= 300 or (meter.saw_error and not meter.has_begun()):
                self._release(ReleaseReason.PROVIDER_ERROR)
                return 0
            if meter.goes_on():
                self._state = _ANSWERING  # what was seen of it is on its meter
                self._lapse(Finish.GOES_ON)
                return NOT_YET
        return self._settle(self._finish)

    # ---- troubles ---------------------------------------------------------------------------------------

    def client_gone(self) -> None:
        """Nobody reads any more. Before dispatch the hold is released; afterwards the answer is read on for its usage (law 5)."""
        self._client = None
        gateway = self.gateway
        self._finish = Finish.CLIENT_GONE
        if self._state == _WAITING and self._waiting is not None:
            self._waiting.end()
            self._state = _ENDED
        elif self._state == _DISPATCHING:
            if gateway.commit.withdraw(self):
                self._state = _ENDED
                self._give_back()
                self._release(ReleaseReason.NOT_SENT)
        elif self._state in {_SENT, _ANSWERING}:
            gateway.metrics.drained_calls += 1
            self._mode = _DRAIN
            if self._state == _ANSWERING:
                self._parts = []
                self._drained_bytes = self._relayed_bytes
            self._drain_until = gateway.wheel.now + gateway.ticks.drain
            upstream = self._upstream
            if upstream is not None and not upstream.closed:
                upstream.resume_reading()
                upstream.deadline = min(upstream.deadline or self._drain_until, self._drain_until)

    def upstream_lost(self, finish: Finish, message: str) -> None:
        """The answer will not be whole: cut, malformed or too late."""
        upstream, self._upstream = self._upstream, None
        client = self._client
        stale = upstream is not None and upstream.reused and not upstream.got_bytes and finish is Finish.UPSTREAM_CUT
        answering = self._state == _ANSWERING
        drained = client is None and finish is Finish.TIMED_OUT and not self._facts.in_background
        if answering and (self._meter.saw_usage or drained):
            self._settle(finish if client is not None else Finish.CLIENT_GONE)
        else:
            self._lapse(finish if client is not None else Finish.CLIENT_GONE)
        if client is None:
            return
        moves = 0 if self._further is None else len(self._further.tried)
        if stale and self._attempt - moves < _ATTEMPTS_MAX:
            # It was closed while idle, most likely. Whether the provider saw the request is not known, so the first hold stays in
            # suspense, and the resend is an attempt of its own with a hold of its own.
            self._attempt += 1
            self._previous = self.hold
            self.gateway.metrics.upstream_resends += 1
            self.admit_again(may_wait=False)
            return
        route = self._route
        route.health.failed(self.gateway.wheel.now)
        if answering and self._mode != _BUFFER:
            self._client = None
            client.cut()
            return
        timed_out = finish is Finish.TIMED_OUT
        answer = self._error(504 if timed_out else 502, "provider_timeout" if timed_out else "bad_gateway", message)
        # whether it was paid for is not known: sending it again may cost twice, so only where that is wanted
        if answering or not route.target.deployment.retry_unanswered or not self._goes_elsewhere("unanswered", answer):
            self._give(answer)

    # ---- ends -------------------------------------------------------------------------------------------

    def _settle(self, finish: Finish) -> int:
        gateway = self.gateway
        meter = self._meter
        charge: int = gateway.spending.settle(self.hold, meter, gateway.clock(), self._status, finish)
        gateway.metrics.settled(meter, charge, self.hold.bound_nanos)
        gateway.commit.soon()
        return charge

    def _release(self, reason: ReleaseReason) -> None:
        gateway = self.gateway
        gateway.spending.release(self.hold, reason, gateway.clock(), self._status)
        gateway.metrics.ends[f"released_{reason.value}"] += 1
        gateway.commit.soon()

    def _lapse(self, finish: Finish) -> None:
        gateway = self.gateway
        now = gateway.clock()
        if self._state == _ANSWERING:
            meter = self._meter
            gateway.spending.evidence(self.hold, meter, now, self._status)
        else:
            meter = self._dialect.meter(self._facts.stream, withhold_usage=False)
        gateway.spending.lapse(self.hold, meter, now, finish, self._status)
        gateway.metrics.ends["suspense"] += 1
        gateway.commit.soon()

    def _count_latency(self) -> None:
        """What we added until the request and the answer were in the outbox: their sending too, where that is at once. Of some calls only."""
        if self._first_ns:
            added = self._sent_ns - self._started_ns + perf_counter_ns() - self._first_ns
            self.gateway.metrics.added.add(added // 1000)

    def _refuse(self, status: int, code: str, message: str, retry_after_seconds: int = 0) -> None:
        """An error of ours to a client that is still there; its call is over."""
        self._give(self._error(status, code, message, retry_after_seconds))

    def _error(self, status: int, code: str, message: str, retry_after_seconds: int = 0) -> ErrorAnswer:
        return error_answer(self._dialect, status, code, message, retry_after_seconds=retry_after_seconds)

    def _give(self, answer: ErrorAnswer) -> None:
        """An answer of ours to a client that is still there; a provider's own one, kept from an earlier attempt, comes before it."""
        has_hold = self._state not in {_NEW, _WAITING}
        self._state = _ENDED
        client, self._client = self._client, None
        if client is not None:
            kept = None if self._further is None else self._further.answer
            call_id = b"call_" + self.hold.call_number_bytes.hex().encode() if has_hold else b""
            client.answer(kept or answer, call_id)

    def _client_now(self) -> "ClientConnection":
        client = self._client
        assert client is not None
        return client

    def _take_client(self) -> "ClientConnection":
        """The client, which this call answers now and then knows no more."""
        client, self._client = self._client, None
        assert client is not None
        return client
