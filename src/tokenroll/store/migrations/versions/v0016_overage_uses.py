"""Overage uses: what the company carried of a wallet's calls, by the worker that admitted them."""

from collections import Counter
from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.store.attempt_record import AttemptRecord, hold_key, parse_record
from tokenroll.store.database import SchemaError
from tokenroll.store.tape import TapeError

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SETTLEMENT = sa.text("SELECT hold_key, previous_seq, record FROM settlements WHERE ledger_seq = :seq")


def upgrade() -> None:
    """One table, from the calls of those wallets that the company ever paid for, and from what is in suspense."""
    op.create_table(
        "overage_uses",
        *(
            sa.Column(name, _INT, primary_key=True, autoincrement=False, nullable=False)
            for name in ("wallet_id", "worker")
        ),
        sa.Column("nanos", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    uses: Counter[tuple[int, int]] = Counter()
    connection = op.get_bind()
    carried = "SELECT wallet_id, last_seq, company_nanos FROM wallet_values WHERE company_nanos != 0"
    for wallet_id, last_seq, company_nanos in connection.exec_driver_sql(carried).all():
        seq, rest = last_seq, company_nanos
        while rest:  # no part is below zero, so what is older has none once all is found
            number, seq, record = connection.execute(_SETTLEMENT, {"seq": seq}).one()
            rest -= _note(uses, wallet_id, number, _read(number, record).consumed)
    suspense = "SELECT wallet_id, hold_key, record FROM holds WHERE state = 'suspense'"
    for wallet_id, number, record in connection.exec_driver_sql(suspense):
        _note(uses, wallet_id, number, _read(number, record).hold.slices)
    rows = [(wallet_id, worker, nanos) for (wallet_id, worker), nanos in sorted(uses.items())]
    table = sa.table("overage_uses", sa.column("wallet_id"), sa.column("worker"), sa.column("nanos"))
    op.bulk_insert(table, [dict(zip(("wallet_id", "worker", "nanos"), row, strict=True)) for row in rows])


def _read(number: int, record: bytes) -> AttemptRecord:
    try:
        return parse_record(record)
    except TapeError as error:
        message = (
            f"the record of hold {hold_key(number)} is damaged ({error}), so this release cannot sum what the company carried. "
            "Nothing was changed: put a backup back, or see with the release before what `tokenroll journal verify` says"
        )
        raise SchemaError(message) from error


def _note(uses: Counter[tuple[int, int]], wallet_id: int, number: int, slices: Iterable[Slice]) -> int:
    nanos = sum(part for lot, part in slices if lot == COMPANY_LOT_ID)
    if nanos:
        uses[wallet_id, hold_key(number).worker] += nanos
    return nanos
