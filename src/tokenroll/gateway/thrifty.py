"""A call whose plan lets the gateway save: what is done to its request before it is bounded, and what is told with its answer (docs/thrift.md).

Calls of other keys are plain Calls and pay one look for it.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from tokenroll.gateway.call import Call
from tokenroll.gateway.heads import RequestHead, ResponseHead
from tokenroll.model.instant import Instant
from tokenroll.services.hot import HotKey, HotThrift
from tokenroll.services.hot_limits import Reroute
from tokenroll.services.output_sizes import Lengths
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import ErrorAnswer
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.usage import CACHE_READ, CACHE_WRITE_5M, OUTPUT, REASONING

if TYPE_CHECKING:
    from tokenroll.gateway.client import ClientConnection

_MARKED: Final = "messages"
_KEYED: Final = frozenset({"chat completions", "responses"})
"""Endpoints whose requests are marked for the prompt cache, or get a key for it."""
_CACHE_OWNER: Final = "openai"
"""Whose caches a key leads to; others may not know the field."""
_FAR_TOO_LARGE: Final = 4
"""A cap so many times what would do is worth a word."""


class ThriftyCall(Call):
    """See the module."""

    __slots__ = ("_asked", "_asked_input_bytes", "_lengths", "_marks", "_terms")

    def __init__(
        self, client: "ClientConnection", head: RequestHead, key: HotKey, body: bytes, now: Instant, terms: HotThrift
    ) -> None:
        super().__init__(client, head, key, body, now)
        self._terms = terms
        self._asked = body
        """The client's own body, whatever is done to the one that is sent."""
        self._asked_input_bytes = 0
        self._lengths: Lengths | None = None
        """Of its key's answers from its model, where hints are given: found once, for the hint and for this answer's own length."""
        self._marks: list[bytes] = []
        """Fingerprints of what is marked for the cache."""

    # ---- the request ------------------------------------------------------------------------------------

    def _begin(self, facts: Facts) -> None:
        """See Call. What is done to the request is done before its bound, which covers it."""
        self._asked_input_bytes = facts.input_bytes
        try:  # noqa: SIM105 - contextlib's way costs each call more than all that is done here
            self._aid(facts)
        except (RecursionError, msgspec.MsgspecError):  # nested too deeply to be looked into: sent as it came
            pass
        super()._begin(facts)

    def _aid(self, facts: Facts) -> None:
        """What helps the provider's cache, where the plan has it and the dialect knows it."""
        terms = self._terms
        gateway = self.gateway
        hot = self._route.hot
        if terms.cache_marking and self._dialect.name == _MARKED:
            ends_at = gateway.spending.cycle_ends_at(self._key, self._now)
            self._body, self._marks = gateway.cache_aids.with_marks(
                self._key, facts, self._body, hot, ends_at, self._now
            )
        elif terms.cache_key and self._dialect.name in _KEYED and hot.provider == _CACHE_OWNER:
            ends_at = gateway.spending.cycle_ends_at(self._key, self._now)
            gateway.cache_aids.give_key(self._key, facts, self._body, hot, ends_at)

    def _send_to(self, answer: Reroute) -> None:
        """See Call. What was decided for one model's price and cache is not carried to another."""
        self._undo()
        super()._send_to(answer)

    def _goes_elsewhere(self, why: str, answer: ErrorAnswer) -> bool:
        """See Call. Nor to another provider, which may not know it."""
        self._undo()
        return super()._goes_elsewhere(why, answer)

    def _undo(self) -> None:
        facts = self._facts
        if facts.cache_aid:
            facts.cache_aid = 0
            facts.cache_key = b""
            facts.input_bytes = self._asked_input_bytes
            self._marks = []
            self._body = self._asked

    # ---- the answer -------------------------------------------------------------------------------------

    def on_head(self, response: ResponseHead) -> None:
        """See Call."""
        if response.status < 400:  # else it may be needed elsewhere
            self._asked = b""
            self._hint(response)
        super().on_head(response)

    def on_whole(self, response: ResponseHead, payload: bytes) -> None:
        """See Call."""
        self._hint(response)
        super().on_whole(response, payload)
        self._learn()

    def _settle(self, finish: Finish) -> int:
        """See Call."""
        charge = super()._settle(finish)
        self._learn()
        return charge

    def _hint(self, response: ResponseHead) -> None:
        """Says which output cap would do, to who named none or one that is far too large."""
        facts = self._facts
        if not self._terms.cap_hints or not facts.has_output or not facts.is_text:
            return
        lengths = self._lengths = self.gateway.output_sizes.of(self._key.id, self.hold.upstream_model)
        tokens = lengths.hint_tokens()
        cap = facts.output_cap_tokens
        if tokens and (cap == 0 or cap >= _FAR_TOO_LARGE * tokens):
            response.forward.append(b"x-tokenroll-cap-hint: %d" % tokens)
            self.gateway.metrics.cap_hints += 1

    def _learn(self) -> None:
        """Whether what was marked is in the cache now, and how long this answer was."""
        hold = self.hold
        meter = self._meter
        lengths, self._lengths = self._lengths, None
        if hold.state != "settled" or not meter.saw_usage:
            return
        if self._marks and (meter.counts[CACHE_READ] or meter.counts[CACHE_WRITE_5M]):
            self.gateway.cache_aids.kept(self._marks, self.gateway.clock())
        if lengths is None or hold.choice_count > 1 or self._finish != Finish.COMPLETE:
            return
        counts = meter.counts
        tokens = (counts[OUTPUT] or 0) + (counts[REASONING] or 0)
        lengths.add(tokens, hold.output_tokens_max)
