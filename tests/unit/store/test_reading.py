"""Readers of the database: one instant for as long as a transaction lasts, whatever the ledger writes meanwhile."""

from pathlib import Path

import pytest

from tokenroll.store.database import open_reader, open_writer


def count(connection) -> int:
    return connection.exec_driver_sql("SELECT count(*) FROM settings").scalar_one()


@pytest.mark.parametrize("folder", ["home", "100%41 ?mode=rw#x"])
def test_a_transaction_of_a_reader_sees_one_instant(tmp_path: Path, folder: str):
    path = tmp_path / folder / "ledger.db"
    writer = open_writer(path)
    engine = open_reader(path)
    with engine.connect() as reader:
        before = count(reader)
        writer.exec_driver_sql("INSERT INTO settings VALUES ('one', 'more', 0)")
        writer.commit()
        assert count(reader) == before
    with engine.connect() as reader:
        assert count(reader) == before + 1
    engine.dispose()
    writer.close()
