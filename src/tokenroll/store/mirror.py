"""Mirror: the ledger's values in memory, so that a fold reads no row before it writes one.

Ids of lots and wallets are dense, so values lie in arrays indexed by them: a million wallets take about 80 MB where dictionaries
would take a gigabyte. The mirror holds what is committed; after a failed transaction it is read again.
"""

from array import array
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from tokenroll.model.hold import Slice
from tokenroll.model.instant import Instant
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record

_INT64: Final = "q"


class OpenHold:
    """An attempt that has not ended, as its records told it."""

    __slots__ = ("admitted_at", "api_key_id", "dispatched_at", "key", "lapsed_at", "record", "slices", "wallet_id")

    def __init__(
        self, *, key: int, wallet_id: int, api_key_id: int, admitted_at: Instant, slices: tuple[Slice, ...], record: bytes,
        dispatched_at: Instant | None = None, lapsed_at: Instant | None = None,
    ) -> None:  # fmt: skip
        self.key = key
        self.wallet_id = wallet_id
        self.api_key_id = api_key_id
        self.admitted_at = admitted_at
        self.slices = slices
        self.record = record
        self.dispatched_at = dispatched_at
        self.lapsed_at = lapsed_at

    @property
    def state(self) -> str:
        """One of HoldState: held, dispatched or suspense."""
        if self.lapsed_at is not None:
            return "suspense"
        return "held" if self.dispatched_at is None else "dispatched"


class Mirror:
    """Arrays of lot values (`left`, `held`, `suspense`, `spent`, `lot_wallet`) and of wallet values, and the open holds."""

    __slots__ = (
        "calls", "charged", "company", "held", "holds", "last_seq", "left", "lot_wallet", "pools", "spent", "suspense",
        "wallet_zone", "zones",
    )  # fmt: skip

    def __init__(self) -> None:
        self.left = array(_INT64)
        self.held = array(_INT64)
        self.suspense = array(_INT64)
        self.spent = array(_INT64)
        self.lot_wallet = array(_INT64)
        self.last_seq = array(_INT64)
        self.calls = array(_INT64)
        self.charged = array(_INT64)
        self.company = array(_INT64)
        self.wallet_zone = array(_INT64)
        self.zones: list[str] = []
        self.pools: set[int] = set()
        self.holds: dict[int, OpenHold] = {}

    def load(self, connection: Connection) -> None:
        """Everything from the rows."""
        lots = (connection.scalar(select(func.max(schema.lots.c.id))) or 0) + 1
        wallets = (connection.scalar(select(func.max(schema.wallets.c.id))) or 0) + 1
        self.left, self.held, self.suspense, self.spent, self.lot_wallet = (_zeros(lots) for _ in range(5))
        self.last_seq, self.calls, self.charged, self.company = (_zeros(wallets) for _ in range(4))
        self.wallet_zone = _zeros(wallets)
        self.zones = []
        self._read_lots(connection, _lot_query())
        self._read_wallets(connection, _wallet_query())
        self.pools = set(connection.scalars(select(schema.pools.c.wallet_id)))
        self.holds = {hold.key: hold for hold in read_holds(connection)}

    def refresh(self, connection: Connection, lot_ids: Iterable[int], wallet_ids: Iterable[int]) -> None:
        """The rows of these lots and wallets again, for instance after a command made them."""
        lots, wallets = sorted(lot_ids), sorted(wallet_ids)
        if lots:
            for values in (self.left, self.held, self.suspense, self.spent, self.lot_wallet):
                _grow(values, lots[-1] + 1)
        if wallets:
            for values in (self.last_seq, self.calls, self.charged, self.company, self.wallet_zone):
                _grow(values, wallets[-1] + 1)
        for part in _parts(lots):
            self._read_lots(connection, _lot_query().where(schema.lot_values.c.lot_id.in_(part)))
        for part in _parts(wallets):
            self._read_wallets(connection, _wallet_query().where(schema.wallets.c.id.in_(part)))
        self.pools = set(connection.scalars(select(schema.pools.c.wallet_id)))

    def _read_lots(self, connection: Connection, query: Select[Any]) -> None:
        left, held, suspense, spent, lot_wallet = self.left, self.held, self.suspense, self.spent, self.lot_wallet
        for lot, wallet, amount, held_nanos, suspense_nanos, spent_nanos, taken in connection.execute(query):
            lot_wallet[lot] = wallet or 0
            held[lot] = held_nanos
            suspense[lot] = suspense_nanos
            spent[lot] = spent_nanos
            left[lot] = (amount or 0) - held_nanos - suspense_nanos - spent_nanos - taken

    def _read_wallets(self, connection: Connection, query: Select[Any]) -> None:
        indexes = {name: index for index, name in enumerate(self.zones)}
        for wallet, zone, last_seq, calls, charged, company in connection.execute(query):
            index = indexes.setdefault(zone, len(indexes))
            self.wallet_zone[wallet] = index
            self.last_seq[wallet] = last_seq or 0
            self.calls[wallet] = calls or 0
            self.charged[wallet] = charged or 0
            self.company[wallet] = company or 0
        self.zones = list(indexes)


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
            )
        )  # fmt: skip
    return found


def _lot_query() -> Select[Any]:
    lots, values = schema.lots.c, schema.lot_values.c
    taken = values.forfeited_nanos + values.clawed_back_nanos + values.voided_nanos + values.transferred_out_nanos
    query = select(
        values.lot_id,
        lots.wallet_id,
        lots.amount_nanos,
        values.held_nanos,
        values.suspense_nanos,
        values.spent_nanos,
        taken,
    )
    return query.select_from(schema.lot_values.outerjoin(schema.lots, lots.id == values.lot_id))


def _wallet_query() -> Select[Any]:
    wallets, values = schema.wallets.c, schema.wallet_values.c
    query = select(
        wallets.id, wallets.zone, values.last_seq, values.call_count, values.charged_nanos, values.company_nanos
    )
    return query.select_from(schema.wallets.outerjoin(schema.wallet_values, wallets.id == values.wallet_id))


def _zeros(count: int) -> "array[int]":
    return array(_INT64, bytes(8 * count))


def _grow(values: "array[int]", count: int) -> None:
    if len(values) < count:
        values.frombytes(bytes(8 * (count - len(values))))


def _parts(ids: list[int], size: int = 500) -> Iterable[list[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))
