"""Bugs planted on purpose: each must be caught by the check that is named, else that check proves nothing."""

from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.cast import make_state, utc
from tests.property import test_it_chains, test_it_draws_and_returns, test_it_follows_dates, test_it_prices_exactly
from tests.property.machine import SpendingMachine
from tokenroll.engine import booking, bounding, calendar, chaining, drawing, rating, vesting
from tokenroll.engine.booking import _Draft
from tokenroll.model.hold import HoldState, Slice
from tokenroll.model.instant import datetime_from_instant, instant_from_datetime

QUICK = settings(
    max_examples=1500,  # most bugs show within a few; what is tried first depends on which modules are loaded
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)


def spending_machine():
    run_state_machine_as_test(SpendingMachine, settings=QUICK)


def settle_twice(draft, settlement, allowed):
    booked = draft.holds[settlement.key]
    consumed, _ = drawing.split(booked.hold.slices, settlement.charge_nanos)
    if booked.settlement is None:
        draft._unhold(booked)
    draft._shift(consumed, spent=1)
    draft._put(replace(booked, state=HoldState.SETTLED, settlement=settlement))


def forget_the_tail(draft, slices, *, held=0, suspense=0, spent=0):
    """What is not consumed stays held for ever."""
    if held == -1 and suspense == 0:
        return
    ORIGINAL_SHIFT(draft, slices, held=held - spent, suspense=suspense, spent=spent)


def refund_an_abort(draft, event):
    booked = draft.holds[event.settlement.key]
    if booked.settlement is None:
        draft._unhold(booked)
        draft._put(replace(booked, state=HoldState.SETTLED, settlement=event.settlement))


def shrink_a_hold(draft, event):
    smaller = tuple(Slice(one.lot_id, one.nanos // 2) for one in event.hold.slices)
    if event.hold.key not in draft.holds:
        draft._shift(smaller, held=1)
        draft._put(booking.BookedHold(hold=event.hold))


def release_after_dispatch(draft, event):
    booked = draft.holds[event.key]
    if booked.state is not HoldState.RELEASED:
        draft._unhold(booked)
        draft._put(replace(booked, state=HoldState.RELEASED, reason=event.reason))


def return_to_another_lot(draft, slices, **moves):
    if moves == {"held": -1} and len(draft.lots) > 1:
        slices = [Slice(min(draft.lots) if lot else 0, nanos) for lot, nanos in slices]
    ORIGINAL_SHIFT(draft, slices, **moves)


def drop_the_suspended(draft, event):
    booked = draft.holds[event.key]
    if booked.state in booking.SUSPENDABLE:
        draft._unhold(booked)
        draft._put(replace(booked, state=HoldState.SUSPENSE, suspended=True))


def conflict_is_a_repetition(draft, settlement, allowed):
    if draft.holds[settlement.key].settlement is None:
        ORIGINAL_CHARGE(draft, settlement, allowed)


def nothing_dead_is_drawn():
    """Ada's lot ended at noon: at noon nothing of it is left to draw."""
    noon = utc("2026-03-01T12:00:00Z")
    dead = make_state(effective_at=noon - 1, expires_at=noon)
    assert drawing.draw([dead], 5, noon).slices == ()


def draw_the_dead(lot, at):
    return lot.effective_at <= at


def latest_expiry_first(lot):
    return lot.priority, -(lot.expires_at or 0), lot.effective_at, lot.id


def overage_is_lost(slices, charge_nanos):
    consumed, returned = ORIGINAL_SPLIT(slices, charge_nanos)
    return tuple(one for one in consumed if one.lot_id), returned


def tail_is_lost(slices, charge_nanos):
    return ORIGINAL_SPLIT(slices, charge_nanos)[0], ()


def round_each_tranche(amount_nanos, weights, allocation, unit_nanos):
    return [amount_nanos * weight // sum(weights) for weight in weights]


def thirty_days_are_a_month(anchor, months, zone, *, day=0):
    return anchor + months * 30 * 86_400_000_000


def months_in_utc(anchor, months, zone, *, day=0):
    return ORIGINAL_MONTH_STEP(anchor, months, UTC, day=day)


def overflow_into_march(anchor, months, zone, *, day=0):
    local = datetime_from_instant(anchor).astimezone(zone)
    year, month0 = divmod(local.year * 12 + local.month - 1 + months, 12)
    first = instant_from_datetime(local.replace(year=year, month=month0 + 1, day=1))
    return first + (local.day - 1) * 86_400_000_000


def tier_from_its_start(table, input_tokens):
    rates = table.base
    for tier in table.tiers:
        if input_tokens >= tier.input_tokens_above:
            rates = {**rates, **tier.rates}
    return rates


def forget_reasoning(rates, counts, model=""):
    return ORIGINAL_CHARGE_ATTOS(rates, (*counts[:7], None, *counts[8:]), model)


def one_choice_is_enough(bound_rates, size):
    return ORIGINAL_BOUND(bound_rates, replace(size, choice_count=1))


def no_overheads(bound_rates, size):
    return size.input_bytes, 0


def base_rates_only(table):
    yield table.base


def one_token_too_many(bound_rates, size, budget_nanos):
    return ORIGINAL_AFFORDABLE(bound_rates, size, budget_nanos) + 1


ORIGINAL_SHIFT = _Draft._shift
ORIGINAL_CHARGE = _Draft._charge
ORIGINAL_SPLIT = drawing.split
ORIGINAL_MONTH_STEP = calendar.month_step
ORIGINAL_CHARGE_ATTOS = rating.charge_attos
ORIGINAL_BOUND = bounding.bound_nanos_at
ORIGINAL_AFFORDABLE = bounding.affordable_output_tokens

PRICES = test_it_prices_exactly.test_a_charge_is_the_fraction_rounded_once_half_even
ROUNDS = test_it_prices_exactly.test_rounding_is_what_fractions_say
BOUNDS = test_it_prices_exactly.test_no_call_within_its_size_costs_more_than_its_bound
AFFORDS = test_it_prices_exactly.test_the_affordable_cap_is_the_largest_that_fits
SPLITS = test_it_draws_and_returns.test_consumed_and_returned_are_the_hold_and_its_overage
ORDER = test_it_draws_and_returns.test_no_better_lot_is_passed_over
MONTHS = test_it_follows_dates.test_months_are_dateutils
TRANCHES = test_it_follows_dates.test_tranches_sum_to_the_grant_and_come_in_order
LEVELS = test_it_chains.test_a_level_of_the_tree_cannot_pass_for_leaves

BUGS = [
    ("settle twice", _Draft, "_charge", settle_twice, spending_machine),
    ("forget the tail", _Draft, "_shift", forget_the_tail, spending_machine),
    ("refund an abort", _Draft, "_resolved", refund_an_abort, spending_machine),
    ("shrink a hold", _Draft, "_admitted", shrink_a_hold, spending_machine),
    ("release after dispatch", _Draft, "_released", release_after_dispatch, spending_machine),
    ("return to another lot", _Draft, "_shift", return_to_another_lot, spending_machine),
    ("drop the suspended", _Draft, "_suspended", drop_the_suspended, spending_machine),
    ("a conflict is a repetition", _Draft, "_charge", conflict_is_a_repetition, spending_machine),
    ("draw what has expired", drawing, "eligible", draw_the_dead, nothing_dead_is_drawn),
    ("draw the latest expiry first", drawing, "draw_rank", latest_expiry_first, ORDER),
    ("round each tranche", vesting, "allocate", round_each_tranche, spending_machine),
    ("lose the overage", drawing, "split", overage_is_lost, SPLITS),
    ("lose the tail", drawing, "split", tail_is_lost, SPLITS),
    ("round each tranche, again", vesting, "allocate", round_each_tranche, TRANCHES),
    ("thirty days are a month", calendar, "month_step", thirty_days_are_a_month, MONTHS),
    ("months in UTC", calendar, "month_step", months_in_utc, MONTHS),
    ("31 January and a month is in March", calendar, "month_step", overflow_into_march, MONTHS),
    ("a tier from its very start", rating, "rates_for", tier_from_its_start, PRICES),
    ("reasoning is free", rating, "charge_attos", forget_reasoning, PRICES),
    ("halves go up", rating, "round_half_even", lambda n, d: (2 * n + d) // (2 * d), ROUNDS),
    ("round bounds down", bounding, "ceil_div", lambda n, d: n // d, BOUNDS),
    ("bound one choice", bounding, "bound_nanos_at", one_choice_is_enough, BOUNDS),
    ("bound without overheads", bounding, "_input_parts", no_overheads, BOUNDS),
    ("bound without long contexts", rating, "_every_rates", base_rates_only, BOUNDS),
    ("afford a token too many", bounding, "affordable_output_tokens", one_token_too_many, AFFORDS),
    ("hash leaves as nodes", chaining, "_LEAF", b"\x01", LEVELS),
]


@pytest.mark.parametrize(("where", "name", "mutant", "check"), [bug[1:] for bug in BUGS], ids=[bug[0] for bug in BUGS])
def test_a_planted_bug_is_caught(monkeypatch, where, name, mutant, check):
    monkeypatch.setattr(where, name, mutant)
    if hasattr(check, "hypothesis"):
        monkeypatch.setattr(check, "_hypothesis_internal_use_settings", QUICK)
    with pytest.raises((AssertionError, ValueError)):
        check()
