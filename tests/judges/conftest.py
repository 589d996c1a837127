"""One company for each module of judges: the gateway in front of the simulated provider, whose key no client knows."""

import pytest

from tests.company import Company


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("acme") / "home") as running:
        running.hire("Ada")
        running.hire("Cleo", 0)
        running.hire("Nightly agent", 1_000_000)
        yield running
        running.prove()
