"""After the storm: every line of the provider's bill against the ledger, one by one. It trusts the bill, and the rows' own bytes."""

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.callers import Told
from tests.company import Company
from tokenroll.model.usage import UsageSource
from tokenroll.store.attempt_record import AttemptRecord, parse_record
from tokenroll.store.database import open_reader
from tokenroll.testing import BillLine

_SHOWN_MAX = 20
Attempt = tuple[int, int]
"""Number of the call, and which attempt of it."""


@dataclass
class Books:
    """What the ledger has of every attempt, and what is wrong with it."""

    settled: dict[Attempt, AttemptRecord] = field(default_factory=dict)
    checked: dict[Attempt, AttemptRecord] = field(default_factory=dict)
    """In suspense: named, with their evidence."""
    never_came: set[Attempt] = field(default_factory=set)
    """Those of them that the provider has no line for: its gateway died between the record of sending and the sending."""
    charged_nanos: dict[int, int] = field(default_factory=dict)
    billed_nanos: Counter[int] = field(default_factory=Counter)
    """By wallet, by the provider's word."""
    estimates: int = 0
    faults: list[str] = field(default_factory=list)

    def all_is_well(self) -> None:
        """Raises AssertionError with the first findings."""
        assert not self.faults, f"{len(self.faults)} findings:\n" + "\n".join(self.faults[:_SHOWN_MAX])


def read_books(company: Company) -> Books:
    """The attempts as the ledger has them."""
    books = Books()
    reader = open_reader(company.settings.ledger_place)
    with reader.connect() as connection:
        settled = connection.exec_driver_sql("SELECT hold_key, record, charge_nanos FROM settlements").all()
        holds = connection.exec_driver_sql("SELECT hold_key, record, state FROM holds").all()
    reader.dispose()
    for number, raw, charge in settled:
        record = parse_record(bytes(raw))
        key = _key(number, record)
        if key in books.settled:
            books.faults.append(f"settled twice: {_named(key)}")
        books.settled[key] = record
        wallet = record.hold.wallet_id
        books.charged_nanos[wallet] = books.charged_nanos.get(wallet, 0) + int(charge)
    for number, raw, state in holds:
        record = parse_record(bytes(raw))
        key = _key(number, record)
        if state != "suspense":
            books.faults.append(f"neither ended nor being checked: {_named(key)}, {state}")
        if key in books.settled:
            books.faults.append(f"settled and being checked: {_named(key)}")
        books.checked[key] = record
    return books


def compare(books: Books, lines: list[BillLine]) -> None:
    """No call free, none charged that was not billed, every charge the bill's own cost but for what is marked as estimated."""
    on_bill: set[Attempt] = set()
    for line in lines:
        key = int(line.call_id.removeprefix("call_"), 16), line.attempt
        if key in on_bill:
            books.faults.append(f"sent twice: {_named(key)}")
        on_bill.add(key)
        record = books.settled.get(key) or books.checked.get(key)
        if record is None:
            books.faults.append(f"free: {_named(key)}, on the bill for {line.cost_nanos}, nowhere in the ledger")
            continue
        books.billed_nanos[record.hold.wallet_id] += line.cost_nanos
        if line.cost_nanos > record.hold.bound_nanos:
            books.faults.append(f"above its hold: {_named(key)}, {line.cost_nanos} of {record.hold.bound_nanos}")
        if key in books.settled:
            _compare_one(books, key, record, line)
    books.never_came = books.checked.keys() - on_bill
    for key in books.never_came:
        evidence = books.checked[key].evidence
        if evidence is not None and evidence.status:
            books.faults.append(f"answered with {evidence.status} and not on the bill: {_named(key)}")
    for key, record in books.settled.items():
        if record.settle is not None and record.settle.charge_nanos and key not in on_bill:
            books.faults.append(f"charged and not on the bill: {_named(key)}, {record.settle.charge_nanos}")


def _compare_one(books: Books, key: Attempt, record: AttemptRecord, line: BillLine) -> None:
    settle = record.settle
    if settle is None:
        if line.cost_nanos:
            books.faults.append(
                f"free: {_named(key)}, on the bill for {line.cost_nanos} ({line.status}): {record.release}"
            )
    elif tuple(UsageSource)[settle.source - 1] is UsageSource.ESTIMATED:
        books.estimates += 1
        if not settle.charge_nanos and line.cost_nanos:
            books.faults.append(f"free: {_named(key)}, estimated at nothing, on the bill for {line.cost_nanos}")
    elif settle.list_cost_nanos != line.cost_nanos or settle.charge_nanos != line.cost_nanos:
        books.faults.append(
            f"uneven: {_named(key)}, settled {settle.charge_nanos}, on the bill for {line.cost_nanos} ({line.status})"
        )


def compare_with_clients(books: Books, told: Told) -> None:
    """Who saw an answer is in the books, and an id that a client chose had one call answered."""
    known = {key[0] for key in (*books.settled, *books.checked)}
    books.faults += [
        f"answered and lost: {one}" for one in told.answered if int(one.removeprefix("call_"), 16) not in known
    ]
    books.faults += [
        f"answered twice: {name}: {sorted(calls)}" for name, calls in told.by_client_id.items() if len(calls) > 1
    ]


def _key(number: int, record: AttemptRecord) -> Attempt:
    return record.hold.call_number(number), record.hold.attempt


def _named(key: Attempt) -> str:
    return f"call_{key[0]:032x} attempt {key[1]}"
