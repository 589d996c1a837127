"""The official OpenAI client, and its specification, at the endpoints of pictures, voices and transcripts.

Prices worked with, in nanos: gpt-image-1.5 5,000 a token of text, 8,000 of a picture read, 32,000 of one made; painter 40,000,000 a
picture; tts-1 15,000 a character; gpt-4o-mini-tts 600 in, 12,000 out; whisper-1 100,000 a second; gpt-4o-transcribe 2,500 of text
in, 6,000 of sound, 10,000 out; gpt-audio 2,500 of text and 32,000 of sound in, 10,000 and 64,000 out. `HELLO` has 17 characters: 5 tokens.
"""

import base64
import io
import json
import wave

import openai
import pytest

HELLO = "How much is left?"
PNG = b"\x89PNG\r\n\x1a\n" + b"\r\n--not a boundary\r\n" * 10
SMALL = {"size": "1024x1024", "quality": "low"}
"""A picture of 272 tokens."""


def recording(seconds):
    """A WAV of 8,000 samples a second, of 16 bits each."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(16_000 * seconds))
    return data.getvalue()


def sized(**sizes):
    return {"extra_headers": {f"x-sim-{name.replace('_', '-')}": str(size) for name, size in sizes.items()}}


# ---- pictures --------------------------------------------------------------------------------------------------------------


def test_a_picture_is_charged_by_its_tokens_and_held_by_its_size_and_quality(company):
    with company.moves("Ada", 5 * 5_000 + 272 * 32_000):
        raw = company.openai().images.with_raw_response.generate(model="gpt-image-1.5", prompt=HELLO, **SMALL)
    answer = raw.parse()
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 272)
    held = (len(raw.http_request.content) + 16) * 8_000 + 272 * 32_000
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{held:09d}"


def test_a_picture_of_no_named_size_is_held_at_the_most_its_model_makes(company):
    with company.moves("Ada", 5 * 5_000 + 2 * 4_160 * 32_000):
        raw = company.openai().images.with_raw_response.generate(model="gpt-image-1.5", prompt=HELLO, n=2)
    held = (len(raw.http_request.content) + 16) * 8_000 + 2 * 6_540 * 32_000
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{held:09d}"


def test_pictures_sold_by_the_piece_are_charged_by_the_piece(company):
    with company.moves("Ada", 3 * 40_000_000):
        raw = company.openai().images.with_raw_response.generate(model="painter", prompt=HELLO, n=3)
    assert len(raw.parse().data) == 3
    assert raw.headers["x-tokenroll-hold-max"] == "0.120000000"


@pytest.mark.parametrize("picture_bytes", [64, 1_500_000])
def test_a_streamed_picture_is_charged_with_its_unfinished_states(company, picture_bytes):
    with company.moves("Ada", 5 * 5_000 + (272 + 2 * 100) * 32_000):
        events = list(
            company.openai().images.generate(
                model="gpt-image-1.5",
                prompt=HELLO,
                stream=True,
                partial_images=2,
                **SMALL,
                **sized(picture_bytes=picture_bytes),
            )
        )
    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert len(base64.b64decode(events[-1].b64_json)) == picture_bytes
    assert events[-1].usage.output_tokens == 472


def test_pictures_larger_than_what_is_kept_of_an_answer_are_charged_by_its_end(company):
    with company.moves("Ada", 5 * 5_000 + 4 * 272 * 32_000):
        answer = company.openai().images.generate(
            model="gpt-image-1.5", prompt=HELLO, n=4, **SMALL, **sized(picture_bytes=1_500_000)
        )
    assert [len(base64.b64decode(one.b64_json)) for one in answer.data] == [1_500_000] * 4


def test_pictures_of_pictures_come_by_a_form(company):
    files = [("one.png", PNG, "image/png"), ("two.png", PNG, "image/png")]
    with company.moves("Ada", 5 * 5_000 + 3 * 323 * 8_000 + 272 * 32_000):
        answer = company.openai().images.edit(
            model="gpt-image-1.5", image=files, mask=("mask.png", PNG, "image/png"), prompt=HELLO, **SMALL
        )
    assert answer.usage.input_tokens_details.image_tokens == 3 * 323


def test_a_form_that_names_no_model_is_for_the_one_the_provider_takes(company):
    with company.moves("Ada", 5 * 5_000 + 323 * 8_000 + (272 + 100) * 32_000):
        events = list(
            company.openai().images.edit(
                image=("one.png", PNG, "image/png"), prompt=HELLO, stream=True, partial_images=1, **SMALL
            )
        )
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]


def test_pictures_of_pictures_come_as_json_too(company, schema):
    body = {"model": "gpt-image-1.5", "prompt": HELLO, "images": [{"image_url": "data:image/png;base64,AAAA"}], **SMALL}
    with company.moves("Ada", 5 * 5_000 + 323 * 8_000 + 272 * 32_000):
        status, _, answer = posted(company, "/v1/images/edits", json.dumps(body).encode(), "application/json")
    assert status == 200
    schema("ImagesResponse").validate(json.loads(answer))


@pytest.mark.parametrize("written", ["gif", "GIF"])
def test_a_picture_that_moves_is_held_at_the_most_its_model_makes_and_charged_by_its_frames(company, written):
    """The simulated provider draws its frames on one sheet: nine of 272 tokens."""
    client = company.openai()
    with company.moves("Ada", 5 * 5_000 + 9 * 272 * 32_000):
        raw = client.images.with_raw_response.generate(
            model="gpt-image-1.5", prompt=HELLO, output_format=written, frame_duration_ms=50, **SMALL
        )
    held = (len(raw.http_request.content) + 16) * 8_000 + 6_540 * 32_000
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{held:09d}"
    with company.moves("Ada", 5 * 5_000 + 323 * 8_000 + 2 * 272 * 32_000):
        client.images.edit(
            model="gpt-image-1.5", image=("one.png", PNG, "image/png"), prompt=HELLO, output_format=written, frame_count=2, **SMALL
        )  # fmt: skip


def test_a_markup_is_one_more_picture_that_is_read(company):
    with company.moves("Ada", 5 * 5_000 + 2 * 323 * 8_000 + 272 * 32_000):
        company.openai().images.edit(
            model="gpt-image-1.5", image=("one.png", PNG, "image/png"), markup=("mark.png", PNG, "image/png"),
            prompt=HELLO, complexity="high", **SMALL,
        )  # fmt: skip


@pytest.mark.parametrize("asked", [{"output_format": "svg"}, {"svg": {"model": "x", "reasoning": {"effort": "none"}}}])
def test_a_picture_that_a_further_model_writes_is_refused_by_name_as_json_and_as_a_form(company, asked):
    client = company.openai()
    (name,) = asked
    with company.moves("Ada", 0):
        for call in (client.images.generate, lambda **more: client.images.edit(image=("one.png", PNG), **more)):
            with pytest.raises(openai.BadRequestError, match="a further model") as refused:
                call(model="gpt-image-1.5", prompt=HELLO, **asked, **SMALL)
            assert (refused.value.code, refused.value.param) == ("call_not_bounded", name)


# ---- voices ----------------------------------------------------------------------------------------------------------------


def test_a_voice_sold_by_the_character_is_charged_by_the_character(company):
    with company.moves("Ada", 17 * 15_000):
        raw = company.openai().audio.speech.with_raw_response.create(model="tts-1", voice="alloy", input=HELLO)
    assert raw.headers["content-type"] == "audio/mpeg"
    assert len(raw.content) > 16_000
    assert (raw.headers["x-tokenroll-hold-max"], raw.headers["x-tokenroll-cost"]) == ("0.000255000", "0.000255000")


def test_characters_are_counted_and_not_their_bytes(company):
    with company.moves("Ada", 4 * 15_000):
        company.openai().audio.speech.create(model="tts-1", voice="alloy", input="ÄÖÜ€")


def test_a_voice_that_comes_in_events_is_charged_by_its_last_one(company, schema):
    with (
        company.moves("Ada", 5 * 600 + 34 * 12_000),
        company.openai().audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="alloy", input=HELLO, stream_format="sse"
        ) as streamed,
    ):
        said = b"".join(streamed.iter_bytes()).decode()
    events = [json.loads(event.removeprefix("data: ")) for event in said.strip().split("\n\n")]
    for event in events:
        schema("CreateSpeechResponseStreamEvent").validate(event)
    assert events[-1]["usage"]["output_tokens"] == 34


# ---- transcripts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["json", "verbose_json", "text", "srt", "vtt"])
def test_a_recording_sold_by_the_second_is_charged_so_in_whatever_form_its_transcript_comes(company, wanted):
    client = company.openai(_strict_response_validation=wanted.endswith("json"))
    with company.moves("Ada", 3 * 100_000):
        answer = client.audio.transcriptions.create(
            model="whisper-1", file=("talk.wav", recording(3)), response_format=wanted
        )
    assert "pay day is" in (answer if isinstance(answer, str) else answer.text)


def test_a_translation_that_says_nothing_of_its_cost_is_charged_by_the_recording(company):
    body = form(("model", "whisper-1"), ("file", recording(2), "talk.wav"))
    with company.moves("Ada", 2 * 100_000):
        status, headers, _ = posted(company, "/v1/audio/translations", body, FORM, **{"x-sim-fault": "missing-usage"})
    # the 44 bytes of its head might be sound
    assert (status, headers["x-tokenroll-hold-max"]) == (200, "0.000300000")


def test_the_official_client_has_a_recording_translated(company):
    with company.moves("Ada", 2 * 100_000), pytest.deprecated_call():  # by the client alone, which still has it
        company.openai().audio.translations.create(model="whisper-1", file=("talk.wav", recording(2)))


def test_a_compressed_recording_is_held_by_its_size_and_charged_by_what_is_likely(company):
    client = company.openai(_strict_response_validation=False)
    with company.moves("Ada", 2 * 100_000):
        raw = client.audio.transcriptions.with_raw_response.create(
            model="whisper-1", file=("talk.mp3", b"\xff\xfb" * 16_000), response_format="text"
        )
    assert raw.headers["x-tokenroll-hold-max"] == "0.006400000"  # 32,000 bytes last 64 seconds at most


def test_a_recording_sold_by_tokens_is_charged_by_them(company):
    with company.moves("Ada", 5 * 2_500 + 30 * 6_000 + 6 * 10_000):
        answer = company.openai().audio.transcriptions.create(
            model="gpt-4o-transcribe", file=("talk.wav", recording(3)), prompt=HELLO
        )
    assert answer.usage.total_tokens == 41


def test_samples_of_known_voices_are_heard_and_paid_with_the_recording(company):
    """Three seconds and two samples of two seconds each; held are two of the longest that a sample may be."""
    sample = "data:audio/wav;base64," + base64.b64encode(recording(2)).decode()
    with company.moves("Ada", (3 + 2 * 2) * 10 * 6_000 + 6 * 10_000):
        company.openai().audio.transcriptions.create(
            model="gpt-4o-transcribe", file=("talk.wav", recording(3)),
            known_speaker_names=["Ada", "Bo"], known_speaker_references=[sample, sample],
        )  # fmt: skip
    voices = [("known_speaker_references[]", sample)] * 2
    body = form(("model", "gpt-4o-transcribe"), *voices, ("file", recording(3), "talk.wav"))
    with company.moves("Ada", (3 + 2 * 2) * 10 * 6_000 + 6 * 10_000):
        status, headers, _ = posted(company, "/v1/audio/transcriptions", body, FORM)
    text = len(body) - len(recording(3)) - 2 * len(sample)
    held = (text + 16 + (4 + 2 * 10) * 21) * 6_000 + 2_000 * 10_000  # the 44 bytes of its head might be a fourth second
    assert (status, headers["x-tokenroll-hold-max"]) == (200, f"0.{held:09d}")


def test_a_voice_that_is_sent_as_a_field_of_one_value_is_heard_as_well(company):
    sample = "data:audio/wav;base64," + base64.b64encode(recording(2)).decode()
    body = form(
        ("model", "gpt-4o-transcribe"), ("known_speaker_references", sample), ("file", recording(3), "talk.wav")
    )
    with company.moves("Ada", (3 + 2) * 10 * 6_000 + 6 * 10_000):
        assert posted(company, "/v1/audio/transcriptions", body, FORM)[0] == 200


def test_a_streamed_transcript_is_charged_by_its_last_event(company):
    with company.moves("Ada", 30 * 6_000 + 6 * 10_000):
        events = list(
            company.openai().audio.transcriptions.create(
                model="gpt-4o-transcribe", file=("talk.wav", recording(3)), stream=True
            )
        )
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert events[-1].usage.input_token_details.audio_tokens == 30


# ---- the specification -----------------------------------------------------------------------------------------------------


# ---- answers in sound ------------------------------------------------------------------------------------------------------

ALOUD = {"model": "gpt-audio", "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}}
ASKED = [{"role": "user", "content": HELLO}]


def test_an_answer_in_sound_is_held_as_sound_and_charged_as_its_usage_tells_it_apart(company):
    # 16 for the message; of 12 tokens 9 are sound
    with company.moves("Ada", 21 * 2_500 + 3 * 10_000 + 9 * 64_000):
        raw = company.openai().chat.completions.with_raw_response.create(
            **ALOUD, messages=ASKED, max_completion_tokens=40, **sized(output_tokens=12)
        )
    answer = raw.parse()
    said = answer.choices[0].message.audio
    assert (len(said.transcript), len(base64.b64decode(said.data))) == (48, 48 * 60)
    assert answer.usage.completion_tokens_details.audio_tokens == 9
    held = (len(raw.http_request.content) + 16) * 2_500 + 40 * 64_000
    assert raw.headers["x-tokenroll-hold-max"] == f"0.{held:09d}"
    assert "x-tokenroll-output-cap" not in raw.headers


def test_a_streamed_answer_in_sound_is_charged_by_the_usage_that_nobody_asked_for(company):
    with company.moves("Ada", 21 * 2_500 + 5 * 10_000 + 15 * 64_000):
        stream = company.openai().chat.completions.create(
            **ALOUD | {"audio": {"voice": "alloy", "format": "pcm16"}},
            messages=ASKED,
            stream=True,
            **sized(output_tokens=20),
        )
        chunks = list(stream)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    spoken = [chunk.choices[0].delta.audio for chunk in chunks if chunk.choices[0].delta.audio]
    assert len("".join(one.transcript or "" for one in spoken)) == 80
    assert len(b"".join(base64.b64decode(one.data or "") for one in spoken)) == 80 * 60


def test_what_was_said_before_is_bounded_by_the_context_window_as_sound(company):
    before = {"role": "assistant", "audio": {"id": "audio_1"}}
    # 5 for each text, 500 for the sound, 16 for each message
    with company.moves("Ada", (5 + 500 + 5 + 3 * 16) * 2_500 + 3 * 10_000 + 9 * 64_000):
        raw = company.openai().chat.completions.with_raw_response.create(
            **ALOUD, messages=[*ASKED, before, *ASKED], max_completion_tokens=40, **sized(output_tokens=12)
        )
    held = 128_000 * 32_000 + 40 * 64_000
    assert raw.headers["x-tokenroll-hold-max"] == f"{held // 10**9}.{held % 10**9:09d}"


def test_a_model_without_a_price_for_sound_out_is_refused_by_name_and_not_asked(company):
    sent = len(company.bill())
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError) as refused:
        company.openai().chat.completions.create(**ALOUD | {"model": "gpt-4o-mini"}, messages=ASKED)
    assert refused.value.code == "call_not_bounded"
    assert "no price for an answer in sound" in refused.value.message
    assert len(company.bill()) == sent


def posted(company, path, body, content_type, name="Ada", **headers):
    sent = {"authorization": f"Bearer {company.keys.get(name, name)}", "content-type": content_type, **headers}
    return company.request("POST", path, body, sent)


def form(*parts, boundary="slip"):
    """A form of `(name, value)` or `(name, value, file name)`."""
    lines = b""
    for name, value, *file in parts:
        named = f'; filename="{file[0]}"' if file else ""
        data = value if isinstance(value, bytes) else value.encode()
        lines += (
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + data + b"\r\n"
        )
    return lines + f"--{boundary}--\r\n".encode()


FORM = "multipart/form-data; boundary=slip"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/v1/images/generations", {"model": "gpt-image-1.5", "prompt": HELLO}, "ImagesResponse"),
        ("/v1/images/generations", {"model": "painter", "prompt": HELLO}, "ImagesResponse"),
    ],
)
def test_it_answers_with_what_the_specification_says(company, schema, path, body, answer):
    status, _, said = posted(company, path, json.dumps(body).encode(), "application/json")
    assert status == 200
    schema(answer).validate(json.loads(said))
    company.prove()


@pytest.mark.parametrize(
    ("path", "wanted", "answer"),
    [
        ("/v1/audio/transcriptions", "json", "CreateTranscriptionResponseJson"),
        ("/v1/audio/transcriptions", "verbose_json", "CreateTranscriptionResponseVerboseJson"),
        ("/v1/audio/translations", "json", "CreateTranslationResponseJson"),
    ],
)
def test_its_transcripts_are_what_the_specification_says(company, schema, path, wanted, answer):
    body = form(("model", "whisper-1"), ("response_format", wanted), ("file", recording(1), "a.wav"))
    status, _, said = posted(company, path, body, FORM)
    assert status == 200
    schema(answer).validate(json.loads(said))
    company.prove()


PICTURE = json.dumps({"model": "gpt-image-1.5", "prompt": HELLO}).encode()
SPOKEN = json.dumps({"model": "tts-1", "voice": "alloy", "input": HELLO}).encode()
TALK = (("model", "whisper-1"), ("file", b"sound", "a.mp3"))
JSON = "application/json"
REFUSED = {
    "no prompt": ("/v1/images/generations", b'{"model":"gpt-image-1.5"}', JSON, {}, 400, "missing_required_parameter"),
    "too many pictures": ("/v1/images/generations", PICTURE[:-1] + b',"n":11}', JSON, {}, 400, "invalid_value"),
    "no words to speak": ("/v1/audio/speech", b'{"model":"tts-1","voice":"alloy"}', JSON, {}, 400, "missing_required_parameter"),
    "a voice that nobody prices": ("/v1/audio/speech", SPOKEN.replace(b"tts-1", b"whisper-1"), JSON, {}, 400, "call_not_bounded"),
    "a recording as JSON": ("/v1/audio/transcriptions", b"{}", JSON, {}, 400, "invalid_content_type"),
    "a recording without a type": ("/v1/audio/transcriptions", form(*TALK), "", {}, 400, "invalid_content_type"),
    "another boundary": ("/v1/audio/transcriptions", form(*TALK, boundary="slap"), FORM, {}, 400, "malformed_form"),
    "no boundary": ("/v1/audio/transcriptions", form(*TALK), "multipart/form-data", {}, 400, "malformed_form"),
    "no end": ("/v1/audio/transcriptions", form(*TALK)[:-10], FORM, {}, 400, "malformed_form"),
    "two recordings": ("/v1/audio/transcriptions", form(*TALK, TALK[1]), FORM, {}, 400, "missing_required_parameter"),
    "two models": ("/v1/audio/transcriptions", form(TALK[0], *TALK), FORM, {}, 400, "duplicate_key"),
    "no model": ("/v1/audio/translations", form(TALK[1]), FORM, {}, 400, "missing_required_parameter"),
    "a model without a card": ("/v1/audio/translations", form(("model", "gpt-nowhere"), TALK[1]), FORM, {}, 404, "model_not_found"),
    "no picture": ("/v1/images/edits", form(("prompt", HELLO)), FORM, {}, 400, "invalid_value"),
    "an empty wallet": ("/v1/images/generations", PICTURE, JSON, {"name": "Cleo"}, 429, "wallet_empty"),
    "an empty wallet and a form": ("/v1/audio/transcriptions", form(*TALK), FORM, {"name": "Cleo"}, 429, "wallet_empty"),
    "an unknown key": ("/v1/audio/speech", SPOKEN, JSON, {"name": "nobody"}, 401, "invalid_api_key"),
    "the provider's limit": ("/v1/audio/transcriptions", form(*TALK), FORM, {"x-sim-fault": "429"}, 429, "rate_limit_exceeded"),
    "the provider's error": ("/v1/images/generations", PICTURE, JSON, {"x-sim-fault": "500"}, 500, None),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_in_the_shape_of_the_specification(company, schema, case):
    path, body, content_type, more, expected, code = REFUSED[case]
    with company.moves("Ada", 0):
        status, _, said = posted(company, path, body, content_type, **more)
    error = json.loads(said)
    schema("ErrorResponse").validate(error)
    assert status == expected
    if code is not None:
        assert error["error"]["code"] == code


def test_the_official_client_reads_the_refusals(company):
    with pytest.raises(openai.BadRequestError) as refused:
        company.openai().audio.speech.create(model="whisper-1", voice="alloy", input=HELLO)
    assert "no price for model tokens or characters" in str(refused.value)
