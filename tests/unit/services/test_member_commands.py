"""What a person changes of one member at a time, each field with its day."""

import pytest

from tests.firm import DAY, JANUARY, Firm


@pytest.fixture
def firm():
    one = Firm(JANUARY + 14 * DAY)
    for name in ("Ada", "Bo"):
        one.hire(name)
    return one


def test_it_changes_what_is_given_and_keeps_each_change_with_its_day(firm):
    done = firm.do("member.change", member="Ada", level="L4", manager="Bo", part_time="4/5", on="2026-01-10")
    assert done["changes"] == [
        {"field": "level", "was": None, "becomes": "L4"},
        {"field": "manager", "was": None, "becomes": "Bo"},
        {"field": "working_time_millionths", "was": None, "becomes": "0.8"},
    ]
    firm.do("member.change", member="Ada", level="L5", employment_type="contractor", employee_id="17", name="Ada L.")
    ada = firm.reports.member("Ada L.")
    assert (ada["level"], ada["manager"], ada["employment_type"], ada["employee_id"]) == (
        "L5",
        "Bo",
        "contractor",
        "17",
    )
    assert [one["effective_on"] for one in ada["changes"] if one["field"] == "level"] == ["2026-01-15", "2026-01-10"]
    firm.do("member.change", member="Ada L.", level="", manager="", part_time="")
    ada = firm.reports.member("Ada L.")
    assert (ada["level"], ada["manager"], ada["part_time"]) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"level": ""}, "same", "Ada is so already"),
        ({"name": "Bo"}, "taken", "there is a member 'Bo' already"),
        ({"manager": "Ada"}, "invalid", "Ada cannot be their own manager"),
        ({"manager": "Eve"}, "not_found", "there is no member 'Eve'"),
        ({"department": "Sales"}, "not_found", "there is no department 'Sales'"),
        ({"employment_type": "friend"}, "invalid", "'friend' is not a valid EmploymentType"),
        ({"zone": "Mars"}, "zone", "'Mars' is not an IANA time zone"),
        ({"part_time": "2"}, "invalid", "must lie above 0 and at most at 1"),
        ({"level": "L4", "on": "2026-01-16"}, "argument", "is still to come"),
        ({"employee_id": "18"}, "taken", "the id '18' is Bo's"),
    ],
)
def test_it_refuses_in_words_that_say_what_to_do(firm, arguments, kind, says):
    firm.do("member.change", member="Bo", employee_id="18")
    reply = firm.ask("member.change", member="Ada", **arguments)
    assert (reply.problem_kind, says in reply.problem) == (kind, True), reply.problem
    assert firm.reports.member("Ada")["changes"] == []


def test_nobody_is_above_themselves(firm):
    firm.do("member.change", member="Ada", manager="Bo")
    assert firm.ask("member.change", member="Bo", manager="Ada").problem_kind == "loop"


def test_a_suspended_member_has_no_keys_until_they_are_back_and_then_new_ones(firm):
    for secret in ("11", "22"):
        firm.do("key.create", member="Ada", name=secret, secret_hash=secret * 32, shown_prefix="tr-1")
    assert firm.do("member.suspend", member="Ada")["revoked_key_count"] == 2
    assert firm.reports.member("Ada")["state"] == "suspended"
    assert firm.ask("member.suspend", member="Ada").problem_kind == "already_suspended"
    asked = {"member": "Ada", "name": "new", "secret_hash": "33" * 32, "shown_prefix": "tr-3"}
    assert firm.ask("key.create", **asked).problem_kind == "suspended"
    firm.do("member.resume", member="Ada")
    assert firm.ask("member.resume", member="Ada").problem_kind == "not_suspended"
    assert firm.do("key.create", **asked)["name"] == "new"
    assert [one["state"] for one in firm.reports.keys("Ada")] == ["live", "revoked", "revoked"]


def test_a_move_takes_ones_keys_to_the_new_departments_pool(firm):
    firm.do("department.create", name="Finance")
    pool = firm.do("pool.create", name="Finance pool", department="Finance")
    firm.do("key.create", member="Ada", name="k", secret_hash="11" * 32, shown_prefix="tr-1")
    firm.ledger.take_deltas()
    firm.do("member.change", member="Ada", department="Finance")
    (delta,) = firm.ledger.take_deltas()
    assert [one.pool_wallet_id for one in delta.keys] == [firm.wallet_id(pool["name"])]
