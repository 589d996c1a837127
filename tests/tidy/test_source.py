"""The rules of checks.py hold for the tree, and each of them can fail."""

from pathlib import Path

import pytest

from tests.tidy import checks
from tests.tidy.checks import ROOT, SRC, python_files, tracked

PURE = [SRC / "model", SRC / "engine"]

# Modules of `model` that are tools of the nouns and not nouns: they need tests, but no page of their own.
NOT_NOUNS = {
    "checks": "what several nouns check at birth",
    "identifier": "how every noun is named",
    "instant": "how every noun is dated",
    "limits": "every limit with its reason, explained in place",
}


def problems(check, files):
    return [f"{path.relative_to(ROOT)}: {problem}" for path in files for problem in check(path.read_text())]


def test_files_and_functions_are_short():
    assert not problems(checks.too_long, python_files(SRC, ROOT / "bench", ROOT / "judge", ROOT / "scripts"))


def test_no_float_in_model_and_engine():
    assert not problems(checks.floats, python_files(*PURE))


def test_model_and_engine_are_pure():
    assert not problems(checks.impurities, python_files(*PURE))


def test_only_settings_reads_the_environment():
    assert not problems(checks.environment_reads, [p for p in python_files(SRC) if p != SRC / "settings.py"])


def test_no_left_over_marks():
    text_files = tracked(".py", ".md", ".toml", ".sh", ".html", ".css", ".js", ".c", ".lua", ".yml", ".yaml")
    assert not problems(checks.left_overs, [p for p in text_files if p != ROOT / "tests/tidy/test_source.py"])


def test_no_stubs():
    assert not problems(checks.stubs, python_files(SRC))


def test_no_trace_of_a_machine_or_a_registry():
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {problem}" for problem in checks.machine_marks(text)]
    assert not found


def test_every_package_has_a_readme_and_a_docstring():
    packages = sorted(path.parent for path in SRC.glob("*/__init__.py"))
    assert packages
    assert not [str(p.relative_to(ROOT)) for p in packages if not (p / "README.md").is_file()]
    assert not [str(p.relative_to(ROOT)) for p in packages if '"""' not in (p / "__init__.py").read_text()]


def test_ten_second_law():
    nouns = [p.stem for p in (SRC / "model").glob("*.py") if not p.stem.startswith("_") and p.stem not in NOT_NOUNS]
    assert nouns
    assert not list(checks.lacking_companions(ROOT, sorted(nouns)))
    assert not [tool for tool in NOT_NOUNS if not (ROOT / f"tests/unit/model/test_{tool}.py").is_file()]


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * checks.MAX_FUNCTION_LINES
LONG_ASYNC = "async def f():\n" + "    x = 1\n" * checks.MAX_FUNCTION_LINES
MARK = "TO" + "DO"


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (checks.too_long, "x = 1\n" * checks.MAX_FILE_LINES, "x = 1\n" * (checks.MAX_FILE_LINES - 1)),
        (checks.too_long, LONG_FUNCTION, LONG_FUNCTION.removesuffix("    x = 1\n")),
        (checks.too_long, LONG_ASYNC, "async def f(): ..."),
        (checks.floats, "x: float = 1", "x: int = 1"),
        (checks.floats, "x = 1.0", "x = '1.0'"),
        (checks.floats, "x = 1e9", "x = 10**9"),
        (checks.floats, "x = 1 / 2", "x = 1 // 2"),
        (checks.floats, "x /= 2", "x //= 2"),
        (checks.impurities, "import os", "import enum"),
        (checks.impurities, "import os.path", "from tokenroll.model import grant"),
        (checks.impurities, "from time import monotonic", "from collections.abc import Mapping"),
        (checks.impurities, "def f():\n    import random", "from .grant import Grant"),
        (checks.impurities, "from zoneinfo import ZoneInfo", "from datetime import tzinfo"),
        (checks.impurities, "datetime.now(UTC)", "at.astimezone(zone)"),
        (checks.impurities, "date.today()", "today = at.date()"),
        (checks.impurities, "datetime.utcnow()", "now = at"),
        (checks.impurities, "open('x')", "cycle.open()"),
        (checks.impurities, "print(1)", "repr(1)"),
        (checks.impurities, "x.random()", "x.randomise()"),
        (checks.environment_reads, "os.environ['X']", "settings.home"),
        (checks.environment_reads, "from os import getenv", "from os import fsync"),
        (checks.left_overs, f"x = 1  # {MARK}: later", "x = 1  # later"),
        (checks.stubs, "raise NotImplementedError", "raise ValueError"),
        (checks.stubs, "raise NotImplementedError('x')", "return NotImplemented"),
        (checks.machine_marks, f"see {checks.MACHINE_MARKS[0]}main", "see ../shared/data"),
        (checks.machine_marks, f"https://{checks.MACHINE_MARKS[4]}/simple", "an index"),
    ],
)
def test_each_check_can_fail(check, bad, good):
    assert list(check(bad))
    assert not list(check(good))


def test_the_ten_second_law_can_fail(tmp_path: Path):
    assert len(list(checks.lacking_companions(tmp_path, ["grant"]))) == 2
    for companion in ("docs/concepts/grant.md", "tests/unit/model/test_grant.py"):
        (tmp_path / companion).parent.mkdir(parents=True)
        (tmp_path / companion).touch()
    assert not list(checks.lacking_companions(tmp_path, ["grant"]))
