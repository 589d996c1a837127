"""A query engine of others over the lake's own files, in an environment of its own: it runs the SQL that our questions compile to.

It is fetched once into `.judges/` and then works without a network. Statements go in as JSON, and answers come back as JSON in the
types that the engine has, so that a float would be seen.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.judges import own_environment

ANSWER_SECONDS_MAX = 500


@dataclass(frozen=True)
class Engine:
    """Which packages make the engine; the program that asks it is `tests/judges/engines/ask_NAME.py`."""

    name: str
    packages: tuple[str, ...]

    def prepare(self) -> Path:
        """Its Python. Raises EnvironmentUnavailableError."""
        return own_environment.prepare(own_environment.JUDGES / self.name, sys.executable, self.packages) / "python"

    def answers(self, files: dict[str, list[Path]], statements: list[str], scratch: Path) -> list[list[dict[str, Any]]]:
        """The rows of each statement over these files of each table, in one process."""
        asked, told = scratch / f"{self.name}-asked.json", scratch / f"{self.name}-told.json"
        tables = {table: [str(path) for path in paths] for table, paths in files.items()}
        asked.write_text(json.dumps({"tables": tables, "statements": statements}))
        program = Path(__file__).with_name("engines") / f"ask_{self.name}.py"
        done = subprocess.run(
            [self.prepare(), program, asked, told],
            cwd=scratch, env=own_environment.variables(), capture_output=True, text=True, timeout=ANSWER_SECONDS_MAX, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        answers: list[list[dict[str, Any]]] = json.loads(told.read_text())
        return answers
