"""A call that a limit of a minute has no room for waits a moment rather than being refused, where there will be room in time."""

import pytest

from tests.cast import CREDIT, T0
from tests.desk import BO_KEY, Desk, lot, make_facts, wallet
from tests.property.test_it_keeps_limits import terms
from tests.unit.model.test_limit import ada_daily
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.instant import MICROS_PER_SECOND as SECOND
from tokenroll.model.limit import LimitMeasure, LimitScope, WindowKind
from tokenroll.model.limits import LIMIT_WAIT_SECONDS, WAIT_SECONDS_MAX
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.protocol import View
from tokenroll.settings import LIMIT_WAIT_SECONDS_MAX, GatewaySettings
from tokenroll.upstream.dialect import Denial

MINUTE = T0 + 60 * SECOND
"""When the minute in which the desk opens turns."""


def limit(number=1, **changes):
    facts = {"id": number, "name": f"limit-{number}", "scope": LimitScope.COMPANY, "subject_id": 0, "cap": 2}
    return ada_daily(**facts | {"window": WindowKind.MINUTE, "measure": LimitMeasure.CALLS} | changes)


def desk_with(tmp_path, *limits, seconds=2):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)), wallet(lot(2, CREDIT), id=2, name="Bo"))
    desk.spending.apply_view(View([], [], {}, True, limits=[terms(one) for one in limits]))
    desk.spending.limit_wait_micros = seconds * SECOND
    desk.now = MINUTE - 3 * SECOND
    return desk


def ask(desk, facts=None, secret=BO_KEY):
    """As the gateway asks: a call that must wait does, and says when it was woken."""
    answer = desk.admit(facts, secret, may_wait=True)
    if isinstance(answer, Wait):
        desk.spending.wait(answer, lambda: woken.append(answer))
    return answer


woken: list[Wait] = []


@pytest.fixture(autouse=True)
def nobody_woken():
    woken.clear()


def used_up(desk, calls=2):
    for _ in range(calls):
        desk.call(input=10, output=10)


def test_it_waits_for_the_turn_of_the_minute_when_that_is_near(tmp_path):
    desk = desk_with(tmp_path, limit())
    used_up(desk)
    refused = ask(desk)
    assert isinstance(refused, Denial)
    assert refused.retry_after_millis == 3_000
    desk.now = MINUTE - 2 * SECOND
    waiting = ask(desk)
    assert isinstance(waiting, Wait)
    assert waiting.until == MINUTE
    desk.now = MINUTE
    desk.spending.forget(waiting)
    assert isinstance(ask(desk), HotHold)


def test_no_more_wait_than_there_will_be_room_for(tmp_path):
    desk = desk_with(tmp_path, limit())
    used_up(desk)
    desk.now = MINUTE - SECOND
    answers = [ask(desk) for _ in range(4)]
    assert [type(one) for one in answers] == [Wait, Wait, Denial, Denial]
    desk.spending.forget(answers[0])  # its client left
    assert isinstance(ask(desk), Wait)


def test_it_waits_for_what_calls_under_way_may_give_back_and_is_woken_by_their_end(tmp_path):
    """2,000 tokens a minute: a call holds 1,016 + 900 of them, and comes to 20."""
    desk = desk_with(tmp_path, limit(cap=2_000, measure=LimitMeasure.MODEL_TOKENS))
    facts = make_facts(output_cap_tokens=900)
    desk.now = T0
    hold = ask(desk, facts)
    waiting = ask(desk, facts)
    assert isinstance(waiting, Wait)
    assert waiting.until == T0 + 2 * SECOND
    refused = ask(desk, facts)  # one waits already, and no more than one has room
    assert isinstance(refused, Denial)
    desk.dispatch(hold)
    desk.settle(hold, input=10, output=10)
    assert woken == [waiting]
    assert isinstance(ask(desk, facts), HotHold)


def test_a_call_under_way_is_one_call_when_it_ends_so_nobody_waits_for_that(tmp_path):
    desk = desk_with(tmp_path, limit(cap=1))
    desk.now = T0
    hold = ask(desk)
    assert isinstance(ask(desk), Denial)
    desk.spending.release(hold, ReleaseReason.NOT_SENT, desk.now)
    assert isinstance(ask(desk), HotHold)


def test_a_released_call_wakes_who_waits_for_the_turn(tmp_path):
    desk = desk_with(tmp_path, limit(cap=1))
    desk.now = MINUTE - SECOND
    hold = ask(desk)
    waiting = ask(desk)
    desk.spending.release(hold, ReleaseReason.NOT_SENT, desk.now)
    assert woken == [waiting]


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"window": WindowKind.DAY}, 2),  # though midnight is a second away
        ({"window": WindowKind.ROLLING, "window_seconds": 121}, 2),
        ({}, 0),  # off
    ],
)
def test_nobody_waits_for_long_windows_or_where_it_is_off(tmp_path, changes, seconds):
    desk = desk_with(tmp_path, limit(**changes), seconds=seconds)
    desk.now = T0 + 86_399 * SECOND
    used_up(desk)
    assert isinstance(ask(desk), Denial)


def test_a_rolling_minute_makes_room_by_the_second(tmp_path):
    desk = desk_with(tmp_path, limit(window=WindowKind.ROLLING, window_seconds=60))
    desk.now = T0
    desk.call(input=1, output=1)
    desk.now = T0 + 30 * SECOND
    desk.call(input=1, output=1)
    desk.now = T0 + 59 * SECOND
    waiting = ask(desk)
    assert isinstance(waiting, Wait)
    assert waiting.until == T0 + 61 * SECOND
    assert isinstance(ask(desk), Denial)  # the next room comes at 00:01:31


def test_what_another_limit_refuses_for_good_does_not_wait(tmp_path):
    day = limit(2, window=WindowKind.DAY, cap=2)
    for number, limits in enumerate(((limit(), day), (day, limit()))):
        desk = desk_with(tmp_path / str(number), *limits)
        used_up(desk)
        desk.now = MINUTE - SECOND
        refused = ask(desk)
        assert isinstance(refused, Denial)
        assert refused.limit == "limit-2"


def test_the_gateway_waits_no_longer_for_a_limit_than_for_a_wallet():
    assert LIMIT_WAIT_SECONDS_MAX == WAIT_SECONDS_MAX
    assert GatewaySettings().limit_wait_seconds == LIMIT_WAIT_SECONDS
