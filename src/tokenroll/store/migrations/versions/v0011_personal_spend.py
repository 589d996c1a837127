"""Roll-ups tell personal calls apart from those for work."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Calls of before said nothing of it, so none is personal. A unique constraint is part of its table, so the table is made again."""
    op.rename_table("spend_labels", "spend_labels_before")
    op.create_table(
        "spend_labels",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.Column("is_personal", _INT, nullable=False),
        sa.UniqueConstraint("model", "project", "is_personal"),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO spend_labels SELECT id, model, project, 0 FROM spend_labels_before")
    op.drop_table("spend_labels_before")
