"""What the company carries above a wallet: no worker more than its part, and nobody is denied what its part has room for."""

from typing import TYPE_CHECKING, Any

from tests.simulator.reference import COMPANY, Asked, Loan, Purse, must
from tokenroll.services.hot import HotHold
from tokenroll.services.protocol import Delta, WalletTerms

if TYPE_CHECKING:
    from tests.simulator.gateway import Worker
    from tests.simulator.universe import Universe


def told(world: "Universe", purse: Purse, wallets: list[WalletTerms]) -> None:
    """What the plans of these wallets let the company carry, which is the same in all plans of a run."""
    for one in wallets:
        must(
            one.overage_nanos_max in {0, world.overage_nanos},
            "of wallet %d %d may be carried",
            one.id,
            one.overage_nanos_max,
        )
        purse.overage[one.id] = one.overage_nanos_max


def foretell(world: "Universe", purse: Purse, delta: Delta) -> None:
    """What a delta must do to it."""
    for found in delta.carried:
        purse.found(found.wallet_id, found.worker, found.change_nanos)
    told(world, purse, delta.wallets)


def judged(worker: "Worker", found: Any, asked: Asked, missing: int, answer: str) -> str:
    """The answer as it would be if the company carried nothing: by that it is known whether it is true.

    A worker alone is foretold with what the company carries.
    """
    purse = worker.purse
    assert purse is not None
    left = purse.overage_left(asked.wallet)
    carried = sum(one.nanos for one in found.slices if one.lot_id == COMPANY) if isinstance(found, HotHold) else 0
    must(
        carried <= max(0, left), "the company carries %d of a call, and %d is left of this worker's part", carried, left
    )
    if not isinstance(purse, Loan):
        return answer
    if answer == "wallet_empty":
        # others may have carried more than their parts by what a provider charged above holds
        spare = min(left, left - worker.world.provider.overrun) if worker.world.provider.overrun else left
        must(missing > spare, "a call that lacks %d was denied, and the company may carry %d of it", missing, spare)
    return "wallet_empty" if carried else answer


def agree(worker: "Worker") -> None:
    """What wallets in use count of it is what the purse counts."""
    purse = worker.purse
    assert purse is not None
    for wallet, hot in worker.spending.wallets.hot.items():
        own = (wallet, worker.number)
        counted, wanted = (
            (hot.carried_nanos, hot.overage_held_nanos),
            (purse.carried.get(own, 0), purse.carries.get(own, 0)),
        )
        must(counted == wanted, "of wallet %d the company carried and holds %s and must %s", wallet, counted, wanted)
