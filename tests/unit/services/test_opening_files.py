"""A mid-year start: what is left of awards made elsewhere, out of equity, each row once, to the last nano of the other books."""

import pytest

from tests.firm import CREDIT, DAY, JANUARY, Firm
from tests.tampering import permit_changes
from tokenroll.services.opening_files import OpeningFileError, read_openings
from tokenroll.store.verify import verify

JULY = JANUARY + 181 * DAY  # 2026-07-01T00:00:00Z
ROWS = """\
id,to,plan,left,expires_on,granted_on,spent_this_year,spendable_on
2026-OB-1,Ada,tools,37.5,2026-09-30,2026-04-01,62.5,
2026-OB-2,18,tools,100,2026-12-31,2026-06-01,,
2026-OB-3,Ada,sign-on,240,never,2026-01-15,,2026-10-15
2026-OB-4,Cleo,tools,0,2026-12-31,2026-01-01,100,
"""


@pytest.fixture
def firm():
    one = Firm(JANUARY)
    for name, zone in (("Ada", "Europe/Berlin"), ("Bo", "UTC"), ("Cleo", "UTC")):
        one.hire(name, zone=zone)
    one.do("member.change", member="Bo", employee_id="18")
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT, lifetime="6m")
    one.do(
        "plan.create", name="sign-on", kind="signing_bonus", classification="compensation", amount_nanos=480 * CREDIT
    )
    one.now = JULY
    return one


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "openings.csv"
    path.write_text(ROWS)
    return path


def opened(firm, path, **how):
    return firm.ask("wallet.open", rows=read_openings(path), **how)


def lefts(firm):
    return {one["name"]: (one["left_nanos"], one["unvested_nanos"]) for one in firm.reports.wallets()}


NOTHING = {"Ada": (0, 0), "Bo": (0, 0), "Cleo": (0, 0)}
ALL = {"Ada": (37_500_000_000, 240 * CREDIT), "Bo": (100 * CREDIT, 0), "Cleo": (0, 0)}


def test_every_row_becomes_a_lot_that_expires_when_the_award_does(firm, file):
    made = opened(firm, file, total_nanos=377_500_000_000).result
    assert [(one["id"], one["to"], one["state"]) for one in made["openings"]] == [
        ("2026-OB-1", "Ada", "new"),
        ("2026-OB-2", "Bo", "new"),
        ("2026-OB-3", "Ada", "new"),
        ("2026-OB-4", "Cleo", "nothing left"),
    ]
    assert (made["new_count"], made["empty_count"], made["new_nanos"]) == (3, 1, 377_500_000_000)
    assert lefts(firm) == ALL
    told = {one["id"]: one for one in firm.reports.openings()}
    # the day that a person calls the last one ends at midnight in Berlin
    assert told["2026-OB-1"]["expires_at"] == JANUARY + 273 * DAY - 2 * 3_600_000_000
    assert (told["2026-OB-1"]["granted_on"], told["2026-OB-1"]["spent_before_nanos"]) == ("2026-04-01", 62_500_000_000)
    assert told["2026-OB-3"]["expires_at"] is None
    assert told["2026-OB-3"]["effective_at"] == JANUARY + 287 * DAY - 2 * 3_600_000_000  # 2026-10-15 in Berlin
    assert (told["2026-OB-4"]["opened_nanos"], told["2026-OB-4"]["grant"]) == (0, None)
    (sign_on,) = [one for one in firm.reports.grants("Ada") if one["classification"] == "compensation"]
    assert (sign_on["kind"], sign_on["words"]) == ("adjustment", "adjustment (pay)")


def test_it_is_balanced_by_equity_and_not_by_what_is_granted_now(firm, file):
    opened(firm, file)
    firm.do("grant.create", to="Ada", plan="tools")
    rows = firm.connection.exec_driver_sql(
        "SELECT kind, account, sum(nanos) FROM entries JOIN postings USING (ledger_seq) GROUP BY kind, account ORDER BY kind, account"
    ).all()
    assert [tuple(row) for row in rows] == [
        ("grant", "granted", -100 * CREDIT),
        ("grant", "unvested", 100 * CREDIT),
        ("open", "opening_equity", -377_500_000_000),
        ("open", "unvested", 377_500_000_000),
        ("vest", "available", 477_500_000_000),
        ("vest", "unvested", -477_500_000_000),
    ]


def test_the_journal_holds_after_an_opening(firm, file):
    opened(firm, file)
    firm.connection.rollback()
    found = verify(firm.connection, firm.now)
    assert (found.differences, found.counts["facts"]) == ([], 6)  # three grants and their lots
    # a lot whose entry says less than the lot is found, as for every grant
    permit_changes(firm.connection)
    firm.connection.exec_driver_sql("UPDATE postings SET nanos = nanos * 2 WHERE lot_id = 1 AND account IN ('opening_equity', 'unvested')")  # fmt: skip
    assert "grant" in {one.kind for one in verify(firm.connection, firm.now).differences}


def test_the_same_file_again_opens_only_what_is_new(firm, file):
    opened(firm, file)
    firm.now += DAY
    file.write_text(ROWS + "2026-OB-5,Cleo,tools,5,2026-12-31,,,\n")
    again = opened(firm, file).result
    assert [one["state"] for one in again["openings"]] == ["known", "known", "known", "known", "new"]
    assert (again["new_nanos"], again["total_nanos"]) == (5 * CREDIT, 382_500_000_000)
    assert lefts(firm) == {**ALL, "Cleo": (5 * CREDIT, 0)}


def test_a_row_that_was_changed_after_it_was_booked_is_refused_and_nothing_is_opened(firm, file):
    opened(firm, file)
    file.write_text(ROWS.replace("37.5", "37.6") + "2026-OB-5,Cleo,tools,5,2026-12-31,,,\n")
    assert opened(firm, file).problem == (
        "line 2, 2026-OB-1: was opened before with other values; a correction is a grant, or an opening value with an id of its own"
    )
    assert lefts(firm) == ALL


def test_a_total_of_other_books_is_met_to_the_nano_or_nothing_is_opened(firm, file):
    reply = opened(firm, file, total_nanos=377_500_000_001)
    assert reply.problem_kind == "total"
    assert reply.problem == (
        "the rows add up to 377.50 credits, 0.000000001 less than the total of 377.500000001: nothing was opened"
    )
    assert "0.50 more than the total of 377.00" in opened(firm, file, total_nanos=377 * CREDIT).problem
    assert lefts(firm) == NOTHING


def test_a_dry_run_shows_all_of_it_and_keeps_nothing(firm, file):
    assert opened(firm, file, dry_run=True).result["new_count"] == 3
    assert lefts(firm) == NOTHING
    assert firm.reports.openings() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((",Cleo,", ",Eve,"), "line 5, 2026-OB-4: there is no wallet 'Eve'"),
        (("18,tools", "18,toys"), "line 3, 2026-OB-2: there is no plan 'toys'"),
        (("2026-09-30", "2026-06-30"), "line 2, 2026-OB-1: expires_on 2026-06-30 is over: nothing can be left of it"),
        (("2026-09-30", ""), "line 2, 2026-OB-1: expires_on is empty, but parts of plan tools live 6m: say the last day, or never"),
        (("2026-04-01", "2026-07-02"), "granted_on 2026-07-02 is still to come"),
        ((",never,", ",2026-10-01,"), "spendable_on 2026-10-15 comes after expires_on 2026-10-01"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_by_line_and_nothing_is_opened(firm, file, change, says):
    file.write_text(ROWS.replace(*change))
    reply = opened(firm, file)
    assert reply.problem_kind == "openings"
    assert says in reply.problem
    assert lefts(firm) == NOTHING


def test_nothing_is_opened_as_of_a_time_to_come_or_before_its_plan(firm, file):
    assert "not as of a time to come" in opened(firm, file, effective_at=JULY + 1).problem
    assert "holds only from its own date on" in opened(firm, file, effective_at=JANUARY - DAY).problem


def test_what_was_opened_is_spent_and_expires_like_everything_else(firm, file):
    opened(firm, file)
    (lot, _later) = firm.lot_ids("Ada")
    firm.call("Ada", lot, 7 * CREDIT)
    assert lefts(firm)["Ada"] == (30_500_000_000, 240 * CREDIT)
    firm.now = JANUARY + 273 * DAY
    assert firm.reports.wallet("Ada")["expired_nanos"] == 30_500_000_000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("left", "leftover"), ["line 1, left: is missing", "line 1, leftover: is not known here"]),
        (("37.5", ""), ["line 2, left: is empty"]),
        (("37.5", "-1"), ["line 2, left: is no amount"]),
        (("62.5", "much"), ["line 2, spent_this_year: is no amount"]),
        (("2026-09-30", "30.9.2026"), ["line 2, expires_on: '30.9.2026' is no date such as 2026-01-31"]),
        (("2026-OB-2", "2026-OB-1"), ["line 3, id: '2026-OB-1' is already that of line 2"]),
    ],
)
def test_a_mistake_is_told_with_line_and_column(file, change, told):
    was, becomes = change
    file.write_text(ROWS.replace(was, becomes, 1))
    with pytest.raises(OpeningFileError) as found:
        read_openings(file)
    lines = str(found.value).splitlines()
    assert len(lines) == len(told)
    for line, text in zip(lines, told, strict=True):
        assert line.startswith(f"{file}, {text}")
