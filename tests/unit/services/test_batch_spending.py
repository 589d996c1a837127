"""What a batch is held for: the sum of its requests, and for those without an output cap the longest answer that their model writes.

Prices worked with, in credits a million at the batch tier: 2 for input, 10 for output. The provider adds 16 tokens to a message.
"""

import json
from typing import Any

import pytest

from tests.cast import CREDIT, make_card
from tests.desk import Desk, lot, wallet
from tokenroll.model.rate_card import RateTable
from tokenroll.model.usage import Meter
from tokenroll.services.hot import HotHold
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.file_batches import FileBatches

BATCHES = FileBatches()
BODY = {"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}]}
BODY_BYTES = 68
IN, OUT, OVERHEAD = 2_000, 10_000, 16
ASKED = b'{"input_file_id":"file-1","endpoint":"/v1/chat/completions"}'


def desk(tmp_path, nanos=1_000 * CREDIT, **card):
    table = RateTable(base={Meter.INPUT: IN * 10**9, Meter.OUTPUT: OUT * 10**9})
    prices = {"standard": table, "batch": table}
    tables: dict[str, Any] = {"list_prices": prices, "net_prices": prices, "internal_prices": prices}
    return Desk(tmp_path, wallet(lot(1, nanos)), cards=(make_card(**tables, **card),))


def facts(*bodies):
    reading = BATCHES.reading(ASKED)
    for body in bodies:
        line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
        reading.feed(json.dumps(line).encode() + b"\n")
    return reading.end()


def admitted(one, *bodies):
    hold = one.admit(facts(*bodies))
    assert isinstance(hold, HotHold), hold.sentence()
    return hold


def test_each_line_is_held_for_what_it_alone_may_cost(tmp_path):
    assert len(json.dumps(BODY)) == BODY_BYTES
    capped = {**BODY, "max_tokens": 100}
    more = len(b', "max_tokens": 100')
    hold = admitted(desk(tmp_path), capped, capped)
    assert hold.bound_nanos == 2 * ((BODY_BYTES + more + OVERHEAD) * IN + 100 * OUT)
    assert (hold.output_tokens_max, hold.output_cap_tokens, hold.cap_changed) == (200, 0, False)


def test_a_line_without_a_cap_is_held_for_the_longest_answer_of_its_model(tmp_path):
    hold = admitted(desk(tmp_path, output_tokens_max=8_000), BODY, {**BODY, "n": 3})
    more = len(b', "n": 3')
    assert hold.bound_nanos == (2 * (BODY_BYTES + OVERHEAD) + more) * IN + 4 * 8_000 * OUT
    assert hold.output_tokens_max == 32_000


def test_without_a_longest_answer_the_context_window_is_that(tmp_path):
    hold = admitted(desk(tmp_path, output_tokens_max=None, context_window_tokens=50_000), BODY)
    assert hold.output_tokens_max == 50_000


def test_each_line_that_reads_a_picture_is_held_for_the_whole_context(tmp_path):
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"model": "sonnet", "max_tokens": 1, "messages": [{"role": "user", "content": [picture]}]}
    hold = admitted(desk(tmp_path), body, body, {**BODY, "max_tokens": 1})
    assert 2 * 200_000 * IN < hold.bound_nanos < (2 * 200_000 + 2 * 6_500 + 400) * IN


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"output_tokens_max": None, "context_window_tokens": None}, "its rate card names no maximum output"),
        ({"output_tokens_max": 2_000_000_001}, "without output caps its requests may write 4000000002 tokens"),
    ],
)
def test_what_nothing_bounds_is_refused_and_holds_nothing(tmp_path, card, says):
    one = desk(tmp_path, **card)
    denied = one.admit(facts(BODY, BODY))
    assert isinstance(denied, Denial)
    assert (denied.code, denied.state) == ("call_not_bounded", says)
    assert one.available() == 1_000 * CREDIT


def test_a_batch_that_does_not_fit_is_denied_as_it_is(tmp_path):
    one = desk(tmp_path, 1_000_000)
    denied = one.admit(facts({**BODY, "max_tokens": 1_000}))
    assert isinstance(denied, Denial)
    assert (denied.code, denied.fitting_cap_tokens, denied.left_nanos) == ("wallet_empty", 0, 1_000_000)
