"""A million slips are made of rows where the engine's plain slip is made of nouns: over random lots both say the same, or both refuse."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import ADA_WALLET, DAY, make_lot, utc
from tokenroll.engine.paying import NO_STATE, CycleFacts, LotFacts, LotOrigin, pay_slip, slip_amounts
from tokenroll.model.lot import LotState
from tokenroll.model.pay_cycle import PayCycle, PayCycleKind

START, END = utc("2026-01-01"), utc("2026-02-01")
CYCLE = PayCycle(kind=PayCycleKind.MONTHLY, name="2026-01", zone="UTC", start_at=START, end_until=END)
FIELDS = ("held", "suspense", "spent", "forfeited", "clawed_back", "voided", "transferred_out")
BESIDE_LOTS = {"wallet_id", "cycle_name", "granted_nanos", "company_carried_nanos", "call_count"}
INSTANTS = st.sampled_from(
    [START - DAY, START - 1, START, START + 1, START + 9 * DAY, END - 1, END, END + 1, END + DAY]
)


@st.composite
def lots(draw: st.DrawFn) -> LotFacts:
    """A lot whose state grows from opening to closing as calls, expiry and HR may make it grow; sometimes its spending is a lie."""
    effective_at = draw(INSTANTS)
    expires_at = draw(st.none() | st.integers(1, 3).map(lambda days: effective_at + 10 * days * DAY) | st.just(END))
    if expires_at is not None and expires_at <= effective_at:
        expires_at = None
    one = make_lot(amount_nanos=draw(st.integers(0, 300)), effective_at=effective_at, expires_at=expires_at)
    rest = one.amount_nanos
    before = {}
    for name in FIELDS:
        before[name] = draw(st.integers(0, rest // 2))
        rest -= before[name]
    after = dict(before)
    released = draw(st.integers(0, before["held"]))
    after["held"] -= released
    rest += released
    spent = draw(st.integers(0, rest))
    adjusted = draw(st.integers(0, rest - spent))
    after["spent"] += spent + adjusted
    rest -= spent + adjusted
    for name in FIELDS[3:]:
        more = draw(st.integers(0, rest // 3))
        after[name] += more
        rest -= more
    known = draw(st.booleans())
    lie = draw(st.sampled_from([0, 0, 0, 0, 1]))
    return LotFacts(
        opened=LotState(lot=one, **{f"{name}_nanos": nanos for name, nanos in before.items()}) if known else None,
        closed=LotState(lot=one, **{f"{name}_nanos": nanos for name, nanos in after.items()}),
        spent_nanos=spent + lie,
        adjusted_nanos=adjusted,
        origin=draw(st.sampled_from(LotOrigin)),
        rolls_over_at=draw(st.none() | INSTANTS),
    )


def row(one: LotFacts):
    """The same lot as a pay run reads it."""
    lot = one.closed.lot
    states = [
        None if state is None else tuple(getattr(state, f"{name}_nanos") for name in FIELDS)
        for state in (one.opened, one.closed)
    ]
    return (
        lot.amount_nanos,
        lot.effective_at,
        lot.expires_at,
        int(one.origin),
        *states,
        one.spent_nanos,
        one.adjusted_nanos,
        one.rolls_over_at,
    )


@given(wallet=st.lists(lots(), max_size=4))
def test_rows_make_the_slip_that_nouns_make(wallet):
    rows = [row(one) for one in wallet]
    try:
        plain = asdict(pay_slip(CycleFacts(wallet_id=ADA_WALLET, cycle=CYCLE, lots=tuple(wallet))))
    except AssertionError:
        with pytest.raises(AssertionError, match="opening \\+ movements"):
            slip_amounts(START, END, rows)
        return
    told = slip_amounts(START, END, rows)
    for name in plain.keys() - BESIDE_LOTS:
        assert told.get(name, None if name.endswith("_at") else 0) == plain[name], name


@given(wallet=st.lists(lots(), min_size=1, max_size=3), data=st.data())
def test_a_state_that_no_lot_can_have_makes_no_slip(wallet, data):
    rows = [list(row(one)) for one in wallet]
    broken = data.draw(st.integers(0, len(rows) - 1))
    state = list(NO_STATE)
    state[data.draw(st.integers(0, len(state) - 1))] = data.draw(st.sampled_from([-1, rows[broken][0] + 1]))
    rows[broken][5] = tuple(state)
    with pytest.raises(AssertionError):
        slip_amounts(START, END, [tuple(one) for one in rows])
