from datetime import date

import pytest

from tokenroll.engine.eligibility import reasons_against
from tokenroll.model.eligibility import Eligibility, MemberFacts

ADA = MemberFacts(
    departments=("Platform", "Engineering"), level="L4", location="Berlin", employment_type="permanent",
    hired_on=date(2026, 3, 1),
)  # fmt: skip
UNKNOWN = MemberFacts(departments=("Sales",))


def test_what_is_not_said_excludes_nobody():
    assert reasons_against(Eligibility(), UNKNOWN, "Bo") == ()


def test_who_fits_every_line_may_have_it():
    eligibility = Eligibility(
        departments=("Sales", "Engineering"), levels=("L4", "L5"), locations=("Berlin",), employment_types=("permanent",),
        hired_from=date(2026, 3, 1), hired_until=date(2026, 3, 2),
    )  # fmt: skip
    assert reasons_against(eligibility, ADA, "Ada") == ()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ({"departments": ("Sales", "Legal", "People")}, "Ada is in Platform, and it is for Sales, Legal or People"),
        ({"levels": ("L5",)}, "the level of Ada is L4, and it is for L5"),
        ({"locations": ("Paris", "Rome")}, "the location of Ada is Berlin, and it is for Paris or Rome"),
        ({"employment_types": ("contractor",)}, "the type of employment of Ada is permanent, and it is for contractor"),
        ({"hired_from": date(2026, 3, 2)}, "Ada was hired on 2026-03-01, before 2026-03-02"),
        ({"hired_until": date(2026, 3, 1)}, "Ada was hired on 2026-03-01, not before 2026-03-01"),
    ],
)
def test_a_line_that_does_not_fit_is_told(lines, told):
    assert reasons_against(Eligibility(**lines), ADA, "Ada") == (told,)


def test_what_is_not_known_does_not_fit():
    eligibility = Eligibility(
        levels=("L5",), locations=("Rome",), employment_types=("permanent",), hired_from=date(2026, 1, 1)
    )
    assert reasons_against(eligibility, UNKNOWN, "Bo") == (
        "the level of Bo is not known, and it is for L5",
        "the location of Bo is not known, and it is for Rome",
        "the type of employment of Bo is not known, and it is for permanent",
        "the day on which Bo was hired is not known, and it depends on that",
    )
