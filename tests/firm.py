"""A small firm on a real ledger in memory: commands, reports, and calls told as a worker's tape would tell them.

The cast: Ada (engineer), Bo (her manager), Cleo (finance), Dev (HR), the Nightly agent (a service account).
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select

from tests.empty_ledger import empty_ledger
from tests.postgresql_kit import kept, place_for
from tokenroll.model.hold import Slice
from tokenroll.services.commands import COMMANDS
from tokenroll.services.ledger import Ledger
from tokenroll.services.protocol import Ack, Applied, Command, Hello, Ready, Report, Resign, Welcome
from tokenroll.services.reporting import Reports
from tokenroll.store import schema, tape
from tokenroll.store.attempt_record import (
    LapseRecord,
    ReleaseRecord,
    SettleRecord,
    pack_lapse,
    pack_release,
    pack_settle,
)
from tokenroll.store.database import open_writer, raw_connection
from tokenroll.store.tape import RecordType, TapeSource, pack_block, pack_gives, pack_name
from tokenroll.store.verify import verify

CREDIT = 1_000_000_000
DAY = 86_400_000_000
HOUR = 3_600_000_000
JANUARY = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
FEBRUARY = JANUARY + 31 * DAY
MARCH = FEBRUARY + 28 * DAY
COUNTS: tuple[int | None, ...] = (1_000, None, None, None, None, None, 50, *[None] * 8)


class Firm:
    """One ledger, its clock in the test's hand, and one worker that reports."""

    def __init__(self, at: int = JANUARY, path: Path | None = None, *, worker: bool = True) -> None:
        self.now = at
        self.connection = empty_ledger() if path is None else kept(open_writer(place_for(path)))
        self._numbers = itertools.count(1)
        self.ledger = Ledger(
            self.connection, lambda: self.now, COMMANDS, lambda bits: next(self._numbers) % (1 << bits)
        )
        self._sequence = 1
        self._owed: list[list[int]] = []
        self.gives = True
        """Whether the worker answers what is recalled; False for one that is slow to hear of it."""
        if worker:
            self._begin()

    def _begin(self) -> None:
        welcome = self.ledger.hello(Hello(version=2, worker=0, epoch=0, boot_id=bytes(16), last_delta=0))
        assert isinstance(welcome, Welcome)
        self._epoch = welcome.epoch
        for _ in self.ledger.ready(Ready(worker=0, epoch=self._epoch)):  # type: ignore[union-attr]
            pass
        self._report([pack_name(1, "gpt-5-mini")])

    def begin_again(self) -> None:
        """The worker's next life."""
        self._sequence = 1
        self._begin()

    def resign(self) -> None:
        """The worker's life ends in order."""
        self.ledger.resign(Resign(worker=0, epoch=self._epoch))

    def do(self, name_: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a command that must succeed."""
        reply = self.ask(name_, **arguments)
        assert reply.result is not None, reply.problem
        return reply.result

    def ask(self, name_: str, *, command_id: str = "", dry_run: bool = False, **arguments: Any) -> Any:
        """The reply to a command."""
        command = Command(id=command_id or f"c{next(self._numbers)}", name=name_, arguments=arguments, dry_run=dry_run)
        reply = self.ledger.execute(command)
        asked = (reply.result or {}).get("recalled", {}).get("state") == "asked"
        if asked and self.gives and not dry_run:
            self.answer_recalls()
            return self.ledger.execute(command)
        return reply

    def answer_recalls(self, given_at: int | None = None) -> None:
        """The worker hears what is asked back and gives it, as far as it is there; its tape says when it did."""
        recalls = [one for delta in self.ledger.take_deltas() for one in delta.recalls]
        gives: list[tuple[int, int, int]] = []
        for one in recalls:
            whole = [other for other in recalls if other.group_id == one.group_id and other.mode == "whole"]
            left = self.left(one.lot_id) - sum(nanos for _, lot_id, nanos in gives if lot_id == one.lot_id)
            if any(self.left(other.lot_id) < other.wanted_nanos for other in whole):
                left = 0
            given = min(left, one.wanted_nanos)
            gives.append((one.id, one.lot_id, given))
            if one.mode == "owed" and given < one.wanted_nanos:
                self._owed.append([one.id, one.lot_id, one.wanted_nanos - given])
        if gives:
            self._report([pack_gives(0, self.now if given_at is None else given_at, gives)])

    def applied(self, number: int) -> None:
        """The worker spends by that delta from now on."""
        self.ledger.applied(Applied(worker=0, number=number))

    def left(self, lot_id: int) -> int:
        """What nobody has taken of a lot."""
        self.connection.rollback()
        query = """
            SELECT amount_nanos - held_nanos - suspense_nanos - spent_nanos - forfeited_nanos - clawed_back_nanos - voided_nanos
                - transferred_out_nanos FROM lots JOIN lot_values ON lot_id = id WHERE id = ?"""
        return self._number(query, lot_id)

    def _pay_owed(self) -> None:
        """What came back of lots that are owed to recalls goes to those first."""
        for one in list(self._owed):
            recall, lot_id, owed = one
            given = min(self.left(lot_id), owed)
            if given:
                self._report([pack_gives(0, self.now, [(recall, lot_id, given)])])
                one[2] -= given
            if one[2] == 0:
                self._owed.remove(one)

    @property
    def reports(self) -> Reports:
        """Questions as of now, over what is committed."""
        self.connection.rollback()
        return Reports(self.connection, self.now)

    def hire(self, name: str, *, zone: str = "UTC") -> None:
        """A member of Engineering, which is made when it is missing."""
        self.ask("department.create", name="Engineering")
        self.do("member.create", name=name, department="Engineering", zone=zone)

    def wallet_id(self, name: str) -> int:
        """The inside id of a wallet, for calls."""
        self.connection.rollback()
        return self._number("SELECT id FROM wallets WHERE name = ?", name)

    def lot_ids(self, name: str) -> list[int]:
        """The lots of a wallet, oldest first."""
        self.connection.rollback()
        query = "SELECT id FROM lots WHERE wallet_id = ? ORDER BY id"
        return [row[0] for row in raw_connection(self.connection).execute(query, (self.wallet_id(name),))]

    def _number(self, query: str, value: int | str) -> int:
        (found,) = raw_connection(self.connection).execute(query, (value,)).fetchone()
        assert isinstance(found, int)
        return found

    def verified(self) -> None:
        """The whole ledger computed again from its journal, and found the same. Only prices are not asked: calls told by hand have none."""
        self.connection.rollback()
        found = [one for one in verify(self.connection, self.now).differences if one.kind != "charge"]
        assert not found, found[:5]

    def parts(self, lot_id: int) -> dict[str, int]:
        """Where a lot's nanos went, as far as they went anywhere."""
        self.connection.rollback()
        values = schema.lot_values
        row = self.connection.execute(select(values).where(values.c.lot_id == lot_id)).mappings().one()
        return {name.removesuffix("_nanos"): nanos for name, nanos in row.items() if name != "lot_id" and nanos}

    # ---- calls as the tape tells them -----------------------------------------------------------------------------

    def hold(
        self,
        name: str,
        *slices: tuple[int, int],
        at: int | None = None,
        key: int = 1,
        flags: int = 0,
        dispatched: bool = True,
    ) -> int:
        """A hold of these (lot, nanos) by a key of this inside id, dispatched unless told otherwise; its sequence."""
        admitted_at = self.now if at is None else at
        sequence = self._sequence
        self._report([_hold(self.wallet_id(name), self._epoch, sequence, slices, admitted_at, key, flags)])
        if not dispatched:
            return sequence
        length = tape.DISPATCHED_HEAD.size + 8
        self._report(
            [tape.DISPATCHED_HEAD.pack(RecordType.DISPATCHED, 0, length, admitted_at) + sequence.to_bytes(8, "little")]
        )
        return sequence

    def settle(self, sequence: int, nanos: int) -> None:
        """The end of a held call."""
        settle = SettleRecord(
            self.now, self.now, nanos, nanos, nanos, 200, TapeSource.REPORTED, 1, "standard", 0, 200, 1, 0, COUNTS
        )
        self._report([pack_settle(sequence, settle)])
        self._pay_owed()

    def release(self, sequence: int) -> None:
        """The end of a held call that consumed nothing."""
        self._report([pack_release(sequence, ReleaseRecord(self.now, 2, 6, 503))])

    def lapse(self, sequence: int) -> None:
        """The call's fate is unknown: to suspense."""
        self._report([pack_lapse(sequence, LapseRecord(self.now, 0, 6, 0))])

    def call(
        self, name: str, lot_id: int, nanos: int, *, bound: int | None = None, at: int | None = None, flags: int = 0
    ) -> int:
        """A whole call: held for its bound (default twice its cost), settled."""
        sequence = self.hold(name, (lot_id, bound or 2 * nanos), at=at, flags=flags)
        self.settle(sequence, nanos)
        return sequence

    def _report(self, records: Sequence[bytes]) -> None:
        block = pack_block(self._sequence, list(records))
        self._sequence += len(records)
        ack = self.ledger.report(Report(worker=0, epoch=self._epoch, blocks=block))
        assert isinstance(ack, Ack), ack


def _hold(
    wallet_id: int, epoch: int, sequence: int, slices: Sequence[tuple[int, int]], at: int, key: int, flags: int
) -> bytes:
    parts = [Slice(*one) for one in slices]
    number = (at // 1000 << 80) | (epoch << 48) | sequence
    length = tape.HOLD.size + len(parts) * tape.SLICE.size
    head = tape.HOLD.pack(
        RecordType.HOLD, flags, length, 1, len(parts), number.to_bytes(16, "big"), wallet_id, key, 1, at,
        sum(one.nanos for one in parts), 0, 1, 0, 0, 0, 100, 400, 1, 0,
    )  # fmt: skip
    return head + b"".join(tape.SLICE.pack(*one) for one in parts)


def firm_of_ten_days() -> Firm:
    """The morning of 11 January: Ada spent 8 credits on each of ten days, Bo one, Cleo none; each had 100."""
    one = Firm()
    one.do("plan.create", name="tools", kind="stipend", classification="tool", amount_nanos=100 * CREDIT)
    for name in ("Ada", "Bo", "Cleo"):
        one.hire(name)
        one.do("grant.create", to=name, plan="tools")
    for day in range(10):
        one.now = JANUARY + day * DAY + 12 * HOUR
        for name, spent in (("Ada", 8), ("Bo", 1)):
            one.call(name, one.lot_ids(name)[0], spent * CREDIT)
    one.now = JANUARY + 10 * DAY + 9 * HOUR
    return one
