"""What the parts of `tokenroll serve` say of themselves on standard error: when, which of them, and what."""

import logging
import time
from typing import Final

INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"


def log_as(role: str) -> None:
    """Whatever this process logs from here on is a line with its instant, in UTC as everywhere, and the role, on standard error."""
    lines = logging.Formatter(f"%(asctime)s {role}: %(message)s", INSTANT)
    lines.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
