"""Which prompts are marked, by what was seen of them and by what the provider has reported to keep.

The card is claude-sonnet-5-5's: 2,000 nanos a token in, 100 read, 2,500 written; it keeps beginnings from 1,024 tokens on.
"""

import json

import pytest

from tests.cast import CREDIT
from tests.desk import Desk, lot, wallet
from tokenroll.model.instant import instant_from_text
from tokenroll.services.cache_aids import CacheAids
from tokenroll.services.hot import Deployment
from tokenroll.store.tape import HOLD_CACHE_MARKED
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.prices import prepare
from tokenroll.upstream.prompt_caches import marked_tokens_min
from tokenroll.upstream.prompts import leading_parts

FIELDS = ("model", "messages", "input", "tools", "functions", "instructions")

NOW = instant_from_text("2026-11-20T00:00:00Z")
MINUTE = 60_000_000
SONNET = next(card for card in prepare(["anthropic"], NOW).cards if card.model == "claude-sonnet-5-5")
MESSAGES = Messages()


class Marker:
    """One worker's marks, with the clock in the test's hand."""

    def __init__(self, folder):
        self.desk = Desk(folder, wallet(lot(1, CREDIT), cache_marking=True), cards=(SONNET,))
        self.now = self.desk.now = NOW
        self.aids = CacheAids(self.desk.spending.fingerprints, self.desk.spending.prices)
        self.marks = []

    def marks_of(self, *turns, kept=True, deployment="sim", **more):
        """How many marks a conversation is sent with."""
        listed = [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(turns)]
        body = {"model": "claude-sonnet-5-5", "max_tokens": 50, "messages": listed, **more}
        raw = json.dumps(body).encode()
        facts = MESSAGES.facts(raw)
        here = Deployment(deployment, "anthropic")
        sent, marks = self.aids.with_marks(self.desk.key(), facts, raw, here, NOW + 10**12, self.now)
        assert (facts.cache_aid == HOLD_CACHE_MARKED) == bool(marks)
        if kept:
            self.aids.kept(marks, self.now)
        return sent.count(b'"cache_control"')


@pytest.fixture
def marker(tmp_path):
    return Marker(tmp_path)


LONG, OTHER = "x" * 12_000, "y" * 12_000


def test_a_prompt_that_comes_again_is_marked_the_second_time(marker):
    assert marker.marks_of(LONG) == 0
    assert marker.marks_of(LONG) == 1
    assert marker.marks_of(LONG, "yes", "go on") == 2


def test_of_another_deployment_or_model_nothing_is_known(marker):
    marker.marks_of(LONG)
    assert marker.marks_of(LONG, deployment="elsewhere") == 0


def test_after_five_minutes_it_is_new_again(marker):
    marker.marks_of(LONG)
    marker.now += 5 * MINUTE
    assert marker.marks_of(LONG) == 0


def test_a_prompt_of_the_last_words_of_an_assistant_is_marked_before_them(marker):
    """An answer that was begun for the model is no place for a mark: the user's last words are."""
    marker.marks_of(LONG, "begun")
    assert marker.marks_of(LONG, "begun so") == 1


def test_tools_and_system_have_a_mark_of_their_own(marker):
    more = {"system": OTHER, "tools": [{"name": "pay", "input_schema": {"type": "object"}}]}
    marker.marks_of(LONG, **more)
    assert marker.marks_of(LONG, "yes", "go on", **more) == 3


def test_thoughts_and_tools_that_come_later_carry_no_mark(marker):
    thought = [{"type": "thinking", "thinking": LONG, "signature": "s"}]
    late = [{"name": "late", "input_schema": {}, "defer_loading": True, "description": LONG}]
    for _ in range(3):
        found = marker.marks_of("short", thought, "short", tools=late)
    assert found == 1


def settled(marker, *, kept):
    """A prompt that was marked, and then so many that seldom come again that marking pays no more.

    40 prompts were new and 5 of them came twice: when the first comes a third time, all of it would have saved 6 × 1,900 and lost
    40 × 500, and what came twice 1 × 1,900 and 5 × 500.
    """
    marker.marks_of(LONG, kept=kept)
    assert marker.marks_of(LONG, kept=kept) == 1
    for number in range(39):
        for _ in range(2 if number < 4 else 1):
            marker.marks_of(f"{number:02}" * 6_000, kept=False)


def test_what_the_provider_keeps_is_read_even_where_writing_pays_no_more(marker):
    settled(marker, kept=True)
    assert marker.marks_of("z" * 12_000) == 0
    assert marker.marks_of(LONG) == 1


def test_what_was_never_reported_as_kept_is_not_believed_to_be(marker):
    """Its call was denied, or failed: a mark would write it now."""
    settled(marker, kept=False)
    assert marker.marks_of(LONG, kept=False) == 0


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-sonnet-4-5", 1_024), ("claude-sonnet-4-5-20250929", 1_024), ("claude-haiku-4-5", 4_096), ("claude-opus-4-7", 2_048),
        ("claude-opus-5-5", 512), ("claude-3-5-haiku-20241022", 2_048), ("claude-3-opus-20240229", 1_024),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1_024), ("claude-of-tomorrow", 4_096), ("toy", 4_096),
    ],
)  # fmt: skip
def test_each_model_keeps_from_a_length_of_its_own_on(model, tokens):
    assert marked_tokens_min(model) == tokens


def test_a_cache_key_is_for_the_first_four_kibibytes_of_a_beginning():
    """A prompt of a whole book is not read to its end; what differs behind its first 4 KiB shares a cache all the same."""
    asked = b'{"model":"toy","messages":[{"role":"user","content":"%b"}]}'
    first, second = (leading_parts(asked % (b"x" * 20_000 + end), FIELDS) for end in (b"a", b"b"))
    assert first == second == [(b'[{"role":"user","content":"' + b"x" * 20_000)[1 : 4 * 1024]]
    assert leading_parts(asked % (b"y" + b"x" * 20_000), FIELDS) != first


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b'{"model":"toy","messages":[{"role":"user","content":"Hi"},{"role":"user","content":"So"}]}', [b'{"role":"user","content":"Hi"}']),
        (b'{"messages" : [ {"role":"system","content":"Be kind"} ,\n {"role":"developer","content":"Be brief"},{"role":"user","content":"Hi"}]}',
         [b'{"role":"system","content":"Be kind"}', b'{"role":"developer","content":"Be brief"}']),
        (b'{"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function"}]}', [b'[{"type":"function"}]']),
        (b'{"messages":[{"role":"system","content":"Be kind"},{"role":"user","content":"Hi"}],"functions":[{"name":"f"}]}',
         [b'[{"name":"f"}]', b'{"role":"system","content":"Be kind"}']),
        (b'{"tools":[{"type":"function"}],"messages":[{"role":"system","content":"%b"},{"role":"user","content":"Hi"}]}' % (b"A" * 5_000),
         [b'[{"type":"function"}]', b'{"role":"system","content":"' + b"A" * 4_067]),
        (b'{"messages":[{"role":"developer","content":"Be brief"},{"role": "system","content":"%b"}]}' % (b"B" * 5_000),
         [b'{"role":"developer","content":"Be brief"}', b'{"role": "system","content":"' + b"B" * 4_024]),
        (b'{"tools":[{"type":"function"}],"messages":[{"role":"user","content":"%b"}]}' % (b"A" * 5_000), [b'[{"type":"function"}]']),
        (b'{"input":"How much is left?","instructions":"Be kind"}', [b'"Be kind"']),
        (b'{"input":"How much is left?"}', [b'"How much is left?"']),
        (b'{"input":[]}', []),
        (b'{"messages":[7,8]}', [b"7"]),
        (b'{"m\\u0065ssages":[{"role":"user","content":"Hi"}]}', []),
        ('{"messages":[{"role":"system","content":"Grüß"},{"role":"user"}]}'.encode(), ['{"role":"system","content":"Grüß"}'.encode()]),
        (b'{"messages":' + b"[" * 4_200, [b"[" * 4_095]),
    ],
)  # fmt: skip
def test_a_beginning_is_tools_and_instructions_or_else_the_first_message(body, parts):
    assert leading_parts(body, FIELDS) == parts
