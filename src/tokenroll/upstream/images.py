"""The dialects of OpenAI's pictures: made from words, or from words and other pictures.

A picture takes no output cap: what it may cost follows from its size and quality, else from the most that its model puts out.
"""

from collections.abc import Mapping
from typing import Any, Final

from tokenroll.model.limits import (
    PARTIAL_PICTURE_TOKENS,
    PARTIAL_PICTURES_MAX,
    PICTURE_INPUT_TOKENS_MAX,
    PICTURES_IN_MAX,
    PICTURES_OUT_MAX,
    UNIT_COUNT_MAX,
)
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.form_endpoint import FormEndpoint, form_number, refuse_texts
from tokenroll.upstream.heads import (
    boolean,
    not_bounded,
    read_head,
    refuse,
    spans,
    text,
    user_text,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.media import MediaMeter, UsageStreamMeter, split_tokens
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint
from tokenroll.upstream.shapes import MediaAnswer, decode_raws
from tokenroll.upstream.usage import object_of

_MODEL: Final = "gpt-image-1.5"
"""What the provider takes for pictures of pictures when a request names no model."""
_PICTURE_TOKENS: Final = {
    ("low", "1024x1024"): 272, ("low", "1024x1536"): 408, ("low", "1536x1024"): 400,
    ("medium", "1024x1024"): 1_757, ("medium", "1024x1536"): 1_584, ("medium", "1536x1024"): 1_568,
    ("high", "1024x1024"): 7_024, ("high", "1024x1536"): 6_240, ("high", "1536x1024"): 6_208,
}  # fmt: skip
"""The most output tokens of one picture over all models whose figures are published (decision 0063)."""
_FIGURED: Final = frozenset({
    "gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.5-sunburst", "chatgpt-image-latest",
})  # fmt: skip
"""These models. Of any other one, whatever its size and quality, the model's own maximum bounds a picture."""
_READ: Final = by_plain_name(
    (
        "model",
        "prompt",
        "n",
        "size",
        "quality",
        "partial_images",
        "stream",
        "user",
        "image",
        "images",
        "mask",
        "background",
        "markup",
        "output_format",
        "frame_count",
    )
)
_PICTURES: Final = ("image", "images", "mask", "markup")
"""The fields of pictures that a call goes by."""
_FILES: Final = frozenset(_PICTURES) - {"images"}
_INPUT: Final = {"text_tokens": counts.INPUT, "image_tokens": counts.INPUT_IMAGE}
_OUTPUT: Final = {"text_tokens": counts.OUTPUT, "image_tokens": counts.OUTPUT_IMAGE}


def read_picture_usage(meter: CallMeter, usage: dict[str, Any]) -> bool:
    """Counts of a `usage` object of pictures; whether both sides are known. What no detail names is picture on the way out."""
    split_tokens(meter, usage, "input_tokens", "input_tokens_details", _INPUT, counts.INPUT)
    split_tokens(meter, usage, "output_tokens", "output_tokens_details", _OUTPUT, counts.OUTPUT_IMAGE)
    mine = meter.counts
    return mine[counts.INPUT] is not None and mine[counts.OUTPUT_IMAGE] is not None


class PicturesMeter(MediaMeter):
    """Usage of pictures: tokens where they are reported, else the pictures that came."""

    __slots__ = ()
    output_index = counts.OUTPUT_IMAGE

    def _on_answer(self, answer: MediaAnswer) -> None:
        if answer.usage is not None:
            self._on_usage(object_of(answer.usage))
        elif bytes(memoryview(answer.data)[:1]) == b"[":
            self.counts[counts.IMAGE] = len(decode_raws(answer.data))
            self._seen()

    def _on_usage(self, usage: dict[str, Any]) -> None:
        if read_picture_usage(self, usage):
            self._seen()

    def output_tokens_seen(self) -> int:
        """Pictures do not show their tokens: where some came, all that was held for them may have been used."""
        return UNIT_COUNT_MAX if self.delivered_output_bytes else 0


class StreamPicturesMeter(UsageStreamMeter):
    """Usage of streamed pictures: each says its own when it is complete."""

    __slots__ = ()
    output_index = counts.OUTPUT_IMAGE

    def _read(self, usage: dict[str, Any]) -> bool:
        return read_picture_usage(self, usage)

    def output_tokens_seen(self) -> int:
        return UNIT_COUNT_MAX if self.delivered_output_bytes else 0


def _bound_pictures(facts: Facts, fields: Mapping[str, Any], count: int | None, partial: int | None) -> None:
    """How many pictures and how large at most, as the request's own fields say it.

    The frames of a GIF are drawn on one sheet, each in the size that is asked for: what bounds the sheet is the largest picture of its model.
    """
    size, quality = text(fields.get("size"), "size"), text(fields.get("quality"), "quality")
    written_as = text(fields.get("output_format"), "output_format").casefold()
    if written_as == "svg":
        not_bounded("output_format", "a picture that a further model writes")
    moves = written_as == "gif" or fields.get("frame_count") is not None
    facts.is_text = False
    facts.beyond_bytes = True
    facts.message_count = 1
    facts.choice_count = 1 if count is None else whole_number(count, "n", 1, PICTURES_OUT_MAX)
    facts.unit_maxima = ((counts.IMAGE, facts.choice_count, facts.choice_count),)
    tokens = _PICTURE_TOKENS.get((quality, size), 0) if facts.model in _FIGURED and not moves else 0
    if partial is not None:
        partial = whole_number(partial, "partial_images", 0, PARTIAL_PICTURES_MAX)
        tokens += partial * PARTIAL_PICTURE_TOKENS if tokens else 0
    facts.output_cap_tokens = tokens


class ImageGenerations(OpenAIEndpoint):
    """The dialect of `POST /v1/images/generations`; see Dialect for what each method promises."""

    index = 8
    name = "image generations"
    path = b"/v1/images/generations"
    has_tiers = False

    def facts(self, body: bytes) -> Facts:
        """See Dialect."""
        facts = Facts()
        head = read_head(body, facts)
        check_fields(head, _READ)
        if type(head.get("prompt")) is not str:
            if head.get("prompt") is None:
                refuse("missing_required_parameter", "Missing required parameter: 'prompt'.", "prompt")
            wrong_type("prompt", "a string", head["prompt"])
        _bound_pictures(facts, head, head.get("n"), head.get("partial_images"))
        facts.user = user_text(head.get("user"), "user")
        return facts

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - nobody has to ask for usage
        """See Dialect."""
        return StreamPicturesMeter() if stream else PicturesMeter()


class ImageEdits(FormEndpoint):
    """The dialect of `POST /v1/images/edits`, JSON or a form; see Dialect for what each method promises."""

    index = 9
    name = "image edits"
    path = b"/v1/images/edits"
    default_model = _MODEL

    def facts(self, body: bytes) -> Facts:
        """See Dialect. Each picture that is read may take the most tokens that one is known to take."""
        facts = Facts()
        if self.boundary:
            form = self.form(body, facts, _READ, _PICTURES)
            pictures = len(form.files)
            prompt: Any = form.fields.get("prompt")
            _bound_pictures(facts, form.fields, form_number(form, "n"), form_number(form, "partial_images"))
            if any(one.name not in _FILES for one in form.files):
                refuse(
                    "invalid_value", "Files of this form are called 'image', 'image[]', 'mask' or 'markup'.", "image"
                )
            refuse_texts(form, _PICTURES, " A link to a picture is sent as JSON.")
        else:
            head = read_head(body, facts, default_model=_MODEL)
            check_fields(head, _READ)
            prompt = head.get("prompt")
            pictures = self._listed(body, head, facts)
            _bound_pictures(facts, head, head.get("n"), head.get("partial_images"))
            facts.user = user_text(head.get("user"), "user")
            boolean(head.get("stream"), "stream")
        if type(prompt) is not str:
            refuse("missing_required_parameter", "Missing required parameter: 'prompt'.", "prompt")
        if not 0 < pictures <= PICTURES_IN_MAX:
            refuse("invalid_value", f"A call has 1 to {PICTURES_IN_MAX} pictures to go by, not {pictures}.", "image")
        facts.extra_input_tokens = pictures * PICTURE_INPUT_TOKENS_MAX
        return facts

    @staticmethod
    def _listed(body: bytes, head: dict[str, Any], facts: Facts) -> int:
        """How many pictures a JSON request has; their own bytes bound nothing and are not counted as text."""
        images = head.get("images")
        if images is None:
            refuse("missing_required_parameter", "Missing required parameter: 'images'.", "images")
        if type(images) is not list:
            wrong_type("images", "an array", images)
        where = spans(body)
        count = 0
        for name in _PICTURES:
            if head.get(name) is not None:
                count += len(head[name]) if type(head[name]) is list else 1
                start, end = where[name]
                facts.input_bytes -= end - start
                # said of a picture that is not stored, it would only keep the call where it is
                facts.reads_stored = facts.reads_stored or body.find(b'"file_id"', start, end) >= 0
        return count

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - nobody has to ask for usage
        """See Dialect."""
        return StreamPicturesMeter() if stream else PicturesMeter()
