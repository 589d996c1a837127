"""Charges of usage that went around the gateway, and what each took of which lot."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AMOUNT_MAX = 1_000_000_000_000_000_000


def _nanos(name: str) -> "sa.Column[int]":
    return sa.Column(name, _INT, sa.CheckConstraint(f"{name} BETWEEN 0 AND {_AMOUNT_MAX}"), nullable=False)


def upgrade() -> None:
    """Two tables that only grow. Nothing of before was charged so."""
    op.create_table(
        "usage_charges",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("member_id", _INT, sa.ForeignKey("members.id"), nullable=False),
        sa.Column("wallet_id", _INT, sa.ForeignKey("wallets.id"), nullable=False),
        sa.Column("day", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        _nanos("total_nanos"),
        _nanos("charged_nanos"),
        sa.Column("used_at", _INT, nullable=False),
        sa.Column("command_id", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.UniqueConstraint("member_id", "source", "day", "model", "total_nanos"),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_charge_parts",
        sa.Column(
            "ledger_seq",
            _INT,
            sa.ForeignKey("entries.ledger_seq"),
            primary_key=True,
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("lot_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("charge_id", _INT, sa.ForeignKey("usage_charges.id"), nullable=False),
        sa.Column("wallet_id", _INT, nullable=False),
        _nanos("nanos"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("usage_charges_by_wallet", "usage_charges", ["wallet_id", "used_at"])
    op.create_index("usage_charge_parts_by_charge", "usage_charge_parts", ["charge_id"])
    op.create_index(
        "usage_charge_parts_carried", "usage_charge_parts", ["wallet_id"], sqlite_where=sa.text("lot_id = 0"),
        postgresql_where=sa.text("lot_id = 0"),
    )  # fmt: skip
    refuse_changes("usage_charges", "usage_charge_parts")
