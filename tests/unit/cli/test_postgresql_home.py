"""A home whose ledger is in PostgreSQL: made by `init`, refused where it would be another's, and no word of its password."""

import sys
from pathlib import Path

import pytest

from tests.postgresql_kit import new_database, server
from tokenroll import store
from tokenroll.cli import main
from tokenroll.ledger_place import LedgerUrl
from tokenroll.settings import load_settings
from tokenroll.settings_table import SettingsError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_init_makes_a_ledger_there_and_the_commands_use_it(home: Path, capsys: pytest.CaptureFixture[str]):
    place = new_database()
    assert main(["init", "--name", "Acme", "--ledger", place.text]) == 0
    assert main(["department", "create", "Engineering"]) == 0
    assert main(["journal", "verify"]) == 0
    assert "every value, the chain and conservation hold" in capsys.readouterr().out
    assert sorted(one.name for one in home.iterdir()) == ["config.toml", "run", "secret", "tape"]
    assert load_settings(home).ledger == place
    assert main(["init"]) == 1
    assert "has a ledger already: nothing was changed" in capsys.readouterr().err


def test_another_homes_ledger_is_not_taken_without_its_secret(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    place = new_database()
    assert main(["init", "--ledger", place.text]) == 0
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path / "other"))
    assert main(["init", "--ledger", place.text]) == 1
    assert (
        "holds the ledger of another home, and only with its secret do keys work: copy the file secret"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "other").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text(f'ledger = "{place.text}"\n')
    (tmp_path / "other" / "secret").write_bytes((home / "secret").read_bytes())
    assert main(["department", "list"]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("postgresql://w:s3cret@db/books", "--ledger must hold no password, for others see command lines"),
        ("sqlite:///s3cret", "--ledger must be postgresql://user@host:port/database"),
    ],
)
def test_init_refuses_what_others_could_read_or_nobody_could_reach(
    home: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
):
    assert main(["init", "--ledger", text]) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert "s3cret" not in told.out + told.err
    assert not home.exists()


def test_init_leaves_a_configuration_alone_that_names_another_ledger(home: Path, capsys: pytest.CaptureFixture[str]):
    home.mkdir()
    (home / "config.toml").write_text('[company]\nname = "Acme"\n')
    assert main(["init", "--ledger", server().url("books").text]) == 1
    assert 'write ledger = "postgresql://postgres@/books?host=' in capsys.readouterr().err
    assert sorted(one.name for one in home.iterdir()) == ["config.toml"]


def test_a_server_that_is_not_there_is_named_and_leaves_nothing_behind(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["init", "--ledger", "postgresql://w@127.0.0.1:1/books"]) == 1
    assert "postgresql://w@127.0.0.1:1/books does not answer (" in capsys.readouterr().err
    assert not home.exists()


def test_a_missing_driver_is_named_with_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delitem(sys.modules, "tokenroll.store.postgresql", raising=False)
    monkeypatch.delattr(store, "postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert main(["init", "--ledger", "postgresql://w@db/books"]) == 1
    assert "its driver is not installed: pip install 'tokenroll[postgresql]'" in capsys.readouterr().err


@pytest.mark.parametrize("parameters", ["bogus=1", "sslmode=bogus"])
def test_parameters_of_a_url_that_cannot_be_are_told(home: Path, parameters: str, capsys: pytest.CaptureFixture[str]):
    """The server runs; nobody need look for it."""
    place = new_database()
    assert main(["init", "--ledger", f"{place.text}{'&' if '?' in place.text else '?'}{parameters}"]) == 1
    said = capsys.readouterr().err
    assert "cannot be reached so (" in said
    assert "see to the parameters of its URL" in said
    assert not home.exists()


def test_the_password_is_where_the_configuration_says(home: Path, monkeypatch: pytest.MonkeyPatch):
    home.mkdir()
    (home / "password").write_text("s3cret/1\n")
    (home / "password").chmod(0o600)
    url = 'ledger = "postgresql://w@db:5432/books"\n'
    (home / "config.toml").write_text(f'{url}ledger_password_file = "{home}/password"\n')
    settings = load_settings(home)
    assert settings.ledger == LedgerUrl("postgresql://w:s3cret%2F1@db:5432/books")
    assert settings.ledger_place == settings.ledger
    assert "s3cret" not in repr(settings)
    (home / "config.toml").write_text(f'{url}ledger_password_env = "PW_OF_THE_LEDGER"\n')
    monkeypatch.setenv("PW_OF_THE_LEDGER", "other")
    assert load_settings(home).ledger == LedgerUrl("postgresql://w:other@db:5432/books")
    assert not load_settings(home).has_ledger
    (home / "secret").write_bytes(bytes(32))
    assert load_settings(home).has_ledger


def test_what_is_no_url_is_told_without_being_repeated(home: Path):
    home.mkdir()
    (home / "config.toml").write_text('# a note\nledger = "mysql://w:s3cret@db/books"\n')
    with pytest.raises(
        SettingsError, match=r"config.toml:2: ledger must be postgresql://user@host:port/database"
    ) as told:
        load_settings(home)
    assert "s3cret" not in str(told.value)
