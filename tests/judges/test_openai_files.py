"""The official OpenAI client at files: stored and read again for nothing, by whoever knows their id, and never listed or deleted.

`HELLO` is 17 bytes: 5 tokens, and 16 for the message. A file that a message points to is 3,000 tokens to the simulated provider.
Prices worked with, in nanos a token: gpt-4o-mini 150 in, 600 out.
"""

import json
from typing import Any

import openai
import pytest

from tests.company import COMPANY_KEY, Company
from tokenroll.testing import SimulatedProvider

HELLO = "How much is left?"
LINES = b'{"custom_id": "one"}\n{"custom_id": "two \xe2\x82\xac"}\n'


def uploaded(company, name="Ada", **more):
    return company.openai(name).files.create(file=("lines.jsonl", LINES), purpose="batch", **more)


def test_a_file_is_stored_and_read_again_as_it_came(free):
    client = free.openai()
    file = uploaded(free, expires_after={"anchor": "created_at", "seconds": 3_600})
    assert (file.filename, file.purpose, file.bytes) == ("lines.jsonl", "batch", len(LINES))
    assert file.expires_at == file.created_at + 3_600
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).content == LINES


def test_a_file_of_some_megabytes_goes_both_ways(free):
    data = b"0123456789abcdef" * 64 * 1024 * 5
    client = free.openai()
    file = client.files.create(file=("large.bin", data), purpose="user_data")
    assert client.files.content(file.id).content == data


def test_who_knows_its_id_can_read_it_and_nobody_is_shown_the_ids_of_others(free):
    file = uploaded(free)
    assert free.openai("Nightly agent").files.retrieve(file.id) == file
    with pytest.raises(openai.APIStatusError, match="everybody has stored") as refused:
        free.openai().files.list()
    assert (refused.value.status_code, refused.value.code) == (405, "method_not_allowed")


def test_a_file_is_not_deleted_and_the_answer_says_how_it_goes(free):
    file = uploaded(free)
    with pytest.raises(openai.APIStatusError, match="expires_after") as refused:
        free.openai().files.delete(file.id)
    assert refused.value.status_code == 405
    assert free.openai().files.retrieve(file.id) == file


def test_a_file_that_is_not_there_and_a_form_that_is_none_are_the_providers_to_refuse(free):
    client = free.openai()
    with pytest.raises(openai.NotFoundError, match="No such File"):
        client.files.content("file-unknown")
    with pytest.raises(openai.BadRequestError, match="file"):
        client.post("/files", body={"purpose": "batch"}, cast_to=object)
    with pytest.raises(openai.AuthenticationError):
        free.openai(api_key="nobody's").files.retrieve("file-1")


def test_a_form_above_the_limit_of_bodies_is_refused_before_it_is_read(free):
    headers = {"authorization": f"Bearer {free.keys['Ada']}", "content-length": str(33 * 1024 * 1024)}
    status, _, answer = free.request("POST", "/v1/files", b"", headers)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "request_too_large")


def test_a_response_that_reads_a_file_is_held_for_the_whole_context_and_charged_what_it_read(company):
    file = uploaded(company)
    parts = [{"type": "input_file", "file_id": file.id}, {"type": "input_text", "text": HELLO}]
    with company.moves("Ada", (3_000 + 5 + 16) * 150 + 12 * 600):
        raw = company.openai().responses.with_raw_response.create(
            model="gpt-4o-mini", input=[{"role": "user", "content": parts}], max_output_tokens=64,
            extra_headers={"x-sim-output-tokens": "12"},
        )  # fmt: skip
    held_nanos = int(raw.headers["x-tokenroll-hold-max"].replace(".", ""))
    assert held_nanos >= 128_000 * 150


def test_a_file_lies_where_the_calls_of_its_key_go(tmp_path):
    """Two providers serve every model, and each member's calls keep to one of them: a file that was stored elsewhere would not be found."""
    with Company(tmp_path / "home", others=(SimulatedProvider(seed=8, api_key=COMPANY_KEY),)) as company:
        asked = []
        for name in ("Ada", "Bo", "Cleo", "Dev"):
            company.hire(name)
            before = [provider.state()["requests"] for provider in company.providers]
            file = uploaded(company, name)
            parts: list[Any] = [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": HELLO}]
            company.openai(name).chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": parts}], max_completion_tokens=64
            )
            assert company.openai(name).files.content(file.id).content == LINES
            after = [provider.state()["requests"] for provider in company.providers]
            asked.append([two - one for one, two in zip(before, after, strict=True)])
        company.prove()
    assert sorted(asked) == [[0, 3], [0, 3], [3, 0], [3, 0]]
