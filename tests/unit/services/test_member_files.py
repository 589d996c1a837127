"""People from another system: known by its ids, compared field by field, imported all or none."""

import json

import pytest

from tests.firm import DAY, JANUARY, Firm
from tokenroll.services.member_files import MemberFileError, part_time_cell, read_members
from tokenroll.services.refusal import Refused
from tokenroll.store.verify import verify

PEOPLE = """\
employee_id,name,kind,department,level,location,employment_type,zone,hired_on,left_on,manager,part_time
17,Ada,person,Engineering,L4,Berlin,employee,Europe/Berlin,2025-03-01,,18,80%
18,Bo,person,Engineering,M2,Berlin,employee,,,,,
19,Cleo,person,Finance,,,Fixed term,,2024-01-01,,Bo,
90,Nightly agent,service,Engineering,,,,,,,,
"""


@pytest.fixture
def firm():
    one = Firm(JANUARY + 14 * DAY)
    one.do("company.set", name="A small firm", zone="Europe/Berlin")
    return one


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(PEOPLE)
    return path


def imported(firm, path, **how):
    return firm.ask("member.import", rows=read_members(path), **{"create_departments": True, **how})


def states(reply):
    assert reply.result is not None, reply.problem
    return [(one["id"], one["name"], one["state"]) for one in reply.result["members"]]


def changed(reply, id_):
    (one,) = [one for one in reply.result["members"] if one["id"] == id_]
    return [(change["field"], change["was"], change["becomes"]) for change in one["changes"]]


def test_every_row_becomes_a_member_with_all_that_it_says(firm, file):
    made = imported(firm, file)
    assert states(made) == [
        ("17", "Ada", "new"),
        ("18", "Bo", "new"),
        ("19", "Cleo", "new"),
        ("90", "Nightly agent", "new"),
    ]
    assert made.result["created_departments"] == ["Engineering", "Finance"]
    ada = firm.reports.member("Ada")
    assert {name: ada[name] for name in ("employee_id", "department_name", "level", "location", "employment_type", "part_time",
                                         "manager", "zone", "hired_on", "left_on", "state", "changes")} == {
        "employee_id": "17", "department_name": "Engineering", "level": "L4", "location": "Berlin",
        "employment_type": "employee", "part_time": "0.8", "manager": "Bo", "zone": "Europe/Berlin",
        "hired_on": "2025-03-01", "left_on": None, "state": "active", "changes": [],
    }  # fmt: skip
    cleo = firm.reports.member("Cleo")
    assert (cleo["employment_type"], cleo["manager"], cleo["zone"]) == ("fixed_term", "Bo", "Europe/Berlin")
    assert firm.reports.member("Nightly agent")["kind"] == "service"
    assert firm.reports.wallet("Ada")["left_nanos"] == 0


def test_the_same_file_again_changes_nothing(firm, file):
    imported(firm, file)
    again = imported(firm, file).result
    assert (again["members"], again["new_count"], again["changed_count"], again["same_count"]) == ([], 0, 0, 4)


def test_a_later_file_changes_field_by_field_and_each_change_has_its_day(firm, file):
    imported(firm, file)
    firm.now += 30 * DAY  # 2026-02-14
    file.write_text(PEOPLE.replace("L4,Berlin", "L5,Lisbon").replace("18,80%", ",").replace("Bo,person,Engineering", "Bo,person,Finance"))  # fmt: skip
    reply = imported(firm, file, effective_on="2026-02-01")
    assert changed(reply, "17") == [
        ("level", "L4", "L5"),
        ("location", "Berlin", "Lisbon"),
        ("working_time_millionths", "0.8", None),
        ("manager", "Bo", None),
    ]
    assert changed(reply, "18") == [("department", "Engineering", "Finance")]
    assert [(one["field"], one["was"], one["becomes"], one["effective_on"]) for one in firm.reports.member("Bo")["changes"]] == [
        ("department", "Engineering", "Finance", "2026-02-01")
    ]  # fmt: skip
    assert firm.reports.member("Ada")["level"] == "L5"


def test_a_column_that_is_not_there_says_nothing_and_an_empty_cell_says_none(firm, file):
    imported(firm, file)
    file.write_text("id,name,department,level\n17,Ada,Engineering,\n")
    assert changed(imported(firm, file), "17") == [("level", "L4", None)]
    assert firm.reports.member("Ada")["location"] == "Berlin"


def test_somebody_who_was_made_by_hand_is_known_by_name_once(firm, file):
    firm.hire("Ada")
    reply = imported(firm, file)
    assert states(reply)[0] == ("17", "Ada", "changed")
    assert changed(reply, "17")[0] == ("employee_id", None, "17")
    assert len(firm.reports.members()) == 4
    file.write_text(PEOPLE.replace("17,Ada", "17,Ada Lovelace"))
    assert changed(imported(firm, file), "17") == [("name", "Ada", "Ada Lovelace")]
    assert firm.reports.wallet("Ada Lovelace")["name"] == "Ada Lovelace"


def test_two_members_may_change_names_with_each_other(firm, file):
    imported(firm, file)
    file.write_text(PEOPLE.replace("17,Ada", "17,X").replace("18,Bo", "18,Ada").replace("17,X", "17,Bo").replace(",Bo,", ",18,").replace("17,18,", "17,Bo,"))  # fmt: skip
    reply = imported(firm, file)
    assert changed(reply, "17")[0] == ("name", "Ada", "Bo")
    assert changed(reply, "18")[0] == ("name", "Bo", "Ada")


def test_a_name_is_one_members(firm, file):
    imported(firm, file)
    file.write_text("id,name,department\n20,Ada,Engineering\n21,Dev,People\n22,Dev,People\n")
    told = imported(firm, file).problem.splitlines()
    assert told == [
        "line 2, name: 'Ada' is the member with the id 17; add what tells them apart",
        "line 4, name: 'Dev' is already that of line 3; a name is one member's, add what tells them apart",
    ]


def test_what_the_ledger_cannot_take_is_told_by_line_and_nothing_is_kept(firm, file):
    firm.do("department.create", name="Engineering")
    file.write_text(PEOPLE.replace("2025-03-01,,18", "2025-03-01,2024-01-01,77").replace(",,Bo,", ",,19,"))
    reply = imported(firm, file, create_departments=False)
    assert reply.problem_kind == "members"
    told = reply.problem.splitlines()
    assert "line 2, id: 17: Ada cannot leave on 2024-01-01 before being hired on 2025-03-01" in told
    assert "line 4, department: there is no department 'Finance'; `tokenroll department list` shows them. --create-departments makes new ones" in told  # fmt: skip
    assert firm.reports.members() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((",18,80%", ",77,80%"), "line 2, manager: '77' is neither an id of a row or a member nor a name"),
        ((",18,80%", ",17,80%"), "line 2, manager: '17' is the member of this line; nobody is their own manager"),
        (("18,Bo,person,Engineering,M2,Berlin,employee,,,,,", "18,Bo,person,Engineering,M2,Berlin,employee,,,,Ada,"),
         "would be above themselves: Ada → Bo → Ada"),
    ],
)  # fmt: skip
def test_managers_form_a_tree(firm, file, change, says):
    file.write_text(PEOPLE.replace(*change))
    assert says in imported(firm, file).problem
    assert firm.reports.members() == []


def test_a_department_that_is_almost_one_is_asked_about(firm, file):
    imported(firm, file)
    file.write_text("id,name,department\n17,Ada,Enginering\n")
    assert "did you mean 'Engineering'?" in imported(firm, file, create_departments=False).problem


def key(firm, member):
    number = len(firm.reports.keys())
    return firm.ask("key.create", member=member, name=f"k{number}", secret_hash=f"{number:064x}", shown_prefix="tr-k")


def test_a_last_day_to_come_ends_keys_at_its_midnight_and_one_that_is_over_at_once(firm, file):
    imported(firm, file)
    assert key(firm, "Ada").result
    file.write_text(PEOPLE.replace("2025-03-01,,", "2025-03-01,2026-01-31,"))
    assert changed(imported(firm, file), "17") == [("left_on", None, "2026-01-31")]
    assert firm.reports.member("Ada")["state"] == "leaves"
    midnight = JANUARY + 31 * DAY - 3_600_000_000  # 2026-02-01T00:00 in Berlin
    assert [one["expires_at"] for one in firm.reports.keys("Ada")] == [midnight]
    assert key(firm, "Ada").problem_kind == "left"
    firm.now = midnight - 1
    assert [one["state"] for one in firm.reports.keys("Ada")] == ["live"]
    firm.now = midnight
    assert [one["state"] for one in firm.reports.keys("Ada")] == ["expired"]
    assert firm.reports.member("Ada")["state"] == "left"

    assert key(firm, "Bo").result
    file.write_text("id,name,department,left_on\n18,Bo,Engineering,2026-01-20\n")
    imported(firm, file)
    assert [one["state"] for one in firm.reports.keys("Bo")] == ["revoked"]


def test_a_change_that_is_still_to_come_or_older_than_the_last_is_refused(firm, file):
    imported(firm, file)
    file.write_text(PEOPLE.replace("L4", "L5"))
    assert "2026-01-16 is still to come" in imported(firm, file, effective_on="2026-01-16").problem
    assert "'soon' is not a date" in imported(firm, file, effective_on="soon").problem
    assert imported(firm, file, effective_on="2026-01-10").result["changed_count"] == 1
    file.write_text(PEOPLE.replace("L4", "L6"))
    problem = imported(firm, file, effective_on="2026-01-09").problem
    assert problem == "line 2, id: 17: Ada: level changed on 2026-01-10 already, so it cannot change on 2026-01-09; give a later day"  # fmt: skip


FEWER = "id,name,department\n17,Ada,Engineering\n18,Bo,Engineering\n90,Nightly agent,Engineering\n"


def test_who_is_not_in_the_file_is_kept_unless_a_policy_says_otherwise(firm, file):
    imported(firm, file)
    assert key(firm, "Cleo").result
    file.write_text(FEWER)
    kept = imported(firm, file)
    assert (states(kept), kept.result["absent_count"]) == ([("19", "Cleo", "absent")], 1)
    assert firm.reports.member("Cleo")["state"] == "active"
    suspended = imported(firm, file, leavers="suspend")
    assert changed(suspended, "19") == [("suspended", None, "yes")]
    assert [one["state"] for one in firm.reports.keys("Cleo")] == ["revoked"]
    assert firm.reports.member("Cleo")["state"] == "suspended"
    assert "Cleo is suspended and gets no key" in key(firm, "Cleo").problem
    left = imported(firm, file, leavers="leave")
    assert changed(left, "19") == [("left_on", None, "2026-01-15")]
    assert firm.reports.member("Cleo")["state"] == "left"
    assert imported(firm, file, leavers="leave").result["absent_count"] == 0


def test_a_file_that_was_cut_ends_nobody(firm, file):
    file.write_text("id,name,department\n" + "".join(f"{number},P{number},Engineering\n" for number in range(40)))
    imported(firm, file)
    file.write_text("id,name,department\n" + "".join(f"{number},P{number},Engineering\n" for number in range(31)))
    reply = imported(firm, file, leavers="leave")
    assert reply.problem == (
        "9 of 40 members are not in the file (P31, P32, P33, P34, P35, …), more than 8: is it whole? "
        "If it is, say --leavers-max 9"
    )
    assert {one["state"] for one in firm.reports.members()} == {"active"}
    assert imported(firm, file, leavers="leave", leavers_max=9).result["leaving_count"] == 9


def test_a_dry_run_shows_all_of_it_and_keeps_nothing(firm, file):
    assert imported(firm, file, dry_run=True).result["new_count"] == 4
    assert firm.reports.members() == []
    assert firm.reports.departments() == []


def test_json_says_the_same_as_csv(firm, file, tmp_path):
    imported(firm, file)
    other = tmp_path / "people.json"
    other.write_text(json.dumps([
        {"id": 17, "name": "Ada", "department": "Engineering", "level": "L5", "part_time": 0.8, "manager": None},
        {"id": "20", "name": "Dev", "department": "People"},
    ], indent=1))  # fmt: skip
    reply = imported(firm, other)
    assert changed(reply, "17") == [("level", "L4", "L5"), ("manager", "Bo", None)]
    assert ("20", "Dev", "new") in states(reply)


def test_who_somebody_was_on_a_day_is_still_known(firm, file):
    imported(firm, file)
    firm.now += 30 * DAY
    file.write_text(PEOPLE.replace("L4,Berlin", "L5,Lisbon").replace("Ada,person,Engineering", "Ada,person,Finance"))
    imported(firm, file, effective_on="2026-02-01")
    then, now = firm.reports.member_on("Ada", "2026-01-31"), firm.reports.member_on("Ada", "2026-02-01")
    assert [then[name] for name in ("level", "location", "department", "manager", "working_time")] == [
        "L4", "Berlin", "Engineering", "Bo", "0.8",
    ]  # fmt: skip
    assert [now[name] for name in ("level", "location", "department")] == ["L5", "Lisbon", "Finance"]
    with pytest.raises(Refused, match="'soon' is not a date"):
        firm.reports.member_on("Ada", "soon")


def test_the_journal_holds_after_imports(firm, file):
    imported(firm, file)
    file.write_text(FEWER)
    imported(firm, file, leavers="leave")
    firm.connection.rollback()
    assert verify(firm.connection, firm.now).differences == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("employee_id,name", "number,name"), ["line 1, id: is missing", "line 1, number: is not known here"]),
        (("17,Ada", ",Ada"), ["line 2, id: is empty"]),
        (("18,Bo", "17,Bo"), ["line 3, id: '17' is already that of line 2"]),
        (("80%", "120%"), ["line 2, part_time: must lie above 0 and at most at 1"]),
        (("80%", "half"), ["line 2, part_time: 'half' is no part of full time such as 0.8, 80% or 4/5"]),
        (
            ("Fixed term", "friend"),
            [
                "line 4, employment_type: must be one of employee, fixed_term, apprentice, intern, contractor, agency, not 'friend'"
            ],
        ),
        ((",service,", ",robot,"), ["line 5, kind: must be one of person, service, not 'robot'"]),
        (("Europe/Berlin", "CET-ish"), ["line 2, zone: 'CET-ish' is not an IANA time zone"]),
        (("2025-03-01", "1.3.2025"), ["line 2, hired_on: '1.3.2025' is no date such as 2026-01-31"]),
        (("Finance", "x" * 201), ["line 4, department: must be at most 200 printable characters"]),
        (("name,kind", "name,name"), ["line 1, name: is there twice"]),
    ],
)
def test_a_mistake_is_told_with_line_and_column(file, change, told):
    file.write_text(PEOPLE.replace(*change))
    with pytest.raises(MemberFileError) as found:
        read_members(file)
    lines = str(found.value).splitlines()
    assert len(lines) == len(told)
    for line, text in zip(lines, told, strict=True):
        assert line.startswith(f"{file}, {text}")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "must be a JSON list of objects"),
        ("[1]", "line 1, id: must begin an object"),
        ('[{"id": "1", "name": "Ada", "department": "E"}', "a comma or the end of the list is missing at line 1"),
        ('[\n{"id": "1", "name": ["Ada"], "department": "E"}]', "line 2, name: must be a text, a number or null"),
        ('[{"id": "1", "name": true, "department": "E"}]', "line 1, name: must be a text, a number or null"),
        ('[{"id": "1", "id": "2", "name": "A", "department": "E"}]', "line 1, id: is there twice"),
        ('[{"id": "1", "nick": "A", "department": "E"}]', "line 1, nick: is not known here; known are id, name"),
        ('[{"id": "1", "name": "A", "department": "E"}] x', "something follows the end of the list"),
        ("[", "is not JSON"),
        ("[]", "has no members"),
        ("", "must be a JSON list of objects"),
        ("[" * 100_000, "is not JSON"),
        ('[{"id": ' + "9" * 5_000 + "}]", "is not JSON"),
    ],
)
def test_a_mistake_in_json_is_told_with_its_line(tmp_path, content, told):
    path = tmp_path / "people.json"
    path.write_text(content)
    with pytest.raises(MemberFileError) as found:
        read_members(path)
    assert told in str(found.value)


def test_a_workbook_is_asked_for_as_csv_and_semicolons_are_read(tmp_path):
    book, text = tmp_path / "people.xlsx", tmp_path / "people.csv"
    book.write_bytes(b"PK")
    with pytest.raises(MemberFileError, match="is a workbook; save the sheet as CSV"):
        read_members(book)
    text.write_text("id;name;department\n17;Ada, Countess;Engineering\n")
    assert read_members(text) == [{"line": 2, "id": "17", "name": "Ada, Countess", "department": "Engineering"}]


def test_part_of_full_time_is_read_exactly():
    told = {"0.8": 800_000, "80%": 800_000, "4/5": 800_000, "1": 1_000_000, "100 %": 1_000_000, "2/3": 666_667}
    assert {text: part_time_cell(text) for text in told} == told
