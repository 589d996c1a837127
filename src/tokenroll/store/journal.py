"""The journal: rows in one order, closed in batches that are chained by hash (DESIGN §4 law 8).

Every journal row (settlement, entry, fact, command) takes the next `ledger_seq` and is one leaf of its batch. A batch is a
transaction: a fold or a command. What was begun and not closed never was.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, func, select

from tokenroll.engine.chaining import GENESIS_HASH, BatchHeader, batch_hash, leaf_hash, root_of_hashes
from tokenroll.model.entry import Entry
from tokenroll.model.instant import Instant
from tokenroll.store import schema

_BATCH: Final = schema.batches.insert()
SETTLEMENT_LEAF: Final = struct.Struct("<cqqqii")
"""Kind byte, ledger_seq, hold key, previous_seq, cycle, outcome; the attempt's record follows."""


def settlement_leaf(
    ledger_seq: int, hold_key: int, previous_seq: int, cycle: int, outcome: int, record: bytes
) -> bytes:
    """What the chain binds of a settlement: all columns that its record does not hold, and the record."""
    return SETTLEMENT_LEAF.pack(b"S", ledger_seq, hold_key, previous_seq, cycle, outcome) + record


def entry_leaf(ledger_seq: int, entry: Entry) -> bytes:
    """What the chain binds of an entry: everything, with ids only."""
    legs = [[leg.account.value, leg.wallet_id, leg.lot_id, leg.nanos] for leg in entry.postings]
    said = [
        ledger_seq, entry.public_id, entry.kind.value, entry.effective_at, entry.recorded_at, entry.reference, legs,
    ]  # fmt: skip
    return b"E" + msgspec.json.encode(said)


def fact_leaf(ledger_seq: int, noun: str, row_id: int, digest: bytes) -> bytes:
    """What the chain binds of an immutable row: which one, and its digest."""
    return b"F" + msgspec.json.encode([ledger_seq, noun, row_id, digest.hex()])


def command_leaf(ledger_seq: int, command_id: str, name: str, body_digest: bytes, result_json: str) -> bytes:
    """What the chain binds of a command: its id and digests of what was asked and answered, never the words."""
    answer = hashlib.sha256(result_json.encode()).hexdigest()
    return b"C" + msgspec.json.encode([ledger_seq, command_id, name, body_digest.hex(), answer])


def canonical(value: Any) -> bytes:
    """One spelling of a JSON value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def row_digest(row: Mapping[str, Any]) -> bytes:
    """sha256 of a row's columns, blobs as hex; a column that an older revision did not have counts only where it says something."""
    plain = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in row.items()
        if value is not None or name not in schema.ADDED_LATER
    }
    return hashlib.sha256(canonical(plain)).digest()


def slip_digest(slip_id: int, public_id: str, run_id: int, wallet_id: int, values_json: str) -> bytes:
    """sha256 of a pay slip's row: its run's root is over these, so that one fact of the chain holds a million slips."""
    said = f"tokenroll/slip1|{slip_id}|{public_id}|{run_id}|{wallet_id}|{values_json}"
    return hashlib.sha256(said.encode()).digest()


class Journal:
    """Where the ledger stands: the next sequence, the open batch's leaves, the head of the chain."""

    __slots__ = ("_connection", "batch_number", "first_seq", "hashes", "head_hash", "next_seq")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.hashes: list[bytes] = []
        self.reload()

    def reload(self) -> None:
        """What is committed, and no more: after opening and after every rollback."""
        batches = schema.batches
        head = self._connection.execute(
            select(batches.c.number, batches.c.last_seq, batches.c.hash).order_by(batches.c.number.desc()).limit(1)
        ).one_or_none()
        self.batch_number = 0 if head is None else head.number
        self.head_hash = GENESIS_HASH if head is None else head.hash
        self.next_seq = self.first_seq = 1 if head is None else head.last_seq + 1
        self.hashes.clear()

    def take(self, leaf: bytes) -> int:
        """The next sequence, its leaf hashed into the open batch. `leaf` must hold that same sequence (`next_seq`)."""
        self.hashes.append(leaf_hash(leaf))
        taken = self.next_seq
        self.next_seq = taken + 1
        return taken

    def append_entry(self, entry: Entry) -> int:
        """The entry and its postings; its sequence."""
        seq = self.take(entry_leaf(self.next_seq, entry))
        self._connection.execute(
            schema.entries.insert().values(
                ledger_seq=seq, public_id=entry.public_id, kind=entry.kind.value, effective_at=entry.effective_at,
                recorded_at=entry.recorded_at, reference=entry.reference,
            )
        )  # fmt: skip
        if entry.postings:
            self._connection.execute(
                schema.postings.insert(),
                [
                    {"ledger_seq": seq, "leg": leg, "account": one.account.value, "wallet_id": one.wallet_id,
                     "lot_id": one.lot_id, "nanos": one.nanos}
                    for leg, one in enumerate(entry.postings)
                ],
            )  # fmt: skip
        return seq

    def append_fact(self, connection: Connection, table: Table, row_id: int) -> int:
        """The digest of an immutable row that was just inserted; its sequence."""
        row = connection.execute(select(table).where(table.c.id == row_id)).mappings().one()
        digest = row_digest(dict(row))
        noun = str(table.name)
        seq = self.take(fact_leaf(self.next_seq, noun, row_id, digest))
        connection.execute(schema.facts.insert().values(ledger_seq=seq, noun=noun, row_id=row_id, digest=digest))
        return seq

    def close_batch(
        self, closed_at: Instant, source: Sequence[int | None] = (None, None, None, None)
    ) -> BatchHeader | None:
        """The batch's row, chained to the one before; None when nothing was appended. The caller commits.

        `source` of a fold: worker, epoch, first and last record sequence.
        """
        if self.next_seq == self.first_seq:
            return None
        header = BatchHeader(
            number=self.batch_number + 1,
            previous_hash=self.head_hash,
            first_seq=self.first_seq,
            last_seq=self.next_seq - 1,
            leaf_count=len(self.hashes),
            merkle_root=root_of_hashes(self.hashes),
            closed_at=closed_at,
        )
        digest = batch_hash(header)
        worker, epoch, first_record, last_record = source
        row = {
            "number": header.number, "first_seq": header.first_seq, "last_seq": header.last_seq, "closed_at": closed_at,
            "worker": worker, "epoch": epoch, "first_record": first_record, "last_record": last_record,
            "root": header.merkle_root, "previous_hash": header.previous_hash, "hash": digest,
        }  # fmt: skip
        self._connection.execute(_BATCH, row)
        self.batch_number = header.number
        self.head_hash = digest
        self.first_seq = self.next_seq
        self.hashes = []
        return header

    def last_closed_at(self) -> Instant:
        """When the newest batch was closed; 0 for an empty journal. `closed_at` never goes back (DESIGN §5)."""
        return self._connection.scalar(select(func.max(schema.batches.c.closed_at))) or 0
