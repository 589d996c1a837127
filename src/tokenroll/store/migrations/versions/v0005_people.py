"""People: what other systems know of members, and from which day on each of it is so; what wallets were opened with."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Columns that are null for members of before, and tables beside them."""
    for name in ("employee_id", "level", "location", "employment_type"):
        op.add_column("members", sa.Column(name, TEXT, nullable=True))
    for name in ("manager_id", "working_time_millionths", "suspended_at"):
        op.add_column("members", sa.Column(name, _INT, nullable=True))
    op.create_index("members_by_employee_id", "members", ["employee_id"], unique=True)
    op.create_table(
        "member_changes",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("member_id", _INT, sa.ForeignKey("members.id"), nullable=False),
        sa.Column("field", TEXT, nullable=False),
        sa.Column("was", TEXT, nullable=True),
        sa.Column("becomes", TEXT, nullable=True),
        sa.Column("effective_on", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("member_changes_by_member", "member_changes", ["member_id"])
    op.create_table(
        "identity_users",
        sa.Column(
            "member_id", _INT, sa.ForeignKey("members.id"), primary_key=True, autoincrement=False, nullable=False
        ),
        sa.Column("user_name", TEXT, nullable=False),
        sa.Column("user_name_folded", TEXT, nullable=False, unique=True),
        sa.Column("external_id", TEXT, nullable=True),
        sa.Column("attributes_json", TEXT, nullable=False),
        sa.Column("changed_at", _INT, nullable=False),
        sa.Column("removed_at", _INT, nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "identity_groups",
        sa.Column(
            "department_id",
            _INT,
            sa.ForeignKey("departments.id"),
            primary_key=True,
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("external_id", TEXT, nullable=True),
        sa.Column("changed_at", _INT, nullable=False),
        sa.Column("removed_at", _INT, nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "openings",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("wallet_id", _INT, sa.ForeignKey("wallets.id"), nullable=False),
        sa.Column("grant_id", _INT, sa.ForeignKey("grants.id"), nullable=True),
        sa.Column("granted_on", TEXT, nullable=True),
        sa.Column(
            "spent_before_nanos", _INT, sa.CheckConstraint(f"spent_before_nanos BETWEEN 0 AND {10**18}"), nullable=False
        ),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    refuse_changes("openings")
