import pytest

from tests.cast import DAY, T0, make_lot, make_state
from tokenroll.engine.drawing import draw, draw_rank, eligible, split
from tokenroll.model.hold import COMPANY_LOT_ID, Slice

MONTH = T0 + 30 * DAY


def state(lot_id, amount=100, **facts):
    return make_state(id=lot_id, amount_nanos=amount, **{"priority": 1, "expires_at": MONTH} | facts)


def test_the_order_is_priority_then_expiry_then_start_then_id():
    names = {
        1: make_lot(id=1, priority=1, effective_at=T0 - 1, expires_at=MONTH),
        2: make_lot(id=2, priority=1, expires_at=MONTH),
        3: make_lot(id=3, priority=1, expires_at=MONTH),
        4: make_lot(id=4, priority=1, expires_at=MONTH + DAY),
        5: make_lot(id=5, priority=1),
        6: make_lot(id=6, priority=2, effective_at=T0 - DAY, expires_at=T0 + DAY),
    }
    mixed = [names[number] for number in (4, 6, 3, 5, 1, 2)]
    assert [lot.id for lot in sorted(mixed, key=draw_rank)] == [1, 2, 3, 4, 5, 6]


def test_even_the_last_nameable_expiry_goes_before_none():
    last = make_lot(id=2, expires_at=253_402_300_799_999_999)
    assert draw_rank(last) < draw_rank(make_lot(id=1))


@pytest.mark.parametrize(("at", "is_eligible"), [(T0 - 1, False), (T0, True), (MONTH - 1, True), (MONTH, False)])
def test_a_lot_is_spendable_from_its_start_until_its_expiry(at, is_eligible):
    assert eligible(make_lot(expires_at=MONTH), at) is is_eligible


def test_nothing_to_draw_from_is_all_missing():
    drawing = draw([], 50, T0)
    assert (drawing.slices, drawing.missing_nanos) == ((), 50)


def test_a_higher_priority_burns_first():
    drawing = draw([state(2, priority=2), state(1)], 120, T0)
    assert drawing.slices == (Slice(1, 100), Slice(2, 20))
    assert drawing.missing_nanos == 0


def test_what_expires_first_burns_first():
    drawing = draw([state(1, expires_at=T0 + 36_500 * DAY), state(2)], 120, T0)
    assert drawing.slices == (Slice(2, 100), Slice(1, 20))


def test_what_expires_first_among_many_burns_first():
    many = [state(lot_id) for lot_id in range(1, 10_001)]
    many[5_000] = state(5_001, expires_at=MONTH - DAY)
    assert draw(many, 99, T0).slices == (Slice(5_001, 99),)


def test_what_starts_later_waits():
    drawing = draw([state(1, amount=25), state(2, effective_at=T0 + DAY)], 50, T0)
    assert (drawing.slices, drawing.missing_nanos) == ((Slice(1, 25),), 25)


def test_what_is_held_spent_or_in_suspense_is_not_drawn_again():
    drawing = draw([state(1, held=30, suspense=20, spent=10), state(2, spent=100)], 50, T0)
    assert (drawing.slices, drawing.missing_nanos) == ((Slice(1, 40),), 10)


def test_a_free_call_draws_nothing():
    assert draw([state(1)], 0, T0).slices == ()


def test_it_stops_where_a_hold_could_not_be_written():
    drawing = draw([state(lot_id, amount=1) for lot_id in range(1, 301)], 300, T0)
    assert len(drawing.slices) == 254
    assert drawing.missing_nanos == 46


def test_it_leaves_room_for_what_was_drawn_elsewhere():
    assert draw([state(1), state(2)], 150, T0, slices_max=1).missing_nanos == 50


def test_nobody_needs_less_than_nothing():
    with pytest.raises(ValueError, match="nobody can need -1 nanos"):
        draw([], -1, T0)


HELD = (Slice(1, 60), Slice(2, 40))


@pytest.mark.parametrize(
    ("charge", "consumed", "returned"),
    [
        (0, (), ((1, 60), (2, 40))),
        (13, ((1, 13),), ((1, 47), (2, 40))),
        (60, ((1, 60),), ((2, 40),)),
        (75, ((1, 60), (2, 15)), ((2, 25),)),
        (100, ((1, 60), (2, 40)), ()),
        (103, ((1, 60), (2, 40), (0, 3)), ()),
    ],
)
def test_a_charge_takes_slices_in_order_and_returns_the_tail(charge, consumed, returned):
    assert split(HELD, charge) == (consumed, returned)


def test_the_company_has_one_slice_and_it_is_the_last():
    assert split((Slice(1, 60), Slice(COMPANY_LOT_ID, 40)), 103) == ((Slice(1, 60), Slice(0, 43)), ())
    assert split((), 5) == ((Slice(0, 5),), ())


def test_what_the_company_need_not_carry_returns_to_it():
    assert split((Slice(1, 60), Slice(COMPANY_LOT_ID, 40)), 70) == ((Slice(1, 60), Slice(0, 10)), (Slice(0, 30),))


def test_no_charge_gives_back():
    with pytest.raises(ValueError, match="a charge cannot be -1 nanos"):
        split(HELD, -1)
