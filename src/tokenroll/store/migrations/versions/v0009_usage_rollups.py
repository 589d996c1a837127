"""Usage roll-ups: what calls consumed and cost by minute, hour and day."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Empty: the ledger rolls up from its first settlement on, in its quiet moments."""
    op.create_table(
        "usage_labels",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("api_key_id", _INT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("dialect", _INT, nullable=False),
        sa.Column("service_tier", TEXT, nullable=False),
        sa.Column("is_long", _INT, nullable=False),
        sa.UniqueConstraint("api_key_id", "model", "dialect", "service_tier", "is_long"),
        sqlite_strict=True,
    )
    op.create_table(
        "usage_rollups",
        sa.Column("grain_seconds", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("start_at", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("label_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("call_count", _INT, nullable=False),
        sa.Column("charge_nanos", _INT, sa.CheckConstraint("charge_nanos >= 0"), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
