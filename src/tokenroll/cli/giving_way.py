"""Work that takes minutes gives way to the gateway, the ledger and the pages on the same machine: somebody waits for those by the millisecond."""

import contextlib
import os
from pathlib import Path
from typing import Final

COMMANDS: Final = frozenset({("usage", "import"), ("usage", "seal"), ("usage", "retain"), ("usage", "verify")})
"""What is long and nobody's call waits for."""
NICE: Final = 10
"""A tenth of what another process gets, where both have work: enough to go on, and to let go again of the lake that others wait for."""
_AUTOGROUP: Final = Path("/proc/self/autogroup")
"""Linux shares a processor among sessions first, where it groups them, and looks at the priorities of processes only within one."""


def give_way() -> None:
    """This process, with all that it starts, goes behind the others from here on; there is no way back.

    A session is put behind others only by who leads it, as cron's and systemd's commands do: a terminal's has more in it. Where a
    system has none of this, nothing changes.
    """
    if not hasattr(os, "nice"):
        return
    nice = os.nice(NICE)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            _AUTOGROUP.write_text(str(nice))
