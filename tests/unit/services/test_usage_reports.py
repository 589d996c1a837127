"""What calls consumed, told by day and by who: departments as they were, kinds of members, windows and tiers."""

import pytest
from sqlalchemy import select

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tokenroll.services import usage_reports
from tokenroll.services.usage_reports import Dimension, UsageQuestion
from tokenroll.store import schema

CHAT = frozenset({0})


@pytest.fixture
def firm():
    """Bo of Engineering calls on the second of January, moves to Finance on the third and calls then; the Nightly agent calls once."""
    one = Firm()
    one.do("ratecard.import", providers=["openai"], models=["gpt-5-mini"])
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.do("department.create", name="Finance")
    one.hire("Bo")
    one.do("member.create", name="Nightly agent", department="Engineering", zone="UTC", kind="service")
    for number, name in enumerate(("Bo", "Nightly agent"), 1):
        one.do("grant.create", to=name, plan="tools")
        one.do(
            "key.create", member=name, name="k", scope="inference", secret_hash=f"{number:064x}", shown_prefix="tr-…"
        )
    one.now = JANUARY + DAY + HOUR
    one.settle(one.hold("Bo", (one.lot_ids("Bo")[0], CREDIT), key=1), 3)
    one.now = JANUARY + 2 * DAY + HOUR
    one.do("member.change", member="Bo", department="Finance", on="2026-01-03")
    one.settle(one.hold("Bo", (one.lot_ids("Bo")[0], CREDIT), key=1), 4)
    one.settle(one.hold("Nightly agent", (one.lot_ids("Nightly agent")[0], CREDIT), key=2), 5)
    one.connection.rollback()
    return one


def told(firm, *groups, only=None, width=86_400, dialects=CHAT):
    """By bucket: what each group was charged."""
    question = UsageQuestion(
        from_at=JANUARY + DAY, until=JANUARY + 3 * DAY, width_seconds=width, dialects=dialects, group_by=groups,
        only=only or {},
    )  # fmt: skip
    buckets = firm.reports.usage(question).buckets()
    return [{group: one.charge_nanos for group, one in bucket.groups} for bucket in buckets]


def named(firm, noun, name):
    return firm.connection.scalar(select(schema.metadata.tables[noun].c.public_id).filter_by(name=name))


@pytest.mark.parametrize("rolled", [False, True])
def test_a_department_is_that_of_the_day(firm, rolled):
    engineering, finance = (named(firm, "departments", name) for name in ("Engineering", "Finance"))
    if rolled:
        firm.ledger.roll_up_usage()
    assert told(firm, Dimension.DEPARTMENT) == [{(engineering,): 3}, {(finance,): 4, (engineering,): 5}]
    assert told(firm, only={Dimension.DEPARTMENT: frozenset({finance})}) == [{}, {(): 4}]


def test_people_and_service_accounts_are_told_apart(firm):
    bo, agent = (named(firm, "members", name) for name in ("Bo", "Nightly agent"))
    assert told(firm, Dimension.PERSON, Dimension.SERVICE) == [{(bo, None): 3}, {(None, agent): 5, (bo, None): 4}]
    assert told(firm, Dimension.MEMBER) == [{(bo,): 3}, {(bo,): 4, (agent,): 5}]


def test_a_key_that_is_not_there_hides_no_charge(firm):
    firm.settle(firm.hold("Bo", (firm.lot_ids("Bo")[0], CREDIT), key=99), 6)
    assert sum(sum(one.values()) for one in told(firm)) == 18
    assert told(firm, Dimension.KEY)[1][None,] == 6


def test_other_endpoints_are_left_out(firm):
    assert told(firm, dialects=frozenset({1, 2})) == [{}, {}]


def test_what_the_ledger_is_behind_by_is_said(firm, monkeypatch):
    """A report adds no more settlements itself than its limit, and names the last row that it holds."""
    question = UsageQuestion(from_at=JANUARY, until=JANUARY + 3 * DAY, width_seconds=86_400, dialects=CHAT)
    whole = firm.reports.usage(question).through_seq
    monkeypatch.setattr(usage_reports, "REPORT_TAIL_SETTLEMENTS_MAX", 1)
    assert sum(sum(one.values()) for one in told(firm)) == 3
    assert firm.reports.usage(question).through_seq < whole
    firm.ledger.roll_up_usage()
    assert sum(sum(one.values()) for one in told(firm)) == 12
    assert firm.reports.usage(question).through_seq == whole
