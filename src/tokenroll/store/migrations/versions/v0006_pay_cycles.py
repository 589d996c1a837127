"""Pay cycles: calendars, runs that can be reopened, one root for all slips of a run, and roll-ups of what was spent."""

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Runs and slips get tables without the rule that a cycle closes once; their rows and digests stay as they are."""
    for table in ("pay_slips", "pay_runs"):
        op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")  # noqa: S608 - names of this loop
        op.drop_table(table)
    _create_runs()
    _create_slips()
    op.execute(
        "INSERT INTO pay_runs SELECT r.id, r.public_id, r.cycle, r.cycle_name, 'regular', r.closed_at, r.ledger_seq, "
        "(SELECT count(*) FROM pay_slips_before s WHERE s.pay_run_id = r.id), NULL FROM pay_runs_before r"
    )
    op.execute(
        "INSERT INTO pay_slips SELECT id, public_id, pay_run_id, wallet_id, values_json, NULL FROM pay_slips_before"
    )
    for table in ("pay_slips", "pay_runs"):
        op.drop_table(f"{table}_before")
    op.create_index("pay_runs_by_cycle", "pay_runs", ["cycle"])
    _create_calendars_and_reversals()
    _create_rollups()
    refuse_changes("pay_calendars", "pay_runs", "pay_run_reversals", "pay_slips")


def _id() -> "sa.Column[int]":
    return sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False)


def _public_id() -> "sa.Column[str]":
    return sa.Column("public_id", TEXT, nullable=False, unique=True)


def _create_runs() -> None:
    op.create_table(
        "pay_runs",
        _id(),
        _public_id(),
        sa.Column("cycle", _INT, nullable=False),
        sa.Column("cycle_name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("closed_at", _INT, nullable=False),
        sa.Column("ledger_seq", _INT, nullable=False),
        sa.Column("slip_count", _INT, nullable=False),
        sa.Column("slips_root", sa.LargeBinary(), nullable=True),
        sqlite_strict=True,
    )


def _create_slips() -> None:
    op.create_table(
        "pay_slips",
        _id(),
        _public_id(),
        sa.Column(
            "pay_run_id",
            _INT,
            sa.ForeignKey("pay_runs.id", deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        sa.Column("wallet_id", _INT, sa.ForeignKey("wallets.id"), nullable=False),
        sa.Column("values_json", TEXT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("pay_run_id", "wallet_id"),
        sqlite_strict=True,
    )


def _create_calendars_and_reversals() -> None:
    op.create_table(
        "pay_calendars",
        _id(),
        _public_id(),
        sa.Column("effective_on", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("terms_json", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "pay_run_reversals",
        _id(),
        _public_id(),
        sa.Column("pay_run_id", _INT, sa.ForeignKey("pay_runs.id"), nullable=False, unique=True),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("ledger_seq", _INT, nullable=False),
        sqlite_strict=True,
    )


def _create_rollups() -> None:
    op.create_table(
        "spend_labels",
        _id(),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("project", TEXT, nullable=False),
        sa.UniqueConstraint("model", "project"),
        sqlite_strict=True,
    )
    op.create_table(
        "spend_rollups",
        *(
            sa.Column(name, _INT, primary_key=True, autoincrement=False, nullable=False)
            for name in ("cycle", "wallet_id", "lot_id", "label_id", "day")
        ),
        sa.Column("nanos", _INT, sa.CheckConstraint("nanos >= 0"), nullable=False),
        sa.Column("call_count", _INT, nullable=False),
        sa.Column("late", _INT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        "spend_rollups_late", "spend_rollups", ["cycle", "wallet_id"], sqlite_where=sa.text("late = 1"),
        postgresql_where=sa.text("late = 1"),
    )  # fmt: skip
    op.create_table(
        "rollup_marks",
        sa.Column("name", TEXT, primary_key=True, nullable=False),
        sa.Column("ledger_seq", _INT, nullable=False),
        sqlite_strict=True,
    )
