"""What batches share in every dialect: how their requests add up to one bound, and the receipt that they are answered with."""

from re import Pattern
from typing import Any

import msgspec

from tokenroll.model.limits import BATCH_OUTPUT_TOKENS_MAX, BATCH_REQUESTS_MAX
from tokenroll.upstream.facts import Batched, Facts
from tokenroll.upstream.heads import not_bounded, refuse
from tokenroll.upstream.usage import WholeMeter, object_of


def new_batch() -> Facts:
    """The facts of a batch without any request yet."""
    whole = Facts()
    whole.batched = Batched()
    whole.beyond_bytes = True
    whole.service_tier = "batch"
    whole.has_output = False
    return whole


def add_request(whole: Facts, one: Facts, place: str) -> None:
    """One request's share of a batch's bound. Raises RequestRefused for what no batch has; `place` says where it stands.

    All requests of a batch name one model, so that one hold has one price; searches are for calls of their own.
    """
    batched = whole.batched
    assert batched is not None
    whole.model = whole.model or one.model
    if one.model != whole.model:
        message = (
            f"{place}.model: a batch has one model here, {whole.model!r}; send those of {one.model!r} as another batch."
        )
        refuse("invalid_value", message, f"{place}.model")
    if one.server_tool_uses_max:
        not_bounded(f"{place}.tools", "searching the web in a batch")
    if one.speaks:
        not_bounded(f"{place}.audio", "an answer in sound in a batch")
    if one.stream:
        refuse("invalid_value", f"{place}.stream: a batch has no stream.", f"{place}.stream")
    if one.in_background:
        refuse("invalid_value", f"{place}.background: a batch goes on by itself.", f"{place}.background")
    if one.service_tier not in {"", "standard"}:
        message = f"{place}.service_tier: a batch is a tier of its own; leave it out, or send this as a call."
        refuse("invalid_value", message, f"{place}.service_tier")
    batched.request_count += 1
    batched.tool_request_count += one.has_tools
    batched.window_count += one.fills_window
    if not one.fills_window:
        batched.image_request_count += one.image_count > 0
        whole.image_count += one.image_count
    if one.has_output:
        whole.has_output = True
        whole.output_cap_tokens += one.choice_count * one.output_cap_tokens
        batched.uncapped_choice_count += 0 if one.output_cap_tokens else one.choice_count
    if whole.output_cap_tokens > BATCH_OUTPUT_TOKENS_MAX:
        message = f"{place}: the output caps of one batch add up to at most {BATCH_OUTPUT_TOKENS_MAX} tokens; lower them, or send more batches."
        refuse("invalid_value", message, place)
    whole.window_tokens = max(whole.window_tokens, one.window_tokens)
    whole.has_audio = whole.has_audio or one.has_audio
    whole.fills_window = whole.fills_window or one.fills_window
    whole.message_count += one.message_count
    whole.tool_count += one.tool_count
    whole.has_tools = whole.has_tools or one.has_tools
    whole.extra_input_tokens += one.extra_input_tokens


def refuse_count(what: str, count: str, param: str) -> None:
    """Raises RequestRefused for a batch of too few or too many requests."""
    message = f"{what} has 1 to {BATCH_REQUESTS_MAX} requests here, not {count}; send more of them as more batches."
    refuse("invalid_value", message, param)


class ReceiptMeter(WholeMeter):
    """What the receipt of something that goes on says: its name. There is no usage before its end."""

    __slots__ = ("_pattern", "_stored_as")

    def __init__(self, pattern: "Pattern[str]") -> None:
        super().__init__()
        self._pattern = pattern
        """What such a name looks like."""
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
        if isinstance(name, str) and self._pattern.fullmatch(name):
            self._stored_as = name

    def _on_usage(self, usage: dict[str, Any]) -> None:
        """No usage stands in a receipt."""
