"""HR's awards as a spreadsheet: read with every mistake named, granted all or none, and each row once."""

import pytest

from tests.firm import CREDIT, DAY, JANUARY, Firm
from tokenroll.services import award_files
from tokenroll.services.award_files import AwardFileError, read_awards

THREE = """\
id,to,plan,amount,effective_at
2026-Q1-1,Ada,sign-on,480,2026-01-15T00:00:00Z
2026-Q1-2,Bo,tools,,
2026-Q1-3,Ada,tools,12.5,
"""


@pytest.fixture
def firm():
    one = Firm()
    for name in ("Ada", "Bo"):
        one.hire(name)
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    one.do("plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=CREDIT)
    return one


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "awards.csv"
    path.write_text(THREE)
    return path


def imported(firm, path, **how):
    return firm.ask("grant.import", rows=read_awards(path), **how)


def granted(firm):
    return sorted((one["wallet_name"], one["amount_nanos"]) for one in firm.reports.grants())


ALL = [("Ada", 12_500_000_000), ("Ada", 480 * CREDIT), ("Bo", 100 * CREDIT)]


def test_every_row_becomes_a_grant_under_its_own_id(firm, file):
    made = imported(firm, file).result
    assert [(one["id"], one["to"], one["state"], one["amount_nanos"]) for one in made["awards"]] == [
        ("2026-Q1-1", "Ada", "new", 480 * CREDIT),
        ("2026-Q1-2", "Bo", "new", 100 * CREDIT),
        ("2026-Q1-3", "Ada", "new", 12_500_000_000),
    ]
    assert (made["new_count"], made["known_count"], made["new_nanos"]) == (3, 0, 592_500_000_000)
    assert granted(firm) == ALL
    (sign_on,) = [one for one in firm.reports.grants("Ada") if one["kind"] == "signing_bonus"]
    assert sign_on["effective_at"] == JANUARY + 14 * DAY


def test_a_file_that_is_read_again_grants_only_what_is_new(firm, file):
    first = imported(firm, file).result
    file.write_text(THREE + "2026-Q1-4,Bo,tools,7,\n")
    again = imported(firm, file).result
    assert [one["state"] for one in again["awards"]] == ["known", "known", "known", "new"]
    assert [one["grant"] for one in again["awards"][:3]] == [one["grant"] for one in first["awards"]]
    assert (again["new_count"], again["known_count"], again["new_nanos"]) == (1, 3, 7 * CREDIT)
    assert granted(firm) == sorted([*ALL, ("Bo", 7 * CREDIT)])


def test_a_row_that_was_changed_after_it_was_granted_is_refused_and_grants_nothing(firm, file):
    imported(firm, file)
    file.write_text(THREE.replace("12.5", "13") + "2026-Q1-4,Bo,tools,7,\n")
    problem = imported(firm, file).problem
    assert problem.startswith("line 4, 2026-Q1-3: was granted before as grant_")
    assert "a correction is an award with an id of its own" in problem
    assert granted(firm) == ALL


def test_rows_that_cannot_be_granted_are_all_told_and_nothing_is_granted(firm, file):
    file.write_text(THREE.replace(",Bo,", ",Eve,").replace("Ada,tools", "Ada,toys"))
    reply = imported(firm, file)
    assert reply.problem_kind == "awards"
    told = reply.problem.splitlines()
    assert [line.split(":")[0] for line in told] == ["line 3, 2026-Q1-2", "line 4, 2026-Q1-3"]
    assert "there is no wallet 'Eve'" in told[0]
    assert "there is no plan 'toys'" in told[1]
    assert granted(firm) == []


def test_a_budget_is_kept_by_granting_nothing_above_it(firm, file):
    problem = imported(firm, file, budget_nanos=592 * CREDIT).problem
    assert problem == ("the new awards are 592.50 credits, 0.50 above the budget of 592.00: nothing was granted")
    assert granted(firm) == []
    assert imported(firm, file, budget_nanos=592_500_000_000).result["new_count"] == 3
    assert imported(firm, file, budget_nanos=0).result["known_count"] == 3  # nothing new, so nothing of the budget


def test_more_tranches_than_one_message_tells_are_granted_in_parts(firm, file, monkeypatch):
    monkeypatch.setattr(award_files, "AWARD_LOTS_MAX", 2)
    reply = imported(firm, file)
    assert reply.problem_kind == "too_many"
    assert reply.problem == "line 4: the awards so far have more than 2 tranches; import the file in parts"
    assert granted(firm) == []


def test_a_dry_run_grants_nothing(firm, file):
    assert imported(firm, file, dry_run=True).result["new_count"] == 3
    assert granted(firm) == []


def test_the_journal_holds_after_an_import(firm, file):
    from tokenroll.store.verify import verify

    imported(firm, file)
    firm.connection.rollback()
    assert verify(firm.connection, firm.now).differences == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("id,to,plan", "id,to,plann"), ["line 1, plan: is missing", "line 1, plann: is not known here"]),
        (("2026-Q1-2,Bo", ",Bo"), ["line 3, id: is empty"]),
        (("2026-Q1-2,Bo", "2026-Q1-2, "), ["line 3, to: is empty"]),
        (("2026-Q1-2", "2026-Q1-1"), ["line 3, id: '2026-Q1-1' is already that of line 2"]),
        (("12.5", "12,5"), ["line 4, id: begins a row with more cells", "line 4, effective_at: '5' is no instant"]),
        (("12.5", "-1"), ["line 4, amount: is no amount"]),
        (("12.5", "0"), ["line 4, amount: is 0, and an award of nothing is none"]),
        (("2026-01-15T00:00:00Z", "15.1.2026"), ["line 2, effective_at: '15.1.2026' is no instant"]),
        (
            ("2026-01-15T00:00:00Z", "2026-01-15T00:00:00"),
            ["line 2, effective_at: '2026-01-15T00:00:00' is no instant"],
        ),
        (("2026-Q1-1", "x" * 201), ["line 2, id: has 201 characters; an id has at most 200"]),
    ],
)
def test_a_mistake_is_told_with_line_and_column(file, change, told):
    file.write_text(THREE.replace(*change))
    with pytest.raises(AwardFileError) as found:
        read_awards(file)
    lines = str(found.value).splitlines()
    assert len(lines) == len(told)
    for line, text in zip(lines, told, strict=True):
        assert line.startswith(f"{file}, {text}")


def test_of_very_many_mistakes_the_first_are_told_and_the_others_counted(file):
    file.write_text("id,to,plan\n" + ",,\n" * 100)
    with pytest.raises(AwardFileError) as found:
        read_awards(file)
    lines = str(found.value).splitlines()
    assert (len(lines), lines[-1]) == (51, "and 250 more")


def test_a_file_has_a_limit(file):
    file.write_text("id,to,plan\n" + "".join(f"{number},Ada,tools\n" for number in range(5_001)))
    with pytest.raises(AwardFileError, match="line 5002, id: is one too many; a file holds at most 5000 awards"):
        read_awards(file)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "line 1, id: is missing"), (b"id,to,plan\n", "has no awards"), (b"\xff", "cannot be read")],
)
def test_a_file_that_holds_no_awards_is_refused(file, content, told):
    file.write_bytes(content)
    with pytest.raises(AwardFileError, match=told):
        read_awards(file)


def test_a_spreadsheet_may_begin_with_its_mark_and_hold_blanks(firm, file):
    file.write_bytes("\ufeffid,to,plan\r\n 7 , Ada ,tools \r\n".encode())
    assert imported(firm, file).result["awards"][0]["to"] == "Ada"


def test_a_row_may_say_what_a_formula_needs(firm, tmp_path):
    firm.do(
        "plan.create", name="share", kind="stipend", classification="tool", amount_nanos=CREDIT,
        terms={"formula": {"kind": "percent_of_base", "percent_nanos": 10 * CREDIT}, "proration": "by_day"},
    )  # fmt: skip
    path = tmp_path / "share.csv"
    path.write_text("id,to,plan,base_pay,working_time\nS-1,Ada,share,1000,0.6\nS-2,Bo,share,500,\n")
    made = firm.do("grant.import", rows=read_awards(path))
    assert [one["amount_nanos"] for one in made["awards"]] == [60 * CREDIT, 50 * CREDIT]
    path.write_text("id,to,plan,base_pay,working_time,score\nS-1,Ada,share,much,1.5,101\nS-2,Bo,share,1,0.1234567,x\n")
    with pytest.raises(AwardFileError) as found:
        read_awards(path)
    assert str(found.value).splitlines() == [
        f"{path}, line 2, base_pay: is no amount: 'much' is not a decimal amount with at most 18 digits before the point and 9 after it, such as 12.5",
        f"{path}, line 2, score: must lie between 0 and 100, not 101",
        f"{path}, line 2, working_time: lies above 0 and at most at 1, which is full time, with at most 6 decimals, not 1.5",
        f"{path}, line 3, score: is no score: 'x' is not a decimal amount with at most 18 digits before the point and 9 after it, such as 12.5",
        f"{path}, line 3, working_time: lies above 0 and at most at 1, which is full time, with at most 6 decimals, not 0.1234567",
    ]
