"""The ledger dies between any two statements; after a restart everything is as if it had died before, and goes on to the same end."""

import sqlite3

import pytest

from tests import ledger_kit as kit
from tests.crash.test_it_recovers_at_every_boundary import BLOCKS
from tests.ledger_kit import Ack, Command, Hello, Kit, Report
from tokenroll.store import schema
from tokenroll.store.verify import verify

STATEMENTS = {"left": -1}
"""How many statements may still run; below zero none is counted. Module state, because sqlite3 makes the cursors."""


class Killed(Exception):  # noqa: N818 - what happened to the process
    """The process is gone. Not a BaseException: at such a one SQLAlchemy throws the connection away, and the rows with it."""


def count() -> None:
    if STATEMENTS["left"] == 0:
        raise Killed
    STATEMENTS["left"] -= STATEMENTS["left"] > 0


class DyingCursor(sqlite3.Cursor):
    def execute(self, *arguments):
        count()
        return super().execute(*arguments)

    def executemany(self, *arguments):
        count()
        return super().executemany(*arguments)


class DyingConnection(sqlite3.Connection):
    def cursor(self, factory=DyingCursor):
        return super().cursor(factory)

    def execute(self, *arguments):
        count()
        return super().execute(*arguments)

    def executemany(self, *arguments):
        count()
        return super().executemany(*arguments)

    def commit(self):
        count()
        super().commit()


@pytest.fixture(autouse=True)
def _nobody_dies_by_default():
    STATEMENTS["left"] = -1
    yield
    STATEMENTS["left"] = -1


def everything(one: Kit) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    return {
        str(table.name): sorted(one.rows(f"SELECT * FROM {table.name}"), key=repr)
        for table in schema.metadata.sorted_tables
    }


def die_everywhere(deed, *, at_least: int) -> None:
    """The deed done once in peace; then killed at each of its statements, restarted, and done again: the same rows each time."""
    peaceful = Kit(DyingConnection)
    deed(peaceful)
    wanted = everything(peaceful)
    for statement in range(1_000):
        one = Kit(DyingConnection)
        before = everything(one)
        STATEMENTS["left"] = statement
        try:
            deed(one)
        except Killed:
            STATEMENTS["left"] = -1
            one.connection.rollback()
            # whole or nothing: killed after the commit and before the answer it is whole, and the same again changes nothing
            assert everything(one) in (before, wanted), (
                f"a part stayed of a transaction killed at statement {statement}"
            )
            one.ledger = kit.new_ledger(one.connection, one.clock)
            deed(one)
        else:
            STATEMENTS["left"] = -1
            assert statement >= at_least
            return
        assert everything(one) == wanted, f"killed at statement {statement}"
    raise AssertionError("the deed never ended")


def test_it_folds_wholly_or_not_at_all():
    def deed(one):
        answer = one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(BLOCKS)))
        assert answer == Ack(epoch=1, sequence=len(BLOCKS))

    die_everywhere(deed, at_least=10)


def test_it_grants_wholly_or_not_at_all():
    def deed(one):
        arguments = {"to": "Ada", "amount_nanos": 5}
        reply = one.ledger.execute(Command(id="t", name="grant.top_up", arguments=arguments))
        assert reply.result is not None

    # ids come from a counter that a restart begins anew, like the clock: so the same command makes the same rows
    die_everywhere(deed, at_least=15)


def test_it_begins_an_epoch_wholly_or_not_at_all():
    die_everywhere(
        lambda one: one.ledger.hello(Hello(version=2, worker=0, epoch=0, boot_id=kit.BOOT, last_delta=0)), at_least=3
    )


def test_it_leaves_memory_as_it_was_when_a_fold_fails():
    """The same ledger, not a restarted one, goes on after a statement failed."""
    one = Kit(DyingConnection)
    for statement in range(3, 12):
        STATEMENTS["left"] = statement
        with pytest.raises(Killed):
            one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(BLOCKS)))
        STATEMENTS["left"] = -1
        one.ledger._reload()
    assert one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(BLOCKS))) == Ack(epoch=1, sequence=len(BLOCKS))
    one.connection.rollback()
    assert verify(one.connection, one.now).differences == []


def test_it_lapses_a_dead_life_wholly_or_not_at_all():
    def deed(one):
        one.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(BLOCKS[:4])))
        kit.begin_life(one.ledger)

    peaceful = Kit(DyingConnection)
    deed(peaceful)
    wanted = peaceful.lot(kit.ADA_LOT)
    assert wanted == (0, 20_000_000, 0)
    killed = 0
    for statement in range(4, 40, 2):
        one = Kit(DyingConnection)
        STATEMENTS["left"] = statement
        try:
            deed(one)
        except Killed:
            killed += 1
        STATEMENTS["left"] = -1
        one.connection.rollback()
        one.ledger = kit.new_ledger(one.connection, one.clock)
        deed(one)
        assert one.lot(kit.ADA_LOT) == wanted
        one.connection.rollback()
        assert verify(one.connection, one.now).differences == []
    assert killed > 10
