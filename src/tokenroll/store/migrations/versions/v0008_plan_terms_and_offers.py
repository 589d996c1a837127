"""Plan terms: what a plan says beyond how much and when."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Plans of before have the usual terms (store/schema.py, ADDED_LATER)."""
    op.add_column("plans", sa.Column("terms", sa.Text(), nullable=True))
