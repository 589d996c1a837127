"""Plan terms: what a plan says beyond how much and when. Offers: what is promised to candidates. Proposals: awards that wait for approval."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Plans of before have the usual terms (store/schema.py, ADDED_LATER)."""
    op.add_column("plans", sa.Column("terms", TEXT, nullable=True))
    op.create_table(
        "offers",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("candidate", TEXT, nullable=False),
        sa.Column("plan_id", _INT, sa.ForeignKey("plans.id"), nullable=False),
        sa.Column(
            "amount_nanos", _INT, sa.CheckConstraint("amount_nanos BETWEEN 0 AND 1000000000000000000"), nullable=False
        ),
        sa.Column("offered_at", _INT, nullable=False),
        sa.Column("lapses_on", TEXT, nullable=False),
        sa.Column("starts_on", TEXT, nullable=True),
        sa.Column("waiting", TEXT, nullable=True),
        sa.Column("package_json", TEXT, nullable=True),
        sa.Column("accepted_at", _INT, nullable=True),
        sa.Column("declined_at", _INT, nullable=True),
        sa.Column("withdrawn_at", _INT, nullable=True),
        sa.Column("grant_id", _INT, sa.ForeignKey("grants.id"), nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("offers_by_candidate", "offers", ["candidate"])
    op.create_table(
        "proposals",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("award_count", _INT, nullable=False),
        sa.Column(
            "amount_nanos", _INT, sa.CheckConstraint("amount_nanos BETWEEN 0 AND 1000000000000000000"), nullable=False
        ),
        sa.Column("budget_nanos", _INT, nullable=True),
        sa.Column("note", TEXT, nullable=False),
        sa.Column("rows_json", TEXT, nullable=False),
        sa.Column("awards_json", TEXT, nullable=False),
        sa.Column("proposed_by", _INT, sa.ForeignKey("members.id"), nullable=False),
        sa.Column("proposed_at", _INT, nullable=False),
        sa.Column("decided_by", _INT, sa.ForeignKey("members.id"), nullable=True),
        sa.Column("decided_at", _INT, nullable=True),
        sa.Column("decision", TEXT, nullable=True),
        sa.Column("reason", TEXT, nullable=False),
        sqlite_strict=True,
    )
