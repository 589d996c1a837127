"""The first schema, frozen: what is written here never follows the tables of today, or two ledgers of one revision would differ.

A change of `store/schema.py` is a revision of its own; a test compares what the revisions make with what the schema says.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from tokenroll.store.migrations.types import TEXT, refuse_changes

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INT: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_STRICT: Final[dict[str, Any]] = {"sqlite_strict": True}
_KEYED: Final[dict[str, Any]] = {"sqlite_strict": True, "sqlite_with_rowid": False}
_ROOMY: Final[dict[str, Any]] = {"sqlite_strict": True, "postgresql_with": {"fillfactor": 70}}
_APPEND_ONLY: Final = (
    "settlements", "pool_draws", "attempts", "client_calls", "entries", "postings", "facts", "commands", "batches", "grants",
    "lots", "rate_cards", "pay_runs", "pay_slips", "tape_segments", "variances",
)  # fmt: skip


def upgrade() -> None:
    """Every table of the first release."""
    _people_and_plans()
    _keys_and_wallets()
    _grants()
    _cards_and_papers()
    _values()
    _attempts()
    _entries()
    _machinery()
    refuse_changes(*_APPEND_ONLY)


def downgrade() -> None:
    """A ledger is never taken apart: restore a backup instead."""
    raise RuntimeError("the first schema has nothing before it; restore a backup instead")


def _people_and_plans() -> None:
    op.create_table(
        "departments",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("cost_centre", TEXT, nullable=False),
        sa.Column("parent_id", _INT, sa.ForeignKey("departments.id"), nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        **_STRICT,
    )
    op.create_table(
        "members",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("name", TEXT, nullable=False, unique=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("department_id", _INT, sa.ForeignKey("departments.id"), nullable=False),
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("hired_on", TEXT, nullable=True),
        sa.Column("left_on", TEXT, nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        **_STRICT,
    )
    op.create_index("members_by_department", "members", ["department_id"])
    op.create_table(
        "plans",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version", _INT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("classification", TEXT, nullable=False),
        sa.Column(
            "amount_nanos", _INT, sa.CheckConstraint("amount_nanos BETWEEN 0 AND 1000000000000000000"), nullable=False
        ),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("vesting_kind", TEXT, nullable=False),
        sa.Column("vesting_months", _INT, nullable=False),
        sa.Column("cliff_months", _INT, nullable=False),
        sa.Column("lifetime_count", _INT, nullable=True),
        sa.Column("lifetime_unit", TEXT, nullable=True),
        sa.Column("priority", _INT, nullable=False),
        sa.Column("enforcement", TEXT, nullable=False),
        sa.Column("cap_policy", TEXT, nullable=False),
        sa.Column("output_cap_tokens", _INT, nullable=False),
        sa.Column(
            "overage_nanos_max",
            _INT,
            sa.CheckConstraint("overage_nanos_max BETWEEN 0 AND 1000000000000000000"),
            nullable=False,
        ),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.UniqueConstraint("name", "version"),
        **_STRICT,
    )


def _keys_and_wallets() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("member_id", _INT, sa.ForeignKey("members.id"), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("shown_prefix", TEXT, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("created_at", _INT, nullable=False),
        sa.Column("expires_at", _INT, nullable=True),
        sa.Column("revoked_at", _INT, nullable=True),
        **_STRICT,
    )
    op.create_index("api_keys_by_member", "api_keys", ["member_id"])
    op.create_table(
        "wallets",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("holder_kind", TEXT, nullable=False),
        sa.Column("holder_id", _INT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.UniqueConstraint("holder_kind", "holder_id", "name"),
        **_STRICT,
    )
    op.create_table(
        "pools",
        sa.Column(
            "wallet_id", _INT, sa.ForeignKey("wallets.id"), primary_key=True, autoincrement=False, nullable=False
        ),
        sa.Column("department_id", _INT, sa.ForeignKey("departments.id"), nullable=True),
        **_STRICT,
    )


def _grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("wallet_id", _INT, sa.ForeignKey("wallets.id"), nullable=False),
        sa.Column("plan_id", _INT, sa.ForeignKey("plans.id"), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("classification", TEXT, nullable=False),
        sa.Column(
            "amount_nanos", _INT, sa.CheckConstraint("amount_nanos BETWEEN 0 AND 1000000000000000000"), nullable=False
        ),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("vesting_kind", TEXT, nullable=False),
        sa.Column("vesting_months", _INT, nullable=False),
        sa.Column("cliff_months", _INT, nullable=False),
        sa.Column("lifetime_count", _INT, nullable=True),
        sa.Column("lifetime_unit", TEXT, nullable=True),
        sa.Column("priority", _INT, nullable=False),
        **_STRICT,
    )
    op.create_index("grants_by_wallet", "grants", ["wallet_id"])
    op.create_table(
        "lots",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("grant_id", _INT, sa.ForeignKey("grants.id"), nullable=False),
        sa.Column("wallet_id", _INT, sa.ForeignKey("wallets.id"), nullable=False),
        sa.Column("classification", TEXT, nullable=False),
        sa.Column("priority", _INT, nullable=False),
        sa.Column(
            "amount_nanos", _INT, sa.CheckConstraint("amount_nanos BETWEEN 0 AND 1000000000000000000"), nullable=False
        ),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("expires_at", _INT, nullable=True),
        **_STRICT,
    )
    op.create_index("lots_by_wallet", "lots", ["wallet_id"])


def _cards_and_papers() -> None:
    op.create_table(
        "rate_cards",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False, unique=True),
        sa.Column("canonical_json", sa.LargeBinary(), nullable=False),
        **_STRICT,
    )
    op.create_index("rate_cards_by_model", "rate_cards", ["model"])
    op.create_table(
        "pay_runs",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("cycle", _INT, nullable=False, unique=True),
        sa.Column("cycle_name", TEXT, nullable=False),
        sa.Column("closed_at", _INT, nullable=False),
        sa.Column("ledger_seq", _INT, nullable=False),
        **_STRICT,
    )
    op.create_table(
        "pay_slips",
        sa.Column("id", _INT, sa.CheckConstraint("id > 0"), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("pay_run_id", _INT, sa.ForeignKey("pay_runs.id"), nullable=False),
        sa.Column("wallet_id", _INT, sa.ForeignKey("wallets.id"), nullable=False),
        sa.Column("values_json", TEXT, nullable=False),
        sa.UniqueConstraint("pay_run_id", "wallet_id"),
        **_STRICT,
    )
    op.create_index("pay_slips_by_wallet", "pay_slips", ["wallet_id"])
    op.create_table(
        "settings",
        sa.Column("name", TEXT, primary_key=True, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        **_STRICT,
    )


def _values() -> None:
    op.create_table(
        "lot_values",
        sa.Column("lot_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("held_nanos", _INT, sa.CheckConstraint("held_nanos >= 0"), nullable=False, server_default="0"),
        sa.Column(
            "suspense_nanos", _INT, sa.CheckConstraint("suspense_nanos >= 0"), nullable=False, server_default="0"
        ),
        sa.Column("spent_nanos", _INT, sa.CheckConstraint("spent_nanos >= 0"), nullable=False),
        sa.Column(
            "forfeited_nanos",
            _INT,
            sa.CheckConstraint("forfeited_nanos BETWEEN 0 AND 1000000000000000000"),
            nullable=False,
            server_default="0",
        ),
        sa.Column(
            "clawed_back_nanos",
            _INT,
            sa.CheckConstraint("clawed_back_nanos BETWEEN 0 AND 1000000000000000000"),
            nullable=False,
            server_default="0",
        ),
        sa.Column(
            "voided_nanos",
            _INT,
            sa.CheckConstraint("voided_nanos BETWEEN 0 AND 1000000000000000000"),
            nullable=False,
            server_default="0",
        ),
        sa.Column(
            "transferred_out_nanos",
            _INT,
            sa.CheckConstraint("transferred_out_nanos BETWEEN 0 AND 1000000000000000000"),
            nullable=False,
            server_default="0",
        ),
        **_ROOMY,
    )
    op.create_table(
        "wallet_values",
        sa.Column("wallet_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("last_seq", _INT, nullable=False),
        sa.Column("call_count", _INT, nullable=False),
        sa.Column("charged_nanos", _INT, nullable=False),
        sa.Column("company_nanos", _INT, nullable=False),
        **_ROOMY,
    )
    op.create_table(
        "holds",
        sa.Column("hold_key", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("wallet_id", _INT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("dispatched_at", _INT, nullable=True),
        sa.Column("lapsed_at", _INT, nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        **_STRICT,
    )


def _attempts() -> None:
    op.create_table(
        "settlements",
        sa.Column("ledger_seq", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("hold_key", _INT, nullable=False, unique=True),
        sa.Column("wallet_id", _INT, nullable=False),
        sa.Column("api_key_id", _INT, nullable=False),
        sa.Column("admitted_at", _INT, nullable=False),
        sa.Column("cycle", _INT, nullable=False),
        sa.Column(
            "charge_nanos", _INT, sa.CheckConstraint("charge_nanos BETWEEN 0 AND 1000000000000000000"), nullable=False
        ),
        sa.Column("outcome", _INT, nullable=False),
        sa.Column("previous_seq", _INT, nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        **_STRICT,
    )
    op.create_table(
        "pool_draws",
        sa.Column("wallet_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("ledger_seq", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("nanos", _INT, sa.CheckConstraint("nanos BETWEEN 0 AND 1000000000000000000"), nullable=False),
        **_KEYED,
    )
    op.create_table(
        "attempts",
        sa.Column("call_key", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("attempt", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("hold_key", _INT, nullable=False),
        **_KEYED,
    )
    op.create_table(
        "client_calls",
        sa.Column("api_key_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("client_call_id", TEXT, primary_key=True, nullable=False),
        sa.Column("hold_key", _INT, nullable=False),
        **_KEYED,
    )


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column("ledger_seq", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("public_id", TEXT, nullable=False, unique=True),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("effective_at", _INT, nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        **_STRICT,
    )
    op.create_table(
        "postings",
        sa.Column(
            "ledger_seq",
            _INT,
            sa.ForeignKey("entries.ledger_seq"),
            primary_key=True,
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("leg", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("wallet_id", _INT, nullable=False),
        sa.Column("lot_id", _INT, nullable=False),
        sa.Column(
            "nanos",
            _INT,
            sa.CheckConstraint("nanos BETWEEN -1000000000000000000 AND 1000000000000000000"),
            nullable=False,
        ),
        **_KEYED,
    )
    op.create_table(
        "facts",
        sa.Column("ledger_seq", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("noun", TEXT, nullable=False),
        sa.Column("row_id", _INT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("noun", "row_id"),
        **_STRICT,
    )
    op.create_table(
        "commands",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("ledger_seq", _INT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("result_json", TEXT, nullable=False),
        sa.Column("delta", _INT, nullable=True),
        sa.Column("recorded_at", _INT, nullable=False),
        **_STRICT,
    )
    op.create_table(
        "batches",
        sa.Column("number", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("first_seq", _INT, nullable=False),
        sa.Column("last_seq", _INT, nullable=False, unique=True),
        sa.Column("closed_at", _INT, nullable=False),
        sa.Column("worker", _INT, nullable=True),
        sa.Column("epoch", _INT, nullable=True),
        sa.Column("first_record", _INT, nullable=True),
        sa.Column("last_record", _INT, nullable=True),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        **_STRICT,
    )


def _machinery() -> None:
    op.create_table(
        "workers",
        sa.Column("worker", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("epoch", _INT, nullable=False),
        sa.Column("boot_id", sa.LargeBinary(), nullable=False),
        sa.Column("hello_at", _INT, nullable=False),
        sa.Column("ready_at", _INT, nullable=True),
        sa.Column("applied_delta", _INT, nullable=False),
        sa.Column("halt_reason", TEXT, nullable=False),
        **_STRICT,
    )
    op.create_table(
        "tapes",
        sa.Column("worker", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("epoch", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("folded_sequence", _INT, nullable=False),
        **_KEYED,
    )
    op.create_table(
        "tape_segments",
        sa.Column("worker", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("epoch", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("segment", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("first_sequence", _INT, nullable=False),
        sa.Column("last_sequence", _INT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        **_KEYED,
    )
    op.create_table(
        "names",
        sa.Column("worker", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("epoch", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("name_id", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        **_KEYED,
    )
    op.create_table(
        "deltas",
        sa.Column("number", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", _INT, nullable=False),
        **_STRICT,
    )
    op.create_table(
        "variances",
        sa.Column("call_id", TEXT, primary_key=True, nullable=False),
        sa.Column("attempt", _INT, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("ledger_seq", _INT, sa.ForeignKey("entries.ledger_seq"), nullable=False),
        **_KEYED,
    )
