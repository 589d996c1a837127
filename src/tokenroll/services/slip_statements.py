"""What a pay run asks of the ledger, a thousand wallets in one row of JSON: once in the words of each database.

The texts differ in the names of functions, and in that PostgreSQL is told the order that SQLite reads rows in anyway.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection

from tokenroll.engine.paying import LotOrigin


class SlipStatements(NamedTuple):
    """The parts of one statement about a range of wallets; `later` and `part` are filled in by who asks."""

    lots: str
    grants: str
    spent: str
    late: str
    later: str
    opened: str
    part: str
    any_late: str
    """Whether a cycle has an adjustment at all."""


def _lots(collected: str, row: str, any_of: str) -> str:
    columns = f"""l.id, l.amount_nanos, l.effective_at, l.expires_at, l.classification,
        CASE WHEN l.origin_lot_id IS NULL THEN {int(LotOrigin.GRANT)}
            WHEN o.wallet_id <> l.wallet_id OR o.effective_at <= l.moved_at THEN {int(LotOrigin.TRANSFER)}
            ELSE {int(LotOrigin.GRANT)} END, coalesce(l.moved_at, g.recorded_at), v.spent_nanos,
        CASE WHEN {any_of} THEN
            {row}(v.forfeited_nanos, v.clawed_back_nanos, v.voided_nanos, v.transferred_out_nanos) END,
        CASE WHEN g.rollover_max_nanos > 0 THEN {row}(g.lifetime_count, g.lifetime_unit, CASE
            WHEN l.origin_lot_id IS NULL THEN {row}(l.effective_at, l.expires_at, w.zone)
            ELSE (
                WITH RECURSIVE r(wallet_id, origin_lot_id, effective_at, expires_at) AS (
                    SELECT wallet_id, origin_lot_id, effective_at, expires_at FROM lots WHERE id = l.origin_lot_id
                    UNION ALL SELECT p.wallet_id, p.origin_lot_id, p.effective_at, p.expires_at FROM lots p JOIN r ON p.id = r.origin_lot_id
                ) SELECT {row}(r.effective_at, r.expires_at, z.zone) FROM r JOIN wallets z ON z.id = r.wallet_id
                WHERE r.origin_lot_id IS NULL
            ) END) END"""  # noqa: S608 - constants of this module
    return f"""
    SELECT {collected.format(columns=columns)}
    FROM lots l JOIN lot_values v ON v.lot_id = l.id JOIN grants g ON g.id = l.grant_id
        LEFT JOIN lots o ON o.id = l.origin_lot_id
    WHERE l.wallet_id = w.id AND coalesce(l.moved_at, g.recorded_at) < :until"""  # noqa: S608 - constants of this module


_SPENT: Final = """FROM (
        SELECT lot_id, label_id, sum(nanos) AS nanos, sum(call_count) AS calls FROM spend_rollups
        WHERE cycle = :cycle AND wallet_id = w.id GROUP BY lot_id, label_id)"""
_LATER: Final = """FROM (
        SELECT lot_id, sum(nanos) AS nanos FROM spend_rollups
        WHERE cycle IN ({cycles}) AND wallet_id = w.id GROUP BY lot_id)"""
_TAKEN: Final = "v.forfeited_nanos | v.clawed_back_nanos | v.voided_nanos | v.transferred_out_nanos"

SQLITE: Final = SlipStatements(
    lots=_lots("json_group_array(json_array({columns}))", "json_array", _TAKEN),
    grants="""
    SELECT json_group_array(json_array(max(effective_at, recorded_at), amount_nanos)) FROM grants
    WHERE wallet_id = w.id AND max(effective_at, recorded_at) BETWEEN :since AND :until""",
    spent=f"SELECT json_group_array(json_array(lot_id, label_id, nanos, calls)) {_SPENT}",
    late="""
    SELECT json_group_array(json_array(lot_id, label_id, nanos)) FROM spend_rollups INDEXED BY spend_rollups_late
    WHERE late = 1 AND cycle = :cycle AND wallet_id = w.id""",
    later=f"SELECT json_group_array(json_array(lot_id, nanos)) {_LATER}",
    opened="SELECT json_extract(values_json, '$.lots') FROM pay_slips WHERE pay_run_id = :before AND wallet_id = w.id",
    part="""
    SELECT '[' || coalesce(group_concat('[' || w.id || ',' || json_quote(w.zone) || ',' || {columns} || ']'), '') || ']' FROM wallets w
    WHERE w.id BETWEEN :first AND :last AND w.recorded_at < :until""",
    any_late="SELECT 1 FROM spend_rollups INDEXED BY spend_rollups_late WHERE late = 1 AND cycle = ? LIMIT 1",
)
POSTGRESQL: Final = SlipStatements(
    lots=_lots(
        "coalesce(json_agg(json_build_array({columns}) ORDER BY l.id), '[]')::text",
        "json_build_array",
        f"({_TAKEN}) <> 0",
    ),
    grants="""
    SELECT coalesce(json_agg(json_build_array(greatest(effective_at, recorded_at), amount_nanos) ORDER BY id), '[]')::text FROM grants
    WHERE wallet_id = w.id AND greatest(effective_at, recorded_at) BETWEEN :since AND :until""",
    spent=f"""
    SELECT coalesce(json_agg(json_build_array(lot_id, label_id, nanos, calls) ORDER BY lot_id, label_id), '[]')::text
    {_SPENT} AS of_lots""",
    late="""
    SELECT coalesce(json_agg(json_build_array(lot_id, label_id, nanos) ORDER BY lot_id, label_id, day), '[]')::text FROM spend_rollups
    WHERE late = 1 AND cycle = :cycle AND wallet_id = w.id""",
    later=f"""
    SELECT coalesce(json_agg(json_build_array(lot_id, nanos) ORDER BY lot_id), '[]')::text {_LATER} AS of_lots""",
    opened="SELECT (values_json::json -> 'lots')::text FROM pay_slips WHERE pay_run_id = :before AND wallet_id = w.id",
    part="""
    SELECT '[' || coalesce(string_agg('[' || w.id || ',' || to_json(w.zone)::text || ',' || {columns} || ']', ',' ORDER BY w.id), '')
        || ']' FROM wallets w WHERE w.id BETWEEN :first AND :last AND w.recorded_at < :until""",
    any_late="SELECT 1 FROM spend_rollups WHERE late = 1 AND cycle = ? LIMIT 1",
)


def slip_statements(connection: Connection) -> SlipStatements:
    """The words of this connection's database."""
    return POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE
