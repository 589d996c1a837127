import json
import subprocess
import sys

import pytest

from tokenroll.cli import main
from tokenroll.cli.console import credits_column, credits_text
from tokenroll.cli.program import NOUNS

LOADED = "import sys; from tokenroll.cli import main; main({arguments!r}); print([m for m in ('typer', 'rich', 'sqlalchemy') if m in sys.modules])"


def loaded(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(arguments=list(arguments))], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_it_lists_every_noun(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert [noun for noun in NOUNS if f"  {noun} " not in shown] == []


def test_it_helps_without_loading_what_only_commands_need():
    assert loaded("--help") == "[]"
    assert loaded("--version") == "[]"
    assert "sqlalchemy" not in loaded("wallet", "--help")


def test_it_names_its_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "tokenroll 0.1.0\n"


def test_it_suggests_the_noun_that_was_meant(capsys):
    assert main(["wallets"]) == 2
    assert capsys.readouterr().err == "tokenroll: there is no 'wallets'; did you mean `tokenroll wallet`?\n"
    assert main(["zebra"]) == 2
    assert "`tokenroll --help` lists them" in capsys.readouterr().err


@pytest.mark.parametrize("noun", NOUNS)
def test_it_has_a_file_for_each_noun(noun, capsys):
    assert main([noun, "--help"]) == 0
    assert f"Usage: tokenroll {noun}" in capsys.readouterr().out


def test_it_says_what_to_do_without_a_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert main(["wallet", "list", "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["problem"]["kind"] == "no_home"
    assert "run `tokenroll init` first" in shown.err


def test_it_takes_a_wrong_amount_for_wrong_usage(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert main(["plan", "create", "x", "--kind", "stipend", "--classification", "tool", "--amount", "1,5"]) == 2
    assert "'1,5' is not a decimal amount" in capsys.readouterr().err
    assert main(["plan", "create", "x"]) == 2


def test_it_names_the_line_of_a_wrong_setting(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text("[gateway]\nport = 1\n")
    assert main(["member", "list"]) == 1
    assert "config.toml:2: gateway.port is not a setting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (1_500_000_000, "1.50"),
        (-1_234_567_890_000_000, "-1 234 567.89"),
        (10**18, "1 000 000 000.00"),
    ],
)
def test_it_shows_every_decimal_and_at_least_two(nanos, text):
    assert credits_text(nanos) == text


def test_it_gives_a_column_the_same_decimals():
    assert credits_column([0, None, 1_234_500_000_000, -5_000_000]) == ["0.000", "-", "1 234.500", "-0.005"]
    assert credits_column([1, 10**9]) == ["0.000000001", "1.000000000"]
    assert credits_column([]) == []


def test_it_names_a_file_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert main(["ratecard", "set", "--file", str(tmp_path / "no.json")]) == 1
    assert "no.json: No such file or directory" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("{")
    assert main(["ratecard", "set", "--file", str(tmp_path / "bad.json")]) == 2
    assert "bad.json is not JSON" in capsys.readouterr().err


def test_it_names_a_ledger_that_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    (tmp_path / "ledger.db").touch()
    assert main(["member", "list"]) == 1
    assert "holds nothing" in capsys.readouterr().err
