"""The ledger in PostgreSQL: the same rows as in SQLite, one session that writes, and what a server must promise."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.errors import NumericValueOutOfRange
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError, StatementError

from tests.firm import CREDIT, DAY, FEBRUARY, HOUR, Firm
from tests.postgresql_kit import Choice, Server, migrated, new_database, server
from tests.tampering import trigger_count
from tokenroll.ledger_place import LedgerUrl, LedgerUrlError, ledger_url
from tokenroll.model.limits import AMOUNT_NANOS_MAX
from tokenroll.store import schema
from tokenroll.store.database import (
    LedgerLostError,
    LedgerTakenError,
    SchemaError,
    UnfitDatabaseError,
    close,
    is_empty,
    is_gone,
    is_lost,
    open_reader,
    open_writer,
    place_of,
    raw_connection,
    storage_problem,
)
from tokenroll.store.fold_rows import PaidRows
from tokenroll.store.postgresql_rows import PostgresqlRows, int8s

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def writer() -> Iterator[Connection]:
    connection = open_writer(new_database(migrated()))
    connection.rollback()
    yield connection
    close(connection)


def name_of(connection: Connection) -> str:
    return connection.engine.url.database or ""


# ---- the same as SQLite -----------------------------------------------------------------------------------------------------


def a_month(firm: Firm) -> None:
    """Grants, calls of every ending, a pool, a recall, a closed cycle, roll-ups."""
    firm.do(
        "member.create", name="Ada", department=firm.do("department.create", name="Engineering")["name"], zone="UTC"
    )
    firm.do("member.create", name="Bö", department="Engineering", zone="Europe/Berlin")
    firm.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=40 * CREDIT)
    for name in ("Ada", "Bö", "Ada"):
        firm.do("grant.create", to=name, plan="tools")
    first, bos, second = firm.lot_ids("Ada")[0], firm.lot_ids("Bö")[0], firm.lot_ids("Ada")[1]
    firm.now += HOUR
    for number in range(1, 6):
        firm.call("Ada", first, number * CREDIT)
    firm.call("Bö", bos, 7)
    firm.settle(firm.hold("Ada", (first, CREDIT), (second, CREDIT)), 2 * CREDIT)
    firm.release(firm.hold("Bö", (bos, CREDIT)))
    firm.hold("Bö", (bos, CREDIT), dispatched=False)
    firm.ledger.roll_up()
    firm.ledger.roll_up_usage()
    firm.now = FEBRUARY + 4 * DAY
    firm.do("payrun.close", cycle="2026-01")
    firm.lapse(firm.hold("Ada", (second, CREDIT)))


def rows_of(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    connection.rollback()
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
        for table in schema.metadata.sorted_tables
    }


def test_the_same_month_makes_the_same_rows_on_both(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Choice, "postgresql", False)
    here = Firm()
    a_month(here)
    monkeypatch.setattr(Choice, "postgresql", True)
    there = Firm()
    a_month(there)
    there.verified()
    found, known = rows_of(there.connection), rows_of(here.connection)
    assert {name: rows for name, rows in found.items() if rows != known[name]} == {}
    assert len(found["settlements"]) == 8  # five and one of one lot, one of two, one released
    assert len(found["pay_slips"]) == 2
    assert there.ledger.status() == here.ledger.status()


def test_the_revisions_make_what_the_schema_says_and_texts_are_compared_by_their_bytes(writer: Connection):
    assert compare_metadata(MigrationContext.configure(writer), schema.metadata) == []
    others = writer.execute(
        text(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text' "
            "AND collation_name IS DISTINCT FROM 'C'"
        )
    ).all()
    assert others == []
    types = writer.execute(
        text(
            "SELECT DISTINCT data_type FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        )
    )
    assert set(types.scalars()) == {"bigint", "text", "bytea"}
    assert {trigger_count(writer, table.name) for table in schema.APPEND_ONLY} == {3}


@pytest.mark.parametrize(
    "statement", ["UPDATE pool_draws SET nanos = 2", "DELETE FROM pool_draws", "TRUNCATE pool_draws"]
)
def test_a_journal_refuses_changes_also_of_all_rows_at_once(writer: Connection, statement: str):
    writer.exec_driver_sql("INSERT INTO pool_draws VALUES (1, 1, 1)")
    writer.commit()
    with pytest.raises(DBAPIError, match="pool_draws is append-only: a correction is a reversal and a replacement"):
        writer.exec_driver_sql(statement)


def test_sums_are_whole_numbers_and_nothing_else_is_one(writer: Connection):
    writer.exec_driver_sql(f"INSERT INTO pool_draws SELECT 1, i, {AMOUNT_NANOS_MAX} FROM generate_series(1, 20) i")
    total = writer.exec_driver_sql("SELECT sum(nanos) FROM pool_draws").scalar_one()
    assert total == 20_000_000_000_000_000_000
    assert type(total) is int
    with pytest.raises(ValueError, match="invalid literal"):
        writer.exec_driver_sql("SELECT avg(ledger_seq) FROM pool_draws").scalar_one()


def test_arrays_hold_the_largest_and_the_smallest_number(writer: Connection):
    raw = raw_connection(writer)
    psycopg = raw.psycopg  # type: ignore[attr-defined]
    numbers = [0, 1, -1, 2**63 - 1, -(2**63), 256]
    assert psycopg.execute("SELECT %b::bigint[]", [int8s(numbers)]).fetchone() == (numbers,)


def test_values_that_are_not_there_yet_are_made_and_a_wallets_parts_are_summed(writer: Connection):
    writer.exec_driver_sql("INSERT INTO wallet_values VALUES (7, 1, 1, 10, 0)")
    rows = PostgresqlRows(writer.connection.driver_connection)
    rows.add_charged([7, 8, 7], [5, 6, 5], [1, 1, 2], [100, 30, 1_000])
    rows.add_spent([3, 4], [1, 2])
    found = writer.exec_driver_sql("SELECT * FROM wallet_values ORDER BY wallet_id").all()
    assert [tuple(row) for row in found] == [(7, 5, 4, 1_110, 0), (8, 6, 1, 30, 0)]
    spent = writer.exec_driver_sql("SELECT lot_id, spent_nanos FROM lot_values ORDER BY lot_id").all()
    assert [tuple(row) for row in spent] == [(0, 0), (3, 1), (4, 2)]


PLANNED_BY = ("enable_nestloop", "enable_hashjoin", "enable_seqscan", "enable_bitmapscan", "work_mem")


def planned_by(writer: Connection) -> list[str]:
    return [writer.exec_driver_sql(f"SHOW {one}").scalar_one() for one in PLANNED_BY]


def test_what_thousands_of_lots_paid_is_added_and_other_statements_are_planned_as_before(writer: Connection):
    """Half of them are known, and a wallet of each two lots comes twice in the second report."""
    writer.exec_driver_sql("INSERT INTO lot_values(lot_id, spent_nanos) SELECT i, 7 FROM generate_series(10, 1509) i")
    writer.exec_driver_sql("INSERT INTO wallet_values SELECT i, 1, 1, 7, 0 FROM generate_series(10, 1509) i")
    writer.commit()
    before = planned_by(writer)
    rows = PostgresqlRows(writer.connection.driver_connection)
    lots = np.arange(10, 3010)
    rows.paid(PaidRows(lots, lots, np.full(3000, 5), np.full(3000, 2), lots * 100))
    rows.paid(PaidRows(lots, lots // 2, np.full(3000, 6), np.full(3000, 1), np.full(3000, 3)))
    assert planned_by(writer) == before
    found = writer.exec_driver_sql("SELECT lot_id, spent_nanos FROM lot_values WHERE lot_id > 0").all()
    spent: dict[int, int] = {lot: nanos for lot, nanos in found}  # noqa: C416 - rows are no tuples to a type checker
    assert (len(spent), spent[10], spent[1509], spent[1510], spent[3009]) == (3000, 1_010, 150_910, 151_003, 300_903)
    assert sum(spent.values()) == 452_850_000 + 10_500 + 9_000
    wallets = {row[0]: tuple(row[1:]) for row in writer.exec_driver_sql("SELECT * FROM wallet_values").all()}
    assert (wallets[5], wallets[10]) == ((6, 2, 6, 0), (6, 5, 1_013, 0))
    assert (wallets[1504], wallets[1505]) == ((6, 5, 150_413, 0), (5, 3, 150_507, 0))
    assert (wallets[2000], len(wallets)) == ((5, 2, 200_000, 0), 3005)


def test_a_report_that_fails_leaves_other_statements_planned_as_before(writer: Connection):
    before = planned_by(writer)
    writer.exec_driver_sql("INSERT INTO lot_values(lot_id, spent_nanos) SELECT i, 7 FROM generate_series(10, 2009) i")
    writer.commit()
    lots, ones, most = np.arange(10, 2010), np.ones(2000, np.int64), np.full(2000, 2**63 - 1)
    rows = PostgresqlRows(writer.connection.driver_connection)
    with pytest.raises(NumericValueOutOfRange):
        rows.paid(PaidRows(lots, lots, ones, ones, most))
    raw_connection(writer).psycopg.rollback()  # type: ignore[attr-defined]
    assert planned_by(writer) == before
    none = np.array([], np.int64)
    rows.paid(PaidRows(none, none, none, none, none))


# ---- one session that writes ----------------------------------------------------------------------------------------------


def test_a_second_ledger_is_refused_while_the_first_one_lives(writer: Connection):
    place = place_of(writer)
    assert isinstance(place, LedgerUrl)
    with pytest.raises(LedgerTakenError, match="another ledger writes postgresql://postgres@/ledger_"):
        open_writer(place)
    close(writer)
    close(open_writer(place))


def test_a_session_that_is_cut_off_is_gone_for_good_with_all_it_had_not_committed(writer: Connection):
    place = place_of(writer)
    assert isinstance(place, LedgerUrl)
    raw_connection(writer).execute("INSERT INTO pool_draws VALUES (?,?,?)", (1, 1, 1))
    server().run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(writer)}'")
    assert not is_gone(writer)
    with pytest.raises(DBAPIError) as lost:
        writer.exec_driver_sql("INSERT INTO pool_draws VALUES (1, 2, 1)")
    assert is_lost(lost.value)
    assert storage_problem(lost.value).startswith("the ledger's database does not answer (")
    writer.rollback()
    with pytest.raises(StatementError, match="was lost, and the last change was made or was not: repeat it") as again:
        writer.exec_driver_sql("SELECT 1")
    assert is_lost(again.value)
    assert is_gone(writer)
    after = open_writer(place)
    assert after.exec_driver_sql("SELECT count(*) FROM pool_draws").scalar_one() == 0
    close(after)


def test_a_reader_sees_one_instant_and_writes_nothing(writer: Connection):
    place = place_of(writer)
    assert place is not None
    engine = open_reader(place)
    with engine.connect() as reader:
        assert reader.exec_driver_sql("SELECT count(*) FROM settings").scalar_one() == 0
        writer.exec_driver_sql("INSERT INTO settings VALUES ('one', 'more', 0)")
        writer.commit()
        assert reader.exec_driver_sql("SELECT count(*) FROM settings").scalar_one() == 0
        with pytest.raises(DBAPIError, match="read-only transaction"):
            reader.exec_driver_sql("DELETE FROM settings")
    with engine.connect() as reader:
        assert reader.exec_driver_sql("SELECT count(*) FROM settings").scalar_one() == 1
    engine.dispose()


# ---- what a server must promise ---------------------------------------------------------------------------------------------


def test_a_weak_default_is_made_good_for_the_session():
    place = new_database(migrated())
    name = place.text.partition("@/")[2].partition("?")[0]
    server().run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    connection = open_writer(place)
    assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    close(connection)


def test_a_server_that_may_forget_what_it_answered_is_refused():
    weak = Server("-c", "fsync=off")
    try:
        with pytest.raises(
            UnfitDatabaseError, match="has fsync = off: a commit would be answered before it is safe, so set it to on"
        ):
            open_writer(weak.url("postgres"))
        weak.run("CREATE DATABASE plain ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        weak.stop(signal.SIGQUIT)
        with pytest.raises(LedgerLostError, match="does not answer"):
            open_writer(weak.url("plain"))
    finally:
        weak.remove()


def test_other_bytes_than_utf8_are_refused():
    server().run("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(UnfitDatabaseError, match="is not encoded in UTF8"):
        open_writer(server().url("ascii"))


def test_a_database_that_is_not_there_is_told_and_not_waited_for():
    with pytest.raises(UnfitDatabaseError, match='database "nowhere" does not exist'):
        open_writer(server().url("nowhere"))
    place = new_database()
    assert is_empty(place)
    with pytest.raises(
        SchemaError, match=r"there is no ledger at postgresql://postgres@/ledger_.*: run `tokenroll init` first"
    ):
        open_reader(place)


def test_a_schema_of_a_newer_release_is_not_written(writer: Connection):
    place = place_of(writer)
    assert place is not None
    writer.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    writer.commit()
    close(writer)
    with pytest.raises(SchemaError, match="has schema 9999, newer than this release"):
        open_writer(place)


# ---- roles, as the page says ------------------------------------------------------------------------------------------------


def test_the_pages_roles_may_do_what_they_need_and_no_more():
    page = (ROOT / "docs/postgresql.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    make, grant = ([one.strip() for one in block.split(";") if one.strip()] for block in blocks)
    for statement in make:
        server().run(statement)
    close(open_writer(server().url("tokenroll", "tokenroll_owner")))
    for statement in grant:
        server().run(statement, "tokenroll")
    revoked = re.search(r"REVOKE UPDATE, DELETE ON (.*) FROM", grant[-1])
    assert revoked is not None
    assert set(revoked[1].split(", ")) == {table.name for table in schema.APPEND_ONLY}
    connection = open_writer(server().url("tokenroll", "tokenroll_writer"))
    connection.rollback()
    connection.exec_driver_sql("INSERT INTO settlements VALUES (1, 1, 1, 1, 1, 1, 1, 1, 0, '')")
    connection.commit()
    for statement in (
        "UPDATE settlements SET charge_nanos = 0", "DELETE FROM settlements", "TRUNCATE settlements", "DROP TABLE settlements",
        "ALTER TABLE settlements DISABLE TRIGGER ALL", "SET session_replication_role = replica", "CREATE TABLE more (id int)",
    ):  # fmt: skip
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner") as refused:
            connection.exec_driver_sql(statement)
        connection.rollback()
        assert storage_problem(refused.value).startswith("this role may not do that")
    close(connection)
    reader = open_reader(server().url("tokenroll", "tokenroll_reader"))
    with reader.connect() as reading:
        assert reading.exec_driver_sql("SELECT count(*) FROM settlements").scalar_one() == 1
    reader.dispose()
    connection = open_writer(server().url("tokenroll", "tokenroll_reader"))
    with pytest.raises(DBAPIError, match="permission denied") as refused:
        connection.exec_driver_sql("INSERT INTO settings VALUES ('one', 'more', 0)")
    assert storage_problem(refused.value).startswith("this role may not do that")
    close(connection)


# ---- the URL ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://w:s3cret@db.example:5432/books", "postgresql://w:***@db.example:5432/books"),
        ("postgresql:///books?host=/run/pg", "postgresql:///books?host=/run/pg"),
        ("postgres://db/books?sslmode=require&password=s3cret", "postgres://db/books?sslmode=require&password=***"),
    ],
)
def test_no_text_of_a_url_shows_its_password(given: str, shown: str):
    url = ledger_url(given)
    assert (str(url), repr(url)) == (shown, f"LedgerUrl({shown!r})")
    assert url.with_password("a/b c").text.count("a%2Fb%20c") == 1


@pytest.mark.parametrize(
    "given", ["mysql://h/s3cret", "postgresql://h", "postgresql://h:s3cret/x", "postgresql://h/s3cret x"]
)
def test_what_names_no_database_is_refused_without_repeating_it(given: str):
    with pytest.raises(LedgerUrlError) as refused:
        ledger_url(given)
    assert "s3cret" not in str(refused.value)
