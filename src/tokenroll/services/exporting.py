"""The ledger as a journal of days: grants, vesting, settlements, suspense and breakage, with balances from another source.

Movements are added up from the journal's rows. What balances must be comes from elsewhere: from the stored pay slips at each
closed cycle's end, and from the ledger's values at the end. A text that any reader accepts is thus a check of the three.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.books import journal_text as books
from tokenroll.books.journal_text import Assertion, JournalText, Leg, Movement, OpenAccount
from tokenroll.books.words import CARRIED, CHARGED_AROUND, OPENING_VALUE, words_of
from tokenroll.model.entry import Account, EntryKind
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant, datetime_from_instant
from tokenroll.model.lot import LotState
from tokenroll.model.pay_cycle import PayCycle
from tokenroll.services.holdings import states_by_wallet
from tokenroll.services.slip_making import STATE_FIELDS
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.cycles import REGULAR, CycleBook
from tokenroll.store.lease_book import in_suspense

_ROWS_PER_FETCH: Final = 10_000
"""A server is asked for so many settlements at a time, instead of for all."""
_RECALL_TEXTS: Final = {
    EntryKind.FORFEIT.value: "forfeited",
    EntryKind.CLAW_BACK.value: "taken back",
    EntryKind.VOID.value: "voided",
    EntryKind.TRANSFER.value: "passed on",
    EntryKind.RESCHEDULE.value: "put on other dates",
    EntryKind.VEST.value: "vesting of what was moved or taken",
}
_RECALL_ACCOUNTS: Final = {
    Account.UNVESTED: books.unvested,
    Account.AVAILABLE: books.available,
    Account.FORFEITED: books.forfeited,
    Account.CLAWED_BACK: books.clawed_back,
    Account.VOIDED: books.voided,
    Account.TRANSFERRED_OUT: books.transferred,
    Account.TRANSFERRED_IN: books.transferred,
}


def journal_of(connection: Connection, now: Instant, title: str) -> JournalText:
    """Everything up to `now`, in one snapshot."""
    return _Export(connection, now).journal(title)


class _Export:
    """One export being made: rows are read once, movements collected by day."""

    def __init__(self, connection: Connection, now: Instant) -> None:
        self.connection = connection
        self.now = now
        rows = connection.execute(select(schema.wallets).order_by(schema.wallets.c.id)).all()
        self.wallets: dict[int, Row[Any]] = {row.id: row for row in rows}
        self.states = states_by_wallet(connection)
        self.lots: dict[int, LotState] = {one.lot.id: one for known in self.states.values() for one in known}
        self.cycles = CycleBook(connection)
        grants = connection.execute(select(schema.grants).order_by(schema.grants.c.id)).all()
        self.grants: dict[int, Row[Any]] = {row.id: row for row in grants}
        opened = schema.openings.c.grant_id
        self.opened = set(connection.scalars(select(opened).where(opened.is_not(None))))

    def journal(self, title: str) -> JournalText:
        movements = [
            *self._grants(), *self._recalls(), *self._settlements(), *self._charges(), *self._suspense(), *self._breakage(), *self._variances(),
        ]  # fmt: skip
        movements.sort(key=lambda one: one.on)
        closed = self._closed_cycles()
        last = {wallet_id: self._day(wallet_id, self.now) for wallet_id in self.wallets}
        assertions = [*_daily(movements, {(one.account, one.on) for one in closed}, last), *closed, *self._final(last)]
        return JournalText(title=title, accounts=self._accounts(movements), movements=movements, assertions=assertions)

    # ---- movements ------------------------------------------------------------------------------------------------

    def _grants(self) -> Iterable[Movement]:
        for grant in self.grants.values():
            if grant.recorded_at > self.now:
                continue
            wallet_id = grant.wallet_id
            words = words_of(grant.classification)
            opens = grant.id in self.opened
            what = f"{OPENING_VALUE if opens else words.kinds[grant.kind]} ({words.allowance})"
            yield Movement(
                on=self._day(wallet_id, max(grant.effective_at, grant.recorded_at)),
                text=what,
                reference=grant.public_id,
                legs=(
                    Leg((books.opening if opens else books.granted)(wallet_id), -grant.amount_nanos),
                    Leg(books.unvested(wallet_id), grant.amount_nanos),
                ),
            )
            own = (one.lot for one in self.states.get(wallet_id, ()) if one.lot.grant_id == grant.id)
            for lot in (one for one in own if one.origin_lot_id is None):
                vests_at = max(lot.effective_at, grant.recorded_at)
                if vests_at <= self.now:
                    yield Movement(
                        on=self._day(wallet_id, vests_at),
                        text=f"{what} {words.vests}",
                        reference=grant.public_id,
                        legs=(
                            Leg(books.unvested(wallet_id), -lot.amount_nanos),
                            Leg(books.available(wallet_id), lot.amount_nanos),
                        ),
                    )

    def _recalls(self) -> Iterable[Movement]:
        """What left lots by other ways than calls, and what that made of vesting that was booked in advance; by wallet, in its days."""
        entries, postings = schema.entries, schema.postings
        query = (
            select(entries, postings.c.account, postings.c.wallet_id, postings.c.lot_id, postings.c.nanos)
            .join(postings, postings.c.ledger_seq == entries.c.ledger_seq)
            .where(entries.c.kind.in_(_RECALL_TEXTS), entries.c.effective_at <= self.now)
            .order_by(entries.c.ledger_seq, postings.c.leg)
        )
        legs: dict[tuple[int, int], list[Leg]] = {}
        rows: dict[tuple[int, int], Row[Any]] = {}
        for row in self.connection.execute(query):
            moved = self.lots[row.lot_id].lot.origin_lot_id is not None
            if (
                row.kind == EntryKind.VEST.value
                and not moved
                and (row.nanos > 0) == (row.account == Account.AVAILABLE.value)
            ):
                continue  # vesting of a lot as it was granted: told with its grant
            key = (row.ledger_seq, row.wallet_id)
            legs.setdefault(key, []).append(Leg(_RECALL_ACCOUNTS[Account(row.account)](row.wallet_id), row.nanos))
            rows[key] = row
        for key, own in legs.items():
            row = rows[key]
            yield Movement(
                on=self._day(row.wallet_id, row.effective_at),
                text=_RECALL_TEXTS[row.kind],
                reference=row.reference.partition(" ")[0],
                legs=tuple(own),
            )

    def _settlements(self) -> Iterable[Movement]:
        """One movement per wallet and day: its calls are one by one in the ledger, each with its proof."""
        settlements = schema.settlements
        columns = (settlements.c.wallet_id, settlements.c.admitted_at, settlements.c.cycle, settlements.c.record)
        sums: dict[tuple[date, int], list[int]] = {}
        carried: dict[date, list[int]] = {}
        query = select(*columns).execution_options(yield_per=_ROWS_PER_FETCH)
        for wallet_id, admitted_at, cycle, blob in self.connection.execute(query):
            for lot_id, nanos in parse_record(blob).consumed:
                owner = wallet_id if lot_id == COMPANY_LOT_ID else self.lots[lot_id].lot.wallet_id
                on = self._booked_on(owner, admitted_at, cycle)
                sum_of = (
                    carried.setdefault(on, [0, 0]) if lot_id == COMPANY_LOT_ID else sums.setdefault((on, owner), [0, 0])
                )
                sum_of[0] += nanos
                sum_of[1] += 1
        for (on, owner), (nanos, count) in sorted(sums.items()):
            legs = (Leg(books.available(owner), -nanos), Leg(books.spent(owner), nanos))
            yield Movement(on=on, text=f"{count} draws of calls", legs=legs)
        for on, (nanos, count) in sorted(carried.items()):
            legs = (Leg(books.COMPANY_OVERAGE, -nanos), Leg(books.COMPANY_SPENT, nanos))
            yield Movement(on=on, text=f"{count} draws of calls carried by the company", legs=legs)

    def _charges(self) -> Iterable[Movement]:
        """One movement per wallet and day, as of calls: each charge is in the ledger by itself."""
        entries, parts = schema.entries.c, schema.usage_charge_parts.c
        query = select(parts.wallet_id, parts.lot_id, parts.nanos, entries.effective_at).join(
            schema.entries, entries.ledger_seq == parts.ledger_seq
        )
        sums: dict[tuple[date, int, bool], int] = {}
        for wallet_id, lot_id, nanos, at in self.connection.execute(query.where(entries.effective_at <= self.now)):
            key = (self._day(wallet_id, at), wallet_id, lot_id == COMPANY_LOT_ID)
            sums[key] = sums.get(key, 0) + nanos
        for (on, wallet_id, is_carried), nanos in sorted(sums.items()):
            if is_carried:
                legs = (Leg(books.COMPANY_OVERAGE, -nanos), Leg(books.COMPANY_SPENT, nanos))
                yield Movement(on=on, text=f"{CHARGED_AROUND}, {CARRIED}", legs=legs)
            else:
                legs = (Leg(books.available(wallet_id), -nanos), Leg(books.spent(wallet_id), nanos))
                yield Movement(on=on, text=CHARGED_AROUND, legs=legs)

    def _booked_on(self, owner: int, admitted_at: Instant, cycle: int) -> date:
        """The day of admission, or the first day of the cycle that a late call is booked to."""
        zone = self.wallets[owner].zone
        if self.cycles.of_admission(zone, admitted_at) < cycle:
            return self._day(owner, self._span(cycle, zone).start_at)
        return self._day(owner, admitted_at)

    def _suspense(self) -> Iterable[Movement]:
        holds = schema.holds
        rows = self.connection.execute(select(holds.c.record).where(holds.c.state == "suspense")).scalars()
        for blob in rows:
            hold = parse_record(blob).hold
            for lot_id, nanos in hold.slices:
                if lot_id != COMPANY_LOT_ID:
                    owner = self.lots[lot_id].lot.wallet_id
                    legs = (Leg(books.available(owner), -nanos), Leg(books.suspense(owner), nanos))
                    yield Movement(on=self._day(owner, hold.admitted_at), text="a call is being checked", legs=legs)
        for lot_id, nanos, since in in_suspense(self.connection):
            owner = self.lots[lot_id].lot.wallet_id
            legs = (Leg(books.available(owner), -nanos), Leg(books.suspense(owner), nanos))
            yield Movement(on=self._day(owner, since), text="a node is away to which it was lent", legs=legs)

    def _breakage(self) -> Iterable[Movement]:
        """What lapsed, in the cycle in which it did; what open calls returned later, in theirs."""
        closed = self._closed()
        for wallet_id, known in self.states.items():
            zone = self.wallets[wallet_id].zone
            for state in known:
                expires_at = state.lot.expires_at
                if expires_at is None:
                    continue
                before = 0
                for cycle, stored in closed:
                    span = self._span(cycle, zone)
                    then = stored.get(wallet_id, {}).get(str(state.lot.id))
                    if then is None or expires_at > span.end_until:
                        continue
                    broken = LotState(
                        lot=state.lot, **{name: then.get(name, 0) for name in STATE_FIELDS}
                    ).remainder_nanos
                    yield from self._broken(state, broken - before, max(expires_at, span.start_at + 1))
                    before = broken
                if expires_at <= self.now:
                    start = self._span(self.cycles.first_open(), zone).start_at + 1 if closed and before else 0
                    yield from self._broken(state, state.remainder_nanos - before, max(expires_at, start))

    def _broken(self, state: LotState, nanos: int, at: Instant) -> Iterable[Movement]:
        if nanos:
            wallet_id = state.lot.wallet_id
            known_at = max(at, self.grants[state.lot.grant_id].recorded_at + 1)
            legs = (Leg(books.available(wallet_id), -nanos), Leg(books.breakage(wallet_id), nanos))
            # an expiry at midnight belongs to the day that ends there
            yield Movement(on=self._day(wallet_id, known_at - 1), text="expired unused", legs=legs)

    def _variances(self) -> Iterable[Movement]:
        entries, postings = schema.entries, schema.postings
        query = (
            select(
                entries.c.effective_at, entries.c.public_id, postings.c.account, postings.c.wallet_id, postings.c.nanos
            )
            .join(postings, postings.c.ledger_seq == entries.c.ledger_seq)
            .where(
                (entries.c.kind == EntryKind.VARIANCE.value) & (postings.c.account == Account.PROVIDER_VARIANCE.value)
            )
            .order_by(entries.c.ledger_seq)
        )
        for at, public_id, _account, wallet_id, nanos in self.connection.execute(query):
            on = self._day(wallet_id, at) if wallet_id in self.wallets else datetime_from_instant(at).date()
            legs = (Leg(books.COMPANY_OVERAGE, -nanos), Leg(books.PROVIDER_VARIANCE, nanos))
            yield Movement(on=on, text="the provider's bill differed", reference=public_id, legs=legs)

    # ---- balances -------------------------------------------------------------------------------------------------

    def _closed(self) -> list[tuple[int, dict[int, dict[str, dict[str, int]]]]]:
        return [(cycle, self._stored_states(run_id)) for cycle, run_id in self._standing_runs()]

    def _standing_runs(self) -> list[tuple[int, int]]:
        """The cycles that are closed, oldest first, each with the run that closed it and was not reversed."""
        runs, reversals = schema.pay_runs, schema.pay_run_reversals
        query = (
            select(runs.c.cycle, runs.c.id)
            .outerjoin(reversals, reversals.c.pay_run_id == runs.c.id)
            .where(runs.c.kind == REGULAR, reversals.c.id.is_(None))
            .order_by(runs.c.cycle)
        )
        return [(cycle, run_id) for cycle, run_id in self.connection.execute(query)]

    def _stored_states(self, run_id: int) -> dict[int, dict[str, dict[str, int]]]:
        """The closed states of the lots of a run's slips, by wallet and lot."""
        slips = schema.pay_slips
        rows = self.connection.execute(
            select(slips.c.wallet_id, slips.c.values_json).where(slips.c.pay_run_id == run_id)
        )
        return {wallet_id: json.loads(values)["lots"] for wallet_id, values in rows}

    def _span(self, number: int, zone: str) -> PayCycle:
        return self.cycles.span(self.cycles.numbered(number), zone)

    def _closed_cycles(self) -> list[Assertion]:
        """Each slip's closing, as it was stored."""
        slips = schema.pay_slips
        cycles = {run_id: cycle for cycle, run_id in self._standing_runs()}
        query = select(slips.c.pay_run_id, slips.c.wallet_id, slips.c.values_json).order_by(slips.c.id)
        found = []
        for run_id, wallet_id, values in self.connection.execute(query.where(slips.c.pay_run_id.in_(cycles))):
            cycle = cycles[run_id]
            end = self._span(cycle, self.wallets[wallet_id].zone).end_until
            closing = int(json.loads(values).get("closing_nanos", 0))
            if closing or wallet_id in self.states:
                found.append(
                    Assertion(on=self._day(wallet_id, end - 1), account=books.spendable(wallet_id), nanos=closing)
                )
        return found

    def _final(self, last: Mapping[int, date]) -> Iterable[Assertion]:
        """What the ledger's values say now."""
        for wallet_id, known in self.states.items():
            unvested = spendable = 0
            for state in known:
                grant = self.grants[state.lot.grant_id]
                if grant.recorded_at > self.now:
                    continue
                kept = state.held_nanos + state.suspense_nanos
                expired = state.lot.expires_at is not None and state.lot.expires_at <= self.now
                if state.lot.effective_at > self.now:
                    unvested += state.remainder_nanos
                else:
                    spendable += kept + (0 if expired else state.remainder_nanos)
            yield Assertion(on=last[wallet_id], account=books.unvested(wallet_id), nanos=unvested)
            yield Assertion(on=last[wallet_id], account=books.spendable(wallet_id), nanos=spendable)

    # ---- accounts and days ------------------------------------------------------------------------------------------

    def _accounts(self, movements: Iterable[Movement]) -> list[OpenAccount]:
        first: dict[str, date] = {}
        for one in movements:
            for leg in one.legs:
                for account in {leg.account, _asserted(leg.account)}:
                    first[account] = min(first.get(account, one.on), one.on)
        names = {books.spendable(wallet_id): row.name for wallet_id, row in self.wallets.items()}
        return [
            OpenAccount(on=on, account=account, name=names.get(account, "")) for account, on in sorted(first.items())
        ]

    def _day(self, wallet_id: int, at: Instant) -> date:
        return datetime_from_instant(at).astimezone(ZoneInfo(self.wallets[wallet_id].zone)).date()


def _asserted(account: str) -> str:
    """The account whose balance is asserted for postings to this one: available and suspense are told together."""
    return account.removesuffix(":Available").removesuffix(":Suspense")


def _daily(movements: Iterable[Movement], stored: set[tuple[str, date]], last: Mapping[int, date]) -> list[Assertion]:
    """The running balance after each day with a movement, where no stored or final figure asserts that day already."""
    final = set(last.values())
    sums: dict[str, int] = {}
    by_day: dict[tuple[date, str], int] = {}
    for one in movements:
        for leg in one.legs:
            if not leg.account.startswith("Assets:Wallets:"):
                continue
            account = _asserted(leg.account)
            sums[account] = sums.get(account, 0) + leg.nanos
            by_day[one.on, account] = sums[account]
    return [
        Assertion(on=on, account=account, nanos=nanos)
        for (on, account), nanos in sorted(by_day.items())
        if (account, on) not in stored and on not in final
    ]
