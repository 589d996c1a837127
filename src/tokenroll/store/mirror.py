"""Mirror: what a fold must know of lots and wallets, in memory, so that it reads no row before it writes one.

Ids of lots and wallets are dense, so values lie in arrays indexed by them: a million wallets take 32 MB where dictionaries would
take ten times that. A lot's remainder and its owner are neighbours, because a hold needs both and a million lots do not fit a
cache. The mirror holds what is committed; after a failed transaction it is read again.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from sqlalchemy import Connection, func, select

from tokenroll.model.hold import Slice
from tokenroll.model.instant import Instant
from tokenroll.store import schema
from tokenroll.store.attempt_record import LimitRaise, parse_record
from tokenroll.store.database import raw_connection

_INT64: Final = "q"


class OpenHold:
    """An attempt that has not ended, as its records told it."""

    __slots__ = (
        "admitted_at", "api_key_id", "dispatched_at", "key", "lapsed_at", "raises", "record", "slices", "wallet_id",
    )  # fmt: skip

    def __init__(
        self, *, key: int, wallet_id: int, api_key_id: int, admitted_at: Instant, slices: tuple[Slice, ...], record: bytes,
        dispatched_at: Instant | None = None, lapsed_at: Instant | None = None, raises: tuple[LimitRaise, ...] = (),
    ) -> None:  # fmt: skip
        self.key = key
        self.wallet_id = wallet_id
        self.api_key_id = api_key_id
        self.admitted_at = admitted_at
        self.slices = slices
        self.record = record
        self.dispatched_at = dispatched_at
        self.lapsed_at = lapsed_at
        self.raises = raises
        """The limits that count it."""

    @property
    def state(self) -> str:
        """One of HoldState: held, dispatched or suspense."""
        if self.lapsed_at is not None:
            return "suspense"
        return "held" if self.dispatched_at is None else "dispatched"


class Mirror:
    """`lots[2 * id]`: what nobody has taken of a lot yet, in nanos; `lots[2 * id + 1]`: whose it is. And the open holds.

    `last_seq[wallet]` is the newest settlement of a wallet, 0 for none. What is lent to a worker with a sized lease is not in `lots` but in
    an array of its own, laid out in the same way, from which its holds take.
    """

    __slots__ = ("holds", "last_seq", "leased", "lots", "pools", "wallet_zone", "zones")

    def __init__(self) -> None:
        self.lots = array(_INT64)
        self.last_seq = array(_INT64)
        self.wallet_zone = array(_INT64)
        self.zones: list[str] = []
        self.pools: set[int] = set()
        self.holds: dict[int, OpenHold] = {}
        self.leased: dict[int, array[int]] = {}
        """By worker with a sized lease."""

    def load(self, connection: Connection) -> None:
        """Everything from the rows."""
        lots = (connection.scalar(select(func.max(schema.lots.c.id))) or 0) + 1
        wallets = (connection.scalar(select(func.max(schema.wallets.c.id))) or 0) + 1
        self.lots = _zeros(2 * lots)
        self.last_seq = _zeros(wallets)
        self.wallet_zone = _zeros(wallets)
        self.zones = []
        self._read_leases(connection)
        self._read_lots(connection, _LOTS)
        self._read_wallets(connection, _WALLETS)
        self.pools = set(connection.scalars(select(schema.pools.c.wallet_id)))
        self.holds = {hold.key: hold for hold in read_holds(connection)}

    def refresh(self, connection: Connection, lot_ids: Iterable[int], wallet_ids: Iterable[int]) -> None:
        """The rows of these lots and wallets again, for instance after a command made them."""
        lots, wallets = sorted(lot_ids), sorted(wallet_ids)
        if lots:
            for values in (self.lots, *self.leased.values()):
                _grow(values, 2 * lots[-1] + 2)
        if wallets:
            _grow(self.last_seq, wallets[-1] + 1)
            _grow(self.wallet_zone, wallets[-1] + 1)
        for part in _parts(lots):
            self._read_lots(connection, f"{_LOTS} WHERE l.id IN ({part})")
        for part in _parts(wallets):
            self._read_wallets(connection, f"{_WALLETS} WHERE w.id IN ({part})")
        self.pools = set(connection.scalars(select(schema.pools.c.wallet_id)))

    def left(self, lot: int) -> int:
        """What nobody has taken of the lot yet, in nanos."""
        return self.lots[2 * lot]

    def owner(self, lot: int) -> int:
        """Whose lot it is; 0 for the company's and for one that the ledger does not know."""
        return self.lots[2 * lot + 1] if 0 < 2 * lot < len(self.lots) else 0

    def take(self, lot: int, nanos: int) -> int:
        """What is left of the lot after `nanos` more were taken (negative: given back)."""
        left = self.lots[2 * lot] - nanos
        self.lots[2 * lot] = left
        return left

    def lots_of(self, worker: int) -> "array[int]":
        """What a worker's holds take from."""
        return self.leased.get(worker, self.lots)

    def begin_lease(self, worker: int) -> None:
        """A sized lease of nothing yet."""
        self.leased[worker] = _zeros(len(self.lots))

    def lend(self, worker: int, lot: int, nanos: int) -> None:
        """Nanos of a lot to a worker (negative: back)."""
        leased = self.leased[worker]
        leased[2 * lot] += nanos
        leased[2 * lot + 1] = self.lots[2 * lot + 1]
        self.lots[2 * lot] -= nanos

    def leases_of(self, worker: int) -> list[tuple[int, int]]:
        """The lots of which a worker's sized lease has something left, and how much."""
        lefts = self.leased.get(worker, self.lots[:0])[::2]
        return [(lot, left) for lot, left in enumerate(lefts) if left]

    def lent_to(self, lot: int) -> dict[int, int]:
        """By worker: what it has left of a lot."""
        return {worker: one[2 * lot] for worker, one in self.leased.items() if one[2 * lot]}

    def give_back(self, hold: OpenHold, lot: int, nanos: int) -> None:
        """What a hold did not need goes where it came from; out of suspense it comes to the ledger, for its worker counts on it no more."""
        lots = self.lots if hold.lapsed_at is not None else self.lots_of(hold.key >> _WORKER_SHIFT)
        lots[2 * lot] += nanos

    def open_raises(self) -> dict[tuple[int, Instant], int]:
        """By limit and counter: what calls that have not ended raised it by."""
        found: dict[tuple[int, Instant], int] = {}
        for hold in self.holds.values():
            for one in hold.raises:
                key = (one.limit_id, one.start_at)
                found[key] = found.get(key, 0) + one.amount
        return found

    def write_leases(self, connection: Connection, worker: int, lots: Iterable[int]) -> None:
        """What a worker has left of these lots, as rows."""
        leased = self.leased[worker]
        rows = [(worker, lot, leased[2 * lot]) for lot in sorted(lots)]
        if rows:
            raw_connection(connection).executemany(_LEASE, rows)

    def zone(self, wallet: int) -> str:
        """The time zone in which the wallet's cycles begin."""
        return self.zones[self.wallet_zone[wallet]]

    def _read_lots(self, connection: Connection, query: str) -> None:
        lots, leased = self.lots, tuple(self.leased.values())
        for lot, wallet, left in raw_connection(connection).execute(query):
            lots[2 * lot] = left
            lots[2 * lot + 1] = wallet
            for one in leased:
                lots[2 * lot] -= one[2 * lot]
                one[2 * lot + 1] = wallet

    def _read_leases(self, connection: Connection) -> None:
        workers = schema.workers.c
        self.leased = {}
        for worker in connection.scalars(select(workers.worker).where(workers.lease == _SIZED)):
            self.begin_lease(worker)
        for worker, lot, left in connection.execute(select(schema.lot_leases)):
            self.leased[worker][2 * lot] = left

    def _read_wallets(self, connection: Connection, query: str) -> None:
        indexes = {name: index for index, name in enumerate(self.zones)}
        last_seqs, wallet_zones = self.last_seq, self.wallet_zone
        for wallet, zone, last_seq in raw_connection(connection).execute(query):
            wallet_zones[wallet] = indexes.setdefault(zone, len(indexes))
            last_seqs[wallet] = last_seq
        self.zones = list(indexes)


_WORKER_SHIFT: Final = 56
"""Of a hold key."""
_SIZED: Final = 2
"""`lease_book.LEASE_SIZED`; a test compares them."""
_LEASE: Final = """
    INSERT INTO lot_leases(worker, lot_id, left_nanos) VALUES (?,?,?)
    ON CONFLICT(worker, lot_id) DO UPDATE SET left_nanos = excluded.left_nanos"""
_LOTS: Final = """
    SELECT l.id, l.wallet_id, l.amount_nanos - v.held_nanos - v.suspense_nanos - v.spent_nanos - v.forfeited_nanos
        - v.clawed_back_nanos - v.voided_nanos - v.transferred_out_nanos
    FROM lots l JOIN lot_values v ON v.lot_id = l.id"""
_WALLETS: Final = """
    SELECT w.id, w.zone, coalesce(v.last_seq, 0) FROM wallets w LEFT JOIN wallet_values v ON v.wallet_id = w.id"""


def read_holds(connection: Connection) -> list[OpenHold]:
    """The open holds of the rows, oldest first."""
    table = schema.holds
    found = []
    for row in connection.execute(select(table).order_by(table.c.hold_key)):
        hold = parse_record(row.record).hold
        found.append(
            OpenHold(
                key=row.hold_key, wallet_id=hold.wallet_id, api_key_id=hold.api_key_id, admitted_at=hold.admitted_at,
                slices=hold.slices, record=row.record, dispatched_at=row.dispatched_at, lapsed_at=row.lapsed_at,
                raises=hold.raises,
            )
        )  # fmt: skip
    return found


def _zeros(count: int) -> "array[int]":
    return array(_INT64, bytes(8 * count))


def _grow(values: "array[int]", count: int) -> None:
    if len(values) < count:
        values.frombytes(bytes(8 * (count - len(values))))


def _parts(ids: list[int], size: int = 500) -> Iterator[str]:
    """Ids as SQL lists, some at a time."""
    return (",".join(map(str, ids[start : start + size])) for start in range(0, len(ids), size))
