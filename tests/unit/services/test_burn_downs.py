"""Burn-downs from the ledger's own days: Ada spends 8 credits a day of 100 in January, Bo 1, Cleo nothing yet."""

from datetime import date, timedelta

import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, firm_of_ten_days
from tokenroll.services.burn_downs import (
    burn_down_json,
    burn_down_picture,
    burn_down_rows,
    sentences,
    wallet_burn_down,
)
from tokenroll.services.drawing import drawn


@pytest.fixture
def firm():
    return firm_of_ten_days()


def told(firm, name):
    books = firm.reports
    return wallet_burn_down(books.connection, books.now, books.wallet(name))


def test_the_past_is_what_was_left_when_each_day_began(firm):
    found = told(firm, "Ada")
    left = [(on.day, nanos // CREDIT) for on, nanos in found.past]
    assert left == [
        (1, 100),
        (2, 92),
        (3, 84),
        (4, 76),
        (5, 68),
        (6, 60),
        (7, 52),
        (8, 44),
        (9, 36),
        (10, 28),
        (11, 20),
        (11, 20),
    ]
    assert (found.today, found.ends_on) == (date(2026, 1, 11), date(2026, 2, 1))


def test_the_cone_begins_with_what_is_left_and_ends_at_nothing(firm):
    found = told(firm, "Ada")
    first, second, third, *rest = found.ahead
    assert (first.on, first.low_95, first.middle, first.high_95) == (date(2026, 1, 11), 20.0, 20.0, 20.0)
    assert (second.on, second.middle, third.middle) == (date(2026, 1, 12), 12.0, 4.0)
    assert [one.middle for one in rest] == [0.0] * 19
    assert rest[-1].on == date(2026, 2, 1)


def test_words_come_first(firm):
    assert sentences(told(firm, "Ada")) == (
        "Your wallet is likely to run dry before the cycle ends on 31 January: the chance is 100 %.",
        "It is dry with a chance of 10 % by 13 January, of 50 % by 13 January, of 90 % by 13 January.",
    )
    assert sentences(told(firm, "Bo"), "Bo's wallet")[0] == (
        "Bo's wallet most likely lasts: the chance that it runs dry before the cycle ends on 31 January is 0 %."
    )
    assert sentences(told(firm, "Cleo")) == (
        "How long your wallet lasts is said once there are 3 days since its first call: 3 more days.",
        "The cycle ends on 31 January.",
    )
    firm.now += HOUR
    firm.call("Ada", firm.lot_ids("Ada")[0], 20 * CREDIT, bound=20 * CREDIT)
    assert sentences(told(firm, "Ada")) == ("Your wallet is empty, and the cycle ends on 31 January.",)
    assert told(firm, "Ada").ahead == ()


def test_a_lot_counts_from_its_day_to_its_day(firm):
    firm.do("plan.create", name="day pass", kind="stipend", classification="tool", amount_nanos=5 * CREDIT, lifetime="7d",
            effective_at=JANUARY)  # fmt: skip
    firm.do("grant.create", to="Cleo", plan="day pass", effective_at=JANUARY + 2 * DAY)
    assert [(on.day, nanos // CREDIT) for on, nanos in told(firm, "Cleo").past] == [
        (1, 100), (2, 100), (3, 105), (4, 105), (5, 105), (6, 105), (7, 105), (8, 105), (9, 105), (10, 100), (11, 100), (11, 100),
    ]  # fmt: skip


def test_the_table_holds_the_picture_and_programs_the_same(firm):
    found = told(firm, "Ada")
    rows = burn_down_rows(found)
    assert rows[0] == ["2026-01-01", "100.00", ""]
    # ten days that are alike are worth 6.72: a level spreads by 0.8 x 0.4 / sqrt(6.72 + 1) = 0.1152. A tenth of all scenarios is
    # 11.76 % of those with a level: 1.187 widths, so 1.1465 times eight and more, which leaves 10.83, or 0.8723 times, 13.02
    assert rows[10:13] == [
        ["2026-01-11", "20.00", ""],
        ["2026-01-11, now", "20.00", ""],
        ["2026-01-12", "12.00", "10.83 to 13.02"],
    ]
    said = burn_down_json(found)
    assert said["past"][1] == {"on": "2026-01-02", "left_nanos": 92 * CREDIT}
    assert (said["cone"][1]["on"], said["cone"][1]["middle"], said["unit"]) == ("2026-01-12", 12.0, "credits")
    assert said["chance"] == 1.0


@pytest.mark.parametrize(("form", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF-")])
def test_it_is_drawn_in_every_format(firm, form, begins):
    assert drawn(burn_down_picture(told(firm, "Ada"), "Ada's wallet"), form).startswith(begins)


def test_a_wallet_of_many_years_is_drawn_for_one_cycle(firm):
    firm.do("grant.create", to="Bo", plan="tools", amount_nanos=999_999_999 * CREDIT)
    found = told(firm, "Bo")
    assert found.runway.left_nanos == 1_000_000_089 * CREDIT
    assert len(found.ahead) == 22
    assert found.ahead[-1].on - found.ahead[0].on == timedelta(days=21)
