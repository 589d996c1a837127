"""The structures that the JSON library fills: what of requests and answers is read, everything else is skipped undecoded.

They live apart from the code that uses them because the library reads its classes at run time, which compiled modules do not allow.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Raw

NOTHING: Final = Raw(b"")


class _Key(str):
    """A key that equals by text but hashes by identity, so that a dict keeps both of two equal keys."""

    __slots__ = ()
    __hash__ = object.__hash__


class Part(msgspec.Struct, gc=False):
    """One content part: its type, and the fields whose bytes do not bound their tokens, whatever the type says."""

    type: Raw = NOTHING
    content: Raw = NOTHING
    source: Raw = NOTHING
    image_url: Raw = NOTHING
    input_audio: Raw = NOTHING
    file: Raw = NOTHING
    file_data: Raw = NOTHING
    file_id: Raw = NOTHING

    @property
    def media_bytes(self) -> int:
        """What its images, files and sound weigh in the request."""
        fields = (self.source, self.image_url, self.input_audio, self.file, self.file_data)
        return sum(len(memoryview(field)) for field in fields if field is not NOTHING)

    def is_one_image(self) -> bool:
        """Whether nothing hides in it besides an image, for a part that calls itself one."""
        return self.input_audio is NOTHING and self.file is NOTHING and self.file_data is NOTHING

    def is_suspect(self) -> bool:
        """Whether it carries something besides text, whatever its type says: two types may hide in one part."""
        return (
            self.image_url is not NOTHING
            or self.input_audio is not NOTHING
            or self.file is not NOTHING
            or self.file_data is not NOTHING
            or self.file_id is not NOTHING
            or (
                self.source is not NOTHING
                and (memoryview(self.source)[0] == 0x7B or bytes(self.type) != b'"search_result"')
            )
        )

    def is_stored(self) -> bool:
        """Whether it stands for a file that the provider keeps: by its own id, or by one in its `file` or `source`."""
        return _is_text(self.file_id) or any(
            raw is not NOTHING and memoryview(raw)[0] == 0x7B and _is_text(_decode_named_file(raw).file_id)
            for raw in (self.file, self.source)
        )


class _NamedFile(msgspec.Struct, gc=False):
    """The object that names a file, or carries it."""

    file_id: Raw = NOTHING


_decode_named_file: Final = msgspec.json.Decoder(_NamedFile).decode


def _is_text(raw: Raw) -> bool:
    return raw is not NOTHING and memoryview(raw)[0] == 0x22


class Item(msgspec.Struct, gc=False):
    """An object in the head: a message, a tool or an option. Only what bounds and policy ask for, undecoded."""

    content: Raw = NOTHING
    audio: Raw = NOTHING
    type: Raw = NOTHING
    include_usage: Raw = NOTHING
    budget_tokens: Raw = NOTHING
    max_uses: Raw = NOTHING
    user_id: Raw = NOTHING
    edits: Raw = NOTHING
    output: Raw = NOTHING
    tools: Raw = NOTHING
    environment: Raw = NOTHING


class PartsItem(msgspec.Struct, gc=False):
    """The same, for bodies whose messages hold lists of parts: they are read in the same scan."""

    content: list[Part] | str | None = None
    audio: Raw = NOTHING
    type: Raw = NOTHING
    include_usage: Raw = NOTHING
    budget_tokens: Raw = NOTHING
    max_uses: Raw = NOTHING
    user_id: Raw = NOTHING
    edits: Raw = NOTHING
    output: Raw = NOTHING
    tools: Raw = NOTHING
    environment: Raw = NOTHING


class Message(msgspec.Struct, gc=False):
    """A message, undecoded."""

    role: Raw = NOTHING
    content: Raw = NOTHING


class MarkPart(msgspec.Struct, gc=False):
    """A content part or a tool, as far as it says whether a mark for the prompt cache may stand at its end."""

    type: Raw = NOTHING
    name: Raw = NOTHING
    text: Raw = NOTHING
    cache_control: Raw = NOTHING
    defer_loading: Raw = NOTHING


_Scalar = str | int | float | bool | None


def _decoder(item: Any) -> Callable[[bytes], dict[_Key, Any]]:
    value: Any = item | list[item | list[Raw] | _Scalar] | _Scalar
    decoder: Any = msgspec.json.Decoder(dict[_Key, value], dec_hook=str.__new__)
    decode: Callable[[bytes], dict[_Key, Any]] = decoder.decode
    return decode


decode_texts = _decoder(Item)
decode_parts = _decoder(PartsItem)
decode_raw_pairs = msgspec.json.Decoder(dict[_Key, Raw], dec_hook=str.__new__).decode
decode_raws: Final = msgspec.json.Decoder(list[Raw]).decode
decode_parts_list: Final = msgspec.json.Decoder(list[Part]).decode
decode_messages: Final = msgspec.json.Decoder(list[Message]).decode
decode_mark_part: Final = msgspec.json.Decoder(MarkPart).decode
decode_items: Final = msgspec.json.Decoder(list[Item]).decode


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of `prompt_tokens`, already counted in it; what was cached may be sound and pictures, too."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens_details: Any = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Parts of `completion_tokens`, already counted in it; at some providers reasoning is not, as the total then shows."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class ChatUsage(msgspec.Struct, gc=False):
    """The `usage` of a chat completion. A total that is no number says nothing, and nothing else is the worse for it.

    What a cache held some say beside the prompt's details: Moonshot as `cached_tokens`, DeepSeek as `prompt_cache_hit_tokens`.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: Any = None
    cached_tokens: Any = None
    prompt_cache_hit_tokens: Any = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class ChatAnswer(msgspec.Struct, gc=False):
    """A whole answer; texts are skipped."""

    model: str | None = None
    service_tier: str | None = None
    usage: ChatUsage | None = None
    error: Any = None


class ChatChoice(msgspec.Struct, gc=False):
    """One of the choices of a chunk: what it says is not read, but for the usage that Moonshot puts into the last one."""

    usage: Any = None


class ChatChunk(ChatAnswer, gc=False):
    """One chunk of a streamed answer."""

    choices: list[ChatChoice] | None = None


class LooseChatAnswer(msgspec.Struct, gc=False):
    """The same for answers whose types are not what they should be; whatever is readable still counts."""

    model: Any = None
    service_tier: Any = None
    choices: Any = None
    usage: Any = None
    error: Any = None


class ChoiceFrame(msgspec.Struct, gc=False):
    """What surrounds a choice's text, undecoded."""

    index: Raw = NOTHING
    finish_reason: Raw = NOTHING
    logprobs: Raw = NOTHING

    def repeated_bytes(self) -> int:
        """What every choice of a stream says again."""
        return sum(
            len(name) + len(memoryview(raw)) + _FIELD_BYTES
            for name, raw in _fields(self)
            if (name == "index" and raw is not NOTHING) or bytes(raw) == b"null"
        )


class ChatFrame(msgspec.Struct, gc=False):
    """What surrounds the choices of a streamed chunk, undecoded: the fields that every chunk of a stream repeats."""

    id: Raw = NOTHING
    object: Raw = NOTHING
    created: Raw = NOTHING
    model: Raw = NOTHING
    system_fingerprint: Raw = NOTHING
    service_tier: Raw = NOTHING
    usage: Raw = NOTHING
    choices: list[ChoiceFrame] = []

    def repeated_bytes(self) -> int:
        """What every chunk with one choice says again; chunks with several share the rest, so only their choices count."""
        choice_bytes = min(choice.repeated_bytes() for choice in self.choices)
        if len(self.choices) > 1:
            return choice_bytes
        return choice_bytes + sum(
            len(name) + len(memoryview(raw)) + _FIELD_BYTES
            for name, raw in _fields(self)
            if name != "choices" and raw is not NOTHING and (name != "usage" or bytes(raw) == b"null")
        )


_FIELD_BYTES: Final = len('"":,')


def _fields(frame: msgspec.Struct) -> list[tuple[str, Any]]:
    return [(name, getattr(frame, name)) for name in frame.__struct_fields__]


decode_chat_frame = msgspec.json.Decoder(ChatFrame).decode
decode_chat_answer = msgspec.json.Decoder(ChatAnswer).decode
decode_chat_chunk = msgspec.json.Decoder(ChatChunk).decode
decode_loose_chat_answer = msgspec.json.Decoder(LooseChatAnswer).decode


class ResponseUsage(msgspec.Struct, gc=False):
    """The `usage` of a response."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: Any = None
    input_tokens_details: PromptDetails | None = None
    output_tokens_details: CompletionDetails | None = None


class ResponseAnswer(msgspec.Struct, gc=False):
    """A whole response, or the one in an event; its output is skipped."""

    model: str | None = None
    service_tier: str | None = None
    usage: ResponseUsage | None = None
    error: Any = None
    id: Any = None
    status: Any = None


class ResponseEvent(msgspec.Struct, gc=False):
    """One event of a streamed response. `code` is that of an `error` event."""

    type: str | None = None
    response: ResponseAnswer | None = None
    code: Any = None


class SearchAction(msgspec.Struct, gc=False):
    """What a search did."""

    type: str | None = None


class OutputItem(msgspec.Struct, gc=False):
    """One item of a response's output, as far as it may be a search."""

    type: str | None = None
    action: SearchAction | None = None


class ResponseOutput(msgspec.Struct, gc=False):
    """The output of a whole response: looked at only where the answer speaks of searches."""

    output: list[OutputItem] = []


class EventOutput(msgspec.Struct, gc=False):
    """The same inside the event that ends a stream."""

    response: ResponseOutput | None = None


class LooseResponseEvent(msgspec.Struct, gc=False):
    """The same for events whose types are not what they should be."""

    type: Any = None
    response: Any = None


decode_response = msgspec.json.Decoder(ResponseAnswer).decode
decode_response_output = msgspec.json.Decoder(ResponseOutput).decode
decode_event_output = msgspec.json.Decoder(EventOutput).decode
decode_response_event = msgspec.json.Decoder(ResponseEvent).decode
decode_loose_response_event = msgspec.json.Decoder(LooseResponseEvent).decode


class MediaAnswer(msgspec.Struct, gc=False):
    """An answer of pictures, sound, ranks or verdicts: what it says of its cost; pictures stay undecoded."""

    model: Any = None
    usage: Any = None
    meta: Any = None
    data: Raw = NOTHING
    duration: Any = None
    error: Any = None
    type: Any = None


decode_media_answer: Final = msgspec.json.Decoder(MediaAnswer).decode


class MessageDelta(msgspec.Struct, gc=False):
    """What a `message_delta` changes."""

    stop_reason: str | None = None


class MessageAnswer(msgspec.Struct, gc=False):
    """A whole answer, or the message inside `message_start`; content is skipped."""

    type: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class MessageEvent(msgspec.Struct, gc=False):
    """One event of a streamed message."""

    type: str | None = None
    message: MessageAnswer | None = None
    delta: MessageDelta | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


decode_message = msgspec.json.Decoder(MessageAnswer).decode
decode_message_event = msgspec.json.Decoder(MessageEvent).decode


class FrameEvent(msgspec.Struct, gc=False):
    """The payload of a frame of Amazon's: the event in base64, which is decoded strictly, beside bytes that only pad."""

    event: bytes = msgspec.field(name="bytes")


class FrameKind(msgspec.Struct, gc=False):
    """The event inside: only its name is read."""

    type: str


class FrameProblem(msgspec.Struct, gc=False):
    """The payload of a frame that ends an answer."""

    message: str | None = None


decode_frame_event = msgspec.json.Decoder(FrameEvent).decode
decode_frame_kind = msgspec.json.Decoder(FrameKind).decode
decode_frame_problem = msgspec.json.Decoder(FrameProblem).decode
