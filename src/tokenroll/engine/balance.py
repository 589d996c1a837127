"""Balance: a wallet's amounts at an instant, from its lots and the date alone."""

from collections.abc import Iterable

from tokenroll.model.instant import Instant
from tokenroll.model.lot import LotState
from tokenroll.model.wallet import WalletBalance


def balance_at(states: Iterable[LotState], at: Instant, *, leased: bool, overage_nanos: int = 0) -> WalletBalance:
    """The sums of a wallet's lots at `at`, in nanos.

    A lot's remainder is unvested before `effective_at`, breakage from `expires_at` on, and between them leased if a worker
    has the wallet, else available: no job moves it (DESIGN §4 law 9). What is held stays held over the expiry (§5). A lot that was
    moved came in by transfer, its grant is told where it was granted.
    `overage_nanos` is what the wallet itself was charged beyond its lots; it came in and was spent. Raises AssertionError
    if the sums break conservation (law 2).
    """
    granted = transferred_in = unvested = usable = breakage = 0
    held = suspense = spent = forfeited = clawed_back = voided = transferred_out = 0
    for state in states:
        lot = state.lot
        if lot.origin_lot_id is None:
            granted += lot.amount_nanos
        else:
            transferred_in += lot.amount_nanos
        held += state.held_nanos
        suspense += state.suspense_nanos
        spent += state.spent_nanos
        forfeited += state.forfeited_nanos
        clawed_back += state.clawed_back_nanos
        voided += state.voided_nanos
        transferred_out += state.transferred_out_nanos
        if at < lot.effective_at:
            unvested += state.remainder_nanos
        elif lot.expires_at is not None and at >= lot.expires_at:
            breakage += state.remainder_nanos
        else:
            usable += state.remainder_nanos
    return WalletBalance(
        granted_nanos=granted,
        transferred_in_nanos=transferred_in,
        overage_nanos=overage_nanos,
        unvested_nanos=unvested,
        available_nanos=0 if leased else usable,
        leased_nanos=usable if leased else 0,
        held_nanos=held,
        suspense_nanos=suspense,
        spent_nanos=spent + overage_nanos,
        breakage_nanos=breakage,
        forfeited_nanos=forfeited,
        clawed_back_nanos=clawed_back,
        voided_nanos=voided,
        transferred_out_nanos=transferred_out,
    )
