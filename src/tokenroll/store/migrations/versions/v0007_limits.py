"""Limits, their overrides for a while, their counters; alerts, which thresholds are crossed, and the outbox."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _int(name: str, *extra: sa.ForeignKey, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, _INT, *extra, nullable=null)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)


def _id() -> sa.Column[int]:
    return sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False)


def _public_id() -> sa.Column[str]:
    return sa.Column("public_id", TEXT, nullable=False, unique=True)


def upgrade() -> None:
    """New tables; a ledger of before has no limits."""
    op.create_table(
        "limits",
        _id(), _public_id(), _text("name"), _text("scope"), _int("subject_id"), _text("model"), _text("tag"),
        _text("window"), _int("window_seconds"), _text("zone"), _text("measure"), _int("cap"), _text("enforcement"),
        _text("degrade"), _text("cheaper_model"), _int("overage"), _int("effective_at"), _int("expires_at", null=True),
        _int("removed_at", null=True), _int("recorded_at"), sqlite_strict=True,
    )  # fmt: skip
    op.create_table(
        "limit_overrides",
        _id(), _public_id(), _int("limit_id", sa.ForeignKey("limits.id")), _int("cap"),
        _int("effective_at"), _int("expires_at"), _int("recorded_at"), sqlite_strict=True,
    )  # fmt: skip
    op.create_table(
        "limit_counters",
        sa.Column("limit_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("start_at", _INT, primary_key=True, autoincrement=False, nullable=False),
        _int("used"), _int("call_count"), _int("would_deny_count"), _int("overage_count"),
        sqlite_strict=True, sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_table(
        "alerts",
        _id(), _public_id(), _text("kind"), _text("subject"), _int("subject_id"), _int("threshold_percent"), _int("used"),
        _int("allowance"), _text("measure"), _int("window_start_at"), _int("recorded_at"), sqlite_strict=True,
    )  # fmt: skip
    op.create_table(
        "alert_states",
        sa.Column("subject", TEXT, primary_key=True, nullable=False),
        sa.Column("subject_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("threshold_percent", _INT, primary_key=True, autoincrement=False, nullable=False),
        _int("window_start_at"), sqlite_strict=True, sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_table(
        "alert_messages",
        _id(), _public_id(), _int("alert_id", sa.ForeignKey("alerts.id")), _text("destination"), _text("state"),
        _int("attempt_count"), _int("next_try_at"), _text("last_error"), _int("delivered_at", null=True),
        _int("recorded_at"), sqlite_strict=True,
    )  # fmt: skip
    op.create_index("alert_messages_due", "alert_messages", ["state", "next_try_at"])
    refuse_changes("limit_overrides", "alerts")
