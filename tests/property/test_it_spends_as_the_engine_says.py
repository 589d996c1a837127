"""The hot path and the engine decide alike: bounds, slices, charges, tails, over any lots, clock jumps and calls (DESIGN §6)."""

import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.cast import ADA_WALLET, DAY, POOL_WALLET, SONNET_RATES, T0, make_card, make_grant, make_lot
from tests.desk import SIM, Desk, lot, make_facts, make_meter, wallet
from tokenroll.engine import booking
from tokenroll.engine.bounding import TEXT_INPUT_METERS, CallSize, bound_nanos_at, compile_bound
from tokenroll.engine.drawing import draw, draw_rank, eligible, split
from tokenroll.engine.rating import charge_nanos
from tokenroll.model.hold import Hold, ReleaseReason, Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.settlement import Settlement
from tokenroll.model.usage import Meter, Usage, UsageSource
from tokenroll.services.hot import HotHold
from tokenroll.store.tape import Finish

STEPS = RateTable(
    base=SONNET_RATES,
    tiers=(RateTier(input_tokens_above=1_000, rates={Meter.INPUT: 7 * 10**11 + 3, Meter.OUTPUT: 19 * 10**12 + 1}),),
)
SOUND = RateTable(base={**SONNET_RATES, Meter.INPUT_AUDIO: 41 * 10**12 + 7})
CARDS = (
    make_card(image_tokens_max=700),
    make_card(STEPS, image_tokens_max=1_100, context_window_tokens=4_000),
    make_card(SOUND, context_window_tokens=2_500),
)
IMAGE_WEIGHT = 6_400
"""What an image weighs among a call's bytes, for evidence: the bound has the card's figure in its place."""


@st.composite
def lots(draw_from):
    """Up to six lots of Ada's and her pool's, with every order of priority, dates and emptiness."""
    made = []
    for number in range(1, draw_from(st.integers(1, 6)) + 1):
        effective = T0 + draw_from(st.integers(-3, 3)) * DAY
        lifetime = draw_from(st.sampled_from([None, 1, 2, 5]))
        made.append(
            make_lot(
                id=number,
                grant_id=number,
                wallet_id=draw_from(st.sampled_from([ADA_WALLET, ADA_WALLET, POOL_WALLET])),
                priority=draw_from(st.sampled_from([0, 100, 255])),
                amount_nanos=draw_from(st.sampled_from([1, 4_000_000, 20_000_000, 90_000_000])),
                effective_at=effective,
                expires_at=None if lifetime is None else effective + lifetime * DAY,
            )
        )
    return made


CALLS = st.tuples(
    st.just("call"),
    st.integers(0, 3_000),
    st.integers(1, 2_000),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(
        [
            (False, 0, 0),
            (False, 0, 0),
            (False, 0, 0),
            (True, 0, 0),
            (False, 2, 0),
            (True, 1, 0),
            (False, 0, 1),
            (False, 0, 3),
            (False, 1, 2),
        ]
    ),
)
ENDS = st.tuples(
    st.sampled_from(["settle", "settle", "settle", "release", "lapse"]),
    st.integers(0, 5),
    st.integers(0, 4_000),
    st.integers(0, 4_000),
    st.integers(0, 2_000),
)
JUMPS = st.tuples(st.just("jump"), st.integers(1, 3 * DAY))


class Both:
    """A worker's desk and the engine's book, told the same things."""

    def __init__(self, directory, card, owned):
        def terms(wallet_id):
            mine = [one for one in owned if one.wallet_id == wallet_id]
            return [
                lot(
                    one.id, one.amount_nanos, priority=one.priority, effective_at=one.effective_at,
                    expires_at=one.expires_at or 0,
                )
                for one in mine
            ]  # fmt: skip

        self.card = card
        self.rates = compile_bound(card, ("standard",), TEXT_INPUT_METERS)
        self.desk = Desk(
            directory,
            wallet(*terms(ADA_WALLET)),
            wallet(*terms(POOL_WALLET), id=POOL_WALLET, name="pool"),
            cards=(card,),
        )
        self.book = booking.Book()
        for one in owned:
            grant = make_grant(id=one.id, wallet_id=one.wallet_id, amount_nanos=one.amount_nanos)
            self.book = booking.grant(self.book, grant, (one,))
        self.open: list[HotHold] = []

    def usable(self, wallet_id):
        return [one for one in self.book.wallet(wallet_id) if eligible(one.lot, self.desk.now)]

    def call(self, input_bytes, cap, choices, tools, wide):
        fills_window, searches, images = wide
        size = CallSize(
            input_bytes=input_bytes, message_count=2, output_cap_tokens=cap, choice_count=choices, tool_count=tools,
            has_tools=tools > 0, fills_window=fills_window, server_tool_uses_max=searches, web_search_max=searches,
            image_count=images,
        )  # fmt: skip
        bound = bound_nanos_at(self.rates, size)
        own = draw(self.usable(ADA_WALLET), bound, self.desk.now)
        pooled = draw(self.usable(POOL_WALLET), own.missing_nanos, self.desk.now)
        facts = make_facts(
            input_bytes=input_bytes + images * IMAGE_WEIGHT, message_count=2, output_cap_tokens=cap, choice_count=choices,
            tool_count=tools, has_tools=tools > 0, fills_window=fills_window, server_tool_uses_max=searches,
            web_search_max=searches, image_count=images,
        )  # fmt: skip
        admitted = self.desk.admit(facts)
        if pooled.missing_nanos:
            assert not isinstance(admitted, HotHold), "an overdraft"
            assert (admitted.code, admitted.needed_nanos) == ("wallet_empty", bound)
            assert admitted.left_nanos == bound - pooled.missing_nanos
            return
        assert isinstance(admitted, HotHold), "a false denial"
        assert admitted.bound_nanos == bound
        assert tuple(admitted.slices) == own.slices + pooled.slices
        self.book = booking.admit(
            self.book,
            Hold(
                key=HoldKey(1, 7, admitted.sequence), call_number=int.from_bytes(admitted.call_number_bytes, "big"), attempt=1, wallet_id=ADA_WALLET,
                api_key_id=1, rate_card_id=1, bound_nanos=bound, slices=tuple(admitted.slices), admitted_at=self.desk.now,
            ),
            self.desk.now,
        )  # fmt: skip
        self.open.append(admitted)

    def end(self, how, which, fresh, cached, output):
        if not self.open:
            return
        hold = self.open.pop(which % len(self.open))
        key = HoldKey(1, 7, hold.sequence)
        if how == "release":
            self.desk.spending.release(hold, ReleaseReason.NOT_SENT, self.desk.now)
            self.book = booking.release(self.book, key, ReleaseReason.NOT_SENT)
            return
        self.desk.dispatch(hold)
        self.book = booking.dispatch(self.book, key)
        if how == "lapse":
            self.desk.spending.lapse(hold, make_meter(), self.desk.now, Finish.TIMED_OUT)
            self.book = booking.suspend(self.book, key)
            return
        counts = {"input": fresh, "cache_read": cached, "output": output, "request": 1}
        charged = self.desk.settle(hold, **counts)
        usage = Usage(input_tokens=fresh, cache_read_tokens=cached, output_tokens=output, request_count=1)
        expected = charge_nanos(self.card.internal_prices, "standard", usage)
        assert charged == expected
        consumed, _ = split([Slice(*one) for one in hold.slices], expected)
        self.book = booking.settle(
            self.book,
            Settlement(
                key=key, usage=usage, usage_source=UsageSource.REPORTED, service_tier="standard", charge_nanos=expected,
                list_cost_nanos=expected, net_cost_nanos=expected, consumed=consumed, settled_at=self.desk.now,
            ),
        )  # fmt: skip
        # a report within the call's own limits is never dearer than its bound
        if fresh + cached <= hold.input_tokens_max and output <= hold.output_tokens_max * hold.choice_count:
            assert charged <= hold.bound_nanos

    def agree(self):
        for wallet_id in (ADA_WALLET, POOL_WALLET):
            hot = self.desk.spending.wallets[wallet_id]
            states = self.book.wallet(wallet_id)
            assert self.desk.available(wallet_id) == sum(one.remainder_nanos for one in self.usable(wallet_id)) >= 0
            assert {one.id: one.left_nanos for one in hot.lots.values()} == {
                one.lot.id: one.remainder_nanos for one in states
            }
            assert hot.held_nanos == sum(one.held_nanos for one in states)
            assert hot.suspense_nanos == sum(one.suspense_nanos for one in states)
            assert hot.spent_nanos == sum(one.spent_nanos for one in states)
            ranked = sorted((one.lot for one in self.usable(wallet_id)), key=draw_rank)
            assert [one.id for one in hot.order] == [one.id for one in ranked]


@given(st.sampled_from(CARDS), lots(), st.lists(CALLS | CALLS | ENDS | ENDS | JUMPS, max_size=40))
def test_hot_decisions_equal_the_engines(card, owned, steps):
    with tempfile.TemporaryDirectory() as directory:
        both = Both(Path(directory), card, owned)
        for step in steps:
            match step:
                case ("call", input_bytes, cap, choices, tools, wide):
                    both.call(input_bytes, cap, choices, tools, wide)
                case ("jump", micros):
                    both.desk.now += micros
                case (how, which, fresh, cached, output):
                    both.end(how, which, fresh, cached, output)
            both.agree()
            both.desk.records()


@given(st.integers(0, 40), st.integers(0, 12_000_000), st.integers(0, 3_000), st.integers(1, 3_000), st.integers(1, 4))
def test_admitted_is_what_is_left_over_bound_whatever_the_sizes(count, extra, input_bytes, cap, choices):
    facts = make_facts(input_bytes=input_bytes, output_cap_tokens=cap, choice_count=choices)
    size = CallSize(input_bytes=input_bytes, message_count=1, output_cap_tokens=cap, choice_count=choices)
    bound = bound_nanos_at(compile_bound(make_card(), ("standard",), TEXT_INPUT_METERS), size)
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), wallet(lot(1, count * bound + extra)))
        admitted = sum(isinstance(desk.admit(facts), HotHold) for _ in range(count + 10 + extra // bound))
        assert admitted == (count * bound + extra) // bound
        assert desk.available() == (count * bound + extra) % bound


MAY_ANSWER = {"standard": ("standard",), "flex": ("flex", "standard"), "priority": ("priority", "standard")}
"""By the tier that is named: those at which a provider answers and bills. (An answer may name none, too.)"""
RATES = st.integers(1, 20 * 10**12)


@given(
    st.fixed_dictionaries({tier: st.tuples(RATES, RATES, RATES) for tier in MAY_ANSWER}),
    st.sampled_from(
        [(asked, "") for asked in MAY_ANSWER] + [(asked, one) for asked in MAY_ANSWER for one in MAY_ANSWER[asked]]
    ),
    st.booleans(),
    st.integers(0, 2_000),
    st.integers(1, 2_000),
    st.floats(0, 1),
)
def test_whichever_tier_answers_its_price_is_charged_and_is_within_the_hold(
    rates, tiers, pinned, input_bytes, cap, share
):
    asked, answered = tiers
    prices = {
        tier: RateTable(base={Meter.INPUT: fresh, Meter.CACHE_READ: cached, Meter.OUTPUT: output})
        for tier, (fresh, cached, output) in rates.items()
    }
    card = make_card(list_prices=prices, net_prices=prices, internal_prices=prices)
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), wallet(lot(1, 10**12)), cards=(card,))
        facts = make_facts(input_bytes=input_bytes, output_cap_tokens=cap, service_tier="" if pinned else asked)
        hold = desk.admit(facts, deployment=SIM._replace(service_tier=asked, pin_tier=True) if pinned else SIM)
        cached = round(hold.input_tokens_max * share)
        meter = make_meter(input=hold.input_tokens_max - cached, cache_read=cached, output=cap)
        meter.service_tier = answered
        desk.dispatch(hold)
        charged = desk.spending.settle(hold, meter, desk.now, 200, Finish.COMPLETE)
    fresh_rate, cached_rate, output_rate = rates[answered or asked]
    attos = (hold.input_tokens_max - cached) * fresh_rate + cached * cached_rate + cap * output_rate
    assert charged == round(Fraction(attos, 10**9))
    assert charged <= hold.bound_nanos


@given(
    st.integers(1, 10**10),
    st.integers(0, 40_000),
    st.integers(1, 8),
    st.sampled_from(["deny", "clamp"]),
    st.integers(0, 70_000),
)
def test_a_cap_of_ours_always_fits_and_is_never_at_a_thinking_budget(left, input_bytes, choices, policy, thinking):
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), wallet(lot(1, left), cap_policy=policy))
        asked = make_facts(
            input_bytes=input_bytes, output_cap_tokens=0, choice_count=choices, thinking_budget_tokens=thinking
        )
        for cap in (0, 100_000):
            asked.output_cap_tokens = cap
            admitted = desk.admit(asked)
            if not isinstance(admitted, HotHold):
                assert admitted.code == "wallet_empty"
                continue
            assert admitted.bound_nanos <= left
            assert admitted.output_tokens_max > thinking
            sent = replace_cap(asked, admitted.output_cap_tokens or cap)
            assert (
                bound_nanos_at(compile_bound(make_card(), ("standard",), TEXT_INPUT_METERS), sent)
                == admitted.bound_nanos
            )
            desk.spending.release(admitted, ReleaseReason.NOT_SENT, desk.now)


def replace_cap(facts, cap):
    size = CallSize(
        input_bytes=facts.input_bytes, message_count=1, output_cap_tokens=1, choice_count=facts.choice_count
    )
    return replace(size, output_cap_tokens=cap)
