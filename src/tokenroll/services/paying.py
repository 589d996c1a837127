"""Paying: pay slips of a cycle, as a preview, as a rehearsal, and closed for good."""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypedDict

from sqlalchemy import Connection, Row, select

from tokenroll.books.words import paper_name
from tokenroll.engine.chaining import leaf_hash, root_of_hashes
from tokenroll.model.instant import Instant, text_from_instant
from tokenroll.model.pay_cycle import CycleDays
from tokenroll.services.cycle_finding import cycle_now, find_cycle, zones_in_use
from tokenroll.services.finding import find_wallet, required
from tokenroll.services.refusal import Refused
from tokenroll.services.slip_making import SlipPart, WalletSlip, part_of
from tokenroll.services.slip_readers import SlipReaderError, parts_aside
from tokenroll.services.slip_rows import SlipRows
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.collector import no_cycle_search
from tokenroll.store.cycles import REGULAR, CycleBook
from tokenroll.store.database import place_of, raw_connection
from tokenroll.store.journal import slip_digest

SUMMED: Final = (
    "opening_nanos", "granted_nanos", "vested_nanos", "transferred_in_nanos", "spent_nanos",
    "adjustments_nanos", "breakage_nanos", "forfeited_nanos", "clawed_back_nanos", "voided_nanos", "transferred_out_nanos",
    "closing_nanos", "rolled_over_nanos", "suspense_nanos", "company_carried_nanos", "call_count", "personal_nanos", "around_nanos",
)  # fmt: skip
_NOTHING: Final[Mapping[str, int | None]] = {
    **dict.fromkeys(SUMMED, 0),
    "next_vest_at": None, "next_vest_nanos": 0, "next_expiry_at": None, "next_expiry_nanos": 0,
}  # fmt: skip
SLIPS_LISTED_MAX: Final = 1_000
"""Slips of one listing; the sums beside it are of all."""
_SLIPS_PER_STATEMENT: Final = 2_000
_RANGES_ASIDE_MIN: Final = 20
"""Fewer are done sooner than processes are started."""
_INSERT: Final = "INSERT INTO pay_slips VALUES (?,?,?,?,?,?)"


def slips_of(connection: Connection, cycle: str, now: Instant, limit: int = SLIPS_LISTED_MAX) -> dict[str, Any]:
    """A cycle's slips by name, the first `limit` of them, and the sums of all: the stored ones once it is closed, else as of now."""
    book = CycleBook(connection)
    days = find_cycle(book, cycle)
    run = regular_run(connection, days.number)
    every = _stored_slips(connection, book, run) if run is not None else _slips_now(connection, book, days, now)
    sums: Counter[str] = Counter(dict.fromkeys(SUMMED, 0))
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for slip in every:
            count += 1
            sums.update({name: slip[name] for name in SUMMED})
            yield slip

    listed = heapq.nsmallest(max(limit, 1), counted(), key=lambda one: (str(one["name"]), one["wallet"]))[:limit]
    return {
        "cycle": days.name,
        "starts_on": days.starts_on.isoformat(),
        "until_on": days.until_on.isoformat(),
        "slip_count": count,
        "sums": dict(sums),
        "slips": listed,
    }


def slip_of(connection: Connection, reference: str, cycle: str, now: Instant) -> dict[str, Any]:
    """One wallet's slip of a cycle."""
    book = CycleBook(connection)
    days = find_cycle(book, cycle)
    wallet = find_wallet(connection, reference)
    run = regular_run(connection, days.number)
    if run is not None:
        return _stored_slip_of(connection, book, run, wallet)
    refuse_outside_life(book, wallet, days, now)
    slip = SlipRows(connection, book, days, now).of(wallet.id)
    if slip is None:
        raise Refused("not_found", f"the wallet of {wallet.name} was opened after {days.name}: there is no slip of it")
    return shown(slip, wallet.public_id, wallet.name, book, days)


def slip_of_run(connection: Connection, reference: str, run_id: str) -> dict[str, Any]:
    """One wallet's slip of a run, whatever became of the run: superseded, or told off-cycle."""
    run = connection.execute(select(schema.pay_runs).where(schema.pay_runs.c.public_id == run_id)).one_or_none()
    if run is None:
        raise Refused("not_found", f"there is no pay run {run_id!r}: `tokenroll payrun list` shows them")
    wallet = find_wallet(connection, reference)
    return _stored_slip_of(connection, CycleBook(connection), run, wallet)


def regular_run(connection: Connection, number: int) -> Row[Any] | None:
    """The run that closed a cycle and was not reversed; None while it is open."""
    runs, reversals = schema.pay_runs, schema.pay_run_reversals
    query = (
        select(runs)
        .outerjoin(reversals, reversals.c.pay_run_id == runs.c.id)
        .where(runs.c.cycle == number, runs.c.kind == REGULAR, reversals.c.id.is_(None))
    )
    return connection.execute(query).one_or_none()


def refuse_outside_life(book: CycleBook, wallet: Row[Any], days: CycleDays, now: Instant) -> None:
    """A cycle that has not begun, or that was over before there was a wallet, has no paper. Raises Refused."""
    this = cycle_now(book, wallet.zone, now)
    if days.number > this.number:
        message = f"{days.name} has not begun, so there is no slip of it: this cycle is {this.name}"
        raise Refused("not_found", message)
    first = cycle_now(book, wallet.zone, wallet.recorded_at)
    if days.number < first.number:
        message = f"the wallet of {wallet.name} was opened in {first.name}: there is no slip of {days.name}"
        raise Refused("not_found", message)


def refuse_to_come(connection: Connection, book: CycleBook, days: CycleDays, now: Instant) -> None:
    """A cycle that has begun nowhere has nothing to preview. Raises Refused."""
    begun = max(cycle_now(book, zone, now).number for zone in zones_in_use(connection))
    if days.number > begun:
        this = book.numbered(begun)
        message = (
            f"{days.name} begins on {days.starts_on}, so there is nothing to show of it yet: this cycle is {this.name}"
        )
        raise Refused("not_found", message)


# ---- closing ------------------------------------------------------------------------------------------------------------


def obstacles_of_time(connection: Connection, cycle: str, now: Instant) -> list[str]:
    """Why a cycle cannot be closed at this time, whatever its calls: closed, out of turn, or not over. Empty when it can."""
    book = CycleBook(connection)
    days, closed = find_cycle(book, cycle), book.closed_through
    if closed and days.number <= closed:
        newest = book.numbered(closed).name
        if regular_run(connection, days.number) is None:
            return [f"{days.name} was never closed and lies before the newest closed cycle, {newest}: it stays open"]
        return [f"{days.name} is closed already: the newest closed cycle is {newest}"]
    if closed and days.number != book.first_open():
        return [f"{book.numbered(book.first_open()).name} comes first: cycles are closed one after another"]
    last, zone = max((book.span(days, zone).end_until, zone) for zone in zones_in_use(connection))
    if now < last:
        ends = f"it ends at {text_from_instant(last)}, at midnight in {zone}"
        return [f"{days.name} has not ended in every zone yet: {ends}"]
    return []


def obstacles(connection: Connection, cycle: str, now: Instant) -> list[str]:
    """What stands in the way of closing a cycle, each as a sentence; empty when nothing does."""
    book = CycleBook(connection)
    days = find_cycle(book, cycle)
    found = obstacles_of_time(connection, cycle, now)
    checked = 0 if days.number <= book.closed_through else _being_checked(connection, book, days)
    if checked:
        found.append(
            f"{checked} {'call of it is' if checked == 1 else 'calls of it are'} still being checked: "
            "`tokenroll reconcile --bill FILE`, "
            f"or let the evidence decide with `tokenroll reconcile --through {days.name}`"
        )
    return found


def _being_checked(connection: Connection, book: CycleBook, days: CycleDays) -> int:
    """How many attempts in suspense were admitted up to that cycle; later ones do not stand in its way."""
    wallets, holds = schema.wallets, schema.holds
    query = select(wallets.c.zone, holds.c.record).join(wallets, wallets.c.id == holds.c.wallet_id)
    rows = connection.execute(query.where(holds.c.state == "suspense"))
    return sum(book.of_admission(zone, parse_record(record).hold.admitted_at) <= days.number for zone, record in rows)


class _Close(TypedDict):
    cycle: str


def close(work: UnitOfWork, arguments: _Close) -> dict[str, Any]:
    """The cycle's slips stored for good; from now on its late calls are adjustments of the next one (DESIGN §5)."""
    cycle = required(arguments, "cycle")
    problems = obstacles(work.connection, cycle, work.now)
    if problems:
        raise Refused("not_closable", "; ".join(problems))
    book = CycleBook(work.connection)
    days = find_cycle(book, cycle)
    return store_run(work, days, REGULAR, _parts(work, book, days))


def _parts(work: UnitOfWork, book: CycleBook, days: CycleDays) -> Iterator[SlipPart]:
    """Every wallet's slip; of many wallets in processes of their own."""
    rows = SlipRows(work.connection, book, days, work.now)
    place = place_of(work.connection)
    ranges = rows.ranges()
    if place is not None and len(ranges) >= _RANGES_ASIDE_MIN:
        try:
            yield from parts_aside(place, days.number, work.now, ranges)
        except SlipReaderError as error:
            message = f"a process that makes slips died: {error}. Nothing was stored; try again, with more memory if it ran out of it"
            raise Refused("slips_not_made", message) from error
        return
    for first, last in ranges:
        yield part_of(rows.within(first, last))


def store_run(work: UnitOfWork, days: CycleDays, kind: str, parts: Iterable[SlipPart]) -> dict[str, Any]:
    """A run and its slips, chained by one root over all of them: the run's row is the fact that the chain holds."""
    run_id, public_id = work.new_id("pay_runs"), work.public_id("payrun")
    first_id = work.new_id("pay_slips")
    # ids of one run ascend from a random start, so that no index is written all over
    base = int(work.public_id("payslip").removeprefix("payslip_"), 16)
    sums: dict[str, int] = dict.fromkeys(_NOTHING, 0)
    hashes: list[bytes] = []
    raw = raw_connection(work.connection)

    def rows() -> Iterator[tuple[int, str, int, int, str, bytes]]:
        for part in parts:
            for name, value in part.sums.items():
                sums[name] += value
            for wallet_id, text in part.slips:
                number = len(hashes)
                slip_id, slip_name = first_id + number, f"payslip_{base + number:032x}"
                digest = slip_digest(slip_id, slip_name, run_id, wallet_id, text)
                hashes.append(leaf_hash(digest))
                yield slip_id, slip_name, run_id, wallet_id, text, digest

    with no_cycle_search():
        made = (
            rows()
        )  # which reads from this very connection, so that a statement of many rows cannot ask for them one by one
        while many := list(islice(made, _SLIPS_PER_STATEMENT)):
            raw.executemany(_INSERT, many)
    work.connection.execute(
        schema.pay_runs.insert().values(
            id=run_id,
            public_id=public_id,
            cycle=days.number,
            cycle_name=days.name,
            kind=kind,
            closed_at=work.now,
            ledger_seq=work.journal.next_seq - 1,
            slip_count=len(hashes),
            slips_root=root_of_hashes(hashes),
        )
    )
    work.fact(schema.pay_runs, run_id)
    return {
        "payrun": public_id,
        "cycle": days.name,
        "kind": kind,
        "closed_at": work.now,
        "slip_count": len(hashes),
        **{name: sums[name] for name in SUMMED},
    }


def runs(connection: Connection) -> list[dict[str, Any]]:
    """Runs, newest first; one that was reversed says when and why."""
    table, reversals = schema.pay_runs, schema.pay_run_reversals
    query = (
        select(table, reversals.c.recorded_at.label("reversed_at"), reversals.c.reason)
        .outerjoin(reversals, reversals.c.pay_run_id == table.c.id)
        .order_by(table.c.id.desc())
    )
    return [
        {
            "payrun": row.public_id,
            "cycle": row.cycle_name,
            "kind": row.kind,
            "closed_at": row.closed_at,
            "slip_count": row.slip_count,
            "state": "reversed" if row.reversed_at else "closed" if row.kind == REGULAR else "told",
            "reversed_at": row.reversed_at,
            "reason": row.reason,
        }
        for row in connection.execute(query)
    ]


# ---- slips as doors show them -------------------------------------------------------------------------------------------


def shown(slip: WalletSlip, wallet: str, name: str, book: CycleBook, days: CycleDays) -> dict[str, Any]:
    """One slip with what a paper needs to name it."""
    return _paper(
        {
            "zone": slip.zone, "classifications": list(slip.classifications), **slip.amounts, "models": slip.models,
            "projects": slip.projects,
        },
        wallet, name, book, days,
    )  # fmt: skip


def _paper(said: Mapping[str, Any], wallet: str, name: str, book: CycleBook, days: CycleDays) -> dict[str, Any]:
    whole = book.span(days, said["zone"])
    return {
        "wallet": wallet,
        "name": name,
        "zone": said["zone"],
        "cycle": days.name,
        "start_at": whole.start_at,
        "end_until": whole.end_until,
        "classifications": list(said["classifications"]),
        "paper": paper_name(said["classifications"]),
        **{field: said.get(field, nothing) for field, nothing in _NOTHING.items()},
        "spent_by_model": _by_size(said.get("models", {}), "model"),
        "spent_by_project": _by_size(said.get("projects", {}), "project"),
    }


def _by_size(parts: Mapping[str, int], what: str) -> list[dict[str, Any]]:
    """Largest first; what was named nowhere has an empty name."""
    ordered = sorted(parts.items(), key=lambda one: (-one[1], one[0]))
    return [{what: name, "spent_nanos": nanos} for name, nanos in ordered]


def _slips_now(connection: Connection, book: CycleBook, days: CycleDays, now: Instant) -> Iterator[dict[str, Any]]:
    refuse_to_come(connection, book, days, now)
    wallets = schema.wallets.c
    names = {
        row.id: (row.public_id, row.name)
        for row in connection.execute(select(wallets.id, wallets.public_id, wallets.name))
    }
    for slip in SlipRows(connection, book, days, now).every():
        yield shown(slip, *names[slip.wallet_id], book, days)


def _stored_slips(connection: Connection, book: CycleBook, run: Row[Any]) -> Iterator[dict[str, Any]]:
    slips, wallets = schema.pay_slips, schema.wallets
    query = (
        select(slips, wallets.c.public_id.label("wallet"), wallets.c.name)
        .join(wallets, wallets.c.id == slips.c.wallet_id)
        .where(slips.c.pay_run_id == run.id)
        .execution_options(yield_per=_SLIPS_PER_STATEMENT)
    )
    days = book.numbered(run.cycle)
    for row in connection.execute(query):
        yield _stored(row, row.wallet, row.name, book, days, run)


def _stored_slip_of(connection: Connection, book: CycleBook, run: Row[Any], wallet: Row[Any]) -> dict[str, Any]:
    slips = schema.pay_slips
    query = select(slips).where(slips.c.pay_run_id == run.id, slips.c.wallet_id == wallet.id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise Refused(
            "not_found",
            f"{wallet.name} has no slip in the run of {run.cycle_name}: there was no wallet then, or it was not in it",
        )
    return _stored(row, wallet.public_id, wallet.name, book, book.numbered(run.cycle), run)


def _stored(row: Row[Any], wallet: str, name: str, book: CycleBook, days: CycleDays, run: Row[Any]) -> dict[str, Any]:
    said = json.loads(row.values_json)
    return {
        **_paper(said, wallet, name, book, days),
        "payslip": row.public_id,
        "run_kind": run.kind,
        "closed_at": run.closed_at,
    }
