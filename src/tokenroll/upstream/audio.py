"""The dialects of OpenAI's sound: text that is spoken, and speech that is written down, in its own language or in English.

A voice is sold by the character or by tokens; listening by the second or by tokens. Which it is, the rate card says.
"""

import struct
from typing import Any, Final

from tokenroll.model.limits import (
    AUDIO_BYTES_PER_SECOND,
    AUDIO_BYTES_PER_SECOND_MIN,
    AUDIO_SECONDS_OF_TOKENS_MAX,
    AUDIO_TOKENS_PER_SECOND,
    FLAC_BYTES_PER_SECOND,
    KNOWN_SPEAKER_SECONDS_MAX,
    KNOWN_SPEAKERS_MAX,
    OPUS_BYTES_PER_SECOND,
    PCM_BYTES_PER_SECOND,
    SPEECH_TOKENS_MIN,
    SPEECH_TOKENS_PER_BYTE,
)
from tokenroll.upstream import usage as counts
from tokenroll.upstream.dialect import CallMeter, RequestRefused
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.fields import by_plain_name, check_fields
from tokenroll.upstream.form_endpoint import FormEndpoint, refuse_texts
from tokenroll.upstream.heads import read_head, refuse, text, wrong_type
from tokenroll.upstream.media import MediaMeter, UsageStreamMeter, empty_counts, split_tokens, units_of
from tokenroll.upstream.openai_endpoint import OpenAIEndpoint
from tokenroll.upstream.shapes import MediaAnswer
from tokenroll.upstream.usage import object_of

_READ_ALOUD: Final = by_plain_name(("model", "input", "response_format", "stream_format", "speed"))
_FILE: Final = "file"
_VOICES: Final = "known_speaker_references"
_READ_TO_WRITE: Final = by_plain_name(("model", _FILE, _VOICES, "stream", "user"))
_BEGINNING_BYTES: Final = 64
"""Of an answer, for its format: a WAV says it in its first 60."""
_FIRST_CHUNK_AT: Final = 12
_COMPRESSED: Final = (
    b"ID3", b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b"\xff\xe2", b"\xff\xf1", b"\xff\xf0", b"\xff\xf9", b"\xff\xf8",
)  # fmt: skip
"""How MP3 begins, with tags or with a frame of its three versions, and the frames of AAC in its two."""
_CHUNK_HEAD: Final = struct.Struct("<4sI")
_WAVE_FORMAT: Final = struct.Struct("<HHIIHH")
"""Format, channels, samples a second, bytes a second, bytes of a sample of all channels, bits of a sample."""
_UNCOMPRESSED: Final = frozenset({1, 3})
_EXTENSIBLE: Final = 0xFFFE
_GUID_AT: Final = 24
"""Where a format that calls itself extensible says which one it is, as 16 bytes."""
_GUIDS: Final = frozenset(
    kind.to_bytes(2, "little") + bytes.fromhex("0000 0000 1000 8000 00AA 0038 9B71") for kind in _UNCOMPRESSED
)
_WAVE_CHUNKS_MAX: Final = 16
"""Chunks looked at: the format is the first of nearly every file."""
_HEARD: Final = {"text_tokens": counts.INPUT, "audio_tokens": counts.INPUT_AUDIO}


class SpeechMeter(CallMeter):
    """A spoken answer: sound, which says nothing of its cost. What it cost follows from the text, or from how long the sound is that came.

    Its first bytes say which format it has, whatever was asked for.
    """

    __slots__ = ("_beginning",)
    output_index = counts.OUTPUT_AUDIO

    def __init__(self) -> None:
        super().__init__()
        self.counts = empty_counts()
        self._beginning = b""

    def feed(self, data: bytes) -> bytes:
        self.delivered_output_bytes += len(data)
        if len(self._beginning) < _BEGINNING_BYTES:
            self._beginning += data[:_BEGINNING_BYTES]
        return data

    def finish(self) -> bytes:
        self.complete = True
        return b""

    def output_tokens_seen(self) -> int:
        return -(-self.delivered_output_bytes * AUDIO_TOKENS_PER_SECOND // _bytes_per_second(self._beginning))


def _bytes_per_second(beginning: bytes) -> int:
    """How many bytes a second of sound takes that begins like this; what begins like no format has no head: it is PCM."""
    if beginning.startswith(b"RIFF"):
        is_told = beginning.startswith(b"fmt ", _FIRST_CHUNK_AT)
        at = _FIRST_CHUNK_AT + _CHUNK_HEAD.size
        return (_rate_of(beginning, at, len(beginning) - at) if is_told else 0) or PCM_BYTES_PER_SECOND
    if beginning.startswith(b"OggS"):
        return OPUS_BYTES_PER_SECOND
    if beginning.startswith(b"fLaC"):
        return FLAC_BYTES_PER_SECOND
    if beginning.startswith(_COMPRESSED):
        return AUDIO_BYTES_PER_SECOND
    return PCM_BYTES_PER_SECOND


class StreamSpeechMeter(UsageStreamMeter):
    """Usage of speech that comes as events: the last one says it."""

    __slots__ = ()
    output_index = counts.OUTPUT_AUDIO

    def _read(self, usage: dict[str, Any]) -> bool:
        split_tokens(self, usage, "input_tokens", "input_token_details", {}, counts.INPUT)
        split_tokens(self, usage, "output_tokens", "output_token_details", {}, counts.OUTPUT_AUDIO)
        return self.counts[counts.INPUT] is not None and self.counts[counts.OUTPUT_AUDIO] is not None

    def output_tokens_seen(self) -> int:
        return self.output_events


class Speech(OpenAIEndpoint):
    """The dialect of `POST /v1/audio/speech`; see Dialect for what each method promises."""

    index = 10
    name = "speech"
    path = b"/v1/audio/speech"
    has_tiers = False

    def facts(self, body: bytes) -> Facts:
        """See Dialect. How long the speech may be follows from the text that is spoken."""
        facts = Facts()
        head = read_head(body, facts)
        check_fields(head, _READ_ALOUD)
        spoken = head.get("input")
        if type(spoken) is not str:
            if spoken is None:
                refuse("missing_required_parameter", "Missing required parameter: 'input'.", "input")
            wrong_type("input", "a string", spoken)
        facts.is_text = False
        facts.beyond_bytes = True
        facts.message_count = 1
        facts.stream = text(head.get("stream_format"), "stream_format") == "sse"
        characters = len(spoken)
        facts.unit_maxima = ((counts.CHARACTER, characters, characters),)
        facts.output_cap_tokens = SPEECH_TOKENS_MIN + SPEECH_TOKENS_PER_BYTE * len(spoken.encode())
        return facts

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - nobody has to ask for usage
        """See Dialect."""
        return StreamSpeechMeter() if stream else SpeechMeter()


def _read_heard(meter: CallMeter, usage: dict[str, Any]) -> bool:
    """Counts of a `usage` object of a transcript, in tokens or in seconds; whether it says all."""
    mine = meter.counts
    if usage.get("type") == "duration":
        mine[counts.AUDIO_SECOND] = units_of(usage.get("seconds"), meter, "seconds")
        return mine[counts.AUDIO_SECOND] is not None
    split_tokens(meter, usage, "input_tokens", "input_token_details", _HEARD, counts.INPUT_AUDIO)
    split_tokens(meter, usage, "output_tokens", "output_token_details", {}, counts.OUTPUT)
    return mine[counts.INPUT_AUDIO] is not None and mine[counts.OUTPUT] is not None


class TranscriptMeter(MediaMeter):
    """Usage of a transcript. Plain text and subtitles say nothing of it; one with every detail says at least how long it was."""

    __slots__ = ()

    def _on_answer(self, answer: MediaAnswer) -> None:
        if answer.usage is not None:
            self._on_usage(object_of(answer.usage))
        elif answer.duration is not None:
            self.counts[counts.AUDIO_SECOND] = units_of(answer.duration, self, "duration")
            if self.counts[counts.AUDIO_SECOND] is not None:
                self._seen()

    def _on_usage(self, usage: dict[str, Any]) -> None:
        if _read_heard(self, usage):
            self._seen()


class StreamTranscriptMeter(UsageStreamMeter):
    """Usage of a transcript that comes as events: the last one says it."""

    __slots__ = ()

    def _read(self, usage: dict[str, Any]) -> bool:
        return _read_heard(self, usage)

    def output_tokens_seen(self) -> int:
        return self.output_events


class Transcriptions(FormEndpoint):
    """The dialect of `POST /v1/audio/transcriptions`; see Dialect for what each method promises."""

    index = 11
    name = "transcriptions"
    path = b"/v1/audio/transcriptions"

    def facts(self, body: bytes) -> Facts:
        """See Dialect. How long a recording may be follows from its size, and from its own head where that says it for sure.

        A voice's sample is sound within a field: its bytes are not text, and the longest that there may be is added.
        """
        if not self.boundary:
            raise RequestRefused(
                400,
                "invalid_content_type",
                "A recording is sent as a form: Content-Type: multipart/form-data with a boundary.",
            )
        facts = Facts()
        form = self.form(body, facts, _READ_TO_WRITE, (_VOICES, _FILE))
        refuse_texts(form, (_FILE,))
        if len(form.files) != 1 or form.files[0].name != _FILE or form.files[0].brackets:
            refuse("missing_required_parameter", f"One file is needed, in the field '{_FILE}'.", _FILE)
        voices = [form.spans[_VOICES]] if _VOICES in form.spans else form.nested.get(_VOICES, [])
        if len(voices) > KNOWN_SPEAKERS_MAX:
            refuse("invalid_value", f"'{_VOICES}' may hold at most {KNOWN_SPEAKERS_MAX} samples.", _VOICES)
        facts.input_bytes -= sum(end - start for start, end in voices)
        file = form.files[0]
        most, likely = seconds_of(body, file.start, file.end)
        more = len(voices) * KNOWN_SPEAKER_SECONDS_MAX
        facts.message_count = 1
        facts.unit_maxima = ((counts.AUDIO_SECOND, most + more, likely),)
        facts.extra_input_tokens = (min(most, AUDIO_SECONDS_OF_TOKENS_MAX) + more) * AUDIO_TOKENS_PER_SECOND
        return facts

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - nobody has to ask for usage
        """See Dialect."""
        return StreamTranscriptMeter() if stream else TranscriptMeter()


class Translations(Transcriptions):
    """The dialect of `POST /v1/audio/translations`; see Dialect for what each method promises."""

    index = 12
    name = "translations"
    path = b"/v1/audio/translations"


def seconds_of(body: bytes, start: int, end: int) -> tuple[int, int]:
    """How many seconds of sound a file holds at most, and likely. A WAV says it in its head; of others the size bounds it."""
    size = end - start
    rate, sound_bytes = _wave_form(body, start, end)
    if rate:
        return -(-size // rate), -(-sound_bytes // rate)
    return -(-size // AUDIO_BYTES_PER_SECOND_MIN), -(-size // AUDIO_BYTES_PER_SECOND)


def _wave_form(body: bytes, start: int, end: int) -> tuple[int, int]:
    """How many bytes a second of an uncompressed WAV takes, and how many bytes of sound it has; zeros when its beginning does not say.

    By what decoders go by: samples, channels and bits. The rate that the file claims beside them nobody reads. A second format, before
    the sound or behind it, or a sample of another size than its bits make, would have two decoders hear two lengths: then the size bounds.
    """
    if not body.startswith(b"RIFF", start) or not body.startswith(b"WAVE", start + 8):
        return 0, 0
    at = start + 12
    formats = rate = sound_bytes = 0
    for _ in range(_WAVE_CHUNKS_MAX):
        if at + _CHUNK_HEAD.size > end:
            return (rate, sound_bytes) if sound_bytes else (0, 0)
        name, size = _CHUNK_HEAD.unpack_from(body, at)
        at += _CHUNK_HEAD.size
        if name == b"data":
            sound_bytes = sound_bytes or min(size, end - at)
        elif name == b"fmt ":
            formats += 1
            rate = _rate_of(body, at, min(size, end - at)) if formats == 1 and not sound_bytes else 0
            if not rate:
                return 0, 0
        at += size + size % 2
    return 0, 0


def _rate_of(body: bytes, at: int, size: int) -> int:
    """How many bytes a second of sound takes by the format at a place, 0: it does not say, or the sound is compressed."""
    if size < _WAVE_FORMAT.size:
        return 0
    kind, channels, samples, _, sample_bytes, bits = _WAVE_FORMAT.unpack_from(body, at)
    if kind == _EXTENSIBLE:
        is_plain = size >= _GUID_AT + 16 and body[at + _GUID_AT : at + _GUID_AT + 16] in _GUIDS
    else:
        is_plain = kind in _UNCOMPRESSED
    return samples * sample_bytes if is_plain and sample_bytes * 8 == channels * bits else 0
