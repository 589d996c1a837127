"""The first schema."""

from alembic import op

from tokenroll.store import schema

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every table of the first release."""
    schema.metadata.create_all(op.get_bind())


def downgrade() -> None:
    """A ledger is never taken apart: restore a backup instead."""
    raise RuntimeError("the first schema has nothing before it; restore a backup instead")
