"""What has gone wrong at other gateways, tried here: the failures of docs/peers_failures.md that no other test is about.

The cast's model is `sonnet`: 3,000 nanos a token in, 300 read of a cache, 15,000 out. `make_facts()` is bounded at 7,596,000 nanos.
"""

import itertools
import json
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.cast import CREDIT, HOUR, SONNET_RATES, make_card
from tests.desk import ADA_KEY, Desk, key, lot, make_facts, wallet
from tests.firm import JANUARY, Firm
from tokenroll.gateway.answers import DIALECTS
from tokenroll.model.amount import text_from_nanos
from tokenroll.model.rate_card import RateTable
from tokenroll.model.usage import Meter
from tokenroll.services.hot import Deployment, HotHold
from tokenroll.services.protocol import LimitTerms, View
from tokenroll.store.tape import Finish
from tokenroll.upstream.anthropic import Messages
from tokenroll.upstream.dialect import Denial

MONTH_ENDS = JANUARY + 31 * 24 * HOUR


@pytest.fixture
def ada(tmp_path):
    return Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))


def settled(desk: Desk, body: bytes, *, stream: bool = False, facts=None) -> int:
    """What a call of Ada's costs whose answer is these bytes."""
    hold = desk.admit(facts)
    assert isinstance(hold, HotHold)
    desk.dispatch(hold)
    meter = Messages().meter(stream, False)
    meter.feed(body)
    meter.finish()
    return desk.spending.settle(hold, meter, desk.now, 200, Finish.COMPLETE)


def message(**usage: object) -> bytes:
    return json.dumps({"type": "message", "model": "sonnet", "stop_reason": "end_turn", "usage": usage}).encode()


def test_t3_fifty_calls_across_the_end_of_a_month_are_each_in_their_own(tmp_path):
    """Admitted in January's last second or in February's first, all settled an hour later, by turns."""
    firm = Firm(JANUARY)
    firm.hire("Ada")
    firm.do("plan.create", name="stipend", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    firm.do("grant.create", to="Ada", plan="stipend", amount_nanos=100 * CREDIT)
    (ada,) = firm.lot_ids("Ada")
    firm.now = MONTH_ENDS + 1_000_000
    holds = [firm.hold("Ada", (ada, CREDIT), at=MONTH_ENDS + (number % 2 * 2 - 1) * 1_000_000) for number in range(50)]
    firm.now = MONTH_ENDS + HOUR
    for number, hold in enumerate(holds):
        firm.settle(hold, number + 1)
    firm.connection.rollback()
    rows = firm.connection.exec_driver_sql(
        "SELECT cycle, count(*), sum(charge_nanos) FROM settlements GROUP BY cycle ORDER BY cycle"
    ).all()
    assert [tuple(row)[1:] for row in rows] == [(25, 625), (25, 650)]  # 1 + 3 + … + 49, and 2 + 4 + … + 50
    assert firm.parts(ada)["spent"] == 1_275
    firm.verified()


def test_t19_an_explicit_zero_stays_a_zero(ada):
    words = "word " * 2_000
    body = json.dumps(
        {
            "type": "message",
            "content": [{"type": "text", "text": words}],
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
    )
    assert settled(ada, body.encode()) == 0
    assert ada.available() == 100 * CREDIT


def test_t20_the_final_count_is_priced_and_not_the_placeholder_of_the_start(ada):
    usage = {"input_tokens": 100, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "sonnet", "usage": usage}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 80}},
        {"type": "message_stop"},
    ]
    body = b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events)
    assert settled(ada, body, stream=True) == 100 * 3_000 + 80 * 15_000


def test_t21_a_thousand_calls_whose_provider_names_none_have_a_thousand_ids(ada):
    numbers = set()
    for _ in range(1_000):
        hold = ada.admit()
        ada.dispatch(hold)
        ada.settle(hold, input=1, output=1)
        numbers.add(hold.call_number_bytes)
    assert len(numbers) == 1_000


def settled_chat(desk: Desk, usage: str) -> int:
    """The same for a chat completion with this usage."""
    hold = desk.admit()
    desk.dispatch(hold)
    meter = DIALECTS[0].meter(stream=False, withhold_usage=False)
    meter.feed(f'{{"choices":[],"usage":{usage}}}'.encode())
    meter.finish()
    return desk.spending.settle(hold, meter, desk.now, 200, Finish.COMPLETE)


def test_t24_what_a_cache_held_is_counted_once_in_both_conventions(ada):
    """60 fresh and 40 read: one dialect says 100 of which 40, the other says 60 and 40."""
    cost = 60 * 3_000 + 40 * 300 + 20 * 15_000
    usage = '{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":40}}'
    assert settled_chat(ada, usage) == cost
    assert settled(ada, message(input_tokens=60, cache_read_input_tokens=40, output_tokens=20)) == cost


def test_t25_more_cached_than_prompted_is_charged_whole_and_never_below_zero(ada):
    usage = '{"prompt_tokens":10,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":4000}}'
    assert settled_chat(ada, usage) >= 10 * 3_000
    assert ada.available() < 100 * CREDIT


def test_t26_a_price_of_the_companys_own_counts_cached_tokens_once(tmp_path):
    """Half of the list price inside: 30 x 1,500 + 70 x 150 + 10 x 7,500."""
    half = {meter: attos // 2 for meter, attos in SONNET_RATES.items()}
    card = make_card(internal_prices={"standard": RateTable(base=half)})
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)), cards=(card,))
    assert settled(desk, message(input_tokens=30, cache_read_input_tokens=70, output_tokens=10)) == 130_500


def test_t38_a_price_of_a_slipped_decimal_point_is_no_price():
    with pytest.raises(ValueError, match="rate of input must be 0 to"):
        make_card(RateTable(base={**SONNET_RATES, Meter.INPUT: 3 * 10**30}))


def test_t40_ten_thousand_charges_sum_to_the_nano_in_every_spelling(tmp_path):
    """A third of a nano a token and other prices that no float holds; texts add up to what the wallet spent."""
    table = RateTable(base={Meter.INPUT: 333_333_333, Meter.OUTPUT: 10**8 + 7})
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(table),))
    charges = [desk.call(input=number % 97, output=number % 89) for number in range(10_000)]
    told = sum((Decimal(text_from_nanos(nanos)) for nanos in charges), Decimal(0))
    spent = desk.spending.wallets[1].spent_nanos
    assert told == Decimal(spent).scaleb(-9)
    assert desk.available() == CREDIT - spent


def looks(desk: Desk) -> int:
    """How many functions it takes to answer what is left."""
    count = itertools.count()
    sys.setprofile(lambda *_: next(count))
    try:
        desk.spending.wallet_view(desk.key(), desk.now)
    finally:
        sys.setprofile(None)
    return next(count)


def test_t43_what_is_left_is_read_in_as_many_steps_after_a_thousand_calls_as_after_one(ada):
    ada.call(input=1, output=1)
    looks(ada)
    after_one = looks(ada)
    for _ in range(1_000):
        ada.call(input=1, output=1)
    assert looks(ada) == after_one


def one_call_a_day(scope: str, subject: int = 0, **about: str) -> LimitTerms:
    return LimitTerms(
        id=1, name="one-a-day", scope=scope, subject_id=subject, scope_text="somebody", model=about.get("model", ""), tag=about.get("tag", ""),
        window="day", window_seconds=0, zone="UTC", measure="calls", cap=1, enforcement="enforce", degrade="deny", cheaper_model="",
        overage=0, effective_at=0, expires_at=0, overrides=[], counters=[],
    )  # fmt: skip


def test_t44_a_limit_on_a_model_counts_it_under_every_name(tmp_path):
    """The client says `fast`, the deployment asks for `sonnet`, the card also knows `sonnet-2026`: one model, one limit."""
    card = make_card(aliases=("sonnet-2026",))
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)), cards=(card,))
    desk.spending.apply_view(View([], [], {}, True, limits=[one_call_a_day("model", model="sonnet")]))
    first = desk.admit(make_facts(model="fast"), deployment=Deployment("sim", "anthropic", model="sonnet"))
    assert isinstance(first, HotHold)
    second = desk.admit(make_facts(model="sonnet-2026"))
    assert isinstance(second, Denial)
    assert second.code == "limit_reached"


SCOPES = {"company": 0, "department": 5, "member": 1, "key": 1, "model": 0, "tag": 0}


@pytest.mark.parametrize("dialect", DIALECTS, ids=[one.name for one in DIALECTS])
@pytest.mark.parametrize("scope", SCOPES)
def test_t45_every_scope_is_asked_at_every_endpoint(tmp_path, scope, dialect):
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)), keys=(key(1, ADA_KEY, 1, department_ids=[5]),))
    about = {"model": "sonnet"} if scope == "model" else {"tag": "april"} if scope == "tag" else {}
    desk.spending.apply_view(View([], [], {}, True, limits=[one_call_a_day(scope, SCOPES[scope], **about)]))
    facts = make_facts()
    answers = [
        desk.spending.admit(
            desk.key(),
            dialect,
            facts,
            desk.now,
            deployment=Deployment("sim", "anthropic"),
            tags="april",
            may_wait=False,
        )
        for _ in range(2)
    ]
    assert isinstance(answers[0], HotHold)
    assert isinstance(answers[1], Denial)
    assert answers[1].code == "limit_reached"
