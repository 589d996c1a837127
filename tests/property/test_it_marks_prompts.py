"""A marked request is the client's own with marks between its bytes, and its hold covers whatever the provider makes of it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import ADA_WALLET, CREDIT
from tests.desk import Desk, lot, wallet
from tokenroll.model.instant import instant_from_text
from tokenroll.services.cache_aids import CacheAids
from tokenroll.services.hot import Deployment, HotHold
from tokenroll.store.tape import HOLD_CACHE_MARKED
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.prices import prepare
from tokenroll.upstream.prompts import marked, may_be_marked, messages_prompt
from tokenroll.upstream.simulated.provider import Provider, SimulatorOptions

MESSAGES = Messages()
NOW = instant_from_text("2026-11-20T00:00:00Z")
SONNET = next(card for card in prepare(["anthropic"], NOW).cards if card.model == "claude-sonnet-5-5")
HERE = Deployment("sim", "anthropic")
MARK = {"type": "ephemeral"}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda text: {"type": "tool_result", "tool_use_id": "t", "content": text}, TEXTS),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXTS),
)
CONTENTS = st.one_of(TEXTS, st.lists(PARTS, min_size=1, max_size=4))
BODIES = st.fixed_dictionaries(
    {
        "model": st.just("claude-sonnet-5-5"),
        "max_tokens": st.just(50),
        "messages": st.lists(
            st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), CONTENTS),
            min_size=1, max_size=6,
        ),
    },
    optional={
        "system": st.one_of(TEXTS, st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXTS), min_size=1, max_size=3)),
        "tools": st.lists(st.builds(lambda name: {"name": name, "input_schema": {"type": "object"}}, TEXTS), min_size=1, max_size=3),
        "tool_choice": st.just({"type": "auto"}),
        "stream": st.booleans(),
    },
)  # fmt: skip
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


def unmarked(value: Any) -> Any:
    """The value without marks."""
    if isinstance(value, list):
        return [unmarked(one) for one in value]
    if isinstance(value, dict):
        return {name: unmarked(one) for name, one in value.items() if name != "cache_control"}
    return value


def as_parts(body: dict[str, Any]) -> dict[str, Any]:
    """The same request with every text as the one part that it means."""

    def parts(content: Any) -> Any:
        return [{"type": "text", "text": content}] if isinstance(content, str) else content

    told = {**body, "messages": [{**one, "content": parts(one["content"])} for one in body["messages"]]}
    return told | ({"system": parts(body["system"])} if "system" in body else {})


def is_within(inner: bytes, outer: bytes) -> bool:
    """Whether every byte of the one is in the other, in its order."""
    rest = iter(outer)
    return all(byte in rest for byte in inner)


@given(BODIES, SPACES, st.booleans(), st.data())
def test_only_marks_are_added_and_the_prompt_means_the_same(body, spaces, as_ascii, data):
    raw = json.dumps(body, separators=spaces, ensure_ascii=as_ascii).encode()
    able = [part for part in messages_prompt(raw) if may_be_marked(part)]
    chosen = data.draw(st.lists(st.sampled_from(able), max_size=4, unique_by=id)) if able else []
    sent = marked(raw, chosen)
    assert is_within(raw, sent)
    told = json.loads(sent)
    assert as_parts(unmarked(told)) == as_parts(body)
    assert json.dumps(told).count('"cache_control": {"type": "ephemeral"}') == len(chosen)
    MESSAGES.facts(sent)


LETTERS = st.text("ab", min_size=1, max_size=3)


@given(st.lists(st.tuples(LETTERS, st.integers(0, 900)), min_size=2, max_size=8), st.booleans())
def test_the_hold_of_a_marked_call_covers_the_dearest_that_its_provider_can_make_of_it(
    tmp_path_factory, calls, with_tools
):
    """Every conversation is sent in growing pieces, so that some calls are marked; a token for every byte, and an answer up to the cap."""
    desk = Desk(tmp_path_factory.mktemp("desk"), wallet(lot(1, 1_000 * CREDIT), cache_marking=True), cards=(SONNET,))
    desk.now = NOW
    aids = CacheAids(desk.spending.fingerprints, desk.spending.prices)
    simulated = Provider(SimulatorOptions())
    grown: dict[str, list[dict[str, Any]]] = {}
    for name, kilobytes in calls:
        turns = grown.setdefault(name, [])
        turns += [{"role": "user", "content": name * (kilobytes * 20 + 5_000)}]
        body: dict[str, Any] = {
            "model": "claude-sonnet-5-5",
            "max_tokens": 50,
            "messages": turns,
            "system": name * 3_000,
        }
        if with_tools:
            body["tools"] = [{"name": "pay", "input_schema": {"type": "object"}}]
        raw = json.dumps(body).encode()
        facts = MESSAGES.facts(raw)
        sent, marks = aids.with_marks(desk.key(), facts, raw, HERE, NOW + 1, NOW)
        assert (facts.cache_aid == HOLD_CACHE_MARKED) == (sent != raw)
        assert facts.input_bytes == len(sent)
        assert bool(marks) == (sent != raw)
        aids.kept(marks, NOW)
        hold = desk.spending.admit(desk.key(), MESSAGES, facts, desk.now, deployment=HERE)
        assert isinstance(hold, HotHold)
        asked = simulated.understand(b"/v1/messages", sent)
        asked.worst_tokenizer = True
        asked.sizes["output_tokens"] = 10**9
        attempt = simulated.begin(asked, sent, "call/1", "", 0)
        attempt.generated = attempt.answer.output_tokens
        simulated.bill_end(attempt, "complete")
        assert simulated.bill.lines()[-1].cost_nanos <= hold.bound_nanos
        turns.append({"role": "assistant", "content": "noted"})
    assert desk.spending.wallets[ADA_WALLET].available_nanos >= 0
