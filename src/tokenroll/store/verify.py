"""Verifying: the whole ledger computed again from its journal, row by row, and compared with what is stored (law 8).

Nothing stored is believed: charges come from usage and rate card, values from settlements and entries, the chain from the rows'
own bytes. Every disagreement is a Difference with a name, never an exception: a ledger that was tampered with shall say where.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, select

from tokenroll.engine.balance import balance_at
from tokenroll.engine.bounding import evidence_costs, passes_costs
from tokenroll.engine.chaining import GENESIS_HASH, BatchHeader, batch_hash, leaf_hash, root_of_hashes
from tokenroll.engine.drawing import eligible, split
from tokenroll.engine.rating import UnpricedError, card_from_json, charge_nanos
from tokenroll.model.classification import Classification
from tokenroll.model.entry import Account, Entry, EntryKind, Posting
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot, LotState
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import Usage
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, HoldRecord, Outcome, SettleRecord, hold_key, parse_record
from tokenroll.store.collector import no_cycle_search
from tokenroll.store.cycles import REGULAR, CycleBook
from tokenroll.store.journal import command_leaf, entry_leaf, fact_leaf, row_digest, settlement_leaf
from tokenroll.store.limit_counters import forgotten_limits, kept_from
from tokenroll.store.limit_sums import LimitSums
from tokenroll.store.rollups import SpendSums, rolled_through
from tokenroll.store.tape import ENDS, TapeError, TapeSource, ended_sequence, iter_records
from tokenroll.store.usage_rollups import usage_rolled_through
from tokenroll.store.verify_charges import SPENT_ACCOUNTS, ChargeReplay
from tokenroll.store.verify_leases import LeaseReplay
from tokenroll.store.verify_pay import check_rollups, check_slips
from tokenroll.store.verify_usage import UsageReplay

DIFFERENCES_MAX: Final = 1_000
"""Differences kept in words; beyond it they are only counted."""
TAKEN_ACCOUNTS: Final = (Account.FORFEITED, Account.CLAWED_BACK, Account.VOIDED, Account.TRANSFERRED_OUT)
"""Where nanos go that are recalled of a lot, in the order of the columns of `lot_values`."""
_COSTS_KEPT: Final = 100_000
_ROWS_PER_FETCH: Final = 2_000
_SEQ_MAX: Final = 2**63 - 1
_AWARDING: Final = frozenset({EntryKind.GRANT, EntryKind.OPEN})
"""Entries that bring a lot into being."""
_SUSPENDING: Final = frozenset({EntryKind.SUSPEND, EntryKind.RESOLVE})
"""Entries that move nanos to suspense, or out of it. What a settlement resolves, its own row says."""
_FACTS: Final = (
    schema.grants, schema.lots, schema.rate_cards, schema.pay_calendars, schema.pay_runs, schema.pay_run_reversals,
    schema.pay_slips, schema.usage_charges,
)  # fmt: skip
"""Tables with a fact per row, except as `_check_facts` says."""

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""


class Difference(NamedTuple):
    """One disagreement: its kind for programs, and a sentence that says which row and by how much."""

    kind: str
    message: str


class Verified(NamedTuple):
    """What was counted, the head of the chain, and every disagreement."""

    counts: dict[str, int]
    head_hash: bytes
    differences: list[Difference]
    difference_count: int

    @property
    def holds(self) -> bool:
        """Whether everything agreed."""
        return self.difference_count == 0


class _Stream:
    """A journal table in the order of the ledger, read once from one end to the other, whatever the size of batches."""

    def __init__(self, connection: Connection, table: Table) -> None:
        ordered = select(table).order_by(table.c.ledger_seq, *([table.c.leg] if "leg" in table.c else []))
        self._rows: Iterator[Any] = iter(connection.execute(ordered.execution_options(yield_per=_ROWS_PER_FETCH)))
        self._next: Any = next(self._rows, None)

    def through(self, last: int) -> Iterator[Any]:
        """The rows up to that sequence that were not read yet."""
        while self._next is not None and self._next.ledger_seq <= last:
            row, self._next = self._next, next(self._rows, None)
            yield row


class _LotSums:
    __slots__ = ("granted", "held", "spent", "suspense", "taken", "unvested_taken", "vested")

    def __init__(self) -> None:
        self.granted = self.vested = self.held = self.suspense = self.spent = self.unvested_taken = 0
        self.taken = [0, 0, 0, 0]
        """In the order of TAKEN_ACCOUNTS."""


class _WalletSums:
    __slots__ = ("calls", "charged", "company", "last_seq")

    def __init__(self) -> None:
        self.last_seq = self.calls = self.charged = self.company = 0


class Verifier:
    """One pass over one snapshot. Use `verify`."""

    def __init__(self, connection: Connection, at: Instant, progress: Progress | None) -> None:
        self._connection = connection
        self._at = at
        self._progress = progress
        self._found: list[Difference] = []
        self._found_count = 0
        self._counts: Counter[str] = Counter()
        self._lots: dict[int, _LotSums] = {}
        self._wallets: dict[int, _WalletSums] = {}
        self._overage: Counter[tuple[int, int]] = Counter()
        self._left_nanos: dict[int, int] = {}
        self._suspended: dict[int, tuple[tuple[int, int], ...]] = {}
        self._draws: dict[tuple[int, int], int] = {}
        self._attempts: dict[tuple[int, int], int] = {}
        self._client_calls: dict[tuple[int, str], int] = {}
        self._named_again: dict[tuple[int, str], set[int]] = {}
        self._ended: set[int] = set()
        self._limits = LimitSums()
        self._leases = LeaseReplay(self._differs)
        self._costs: dict[Any, tuple[int, int, int]] = {}
        self._names: dict[tuple[int, int, int], str] = {}
        self._stored_lots: dict[int, Lot] = {}
        self._zones: dict[int, str] = {}
        self._cards: dict[int, RateCard] = {}
        self._cycles = CycleBook(connection)
        self._closings: list[tuple[int, int, int]] = []
        self._rolled_through = rolled_through(connection)
        self._spend = SpendSums(
            self._cycles, owner_of=self._owner, zone_of=self._zone,
            name_of=self._name,
        )  # fmt: skip
        self._charges = ChargeReplay(
            connection, self._spend, self._cycles, self._differs, self._zone, self._stored_lots.get
        )  # fmt: skip
        self._usage_rolled_through = usage_rolled_through(connection)
        self._usage = UsageReplay(self._name, self._cards.get)
        self._streams = {
            str(table.name): _Stream(connection, table)
            for table in (
                schema.settlements,
                schema.postings,
                schema.entries,
                schema.facts,
                schema.commands,
                schema.lease_moves,
            )
        }

    def run(self) -> Verified:
        """The verdict."""
        self._read_nouns()
        head = self._replay_batches()
        self._check_orphans()
        self._check_holds()
        self._check_values()
        self._check_indexes()
        self._check_limits()
        self._counts["leases"] = self._leases.check(self._connection, self._left_nanos)
        self._check_facts()
        self._counts["rollups"] = check_rollups(self._connection, self._spend.sums, self._differs)
        self._counts["usage rollups"] = self._usage.check(self._connection, self._differs)
        self._counts["usage charges"] = self._charges.check()
        self._counts["slips"] = check_slips(self._connection, self._differs)
        return Verified(dict(self._counts), head, self._found, self._found_count)

    def _zone(self, wallet_id: int) -> str:
        return self._zones.get(wallet_id, "UTC")

    def _name(self, worker: int, epoch: int, name_id: int) -> str:
        return self._names.get((worker, epoch, name_id), "")

    def _differs(self, kind: str, message: str) -> None:
        self._found_count += 1
        if len(self._found) < DIFFERENCES_MAX:
            self._found.append(Difference(kind, message))

    # ---- what rows refer to ---------------------------------------------------------------------------

    def _read_nouns(self) -> None:
        connection = self._connection
        for row in connection.execute(select(schema.lots)):
            self._stored_lots[row.id] = Lot(
                id=row.id, grant_id=row.grant_id, wallet_id=row.wallet_id, priority=row.priority,
                classification=Classification(row.classification), amount_nanos=row.amount_nanos,
                effective_at=row.effective_at, expires_at=row.expires_at, origin_lot_id=row.origin_lot_id,
            )  # fmt: skip
        for wallet_id, zone in connection.execute(select(schema.wallets.c.id, schema.wallets.c.zone)):
            self._zones[wallet_id] = zone
        for row in connection.execute(select(schema.rate_cards)):
            self._read_card(row)
        for row in connection.execute(select(schema.names)):
            self._names[row.worker, row.epoch, row.name_id] = row.text
        runs, reversals = schema.pay_runs.c, schema.pay_run_reversals.c
        query = select(runs.ledger_seq, runs.cycle, reversals.ledger_seq.label("reversed_seq"))
        query = query.outerjoin(schema.pay_run_reversals, reversals.pay_run_id == runs.id).where(runs.kind == REGULAR)
        self._closings = [
            (row.ledger_seq, row.cycle, row.reversed_seq or _SEQ_MAX) for row in connection.execute(query)
        ]

    def _read_card(self, row: Any) -> None:
        try:
            card = card_from_json(
                row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at
            )
        except ValueError as error:
            self._differs("card", f"rate card {row.public_id} cannot be read: {error}")
            return
        if card.digest != row.digest:
            self._differs("card", f"rate card {row.public_id} says digest {row.digest}, its content has {card.digest}")
        self._cards[row.id] = card

    # ---- the journal in order -----------------------------------------------------------------------------

    def _replay_batches(self) -> bytes:
        connection, previous_hash, next_seq, closed_at = self._connection, GENESIS_HASH, 1, 0
        batches = connection.execute(select(schema.batches).order_by(schema.batches.c.number)).all()
        total = batches[-1].last_seq if batches else 0
        for expected, batch in enumerate(batches, 1):
            self._counts["batches"] += 1
            if batch.number != expected or batch.first_seq != next_seq or batch.closed_at < closed_at:
                self._differs(
                    "batch", f"batch {batch.number} from {batch.first_seq} at {batch.closed_at} does not follow batch "
                    f"{expected - 1}, which ends at {next_seq - 1}, {closed_at}",
                )  # fmt: skip
            self._open_cycles(batch.first_seq)
            hashes = [leaf_hash(leaf) for leaf in self._leaves(batch.first_seq, batch.last_seq)]
            header = BatchHeader(
                number=expected, previous_hash=previous_hash, first_seq=next_seq, last_seq=batch.last_seq,
                leaf_count=len(hashes), merkle_root=root_of_hashes(hashes), closed_at=batch.closed_at,
            )  # fmt: skip
            if header.merkle_root != batch.root:
                self._differs(
                    "root",
                    f"batch {batch.number}: its rows have root {header.merkle_root.hex()}, it says {batch.root.hex()}",
                )
            if batch.previous_hash != previous_hash:
                self._differs(
                    "chain",
                    f"batch {batch.number} names {batch.previous_hash.hex()} as the hash before it, not {previous_hash.hex()}",
                )
            previous_hash = batch_hash(header)
            if batch.hash != previous_hash:
                self._differs(
                    "chain", f"batch {batch.number} has hash {previous_hash.hex()}, it says {batch.hash.hex()}"
                )
            next_seq, closed_at = batch.last_seq + 1, batch.closed_at
            if self._progress is not None:
                self._progress(batch.last_seq, total)
        self._counts["rows"] = next_seq - 1
        return previous_hash

    def _open_cycles(self, first_seq: int) -> None:
        """What was closed when the batch was written: the pay runs that saw only earlier rows and were not reversed by then."""
        closed = [cycle for seq, cycle, reversed_seq in self._closings if seq < first_seq <= reversed_seq]
        self._cycles.closed_through = max(closed, default=0)

    def _leaves(self, first: int, last: int) -> list[bytes]:
        """The leaves of a batch in order, every row checked on the way."""
        leaves: dict[int, bytes] = {}
        for kind, rows in (  # moves first: a report of an older copy is lent what it took in its own batch
            ("lease moves", self._leases.leaves(self._streams["lease_moves"].through(last))),
            ("settlements", self._settlement_leaves(last)), ("entries", self._entry_leaves(last)),
            ("facts", self._fact_leaves(last)), ("commands", self._command_leaves(last)),
        ):  # fmt: skip
            for seq, leaf in rows:
                self._counts[kind] += 1
                if seq in leaves:
                    self._differs("sequence", f"ledger sequence {seq} is used twice")
                leaves[seq] = leaf
        for seq in range(first, last + 1):
            if seq not in leaves:
                self._differs("missing", f"row {seq} of the journal is gone")
        return [leaves[seq] for seq in sorted(leaves)]

    def _settlement_leaves(self, last: int) -> Iterator[tuple[int, bytes]]:
        for row in self._streams["settlements"].through(last):
            try:
                self._replay_settlement(row, parse_record(row.record))
            except (TapeError, ValueError) as error:
                self._differs("record", f"settlement {row.ledger_seq} cannot be read: {error}")
            yield (
                row.ledger_seq,
                settlement_leaf(row.ledger_seq, row.hold_key, row.previous_seq, row.cycle, row.outcome, row.record),
            )

    def _entry_leaves(self, last: int) -> Iterator[tuple[int, bytes]]:
        legs: dict[int, list[Posting]] = {}
        for row in self._streams["postings"].through(last):
            posting = Posting(account=Account(row.account), wallet_id=row.wallet_id, lot_id=row.lot_id, nanos=row.nanos)
            legs.setdefault(row.ledger_seq, []).append(posting)
        for row in self._streams["entries"].through(last):
            try:
                entry = Entry(
                    public_id=row.public_id, kind=EntryKind(row.kind), effective_at=row.effective_at,
                    recorded_at=row.recorded_at, postings=tuple(legs.pop(row.ledger_seq, ())), reference=row.reference,
                )  # fmt: skip
            except AssertionError as error:
                self._differs("balance", str(error))
                continue
            self._replay_entry(entry)
            yield row.ledger_seq, entry_leaf(row.ledger_seq, entry)
        for seq in legs:
            self._differs("posting", f"postings of entry {seq} have no entry")

    def _fact_leaves(self, last: int) -> Iterator[tuple[int, bytes]]:
        for row in self._streams["facts"].through(last):
            yield row.ledger_seq, fact_leaf(row.ledger_seq, row.noun, row.row_id, row.digest)

    def _command_leaves(self, last: int) -> Iterator[tuple[int, bytes]]:
        for row in self._streams["commands"].through(last):
            yield row.ledger_seq, command_leaf(row.ledger_seq, row.id, row.name, row.body_digest, row.result_json)

    # ---- what rows mean -----------------------------------------------------------------------------------

    def _replay_entry(self, entry: Entry) -> None:
        for leg in entry.postings:
            if leg.account is Account.UNVESTED and entry.kind in _AWARDING:
                self._lot(leg.lot_id).granted += leg.nanos
            elif leg.account is Account.TRANSFERRED_IN:
                self._lot(leg.lot_id).granted -= leg.nanos
            elif leg.account in TAKEN_ACCOUNTS:
                self._lot(leg.lot_id).taken[TAKEN_ACCOUNTS.index(leg.account)] += leg.nanos
            elif leg.account is Account.UNVESTED and entry.kind is not EntryKind.VEST and leg.nanos < 0:
                self._lot(leg.lot_id).unvested_taken -= leg.nanos
            elif leg.account is Account.AVAILABLE and entry.kind is EntryKind.VEST:
                self._lot(leg.lot_id).vested += leg.nanos
            elif leg.account is Account.SUSPENSE and entry.kind in _SUSPENDING:
                self._lot(leg.lot_id).suspense += leg.nanos
        if entry.kind is EntryKind.CHARGE:
            self._charges.replay(entry)
            for leg in entry.postings:
                if leg.account in SPENT_ACCOUNTS:
                    self._lot(leg.lot_id).spent += leg.nanos
        if not self._leases.entry(entry) and entry.kind is EntryKind.SUSPEND:
            key = int(entry.reference.removeprefix("hold "))
            if key in self._suspended or key in self._ended:
                self._differs("transition", f"hold {hold_key(key)} went to suspense twice, or after its end")
            self._suspended[key] = tuple((leg.lot_id, leg.nanos) for leg in entry.postings if leg.nanos > 0)

    def _replay_settlement(self, row: Any, attempt: AttemptRecord) -> None:
        self._check_columns(row, attempt)
        self._check_charge(row, attempt)
        consumed, _returned = split(attempt.hold.slices, attempt.charge_nanos)
        wallet = self._wallets.setdefault(row.wallet_id, _WalletSums())
        if row.previous_seq != wallet.last_seq:
            self._differs(
                "list",
                f"settlement {row.ledger_seq} follows {row.previous_seq} in wallet {row.wallet_id}, not {wallet.last_seq}",
            )
        wallet.last_seq = row.ledger_seq
        wallet.calls += 1
        wallet.charged += attempt.charge_nanos
        for lot_id, nanos in consumed:
            self._lot(lot_id).spent += nanos
            if lot_id == COMPANY_LOT_ID:
                wallet.company += nanos
                self._overage[row.wallet_id, hold_key(row.hold_key).worker] += nanos
            elif (owner := self._owner(lot_id)) != row.wallet_id:
                self._draws[owner, row.ledger_seq] = self._draws.get((owner, row.ledger_seq), 0) + nanos
        if row.ledger_seq <= self._rolled_through:
            self._spend.add(row.hold_key, row.wallet_id, row.cycle, row.outcome, attempt)
        if row.ledger_seq <= self._usage_rolled_through:
            self._usage.add(row.hold_key, attempt)
        if attempt.hold.raises:
            self._limits.opened(attempt.hold.raises)
            self._limits.ended(attempt.hold.raises, attempt.settle)
        self._end(row, attempt, consumed)
        self._identify(row.hold_key, attempt.hold)

    def _end(self, row: Any, attempt: AttemptRecord, consumed: Iterable[Slice]) -> None:
        if row.hold_key in self._ended:
            self._differs("transition", f"hold {hold_key(row.hold_key)} has two ends")
        self._ended.add(row.hold_key)
        suspended = self._suspended.pop(row.hold_key, None)
        if (suspended is not None) != (row.outcome == Outcome.RESOLVED):
            self._differs(
                "transition",
                f"settlement {row.ledger_seq} has outcome {row.outcome}, but was {'' if suspended else 'not '}in suspense",
            )
        for lot_id, nanos in suspended or ():
            self._lot(lot_id).suspense -= nanos
        # what came out of suspense came to the ledger: its worker had given it up
        self._leases.took(row.hold_key, attempt.hold.slices if suspended is not None else consumed)
        own = tuple((lot_id, nanos) for lot_id, nanos in attempt.hold.slices if lot_id != COMPANY_LOT_ID)
        if suspended is not None and suspended != own:
            self._differs("slices", f"hold {hold_key(row.hold_key)} suspended {suspended}, it held {own}")

    def _check_columns(self, row: Any, attempt: AttemptRecord) -> None:
        hold, key = attempt.hold, hold_key(row.hold_key)
        ends = [
            ended_sequence(row.record, offset) for kind, offset, _length in iter_records(row.record) if kind in ENDS
        ]
        said = (hold.wallet_id, hold.api_key_id, hold.admitted_at, attempt.charge_nanos, [key.sequence])
        if said != (row.wallet_id, row.api_key_id, row.admitted_at, row.charge_nanos, ends):
            self._differs("columns", f"settlement {row.ledger_seq}: its columns are not what its record says")
        if (attempt.release is not None) != (row.outcome == Outcome.RELEASED):
            self._differs("columns", f"settlement {row.ledger_seq}: outcome {row.outcome} is not what its record says")
        cycle = self._cycles.booked(self._zones.get(row.wallet_id, "UTC"), hold.admitted_at)
        if row.cycle != cycle:
            self._differs("cycle", f"settlement {row.ledger_seq} is booked to {row.cycle}, not {cycle}")
        if sum(one.nanos for one in hold.slices) != hold.bound_nanos:
            self._differs("slices", f"settlement {row.ledger_seq}: slices do not sum to the hold of {hold.bound_nanos}")
        self._check_eligible(row.ledger_seq, hold)

    def _check_eligible(self, seq: int, hold: HoldRecord) -> None:
        for lot_id, _nanos in hold.slices:
            lot = self._stored_lots.get(lot_id)
            if lot_id != COMPANY_LOT_ID and (lot is None or not eligible(lot, hold.admitted_at)):
                self._differs(
                    "eligible",
                    f"settlement {seq} took from lot {lot_id}, which was not spendable at {hold.admitted_at}",
                )

    def _check_charge(self, row: Any, attempt: AttemptRecord) -> None:
        settle = attempt.settle
        if settle is None:
            return
        is_estimate = settle.source == TapeSource.ESTIMATED
        known = (attempt.hold.rate_card_id, settle.service_tier, settle.counts, is_estimate, settle.passes)
        costs = self._costs.get(known)
        if costs is None:
            card = self._cards.get(attempt.hold.rate_card_id)
            if card is None:
                self._differs(
                    "charge",
                    f"settlement {row.ledger_seq} was priced by rate card {attempt.hold.rate_card_id}, which is gone",
                )
                return
            try:
                if settle.passes:
                    costs = self._passes_costs(card, settle)
                else:
                    priced = evidence_costs if is_estimate else _costs
                    costs = priced(card, settle.service_tier, settle.usage)
            except UnpricedError as error:
                self._differs("charge", f"settlement {row.ledger_seq}: {error}")
                return
            if len(self._costs) >= _COSTS_KEPT:
                self._costs.clear()
            self._costs[known] = costs
        if is_estimate and row.outcome == Outcome.RESOLVED:  # what age decides is never more than was held
            costs = (min(costs[0], attempt.hold.bound_nanos), *costs[1:])
        if costs != (settle.charge_nanos, settle.list_cost_nanos, settle.net_cost_nanos):
            self._differs(
                "charge",
                f"settlement {row.ledger_seq} charges {settle.charge_nanos} nanos; its usage costs {costs[0]} (list, net: {costs[1:]})",
            )

    def _passes_costs(self, card: RateCard, settle: SettleRecord) -> tuple[int, int, int]:
        """What an attempt of several passes costs. Raises UnpricedError for a pass whose card is gone or had to be guessed unsaid."""
        passes = []
        for one in settle.passes:
            of = self._cards.get(one.rate_card_id)
            if of is None:
                raise UnpricedError(f"a pass: its rate card {one.rate_card_id} is gone", card.model)
            passes.append((of, one.service_tier, one.usage))
        charge, listed, net, is_priced = passes_costs(card, settle.service_tier, settle.usage, passes)
        if not is_priced and settle.source != TapeSource.ESTIMATED:
            raise UnpricedError("something in its passes, and it is not marked as estimated", card.model)
        return charge, listed, net

    def _identify(self, number: int, hold: HoldRecord) -> None:
        key = hold_key(number)
        if hold.attempt != 1:
            call = hold.call_number(number)
            first = (call >> 72 & 0xFF) << 56 | (call >> 48 & 0xFFFFFF) << 40 | call & (1 << 48) - 1
            self._attempts[first, hold.attempt] = number
        elif hold.client_call_name:
            text = self._names.get((key.worker, key.epoch, hold.client_call_name))
            if text is None:
                self._differs("name", f"hold {key} uses name {hold.client_call_name}, which is gone")
            else:
                named = (hold.api_key_id, text)
                first = self._client_calls.setdefault(named, number)
                if first != number:  # two workers met it; which was folded first, the stored row says
                    self._named_again.setdefault(named, {first}).add(number)

    def _lot(self, lot_id: int) -> _LotSums:
        sums = self._lots.get(lot_id)
        if sums is None:
            sums = self._lots[lot_id] = _LotSums()
        return sums

    def _owner(self, lot_id: int) -> int:
        lot = self._stored_lots.get(lot_id)
        return 0 if lot is None else lot.wallet_id

    # ---- what is stored beside the journal -----------------------------------------------------------------

    def _check_orphans(self) -> None:
        """Rows that no batch holds: written by nobody who knew the chain."""
        for name, stream in self._streams.items():
            for row in stream.through(_SEQ_MAX):
                self._differs("orphan", f"row {row.ledger_seq} of {name} is in no batch")

    def _check_holds(self) -> None:
        for row in self._connection.execute(select(schema.holds)):
            self._counts["holds"] += 1
            try:
                attempt = parse_record(row.record)
            except TapeError as error:
                self._differs("hold", f"open hold {hold_key(row.hold_key)} cannot be read: {error}")
                continue
            self._check_hold(row, attempt)
            self._identify(row.hold_key, attempt.hold)
            self._leases.took(row.hold_key, attempt.hold.slices)
            self._limits.opened(attempt.hold.raises)
        for key in self._suspended:
            self._differs("suspense", f"hold {hold_key(key)} went to suspense, never came out, and is gone")

    def _check_hold(self, row: Any, attempt: AttemptRecord) -> None:
        key = hold_key(row.hold_key)
        if row.hold_key in self._ended or attempt.settle or attempt.release:
            self._differs("hold", f"hold {key} is open and ended")
        if row.wallet_id != attempt.hold.wallet_id:
            self._differs(
                "hold", f"open hold {key} is of wallet {row.wallet_id}, its record says {attempt.hold.wallet_id}"
            )
        suspended = self._suspended.pop(row.hold_key, None)
        if (suspended is not None) != (row.state == "suspense"):
            self._differs(
                "hold", f"open hold {key} is {row.state}, the journal says {'suspense' if suspended else 'held'}"
            )
        own = tuple((lot_id, nanos) for lot_id, nanos in attempt.hold.slices if lot_id != COMPANY_LOT_ID)
        if suspended is not None and suspended != own:
            self._differs("slices", f"hold {key} suspended {suspended}, it held {own}")
        for lot_id, nanos in attempt.hold.slices:
            if row.state != "suspense":
                self._lot(lot_id).held += nanos
            elif lot_id == COMPANY_LOT_ID:
                self._lot(lot_id).suspense += nanos
                self._overage[row.wallet_id, hold_key(row.hold_key).worker] += nanos

    def _check_values(self) -> None:
        states: dict[int, list[LotState]] = {}
        seen: set[int] = set()
        for row in self._connection.execute(select(schema.lot_values)):
            seen.add(row.lot_id)
            self._counts["lots"] += 1
            sums = self._lots.get(row.lot_id) or _LotSums()
            stored = (row.held_nanos, row.suspense_nanos, row.spent_nanos)
            if stored != (sums.held, sums.suspense, sums.spent):
                replayed = (sums.held, sums.suspense, sums.spent)
                self._differs(
                    "lot", f"lot {row.lot_id} has held, suspense, spent {stored}; the journal gives {replayed}"
                )
            taken = [row.forfeited_nanos, row.clawed_back_nanos, row.voided_nanos, row.transferred_out_nanos]
            if taken != sums.taken:
                self._differs(
                    "lot",
                    f"lot {row.lot_id} has {taken} forfeited, clawed back, voided, transferred; the journal gives {sums.taken}",
                )
            self._check_lot(row, sums, states)
        for lot_id in self._lots.keys() - seen:
            self._differs("lot", f"lot {lot_id} moves in the journal but has no values")
        for wallet_id, own in states.items():
            try:
                balance_at(own, self._at, leased=False)
            except AssertionError as error:
                self._differs("conservation", f"wallet {wallet_id}: {error}")
        self._check_wallets()

    def _check_lot(self, row: Any, sums: _LotSums, states: dict[int, list[LotState]]) -> None:
        if row.lot_id == COMPANY_LOT_ID:
            return
        lot = self._stored_lots.get(row.lot_id)
        if lot is None:
            self._differs("lot", f"lot {row.lot_id} has values but is gone")
            return
        if not lot.amount_nanos == sums.granted == sums.vested + sums.unvested_taken:
            self._differs(
                "grant", f"lot {lot.id} is of {lot.amount_nanos}, entries grant {sums.granted} and vest {sums.vested}"
            )
        try:
            state = LotState(
                lot=lot, held_nanos=row.held_nanos, suspense_nanos=row.suspense_nanos, spent_nanos=row.spent_nanos,
                forfeited_nanos=row.forfeited_nanos, clawed_back_nanos=row.clawed_back_nanos, voided_nanos=row.voided_nanos,
                transferred_out_nanos=row.transferred_out_nanos,
            )  # fmt: skip
        except AssertionError as error:
            self._differs("conservation", str(error))
            return
        states.setdefault(lot.wallet_id, []).append(state)
        self._left_nanos[lot.id] = state.remainder_nanos

    def _check_wallets(self) -> None:
        seen: set[int] = set()
        for row in self._connection.execute(select(schema.wallet_values)):
            seen.add(row.wallet_id)
            self._counts["wallets"] += 1
            sums = self._wallets.get(row.wallet_id) or _WalletSums()
            stored = (row.last_seq, row.call_count, row.charged_nanos, row.company_nanos)
            replayed = (sums.last_seq, sums.calls, sums.charged, sums.company)
            if stored != replayed:
                self._differs(
                    "wallet",
                    f"wallet {row.wallet_id} has last, calls, charged, company {stored}; the journal gives {replayed}",
                )
        for wallet_id in self._wallets.keys() - seen:
            self._differs("wallet", f"wallet {wallet_id} spends in the journal but has no values")
        uses = self._connection.execute(select(schema.overage_uses))
        stored_uses = Counter({(row.wallet_id, row.worker): row.nanos for row in uses})
        for key in stored_uses.keys() | self._overage.keys():
            if stored_uses[key] != self._overage[key]:
                self._differs(
                    "overage",
                    f"of wallet {key[0]} the company carried {stored_uses[key]} at worker {key[1]}; the journal gives {self._overage[key]}",
                )

    def _check_indexes(self) -> None:
        """Tables that only repeat what records say, for finding: pools' draws, later attempts, clients' own ids."""
        tables: tuple[tuple[str, Table, dict[Any, int]], ...] = (
            ("pool_draw", schema.pool_draws, self._draws), ("attempt", schema.attempts, self._attempts),
            ("client_call", schema.client_calls, self._client_calls),
        )  # fmt: skip
        for kind, table, expected in tables:
            stored = {(row[0], row[1]): row[2] for row in self._connection.execute(select(table))}
            self._counts[table.name] = len(stored)
            if table is schema.client_calls:
                for named, numbers in self._named_again.items():
                    expected[named] = stored[named] if stored.get(named) in numbers else expected[named]
            for key in stored.keys() | expected.keys():
                if stored.get(key) != expected.get(key):
                    self._differs(
                        kind, f"{table.name} {key}: stored {stored.get(key)}, the records say {expected.get(key)}"
                    )

    def _check_limits(self) -> None:
        """Counters are what calls raised and counted, whatever a limit's row says today; old ones of short windows may be gone."""
        kept = {limit_id: kept_from(seconds, self._at) for limit_id, seconds in forgotten_limits(self._connection)}
        stored = {
            (row.limit_id, row.start_at): (row.used, row.call_count, row.would_deny_count, row.overage_count)
            for row in self._connection.execute(select(schema.limit_counters))
        }
        self._counts["limit_counters"] = len(stored)
        expected = {key: tuple(values) for key, values in self._limits.values()}
        for key in sorted(stored.keys() | expected.keys()):
            if stored.get(key) != expected.get(key) and key[1] >= kept.get(key[0], 0):
                self._differs(
                    "limit",
                    f"limit {key[0]} counts {stored.get(key)} from {key[1]} on, the records say {expected.get(key)}",
                )

    def _check_facts(self) -> None:
        """Every immutable row has its digest in the chain, and still has it."""
        facts = schema.facts.c
        known = {
            (row.noun, row.row_id): row.digest
            for row in self._connection.execute(select(facts.noun, facts.row_id, facts.digest))
        }
        for table in _FACTS:
            noun = str(table.name)
            query = select(table)
            if table is schema.pay_slips:  # those of a run with a root are checked against it
                query = query.where(table.c.digest.is_(None))
            if table is schema.pay_runs:
                query = query.where(table.c.slips_root.is_not(None))
            for row in self._connection.execute(query).mappings():
                digest = known.pop((noun, row["id"]), None)
                if digest != row_digest(dict(row)):
                    self._differs("fact", f"{noun} {row['id']} is not the row that the chain holds")
        for noun, row_id in known:
            self._differs("fact", f"{noun} {row_id} is in the chain and gone from its table")


def _costs(card: RateCard, tier: str, usage: Usage) -> tuple[int, int, int]:
    return (
        charge_nanos(card.internal_prices, tier, usage, card.model),
        charge_nanos(card.list_prices, tier, usage, card.model),
        charge_nanos(card.net_prices, tier, usage, card.model),
    )


def verify(connection: Connection, at: Instant, progress: Progress | None = None) -> Verified:
    """The whole ledger computed again from empty, in one snapshot. Never raises for what it finds."""
    with no_cycle_search():
        return Verifier(connection, at, progress).run()
