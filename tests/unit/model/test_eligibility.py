from datetime import date

import pytest

from tokenroll.model.eligibility import Eligibility


def test_it_excludes_nobody_unless_said():
    nobody = Eligibility()
    assert (nobody.departments, nobody.levels, nobody.hired_from, nobody.hired_until) == ((), (), None, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"departments": ("",)}, "departments of eligibility must be"),
        ({"levels": ("L4", "L4")}, "levels of eligibility: a name stands twice in L4, L4"),
        ({"locations": tuple(str(n) for n in range(201))}, "at most 200 names, not 201"),
        (
            {"hired_from": date(2026, 2, 1), "hired_until": date(2026, 2, 1)},
            "nobody is hired from 2026-02-01 and before 2026-02-01",
        ),
    ],
)
def test_it_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        Eligibility(**changes)
