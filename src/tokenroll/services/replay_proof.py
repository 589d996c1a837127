"""The proof of a replay: the provider's bill, usage × rate card, settlements, wallets and ledger agree to the nano.

Everything is read again from where it was kept: the bill's file, the ledger's rows. Nothing is taken from what the replay
remembers, so that a replay cannot vouch for itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, func, select

from tokenroll.engine.bounding import passes_costs
from tokenroll.engine.rating import UnpricedError, card_from_json, charge_nanos
from tokenroll.ledger_place import LedgerPlace
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import METERS, UsageSource
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, parse_record
from tokenroll.store.database import open_reader
from tokenroll.upstream.simulated.bill import ABORTED, OPEN, Line, final_lines

DIRECT_PREFIX: Final = "direct-"
"""Call ids of probes that go to the provider without the gateway: on the bill, not in the ledger."""
DIFFERENCES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the ledger stands at one moment."""

    ledger_seq: int
    settlements: int
    spent_nanos: int
    charged_nanos: int
    open_holds: int


@dataclass(slots=True)
class Proof:
    """Five totals that must be one, and the calls for which they are not."""

    provider_bill_nanos: int = 0
    rated_list_nanos: int = 0
    settled_list_nanos: int = 0
    rated_nanos: int = 0
    settlements_nanos: int = 0
    wallets_nanos: int = 0
    ledger_nanos: int = 0
    suspense_bill_nanos: int = 0
    """On the bill for attempts that are still being checked: named, not lost."""
    attempts_settled: int = 0
    attempts_released: int = 0
    attempts_open: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    hold_ratios: list[float] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    difference_count: int = 0

    @property
    def holds(self) -> bool:
        """Whether everything agrees. Charges and list costs are one amount unless a card has internal prices of its own."""
        listed = {self.provider_bill_nanos - self.suspense_bill_nanos, self.rated_list_nanos, self.settled_list_nanos}
        charged = {self.rated_nanos, self.settlements_nanos, self.wallets_nanos, self.ledger_nanos}
        return len(listed) == 1 and len(charged) == 1 and not self.difference_count

    def differs(self, sentence: str) -> None:
        """Name a call that does not agree; the first ones are kept, all are counted."""
        self.difference_count += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(sentence)

    def summary(self) -> dict[str, Any]:
        """The totals for JSON and people."""
        return {
            "provider_bill_nanos": self.provider_bill_nanos,
            "usage_times_list_rates_nanos": self.rated_list_nanos,
            "settled_list_nanos": self.settled_list_nanos,
            "usage_times_internal_rates_nanos": self.rated_nanos,
            "settlements_nanos": self.settlements_nanos,
            "wallet_movement_nanos": self.wallets_nanos,
            "ledger_nanos": self.ledger_nanos,
            "bill_of_calls_being_checked_nanos": self.suspense_bill_nanos,
            "agree": self.holds,
            "difference_count": self.difference_count,
            "differences": self.differences,
        }


def standing(place: LedgerPlace) -> Standing:
    """Where the ledger stands now, in one snapshot."""
    engine = open_reader(place)
    try:
        with engine.connect() as connection:
            return _standing(connection)
    finally:
        engine.dispose()


def _standing(connection: Connection) -> Standing:
    def number(query: Any) -> int:
        return int(connection.scalar(query) or 0)

    return Standing(
        ledger_seq=number(select(func.max(schema.settlements.c.ledger_seq))),
        settlements=number(select(func.count()).select_from(schema.settlements)),
        # by calls alone: what was charged of usage around the gateway is on no bill of a call
        spent_nanos=number(select(func.sum(schema.lot_values.c.spent_nanos)))
        - number(select(func.sum(schema.usage_charge_parts.c.nanos))),
        charged_nanos=number(select(func.sum(schema.wallet_values.c.charged_nanos))),
        open_holds=number(select(func.count()).select_from(schema.holds)),
    )


def prove(place: LedgerPlace, before: Standing, bill_lines: Iterable[bytes | str]) -> Proof:
    """What the calls settled since `before` say, against the provider's bill of the same calls."""
    proof = Proof()
    engine = open_reader(place)
    try:
        with engine.connect() as connection:
            after = _standing(connection)
            proof.wallets_nanos = after.spent_nanos - before.spent_nanos
            proof.ledger_nanos = after.charged_nanos - before.charged_nanos
            cards = _cards(connection)
            settled = _settled(connection, before.ledger_seq, cards, proof)
            checked = _open_calls(connection, proof)
    finally:
        engine.dispose()
    _compare(proof, settled, checked, final_lines(bill_lines))
    return proof


def _cards(connection: Connection) -> dict[int, RateCard]:
    return {
        row.id: card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)
        for row in connection.execute(select(schema.rate_cards))
    }


_Attempt = tuple[int, int]
"""Call number and attempt."""


def _settled(
    connection: Connection, after_seq: int, cards: dict[int, RateCard], proof: Proof
) -> dict[_Attempt, AttemptRecord]:
    table = schema.settlements
    query = select(table.c.ledger_seq, table.c.hold_key, table.c.charge_nanos, table.c.record).where(
        table.c.ledger_seq > after_seq
    )
    found: dict[_Attempt, AttemptRecord] = {}
    for row in connection.execute(query.order_by(table.c.ledger_seq)):
        record = parse_record(row.record)
        key = (record.hold.call_number(row.hold_key), record.hold.attempt)
        if key in found:
            proof.differs(f"call {key[0]:032x} attempt {key[1]} is in the ledger twice")
        found[key] = record
        proof.settlements_nanos += row.charge_nanos
        if record.settle is None:
            proof.attempts_released += 1
            continue
        proof.attempts_settled += 1
        _rate(proof, key, record, cards)
    return found


def _rate(proof: Proof, key: _Attempt, record: AttemptRecord, cards: dict[int, RateCard]) -> None:
    settle, card = record.settle, cards[record.hold.rate_card_id]
    assert settle is not None
    for meter, count in zip(METERS, settle.counts, strict=True):
        if count:
            proof.tokens[meter.value] = proof.tokens.get(meter.value, 0) + count
    source = tuple(UsageSource)[settle.source - 1].value
    proof.sources[source] = proof.sources.get(source, 0) + 1
    try:
        if settle.passes:
            passes = [(cards[one.rate_card_id], one.service_tier, one.usage) for one in settle.passes]
            rated, listed, _, _ = passes_costs(card, settle.service_tier, settle.usage, passes)
        else:
            rated = charge_nanos(card.internal_prices, settle.service_tier, settle.usage, card.model)
            listed = charge_nanos(card.list_prices, settle.service_tier, settle.usage, card.model)
    except UnpricedError as error:
        proof.differs(f"call {key[0]:032x}: {error}")
        return
    proof.rated_nanos += rated
    proof.rated_list_nanos += listed
    proof.settled_list_nanos += settle.list_cost_nanos
    if rated != settle.charge_nanos:
        proof.differs(f"call {key[0]:032x}: usage × rate card is {rated} nanos, settled were {settle.charge_nanos}")
    if settle.charge_nanos:
        proof.hold_ratios.append(record.hold.bound_nanos / settle.charge_nanos)


def _open_calls(connection: Connection, proof: Proof) -> set[_Attempt]:
    found = set()
    for row in connection.execute(select(schema.holds.c.hold_key, schema.holds.c.record)):
        hold = parse_record(row.record).hold
        found.add((hold.call_number(row.hold_key), hold.attempt))
    proof.attempts_open = len(found)
    return found


def _compare(proof: Proof, settled: dict[_Attempt, AttemptRecord], checked: set[_Attempt], lines: list[Line]) -> None:
    """Every line of the bill has its attempt at the same cost, and every settled attempt its line."""
    billed: set[_Attempt] = set()
    for line in lines:
        if line.call_id.startswith(DIRECT_PREFIX):
            continue
        key = _key_of(line)
        proof.provider_bill_nanos += line.cost_nanos
        billed.add(key)
        record = settled.get(key)
        name = f"call {line.call_id} attempt {line.attempt}"
        if key in checked:
            proof.suspense_bill_nanos += line.cost_nanos
        elif record is None:
            proof.differs(f"{name}: on the bill for {line.cost_nanos} nanos, not in the ledger")
        elif record.settle is None:
            if line.cost_nanos:
                proof.differs(f"{name}: on the bill for {line.cost_nanos} nanos, released in the ledger")
        elif record.settle.list_cost_nanos != line.cost_nanos:
            ended = " (ended early)" if line.status in {OPEN, ABORTED} else ""
            proof.differs(
                f"{name}: the bill says {line.cost_nanos} nanos{ended}, the ledger {record.settle.list_cost_nanos}"
            )
    for key, record in settled.items():
        if record.settle is not None and record.settle.list_cost_nanos and key not in billed:
            proof.differs(f"call {key[0]:032x} attempt {key[1]}: in the ledger, not on the bill")


def _key_of(line: Line) -> _Attempt:
    text = line.call_id.removeprefix("call_")
    try:
        return int(text, 16), line.attempt
    except ValueError:
        return -1, line.attempt
