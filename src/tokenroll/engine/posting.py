"""Posting: the balanced records of what happened to lots.

Into an account is positive, out of it negative, and every set of postings sums to zero (DESIGN §4 law 2). Wallet accounts
are per lot. A hold has no postings: until it settles or is suspended, its nanos have not moved in the books.
"""

from collections.abc import Iterable, Mapping, Sequence

from tokenroll.engine.drawing import split
from tokenroll.model.entry import Account, Entry, EntryKind, Posting
from tokenroll.model.grant import Grant
from tokenroll.model.hold import COMPANY_LOT_ID, Slice
from tokenroll.model.instant import Instant
from tokenroll.model.lot import Lot


def grant_entries(
    grant: Grant, lots: Sequence[Lot], public_ids: Sequence[str], *, opens: bool = False
) -> tuple[Entry, ...]:
    """One GRANT entry, true at the grant's `effective_at`, and one VEST entry per lot, true at the lot's.

    Vesting is booked in advance with its date, so a question about any instant needs no job to have run (law 9). A grant that
    `opens` a wallet with what was left of one awarded elsewhere is an OPEN entry out of equity, because nobody is awarded it now.
    `public_ids` are the entries' ids in that order. Raises ValueError unless there are `1 + len(lots)` of them.
    """
    if len(public_ids) != len(lots) + 1:
        raise ValueError(
            f"grant {grant.id} with {len(lots)} lots takes {len(lots) + 1} entry ids, not {len(public_ids)}"
        )
    granted = Entry(
        public_id=public_ids[0],
        kind=EntryKind.OPEN if opens else EntryKind.GRANT,
        effective_at=grant.effective_at,
        recorded_at=grant.recorded_at,
        postings=_moved(
            ((lot.wallet_id, lot.id, lot.amount_nanos) for lot in lots),
            Account.OPENING_EQUITY if opens else Account.GRANTED,
            Account.UNVESTED,
        ),
        reference=grant.public_id,
    )
    vested = (
        Entry(
            public_id=public_id,
            kind=EntryKind.VEST,
            effective_at=lot.effective_at,
            recorded_at=grant.recorded_at,
            postings=_moved([(lot.wallet_id, lot.id, lot.amount_nanos)], Account.UNVESTED, Account.AVAILABLE),
            reference=grant.public_id,
        )
        for lot, public_id in zip(lots, public_ids[1:], strict=True)
    )
    return (granted, *vested)


def settlement_postings(
    wallet_id: int, consumed: Iterable[Slice], wallets: Mapping[int, int] | None = None
) -> tuple[Posting, ...]:
    """Available to spent per consumed slice; the company's slice from `company_overage` to `company_spent`.

    `wallets` tells the wallet of each lot where slices belong to a pool, too; a lot that is not in it is `wallet_id`'s.
    The company's slice carries `wallet_id` to say for whom, on accounts that are no wallet's.
    """
    return _spent(wallet_id, consumed, wallets or {}, Account.AVAILABLE)


def suspend_postings(
    wallet_id: int, slices: Iterable[Slice], wallets: Mapping[int, int] | None = None
) -> tuple[Posting, ...]:
    """Available to suspense for every slice of a hold but the company's, which has moved nothing yet."""
    return _moved(_own(wallet_id, slices, wallets or {}), Account.AVAILABLE, Account.SUSPENSE)


def resolve_postings(
    wallet_id: int, slices: Sequence[Slice], consumed: Sequence[Slice], wallets: Mapping[int, int] | None = None
) -> tuple[Posting, ...]:
    """Suspense to spent for what was consumed, and back to available for the tail.

    Raises ValueError if `consumed` is not what its sum takes from `slices` in order.
    """
    known = wallets or {}
    expected, returned = split(slices, sum(one.nanos for one in consumed))
    if expected != tuple(consumed):
        raise ValueError(f"{consumed} is not consumed from {slices} in order")
    back = _moved(_own(wallet_id, returned, known), Account.SUSPENSE, Account.AVAILABLE)
    return _spent(wallet_id, consumed, known, Account.SUSPENSE) + back


def taken_postings(lot: Lot, nanos: int, at: Instant, target: Account) -> tuple[Posting, ...]:
    """Out of a lot into `target` (forfeited, clawed back, voided), out of where its remainder is at `at`."""
    return _moved([(lot.wallet_id, lot.id, nanos)], _place(lot, at), target)


def unvest_postings(lot: Lot, nanos: int) -> tuple[Posting, ...]:
    """Available back to unvested, true at the lot's `effective_at`: of what was taken earlier, vesting was booked in advance.

    Negative to vest: what a lot that was moved needs, as `grant_entries` does it for one that was granted.
    """
    return _moved([(lot.wallet_id, lot.id, nanos)], Account.AVAILABLE, Account.UNVESTED)


def moved_postings(lot: Lot, moved: Lot, at: Instant) -> tuple[Posting, ...]:
    """All of `moved` out of `lot`: what one wallet transferred out, another (or the same, on other dates) transferred in.

    It comes in unvested, and a VEST entry of its own vests it.
    """
    nanos = moved.amount_nanos
    out = _moved([(lot.wallet_id, lot.id, nanos)], _place(lot, at), Account.TRANSFERRED_OUT)
    return out + _moved([(moved.wallet_id, moved.id, nanos)], Account.TRANSFERRED_IN, Account.UNVESTED)


def _place(lot: Lot, at: Instant) -> Account:
    """Where a lot's remainder is booked at `at`, before it expires."""
    return Account.UNVESTED if at < lot.effective_at else Account.AVAILABLE


def variance_postings(wallet_id: int, nanos: int) -> tuple[Posting, ...]:
    """What a provider proved after suspense had closed: the company's, never the member's (law 4).

    Negative if the provider proved less than was settled; nothing for zero.
    """
    if nanos == 0:
        return ()
    return _moved([(wallet_id, COMPANY_LOT_ID, nanos)], Account.COMPANY_OVERAGE, Account.PROVIDER_VARIANCE)


def _spent(
    wallet_id: int, consumed: Iterable[Slice], wallets: Mapping[int, int], source: Account
) -> tuple[Posting, ...]:
    parts = tuple(consumed)
    company = [(wallet_id, COMPANY_LOT_ID, one.nanos) for one in parts if one.lot_id == COMPANY_LOT_ID]
    return _moved(_own(wallet_id, parts, wallets), source, Account.SPENT) + _moved(
        company, Account.COMPANY_OVERAGE, Account.COMPANY_SPENT
    )


def _own(wallet_id: int, slices: Iterable[Slice], wallets: Mapping[int, int]) -> list[tuple[int, int, int]]:
    return [
        (wallets.get(one.lot_id, wallet_id), one.lot_id, one.nanos) for one in slices if one.lot_id != COMPANY_LOT_ID
    ]


def _moved(parts: Iterable[tuple[int, int, int]], source: Account, target: Account) -> tuple[Posting, ...]:
    """Two postings per (wallet, lot, nanos): out of the source, into the target."""
    return tuple(
        Posting(account=account, wallet_id=wallet_id, lot_id=lot_id, nanos=sign * nanos)
        for wallet_id, lot_id, nanos in parts
        for account, sign in ((source, -1), (target, 1))
    )
