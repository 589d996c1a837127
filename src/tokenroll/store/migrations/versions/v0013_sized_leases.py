"""Sized leases: parts of lots and of limits that one of several workers may spend, and what kind of lease each worker has."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import refuse_changes

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AMOUNT_MAX = 1_000_000_000_000_000_000


def _int(name: str) -> "sa.Column[int]":
    return sa.Column(name, _INT, nullable=False)


def _key(name: str) -> "sa.Column[int]":
    return sa.Column(name, _INT, primary_key=True, autoincrement=False, nullable=False)


def upgrade() -> None:
    """Five tables, all empty: of before there are leases of everything only. Whoever has not resigned has one."""
    op.add_column("workers", sa.Column("lease", _INT, nullable=False, server_default="0"))
    op.execute("UPDATE workers SET lease = 1 WHERE resigned_at IS NULL")
    left = sa.Column("left_nanos", _INT, sa.CheckConstraint(f"left_nanos BETWEEN 0 AND {_AMOUNT_MAX}"), nullable=False)
    keyed = {"sqlite_strict": True, "sqlite_with_rowid": False}
    op.create_table("lot_leases", _key("worker"), _key("lot_id"), left, **keyed)
    op.create_table("limit_shares", _key("worker"), _key("limit_id"), _int("share"), **keyed)
    op.create_table(
        "limit_uses", _key("worker"), _key("epoch"), _key("limit_id"), _key("start_at"), _int("used"), **keyed
    )
    op.create_table("recall_answers", _key("recall_id"), _key("worker"), **keyed)
    record = sa.Column("record", sa.LargeBinary, nullable=False)
    op.create_table(
        "lease_moves", _key("ledger_seq"), _int("worker"), _int("epoch"), _int("number"), record, sqlite_strict=True
    )
    op.create_index("lease_moves_by_number", "lease_moves", ["worker", "epoch", "number"])
    refuse_changes("lease_moves")
