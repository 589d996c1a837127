"""The simulated provider: both dialects over real HTTP, deterministic under a seed, with its own bill and faults on demand.

It imports nothing of the product but itself (an import contract says so): its bill is worth something only because it is
computed apart from the ledger that it is compared with.
"""

from tokenroll.upstream.simulated.process import run
from tokenroll.upstream.simulated.provider import Provider, SimulatorOptions
from tokenroll.upstream.simulated.server import serve

__all__ = ["Provider", "SimulatorOptions", "run", "serve"]
