"""Whatever a life left unfolded: a worker that follows its own tape begins with what it would be leased once all of it is folded."""

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger_kit import (
    ADA,
    ADA_LOT,
    ADA_SECOND_LOT,
    BO,
    BO_LOT,
    BOOT,
    CREDIT,
    HOUR,
    NIGHTLY,
    POOL_LOT,
    START,
    Ack,
    Hello,
    Kit,
    Ready,
    Refusal,
    Report,
    Welcome,
    dispatched_record,
    evidence_record,
    hold_record,
    lapse_record,
    pack_block,
    pack_name,
    release_record,
    settle_record,
)
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.services.hot import carried_at
from tokenroll.services.protocol import CaughtUp, Lease, View
from tokenroll.services.unfolded_tape import UnfoldedTape
from tokenroll.store.attempt_record import LimitRaise
from tokenroll.store.tape import Block, RecordType, TapeRelease, pack_gives, parse_block
from tokenroll.store.verify import verify

DRAWS = {
    "Ada's first lot": (ADA, (ADA_LOT,)),
    "both of Ada's": (ADA, (ADA_LOT, ADA_SECOND_LOT)),
    "Bo and the company": (BO, (BO_LOT, COMPANY_LOT_ID)),
    "the company alone": (BO, (COMPANY_LOT_ID,)),
    "the agent's pool": (NIGHTLY, (POOL_LOT,)),
    "nothing": (ADA, ()),
}
TODAY, YESTERDAY = START - 8 * HOUR, START - 32 * HOUR
CREDITS, TOKENS = 0, 2
"""Places in model.limit.LIMIT_MEASURES."""
RAISES = (
    LimitRaise(1, CREDITS, 0, TODAY, 90_000_000),
    LimitRaise(1, CREDITS, 0, YESTERDAY, 90_000_000),
    LimitRaise(2, TOKENS, 0, TODAY, 5_000),
)
ENDS = ["settle", "settle", "settle above", "release", "lapse", "lapse after evidence", "recovered"]


class Life(NamedTuple):
    """The records of a life whose every hold has an end, and how many of them the ledger has folded; which keys' calls began later."""

    records: list[bytes]
    folded: int
    late_keys: frozenset[int]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    records: list[bytes] = []
    waiting: list[list[bytes]] = []
    begun: dict[int, int] = {}
    for number in range(1, draw(st.integers(1, 7)) + 1):
        wallet, lots = draw(st.sampled_from([*DRAWS.values(), *[(ADA, (ADA_LOT,))] * 4]))
        raises = tuple(draw(st.lists(st.sampled_from(RAISES), max_size=2, unique=True)))
        slices = [(lot, draw(st.integers(1, 40)) * 1_000_000) for lot in lots]
        named = draw(st.sampled_from([False, False, False, True]))
        begun[number] = len(records)
        if named:
            records.append(pack_name(number, f"call-{number}"))
        records.append(
            hold_record(len(records) + 1, *slices, wallet=wallet, raises=raises, client_name=number * named, key=number)
        )
        waiting.append(_ends(draw, len(records), sum(nanos for _, nanos in slices)))
        for open_records in waiting:
            count = draw(st.integers(0, 3))
            records += open_records[:count]
            del open_records[:count]
    if draw(st.booleans()):
        records.append(pack_gives(1, START, [(1, BO_LOT, 1_000_000)]))
    for open_records in waiting:
        records += open_records
    folded = draw(
        st.sampled_from([at for at in range(len(records)) if not at or records[at - 1][0] != RecordType.NAME])
    )
    return Life(records, folded, frozenset(key for key, at in begun.items() if at >= folded))


def _ends(draw: st.DrawFn, sequence: int, bound: int) -> list[bytes]:
    end = draw(st.sampled_from(ENDS))
    if end == "release":
        return [release_record(sequence, TapeRelease.NEVER_DISPATCHED)]
    if end == "recovered":
        return [lapse_record(sequence)]
    tokens = bound // 3_000 // (4 if end == "settle" else 1) + (9_000 if end == "settle above" else 0)
    last = {
        "lapse": [lapse_record(sequence)],
        "lapse after evidence": [evidence_record(sequence, 3, 1), lapse_record(sequence)],
    }
    return [dispatched_record(sequence), *last.get(end, [settle_record(sequence, tokens, 0)])]


def _blocks(records: list[bytes], first: int) -> list[Block]:
    """Three records a block."""
    raw = [pack_block(first + at, records[at : at + 3]) for at in range(0, len(records), 3)]
    return [block for one in raw if (block := parse_block(one, 0)) is not None]


def _told(parts: list[View | Lease], keys: frozenset[int]) -> dict[str, Any]:
    """What a worker counts by: of each wallet its sums and what its lots have, counters of limits, calls of these keys that clients named."""
    wallets = [wallet for part in parts if isinstance(part, Lease) for wallet in part.wallets]
    views = [part for part in parts if isinstance(part, View)]
    return {
        "wallets": {
            one.name: (one.spent_nanos, one.held_nanos, one.suspense_nanos, carried_at(one, 0), one.overage_nanos_max)
            for one in wallets
        },
        "lots": {lot.id: lot.available_nanos for one in wallets for lot in one.lots if lot.available_nanos},
        "limits": {
            limit.id: sorted(one for one in limit.counters if one[0] >= TODAY and one[1])
            for view in views
            for limit in view.limits
        },
        "calls": sorted(
            {
                (c.api_key_id, c.client_call_id, c.state, c.charge_nanos)
                for view in views
                for c in view.client_calls
                if c.api_key_id in keys
            }
        ),
    }


def _kit(records: list[bytes], folded: int) -> Kit:
    kit = Kit()
    for name, measure, cap in (("spend", "credits", 50 * CREDIT), ("words", "model_tokens", 100_000)):
        kit.do("limit.create", name, name=name, member="Ada", window="day", measure=measure, cap=cap)
    kit.do(
        "grant.void",
        "void",
        grant=kit.rows(f"SELECT g.public_id FROM grants g JOIN lots l ON l.grant_id = g.id WHERE l.id = {BO_LOT}")[0][
            0
        ],
        reason="made twice",
    )
    for block in _blocks(records[:folded], 1):
        assert isinstance(kit.ledger.report(Report(worker=0, epoch=1, blocks=block.raw)), Ack)
    return kit


@settings(max_examples=settings().max_examples // 3)  # each makes two ledgers
@given(life=lives())
def test_it_begins_with_what_the_fold_would_leave(life):
    records, folded, late_keys = life
    kit = _kit(records, len(records))
    kit.new_life()
    expected = _told(kit.lease, late_keys)

    kit = _kit(records, folded)
    welcome = kit.ledger.hello(Hello(version=2, worker=0, epoch=0, boot_id=BOOT, last_delta=0))
    assert isinstance(welcome, Welcome)
    assert welcome.may_begin_early
    ahead = UnfoldedTape(welcome.open_holds)
    rest = _blocks(records[folded:], folded + 1)
    for block in rest:
        ahead.follow(1, block)
    ahead.end()
    if ahead.needs_names:
        for block in rest:
            ahead.name_clients(1, block)
    assert not ahead.lacks_names
    early = kit.ledger.ready(Ready(worker=0, epoch=2, early=True))
    assert not isinstance(early, Refusal)
    told = [ahead.view(part) if isinstance(part, View) else ahead.lease(part, 0) for part in early]
    assert _told(told, late_keys) == expected

    # what it spends meanwhile is folded behind what its earlier life wrote, which then is over
    for block in rest:
        assert isinstance(kit.ledger.report(Report(worker=0, epoch=1, blocks=block.raw)), Ack)
    assert kit.ledger.caught_up(CaughtUp(worker=0, epoch=2)) is None
    mine = [hold_record(1, (ADA_LOT, 5), epoch=2), dispatched_record(1), settle_record(1, 0, 0)]
    assert isinstance(kit.ledger.report(Report(worker=0, epoch=2, blocks=pack_block(1, mine))), Ack)
    again = pack_block(len(records) + 1, [hold_record(len(records) + 1)])
    assert isinstance(kit.ledger.report(Report(worker=0, epoch=1, blocks=again)), Refusal)
    assert verify(kit.connection, START).differences == []
