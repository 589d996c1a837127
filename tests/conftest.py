"""What every test shares: how hard properties try, and where third-party traces are read from."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.postgresql_kit import Choice

# `quick` is the same on every run and keeps nothing; `deep` looks for what has never been seen and remembers it.
settings.register_profile(
    "quick",
    max_examples=25,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "deep",
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--ledger",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="the database that the tests' ledgers are in",
    )


def pytest_configure(config: pytest.Config) -> None:
    Choice.postgresql = config.getoption("--ledger") == "postgresql"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about a file of SQLite says nothing of a PostgreSQL."""
    if Choice.postgresql:
        left_out = [item for item in items if item.get_closest_marker("sqlite")]
        items[:] = [item for item in items if not item.get_closest_marker("sqlite")]
        config.hook.pytest_deselected(items=left_out)


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def trace_folder() -> Path:
    """Third-party traces are read in place, never committed; a test that needs them is skipped by name without them."""
    folder = Path(os.environ.get("TOKENROLL_DATA", ROOT / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip("no traces: set TOKENROLL_DATA to the folder that holds them")
    return folder
