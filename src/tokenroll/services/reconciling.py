"""Reconciling: what a provider's bill says about attempts, and what age says when nobody else does (DESIGN §4 laws 4 and 5).

An attempt in suspense is settled from the bill, at our prices for the bill's counts. A settled row is never edited: where the bill
differs, the difference is listed, and booked as the company's provider variance when asked. What no bill explains within 72 hours
(a model that is trained: 7 days), or before its cycle is to close, the evidence decides as `estimated`, and the rest returns to the wallet.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypedDict

from sqlalchemy import Connection, Row, func, select

from tokenroll.engine.bounding import evidence_costs
from tokenroll.engine.posting import variance_postings
from tokenroll.engine.rating import UnpricedError, card_from_json, charge_nanos
from tokenroll.model.entry import Entry, EntryKind
from tokenroll.model.identifier import IdentifierError, hold_key_from_call
from tokenroll.model.instant import Instant
from tokenroll.model.limits import AMOUNT_NANOS_MAX, ENTERED_AT_MAX, UNIT_COUNT_MAX
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import METER_INDEX, METERS, Meter, Usage
from tokenroll.services.ageing import is_due
from tokenroll.services.cycle_finding import find_cycle
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, Outcome, SettleRecord, hold_number, parse_record
from tokenroll.store.cycles import CycleBook
from tokenroll.store.mirror import OpenHold
from tokenroll.store.tape import SERVICE_TIERS, Finish, TapeSource

DIFFERENCES_SHOWN_MAX: Final = 1_000
ROWS_PER_COMMAND_MAX: Final = 20_000
"""Bill rows of one command: about 6 MB of message; a longer bill is sent in parts."""
OPEN_STATUS: Final = "open"
UNDECIDED: Final = "undecided"
"""A difference that is not booked, because what it differs from is not settled."""
ESTIMATE: Final = "estimate"
"""A difference of what was settled without a report of its usage: the bill knows better, and nothing is wrong."""
_KEYS_PER_QUERY: Final = 500
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "attempt": (0, 2**31 - 1),
    "at": (0, ENTERED_AT_MAX),
    "cost_nanos": (0, AMOUNT_NANOS_MAX),
}
"""Whole numbers of a bill row, and between what they lie."""


class BillRow(NamedTuple):
    """One attempt as billed. `at` in microseconds, `cost_nanos` in billionths of the card's currency."""

    call_id: str
    attempt: int
    request_id: str
    provider: str
    model: str
    service_tier: str
    at: Instant
    counts: tuple[int | None, ...]
    status: str
    cost_nanos: int


class _Tally:
    """What a reconciliation found."""

    def __init__(self) -> None:
        self.row_count = self.matched = self.agreed = self.open = self.in_flight = self.resolved = 0
        self.resolved_nanos = self.returned_nanos = self.bill_cost_nanos = self.ledger_cost_nanos = (
            self.booked_nanos
        ) = 0
        self.differences: list[dict[str, Any]] = []

    def differs(self, kind: str, row: BillRow, ours_nanos: int, **more: Any) -> None:
        self.differences.append(
            {
                "kind": kind, "call": row.call_id, "attempt": row.attempt, "request_id": row.request_id,
                "bill_cost_nanos": row.cost_nanos, "ledger_cost_nanos": ours_nanos, **more,
            }
        )  # fmt: skip


class _Reconcile(TypedDict, total=False):
    rows: list[dict[str, Any]]
    book: bool


def reconcile(work: UnitOfWork, arguments: _Reconcile) -> dict[str, Any]:
    """Settles suspense from the rows of a bill and lists what differs. `rows`; `book`: book the differences, too.

    Rows that are not final (`open`) are counted and left alone; so are attempts still in flight. An attempt that the bill names more
    than once is named in the differences and settled at most once.
    """
    rows = [_bill_row(one) for one in arguments.get("rows") or ()]
    if len(rows) > ROWS_PER_COMMAND_MAX:
        raise Refused(
            "too_many_rows", f"a command takes {ROWS_PER_COMMAND_MAX} bill rows, not {len(rows)}: send it in parts"
        )
    if sum(row.cost_nanos for row in rows) > AMOUNT_NANOS_MAX:
        raise Refused("bill_row", f"the rows cost more than {AMOUNT_NANOS_MAX} nanos together, which no row can hold")
    cards = Cards(work.connection)
    tally = _Tally()
    final = [row for row in rows if row.status != OPEN_STATUS]
    tally.row_count, tally.open = len(rows), len(rows) - len(final)
    keys = _hold_keys(work, final)
    settled = dict(_settled_rows(work, {key for key in keys if key is not None}))
    of_attempts: dict[int | tuple[str, int], list[BillRow]] = {}
    for row, key in zip(final, keys, strict=True):
        tally.bill_cost_nanos += row.cost_nanos
        of_attempts.setdefault((row.call_id, row.attempt) if key is None else key, []).append(row)
    for name, same in of_attempts.items():
        key = name if isinstance(name, int) else None
        _reconcile_attempt(work, cards, tally, same, key, settled.get(key) if key is not None else None)
    if arguments.get("book"):
        tally.booked_nanos = _book(work, tally.differences)
    return {
        "row_count": tally.row_count,
        "matched_count": tally.matched,
        "agreed_count": tally.agreed,
        "open_count": tally.open,
        "in_flight_count": tally.in_flight,
        "resolved_count": tally.resolved,
        "resolved_nanos": tally.resolved_nanos,
        "returned_nanos": tally.returned_nanos,
        "bill_cost_nanos": tally.bill_cost_nanos,
        "ledger_cost_nanos": tally.ledger_cost_nanos,
        "difference_count": len(tally.differences),
        "differences": tally.differences[:DIFFERENCES_SHOWN_MAX],
        "booked_cost_nanos": tally.booked_nanos,
        "settled_on_bill_count": tally.resolved + sum(one.outcome != Outcome.RELEASED for one in settled.values()),
        "suspense_count": len(work.holds_in_suspense()),
    }


class _Decide(TypedDict, total=False):
    through: str


def decide(work: UnitOfWork, arguments: _Decide) -> dict[str, Any]:
    """Attempts that have been in suspense too long, settled by their evidence as `estimated` (law 4).

    `through`, a cycle's name, decides whatever was admitted up to that cycle, whatever its age, so that the cycle can close.
    """
    cards, cycles = Cards(work.connection), CycleBook(work.connection)
    through_cycle = find_cycle(cycles, arguments["through"]).number if arguments.get("through") else 0
    zones = schema.wallets.c
    decided, charged, returned = 0, 0, 0
    for hold in work.holds_in_suspense():
        aged = is_due(hold, work.now)
        if not aged and through_cycle:
            zone = work.connection.scalar(select(zones.zone).where(zones.id == hold.wallet_id)) or "UTC"
            aged = cycles.of_admission(zone, hold.admitted_at) <= through_cycle
        if aged:
            settle = estimated(cards, hold, work.now)
            returned += work.resolve(hold, settle)
            charged += settle.charge_nanos
            decided += 1
    return {
        "decided_count": decided,
        "charged_nanos": charged,
        "returned_nanos": returned,
        "suspense_count": len(work.holds_in_suspense()),
    }


def estimated(cards: "Cards", hold: OpenHold, now: Instant) -> SettleRecord:
    """What the evidence alone says an attempt cost: the counts its worker saw, at the prices of its hold.

    No evidence means that no byte of an answer came; such a request is charged nothing, and what a bill proves later is the
    company's. Never more than the hold: an estimate must not overdraw anybody. A meter without a price is charged all the same:
    one odd count must not keep everybody's suspense open.
    """
    attempt = parse_record(hold.record)
    counts = attempt.evidence.counts if attempt.evidence else (None,) * len(METERS)
    card = cards.card(attempt.hold.rate_card_id)
    tier = next((one for one in SERVICE_TIERS if one in card.internal_prices), SERVICE_TIERS[0])
    costs = evidence_costs(card, tier, Usage.from_counts(counts))
    answer_bytes = attempt.evidence.answer_bytes if attempt.evidence else 0
    status = attempt.evidence.status if attempt.evidence else 0
    return SettleRecord(
        at=now, first_byte_at=0, charge_nanos=min(costs[0], attempt.hold.bound_nanos), list_cost_nanos=costs[1],
        net_cost_nanos=costs[2], answer_bytes=answer_bytes, source=int(TapeSource.ESTIMATED),
        finish=attempt.lapse.finish if attempt.lapse else int(Finish.UNKNOWN), service_tier=tier, dialect=0,
        status=status, answered_model_name=0, request_id_name=0, counts=counts,
    )  # fmt: skip


class Cards:
    """Rate cards by id, read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[int, RateCard] = {}

    def card(self, card_id: int) -> RateCard:
        """The card. Raises Refused for one that the ledger does not have."""
        card = self._known.get(card_id)
        if card is None:
            table = schema.rate_cards
            row = self._connection.execute(select(table).where(table.c.id == card_id)).one_or_none()
            if row is None:
                raise Refused("no_card", f"a hold was priced with rate card {card_id}, which the ledger does not have")
            card = self._known[card_id] = card_from_json(
                row.canonical_json, card_id=card_id, public_id=row.public_id, recorded_at=row.recorded_at
            )
        return card


def _reconcile_attempt(
    work: UnitOfWork, cards: Cards, tally: _Tally, rows: list[BillRow], key: int | None, settled: "Row[Any] | None"
) -> None:
    """The bill's rows of one attempt. The same line twice settles once; lines that contradict each other settle nothing.

    Which of them is true only the provider can say: a settled attempt differs by their sum (`billed_twice`), one in suspense stays
    there until another bill or its age decides (`undecided`).
    """
    first = rows[0]
    if all(row == first for row in rows):
        _reconcile_one(work, cards, tally, first, key, settled)
        for row in rows[1:]:
            tally.matched += 1
            tally.differs("billed_twice", row, 0)
        return
    hold = None if settled is not None or key is None else work.open_hold(key)
    if settled is None and (hold is None or hold.lapsed_at is None):
        for row in rows:
            _reconcile_one(work, cards, tally, row, key, None)
        return
    tally.matched += len(rows)
    ours = 0
    if settled is not None:
        settle = parse_record(settled.record).settle
        ours = settle.net_cost_nanos if settle is not None else 0
        tally.ledger_cost_nanos += ours
    kind = UNDECIDED if settled is None else "billed_twice"
    whole = first._replace(cost_nanos=sum(row.cost_nanos for row in rows))
    lines = [{"request_id": row.request_id, "bill_cost_nanos": row.cost_nanos} for row in rows]
    tally.differs(kind, whole, ours, rows=lines)


def _reconcile_one(
    work: UnitOfWork, cards: Cards, tally: _Tally, row: BillRow, key: int | None, settled: "Row[Any] | None"
) -> None:
    if settled is not None:
        tally.matched += 1
        _compare(tally, row, settled)
        return
    hold = None if key is None else work.open_hold(key)
    if hold is None:
        tally.differs("unknown", row, 0)
    elif hold.lapsed_at is None:
        tally.matched += 1
        tally.in_flight += 1
    else:
        tally.matched += 1
        _resolve(work, cards, tally, row, hold)


def _compare(tally: _Tally, row: BillRow, settled: "Row[Any]") -> None:
    attempt = parse_record(settled.record)
    if settled.outcome == Outcome.RELEASED or attempt.settle is None:
        if row.cost_nanos:
            tally.differs("released", row, 0)
        else:
            tally.agreed += 1
        return
    ours = attempt.settle
    tally.ledger_cost_nanos += ours.net_cost_nanos
    says_usage = any(count is not None for count in row.counts)  # a bill may name the cost alone
    usage = _usage_differences(row.counts, ours.counts) if says_usage else {}
    if ours.source == TapeSource.ESTIMATED and (usage or row.cost_nanos != ours.net_cost_nanos):
        tally.differs(ESTIMATE, row, ours.net_cost_nanos, **({"usage": usage} if usage else {}))
    elif usage:
        tally.differs("usage", row, ours.net_cost_nanos, usage=usage)
    elif row.cost_nanos != ours.net_cost_nanos:
        tally.differs("cost", row, ours.net_cost_nanos)
    else:
        tally.agreed += 1


def _resolve(work: UnitOfWork, cards: Cards, tally: _Tally, row: BillRow, hold: OpenHold) -> None:
    attempt = parse_record(hold.record)
    card = cards.card(attempt.hold.rate_card_id)
    tier = row.service_tier if row.service_tier in SERVICE_TIERS else SERVICE_TIERS[0]
    try:
        charge, list_cost, net_cost = _costs(card, tier, row.counts)
    except UnpricedError as error:
        tally.differs("unpriced", row, 0, reason=str(error))
        return
    settle = SettleRecord(
        at=work.now, first_byte_at=0, charge_nanos=charge, list_cost_nanos=list_cost, net_cost_nanos=net_cost,
        answer_bytes=_answer_bytes(attempt), source=int(TapeSource.BILL),
        finish=attempt.lapse.finish if attempt.lapse else int(Finish.UNKNOWN), service_tier=tier, dialect=0,
        status=attempt.evidence.status if attempt.evidence else 0, answered_model_name=0, request_id_name=0,
        counts=row.counts,
    )  # fmt: skip
    tally.returned_nanos += work.resolve(hold, settle)
    tally.resolved += 1
    tally.resolved_nanos += charge
    tally.ledger_cost_nanos += net_cost
    if net_cost != row.cost_nanos:
        tally.differs("cost", row, net_cost)
    else:
        tally.agreed += 1


def settle_from_report(work: UnitOfWork, row: BillRow, key: int) -> tuple[int, int]:
    """An attempt in suspense settled by what a provider's report proves of it; what is charged, and what returns to its lots.

    Raises Refused if it is not in suspense, or our card has no price for it.
    """
    hold = work.open_hold(key)
    if hold is None or hold.lapsed_at is None:
        raise Refused("not_checked", f"{row.call_id} attempt {row.attempt} is not being checked any more")
    tally = _Tally()
    _resolve(work, Cards(work.connection), tally, row, hold)
    if not tally.resolved:
        raise Refused("unpriced", f"{row.call_id} attempt {row.attempt}: {tally.differences[0]['reason']}")
    return tally.resolved_nanos, tally.returned_nanos


def book_estimate(work: UnitOfWork, call_id: str, attempt: int, nanos: int, reference: str) -> int:
    """What a report proves of an estimated attempt beyond its estimate: the company's provider variance, once; what is booked of it now."""
    return _book_one(work, call_id, attempt, nanos, f"{call_id} attempt {attempt}, {reference}")


def _book(work: UnitOfWork, differences: list[dict[str, Any]]) -> int:
    """The differences as entries of the company, each once, whatever the number of bills that tell it."""
    booked = 0
    for one in differences:
        if one["kind"] != UNDECIDED:
            nanos = one["bill_cost_nanos"] - one["ledger_cost_nanos"]
            booked += _book_one(work, one["call"], one["attempt"], nanos, f"{one['call']} attempt {one['attempt']}")
    return booked


def _book_one(work: UnitOfWork, call_id: str, attempt: int, nanos: int, reference: str) -> int:
    """One attempt's difference; nothing where there is none, or one of it is booked."""
    table = schema.variances
    same = (table.c.call_id == call_id) & (table.c.attempt == attempt)
    if nanos == 0 or work.connection.execute(select(table.c.ledger_seq).where(same)).one_or_none() is not None:
        return 0
    seq = work.append(
        Entry(
            public_id=work.public_id("entry"),
            kind=EntryKind.VARIANCE,
            effective_at=work.now,
            recorded_at=work.now,
            postings=variance_postings(0, nanos),
            reference=reference,
        )
    )
    work.connection.execute(table.insert().values(call_id=call_id, attempt=attempt, ledger_seq=seq))
    return nanos


def _costs(card: RateCard, tier: str, counts: tuple[int | None, ...]) -> tuple[int, int, int]:
    """Charge in credits, list cost and net cost in money, all in nanos."""
    usage = Usage.from_counts(counts)
    return (
        charge_nanos(card.internal_prices, tier, usage, card.model),
        charge_nanos(card.list_prices, tier, usage, card.model),
        charge_nanos(card.net_prices, tier, usage, card.model),
    )


def _usage_differences(bill: tuple[int | None, ...], ours: tuple[int | None, ...]) -> dict[str, list[int]]:
    """Meters that differ, with the bill's count and ours. Requests are ours alone: no bill counts them."""
    return {
        meter.value: [theirs or 0, mine or 0]
        for meter, theirs, mine in zip(METERS, bill, ours, strict=True)
        if (theirs or 0) != (mine or 0) and meter is not Meter.REQUEST
    }


def _hold_keys(work: UnitOfWork, rows: list[BillRow]) -> list[int | None]:
    """The hold key of each row's attempt, None where we never made one."""
    attempts = schema.attempts.c
    found: list[int | None] = []
    for row in rows:
        try:
            first = hold_number(hold_key_from_call(row.call_id))
        except IdentifierError:
            found.append(None)
            continue
        if row.attempt <= 1:
            found.append(first)
            continue
        query = select(attempts.hold_key).where(attempts.call_key == first, attempts.attempt == row.attempt)
        found.append(work.connection.scalar(query))
    return found


def _settled_rows(work: UnitOfWork, keys: set[int]) -> Iterator[tuple[int, Any]]:
    table = schema.settlements
    ordered = sorted(keys)
    for start in range(0, len(ordered), _KEYS_PER_QUERY):
        part = ordered[start : start + _KEYS_PER_QUERY]
        query = select(table.c.hold_key, table.c.outcome, table.c.record).where(table.c.hold_key.in_(part))
        for row in work.connection.execute(query):
            yield row.hold_key, row


def bill_row_problem(said: Any) -> str:
    """What keeps a line of a bill from being a row: the field, and what it must be; empty when nothing does."""
    if not isinstance(said, Mapping):
        return "not a JSON object"
    for name in BillRow._fields:
        known = "usage" if name == "counts" else name
        if known not in said:
            return f"{known} is missing"
        value = said[known]
        if known in _RANGES:
            problem = _number_problem(known, value, *_RANGES[known])
        elif known == "usage":
            problem = _usage_problem(value)
        else:
            problem = _text_problem(known, value)
        if problem:
            return problem
    return ""


def _number_problem(name: str, value: Any, least: int, most: int) -> str:
    """A number outside of its range would not fit into a row of the ledger; one with a point has been rounded before we see it (law 1)."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return ""
    return f"{name} is {value!r:.60}; it must be a whole number from {least} to {most}"


def _usage_problem(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"usage is {value!r:.60}; it must be an object of counts"
    meters = [meter.value for meter in METERS]
    for name, count in value.items():
        if name not in meters:
            return f"usage has {name!r:.60}, which is no meter; known: {', '.join(meters)}"
        problem = _number_problem(f"usage.{name}", count, 0, UNIT_COUNT_MAX)
        if problem:
            return problem
    return ""


def _text_problem(name: str, value: Any) -> str:
    if not isinstance(value, str):
        return f"{name} is {value!r:.60}; it must be a text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{name} is no text that can be written as UTF-8"
    return ""


def bill_row_sent(said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row without a problem, as a command carries them; what else a provider writes on a line stays there."""
    return {
        "usage": dict(said["usage"]),
        **{name: said[name] for name in BillRow._fields if name != "counts"},
    }


def settled_count(connection: Connection) -> int:
    """Settled attempts of the ledger: those that some bill must name."""
    table = schema.settlements.c
    return connection.scalar(select(func.count()).where(table.outcome != Outcome.RELEASED)) or 0


def _bill_row(said: Mapping[str, Any]) -> BillRow:
    """The row of a bill's JSON line. Raises Refused naming what is wrong with it."""
    problem = bill_row_problem(said)
    if problem:
        raise Refused("bill_row", f"a bill row is none: {problem}")
    sent = bill_row_sent(said)
    counts: list[int | None] = [None] * len(METERS)
    for name, count in sent.pop("usage").items():
        counts[METER_INDEX[Meter(name)]] = count
    if any(counts):
        counts[METER_INDEX[Meter.REQUEST]] = counts[METER_INDEX[Meter.REQUEST]] or 1
    return BillRow(counts=tuple(counts), **sent)


def _answer_bytes(attempt: AttemptRecord) -> int:
    return attempt.lapse.answer_bytes if attempt.lapse else 0
