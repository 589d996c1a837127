"""Closed epochs: which lives of a worker are over, also while its next one is not ready or has begun early."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of a worker that was ready, all lives before the present one are over."""
    integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("workers", sa.Column("closed_epoch", integer, nullable=False, server_default="0"))
    op.execute("UPDATE workers SET closed_epoch = epoch WHERE ready_at IS NOT NULL OR resigned_at IS NOT NULL")
