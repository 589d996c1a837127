"""Awards: which row of a spreadsheet became which grant."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """A table that only grows."""
    op.create_table(
        "awards",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("grant_id", _INT, sa.ForeignKey("grants.id"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    refuse_changes("awards")
