"""`python -m tokenroll` is the same command as `tokenroll`, so that a supervisor can start its own interpreter."""

import sys

from tokenroll.cli import main

if __name__ == "__main__":
    sys.exit(main())
