"""One number, two ways: a wallet's amounts from rows as they come are those of the nouns, for any lots at any time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tests.tampering import change
from tokenroll.services.holdings import amounts_for_people, amounts_of, states_by_wallet, unspent_of

GRANTS = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([None, "1m", "1d", "45d"]), st.integers(0, 40)), max_size=4
)


@settings(max_examples=settings().max_examples // 3)  # each makes a ledger
@given(
    grants=GRANTS, calls=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=4), day=st.integers(0, 90)
)
def test_rows_show_what_nouns_show(grants, calls, day):
    firm = Firm()
    firm.hire("Ada")
    for number, (amount, lifetime, delay) in enumerate(grants):
        kind = "compensation" if number % 2 else "tool"
        terms = {} if lifetime is None else {"lifetime": lifetime}
        firm.do(
            "plan.create",
            name=f"plan {number}",
            kind="stipend",
            classification=kind,
            amount_nanos=amount * CREDIT,
            **terms,
        )
        firm.do("grant.create", to="Ada", plan=f"plan {number}", effective_at=JANUARY + delay * DAY)
    firm.now = JANUARY + HOUR
    lots = firm.lot_ids("Ada")
    for place, end in calls:
        if place < len(lots) and not grants[place][2]:
            sequence = firm.hold("Ada", (lots[place], CREDIT // 8))
            if end == 1:
                firm.settle(sequence, CREDIT // 16)
            elif end:
                firm.lapse(sequence)
    firm.connection.rollback()
    wallet, at = firm.wallet_id("Ada"), JANUARY + day * DAY
    states = states_by_wallet(firm.connection, [wallet]).get(wallet, [])
    kinds = sorted({one.lot.classification.value for one in states})
    shown = amounts_for_people(states, at)
    assert amounts_of(firm.connection, wallet, at) == (shown, kinds)
    unspent = shown["left_nanos"] + shown["in_use_nanos"] + shown["being_checked_nanos"]
    assert unspent_of(firm.connection, [wallet], at).get(wallet, 0) == unspent


@pytest.mark.parametrize(
    ("at", "unspent"), [(JANUARY - 1, 11), (JANUARY, 3 * CREDIT - 1_111_100), (JANUARY + 40 * DAY, 11)],
    ids=["to come", "now", "over"],
)  # fmt: skip
def test_what_went_anywhere_is_not_unspent(at, unspent):
    """One nano in use, ten being checked, a hundred spent, and a power of ten each forfeited, clawed back, voided and passed on."""
    firm = Firm()
    firm.hire("Ada")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=3 * CREDIT, lifetime="1m")
    firm.do("grant.create", to="Ada", plan="tools", effective_at=JANUARY)
    (lot,) = firm.lot_ids("Ada")
    firm.connection.rollback()
    with firm.connection.begin():
        change(
            firm.connection, "UPDATE lot_values SET held_nanos = 1, suspense_nanos = 10, spent_nanos = 100, forfeited_nanos = 1000, "
            "clawed_back_nanos = 10000, voided_nanos = 100000, transferred_out_nanos = 1000000 WHERE lot_id = ?", lot,
        )  # fmt: skip
    wallet = firm.wallet_id("Ada")
    assert unspent_of(firm.connection, [wallet], at) == {wallet: unspent}
