"""A client's call id of an earlier life is told to the next one, and two of the same never stop the fold."""

import pytest
from sqlalchemy import insert, select

from tests.cast import T0
from tests.postgresql_kit import kept, place_for
from tokenroll.services.leasing import client_call_terms, view_parts
from tokenroll.services.protocol import ClientCallTerms
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome
from tokenroll.store.database import open_writer
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.mirror import Mirror

EPOCH = 1 << 40


@pytest.fixture
def ledger(tmp_path):
    connection = kept(open_writer(place_for(tmp_path / "ledger.db")))
    yield connection
    connection.close()


def fold(ledger, *named):
    batch = FoldBatch()
    batch.client_calls += named
    with ledger.begin():
        batch.write(ledger, Mirror(), T0)


def settle(ledger, hold_key, outcome, charge):
    row = {
        "ledger_seq": hold_key, "hold_key": hold_key, "wallet_id": 1, "api_key_id": 1, "admitted_at": T0, "cycle": 202401,
        "charge_nanos": charge, "outcome": outcome, "previous_seq": 0, "record": b"",
    }  # fmt: skip
    with ledger.begin():
        ledger.execute(insert(schema.settlements).values(row))


def test_a_starting_worker_is_told_what_became_of_used_ids(ledger):
    fold(ledger, (1, "job-1", EPOCH + 1), (1, "job-2", EPOCH + 2), (2, "job-1", EPOCH + 3), (1, "job-4", EPOCH + 4))
    settle(ledger, EPOCH + 1, Outcome.SETTLED, 500)
    settle(ledger, EPOCH + 2, Outcome.RELEASED, 0)
    settle(ledger, EPOCH + 4, Outcome.RESOLVED, 7)
    told = [
        ClientCallTerms(1, "job-1", "settled", 500),
        ClientCallTerms(1, "job-2", "released", 0),
        ClientCallTerms(2, "job-1", "suspense", 0),
        ClientCallTerms(1, "job-4", "settled", 7),
    ]
    assert client_call_terms(ledger) == told
    parts = list(view_parts(ledger, 0))
    assert [one for part in parts for one in part.client_calls] == told
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_the_newest_ids_are_told_when_there_are_too_many(ledger, monkeypatch):
    monkeypatch.setattr("tokenroll.services.leasing.CLIENT_CALL_IDS_REMEMBERED_MAX", 2)
    other_worker = 3 << 56
    fold(ledger, (1, "old", other_worker + EPOCH + 1), (1, "new", EPOCH + 9), (1, "newer", other_worker + EPOCH + 10))
    assert [one.client_call_id for one in client_call_terms(ledger)] == ["new", "newer"]


def test_the_same_id_from_two_workers_does_not_stop_the_fold(ledger):
    fold(ledger, (1, "job-1", EPOCH + 1))
    fold(ledger, (1, "job-1", (1 << 56) + EPOCH + 1), (1, "job-2", EPOCH + 2))
    calls = schema.client_calls.c
    rows = ledger.execute(select(calls.client_call_id, calls.hold_key).order_by(calls.hold_key)).all()
    assert [tuple(row) for row in rows] == [("job-1", EPOCH + 1), ("job-2", EPOCH + 2)]
