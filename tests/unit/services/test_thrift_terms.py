"""What a plan lets the gateway do to save: in its file, in what it changes, and at the key that a worker spends by."""

import pytest

from tests.cast import CREDIT
from tests.desk import Desk, lot, wallet
from tests.firm import Firm
from tokenroll.services.leasing import lease_parts
from tokenroll.services.plan_files import PlanFileError, differences, read_plans
from tokenroll.services.protocol import Delta

THRIFTY = """\
[plans.thrifty]
kind = "stipend"
classification = "tool"
amount = "80"

[plans.thrifty.thrift]
cache_marking = true
cache_key = true
coalesce = true
break_loops = 5
cap_hints = true
"""
ALL: dict[str, int] = {"cache_marking": True, "cache_key": True, "coalesce": True, "break_loops": 5, "cap_hints": True}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plans.toml"
    path.write_text(THRIFTY)
    return path


def seen(thrift):
    return None if thrift is None else {name: getattr(thrift, name) for name in ALL}


def leased(firm, name="Ada"):
    firm.connection.rollback()
    (lease,) = lease_parts(firm.connection, 0, firm.now)
    return next(one for one in lease.wallets if one.name == name)


def test_a_file_says_it_and_a_change_is_told_by_its_name(file):
    firm = Firm()
    plans = read_plans(file)
    assert plans[0].arguments["terms"] == {"thrift": ALL}
    firm.do("plan.apply", plans=[dict(one.arguments) for one in plans])
    firm.connection.rollback()
    assert differences(firm.connection, plans)[0]["state"] == "same"
    file.write_text(THRIFTY.replace("break_loops = 5", "break_loops = 8").replace("coalesce = true\n", ""))
    assert differences(firm.connection, read_plans(file))[0]["changes"] == [
        {"field": "thrift.break_loops", "was": "5", "becomes": "8"},
        {"field": "thrift.coalesce", "was": "yes", "becomes": "-"},
    ]
    assert firm.reports.plan("thrifty")["terms"] == {
        "thrift.cache_marking": "yes", "thrift.cache_key": "yes", "thrift.coalesce": "yes", "thrift.break_loops": "5",
        "thrift.cap_hints": "yes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("break_loops = 5", "break_loops = 2"), ":10: plans.thrifty.thrift.break_loops must be a whole number from 3 to 100"),
        (("break_loops = 5", "break_loops = true"), ":10: plans.thrifty.thrift.break_loops must be a whole number"),
        (("cap_hints = true", 'cap_hints = "hold"'), ":11: plans.thrifty.thrift.cap_hints must be true or false"),
        (("coalesce", "merge"), ":9: plans.thrifty.thrift.merge is not known here; known are cache_marking, cache_key"),
    ],
)  # fmt: skip
def test_a_mistake_in_it_is_told_with_its_line(file, change, told):
    file.write_text(THRIFTY.replace(*change))
    with pytest.raises(PlanFileError) as found:
        read_plans(file)
    assert f"{file}{told}" in str(found.value)


def test_a_wallet_is_leased_with_the_thrift_of_its_newest_plan():
    firm = Firm()
    firm.hire("Ada")
    plan = {"name": "thrifty", "kind": "stipend", "classification": "tool", "amount_nanos": 10 * CREDIT}
    firm.do("plan.create", **plan, terms={"thrift": ALL})
    firm.do("grant.create", plan="thrifty", to="Ada")
    terms = leased(firm)
    assert {name: getattr(terms, name) for name in ALL} == ALL
    firm.do("plan.create", **plan)
    terms = leased(firm)
    assert (terms.cache_marking, terms.cache_key, terms.coalesce, terms.break_loops, terms.cap_hints) == (
        False, False, False, 0, False,
    )  # fmt: skip


def test_a_key_knows_what_its_plan_lets_be_done_and_nearly_every_key_nothing(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)))
    assert desk.key().thrift is None
    given: tuple[dict[str, int], ...] = (ALL, {"cap_hints": True}, {"break_loops": 3}, {})
    for number, terms in enumerate(given, 1):
        desk.spending.apply_delta(Delta(number, [wallet(**terms)], [], [], [], {}))
        expected: dict[str, int] = {**dict.fromkeys(ALL, 0), **terms}
        assert seen(desk.key().thrift) == (expected if terms else None)


def test_a_key_on_its_floor_has_the_same(tmp_path):
    desk = Desk(
        tmp_path,
        wallet(lot(1, CREDIT), floor_model="haiku", floor_pool_id=7, cache_key=True),
        wallet(lot(5, CREDIT), id=7, name="Floor"),
    )
    key = desk.key()
    assert key.floor is not None
    assert key.floor.thrift is key.thrift is not None
