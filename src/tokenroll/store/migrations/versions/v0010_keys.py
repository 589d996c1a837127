"""Keys: what they are for, the secrets that they had before, and when they were used last."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Keys of before are for whatever their wallets may call, and have no tags."""
    for name in ("models_json", "tags", "origin"):
        op.add_column("api_keys", sa.Column(name, TEXT, nullable=True))
    op.create_table(
        "former_secrets",
        sa.Column("secret_hash", sa.LargeBinary(), primary_key=True, nullable=False),
        sa.Column("api_key_id", _INT, sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("shown_prefix", TEXT, nullable=False),
        sa.Column("replaced_at", _INT, nullable=False),
        sa.Column("works_until", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("former_secrets_by_key", "former_secrets", ["api_key_id"])
    op.create_table(
        "key_uses",
        sa.Column("api_key_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("used_at", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
