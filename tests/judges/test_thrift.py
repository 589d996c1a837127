"""Thrift at the wire: prompts marked for Anthropic's cache and keys for OpenAI's, with the official clients and the provider's own bill.

Prices worked with, in nanos a token: claude-sonnet-5-5 2,000 in, 100 from the cache, 2,500 into it for five minutes, 10,000 out;
gpt-4o-mini 150 in, 75 from the cache, 600 out. A text of 4,000 letters is 1,000 tokens; each message, and the system, adds 16.
"""

import json

import pytest

SONNET = "claude-sonnet-5-5"
HEAD = "s" * 8_000
FIRST = [{"role": "user", "content": "u" * 4_000}]
SECOND = [*FIRST, {"role": "assistant", "content": "a" * 400}, {"role": "user", "content": "v" * 400}]
THIRD = [*SECOND, {"role": "assistant", "content": "b" * 400}, {"role": "user", "content": "w" * 400}]


@pytest.fixture(scope="module")
def thrifty(company):
    """Bo's plan lets prompts be marked and keyed; the Reviewer's and the Drafter's too; Ada's says nothing of it."""
    terms = {"thrift": {"cache_marking": True, "cache_key": True}}
    for name in ("Bo", "Reviewer", "Drafter"):
        company.hire(name, terms=terms)
    company.hire("Editor", terms=terms, output_cap_tokens=9_000)
    return company


def ask(company, name, messages, *, stream=False, output_tokens=10, **more):
    """One call of ten tokens out, whole or streamed; its usage as the provider told it."""
    call = {
        "model": SONNET, "max_tokens": 50, "messages": messages,
        "extra_headers": {"x-sim-output-tokens": str(output_tokens)}, **more,
    }  # fmt: skip
    if stream:
        with company.anthropic(name).messages.stream(**call) as events:
            return events.get_final_message().usage
    return company.anthropic(name).messages.create(**call).usage


def read_and_written(usage):
    return usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens


@pytest.mark.parametrize(("name", "stream", "system"), [
    ("Bo", False, HEAD), ("Reviewer", True, [{"type": "text", "text": "t" * 8_000}]),
])  # fmt: skip
def test_a_conversation_that_goes_on_is_marked_from_its_second_turn_on(thrifty, name, stream, system):
    # 2,000 + 1,000 tokens and 2 × 16: nothing is known yet, so nothing is marked
    with thrifty.moves(name, 3_032 * 2_000 + 10 * 10_000):
        assert read_and_written(ask(thrifty, name, FIRST, stream=stream, system=system)) == (3_032, 0, 0)
    # all 3,200 of it are written, which costs 3,200 × 500 = 1,600,000 more; 4 × 16 of the provider's own are plain
    with thrifty.moves(name, 3_200 * 2_500 + 64 * 2_000 + 10 * 10_000):
        assert read_and_written(ask(thrifty, name, SECOND, stream=stream, system=system)) == (64, 0, 3_200)
    # they are read, which costs 3,200 × 1,900 = 6,080,000 less, and the new 200 are written for 100,000 more
    with thrifty.moves(name, 3_200 * 100 + 200 * 2_500 + 96 * 2_000 + 10 * 10_000):
        assert read_and_written(ask(thrifty, name, THIRD, stream=stream, system=system)) == (96, 3_200, 200)


def test_what_marks_came_to_is_told_to_the_nano_and_below_zero_while_it_is(thrifty):
    def effects():
        thrifty.quiet()
        rows = thrifty.tokenroll("thrift", "report", "--json")["effects"]
        (row,) = (one for one in rows if "output_cap_tokens=9000" in one["plan"])
        assert (row["mechanism"], row["unknown_count"]) == ("cache marking", 0)
        amounts = [row[name]["amount"] for name in ("saved", "lost", "net")]
        return row["call_count"], row["read_tokens"], row["written_tokens"], amounts

    head = "h" * 8_000
    ask(thrifty, "Editor", FIRST, system=head)
    ask(thrifty, "Editor", SECOND, system=head)
    # the second turn wrote 3,200 tokens at 500 nanos more than plain ones
    assert effects() == (1, 0, 3_200, ["0.000000000", "0.001600000", "-0.001600000"])
    ask(thrifty, "Editor", THIRD, system=head)
    # the third read them at 1,900 less, and wrote 200 more
    thrifty.quiet()
    calls = [one["call"] for one in thrifty.calls("Editor")]
    stories = [thrifty.tokenroll("call", "show", call, "--json")["attempts"][0] for call in calls]
    assert [(one["cache_aid"], one.get("marks_saved")) for one in stories] == [
        ("marked", {"amount": "0.005980000", "unit": "credits"}),
        ("marked", {"amount": "-0.001600000", "unit": "credits"}),
        ("", None),
    ]
    assert effects() == (2, 3_200, 3_400, ["0.006080000", "0.001700000", "0.004380000"])


def test_without_a_word_in_the_plan_nothing_is_marked(company):
    for messages, tokens in ((FIRST, 3_032), (SECOND, 3_264), (THIRD, 3_496)):
        with company.moves("Ada", tokens * 2_000 + 10 * 10_000):
            assert read_and_written(ask(company, "Ada", messages, system=HEAD)) == (tokens, 0, 0)


def test_what_never_comes_again_is_never_marked(thrifty):
    """Each prompt is 3,016 tokens that nobody has sent before: below the break-even marking would only cost."""
    for letter in "cdefg":
        with thrifty.moves("Drafter", 3_016 * 2_000 + 10 * 10_000):
            usage = ask(thrifty, "Drafter", [{"role": "user", "content": letter * 12_000}])
            assert read_and_written(usage) == (3_016, 0, 0)


def test_a_client_that_marks_its_prompt_itself_is_left_alone(thrifty):
    """Its one mark is at the system, so the conversation stays plain however often it comes again."""
    mine = [{"type": "text", "text": "m" * 8_000, "cache_control": {"type": "ephemeral"}}]
    with thrifty.moves("Bo", 2_000 * 2_500 + 1_032 * 2_000 + 10 * 10_000):
        assert read_and_written(ask(thrifty, "Bo", FIRST, system=mine)) == (1_032, 0, 2_000)
    for _ in range(3):
        with thrifty.moves("Bo", 2_000 * 100 + 1_032 * 2_000 + 10 * 10_000):
            assert read_and_written(ask(thrifty, "Bo", FIRST, system=mine)) == (1_032, 2_000, 0)


def chat(company, name, system, **more):
    body = {
        "model": "gpt-4o-mini", "max_completion_tokens": 50,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": "How much is left?"}], **more,
    }  # fmt: skip
    raw = company.raw_chat(name, json.dumps(body).encode(), {"x-sim-output-tokens": "10"})
    ((status, answer),) = company.pipelined([raw])
    assert status == 200, answer
    return json.loads(answer)


def test_requests_that_begin_alike_get_one_key_and_cost_what_they_did(thrifty):
    # 8,192 letters are 2,048 tokens, all of it whole blocks; 5 for the question and 2 × 16
    with thrifty.moves("Bo", 2_085 * 150 + 10 * 600):
        chat(thrifty, "Bo", "k" * 8_192)
    with thrifty.moves("Bo", 2_048 * 75 + 37 * 150 + 10 * 600):
        chat(thrifty, "Bo", "k" * 8_192)
