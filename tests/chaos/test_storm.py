"""Everything at once: roles killed and paused at random, clients that leave and come again, finance at work. The seed is in the name."""

import random
import signal

import pytest

from tests.chaos.storm import Report, storm
from tests.chaos.supervised import Supervised
from tests.postgresql_kit import server


def told(report: Report) -> None:
    """Its figures, for `pytest -rP` and the dated page; and that it was a storm at all."""
    print(report.text())
    assert sum(report.kills.values()) >= 1  # how many there is time for is the machine's
    assert report.facts["attempts"] > 100
    assert report.facts["bill_nanos"] > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1])
def test_a_short_storm_leaves_no_call_free_and_no_row_lost(tmp_path, seed):
    told(storm(tmp_path, seed=seed, seconds=25))


def stops_the_server(_company: Supervised, rng: random.Random) -> str:
    """A PostgreSQL that crashes in the middle of whatever it does, or is restarted by its administrator."""
    server().stop(rng.choice((signal.SIGQUIT, signal.SIGINT)))
    server().start()
    return "postgresql"


@pytest.mark.endure
@pytest.mark.timeout(1200)
def test_a_postgresql_that_dies_again_and_again_loses_no_batch(tmp_path):
    report = storm(tmp_path, seed=28, seconds=60, postgresql=True, during=stops_the_server)
    told(report)
    assert report.kills["postgresql"] > 0


@pytest.mark.endure
@pytest.mark.timeout(3600)
def test_half_an_hour_of_storm(tmp_path):
    told(storm(tmp_path, seed=2026, seconds=1800))
