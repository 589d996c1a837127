"""What was on record at an instant, asked later: the same as was seen then, without anything that sweeps or remembers."""

import pytest

from tests.firm import CREDIT, DAY, FEBRUARY, JANUARY, MARCH, Firm
from tests.ledger_kit import (
    HOUR,
    NIGHTLY,
    POOL_LOT,
    Ack,
    Kit,
    Report,
    dispatched_record,
    hold_record,
    lapse_record,
    pack_block,
)
from tokenroll.services.refusal import Refused
from tokenroll.services.reporting import Reports

SEEN = (
    "left_nanos", "being_checked_nanos", "spent_nanos", "expired_nanos", "unvested_nanos", "granted_nanos", "received_nanos",
    "passed_on_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos",
)  # fmt: skip


def seen(firm: Firm, name: str) -> dict[str, int]:
    """The amounts now; what is in use counts as left, because it is on no record yet."""
    found = firm.reports.wallet(name)
    return {one: found[one] + (found["in_use_nanos"] if one == "left_nanos" else 0) for one in SEEN}


def on_record(firm: Firm, name: str, at: int) -> dict[str, int]:
    found = firm.reports.wallet_as_of(name, at)
    assert found["in_use_nanos"] == 0
    return {one: found[one] for one in SEEN}


def test_every_moment_of_a_story_can_be_asked_for_later():
    """Grants, calls, a pool, suspense, a transfer, a void, an expiry: each state is asked for again at the end."""
    firm = Firm()
    for name in ("Ada", "Bo"):
        firm.hire(name)
    firm.do("pool.create", name="Engineering pool", department="Engineering")
    terms = {"transferable": True}
    firm.do(
        "plan.create", name="pay", kind="signing_bonus", classification="compensation", amount_nanos=50 * CREDIT, terms=terms,
        lifetime="1m",
    )  # fmt: skip
    names = ("Ada", "Bo", "Engineering pool")
    moments: list[tuple[int, dict[str, dict[str, int]]]] = []

    def pause(days: int) -> None:
        moments.append((firm.now, {name: seen(firm, name) for name in names}))
        firm.now += days * DAY

    pause(1)
    firm.do("grant.create", to="Ada", plan="pay")
    firm.do("grant.create", to="Engineering pool", plan="pay")
    pause(1)
    own, pool = firm.lot_ids("Ada")[0], firm.lot_ids("Engineering pool")[0]
    firm.call("Ada", own, 3 * CREDIT)
    pause(1)
    firm.settle(firm.hold("Ada", (own, CREDIT), (pool, 8 * CREDIT)), 6 * CREDIT)
    pause(1)
    doubtful = firm.hold("Ada", (own, 2 * CREDIT), (pool, 2 * CREDIT))
    pause(1)
    firm.lapse(doubtful)
    pause(1)
    firm.do("wallet.transfer", **{"from": "Ada", "to": "Bo", "amount_nanos": 10 * CREDIT})
    pause(1)
    grant = firm.reports.grants("Ada")[0]["grant"]
    firm.do("grant.void", grant=grant, reason="an error")
    pause(1)
    pause(30)
    firm.do("grant.create", to="Bo", plan="pay")
    pause(1)
    for at, then in moments:
        for name in names:
            assert on_record(firm, name, at) == then[name], (name, at)


def test_an_expiry_needs_nobody_to_have_swept():
    """10 expire on 15 January and 15 on 1 February; 5 and then 10 are used: 5 of the first and 5 of the second expire."""
    firm = Firm()
    firm.hire("Ada")
    for nanos, lifetime in ((10 * CREDIT, "14d"), (15 * CREDIT, "31d")):
        firm.do(
            "plan.create", name=lifetime, kind="stipend", classification="tool", amount_nanos=nanos, lifetime=lifetime
        )
        firm.do("grant.create", to="Ada", plan=lifetime)
    first, second = firm.lot_ids("Ada")
    firm.now = JANUARY + 2 * DAY
    firm.call("Ada", first, 5 * CREDIT, bound=8 * CREDIT)
    firm.now = JANUARY + 20 * DAY
    firm.call("Ada", second, 10 * CREDIT, bound=12 * CREDIT)
    firm.now = MARCH
    expired = {
        at: firm.reports.wallet_as_of("Ada", at)["expired_nanos"]
        for at in (JANUARY + 14 * DAY - 1, JANUARY + 14 * DAY, FEBRUARY - 1, FEBRUARY)
    }
    assert list(expired.values()) == [0, 5 * CREDIT, 5 * CREDIT, 10 * CREDIT]
    assert firm.reports.wallet_as_of("Ada", JANUARY + 19 * DAY)["left_nanos"] == 15 * CREDIT


def test_what_is_to_come_is_on_no_record():
    firm = Firm()
    firm.hire("Ada")
    with pytest.raises(Refused, match="2026-01-02T00:00:00Z is to come"):
        firm.reports.wallet_as_of("Ada", JANUARY + DAY)
    assert on_record(firm, "Ada", JANUARY - DAY) == dict.fromkeys(SEEN, 0)


def test_what_was_being_checked_then_is_on_record_as_that_after_its_end_too():
    """A call of 10 credits of the pool's lot is in suspense; the evidence decides that it cost nothing."""
    kit = Kit()
    hold = hold_record(1, (POOL_LOT, 10 * CREDIT), wallet=NIGHTLY)
    for first, records in ((1, [hold, dispatched_record(1)]), (3, [lapse_record(1)])):
        block = pack_block(first, records)
        assert isinstance(kit.ledger.report(Report(worker=0, epoch=kit.epoch, blocks=block)), Ack)
    then = kit.now
    kit.now += 73 * HOUR
    kit.ledger.housekeep()
    kit.connection.rollback()
    reports = Reports(kit.connection, kit.now)
    now, before = reports.wallet("Engineering pool"), reports.wallet_as_of("Engineering pool", then)
    spent = now["spent_nanos"]
    assert (now["being_checked_nanos"], now["left_nanos"]) == (0, 20 * CREDIT - spent)
    assert (before["being_checked_nanos"], before["left_nanos"], before["spent_nanos"]) == (10 * CREDIT, 10 * CREDIT, 0)
