"""Law 9 for allowances: what is left at an instant does not depend on when anybody asked before, nor on the order of the list."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.engine.burning import Allowance, Burned, burn_down

END = 60


def every(period, anchor):
    return lambda begin, until: [at for at in range(anchor % period, END + 1, period) if begin <= at <= until]


@st.composite
def allowances(draw):
    made = []
    for number in range(draw(st.integers(0, 5))):
        effective_at = draw(st.integers(-5, END + 5))
        lives = draw(st.none() | st.integers(0, END))
        recurs = draw(st.none() | st.integers(3, 20))
        amount = draw(st.integers(1, 100))
        rollover_max = draw(st.integers(0, amount))
        made.append(
            Allowance(
                id=f"g{number}",
                amount_nanos=amount,
                effective_at=effective_at,
                expires_at=None if lives is None else effective_at + lives,
                created_at=draw(st.integers(0, 3)),
                priority=draw(st.integers(0, 2)),
                rollover_min_nanos=draw(st.integers(0, rollover_max)),
                rollover_max_nanos=rollover_max,
                recurrences=None if recurs is None else every(recurs, draw(st.integers(0, 20))),
            )
        )
    return made


USES = st.lists(st.tuples(st.integers(0, END - 1), st.integers(1, 80)), max_size=12)
RESETS = st.lists(st.integers(1, END), max_size=4, unique=True).map(sorted)


def used(uses):
    return lambda begin, end: sum(amount for at, amount in uses if begin <= at < end)


@given(
    grants=allowances(),
    uses=USES,
    resets=RESETS,
    keep=st.booleans(),
    visits=st.lists(st.integers(1, END - 1), unique=True, max_size=5),
)
def test_asking_in_between_changes_no_answer(grants, uses, resets, keep, visits):
    once, _ = burn_down(Burned(at=0), grants, used(uses), END, resets=resets, keep_overage=keep)
    state = Burned(at=0)
    for at in [*sorted(visits), END]:
        due = [one for one in resets if state.at < one <= at]
        state, _ = burn_down(state, grants, used(uses), at, resets=due, keep_overage=keep)
    assert (state.overage_nanos, state.used_nanos) == (once.overage_nanos, once.used_nanos)
    assert state.from_allowances_nanos == once.from_allowances_nanos
    assert state.left_nanos == {id_: once.left_nanos.get(id_, 0) for id_ in state.left_nanos}


@given(grants=allowances(), uses=USES, resets=RESETS, keep=st.booleans(), seed=st.integers(0, 99))
def test_the_order_of_the_list_means_nothing(grants, uses, resets, keep, seed):
    once, _ = burn_down(Burned(at=0), grants, used(uses), END, resets=resets, keep_overage=keep)
    shuffled = random.Random(seed).sample(grants, len(grants))
    assert burn_down(Burned(at=0), shuffled, used(uses), END, resets=resets, keep_overage=keep)[0] == once


@given(grants=allowances(), uses=USES, resets=RESETS, keep=st.booleans())
def test_nothing_is_used_that_was_not_there_and_no_use_is_forgotten(grants, uses, resets, keep):
    end, segments = burn_down(Burned(at=0), grants, used(uses), END, resets=resets, keep_overage=keep)
    amounts = {one.id: one.amount_nanos for one in grants}
    for one in segments:
        need = one.used_nanos + one.overage_before_nanos
        assert need == sum(one.taken_nanos.values()) + one.overage_after_nanos
        assert all(0 <= nanos <= amounts[id_] for id_, nanos in one.started_nanos.items())
        assert all(nanos >= 0 for nanos in one.ended_nanos.values())
        assert not one.overage_after_nanos or not sum(one.ended_nanos.values())
    for earlier, later in pairwise(segments):
        assert earlier.end_at == later.start_at
    assert segments[-1].end_at == END
    assert sum(one.used_nanos for one in segments) == sum(amount for _, amount in uses)
    if not resets:
        assert end.used_nanos == end.from_allowances_nanos + end.overage_nanos
