"""Changes behind the ledger's back, on whichever database it is: what tests of `journal verify` do and no program of ours can."""

import re
from typing import Any

from sqlalchemy import Connection

from tokenroll.store.database import raw_connection


def permit_changes(connection: Connection) -> None:
    """From now on rows of the journal can be changed, and no reference is looked after. It stays so for this connection's ledger."""
    connection.rollback()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.commit()
        return
    raw: Any = connection.connection.driver_connection
    for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER {name}")
    raw.execute("PRAGMA foreign_keys = OFF")


def forbid_changes(connection: Connection) -> None:
    """References are looked after again, for a connection that the next test has."""
    if connection.dialect.name == "sqlite":
        connection.rollback()
        raw_connection(connection).execute("PRAGMA foreign_keys = ON")


def change(connection: Connection, statement: str, *values: Any) -> int:
    """A statement as SQLite has it, with `?` for values; how many rows it was about. Whoever called commits."""
    if connection.dialect.name == "postgresql":
        statement = re.sub(r"\bx'([0-9a-f]+)'", r"'\\x\1'::bytea", statement.replace("?", "%s"))
        statement = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", statement)
        statement = re.sub(
            r"CAST\(replace\((\w+), (.+)\) AS BLOB\)", r"replace(encode(\1, 'escape'), \2)::bytea", statement
        )
        statement = statement.replace("AS BLOB", "AS bytea")
    return connection.exec_driver_sql(statement, values).rowcount


def trigger_count(connection: Connection, table: str) -> int:
    """How many triggers a table has, those of references not counted."""
    query = (
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(?) AND NOT tgisinternal"
        if connection.dialect.name == "postgresql"
        else "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    )
    count: int = raw_connection(connection).execute(query, (table,)).fetchone()[0]
    return count
