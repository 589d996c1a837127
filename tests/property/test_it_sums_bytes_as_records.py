"""Whatever rows say, and in whatever order they come: read from their bytes they sum to what their records say.

Fields that lie side by side have values of their own, so that a reader who is a field off finds another name, key, lot or day.
"""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cast import SONNET_RATES, make_card
from tests.ledger_kit import ADA, ADA_LOT, ADA_SECOND_LOT, BO, BO_LOT, DAY, HOUR, POOL_LOT, START, Kit
from tests.short_records import short_hold, short_settle
from tokenroll.engine.rating import canonical_json, pinned
from tokenroll.model.identifier import HoldKey
from tokenroll.model.limit import LIMIT_MEASURES
from tokenroll.model.rate_card import RateTable, RateTier
from tokenroll.model.usage import METERS, Meter
from tokenroll.store import schema, tape
from tokenroll.store.attempt_record import (
    LimitRaise,
    Outcome,
    SettleRecord,
    hold_number,
    pack_raises,
    pack_settle,
    parse_record,
)
from tokenroll.store.limit_sums import LimitSums
from tokenroll.store.plain_settlement import settle_offset
from tokenroll.store.rollups import SpendSums, sums_of
from tokenroll.store.tape import RecordType
from tokenroll.store.usage_rollups import UsageSums, usage_sums_of

HELD = 10_000_000
MINUTE = HOUR // 60
MIDNIGHT = START + 16 * HOUR
"""2026-01-06T00:00:00Z; in Kolkata the day begins five and a half hours before."""
DAYBREAKS = (MIDNIGHT - 6 * DAY, MIDNIGHT - 5 * HOUR - HOUR // 2, MIDNIGHT, MIDNIGHT + DAY, MIDNIGHT + 26 * DAY)
INSTANTS = tuple(at + off for at in DAYBREAKS for off in (-MINUTE, -1, 0, MINUTE - 1, MINUTE))
MODELS, TAGS = (1, 2, 3), (4, 5, 6)
TEXTS = {
    1: ("sonnet", "opus", "haiku", "project=alpha,team=x", "session=7,project=beta", "team=y", "deployment", "call", "request"),
    2: ("flash", "mini", "nano", "project=gamma", "team=z", "project=delta,team=x", "other deployment", "other call", "other request"),
}  # fmt: skip
"""By epoch what its name ids stand for, from 1 on: three models, three calls' tags, and what else a hold or its end names."""
NARROW_METERS = 16
"""So many places a mask of 16 bits has."""


class Said(NamedTuple):
    """What several rows have in common."""

    epoch: int
    model_name: int
    answered_model_name: int
    tags_name: int
    flags: int
    wallet_id: int
    lot_id: int
    api_key_id: int
    rate_card_id: int
    service_tier: str
    dialect: int
    cycle: int


class Row(NamedTuple):
    """One settlement: which of the things said it says, and what is its own."""

    said: int
    at: int
    charge_nanos: int
    counts: dict[int, int]
    is_wide: bool
    is_short: bool = False
    """Both of its records are those of version 3."""


SAID = st.builds(
    Said,
    epoch=st.sampled_from(sorted(TEXTS)),
    model_name=st.sampled_from((0, *MODELS)),
    answered_model_name=st.sampled_from((0, *MODELS)),
    tags_name=st.sampled_from((0, *TAGS)),
    flags=st.sampled_from((0, tape.HOLD_STREAM, tape.HOLD_PERSONAL, tape.HOLD_PERSONAL | tape.HOLD_CAP_INJECTED)),
    wallet_id=st.sampled_from((ADA, BO)),
    lot_id=st.sampled_from((0, ADA_LOT, ADA_SECOND_LOT, BO_LOT, POOL_LOT)),
    api_key_id=st.sampled_from((7, 8)),
    rate_card_id=st.sampled_from((1, 2, 3)),
    service_tier=st.sampled_from(("standard", "batch", "flex")),
    dialect=st.integers(0, 2),
    cycle=st.sampled_from((202601, 202602)),
)
ROWS = st.lists(
    st.builds(
        Row,
        said=st.integers(0, 2),
        at=st.sampled_from(INSTANTS),
        charge_nanos=st.integers(0, HELD + HELD // 10),
        counts=st.dictionaries(st.integers(0, NARROW_METERS - 1), st.integers(0, 150_000), max_size=5),
        is_wide=st.booleans(),
        is_short=st.booleans(),
    ),
    min_size=1,
    max_size=16,
)


def books() -> Kit:
    """The cast's ledger with what rows name: texts, a second card of other prices and a long context, Bo in Kolkata. No card is 3."""
    one = Kit()
    names = [
        {"worker": 0, "epoch": epoch, "name_id": name_id, "text": text}
        for epoch, texts in TEXTS.items()
        for name_id, text in enumerate(texts, 1)
    ]
    one.connection.execute(schema.names.delete())
    one.connection.execute(schema.names.insert(), names)
    one.connection.execute(schema.wallets.update().where(schema.wallets.c.id == BO).values(zone="Asia/Kolkata"))
    dear = {meter: 7 * attos for meter, attos in SONNET_RATES.items()} | {Meter.INPUT: 10**12}
    tables = {
        "standard": RateTable(base=dear, tiers=(RateTier(input_tokens_above=100_000, rates={Meter.INPUT: 10**13}),)),
        "batch": RateTable(base={Meter.INPUT: 10**12, Meter.OUTPUT: 10**12}),
    }
    card = pinned(
        make_card(
            id=2, public_id=f"ratecard_{2:032x}", effective_at=0, list_prices=tables, net_prices=tables, internal_prices=tables
        )
    )  # fmt: skip
    one.connection.execute(
        schema.rate_cards.insert().values(
            id=card.id, public_id=card.public_id, provider=card.provider, model=card.model, effective_at=0, recorded_at=START,
            currency=card.currency, source=card.source, digest=card.digest, canonical_json=canonical_json(card),
        )
    )  # fmt: skip
    return one


def hold_bytes(said: Said, at: int, raises: tuple[LimitRaise, ...] = ()) -> bytes:
    """A HOLD of one slice."""
    limits = pack_raises(raises) if raises else b""
    flags = said.flags | (tape.HOLD_LIMITED if raises else 0)
    head = tape.HOLD.pack(
        RecordType.HOLD, flags, tape.HOLD.size + tape.SLICE.size + len(limits), 3, 1, b"n" * 16, said.wallet_id, said.api_key_id,
        said.rate_card_id, at, HELD + 1, HELD + 2, said.model_name, 7, said.tags_name, 8, 100, 400, 5, 6,
    )  # fmt: skip
    return head + tape.SLICE.pack(said.lot_id, HELD) + limits


def settle_bytes(said: Said, row: Row) -> bytes:
    """A SETTLE, whose counts stand under a mask of 32 bits, or of 16 as those of the first tapes do."""
    counts = tuple(row.counts.get(index) for index in range(len(METERS)))
    wide = pack_settle(
        1,
        SettleRecord(
            row.at + 1_000, row.at + 500, row.charge_nanos, row.charge_nanos + 1, row.charge_nanos + 2, 99, 1, 1, said.service_tier,
            said.dialect, 200, said.answered_model_name, 9, counts,
        ),
    )  # fmt: skip
    if row.is_wide:
        return wide
    size = tape.SETTLE.size
    head = bytearray(wide[:size])
    head[1] &= ~tape.WIDE_COUNTS
    head[2:4] = (len(wide) - 2).to_bytes(2, "little")
    return bytes(head) + wide[size : size + 2] + wide[size + 4 :]


def row_bytes(said: Said, row: Row, raises: tuple[LimitRaise, ...] = ()) -> tuple[bytes, bytes]:
    """The hold and the settlement of a row, in the form that it has them."""
    hold, settle = hold_bytes(said, row.at, raises), settle_bytes(said, row)
    if not row.is_short:
        return hold, settle
    whole = parse_record(hold + settle)
    assert whole.settle is not None
    return short_hold(whole.hold), short_settle(1, whole.settle, row.at)


def used(sums: UsageSums) -> dict:
    return {at: (found.call_count, found.charge_nanos, list(found.flat())) for at, found in sums.sums.items()}


def summed_both_ways(one: Kit, said: list[Said], rows: list[Row]) -> tuple[SpendSums, UsageSums]:
    """The sums of these rows by their bytes, once they are found to be those of their records."""
    book = one.ledger._changes.cycles
    spent, wanted_spent = sums_of(one.connection, book), sums_of(one.connection, book)
    read, wanted_read = usage_sums_of(one.connection), usage_sums_of(one.connection)
    for sequence, row in enumerate(rows, 1):
        what = said[row.said]
        number = hold_number(HoldKey(0, what.epoch, sequence))
        record = b"".join(row_bytes(what, row))
        assert settle_offset(record)
        attempt = parse_record(record)
        spent.add_row(number, what.wallet_id, what.cycle, Outcome.SETTLED, record)
        wanted_spent.add(number, what.wallet_id, what.cycle, Outcome.SETTLED, attempt)
        read.add_row(number, record)
        wanted_read.add(number, attempt)
    assert spent.sums == wanted_spent.sums
    assert used(read) == used(wanted_read)
    return spent, read


@settings(max_examples=settings().max_examples // 3)  # each makes two ledgers
@given(said=st.lists(SAID, min_size=3, max_size=3), rows=ROWS)
def test_rows_sum_to_what_their_records_say(said, rows):
    summed_both_ways(books(), said, rows)


PLAIN = Said(1, 1, 0, 4, 0, ADA, ADA_LOT, 7, 1, "standard", 0, 202601)
ROW = Row(0, MIDNIGHT, 1_000, {0: 10, 6: 2}, is_wide=True)


def test_each_thing_that_rows_say_is_told_apart():
    """Twelve rows, each of which differs from the first in one thing, in each of three forms."""
    said = [
        PLAIN, PLAIN._replace(epoch=2), PLAIN._replace(model_name=2), PLAIN._replace(answered_model_name=3),
        PLAIN._replace(tags_name=5), PLAIN._replace(tags_name=6), PLAIN._replace(flags=tape.HOLD_PERSONAL),
        PLAIN._replace(lot_id=ADA_SECOND_LOT), PLAIN._replace(cycle=202602), PLAIN._replace(api_key_id=8),
        PLAIN._replace(service_tier="batch"), PLAIN._replace(dialect=2),
    ]  # fmt: skip
    forms = (ROW, ROW._replace(is_wide=False), ROW._replace(is_short=True))
    rows = [form._replace(said=index) for index in range(len(said)) for form in forms]
    spent, read = summed_both_ways(books(), said, rows)
    assert {
        (key.model, key.project, key.is_personal, key.lot_id, key.late): value for key, value in spent.sums.items()
    } == {
        ("sonnet", "alpha", False, ADA_LOT, False): [
            12_000,
            12,
        ],  # itself, and what no pay slip asks for: key, tier, endpoint
        ("flash", "gamma", False, ADA_LOT, False): [3_000, 3],
        ("opus", "alpha", False, ADA_LOT, False): [3_000, 3],
        ("haiku", "alpha", False, ADA_LOT, False): [3_000, 3],
        ("sonnet", "beta", False, ADA_LOT, False): [3_000, 3],
        ("sonnet", "", False, ADA_LOT, False): [3_000, 3],
        ("sonnet", "alpha", True, ADA_LOT, False): [3_000, 3],
        ("sonnet", "alpha", False, ADA_SECOND_LOT, False): [3_000, 3],
        ("sonnet", "alpha", False, ADA_LOT, True): [3_000, 3],
    }
    assert {label: found.call_count for (_, label), found in read.sums.items()} == {
        (7, "sonnet", 0, "standard", False): 18,  # usage asks for no tags, lots and cycles
        (7, "flash", 0, "standard", False): 3,
        (7, "opus", 0, "standard", False): 3,
        (7, "haiku", 0, "standard", False): 3,
        (8, "sonnet", 0, "standard", False): 3,
        (7, "sonnet", 0, "batch", False): 3,
        (7, "sonnet", 2, "standard", False): 3,
    }


def test_a_day_ends_at_its_midnight_where_the_wallet_lives():
    """The last microsecond of a day, the first of the next one, and back: of Ada's days in UTC, and of Bo's in Kolkata, at half past six in the evening."""
    said = [PLAIN, PLAIN._replace(wallet_id=BO, lot_id=BO_LOT)]
    evening = MIDNIGHT - 5 * HOUR - HOUR // 2
    rows = [ROW._replace(at=MIDNIGHT + off) for off in (-1, 0, DAY - 1, DAY, -1, 0)]
    rows += [ROW._replace(said=1, at=evening + off) for off in (-1, 0, DAY - 1, DAY, -1, 0)]
    spent, _ = summed_both_ways(books(), said, rows)
    fifth = 739_621  # 2026-01-05, counted from the first day of the year 1
    assert {(key.wallet_id, key.day): calls for key, (_, calls) in spent.sums.items()} == {
        (ADA, fifth): 2, (ADA, fifth + 1): 3, (ADA, fifth + 2): 1,
        (BO, fifth): 2, (BO, fifth + 1): 3, (BO, fifth + 2): 1,
    }  # fmt: skip


RAISES = st.lists(
    st.builds(
        LimitRaise,
        limit_id=st.integers(1, 3),
        measure=st.integers(0, len(LIMIT_MEASURES) - 1),
        flags=st.integers(0, 3),
        start_at=st.sampled_from((START, MIDNIGHT)),
        amount=st.integers(0, HELD),
    ),
    min_size=1,
    max_size=6,
).map(tuple)


def counters_both_ways(limited: list[tuple[tuple[LimitRaise, ...], Row]]) -> dict:
    """The counters of holds that passed in one go, once they are found to be those of holds that opened and ended."""
    passed, wanted = LimitSums(), LimitSums()
    for raises, row in limited:
        hold, settle = row_bytes(PLAIN, row, raises)
        attempt = parse_record(hold + settle)
        block = b"before" + settle + b"behind"
        limits_at = tape.SHORT_HOLD.size if row.is_short else tape.HOLD.size + tape.SLICE.size
        passed.passed(hold, limits_at, row.charge_nanos, block, len(b"before"))
        wanted.opened(attempt.hold.raises)
        wanted.ended(attempt.hold.raises, attempt.settle)
    found = dict(passed.values())
    assert found == dict(wanted.values())
    return found


@given(limited=st.lists(st.tuples(RAISES, ROWS.map(lambda rows: rows[0])), min_size=1, max_size=6))
def test_a_limit_counts_a_hold_that_passed_as_one_that_opened_and_ended(limited):
    counters_both_ways(limited)


def test_every_measure_counts_in_every_form():
    """700 in, 40 of them read from a cache (place 1), 25 written and 5 spoken (places 6 and 8), and 3 requests: in each of three forms."""
    raises = tuple(
        LimitRaise(measure + 1, measure, measure % 4, START, 9_999) for measure in range(len(LIMIT_MEASURES))
    )
    row = ROW._replace(charge_nanos=1_000, counts={0: 660, 1: 40, 6: 25, 8: 5, 10: 3})
    found = counters_both_ways(
        [(raises, row), (raises, row._replace(is_wide=False)), (raises, row._replace(is_short=True))]
    )
    assert {LIMIT_MEASURES[limit_id - 1].value: tuple(values) for (limit_id, _), values in found.items()} == {
        "credits": (3_000, 3, 0, 0),
        "calls": (3, 3, 3, 0),
        "model_tokens": (2_190, 3, 0, 3),
        "input_tokens": (1_980, 3, 3, 3),
        "output_tokens": (90, 3, 0, 0),
    }
