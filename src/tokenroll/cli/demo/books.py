"""(j) The same as beancount text: what any other program can check."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tokenroll.cli.demo.show import count
from tokenroll.cli.demo.stage import Stage

LETTER: Final = "j"
HEADING: Final = "The books as beancount text"
_BALANCE: Final = re.compile(r"^\d{4}-\d{2}-\d{2} balance ", re.MULTILINE)
_TRANSACTION: Final = re.compile(r"^\d{4}-\d{2}-\d{2} \* ", re.MULTILINE)


def play(stage: Stage) -> None:
    """Exported on the command line, read back from the file; bean-check is the judge where it is installed."""
    shown = stage.shown
    path = stage.home / "acme.beancount"
    shown.command(f"tokenroll journal export --format beancount --output {path.name}")
    stage.tokenroll("journal", "export", "--format", "beancount", "--output", str(path))
    text = path.read_text(encoding="utf-8")
    transactions, balances = _TRANSACTION.findall(text), _BALANCE.findall(text)
    excerpt = [line for line in text[_first(text) :].splitlines() if line.strip()][:8]
    shown.block([line.rstrip() for line in excerpt])
    shown.line(f"… {path}" if stage.is_kept else "… to be kept, with all else of this home, by --keep")
    judge = _bean_check()
    if judge is None:
        verdict, agrees = "bean-check is not installed here, so nobody else has judged them", True
    else:
        done = subprocess.run([str(judge), str(path)], capture_output=True, text=True, check=False)  # noqa: S603  a judge that was found
        agrees = done.returncode == 0
        verdict = "bean-check: no errors" if agrees else f"bean-check: {(done.stderr or done.stdout).strip()[:200]}"
    shown.proof(
        f"{count(len(transactions))} transactions, {count(len(balances))} balances from slips and ledger; {verdict}",
        holds=agrees and bool(transactions) and bool(balances),
    )


def _first(text: str) -> int:
    """Where the first transaction stands; the text's head is a list of accounts."""
    found = _TRANSACTION.search(text)
    return 0 if found is None else found.start()


def _bean_check() -> Path | None:
    beside = Path(sys.executable).with_name("bean-check")
    if beside.exists():
        return beside
    found = shutil.which("bean-check")
    return None if found is None else Path(found)
