"""Forms are read as one reader would read them, or not at all; files stay where they are."""

import pytest

from tokenroll.model.limits import FORM_PARTS_MAX
from tokenroll.upstream.audio import Speech, Transcriptions, Translations, seconds_of
from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.forms import boundary_of, read_form
from tokenroll.upstream.images import ImageEdits

HEAD = b'content-disposition: form-data; name="%b"'


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b"--b\r\n" + HEAD % name + more + b"\r\n\r\n" + value + b"\r\n"


FILE = part(b"file", b"\x00sound\n--b\r\n-", b'; filename="a b\\".mp3"\r\ncontent-type: audio/mpeg')
MODEL = part(b"model", b"whisper-1")
END = b"--b--\r\n"


def test_a_user_in_a_form_may_be_an_agents_several_ids():
    body = MODEL + FILE + part(b"prompt", b"a slip") + part(b"user", b"u" * 1_024) + END
    assert ImageEdits(b"b").facts(body.replace(b'name="file"', b'name="image"')).user == "u" * 1_024


def test_fields_and_files_are_found_in_their_place():
    body = MODEL + FILE + part(b"include[]", b"a") + part(b"include[]", b"b") + part(b"prompt", b"") + END
    form = read_form(body, b"b")
    assert form.fields == {"model": "whisper-1", "prompt": ""}
    assert [body[start:end] for start, end in form.nested["include"]] == [b"a", b"b"]
    (file,) = form.files
    assert (file.name, file.brackets, body[file.start : file.end], form.file_bytes) == (
        "file",
        "",
        b"\x00sound\n--b\r\n-",
        13,
    )


def test_fields_within_fields_are_found_under_the_outermost_name():
    body = part(b"svg[model]", b"x") + part(b"svg[reasoning][effort]", b"none") + part(b"a[0][b][c][d]", b"1") + END
    form = read_form(body, b"b")
    assert form.fields == {}
    assert {name: [body[start:end] for start, end in values] for name, values in form.nested.items()} == {
        "svg": [b"x", b"none"],
        "a": [b"1"],
    }


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=b", b"b"),
        (b'Multipart/Form-Data;boundary="a b"', b"a b"),
        (b"multipart/form-data", b""),
        (b"multipart/form-data; boundary=", b""),
        (b"multipart/form-data; boundary=b; charset=utf-8", b""),
        (b"multipart/form-data; boundary=b; boundary=c", b""),
        (b"multipart/form-data; boundary=" + b"b" * 71, b""),
        (b"multipart/mixed; boundary=b", b""),
    ],
)
def test_a_boundary_is_what_one_plain_content_type_names(content_type, boundary):
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "does not begin with the boundary"),
        (b"hello\r\n" + MODEL + END, "does not begin with the boundary"),
        (MODEL, "a boundary is not a line of its own|no end"),
        (MODEL[:-2], "its last part has no end"),
        (MODEL + b"--b--\r\nmore", "something follows its last boundary"),
        (MODEL + b"--bee\r\n", "a boundary is not a line of its own"),
        (b"--b\r\n\r\nx\r\n" + END, "a part has no head|a part has the header"),
        (part(b"model", b"x", b"\r\ncontent-transfer-encoding: base64") + END, "which no form needs"),
        (part(b"model", b"x", b'\r\ncontent-disposition: form-data; name="n"') + END, "two dispositions"),
        (part(b"mo del", b"x") + END, "plain name"),
        (part(b"model", b"x", b"; name*=utf-8''other") + END, "plain name"),
        (part(b"model", b"x", b'; filename="a"; filename="b"') + END, "plain name"),
        (part(b"a[0][b][c][d][e]", b"1") + END, "at most 4 brackets"),
        (part(b"svg[model", b"x") + END, "plain name"),
        (part(b"svg[model]x", b"x") + END, "plain name"),
        (part(b"[model]", b"x") + END, "plain name"),
        (part(b"svg[[model]]", b"x") + END, "plain name"),
        (part(b"x", b"y" * 2, b"\r\ncontent-type: " + b"a" * 3_000) + END, "no head of at most"),
        (part(b"x[]", b"") * (FORM_PARTS_MAX + 1) + END, "more than 256 parts"),
    ],
)
def test_whatever_two_readers_could_read_in_two_ways_is_refused(body, says):
    with pytest.raises(RequestRefused, match=says) as refused:
        read_form(body, b"b")
    assert (refused.value.status, refused.value.code) == (400, "malformed_form")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (MODEL + MODEL + END, "duplicate_key", "model"),
        (MODEL + part(b"model[]", b"dear") + END, "duplicate_key", "model"),
        (part(b"model[]", b"dear") + MODEL + END, "duplicate_key", "model"),
        (part(b"svg[model]", b"x") * 2 + END, "duplicate_key", "svg"),
        (part(b"prompt", b"\xff") + END, "invalid_value", "prompt"),
        (part(b"prompt", b"x" * 1_100_000) + END, "invalid_value", "prompt"),
    ],
)
def test_a_field_that_is_no_value_is_refused_by_name(body, code, param):
    with pytest.raises(RequestRefused) as refused:
        read_form(body, b"b")
    assert (refused.value.code, refused.value.param) == (code, param)


FORM = [b"multipart/form-data; boundary=b"]
PICTURE = MODEL + part(b"prompt", b"a cat") + part(b"image", b"x", b'; filename="a"')


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        (part(b"N", b"9"), "ambiguous_key", "N"),
        (part(b"num_images", b"9"), "call_not_bounded", "num_images"),
        (part(b"provider", b"dear"), "call_not_bounded", "provider"),
        (part(b"provider[order][]", b"dear") + part(b"provider[order][]", b""), "call_not_bounded", "provider"),
        (part(b"svg[model]", b"x"), "call_not_bounded", "svg"),
        (part(b"svg[reasoning][effort]", b"none"), "call_not_bounded", "svg"),
        (part(b"svg", b'{"model": "x"}'), "call_not_bounded", "svg"),
        (part(b"output_format", b"SVG"), "call_not_bounded", "output_format"),
        (part(b"n[]", b"9"), "invalid_type", "n"),
        (part(b"N[]", b"9"), "ambiguous_key", "N"),
        (part(b"image", b"https://example.com/a.png"), "invalid_type", "image"),
        (part(b"images[][image_url]", b"https://example.com/a.png"), "invalid_type", "images"),
        (part(b"overlay", b"x", b'; filename="a"'), "invalid_value", "image"),
    ],
)
def test_a_form_has_no_other_name_for_what_is_bounded(more, code, param):
    ImageEdits().read_as(FORM).facts(PICTURE + part(b"num_images", b"1") + part(b"background", b"opaque") + END)
    with pytest.raises(RequestRefused) as refused:
        ImageEdits().read_as(FORM).facts(PICTURE + more + END)
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize(
    ("more", "tokens", "read"),
    [
        (b"", 272, 8_192),
        (part(b"complexity", b"high") + part(b"output_format", b"png"), 272, 8_192),
        (part(b"output_format", b"gif"), 0, 8_192),
        (part(b"frame_count", b"2") + part(b"frame_duration_ms", b"20"), 0, 8_192),
        (part(b"markup", b"x", b'; filename="a"'), 272, 2 * 8_192),
    ],
)
def test_what_a_picture_of_pictures_may_cost_follows_from_what_is_asked_of_it(more, tokens, read):
    """No cap of its own (0) is the most that its model makes: a GIF is cut from one sheet, which may be the largest picture there is."""
    body = PICTURE + part(b"size", b"1024x1024") + part(b"quality", b"low") + more + END
    facts = ImageEdits().read_as(FORM).facts(body.replace(b"whisper-1", b"gpt-image-2"))
    assert (facts.output_cap_tokens, facts.extra_input_tokens, facts.choice_count) == (tokens, read, 1)


def test_a_model_whose_figures_nobody_publishes_is_bounded_by_its_own_maximum_whatever_the_size():
    """The next generation may take more tokens for the same size and quality: its rate card says how many at most."""
    body = PICTURE + part(b"size", b"1024x1024") + part(b"quality", b"low") + END
    assert ImageEdits().read_as(FORM).facts(body.replace(b"whisper-1", b"gpt-image-2.6")).output_cap_tokens == 0


TALK = MODEL + part(b"file", b"x" * 500, b'; filename="a"')
"""One second at most: 21 tokens."""


@pytest.mark.parametrize(
    ("voices", "seconds", "tokens", "sample_bytes"),
    [
        (b"", 1, 21, 0),
        (part(b"known_speaker_references", b"data:,1"), 11, 231, 7),
        (part(b"known_speaker_references[]", b"data:,1") * 4, 41, 861, 28),
        (part(b"known_speaker_references[0]", b"data:,1"), 11, 231, 7),
    ],
)
def test_each_known_voice_adds_the_longest_that_its_sample_may_be(voices, seconds, tokens, sample_bytes):
    """And its bytes are not text."""
    facts = Transcriptions().read_as(FORM).facts(TALK + voices + END)
    assert facts.unit_maxima[0][1] == seconds
    assert facts.extra_input_tokens == tokens
    assert facts.input_bytes == len(TALK) - 500 + len(voices) + len(END) - sample_bytes


SECOND_FILE = part(b"file", b"x" * 100_000)
"""A text of the name of the file: a server that hears it hears 200 seconds."""


@pytest.mark.parametrize("endpoint", [Transcriptions, Translations])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (TALK + SECOND_FILE, "invalid_type"),
        (SECOND_FILE + TALK, "invalid_type"),
        (TALK + SECOND_FILE.replace(b'"file"', b'"file[]"'), "invalid_type"),
        (TALK + SECOND_FILE.replace(b'"file"', b'"file[x]"'), "invalid_type"),
        (TALK.replace(b'"file"', b'"file[x]"'), "missing_required_parameter"),
        (TALK.replace(b'"file"', b'"file[]"'), "missing_required_parameter"),
        (TALK + part(b"file[x]", b"x", b'; filename="a"'), "missing_required_parameter"),
        (MODEL + SECOND_FILE, "invalid_type"),
    ],
)
def test_a_recording_is_one_file_and_no_other_reader_finds_a_second(endpoint, body, code):
    assert endpoint().read_as(FORM).facts(TALK + END).unit_maxima[0][1] == 1
    with pytest.raises(RequestRefused) as refused:
        endpoint().read_as(FORM).facts(body + END)
    assert (refused.value.code, refused.value.param) == (code, "file")


def test_more_voices_than_the_provider_takes_are_refused():
    with pytest.raises(RequestRefused, match="at most 4 samples") as refused:
        Transcriptions().read_as(FORM).facts(TALK + part(b"known_speaker_references[]", b"data:,1") * 5 + END)
    assert (refused.value.code, refused.value.param) == ("invalid_value", "known_speaker_references")


def test_a_head_decides_once_who_reads_its_bodies():
    edits = ImageEdits()
    assert edits.read_as([b"application/json"]) is edits
    assert edits.read_as([]) is edits
    reader = edits.read_as(FORM)
    assert isinstance(reader, ImageEdits)
    assert (reader.boundary, reader.index) == (b"b", 9)
    for unclear in (FORM * 2, [b"multipart/form-data"], [b"application/json", *FORM]):
        with pytest.raises(RequestRefused, match="plain multipart/form-data form"):
            edits.read_as(unclear).facts(b"--b\r\n")


def test_only_the_model_of_a_form_is_ever_replaced_and_its_file_is_never_copied():
    dialect = Transcriptions().read_as(FORM)
    body: bytes = MODEL + part(b"file", b"x" * 1_000_000, b'; filename="a"') + END
    facts = dialect.facts(body)
    same = dialect.rewrite(body, facts, model="whisper-1", output_cap_tokens=0, inject_usage=True, service_tier="flex")
    assert len(same) == 1
    assert same[0] is body
    sent = dialect.rewrite(body, facts, model="ours", output_cap_tokens=7, inject_usage=False, service_tier=None)
    assert b"".join(sent) == body.replace(b"whisper-1", b"ours")
    assert all(one.obj is body for one in sent if isinstance(one, memoryview))


def test_a_model_that_a_form_does_not_name_is_put_first():
    dialect = ImageEdits().read_as(FORM)
    body = part(b"prompt", b"A slip") + part(b"image", b"PNG", b'; filename="a"') + END
    facts = dialect.facts(body)
    assert facts.model == "gpt-image-1.5"
    sent = b"".join(
        dialect.rewrite(body, facts, model="ours", output_cap_tokens=0, inject_usage=False, service_tier=None)
    )
    assert read_form(sent, b"b").fields == {"model": "ours", "prompt": "A slip"}
    assert sent.endswith(body)


def test_a_form_is_bounded_by_its_words_and_its_files_apart():
    dialect = ImageEdits().read_as(FORM)
    files = part(b"image[]", b"x" * 5_000, b'; filename="a"') * 2
    body = (
        part(b"prompt", b"A slip")
        + files
        + part(b"n", b"3")
        + part(b"size", b"1024x1024")
        + part(b"quality", b"low")
        + END
    )
    facts = dialect.facts(body)
    assert facts.input_bytes == len(body) - 10_000
    assert (facts.extra_input_tokens, facts.choice_count, facts.output_cap_tokens) == (2 * 8_192, 3, 272)


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        (part(b"n", b"+3"), "invalid_type", "n"),
        (part(b"n", b"11"), "invalid_value", "n"),
        (part(b"stream", b"yes"), "invalid_type", "stream"),
        (part(b"partial_images", b"4"), "invalid_value", "partial_images"),
        (part(b"other", b"x", b'; filename="a"'), "invalid_value", "image"),
        (part(b"image[]", b"x", b'; filename="a"') * 17, "invalid_value", "image"),
    ],
)
def test_a_form_with_a_field_out_of_its_limits_is_refused_by_name(more, code, param):
    body = part(b"prompt", b"A slip") + part(b"image", b"PNG", b'; filename="a"') + more + END
    with pytest.raises(RequestRefused) as refused:
        ImageEdits().read_as(FORM).facts(body)
    assert (refused.value.code, refused.value.param) == (code, param)


# ---- how long a recording is -----------------------------------------------------------------------------------------------


def sound_format(rate=8_000, bits=16, kind=1, claimed=0, sample=0, more=b""):
    form = b"fmt " + (16 + len(more)).to_bytes(4, "little") + kind.to_bytes(2, "little") + (1).to_bytes(2, "little")
    form += rate.to_bytes(4, "little") + claimed.to_bytes(4, "little")
    return form + (sample or bits // 8).to_bytes(2, "little") + bits.to_bytes(2, "little") + more


def wav(*, sound=16_000, before=b"", behind=b"", **told):
    return (
        b"RIFF\0\0\0\0WAVE"
        + before
        + sound_format(**told)
        + b"data"
        + sound.to_bytes(4, "little")
        + bytes(sound)
        + behind
    )


def extensible(kind):
    """The 24 bytes behind a format that says which one it really is."""
    return b"\x16\0\x10\0\0\0\0\0" + bytes([kind]) + bytes.fromhex("00 0000 0000 1000 8000 00AA 0038 9B71")


LOUD = sound_format(rate=2**31)


@pytest.mark.parametrize(
    ("data", "most", "likely"),
    [
        (wav(), 2, 1),  # its head of 44 bytes might be sound
        (wav(claimed=10**9), 2, 1),
        (wav(rate=1, bits=8), 16_044, 16_000),
        (wav(before=b"LIST\3\0\0\0abc\0"), 2, 1),
        (wav(kind=85), 33, 2),  # MP3 in a WAV
        (wav(kind=0xFFFE, more=extensible(1)), 2, 1),  # PCM that says so at length
        (wav(kind=0xFFFE, more=extensible(3)), 2, 1),  # and floats
        (wav(kind=0xFFFE, more=extensible(85)), 33, 2),  # MP3 in it
        (wav(kind=0xFFFE), 33, 2),  # which one it is remains untold
        (wav(behind=LOUD), 33, 2),  # two formats: decoders hear two lengths
        (wav(before=LOUD), 33, 2),
        (wav(before=sound_format(kind=85)), 33, 2),
        (wav(before=b"data\0\0\0\0"), 2, 1),
        (wav(before=b"data\2\0\0\0xx"), 33, 2),  # sound before its format
        (wav(sample=8), 33, 2),  # a sample that is larger than its bits
        (wav(behind=b"LIST\4\0\0\0abcd"), 2, 1),
        (wav(rate=0), 33, 2),
        (wav(before=b"JUNK\0\0\0\0" * 16), 33, 2),
        (b"x" * 16_000, 32, 1),
        (b"RIFF\0\0\0\0WAVE", 1, 1),
        (b"", 0, 0),
    ],
)
def test_a_recording_lasts_what_it_says_for_sure_or_what_its_size_allows(data, most, likely):
    assert seconds_of(b"before" + data + b"behind", 6, 6 + len(data)) == (most, likely)


VOICE = sound_format(rate=24_000, bits=16)


@pytest.mark.parametrize(
    ("begins", "second_bytes"),
    [
        (b"\0\0\1\0", 48_000),  # PCM has no head
        (b"\xff\xff\xfe\xff", 48_000),
        (b"RIFF\xff\xff\xff\xffWAVE" + VOICE + b"data\xff\xff\xff\xff", 48_000),
        (b"RIFF\xff\xff\xff\xffWAVE" + sound_format(rate=8_000, bits=8) + b"data\xff\xff\xff\xff", 8_000),
        (b"RIFF\xff\xff\xff\xffWAVEJUNK", 48_000),
        (b"OggS\0", 8_000),
        (b"fLaC\0", 24_000),
        (b"ID3\4", 16_000),
        (b"\xff\xfb\x90", 16_000),
        (b"\xff\xf1\x50", 16_000),
    ],
)
@pytest.mark.parametrize("step", [1, 4_096])
def test_a_voice_is_as_long_as_the_format_of_its_sound_makes_it(begins, second_bytes, step):
    """A second is 21 tokens, in whatever pieces it comes."""
    sound = begins.ljust(second_bytes, b"\0")
    meter = Speech().meter(stream=False, withhold_usage=False)
    for at in range(0, len(sound), step):
        meter.feed(sound[at : at + step])
    assert meter.output_tokens_seen() == 21


def test_a_recording_without_a_form_is_told_what_to_send():
    with pytest.raises(RequestRefused, match="sent as a form") as refused:
        Translations().facts(b"{}")
    assert refused.value.code == "invalid_content_type"
