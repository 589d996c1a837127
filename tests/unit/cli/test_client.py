import json

import pytest

from tokenroll.cli import main
from tokenroll.cli.client import RECIPES


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))


def shown(capsys, *arguments):
    assert main(["client", "show", *arguments]) == 0
    return capsys.readouterr().out


def test_it_points_claude_code_at_the_gateway_and_tells_of_its_cap(capsys):
    text = shown(capsys, "claude-code", "--key", "tr-k", "--url", "http://gate:1/")
    assert "export ANTHROPIC_BASE_URL=http://gate:1\n" in text
    assert "export ANTHROPIC_AUTH_TOKEN=tr-k\n" in text
    assert "64,000 output tokens" in text
    assert "is refused (policy deny)" in text


def test_it_gives_openai_clients_a_base_url_that_ends_in_v1(capsys):
    for name in ("codex", "openai-python", "curl"):
        assert "http://127.0.0.1:8787/v1" in shown(capsys, name)
    assert "http://127.0.0.1:8787/v1" not in shown(capsys, "anthropic-python")


def test_it_says_that_a_current_codex_cannot_come_in_yet(capsys):
    text = shown(capsys, "codex")
    assert "Only for old releases of Codex" in text
    assert "does not serve /v1/responses yet" in text


@pytest.mark.parametrize("name", RECIPES)
def test_it_tells_programs_the_same(capsys, name):
    found = json.loads(shown(capsys, name, "--json"))
    assert found["client"] == name
    assert "{url}" not in json.dumps(found)
    assert any("tokenroll key create" in note for note in found["notes"])


def test_it_names_the_clients_it_knows(capsys):
    assert main(["client", "show", "emacs"]) == 2
    assert "known: claude-code, codex, openai-python, anthropic-python, curl" in capsys.readouterr().err
