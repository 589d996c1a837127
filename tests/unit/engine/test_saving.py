"""What a prompt cache made of a call's price, worked out by hand at claude-sonnet-5-5's rates: 2,000 in, 100 read, 2,500 and 4,000 written."""

import pytest

from tokenroll.engine.saving import cache_effect, input_cost
from tokenroll.model.usage import METERS, Meter

SONNET = {
    Meter.INPUT: 2_000, Meter.CACHE_READ: 100, Meter.CACHE_WRITE_5M: 2_500, Meter.CACHE_WRITE_1H: 4_000, Meter.OUTPUT: 10_000,
}  # fmt: skip


def counts(**given):
    return tuple(given.get(meter.value) for meter in METERS)


@pytest.mark.parametrize(
    ("rates", "given", "saved", "lost"),
    [
        (SONNET, {"input": 64, "cache_write_5m": 3_200, "output": 10}, 0, 1_600_000),
        (SONNET, {"input": 96, "cache_read": 3_200, "cache_write_5m": 200}, 6_080_000, 100_000),
        (SONNET, {"cache_write_1h": 10}, 0, 20_000),
        (SONNET, {"input": 1_000, "output": 1_000}, 0, 0),
        ({Meter.INPUT: 150, Meter.CACHE_READ: 75}, {"cache_read": 100, "cache_write_5m": 100}, 7_500, 0),
        ({Meter.INPUT: 150}, {"cache_read": 100}, 0, 0),  # no discount listed, no discount given
        ({Meter.INPUT: 150, Meter.CACHE_READ: 200}, {"cache_read": 100}, 0, 5_000),
        ({Meter.OUTPUT: 150}, {"cache_read": 100}, 0, 0),
    ],
)
def test_reads_save_and_writes_lose(rates, given, saved, lost):
    assert cache_effect(rates, counts(**given)) == (saved, lost)


def test_input_costs_what_each_kind_of_it_costs():
    assert input_cost(SONNET, counts(input=10, cache_read=100, cache_write_5m=4, output=9)) == (40_000, 114)
    assert input_cost(SONNET, counts()) == (0, 0)
