"""Admission and settlement: what a worker decides for each call, to the nano."""

import struct
from functools import partial
from typing import Any

import pytest

from tests.cast import BO_WALLET, CREDIT, DAY, HOUR, POOL_WALLET, SONNET_RATES, T0, make_card
from tests.desk import (
    ADA_KEY,
    BO_KEY,
    BOUND,
    SIM,
    Desk,
    card_terms,
    hold_slices,
    key,
    lot,
    make_facts,
    make_meter,
    make_silent_meter,
    wallet,
)
from tokenroll.model.hold import ReleaseReason, Slice
from tokenroll.model.identifier import HoldKey, hold_key_from_call
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import Meter
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.protocol import ClientCallTerms, Delta, Lease, LotChange, ProtocolError, View
from tokenroll.store import tape as tapes
from tokenroll.store.tape import Finish, RecordType
from tokenroll.upstream.dialect import Denial


@pytest.fixture
def ada(tmp_path):
    """Ada has one credit in one lot."""
    return Desk(tmp_path, wallet(lot(1, CREDIT)))


# ---- keys ---------------------------------------------------------------------------------------------------------


def test_it_knows_a_key_by_its_hash_alone(ada):
    found = ada.spending.key_for(ADA_KEY, T0)
    assert (found.id, found.wallet.name) == (1, "Ada")
    assert ada.spending.key_for(b"tr-mallory", T0) is None
    assert ada.spending.key_for(ADA_KEY, T0) is found


def test_it_forgets_a_revoked_key_at_once(ada):
    assert ada.spending.key_for(ADA_KEY, T0) is not None
    assert ada.spending.apply_delta(Delta(1, [], [], [key(1, ADA_KEY, 1, revoked=True)], [], {}))
    assert ada.spending.key_for(ADA_KEY, T0) is None


def test_it_stops_an_expired_key_at_its_instant(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), keys=(key(1, ADA_KEY, 1, expires_at=T0 + HOUR),))
    assert desk.spending.key_for(ADA_KEY, T0 + HOUR - 1) is not None
    assert desk.spending.key_for(ADA_KEY, T0 + HOUR) is None


def test_an_admin_key_is_told_apart(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), keys=(key(1, ADA_KEY, 1, scope="admin"),))
    assert desk.key().is_admin


# ---- bounds -------------------------------------------------------------------------------------------------------


def test_it_bounds_a_call_at_the_dearest_input_rate_and_its_cap(ada):
    hold = ada.admit()
    # 1,000 bytes and 16 for the message at 6 credits a million (1-hour cache writes), 100 at 15: 0.006096 + 0.0015
    assert hold.bound_nanos == 7_596_000
    assert hold.slices == [Slice(1, 7_596_000)]
    assert ada.available() == 992_404_000
    assert hold.available_after_nanos == 992_404_000


def test_it_bounds_tools_messages_and_choices(ada):
    hold = ada.admit(make_facts(message_count=3, has_tools=True, tool_count=2, choice_count=4))
    # 1,000 + 3 x 16 + 512 + 2 x 32 = 1,624 tokens x 6,000 nanos + 4 x 100 x 15,000 nanos
    assert hold.bound_nanos == 9_744_000 + 6_000_000


def test_it_bounds_provider_side_searches_by_the_context_window(ada):
    hold = ada.admit(make_facts(web_search_max=2, server_tool_uses_max=2))
    # each of 3 passes may read 200,000 tokens at 6,000 nanos; 2 searches at 0.01; 100 tokens out: 3.6 + 0.02 + 0.0015
    assert isinstance(hold, Denial)
    assert hold.needed_nanos == 3_621_500_000


def test_it_refuses_searches_that_the_card_does_not_price(tmp_path):
    rates: dict[Meter, int] = {meter: rate for meter, rate in SONNET_RATES.items() if meter is not Meter.WEB_SEARCH}
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(RateTable(base=rates)),))
    assert desk.admit(make_facts(web_search_max=1, server_tool_uses_max=1)).code == "call_not_bounded"


def test_it_bounds_at_the_dearest_context_length(tmp_path):
    steps = RateTable(base=SONNET_RATES, tiers=(RateTier(input_tokens_above=200_000, rates={Meter.OUTPUT: 10**14}),))
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(steps),))
    assert desk.admit().bound_nanos == 6_096_000 + 100 * 100_000


def test_it_refuses_an_unknown_model_and_never_serves_it_free(ada):
    denial = ada.admit(make_facts(model="gpt-unheard-of"))
    assert (denial.code, denial.model) == ("unknown_model", "gpt-unheard-of")
    assert "never free" in denial.sentence()
    assert not ada.records()


def test_it_refuses_a_tier_that_is_not_sold(ada):
    assert ada.admit(make_facts(service_tier="flex")).code == "tier_not_sold"


def test_an_unnamed_tier_is_bounded_at_the_deployments_and_pinned_if_asked(tmp_path):
    prices = {
        "standard": RateTable(base=SONNET_RATES),
        "priority": RateTable(base={meter: 2 * rate for meter, rate in SONNET_RATES.items()}),
    }
    card = make_card(list_prices=prices, net_prices=prices, internal_prices=prices)
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(card,))
    assert desk.admit().bound_nanos == BOUND
    dear = desk.admit(deployment=SIM._replace(service_tier="priority", pin_tier=True))
    assert (dear.bound_nanos, dear.service_tier) == (2 * BOUND, "priority")
    asked = desk.admit(
        make_facts(service_tier="standard"), deployment=SIM._replace(service_tier="priority", pin_tier=True)
    )
    assert (asked.bound_nanos, asked.service_tier) == (BOUND, None)


def test_a_later_card_takes_over_at_its_date(tmp_path):
    cheaper = RateTable(base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12})
    later = make_card(cheaper, id=2, effective_at=T0 + DAY)
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(), later))
    assert desk.admit().card.id == 1
    desk.now = T0 + DAY
    hold = desk.admit()
    assert (hold.card.id, hold.bound_nanos) == (2, 1_116_000)


# ---- caps ---------------------------------------------------------------------------------------------------------


def test_it_names_a_cap_when_the_client_named_none(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    hold = desk.admit(make_facts(output_cap_tokens=0))
    assert (hold.output_cap_tokens, hold.cap_changed) == (16_384, True)
    assert hold.bound_nanos == 6_096_000 + 16_384 * 15_000


def test_an_injected_cap_takes_at_most_a_quarter_of_what_is_left(ada):
    hold = ada.admit(make_facts(output_cap_tokens=0))
    # a quarter is 0.25; without the input's 0.006096 it affords 0.243904 / 0.000015 = 16,260 tokens
    assert hold.output_cap_tokens == 16_260
    assert hold.bound_nanos == 6_096_000 + 16_260 * 15_000


def test_an_injected_cap_is_the_models_maximum_at_most(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)), cards=(make_card(output_tokens_max=4_096),))
    assert desk.admit(make_facts(output_cap_tokens=0)).output_cap_tokens == 4_096


def test_an_injected_cap_is_not_below_the_floor(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 10_000_000)))
    hold = desk.admit(make_facts(output_cap_tokens=0))
    assert (hold.output_cap_tokens, hold.bound_nanos) == (256, 6_096_000 + 256 * 15_000)
    assert desk.admit(make_facts(output_cap_tokens=0)).code == "wallet_empty"


def test_an_injected_cap_is_above_a_thinking_budget(ada):
    hold = ada.admit(make_facts(output_cap_tokens=0, thinking_budget_tokens=20_000))
    assert hold.output_cap_tokens == 20_001


def test_without_any_known_maximum_a_call_without_a_cap_is_refused(tmp_path):
    desk = Desk(
        tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(output_tokens_max=None, context_window_tokens=None),)
    )
    assert desk.admit(make_facts(output_cap_tokens=0)).code == "call_not_bounded"
    assert isinstance(desk.admit(), HotHold)


def test_a_cap_that_does_not_fit_is_denied_and_told_what_would(ada):
    denial = ada.admit(make_facts(output_cap_tokens=100_000))
    assert (denial.code, denial.fitting_cap_tokens) == ("wallet_empty", 66_260)
    assert "It would fit with an output cap of 66260 tokens." in denial.sentence()


def test_a_plan_may_clamp_a_cap_that_does_not_fit(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), cap_policy="clamp"))
    hold = desk.admit(make_facts(output_cap_tokens=100_000))
    # 1 - 0.006096 = 0.993904 affords 66,260 tokens
    assert (hold.output_cap_tokens, hold.cap_changed) == (66_260, True)
    assert hold.bound_nanos == 6_096_000 + 66_260 * 15_000


def test_a_cap_is_never_clamped_to_a_thinking_budget(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), cap_policy="clamp"))
    assert desk.admit(make_facts(output_cap_tokens=100_000, thinking_budget_tokens=66_260)).code == "wallet_empty"


# ---- draw order, dates, pool --------------------------------------------------------------------------------------


def test_it_draws_by_priority_then_expiry_then_age_then_id(tmp_path):
    desk = Desk(
        tmp_path,
        wallet(
            lot(1, 1_000_000, priority=50),
            lot(2, 1_000_000),
            lot(3, 1_000_000, expires_at=T0 + 2 * DAY),
            lot(4, 1_000_000, expires_at=T0 + DAY),
            lot(5, 1_000_000, effective_at=T0 - DAY),
            lot(6, 10_000_000, priority=200),
        ),
    )
    hold = desk.admit()
    assert hold.slices == [
        Slice(1, 1_000_000), Slice(4, 1_000_000), Slice(3, 1_000_000), Slice(5, 1_000_000), Slice(2, 1_000_000),
        Slice(6, 2_596_000),
    ]  # fmt: skip


def test_vesting_and_expiry_need_no_timer(tmp_path):
    desk = Desk(
        tmp_path,
        wallet(lot(1, CREDIT, expires_at=T0 + DAY), lot(2, 2 * CREDIT, effective_at=T0 + DAY, expires_at=T0 + 2 * DAY)),
    )
    assert desk.available() == CREDIT
    desk.now = T0 + DAY - 1
    assert desk.admit().lots[0].id == 1
    desk.now = T0 + DAY
    assert desk.admit().lots[0].id == 2
    desk.now = T0 + 2 * DAY
    assert desk.admit().code == "wallet_empty"


def test_a_tail_that_returns_to_an_expired_lot_is_not_spendable(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 8_000_000, expires_at=T0 + DAY)))
    hold = desk.admit()
    desk.dispatch(hold)
    desk.now = T0 + DAY
    assert desk.settle(hold, input=100, output=10) == 450_000
    assert desk.spending.wallets[1].lots[1].left_nanos == 7_550_000
    assert desk.available() == 0
    assert desk.admit().code == "wallet_empty"


def test_own_lots_are_drawn_before_the_pools(tmp_path):
    desk = Desk(
        tmp_path, wallet(lot(1, 5_000_000)), wallet(lot(9, CREDIT, priority=0), id=POOL_WALLET, name="Research")
    )
    hold = desk.admit()
    assert hold.slices == [Slice(1, 5_000_000), Slice(9, 2_596_000)]
    desk.dispatch(hold)
    assert desk.settle(hold, input=1_000, output=150) == 5_250_000
    assert (desk.available(), desk.available(POOL_WALLET)) == (0, 999_750_000)


def test_a_call_from_too_many_small_lots_is_refused_and_takes_nothing(tmp_path):
    desk = Desk(tmp_path, wallet(*(lot(number, 10_000) for number in range(1, 800))))
    assert desk.admit().code == "too_many_lots"
    assert (desk.available(), desk.spending.wallets[1].held_nanos) == (7_990_000, 0)
    assert not desk.records()


# ---- denials, observe, overage, waiting ------------------------------------------------------------------------------


def test_observe_lets_the_company_carry_what_too_many_lots_hold(tmp_path):
    desk = Desk(tmp_path, wallet(*(lot(number, 10_000) for number in range(1, 800)), enforcement="observe"))
    hold = desk.admit()
    assert (len(hold.slices), hold.slices[-1], hold.would_deny) == (255, Slice(0, BOUND - 2_540_000), True)


def test_a_denial_says_scope_needed_left_when_and_who(tmp_path):
    desk = Desk(
        tmp_path,
        wallet(lot(1, 5_000_000), lot(2, CREDIT, effective_at=T0 + DAY), lot(3, CREDIT, effective_at=T0 + DAY)),
        settings={"approver": "Bo"},
    )
    assert desk.admit().sentence() == (
        "The wallet Ada has 0.005000000 credits left, and this call may cost up to 0.007596000. "
        "2.000000000 more credits arrive at 2024-01-02T00:00:00Z. A top-up can be approved by Bo."
    )
    assert not desk.records()


def test_admitted_calls_are_exactly_what_the_wallet_affords(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 10 * BOUND + BOUND - 1)))
    answers = [desk.admit() for _ in range(200)]
    assert sum(isinstance(one, HotHold) for one in answers) == 10
    assert sum(isinstance(one, Denial) for one in answers) == 190
    assert desk.available() == BOUND - 1


def test_observe_refuses_nobody_and_books_the_excess_to_the_company(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), enforcement="observe"))
    hold = desk.admit()
    assert hold.would_deny
    assert hold.slices == [Slice(1, 5_000_000), Slice(0, 2_596_000)]
    kind, record = desk.records()[-1]
    fields = tapes.HOLD.unpack_from(record)
    assert (kind, fields[1] & tapes.HOLD_WOULD_DENY, fields[11]) == (RecordType.HOLD, tapes.HOLD_WOULD_DENY, BOUND)
    desk.dispatch(hold)
    assert desk.settle(hold, input=1_000, output=50) == 3_750_000
    assert desk.available() == 1_250_000
    assert desk.spending.wallets[1].overage_left_nanos == 0


def test_observe_does_not_shorten_answers_for_an_empty_wallet(tmp_path):
    desk = Desk(tmp_path, wallet(enforcement="observe"))
    hold = desk.admit(make_facts(output_cap_tokens=0))
    assert (hold.output_cap_tokens, hold.slices) == (16_384, [Slice(0, 251_856_000)])


def test_an_overage_limit_lets_the_company_carry_just_that_much(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), overage_nanos_left=10_000_000))
    first = desk.admit()
    assert (first.slices, first.would_deny) == ([Slice(1, 5_000_000), Slice(0, 2_596_000)], False)
    assert desk.admit().code == "wallet_empty"  # 7.404 of overage are left, 7.596 are needed
    desk.dispatch(first)
    assert desk.settle(first, input=2_000) == 6_000_000
    assert desk.spending.wallets[1].overage_left_nanos == 9_000_000


def test_what_the_company_carried_counts_against_its_limit(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, BOUND), overage_nanos_left=10_000_000))
    hold = desk.admit()
    desk.dispatch(hold)
    assert desk.settle(hold, input=4_000) == 12_000_000
    assert desk.spending.wallets[1].overage_left_nanos == 10_000_000 - 12_000_000 + BOUND


def test_a_new_overage_limit_applies_beside_what_is_held(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), overage_nanos_left=3_000_000))
    hold = desk.admit()
    desk.spending.apply_delta(Delta(1, [wallet(overage_nanos_left=20_000_000)], [], [], [], {}))
    assert desk.spending.wallets[1].overage_left_nanos == 20_000_000 - 2_596_000
    assert isinstance(desk.admit(), HotHold)
    desk.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    assert desk.spending.wallets[1].overage_left_nanos == 20_000_000 - BOUND
    lapsed = desk.admit()
    desk.dispatch(lapsed)
    desk.spending.lapse(lapsed, make_meter(), T0, Finish.TIMED_OUT)
    assert desk.spending.wallets[1].overage_held_nanos == BOUND


def test_a_call_waits_only_when_parallel_holds_could_free_enough(ada):
    hold = ada.admit(make_facts(output_cap_tokens=66_000))
    waiting = ada.admit(make_facts(output_cap_tokens=1_000), may_wait=True)
    assert isinstance(waiting, Wait)
    assert isinstance(ada.admit(make_facts(output_cap_tokens=70_000), may_wait=True), Denial)
    woken = []
    ada.spending.wait(waiting, lambda: woken.append("ada"))
    ada.dispatch(hold)
    assert not woken
    ada.settle(hold, input=10)
    assert woken == ["ada"]
    assert isinstance(ada.admit(make_facts(output_cap_tokens=1_000)), HotHold)


def test_waiting_calls_are_woken_in_their_order_and_no_more_than_fit(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 2 * BOUND)))
    holds = [desk.admit(), desk.admit()]
    woken: list[int] = []
    waits = [desk.admit(may_wait=True) for _ in range(3)]
    for number, one in enumerate(waits):
        desk.spending.wait(one, partial(woken.append, number))
    desk.spending.forget(waits[0])
    desk.spending.release(holds[0], ReleaseReason.NOT_SENT, T0)
    assert woken == [1]
    desk.spending.apply_delta(Delta(1, [], [LotChange(1, 2, 0, lot(2, CREDIT))], [], [], {}))
    desk.available()
    desk.spending.release(holds[1], ReleaseReason.NOT_SENT, T0)
    assert woken == [1, 2]


def test_a_member_without_a_wallet_is_not_charged_to_nobody(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), keys=(key(1, ADA_KEY, 0),))
    assert desk.admit().code == "not_ready"


def test_an_expired_lease_admits_nothing(ada):
    ada.spending.apply_lease(Lease([], T0 + HOUR, 5, True))
    assert isinstance(ada.admit(), HotHold)
    ada.now = T0 + HOUR
    assert ada.admit().code == "not_ready"


# ---- settlement ---------------------------------------------------------------------------------------------------


def test_a_settlement_takes_the_charge_and_returns_the_tail(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    # 900 x 3,000 + 100 x 300 + 50 x 15,000 nanos
    assert ada.settle(hold, input=900, cache_read=100, output=50, request=1) == 3_480_000
    assert ada.available() == CREDIT - 3_480_000
    assert (ada.spending.wallets[1].held_nanos, ada.spending.wallets[1].spent_nanos) == (0, 3_480_000)
    assert not ada.spending.open_holds


def test_a_settlement_rounds_once_and_halves_to_even(tmp_path):
    table = RateTable(base={Meter.INPUT: 5 * 10**8, Meter.OUTPUT: 5 * 10**8})
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(table),))
    assert desk.call(input=1, output=0) == 0  # half a nano goes to the even 0
    assert desk.call(input=1, output=1) == 1
    assert desk.call(input=3, output=0) == 2  # one and a half go to the even 2


def test_a_charge_above_the_hold_is_the_companys(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    assert ada.settle(hold, input=10_000) == 30_000_000
    assert ada.available() == CREDIT - BOUND
    assert ada.spending.wallets[1].spent_nanos == BOUND


def test_a_long_context_changes_the_whole_calls_rates(tmp_path):
    steps = RateTable(
        base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12},
        tiers=(RateTier(input_tokens_above=200, rates={Meter.INPUT: 2 * 10**12, Meter.OUTPUT: 3 * 10**12}),),
    )
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(steps),))
    assert desk.call(input=150, cache_read=50, output=10) == 210_000
    assert desk.call(input=150, cache_read=51, output=10) == 432_000


def test_list_and_net_prices_are_told_beside_the_internal_one(tmp_path):
    def table(factor):
        return {"standard": RateTable(base={Meter.INPUT: factor * 10**12, Meter.OUTPUT: factor * 10**12})}

    card = make_card(internal_prices=table(1), list_prices=table(3), net_prices=table(2))
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(card,))
    assert desk.call(input=100, output=10) == 110_000
    fields = tapes.SETTLE.unpack_from(desk.records()[-1][1])
    assert fields[6:9] == (110_000, 330_000, 220_000)


def test_the_tier_that_answered_decides_the_price(tmp_path):
    prices = {
        "standard": RateTable(base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12}),
        "flex": RateTable(base={Meter.INPUT: 5 * 10**11, Meter.OUTPUT: 5 * 10**11}),
    }
    desk = Desk(
        tmp_path,
        wallet(lot(1, CREDIT)),
        cards=(make_card(list_prices=prices, net_prices=prices, internal_prices=prices),),
    )
    hold = desk.admit()
    desk.dispatch(hold)
    meter = make_meter(input=100, output=10)
    meter.service_tier = "flex"
    assert desk.spending.settle(hold, meter, T0, 200, Finish.COMPLETE) == 55_000
    assert tapes.SETTLE.unpack_from(desk.records()[-1][1])[12] == 2
    hold = desk.admit()
    desk.dispatch(hold)
    meter.service_tier = "priority"  # a tier that the card does not sell: the hold's own stands
    assert desk.spending.settle(hold, meter, T0, 200, Finish.COMPLETE) == 110_000


def test_a_meter_without_a_price_is_never_free(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    # 10 audio tokens that the card does not price, at the dearest rate of the bound: 15,000 nanos each
    assert ada.settle(hold, input=10, output=0, output_audio=10) == 180_000
    assert tapes.SETTLE.unpack_from(ada.records()[-1][1])[10] == tapes.TapeSource.ESTIMATED


def test_an_aborted_call_pays_the_evidence_and_says_estimated(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    meter = make_silent_meter()
    meter.output_events = 12
    # 1,000 bytes are about 250 tokens in; 12 events are at least 12 tokens out: 250 x 3,000 + 12 x 15,000
    assert ada.spending.settle(hold, meter, T0, 200, Finish.CLIENT_GONE) == 930_000
    fields = tapes.SETTLE.unpack_from(ada.records()[-1][1])
    assert (fields[10], fields[11]) == (tapes.TapeSource.ESTIMATED, Finish.CLIENT_GONE)


def test_an_estimate_is_never_above_what_was_bounded(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    meter = make_silent_meter(delivered_bytes=10_000_000)
    meter.output_events = 5_000
    assert ada.spending.settle(hold, meter, T0, 200, Finish.UPSTREAM_CUT) == 750_000 + 100 * 15_000


def test_a_hold_ends_once(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    ada.settle(hold, input=10)
    left = ada.available()
    for again in (
        lambda: ada.settle(hold, input=10),
        lambda: ada.spending.release(hold, ReleaseReason.PROVIDER_ERROR, T0, 500),
        lambda: ada.spending.lapse(hold, make_meter(), T0, Finish.TIMED_OUT),
    ):
        with pytest.raises(AssertionError, match="has ended before: it is settled"):
            again()
    assert ada.available() == left


def test_a_hold_that_was_never_dispatched_cannot_cost(ada):
    hold = ada.admit()
    with pytest.raises(AssertionError, match="was never dispatched"):
        ada.settle(hold, input=1)


def test_only_law_five_releases(ada):
    sent, unsent = ada.admit(), ada.admit()
    ada.dispatch(sent)
    with pytest.raises(AssertionError, match="cannot be released as not_sent"):
        ada.spending.release(sent, ReleaseReason.NOT_SENT, T0)
    with pytest.raises(AssertionError, match="cannot be released as provider_error"):
        ada.spending.release(unsent, ReleaseReason.PROVIDER_ERROR, T0, 500)
    ada.spending.release(sent, ReleaseReason.PROVIDER_ERROR, T0, 529)
    ada.spending.release(unsent, ReleaseReason.NOT_SENT, T0)
    assert ada.available() == CREDIT


def test_a_lapse_keeps_the_money_in_suspense(ada):
    hold = ada.admit()
    ada.dispatch(hold)
    ada.spending.evidence(hold, make_silent_meter(), T0)
    ada.spending.lapse(hold, make_silent_meter(), T0, Finish.TIMED_OUT)
    mine = ada.spending.wallets[1]
    assert (ada.available(), mine.held_nanos, mine.suspense_nanos) == (CREDIT - BOUND, 0, BOUND)
    assert [kind for kind, _ in ada.records()][-2:] == [RecordType.EVIDENCE, RecordType.LAPSE]


# ---- the tape -----------------------------------------------------------------------------------------------------


def test_the_tape_tells_a_call_from_hold_to_settlement(ada):
    ada.now = T0 + 5
    hold = ada.admit(make_facts(stream=True), call_id=b"job-1")
    ada.dispatch(hold)
    hold.first_byte_at = T0 + 7
    meter = make_meter(input=10, output=2, request=1)
    meter.answered_model = "sonnet"
    meter.provider_request_id = "req_1"
    meter.delivered_output_bytes = 345
    ada.now = T0 + 9
    ada.spending.settle(hold, meter, T0 + 9, 200, Finish.COMPLETE)
    records = ada.records()
    assert [kind for kind, _ in records] == [
        RecordType.NAME, RecordType.NAME, RecordType.NAME, RecordType.HOLD, RecordType.DISPATCHED, RecordType.NAME,
        RecordType.SETTLE,
    ]  # fmt: skip
    names = {
        struct.unpack_from("<I", record, 4)[0]: record[8:].decode()
        for kind, record in records
        if kind == RecordType.NAME
    }
    held = tapes.HOLD.unpack_from(records[3][1])
    assert held[1:5] == (tapes.HOLD_STREAM, len(records[3][1]), 1, 1)
    assert hold.sequence == 4
    assert int.from_bytes(held[5], "big") == hold.call_number
    assert held[6:12] == (1, 1, 1, T0 + 5, BOUND, 0)
    assert [names[number] if number else "" for number in held[12:16]] == ["sonnet", "sim", "", "job-1"]
    assert held[16:] == (100, 1_000, 1, 0)
    assert hold_slices(records[3][1]) == [Slice(1, BOUND)]
    assert struct.unpack_from("<qQ", records[4][1], 4) == (T0 + 5, 4)
    settled = tapes.SETTLE.unpack_from(records[6][1])
    assert settled[3:10] == (4, T0 + 9, T0 + 7, 60_000, 60_000, 60_000, 345)
    assert settled[10:16] == (tapes.TapeSource.REPORTED, Finish.COMPLETE, 0, 0, 200, 0)
    assert [names[number] for number in settled[16:]] == ["sonnet", "req_1"]
    assert tapes.unpack_counts(records[6][1], tapes.SETTLE.size, 15) == (
        10,
        *[None] * 5,
        2,
        *[None] * 3,
        1,
        *[None] * 4,
    )


def test_one_record_dispatches_a_whole_group(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    holds = [desk.admit() for _ in range(10_000)]
    desk.records()
    desk.dispatch(*holds)
    records = desk.records()
    sequences = [
        one for _, record in records for (one,) in struct.iter_unpack("<Q", record[tapes.DISPATCHED_HEAD.size :])
    ]
    assert sequences == [hold.sequence for hold in holds]
    assert len(records) == 2  # a record's length has 16 bits
    with pytest.raises(AssertionError, match="cannot be dispatched again"):
        desk.dispatch(holds[0])


def test_recorded_instants_never_go_back(ada):
    ada.now = T0 + HOUR
    first = ada.admit()
    ada.now = T0
    second = ada.admit()
    assert (first.admitted_at, second.admitted_at) == (T0 + HOUR, T0 + HOUR)


def test_a_call_id_holds_its_own_key_and_a_retry_keeps_it(ada):
    hold = ada.admit()
    assert hold_key_from_call(hold.call_id) == HoldKey(1, 7, hold.sequence)
    ada.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    retry = ada.admit(previous=hold)
    assert (retry.call_id, retry.attempt) == (hold.call_id, 2)
    assert retry.sequence != hold.sequence
    view: Any = ada.spending.call_view(ada.key(), hold.call_id)
    assert [(one["attempt"], one["state"]) for one in view["attempts"]] == [(1, "released"), (2, "held")]


# ---- client call ids ------------------------------------------------------------------------------------------------


def test_a_repeated_client_call_id_is_never_dispatched_again(ada):
    hold = ada.admit(call_id=b"job-1")
    running = ada.admit(call_id=b"job-1")
    assert (running.code, running.state) == ("call_repeated", "still running")
    ada.dispatch(hold)
    ada.settle(hold, input=1_000)
    repeated = ada.admit(call_id=b"job-1")
    assert (repeated.state, repeated.cost_nanos) == ("settled", 3_000_000)
    assert "It cost 0.003000000 credits." in repeated.sentence()
    assert ada.available() == CREDIT - 3_000_000


def test_client_call_ids_are_one_keys_own(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), wallet(lot(2, CREDIT), id=BO_WALLET, name="Bo"))
    first = desk.admit(call_id=b"job-1")
    assert isinstance(desk.admit(secret=BO_KEY, call_id=b"job-1"), HotHold)
    assert desk.spending.call_view(desk.key(BO_KEY), first.call_id) is None
    mine: Any = desk.spending.call_view(desk.key(), "job-1")
    assert mine["id"] == first.call_id


def test_it_remembers_a_bounded_number_of_calls(tmp_path, monkeypatch):
    monkeypatch.setattr("tokenroll.services.call_memory.CALLS_REMEMBERED_MAX", 10)
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    mine = desk.key()
    calls = []
    for number in range(25):
        hold = desk.admit(call_id=f"job-{number}".encode())
        desk.spending.release(hold, ReleaseReason.NOT_SENT, T0)
        calls.append(hold.call_id)
        known = [one for one in calls if desk.spending.call_view(mine, one)]
        assert known == calls[-10:]
    newest: Any = desk.spending.call_view(mine, "job-24")
    assert newest["attempts"][0]["state"] == "released"
    assert desk.spending.call_view(mine, "job-3") is None
    # its whole story is the ledger's to tell, but it is still never sent again
    assert desk.admit(call_id=b"job-3").state == "released without a charge"
    assert desk.spending.call_view(mine, "nonsense") is None


def test_ids_of_an_earlier_life_are_never_sent_again(ada):
    told = [ClientCallTerms(1, "job-1", "settled", 3_000_000), ClientCallTerms(1, "job-2", "suspense", 0)]
    ada.spending.apply_view(View([], [], {}, True, told))
    first, second = ada.admit(call_id=b"job-1"), ada.admit(call_id=b"job-2")
    assert (first.code, first.state, first.cost_nanos) == ("call_repeated", "settled", 3_000_000)
    assert (second.code, second.state, second.cost_nanos) == ("call_repeated", "being checked", None)


def test_client_ids_are_bounded_but_running_calls_are_not_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("tokenroll.services.call_memory.CLIENT_CALL_IDS_REMEMBERED_MAX", 5)
    desk = Desk(tmp_path, wallet(lot(1, 100 * CREDIT)))
    running = desk.admit(call_id=b"running")
    for number in range(20):
        hold = desk.admit(call_id=f"job-{number}".encode())
        desk.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    assert desk.admit(call_id=b"running").state == "still running"
    assert desk.admit(call_id=b"job-19").code == "call_repeated"
    assert isinstance(desk.admit(call_id=b"job-0"), HotHold)
    assert running.state == "held"


# ---- leases and deltas ----------------------------------------------------------------------------------------------


def test_a_delta_is_applied_once_and_in_order(ada):
    top_up = Delta(1, [], [LotChange(1, 2, 0, lot(2, 5 * CREDIT))], [], [], {})
    assert ada.spending.apply_delta(top_up)
    assert not ada.spending.apply_delta(top_up)
    assert ada.available() == 6 * CREDIT
    with pytest.raises(ProtocolError, match="expected delta 2, got 3"):
        ada.spending.apply_delta(Delta(3, [], [], [], [], {}))


def test_a_resolved_suspense_and_a_clawback_change_a_lot(ada):
    hold = ada.admit()
    assert ada.spending.apply_delta(Delta(1, [], [LotChange(1, 1, 500, None)], [], [], {}))
    assert ada.available() == CREDIT - BOUND + 500
    # a clawback of more than is there: what is out in holds is owed, and the first return pays it
    assert ada.spending.apply_delta(Delta(2, [], [LotChange(1, 1, -CREDIT, None)], [], [], {}))
    assert ada.available() == 0
    ada.dispatch(hold)
    ada.settle(hold, input=100)
    assert ada.available() == 0
    assert ada.spending.wallets[1].lots[1].left_nanos == 500 - 300_000


def test_a_lot_of_an_unknown_wallet_is_a_broken_promise(ada):
    with pytest.raises(ProtocolError, match="wallet 77"):
        ada.spending.apply_delta(Delta(1, [], [LotChange(77, 1, 1, None)], [], [], {}))
    with pytest.raises(ProtocolError, match="lot 88"):
        ada.spending.apply_delta(Delta(1, [], [LotChange(1, 88, 1, None)], [], [], {}))


def test_a_lease_again_does_not_undo_what_is_held(ada):
    ada.admit()
    ada.spending.apply_lease(Lease([wallet(lot(1, CREDIT), lot(2, CREDIT), enforcement="observe")], 0, 4, True))
    assert ada.available() == 2 * CREDIT - BOUND
    assert ada.spending.wallets[1].enforcement == "observe"
    assert ada.spending.last_delta == 4


def test_a_new_policy_and_new_cards_apply_at_once(ada):
    card = make_card(model="opus", id=5)
    ada.spending.apply_view(View([], [], {}, True))
    assert ada.admit(make_facts(model="opus")).code == "unknown_model"
    ada.spending.apply_delta(Delta(1, [wallet(enforcement="warn")], [], [], [card_terms(card)], {"approver": "Cleo"}))
    assert isinstance(ada.admit(make_facts(model="opus")), HotHold)
    assert ada.spending.model_names(T0) == ["opus", "sonnet"]
    assert ada.spending.approver == "Cleo"


def test_the_wallets_page_shows_what_is_left_in_use_and_next(tmp_path):
    desk = Desk(
        tmp_path,
        wallet(lot(1, CREDIT, expires_at=T0 + 3 * DAY), lot(2, 2 * CREDIT, effective_at=T0 + DAY)),
        wallet(lot(9, 5 * CREDIT), id=POOL_WALLET, public_id="wallet_pool", name="Research"),
    )
    desk.admit()
    view = desk.spending.wallet_view(desk.key(), T0)
    assert view == {
        "unit": "credits",
        "member": "member_1",
        "wallet": "wallet_ada",
        "name": "Ada",
        "left": "0.992404000",
        "in_use_now": "0.007596000",
        "being_checked": "0.000000000",
        "spent": "0.000000000",
        "arrives_next": {"at": "2024-01-02T00:00:00Z", "amount": "2.000000000"},
        "expires_next": {"at": "2024-01-04T00:00:00Z", "amount": "0.992404000"},
        "cycle_ends_at": "2024-02-01T00:00:00Z",
        "enforcement": "enforce",
        "pool": {
            "wallet": "wallet_pool",
            "name": "Research",
            "left": "5.000000000",
            "in_use_now": "0.000000000",
            "being_checked": "0.000000000",
            "spent": "0.000000000",
            "arrives_next": None,
            "expires_next": None,
        },
    }
