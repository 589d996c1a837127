"""Bugs planted in spending and in the dialects on purpose: each must be caught by the test that is named, else that test proves
nothing."""

import pytest
from hypothesis import Phase, settings

from tests.cast import CREDIT
from tests.desk import Desk, lot, wallet
from tests.property import test_it_keeps_limits as limits
from tests.property import test_it_spends_as_the_engine_says as properties
from tests.unit.services import test_settling as endings
from tests.unit.services import test_spending as stories
from tests.unit.upstream import test_facts, test_meters
from tokenroll.services import hot_limits, metering, windows
from tokenroll.services.call_memory import CallMemory
from tokenroll.services.hot import HotLot, HotWallet
from tokenroll.services.hot_prices import HotRates, Prices
from tokenroll.services.spending import Spending
from tokenroll.upstream import anthropic, heads, openai, sse
from tokenroll.upstream import usage as counts

HUNT = settings(
    max_examples=400,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)
"""Enough to find each bug whichever modules hypothesis draws constants from, and no time spent on the smallest example of it."""
CAUGHT = (AssertionError, pytest.fail.Exception, ExceptionGroup)
"""Hypothesis tells several failures at once as a group."""


def hunt(monkeypatch, law):
    monkeypatch.setattr(law, "_hypothesis_internal_use_settings", HUNT)
    law()


@pytest.fixture
def ada(tmp_path):
    return Desk(tmp_path, wallet(lot(1, CREDIT)))


def test_it_is_caught_to_settle_twice(ada, monkeypatch):
    monkeypatch.setattr(
        Spending, "_end", lambda self, hold, state, now: (self.open_holds.pop(hold.sequence, None) and now) or now
    )
    with pytest.raises(CAUGHT):
        endings.test_a_hold_ends_once(ada)


def test_it_is_caught_to_forget_the_tail(ada, monkeypatch):
    def forget(self, hold, charge_nanos):
        for one, take in zip(hold.lots, hold.takes, strict=True):
            one.wallet.held_nanos -= take
            one.wallet.spent_nanos += take

    monkeypatch.setattr(Spending, "_return", forget)
    with pytest.raises(CAUGHT):
        endings.test_a_settlement_takes_the_charge_and_returns_the_tail(ada)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, properties.test_hot_decisions_equal_the_engines)


def test_it_is_caught_to_shrink_a_hold(tmp_path, monkeypatch):
    def shrink(self, hold, facts, available, fixed_attos, *, may_wait):
        hold.bound_nanos = available

    monkeypatch.setattr(Spending, "_short", shrink)
    with pytest.raises(CAUGHT):
        stories.test_admitted_calls_are_exactly_what_the_wallet_affords(tmp_path)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, properties.test_admitted_is_what_is_left_over_bound_whatever_the_sizes)


def test_it_is_caught_to_refund_an_abort(ada, monkeypatch):
    monkeypatch.setattr(metering, "estimated_counts", lambda hold, meter: list(meter.counts))
    with pytest.raises(CAUGHT):
        endings.test_an_aborted_call_pays_the_evidence_and_says_estimated(ada)


def test_it_is_caught_to_serve_an_unknown_model_free(ada, monkeypatch):
    real = Prices.card_for
    monkeypatch.setattr(Prices, "card_for", lambda self, provider, model, now: real(self, provider, "sonnet", now))
    with pytest.raises((*CAUGHT, AttributeError)):
        stories.test_it_refuses_an_unknown_model_and_never_serves_it_free(ada)


def test_it_is_caught_to_use_an_expired_lot(tmp_path, monkeypatch):
    real = HotWallet.look

    def look(self, now):
        for one in self.lots.values():
            one.expires_at = 10**18
        real(self, now)

    monkeypatch.setattr(HotWallet, "look", look)
    with pytest.raises(CAUGHT):
        stories.test_vesting_and_expiry_need_no_timer(tmp_path)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, properties.test_hot_decisions_equal_the_engines)


def test_it_is_caught_to_spend_before_vesting(tmp_path, monkeypatch):
    real = HotWallet.look

    def look(self, now):
        for one in self.lots.values():
            one.effective_at = 0
        real(self, now)

    monkeypatch.setattr(HotWallet, "look", look)
    with pytest.raises(CAUGHT):
        stories.test_vesting_and_expiry_need_no_timer(tmp_path)


def test_it_is_caught_to_draw_in_the_wrong_order(tmp_path, monkeypatch):
    monkeypatch.setattr(HotLot, "rank", property(lambda self: (self.priority, self.id)))
    with pytest.raises(CAUGHT):
        stories.test_it_draws_by_priority_then_expiry_then_age_then_id(tmp_path)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, properties.test_hot_decisions_equal_the_engines)


def test_it_is_caught_to_miss_overheads(tmp_path, monkeypatch):
    real = HotRates.__init__

    def bare(self, *arguments):
        real(self, *arguments)
        self.message_tokens = self.tool_tokens = 0

    monkeypatch.setattr(HotRates, "__init__", bare)
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)))
    with pytest.raises(CAUGHT):
        stories.test_it_bounds_a_call_at_the_dearest_input_rate_and_its_cap(desk)
    with pytest.raises(CAUGHT):
        stories.test_it_bounds_tools_messages_and_choices(desk)


def test_it_is_caught_to_release_what_was_sent(ada, monkeypatch):
    monkeypatch.setattr(Spending, "release", lambda self, hold, reason, now, status=0: self._return(hold, 0))
    with pytest.raises(CAUGHT):
        endings.test_only_law_five_releases(ada)


def test_it_is_caught_to_send_a_repeated_id_again(ada, monkeypatch):
    monkeypatch.setattr(CallMemory, "remember", lambda self, hold: None)
    with pytest.raises((*CAUGHT, AttributeError)):
        endings.test_a_repeated_client_call_id_is_never_dispatched_again(ada)


def test_it_is_caught_to_apply_a_delta_twice(ada, monkeypatch):
    real = Spending.apply_delta

    def again(self, delta):
        self.last_delta = delta.number - 1
        for one in self.wallets.hot.values():
            one.lots.pop(2, None)
            one.spent_nanos += 1
        real(self, delta)
        return True

    monkeypatch.setattr(Spending, "apply_delta", again)
    with pytest.raises(CAUGHT):
        endings.test_a_delta_is_applied_once_and_in_order(ada)


def golden(name):
    (found,) = [row for row, known in zip(test_meters.TABLE, test_meters.NAMES, strict=True) if known == name]
    return found


def test_it_is_caught_to_count_cached_tokens_twice(monkeypatch):
    real = openai.read_usage

    def doubled(meter, usage):
        real(meter, usage)
        meter.counts[counts.INPUT] = usage.prompt_tokens

    monkeypatch.setattr(openai, "read_usage", doubled)
    with pytest.raises(CAUGHT):
        test_meters.test_it_counts_and_costs_what_the_provider_says(
            *golden("chat completions: whole: details are subsets")
        )


def test_it_is_caught_to_add_snapshots(monkeypatch):
    real = anthropic._Reported.merge

    def added(self, usage, meter):
        before = self.output or 0
        real(self, usage, meter)
        self.output = before + (self.output or 0)

    monkeypatch.setattr(anthropic._Reported, "merge", added)
    with pytest.raises(CAUGHT):
        test_meters.test_it_counts_and_costs_what_the_provider_says(
            *golden("messages: stream: cumulative deltas are not added")
        )


def test_it_is_caught_to_withhold_more_than_the_last_event(monkeypatch):
    monkeypatch.setattr(sse.EventMeter, "_on_bytes", lambda self, event: b"usage" in event)
    with pytest.raises(CAUGHT):
        test_meters.test_it_counts_and_costs_what_the_provider_says(*golden("chat completions: stream: injected by us"))


def test_it_is_caught_to_look_for_whole_events_only(monkeypatch):
    real = sse.EventMeter._take

    def hasty(self, data):
        self._tail.clear()
        return real(self, data)

    monkeypatch.setattr(sse.EventMeter, "_take", hasty)
    with pytest.raises(CAUGHT):
        test_meters.test_it_reads_the_same_split_at_every_byte(
            *golden("chat completions: stream: asked for by the client")
        )


def test_it_is_caught_to_overlook_duplicate_keys(monkeypatch):
    monkeypatch.setattr(heads, "_refuse_twice", lambda names: None)
    (row,) = [one for one in test_facts.BAD if one[1] == "the cap twice" and one[0] is test_facts.CHAT]
    with pytest.raises(CAUGHT):
        test_facts.test_it_refuses_in_the_dialect_and_names_the_field(*row)


def test_it_is_caught_to_round_down(tmp_path, monkeypatch):
    monkeypatch.setattr(metering, "round_half_even", lambda grains, per_nano: -(-grains // per_nano))
    with pytest.raises(CAUGHT):
        endings.test_a_settlement_rounds_once_and_halves_to_even(tmp_path)


def test_it_is_caught_to_bound_at_the_cheap_tier_and_charge_at_the_dear_one(tmp_path, monkeypatch):
    real = HotRates.__init__

    def cheap(self, card, bound, tier, tier_index):
        real(self, card, bound, tier, tier_index)
        self.output_grains //= 2

    monkeypatch.setattr(HotRates, "__init__", cheap)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, properties.test_hot_decisions_equal_the_engines)


def test_nothing_planted_is_left(ada, monkeypatch):
    endings.test_a_settlement_takes_the_charge_and_returns_the_tail(ada)
    hunt(monkeypatch, properties.test_hot_decisions_equal_the_engines)


def test_it_is_caught_when_a_part_of_a_rolling_window_leaves_too_early(monkeypatch):
    right = windows.Windows.at

    def early(self, now, calendars=()):
        window = right(self, now, calendars)
        part = window.turns_at - window.start_at
        return windows.HotWindow(window.start_at, window.counted_from + part, window.turns_at, window.frees_at)

    monkeypatch.setattr(windows.Windows, "at", early)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, limits.test_a_rolling_hour_holds_its_cap_to_the_microsecond_and_is_late_by_a_sixtieth_at_most)


def test_it_is_caught_to_leave_a_limit_raised(monkeypatch):
    monkeypatch.setattr(hot_limits.Limited, "true_up", lambda self, charge_nanos, tokens, call_count: None)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, limits.test_hot_counters_are_the_engines_and_no_window_holds_more_than_its_cap)


def test_it_is_caught_to_change_todays_counter_for_yesterdays_call(monkeypatch):
    def change(self, start_at, amount):
        self.used += amount

    monkeypatch.setattr(hot_limits.HotLimit, "change", change)
    with pytest.raises(CAUGHT):
        hunt(monkeypatch, limits.test_hot_counters_are_the_engines_and_no_window_holds_more_than_its_cap)
