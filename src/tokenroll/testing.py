"""Public helpers for tests of programs that use tokenroll."""

from tokenroll.upstream.simulated.bill import Line as BillLine
from tokenroll.upstream.simulated.provider import SimulatorOptions
from tokenroll.upstream.simulated.thread import SimulatedProvider

__all__ = ["BillLine", "SimulatedProvider", "SimulatorOptions"]
