"""What requests for verdicts, ranks, pictures and sound ask for, and by the provider's own rules what each of them uses."""

import base64
import email
import email.policy
import io
import wave
from typing import Any, Final

from tokenroll.upstream.simulated.asked import OVERHEAD_PER_MESSAGE, Asked, Refusal, count, decoded, model_of, tokens

DOCUMENTS_PER_SEARCH: Final = 100
DEFAULT_PICTURE_MODEL: Final = "gpt-image-1.5"


def _whole(body: dict[str, Any], endpoint: str, model: str) -> Asked:
    """A request whose answer is not streamed and whose input is not cached."""
    asked = Asked(
        endpoint=endpoint, model=model, stream=False, segments=[], input_tokens=0, last_role="user", cap=0, choices=0
    )
    asked.body = body
    return asked


def asked_of_moderations(raw: bytes) -> Asked:
    """What a request for verdicts asks for; it costs nothing. Raises Refusal."""
    body = decoded(raw)
    given = body.get("input")
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list) or not parts:
        raise Refusal(400, "invalid_request_error", "Missing required parameter: 'input'.", "input")
    asked = _whole(body, "moderations", str(body.get("model") or "omni-moderation-latest"))
    # OpenAI judges each text of a list, and a list of parts as one
    asked.choices = len(parts) if all(isinstance(part, str) for part in parts) else 1
    asked.used = {}
    return asked


def asked_of_rerank(raw: bytes) -> Asked:
    """What a request for ranks asks for: the query is read again with every document. Raises Refusal."""
    body = decoded(raw)
    asked = _whole(body, "rerank", model_of(body))
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str) or not isinstance(documents, list) or not documents:
        raise Refusal(400, "invalid_request_error", "'query' and 'documents' are needed.", "documents")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in documents]
    read = sum(tokens(query.encode()) + tokens(one.encode()) + OVERHEAD_PER_MESSAGE for one in texts)
    asked.choices = min(count(body, "top_n") or len(texts), len(texts))
    asked.used = {"input": read, "search_unit": -(-len(texts) // DOCUMENTS_PER_SEARCH)}
    return asked


PICTURE_TOKENS: Final = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1_056, "1024x1536": 1_584, "1536x1024": 1_568},
    "high": {"1024x1024": 4_160, "1024x1536": 6_240, "1536x1024": 6_208},
}
PARTIAL_TOKENS: Final = 100
PICTURE_READ_TOKENS: Final = 323
"""What a picture counts that is read: 65, and 129 for each of two tiles."""
GIF_FRAMES: Final = 9
"""Of a GIF that does not say how many it has."""
SHEET_TOKENS_MAX: Final = 6_240
"""The frames of a GIF are one sheet, which is no dearer than the largest picture."""
SPOKEN_TOKENS_PER_CHARACTER: Final = 2
HEARD_TOKENS_PER_SECOND: Final = 10
COMPRESSED_BYTES_PER_SECOND: Final = 16_000


def _choice(body: dict[str, Any], name: str, known: tuple[str, ...], default: str) -> str:
    """One of the known words; `auto` and absent are the default. Raises Refusal."""
    value = body.get(name) or "auto"
    if value == "auto":
        return default
    if value not in known:
        raise Refusal(400, "invalid_request_error", f"Invalid value: '{value}'.", name, "invalid_value")
    return str(value)


def _drawn(body: dict[str, Any], model: str, read: dict[str, int]) -> Asked:
    """A request for pictures, whatever they are made from."""
    asked = _whole(body, "pictures", model)
    size = _choice(body, "size", ("1024x1024", "1024x1536", "1536x1024"), "1024x1024")
    quality = _choice(body, "quality", tuple(PICTURE_TOKENS), "high")
    asked.choices = int(body.get("n") or 1)
    asked.stream = body.get("stream") in {True, "true"}
    partial = int(body.get("partial_images") or 0)
    each = PICTURE_TOKENS[quality][size] + PARTIAL_TOKENS * partial
    if str(body.get("output_format")).casefold() == "gif":
        each = min(each * int(body.get("frame_count") or GIF_FRAMES), SHEET_TOKENS_MAX)
    asked.body = {"size": size, "quality": quality, "partial_images": partial, "edit": "input_image" in read}
    asked.used = {**read, "output_image": each * asked.choices, "image": asked.choices}
    return asked


def asked_of_pictures(raw: bytes) -> Asked:
    """What a request for pictures asks for. Raises Refusal."""
    body = decoded(raw)
    return _drawn(body, model_of(body, DEFAULT_PICTURE_MODEL), {"input": tokens(str(body.get("prompt", "")).encode())})


def asked_of_edits(raw: bytes, content_type: bytes) -> Asked:
    """What a request for pictures of pictures asks for, as JSON or as a form. Raises Refusal."""
    if content_type.startswith(b"multipart/"):
        body, files = read_form(raw, content_type)
        seen = sum(len(same) for same in files.values())
    else:
        body = decoded(raw)
        seen = len(body.get("images") or ()) + ("mask" in body) + ("markup" in body)
    read = {"input": tokens(str(body.get("prompt", "")).encode()), "input_image": seen * PICTURE_READ_TOKENS}
    return _drawn(body, model_of(body, DEFAULT_PICTURE_MODEL), read)


def asked_of_speech(raw: bytes) -> Asked:
    """What a request for speech asks for. Raises Refusal."""
    body = decoded(raw)
    spoken = str(body.get("input", ""))
    asked = _whole(body, "speech", model_of(body))
    asked.stream = body.get("stream_format") == "sse"
    asked.kind = b"audio/mpeg"
    asked.used = {
        "input": tokens(spoken.encode()) + tokens(str(body.get("instructions", "")).encode()),
        "output_audio": SPOKEN_TOKENS_PER_CHARACTER * len(spoken), "character": len(spoken),
    }  # fmt: skip
    return asked


def asked_of_recording(raw: bytes, content_type: bytes) -> Asked:
    """What a request for a transcript or a translation asks for. Raises Refusal."""
    if not content_type.startswith(b"multipart/"):
        raise Refusal(400, "invalid_request_error", "A recording is sent as multipart/form-data.")
    body, files = read_form(raw, content_type)
    if "file" not in files:
        raise Refusal(400, "invalid_request_error", "Missing required parameter: 'file'.", "file")
    asked = _whole(body, "transcripts", model_of(body))
    seconds = _seconds(files["file"][0])
    given = body.get("known_speaker_references", [])
    voices = sum(_seconds(_data(one)) for one in ([given] if isinstance(given, str) else given))
    asked.stream = body.get("stream") == "true"
    asked.body = {**body, "seconds": seconds}
    asked.kind = b"text/plain; charset=utf-8" if body.get("response_format") in {"text", "srt", "vtt"} else asked.kind
    asked.used = {
        "input": tokens(str(body.get("prompt", "")).encode()), "input_audio": HEARD_TOKENS_PER_SECOND * (seconds + voices),
        "output": 2 * seconds, "audio_second": seconds,
    }  # fmt: skip
    return asked


def _seconds(data: bytes) -> int:
    """How long a recording is, begun seconds being whole ones; what is no WAV is taken for 128 kbit/s."""
    try:
        with wave.open(io.BytesIO(data)) as recording:
            return -(-int(recording.getnframes()) // int(recording.getframerate()))
    except (wave.Error, EOFError):
        return -(-len(data) // COMPRESSED_BYTES_PER_SECOND)


def _data(link: str) -> bytes:
    """What a link to itself holds (`data:audio/wav;base64,…`); of any other link nothing."""
    return base64.b64decode(link.partition(";base64,")[2]) if link.startswith("data:") else b""


def read_form(raw: bytes, content_type: bytes) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    """The fields and the files of a form, by the standard library's reader of messages; what has brackets is a list. Raises Refusal."""
    message = email.message_from_bytes(b"content-type: " + content_type + b"\r\n\r\n" + raw, policy=email.policy.HTTP)
    if not message.is_multipart():
        raise Refusal(400, "invalid_request_error", "Could not parse multipart form")
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    for part in message.iter_parts():
        name, brackets, _ = str(part.get_param("name", header="content-disposition")).partition("[")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if part.get_filename() is not None:
            files.setdefault(name, []).append(data)
        elif brackets:
            fields.setdefault(name, []).append(data.decode())
        else:
            fields[name] = data.decode()
    return fields, files
