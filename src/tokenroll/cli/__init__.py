"""The door for terminals: one file per noun, and nothing but words and exit codes between it and the services."""

import sys

from tokenroll import __version__


def main() -> int:
    """Until a noun has its command, the program names its version and succeeds."""
    sys.stdout.write(f"tokenroll {__version__}\n")
    return 0
