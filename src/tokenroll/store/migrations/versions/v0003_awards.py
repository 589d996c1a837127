"""Awards: which row of a spreadsheet became which grant."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """A table that only grows."""
    op.create_table(
        "awards",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("grant_id", _INT, sa.ForeignKey("grants.id"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER awards_refuses_{verb.lower()} BEFORE {verb} ON awards "
            "BEGIN SELECT RAISE(ABORT, 'awards is append-only: a correction is a reversal and a replacement'); END"
        )
