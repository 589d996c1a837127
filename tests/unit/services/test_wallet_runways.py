"""Runways from the ledger's own days: Ada spends 8 credits a day, Bo 1, Cleo nothing yet, each of 100 in January."""

from datetime import date

import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, firm_of_ten_days
from tokenroll.services.lake_feeding import feed_slice
from tokenroll.services.meter_quarantine import quarantined
from tokenroll.services.wallet_runways import members_only, wallet_runways
from tokenroll.store.cycles import CycleBook
from tokenroll.store.lake import open_lake, read_lake
from tokenroll.store.lake_queries import UsageQuery
from tokenroll.store.rollups import roll_up, sums_of


@pytest.fixture
def firm():
    return firm_of_ten_days()


def told(firm):
    books = firm.reports
    return {one.name: one for one in wallet_runways(books.connection, books.now, members_only(books.wallets()))}


def test_who_spends_eight_a_day_of_twenty_is_dry_on_the_third_day(firm):
    found = told(firm)
    ada, bo, cleo = (found[name] for name in ("Ada", "Bo", "Cleo"))
    assert list(found) == ["Ada", "Bo", "Cleo"]
    assert (ada.left_nanos, ada.days_left, ada.last_on, ada.past_days) == (20 * CREDIT, 21, date(2026, 1, 31), 10)
    assert (ada.chance, ada.dry_on) == (1.0, (date(2026, 1, 13),) * 3)
    assert bo.chance is not None
    assert bo.chance < 0.01
    assert bo.dry_on == (None, None, None)
    assert (cleo.chance, cleo.past_days, cleo.left_nanos) == (None, 0, 100 * CREDIT)


def test_it_is_the_same_whether_the_ledger_has_summed_its_calls_or_not(firm):
    before = told(firm)
    books = firm.reports
    assert roll_up(books.connection, sums_of(books.connection, CycleBook(books.connection))) == 20
    books.connection.commit()
    assert told(firm) == before


def test_a_wallet_that_is_dry_is_dry_today(firm):
    firm.now = JANUARY + 10 * DAY + 10 * HOUR
    firm.call("Ada", firm.lot_ids("Ada")[0], 20 * CREDIT, bound=20 * CREDIT)
    ada = told(firm)["Ada"]
    assert (ada.left_nanos, ada.chance, ada.dry_on) == (0, 1.0, (date(2026, 1, 11),) * 3)


def test_pools_are_asked_for_by_name(firm):
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    books = firm.reports
    names = {row["name"] for row in books.wallets()}
    assert "Engineering pool" in names
    assert {row["name"] for row in members_only(books.wallets())} == {"Ada", "Bo", "Cleo"}


def test_a_call_whose_meter_is_broken_is_gone_from_the_wallet_and_from_the_pace(firm, tmp_path):
    """Bo, at a credit a day, is charged 80 on the tenth, and 10 of his 100 are left. Cleo's small calls make a credit the usual."""
    firm.now = JANUARY + 9 * DAY + 13 * HOUR
    for _ in range(11):
        firm.call("Cleo", firm.lot_ids("Cleo")[0], 1)
    firm.call("Bo", firm.lot_ids("Bo")[0], 80 * CREDIT, bound=80 * CREDIT)
    firm.now = JANUARY + 10 * DAY + 9 * HOUR
    books = firm.reports
    rows = [row for row in books.wallets() if row["name"] == "Bo"]
    with open_lake(tmp_path) as lake:
        feed_slice(books.connection, lake)
    with read_lake(tmp_path) as view:
        found = quarantined(view, UsageQuery())
    assert [one.charge_nanos for one in found] == [80 * CREDIT]
    (with_it,) = wallet_runways(books.connection, books.now, rows)
    (without,) = wallet_runways(books.connection, books.now, rows, found)
    assert (without.left_nanos, without.past_days, without.left_out.call_count) == (10 * CREDIT, 10, 1)
    assert without.left_out.amount == 80 * CREDIT
    assert (with_it.left_out.call_count, with_it.left_nanos) == (0, 10 * CREDIT)
    assert with_it.dry_on[0] is not None
    assert without.dry_on[0] is not None
    assert with_it.dry_on[0] < without.dry_on[0]
