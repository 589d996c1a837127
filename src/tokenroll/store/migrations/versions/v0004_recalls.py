"""Recalls: what is asked back of leased lots; lots that were moved or roll over; lives of workers that ended in order."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AMOUNT_NANOS_MAX = 10**18


def _nanos(name: str, default: str | None = None) -> sa.Column[int]:
    check = sa.CheckConstraint(f"{name} BETWEEN 0 AND {_AMOUNT_NANOS_MAX}")
    return sa.Column(name, _INT, check, nullable=False, server_default=default)


def upgrade() -> None:
    """Lots of before keep their digests (store/schema.py, ADDED_LATER)."""
    op.create_table(
        "recalls",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("group_id", _INT, nullable=False),
        sa.Column("purpose", TEXT, nullable=False),
        sa.Column("mode", TEXT, nullable=False),
        sa.Column("wallet_id", _INT, nullable=False),
        sa.Column("lot_id", _INT, nullable=False),
        _nanos("wanted_nanos"),
        _nanos("given_nanos", "0"),
        sa.Column("command_id", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("target_wallet_id", _INT, nullable=True),
        sa.Column("new_effective_at", _INT, nullable=True),
        sa.Column("new_expires_at", _INT, nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("answered_at", _INT, nullable=True),
        sa.Column("ended_at", _INT, nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "recall_gives",
        sa.Column("ledger_seq", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column(
            "recall_id", _INT, sa.ForeignKey("recalls.id"), primary_key=True, autoincrement=False, nullable=False
        ),
        sa.Column("given_at", _INT, nullable=False),
        _nanos("nanos"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    refuse_changes("recall_gives")
    op.create_index("recall_gives_by_time", "recall_gives", ["given_at"])
    op.create_index("recalls_by_end", "recalls", ["ended_at"])
    op.create_index("recalls_by_command", "recalls", ["command_id"])
    op.create_table(
        "absences",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("member_id", _INT, sa.ForeignKey("members.id"), nullable=False),
        sa.Column("from_on", TEXT, nullable=False),
        sa.Column("back_on", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("absences_by_member", "absences", ["member_id"])
    _approvals()
    _refills()
    op.add_column("lots", sa.Column("origin_lot_id", _INT, nullable=True))
    op.add_column("lots", sa.Column("moved_at", _INT, nullable=True))
    op.add_column("grants", sa.Column("rollover_max_nanos", _INT, nullable=True))
    op.add_column("pools", sa.Column("draw_rule", TEXT, nullable=True))
    op.add_column("workers", sa.Column("resigned_at", _INT, nullable=True))
    op.create_index("lots_by_grant", "lots", ["grant_id"])


def _id() -> sa.Column[int]:
    return sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False)


def _of(noun: str, name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, _INT, sa.ForeignKey(f"{noun}.id"), nullable=null)


def _approvals() -> None:
    """Who may approve top-ups, and what was asked and decided."""
    op.create_table(
        "approvers",
        _id(),
        _of("members", "member_id"),
        _of("departments", "department_id", null=True),
        _nanos("once_nanos_max"),
        sa.Column("monthly_nanos_max", _INT, nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("ended_at", _INT, nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "delegations",
        _id(),
        _of("members", "from_member_id"),
        _of("members", "to_member_id"),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("expires_at", _INT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "requests",
        _id(),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        _of("members", "member_id"),
        _nanos("amount_nanos"),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("requested_at", _INT, nullable=False),
        sa.Column("expires_at", _INT, nullable=False),
        sa.Column("decision", TEXT, nullable=True),
        sa.Column("decided_at", _INT, nullable=True),
        _of("members", "decided_by", null=True),
        _of("approvers", "approver_id", null=True),
        _nanos("approved_nanos", "0"),
        sqlite_strict=True,
    )
    op.create_index("requests_by_approver", "requests", ["approver_id"])


def _refills() -> None:
    """Standing top-ups, and what they brought."""
    op.create_table(
        "refills",
        _id(),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        _of("wallets", "wallet_id"),
        _nanos("below_nanos"),
        _nanos("amount_nanos"),
        _nanos("cycle_nanos_max"),
        sa.Column("cool_off_seconds", _INT, nullable=False),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("expires_at", _INT, nullable=False),
        sa.Column("from_time", TEXT, nullable=True),
        sa.Column("until_time", TEXT, nullable=True),
        _of("members", "approved_by"),
        _of("approvers", "approver_id"),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("removed_at", _INT, nullable=True),
        sqlite_strict=True,
    )
    op.create_table(
        "refill_grants",
        sa.Column("grant_id", _INT, sa.ForeignKey("grants.id"), primary_key=True, autoincrement=False, nullable=False),
        _of("refills", "refill_id"),
        sa.Column("granted_at", _INT, nullable=False),
        _nanos("nanos"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    refuse_changes("refill_grants")
    op.create_index("refill_grants_by_refill", "refill_grants", ["refill_id"])
