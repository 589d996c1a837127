"""What was on record of a wallet at an instant: the journal up to the batches that were closed by then, at that date (DESIGN §5).

Nothing is swept and nothing was stored for it: what rows hold now, less what later rows did. Vesting and expiry are dates of lots,
booked when the lot was; so what had expired at an instant is known of any instant. A hold is not in the journal until it ends: what
was in use then counts as left.
"""

from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from tokenroll.model.entry import Account
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.lot import LotState
from tokenroll.services.history import head_of
from tokenroll.services.holdings import amounts_for_people, states_by_wallet
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome, parse_record

_FIELDS: Final = {
    Account.SPENT: "spent_nanos",
    Account.SUSPENSE: "suspense_nanos",
    Account.FORFEITED: "forfeited_nanos",
    Account.CLAWED_BACK: "clawed_back_nanos",
    Account.VOIDED: "voided_nanos",
    Account.TRANSFERRED_OUT: "transferred_out_nanos",
}


def amounts_as_of(connection: Connection, wallet: Row[Any], at: Instant) -> dict[str, Any]:
    """The amounts of `holdings.amounts_for_people` as they were on record at `at`. Raises AssertionError if they do not conserve."""
    batches = schema.batches.c
    through = connection.scalar(select(func.max(batches.last_seq)).where(batches.closed_at <= at)) or 0
    later = _Later(connection, wallet.id, through)
    known = _known_lots(connection, wallet.id, through)
    states = [
        later.before(state)
        for state in states_by_wallet(connection, [wallet.id]).get(wallet.id, [])
        if state.lot.id in known
    ]
    return amounts_for_people(states, at)


class _Later:
    """What rows after a sequence did to the lots of one wallet."""

    def __init__(self, connection: Connection, wallet_id: int, through: int) -> None:
        self._spent: dict[int, int] = {}
        self._moved: dict[int, dict[str, int]] = {}
        self._read_entries(connection, wallet_id, through)
        for outcome, blob in _settlements_after(connection, wallet_id, through):
            self._add(outcome, blob)

    def before(self, state: LotState) -> LotState:
        """The lot's state without them; what was held is its remainder's."""
        moved = self._moved.get(state.lot.id, {})
        fields = {name: getattr(state, name) - moved.get(name, 0) for name in _FIELDS.values()}
        fields["spent_nanos"] -= self._spent.get(state.lot.id, 0)
        return LotState(lot=state.lot, **fields)

    def _read_entries(self, connection: Connection, wallet_id: int, through: int) -> None:
        postings = schema.postings.c
        query = (
            select(postings.lot_id, postings.account, func.sum(postings.nanos))
            .where(
                postings.ledger_seq > through,
                postings.wallet_id == wallet_id,
                postings.account.in_([account.value for account in _FIELDS]),
            )
            .group_by(postings.lot_id, postings.account)
        )
        for lot_id, account, nanos in connection.execute(query):
            self._moved.setdefault(lot_id, {})[_FIELDS[Account(account)]] = int(nanos)

    def _add(self, outcome: int, blob: bytes) -> None:
        record = parse_record(blob)
        for lot_id, nanos in record.consumed:
            self._spent[lot_id] = self._spent.get(lot_id, 0) + nanos
        if outcome == Outcome.RESOLVED:
            for lot_id, nanos in record.hold.slices:
                if lot_id != COMPANY_LOT_ID:
                    moved = self._moved.setdefault(lot_id, {})
                    moved["suspense_nanos"] = moved.get("suspense_nanos", 0) - nanos


def _known_lots(connection: Connection, wallet_id: int, through: int) -> set[int]:
    """The lots of a wallet that were on record by that sequence."""
    facts, lots = schema.facts.c, schema.lots.c
    query = select(lots.id).join(schema.facts, facts.row_id == lots.id)
    return set(
        connection.scalars(query.where(facts.noun == "lots", facts.ledger_seq <= through, lots.wallet_id == wallet_id))
    )


def _settlements_after(connection: Connection, wallet_id: int, through: int) -> list[tuple[int, bytes]]:
    """Every attempt recorded later that may have taken from this wallet's lots: its own calls, and for a pool its members'."""
    settlements, draws = schema.settlements.c, schema.pool_draws.c
    found: dict[int, tuple[int, bytes]] = {}
    head = head_of(connection, wallet_id)
    while head > through:
        row = connection.execute(
            select(settlements.outcome, settlements.record, settlements.previous_seq).where(
                settlements.ledger_seq == head
            )
        ).one()
        found[head] = (row.outcome, row.record)
        head = row.previous_seq
    is_pool = connection.scalar(select(schema.pools.c.wallet_id).where(schema.pools.c.wallet_id == wallet_id))
    if is_pool is not None:
        # a hold that went to suspense and cost nothing drew nothing, and still gave its slices back
        drawn = select(settlements.ledger_seq, settlements.outcome, settlements.record).where(
            settlements.ledger_seq > through,
            settlements.ledger_seq.in_(select(draws.ledger_seq).where(draws.wallet_id == wallet_id))
            | (settlements.outcome == int(Outcome.RESOLVED)),
        )
        for seq, outcome, record in connection.execute(drawn):
            found[seq] = (outcome, record)
    return list(found.values())
