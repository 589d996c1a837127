"""A real ledger made in a millisecond: its rows come from an image in memory that the real commands filled once.

Ada (wallet 1) has two lots of 40 credits, Bo (wallet 2) one of 5, the Nightly agent (wallet 3) nothing but the department's pool
(wallet 4) of 20. The rate card charges 3,000 nanos a model token in and 15,000 out.
"""

import functools
import itertools
import sqlite3
import struct
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from tests.cast import make_card
from tests.empty_ledger import sqlite_connection
from tests.postgresql_kit import Choice, empty_writer
from tokenroll.engine.rating import canonical_json, pinned
from tokenroll.services.commands import COMMANDS
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import (
    Ack,
    Applied,
    Command,
    Hello,
    Lease,
    Ready,
    Refusal,
    Report,
    View,
    Welcome,
)
from tokenroll.store import schema, tape
from tokenroll.store.attempt_record import (
    EvidenceRecord,
    LapseRecord,
    LimitRaise,
    Outcome,
    ReleaseRecord,
    SettleRecord,
    pack_raises,
    pack_settle,
)
from tokenroll.store.attempt_record import pack_lapse as lapse_bytes
from tokenroll.store.attempt_record import pack_release as release_bytes
from tokenroll.store.database import close, connect_writer, open_writer, raw_connection
from tokenroll.store.tape import RecordType, TapeSource, pack_block, pack_counts, pack_name

__all__ = [
    "Ack", "Applied", "Command", "Hello", "Outcome", "Ready", "Refusal", "Report", "Welcome", "pack_block", "pack_name",
]  # fmt: skip

CREDIT = 1_000_000_000
DAY = 86_400_000_000
HOUR = 3_600_000_000
START = 1_767_600_000_000_000  # 2026-01-05T08:00:00Z
BOOT = b"the first kernel"
ADA, BO, NIGHTLY, POOL = 1, 2, 3, 4
ADA_LOT, ADA_SECOND_LOT, BO_LOT, POOL_LOT = 1, 2, 3, 4
IN_NANOS, OUT_NANOS = 3_000, 15_000


def create_card(work: Any, _arguments: Any) -> dict[str, Any]:
    """The one rate card, without reading published prices."""
    card = pinned(make_card(effective_at=0))
    work.connection.execute(
        schema.rate_cards.insert().values(
            id=card.id, public_id=card.public_id, provider=card.provider, model=card.model, effective_at=0,
            recorded_at=work.now, currency=card.currency, source=card.source, digest=card.digest,
            canonical_json=canonical_json(card),
        )
    )  # fmt: skip
    work.cards_added([card.id])
    return {"card": card.public_id}


HANDLERS = {**COMMANDS, "card.create": create_card}


def new_ledger(connection: Connection, clock: Callable[[], int]) -> Ledger:
    numbers = itertools.count(
        raw_connection(connection).execute("SELECT count(*) FROM commands").fetchone()[0] * 1000 + 1
    )
    return Ledger(connection, clock, HANDLERS, lambda bits: next(numbers) % (1 << bits))


def founded() -> tuple[Connection, Callable[..., None]]:
    """A ledger with the cast, a pool and the rate card, and nothing granted; and how to give it commands: id, name, arguments."""
    connection = empty_writer("image") if Choice.postgresql else open_writer(None)
    ledger = new_ledger(connection, lambda: START)

    def do(command_id: str, command: str, /, **arguments: Any) -> None:
        reply = ledger.execute(Command(id=command_id, name=command, arguments=arguments))
        assert reply.result is not None, reply.problem

    do("d", "department.create", name="Engineering", cost_centre="R1")
    for name in ("Ada", "Bo", "Nightly"):
        do(name, "member.create", name=name, department="Engineering", zone="UTC")
    do("pool", "pool.create", name="Engineering pool", department="Engineering")
    do("card", "card.create")
    return connection, do


@functools.cache
def image() -> Connection:
    """The rows of the cast's first day, to be copied."""
    connection, do = founded()
    do("p", "plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=40 * CREDIT)
    do("g1", "grant.create", to="Ada", plan="tools")
    do("g2", "grant.create", to="Ada", plan="tools")
    do("g3", "grant.create", to="Bo", plan="tools", amount_nanos=5 * CREDIT)
    do("g4", "grant.create", to="Engineering pool", plan="tools", amount_nanos=20 * CREDIT)
    connection.rollback()
    return connection


@functools.cache
def _first_day() -> str:
    """The name of a PostgreSQL database with these rows, for copies; nobody may be connected to it."""
    connection = image()
    name = connection.engine.url.database or ""
    close(connection)
    return name


_connections: dict[str, Connection] = {}
"""One connection for all tests of a process: compiled statements are kept, which is most of what a small test costs."""


def connect(factory: type[sqlite3.Connection] = sqlite3.Connection) -> Connection:
    """A connection to the rows as the cast's first day left them. The one before it is gone."""
    if Choice.postgresql:
        return empty_writer(template=_first_day())
    if factory.__name__ not in _connections:
        _connections[factory.__name__] = connect_writer(None, factory=factory)
    connection = _connections[factory.__name__]
    connection.rollback()
    sqlite_connection(image()).backup(sqlite_connection(connection))
    return connection


def begin_life(ledger: Ledger) -> int:
    """A new life of worker 0 that is ready to spend; its epoch."""
    welcome = ledger.hello(Hello(version=2, worker=0, epoch=0, boot_id=BOOT, last_delta=0))
    assert isinstance(welcome, Welcome)
    make_ready(ledger, welcome.epoch)
    return welcome.epoch


def make_ready(ledger: Ledger, epoch: int) -> list[View | Lease]:
    """What the ledger sends a worker that is ready."""
    answer = ledger.ready(Ready(worker=0, epoch=epoch))
    assert not isinstance(answer, Refusal)
    return list(answer)


class Kit:
    """A ledger with one worker that is ready, and records made for it by hand."""

    def __init__(self, factory: type[sqlite3.Connection] = sqlite3.Connection) -> None:
        self.now = START
        self.connection = connect(factory)
        self.ledger = new_ledger(self.connection, lambda: self.now)
        self.epoch = self.new_life()
        self._numbers = itertools.count()

    def new_life(self, *, ready: bool = True) -> int:
        welcome = self.ledger.hello(Hello(version=2, worker=0, epoch=0, boot_id=BOOT, last_delta=0))
        assert isinstance(welcome, Welcome)
        self.epoch = welcome.epoch
        if ready:
            self.ready()
        return welcome.epoch

    def ready(self) -> None:
        self.lease = make_ready(self.ledger, self.epoch)

    def clock(self) -> int:
        return self.now

    def do(self, command: str, command_id: str = "", /, **arguments: Any) -> dict[str, Any]:
        reply = self.ledger.execute(
            Command(id=command_id or f"{command}-{next(self._numbers)}", name=command, arguments=arguments)
        )
        assert reply.result is not None, reply.problem
        return reply.result

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return raw_connection(self.connection).execute(query).fetchall()

    def lot(self, lot_id: int) -> tuple[int, int, int]:
        """held, suspense, spent."""
        return self.rows(f"SELECT held_nanos, suspense_nanos, spent_nanos FROM lot_values WHERE lot_id = {lot_id}")[0]


def call_number(at: int, epoch: int, sequence: int, worker: int = 0) -> int:
    return at // 1000 << 80 | worker << 72 | epoch << 48 | sequence


def hold_record(
    sequence: int, *slices: tuple[int, int], wallet: int = ADA, epoch: int = 1, at: int = START, attempt: int = 1,
    call: int | None = None, client_name: int = 0, key: int = 7, raises: tuple[LimitRaise, ...] = (),
) -> bytes:  # fmt: skip
    number = call_number(at, epoch, sequence) if call is None else call
    limits = pack_raises(raises) if raises else b""
    length = tape.HOLD.size + len(slices) * tape.SLICE.size + len(limits)
    head = tape.HOLD.pack(
        RecordType.HOLD, tape.HOLD_LIMITED if raises else 0, length, attempt, len(slices), number.to_bytes(16, "big"), wallet, key, 1, at,
        sum(nanos for _, nanos in slices), 0, 0, 0, 0, client_name, 100, 400, 1, 0,
    )  # fmt: skip
    return head + b"".join(tape.SLICE.pack(*one) for one in slices) + limits


def dispatched_record(*sequences: int, at: int = START) -> bytes:
    length = tape.DISPATCHED_HEAD.size + 8 * len(sequences)
    return tape.DISPATCHED_HEAD.pack(RecordType.DISPATCHED, 0, length, at) + struct.pack(
        f"<{len(sequences)}Q", *sequences
    )


def counts_of(tokens_in: int, tokens_out: int) -> tuple[int | None, ...]:
    return (tokens_in, None, None, None, None, None, tokens_out, *[None] * 8)


def cost_of(tokens_in: int, tokens_out: int) -> int:
    return tokens_in * IN_NANOS + tokens_out * OUT_NANOS


def settle_record(
    sequence: int, tokens_in: int, tokens_out: int, *, at: int = START, source: int = TapeSource.REPORTED
) -> bytes:
    cost = cost_of(tokens_in, tokens_out)
    return pack_settle(
        sequence,
        SettleRecord(
            at, at, cost, cost, cost, 200, int(source), 1, "standard", 0, 200, 0, 0, counts_of(tokens_in, tokens_out)
        ),
    )


def evidence_record(sequence: int, tokens_in: int, tokens_out: int, *, at: int = START) -> bytes:
    seen = EvidenceRecord(at, 100, int(TapeSource.ESTIMATED), 0, 200, counts_of(tokens_in, tokens_out))
    counts = pack_counts(seen.counts)
    head = tape.EVIDENCE.pack(
        RecordType.EVIDENCE,
        tape.WIDE_COUNTS,
        tape.EVIDENCE.size + len(counts),
        sequence,
        at,
        seen.answer_bytes,
        seen.source,
        0,
        200,
    )
    return head + counts


def release_record(sequence: int, reason: int, *, at: int = START) -> bytes:
    return release_bytes(sequence, ReleaseRecord(at, int(reason), 0, 0))


def lapse_record(sequence: int, *, at: int = START) -> bytes:
    return lapse_bytes(sequence, LapseRecord(at, 0, 6, 0))
