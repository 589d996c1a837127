"""The dialect of OpenAI's moderations: free at the provider, and seen here like any other call."""

from typing import Any, Final

from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.heads import (
    kind_of,
    not_bounded,
    read_head,
    refuse,
    refuse_doubles,
    user_text,
    wrong_type,
)
from tokenroll.upstream.media import MediaMeter, split_tokens
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint
from tokenroll.upstream.shapes import Item, PartsItem

_MODEL: Final = "omni-moderation-latest"
"""What the provider takes for a request that names none."""
_READ: Final = by_plain_name(("model", "input", "user"))
_TEXT_TYPE, _IMAGE_TYPE = b'"text"', b'"image_url"'


class ModerationsMeter(MediaMeter):
    """Usage of a verdict. OpenAI reports none; servers that charge for it say what they read."""

    __slots__ = ()

    def _on_usage(self, usage: dict[str, Any]) -> None:
        split_tokens(self, usage, "prompt_tokens", "prompt_tokens_details", {}, counts.INPUT)
        if self.counts[counts.INPUT] is not None:
            self._seen()

    def output_tokens_seen(self) -> int:
        return 0


class Moderations(OpenAIEndpoint):
    """The dialect of `POST /v1/moderations`; see Dialect for what each method promises."""

    index = 5
    name = "moderations"
    path = b"/v1/moderations"
    has_tiers = False

    def facts(self, body: bytes) -> Facts:
        """See Dialect. Texts are bounded by their bytes, pictures by the context window, unless reading costs nothing."""
        facts = Facts()
        head = read_head(body, facts, default_model=_MODEL)
        check_fields(head, _READ, writes=False)
        facts.has_output = False
        facts.user = user_text(head.get("user"), "user")
        value = head.get("input")
        if type(value) is str:
            facts.message_count = 1
            return facts
        if value is None:
            refuse("missing_required_parameter", "Missing required parameter: 'input'.", "input")
        if type(value) is not list:
            wrong_type("input", "a string or an array", value)
        facts.message_count = len(value)
        objects = False
        for index, one in enumerate(value):
            if type(one) is str:
                continue
            if one.__class__ is not Item and one.__class__ is not PartsItem:
                wrong_type(f"input[{index}]", "a string or an object", one)
            objects = True
            kind = kind_of(one.type)
            if kind == _IMAGE_TYPE:
                facts.fills_window = facts.beyond_bytes = True
            elif kind != _TEXT_TYPE:
                not_bounded(f"input[{index}]", "an input that is neither text nor a picture")
        if objects:
            refuse_doubles(body, "input")
        return facts

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - there is no stream of verdicts
        """See Dialect."""
        return ModerationsMeter()
