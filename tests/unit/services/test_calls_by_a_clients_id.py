"""A client's own id may be that of several keys: then each call is asked for by ours, and whoever sees one of them sees that one."""

import pytest
from sqlalchemy import insert, select

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tokenroll.services.refusal import Refused
from tokenroll.store import schema

NIGHT = "job-1"


@pytest.fixture
def firm():
    """Ada's call at one and Bo's at two, both `job-1` to their clients."""
    one = Firm()
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    for name in ("Ada", "Bo"):
        one.hire(name)
        one.do("grant.create", to=name, plan="tools")
    one.now = JANUARY + DAY
    for key, (name, at) in enumerate((("Ada", JANUARY + HOUR), ("Bo", JANUARY + 2 * HOUR)), 1):
        one.call(name, one.lot_ids(name)[0], CREDIT, at=at)
        last = one.connection.scalar(
            select(schema.settlements.c.hold_key).order_by(schema.settlements.c.ledger_seq.desc())
        )
        one.connection.execute(insert(schema.client_calls).values(api_key_id=key, client_call_id=NIGHT, hold_key=last))
        one.connection.commit()
    return one


def ours(firm, name):
    return firm.reports.calls(name)[0]["call"]


def test_two_calls_of_one_id_are_named_with_member_and_time(firm):
    with pytest.raises(Refused) as caught:
        firm.reports.call(NIGHT)
    assert caught.value.kind == "ambiguous"
    assert caught.value.message == (
        "2 calls have the id 'job-1', each of a key of its own: ask for one by ours: "
        f"{ours(firm, 'Bo')} (Bo, 2026-01-01T02:00:00Z), {ours(firm, 'Ada')} (Ada, 2026-01-01T01:00:00Z)"
    )
    assert firm.reports.call(ours(firm, "Bo"))["attempts"][0]["wallet"]["name"] == "Bo"


def test_each_member_finds_their_own_of_two_and_hears_of_no_other(firm):
    assert firm.reports.call(NIGHT, of="Ada")["call"] == ours(firm, "Ada")
    assert firm.reports.call(NIGHT, of="Bo")["call"] == ours(firm, "Bo")
    with pytest.raises(Refused, match=r"^there is no call "):
        firm.reports.call(ours(firm, "Ada"), of="Bo")


def test_a_call_that_nobody_made_is_not_found(firm):
    with pytest.raises(Refused, match=r"^there is no call 'job-2'"):
        firm.reports.call("job-2")
