"""The ledger's tables, the same on SQLite and PostgreSQL (SQLAlchemy Core, DESIGN §7.3 and §7.5).

Four kinds of tables, and the kind decides who may change a row:

- *journal* (`entries`, `postings`, `settlements`, `lease_moves`, `facts`, `commands`, `batches`): append-only, refused by triggers otherwise;
- *nouns* (`members` … `lots`, `rate_cards`): written by commands; grants, lots and cards are immutable and chained as facts;
- *values* (`lot_values`, `wallet_values`, `overage_uses`, `holds`, `spend_rollups`, `usage_rollups`): derived; replaying the journal from empty gives them again (law 8);
- *machinery* (`workers`, `tapes`, `names`, `deltas` …): who writes what, and how far the ledger has read.

Amounts are int64 nanos between 0 and AMOUNT_NANOS_MAX, refused at birth above it (law 1); only a posting has a sign.
"""

from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

from tokenroll.model.limits import AMOUNT_NANOS_MAX

metadata: Final = MetaData()

_INT: Final = BigInteger().with_variant(Integer(), "sqlite")
_TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by its bytes, so that orders are the same on both."""
_STRICT: Final[dict[str, Any]] = {"sqlite_strict": True}
_KEYED: Final[dict[str, Any]] = {"sqlite_strict": True, "sqlite_with_rowid": False}
_ROOMY: Final[dict[str, Any]] = {"sqlite_strict": True, "postgresql_with": {"fillfactor": 70}}
"""Of values that every fold changes: PostgreSQL writes a row's next version beside it, and no index hears of it, while its page has room."""


def _id() -> Column[int]:
    return Column("id", _INT, CheckConstraint("id > 0"), primary_key=True, autoincrement=False)


def _public_id() -> Column[str]:
    return Column("public_id", _TEXT, nullable=False, unique=True)


def _int(name: str, *extra: Any, null: bool = False, unique: bool | None = None) -> Column[int]:
    return Column(name, _INT, *extra, nullable=null, unique=unique)


def _text(name: str, *, null: bool = False, unique: bool = False) -> Column[str]:
    return Column(name, _TEXT, nullable=null, unique=unique)


def _blob(name: str, *, null: bool = False, unique: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null, unique=unique)


def _nanos(name: str, default: str | None = None) -> Column[int]:
    """An amount: between nothing and the named limit."""
    return Column(
        name, _INT, CheckConstraint(f"{name} BETWEEN 0 AND {AMOUNT_NANOS_MAX}"), nullable=False, server_default=default
    )


# ---- nouns ------------------------------------------------------------------------------------------------------------
departments: Final = Table(
    "departments", metadata, _id(), _public_id(), _text("name", unique=True), _text("cost_centre"),
    _int("parent_id", ForeignKey("departments.id"), null=True), _int("recorded_at"), **_STRICT,
)  # fmt: skip
members: Final = Table(
    "members", metadata, _id(), _public_id(), _text("name", unique=True), _text("kind"),
    _int("department_id", ForeignKey("departments.id")), _text("zone"),
    _text("hired_on", null=True), _text("left_on", null=True), _int("recorded_at"),
    _text("employee_id", null=True), _text("level", null=True), _text("location", null=True),
    _text("employment_type", null=True), _int("manager_id", null=True), _int("working_time_millionths", null=True),
    _int("suspended_at", null=True), **_STRICT,
)  # fmt: skip
"""`hired_on`, `left_on`: ISO dates. A member's name is unique, so that people can be named on the command line. `manager_id` is
a member's; `working_time_millionths` null: full time."""
member_changes: Final = Table(
    "member_changes", metadata, _id(), _int("member_id", ForeignKey("members.id")), _text("field"), _text("was", null=True),
    _text("becomes", null=True), _text("effective_on"), _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""What of a member changed and from which day on. Not append-only: to erase a person is to erase this, and no amount hangs on it."""
identity_users: Final = Table(
    "identity_users", metadata,
    Column("member_id", _INT, ForeignKey("members.id"), primary_key=True, autoincrement=False),
    _text("user_name"), _text("user_name_folded", unique=True), _text("external_id", null=True), _text("attributes_json"),
    _int("changed_at"), _int("removed_at", null=True), **_STRICT,
)  # fmt: skip
"""Members whom an identity provider feeds, and what it says of them that is not the member's own: names in parts, addresses.
`removed_at`: the provider deleted the user; the member and their wallet are kept, and come back with the same name."""
identity_groups: Final = Table(
    "identity_groups", metadata,
    Column("department_id", _INT, ForeignKey("departments.id"), primary_key=True, autoincrement=False),
    _text("external_id", null=True), _int("changed_at"), _int("removed_at", null=True), **_STRICT,
)  # fmt: skip
"""The same of departments, which a provider calls groups. A department without a row is a group of which nothing was said."""
absences: Final = Table(
    "absences", metadata, _id(), _public_id(), _int("member_id", ForeignKey("members.id")), _text("from_on"),
    _text("back_on"), _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""ISO dates: the first day away, the first day back."""
plans: Final = Table(
    "plans", metadata, _id(), _public_id(), _text("name"), _int("version"), _text("kind"), _text("classification"),
    _nanos("amount_nanos"), _int("effective_at"), _text("vesting_kind"), _int("vesting_months"), _int("cliff_months"),
    _int("lifetime_count", null=True), _text("lifetime_unit", null=True), _int("priority"), _text("enforcement"),
    _text("cap_policy"), _int("output_cap_tokens"), _nanos("overage_nanos_max"), _int("recorded_at"),
    _text("vesting_terms", null=True), _text("terms", null=True), UniqueConstraint("name", "version"), **_STRICT,
)  # fmt: skip
"""`vesting_terms`: services/vesting_terms.py; null for immediate, and in rows of the first revision, whose columns said it.
`terms`: services/plan_terms.py; null for the usual ones (decision 0046)."""
api_keys: Final = Table(
    "api_keys", metadata, _id(), _public_id(), _int("member_id", ForeignKey("members.id")), _text("name"), _text("scope"),
    _text("shown_prefix"), _blob("secret_hash", unique=True), _int("created_at"), _int("expires_at", null=True),
    _int("revoked_at", null=True), _text("models_json", null=True), _text("tags", null=True), _text("origin", null=True),
    **_STRICT,
)  # fmt: skip
"""`models_json`: the only models it is for, a list; `tags`: those of its calls that say nothing else; both null for none. `origin`:
model/api_key.py; null in rows of before, which commands made."""
former_secrets: Final = Table(
    "former_secrets", metadata, Column("secret_hash", LargeBinary, primary_key=True),
    _int("api_key_id", ForeignKey("api_keys.id")), _text("shown_prefix"), _int("replaced_at"), _int("works_until"), **_KEYED,
)  # fmt: skip
"""Secrets that a key had before it was rotated. No secret is taken twice, so rows stay when they are over."""
wallets: Final = Table(
    "wallets", metadata, _id(), _public_id(), _text("holder_kind"), _int("holder_id"), _text("name"), _text("zone"),
    _int("recorded_at"), UniqueConstraint("holder_kind", "holder_id", "name"), **_STRICT,
)  # fmt: skip
pools: Final = Table(
    "pools", metadata, Column("wallet_id", _INT, ForeignKey("wallets.id"), primary_key=True, autoincrement=False),
    _int("department_id", ForeignKey("departments.id"), null=True), _text("draw_rule", null=True), **_STRICT,
)  # fmt: skip
"""`draw_rule`: model/pool.py; null in rows of before, whose members draw their own lots first."""
grants: Final = Table(
    "grants", metadata, _id(), _public_id(), _int("wallet_id", ForeignKey("wallets.id")),
    _int("plan_id", ForeignKey("plans.id")), _text("kind"), _text("classification"), _nanos("amount_nanos"),
    _int("effective_at"), _int("recorded_at"), _text("vesting_kind"), _int("vesting_months"), _int("cliff_months"),
    _int("lifetime_count", null=True), _text("lifetime_unit", null=True), _int("priority"),
    _text("vesting_terms", null=True), _int("rollover_max_nanos", null=True), **_STRICT,
)  # fmt: skip
awards: Final = Table(
    "awards", metadata,
    Column("id", _TEXT, primary_key=True), _int("grant_id", ForeignKey("grants.id")), _blob("digest"), _int("recorded_at"),
    **_KEYED,
)  # fmt: skip
"""The rows of spreadsheets that became grants, by their own ids; `digest` is of what the row said."""
proposals: Final = Table(
    "proposals", metadata, _id(), _public_id(), _int("award_count"), _nanos("amount_nanos"),
    Column("budget_nanos", _INT, nullable=True), _text("note"), _text("rows_json"), _text("awards_json"),
    _int("proposed_by", ForeignKey("members.id")), _int("proposed_at"),
    _int("decided_by", ForeignKey("members.id"), null=True), _int("decided_at", null=True),
    _text("decision", null=True), _text("reason"), **_STRICT,
)  # fmt: skip
"""Batches of awards that wait for a second administrator. `rows_json`: what the spreadsheet said; `awards_json`: what it meant then."""
offers: Final = Table(
    "offers", metadata, _id(), _public_id(), _text("candidate"), _int("plan_id", ForeignKey("plans.id")),
    _nanos("amount_nanos"), _int("offered_at"), _text("lapses_on"), _text("starts_on", null=True),
    _text("waiting", null=True), _text("package_json", null=True), _int("accepted_at", null=True),
    _int("declined_at", null=True), _int("withdrawn_at", null=True),
    _int("grant_id", ForeignKey("grants.id"), null=True), _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""Promises to candidates. `lapses_on`, `starts_on`: ISO dates; `waiting`: `3m`; what became of it is read from its dates."""
openings: Final = Table(
    "openings", metadata,
    Column("id", _TEXT, primary_key=True), _int("wallet_id", ForeignKey("wallets.id")),
    _int("grant_id", ForeignKey("grants.id"), null=True), _text("granted_on", null=True), _nanos("spent_before_nanos"),
    _blob("digest"), _int("recorded_at"), **_KEYED,
)  # fmt: skip
"""The rows of spreadsheets with which wallets were opened, by their own ids. `grant_id` null: nothing was left. `spent_before_nanos`
is what had been spent elsewhere, told and never counted."""
lots: Final = Table(
    "lots", metadata, _id(), _int("grant_id", ForeignKey("grants.id")), _int("wallet_id", ForeignKey("wallets.id")),
    _text("classification"), _int("priority"), _nanos("amount_nanos"), _int("effective_at"),
    _int("expires_at", null=True), _int("origin_lot_id", null=True), _int("moved_at", null=True), **_STRICT,
)  # fmt: skip
"""`origin_lot_id`: the lot that its nanos were moved out of, at `moved_at`; both null for one that was granted so."""
rate_cards: Final = Table(
    "rate_cards", metadata, _id(), _public_id(), _text("provider"), _text("model"), _int("effective_at"),
    _int("recorded_at"), _text("currency"), _text("source"), _text("digest", unique=True), _blob("canonical_json"),
    **_STRICT,
)  # fmt: skip
pay_calendars: Final = Table(
    "pay_calendars", metadata, _id(), _public_id(), _text("effective_on"), _text("kind"), _text("terms_json"),
    _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""Which cycles there are from a day (ISO date) on; until the first one takes effect they are calendar months."""
pay_runs: Final = Table(
    "pay_runs", metadata, _id(), _public_id(), _int("cycle"), _text("cycle_name"), _text("kind"),
    _int("closed_at"), _int("ledger_seq"), _int("slip_count"), _blob("slips_root", null=True), **_STRICT,
)  # fmt: skip
"""A regular row closes its cycle: from then on a call admitted in it becomes an adjustment of the first open one (DESIGN §5).
`cycle` is its number (engine/cycling.py); `ledger_seq` is the last row that the run saw; `slips_root` the Merkle root over the
digests of its slips in the order of their ids, null in a run of before, whose slips are facts one by one."""
pay_run_reversals: Final = Table(
    "pay_run_reversals", metadata, _id(), _public_id(), _int("pay_run_id", ForeignKey("pay_runs.id"), unique=True),
    _text("reason"), _int("recorded_at"), _int("ledger_seq"), **_STRICT,
)  # fmt: skip
"""A row opens its run's cycle again; the run and its slips stay, superseded."""
pay_slips: Final = Table(
    "pay_slips", metadata, _id(), _public_id(), _int("pay_run_id", ForeignKey("pay_runs.id", deferrable=True, initially="DEFERRED")),
    _int("wallet_id", ForeignKey("wallets.id")), _text("values_json"), _blob("digest", null=True),
    UniqueConstraint("pay_run_id", "wallet_id"), **_STRICT,
)  # fmt: skip
"""A run's row comes after its slips, because its root is over them. `digest`: of the slip as it was stored (store/journal.py, `slip_digest`); null in a slip that is a fact of its own."""
approvers: Final = Table(
    "approvers", metadata, _id(), _int("member_id", ForeignKey("members.id")),
    _int("department_id", ForeignKey("departments.id"), null=True), _nanos("once_nanos_max"),
    _int("monthly_nanos_max", null=True), _int("recorded_at"), _int("ended_at", null=True), **_STRICT,
)  # fmt: skip
"""Who may approve top-ups; a rule that is replaced or removed ends, and stays."""
delegations: Final = Table(
    "delegations", metadata, _id(), _int("from_member_id", ForeignKey("members.id")),
    _int("to_member_id", ForeignKey("members.id")), _int("effective_at"), _int("expires_at"), _int("recorded_at"), **_STRICT,
)  # fmt: skip
requests: Final = Table(
    "requests", metadata, _id(), _public_id(), _int("member_id", ForeignKey("members.id")), _nanos("amount_nanos"),
    _text("reason"), _int("requested_at"), _int("expires_at"), _text("decision", null=True), _int("decided_at", null=True),
    _int("decided_by", ForeignKey("members.id"), null=True), _int("approver_id", ForeignKey("approvers.id"), null=True),
    _nanos("approved_nanos", "0"), **_STRICT,
)  # fmt: skip
"""Top-ups that members ask for. `approver_id`: the rule on whose limit it was decided, also by a delegate."""
limits: Final = Table(
    "limits", metadata, _id(), _public_id(), _text("name"), _text("scope"), _int("subject_id"), _text("model"), _text("tag"),
    _text("window"), _int("window_seconds"), _text("zone"), _text("measure"), _int("cap"), _text("enforcement"),
    _text("degrade"), _text("cheaper_model"), _int("overage"), _int("effective_at"), _int("expires_at", null=True),
    _int("removed_at", null=True), _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""Counters that cap, never money. A removed limit keeps its row, because old holds name it; its name is free again."""
limit_overrides: Final = Table(
    "limit_overrides", metadata, _id(), _public_id(), _int("limit_id", ForeignKey("limits.id")), _int("cap"),
    _int("effective_at"), _int("expires_at"), _int("recorded_at"), **_STRICT,
)  # fmt: skip
alerts: Final = Table(
    "alerts", metadata, _id(), _public_id(), _text("kind"), _text("subject"), _int("subject_id"), _int("threshold_percent"),
    _int("used"), _int("allowance"), _text("measure"), _int("window_start_at"), _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""Thresholds that were passed, each time once."""
refills: Final = Table(
    "refills", metadata, _id(), _public_id(), _int("wallet_id", ForeignKey("wallets.id")), _nanos("below_nanos"),
    _nanos("amount_nanos"), _nanos("cycle_nanos_max"), _int("cool_off_seconds"), _int("effective_at"), _int("expires_at"),
    _text("from_time", null=True), _text("until_time", null=True), _int("approved_by", ForeignKey("members.id")),
    _int("approver_id", ForeignKey("approvers.id")), _int("recorded_at"), _int("removed_at", null=True), **_STRICT,
)  # fmt: skip
"""Standing top-ups (model/refill.py). Times are of the wallet's zone, `20:00`."""
refill_grants: Final = Table(
    "refill_grants", metadata,
    Column("grant_id", _INT, ForeignKey("grants.id"), primary_key=True, autoincrement=False),
    _int("refill_id", ForeignKey("refills.id")), _int("granted_at"), _nanos("nanos"), **_KEYED,
)  # fmt: skip
"""What refills brought, and when."""
Index("refill_grants_by_refill", refill_grants.c.refill_id)
settings: Final = Table(
    "settings", metadata, Column("name", _TEXT, primary_key=True), _text("value"), _int("recorded_at"), **_STRICT
)

Index("absences_by_member", absences.c.member_id)
Index("requests_by_approver", requests.c.approver_id)
Index("members_by_department", members.c.department_id)
Index("members_by_employee_id", members.c.employee_id, unique=True)
Index("member_changes_by_member", member_changes.c.member_id)
Index("api_keys_by_member", api_keys.c.member_id)
Index("former_secrets_by_key", former_secrets.c.api_key_id)
Index("grants_by_wallet", grants.c.wallet_id)
Index("offers_by_candidate", offers.c.candidate)
Index("lots_by_wallet", lots.c.wallet_id)
Index("lots_by_grant", lots.c.grant_id)
Index("rate_cards_by_model", rate_cards.c.model)
Index("pay_runs_by_cycle", pay_runs.c.cycle)

# ---- values -----------------------------------------------------------------------------------------------------------
lot_values: Final = Table(
    "lot_values", metadata,
    Column("lot_id", _INT, primary_key=True, autoincrement=False),
    Column("held_nanos", _INT, CheckConstraint("held_nanos >= 0"), nullable=False, server_default="0"),
    Column("suspense_nanos", _INT, CheckConstraint("suspense_nanos >= 0"), nullable=False, server_default="0"),
    _int("spent_nanos", CheckConstraint("spent_nanos >= 0")),
    _nanos("forfeited_nanos", "0"), _nanos("clawed_back_nanos", "0"), _nanos("voided_nanos", "0"),
    _nanos("transferred_out_nanos", "0"), **_ROOMY,
)  # fmt: skip
"""Where a lot's nanos are. Lot 0 is the company's (COMPANY_LOT_ID). Apart from `lots`, so that a fold writes few bytes."""
wallet_values: Final = Table(
    "wallet_values", metadata,
    Column("wallet_id", _INT, primary_key=True, autoincrement=False),
    _int("last_seq"), _int("call_count"), _int("charged_nanos"), _int("company_nanos"), **_ROOMY,
)  # fmt: skip
"""`last_seq`: the newest settlement of this wallet, head of the list that `settlements.previous_seq` links (0: none).
`charged_nanos`: what its calls cost, whoever paid (own lots, pool, company); `company_nanos`: the company's part of it."""
spend_labels: Final = Table(
    "spend_labels", metadata, _id(), _text("model"), _text("project"), _int("is_personal"),
    UniqueConstraint("model", "project", "is_personal"), **_STRICT,
)  # fmt: skip
"""What calls were spent on: the model that answered, the project that was named (empty: none), and whether they were personal (0, 1)."""
spend_rollups: Final = Table(
    "spend_rollups", metadata,
    Column("cycle", _INT, primary_key=True, autoincrement=False),
    Column("wallet_id", _INT, primary_key=True, autoincrement=False),
    Column("lot_id", _INT, primary_key=True, autoincrement=False),
    Column("label_id", _INT, primary_key=True, autoincrement=False),
    Column("day", _INT, primary_key=True, autoincrement=False),
    _int("nanos", CheckConstraint("nanos >= 0")), _int("call_count"), _int("late"), **_KEYED,
)  # fmt: skip
"""What settlements took from each lot, by cycle, label and day (store/rollups.py): a pay run reads these and no settlement.
`wallet_id` is whose lot it is; lot 0 is what the company carried for that wallet. `day` counts from 1 January of the year 1 in the
wallet's zone. `late` (0 or 1): admitted before the cycle it is booked to, so an adjustment."""
rollup_marks: Final = Table(
    "rollup_marks", metadata, Column("name", _TEXT, primary_key=True), _int("ledger_seq"), **_STRICT
)
"""How far the journal is rolled up: every settlement up to that sequence is in `spend_rollups` (`spend`) or `usage_rollups` (`usage`), and none after it."""
usage_labels: Final = Table(
    "usage_labels", metadata, _id(), _int("api_key_id"), _text("model"), _int("dialect"), _text("service_tier"), _int("is_long"),
    UniqueConstraint("api_key_id", "model", "dialect", "service_tier", "is_long"), **_STRICT,
)  # fmt: skip
"""What usage roll-ups tell apart: whose key, which model answered, at which endpoint (upstream/dialect.py, `index`), tier and window."""
usage_rollups: Final = Table(
    "usage_rollups", metadata,
    Column("grain_seconds", _INT, primary_key=True, autoincrement=False),
    Column("start_at", _INT, primary_key=True, autoincrement=False),
    Column("label_id", _INT, primary_key=True, autoincrement=False),
    _int("call_count"), _int("charge_nanos", CheckConstraint("charge_nanos >= 0")), _blob("parts"), **_KEYED,
)  # fmt: skip
"""What calls consumed and cost by minute, hour and day of their admission in UTC (store/usage_rollups.py). `parts`: for each meter that
counted, its place in METERS, the calls that used it, its count and its part of the charge."""
holds: Final = Table(
    "holds", metadata,
    Column("hold_key", _INT, primary_key=True, autoincrement=False),
    _int("wallet_id"), _text("state"), _int("dispatched_at", null=True), _int("lapsed_at", null=True), _int("recorded_at"),
    _blob("record"), **_STRICT,
)  # fmt: skip
"""Open attempts only: `held`, `dispatched` or `suspense`. `record`: HOLD, newest EVIDENCE, LAPSE as on the tape."""

limit_counters: Final = Table(
    "limit_counters", metadata,
    Column("limit_id", _INT, primary_key=True, autoincrement=False),
    Column("start_at", _INT, primary_key=True, autoincrement=False),
    _int("used"), _int("call_count"), _int("would_deny_count"), _int("overage_count"), **_KEYED,
)  # fmt: skip
"""By limit and start of its window (or of a sixtieth of a rolling one): what ended calls counted and open ones raised."""
Index(
    "spend_rollups_late", spend_rollups.c.cycle, spend_rollups.c.wallet_id,
    sqlite_where=text("late = 1"), postgresql_where=text("late = 1"),
)  # fmt: skip

# ---- journal ------------------------------------------------------------------------------------------------------------
settlements: Final = Table(
    "settlements", metadata,
    Column("ledger_seq", _INT, primary_key=True, autoincrement=False),
    Column("hold_key", _INT, nullable=False, unique=True),
    _int("wallet_id"), _int("api_key_id"), _int("admitted_at"), _int("cycle"), _nanos("charge_nanos"), _int("outcome"),
    _int("previous_seq"), _blob("record"), **_STRICT,
)  # fmt: skip
"""One compact row per ended attempt; its postings are a function of it (store/settlement_row.py). `record` holds the bytes of
the tape: HOLD, EVIDENCE and LAPSE if any, then SETTLE or RELEASE. `previous_seq` links the rows of one wallet from newest to oldest,
so no index on wallets is paid for at fold."""
pool_draws: Final = Table(
    "pool_draws", metadata,
    Column("wallet_id", _INT, primary_key=True, autoincrement=False),
    Column("ledger_seq", _INT, primary_key=True, autoincrement=False), _nanos("nanos"), **_KEYED,
)  # fmt: skip
"""What a settlement took from another wallet's lots (a pool's): `wallet_id` is the pool."""
attempts: Final = Table(
    "attempts", metadata,
    Column("call_key", _INT, primary_key=True, autoincrement=False),
    Column("attempt", _INT, primary_key=True, autoincrement=False), _int("hold_key"), **_KEYED,
)  # fmt: skip
"""Second and later attempts of a call: `call_key` is the hold key inside the call's id."""
client_calls: Final = Table(
    "client_calls", metadata,
    Column("api_key_id", _INT, primary_key=True, autoincrement=False),
    Column("client_call_id", _TEXT, primary_key=True), _int("hold_key"), **_KEYED,
)  # fmt: skip
"""A client's own call id -> the call it named (law 7)."""
entries: Final = Table(
    "entries", metadata,
    Column("ledger_seq", _INT, primary_key=True, autoincrement=False),
    _public_id(), _text("kind"), _int("effective_at"), _int("recorded_at"), _text("reference"), **_STRICT,
)  # fmt: skip
postings: Final = Table(
    "postings", metadata,
    Column("ledger_seq", _INT, ForeignKey("entries.ledger_seq"), primary_key=True, autoincrement=False),
    Column("leg", _INT, primary_key=True, autoincrement=False),
    _text("account"), _int("wallet_id"), _int("lot_id"),
    _int("nanos", CheckConstraint(f"nanos BETWEEN -{AMOUNT_NANOS_MAX} AND {AMOUNT_NANOS_MAX}")), **_KEYED,
)  # fmt: skip
facts: Final = Table(
    "facts", metadata,
    Column("ledger_seq", _INT, primary_key=True, autoincrement=False),
    _text("noun"), _int("row_id"), _blob("digest"), UniqueConstraint("noun", "row_id"), **_STRICT,
)  # fmt: skip
"""sha256 of an immutable row (grant, lot, rate card, pay slip), so that the chain covers what money depends on."""
commands: Final = Table(
    "commands", metadata,
    Column("id", _TEXT, primary_key=True), _int("ledger_seq"), _text("name"), _blob("body_digest"), _text("result_json"),
    _int("delta", null=True), _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""The first answer of every write, by its id (law 7)."""
lease_moves: Final = Table(
    "lease_moves", metadata,
    Column("ledger_seq", _INT, primary_key=True, autoincrement=False),
    _int("worker"), _int("epoch"), _int("number"), _blob("record"), **_STRICT,
)  # fmt: skip
"""Parts of lots and of limits that went to a worker's life, or came back (store/lease_book.py). `number`: of what it wanted, 0 for what
came back. Nothing is spent by it: it says who may."""
Index("lease_moves_by_number", lease_moves.c.worker, lease_moves.c.epoch, lease_moves.c.number)
batches: Final = Table(
    "batches", metadata,
    Column("number", _INT, primary_key=True, autoincrement=False),
    _int("first_seq"), Column("last_seq", _INT, nullable=False, unique=True), _int("closed_at"),
    _int("worker", null=True), _int("epoch", null=True), _int("first_record", null=True), _int("last_record", null=True),
    _blob("root"), _blob("previous_hash"), _blob("hash"), **_STRICT,
)  # fmt: skip
"""One transaction each: a fold of `first_record … last_record` of one worker's epoch, or one command."""

# ---- machinery ----------------------------------------------------------------------------------------------------------
workers: Final = Table(
    "workers", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    _int("epoch"), _blob("boot_id"), _int("hello_at"), _int("ready_at", null=True), _int("applied_delta"),
    _text("halt_reason"), _int("resigned_at", null=True), Column("lease", _INT, nullable=False, server_default="0"),
    Column("closed_epoch", _INT, nullable=False, server_default="0"), **_STRICT,
)  # fmt: skip
"""`closed_epoch`: lives before this number are over, and nothing is heard of them. `resigned_at`: the life ended in order and gave its lease back. `lease` (store/lease_book.py): what the last life that was ready has,
until it resigns or the next one is ready: only that worker knows what is left of it."""
lot_leases: Final = Table(
    "lot_leases", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    Column("lot_id", _INT, primary_key=True, autoincrement=False), _nanos("left_nanos"), **_KEYED,
)  # fmt: skip
"""Of a sized lease: what its worker may still hold of a lot. It is no part of what the ledger has left of it."""
limit_shares: Final = Table(
    "limit_shares", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    Column("limit_id", _INT, primary_key=True, autoincrement=False), _int("share"), **_KEYED,
)  # fmt: skip
"""Of a sized lease: which part of a limit's cap its worker may use, of SHARE_WHOLE; all shares of a limit are the whole at most."""
call_claims: Final = Table(
    "call_claims", metadata,
    Column("api_key_id", _INT, primary_key=True, autoincrement=False),
    Column("client_call_id", _TEXT, primary_key=True), _int("worker"), _int("epoch"), _int("number"), **_KEYED,
)  # fmt: skip
"""A client's own call id that one of several workers may send, until its call is folded (law 7). `number`: of the claim, in the worker's
life. No money hangs on it, so it is no part of the journal."""
limit_uses: Final = Table(
    "limit_uses", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    Column("epoch", _INT, primary_key=True, autoincrement=False),
    Column("limit_id", _INT, primary_key=True, autoincrement=False),
    Column("start_at", _INT, primary_key=True, autoincrement=False), _int("used"), **_KEYED,
)  # fmt: skip
"""The part of `limit_counters` that a life with a share counts against it; gone with that life, for then it counts against all."""
overage_uses: Final = Table(
    "overage_uses", metadata,
    Column("wallet_id", _INT, primary_key=True, autoincrement=False),
    Column("worker", _INT, primary_key=True, autoincrement=False), _int("nanos"), **_KEYED,
)  # fmt: skip
"""The company's part in what all lives of a worker charged a wallet or left in suspense: what counts against that worker's part of the
limit of overage. What ended is `wallet_values.company_nanos` by worker."""
recall_answers: Final = Table(
    "recall_answers", metadata,
    Column("recall_id", _INT, primary_key=True, autoincrement=False),
    Column("worker", _INT, primary_key=True, autoincrement=False), **_KEYED,
)  # fmt: skip
"""Which workers with a sized lease have answered a recall: what they have left of its lot afterwards came back later."""
tapes: Final = Table(
    "tapes", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    Column("epoch", _INT, primary_key=True, autoincrement=False), _int("folded_sequence"), **_KEYED,
)  # fmt: skip
tape_segments: Final = Table(
    "tape_segments", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    Column("epoch", _INT, primary_key=True, autoincrement=False),
    Column("segment", _INT, primary_key=True, autoincrement=False),
    _int("first_sequence"), _int("last_sequence"), _blob("digest"), _int("recorded_at"), **_KEYED,
)  # fmt: skip
"""sha256 of a segment that is no longer on disk: written before the file is deleted."""
names: Final = Table(
    "names", metadata,
    Column("worker", _INT, primary_key=True, autoincrement=False),
    Column("epoch", _INT, primary_key=True, autoincrement=False),
    Column("name_id", _INT, primary_key=True, autoincrement=False), _text("text"), **_KEYED,
)  # fmt: skip
key_uses: Final = Table(
    "key_uses", metadata,
    Column("api_key_id", _INT, primary_key=True, autoincrement=False), _int("used_at"), **_KEYED,
)  # fmt: skip
"""The hour in which each key was used last, as doors noted it; no row for one that nobody used since that is noted."""
deltas: Final = Table(
    "deltas", metadata, Column("number", _INT, primary_key=True, autoincrement=False), _blob("body"), _int("recorded_at"),
    **_STRICT,
)  # fmt: skip
recalls: Final = Table(
    "recalls", metadata, _id(), _int("group_id"), _text("purpose"), _text("mode"), _int("wallet_id"), _int("lot_id"),
    _nanos("wanted_nanos"), _nanos("given_nanos", "0"), _text("command_id"), _text("reason"), _text("reference"),
    _int("target_wallet_id", null=True), _int("new_effective_at", null=True), _int("new_expires_at", null=True),
    _int("recorded_at"), _int("answered_at", null=True), _int("ended_at", null=True), **_STRICT,
)  # fmt: skip
"""What is asked back of leased lots, part by part (model/recall.py). `answered_at`: when a worker, or the ledger for want of one, first
gave of it; `ended_at`: nothing more will be given."""
recall_gives: Final = Table(
    "recall_gives", metadata, Column("ledger_seq", _INT, primary_key=True, autoincrement=False),
    Column("recall_id", _INT, ForeignKey("recalls.id"), primary_key=True, autoincrement=False), _int("given_at"),
    _nanos("nanos"), **_KEYED,
)  # fmt: skip
"""What a recall was given, when: `ledger_seq` is the entry that booked it. So a cycle knows what was taken in it, and what later."""
Index("recall_gives_by_time", recall_gives.c.given_at)
Index("recalls_by_end", recalls.c.ended_at)
Index("recalls_by_command", recalls.c.command_id)
usage_charges: Final = Table(
    "usage_charges", metadata, _id(), _public_id(), _text("source"), _int("member_id", ForeignKey("members.id")),
    _int("wallet_id", ForeignKey("wallets.id")), _text("day"), _text("model"), _nanos("total_nanos"),
    _nanos("charged_nanos"), _int("used_at"), _text("command_id"), _int("recorded_at"),
    UniqueConstraint("member_id", "source", "day", "model", "total_nanos"), **_STRICT,
)  # fmt: skip
"""What usage around the gateway was charged: `total_nanos` is what a member's day with a model cost by a source in all, and
`charged_nanos` by how much that is more than was charged before. `day` is a date of UTC, `used_at` when the latest of it was used."""
usage_charge_parts: Final = Table(
    "usage_charge_parts", metadata, Column("ledger_seq", _INT, ForeignKey("entries.ledger_seq"), primary_key=True, autoincrement=False),
    Column("lot_id", _INT, primary_key=True, autoincrement=False), _int("charge_id", ForeignKey("usage_charges.id")),
    _int("wallet_id"), _nanos("nanos"), **_KEYED,
)  # fmt: skip
"""What such a charge took of each lot, when its entry was booked; lot 0 is what the company carries of it for that wallet."""
Index("usage_charges_by_wallet", usage_charges.c.wallet_id, usage_charges.c.used_at)
Index("usage_charge_parts_by_charge", usage_charge_parts.c.charge_id)
Index(
    "usage_charge_parts_carried", usage_charge_parts.c.wallet_id,
    sqlite_where=text("lot_id = 0"), postgresql_where=text("lot_id = 0"),
)  # fmt: skip
alert_states: Final = Table(
    "alert_states", metadata,
    Column("subject", _TEXT, primary_key=True), Column("subject_id", _INT, primary_key=True, autoincrement=False),
    Column("threshold_percent", _INT, primary_key=True, autoincrement=False), _int("window_start_at"), **_KEYED,
)  # fmt: skip
"""Thresholds that are crossed now, and in which window that was told: a restart repeats nothing."""
alert_messages: Final = Table(
    "alert_messages", metadata, _id(), _public_id(), _int("alert_id", ForeignKey("alerts.id")), _text("destination"),
    _text("state"), _int("attempt_count"), _int("next_try_at"), _text("last_error"), _int("delivered_at", null=True),
    _int("recorded_at"), **_STRICT,
)  # fmt: skip
"""The outbox: written with its alert, `pending` until `delivered` or `dead`."""
Index("alert_messages_due", alert_messages.c.state, alert_messages.c.next_try_at)
variances: Final = Table(
    "variances", metadata,
    Column("call_id", _TEXT, primary_key=True), Column("attempt", _INT, primary_key=True, autoincrement=False),
    _int("ledger_seq", ForeignKey("entries.ledger_seq")), **_KEYED,
)  # fmt: skip
"""Which differences with a provider's bill are booked already, so that a bill read twice books once."""

APPEND_ONLY: Final = (
    settlements, pool_draws, attempts, client_calls, entries, postings, facts, commands, batches, grants, lots, rate_cards,
    pay_calendars, pay_runs, pay_run_reversals, pay_slips, tape_segments, variances, awards, openings, recall_gives, refill_grants,
    limit_overrides, alerts, usage_charges, usage_charge_parts, lease_moves,
)  # fmt: skip
"""Tables whose rows are never changed nor deleted (law 8)."""
ADDED_LATER: Final = frozenset(
    {
        "vesting_terms", "terms", "origin_lot_id", "moved_at", "rollover_max_nanos", "employee_id", "level", "location",
        "employment_type", "manager_id", "working_time_millionths", "suspended_at", "digest",
    }
)  # fmt: skip
"""Columns that rows of an older revision do not have. They are null there, and a row's digest leaves them out while they are."""


def _refuse_changes() -> None:
    for table in APPEND_ONLY:
        for dialect in ("sqlite", "postgresql"):
            for statement in refusals(table.name, dialect):
                ddl: Any = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
                event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


def refusals(table: str, dialect: str) -> list[str]:
    """The statements that make a table append-only."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: a correction is a reversal and a replacement'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        (
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'% is append-only: a correction is a reversal and a replacement', TG_ARGV[0] USING ERRCODE = '23514'; END $$"
        ),
        *(
            f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
            f"FOR EACH {'STATEMENT' if verb == 'TRUNCATE' else 'ROW'} EXECUTE FUNCTION refuse_change('{table}')"
            for verb in ("UPDATE", "DELETE", "TRUNCATE")
        ),
    ]


_refuse_changes()
