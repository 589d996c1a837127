"""One table over every route that is served and its answers: each is what OpenAI's published specification says, errors included.

What test_openapi.py says of chat in detail is said here of all the others: what is stored and asked about, streams, and each refusal.
"""

import io
import json
import wave
from typing import Any

import pytest

HELLO = "How much is left?"
LINE = {"custom_id": "one", "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-4o-mini", "input": HELLO}}
EXAMPLE = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
PICTURE = {"model": "gpt-image-1.5", "prompt": HELLO, "size": "1024x1024", "quality": "low"}
RESPONSE = {"model": "gpt-4o-mini", "input": HELLO, "max_output_tokens": 64}
BATCH = {"input_file_id": "{lines}", "endpoint": "/v1/responses", "completion_window": "24h"}
JOB: dict[str, Any] = {"model": "gpt-4o-mini", "training_file": "{examples}", "hyperparameters": {"n_epochs": 1}}
LONG = {"x-sim-background-ms": "600000"}
JSON = {"content-type": "application/json"}


def form(**parts):
    """A form and its head; what is bytes is a file."""
    lines = []
    for name, value in parts.items():
        more = f'; filename="{name}"' if isinstance(value, bytes) else ""
        data = value if isinstance(value, bytes) else value.encode()
        lines.append(f'--slip\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n")
    return b"".join(lines) + b"--slip--\r\n", {"content-type": "multipart/form-data; boundary=slip"}


def recording():
    written = io.BytesIO()
    with wave.open(written, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8_000)
        sound.writeframes(bytes(16_000))
    return written.getvalue()


def asked(company, method, path, body=None, name="Ada", **headers):
    """Status, head and bytes of a call without any client library; a form brings its own head."""
    given, kind = body if isinstance(body, tuple) else (body, JSON)
    raw = json.dumps(given).encode() if isinstance(given, dict) else given
    sent = {"authorization": f"Bearer {company.keys.get(name, name)}", **kind, **headers}
    return company.request(method, path, raw, sent)


def made(company, path, body, **headers):
    """The id of what is made."""
    status, _, said = asked(company, "POST", path, body, **headers)
    assert status == 200, said
    return json.loads(said)["id"]


@pytest.fixture(scope="module")
def stored(company):
    """By name: the ids of what the table asks about. It is Ada's, and settled when its time comes; what is refused is asked by Bo."""
    company.hire("Bo")
    company.do("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    ids = {
        "lines": made(company, "/v1/files", form(purpose="batch", file=json.dumps(LINE).encode())),
        "examples": made(company, "/v1/files", form(purpose="fine-tune", file=json.dumps(EXAMPLE).encode())),
        "response": made(company, "/v1/responses", RESPONSE),
        "background": made(company, "/v1/responses", {**RESPONSE, "background": True}, **LONG),
    }
    ids["batch"] = made(company, "/v1/batches", filled(BATCH, ids))
    ids["batch_under_way"] = made(company, "/v1/batches", filled(BATCH, ids), **LONG)
    ids["job"] = made(company, "/v1/fine_tuning/jobs", filled(JOB, ids))
    ids["job_under_way"] = made(company, "/v1/fine_tuning/jobs", filled(JOB, ids), **LONG)
    yield ids
    end(company, ids)


@pytest.fixture(scope="module")
def ended(company, stored):
    """The same, once nothing of it is under way."""
    end(company, stored)
    return stored


def end(company, ids):
    for path in ("batches/{batch_under_way}", "responses/{background}", "fine_tuning/jobs/{job_under_way}"):
        asked(company, "POST", f"/v1/{path.format_map(ids)}/cancel", {})
    company.until_found("Ada")


def filled(value, ids):
    """The same with the ids of what is stored."""
    if isinstance(value, str):
        return value.format_map(ids)
    return {name: filled(one, ids) for name, one in value.items()} if isinstance(value, dict) else value


SAID_AS_NULL = {
    "OpenAIFile": {"expires_at", "status_details"}, "Response": {"usage"}, "CreateCompletionResponse": {"usage"},
    "Batch": {"errors", "metadata", "output_file_id", "error_file_id", "usage"},
}  # fmt: skip
"""By schema: what OpenAI itself says as null where the specification has a value or none. Its examples of batches do so, too."""


def as_published(name, value):
    """The same where the specification is stricter than its author: beside nulls, a status and the reason of an unfinished text."""
    kept = {key: one for key, one in value.items() if one is not None or key not in SAID_AS_NULL.get(name, ())}
    if (
        name == "FineTuningJob" and kept["status"] == "paused"
    ):  # there is a request for it, and no word among the states
        kept["status"] = "running"
    if name == "CreateCompletionResponse":
        kept["choices"] = [{**one, "finish_reason": one["finish_reason"] or "stop"} for one in kept["choices"]]
    return kept


ANSWERS = {
    "a file": ("POST", "/v1/files", form(purpose="batch", file=b"{}"), "OpenAIFile"),
    "a file again": ("GET", "/v1/files/{lines}", None, "OpenAIFile"),
    "a batch": ("POST", "/v1/batches", BATCH, "Batch"),
    "a batch again": ("GET", "/v1/batches/{batch}", None, "Batch"),
    "a batch under way": ("GET", "/v1/batches/{batch_under_way}", None, "Batch"),
    "a batch cancelled": ("POST", "/v1/batches/{batch_under_way}/cancel", {}, "Batch"),
    "a response read again": ("GET", "/v1/responses/{response}", None, "Response"),
    "a receipt": ("POST", "/v1/responses", {**RESPONSE, "background": True}, "Response"),
    "a response under way": ("GET", "/v1/responses/{background}", None, "Response"),
    "a response cancelled": ("POST", "/v1/responses/{background}/cancel", {}, "Response"),
    "its input": ("GET", "/v1/responses/{response}/input_items", None, "ResponseItemList"),
    "its size": ("POST", "/v1/responses/input_tokens", {"model": "gpt-4o-mini", "input": HELLO}, "TokenCountsResource"),
    "a job": ("POST", "/v1/fine_tuning/jobs", JOB, "FineTuningJob"),
    "a job again": ("GET", "/v1/fine_tuning/jobs/{job}", None, "FineTuningJob"),
    "its events": ("GET", "/v1/fine_tuning/jobs/{job}/events", None, "ListFineTuningJobEventsResponse"),
    "its checkpoints": ("GET", "/v1/fine_tuning/jobs/{job}/checkpoints", None, "ListFineTuningJobCheckpointsResponse"),
    "a job paused": ("POST", "/v1/fine_tuning/jobs/{job_under_way}/pause", {}, "FineTuningJob"),
    "a job resumed": ("POST", "/v1/fine_tuning/jobs/{job_under_way}/resume", {}, "FineTuningJob"),
    "a job cancelled": ("POST", "/v1/fine_tuning/jobs/{job_under_way}/cancel", {}, "FineTuningJob"),
}  # fmt: skip
"""In this order: what is under way is asked about before it is cancelled."""


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_stored_is_what_the_specification_says(company, schema, stored, case):
    method, path, body, name = ANSWERS[case]
    status, head, said = asked(company, method, filled(path, stored), filled(body, stored))
    assert (status, head["content-type"]) == (200, "application/json"), said
    schema(name).validate(as_published(name, json.loads(said)))


PIECES = {"stream": True}
STREAMS = {
    "completions": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": HELLO, "max_tokens": 20, **PIECES}, "CreateCompletionResponse", 3),
    "pictures": ("/v1/images/generations", {**PICTURE, **PIECES, "partial_images": 2}, "ImageGenStreamEvent", 3),
    "pictures of pictures": ("/v1/images/edits", form(**PICTURE, image=b"\x89PNG", stream="true", partial_images="1"), "ImageEditStreamEvent", 2),
    "a transcript": ("/v1/audio/transcriptions", form(model="gpt-4o-transcribe", file=recording(), stream="true"), "CreateTranscriptionResponseStreamEvent", 2),
    "a voice": ("/v1/audio/speech", {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": HELLO, "stream_format": "sse"}, "CreateSpeechResponseStreamEvent", 2),
}  # fmt: skip


@pytest.mark.parametrize("case", STREAMS)
def test_each_event_of_a_stream_is_what_the_specification_says(company, schema, case):
    path, body, name, least = STREAMS[case]
    status, head, said = asked(company, "POST", path, body)
    assert (status, head["content-type"].partition(";")[0]) == (200, "text/event-stream"), said
    data = [line.removeprefix("data: ") for line in said.decode().splitlines() if line.startswith("data: {")]
    assert len(data) >= least
    for one in data:
        schema(name).validate(as_published(name, json.loads(one)))
    company.quiet()


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "responses": ("/v1/responses", RESPONSE),
    "completions": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": HELLO, "max_tokens": 20}),
    "embeddings": ("/v1/embeddings", {"model": "text-embedding-3-small", "input": HELLO}),
    "batches": ("/v1/batches", BATCH),
    "fine-tuning": ("/v1/fine_tuning/jobs", JOB),
}
UNKNOWN_MODEL = {"model": "gpt-nowhere"}
UNKNOWN_FILE = {"batches": {"input_file_id": "file-nowhere"}, "fine-tuning": {"training_file": "file-nowhere"}}
REFUSALS: dict[str, tuple[Any, str, dict[str, str], int]] = {
    "no body": (None, "Bo", {}, 400),
    "no JSON": (b"{", "Bo", {}, 400),
    "nothing in it": ({}, "Bo", {}, 400),
    "an unknown key": ("as it is", "nobody", {}, 401),
    "what is not there": ("unknown", "Bo", {}, 404),
    "an empty wallet": ("as it is", "Cleo", {}, 429),
    "the provider's limit": ("as it is", "Bo", {"x-sim-fault": "429"}, 429),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_refused_call_is_what_the_specification_says(company, schema, ended, call):
    path, usual = CALLS[call]
    bodies = {"as it is": usual, "unknown": {**usual, **UNKNOWN_FILE.get(call, UNKNOWN_MODEL)}}
    with company.moves("Bo", 0):
        for case, (given, name, headers, expected) in REFUSALS.items():
            body = filled(bodies.get(str(given), given), ended)
            status, head, said = asked(company, "POST", path, body, name, **headers)
            assert (status, head["content-type"]) == (expected, "application/json"), (case, said)
            schema("ErrorResponse").validate(json.loads(said))


ERRANDS = {
    "/v1/files/{}": "GET", "/v1/files/{}/content": "GET", "/v1/batches/{}": "GET", "/v1/batches/{}/cancel": "POST",
    "/v1/responses/{}": "GET", "/v1/responses/{}/cancel": "POST", "/v1/responses/{}/input_items": "GET",
    "/v1/fine_tuning/jobs/{}": "GET", "/v1/fine_tuning/jobs/{}/events": "GET", "/v1/fine_tuning/jobs/{}/checkpoints": "GET",
    "/v1/fine_tuning/jobs/{}/cancel": "POST", "/v1/fine_tuning/jobs/{}/pause": "POST", "/v1/fine_tuning/jobs/{}/resume": "POST",
    "/v1/models/{}": "GET",
}  # fmt: skip
REFUSED_ERRANDS = {
    "DELETE /v1/files/file-1": 405, "GET /v1/files": 405, "GET /v1/batches": 405, "GET /v1/fine_tuning/jobs": 405,
    "DELETE /v1/responses/resp_1": 405, "GET /v1/responses": 405, "POST /v1/responses/compact": 404,
    "GET /v1/chat/completions": 405, "GET /v1/chat/completions/chatcmpl-1": 404, "POST /v1/images/variations": 404,
    "DELETE /v1/models/gpt-4o": 405,
}  # fmt: skip


@pytest.mark.parametrize("path", ERRANDS)
def test_a_refused_errand_is_what_the_specification_says(company, schema, path):
    method = ERRANDS[path]
    for name, expected in (("Ada", 404), ("nobody", 401)):
        status, head, said = asked(company, method, path.format("nowhere"), {} if method == "POST" else None, name)
        assert (status, head["content-type"]) == (expected, "application/json"), said
        schema("ErrorResponse").validate(json.loads(said))


@pytest.mark.parametrize("asked_for", REFUSED_ERRANDS)
def test_what_is_not_served_is_refused_as_the_specification_says(company, schema, asked_for):
    method, _, path = asked_for.partition(" ")
    requests = company.provider.state()["requests"]
    status, head, said = asked(company, method, path, {} if method == "POST" else None)
    assert (status, head["content-type"]) == (REFUSED_ERRANDS[asked_for], "application/json"), said
    schema("ErrorResponse").validate(json.loads(said))
    assert company.provider.state()["requests"] == requests


@pytest.mark.parametrize(
    ("fields", "expected"), [({"file": b"{}"}, 400), ({"purpose": "batch"}, 400)], ids=["no purpose", "no file"]
)
def test_a_form_of_which_something_is_missing_is_refused_as_the_specification_says(company, schema, fields, expected):
    status, _, said = asked(company, "POST", "/v1/files", form(**fields))
    assert status == expected
    schema("ErrorResponse").validate(json.loads(said))
