"""Vesting in terms: a schedule of any period, dates and allocation, where three columns could only say months and a cliff."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows of before keep their columns and their digests (store/schema.py, ADDED_LATER)."""
    for table in ("plans", "grants"):
        op.add_column(table, sa.Column("vesting_terms", TEXT, nullable=True))
