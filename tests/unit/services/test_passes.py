"""An answer in which models ran several times: each pass at its own model's card and its own context length (T30).

Prices in nanos a token. `sonnet`: 3,000 in, 300 read, 3,750 written for five minutes, 15,000 out, and above 200,000 tokens of input 6,000
in and 22,500 out. `opus`: 5,000 in, 500 read, 25,000 out. A search costs 10,000,000. All sums are worked out by hand.
"""

import json
from typing import Any

import pytest

from tests.cast import CREDIT, SONNET_RATES, make_card
from tests.desk import Desk, lot, make_facts, wallet
from tests.ledger_kit import ADA_LOT, Kit, Report, dispatched_record, hold_record, pack_block
from tokenroll.books.arithmetic import charge_steps
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import METERS, Meter
from tokenroll.services.hot import HotHold
from tokenroll.store.attempt_record import PassRecord, SettleRecord, pack_settle, parse_record
from tokenroll.store.call_story import call_story
from tokenroll.store.tape import ENDS, HOLDS, Finish, TapeError, TapeSource
from tokenroll.store.verify import verify
from tokenroll.upstream.anthropic import Messages

NANO = 10**9
LONG = RateTier(input_tokens_above=200_000, rates={Meter.INPUT: 6_000 * NANO, Meter.OUTPUT: 22_500 * NANO})
OPUS_RATES = {Meter.INPUT: 5_000 * NANO, Meter.CACHE_READ: 500 * NANO, Meter.OUTPUT: 25_000 * NANO}
SONNET = make_card(RateTable(base=SONNET_RATES, tiers=(LONG,)))
OPUS = make_card(RateTable(base=OPUS_RATES), id=2, public_id="ratecard_2", model="opus", aliases=("opus-20260801",))


def one(kind: str, given: int, out: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "input_tokens": given, "output_tokens": out, **more}


def body(*passes: dict[str, Any], given: int = 5, out: int = 6, **more: Any) -> bytes:
    usage = {"input_tokens": given, "output_tokens": out, **more}
    if passes:
        usage["iterations"] = list(passes)
    return json.dumps(
        {"type": "message", "model": "sonnet-20260701", "stop_reason": "end_turn", "usage": usage}
    ).encode()


LOOP = [one("message", 150_000, 100), one("message", 180_000, 200)]
# name, body, charge in nanos, how it is marked, the cards of its passes
TABLE = [
    # 20 x 3,000 + 9 x 15,000 + 5 x 3,000 + 6 x 15,000
    ("a compaction and the message", body(one("compaction", 20, 9), one("message", 5, 6)), 300_000, "reported", [1, 1]),
    # 20 x 5,000 + 9 x 25,000 + 5 x 3,000 + 6 x 15,000
    ("advised by a dearer model", body(one("advisor_message", 20, 9, model="opus"), one("message", 5, 6)), 430_000, "reported", [2, 1]),
    # the declined hop: 20 x 3,000 + 1 x 15,000; the one that served: 20 x 5,000 + 6 x 25,000
    ("served by its fallback, under a dated name", body(one("message", 20, 1), one("fallback_message", 20, 6, model="opus-20260801")),
     325_000, "reported", [1, 2]),
    # alone, and still not the asked model: 20 x 5,000 + 6 x 25,000
    ("the fallback alone", body(one("fallback_message", 20, 6, model="opus"), given=20), 250_000, "reported", [2]),
    # 330,000 x 3,000 + 300 x 15,000: neither pass is long, although their sum is
    ("two short contexts are no long one", body(*LOOP, given=330_000, out=300), 994_500_000, "reported", [1, 1]),
    # 200,001 x 6,000 + 10 x 22,500 + 100 x 3,000 + 10 x 15,000: one pass is long, the other is not
    ("one long pass", body(one("message", 200_001, 10), one("message", 100, 10)), 1_200_681_000, "reported", [1, 1]),
    # 199,900 fresh + 200 read are above 200,000: 199,900 x 6,000 + 200 x 300 + 1 x 22,500; then 1 x 3,000 + 1 x 15,000
    ("what was cached makes a context long, too", body(one("message", 199_900, 1, cache_read_input_tokens=200), one("message", 1, 1)),
     1_199_500_500, "reported", [1, 1]),
    # 10 x 3,000 + 20 x 3,750 + 30 x 6,000 + 1 x 15,000 + 5 x 3,000 + 6 x 15,000
    ("the lives of cache writes, pass by pass",
     body(one("message", 10, 1, cache_creation_input_tokens=50, cache_creation={"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}),
          one("message", 5, 6)), 405_000, "reported", [1, 1]),
    # 300,000 as above, and two searches
    ("searches are paid once", body(one("message", 20, 9), one("message", 5, 6), server_tool_use={"web_search_requests": 2}),
     20_300_000, "reported", [1, 1]),
    # a dated name of the model that answered is that model: 300,000
    ("named by the answer's own dated name", body(one("message", 20, 9, model="sonnet-20260701"), one("message", 5, 6)), 300_000,
     "reported", [1, 1]),
    # at the asked model's prices, and marked: the bill decides
    ("advised by a model without a card", body(one("advisor_message", 20, 9, model="sibyl"), one("message", 5, 6)), 300_000,
     "estimated", [1, 1]),
    ("advised by nobody knows whom", body(one("advisor_message", 20, 9), one("message", 5, 6)), 300_000, "estimated", [1, 1]),
    # opus has no price for what is written to a cache for an hour: the dearest of its bound, 25,000, stands in; 40 x 25,000 and 105,000
    ("a meter without a price", body(one("advisor_message", 0, 0, model="opus", cache_creation_input_tokens=40,
     cache_creation={"ephemeral_1h_input_tokens": 40}), one("message", 5, 6)), 1_105_000, "estimated", [2, 1]),
    # a count that cannot be is not charged, and marked: 9 x 15,000 + 105,000
    ("a pass that counts below zero", body(one("compaction", -20, 9), one("message", 5, 6)), 240_000, "estimated", [1, 1]),
    # what is in no rate card leaves the counts as they are, without a token more for bytes: 5 x 3,000 + 6 x 15,000
    ("at another speed", body(speed="fast"), 105_000, "estimated", [1]),
    ("made in one country", body(inference_geo="us"), 105_000, "estimated", [1]),
    ("a retry repriced", body(fallback_credit={"status": {"type": "redeemed"}}), 105_000, "estimated", [1]),
    ("one message is no pass of its own", body(one("message", 5, 6)), 105_000, "reported", []),
    ("a retry not repriced", body(fallback_credit={"status": {"type": "not_applied", "reason": "expired"}}), 105_000, "reported", []),
    ("made anywhere, at the usual speed", body(inference_geo="global", speed="standard"), 105_000, "reported", []),
    ("null says nothing", body(inference_geo=None, speed=None, fallback_credit=None, iterations=None), 105_000, "reported", []),
    ("no passes", body(iterations=[]), 105_000, "reported", []),
]  # fmt: skip
NAMES = [row[0] for row in TABLE]


def streamed(whole: bytes) -> bytes:
    """The same as events: input and what else is known at the start, all of it once more at the end."""
    message = json.loads(whole)
    usage = message.pop("usage")
    begun = {
        "type": "message_start",
        "message": {**message, "usage": {**usage, "iterations": None, "output_tokens": 1}},
    }
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    events = [begun, ended, {"type": "message_stop"}]
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in events
    )


def settled(tmp_path, stream: bool, answer: bytes) -> tuple[int, SettleRecord, Desk]:
    """What Ada's call of that answer cost, and its settlement as the tape has it."""
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)), cards=(SONNET, OPUS))
    hold = desk.admit(make_facts(input_bytes=400_000, output_cap_tokens=10_000))
    assert isinstance(hold, HotHold)
    desk.dispatch(hold)
    meter = Messages().meter(stream, False)
    for at in range(0, len(answer), 100):
        meter.feed(answer[at : at + 100])
    meter.finish()
    nanos = desk.spending.settle(hold, meter, desk.now, 200, Finish.COMPLETE)
    records = desk.records()
    held = next(record for kind, record in records if kind in HOLDS)
    ended = next(record for kind, record in records if kind in ENDS)
    settle = parse_record(held + ended).settle
    assert settle is not None
    return nanos, settle, desk


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("answer", "nanos", "source", "cards"), [row[1:] for row in TABLE], ids=NAMES)
def test_each_pass_costs_what_its_own_model_and_context_cost(tmp_path, stream, answer, nanos, source, cards):
    charged, settle, desk = settled(tmp_path, stream, streamed(answer) if stream else answer)
    assert charged == settle.charge_nanos == settle.list_cost_nanos == settle.net_cost_nanos == nanos
    assert TapeSource(settle.source).name.lower() == source
    assert [one.rate_card_id for one in settle.passes] == cards
    assert desk.available() == 100 * CREDIT - nanos


def test_the_counts_of_an_attempt_are_the_sums_of_its_passes(tmp_path):
    answer = body(one("advisor_message", 20, 9, model="opus", cache_read_input_tokens=4), one("message", 5, 6))
    _, settle, _ = settled(tmp_path, False, answer)
    assert {meter.value: count for meter, count in zip(METERS, settle.counts, strict=True) if count is not None} == {
        "input": 25, "cache_read": 4, "output": 15, "request": 1,
    }  # fmt: skip


def test_more_passes_than_anybody_makes_are_charged_by_their_message_and_marked(tmp_path):
    answer = body(*[one("message", 1, 1)] * 257)
    charged, settle, _ = settled(tmp_path, False, answer)
    assert (settle.passes, TapeSource(settle.source).name) == ((), "ESTIMATED")
    assert charged >= 105_000


# ---- in the ledger's books ---------------------------------------------------------------------------------------------------

HELD = 10_000_000


def counts(given: int, out: int) -> tuple[int | None, ...]:
    return (given, None, None, None, None, None, out, *[None] * (len(METERS) - 7))


def books_of(nanos: int, *passes: PassRecord, source: TapeSource = TapeSource.REPORTED) -> tuple[Kit, bytes]:
    """A ledger with one settled call of these passes, 25 in and 15 out in all; and the call."""
    books = Kit()
    settle = SettleRecord(
        books.now, books.now, nanos, nanos, nanos, 9, source, 1, "standard", 1, 200, 0, 0, counts(25, 15), passes
    )
    records = [hold_record(1, (ADA_LOT, HELD)), dispatched_record(1), pack_settle(1, settle)]
    books.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, records)))
    books.connection.rollback()
    return books, books.rows("SELECT record FROM settlements")[0][0]


def test_the_books_prove_a_charge_of_several_passes():
    """The kit's card: 3,000 in, 15,000 out. 20 x 3,000 + 9 x 15,000 and 5 x 3,000 + 6 x 15,000 are 300,000."""
    both = [PassRecord(1, "standard", counts(20, 9)), PassRecord(1, "standard", counts(5, 6))]
    books, record = books_of(300_000, *both)
    assert verify(books.connection, books.now).differences == []
    kept = parse_record(record).settle
    assert kept is not None
    assert kept.passes == tuple(both)


@pytest.mark.parametrize(
    ("nanos", "passes"),
    [
        (299_999, [PassRecord(1, "standard", counts(20, 9)), PassRecord(1, "standard", counts(5, 6))]),
        (300_000, [PassRecord(9, "standard", counts(20, 9)), PassRecord(1, "standard", counts(5, 6))]),
        (300_000, [PassRecord(1, "standard", counts(20, 9))]),
    ],
    ids=["a nano less", "a card that is not there", "a pass left out"],
)
def test_the_books_find_passes_that_do_not_make_up_the_charge(nanos, passes):
    books, _ = books_of(nanos, *passes)
    assert [one.kind for one in verify(books.connection, books.now).differences] == ["charge"]


def test_a_calls_story_names_its_passes():
    both = [PassRecord(1, "standard", counts(20, 9)), PassRecord(1, "standard", counts(5, 6))]
    books, record = books_of(300_000, *both)
    story = call_story(books.connection, f"call_{parse_record(record).hold.written_call:032x}")
    assert story is not None
    (attempt,) = story["attempts"]
    told = [(one["pass"], one["meter"], one["count"], one["attos"]) for one in attempt["rates"]]
    assert told == [
        (1, "input", 20, 60_000 * NANO), (1, "output", 9, 135_000 * NANO),
        (2, "input", 5, 15_000 * NANO), (2, "output", 6, 90_000 * NANO),
    ]  # fmt: skip
    model = attempt["rates"][0]["model"]
    assert [step.name for step in charge_steps(attempt)][:2] == [f"pass 1, {model}: input", f"pass 1, {model}: output"]


def test_passes_that_are_cut_are_no_record():
    both = [PassRecord(1, "standard", counts(20, 9)), PassRecord(1, "standard", counts(5, 6))]
    settle = SettleRecord(
        1, 1, 0, 0, 0, 9, TapeSource.REPORTED, 1, "standard", 1, 200, 0, 0, counts(25, 15), tuple(both)
    )
    whole = hold_record(1, (ADA_LOT, HELD)) + pack_settle(1, settle)
    found = parse_record(whole).settle
    assert found is not None
    assert found.passes == tuple(both)
    head = len(hold_record(1, (ADA_LOT, HELD)))
    for cut in range(1, 30):
        shorter = whole[: len(whole) - cut]
        length = (len(shorter) - head).to_bytes(2, "little")
        with pytest.raises(TapeError):
            parse_record(shorter[: head + 2] + length + shorter[head + 4 :])
