"""What the revisions make and what the schema says are one: a change of either alone fails here, whatever it is."""

import gzip
import re
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from tests import ledger_kit as kit
from tests.cast import utc
from tokenroll.services.protocol import Ack, Report
from tokenroll.services.reporting import Reports
from tokenroll.store import migrations, schema
from tokenroll.store.cycles import CycleBook
from tokenroll.store.database import SCHEMA_HEAD, SchemaError, open_reader, open_writer, schema_version
from tokenroll.store.journal import row_digest
from tokenroll.store.migrations.apply import migrate
from tokenroll.store.verify import verify


def empty() -> Connection:
    return create_engine("sqlite://", poolclass=StaticPool).connect()


def made_by_revisions() -> Connection:
    connection = empty()
    migrate(connection)
    return connection


def statements(connection: Connection) -> dict[str, str]:
    """By kind and name: every table, index and trigger as the database keeps it, without spaces that say nothing."""
    rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master WHERE name <> 'alembic_version'")
    return {
        f"{kind} {name}": re.sub(r"\s+", " ", sql or "") for kind, name, sql in rows if not name.endswith("version_1")
    }


def said_by_schema() -> dict[str, str]:
    connection = empty()
    schema.metadata.create_all(connection)
    return statements(connection)


def test_the_revisions_make_what_the_schema_says():
    made = statements(made_by_revisions())
    said = said_by_schema()
    assert made == said
    assert len([name for name in said if name.startswith("table ")]) == 69
    assert len([name for name in said if name.startswith("trigger ")]) == 54


def test_alembic_finds_nothing_that_only_one_of_them_has():
    assert compare_metadata(MigrationContext.configure(made_by_revisions()), schema.metadata) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("ALTER TABLE members ADD COLUMN nickname INTEGER", "table members"),
        ("CREATE INDEX wallets_by_name ON wallets (name)", "index wallets_by_name"),
        ("DROP INDEX lots_by_wallet", "index lots_by_wallet"),
        ("DROP TRIGGER lots_refuses_update", "trigger lots_refuses_update"),
        ("DROP TABLE names", "table names"),
    ],
)
def test_what_only_one_of_them_has_is_noticed(change, name):
    connection = made_by_revisions()
    connection.exec_driver_sql(change)
    made, said = statements(connection), said_by_schema()
    assert {one for one in made.keys() | said.keys() if made.get(one) != said.get(one)} == {name}


OLD = Path(__file__).parent / "data" / "ledger-0001.db.gz"
"""A ledger of the first revision, as its release made it: Ada with a stipend and a bonus over a year, Bo with a stipend."""


def test_a_ledger_of_the_first_revision_is_brought_up_to_date_and_its_journal_still_holds(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    with pytest.raises(SchemaError, match="has schema 0001, this release reads 0016: start the ledger once"):
        open_reader(path)
    connection = open_writer(path)
    assert schema_version(connection) == SCHEMA_HEAD
    connection.rollback()
    found = verify(connection, utc("2026-02-01"))
    assert found.holds, found.differences
    assert found.counts["facts"] == 15  # three grants and their twelve lots
    (sign_on,) = [plan for plan in Reports(connection, utc("2026-02-01")).plans() if plan["name"] == "sign-on"]
    assert sign_on["schedule"] == "over 12 months, nothing before month 3"
    connection.close()


def test_a_run_that_was_closed_before_stays_closed_and_its_slip_keeps_its_digest():
    connection = empty()
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "0003")
    connection.exec_driver_sql("INSERT INTO pay_runs VALUES (1, 'payrun_1', 202601, '2026-01', 5, 9)")
    connection.exec_driver_sql("""INSERT INTO pay_slips VALUES (1, 'payslip_1', 1, 1, '{"closing_nanos": 7}')""")
    query = "SELECT * FROM pay_slips"
    before = row_digest(dict(connection.exec_driver_sql(query).mappings().one()))
    command.upgrade(config, "head")
    assert row_digest(dict(connection.exec_driver_sql(query).mappings().one())) == before
    (run,) = connection.exec_driver_sql("SELECT * FROM pay_runs").all()
    assert tuple(run) == (1, "payrun_1", 202601, "2026-01", "regular", 5, 9, 1, None)
    assert CycleBook(connection).closed_through == 202601
    assert CycleBook(connection).first_open() == 202602


def test_what_the_company_carried_before_is_known_by_worker():
    """Of Bo's calls the company paid a credit, and another is in suspense; of Ada's it paid two thousandths."""
    one = kit.Kit()
    records = [
        kit.hold_record(1, (kit.BO_LOT, kit.CREDIT), (0, 2 * kit.CREDIT), wallet=kit.BO), kit.dispatched_record(1),
        kit.settle_record(1, 666_666, 1_000),
        kit.hold_record(4, (kit.BO_LOT, kit.CREDIT), (0, kit.CREDIT), wallet=kit.BO), kit.dispatched_record(4), kit.lapse_record(4),
        kit.hold_record(7, (kit.ADA_LOT, 1_000_000)), kit.dispatched_record(7), kit.settle_record(7, 1_000, 0),
        kit.hold_record(10, (kit.ADA_LOT, 1_000_000)), kit.dispatched_record(10), kit.settle_record(10, 100, 0),
    ]  # fmt: skip
    assert isinstance(one.ledger.report(Report(worker=0, epoch=1, blocks=kit.pack_block(1, records))), Ack)
    known = [(kit.ADA, 0, 2_000_000), (kit.BO, 0, 1_014_998_000 + kit.CREDIT)]
    assert one.rows("SELECT * FROM overage_uses ORDER BY wallet_id") == known
    one.connection.exec_driver_sql("DROP TABLE overage_uses")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = one.connection
    command.stamp(config, "0015")
    command.upgrade(config, "head")
    assert one.rows("SELECT * FROM overage_uses ORDER BY wallet_id") == known
    # and where a record cannot be read, that is said, and nothing is changed
    one.connection.exec_driver_sql("DROP TABLE overage_uses")
    command.stamp(config, "0015")
    one.connection.exec_driver_sql("DROP TRIGGER settlements_refuses_update")
    one.connection.exec_driver_sql("UPDATE settlements SET record = x'0102' WHERE wallet_id = 2")
    with pytest.raises(SchemaError, match=r"is damaged .* Nothing was changed: put a backup back"):
        command.upgrade(config, "head")


def test_a_changed_row_of_an_old_ledger_is_still_found(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    connection = open_writer(path)
    connection.exec_driver_sql("DROP TRIGGER grants_refuses_update")
    connection.exec_driver_sql("UPDATE grants SET vesting_terms = '{}' WHERE id = 1")
    found = verify(connection, utc("2026-02-01"))
    assert [one.message for one in found.differences] == ["grants 1 is not the row that the chain holds"]
    connection.close()


def test_a_new_ledger_is_at_the_newest_revision_and_its_journal_refuses_changes():
    connection = open_writer(None)
    assert schema_version(connection) == SCHEMA_HEAD
    connection.exec_driver_sql("INSERT INTO pool_draws VALUES (1, 1, 1)")
    with pytest.raises(Exception, match="pool_draws is append-only") as refused:
        connection.exec_driver_sql("DELETE FROM pool_draws")
    assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)
    connection.close()
