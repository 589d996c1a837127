"""Usage reports over a ledger of a month: how fast calls are summed, what the sums weigh, how long a page takes.

.venv/bin/python -m bench.micro.usage --settlements 1000000
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from bench.micro import fold
from tokenroll.app import random_bits
from tokenroll.engine.rating import canonical_json, pinned
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.rate_card import RateCard, RateTable
from tokenroll.model.usage import Meter
from tokenroll.services.commands import COMMANDS
from tokenroll.services.ledger import Ledger
from tokenroll.services.usage_reports import Dimension, UsageQuestion, UsageReport
from tokenroll.store import tape
from tokenroll.store.cycles import CycleBook
from tokenroll.store.database import checkpoint, open_reader, open_writer, raw_connection
from tokenroll.store.fold import Fold
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.journal import Journal
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import RecordType

MONTH_AT: Final = 1_767_225_600_000_000  # 2026-01-01
DAY: Final = 86_400_000_000
DAYS: Final = 31
KEYS: Final = 1_000
DEPARTMENTS: Final = 20
BATCH: Final = 15_000
ROUNDS: Final = 5
PAGES: Final[tuple[tuple[str, int, int, tuple[Dimension, ...]], ...]] = (
    ("31 days", 86_400, DAYS, ()),
    ("31 days by department and model", 86_400, DAYS, (Dimension.DEPARTMENT, Dimension.MODEL)),
    ("31 days by key", 86_400, DAYS, (Dimension.KEY,)),
    ("168 hours by department", 3_600, 168, (Dimension.DEPARTMENT,)),
    ("1,440 minutes", 60, 1_440, ()),
    ("60 minutes by key", 60, 60, (Dimension.KEY,)),
)


def people(connection: Connection) -> None:
    """A member with a key for each wallet, in departments, and the card that calls are priced by."""
    raw = raw_connection(connection)
    raw.execute("BEGIN")
    raw.executemany(
        "INSERT INTO departments VALUES (?,?,?,'cc',NULL,0)",
        ((i, f"department_{i}", f"D{i}") for i in range(1, DEPARTMENTS + 1)),
    )
    raw.executemany(
        "INSERT INTO members (id, public_id, name, kind, department_id, zone, recorded_at) VALUES (?,?,?,'person',?,'UTC',0)",
        ((i, f"member_{i}", f"Ada {i}", i % DEPARTMENTS + 1) for i in range(1, KEYS + 1)),
    )
    raw.executemany(
        "INSERT INTO api_keys (id, public_id, member_id, name, scope, shown_prefix, secret_hash, created_at) "
        "VALUES (?,?,?,'k','inference','tr-',?,0)",
        ((i, f"key_{i}", i, i.to_bytes(32, "big")) for i in range(1, KEYS + 1)),
    )
    rates = {Meter.INPUT: 150 * ATTOS_PER_NANO, Meter.OUTPUT: 600 * ATTOS_PER_NANO}
    prices = {"standard": RateTable(base=rates)}
    card = pinned(RateCard(
        id=1, public_id="ratecard_1", provider="openai", model="gpt-5-mini", aliases=(), effective_at=0, recorded_at=0, currency="USD",
        list_prices=prices, net_prices=prices, internal_prices=prices, context_window_tokens=None, output_tokens_max=None, source="bench",
        digest="", overhead_tokens_per_message=0, overhead_tokens_per_request_with_tools=0, overhead_tokens_per_tool=0,
    ))  # fmt: skip
    raw.execute(
        "INSERT INTO rate_cards VALUES (1,'ratecard_1','openai','gpt-5-mini',0,0,'USD','bench',?,?)",
        (card.digest, canonical_json(card)),
    )
    raw.execute("COMMIT")


def attempts(count: int) -> Iterator[bytes]:
    """So many calls over the month, by each key in turn, as reports of whole attempts."""
    sequence = 2
    names = [tape.pack_name(1, "gpt-5-mini")]
    for start in range(0, count, BATCH):
        records, first = names, sequence - len(names)
        names = []
        for number in range(start, min(start + BATCH, count)):
            at = MONTH_AT + number * DAYS * DAY // count
            wallet = number * 7919 % KEYS + 1
            records.append(
                tape.SHORT_HOLD.pack(
                    RecordType.SHORT_HOLD, 0, tape.SHORT_HOLD.size, wallet, wallet, 1, at, 1, 0, 0, 0, 512, 900, 3, 0, wallet,
                    fold.HOLD_NANOS,
                )
            )  # fmt: skip
            records.append(
                tape.DISPATCHED_HEAD.pack(RecordType.DISPATCHED, 0, tape.DISPATCHED_HEAD.size + 8, at)
                + sequence.to_bytes(8, "little")
            )
            records.append(fold.settle(sequence))
            sequence += 3
        yield tape.pack_block(first, records)


def fill(path: Path, count: int) -> None:
    """The month folded, as workers would have reported it."""
    connection = open_writer(path)
    connection.rollback()
    fold.fill(connection, KEYS)
    people(connection)
    mirror, journal = Mirror(), Journal(connection)
    mirror.load(connection)
    connection.rollback()
    folding = Fold(connection, HoldChanges(journal, mirror, CycleBook()))
    sequence = 0
    for report in attempts(count):
        with connection.begin():
            sequence = folding.apply(1, 1, report, sequence, MONTH_AT + DAYS * DAY)
            journal.close_batch(MONTH_AT + DAYS * DAY, (1, 1, None, sequence))
    connection.close()


def summed(path: Path) -> dict[str, Any]:
    """Every settlement rolled up, slice by slice as the ledger does it."""
    connection = open_writer(path)
    ledger = Ledger(connection, lambda: MONTH_AT + DAYS * DAY, COMMANDS, random_bits)
    slices = []
    checkpoint(connection)
    before = path.stat().st_size
    count = 0
    while True:
        started = time.perf_counter()
        done = ledger.roll_up_usage()
        if not done:
            break
        slices.append(time.perf_counter() - started)
        count += done
    checkpoint(connection)
    rows = raw_connection(connection).execute("SELECT count(*) FROM usage_rollups").fetchone()[0]
    connection.close()
    slices.sort()
    return {
        "settlements": count, "per_second": round(count / sum(slices)), "slice_milliseconds": round(slices[len(slices) // 2] * 1e3, 1),
        "rows": rows, "ledger_bytes_before": before, "rollup_bytes": path.stat().st_size - before,
    }  # fmt: skip


def paged(path: Path, count: int) -> dict[str, Any]:
    """The median of `ROUNDS` readings of each page, in milliseconds, every charge of it added up."""
    engine = open_reader(path)
    found = {}
    for name, width, buckets, group_by in PAGES:
        from_at = MONTH_AT + (DAYS - max(1, width * buckets // 86_400)) * DAY
        question = UsageQuestion(
            from_at=from_at,
            until=from_at + width * buckets * 1_000_000,
            width_seconds=width,
            dialects=frozenset({0}),
            group_by=group_by,
        )
        seconds, rows, nanos = [], 0, 0
        for _ in range(ROUNDS):
            with engine.connect() as connection:
                started = time.perf_counter()
                groups = [one for bucket in UsageReport(connection, question).buckets() for _, one in bucket.groups]
                seconds.append(time.perf_counter() - started)
            rows, nanos = len(groups), sum(one.charge_nanos for one in groups)
        if buckets == DAYS and nanos != count * fold.CHARGE_NANOS:
            raise SystemExit(f"{name} adds up to {nanos}, the ledger to {count * fold.CHARGE_NANOS}")
        found[name] = {"milliseconds": round(sorted(seconds)[ROUNDS // 2] * 1e3, 1), "rows": rows}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settlements", type=int, default=1_000_000)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "ledger.db"
        fill(path, options.settlements)
        rolled = summed(path)
        print(json.dumps({**rolled, "pages": paged(path, options.settlements)}, indent=1))


if __name__ == "__main__":
    main()
