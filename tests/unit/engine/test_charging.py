import pytest

from tests.cast import CREDIT, DAY, T0, make_card, make_state
from tokenroll.engine.charging import ChargeLot, Told, Uncharged, charge_slices, credits_of, grown_nanos
from tokenroll.engine.rating import rate_attos
from tokenroll.model.hold import Slice
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import Meter, Usage

ATTOS = 1_000_000_000
CARD = make_card(
    list_prices={"standard": RateTable(base={Meter.INPUT: 3_000 * ATTOS, Meter.OUTPUT: 15_000 * ATTOS})},
    internal_prices={"standard": RateTable(base={Meter.INPUT: 1_000 * ATTOS, Meter.OUTPUT: 5_000 * ATTOS})},
)
USED = Usage(input_tokens=100, output_tokens=20)


def told(**changes):
    facts = Told(
        source="claude-code", billing="metered", currency="USD", service_tier="standard", usage=USED,
        list_cost_nanos=600_000, is_sum=False,
    )  # fmt: skip
    return facts._replace(**changes)


def test_counts_that_nobody_told_have_no_price_and_none_that_are_told_cost_nothing():
    untold = Usage(input_tokens=None, output_tokens=None)
    assert credits_of(told(usage=untold, list_cost_nanos=0), None) is Uncharged.PRICE
    assert credits_of(told(usage=untold, list_cost_nanos=7), None) == 7
    assert credits_of(told(usage=Usage(input_tokens=0, output_tokens=0), list_cost_nanos=0), None) == 0


def test_the_companys_own_price_counts_and_the_list_where_it_has_none():
    assert credits_of(told(), CARD) == 200_000
    assert credits_of(told(), None) == 600_000
    assert credits_of(told(service_tier="priority"), CARD) == 200_000


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"source": "gateway"}, Uncharged.GATEWAY),
        ({"billing": "seat"}, Uncharged.SEAT),
        ({"currency": "EUR"}, Uncharged.CURRENCY),
        ({"list_cost_nanos": None}, Uncharged.PRICE),
        ({"list_cost_nanos": -5}, Uncharged.PRICE),
    ],
)
def test_what_is_not_charged_says_why(changes, why):
    assert credits_of(told(**changes), None) is why


def test_a_seat_is_charged_when_that_is_asked_for():
    assert credits_of(told(billing="seat"), CARD, seats=True) == 200_000


def test_a_bill_without_usage_is_never_free_on_a_card():
    bill = told(usage=Usage(), list_cost_nanos=None)
    assert credits_of(bill, CARD) is Uncharged.PRICE
    assert credits_of(told(usage=Usage()), CARD) == 600_000


def test_what_the_card_has_no_price_for_is_not_charged_at_another():
    assert rate_attos(CARD.internal_prices["standard"].base, Meter.INPUT_AUDIO) is None
    assert credits_of(told(usage=Usage(input_audio_tokens=5)), CARD) is Uncharged.PRICE


def test_sums_of_many_calls_are_no_long_context():
    base = CARD.internal_prices["standard"].base
    tiered = RateTable(base=base, tiers=(RateTier(input_tokens_above=50, rates={Meter.INPUT: 9_000 * ATTOS}),))
    card = make_card(list_prices={"standard": tiered}, internal_prices={"standard": tiered})
    assert credits_of(told(), card) == 1_000_000  # one call of 100 tokens is long: 100 × 9,000 + 20 × 5,000
    assert credits_of(told(is_sum=True), card) == 600_000  # as its source told it
    own = make_card(list_prices=CARD.list_prices, internal_prices={"standard": tiered})
    assert credits_of(told(is_sum=True), own) is Uncharged.PRICE
    short = told(is_sum=True, usage=Usage(input_tokens=50, output_tokens=0))
    assert credits_of(short, own) == 50_000


@pytest.mark.parametrize(("total", "before", "new"), [(5, 0, 5), (5, 5, 0), (4, 5, 0), (9, 5, 4)])
def test_only_growth_is_new(total, before, new):
    assert grown_nanos(total, before) == new


def lot(lot_id, left=10 * CREDIT, *, booked_at=T0 + DAY, received_at=None, **facts):
    state = make_state(id=lot_id, amount_nanos=100 * CREDIT, **{"priority": 1} | facts)
    return ChargeLot(state=state, left_nanos=left, booked_at=booked_at, received_at=received_at)


def test_lots_pay_in_draw_order_and_one_wallet_after_the_other():
    own = [lot(2, CREDIT), lot(1, 2 * CREDIT, expires_at=T0 + 30 * DAY)]
    pool = [lot(3, 9 * CREDIT, priority=0)]
    assert charge_slices([own, pool], 5 * CREDIT, T0 + DAY) == (
        (Slice(1, 2 * CREDIT), Slice(2, CREDIT), Slice(3, 2 * CREDIT)), 0,
    )  # fmt: skip
    assert charge_slices([own], 5 * CREDIT, T0 + DAY)[1] == 2 * CREDIT


@pytest.mark.parametrize(
    ("one", "pays"),
    [
        (lot(1), True),
        (lot(1, effective_at=T0 + 2 * DAY), False),
        (lot(1, expires_at=T0 + DAY), False),
        (lot(1, expires_at=T0 + 2 * DAY), True),
        (lot(1, expires_at=T0 + 2 * DAY, booked_at=T0 + 2 * DAY), False),
        (lot(1, received_at=T0 + DAY), True),
        (lot(1, received_at=T0 + DAY + 1), False),
        (lot(1, 0), False),
        (lot(1, -5), False),
    ],
)
def test_a_lot_pays_what_it_could_have_paid_then_and_still_can(one, pays):
    assert one.pays(T0 + DAY) is pays
