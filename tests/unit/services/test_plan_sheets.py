"""Plans as a spreadsheet: out, edited, in; every mistake by its sheet and cell; no cell is a formula."""

import csv
import io
import zipfile

import pytest

from tests.firm import CREDIT, Firm
from tokenroll.services.plan_files import PlanFileError
from tokenroll.services.plan_sheets import COLUMNS, column_letters, csv_from_plans, xlsx_from_plans
from tokenroll.services.plan_sources import plan_source, read_plan_source, write_plan_source

PLANS = [
    {
        "name": "=HYPERLINK(1)", "kind": "signing_bonus", "classification": "compensation", "amount_nanos": 4_800_500_000_000,
        "vesting": {"kind": "periodic", "period": "3m", "occurrences": 16},
        "terms": {
            "eligibility": {"departments": ["Engineering", "a;b"], "hired_from": "2027-01-01"},
            "leaving": {"windows": [{"reason": "involuntary_death", "days": 90}]}, "transferable": True, "purpose": "personal",
        },
    },
    {"name": "tools", "kind": "stipend", "classification": "tool", "amount_nanos": 80 * CREDIT, "lifetime": "1m"},
]  # fmt: skip
NAMES = ("plans.csv", "plans.xlsx", "plans.toml")


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_out_comes_in_again(tmp_path, name):
    path = tmp_path / name
    write_plan_source(path, PLANS)
    assert [one.arguments for one in read_plan_source(path)] == PLANS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_plans_are_the_same_file(tmp_path, name):
    assert plan_source(tmp_path / name, PLANS) == plan_source(tmp_path / name, PLANS)


@pytest.mark.parametrize("name", NAMES)
def test_a_ledger_goes_out_is_edited_and_comes_in(tmp_path, name):
    firm = Firm()
    for department in ("Engineering", "a;b"):
        firm.do("department.create", name=department)
    firm.do("plan.apply", plans=PLANS)
    path = tmp_path / name
    plans = firm.reports.plan_arguments()
    write_plan_source(path, plans)
    assert {one["state"] for one in firm.reports.plan_differences(path)} == {"same"}
    plans[1]["amount_nanos"] = 95 * CREDIT
    write_plan_source(path, plans)
    assert firm.reports.plan_differences(path)[1]["changes"] == [{"field": "amount", "was": "80", "becomes": "95"}]
    firm.do("plan.apply", plans=[dict(one.arguments) for one in read_plan_source(path)])
    assert [(one["name"], one["version"]) for one in firm.reports.plans()] == [("=HYPERLINK(1)", 1), ("tools", 2)]


def test_no_cell_of_a_workbook_is_a_formula_or_a_link(tmp_path):
    with zipfile.ZipFile(io.BytesIO(xlsx_from_plans(PLANS))) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
        texts = archive.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    assert "'=HYPERLINK(1)" in texts
    assert '<dataValidation type="list"' in sheet
    assert "incidental_personal" in sheet


def cells(**changes):
    """The one row of a sheet, with these columns changed."""
    row = {"name": "tools", "kind": "stipend", "classification": "tool", "amount": "80"} | changes
    return "\n".join([",".join(row), ",".join(row.values())]) + "\n"


def problems_of(path):
    with pytest.raises(PlanFileError) as found:
        read_plan_source(path)
    return str(found.value).splitlines()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (cells(amount="8O"), ["cell D2: amount is no amount: '8O' is not a decimal amount with at most 18 digits before the point and 9 after it, such as 12.5"]),
        (cells(kind="salary"), ["cell B2: kind must be one of signing_bonus, stipend, performance_bonus, spot_bonus, top_up, adjustment, not 'salary'"]),
        (cells(amount="", kind="salary"), ["cell B2: kind must be one of signing_bonus, stipend, performance_bonus, spot_bonus, top_up, adjustment, not 'salary'", "cell D2: amount is empty"]),
        (cells(priority="256"), ["cell E2: priority must be a whole number from 0 to 255, not 256"]),
        (cells(priority="1.5"), ["cell E2: priority must be a whole number from 0 to 255, not '1.5'"]),
        (cells(transferable="maybe"), ["cell E2: transferable must be yes or no, not 'maybe'"]),
        (cells(**{"eligibility.hired_from": "1/2/27"}), ["cell E2: eligibility.hired_from must be a date such as 2026-07-01, not '1/2/27'"]),
        (cells(effective_at="2027-01-01"), ["cell E2: effective_at must be an instant with its zone such as 2026-07-01T00:00:00Z, not 2027-01-01"]),
        (cells(**{"leaving.windows": "involuntary_death"}), ["cell E2: leaving.windows must be pairs such as involuntary_death=90, not 'involuntary_death'"]),
        (cells(**{"leaving.windows": "involuntary_death=1; involuntary_death=2"}), ["cell E2: leaving.windows names involuntary_death twice"]),
        (cells(**{"vesting.kind": "dated", "vesting.shares": "2027-01-01=x"}), ["cell F2: vesting.shares must be dates with their parts such as 2027-01-01=1, not '2027-01-01=x'"]),
        (cells(kind="spot_bonus"), ["cell A2: tools a spot_bonus rewards the person, so it is pay and no working tool (rule: bonus kinds, reference books §1.7): classify the plan as compensation, or make its kind stipend"]),
        (cells() + "tools,stipend,tool,1\n", ["cell A3: name 'tools' is already that of row 2"]),
        (cells() + "x,stipend,tool,1,more\n", ["cell E3: more stands outside the columns that have a head"]),
        ("name,kind,classification\n", ["cell D1: amount is missing among the heads of the columns"]),
        ("name,kind,classification,amount,kind\n", ["cell E1: kind is already the head of column B"]),
        ("name,kind,classification,amount\n", ["cell A2: name has no plans: a row below the first is a plan"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_cell(tmp_path, content, told):
    path = tmp_path / "plans.csv"
    path.write_text(content)
    assert problems_of(path) == [f"{path}, {one}" for one in told]


def test_an_unknown_column_is_told_with_all_that_are_known(tmp_path):
    path = tmp_path / "plans.csv"
    path.write_text(cells(sum="3"))
    (told,) = problems_of(path)
    assert told.startswith(f"{path}, cell E1: sum is not known here; known are name, kind, classification, amount, ")


def test_cells_parted_by_semicolons_are_read_too(tmp_path):
    path = tmp_path / "plans.csv"
    path.write_text("name;kind;classification;amount\ntools;stipend;tool;80,5\n")
    assert problems_of(path)[0].startswith(f"{path}, cell D2: amount is no amount: '80,5'")
    path.write_text('name;kind;classification;amount;access.models\n;;;;\ntools;stipend;tool;80.5;"small; large"\n\n')
    (entry,) = read_plan_source(path)
    assert (entry.line, entry.arguments["amount_nanos"]) == (3, 80_500_000_000)
    assert entry.arguments["terms"] == {"access": {"models": ["small", "large"]}}


def workbook(path, rows, sheet="plans"):
    """A workbook as somebody else's spreadsheet would save it."""
    from xlsxwriter import Workbook

    with Workbook(path) as book:
        page = book.add_worksheet(sheet)
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                page.write(number, column, value, day if hasattr(value, "year") else None)


def test_numbers_dates_and_truths_of_a_spreadsheet_are_read_as_they_look(tmp_path):
    import datetime

    path = tmp_path / "plans.xlsx"
    heads = ["name", "kind", "classification", "amount", "priority", "eligibility.hired_from", "transferable"]
    workbook(path, [heads, ["pay", "stipend", "compensation", 80.25, 7, datetime.date(2027, 1, 31), True]])
    (entry,) = read_plan_source(path)
    assert entry.arguments == {
        "name": "pay", "kind": "stipend", "classification": "compensation", "amount_nanos": 80_250_000_000, "priority": 7,
        "terms": {"eligibility": {"hired_from": "2027-01-31"}, "transferable": True},
    }  # fmt: skip


def test_a_mistake_in_a_workbook_is_told_with_sheet_and_cell(tmp_path):
    import datetime

    path = tmp_path / "plans.xlsx"
    workbook(
        path,
        [
            ["name", "kind", "classification", "amount", "effective_at"],
            ["pay", "salary", "tool", 1e-10, datetime.datetime(2027, 1, 1, 9)],
        ],
    )
    assert problems_of(path) == [
        f"{path}, sheet plans, cell B2: kind must be one of signing_bonus, stipend, performance_bonus, spot_bonus, top_up, adjustment, not 'salary'",
        f"{path}, sheet plans, cell D2: amount is no amount: '1e-10' is not a decimal amount with at most 18 digits before the point and 9 after it, such as 12.5",
        f"{path}, sheet plans, cell E2: effective_at must be an instant with its zone such as 2026-07-01T00:00:00Z, not 2027-01-01T09:00:00",
    ]


def test_a_workbook_without_the_sheet_is_refused(tmp_path):
    path = tmp_path / "plans.xlsx"
    workbook(path, [["name"]], sheet="Tabelle1")
    assert problems_of(path) == [f"{path} has no sheet 'plans'; it has Tabelle1"]


def test_a_cell_far_away_is_refused_before_it_makes_a_table(tmp_path):
    path = tmp_path / "plans.xlsx"
    workbook(path, [["name"]])
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(b'r="A1"', b'r="XFD1048576"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert problems_of(path) == [f"{path}, cell XFD1048576: a sheet has at most 10000 rows and 256 columns"]


def test_an_archive_that_fills_the_memory_is_refused(tmp_path):
    path = tmp_path / "plans.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", bytes(64 * 1024 * 1024 + 1))
    assert problems_of(path) == [f"{path} is larger than 67108864 bytes when unpacked"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("plans.xlsx", b"PK no archive", "cannot be read as a workbook: File is not a zip file"),
        ("plans.csv", b"name,kind\n\xff", "cannot be read as CSV in UTF-8"),
        ("plans.csv", b'name,"kind\n', "cannot be read as CSV in UTF-8: unexpected end of data"),
        ("plans.ods", b"", "a file of plans ends in .toml, .xlsx, .csv"),
        ("plans.csv", b"," * 4_194_305, "is larger than 4194304 bytes"),
        ("plans.csv", b"", "cell A1: name is missing among the heads of the columns"),
    ],
)
def test_what_is_no_sheet_is_refused(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    assert told in problems_of(path)[0]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert problems_of(tmp_path / "none.csv") == [f"{tmp_path / 'none.csv'} cannot be read: No such file or directory"]


def test_an_empty_archive_is_no_workbook(tmp_path):
    path = tmp_path / "plans.xlsx"
    with zipfile.ZipFile(path, "w"):
        pass
    assert "cannot be read as a workbook" in problems_of(path)[0]


def test_more_plans_than_a_file_holds_are_refused_and_mistakes_are_counted(tmp_path):
    path = tmp_path / "plans.csv"
    rows = [[f"p{number}", "stipend", "tool", "x"] for number in range(501)]
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS[:4], *rows])
    path.write_text(text.getvalue())
    told = problems_of(path)
    assert (len(told), told[-1]) == (51, "and 451 more")
    path.write_text(text.getvalue().replace(",x", ",1"))
    assert problems_of(path) == [f"{path}, cell A502: name is one too many; a file holds at most 500 plans"]


def test_columns_have_letters():
    assert [column_letters(number) for number in (0, 25, 26, 27, 51, 52, 701, 702)] == [
        "A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(PlanFileError, match="cannot be written: No such file or directory"):
        write_plan_source(tmp_path / "none" / "plans.csv", PLANS)
    assert csv_from_plans([]).decode("utf-8-sig").split("\r\n")[0].startswith("name,kind,classification,amount,")


def test_without_the_extra_a_workbook_is_refused_and_csv_goes(tmp_path, monkeypatch):
    import sys

    write_plan_source(tmp_path / "plans.xlsx", PLANS)
    for module in ("xlsxwriter", "python_calamine"):
        monkeypatch.setitem(sys.modules, module, None)
    told = "needs the extra `sheets`: install tokenroll\\[sheets\\], or use CSV"
    with pytest.raises(PlanFileError, match=told):
        read_plan_source(tmp_path / "plans.xlsx")
    with pytest.raises(PlanFileError, match=told):
        write_plan_source(tmp_path / "other.xlsx", PLANS)
    write_plan_source(tmp_path / "plans.csv", PLANS)
    assert len(read_plan_source(tmp_path / "plans.csv")) == 2


def test_a_part_that_is_larger_than_it_says_is_refused(tmp_path):
    path = tmp_path / "plans.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", b"x" * 1_000_000)
    content = path.read_bytes()
    # the size unpacked stands in the head of the part and in the archive's list
    path.write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert problems_of(path) == [
        f"{path} cannot be read as a workbook: its part xl/sharedStrings.xml is not what its archive says"
    ]


def changed(path, part, was, becomes):
    """The workbook with a change in one of its parts."""
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    assert was in parts[part]
    parts[part] = parts[part].replace(was, becomes)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


SHEET_PART = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("part", "was", "becomes", "told"),
    [
        (SHEET_PART, b'r="A1"', b'r="P10000000000001"', ", cell P10000000000001: a sheet has at most 10000 rows"),
        (SHEET_PART, b'r="A1"', b'r="AAAAAAAAAAAAAAAAAAAA1"', ", cell AAAAAAAAAAAAAAAAAAAA1: a sheet has at most"),
        (SHEET_PART, b'<row r="1"', b'<row r="99999"', ", cell 99999: a sheet has at most"),
        (SHEET_PART, b'<row r="1"', b'<row r="x"', ", cell x: a sheet has at most"),
        (SHEET_PART, b'r="A1"', b'r="IW1"', ", cell IW1: a sheet has at most 10000 rows and 256 columns"),
        (SHEET_PART, b"<sheetData>", b"<sheetData>" + b"<row/>" * 10_001, ": a sheet has at most 10000 rows"),
        (SHEET_PART, b"</sheetData>", b"", f" cannot be read as a workbook: its part {SHEET_PART}: mismatched tag"),
        (SHEET_PART, b"UTF-8", b"UTF-9", f" cannot be read as a workbook: its part {SHEET_PART}: unknown encoding"),
        ("xl/_rels/workbook.xml.rels", b"sheet1.xml", b"sheet1.bin", " points to 'worksheets/sheet1.bin', and only .xml parts"),
    ],
)  # fmt: skip
def test_a_workbook_that_was_made_to_break_its_reader_is_refused(tmp_path, part, was, becomes, told):
    path = tmp_path / "plans.xlsx"
    write_plan_source(path, PLANS)
    changed(path, part, was, becomes)
    (said,) = problems_of(path)
    assert said.startswith(str(path))
    assert told in said
