"""Four eyes at the command line."""

import json

import pytest

from tests.made_home import home_of
from tokenroll.cli import main


@pytest.fixture
def home(tmp_path, monkeypatch, capsys):
    plan = ("plan", "create", "tools", "--kind", "stipend", "--classification", "tool", "--amount", "40")
    home_of(
        tmp_path, monkeypatch, ("init", "--name", "Acme"),
        ("department", "create", "Engineering"),
        *(("member", "create", name, "--department", "Engineering") for name in ("Ada", "Cleo", "Dev")),
        *(("key", "create", "--member", name, "--scope", "admin") for name in ("Cleo", "Dev")),
        plan,
    )  # fmt: skip
    (tmp_path / "q1.csv").write_text("id,to,plan,amount\nQ1-1,Ada,tools,12.5\n")
    capsys.readouterr()
    return tmp_path


def test_one_proposes_and_another_one_approves(home, capsys):
    file = str(home / "q1.csv")
    assert main(["proposal", "create", file, "--by", "Dev", "--budget", "20", "--dry-run"]) == 0
    assert "would be proposed: 1 award of 12.50 credits\n" in capsys.readouterr().out
    assert main(["proposal", "create", file, "--by", "Dev", "--budget", "20", "--json"]) == 0
    proposal = json.loads(capsys.readouterr().out)["proposal"]
    assert main(["proposal", "approve", proposal, "--by", "Dev"]) == 1
    assert "Dev proposed it: somebody else with an admin key approves it" in capsys.readouterr().err
    assert main(["proposal", "show", proposal]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Q1-1 Ada tools tool 12.50 new" in shown
    assert "budget left 7.50 credits proposed by Dev" in shown
    assert main(["proposal", "approve", proposal, "--by", "Cleo"]) == 0
    assert "approved and granted: 1 award of 12.50 credits\n" in capsys.readouterr().out
    assert main(["proposal", "list"]) == 0
    assert "approved" in capsys.readouterr().out
    assert main(["grant", "list", "--json"]) == 0
    assert [one["amount"]["amount"] for one in json.loads(capsys.readouterr().out)] == ["12.500000000"]
    assert main(["proposal", "reject", proposal, "--by", "Cleo"]) == 1


def test_a_file_with_a_mistake_is_told_before_anything_else(home, capsys):
    (home / "q1.csv").write_text("id,to,plan,amount\nQ1-1,Ada,tools,much\n")
    assert main(["proposal", "create", str(home / "q1.csv"), "--by", "Dev"]) == 2
    assert "line 2, amount: is no amount" in capsys.readouterr().err
    assert main(["proposal", "list"]) == 0
    assert capsys.readouterr().out == "no proposals yet: `tokenroll proposal create FILE --by WHO`\n"


def test_a_company_may_require_it(home, capsys):
    assert main(["proposal", "require", "yes", "--by", "Cleo"]) == 0
    assert "set that approval is required" in capsys.readouterr().out
    assert main(["grant", "import", str(home / "q1.csv")]) == 1
    assert "need another administrator's approval here" in capsys.readouterr().err
    assert main(["proposal", "require", "no", "--by", "Cleo"]) == 0
    assert main(["grant", "import", str(home / "q1.csv")]) == 0
