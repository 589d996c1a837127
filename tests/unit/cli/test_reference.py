"""docs/cli.md is what the program says of itself."""

import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from rich.text import Text
from typer.main import get_command

from tokenroll.cli.program import NOUNS

NAMED = re.compile(r"`tokenroll ([a-z]+)(?: ([a-z][a-z-]*))?")
ROOT = Path(__file__).parents[3]


def test_the_page_is_made_from_the_program():
    script = ROOT / "scripts/cli_reference.py"
    made = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs/cli.md").read_text()
    assert page == made, "run `python scripts/cli_reference.py > docs/cli.md`"


def test_no_page_names_a_command_that_is_not_there():
    """What is to come stands in the design alone."""
    pages = [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if "decisions" not in page.parts)]
    pages += [page for ending in ("py", "html") for page in (ROOT / "src").rglob(f"*.{ending}")]
    texts = {page: page.read_text() for page in pages if page.name != "design.md"}
    assert len(texts) > 300
    named = {(page.name, noun, verb) for page, text in texts.items() for noun, verb in NAMED.findall(text)}
    assert sorted(one for one in named if one[1] not in NOUNS or not is_there(one[1], one[2])) == []
    assert [page for page, text in texts.items() if re.search(r"`[a-z]+` (is|are) to come", text)] == []


@cache
def verbs_of(noun):
    return frozenset(getattr(get_command(import_module(f"tokenroll.cli.{noun}").app), "commands", ()))


def is_there(noun, verb):
    return not verb or not verbs_of(noun) or verb in verbs_of(noun)


def test_every_argument_and_option_is_explained():
    page = (ROOT / "docs/cli.md").read_text()
    bare = [line for line in page.splitlines() if line.startswith("- `") and line.endswith("`")]
    assert bare == []


def test_a_bracket_in_help_is_seen_on_a_terminal():
    """The terminal takes `[forecast]` for a colour and shows nothing, so such brackets are escaped."""
    told = [
        text
        for noun in NOUNS
        for command in commands_of(noun)
        for text in (command.help, *(getattr(one, "help", None) for one in command.params))
        if text
    ]
    assert len(told) > 500
    seen = [Text.from_markup(text).plain for text in told]
    assert [text for text, shown in zip(told, seen, strict=True) if text.replace("\\[", "[") != shown] == []


def commands_of(noun):
    command = get_command(import_module(f"tokenroll.cli.{noun}").app)
    return getattr(command, "commands", {"": command}).values()
