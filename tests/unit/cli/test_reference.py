"""docs/cli.md is what the program says of itself."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_is_made_from_the_program():
    script = ROOT / "scripts/cli_reference.py"
    made = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs/cli.md").read_text()
    assert page == made, "run `python scripts/cli_reference.py > docs/cli.md`"


def test_every_argument_and_option_is_explained():
    page = (ROOT / "docs/cli.md").read_text()
    bare = [line for line in page.splitlines() if line.startswith("- `") and line.endswith("`")]
    assert bare == []
