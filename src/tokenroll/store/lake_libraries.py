"""What the usage lake is read and written with, loaded when it is needed: the default install does without."""

import importlib
from types import ModuleType
from typing import Final

HOW_TO_INSTALL: Final = "the usage lake needs libraries that are not installed: install `tokenroll[lake]`"


class LakeLibraryError(Exception):
    """A library of the extra `lake` is not installed."""


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise LakeLibraryError(HOW_TO_INSTALL) from error


def arrow() -> ModuleType:
    """`pyarrow`. Raises LakeLibraryError."""
    return _library("pyarrow")


def arrow_compute() -> ModuleType:
    """`pyarrow.compute`. Raises LakeLibraryError."""
    return _library("pyarrow.compute")


def arrow_csv() -> ModuleType:
    """`pyarrow.csv`. Raises LakeLibraryError."""
    return _library("pyarrow.csv")


def arrow_parquet() -> ModuleType:
    """`pyarrow.parquet`. Raises LakeLibraryError."""
    return _library("pyarrow.parquet")


def duckdb() -> ModuleType:
    """`duckdb`. Raises LakeLibraryError."""
    return _library("duckdb")


def ibis() -> ModuleType:
    """`ibis`, whose expressions mean the same on every engine. Raises LakeLibraryError."""
    return _library("ibis")
