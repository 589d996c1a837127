"""The spending machine: random lives of two wallets, checked after every step against a count of what happened.

Ada has a wallet and her department a pool. Grants come and vest, calls are held, dispatched, settled, released, lose their
worker and are found out again; the clock jumps both ways; every event may come again. Grants are voided, forfeited,
clawed back, passed on and brought forward, also while calls hold of them. The check knows nothing of the book's arithmetic: it
recounts each lot from the list of holds and how each of them ended, and from the list of what was taken.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.cast import ADA_WALLET, DAY, POOL_WALLET, T0, make_grant, make_settlement
from tests.property.schedules import schedules
from tokenroll.engine import booking, drawing, ending, moving, posting, vesting
from tokenroll.engine.balance import balance_at
from tokenroll.engine.booking import Book, BookingError, ConflictError, Event
from tokenroll.model.entry import Account, Posting
from tokenroll.model.hold import COMPANY_LOT_ID, Hold, ReleaseReason, Slice
from tokenroll.model.identifier import HoldKey
from tokenroll.model.lot import Lot
from tokenroll.model.plan_terms import Clawback, ClawbackBasis
from tokenroll.model.recall import RecallPurpose
from tokenroll.model.settlement import Settlement
from tokenroll.model.vesting import Period, PeriodUnit, Vesting

COLUMNS = {
    RecallPurpose.FORFEITURE: "forfeited_nanos",
    RecallPurpose.CLAWBACK: "clawed_back_nanos",
    RecallPurpose.VOID: "voided_nanos",
    RecallPurpose.TRANSFER: "transferred_out_nanos",
    RecallPurpose.RESCHEDULE: "transferred_out_nanos",
}
ACCOUNTS = {
    RecallPurpose.FORFEITURE: Account.FORFEITED,
    RecallPurpose.CLAWBACK: Account.CLAWED_BACK,
    RecallPurpose.VOID: Account.VOIDED,
    RecallPurpose.TRANSFER: Account.TRANSFERRED_OUT,
    RecallPurpose.RESCHEDULE: Account.TRANSFERRED_OUT,
}
AMOUNTS = st.integers(1, 60) | st.sampled_from([1, 2**53 - 1, 2**53, 10**18])
JUMPS = st.integers(-70 * DAY, 70 * DAY) | st.sampled_from([-1, 1, DAY, 31 * DAY, -31 * DAY])
NEEDS = st.integers(0, 80) | st.sampled_from([0, 1, 2**53, 10**18])


@dataclass
class Life:
    """One hold as the check sees it: its slices, where they are, and what was taken from them."""

    hold: Hold
    place: str = "held"
    sent: bool = False
    settlement: Settlement | None = None

    @property
    def open(self) -> bool:
        return self.place in {"held", "suspense"}


class SpendingMachine(RuleBasedStateMachine):
    """Rules are what can happen, invariants are the laws (DESIGN §4: 1, 2, 3, 5, 7, 9)."""

    open_holds: Bundle[HoldKey] = Bundle("open_holds")
    ended_holds: Bundle[HoldKey] = Bundle("ended_holds")

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.book = Book()
        self.events: list[Event] = []
        self.lives: dict[HoldKey, Life] = {}
        self.granted: Counter[int] = Counter()
        self.taken: list[tuple[RecallPurpose, int, int]] = []
        """What was taken of lots: for what, of which lot, how much."""
        self.owed: list[list[Any]] = []
        """What returns are owed to: purpose, lot, nanos."""
        self.gives = 0
        self.journal: list[tuple[Posting, ...]] = []

    # --- what can happen -----------------------------------------------------------------------------

    @initialize(amount=AMOUNTS)
    def first_grant(self, amount: int) -> None:
        self.happen_grant(ADA_WALLET, amount, Vesting(), 0, None, 100)

    @rule(
        wallet=st.sampled_from([ADA_WALLET, ADA_WALLET, POOL_WALLET]),
        amount=AMOUNTS,
        vesting=schedules(occurrences_max=6),
        offset=st.integers(-40 * DAY, 10 * DAY),
        lifetime=st.none() | st.builds(Period, count=st.integers(1, 60), unit=st.just(PeriodUnit.DAY)),
        priority=st.integers(0, 2),
    )
    def happen_grant(
        self, wallet: int, amount: int, vesting: Vesting, offset: int, lifetime: Period | None, priority: int
    ) -> None:
        grant = make_grant(
            id=len(self.book.grants) + 1,
            wallet_id=wallet,
            amount_nanos=amount,
            vesting=vesting,
            effective_at=self.now + offset,
            lot_lifetime=lifetime,
            priority=priority,
        )
        lots = vesting_of(grant, len(self.book.lots) + 1)
        self.happen(booking.Granted(grant=grant, lots=lots))
        self.granted[wallet] += amount
        names = [f"entry_{number}" for number in range(len(lots) + 1)]
        self.journal += [entry.postings for entry in posting.grant_entries(grant, lots, names)]

    @rule(jump=JUMPS)
    def clock_jumps(self, jump: int) -> None:
        self.now += jump

    @rule(target=open_holds, need=NEEDS, observed=st.booleans())
    def a_call_is_admitted(self, need: int, observed: bool) -> HoldKey | MultipleResults[HoldKey]:
        """Own lots first, then the pool; what is missing is refused, or the company's under observe."""
        own = drawing.draw(self.book.wallet(ADA_WALLET), need, self.now)
        pooled = drawing.draw(self.book.wallet(POOL_WALLET), own.missing_nanos, self.now)
        slices = own.slices + pooled.slices
        self.check_draw(slices, need, pooled.missing_nanos)
        if pooled.missing_nanos:
            if not observed:
                return multiple()
            slices += (Slice(COMPANY_LOT_ID, pooled.missing_nanos),)
        key = HoldKey(1, 1, len(self.lives) + 1)
        hold = Hold(
            key=key, call_number=key.sequence, attempt=1, wallet_id=ADA_WALLET, api_key_id=1, rate_card_id=1,
            bound_nanos=need, slices=slices, admitted_at=self.now,
        )  # fmt: skip
        self.happen(booking.Admitted(hold=hold, at=self.now))
        self.lives[key] = Life(hold)
        return key

    @rule(key=open_holds)
    def it_is_dispatched(self, key: HoldKey) -> None:
        life = self.lives[key]
        if life.place != "held" and not life.sent:
            self.refused(booking.Dispatched(key=key))
            return
        self.happen(booking.Dispatched(key=key))
        life.sent = True

    @rule(target=ended_holds, key=consumes(open_holds), share=st.integers(0, 120))
    def it_settles(self, key: HoldKey, share: int) -> HoldKey:
        """Between nothing and a fifth above the hold; from suspense it is resolved."""
        life = self.lives[key]
        held = life.hold.slices
        consumed, returned = drawing.split(held, min(life.hold.bound_nanos * share // 100, 10**18))
        self.check_split(held, consumed, returned)
        settlement = make_settlement(key.sequence, *consumed, settled_at=self.now)
        if life.place == "suspense":
            self.refused(booking.Settled(settlement=settlement))
            self.happen(booking.Resolved(settlement=settlement))
            self.journal.append(posting.resolve_postings(ADA_WALLET, held, consumed, self.wallets()))
        else:
            if not life.sent:
                self.refused(booking.Settled(settlement=settlement))
                self.happen(booking.Dispatched(key=key))
                life.sent = True
            self.happen(booking.Settled(settlement=settlement))
            self.journal.append(posting.settlement_postings(ADA_WALLET, consumed, self.wallets()))
        life.place, life.settlement = "settled", settlement
        self.pay_owed()
        return key

    @rule(target=ended_holds, key=consumes(open_holds))
    def it_is_released(self, key: HoldKey) -> HoldKey:
        """For the one reason that law 5 allows in its state; the other one is refused."""
        life = self.lives[key]
        right, wrong = ReleaseReason.NEVER_DISPATCHED, ReleaseReason.PROVIDER_ERROR
        if life.sent:
            right, wrong = wrong, right
        self.refused(booking.Released(key=key, reason=wrong))
        if life.place == "suspense":
            self.journal.append(posting.resolve_postings(ADA_WALLET, life.hold.slices, (), self.wallets()))
        self.happen(booking.Released(key=key, reason=right))
        life.place = "released"
        self.pay_owed()
        return key

    @rule(key=open_holds)
    def its_worker_dies(self, key: HoldKey) -> None:
        life = self.lives[key]
        if life.place == "held":
            self.journal.append(posting.suspend_postings(ADA_WALLET, life.hold.slices, self.wallets()))
        self.happen(booking.Suspended(key=key))
        life.place = "suspense"

    @rule(key=ended_holds, extra=st.integers(1, 9))
    def it_settles_differently(self, key: HoldKey, extra: int) -> None:
        """A second, different settlement of one hold conflicts; one of a released hold comes too late."""
        life = self.lives[key]
        charge = extra + (life.settlement.charge_nanos if life.settlement else 0)
        consumed, _ = drawing.split(life.hold.slices, min(charge, 10**18 - extra))
        other = make_settlement(key.sequence, *consumed, settled_at=self.now)
        for event in (booking.Settled(settlement=other), booking.Resolved(settlement=other)):
            error = self.refused(event)
            assert isinstance(error, ConflictError) == (life.settlement is not None)

    # --- endings ---------------------------------------------------------------------------------------

    @rule(
        data=st.data(), purpose=st.sampled_from([RecallPurpose.VOID, RecallPurpose.FORFEITURE, RecallPurpose.CLAWBACK])
    )
    def a_grant_ends(self, data: st.DataObject, purpose: RecallPurpose) -> None:
        """What is free comes at once; what is held is owed, and paid out of the first returns."""
        grant_id = data.draw(st.sampled_from(sorted(self.book.grants)))
        states = [state for state in self.book.lots.values() if state.lot.grant_id == grant_id]
        if purpose is RecallPurpose.VOID:
            parts = ending.unused_parts(states, self.now)
        elif purpose is RecallPurpose.FORFEITURE:
            parts = ending.unvested_parts(states, self.now)
        else:
            terms = Clawback(basis=data.draw(st.sampled_from(ClawbackBasis)), months=data.draw(st.integers(1, 24)))
            vested = [state for state in states if state.lot.effective_at <= self.now]
            nanos = sum(state.lot.amount_nanos for state in vested)
            wanted = ending.clawback_nanos(self.book.grants[grant_id], nanos, terms, self.now, UTC)
            assert 0 <= wanted <= nanos
            parts = ending.clawback_parts(vested, self.now, wanted)
            assert sum(part.nanos for part in parts) <= wanted
        for lot_id, wanted in parts:
            given = min(wanted, self.free(lot_id))
            self.happen_taken(purpose, lot_id, given)
            if wanted > given:
                self.owed.append([purpose, lot_id, wanted - given])

    @rule(nanos=AMOUNTS, there=st.booleans())
    def credits_are_passed_on(self, nanos: int, there: bool) -> None:
        """All of it or nothing; the lot that they are in then has the same grant, dates and classification."""
        giver, taker = (ADA_WALLET, POOL_WALLET) if there else (POOL_WALLET, ADA_WALLET)
        states = [state for state in self.book.wallet(giver) if self.free(state.lot.id) == state.remainder_nanos]
        parts, missing = moving.transfer_parts(states, nanos, self.now)
        if missing:
            return
        assert sum(part.nanos for part in parts) == nanos
        for lot_id, taken in parts:
            lot = self.book.lots[lot_id].lot
            self.happen_moved(RecallPurpose.TRANSFER, lot, replace(lot, wallet_id=taker), taken)

    @rule(data=st.data(), nanos=st.none() | AMOUNTS)
    def vesting_is_brought_forward(self, data: st.DataObject, nanos: int | None) -> None:
        grant_id = data.draw(st.sampled_from(sorted(self.book.grants)))
        states = [state for state in self.book.lots.values() if state.lot.grant_id == grant_id]
        parts, missing = moving.accelerated_parts(states, nanos, self.now)
        assert nanos is None or sum(part.nanos for part in parts) == nanos - missing
        for lot_id, taken in parts:
            lot = self.book.lots[lot_id].lot
            lasts = None if lot.expires_at is None else self.now + lot.expires_at - lot.effective_at
            dated = replace(lot, effective_at=self.now, expires_at=lasts)
            self.happen_moved(RecallPurpose.RESCHEDULE, lot, dated, min(taken, self.free(lot_id)))

    def free(self, lot_id: int) -> int:
        """What is left of a lot and owed to nobody."""
        owed = sum(nanos for _, owed_lot, nanos in self.owed if owed_lot == lot_id)
        return max(0, self.book.lots[lot_id].remainder_nanos - owed)

    def happen_taken(self, purpose: RecallPurpose, lot_id: int, nanos: int) -> None:
        if not nanos:
            return
        self.gives += 1
        self.refused(booking.Recalled(number=self.gives, purpose=purpose, parts=(Slice(lot_id, 2 * 10**18),)))
        self.happen(booking.Recalled(number=self.gives, purpose=purpose, parts=(Slice(lot_id, nanos),)))
        self.taken.append((purpose, lot_id, nanos))
        lot = self.book.lots[lot_id].lot
        self.journal.append(posting.taken_postings(lot, nanos, self.now, ACCOUNTS[purpose]))
        if self.now < lot.effective_at:
            self.journal.append(posting.unvest_postings(lot, nanos))

    def happen_moved(self, purpose: RecallPurpose, lot: Lot, to: Lot, nanos: int) -> None:
        if not nanos:
            return
        self.gives += 1
        moved = replace(to, id=len(self.book.lots) + 1, amount_nanos=nanos, origin_lot_id=lot.id)
        event = booking.Recalled(number=self.gives, purpose=purpose, parts=(Slice(lot.id, nanos),), moved=(moved,))
        self.refused(replace(event, moved=()))
        self.refused(replace(event, moved=(replace(moved, amount_nanos=nanos - 1),)))
        self.happen(event)
        self.taken.append((purpose, lot.id, nanos))
        self.journal.append(posting.moved_postings(lot, moved, self.now))
        self.journal.append(posting.unvest_postings(moved, -nanos))
        if self.now < lot.effective_at:
            self.journal.append(posting.unvest_postings(lot, nanos))

    def pay_owed(self) -> None:
        """Calls returned something: what is owed of those lots is paid first."""
        for one in self.owed:
            purpose, lot_id, owed = one
            given = min(owed, self.book.lots[lot_id].remainder_nanos)
            self.happen_taken(purpose, lot_id, given)
            one[2] -= given
        self.owed = [one for one in self.owed if one[2]]

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def an_event_comes_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.events))
        assert booking.apply(self.book, event) is self.book, f"{event} changed the book when it came again"

    # --- the laws -------------------------------------------------------------------------------------

    @invariant()
    def every_lot_conserves(self) -> None:
        """Each part of each lot is the recount of holds; nothing is negative; the parts make up the whole."""
        counted = {place: Counter[int]() for place in ("held", "suspense", "spent")}
        company = 0
        for life in self.lives.values():
            for lot_id, nanos in life.hold.slices if life.open else ():
                counted[life.place][lot_id] += nanos
            for lot_id, nanos in life.settlement.consumed if life.settlement else ():
                counted["spent"][lot_id] += nanos
                company += nanos if lot_id == COMPANY_LOT_ID else 0
        taken = {column: Counter[int]() for column in set(COLUMNS.values())}
        for purpose, lot_id, nanos in self.taken:
            taken[COLUMNS[purpose]][lot_id] += nanos
        for lot_id, state in self.book.lots.items():
            parts = (state.held_nanos, state.suspense_nanos, state.spent_nanos)
            assert parts == (counted["held"][lot_id], counted["suspense"][lot_id], counted["spent"][lot_id])
            gone = {column: getattr(state, column) for column in taken}
            assert gone == {column: of_lots[lot_id] for column, of_lots in taken.items()}
            assert sum(parts) + sum(gone.values()) <= state.lot.amount_nanos, f"lot {lot_id} is overdrawn"
        assert self.book.company_nanos == company

    @invariant()
    def every_wallet_conserves_at_any_instant(self) -> None:
        """What was granted is somewhere, now and at instants far before and after; available is never negative."""
        for wallet in (ADA_WALLET, POOL_WALLET):
            for at in (self.now, self.now - 50 * DAY, self.now + 45 * DAY, T0):
                one = balance_at(self.book.wallet(wallet), at, leased=False)
                assert one.granted_nanos == self.granted[wallet]
                assert one.transferred_in_nanos == self.came_in(wallet)
                assert one.available_nanos >= 0
                kept = one.unvested_nanos + one.available_nanos + one.breakage_nanos + one.pending_nanos
                gone = one.forfeited_nanos + one.clawed_back_nanos + one.voided_nanos + one.transferred_out_nanos
                assert kept + gone + one.spent_nanos == self.granted[wallet] + self.came_in(wallet)
                assert replace(one, available_nanos=0, leased_nanos=one.available_nanos) == balance_at(
                    self.book.wallet(wallet), at, leased=True
                )

    @invariant()
    def what_lapsed_is_breakage_and_what_is_held_is_not(self) -> None:
        for state in self.book.lots.values():
            if state.lot.expires_at is not None and self.now >= state.lot.expires_at:
                one = balance_at([state], self.now, leased=False)
                assert (one.available_nanos, one.breakage_nanos) == (0, state.remainder_nanos)
                assert one.pending_nanos == state.held_nanos + state.suspense_nanos

    @invariant()
    def the_journal_says_the_same(self) -> None:
        """Every entry sums to zero, and per lot the accounts of the journal are the parts of the book."""
        sums: Counter[tuple[Account, int, int]] = Counter()
        for postings in self.journal:
            assert sum(leg.nanos for leg in postings) == 0
            for leg in postings:
                sums[leg.account, leg.wallet_id, leg.lot_id] += leg.nanos
        for lot_id, state in self.book.lots.items():
            wallet = state.lot.wallet_id
            source = Account.GRANTED if state.lot.origin_lot_id is None else Account.TRANSFERRED_IN
            assert sums[source, wallet, lot_id] == -state.lot.amount_nanos
            for purpose, account in ACCOUNTS.items():
                assert sums[account, wallet, lot_id] == getattr(state, COLUMNS[purpose])
            assert sums[Account.UNVESTED, wallet, lot_id] == 0
            assert sums[Account.SPENT, wallet, lot_id] == state.spent_nanos
            assert sums[Account.SUSPENSE, wallet, lot_id] == state.suspense_nanos
            assert sums[Account.AVAILABLE, wallet, lot_id] == state.remainder_nanos + state.held_nanos
        assert sums[Account.COMPANY_SPENT, ADA_WALLET, COMPANY_LOT_ID] == self.book.company_nanos

    def teardown(self) -> None:
        """Replaying the journal from empty gives the stored values (law 8), however often its events came."""
        assert booking.replay(self.events) == self.book
        assert booking.replay([*self.events, *self.events]) == self.book

    # --- helpers --------------------------------------------------------------------------------------

    def happen(self, event: Event) -> None:
        before, copies = self.book, dict(self.book.lots)
        self.book = booking.apply(self.book, event)
        assert dict(before.lots) == copies, "the old book changed"
        self.events.append(event)

    def refused(self, event: Event) -> BookingError:
        before = replace(self.book, lots=dict(self.book.lots), holds=dict(self.book.holds))
        try:
            booking.apply(self.book, event)
        except BookingError as error:
            assert self.book == before
            return error
        raise AssertionError(f"{event} should have been refused")

    def came_in(self, wallet: int) -> int:
        """What moved into a wallet, or within it to other dates."""
        lots = self.book.lots
        came = 0
        for purpose, lot_id, nanos in self.taken:
            giver = lots[lot_id].lot.wallet_id
            taker = {ADA_WALLET: POOL_WALLET, POOL_WALLET: ADA_WALLET}[giver]
            to = {RecallPurpose.TRANSFER: taker, RecallPurpose.RESCHEDULE: giver}.get(purpose)
            came += nanos if to == wallet else 0
        return came

    def wallets(self) -> dict[int, int]:
        return {lot_id: state.lot.wallet_id for lot_id, state in self.book.lots.items()}

    def check_draw(self, slices: tuple[Slice, ...], need: int, missing: int) -> None:
        """No overspend and no false denial: all that is needed, or all there is, and never past a better lot."""
        free = Counter[int]()
        for lot_id, state in self.book.lots.items():
            alive = state.lot.effective_at <= self.now and (
                state.lot.expires_at is None or self.now < state.lot.expires_at
            )
            free[lot_id] = state.remainder_nanos if alive else 0
        assert sum(nanos for _, nanos in slices) == need - missing == min(need, free.total())
        for lot_id, nanos in slices:
            free[lot_id] -= nanos
        assert min(free.values(), default=0) >= 0
        last = {self.book.lots[lot_id].lot.wallet_id: self.book.lots[lot_id].lot for lot_id, _ in slices}
        for lot_id, left in free.items():
            lot = self.book.lots[lot_id].lot
            if left and lot.wallet_id in last:
                worst = last[lot.wallet_id]
                assert lot.id == worst.id or rank(worst) < rank(lot)

    def check_split(self, held: tuple[Slice, ...], consumed: tuple[Slice, ...], returned: tuple[Slice, ...]) -> None:
        back = Counter[int]()
        for lot_id, nanos in (*consumed, *returned):
            back[lot_id] += nanos
        for lot_id, nanos in held:
            back[lot_id] -= nanos
        assert all(nanos == 0 for lot_id, nanos in back.items() if lot_id != COMPANY_LOT_ID)
        assert back[COMPANY_LOT_ID] >= 0


def rank(lot: Lot) -> tuple[int, bool, int, int, int]:
    """The draw order in words of its own: priority, expiry with none last, start, id."""
    return lot.priority, lot.expires_at is None, lot.expires_at or 0, lot.effective_at, lot.id


def vesting_of(grant, first_lot_id):
    lots = vesting.vest(grant, UTC, first_lot_id)
    assert sum(lot.amount_nanos for lot in lots) == grant.amount_nanos
    return lots
