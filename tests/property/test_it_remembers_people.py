"""Law 9 for people: who somebody was on a day is what the last file up to that day said, whenever and how often it was read."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.firm import DAY, JANUARY, Firm
from tokenroll.model.member import MemberField
from tokenroll.services.finding import find_member
from tokenroll.services.members import attributes_on

FIRST = date(2026, 1, 1)
LEVELS = st.sampled_from(["L3", "L4", None])
FILES = st.lists(st.tuples(st.integers(0, 4), st.dictionaries(st.sampled_from(["Ada", "Bo"]), LEVELS)), max_size=6)
"""How many days after the last one a file is for, and what it says of whom."""


def rows(said):
    return [
        {"line": number, "id": name, "name": name, "department": "Engineering", "level": level}
        for number, (name, level) in enumerate(said.items(), 2)
    ]


@settings(max_examples=settings().max_examples // 3)  # each makes a ledger
@given(files=FILES, late=st.integers(0, 3))
def test_a_day_has_what_the_last_file_before_it_said(files, late):
    firm = Firm(JANUARY)
    everybody = {"Ada": "L1", "Bo": "L1"}
    firm.do("member.import", rows=rows(everybody), create_departments=True)
    on, said_on = FIRST, {FIRST: dict(everybody)}
    for days, said in files:
        on += timedelta(days=days)
        said_on[on] = {**said_on[max(day for day in said_on if day <= on)], **said}
        firm.now = JANUARY + ((on - FIRST).days + late) * DAY
        if said:
            for _ in range(2):  # read twice, it says nothing new
                again = firm.do("member.import", rows=rows(said), effective_on=on.isoformat())
            assert (again["new_count"], again["changed_count"]) == (0, 0)
    connection = firm.connection
    connection.rollback()
    for name in everybody:
        row = find_member(connection, name)
        for days in range((on - FIRST).days + 2):
            day = FIRST + timedelta(days=days)
            known = said_on[max(one for one in said_on if one <= day)][name]
            assert attributes_on(connection, row, day)[MemberField.LEVEL] == known
