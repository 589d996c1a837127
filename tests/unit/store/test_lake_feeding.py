"""What the ledger settled is in the lake once, as whose it was at the time, to the nano."""

import itertools

import pytest

from tests.firm import COUNTS, CREDIT, DAY, HOUR, JANUARY, Firm
from tests.lake_kit import FailingDisk, Stopped, columns, told
from tokenroll.model.usage_event import GATEWAY
from tokenroll.services.lake_feeding import feed_slice, waiting_count
from tokenroll.store import tape
from tokenroll.store.attempt_record import SettleRecord, pack_settle
from tokenroll.store.lake import open_lake
from tokenroll.store.lake_manifest import LakeError
from tokenroll.store.tape import HOLD_PERSONAL, RecordType, TapeSource, pack_name

NAMES = {2: "claude-sonnet", 3: "openai-main", 4: "draft,project=atlas,cost-centre=R7,session=s-1,outcome=ticket-9"}


@pytest.fixture
def firm():
    """Bo of Engineering calls, moves to Finance and calls again; a call of the Nightly agent fails; one is personal."""
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.do("department.create", name="Finance", cost_centre="F1")
    one.hire("Bo")
    one.do("member.create", name="Nightly agent", department="Engineering", zone="UTC", kind="service")
    for number, name in enumerate(("Bo", "Nightly agent"), 1):
        one.do("grant.create", to=name, plan="tools")
        one.do(
            "key.create", member=name, name="k", scope="inference", secret_hash=f"{number:064x}", shown_prefix="tr-…"
        )
    one._report([pack_name(number, text) for number, text in NAMES.items()])
    one.now = JANUARY + DAY + HOUR
    one.settle(one.hold("Bo", (one.lot_ids("Bo")[0], CREDIT), key=1), 3)
    one.now = JANUARY + 2 * DAY + HOUR
    one.do("member.change", member="Bo", department="Finance", on="2026-01-03")
    one.settle(one.hold("Bo", (one.lot_ids("Bo")[0], CREDIT), key=1, flags=HOLD_PERSONAL), 4)
    one.release(one.hold("Nightly agent", (one.lot_ids("Nightly agent")[0], CREDIT), key=2))
    named_call(one)
    one.connection.rollback()
    return one


def named_call(firm, tags_name=4):
    """The Nightly agent's call with tags, a deployment, and a model that answered for another; its usage is an estimate."""
    sequence, lot = firm._sequence, firm.lot_ids("Nightly agent")[0]
    number = (firm.now // 1000 << 80) | (firm._epoch << 48) | sequence
    length = tape.HOLD.size + tape.SLICE.size
    head = tape.HOLD.pack(
        RecordType.HOLD, 0, length, 2, 1, number.to_bytes(16, "big"), firm.wallet_id("Nightly agent"), 2, 1, firm.now, CREDIT, 0, 1, 3,
        tags_name, 0, 100, 400, 1, 0,
    )  # fmt: skip
    firm._report([head + tape.SLICE.pack(lot, CREDIT)])
    sent = tape.DISPATCHED_HEAD.pack(RecordType.DISPATCHED, 0, tape.DISPATCHED_HEAD.size + 8, firm.now)
    firm._report([sent + sequence.to_bytes(8, "little")])
    settle = SettleRecord(
        firm.now + 9, firm.now + 5, 70, 60, 50, 200, TapeSource.ESTIMATED, 2, "batch", 0, 200, 2, 0, COUNTS
    )
    firm._report([pack_settle(sequence, settle)])


def fed(firm, home, limit=2, disk=None):
    """Everything taken in, in slices of so many."""
    firm.connection.rollback()
    with open_lake(home, disk) as lake:
        while feed_slice(firm.connection, lake, limit).event_count:
            pass
        lake.roll_up()
        return lake


def rows(home):
    names = columns(home, "usage")
    return sorted(
        (dict(zip(names, row, strict=True)) for row in told(home)),
        key=lambda row: (row["admitted_at"], row["event_id"]),
    )


def test_each_event_says_whose_it_was_then_and_what_became_of_it(firm, tmp_path):
    fed(firm, tmp_path)
    first, *others = rows(tmp_path)
    assert (first["member"], first["department"], first["charge_nanos"], first["purpose"], first["status"], first["finish"]) == (
        "Bo", "Engineering", 3, "work", "ok", "complete",
    )  # fmt: skip
    assert (first["provider"], first["model"], first["input_tokens"], first["cache_read_tokens"], first["output_tokens"]) == (
        "openai", "gpt-5-mini", 1_000, None, 50,
    )  # fmt: skip
    by_charge = {row["charge_nanos"]: row for row in others}
    moved, failed, named = by_charge[4], by_charge[0], by_charge[70]
    assert (moved["department"], moved["cost_centre"], moved["purpose"]) == ("Finance", "F1", "personal")
    assert (failed["member"], failed["status"], failed["finish"], failed["input_tokens"], failed["list_cost_nanos"]) == (
        "Nightly agent", "provider_error", "worker_died", None, 0,
    )  # fmt: skip
    assert {
        name: named[name]
        for name in ("requested_model", "answered_model", "model", "deployment", "cost_centre", "project", "session", "outcome", "attempt", "service_tier", "usage_source", "hold_max_nanos", "list_cost_nanos", "net_cost_nanos", "first_byte_at", "ended_at")
    } == {
        "requested_model": "gpt-5-mini", "answered_model": "claude-sonnet", "model": "claude-sonnet", "deployment": "openai-main",
        "cost_centre": "R7", "project": "atlas", "session": "s-1", "outcome": "ticket-9", "attempt": 2, "service_tier": "batch",
        "usage_source": "estimated", "hold_max_nanos": CREDIT, "list_cost_nanos": 60, "net_cost_nanos": 50,
        "first_byte_at": firm.now + 5, "ended_at": firm.now + 9,
    }  # fmt: skip
    assert named["tags"] == ["draft", "project=atlas", "cost-centre=R7", "session=s-1", "outcome=ticket-9"]
    assert named["event_id"] == f"{named['call_id']}:2"


def test_the_sums_of_the_lake_are_those_of_the_ledger(firm, tmp_path):
    lake = fed(firm, tmp_path)
    calls, charge = firm.connection.exec_driver_sql("SELECT count(*), sum(charge_nanos) FROM settlements").one()
    found = rows(tmp_path)
    assert (len(found), sum(row["charge_nanos"] for row in found)) == (calls, charge) == (4, 77)
    assert lake.marks == {
        GATEWAY: firm.connection.exec_driver_sql("SELECT max(ledger_seq) FROM settlements").scalar_one()
    }
    assert waiting_count(firm.connection, lake) == 0


def test_what_is_settled_later_comes_in_alone(firm, tmp_path):
    fed(firm, tmp_path)
    before = {row["event_id"] for row in rows(tmp_path)}
    firm.call("Bo", firm.lot_ids("Bo")[0], 11)
    with open_lake(tmp_path) as lake:
        assert waiting_count(firm.connection, lake) > 0
        assert feed_slice(firm.connection, lake).event_count == 1
        assert feed_slice(firm.connection, lake).event_count == 0
    assert [row["charge_nanos"] for row in rows(tmp_path) if row["event_id"] not in before] == [11]


def test_whoever_is_stopped_at_any_step_and_feeds_again_has_each_event_once(firm, tmp_path):
    fed(firm, tmp_path / "whole")
    wanted = rows(tmp_path / "whole")
    for steps in itertools.count(0, 3):
        home = tmp_path / str(steps)
        try:
            fed(firm, home, disk=FailingDisk(steps))
        except Stopped:
            fed(firm, home)
            assert rows(home) == wanted, steps
        else:
            break
    assert steps > 15


def test_tags_beyond_what_an_event_may_have_are_the_free_ones(firm, tmp_path):
    firm._report([pack_name(5, ",".join([f"t{number}" for number in range(17)] + ["project=atlas"]))])
    named_call(firm, tags_name=5)
    fed(firm, tmp_path)
    most = max(rows(tmp_path), key=lambda row: len(row["tags"]))
    assert (len(most["tags"]), most["tags"][0], most["project"]) == (16, "t0", "atlas")


def test_an_older_copy_of_the_ledger_is_refused(firm, tmp_path):
    fed(firm, tmp_path)
    younger = Firm()
    with open_lake(tmp_path) as lake, pytest.raises(LakeError, match="it is another one, or an older copy"):
        feed_slice(younger.connection, lake)


def test_a_mark_that_is_no_sequence_is_refused(firm, tmp_path):
    with open_lake(tmp_path) as lake:
        lake.append([], {GATEWAY: "yesterday"})
        with pytest.raises(LakeError, match="the lake's mark of gateway is 'yesterday'"):
            feed_slice(firm.connection, lake)
