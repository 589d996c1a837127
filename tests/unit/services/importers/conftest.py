"""What the tests of importers share: the published prices, read once, and files written where a test may."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenroll.services.list_prices import ListPrices, published_list_prices


@pytest.fixture(scope="session")
def prices() -> ListPrices:
    return published_list_prices()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """A file of a text, or of values as JSON: one is a document, several are lines."""

    def save(name: str, *values: Any) -> Path:
        path = tmp_path / name
        texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        path.write_text("\n".join(texts), encoding="utf-8")
        return path

    return save
