"""One call, from its whole request to its one end: bound, hold, send, relay, meter, settle (DESIGN §6).

Everything here runs inside callbacks of the loop: no task, no future, no timer per call. Whatever happens to client or provider, an
attempt whose hold was dispatched ends in exactly one of settle, release and lapse.
"""

import time
from typing import TYPE_CHECKING, Final

from tokenroll.gateway.answers import error_answer, status_line
from tokenroll.gateway.chunks import LAST_CHUNK, chunk
from tokenroll.gateway.decoding import Decoder, DecodingError, decoder_for
from tokenroll.gateway.deployment import Route
from tokenroll.gateway.heads import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from tokenroll.gateway.telling import cost_line, hold_lines
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.limits import EVIDENCE_BYTES, WAITING_CALLS_MAX
from tokenroll.services.hot import HotHold, HotKey, Wait
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import CallMeter, Denial, Dialect, Facts, RequestRefused

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection
    from tokenroll.gateway.upstream import UpstreamConnection
    from tokenroll.gateway.worker import Gateway

# What a call is doing.
_NEW, _WAITING, _HELD, _DIALLING, _DISPATCHING, _SENT, _ANSWERING, _ENDED = range(8)
# How answer bytes go on.
_BUFFER, _PASS, _REFRAME, _PLAIN, _DRAIN = range(5)
"""Kept for the cost header; as they came, framing and all; in chunks of our own; payload alone; nowhere."""
_ATTEMPTS_MAX: Final = 2
"""An attempt, and one more when a pooled connection turned out to be stale."""


class Call:
    """See the module. It is the Waiter of the group commit: `hold` and the three `on_…` of services/group_commit.py."""

    __slots__ = (
        "_attempt", "_body", "_call_id", "_client", "_copy", "_dialect", "_drain_until", "_drained_bytes", "_evidence_bytes", "_evidence_tick",
        "_facts", "_finish", "_first_ns", "_gateway", "_head", "_inject", "_key", "_meter", "_mode", "_parts", "_previous", "_relayed_bytes",
        "_response", "_route", "_sent_at_tick", "_sent_ns", "_started_ns", "_state", "_status", "_upstream", "_waiting", "hold",
    )  # fmt: skip

    hold: HotHold
    _facts: Facts
    _route: Route
    _meter: CallMeter
    _response: ResponseHead

    def __init__(
        self, client: "ClientConnection", head: RequestHead, dialect: Dialect, key: HotKey, body: bytes
    ) -> None:
        self._gateway: Gateway = client.gateway
        self._client: ClientConnection | None = client
        self._head = head
        self._dialect = dialect
        self._key = key
        self._body = body
        self._attempt = 1
        self._previous: HotHold | None = None
        self._state = _NEW
        self._mode = _BUFFER
        self._upstream: UpstreamConnection | None = None
        self._copy: Decoder | None = None
        self._waiting: Waiting | None = None
        self._status = 0
        self._finish = Finish.COMPLETE
        self._relayed_bytes = 0
        self._parts: list[bytes] = []

    @property
    def is_waiting(self) -> bool:
        """Whether it holds nothing yet and waits for other calls of its wallet."""
        return self._state == _WAITING

    # ---- admission --------------------------------------------------------------------------------------

    def start(self) -> None:
        """The request is whole: admit it."""
        self._started_ns = time.perf_counter_ns()
        gateway = self._gateway
        gateway.metrics.calls += 1
        dialect = self._dialect
        try:
            facts = self._facts = dialect.facts(self._body)
        except RequestRefused as refused:
            gateway.metrics.denials[refused.code] += 1
            self._state = _ENDED
            self._client_now().answer(dialect.error(refused.status, refused.code, refused.message, param=refused.param))
            return
        route = gateway.routes.find(dialect, facts.model)
        if route is None:
            gateway.metrics.denials["no_deployment"] += 1
            self._refuse(
                404, "model_not_found", f"No deployment here serves the model {facts.model!r} in this dialect."
            )
            return
        self._route = route
        self._inject = facts.stream and dialect.index == 0 and not facts.include_usage
        self._admit(may_wait=True)

    def _admit(self, *, may_wait: bool) -> None:
        gateway = self._gateway
        admitted = gateway.spending.admit(
            self._key,
            self._dialect,
            self._facts,
            gateway.clock(),
            deployment=self._route.hot,
            call_id=self._head.call_id,
            previous=self._previous,
            may_wait=may_wait and len(self._key.wallet.waiting) < WAITING_CALLS_MAX,
        )
        if type(admitted) is HotHold:
            self.hold = admitted
            self._state = _HELD
            gateway.metrics.held_nanos += admitted.bound_nanos
            gateway.commit.hold_ready(self)
        elif type(admitted) is Denial:
            gateway.metrics.denials[admitted.code] += 1
            self._state = _ENDED
            self._client_now().answer(self._dialect.denial(admitted))
        elif type(admitted) is Wait:
            self._state = _WAITING
            if self._waiting is None:
                self._waiting = Waiting(self)
            self._waiting.begin(admitted)

    def try_again(self, *, may_wait: bool) -> None:
        """Waiting is over: money came back, or time is up."""
        if self._state == _WAITING:
            self._admit(may_wait=may_wait)

    # ---- the group commit's waiter ----------------------------------------------------------------------

    def on_durable(self) -> None:
        """The hold survives: find a connection."""
        if self._client is None:
            self._release(ReleaseReason.NOT_SENT)
            return
        pool = self._gateway.pools[self._route.target]
        upstream = pool.take()
        if upstream is not None:
            self._upstream = upstream
            self._state = _DISPATCHING
            self._gateway.commit.dispatch(self)
        else:
            self._state = _DIALLING
            self._gateway.dial(self, pool)

    def dialled(self, upstream: "UpstreamConnection | None", error: str) -> None:
        """A new connection, or why there is none: then nothing was sent, and the hold is released."""
        if upstream is not None and self._client is not None and not upstream.closed:
            self._upstream = upstream
            if self._state == _DISPATCHING:
                self._send(upstream)
            else:
                self._state = _DISPATCHING
                self._gateway.commit.dispatch(self)
            return
        if upstream is not None and not upstream.closed:
            upstream.pool.give(upstream)
        if self._state == _DISPATCHING:  # DISPATCHED is on the tape although nothing was sent: only the bill can say so
            self._lapse(Finish.UPSTREAM_CUT if self._client is not None else Finish.CLIENT_GONE)
        else:
            self._release(ReleaseReason.NOT_SENT)
        self._refuse(
            502, "provider_unreachable", f"The provider cannot be reached: {error}. Nothing was sent or charged."
        )

    def on_dispatched(self) -> None:
        """DISPATCHED is written: send, now."""
        upstream = self._upstream
        if self._client is None:
            self._upstream = None
            if upstream is not None and not upstream.closed:
                upstream.pool.give(upstream)
            self._lapse(Finish.CLIENT_GONE)
        elif upstream is None or upstream.closed:  # it closed while DISPATCHED was written: still nothing was sent
            self._gateway.dial(self, self._gateway.pools[self._route.target])
        else:
            self._send(upstream)

    def on_commit_failed(self, error: OSError) -> None:
        """The tape cannot be written: nothing was sent; what the hold took is the ledger's to give back after a restart."""
        del error
        self._refuse(
            503, "not_ready", self._gateway.not_ready or "The gateway cannot record calls now.", retry_after_seconds=5
        )

    def _send(self, upstream: "UpstreamConnection") -> None:
        gateway = self._gateway
        hold = self.hold
        head = self._head
        body = self._body
        buffers = self._dialect.rewrite(
            body,
            self._facts,
            model=hold.upstream_model,
            output_cap_tokens=hold.output_cap_tokens,
            inject_usage=self._inject,
            service_tier=hold.service_tier,
        )
        self._call_id = hold.call_id.encode()
        size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        target = self._route.target
        self._state = _SENT
        self._sent_at_tick = gateway.wheel.now
        upstream.send(
            self,
            b"POST %b%b%bx-client-request-id: %b/%d\r\n%bcontent-length: %d\r\n\r\n"
            % (target.path, head.query, target.preamble, self._call_id, self._attempt, head.forward, size),
            buffers,
            size,
        )
        self._sent_ns = time.perf_counter_ns()

    # ---- the answer -------------------------------------------------------------------------------------

    def on_head(self, response: ResponseHead) -> None:
        """The provider's head is read: decide how its body goes on."""
        self._first_ns = time.perf_counter_ns()
        self._state = _ANSWERING
        self.hold.first_byte_at = self._gateway.clock()
        self._body = b""
        self._response = response
        self._status = status = response.status
        coding = response.content_encoding
        stream = response.event_stream and status < 300
        plain = not coding or coding == b"identity"
        withhold = self._inject and stream and plain
        meter = self._meter = self._dialect.meter(stream, withhold)
        meter.provider_request_id = response.request_id
        if not plain:
            self._begin_copy(coding)
        gateway = self._gateway
        self._evidence_bytes = 1 if stream else gateway.edge.buffered_response_bytes + 1
        self._evidence_tick = gateway.wheel.now + gateway.ticks.evidence
        if self._client is None:
            self._mode = _DRAIN
        elif not stream and response.content_length <= gateway.edge.buffered_response_bytes:
            self._mode = _BUFFER
        else:
            self._begin_relay(withhold)

    def _begin_copy(self, coding: bytes) -> None:
        try:
            self._copy = decoder_for(coding)
        except DecodingError:
            self._copy = _Nothing()

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
        client.transport.write(
            b"".join(
                (
                    status_line(self._status),
                    *self._response.forward,
                    hold_lines(self._gateway, self.hold, self._call_id),
                    framing,
                )
            )
        )
        self._count_added_latency()

    def on_data(self, raw: bytes, payload: bytes) -> None:
        """Answer bytes: `raw` as they came (framing of this message only), `payload` without the transfer coding."""
        copy = self._copy
        if copy is None:
            out = self._meter.feed(payload)
        else:
            out = payload
            self._feed_copy(copy, payload)
        mode = self._mode
        if mode == _PASS:
            self._client.transport.write(raw)  # type: ignore[union-attr]  # a call without client drains
        elif mode == _REFRAME:
            if out:
                self._client.transport.write(b"%x\r\n%b\r\n" % (len(out), out))  # type: ignore[union-attr]
        elif mode == _BUFFER:
            self._parts.append(out)
        elif mode == _PLAIN:
            self._client.transport.write(out)  # type: ignore[union-attr]
        self._relayed_bytes = relayed = self._relayed_bytes + len(payload)
        if relayed >= self._evidence_bytes or self._gateway.wheel.now >= self._evidence_tick:
            self._now_and_then()

    def _feed_copy(self, copy: Decoder, payload: bytes) -> None:
        try:
            self._meter.feed(copy.feed(payload))
        except DecodingError:
            self._copy = _Nothing()

    def _now_and_then(self) -> None:
        """Every so many bytes and seconds: evidence on the tape, and the limits of buffering, draining and age."""
        gateway = self._gateway
        now = gateway.wheel.now
        self._evidence_bytes = self._relayed_bytes + EVIDENCE_BYTES
        self._evidence_tick = now + gateway.ticks.evidence
        if self._response.event_stream or self._mode != _BUFFER:
            gateway.spending.evidence(self.hold, self._meter, gateway.clock(), self._status)
            gateway.commit.soon()
        if self._mode == _BUFFER and sum(map(len, self._parts)) > gateway.edge.buffered_response_bytes:
            self._stop_buffering()
        if now >= self._sent_at_tick + gateway.ticks.call_age:
            self._give_up(Finish.TIMED_OUT)
        elif self._mode == _DRAIN and (
            now >= self._drain_until or self._relayed_bytes - self._drained_bytes > gateway.edge.drain_bytes
        ):
            self._give_up(Finish.CLIENT_GONE)

    def _stop_buffering(self) -> None:
        """Too large for the cost header: relayed from here on."""
        self._begin_relay(withhold=False)
        parts, self._parts = self._parts, []
        client = self._client_now()
        if self._mode == _REFRAME:
            client.transport.writelines([chunk(part) for part in parts])
        else:
            client.transport.writelines(parts)

    def _give_up(self, finish: Finish) -> None:
        """The answer is read no further. After a bounded drain what was seen decides, marked as estimated; else it is found out (law 5)."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        if finish is Finish.CLIENT_GONE:
            self._settle(finish)
        else:
            self._lapse(finish)
        client, self._client = self._client, None
        if client is not None:
            client.cut()

    def on_end(self) -> None:
        """The answer is whole."""
        self._upstream = None
        meter = self._meter
        tail = meter.finish() if self._copy is None else b""
        client, self._client = self._client, None
        mode = self._mode
        if mode == _BUFFER and client is not None:
            self._parts.append(tail)
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            charge = self._end_money()
            response = self._response
            length = b"content-length: %d\r\n\r\n" % len(body) if client.is_http10 or self._status != 204 else b"\r\n"
            client.transport.write(
                b"".join((
                    status_line(self._status), *response.forward, hold_lines(self._gateway, self.hold, self._call_id, charge), cost_line(charge),
                    client.connection_line(), length, body,
                ))
            )  # fmt: skip
            self._count_added_latency()
            client.finished()
            return
        self._end_money()
        if client is None:
            return
        if mode == _REFRAME:
            client.transport.write(chunk(tail) + LAST_CHUNK)
        elif tail:
            client.transport.write(tail)
        if mode == _PLAIN and self._response.content_length < 0:
            client.transport.close()
        client.finished()

    def _end_money(self) -> int:
        """The end of an attempt whose answer is whole. The charge in nanos."""
        meter = self._meter
        if not meter.saw_usage and (self._status >= 300 or (meter.saw_error and not meter.delivered_output_bytes)):
            self._release(ReleaseReason.PROVIDER_ERROR)
            return 0
        return self._settle(self._finish)

    # ---- troubles ---------------------------------------------------------------------------------------

    def client_gone(self) -> None:
        """Nobody reads any more. Before dispatch the hold is released; afterwards the answer is read on for its usage (law 5)."""
        self._client = None
        gateway = self._gateway
        self._finish = Finish.CLIENT_GONE
        if self._state == _WAITING and self._waiting is not None:
            self._waiting.end()
            self._state = _ENDED
        elif self._state in {_SENT, _ANSWERING}:
            gateway.metrics.drained_calls += 1
            self._parts = []
            self._mode = _DRAIN
            self._drained_bytes = self._relayed_bytes
            self._drain_until = gateway.wheel.now + gateway.ticks.drain
            upstream = self._upstream
            if upstream is not None and not upstream.closed:
                upstream.transport.resume_reading()
                upstream.deadline = min(upstream.deadline or self._drain_until, self._drain_until)

    def upstream_lost(self, finish: Finish, message: str) -> None:
        """The answer will not be whole: cut, malformed or too late."""
        upstream, self._upstream = self._upstream, None
        gateway = self._gateway
        client = self._client
        stale = upstream is not None and upstream.reused and not upstream.got_bytes and finish is Finish.UPSTREAM_CUT
        drained = client is None and finish is Finish.TIMED_OUT
        if self._state == _ANSWERING and (self._meter.saw_usage or drained):
            self._settle(finish if client is not None else Finish.CLIENT_GONE)
        else:
            self._lapse(finish if client is not None else Finish.CLIENT_GONE)
        if client is None:
            return
        if stale and self._attempt < _ATTEMPTS_MAX:
            # It was closed while idle, most likely. Whether the provider saw the request is not known, so the first hold stays in
            # suspense, and the resend is an attempt of its own with a hold of its own.
            self._attempt += 1
            self._previous = self.hold
            gateway.metrics.upstream_resends += 1
            self._admit(may_wait=False)
            return
        self._client = None
        if self._state == _ANSWERING and self._mode != _BUFFER:
            client.cut()
        elif finish is Finish.TIMED_OUT:
            client.answer(error_answer(self._dialect, 504, "provider_timeout", message))
        else:
            client.answer(error_answer(self._dialect, 502, "bad_gateway", message))

    def pause_upstream(self) -> None:
        """The client reads slower than the provider writes."""
        if self._upstream is not None and self._state == _ANSWERING and not self._upstream.closed:
            self._upstream.transport.pause_reading()
            self._upstream.deadline = 0

    def resume_upstream(self) -> None:
        """The client has caught up."""
        if self._upstream is not None and self._state == _ANSWERING and not self._upstream.closed:
            self._upstream.deadline = self._gateway.wheel.now + self._gateway.ticks.upstream_idle
            self._upstream.transport.resume_reading()

    # ---- ends -------------------------------------------------------------------------------------------

    def _settle(self, finish: Finish) -> int:
        gateway = self._gateway
        meter = self._meter
        charge = gateway.spending.settle(self.hold, meter, gateway.clock(), self._status, finish)
        metrics = gateway.metrics
        metrics.ends["settled"] += 1
        metrics.sources[meter.source.value] += 1
        metrics.settled(meter.counts, charge, self.hold.bound_nanos)
        gateway.commit.soon()
        return charge

    def _release(self, reason: ReleaseReason) -> None:
        gateway = self._gateway
        gateway.spending.release(self.hold, reason, gateway.clock(), self._status)
        gateway.metrics.ends[reason.value] += 1
        gateway.commit.soon()

    def _lapse(self, finish: Finish) -> None:
        gateway = self._gateway
        now = gateway.clock()
        if self._state == _ANSWERING:
            meter = self._meter
            gateway.spending.evidence(self.hold, meter, now, self._status)
        else:
            meter = self._dialect.meter(self._facts.stream, False)
        gateway.spending.lapse(self.hold, meter, now, finish, self._status)
        gateway.metrics.ends["lapsed"] += 1
        gateway.commit.soon()

    def _refuse(self, status: int, code: str, message: str, retry_after_seconds: int = 0) -> None:
        """An error of ours to a client that is still there; its call is over."""
        self._state = _ENDED
        client, self._client = self._client, None
        if client is not None:
            client.answer(error_answer(self._dialect, status, code, message, retry_after_seconds=retry_after_seconds))

    def _client_now(self) -> "ClientConnection":
        client = self._client
        assert client is not None
        return client

    def _count_added_latency(self) -> None:
        """What we added: before the request went out, and between the answer's head and its relay."""
        added = self._sent_ns - self._started_ns + time.perf_counter_ns() - self._first_ns
        self._gateway.metrics.added.add(added // 1000)


class _Nothing:
    """Stands for a coding that cannot be decoded: the answer is relayed, its usage stays unknown."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Nothing is learnt."""
        del data
        return b""


class Waiting:
    """One call that waits for others to settle; looked at by the wheel for its time limit."""

    __slots__ = ("_call", "_gateway", "_wait", "closed", "deadline")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._gateway = call._gateway  # noqa: SLF001 - a part of the call
        self._wait: Wait | None = None
        self.closed = False
        self.deadline = self._gateway.wheel.now + self._gateway.ticks.wait
        self._gateway.wheel.add(self)
        self._gateway.metrics.waits += 1

    def begin(self, wait: Wait) -> None:
        """Waits for the wallets that `wait` names; again, after a wake that did not suffice."""
        self._wait = wait
        self._gateway.spending.wait(wait, self._wake)

    def end(self) -> None:
        """No more waiting."""
        self.closed = True
        wait, self._wait = self._wait, None
        if wait is not None:
            self._gateway.spending.forget(wait)

    def _wake(self) -> None:
        self._wait = None
        self._gateway.loop.call_soon(self._try)

    def _try(self) -> None:
        if not self.closed:
            self._call.try_again(may_wait=True)
            if not self._call.is_waiting:
                self.closed = True

    def deadline_passed(self) -> None:
        """Long enough: admitted or denied for good."""
        self.end()
        self._call.try_again(may_wait=False)
