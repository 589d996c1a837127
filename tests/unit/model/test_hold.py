import pytest

from tests.cast import make_hold
from tokenroll.model.hold import COMPANY_LOT_ID, HoldState, ReleaseReason, Slice


def test_its_slices_sum_to_its_bound():
    hold = make_hold(1, (1, 60), (2, 40))
    assert hold.bound_nanos == 100
    assert hold.slices == (Slice(lot_id=1, nanos=60), Slice(lot_id=2, nanos=40))


def test_it_may_be_the_companys():
    assert make_hold(1, (COMPANY_LOT_ID, 5)).slices[0].lot_id == 0


def test_a_free_call_holds_nothing():
    assert make_hold(1).bound_nanos == 0


@pytest.mark.parametrize("slices", [((1, 60), (2, 39)), ((1, 101), (2, -1)), ((1, 100), (2, 0))])
def test_its_slices_are_positive_parts_of_it(slices):
    with pytest.raises(ValueError, match="are not positive parts of 100"):
        make_hold(1, *slices, bound_nanos=100)


def test_it_has_no_more_slices_than_a_record_can_count():
    assert len(make_hold(1, *((lot, 1) for lot in range(1, 256))).slices) == 255
    with pytest.raises(ValueError, match="at most 255 slices, not 256"):
        make_hold(1, *((lot, 1) for lot in range(1, 257)))


def test_it_is_an_amount_a_row_can_hold():
    with pytest.raises(ValueError, match=r"hold is 1000000000\.000000001 credits"):
        make_hold(1, (1, 10**18 + 1))


def test_its_states_and_the_ends_without_charge_are_few():
    assert [one.value for one in HoldState] == ["held", "dispatched", "suspense", "settled", "released"]
    reasons = ["not_sent", "provider_error", "never_dispatched", "coalesced", "loop_broken"]
    assert [one.value for one in ReleaseReason] == reasons
