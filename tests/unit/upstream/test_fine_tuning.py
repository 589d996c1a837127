"""Fine-tuning jobs: what a request and its files say of the most that can be trained."""

import json

import pytest

from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.upstream.dialect import Denial, RequestRefused
from tokenroll.upstream.fine_tuning import FineTuningJobs

JOBS = FineTuningJobs()
LINE = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}'


def request(**fields):
    return json.dumps({"model": "gpt-4o-mini", "training_file": "file-one", **fields}).encode()


def supervised(epochs):
    return {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}}


def facts_of(body, *files, piece=1_000):
    reading = JOBS.reading(body)
    facts = None
    for data in files:
        assert facts is None
        for start in range(0, len(data), piece):
            reading.feed(data[start : start + piece])
        facts = reading.end()
    assert facts is not None
    return facts


def most(facts):
    ((meter, tokens, likely),) = facts.unit_maxima
    assert meter == METER_INDEX[Meter.TRAINING]
    assert likely <= tokens
    return tokens


@pytest.mark.parametrize("piece", [1, 7, len(LINE), 1_000])
@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\n\n\n"])
def test_a_file_is_bounded_by_its_lines_bytes_in_whatever_pieces_it_comes(piece, end):
    facts = facts_of(request(method=supervised(3)), LINE + b"\n" + LINE + end, piece=piece)
    assert most(facts) == 3 * (2 * 92 + end.count(b"\r"))
    assert (facts.trains, facts.has_output, facts.is_text, facts.input_bytes) == (True, False, False, 0)


def test_both_files_are_read_and_count():
    body = request(method=supervised(2), validation_file="file-two")
    reading = JOBS.reading(body)
    assert reading.path == "/v1/files/file-one/content"
    reading.feed(LINE)
    assert reading.end() is None
    assert reading.path == "/v1/files/file-two/content"
    assert most(facts_of(body, LINE, LINE)) == 2 * 2 * 92


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({}, 50),
        ({"method": supervised("auto")}, 50),
        ({"method": {"type": "supervised"}}, 50),
        ({"hyperparameters": {"n_epochs": 4}}, 4),
        ({"hyperparameters": {"batch_size": 2}}, 50),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 3}}}}, 6),
        ({"method": {"type": "dpo"}}, 100),
        ({"method": supervised(1), "hyperparameters": None}, 1),
        ({"method": supervised(1), "hyperparameters": {"n_epochs": 2}}, 2),
        ({"method": supervised(3), "hyperparameters": {"n_epochs": 2}}, 3),
        ({"method": supervised(3), "hyperparameters": {"n_epochs": "auto"}}, 50),
        ({"method": supervised("auto"), "hyperparameters": {"n_epochs": 2}}, 50),
    ],
)
def test_epochs_are_those_that_are_named_else_the_most_that_a_provider_takes(fields, times):
    assert most(facts_of(request(**fields), LINE)) == 92 * times


def example(part):
    return json.dumps(
        {"messages": [{"role": "user", "content": [part]}, {"role": "assistant", "content": "A cat."}]}
    ).encode()


def test_a_picture_may_take_more_than_its_bytes():
    line = example({"type": "image_url", "image_url": {"url": "https://a.io/b"}})
    assert most(facts_of(request(method=supervised(1)), line)) == len(line) - 14 + 8_192


def test_a_picture_that_is_written_with_escapes_is_one_all_the_same():
    line = example({"kind": 1, "image_url": {"url": ""}}).replace(b"image_url", rb"\u0069mage_url")
    assert most(facts_of(request(method=supervised(1)), line)) == len(line) + 8_192


def test_parts_of_text_are_bounded_by_their_bytes():
    line = example({"type": "text", "text": "What is it?"})
    assert most(facts_of(request(method=supervised(1)), line)) == len(line)


def test_a_part_that_is_not_known_is_refused_by_its_line():
    line = example({"type": "input_audio", "input_audio": {"data": ""}})
    with pytest.raises(RequestRefused, match="Line 2 of a file") as refused:
        facts_of(request(), LINE + b"\n" + line)
    assert refused.value.code == "call_not_bounded"


def test_a_model_by_another_name_is_written_where_the_request_names_it():
    body = request(method=supervised(1))
    facts = facts_of(body, LINE)
    sent = b"".join(
        JOBS.knowing(facts).rewrite(
            body, facts, model="gpt-4o-mini-2024-07-18", output_cap_tokens=0, inject_usage=False, service_tier=None
        )
    )
    assert json.loads(sent) == {**json.loads(body), "model": "gpt-4o-mini-2024-07-18"}


def test_its_metadata_says_what_it_is_for():
    assert facts_of(request(metadata={"project": "apollo", "other": "x"}), LINE).tags == "project=apollo"


def told(body, needed, left):
    denial = Denial(
        "wallet_empty", scope="The wallet Ada", needed_nanos=needed, left_nanos=left, approver="Bo", model="gpt-4o-mini"
    )
    return json.loads(JOBS.knowing(facts_of(body, LINE)).denial(denial).body)["error"]["message"]


def test_a_denial_says_with_how_many_epochs_it_would_fit():
    assert "It would fit with an n_epochs of 3. No more credits" in told(request(method=supervised(5)), 500, 399)
    assert "It names no n_epochs, so it is held for 50 times its file. It would fit with an n_epochs of 49." in told(
        request(), 5_000, 4_999
    )
    assert "n_epochs" not in told(request(method=supervised(5)), 500, 99)
