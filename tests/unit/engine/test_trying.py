from tests.cast import CREDIT, DAY, HOUR, T0
from tokenroll.engine.burning import Allowance
from tokenroll.engine.trying import try_calls

END = T0 + 31 * DAY
STIPEND = Allowance(id="stipend", amount_nanos=10 * CREDIT, effective_at=T0)


def test_calls_that_fit_are_paid_and_the_rest_is_unused():
    trial = try_calls([STIPEND], [(T0 + HOUR, 3 * CREDIT), (T0 + DAY, 4 * CREDIT)], T0, END)
    assert (trial.used_nanos, trial.paid_nanos, trial.missing_nanos) == (7 * CREDIT, 7 * CREDIT, 0)
    assert (trial.stopped_count, trial.first_stopped_at, trial.left_nanos) == (0, None, 3 * CREDIT)


def test_a_call_that_does_not_fit_takes_nothing_and_a_smaller_one_still_goes():
    calls = [(T0 + HOUR, 8 * CREDIT), (T0 + 2 * HOUR, 3 * CREDIT), (T0 + 3 * HOUR, 2 * CREDIT), (T0 + DAY, 1)]
    trial = try_calls([STIPEND], calls, T0, END)
    assert (trial.paid_nanos, trial.missing_nanos) == (10 * CREDIT, 3 * CREDIT + 1)
    assert (trial.stopped_count, trial.first_stopped_at, trial.left_nanos) == (2, T0 + 2 * HOUR, 0)


def test_what_vests_later_pays_later_calls_and_what_expires_pays_none():
    halves = [
        Allowance(id="1", amount_nanos=5 * CREDIT, effective_at=T0, expires_at=T0 + 10 * DAY),
        Allowance(id="2", amount_nanos=5 * CREDIT, effective_at=T0 + 15 * DAY),
    ]
    calls = [(T0, 2 * CREDIT), (T0 + 10 * DAY, CREDIT), (T0 + 15 * DAY, 5 * CREDIT)]
    trial = try_calls(halves, calls, T0, END)
    assert (trial.granted_nanos, trial.paid_nanos, trial.stopped_count) == (10 * CREDIT, 7 * CREDIT, 1)
    assert (trial.first_stopped_at, trial.left_nanos) == (T0 + 10 * DAY, 0)


def test_without_an_allowance_every_call_is_stopped():
    trial = try_calls([], [(T0, 1), (T0, 2)], T0, END)
    assert (trial.granted_nanos, trial.paid_nanos, trial.missing_nanos, trial.stopped_count) == (0, 0, 3, 2)
