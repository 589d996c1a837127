"""Limits are made, told, overridden and removed by commands; their counters follow what tapes say."""

import pytest

from tests.firm import CREDIT, DAY, HOUR, JANUARY, Firm
from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    START,
    Kit,
    Report,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    release_record,
    settle_record,
)
from tokenroll.model.identifier import HoldKey
from tokenroll.services.ageing import SUSPENSE_MICROS_MAX
from tokenroll.services.hot_limits import HotLimits
from tokenroll.services.protocol import CounterChange, LimitTerms, View
from tokenroll.store import tape
from tokenroll.store.attempt_record import LimitRaise, hold_number, parse_record
from tokenroll.store.limit_counters import delete_old_counters
from tokenroll.store.tape import TapeRelease
from tokenroll.store.verify import verify

HELD = 10_000_000
COST = 4_500_000  # 1,000 model tokens in at 3,000 nanos, 100 out at 15,000


@pytest.fixture
def firm():
    one = Firm()
    one.do("company.set", name="A small firm", zone="Europe/Berlin")
    one.hire("Ada", zone="America/New_York")
    return one


def daily(firm, **changes):
    facts = {"name": "ada-daily", "member": "Ada", "window": "day", "cap": 20 * CREDIT}
    return firm.do("limit.create", **facts | changes)


def test_a_members_day_begins_at_the_members_midnight(firm):
    made = daily(firm)
    assert (made["zone"], made["cap"], made["scope"]) == ("America/New_York", "20.00 credits", "member")
    (told,) = firm.reports.limits()
    assert told["of"] == "the member Ada"
    assert told["turns_at"] == JANUARY + 5 * HOUR  # 2026-01-01T05:00Z is midnight in New York
    assert told["left"] == {"amount": "20.000000000", "unit": "credits"}


def test_the_companys_day_begins_at_the_companys_midnight(firm):
    daily(firm, name="all", member=None)
    (told,) = firm.reports.limits()
    assert (told["of"], told["turns_at"]) == ("the company", JANUARY + 23 * HOUR)


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"name": "ada-daily"}, "taken", "there is a limit 'ada-daily' already"),
        ({"member": "Bo"}, "not_found", "there is no member 'Bo'"),
        ({"department": "Engineering"}, "argument", "one scope, not department and member"),
        ({"window": "month"}, "invalid", "'month' is not a valid"),
        ({"window": "rolling"}, "invalid", "must last 60 to 31622400 seconds"),
        ({"cap": None}, "argument", "the cap is missing"),
        ({"cap": -1}, "invalid", "must be between 0 and"),
        ({"zone": "Mars"}, "zone", "'Mars' is not an IANA time zone"),
        ({"model": "gpt-9"}, "not_found", "the model 'gpt-9' has no rate card now"),
        ({"tag": "a,b"}, "argument", "without commas"),
        ({"expires_at": JANUARY, "effective_at": JANUARY - DAY}, "argument", "would be over before it is made"),
        ({"degrade": "overage"}, "invalid", "an overage above zero is named exactly when"),
    ],
)
def test_what_cannot_be_a_limit_is_refused_in_words(firm, changes, kind, says):
    daily(firm)
    reply = firm.ask("limit.create", **{"name": "x", "member": "Ada", "window": "day", "cap": 1} | changes)
    assert reply.problem_kind == kind
    assert says in reply.problem
    assert len(firm.reports.limits()) == 1


def test_a_scope_has_sixteen_limits_and_no_more(firm):
    for number in range(16):
        daily(firm, name=f"ada-{number}")
    reply = firm.ask("limit.create", name="one more", member="Ada", window="day", cap=1)
    assert "this member has 16 limits already" in reply.problem
    daily(firm, name="everybody", member=None)


def test_an_override_is_over_by_its_date(firm):
    daily(firm)
    made = firm.do("limit.override", limit="ada-daily", cap=50 * CREDIT, until=JANUARY + 2 * DAY)
    assert (made["cap"], made["own_cap"]) == ("50.00 credits", "20.00 credits")
    seen = []
    for days in (0, 1, 2):
        firm.now = JANUARY + days * DAY
        told = firm.reports.limit("ada-daily")
        seen.append((told["cap"]["amount"], told["is_overridden"], len(told["overrides"])))
    assert seen == [("50.000000000", True, 1), ("50.000000000", True, 1), ("20.000000000", False, 0)]
    reply = firm.ask("limit.override", limit="ada-daily", cap=1, effective_at=JANUARY, until=JANUARY + DAY)
    assert "would be over already" in reply.problem


def test_a_removed_limit_is_gone_and_its_name_is_free(firm):
    first = daily(firm)
    firm.do("limit.remove", limit="ada-daily")
    assert firm.reports.limits() == []
    assert firm.ask("limit.remove", limit="ada-daily").problem_kind == "not_found"
    assert firm.ask("limit.remove", limit=first["limit"]).problem_kind == "removed"
    assert daily(firm)["limit"] != first["limit"]


# ---- counters -----------------------------------------------------------------------------------------------------


DAY_START = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z
CREDITS, CALLS, TOKENS = 0, 1, 2


def raises(limit_id=1, flags=0):
    return (
        LimitRaise(limit_id, CREDITS, flags, DAY_START, HELD),
        LimitRaise(2, CALLS, 0, DAY_START, 1),
        LimitRaise(3, TOKENS, 0, START, 2_000),
    )


@pytest.fixture
def one():
    kit = Kit()
    kit.do("limit.create", "l1", name="ada-daily", member="Ada", window="day", cap=20 * CREDIT)
    kit.do("limit.create", "l2", name="ada-calls", member="Ada", window="day", cap=100, measure="calls")
    kit.do(
        "limit.create", "l3", name="tokens", window="rolling", window_seconds=3_600, cap=10**6, measure="model_tokens"
    )
    return kit


def told(kit, first, *records):
    return kit.ledger.report(Report(worker=0, epoch=1, blocks=pack_block(first, list(records))))


def counters(kit):
    return kit.rows("SELECT limit_id, start_at, used, call_count, would_deny_count, overage_count FROM limit_counters")


def sound(kit):
    kit.connection.rollback()
    found = verify(kit.connection, kit.now)
    kit.connection.rollback()
    assert found.differences == []
    return found.counts["limit_counters"]


def test_a_hold_says_on_the_tape_which_limits_it_raised():
    hold = parse_record(hold_record(9, (ADA_LOT, HELD), raises=raises())).hold
    assert hold.raises == raises()
    assert hold.slices == ((ADA_LOT, HELD),)
    assert parse_record(hold_record(9, (ADA_LOT, HELD))).hold.raises == ()


def test_an_open_call_counts_its_bound_and_an_ended_one_what_it_cost(one):
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises(flags=tape.RAISE_WOULD_DENY)), dispatched_record(1))
    assert counters(one) == [(1, DAY_START, HELD, 0, 1, 0), (2, DAY_START, 1, 0, 0, 0), (3, START, 2_000, 0, 0, 0)]
    assert sound(one) == 3
    told(one, 3, settle_record(1, 1_000, 100))
    assert counters(one) == [(1, DAY_START, COST, 1, 1, 0), (2, DAY_START, 1, 1, 0, 0), (3, START, 1_100, 1, 0, 0)]
    assert sound(one) == 3
    assert one.lot(ADA_LOT) == (0, 0, COST)


def test_a_call_that_begins_and_ends_in_one_report_counts_the_same(one):
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises()), dispatched_record(1), settle_record(1, 1_000, 100))
    assert counters(one) == [(1, DAY_START, COST, 1, 0, 0), (2, DAY_START, 1, 1, 0, 0), (3, START, 1_100, 1, 0, 0)]
    sound(one)


def test_a_released_call_counts_nothing(one):
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises()), release_record(1, TapeRelease.NOT_SENT))
    assert counters(one) == [(1, DAY_START, 0, 0, 0, 0), (2, DAY_START, 0, 0, 0, 0), (3, START, 0, 0, 0, 0)]
    sound(one)


FIRST_HOLD = (1 << 40) + 1
"""Worker 0, its first life, its first record."""


def test_a_lapsed_call_stays_raised_until_it_is_resolved_and_the_worker_is_told(one):
    told(
        one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises()), dispatched_record(1), evidence_record(1, 100, 0),
        lapse_record(1),
    )  # fmt: skip
    assert counters(one)[0] == (1, DAY_START, HELD, 0, 0, 0)
    sound(one)
    one.ledger.take_deltas()
    one.now += SUSPENSE_MICROS_MAX
    one.ledger.housekeep()
    # the evidence decides: 100 model tokens in at 3,000 nanos
    assert counters(one)[0] == (1, DAY_START, 300_000, 1, 0, 0)
    (delta,) = one.ledger.take_deltas()
    assert delta.counters == [
        CounterChange(1, DAY_START, 300_000 - HELD, FIRST_HOLD),
        CounterChange(2, DAY_START, 0, FIRST_HOLD),
        CounterChange(3, START, 100 - 2_000, FIRST_HOLD),
    ]
    sound(one)


def test_a_new_life_of_a_worker_hears_the_limits_and_how_far_they_are_used(one):
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises()), dispatched_record(1), settle_record(1, 1_000, 100))
    one.new_life()
    limits = [terms for part in one.lease if isinstance(part, View) for terms in part.limits]
    assert [(terms.name, terms.counters) for terms in limits] == [
        ("ada-daily", [(DAY_START, COST)]), ("ada-calls", [(DAY_START, 1)]), ("tokens", [(START, 1_100)]),
    ]  # fmt: skip
    assert limits[0].scope_text == "the member Ada"
    assert limits[0].subject_id == ADA


def test_parts_of_rolling_windows_are_kept_a_month_after_they_have_left(one):
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises()), dispatched_record(1), settle_record(1, 1_000, 100))
    one.now = START + HOUR + 31 * DAY
    assert delete_old_counters(one.connection, one.now) == 0
    one.now += 1
    assert delete_old_counters(one.connection, one.now) == 1
    assert [row[0] for row in counters(one)] == [1, 2]
    assert sound(one) == 2
    told(one, 4, hold_record(4, (ADA_LOT, HELD), raises=raises()), dispatched_record(4), settle_record(4, 1_000, 100))
    sound(one)  # a tape that comes as late as that is counted, and is no difference


def test_minutes_are_kept_a_month_and_a_day_for_ever(one):
    one.do("limit.create", "l4", name="minute", window="minute", cap=10, measure="calls")
    minute = LimitRaise(4, CALLS, 0, START, 1)
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=(minute,)), dispatched_record(1), settle_record(1, 1_000, 100))
    one.now = START + 31 * DAY
    assert delete_old_counters(one.connection, one.now) == 0
    one.now += 1
    assert delete_old_counters(one.connection, one.now) == 1
    assert counters(one) == []
    assert sound(one) == 0


def test_a_counter_that_was_changed_behind_the_ledgers_back_is_found(one):
    told(one, 1, hold_record(1, (ADA_LOT, HELD), raises=raises()), dispatched_record(1), settle_record(1, 1_000, 100))
    one.connection.rollback()
    one.connection.exec_driver_sql("UPDATE limit_counters SET used = 1 WHERE limit_id = 1")
    one.connection.exec_driver_sql("DELETE FROM limit_counters WHERE limit_id = 2")
    found = verify(one.connection, one.now)
    assert [difference.kind for difference in found.differences] == ["limit", "limit"]
    assert (
        f"limit 1 counts (1, 1, 0, 0) from {DAY_START} on, the records say ({COST}, 1, 0, 0)"
        in found.differences[0].message
    )


def test_calls_that_a_life_was_never_told_of_change_nothing_that_it_counts():
    """The ledger's clock is two hours ahead, so it tells its worker's second life of its own hour only (simulator, seed 130187)."""
    hour, ahead = START - START % HOUR, START - START % HOUR + 2 * HOUR
    limits = HotLimits()
    limits.life = (0, 2)
    limits.apply([LimitTerms(1, "hourly", "member", 1, "the member Ada", "", "", "hour", 0, "UTC", "credits", 50 * CREDIT, "enforce", "deny", "", 0, 0, 0, [], [(ahead, 7 * CREDIT)])])  # fmt: skip
    hourly = limits.known[1]
    hourly.look(START)
    first, second = hold_number(HoldKey(0, 1, 9)), hold_number(HoldKey(0, 2, 1))
    limits.change([CounterChange(1, hour, -5 * CREDIT, first)])
    assert hourly.used == 0
    hourly.change(hour, 3 * CREDIT)  # a call of this life
    limits.change([CounterChange(1, hour, -2 * CREDIT, second), CounterChange(1, ahead, -4 * CREDIT, first)])
    assert hourly.used == CREDIT
    hourly.look(ahead)
    assert hourly.used == 3 * CREDIT
