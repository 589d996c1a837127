"""The dialect of OpenAI's completions, which came before chat and is what servers of open models still speak for plain text."""

from typing import Final

import msgspec

from tokenroll.model.limits import CHOICES_MAX
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import cap_tokens, count_texts, metadata_tags, read_head, user_text, whole_number
from tokenroll.upstream.openai import StreamChatMeter, WholeChatMeter
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint, read_stream_options, tier_asked
from tokenroll.upstream.shapes import decode_chat_frame

_READ: Final = by_plain_name((
    "model", "prompt", "max_tokens", "n", "best_of", "stream", "stream_options", "service_tier", "user", "metadata",
))  # fmt: skip
_LEAST_EVENT_BYTES: Final = len(b'data:{"choices":[{"text":""}]}\n\n')


class StreamCompletionsMeter(StreamChatMeter):
    """Usage of a streamed completion: chunks as in chat, with a text where chat has a delta."""

    __slots__ = ()

    def __init__(self, withhold: bool) -> None:
        super().__init__(withhold)
        self._output = b'"text"'
        self._text_mark = b'"text":"'

    def _frame_of(self, name: bytes, payload: bytes) -> int:  # noqa: ARG002 - this dialect names no events
        try:
            frame = decode_chat_frame(payload)
        except (msgspec.MsgspecError, RecursionError):
            return 0
        return _LEAST_EVENT_BYTES + frame.repeated_bytes() if frame.choices else 0


class Completions(OpenAIEndpoint):
    """The dialect of `POST /v1/completions`; see Dialect for what each method promises."""

    index = 3
    name = "completions"
    path = b"/v1/completions"
    asks_for_usage = True
    has_tiers = False

    def facts(self, body: bytes) -> Facts:
        """See Dialect. Every prompt has its own choices, and `best_of` writes more of them than it shows."""
        facts = Facts()
        head = read_head(body, facts)
        check_fields(head, _READ)
        facts.cap_field = "max_tokens"
        cap = head.get("max_tokens")
        if cap is not None:
            facts.output_cap_tokens = cap_tokens(cap, "max_tokens")
        choices = 1
        for field, least in (("n", 1), ("best_of", 0)):  # the specification's own minima
            if head.get(field) is not None:
                choices = max(choices, whole_number(head[field], field, least, CHOICES_MAX))
        prompt = head.get("prompt")
        facts.message_count = 1 if prompt is None else count_texts(prompt, "prompt")
        facts.choice_count = choices * facts.message_count
        read_stream_options(body, head, facts)
        facts.service_tier = tier_asked(head.get("service_tier"))
        facts.user = user_text(head.get("user"), "user")
        if "metadata" in head:
            facts.tags = metadata_tags(body, head)
        return facts

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:
        """See Dialect."""
        return StreamCompletionsMeter(withhold_usage) if stream else WholeChatMeter()
