"""A report folded in columns leaves what the loop leaves: every row of every table, the chain's head, and what is refused.

Reports are drawn with everything that a tape has, and with mistakes: calls that end later or twice or never, that are sent twice, cost more
than they hold, take from others' lots, or from nearly empty ones. The loop over records is the judge; it is held against the laws elsewhere.
"""

import itertools
import random

import pytest

from tests.columns_kit import in_columns
from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    ADA_SECOND_LOT,
    BO,
    BO_LOT,
    CREDIT,
    DAY,
    POOL_LOT,
    START,
    Ack,
    Kit,
    Report,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    pack_name,
    release_record,
    settle_record,
)
from tests.short_records import shortened
from tokenroll.model.limit import LIMIT_MEASURES
from tokenroll.store.attempt_record import LimitRaise
from tokenroll.store.tape import TapeRelease
from tokenroll.store.verify import verify

TABLES = (
    "settlements ORDER BY ledger_seq", "holds ORDER BY hold_key", "lot_values ORDER BY lot_id", "wallet_values ORDER BY wallet_id",
    "limit_counters ORDER BY limit_id, start_at", "pool_draws ORDER BY wallet_id, ledger_seq", "attempts ORDER BY call_key, attempt",
    "client_calls ORDER BY api_key_id, client_call_id", "names ORDER BY name_id", "entries ORDER BY ledger_seq",
    "batches ORDER BY number",
)  # fmt: skip


class Tape:
    """Records drawn one after another, as a worker might write them, or might not."""

    def __init__(self, seed, oddity, mistakes):
        self.random = random.Random(seed)
        self.oddity, self.mistakes = oddity, mistakes
        self.records = []
        self.held, self.sent, self.ended = [], [], []
        self.names = 0

    @property
    def next(self):
        return len(self.records) + 1

    def is_odd(self, times=1.0):
        return self.random.random() < self.oddity * times

    def is_wrong(self):
        return self.random.random() < self.mistakes

    def hold(self):
        wallet, lot = self.random.choice([(ADA, ADA_LOT), (ADA, ADA_LOT), (ADA, ADA_SECOND_LOT), (BO, BO_LOT)])
        slices = [(lot, self.random.choice((4_000_000, 20_000_000, CREDIT // 10)))]
        if self.is_odd():
            slices.append((POOL_LOT, 1_000_000))
        if self.is_wrong():
            slices = [(self.random.choice((99, ADA_LOT, BO_LOT)), 30 * CREDIT)]
        raises: tuple[LimitRaise, ...] = ()
        client, at = 0, START + self.next
        if self.is_odd(2):
            raises = tuple(
                LimitRaise(one, self.random.randrange(len(LIMIT_MEASURES)), one & 1, START, 5)
                for one in range(1, self.random.randrange(2, 4))
            )
        if self.is_odd():
            self.names += 1
            self.records.append(pack_name(self.names, f"call {self.names}"))
            client = self.names
        if self.is_odd(0.02):
            at += 40 * DAY
        self.held.append(self.next)
        self.records.append(hold_record(self.next, *slices, wallet=wallet, at=at, client_name=client, raises=raises))

    def send(self):
        count = min(len(self.held), self.random.randrange(1, 9))
        sent, self.held = self.held[:count], self.held[count:]
        if self.is_wrong():
            sent.append(self.random.choice(sent + self.ended + [10**6]))
        self.sent += sent
        self.records.append(dispatched_record(*sent))

    def end(self):
        one = self.sent.pop(self.random.randrange(len(self.sent)))
        self.ended.append(one)
        if self.is_wrong():
            one = self.random.choice([*self.ended, *self.held, 10**6])
        tokens = self.random.choice((100, 700, 1_300, 70_000)) if self.is_odd(0.5) else 700
        if self.is_odd(0.5):
            self.records.append(evidence_record(one, 5, 5))
        if self.is_odd():
            self.records.append(release_record(one, TapeRelease.PROVIDER_ERROR))
        elif self.is_odd(0.3):
            self.records.append(lapse_record(one))
        else:
            self.records.append(settle_record(one, tokens, tokens // 10 + self.random.randrange(3), at=START + 9_000))

    def drawn(self, count):
        while len(self.records) < count:
            can = [self.hold, self.hold]
            if self.held:
                can.append(self.send)
            if self.sent:
                can += [self.end, self.end]
            self.random.choice(can)()
        return shortened(self.records, 1, START)


def folded(records, cuts, *, columns):
    """The answers to these records in so many reports, and what the ledger has then."""
    kit = Kit()
    if columns:
        in_columns(kit)
    answers, first = [], 1
    for start, stop in itertools.pairwise(cuts):
        blocks = []
        for begin in range(start, stop, 16):
            part = records[begin : min(begin + 16, stop)]
            blocks.append(pack_block(first, part))
            first += len(part)
        answer = kit.ledger.report(Report(worker=0, epoch=1, blocks=b"".join(blocks)))
        answers.append(answer.sequence if isinstance(answer, Ack) else answer.kind)
        if not isinstance(answer, Ack):
            break
    rows = {table: kit.rows(f"SELECT * FROM {table}") for table in TABLES}
    mirror = kit.ledger._mirror
    left = (list(mirror.lots), list(mirror.last_seq), sorted(mirror.holds))
    kit.connection.rollback()
    differences = verify(kit.connection, kit.now).differences
    kit.connection.rollback()
    return answers, rows, left, differences


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("oddity", "mistakes"), [(0.0, 0.0), (0.05, 0.0), (0.3, 0.0), (0.05, 0.002)])
def test_columns_leave_what_the_loop_leaves(seed, oddity, mistakes):
    records = Tape(seed, oddity, mistakes).drawn(600)
    cuts = [0, 250, 420, len(records)]
    by_loop, by_columns = folded(records, cuts, columns=False), folded(records, cuts, columns=True)
    assert by_columns == by_loop
    assert by_columns[3] == []
