"""Runs beside the regular one: a closed cycle opened again, and slips told between two cycles."""

from typing import Any, Required, TypedDict

from tokenroll.model.limits import NAME_CHARACTERS_MAX, OFF_CYCLE_WALLETS_MAX
from tokenroll.services.cycle_finding import cycle_now, find_cycle
from tokenroll.services.finding import find_wallet, required
from tokenroll.services.paying import refuse_outside_life, regular_run, store_run
from tokenroll.services.refusal import Refused
from tokenroll.services.slip_making import part_of
from tokenroll.services.slip_rows import SlipRows
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.cycles import OFF_CYCLE, CycleBook


class _Reopen(TypedDict):
    cycle: str
    reason: str


def reopen(work: UnitOfWork, arguments: _Reopen) -> dict[str, Any]:
    """The newest closed cycle is open again: its run stays, and a reversal that names the reason refers to it.

    Calls that became adjustments of the next cycle meanwhile stay there: their rows are in the chain, and what a paper or a
    preview showed of them stays true. From now on late calls of the cycle are booked to it again, until it is closed again.
    """
    reason = required(arguments, "reason").strip()
    if not 1 <= len(reason) <= NAME_CHARACTERS_MAX:
        raise Refused(
            "argument", f"a reason has 1 to {NAME_CHARACTERS_MAX} characters: it stands in the books for good"
        )
    book = CycleBook(work.connection)
    days = find_cycle(book, required(arguments, "cycle"))
    run = regular_run(work.connection, days.number)
    if run is None:
        raise Refused("not_closed", f"{days.name} is open: there is nothing to reverse")
    if days.number != book.closed_through:
        newest = book.numbered(book.closed_through).name
        message = f"only the newest closed cycle can be opened again, and that is {newest}: the slips of {newest} open with those of {days.name}"
        raise Refused("not_newest", message)
    row_id, public_id = work.new_id("pay_run_reversals"), work.public_id("reversal")
    work.connection.execute(
        schema.pay_run_reversals.insert().values(
            id=row_id,
            public_id=public_id,
            pay_run_id=run.id,
            reason=reason,
            recorded_at=work.now,
            ledger_seq=work.journal.next_seq - 1,
        )
    )
    work.fact(schema.pay_run_reversals, row_id)
    return {
        "reversal": public_id,
        "payrun": run.public_id,
        "cycle": days.name,
        "reason": reason,
        "superseded_slip_count": run.slip_count,
        "reversed_at": work.now,
    }


class _OffCycle(TypedDict, total=False):
    to: Required[list[str]]
    cycle: str


def off_cycle(work: UnitOfWork, arguments: _OffCycle) -> dict[str, Any]:
    """Slips of the running cycle up to now for some wallets: a leaver's last paper, or one that cannot wait.

    They are stored and chained like any, and close nothing: calls go on into the cycle, and its regular slip tells all of it again.
    """
    book = CycleBook(work.connection)
    names = arguments.get("to") or ()
    if not 1 <= len(names) <= OFF_CYCLE_WALLETS_MAX:
        raise Refused("argument", f"an off-cycle run is for 1 to {OFF_CYCLE_WALLETS_MAX} wallets, not {len(names)}")
    wallets = {row.id: row for row in (find_wallet(work.connection, name) for name in names)}
    cycles = {cycle_now(book, row.zone, work.now).number for row in wallets.values()}
    if arguments.get("cycle"):
        days = find_cycle(book, arguments["cycle"])
    elif len(cycles) == 1:
        days = book.numbered(cycles.pop())
    else:
        raise Refused("argument", "these wallets are in different cycles just now: name one with --cycle")
    if regular_run(work.connection, days.number) is not None:
        raise Refused(
            "closed", f"{days.name} is closed and its slips are stored: `tokenroll payslip show NAME {days.name}`"
        )
    for row in wallets.values():
        refuse_outside_life(book, row, days, work.now)
    rows = SlipRows(work.connection, book, days, work.now)
    slips = (slip for slip in map(rows.of, sorted(wallets)) if slip is not None)
    return store_run(work, days, OFF_CYCLE, [part_of(slips)])
