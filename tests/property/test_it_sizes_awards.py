"""Amounts by formula are exact but for the fraction of a nano, and the parts of a month are the month (law 1)."""

from fractions import Fraction
from itertools import pairwise
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from tokenroll.engine.prorating import part_time, prorate
from tokenroll.engine.sizing import SizeFacts, size
from tokenroll.model.formula import Formula, FormulaKind
from tokenroll.model.limits import AMOUNT_NANOS_MAX, FORMULA_PERCENT_NANOS_MAX, SCORE_NANOS_MAX

AMOUNTS = st.integers(0, AMOUNT_NANOS_MAX)
DAYS = st.integers(1, 400)


@given(st.integers(1, AMOUNT_NANOS_MAX), st.integers(1, FORMULA_PERCENT_NANOS_MAX))
def test_a_percent_of_base_pay_is_the_exact_one_without_its_fraction_of_a_nano(base, percent):
    formula = Formula(kind=FormulaKind.PERCENT_OF_BASE, percent_nanos=percent)
    exact = Fraction(base) * Fraction(percent, 10**9) / 100
    assert size(formula, 0, SizeFacts(base_pay_nanos=base)) == floor(exact)


@given(AMOUNTS, st.integers(0, SCORE_NANOS_MAX))
def test_an_outcome_is_the_exact_one_without_its_fraction_of_a_nano(amount, score):
    found = size(Formula(kind=FormulaKind.PER_OUTCOME), amount, SizeFacts(score_nanos=score))
    assert found == floor(Fraction(amount) * Fraction(score, 10**9))


@given(AMOUNTS, DAYS, st.data())
def test_parts_of_a_month_sum_to_the_month_however_it_is_cut(amount, days, data):
    cuts = sorted({0, days, *data.draw(st.lists(st.integers(0, days), max_size=8))})
    parts = [prorate(amount, begin, end, days) for begin, end in pairwise(cuts)]
    assert sum(parts) == amount
    for (begin, end), part in zip(pairwise(cuts), parts, strict=True):
        assert abs(part - Fraction(amount) * Fraction(end - begin, days)) < 1


@given(AMOUNTS, st.integers(1, 999_999))
def test_two_halves_of_full_time_are_never_more_than_the_whole(amount, millionths):
    one, other = part_time(amount, millionths), part_time(amount, 1_000_000 - millionths)
    assert 0 <= amount - one - other <= 1
