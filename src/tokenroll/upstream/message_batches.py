"""The dialect of Anthropic's message batches: many messages in one request, answered within a day at the batch rates.

A batch is one call: its hold is the sum of its messages' bounds, and it is settled when its provider says that it has ended, by the sum
of what each message used. What is sent is never changed, because a cap or a model in the middle of a batch is its client's to choose.
"""

import json
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from tokenroll.model.limits import BATCH_REQUESTS_MAX
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.dialect import Buffers, CallMeter, RequestRefused
from tokenroll.upstream.facts import Batched, Facts
from tokenroll.upstream.heads import not_bounded, object_fields, refuse, wrong_type
from tokenroll.upstream.shapes import decode_raws
from tokenroll.upstream.usage import WholeMeter, object_of

STORED_NAME: Final = re.compile(r"msgbatch_[A-Za-z0-9_-]{1,200}")


class MessageBatchMeter(WholeMeter):
    """What the receipt of a batch says: its name. There is no usage before its end."""

    __slots__ = ("_stored_as",)

    def __init__(self) -> None:
        super().__init__()
        self._stored_as = ""

    def stored_as(self) -> str:
        return self._stored_as

    def goes_on(self) -> bool:
        return bool(self._stored_as)

    def _on_body(self, body: bytes) -> None:
        try:
            name = object_of(msgspec.json.decode(body)).get("id")
        except (msgspec.DecodeError, RecursionError):
            return
        self.complete = True
        if isinstance(name, str) and STORED_NAME.fullmatch(name):
            self._stored_as = name

    def _on_usage(self, usage: dict[str, Any]) -> None:
        """No usage stands in a receipt."""


class MessageBatches(Messages):
    """The dialect of `POST /v1/messages/batches`; see Dialect for what each method promises."""

    index = 13
    name = "message_batches"
    path = b"/v1/messages/batches"
    is_kept = True

    def facts(self, body: bytes) -> Facts:
        """See Dialect. All messages of a batch name one model, so that one hold has one price; searches are for calls of their own."""
        fields = object_fields(body)
        listed = fields.get("requests")
        if listed is None:
            refuse("missing_required_parameter", "requests: Field required", "requests")
        try:
            requests = decode_raws(listed)
        except msgspec.MsgspecError:
            wrong_type("requests", "an array", None)
        if not 0 < len(requests) <= BATCH_REQUESTS_MAX:
            refuse(
                "invalid_value",
                f"requests: a batch has 1 to {BATCH_REQUESTS_MAX} requests here, not {len(requests)}; send more of them as more batches.",
                "requests",
            )
        whole = Facts()
        whole.batched = batched = Batched()
        whole.beyond_bytes = True
        whole.service_tier = "batch"
        whole.fields = tuple(fields)
        whole.input_bytes = len(body)
        for index, raw in enumerate(requests):
            try:
                one = self._one(raw)
            except RequestRefused as refused:
                place = f"requests[{index}].params" + (f".{refused.param}" if refused.param else "")
                raise RequestRefused(refused.status, refused.code, f"{place}: {refused.message}", place) from None
            self._add(whole, batched, one, index)
        return whole

    def _one(self, raw: Raw) -> Facts:
        params = object_fields(bytes(raw)).get("params")
        if params is None:
            refuse("missing_required_parameter", "Field required")
        return super().facts(bytes(params))

    @staticmethod
    def _add(whole: Facts, batched: Batched, one: Facts, index: int) -> None:
        """One message's share of the batch's bound."""
        whole.model = whole.model or one.model
        if one.model != whole.model:
            message = f"requests[{index}].params.model: a batch has one model here, {whole.model!r}; send those of {one.model!r} as another batch."
            refuse("invalid_value", message, f"requests[{index}].params.model")
        if one.server_tool_uses_max:
            not_bounded(f"requests[{index}].params.tools", "searching the web in a batch")
        if one.stream:
            refuse("invalid_value", "A batch has no stream.", f"requests[{index}].params.stream")
        batched.request_count += 1
        batched.tool_request_count += one.has_tools
        batched.window_count += one.fills_window
        whole.has_audio = whole.has_audio or one.has_audio
        whole.fills_window = whole.fills_window or one.fills_window
        whole.output_cap_tokens += one.output_cap_tokens
        whole.message_count += one.message_count
        whole.tool_count += one.tool_count
        whole.has_tools = whole.has_tools or one.has_tools
        whole.extra_input_tokens += one.extra_input_tokens

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
        return MessageBatchMeter()

    def result_meter(self) -> CallMeter:
        """A meter for one message of its results."""
        return super().meter(stream=False, withhold_usage=False)
