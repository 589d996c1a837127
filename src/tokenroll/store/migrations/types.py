"""Words that revisions share: what they say on SQLite never changes, and PostgreSQL is told the same."""

from typing import Final

import sqlalchemy as sa
from alembic import op

TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared by its bytes on both."""

_POSTGRESQL_REFUSAL: Final = (
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
    "'% is append-only: a correction is a reversal and a replacement', TG_ARGV[0] USING ERRCODE = '23514'; END $$"
)


def refuse_changes(*tables: str) -> None:
    """These tables are append-only from here on. PostgreSQL can also empty a table at once, and is told not to."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.get_bind().exec_driver_sql(_POSTGRESQL_REFUSAL.replace("%", "%%"))
    for table in tables:
        for verb in ("UPDATE", "DELETE", *(("TRUNCATE",) if is_postgresql else ())):
            name = f"{table}_refuses_{verb.lower()}"
            if is_postgresql:
                each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
                does = f"FOR EACH {each} EXECUTE FUNCTION refuse_change('{table}')"
            else:
                does = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: a correction is a reversal and a replacement'); END"
            op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {does}")
