"""What one gateway process is told at its start."""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from tokenroll.gateway.accepting import Attendance
from tokenroll.gateway.deployment import Deployment
from tokenroll.gateway.edge import EdgeLimits
from tokenroll.model.limits import LIMIT_WAIT_SECONDS
from tokenroll.services.sized_lease import WhenCutOff
from tokenroll.store.tape import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Everything one gateway process must know; nothing is read from the environment here.

    `listening` is a socket that listens already, handed down by a supervisor; else `host` and `port` are listened on (0: the
    kernel chooses, and `ready` of `run_gateway` is told). `decode_request_bodies`: take gzip, br and zstd bodies.
    """

    home: Path
    worker: int = 0
    workers: int = 1
    """How many processes like this one there are: of several each has a sized lease."""
    when_cut_off: WhenCutOff = WhenCutOff.RETRY_THEN_DENY
    beyond_max_nanos: int = 0
    """Of a node: what becomes of calls above its lease while it is cut off, and what the company carries of them at most."""
    retires: bool = False
    """A last life: it tells what the tape of earlier ones says, returns what they were lent, and ends."""
    host: str = "127.0.0.1"
    port: int = 0
    listening: socket.socket | None = None
    attendance: Attendance | None = None
    """Of several workers that take from `listening`: how many connections each has."""
    durability: Durability = Durability.SYNCED
    deployments: tuple[Deployment, ...] = ()
    decode_request_bodies: bool = False
    stop_seconds: float = 30.0
    """How long calls under way may take to end once the process is asked to stop."""
    empty_wallet_status: int = 402
    """What a spent wallet or limit is answered where the dialect has a choice: 402, or 400."""
    limit_wait_seconds: int = LIMIT_WAIT_SECONDS
    """How long a call may be held back until a pace has room for it; 0: it is refused at once."""
    edge: EdgeLimits = field(default_factory=EdgeLimits)
    pages_directory: Path | None = None
    """Where several workers that share a port tell each other what they count; None: each tells of itself alone."""
    reports_socket: Path | None = None
    """Where the process of the pages answers questions about usage and costs; None: nowhere."""
