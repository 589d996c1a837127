"""What the parts of `tokenroll serve` say of themselves on standard error: when, which of them, and what."""

import logging
import time
from typing import Final

INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"


class _Lines(logging.Formatter):
    """Instants in UTC, as everywhere else in the product."""

    converter = time.gmtime


def log_as(role: str) -> None:
    """Whatever this process logs from here on is a line with its instant and the role, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(f"%(asctime)s {role}: %(message)s", INSTANT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
