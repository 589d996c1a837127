"""Plans as a file: every mistake by its line, the difference to the ledger, and all or nothing."""

import pytest

from tests.firm import CREDIT, JANUARY, Firm
from tokenroll.services.plan_files import PlanFileError, differences, read_plans

TWO = """\
[plans."Engineer stipend"]
kind = "stipend"
classification = "tool"
amount = "80"
lifetime = "1m"

[plans.sign-on]
kind = "signing_bonus"
classification = "compensation"
amount = "4800"
effective_at = 2026-01-15T00:00:00Z
priority = 50
enforcement = "warn"
cap_policy = "clamp"
output_cap_tokens = 8000
overage = "2.5"

[plans.sign-on.vesting]
kind = "periodic"
period = "3m"
occurrences = 16
cliff_occurrences = 4
unit = "1"
"""


@pytest.fixture
def firm():
    return Firm()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plans.toml"
    path.write_text(TWO)
    return path


def applied(firm, path, **how):
    return firm.ask("plan.apply", plans=[dict(one.arguments) for one in read_plans(path)], **how)


def states(firm, path):
    firm.connection.rollback()
    return {one["name"]: one["state"] for one in differences(firm.connection, read_plans(path))}


def test_every_field_is_read(file):
    stipend, sign_on = read_plans(file)
    assert (stipend.name, stipend.line, sign_on.name, sign_on.line) == ("Engineer stipend", 1, "sign-on", 7)
    assert stipend.arguments == {
        "name": "Engineer stipend", "kind": "stipend", "classification": "tool", "amount_nanos": 80 * CREDIT, "lifetime": "1m",
    }  # fmt: skip
    assert sign_on.arguments == {
        "name": "sign-on", "kind": "signing_bonus", "classification": "compensation", "amount_nanos": 4_800 * CREDIT,
        "effective_at": 1_768_435_200_000_000, "priority": 50, "enforcement": "warn", "cap_policy": "clamp",
        "output_cap_tokens": 8_000, "overage_nanos_max": 2_500_000_000,
        "vesting": {
            "kind": "periodic", "period": "3m", "occurrences": 16, "cliff_occurrences": 4, "unit_nanos": CREDIT,
        },
    }  # fmt: skip


def test_it_is_applied_once_and_then_says_what_is_there(firm, file):
    assert states(firm, file) == {"Engineer stipend": "new", "sign-on": "new"}
    made = applied(firm, file).result
    assert [(one["name"], one["version"]) for one in made["created"]] == [("Engineer stipend", 1), ("sign-on", 1)]
    assert states(firm, file) == {"Engineer stipend": "same", "sign-on": "same"}
    again = applied(firm, file).result
    assert (again["created"], again["unchanged"]) == ([], ["Engineer stipend", "sign-on"])


def test_a_change_is_told_field_by_field_and_makes_the_next_version(firm, file):
    applied(firm, file)
    file.write_text(TWO.replace('"80"', '"95"').replace("occurrences = 16", "occurrences = 12"))
    firm.connection.rollback()
    stipend, sign_on = differences(firm.connection, read_plans(file))
    assert stipend["changes"] == [{"field": "amount", "was": "80", "becomes": "95"}]
    assert sign_on["changes"] == [
        {
            "field": "vesting",
            "was": "16 × 3 months, nothing before number 4, in parts of 1",
            "becomes": "12 × 3 months, nothing before number 4, in parts of 1",
        }
    ]
    made = applied(firm, file).result
    assert [(one["name"], one["version"]) for one in made["created"]] == [("Engineer stipend", 2), ("sign-on", 2)]


def test_what_the_file_does_not_name_stays(firm, file):
    firm.do("plan.create", name="old", kind="stipend", classification="tool", amount_nanos=CREDIT)
    applied(firm, file)
    assert states(firm, file)["old"] == "only in the ledger"


def test_a_dry_run_makes_nothing(firm, file):
    assert len(applied(firm, file, dry_run=True).result["created"]) == 2
    assert states(firm, file)["sign-on"] == "new"


def test_a_plan_that_is_refused_leaves_all_of_them_undone(firm, file):
    plans = [dict(one.arguments) for one in read_plans(file)]
    plans[1]["priority"] = 256
    assert "priority lies between 0" in firm.ask("plan.apply", plans=plans).problem
    assert states(firm, file) == {"Engineer stipend": "new", "sign-on": "new"}


def test_an_old_grant_keeps_what_it_was_given(firm, file):
    firm.hire("Ada")
    applied(firm, file)
    firm.now = JANUARY + 1
    firm.do("grant.create", to="Ada", plan="Engineer stipend")
    file.write_text(TWO.replace('"80"', '"95"'))
    applied(firm, file)
    assert [one["amount_nanos"] for one in firm.reports.grants("Ada")] == [80 * CREDIT]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ('kind = "stipend"', 'kind = "salary"'),
            ":2: plans.Engineer stipend.kind must be one of signing_bonus, stipend",
        ),
        (
            ('amount = "80"', "amount = 80.5"),
            ':4: plans.Engineer stipend.amount must be a text such as "80" or "0.5", not 80.5',
        ),
        (('amount = "80"', 'amount = "8O"'), ":4: plans.Engineer stipend.amount is no amount"),
        (('amount = "80"', 'amount = "-80"'), ":4: plans.Engineer stipend.amount is no amount"),
        (('amount = "80"\n', ""), ":1: plans.Engineer stipend.amount is missing"),
        (
            ("lifetime", "life_time"),
            ":5: plans.Engineer stipend.life_time is not known here; known are kind, classification",
        ),
        (('lifetime = "1m"', 'lifetime = "1y"'), ":1: plans.Engineer stipend a lifetime is a number of days or months"),
        (
            ("priority = 50", "priority = 256"),
            ":12: plans.sign-on.priority must be a whole number from 0 to 255, not 256",
        ),
        (("priority = 50", "priority = true"), ":12: plans.sign-on.priority must be a whole number"),
        (("T00:00:00Z", "T00:00:00"), ":11: plans.sign-on.effective_at must be an instant with its zone"),
        (('period = "3m"', "month = 3"), ":20: plans.sign-on.vesting.month is not known here; known are kind, period"),
        (("occurrences = 16", "occurrences = 3"), ":7: plans.sign-on a cliff of 4 periods does not fit 3 periods"),
        (
            ('kind = "periodic"', 'kind = "monthly"'),
            ":19: plans.sign-on.vesting.kind must be one of immediate, periodic, dated",
        ),
        (('unit = "1"', 'shares = "soon"'), ":23: plans.sign-on.vesting.shares must be a list of dates"),
        (("[plans.sign-on]", "[plan.sign-on]"), ":7: plan is not known here; a plan is a table [plans.NAME]"),
        (
            ('classification = "tool"', 'classification = "perk"'),
            ":3: plans.Engineer stipend.classification must be one of tool",
        ),
        (
            (
                'kind = "signing_bonus"\nclassification = "compensation"',
                'kind = "signing_bonus"\nclassification = "tool"',
            ),
            ":7: plans.sign-on a signing_bonus rewards the person, so it is pay and no working tool",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_could_stand_there(file, change, told):
    file.write_text(TWO.replace(*change))
    with pytest.raises(PlanFileError) as found:
        read_plans(file)
    assert f"{file}{told}" in str(found.value)


def test_a_name_may_hold_dots_and_brackets(file):
    file.write_text(TWO.replace("sign-on", '"sign-on v1.5 [EU]"').replace("priority = 50", "priority = 999"))
    with pytest.raises(PlanFileError, match=r"toml:12: plans\.sign-on v1\.5 \[EU\]\.priority must be"):
        read_plans(file)


def test_every_mistake_is_told_not_only_the_first(file):
    file.write_text(TWO.replace('"stipend"', '"salary"').replace("priority = 50", "priority = 999"))
    with pytest.raises(PlanFileError) as found:
        read_plans(file)
    assert len(str(found.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "plans has no plans"),
        (b"[plans]\n", "plans has no plans"),
        (b"plans = 3\n", "plans has no plans"),
        (b"[plans]\nx = 3\n", "plans.x must be a table"),
        (b"[plans.x\n", "is not TOML"),
        (b"\xff", "cannot be read"),
        (b"".join(b'[plans.p%d]\nkind = "stipend"\n' % number for number in range(501)), "a file holds at most 500"),
        (b"#" * 4_194_305, "is larger than 4194304 bytes"),
    ],
)
def test_a_file_that_holds_no_plans_is_refused(file, content, told):
    file.write_bytes(content)
    with pytest.raises(PlanFileError) as found:
        read_plans(file)
    assert told in str(found.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlanFileError, match="cannot be read: No such file or directory"):
        read_plans(tmp_path / "none.toml")


TERMS = """
[plans."Engineer stipend".eligibility]
departments = ["Engineering"]
hired_from = 2026-01-01

[plans."Engineer stipend".leaving]
forfeited = "return_to_pool"
windows = { voluntary_other = 0 }

[plans."Engineer stipend".leaving.clawback]
basis = "pro_rata"
months = 12

[plans."Engineer stipend".tax]
use_scope = "business_only"
salary_sacrifice = false
"""


def test_terms_are_read_and_told_by_their_names(firm, file):
    firm.do("department.create", name="Engineering")
    file.write_text(TWO + TERMS)
    assert read_plans(file)[0].arguments["terms"] == {
        "eligibility": {"departments": ["Engineering"], "hired_from": "2026-01-01"},
        "leaving": {
            "forfeited": "return_to_pool", "windows": [{"reason": "voluntary_other", "days": 0}],
            "clawback": {"basis": "pro_rata", "months": 12},
        },
        "tax": {"use_scope": "business_only", "salary_sacrifice": False},
    }  # fmt: skip
    applied(firm, file)
    assert states(firm, file) == {"Engineer stipend": "same", "sign-on": "same"}
    file.write_text(TWO + TERMS.replace("months = 12", "months = 24").replace("2026-01-01\n\n", "2026-02-01\n\n"))
    firm.connection.rollback()
    assert differences(firm.connection, read_plans(file))[0]["changes"] == [
        {"field": "eligibility.hired_from", "was": "2026-01-01", "becomes": "2026-02-01"},
        {"field": "leaving.clawback.months", "was": "12", "becomes": "24"},
    ]
    file.write_text(TWO)
    firm.connection.rollback()
    assert {"field": "tax.use_scope", "was": "business_only", "becomes": "-"} in differences(
        firm.connection, read_plans(file)
    )[0]["changes"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ('"business_only"', '"all"'),
            ":38: plans.Engineer stipend.tax.use_scope must be one of business_only, incidental",
        ),
        (
            ("months = 12", "months = 99"),
            ":35: plans.Engineer stipend.leaving.clawback.months must be a whole number from 1 to 60",
        ),
        (
            ("months = 12\n", ""),
            ":1: plans.Engineer stipend terms.leaving.clawback: object missing required field `months`",
        ),
        (
            ("voluntary_other = 0", "bored = 0"),
            ":31: plans.Engineer stipend.leaving.windows must be one of voluntary_other",
        ),
        (
            ("voluntary_other = 0", "voluntary_other = 30"),
            ":1: plans.Engineer stipend it stays spendable for 30 days after leaving",
        ),
        (
            ('["Engineering"]', '"Engineering"'),
            ":26: plans.Engineer stipend.eligibility.departments must be a list of texts",
        ),
        (
            ("hired_from = 2026-01-01", 'hired_from = "soon"'),
            ":27: plans.Engineer stipend.eligibility.hired_from must be a date",
        ),
        (
            ("salary_sacrifice = false", "salary_sacrifice = 0"),
            ":39: plans.Engineer stipend.tax.salary_sacrifice must be true or false",
        ),
        (
            ("use_scope", "usescope"),
            ":38: plans.Engineer stipend.tax.usescope is not known here; known are use_scope, convertible",
        ),
    ],
)
def test_a_mistake_in_the_terms_is_told_with_its_line(file, change, told):
    file.write_text(TWO + TERMS.replace(*change))
    with pytest.raises(PlanFileError) as found:
        read_plans(file)
    assert f"{file}{told}" in str(found.value)


NAMES = """
[plans."Engineer stipend".eligibility]
departments = ["Enginering"]

[plans."Engineer stipend".floor]
model = "small"
pool = "everybody"
"""


def test_a_name_that_nothing_has_is_told_before_and_refused_with_the_names_there_are(firm, file):
    firm.do("department.create", name="Engineering")
    file.write_text(TWO.replace('amount = "4800"', 'amount = "4801"') + NAMES)
    told = [
        "eligibility.departments names 'Enginering', and there is no such department: there are Engineering",
        "floor.pool names 'everybody', and there is no such pool: there is none yet",
    ]
    assert firm.reports.plan_differences(file)[0]["problems"] == told
    assert applied(firm, file).problem.splitlines() == [f"plan Engineer stipend: {one}" for one in told]
    assert firm.reports.plans() == []
    firm.do("department.create", name="Enginering")
    firm.do("pool.create", name="everybody")
    assert len(applied(firm, file).result["created"]) == 2


def test_all_that_is_refused_of_a_file_is_told_together(firm, file):
    plans = [dict(one.arguments) for one in read_plans(file)]
    plans[0] |= {"terms": {"transferable": True}}
    plans[1] |= {"priority": 256}
    told = firm.ask("plan.apply", plans=plans).problem.splitlines()
    assert [one.partition(":")[0] for one in told] == ["plan Engineer stipend", "plan sign-on"]
    assert "rule: transfer or gift" in told[0]
    assert "priority lies between 0" in told[1]
