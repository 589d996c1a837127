"""UnitOfWork: what a command's handler may do to the ledger, all of it or nothing.

A handler reads and inserts rows through `connection`, says what became of it (`append`, `lots_added`, `keys_changed` …), and
returns its answer. What it said becomes one batch of the chain and one Delta for the workers that hold the leases. Handlers never
commit, never read a clock and never make ids of their own, so running one twice with the same inputs does the same.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table, func, select, update

from tokenroll.model.entry import Entry
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.identifier import identifier
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot
from tokenroll.services import leasing
from tokenroll.services.limit_terms import limit_terms
from tokenroll.services.protocol import CarriedChange, CounterChange, Delta, LotChange, RecallTerms
from tokenroll.services.refusal import Refused
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome, SettleRecord, counted, hold_key, pack_settle
from tokenroll.store.cycles import CycleBook
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.lease_book import LeaseBook
from tokenroll.store.mirror import OpenHold
from tokenroll.store.statements import insert_into

RandomBits: TypeAlias = Callable[[int], int]
"""As `secrets.randbits`: so many random bits, injected so that tests repeat."""


class UnitOfWork:
    """One command's transaction. Valid inside its handler only."""

    def __init__(
        self, connection: Connection, changes: HoldChanges, *, now: Instant, command_id: str, random_bits: RandomBits,
        leases: LeaseBook,
    ) -> None:  # fmt: skip
        changes.batch = FoldBatch()
        self.connection = connection
        self.now = now
        self.command_id = command_id
        self.journal = changes.journal
        self.leases = leases
        self._changes = changes
        self._random_bits = random_bits
        self._next_ids: dict[str, int] = {}
        self._wallets: set[int] = set()
        self._lots: list[LotChange] = []
        self._keys: set[int] = set()
        self._cards: set[int] = set()
        self._settings: dict[str, str] = {}
        self._recalls: list[RecallTerms] = []
        self._limits: set[int] = set()
        self._counters: list[CounterChange] = []
        self._spent: dict[int, int] = {}
        self._carried: list[CarriedChange] = []

    def new_id(self, table: str) -> int:
        """The next inside id of a table: dense and ascending, so that ids index arrays (store/mirror.py)."""
        following = self._next_ids.get(table)
        if following is None:
            column = schema.metadata.tables[table].c.id
            following = (self.connection.scalar(select(func.max(column))) or 0) + 1
        self._next_ids[table] = following + 1
        return following

    def public_id(self, prefix: str) -> str:
        """A new outside id: the prefix and 128 time-ordered bits."""
        return identifier(prefix, self.now // 1000, self._random_bits(80))

    def append(self, entry: Entry) -> int:
        """The entry and its postings in the journal; its ledger sequence."""
        return self.journal.append_entry(entry)

    def fact(self, table: Table, row_id: int) -> None:
        """The immutable row's digest in the chain: for grants, pay slips and what else money or paper depends on.

        `lots_added` and `cards_added` do it for lots and rate cards.
        """
        self.journal.append_fact(self.connection, table, row_id)

    def wallet_changed(self, wallet_id: int) -> None:
        """A wallet that is new, or whose policy (plan, zone, name) changed: its terms go to the workers."""
        self._open_wallet(wallet_id)
        self._wallets.add(wallet_id)

    def lots_added(self, wallet_id: int, lots: Iterable[Lot], moved_at: Instant | None = None) -> None:
        """New lots of a wallet: inserts their rows, opens their values and tells the workers. The grant's row comes first.

        `moved_at` is when their nanos left the lots that they come out of; None for lots that are granted.
        """
        self._open_wallet(wallet_id)
        for lot in lots:
            self.connection.execute(
                schema.lots.insert().values(
                    id=lot.id, grant_id=lot.grant_id, wallet_id=wallet_id, classification=lot.classification.value,
                    priority=lot.priority, amount_nanos=lot.amount_nanos, effective_at=lot.effective_at,
                    expires_at=lot.expires_at, origin_lot_id=lot.origin_lot_id,
                    moved_at=moved_at,
                )
            )  # fmt: skip
            self.connection.execute(schema.lot_values.insert().values(lot_id=lot.id, spent_nanos=0))
            self._next_ids["lots"] = max(self._next_ids.get("lots", 0), lot.id + 1)
            self.journal.append_fact(self.connection, schema.lots, lot.id)
            self._lots.append(LotChange(wallet_id, lot.id, lot.amount_nanos, leasing.lot_terms(lot, lot.amount_nanos)))

    def lot_changed(self, wallet_id: int, lot_id: int, change_nanos: int, spent_nanos: int = 0) -> None:
        """A lot's suspense resolved: what came back, so that its worker may hold it again, and what was spent after all.

        Only a return is possible here: what is taken from a leased lot is recalled (services/recalling.py).
        """
        if change_nanos < 0:
            raise ValueError(
                f"lot {lot_id} is leased: {-change_nanos} nanos cannot be taken from it without its worker"
            )
        if change_nanos or spent_nanos:
            self._lots.append(LotChange(wallet_id, lot_id, change_nanos, None, spent_nanos))

    def lot_returned(self, lot: Lot, nanos: int) -> None:
        """What a lot gave and what cannot be taken of it after all is left of it again, here and at its worker."""
        self._changes.mirror.take(lot.id, -nanos)
        # nothing of it was in suspense: it is told as spent, as all that was given is, and that as come back
        self.spent_elsewhere(lot.wallet_id, nanos)
        self.lot_changed(lot.wallet_id, lot.id, nanos, -nanos)

    def lot_told(self, lot: Lot, left_nanos: int) -> None:
        """A lot that its worker may not know, such as one that expired before it began; one that it knows stays as it is there."""
        self._lots.append(LotChange(lot.wallet_id, lot.id, 0, leasing.lot_terms(lot, left_nanos)))

    def spent_elsewhere(self, wallet_id: int, nanos: int) -> None:
        """What a wallet spent around the gateway: its worker tells it with what it settled itself."""
        self._spent[wallet_id] = self._spent.get(wallet_id, 0) + nanos

    def recall(self, terms: RecallTerms) -> None:
        """A part of a lot is asked back: whoever has the lease hears of it."""
        self._recalls.append(terms)

    def recalls_answered(self, recall_ids: set[int], still: Mapping[int, RecallTerms]) -> None:
        """These were given what there was without a worker: nobody needs to hear of them, but of what calls still hold."""
        told = [still.get(one.id, one) for one in self._recalls]
        self._recalls = [one for one in told if one.id in still or one.id not in recall_ids]

    @property
    def changes(self) -> HoldChanges:
        """What moves holds, on the mirror and in this transaction's batch."""
        return self._changes

    @property
    def is_lent(self) -> bool:
        """Whether some worker has a sized lease."""
        return bool(self._changes.mirror.leased)

    def lent_to(self, lot_id: int) -> dict[int, int]:
        """By worker with a sized lease: what it has left of a lot."""
        return self._changes.mirror.lent_to(lot_id)

    def booked_at(self, wallet_id: int, at: Instant) -> Instant:
        """When something that was true at `at` is booked: then, or now if the cycle of it is closed (DESIGN §5)."""
        zone, cycles = self._changes.mirror.zone(wallet_id), self._changes.cycles
        return at if cycles.booked(zone, at) == cycles.of_admission(zone, at) else max(at, self.now)

    @property
    def cycles(self) -> CycleBook:
        """Which cycles there are, and how far they are closed."""
        return self._changes.cycles

    def left_nanos(self, lot_id: int) -> int:
        """What nobody had taken of a lot as of the last fold; with a lease out, its worker may hold of it since."""
        return self._changes.mirror.left(lot_id)

    def take(self, lot_id: int, nanos: int) -> None:
        """Nanos leave a lot on the ledger's own word: only while nobody has a lease."""
        self._changes.mirror.take(lot_id, nanos)

    def open_hold(self, key: int) -> OpenHold | None:
        """The open attempt of that hold key: held, dispatched or in suspense."""
        return self._changes.mirror.holds.get(key)

    def holds_in_suspense(self) -> list[OpenHold]:
        """Every attempt whose fate is being found out, oldest first."""
        return sorted(
            (hold for hold in self._changes.mirror.holds.values() if hold.lapsed_at is not None),
            key=lambda one: one.key,
        )

    def resolve(self, hold: OpenHold, settle: SettleRecord) -> int:
        """An attempt in suspense settled at last; what went back to its lots, in nanos. Raises Refused for another state."""
        if hold.lapsed_at is None:
            raise Refused("not_in_suspense", f"attempt {hold_key(hold.key)} is {hold.state}; its worker will end it")
        end = pack_settle(hold_key(hold.key).sequence, settle)
        slices = hold.slices
        self._counters += [
            CounterChange(one.limit_id, one.start_at, counted(one, settle) - one.amount, hold.key)
            for one in hold.raises
        ]
        self._count_less(hold, settle)
        returned = dict(self._changes.end(hold, Outcome.RESOLVED, end, settle.charge_nanos))
        above_nanos = max(0, settle.charge_nanos - sum(nanos for _, nanos in slices))
        carried_nanos = above_nanos - returned.get(COMPANY_LOT_ID, 0)
        if carried_nanos:
            self._carried.append(CarriedChange(hold.wallet_id, hold_key(hold.key).worker, carried_nanos))
        back = 0
        for lot_id, nanos in slices:
            owner = self._changes.mirror.owner(lot_id)
            if owner:
                came_back = returned.get(lot_id, 0)
                self.lot_changed(owner, lot_id, came_back, nanos - came_back)
                back += came_back
        return back

    def _count_less(self, hold: OpenHold, settle: SettleRecord) -> None:
        """What a life with a share of a limit counts against it changes, too."""
        uses, key = schema.limit_uses, hold_key(hold.key)
        for one in hold.raises if self.is_lent else ():
            where = (uses.c.worker == key.worker) & (uses.c.epoch == key.epoch)
            where &= (uses.c.limit_id == one.limit_id) & (uses.c.start_at == one.start_at)
            change = counted(one, settle) - one.amount
            self.connection.execute(update(uses).where(where).values(used=uses.c.used + change))

    def keys_changed(self, key_ids: Iterable[int]) -> None:
        """Api keys that are new, revoked, or whose member's pool changed."""
        self._keys.update(key_ids)

    def cards_added(self, card_ids: Iterable[int]) -> None:
        """New rate cards; their digests enter the chain."""
        for card_id in card_ids:
            if card_id not in self._cards:
                self.journal.append_fact(self.connection, schema.rate_cards, card_id)
                self._cards.add(card_id)

    def setting_changed(self, name: str, value: str) -> None:
        """A setting that workers obey, stored and sent."""
        row = {"value": value, "recorded_at": self.now}
        statement = insert_into(self.connection, schema.settings).values(name=name, **row)
        self.connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
        self._settings[name] = value

    def limits_changed(self, limit_ids: Iterable[int]) -> None:
        """Limits that are new, overridden or removed."""
        self._limits.update(limit_ids)

    def delta(self, number: int) -> Delta | None:
        """Everything said, as one message; None when workers need not know of it."""
        told = (
            self._wallets, self._lots, self._keys, self._cards, self._settings, self._recalls, self._limits, self._counters,
            self._spent, self._carried,
        )  # fmt: skip
        if not any(told):
            return None
        return Delta(
            number=number,
            wallets=leasing.wallet_policies(self.connection, self._wallets, self.now),
            lots=list(self._lots),
            keys=leasing.key_terms(self.connection, self.now, self._keys) if self._keys else [],
            cards=leasing.card_terms(self.connection, self._cards) if self._cards else [],
            settings=dict(self._settings),
            recalls=list(self._recalls),
            limits=limit_terms(self.connection, self.now, self._limits) if self._limits else [],
            counters=list(self._counters),
            spent=dict(self._spent),
            carried=list(self._carried),
        )

    def write(self) -> None:
        """What the handler resolved, as rows; the values of what it added, in the mirror. Once, after the handler."""
        mirror = self._changes.mirror
        self._changes.batch.write(self.connection, mirror, self.now)
        mirror.refresh(
            self.connection,
            [change.lot_id for change in self._lots if change.terms is not None],
            self._wallets | {change.wallet_id for change in self._lots},
        )

    def _open_wallet(self, wallet_id: int) -> None:
        statement = insert_into(self.connection, schema.wallet_values).values(
            wallet_id=wallet_id, last_seq=0, call_count=0, charged_nanos=0, company_nanos=0
        )
        self.connection.execute(statement.on_conflict_do_nothing())


Handler: TypeAlias = Callable[[UnitOfWork, Mapping[str, Any]], dict[str, Any]]
"""A use case: reads and writes through the unit of work and returns what the door shows."""
