import json
from pathlib import Path

import pytest

from tokenroll.cli import main
from tokenroll.cli.client import RECIPES
from tokenroll.services.client_checking import CHECKED_CLIENTS


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


def test_it_gives_codex_the_only_way_of_talking_that_it_has(capsys):
    text = shown(capsys, "codex", "--key", "tr-k")
    assert 'wire_api = "responses"' in text
    assert "export TOKENROLL_KEY=tr-k\n" in text
    assert "tokenroll doctor --client codex" in text


@pytest.mark.parametrize("name", RECIPES)
def test_the_page_of_clients_says_the_same(name):
    recipe = RECIPES[name]
    page = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
    (row,) = [line for line in page.splitlines() if f"`tokenroll client show {name}`" in line]
    assert all(f"`{variable}`" in row for variable in recipe.environment)
    assert ("`/v1` behind it" in row) == (recipe.base_path == "/v1")
    assert (f"`tokenroll doctor --client {recipe.doctor}`" in row) == bool(recipe.doctor)


def test_what_the_doctor_calls_as_is_what_is_shown():
    assert {recipe.doctor for recipe in RECIPES.values() if recipe.doctor} == set(CHECKED_CLIENTS)


@pytest.mark.parametrize("name", RECIPES)
def test_it_tells_programs_the_same(capsys, name):
    found = json.loads(shown(capsys, name, "--json"))
    assert found["client"] == name
    assert "{url}" not in json.dumps(found)
    assert any("tokenroll key create" in note for note in found["notes"])


def test_it_names_the_clients_it_knows(capsys):
    assert main(["client", "show", "emacs"]) == 2
    assert "known: claude-code, codex, openai-python, anthropic-python, curl" in capsys.readouterr().err
