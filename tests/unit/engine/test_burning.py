"""What the published cases (tests/conformance) do not say: a use at an instant."""

from tests.cast import DAY, T0
from tokenroll.engine.burning import Allowance, Burned, take

EARLY = Allowance(id="early", amount_nanos=30, effective_at=T0, expires_at=T0 + DAY)
LATE = Allowance(id="late", amount_nanos=50, effective_at=T0)
NOT_YET = Allowance(id="not yet", amount_nanos=90, effective_at=T0 + DAY)


def test_a_use_takes_from_what_would_be_lost_first():
    after, missing = take(Burned(at=T0), [LATE, NOT_YET, EARLY], 40)
    assert (after.left_nanos, missing) == ({"early": 0, "late": 40}, 0)
    assert (after.used_nanos, after.from_allowances_nanos, after.overage_nanos) == (40, 40, 0)


def test_what_nobody_gives_is_missing():
    after, missing = take(Burned(at=T0, left_nanos={"early": 5}), [EARLY, LATE], 60)
    assert (after.left_nanos, missing, after.used_nanos) == ({"early": 0, "late": 0}, 5, 55)
