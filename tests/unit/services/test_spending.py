"""Admission: what a worker decides for each call before it is sent, to the nano."""

from functools import partial
from typing import Any

import pytest

from tests.cast import CREDIT, DAY, HOUR, POOL_WALLET, SONNET_RATES, T0, make_card
from tests.desk import (
    ADA_KEY,
    BOUND,
    SIM,
    Desk,
    holds_on,
    key,
    lot,
    make_facts,
    make_meter,
    wallet,
)
from tokenroll.model.hold import ReleaseReason, Slice
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import Meter
from tokenroll.services.hot import Deployment, HotHold, Wait
from tokenroll.services.protocol import Delta, Lease, LotChange
from tokenroll.store import tape as tapes
from tokenroll.store.tape import Finish
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.facts import Batched


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
    assert not desk.key().calls_models


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


def test_it_bounds_what_goes_on_from_something_stored_by_the_context_window(ada):
    # 200,000 tokens at 6,000 nanos and 100 at 15,000: more than the credit that Ada has
    assert ada.admit(make_facts(fills_window=True)).needed_nanos == 1_201_500_000


@pytest.mark.parametrize("facts", [{"fills_window": True}, {"web_search_max": 1, "server_tool_uses_max": 1}])
def test_it_refuses_what_only_a_context_window_bounds_where_none_is_known(tmp_path, facts):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(context_window_tokens=None),))
    denial = desk.admit(make_facts(**facts))
    assert (denial.code, denial.state) == ("call_not_bounded", "its rate card names no context window")


def test_it_bounds_images_by_the_context_window_and_sound_only_at_its_own_price(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 10 * CREDIT)))
    # 200,000 tokens at 6,000 nanos and 100 at 15,000; how heavy the image is says nothing, a longer text does
    assert desk.admit(make_facts(fills_window=True)).bound_nanos == 1_201_500_000
    assert desk.admit(make_facts(fills_window=True, input_bytes=300_000)).bound_nanos == 1_801_500_000 + 16 * 6_000
    unpriced = desk.admit(make_facts(fills_window=True, has_audio=True))
    assert (unpriced.code, unpriced.state) == ("call_not_bounded", "its rate card has no price for sound")


IMAGE_WEIGHT = 6_400
"""What an image weighs among a call's bytes, for evidence."""


def test_it_bounds_images_by_what_their_card_says_of_one(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 10 * CREDIT)), cards=(make_card(image_tokens_max=2_000),))
    # three images of 2,000, and 1,000 bytes and 16 for the message, at 6,000 nanos; 100 out at 15,000
    facts = make_facts(image_count=3, input_bytes=1_000 + 3 * IMAGE_WEIGHT)
    assert desk.admit(facts).bound_nanos == (6_000 + 1_016) * 6_000 + 100 * 15_000
    # a hundred of them would be 200,000: never more than the whole context, which is what they held before
    facts = make_facts(image_count=100, input_bytes=1_000 + 100 * IMAGE_WEIGHT)
    assert desk.admit(facts).bound_nanos == 200_000 * 6_000 + 100 * 15_000


def test_beside_a_file_images_are_in_the_window_and_without_a_figure_too(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 10 * CREDIT)), cards=(make_card(image_tokens_max=2_000),))
    facts = make_facts(image_count=1, fills_window=True, input_bytes=1_000 + 2 * IMAGE_WEIGHT)
    assert desk.admit(facts).bound_nanos == 1_201_500_000
    silent = Desk(tmp_path / "silent", wallet(lot(1, 10 * CREDIT)))
    assert silent.admit(make_facts(image_count=1, input_bytes=7_400)).bound_nanos == 1_201_500_000


def test_a_card_with_a_figure_needs_no_window_for_images(tmp_path):
    desk = Desk(
        tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(image_tokens_max=2_000, context_window_tokens=None),)
    )
    facts = make_facts(image_count=1, input_bytes=1_000 + IMAGE_WEIGHT)
    assert desk.admit(facts).bound_nanos == (2_000 + 1_016) * 6_000 + 100 * 15_000


@pytest.mark.parametrize(("figure", "tokens"), [(2_000, 3 * 2_000), (None, 2 * 200_000)])
def test_images_in_a_batch_are_bounded_one_by_one_or_by_a_window_a_request(tmp_path, figure, tokens):
    # three images in two of its three requests, 1,000 bytes and 16 for the message; a batch is priced at its own tier
    prices = {tier: RateTable(base=SONNET_RATES) for tier in ("standard", "batch")}
    card = make_card(image_tokens_max=figure, internal_prices=prices, list_prices=prices, net_prices=prices)
    desk = Desk(tmp_path, wallet(lot(1, 10 * CREDIT)), cards=(card,))
    batched = Batched()
    batched.request_count, batched.image_request_count = 3, 2
    facts = make_facts(image_count=3, batched=batched, service_tier="batch")
    assert desk.admit(facts).bound_nanos == (1_016 + tokens) * 6_000 + 100 * 15_000


def test_searches_read_the_images_again(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 10 * CREDIT)), cards=(make_card(image_tokens_max=2_000),))
    facts = make_facts(image_count=1, input_bytes=7_400, server_tool_uses_max=1, web_search_max=1)
    # two contexts at 6,000 nanos, a search at 10,000,000
    assert desk.admit(facts).bound_nanos == 2 * 200_000 * 6_000 + 10_000_000 + 100 * 15_000


def test_it_bounds_sound_at_the_price_of_sound(tmp_path):
    rates = {**SONNET_RATES, Meter.INPUT_AUDIO: 40 * 10**12}
    desk = Desk(tmp_path, wallet(lot(1, 10 * CREDIT)), cards=(make_card(RateTable(base=rates)),))
    assert desk.admit(make_facts(fills_window=True, has_audio=True)).bound_nanos == 200_000 * 40_000 + 100 * 15_000


OPEN_SEARCH: dict[str, Any] = {"server_tool_uses_max": 8, "web_search_max": 8, "search_is_open": True}


@pytest.mark.parametrize(
    ("left", "searches", "bound"),
    [
        # one context is 200,000 x 6,000 nanos = 1.2; a search 0.01 more; an eighth of the wallet is what they may take together
        (100, 8, 10_880_000_000),  # 12.5: 9 contexts are 10.8, 8 searches 0.08
        (80, 7, 9_670_000_000),  # 10: 8 contexts are 9.6, 7 searches 0.07
        (20, 1, 2_410_000_000),  # 2.5: 2 contexts are 2.4
        (19, 0, 6_096_000),  # 2.375: not one; without its search tool the call is bounded by its bytes: 1,016 x 6,000
    ],
)
def test_it_says_how_often_a_call_may_search_whose_client_does_not(tmp_path, left, searches, bound):
    desk = Desk(tmp_path, wallet(lot(1, left * CREDIT)))
    hold = desk.admit(make_facts(**OPEN_SEARCH))
    assert (hold.searches, hold.bound_nanos) == (searches, bound + 100 * 15_000)


def test_it_does_not_shorten_searches_where_nothing_is_enforced(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), enforcement="observe"))
    assert desk.admit(make_facts(**OPEN_SEARCH)).searches == 8


def test_a_search_without_a_price_or_a_window_is_left_out(tmp_path):
    rates: dict[Meter, int] = {meter: rate for meter, rate in SONNET_RATES.items() if meter is not Meter.WEB_SEARCH}
    for name, card in (("a", make_card(RateTable(base=rates))), ("b", make_card(context_window_tokens=None))):
        desk = Desk(tmp_path / name, wallet(lot(1, 100 * CREDIT)), cards=(card,))
        hold = desk.admit(make_facts(**OPEN_SEARCH))
        assert (hold.searches, hold.bound_nanos) == (0, 6_096_000 + 1_500_000)


def test_the_answer_of_a_call_that_may_search_is_not_cut_short(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 20 * CREDIT)))
    hold = desk.admit(make_facts(output_cap_tokens=0, **OPEN_SEARCH))
    # a quarter is 5; 2.41 are for its search, so 2.59 at 15,000 nanos a token are more than the plan's 16,384
    assert (hold.searches, hold.output_tokens_max) == (1, 16_384)


EMBEDS = RateTable(base={Meter.INPUT: 6_000 * 10**9})


def test_a_call_without_output_holds_for_its_input_and_is_never_capped(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(EMBEDS, output_tokens_max=None),))
    hold = desk.admit(make_facts(has_output=False, output_cap_tokens=0, cap_field=""))
    assert (hold.bound_nanos, hold.output_cap_tokens) == (1_016 * 6_000, 0)
    desk.dispatch(hold)
    assert desk.settle(hold, input=300, request=1) == 300 * 6_000
    assert desk.available() == CREDIT - 300 * 6_000


def test_a_model_without_a_price_for_output_is_refused_where_there_would_be_some(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(EMBEDS),))
    denial = desk.admit()
    assert (denial.code, desk.records()) == ("not_priced", [])
    assert denial.sentence() == (
        "The rate card of 'sonnet' has no price for output, so the call is refused, never free. As it is priced, it is called at "
        "/v1/embeddings, /v1/moderations or /v1/rerank. If it is to be called here, whoever runs the gateway can price that: "
        "`tokenroll ratecard set --model sonnet --output CREDITS`."
    )


def test_a_model_that_is_sold_by_the_search_is_no_model_to_talk_to(tmp_path):
    ranks = RateTable(base={Meter.SEARCH_UNIT: 2 * 10**15})
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(ranks),))
    for facts in (make_facts(), make_facts(has_output=False, output_cap_tokens=0)):
        assert desk.admit(facts).sentence() == (
            "The rate card of 'sonnet' has no price for model tokens, so the call is refused, never free. As it is priced, it is "
            "called at /v1/rerank. If it is to be called here, whoever runs the gateway can price that: `tokenroll ratecard set "
            "--file CARD.json`."
        )


def test_an_embedding_that_nobody_heard_the_end_of_costs_its_input_and_no_output(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(EMBEDS),))
    hold = desk.admit(make_facts(has_output=False, output_cap_tokens=0))
    desk.dispatch(hold)
    meter = Embeddings().meter(stream=False, withhold_usage=False)
    # 1,000 bytes at four to a token
    assert desk.spending.settle(hold, meter, desk.now, 200, Finish.CLIENT_GONE) == 250 * 6_000


def test_it_bounds_at_the_dearest_context_length(tmp_path):
    steps = RateTable(base=SONNET_RATES, tiers=(RateTier(input_tokens_above=200_000, rates={Meter.OUTPUT: 10**14}),))
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(make_card(steps),))
    assert desk.admit().bound_nanos == 6_096_000 + 100 * 100_000


def test_it_refuses_an_unknown_model_and_never_serves_it_free(ada):
    denial = ada.admit(make_facts(model="gpt-unheard-of"))
    assert (denial.code, denial.model) == ("unknown_model", "gpt-unheard-of")
    assert "never free" in denial.sentence()
    assert not ada.records()


def test_it_says_at_which_endpoint_a_model_of_the_other_dialect_is_called(ada):
    chat = ada.admit(deployment=Deployment("own", "openai"))
    assert chat.code == "unknown_model"
    assert chat.sentence() == (
        "The model 'sonnet' has its rate card at /v1/messages and none at this endpoint, so the call is refused here, never free. "
        "Call it at /v1/messages."
    )
    unheard = ada.admit(make_facts(model="gpt-unheard-of"), deployment=Deployment("own", "openai"))
    assert "Anthropic's models are called at /v1/messages, OpenAI's at /v1/chat/completions." in unheard.sentence()
    assert unheard.sentence().endswith(
        "whoever runs the gateway can add the model with `tokenroll ratecard import`, or, where no published list has it, with "
        "`tokenroll ratecard set --file CARD.json`."
    )


def test_it_refuses_a_tier_that_is_not_sold(ada):
    assert ada.admit(make_facts(service_tier="flex")).code == "tier_not_sold"
    assert "`tokenroll ratecard set --file CARD.json`" in ada.admit(make_facts(service_tier="flex")).sentence()
    batch = Denial("tier_not_sold", model="sonnet", state="batch").sentence()
    assert "`tokenroll ratecard set --file CARD.json` with a price of the tier `batch`" in batch


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


def test_a_call_for_flex_is_held_at_the_standard_tier_which_may_answer_it(tmp_path):
    prices = {
        "standard": RateTable(base=SONNET_RATES),
        "flex": RateTable(base={meter: rate // 2 for meter, rate in SONNET_RATES.items()}),
    }
    card = make_card(list_prices=prices, net_prices=prices, internal_prices=prices)
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(card,))
    asked = [desk.admit(make_facts(service_tier="flex")) for _ in range(3)]
    assert [hold.bound_nanos for hold in asked] == [BOUND] * 3
    charged = []
    for hold, answered in zip(asked, ("flex", "standard", ""), strict=True):
        desk.dispatch(hold)
        meter = make_meter(input=1_000, output=100)
        meter.service_tier = answered
        charged.append(desk.spending.settle(hold, meter, T0, 200, Finish.COMPLETE))
    # 1,000 x 1,500 + 100 x 7,500; twice that; and whose answer names no tier was answered as asked
    assert charged == [2_250_000, 4_500_000, 2_250_000]
    assert desk.available() == CREDIT - 9_000_000


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


def test_a_call_that_would_be_clamped_waits_for_what_other_calls_hold(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT), cap_policy="clamp"))
    first = desk.admit(make_facts(output_cap_tokens=100_000))
    # 0.006096 and 66,260 tokens of 0.000015 leave 0.000004: half of what there is when the first has ended is enough to ask again
    wait = desk.admit(make_facts(output_cap_tokens=100_000), may_wait=True)
    assert (type(wait), wait.needed_nanos) == (Wait, CREDIT // 2)
    assert desk.admit(make_facts(output_cap_tokens=100_000)).code == "wallet_empty"
    desk.spending.release(first, ReleaseReason.NOT_SENT, desk.now)
    assert desk.admit(make_facts(output_cap_tokens=100_000), may_wait=True).output_cap_tokens == 66_260


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


def test_a_pool_may_be_drawn_before_ones_own_lots(tmp_path):
    pool = wallet(lot(9, 1_000_000), id=POOL_WALLET, public_id="wallet_pool", name="Research")
    keys = (key(1, ADA_KEY, 1, pool_wallet_id=POOL_WALLET, pool_first=True),)
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), pool, keys=keys)
    assert desk.admit().slices == [Slice(9, 1_000_000), Slice(1, BOUND - 1_000_000)]


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
    (held,) = holds_on(desk.records())
    assert (held.flags & tapes.HOLD_WOULD_DENY, held.needed_nanos) == (tapes.HOLD_WOULD_DENY, BOUND)
    desk.dispatch(hold)
    assert desk.settle(hold, input=1_000, output=50) == 3_750_000
    assert desk.available() == 1_250_000
    assert desk.spending.wallets[1].overage_left_nanos == 0


def test_observe_does_not_shorten_answers_for_an_empty_wallet(tmp_path):
    desk = Desk(tmp_path, wallet(enforcement="observe"))
    hold = desk.admit(make_facts(output_cap_tokens=0))
    assert (hold.output_cap_tokens, hold.slices) == (16_384, [Slice(0, 251_856_000)])


def test_an_overage_limit_lets_the_company_carry_just_that_much(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), overage_nanos_max=10_000_000))
    first = desk.admit()
    assert (first.slices, first.would_deny) == ([Slice(1, 5_000_000), Slice(0, 2_596_000)], False)
    assert desk.admit().code == "wallet_empty"  # 7.404 of overage are left, 7.596 are needed
    desk.dispatch(first)
    assert desk.settle(first, input=2_000) == 6_000_000
    assert desk.spending.wallets[1].overage_left_nanos == 9_000_000


def test_what_the_company_carried_counts_against_its_limit(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, BOUND), overage_nanos_max=10_000_000))
    hold = desk.admit()
    desk.dispatch(hold)
    assert desk.settle(hold, input=4_000) == 12_000_000
    assert desk.spending.wallets[1].overage_left_nanos == 10_000_000 - 12_000_000 + BOUND


def test_a_new_overage_limit_applies_beside_what_is_held(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), overage_nanos_max=3_000_000))
    hold = desk.admit()
    desk.spending.apply_delta(Delta(1, [wallet(overage_nanos_max=20_000_000)], [], [], [], {}))
    assert desk.spending.wallets[1].overage_left_nanos == 20_000_000 - 2_596_000
    assert isinstance(desk.admit(), HotHold)
    desk.spending.release(hold, ReleaseReason.NOT_SENT, T0)
    assert desk.spending.wallets[1].overage_left_nanos == 20_000_000 - BOUND
    lapsed = desk.admit()
    desk.dispatch(lapsed)
    desk.spending.lapse(lapsed, make_meter(), T0, Finish.TIMED_OUT)
    assert desk.spending.wallets[1].overage_held_nanos == BOUND


def test_a_new_policy_forgets_nothing_that_the_company_carried_here(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), overage_nanos_max=12_000_000, carried=[(1, 2_000_000)]))
    ada = desk.spending.wallets[1]
    first = desk.admit()
    desk.dispatch(first)
    assert desk.settle(first, input=2_000) == 6_000_000  # 1 million more than the lot has; the ledger has not folded it
    desk.spending.apply_delta(
        Delta(1, [wallet(overage_nanos_max=12_000_000, carried=[(1, 2_000_000)])], [], [], [], {})
    )
    assert ada.overage_left_nanos == 9_000_000
    # folded meanwhile, and the plan's limit is 20 now instead of 12: 20 - 3 are left
    desk.spending.apply_delta(
        Delta(2, [wallet(overage_nanos_max=20_000_000, carried=[(1, 3_000_000)])], [], [], [], {})
    )
    assert ada.overage_left_nanos == 17_000_000
    lapsed = desk.admit()
    desk.dispatch(lapsed)
    desk.spending.lapse(lapsed, make_meter(), T0, Finish.TIMED_OUT)
    desk.spending.apply_delta(
        Delta(3, [wallet(overage_nanos_max=20_000_000, carried=[(1, 3_000_000)])], [], [], [], {})
    )
    assert ada.overage_left_nanos == 17_000_000 - BOUND


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
