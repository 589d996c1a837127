"""The dialect of Anthropic's message batches: many messages in one request, answered within a day at the batch rates.

A batch is one call: its hold is the sum of its messages' bounds, and it is settled when its provider says that it has ended, by the sum
of what each message used. What is sent is never changed, because a cap or a model in the middle of a batch is its client's to choose.
"""

import json
import re
from typing import Final

import msgspec
from msgspec import Raw

from tokenroll.model.limits import BATCH_REQUESTS_MAX
from tokenroll.upstream.anthropic import LONG_BETA, Messages, ask_for_window
from tokenroll.upstream.batching import ReceiptMeter, add_request, new_batch, refuse_count
from tokenroll.upstream.dialect import Buffers, CallMeter, Dialect, RequestRefused
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.heads import object_fields, read_json, refuse, wrong_type
from tokenroll.upstream.shapes import decode_raws

STORED_NAME: Final = re.compile(r"msgbatch_[A-Za-z0-9_-]{1,200}")


class MessageBatches(Messages):
    """The dialect of `POST /v1/messages/batches`; see Dialect for what each method promises."""

    index = 13
    name = "message_batches"
    path = b"/v1/messages/batches"
    is_kept = True

    def with_betas(self, betas: bytes) -> Dialect:
        """See Dialect."""
        return LONG_BATCHES if LONG_BETA in betas else self

    def facts(self, body: bytes) -> Facts:
        """See Dialect. All messages of a batch name one model, so that one hold has one price; searches are for calls of their own."""
        fields = object_fields(body)
        listed = fields.get("requests")
        if listed is None:
            refuse("missing_required_parameter", "requests: Field required", "requests")
        try:
            requests = decode_raws(listed)
        except msgspec.MsgspecError:
            wrong_type(
                "requests", "an array", {} if bytes(memoryview(listed)[:1]) == b"{" else read_json(bytes(listed))
            )
        if not 0 < len(requests) <= BATCH_REQUESTS_MAX:
            refuse_count("requests: a batch", str(len(requests)), "requests")
        whole = new_batch()
        whole.fields = tuple(fields)
        whole.input_bytes = len(body)
        for index, raw in enumerate(requests):
            try:
                one = self._one(raw)
            except RequestRefused as refused:
                place = f"requests[{index}].params" + (f".{refused.param}" if refused.param else "")
                raise RequestRefused(refused.status, refused.code, f"{place}: {refused.message}", place) from None
            add_request(whole, one, f"requests[{index}].params")
        return whole

    def _one(self, raw: Raw) -> Facts:
        params = object_fields(bytes(raw)).get("params")
        if params is None:
            refuse("missing_required_parameter", "Field required")
        return super().facts(bytes(params))

    def rewrite(
        self,
        body: bytes,
        facts: Facts,
        *,
        model: str,
        output_cap_tokens: int,  # noqa: ARG002 - never set: nothing of a batch is lowered
        inject_usage: bool,  # noqa: ARG002 - there is no stream
        service_tier: str | None,  # noqa: ARG002 - a batch is a tier of its own
        searches: int | None = None,  # noqa: ARG002 - there are none
    ) -> Buffers:
        """See Dialect. Only an alias is written out, in every message."""
        if model == facts.model:
            return [body]
        said = json.loads(body)
        for one in said["requests"]:
            one["params"]["model"] = model
        return [json.dumps(said, separators=(",", ":")).encode()]

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - part of the protocol
        """See Dialect."""
        return ReceiptMeter(STORED_NAME)

    def result_meter(self) -> CallMeter:
        """A meter for one message of its results."""
        return super().meter(stream=False, withhold_usage=False)


class LongMessageBatches(MessageBatches):
    """The same for a head that asks for the long context for each of them."""

    def facts(self, body: bytes) -> Facts:
        """See Dialect."""
        facts = super().facts(body)
        ask_for_window(facts)
        return facts


LONG_BATCHES: Final = LongMessageBatches()
