"""Claims: which of several workers may send a call that its client named, until the call is folded."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One table, empty: what earlier workers sent is folded before the first one asks."""
    op.create_table(
        "call_claims",
        sa.Column("api_key_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("client_call_id", TEXT, primary_key=True, nullable=False),
        *(sa.Column(name, _INT, nullable=False) for name in ("worker", "epoch", "number")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
