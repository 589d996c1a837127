"""The official packages' own test suites, run by their own pytest against any base URL: at our gateway, and straight at a provider.

The suites are in the packages' source distributions, of the very versions that our lock names. They are unpacked into `.judges/`
with an environment of their own, because they need plugins that would change how our own tests run.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anthropic
import openai

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / ".judges"
BOOTSTRAP = ROOT / ".bootstrap" / "bin"
# What the suites ask for; pinned, so that a result can be had again.
TOOLS = (
    "pytest==9.2.0", "pytest-asyncio==1.5.0", "pytest-xdist==3.8.0", "pytest-timeout==2.4.0", "inline-snapshot==0.36.1",
    "rich==15.0.0", "http-snapshot==0.1.9", "aiohttp==3.14.5", "dirty-equals==0.11", "nest-asyncio==1.6.0", "time-machine==3.6.0", "respx==0.23.1",
)  # fmt: skip
PLUGINS = Path(__file__).with_name("plugins")
WAYS = re.compile("^test_(method|raw_response|streaming_response)_")
"""How a test of the suites reads an answer, in front of what it asks for."""
STEP_SECONDS_MAX = 150
NEXT_STEP = (
    "name a package registry in pip's and uv's own configuration (PIP_INDEX_URL, UV_DEFAULT_INDEX or their files), "
    "or keep the folder .judges of a machine that has one"
)


class SuitesUnavailableError(Exception):
    """The suites cannot be had here; the message says what was tried."""


@dataclass(frozen=True)
class Suite:
    """One package's tests of the resources that the gateway serves."""

    package: str
    version: str
    files: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return FOLDER / f"{self.package}-{self.version}"


OPENAI = Suite(
    "openai", openai.__version__,
    (
        "tests/api_resources/chat/test_completions.py", "tests/api_resources/test_responses.py",
        "tests/api_resources/test_completions.py", "tests/api_resources/test_embeddings.py",
        "tests/api_resources/test_moderations.py", "tests/api_resources/test_models.py", "tests/api_resources/test_images.py",
        "tests/api_resources/audio/test_transcriptions.py", "tests/api_resources/audio/test_translations.py",
        "tests/api_resources/responses/test_input_tokens.py", "tests/api_resources/responses/test_input_items.py",
        "tests/api_resources/test_files.py", "tests/api_resources/test_batches.py",
        "tests/api_resources/fine_tuning/test_jobs.py", "tests/api_resources/fine_tuning/jobs/test_checkpoints.py",
    ),
)  # fmt: skip
USAGE_REPORTS = "tests/api_resources/admin/organization/test_usage.py"
"""Of OpenAI's suite: what the gateway answers itself and no provider here has."""
ANTHROPIC = Suite(
    "anthropic", anthropic.__version__,
    (
        "tests/api_resources/test_messages.py", "tests/api_resources/test_models.py",
        "tests/api_resources/messages/test_batches.py", "tests/api_resources/beta/test_messages.py",
        "tests/api_resources/beta/messages/test_batches.py",
    ),
)  # fmt: skip


@dataclass
class Outcomes:
    """How each test ended, by its name without its folder, and why those failed that did."""

    ended: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """The tests that a server answered at least once."""

    def passed(self) -> set[str]:
        return {name for name, end in self.ended.items() if end == "passed"}

    def failed(self) -> dict[str, set[str]]:
        """By what was asked (see `asked_for`): everything that was said to it when it failed."""
        said: dict[str, set[str]] = {}
        for name, end in self.ended.items():
            if end == "failed":
                said.setdefault(asked_for(name), set()).add(self.reasons[name])
        return said

    def counts(self, file: str) -> dict[str, int]:
        """Of one file: all tests, those that a server answered, how many of these passed and failed, and those that were not."""
        module = file.removeprefix("tests/api_resources/").removesuffix(".py").replace("/", ".")
        names = {name for name in self.ended if name.startswith(f"{module}.Test")}
        asked, passed = names & self.asked, self.passed()
        return {
            "all": len(names), "asked": len(asked), "passed": len(asked & passed), "failed": len(asked - passed),
            "alone": len(names - asked),
        }  # fmt: skip


def asked_for(name: str) -> str:
    """What a test asks for, whoever asks and however the answer is read:
    `chat.test_completions.TestAsync….test_raw_response_create_overload_1[loose]` as `chat.test_completions.create_overload_1`.
    """
    module, _, rest = name.partition(".Test")
    test = rest.partition(".")[2].partition("[")[0]
    return f"{module}.{WAYS.sub('', test)}"


def prepare() -> None:
    """Suites and their environment in `.judges/`; the second time nothing is done. Raises SuitesUnavailableError.

    They come by the pip and the uv that made our own environment, with the same configuration: who could set up can have them.
    """
    stamp = FOLDER / "ready"
    wanted = "\n".join((OPENAI.version, ANTHROPIC.version, sys.version, *TOOLS))
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    names = [f"{suite.package}=={suite.version}" for suite in (OPENAI, ANTHROPIC)]
    _run(
        BOOTSTRAP / "python", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "openai,anthropic",
        "--dest", FOLDER, *names,
    )  # fmt: skip
    for suite in (OPENAI, ANTHROPIC):
        with tarfile.open(suite.folder.with_name(f"{suite.folder.name}.tar.gz")) as packed:
            packed.extractall(FOLDER, filter="data")
    _run(BOOTSTRAP / "uv", "venv", "--quiet", "--python", sys.executable, FOLDER / "venv")
    _run(BOOTSTRAP / "uv", "pip", "install", "--quiet", "--python", FOLDER / "venv" / "bin" / "python", *names, *TOOLS)
    stamp.write_text(wanted)


def _run(*command: object) -> None:
    text = [str(part) for part in command]
    try:
        done = subprocess.run(text, capture_output=True, text=True, timeout=STEP_SECONDS_MAX, check=False)
    except FileNotFoundError as error:
        raise SuitesUnavailableError(f"{error.filename} is not there; `make setup` makes it") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SuitesUnavailableError(f"{error}; {NEXT_STEP}") from error
    if done.returncode:
        raise SuitesUnavailableError(f"{' '.join(text[:4])} …: {done.stderr.strip()[-500:]}; {NEXT_STEP}")


def run(suite: Suite, base_url: str, *, only: str = "", files: Sequence[str] = ()) -> Outcomes:
    """The suite against a base URL, in one process (`-n0`), with nothing of this machine's settings of the clients."""
    report = FOLDER / f"{suite.package}-{os.getpid()}.xml"
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_", "PYTEST_"))
    }
    command = [
        str(FOLDER / "venv" / "bin" / "python"), "-m", "pytest", "-n0", "-q", "--timeout=60", "--tb=line", "--show-capture=no",
        "-p", "no:cacheprovider", "-p", "answers_counted", f"--junitxml={report}", *(["-k", only] if only else []), *(files or suite.files),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=suite.folder,
        env={**own, "TEST_API_BASE_URL": base_url, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(PLUGINS)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1}, f"the suite itself broke: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    outcomes = Outcomes()
    for case in ET.parse(report).getroot().iter("testcase"):
        where = str(case.get("classname")).removeprefix("tests.api_resources.")
        name = f"{where}.{case.get('name')}"
        if any(int(str(one.get("value"))) for one in case.iter("property") if one.get("name") == "answers"):
            outcomes.asked.add(name)
        trouble = next((one for one in case if one.tag in {"failure", "error", "skipped"}), None)
        end = "passed" if trouble is None else "skipped" if trouble.tag == "skipped" else "failed"
        outcomes.ended[name] = end
        if trouble is not None:
            outcomes.reasons[name] = " ".join(str(trouble.get("message")).split())[:300]
    report.unlink()
    return outcomes
