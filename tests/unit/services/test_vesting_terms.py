"""Terms of vesting: read strictly, written in one spelling, told in a line."""

from datetime import date

import msgspec
import pytest
from hypothesis import given

from tests.cast import CREDIT, monthly
from tests.property.schedules import schedules
from tokenroll.model.vesting import AllocationType, DatedShare, Period, PeriodUnit, Vesting, VestingKind
from tokenroll.services.refusal import Refused
from tokenroll.services.vesting_terms import columns_of, schedule_text, terms_from_vesting, vesting_from_terms


def test_no_terms_are_immediate():
    assert vesting_from_terms(None) == vesting_from_terms({}) == vesting_from_terms({"kind": "immediate"}) == Vesting()
    assert columns_of(Vesting())["vesting_terms"] is None


def test_a_year_by_months_needs_few_words():
    assert vesting_from_terms({"kind": "periodic", "occurrences": 12, "cliff_occurrences": 3}) == monthly(12, 3)


def test_all_terms_are_read():
    vesting = vesting_from_terms({
        "kind": "periodic", "period": "3m", "occurrences": 8, "cliff_occurrences": 4, "day_of_month": 31,
        "allocation": "back_loaded", "unit_nanos": CREDIT,
    })  # fmt: skip
    assert vesting == Vesting(
        kind=VestingKind.PERIODIC,
        period=Period(count=3, unit=PeriodUnit.MONTH),
        occurrences=8,
        cliff_occurrences=4,
        day_of_month=31,
        allocation=AllocationType.BACK_LOADED,
        unit_nanos=CREDIT,
    )
    shares = [{"on": "2026-07-01"}, {"on": "2027-01-01", "weight": 3}]
    assert vesting_from_terms({"kind": "dated", "shares": shares}).shares == (
        DatedShare(on=date(2026, 7, 1)),
        DatedShare(on=date(2027, 1, 1), weight=3),
    )


@given(vesting=schedules())
def test_what_is_written_is_read_as_the_same(vesting):
    terms = terms_from_vesting(vesting)
    assert vesting_from_terms(msgspec.json.decode(msgspec.json.encode(terms))) == vesting
    assert None not in terms.values()


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"kind": "monthly"}, "kind of vesting is one of immediate, periodic, dated, event, not 'monthly'"),
        ({"kind": ["periodic"]}, "kind of vesting is one of"),
        ({"cliff_month": 3}, "vesting has no cliff_month; its terms are kind, period, occurrences"),
        ({"kind": "periodic", "period": "1y"}, "a period is a number of days or months such as 90d or 12m, not '1y'"),
        ({"kind": "periodic", "occurrences": "12"}, "occurrences of vesting is a whole number, not '12'"),
        ({"kind": "periodic", "occurrences": True}, "occurrences of vesting is a whole number, not True"),
        ({"kind": "dated", "shares": [{"on": "soon"}]}, "a date such as 2027-01-01, not 'soon'"),
        ({"kind": "dated", "shares": ["2027-01-01"]}, "a share of vesting is"),
        ({"kind": "dated", "shares": [{"on": "2027-01-01", "weight": "half"}]}, "weight of vesting is a whole number"),
        ({"allocation": "even"}, "allocation of vesting is one of cumulative_round_down"),
    ],
)
def test_what_is_no_term_is_refused_with_what_could_stand_there(terms, told):
    with pytest.raises(Refused) as refused:
        vesting_from_terms(terms)
    assert refused.value.kind == "argument"
    assert told in refused.value.message


@pytest.mark.parametrize(
    ("vesting", "lifetime", "told"),
    [
        (Vesting(), None, "at once"),
        (Vesting(), Period(count=1, unit=PeriodUnit.MONTH), "at once, each part lives 1 month"),
        (monthly(48, 12), None, "over 48 months, nothing before month 12"),
        (
            monthly(4, day_of_month=31, allocation=AllocationType.FRONT_LOADED, unit_nanos=CREDIT),
            Period(count=90, unit=PeriodUnit.DAY),
            "over 4 months, on day 31 or the month's last, in parts of 1, front loaded, each part lives 90 days",
        ),
        (
            Vesting(
                kind=VestingKind.PERIODIC,
                period=Period(count=3, unit=PeriodUnit.MONTH),
                occurrences=8,
                cliff_occurrences=4,
            ),
            None,
            "8 × 3 months, nothing before number 4",
        ),
        (
            Vesting(
                kind=VestingKind.DATED,
                shares=(DatedShare(on=date(2026, 7, 1)), DatedShare(on=date(2027, 1, 1), weight=3)),
            ),
            None,
            "1/4 on 2026-07-01; 3/4 on 2027-01-01",
        ),
    ],
)
def test_it_is_told_in_a_line(vesting, lifetime, told):
    assert schedule_text(vesting, lifetime) == told
