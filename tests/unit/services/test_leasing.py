"""What a worker is told of wallets and keys: in parts of any size the same, each wallet with what may still be held of it."""

import pytest

from tests.firm import CREDIT, DAY, JANUARY, Firm
from tokenroll.services import leasing
from tokenroll.services.leasing import key_terms, lease_parts, view_parts

PEOPLE = ("Ada", "Bo", "Cleo", "Dev", "Mei")


@pytest.fixture
def firm():
    one = Firm()
    one.do("plan.create", name="month", kind="stipend", classification="tool", amount_nanos=10 * CREDIT, lifetime="1m")
    one.do("plan.create", name="once", kind="stipend", classification="tool", amount_nanos=7 * CREDIT)
    for place, name in enumerate(PEOPLE):
        one.hire(name)
        one.do("key.create", member=name, name=f"{name}'s", secret_hash=f"{place:02x}" * 32, shown_prefix="tr-")
    return one


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_keys_are_told_in_parts_each_once_and_without_revoked_ones(firm, monkeypatch, size):
    firm.do("key.revoke", key="Dev's")
    firm.connection.rollback()
    monkeypatch.setattr(leasing, "KEYS_PER_MESSAGE", size)
    told = [key for part in view_parts(firm.connection, firm.now) for key in part.keys]
    assert told == key_terms(firm.connection, firm.now)
    assert [(key.secret_hash[0], key.wallet_id) for key in told] == [
        (0, firm.wallet_id("Ada")), (1, firm.wallet_id("Bo")), (2, firm.wallet_id("Cleo")),
        (4, firm.wallet_id("Mei")),
    ]  # fmt: skip
    some = key_terms(firm.connection, firm.now, [told[2].id, told[0].id])
    assert some == [told[0], told[2]]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_wallets_are_told_in_parts_with_what_may_still_be_held_of_their_lots(firm, monkeypatch, size):
    for name in ("Ada", "Bo"):
        firm.do("grant.create", to=name, plan="month")
        firm.do("grant.create", to=name, plan="once")
    short, long = firm.lot_ids("Bo")[-2:]
    firm.settle(firm.hold("Bo", (short, 10 * CREDIT)), 10 * CREDIT)
    firm.lapse(firm.hold("Bo", (long, 2 * CREDIT)))
    firm.connection.rollback()
    monkeypatch.setattr(leasing, "WALLETS_PER_MESSAGE", size)

    def told(at):
        terms = {one.name: one for part in lease_parts(firm.connection, 1, at) for one in part.wallets}
        return {name: {lot.id: lot.available_nanos for lot in terms[name].lots} for name in ("Ada", "Bo")}, terms["Bo"]

    lots, bo = told(firm.now)
    ada = firm.lot_ids("Ada")[-2:]
    assert lots == {"Ada": {ada[0]: 10 * CREDIT, ada[1]: 7 * CREDIT}, "Bo": {long: 5 * CREDIT}}
    assert (bo.spent_nanos, bo.held_nanos, bo.suspense_nanos) == (10 * CREDIT, 0, 2 * CREDIT)
    assert told(JANUARY + 31 * DAY)[0] == {"Ada": {ada[1]: 7 * CREDIT}, "Bo": {long: 5 * CREDIT}}
