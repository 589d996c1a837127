"""A settlement above its hold is counted and told, because its bound is wrong; no other one is."""

import logging

import pytest

from tests.cast import ADA_WALLET, CREDIT
from tests.desk import Desk, lot, make_facts, wallet
from tokenroll.model.limits import ABOVE_HOLD_LINES_MAX
from tokenroll.services.hot import HotHold

CHAT = 0
"""The index of chat completions."""


def admitted(desk: Desk) -> HotHold:
    hold = desk.admit(make_facts())
    assert isinstance(hold, HotHold)
    desk.dispatch(hold)
    return hold


def test_what_costs_more_than_was_held_is_counted_and_told_without_a_word_of_the_call(tmp_path, caplog):
    desk = Desk(tmp_path, wallet(lot(10, 100 * CREDIT)))
    hold = admitted(desk)
    bound = hold.bound_nanos
    with caplog.at_level(logging.WARNING):
        charge = desk.settle(hold, output=5_000_000)
    assert charge > bound
    assert desk.spending.above_hold.counts == {CHAT: 1}
    (line,) = caplog.messages
    assert line == (
        f"call_{hold.call_number_bytes.hex()} to {hold.card.card.model} cost {charge // CREDIT}.{charge % CREDIT:09d} credits, "
        f"above its hold of {bound // CREDIT}.{bound % CREDIT:09d}: a bound is wrong; the company carries the rest."
    )
    assert desk.spending.wallets[ADA_WALLET].carried_nanos == charge - bound


@pytest.mark.parametrize("enforcement", ["enforce", "observe"])
def test_a_call_within_its_hold_is_no_news_even_where_the_company_carries_some_of_it(tmp_path, caplog, enforcement):
    desk = Desk(tmp_path, wallet(lot(10, 100 * CREDIT if enforcement == "enforce" else 1_000), enforcement=enforcement))
    hold = admitted(desk)
    assert (hold.company_nanos > 0) is (enforcement == "observe")
    charge = desk.settle(hold, input=10, output=5)
    assert 1_000 < charge <= hold.bound_nanos
    assert not desk.spending.above_hold.counts
    assert not caplog.messages


def test_the_log_tells_of_a_thousand_and_the_counter_of_all(tmp_path, caplog):
    desk = Desk(tmp_path, wallet(lot(10, 1_000_000 * CREDIT)))
    hold = admitted(desk)
    with caplog.at_level(logging.WARNING):
        for _ in range(ABOVE_HOLD_LINES_MAX + 5):
            desk.spending.above_hold.add(hold, hold.bound_nanos + 1)
    assert desk.spending.above_hold.counts == {CHAT: 1_005}
    assert len(caplog.messages) == 1_000
    assert [line.endswith(" Further ones are counted only.") for line in caplog.messages].index(True) == 999
