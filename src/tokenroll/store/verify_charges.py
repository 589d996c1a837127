"""Verifying charges of usage around the gateway: their entries, what they say they took, and that all of each is paid or asked for."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.drawing import eligible
from tokenroll.model.entry import Account, Entry, Posting
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.lot import Lot
from tokenroll.model.recall import RecallPurpose
from tokenroll.store import schema
from tokenroll.store.cycles import CycleBook
from tokenroll.store.rollups import SpendSums

SPENT_ACCOUNTS: Final = frozenset({Account.SPENT, Account.COMPANY_SPENT})
"""Where what a charge took goes: out of a lot, or out of what the company carries."""


class ChargeReplay:
    """What CHARGE entries say, against the tables beside them."""

    def __init__(
        self, connection: Connection, spend: SpendSums, cycles: CycleBook, differs: Callable[[str, str], None],
        zone_of: Callable[[int], str], lot_of: Callable[[int], Lot | None],
    ) -> None:  # fmt: skip
        self._connection = connection
        self._spend = spend
        self._cycles = cycles
        self._differs = differs
        self._zone_of = zone_of
        self._lot_of = lot_of
        self._pools = set(connection.scalars(select(schema.pools.c.wallet_id)))
        self._charges: dict[str, Row[Any]] = {
            row.public_id: row for row in connection.execute(select(schema.usage_charges))
        }
        self._parts: dict[tuple[int, int], tuple[int, int, int]] = {
            (row.ledger_seq, row.lot_id): (row.charge_id, row.wallet_id, row.nanos)
            for row in connection.execute(select(schema.usage_charge_parts))
        }
        self._seq_of: dict[str, int] = dict(
            connection.execute(
                select(schema.entries.c.public_id, schema.entries.c.ledger_seq).where(schema.entries.c.kind == "charge")
            ).all()
        )
        self._paid: dict[int, int] = {}

    def replay(self, entry: Entry) -> None:
        """One entry: its charge is there, its cycle was open, who paid could, and its parts are stored as it has them."""
        charge = self._charges.get(entry.reference)
        if charge is None:
            self._differs("usage_charge", f"entry {entry.public_id} is of charge {entry.reference}, which is gone")
            return
        seq = self._seq_of[entry.public_id]
        for leg in entry.postings:
            if leg.account not in SPENT_ACCOUNTS:
                continue
            zone = self._zone_of(leg.wallet_id)
            if self._cycles.booked(zone, entry.effective_at) != self._cycles.of_admission(zone, entry.effective_at):
                self._differs("cycle", f"entry {entry.public_id} is booked into a cycle that was closed")
            self._check_payer(entry, leg, charge)
            stored = self._parts.pop((seq, leg.lot_id), None)
            if stored != (charge.id, leg.wallet_id, leg.nanos):
                self._differs(
                    "usage_charge",
                    f"entry {entry.public_id} takes {leg.nanos} of lot {leg.lot_id}; its part says {stored}",
                )
            self._paid[charge.id] = self._paid.get(charge.id, 0) + leg.nanos
            self._spend.add_charged(
                leg.wallet_id, leg.lot_id, charge.model, leg.nanos, used_at=charge.used_at, booked_at=entry.effective_at
            )

    def _check_payer(self, entry: Entry, leg: Posting, charge: Row[Any]) -> None:
        """A lot of the member's or of a pool paid, spendable when the usage was and still when it was booked; or the company did for the member."""
        if leg.lot_id == COMPANY_LOT_ID:
            if leg.wallet_id != charge.wallet_id:
                self._differs(
                    "payer",
                    f"entry {entry.public_id} has the company carry for wallet {leg.wallet_id} what wallet {charge.wallet_id} used",
                )
            return
        lot = self._lot_of(leg.lot_id)
        if lot is None or lot.wallet_id != leg.wallet_id:
            self._differs(
                "payer",
                f"entry {entry.public_id} takes lot {leg.lot_id} from wallet {leg.wallet_id}, which "
                f"{'is gone' if lot is None else f'is of wallet {lot.wallet_id}'}",
            )
            return
        if leg.wallet_id != charge.wallet_id and leg.wallet_id not in self._pools:
            self._differs(
                "payer",
                f"entry {entry.public_id} lets wallet {leg.wallet_id}, which is no pool, pay what wallet {charge.wallet_id} used",
            )
        for at in (charge.used_at, entry.effective_at):
            if not eligible(lot, at):
                self._differs(
                    "eligible", f"entry {entry.public_id} takes of lot {lot.id}, which was not spendable at {at}"
                )

    def check(self) -> int:
        """How many charges there are. All of each is paid by lots and company, or a lot is still asked for it."""
        for seq, lot_id in self._parts:
            self._differs("usage_charge", f"a part of lot {lot_id} names entry {seq}, which takes nothing of it")
        recalls = schema.recalls.c
        query = (
            select(recalls.reference, func.sum(recalls.wanted_nanos - recalls.given_nanos))
            .where(recalls.ended_at.is_(None), recalls.purpose == RecallPurpose.CHARGE.value)
            .group_by(recalls.reference)
        )
        asked: dict[str, int] = {reference: int(nanos) for reference, nanos in self._connection.execute(query)}
        totals: dict[tuple[int, str, str, str], int] = {}
        for row in sorted(self._charges.values(), key=lambda one: one.id):
            paid, open_nanos = self._paid.get(row.id, 0), asked.get(row.public_id, 0)
            if paid + open_nanos != row.charged_nanos and not (open_nanos and paid + open_nanos < row.charged_nanos):
                self._differs(
                    "usage_charge",
                    f"charge {row.public_id} is of {row.charged_nanos}, {paid} are paid and {open_nanos} asked for",
                )
            key = (row.member_id, row.source, row.day, row.model)
            if row.charged_nanos != row.total_nanos - totals.get(key, 0):
                self._differs(
                    "usage_charge",
                    f"charge {row.public_id} of {row.charged_nanos} is not how far {row.total_nanos} had grown",
                )
            totals[key] = row.total_nanos
        return len(self._charges)
