"""Plans at the command line: every term of vesting in an option, and a plan tried before anybody gets it."""

import json

import pytest

from tests.made_home import home_of
from tokenroll.cli import main

BONUS = ("plan", "create", "bonus", "--kind", "signing_bonus", "--classification", "compensation", "--amount", "18")


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    home_of(
        tmp_path, monkeypatch,
        ("init", "--name", "Acme"),
        ("department", "create", "Engineering"),
        ("member", "create", "Ada", "--department", "Engineering"),
    )  # fmt: skip
    capsys.readouterr()
    return tmp_path


def asked(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_terms_of_vesting_reach_the_lots(home, capsys):
    terms = ("--every", "3m", "--occurrences", "4", "--cliff", "2", "--day-of-month", "31")
    made = asked(capsys, *BONUS, "--vesting", "periodic", *terms, "--unit", "1", "--allocation", "front_loaded")
    assert made["schedule"] == (
        "4 × 3 months, nothing before number 2, on day 31 or the month's last, in parts of 1, front loaded"
    )
    since = ("--effective-at", "2027-01-15T00:00:00Z")
    lots = asked(capsys, "grant", "create", "Ada", "--plan", "bonus", *since)["lots"]
    assert [(lot["amount"]["amount"], lot["effective_at"][:10]) for lot in lots] == [
        ("10.000000000", "2027-07-31"), ("4.000000000", "2027-10-31"), ("4.000000000", "2028-01-31"),
    ]  # fmt: skip


def test_dates_with_their_parts(home, capsys):
    made = asked(capsys, *BONUS, "--vesting", "dated", "--on", "2027-07-01", "--on", "2028-01-01=2")
    assert made["schedule"] == "1/3 on 2027-07-01; 2/3 on 2028-01-01"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--vesting", "periodic"), "periodic vesting takes 1 to 600 occurrences, not 0"),
        (("--vesting", "dated", "--on", "soon"), "a share of vesting has a date such as 2027-01-01, not 'soon'"),
        (("--vesting", "dated", "--on", "2027-01-01=half"), "weight of vesting is a whole number, not 'half'"),
        (("--occurrences", "3"), "immediate vesting has neither periods nor a cliff"),
    ],
)
def test_terms_that_do_not_go_together_are_told_and_make_no_plan(home, capsys, options, told):
    assert main([*BONUS, *options]) == 2
    assert told in capsys.readouterr().err
    assert asked(capsys, "plan", "list") == []


def test_a_plan_is_tried_on_a_log(home, capsys):
    assert main(["plan", "create", "tools", "--kind", "stipend", "--classification", "tool", "--amount", "18"]) == 0
    log = home / "log.csv"
    log.write_text("member,at,credits\nAda,2026-10-09T02:00:00Z,7.5\nAda,2026-10-20T02:00:00Z,14\n")
    capsys.readouterr()
    assert main(["plan", "try", "tools", "--cycle", "2026-10", "--log", str(log)]) == 0
    shown = capsys.readouterr().out
    assert "2026-10-20 02:00:00 UTC" in shown
    assert "plan tools version 1, one grant to everybody who may have it in 2026-10; nothing was changed" in shown
    (ada,) = asked(capsys, "plan", "try", "tools", "--cycle", "2026-10", "--log", str(log))["people"]
    assert (ada["paid"]["amount"], ada["missing"]["amount"]) == ("7.500000000", "14.000000000")
    assert main(["plan", "try", "tools", "--log", str(home / "none.csv")]) == 1
    assert "none.csv cannot be read: No such file or directory" in capsys.readouterr().err


FILE = """\
[plans.tools]
kind = "stipend"
classification = "tool"
amount = "18"
"""


def test_a_file_of_plans_is_checked_compared_and_applied(home, capsys):
    file = home / "plans.toml"
    file.write_text(FILE)
    assert main(["plan", "check", str(file)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{file}: 1 plan, nothing wrong"
    assert shown[1].startswith(f"{file}:1: tools: note: 13 tax facts are not declared")
    assert main(["plan", "diff", str(file)]) == 1
    assert capsys.readouterr().out == "tools: new\n"
    assert main(["plan", "apply", str(file), "--dry-run"]) == 0
    assert "would create tools version 1" in capsys.readouterr().out
    assert main(["plan", "apply", str(file)]) == 0
    assert "created tools version 1" in capsys.readouterr().out
    assert main(["plan", "diff", str(file)]) == 0
    assert capsys.readouterr().out == "tools: same\n"
    file.write_text(FILE.replace("18", "20"))
    assert main(["plan", "diff", str(file)]) == 1
    assert capsys.readouterr().out == "tools: changed\n  amount: 18 → 20\n"
    assert asked(capsys, "plan", "apply", str(file))["created"][0]["version"] == 2
    assert main(["plan", "apply", str(file)]) == 0
    assert "created no plan version" in capsys.readouterr().out


def test_a_file_with_a_mistake_changes_nothing_and_names_the_line(home, capsys):
    file = home / "plans.toml"
    file.write_text(FILE.replace('"stipend"', '"salary"'))
    for verb in ("check", "diff", "apply"):
        assert main(["plan", verb, str(file)]) == 2
        assert f"{file}:2: plans.tools.kind must be one of signing_bonus, stipend" in capsys.readouterr().err
    assert asked(capsys, "plan", "list") == []


def test_a_working_tool_that_rewards_is_refused_with_the_rule(home, capsys):
    assert main(["plan", "create", "x", "--kind", "spot_bonus", "--classification", "tool", "--amount", "1"]) == 1
    assert "it is pay and no working tool (rule: bonus kinds" in capsys.readouterr().err


def test_awards_of_a_spreadsheet_are_rehearsed_and_granted_once(home, capsys):
    assert main(["plan", "create", "tools", "--kind", "stipend", "--classification", "tool", "--amount", "18"]) == 0
    file = home / "awards.csv"
    file.write_text("id,to,plan,amount\nA-1,Ada,tools,2.5\n")
    capsys.readouterr()
    assert main(["grant", "import", str(file), "--dry-run"]) == 0
    assert "would grant 1 award of 2.50 credits; 0 were granted before" in capsys.readouterr().out
    assert main(["grant", "import", str(file), "--budget", "2"]) == 1
    assert "0.50 above the budget of 2.00: nothing was granted" in capsys.readouterr().err
    assert main(["grant", "import", str(file)]) == 0
    assert "granted 1 award of 2.50 credits; 0 were granted before" in capsys.readouterr().out
    again = asked(capsys, "grant", "import", str(file))
    assert (again["new_count"], again["known_count"]) == (0, 1)
    file.write_text("id,to,plan,amount\nA-1,Ada,tools,much\n")
    assert main(["grant", "import", str(file)]) == 2
    assert f"{file}, line 2, amount: is no amount" in capsys.readouterr().err


TOOLS = ("plan", "create", "tools", "--kind", "stipend", "--classification", "tool", "--amount", "310")


def test_further_terms_are_options_by_the_names_of_files(home, capsys):
    terms = (
        "--term",
        "proration=by_day",
        "--term",
        "eligibility.departments=Engineering",
        "--term",
        "tax.use_scope=business_only",
    )
    assert main([*TOOLS, *terms]) == 0
    assert "note: 12 tax facts are not declared" in capsys.readouterr().out
    assert main(["plan", "show", "tools"]) == 0
    shown = capsys.readouterr().out
    assert "  eligibility.departments  Engineering\n" in shown
    assert "  tax.use_scope            business_only\n" in shown


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ("tax.use_scope=all", "--term: tax.use_scope must be one of business_only, incidental_personal"),
        ("amount=3", "--term: 'amount=3' is not NAME=VALUE with one of proration, transferable, purpose, formula.kind"),
        ("transferable", "--term: 'transferable' is not NAME=VALUE"),
    ],
)
def test_a_term_that_is_none_is_told_with_what_could_stand_there(home, capsys, term, told):
    assert main([*TOOLS, "--term", term]) == 2
    assert told in capsys.readouterr().err


def test_every_mark_of_pay_is_told_in_a_line_of_its_own(home, capsys):
    assert main([*TOOLS, "--term", "transferable=yes", "--term", "tax.denomination=currency"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert "it may be given or sold to others, so it is pay and no working tool (rule: transfer or gift" in told[0]
    assert "it is counted in a currency, so it is pay and no working tool (rule: currency face value" in told[1]


def test_a_grant_says_how_its_amount_was_found(home, capsys):
    formula = ("--term", "formula.kind=percent_of_base", "--term", "formula.percent=5")
    assert main([*TOOLS, *formula, "--term", "proration=by_day"]) == 0
    capsys.readouterr()
    made = asked(capsys, "grant", "create", "Ada", "--plan", "tools", "--base-pay", "1000", "--working-time", "0.5")
    assert (made["amount"]["amount"], made["how"]) == ("25.000000000", "5 % of 1000, 0.5 of full time")
    assert main(["grant", "create", "Ada", "--plan", "tools", "--base-pay", "1000", "--working-time", "2"]) == 2
    assert "--working-time lies above 0 and at most at 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["plans.xlsx", "plans.csv", "plans.toml"])
def test_plans_go_out_into_a_file_and_come_in_again(home, capsys, name):
    file = home / name
    assert main([*TOOLS, "--term", "wording.title=Studio credits"]) == 0
    capsys.readouterr()
    assert main(["plan", "export", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"wrote 1 plan to {file}\nedit it, then: tokenroll plan diff {file}; tokenroll plan apply {file}\n"
    )
    assert main(["plan", "diff", str(file)]) == 0
    assert capsys.readouterr().out == "tools: same\n"
    assert main(["plan", "export", str(file)]) == 1
    assert f"{file} is there already" in capsys.readouterr().err
    assert main(["plan", "export", str(file), "--force"]) == 0
    assert main(["plan", "export", str(home / "plans.ods")]) == 2


def test_a_reclassification_is_shown_before_it_is_done(home, capsys):
    assert main([*TOOLS]) == 0
    assert main(["grant", "create", "Ada", "--plan", "tools"]) == 0
    capsys.readouterr()
    asked_for = ("plan", "reclassify", "tools", "--to", "compensation", "--from", "2999-01-01")
    assert main([*asked_for]) == 0
    shown = capsys.readouterr().out
    assert "Allowance statement" in shown
    assert "Ada 310.00 0.00 tool" in " ".join(shown.split())
    assert "nothing was changed; with --yes plan tools version 2 is compensation from 2999-01-01 on" in shown
    assert [one["version"] for one in asked(capsys, "plan", "list")] == [1]
    assert main([*asked_for, "--yes"]) == 0
    assert "\nplan tools version 2 is compensation from 2999-01-01 on\n" in capsys.readouterr().out
    assert [one["version"] for one in asked(capsys, "plan", "list")] == [1, 2]


def test_a_department_that_is_not_there_is_told_by_file_and_line(home, capsys):
    file = home / "plans.toml"
    file.write_text(f'{FILE}eligibility.departments = ["Enginering"]\n')
    told = "eligibility.departments names 'Enginering', and there is no such department: there are Engineering"
    assert main(["plan", "diff", str(file)]) == 1
    assert f"{file}:1: tools: {told}" in capsys.readouterr().err
    assert main(["plan", "apply", str(file)]) == 1
    assert f"plan tools: {told}" in capsys.readouterr().err
