"""The bugs that are planted into the product to try its simulator stand where the product still has such a name."""

from tests.simulator.mutants import PLANTED
from tests.simulator.overage_mutants import OVERAGE
from tests.simulator.test_it_catches_mutants import FOUND_SOON


def test_each_has_its_place():
    assert [bug.name for bug in PLANTED + OVERAGE if not hasattr(bug.where, bug.attribute)] == []


def test_no_seed_is_kept_for_one_that_is_gone():
    assert set(FOUND_SOON) - {bug.name for bug in PLANTED + OVERAGE} == set()
