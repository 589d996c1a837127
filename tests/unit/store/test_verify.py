"""`journal verify` believes nothing: each kind of row, changed behind the ledger's back, is found and named."""

import pytest
from sqlalchemy.exc import IntegrityError

from tests.ledger_kit import (
    ADA_LOT,
    ADA_SECOND_LOT,
    POOL_LOT,
    START,
    Kit,
    Report,
    call_number,
    dispatched_record,
    hold_record,
    lapse_record,
    pack_block,
    pack_name,
    settle_record,
)
from tests.postgresql_kit import Choice
from tests.tampering import change, forbid_changes, permit_changes, trigger_count
from tokenroll.services.ageing import SUSPENSE_MICROS_MAX
from tokenroll.store import schema
from tokenroll.store.call_story import call_story
from tokenroll.store.verify import verify

HELD = 10_000_000


@pytest.fixture
def books():
    """One call settled, one retried, one from the pool, one open, one in suspense, one decided by age."""
    one = Kit()
    records = [
        pack_name(1, "nightly-42"),
        hold_record(2, (ADA_LOT, HELD), client_name=1),
        hold_record(3, (ADA_LOT, HELD), attempt=2, call=call_number(START, 1, 2)),
        hold_record(4, (ADA_SECOND_LOT, 1_000_000), (POOL_LOT, HELD)),
        hold_record(5, (ADA_LOT, HELD)),
        hold_record(6, (ADA_LOT, HELD)),
        hold_record(7, (ADA_LOT, HELD)),
        dispatched_record(2, 3, 4, 6, 7),
        settle_record(2, 1_000, 100),
        settle_record(3, 1_000, 0),
        settle_record(4, 1_000, 0),
        lapse_record(7),
    ]
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(1, records)))
    one.now += SUSPENSE_MICROS_MAX
    one.ledger.housekeep()
    one.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(13, [lapse_record(6, at=one.now)])))
    one.connection.rollback()
    return one


def told(books, call_id):
    """The story of a call that there is."""
    story = call_story(books.connection, call_id)
    assert story is not None
    return story


def kinds(books):
    verified = verify(books.connection, books.now)
    books.connection.rollback()
    return {one.kind for one in verified.differences}


def test_it_finds_nothing_in_sound_books(books):
    seen = []
    verified = verify(books.connection, books.now, lambda done, total: seen.append((done, total)))
    assert verified.differences == []
    assert verified.holds
    assert verified.counts["settlements"] == 4
    assert verified.counts["holds"] == 2
    assert verified.counts["lots"] == 5
    assert verified.head_hash.hex() == books.ledger.status().values["head"]
    assert seen[-1] == (verified.counts["rows"], verified.counts["rows"])


TAMPERED = {
    "a charge": ("UPDATE settlements SET charge_nanos = charge_nanos - 1 WHERE ledger_seq = (SELECT min(ledger_seq) FROM settlements)", "columns"),
    "one byte of a record": ("UPDATE settlements SET record = CAST(substr(record, 1, 40) || x'07' || substr(record, 42) AS BLOB) WHERE charge_nanos = 4500000", "root"),
    "a record made shorter": ("UPDATE settlements SET record = substr(record, 1, 60) WHERE charge_nanos = 4500000", "record"),
    "whose call it was": ("UPDATE settlements SET wallet_id = 2 WHERE charge_nanos = 4500000", "columns"),
    "the list of a wallet": ("UPDATE settlements SET previous_seq = 3 WHERE charge_nanos = 4500000", "list"),
    "the cycle": ("UPDATE settlements SET cycle = 202512 WHERE charge_nanos = 4500000", "cycle"),
    "the outcome": ("UPDATE settlements SET outcome = 2 WHERE charge_nanos = 4500000", "columns"),
    "a settlement taken out": ("DELETE FROM settlements WHERE charge_nanos = 4500000", "missing"),
    "a settlement slipped in": ("INSERT INTO settlements SELECT 9999, 77, wallet_id, api_key_id, admitted_at, cycle, charge_nanos, outcome, previous_seq, record FROM settlements WHERE charge_nanos = 4500000", "orphan"),
    "a posting": ("UPDATE postings SET nanos = nanos + 5 WHERE nanos > 0 AND account = 'suspense'", "balance"),
    "both legs of a posting": ("UPDATE postings SET nanos = nanos * 2 WHERE account IN ('suspense', 'available') AND ledger_seq > 20", "lot"),
    "an entry's date": ("UPDATE entries SET effective_at = effective_at + 1 WHERE kind = 'grant'", "root"),
    "an entry taken out": ("DELETE FROM entries WHERE kind = 'vest'", "missing"),
    "postings taken out": ("DELETE FROM postings WHERE account = 'suspense'", "balance"),
    "a lot's amount": ("UPDATE lots SET amount_nanos = amount_nanos + 1 WHERE id = 1", "grant"),
    "a lot's expiry": ("UPDATE lots SET expires_at = 1767600000000001 WHERE id = 1", "fact"),
    "a lot made to expire before its calls": ("UPDATE lots SET effective_at = 1, expires_at = 2 WHERE id = 1", "eligible"),
    "a grant": ("UPDATE grants SET amount_nanos = amount_nanos + 1 WHERE id = 1", "fact"),
    "a fact taken out": ("DELETE FROM facts WHERE noun = 'grants'", "fact"),
    "a rate card's price": ("UPDATE rate_cards SET canonical_json = CAST(replace(canonical_json, '15000000000000', '14000000000000') AS BLOB)", "card"),
    "a command's answer": ("UPDATE commands SET result_json = '{}' WHERE name = 'grant.create'", "root"),
    "a command taken out": ("DELETE FROM commands WHERE name = 'card.create'", "missing"),
    "what a lot spent": ("UPDATE lot_values SET spent_nanos = spent_nanos - 1 WHERE lot_id = 1", "lot"),
    "what a lot holds": ("UPDATE lot_values SET held_nanos = 0 WHERE lot_id = 1", "lot"),
    "what is in suspense": ("UPDATE lot_values SET suspense_nanos = 0 WHERE lot_id = 1", "lot"),
    "a lot overdrawn": ("UPDATE lot_values SET spent_nanos = 41000000000 WHERE lot_id = 1", "conservation"),
    "what the company carried": ("UPDATE lot_values SET spent_nanos = 5 WHERE lot_id = 0", "lot"),
    "at which worker it did": ("INSERT INTO overage_uses VALUES (2, 1, 5)", "overage"),
    "a wallet's newest call": ("UPDATE wallet_values SET last_seq = 0 WHERE wallet_id = 1", "wallet"),
    "a wallet's calls": ("UPDATE wallet_values SET call_count = 9 WHERE wallet_id = 1", "wallet"),
    "a hold taken out": ("DELETE FROM holds WHERE state = 'held'", "lot"),
    "suspense taken out": ("DELETE FROM holds WHERE state = 'suspense'", "suspense"),
    "suspense called held": ("UPDATE holds SET state = 'held', lapsed_at = NULL WHERE state = 'suspense'", "hold"),
    "a hold's slices": ("UPDATE holds SET record = CAST(substr(record, 1, 112) || x'01' || substr(record, 114) AS BLOB) WHERE state = 'held'", "lot"),
    "a pool's draw": ("UPDATE pool_draws SET nanos = nanos + 1", "pool_draw"),
    "a later attempt": ("DELETE FROM attempts", "attempt"),
    "a client's id": ("UPDATE client_calls SET client_call_id = 'nightly-43'", "client_call"),
    "a name": ("DELETE FROM names", "name"),
    "a batch's root": ("UPDATE batches SET root = zeroblob(32) WHERE number = 3", "root"),
    "a batch's hash": ("UPDATE batches SET hash = zeroblob(32) WHERE number = 3", "chain"),
    "a batch's date": ("UPDATE batches SET closed_at = closed_at + 1 WHERE number = 3", "chain"),
    "the last batch": ("DELETE FROM batches WHERE number = (SELECT max(number) FROM batches)", "orphan"),
    "a batch in the middle": ("DELETE FROM batches WHERE number = 5", "batch"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_it_names_what_was_tampered_with(books, what):
    statement, kind = TAMPERED[what]
    permit_changes(books.connection)
    try:
        assert change(books.connection, statement) > 0, "the tampering itself did nothing"
        books.connection.commit()
        assert kind in kinds(books)
    finally:
        forbid_changes(books.connection)


@pytest.mark.parametrize("table", [str(table.name) for table in schema.APPEND_ONLY])
def test_it_refuses_to_change_or_delete_a_row_of_the_journal(books, table):
    column = schema.metadata.tables[table].c[0].name
    if not books.rows(f"SELECT 1 FROM {table} LIMIT 1"):
        assert trigger_count(books.connection, table) == (3 if Choice.postgresql else 2)
        return
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(IntegrityError, match="append-only"):
            change(books.connection, statement)
        books.connection.rollback()


def test_it_tells_a_calls_story_from_bound_to_chain_link(books):
    story = told(books, f"call_{call_number(START, 1, 2):032x}")
    first, second = story["attempts"]
    assert (first["state"], first["charge_nanos"], first["cycle"], first["usage_source"]) == (
        "settled",
        4_500_000,
        202601,
        "reported",
    )
    assert first["client_call_id"] == "nightly-42"
    assert [(one["lot_id"], one["nanos"]) for one in first["slices"]] == [(1, 10_000_000)]
    assert [(one["lot_id"], one["nanos"]) for one in first["returned"]] == [(1, 5_500_000)]
    assert {(one["account"], one["nanos"]) for one in first["postings"]} == {
        ("available", -4_500_000),
        ("spent", 4_500_000),
    }
    assert {one["meter"]: (one["count"], one["attos_per_unit"]) for one in first["rates"]} == {
        "input": (1_000, 3 * 10**12), "output": (100, 15 * 10**12),
    }  # fmt: skip
    assert first["bound"]["input_tokens_max"] == 416
    assert first["bound"]["computed_nanos"] == 416 * 6_000 + 100 * 15_000
    assert first["chain"]["proof_verified"]
    assert first["chain"]["batch"] > 1
    assert (second["attempt"], second["charge_nanos"]) == (2, 3_000_000)
    assert told(books, "nightly-42")["call"] == story["call"]
    assert call_story(books.connection, "call_" + "0" * 32) is None
    assert call_story(books.connection, "no such call") is None


def test_it_tells_the_story_of_what_is_being_checked_and_of_what_age_decided(books):
    waiting = told(books, f"call_{call_number(START, 1, 6):032x}")["attempts"][0]
    assert (waiting["state"], waiting["lapsed_at"]) == ("suspense", books.now)
    assert "chain" not in waiting
    decided = told(books, f"call_{call_number(START, 1, 7):032x}")["attempts"][0]
    assert (decided["state"], decided["usage_source"], decided["charge_nanos"]) == ("resolved", "estimated", 0)
    assert [one["account"] for one in decided["postings"]] == ["available", "suspense", "suspense", "available"]


def test_it_shows_a_broken_proof_as_broken(books):
    permit_changes(books.connection)
    change(books.connection, "UPDATE settlements SET cycle = 202512 WHERE charge_nanos = 4500000")
    story = told(books, f"call_{call_number(START, 1, 2):032x}")
    books.connection.commit()
    forbid_changes(books.connection)
    assert not story["attempts"][0]["chain"]["proof_verified"]
